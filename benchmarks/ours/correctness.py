"""Forty calls against the float64 reference: shapes around a tile, every kind of setting, both ways in.

    python -m nlmeans.benchmarks.ours.correctness [--from N] [--few] [--own-allocations]

prints one JSON object for each call.  The first calls share their kernels, so that the first answers come
before much is compiled.  After an error that is none of the package's own the process ends: a CUDA device
does nothing more in a process in which a kernel failed.
"""

from __future__ import annotations

import json
import math
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

import nlmeans
from nlmeans import backends
from nlmeans.backends.contract import Request
from nlmeans.errors import NLMeansError

from ..problems import Image
from ..scripts import parser_of

ORDINARY, HARD = 2e-6, 1e-5  # of the data range: what the arithmetic may be off by
_WHOLE = 40_000  # pixels; of larger pictures crops are compared
_CROP = 40  # pixels a side
_SIGMA = 20.0
LOST = 3  # exit code after an error that may have cost the device


@dataclass(frozen=True)
class Check:
    """A picture and how it is filtered."""

    shape: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict)
    dtype: str = "float32"
    picture: str = "noise"  # or "edge", with noise of 1 % of its height; "nan", with some pixels missing
    extra: str = ""  # an argument of the picture's size: "mask", "guide", "sigma" (a map)

    @property
    def what(self) -> str:
        """In a line."""
        told = [
            " x ".join(map(str, self.shape)),
            self.dtype,
            *[self.picture] * (self.picture != "noise"),
            *[f"with {self.extra} of its size"] * bool(self.extra),
            *(f"{name}={value!r}" for name, value in self.options.items()),
        ]
        return ", ".join(told)

    @property
    def halo(self) -> int:
        """How far from a pixel its result depends on the picture."""
        return int(self.options.get("search_radius", 10)) + 2 * int(self.options.get("patch_radius", 3))

    def image(self) -> Image:
        """Random enough for every mistake to show."""
        rng = np.random.default_rng(list(self.shape))
        waves = sum(np.sin(index / (5.0 + axis)) for axis, index in enumerate(np.indices(self.shape)))
        found = 110 + 40 * waves / len(self.shape) + rng.normal(0, _SIGMA, self.shape)
        if self.picture == "edge":
            step = np.indices(self.shape).sum(0) > sum(self.shape) / 2
            found = 200.0 * step + rng.normal(0, 2.0, self.shape)
        if self.picture == "nan":
            found[rng.random(self.shape) < 0.02] = np.nan
        if np.dtype(self.dtype).kind in "iu":
            found = np.clip(np.rint(found), 0, np.iinfo(self.dtype).max)
        return np.asarray(found.astype(self.dtype))

    def arguments(self) -> dict[str, Any]:
        """Of `nlmeans.denoise`."""
        rng = np.random.default_rng(7)
        given: dict[str, Any] = {"patch_radius": 3, "search_radius": 5}
        given |= {"sigma": 2.0 if self.picture == "edge" else _SIGMA}
        given |= {"nan": "keep"} if self.picture == "nan" else {}
        if self.extra == "mask":
            given["mask"] = rng.random(self.shape) < 0.9
        elif self.extra == "sigma":
            given["sigma"] = _SIGMA * rng.uniform(0.7, 1.3, self.shape)
        elif self.extra == "guide":
            given["guide"] = (self.image() + rng.normal(0, 5, self.shape)).astype(np.float32)
        return given | self.options


def _checks() -> Iterator[Check]:
    """The order is that of compiling: first what shares the default call's kernels."""
    for shape in ((64, 64), (1, 1), (1, 2), (2, 1), (3, 5), (16, 120), (17, 121), (31, 111), (33, 113)):
        yield Check(shape)
    yield Check((150, 250), {"search_radius": 10})
    for shape in ((64, 64), (17, 121), (150, 250)):
        yield Check(shape, {"aggregate": "pixel", "center": "one", "sigma": 0.0, "h": _SIGMA})
    yield Check((40, 140), {"aggregate": "pixel"})
    yield Check((40, 140), picture="edge")
    for dtype in ("uint8", "uint16", "int16", "float16", "float64"):
        yield Check((48, 70), dtype=dtype)
    yield Check((48, 70), extra="mask")
    yield Check((48, 70), picture="nan")
    for radius in (2, 15, (1, 4), (1, 63), (1, 70)):  # the last two are cut in chunks along the row
        yield Check((20, 150), {"search_radius": radius})
    yield Check((1080, 1920), {"search_radius": 10, "k": 0.5})  # no slices: the GPU is full with one launch
    yield Check((40, 130), extra="sigma")
    yield Check((40, 130), extra="guide")
    yield Check((300,))
    yield Check((6, 24, 40), {"search_radius": 2})
    yield Check((5, 24, 130), {"patch_radius": (0, 3, 3), "search_radius": (2, 5, 5)})  # as frames of a film
    for patch in (0, 1, 4, 8):
        yield Check((40, 130), {"patch_radius": patch})
    yield Check((40, 130), {"patch": "gaussian"})
    yield Check((48, 70, 3), {"channel_axis": -1, "color": "luminance", "passes": 2}, "uint8")
    yield Check((48, 70, 6), {"channel_axis": -1, "color": "joint", "aggregate": "pixel"})


