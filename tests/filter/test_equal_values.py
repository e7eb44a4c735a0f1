"""Where a pixel and all of its candidates hold one value, that value comes back, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nlmeans import denoise
from nlmeans.levels import Levels

SETTINGS: dict[str, Any] = {"k": 0.5, "patch_radius": 1, "search_radius": 3}
TYPES = ["i1", "u1", "i2", "u2", "f2", "f4", "f8", ">u2", ">f4"]
#: The value of the constant part, what lies around it, and the noise of that.
VALUES = {
    "background": (0.0, 100.0, 10.0),
    "minus zero": (-0.0, 100.0, 10.0),
    "tenth": (0.1, 0.7, 0.2),
    "fill": (-9999.0, 700.0, 20.0),
    "far": (1e6 + 1e-3, 1e6, 30.0),
    "small among large": (1e-3, 1e6, 1e4),
    "tiny": (3e-30, 1e-29, 1e-30),
}


def picture(shape: tuple[int, ...], dtype: str, kind: str = "background", seed: int = 0) -> np.ndarray:
    """Noise with a constant part in the middle, of more than half of each axis that is longer than 3."""
    value, around, noise = VALUES[kind]
    image = np.random.default_rng(seed).normal(around, noise, shape)
    if np.dtype(dtype).kind in "iu":
        limits = np.iinfo(dtype)
        image = np.clip(np.rint(image), limits.min, limits.max)
    image[tuple(slice(n // 5, n - n // 5) if n > 3 else slice(None) for n in shape)] = value
    return image.astype(dtype)


def window_of_one_value(image: np.ndarray, radius: int, axes: int, valid: np.ndarray | None = None) -> Any:
    """Where all valid values of the search window are the pixel's own; the first `axes` axes are the grid."""
    values = image.astype(np.float64)
    sides = []
    for sign in (1, -1):
        each = values * sign
        if valid is not None:
            each = np.where(valid.reshape(valid.shape + (1,) * (image.ndim - axes)), each, -np.inf)
        for axis in range(axes):
            padding = [(radius * (a == axis),) * 2 for a in range(image.ndim)]
            padded = np.pad(each, padding, constant_values=-np.inf)
            each = np.lib.stride_tricks.sliding_window_view(padded, 2 * radius + 1, axis).max(-1)
        sides.append(sign * each)
    same: np.ndarray = (sides[0] == values) & (sides[1] == values)
    return same


def assert_kept(
    image: np.ndarray,
    backend: str,
    valid: np.ndarray | None = None,
    axes: int | None = None,
    **settings: Any,
) -> np.ndarray:
    settings = {**SETTINGS, **settings}
    result = denoise(image, backend=backend, **({} if valid is None else {"mask": valid}), **settings)
    kept = window_of_one_value(image, settings["search_radius"], axes or image.ndim, valid)
    if settings.get("color") == "luminance":
        kept &= kept.all(axis=-1, keepdims=True)
    assert kept.sum() >= 20
    bits = f"u{image.dtype.itemsize}"
    mine, theirs = (np.ascontiguousarray(x).view(bits)[kept] for x in (result, image))
    assert (mine == theirs).mean() == 1.0
    if not np.all(kept):
        assert np.any(result != image)  # the rest was denoised
    return result


def kinds(dtype: str) -> list[str]:
    """Those whose numbers the type has."""
    if np.dtype(dtype).kind in "iu":
        return ["background", "fill"] if np.dtype(dtype).itemsize > 1 and dtype[-2] == "i" else ["background"]
    return ["background", "minus zero", "tenth", "fill"] if dtype == "f2" else list(VALUES)


@pytest.mark.parametrize("aggregate", ["patch", "pixel"])
@pytest.mark.parametrize(("dtype", "kind"), [(d, k) for d in TYPES for k in kinds(d)])
def test_every_type(dtype: str, kind: str, aggregate: str, backend: str) -> None:
    assert_kept(
        picture((40, 45), dtype, kind), backend, aggregate=aggregate, sigma=VALUES[kind][2] * (1 - 1e-3)
    )


