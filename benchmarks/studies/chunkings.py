"""Does a Dask array in random chunks give what the whole array gives, with the same settings?

    python -m nlmeans.benchmarks.studies.chunkings [--chunkings 200] [--only CASE ...]

Prints for each case the largest difference in data ranges (of integers: the part that differs, and by how
much) over that many random chunkings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nlmeans import denoise, suggest

from ..scripts import parser_of


@dataclass(frozen=True)
class Case:
    """An image, and the settings under which it is denoised."""

    shape: tuple[int, ...]
    dtype: str = "float32"
    settings: dict[str, Any] = field(default_factory=dict)
    beside: Callable[[np.ndarray], dict[str, Any]] = lambda image: {}  # arrays that go with it
    holes: bool = False  # NaN in single pixels and in a block

    def image(self) -> np.ndarray:
        """Blocks of two levels, a ramp and noise of 12, in [0, 255]."""
        rng = np.random.default_rng(0)
        axis = self.settings.get("channel_axis")
        places = np.indices(self.shape)
        grid = [p for a, p in enumerate(places) if axis is None or a != axis % len(self.shape)]
        clean = 60 + 80.0 * (sum(p // 9 for p in grid) % 2) + 50 * grid[-1] / max(grid[-1].max(), 1)
        if axis is not None:
            clean = clean * (1 - 0.2 * places[axis])
        image: np.ndarray = np.clip(clean + rng.normal(0, 12, self.shape), 0, 255).astype(self.dtype)
        if self.holes:
            image[rng.random(self.shape) < 0.01] = np.nan
            image[tuple(slice(n // 3, n // 3 + max(1, min(n // 4, 17))) for n in self.shape)] = np.nan
        return image


def _mask(image: np.ndarray) -> dict[str, Any]:
    mask = np.random.default_rng(1).random(image.shape) > 0.1
    mask[tuple(slice(n // 2, n // 2 + n // 5) for n in image.shape)] = False
    return {"mask": mask}


def _sigma_map(image: np.ndarray) -> dict[str, Any]:
    return {"sigma": np.linspace(4, 20, image.size).reshape(image.shape).astype(np.float32)}


def _guide(image: np.ndarray) -> dict[str, Any]:
    return {"guide": image + np.float32(1)}


def _colour_guide(image: np.ndarray) -> dict[str, Any]:
    return {"guide": np.stack([image, image[::-1], image / 2], axis=-1)}


def _grey_guide(image: np.ndarray) -> dict[str, Any]:
    return {"guide": image.mean(axis=-1)}


_COLOUR = {"channel_axis": -1}
CASES = {
    "signal": Case((400,)),
    "image": Case((70, 90)),
    "one row": Case((1, 90)),
    "pixel": Case((70, 60), settings={"aggregate": "pixel", "patch": "gaussian", "center": "one"}),
    "8 bits": Case((70, 90), "uint8"),
    "16 bits": Case((70, 90), ">u2"),
    "double": Case((60, 50), "float64"),
    "two passes": Case((80, 90), settings={"passes": 2}),
    "holes": Case((80, 90), settings={"nan": "keep"}, holes=True),
    "holes, two passes": Case((80, 90), settings={"nan": "keep", "passes": 2}, holes=True),
    "mask": Case((80, 90), beside=_mask),
    "sigma map": Case((80, 90), beside=_sigma_map),
    "photons": Case((70, 90), "uint8", settings={"noise": {"kind": "poisson", "gain": 1.5}}),
    "few photons": Case((70, 90), settings={"noise": {"kind": "poisson", "gain": 60.0}}),
    "few photons, holes": Case(
        (80, 90), settings={"noise": {"kind": "poisson", "gain": 60.0}, "nan": "keep"}, holes=True
    ),
    "photons in a volume": Case((12, 26, 24), settings={"noise": {"kind": "poisson", "gain": 60.0}}),
    "rician": Case((70, 90), settings={"noise": {"kind": "rician", "sigma": 12.0}, "passes": 2}),
    "speckle": Case((70, 90), "uint16", settings={"noise": {"kind": "speckle", "looks": 9.0}}),
    "photons, nlridge": Case(
        (80, 90), settings={"noise": {"kind": "poisson", "gain": 60.0}, "method": "nlridge"}
    ),
    "photons in colours": Case(
        (60, 50, 3),
        settings={"noise": {"kind": "poisson", "gain": (1.0, 2.0, 3.0)}, "color": "separate", **_COLOUR},
    ),
    "photons by a guide": Case(
        (70, 90), settings={"noise": {"kind": "poisson", "gain": 2.0}, "guide_sigma": 0}, beside=_guide
    ),
    "guide": Case((70, 90), settings={"sigma": 12.0, "guide_sigma": 8.0}, beside=_guide),
    "colour guide": Case((70, 90), settings={"sigma": 12.0}, beside=_colour_guide),
    "grey guide": Case((60, 50, 3), settings={"sigma": 12.0, **_COLOUR}, beside=_grey_guide),
    "luminance": Case((60, 70, 3), settings={"color": "luminance", **_COLOUR}),
    "joint": Case((2, 60, 70), settings={"color": "joint", "channel_axis": 0}),
    "separate": Case((60, 3, 70), "uint8", settings={"color": "separate", "channel_axis": 1}),
    "volume": Case((14, 30, 33)),
    "volume, two passes": Case(
        (12, 26, 24), settings={"passes": 2, "patch_radius": 1, "search_radius": (1, 3, 3)}
    ),
    "nlridge": Case((90, 110), settings={"method": "nlridge"}),
    "nlridge, holes": Case((80, 90), settings={"method": "nlridge", "nan": "keep"}, holes=True),
    "nlridge, volume, mask": Case((8, 40, 44), settings={"method": "nlridge"}, beside=_mask),
    "photons, colour volume": Case(
        (6, 24, 26, 3),
        settings={"noise": {"kind": "poisson", "gain": 2.0}, **_COLOUR, "patch_radius": (1, 1, 1)},
    ),
    "nlridge, colour": Case((70, 80, 3), settings={"method": "nlridge", "color": "luminance", **_COLOUR}),
    "colour volume": Case(
        (8, 20, 21, 3), settings={"color": "luminance", **_COLOUR, "patch_radius": (1, 1, 1)}
    ),
}


def random_chunks(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Along every axis one to six chunks of any sizes; many are smaller than a halo."""
    every = []
    for n in shape:
        cuts = np.sort(
            rng.choice(np.arange(1, max(n, 2)), min(int(rng.integers(0, 6)), n - 1), replace=False)
        )
        every.append(tuple(int(c) for c in np.diff((0, *cuts, n))))
    return tuple(every)


