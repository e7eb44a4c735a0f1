"""The seam of the methods: another method through the same tiles, and one choice for several arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nlmeans
from nlmeans import denoise, running
from nlmeans.backends.contract import Run
from nlmeans.choosing import Chosen, choose
from nlmeans.inputs import Inputs, check
from nlmeans.methods import Method
from nlmeans.parameters import Settings
from nlmeans.tiling import Cost, Tile


class Blur(Method):
    """A Gaussian blur over valid pixels, of radius 3 and standard deviation 1.5."""

    @classmethod
    def of(cls, chosen: Chosen, inputs: Inputs) -> Blur:
        radius = tuple(3 if n > 1 else 0 for n in inputs.value.shape[1:])
        cost = Cost(4 * 3 * inputs.value.shape[0], 0)
        return cls(levels=chosen.levels, halo=radius, cost=cost)  # type: ignore[arg-type]

    def run(
        self, tile: Tile, origin: tuple[int, ...], whole_shape: tuple[int, ...], planes: range, run: Run
    ) -> np.ndarray:
        total, weight = tile.value * tile.vote, tile.vote[None]
        for axis, r in enumerate(self.halo, start=1):
            total, weight = (blurred(x, axis, r) for x in (total, weight))
        if run.tick is not None:
            run.tick(1.0)
        change: np.ndarray = (total / weight - tile.value)[:, planes.start : planes.stop]
        return change


def blurred(array: np.ndarray, axis: int, radius: int) -> np.ndarray:
    """The weighted sum over 2 radius + 1 samples along an axis, zeros outside."""
    n = array.shape[axis]
    padded = np.moveaxis(np.pad(array, [(radius * (a == axis),) * 2 for a in range(array.ndim)]), axis, 0)
    weights = np.exp(-((np.arange(-radius, radius + 1) / 1.5) ** 2) / 2).astype(array.dtype)
    return np.moveaxis(sum(w * padded[o : o + n] for o, w in enumerate(weights)), 0, axis)


def blur(image: np.ndarray, *, memory_limit: int | None = None, progress: Any = None, **settings: Any) -> Any:
    """`denoise` with the other method."""
    inputs = check(image, settings)  # type: ignore[arg-type]
    chosen = choose(inputs, {"sigma": 1.0, "k": 1.0, "patch_radius": 1, "search_radius": 1})
    how = running.Running.checked(1, progress, memory_limit)
    return inputs.restored(running.in_tiles(inputs, Blur.of(chosen, inputs), how))


def noisy(shape: tuple[int, ...], dtype: Any = np.float32, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(100, 20, shape)
    return (np.rint(values) if np.dtype(dtype).kind in "iu" else values).astype(dtype)


@pytest.mark.parametrize("shape", [(700,), (150, 140), (9, 80, 70)])
def test_another_method_goes_through_the_same_tiles(shape: tuple[int, ...]) -> None:
    image = noisy(shape)
    whole = blur(image)
    assert whole.std() < 0.6 * image.std()
    calls: list[float] = []
    least = 12 * int(np.prod([min(n, 64 + 6) for n in shape]))
    np.testing.assert_allclose(blur(image, memory_limit=least, progress=calls.append), whole, atol=1e-4)
    assert len(calls) > 2
    assert calls == sorted(calls)
    assert calls[-1] == 1.0
    with pytest.raises(nlmeans.MemoryLimitError):
        blur(image, memory_limit=100)


@pytest.mark.parametrize(
    "dtype", [np.int8, np.uint8, np.int16, np.uint16, np.float16, np.float64, ">u2", ">f4"]
)
def test_another_method_keeps_types(dtype: Any) -> None:
    image = noisy((30, 40), "f8") / 2
    image = (np.rint(image) if np.dtype(dtype).kind in "iu" else image).astype(dtype)
    result = blur(image)
    assert (result.dtype.newbyteorder("="), result.shape) == (image.dtype.newbyteorder("="), image.shape)
    exact = blur(image.astype(np.float64))
    assert np.abs(result.astype(float) - exact).max() <= (0.51 if image.dtype.kind in "iu" else 0.1)


def test_another_method_keeps_invalid_pixels_and_channels() -> None:
    image = noisy((40, 30, 3))
    mask = np.random.default_rng(1).random((40, 30)) > 0.2
    result = blur(image, channel_axis=2, mask=mask)
    np.testing.assert_array_equal(result[~mask], image[~mask])
    spoiled = np.where(mask[..., None], image, np.float32(1e6))
    np.testing.assert_array_equal(blur(spoiled, channel_axis=2, mask=mask)[mask], result[mask])
    image[5, 5, 1] = np.nan
    result = blur(image, channel_axis=2, nan="keep")
    assert np.isnan(result).sum() == 1
    each = np.stack([blur(np.ascontiguousarray(image[..., c]), nan="keep") for c in (0, 2)], axis=-1)
    np.testing.assert_allclose(result[20:, 15:, ::2], each[20:, 15:], rtol=1e-5)


# --- what was chosen once --------------------------------------------------------------------


def apply(chosen: Chosen, inputs: Inputs, backend: str, **options: Any) -> np.ndarray:
    """What was chosen, done to inputs, in their shape."""
    result: np.ndarray = inputs.restored(running.apply(chosen, inputs, backend, **options))
    return result


FRAMES: dict[str, Callable[[], tuple[np.ndarray, np.ndarray, Settings]]] = {
    "picture": lambda: (noisy((60, 50)), noisy((60, 50), seed=1), {}),
    "integers": lambda: (noisy((60, 50), np.uint8), noisy((60, 50), np.uint8, seed=1), {}),
    "colour": lambda: (noisy((40, 50, 3)), noisy((40, 50, 3), seed=1), {"channel_axis": -1}),
    "another size": lambda: (noisy((60, 50)), noisy((33, 70), seed=1), {"aggregate": "pixel"}),
    "signal": lambda: (noisy((300,)), noisy((300,), seed=1), {"k": 0.4}),
}


@pytest.mark.parametrize("name", FRAMES)
def test_what_was_chosen_for_one_frame_serves_the_next(name: str, backend: str) -> None:
    first, second, settings = FRAMES[name]()
    inputs = check(first, settings)
    chosen = choose(inputs, settings)
    np.testing.assert_array_equal(apply(chosen, inputs, backend), denoise(first, backend=backend, **settings))
    # the next frame: as `denoise` on it, with the same choice and levels, whatever its own would be
    result = apply(chosen, check(second, settings), backend)
    own = choose(check(second, settings), settings)
    assert own.parameters != chosen.parameters or "k" in settings
    expected = denoise(second, backend=backend, **{**settings, **chosen.parameters.to_dict()})
    tolerance = 1 if second.dtype.kind in "iu" else 2e-6 * float(np.ptp(second))
    assert np.abs(result.astype(float) - expected).max() <= tolerance


def test_a_chunk_with_its_halo_is_its_part_of_the_whole(backend: str) -> None:
    whole = noisy((130, 90), np.uint16)
    inputs = check(whole, {})
    chosen = choose(inputs, {})
    result = apply(chosen, inputs, backend)
    p = chosen.parameters
    halo = p.search_radii((130, 90))[0] + 2 * p.patch_radii(2)[0]
    chunk = np.ascontiguousarray(whole[40 - halo : 70 + halo])
    part = apply(chosen, check(chunk, {}), backend)[halo:-halo].astype(int)
    assert np.abs(part - result[40:70]).max() <= 1
    assert (part != result[40:70]).mean() <= 0.02


def test_the_same_choice_gives_the_same_bits_again(backend: str) -> None:
    first, second, settings = FRAMES["integers"]()
    chosen = choose(check(first, settings), settings)
    inputs = check(second, settings)
    np.testing.assert_array_equal(apply(chosen, inputs, backend), apply(chosen, inputs, backend, workers=2))