@pytest.mark.parametrize("center", ["max", "one", "zero"])
@pytest.mark.parametrize("patch", ["box", "gaussian"])
@pytest.mark.parametrize("aggregate", ["patch", "pixel"])
@pytest.mark.parametrize("passes", [1, 2])
@pytest.mark.parametrize("color", ["grey", "joint", "luminance", "separate"])
def test_every_rule(color: str, passes: int, aggregate: str, patch: str, center: str, backend: str) -> None:
    settings: dict[str, Any] = {"aggregate": aggregate, "patch": patch, "center": center, "sigma": 10.0}
    rest = {**SETTINGS, "patch": patch, "center": center, "aggregate": aggregate}
    if passes == 2:
        settings |= {"passes": 2, "second": {**rest, "mixing": 0.8}}
    if color == "luminance":
        settings |= {"differences": rest}
    image = picture((36, 41), "f4", "tenth")
    image *= np.float32(50)
    if color == "grey":
        assert_kept(image, backend, **settings)
        return
    if color == "luminance":  # all three channels change where one does
        image = np.stack([image, image + np.float32(0.3), image[::-1, ::-1] - np.float32(7.7)], axis=-1)
    else:
        image = np.stack([image, image[::-1] + np.float32(0.3), image[:, ::-1] - np.float32(7.7)], axis=-1)
    assert_kept(image, backend, axes=2, channel_axis=-1, color=color, **settings)


@pytest.mark.parametrize("aggregate", ["patch", "pixel"])
@pytest.mark.parametrize("shape", [(300,), (2, 30, 31), (9, 24, 25), (37, 150)], ids=str)
def test_signals_volumes_and_masks(shape: tuple[int, ...], aggregate: str, backend: str) -> None:
    image = picture(shape, "f4", "fill")
    assert_kept(image, backend, aggregate=aggregate, sigma=20.0)
    valid = np.random.default_rng(1).random(shape) > 0.2
    spoiled = np.where(valid, image, np.float32(12345))
    result = assert_kept(spoiled, backend, valid, aggregate=aggregate, sigma=20.0)
    np.testing.assert_array_equal(result[~valid], spoiled[~valid])


@pytest.mark.parametrize("aggregate", ["patch", "pixel"])
def test_tiles_sigma_maps_and_guides(aggregate: str, backend: str) -> None:
    image = picture((150, 140), "f4", "small among large")
    noise = np.linspace(5e3, 2e4, image.size).reshape(image.shape)
    guide = np.random.default_rng(2).normal(0, 1, image.shape).astype("f4")
    assert_kept(image, backend, aggregate=aggregate, sigma=1e4, memory_limit=2**20)
    assert_kept(image, backend, aggregate=aggregate, sigma=noise)
    assert_kept(image, backend, aggregate=aggregate, sigma=1.0, guide=guide)


@pytest.mark.parametrize("aggregate", ["patch", "pixel"])
def test_a_change_is_as_exact_as_the_values_around_it(aggregate: str, backend: str) -> None:
    """What is far away, and no outlier, takes no digits from the others: a tenth of the picture is at 1e6."""
    near = np.random.default_rng(0).normal(0, 1, (60, 60)).astype("f4")
    image = near.copy()
    image[:, 50:] = 1e6
    options = {**SETTINGS, "aggregate": aggregate, "backend": backend, "sigma": 1.0}
    result, alone = denoise(image, **options)[:, :40], denoise(near, **options)[:, :40]
    assert np.abs(result - alone).max() <= 1e-6 * np.ptp(near)


@pytest.mark.parametrize(
    ("low", "high", "offset"),
    [(0.0, 255.0, 0.0), (-9999.0, 800.0, 0.0), (1e6, 1e6 + 2, 1e6 + 1), (7.0, 7.0, 7.0)],
)
def test_an_offset_is_taken_off_only_where_that_is_exact(low: float, high: float, offset: float) -> None:
    levels = Levels.of(([low], [high]), np.dtype("f4"), 1)
    assert levels.offset == (offset,)
    values = np.linspace(low, high, 1000, dtype="f4")
    down = levels.down(values.reshape(1, 1, 1, -1), "float32").ravel()
    np.testing.assert_array_equal(down.astype("f8") * levels.unit + offset, values.astype("f8"))