CHECKS = tuple(_checks())
#: What a checker of memory is shown: border and inside, slices, both passes, the kernels for large patches.
FEW = (
    Check((33, 113)),
    Check((17, 121), {"aggregate": "pixel", "center": "one", "sigma": 0.0, "h": _SIGMA, "search_radius": 2}),
    Check((20, 150), {"search_radius": (0, 63)}),
    Check((24, 40), {"patch_radius": 5, "search_radius": 2}),
    Check((5, 20, 30), {"patch_radius": 1, "search_radius": 1}),
    Check((24, 40), {"search_radius": 2}, extra="sigma"),
    Check((24, 40, 3), {"channel_axis": -1, "color": "joint", "search_radius": 2}),
)


@dataclass
class Compared:
    """One check; differences in data ranges."""

    number: int
    what: str
    arrays: str  # "NumPy" or "on the device"
    largest: float | None = None
    allowed: float | None = None
    first: float | None = None  # seconds of the call, compiling included
    ok: bool = False
    reason: str | None = None


def compared(number: int, check: Check, backend: str) -> Compared:
    """The call on one backend and on the reference; every second one on arrays that are on the device."""
    engine = backends.load(backend)
    device = number % 2 == 1 and engine.namespace() is not np
    row = Compared(number, check.what, "on the device" if device else "NumPy")
    image, options = check.image(), check.arguments()
    began = time.perf_counter()
    if device:
        there = {
            n: engine.namespace().asarray(v) if isinstance(v, np.ndarray) else v for n, v in options.items()
        }
        result = nlmeans.denoise(engine.namespace().asarray(image), backend=backend, **there).get()
    else:
        result = nlmeans.denoise(image, backend=backend, **options)
    row.first = round(time.perf_counter() - began, 3)
    error, row.allowed = _largest(check, image, result, options), _allowed(check, image)
    row.largest = float(f"{error:.3g}")
    same_kind = result.shape == image.shape and result.dtype == image.dtype
    row.ok = same_kind and error <= row.allowed
    if not same_kind:
        row.reason = f"{result.dtype} {result.shape} came back for {image.dtype} {image.shape}"
    return row


def _span(image: Image) -> float:
    """Largest minus smallest value, or 1 where they are equal."""
    wide = image[np.isfinite(image)].astype(np.float64)
    return float(np.ptp(wide)) or 1.0


def _allowed(check: Check, image: Image) -> float:
    """What arithmetic and the result's own type may be off by."""
    limit = HARD if check.picture == "edge" else ORDINARY
    if image.dtype.kind in "iu":
        return limit + 0.5 / _span(image)
    largest = float(np.nanmax(np.abs(image.astype(np.float64))))
    return limit + float(np.finfo(image.dtype).eps) / 2 * largest / _span(image)


def _largest(check: Check, image: Image, result: Image, options: dict[str, Any]) -> float:
    """From the reference: everywhere, or in the middle and in the last corner of a large picture."""
    worst = 0.0
    for core, seen in _crops(check):
        exact = nlmeans.denoise(image[seen].astype(np.float64), backend="reference", **options)
        inner = tuple(slice(c.start - s.start, c.stop - s.start) for c, s in zip(core, seen, strict=True))
        error = np.abs(result[core].astype(np.float64) - exact[inner])
        kept = np.isnan(exact[inner]) & np.isnan(result[core].astype(np.float64))
        worst = max(worst, float(np.max(np.where(kept, 0.0, np.nan_to_num(error, nan=np.inf)))))
    return worst / _span(image)


def _crops(check: Check) -> Iterator[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    """What is compared, and what of the picture decides it."""
    if math.prod(check.shape) <= _WHOLE:
        whole = tuple(slice(0, n) for n in check.shape)
        yield whole, whole
        return
    for at in (0.5, 1.0):
        starts = [int(at * (n - _CROP)) for n in check.shape]
        core = tuple(slice(a, a + _CROP) for a in starts)
        yield (
            core,
            tuple(
                slice(max(0, c.start - check.halo), min(n, c.stop + check.halo))
                for c, n in zip(core, check.shape, strict=True)
            ),
        )


def rows(checks: Sequence[Check], backend: str, start: int = 0) -> Iterator[dict[str, Any]]:
    """One for each check from `start` on; the last one may hold an error that ends it."""
    for number in range(start, len(checks)):
        check = checks[number]
        try:
            row = compared(number, check, backend)
        except Exception as error:
            told = " ".join((str(error) or type(error).__name__).split())
            place = traceback.extract_tb(error.__traceback__)[-1]
            reason = f"{type(error).__name__}: {told} ({place.name}, line {place.lineno})"
            yield asdict(Compared(number, check.what, "", reason=reason))
            if not isinstance(error, NLMeansError):
                return
        else:
            yield asdict(row)


def main(words: Sequence[str] | None = None) -> int:
    """Print every row."""
    parser = parser_of(__doc__)
    parser.add_argument("--backend", default="cuda", choices=backends.NAMES)
    parser.add_argument("--from", dest="start", type=int, default=0, metavar="N", help="the first check")
    parser.add_argument("--few", action="store_true", help="the small ones for a checker of memory")
    parser.add_argument(
        "--own-allocations",
        action="store_true",
        help="every array is an allocation of its own, so that a checker sees where it ends",
    )
    given = parser.parse_args(words)
    missing = backends.load(given.backend).can_run(Request("numpy", "float32", 1, 1))
    if missing:
        print(f"error: {missing}", file=sys.stderr)
        return 1
    if given.own_allocations:
        cupy = backends.load(given.backend).namespace()
        cupy.cuda.set_allocator(None)
    last: dict[str, Any] = {}
    checks = FEW if given.few else CHECKS
    for last in rows(checks, given.backend, given.start):
        print(json.dumps(last), flush=True)
    return LOST if last.get("number", len(checks) - 1) < len(checks) - 1 else 0


if __name__ == "__main__":
    sys.exit(main())