def differences(name: str, count: int, seed: int = 0) -> Iterator[tuple[tuple[Any, ...], float, float]]:
    """The chunks, the largest difference, and the part of pixels that differ, for random chunkings.

    The difference is in data ranges; for integers in steps.  For nlridge, which takes the nearest of many and
    may take another where two are as near, it is the root mean square.
    """
    import dask.array as da

    case = CASES[name]
    image = case.image()
    beside = case.beside(image)
    settings = {**case.settings, **beside}
    settings |= suggest(image, **settings).to_dict()
    whole = denoise(image, workers=1, **settings).astype(np.float64)
    kept = np.isnan(whole)
    integers = image.dtype.kind in "iu"
    unit = 1.0 if integers else float(np.nanmax(image) - np.nanmin(image))
    rng = np.random.default_rng(seed)
    for _ in range(count):
        chunks = random_chunks(rng, image.shape)
        lazy = {n: da.from_array(a, chunks=random_chunks(rng, a.shape)) for n, a in beside.items()}
        result = denoise(da.from_array(image, chunks=chunks), **{**settings, **lazy})
        if result.chunks != chunks or result.dtype != image.dtype:
            raise AssertionError(f"{name}: {result.chunks} {result.dtype}, not {chunks} {image.dtype}")
        found = result.compute(scheduler="synchronous").astype(np.float64)
        if not np.array_equal(np.isnan(found), kept):
            raise AssertionError(f"{name}: NaN at other places, in chunks {chunks}")
        apart = np.abs(found - whole)[~kept] / unit
        largest = float(np.sqrt(np.mean(apart**2)) if "nlridge" in name else apart.max())
        yield chunks, largest, float(np.mean(apart > 0))


def main() -> None:
    """Run all cases."""
    parser = parser_of(__doc__)
    parser.add_argument("--chunkings", type=int, default=200)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    given = parser.parse_args()
    for name in given.only:
        _, apart, part = zip(*differences(name, given.chunkings), strict=True)
        print(f"{name:20} {max(apart):.3g} at most, {100 * max(part):.3g} % of the pixels differ", flush=True)


if __name__ == "__main__":
    main()
