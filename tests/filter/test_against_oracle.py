"""Every backend against the brute-force oracle, feature by feature, and against the float64 reference."""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any

import numpy as np
import pytest

from nlmeans import denoise, weights

from ..conftest import TOLERANCE, assert_close, data_range_of
from ..oracle import oracle, oracle_weights

Case = dict[str, Any]

OPTIONS: Case = {"sigma": 0.1, "k": 0.7, "patch_radius": 1, "search_radius": 2, "color": "joint"}


def noisy(shape: tuple[int, ...], seed: int = 0, sigma: float = 0.1) -> np.ndarray:
    """Levels 0 and 1 in blocks, a ramp, and noise: flat parts, edges and texture."""
    rng = np.random.default_rng(seed)
    block = sum(index // 3 for index in np.indices(shape)) % 2
    return block + 0.3 * np.indices(shape)[-1] / max(shape[-1], 2) + rng.normal(0, sigma, shape)


def holes(shape: tuple[int, ...], seed: int = 1) -> np.ndarray:
    """True where valid: about four fifths, and one corner whose patches hold nothing valid."""
    mask = np.random.default_rng(seed).random(shape) < 0.8
    mask[tuple(slice(0, 3) for _ in shape)] = False
    mask[tuple(slice(-1, None) for _ in shape)] = True
    return mask


def with_nan(shape: tuple[int, ...]) -> np.ndarray:
    image = noisy(shape)
    image[~holes(shape)] = np.nan
    return image


def strong_map(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(7).uniform(0.05, 0.4, shape)


GREY = (8, 9)
LUMINANCE: Case = {
    "color": "luminance",
    "differences": {"patch_radius": 2, "search_radius": 1, "k": 0.9, "aggregate": "pixel"},
}
FEATURES: dict[str, tuple[tuple[int, ...], Case]] = {
    "a signal": ((17,), {"search_radius": 4}),
    "an image": (GREY, {}),
    "a volume": ((4, 6, 5), {"search_radius": 1}),
    "a volume with a window deeper than it": ((3, 4, 5), {"search_radius": (4, 1, 1)}),
    "a volume with a patch deeper than it": ((2, 4, 5), {"patch_radius": (3, 1, 1), "search_radius": 1}),
    "a volume of one plane": ((1, 6, 5), {}),
    "a volume with flat patches": ((4, 6, 5), {"patch_radius": (0, 1, 1), "search_radius": (1, 2, 1)}),
    "a volume with channels": ((3, 5, 4, 2), {"channel_axis": -1, "search_radius": (1, 1, 1)}),
    "a volume with Gaussian patches": (
        (3, 4, 5),
        {"patch": "gaussian", "search_radius": 1, "patch_radius": (2, 1, 2)},
    ),
    "a signal with channels first": ((3, 15), {"channel_axis": 0, "search_radius": 3}),
    "colour": ((7, 6, 3), {"channel_axis": -1}),
    "colour with channels in the middle": ((7, 3, 6), {"channel_axis": 1}),
    "one channel": ((7, 6, 1), {"channel_axis": 2}),
    "luminance and differences": ((7, 6, 3), {"channel_axis": -1, **LUMINANCE}),
    "luminance with a sigma map": ((7, 6, 3), {"channel_axis": 2, "sigma": strong_map((7, 6)), **LUMINANCE}),
    "luminance with a sigma of each component": (
        (6, 3, 6),
        {"channel_axis": 1, "sigma": (0.1, 0.05, 0.3), **LUMINANCE},
    ),
    "luminance of a masked volume": (
        (3, 5, 4, 3),
        {
            "channel_axis": -1,
            "mask": holes((3, 5, 4)),
            **LUMINANCE,
            "search_radius": (1, 1, 1),
            "patch_radius": 2,
        },
    ),
    "luminance of a signal": ((3, 15), {"channel_axis": 0, **LUMINANCE}),
    "separate channels": ((7, 6, 3), {"channel_axis": 2, "color": "separate", "sigma": (0.05, 0.1, 0.3)}),
    "four channels": ((7, 6, 4), {"channel_axis": 2}),
    "six channels": ((5, 5, 6), {"channel_axis": 2}),
    "Gaussian patches": (GREY, {"patch": "gaussian", "patch_radius": 2}),
    "Gaussian patches of two radii": (GREY, {"patch": "gaussian", "patch_radius": (0, 3)}),
    "single-sample patches": (GREY, {"patch_radius": 0}),
    "patch radii per axis": (GREY, {"patch_radius": (2, 0)}),
    "search radii per axis": (GREY, {"search_radius": (0, 3)}),
    "the whole picture as a window": ((6, 7), {"search_radius": "image"}),
    "a window of the pixel alone": (GREY, {"search_radius": 0}),
    "patches wider than the image": ((3, 4), {"patch_radius": 9}),
    "a patch radius equal to the axis": ((3, 4), {"patch_radius": (3, 4)}),
    "a window wider than the image": ((3, 4), {"search_radius": 9}),
    "one row": ((1, 12), {"search_radius": 3}),
    "one column": ((12, 1), {"search_radius": 3, "patch_radius": 2}),
    "one pixel": ((1, 1), {}),
    "two pixels": ((2, 1), {}),
    "h instead of k": (GREY, {"h": 0.21, "k": None}),
    "no correction": (GREY, {"sigma": 0, "h": 0.3, "k": None}),
    "a correction that covers most distances": (GREY, {"sigma": 0.5}),
    "vanishing weights": (GREY, {"h": 0.01, "k": None, "sigma": 0.01}),
    "weights about the floor": (GREY, {"h": 0.13, "k": None, "sigma": 0.03}),
    "a sigma map": (GREY, {"sigma": strong_map(GREY)}),
    "a sigma map with zeros": (GREY, {"sigma": strong_map(GREY) * holes(GREY)}),
    "a sigma map of colour": ((7, 6, 3), {"channel_axis": 2, "sigma": strong_map((7, 6))}),
    "a sigma map of a volume": ((3, 4, 5), {"sigma": strong_map((3, 4, 5)), "search_radius": 1}),
    "sigma of each channel": ((7, 6, 3), {"channel_axis": 2, "sigma": (0.05, 0.1, 0.3)}),
    "sigma of each channel, channels first": ((2, 7, 6), {"channel_axis": 0, "sigma": [0.3, 0.05]}),
    "a mask": (GREY, {"mask": holes(GREY)}),
    "a mask and wide patches": (GREY, {"mask": holes(GREY), "patch_radius": 3}),
    "a mask and patches along one axis": (GREY, {"mask": holes(GREY), "patch_radius": (0, 2)}),
    "a mask of colour": ((7, 6, 3), {"channel_axis": 2, "mask": holes((7, 6))}),
    "a mask of a volume": ((4, 5, 5), {"mask": holes((4, 5, 5)), "search_radius": 1}),
    "one valid pixel": ((4, 5), {"mask": np.arange(20).reshape(4, 5) == 7}),
    "a mask of nothing valid": ((4, 5), {"mask": np.zeros((4, 5), bool)}),
    "a mask and a sigma map": (GREY, {"mask": holes(GREY), "sigma": strong_map(GREY)}),
    "a guide": (GREY, {"guide": noisy(GREY, 5, 0.02), "guide_sigma": 0.02}),
    "a guide as noisy as the image": (GREY, {"guide": noisy(GREY, 5, 0.1)}),
    "a clean guide and a strength": (GREY, {"guide": noisy(GREY, 5, 0), "guide_sigma": 0, "sigma": 0.3}),
    "a guide and a sigma map": (GREY, {"guide": noisy(GREY, 5), "sigma": strong_map(GREY)}),
    "a guide of its own noise and a sigma map": (
        GREY,
        {"guide": noisy(GREY, 5), "guide_sigma": 0.05, "sigma": strong_map(GREY)},
    ),
    "a clean guide": (GREY, {"guide": noisy(GREY, 5, 0), "guide_sigma": 0, "h": 0.2, "k": None}),
    "a colour guide of a grey image": ((6, 5, 1), {"channel_axis": 2, "guide": noisy((6, 5, 3), 5)}),
    "a grey guide of a colour image": ((6, 5, 3), {"channel_axis": 2, "guide": noisy((6, 5, 1), 5)}),
    "a guide of two channels": ((3, 6, 5), {"channel_axis": 0, "guide": noisy((2, 6, 5), 5)}),
    "a guide of a volume": ((3, 4, 5), {"guide": noisy((3, 4, 5), 5), "search_radius": 1}),
    "a guide and a mask": (GREY, {"guide": noisy(GREY, 5), "mask": holes(GREY)}),
}
RULES = list(itertools.product(("max", "one", "zero"), ("pixel", "patch")))


def by_oracle(image: np.ndarray, case: Case) -> np.ndarray:
    case = dict(case)
    if case["search_radius"] == "image":
        case["search_radius"] = max(image.shape)
    case.setdefault("guide_sigma", None)
    return oracle(image, **case)


@cache
def judged(feature: str, center: str, aggregate: str) -> tuple[np.ndarray, Case, np.ndarray]:
    """The picture of a feature, exact in float32 and float64, its options, and the oracle's word."""
    shape, special = FEATURES[feature]
    image = noisy(shape).astype(np.float32)
    case = {**OPTIONS, **special, "center": center, "aggregate": aggregate}
    return image, case, by_oracle(image, case)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("center", "aggregate"), RULES)
@pytest.mark.parametrize("feature", FEATURES)
def test_every_feature_agrees_with_the_oracle(
    feature: str, center: str, aggregate: str, dtype: str, backend: str
) -> None:
    image, case, expected = judged(feature, center, aggregate)
    image = image.astype(dtype)
    assert_close(denoise(image, backend=backend, **case), expected, image, backend)


@pytest.mark.parametrize("aggregate", ["pixel", "patch"])
@pytest.mark.parametrize(
    ("shape", "channel_axis"), [((11,), None), (GREY, None), ((6, 5, 3), 2), ((4, 4, 5), None)]
)
def test_kept_nan_agrees_with_the_oracle(
    shape: tuple[int, ...], channel_axis: int | None, aggregate: str, backend: str
) -> None:
    image = with_nan(shape)
    case = {**OPTIONS, "channel_axis": channel_axis, "aggregate": aggregate}
    expected = by_oracle(image, case)
    assert np.isnan(expected).any()
    assert_close(denoise(image, nan="keep", backend=backend, **case), expected, image, backend)


def test_infinities_are_kept_as_nan_is(backend: str) -> None:
    image = noisy(GREY)
    image[2, 3], image[5, 5] = np.inf, -np.inf
    expected = by_oracle(image, OPTIONS)
    assert_close(denoise(image, nan="keep", backend=backend, **OPTIONS), expected, image, backend)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "float16"])
@pytest.mark.parametrize("aggregate", ["pixel", "patch"])
def test_every_type_agrees_with_the_oracle(dtype: str, aggregate: str, backend: str) -> None:
    low, high = (np.iinfo(dtype).min, np.iinfo(dtype).max) if dtype != "float16" else (-3, 12)
    unit = (high - low) / 1.8
    image = (noisy((9, 10)) * unit + low + 0.2 * unit).clip(low, high).astype(dtype)
    case = {**OPTIONS, "sigma": 0.1 * unit, "aggregate": aggregate}
    assert_close(denoise(image, backend=backend, **case), by_oracle(image, case), image, backend)


def test_a_large_offset_costs_no_accuracy(backend: str) -> None:
    image = noisy(GREY) + 4096
    assert_close(denoise(image, backend=backend, **OPTIONS), by_oracle(image, OPTIONS), image, backend)


@pytest.mark.parametrize("rule", ["max", "one", "zero"])
@pytest.mark.parametrize(
    "case", [{}, {"mask": holes((6, 7))}, {"guide": noisy((6, 7), 9)}, {"patch": "gaussian"}]
)
def test_weights_agree_with_the_oracle(case: Case, rule: str) -> None:
    image = noisy((6, 7))
    options = {**OPTIONS, **case, "center": rule}
    for at in ((0, 5), (5, 6), (4, 3)):
        got = weights(image, at, **options)
        np.testing.assert_allclose(got, oracle_weights(image, at, **options), rtol=0, atol=TOLERANCE["exact"])


# A matrix of types, channels, layouts and everything else, against the reference in float64.

TYPES = ("int8", "uint8", "int16", "uint16", "float16", "float32", "float64")
CHANNELS = (None, 1, 3, 4)
LAYOUTS = ("C", "F", "strided", "reversed", "read-only", "big-endian")
DRAWS = 4


def laid_out(image: np.ndarray, layout: str) -> np.ndarray:
    """The same values in another memory layout."""
    if layout == "F":
        return np.asfortranarray(image)
    if layout == "strided":
        holder = np.zeros(tuple(2 * n for n in image.shape), image.dtype)
        view = holder[tuple(slice(1, None, 2) for _ in image.shape)]
        view[...] = image
        return view
    if layout == "reversed":
        flip = tuple(slice(None, None, -1) for _ in image.shape)
        return np.ascontiguousarray(image[flip])[flip]
    if layout == "big-endian":
        return image.astype(image.dtype.newbyteorder(">"))
    image = np.ascontiguousarray(image)
    image.flags.writeable = layout != "read-only"
    return image


def scaled(noise_free: np.ndarray, dtype: str) -> tuple[np.ndarray, float]:
    """A picture of about [0, 1] in the range of a type, and how much 1 became."""
    if dtype.startswith("float"):
        return noise_free.astype(dtype), 1.0
    limits = np.iinfo(dtype)
    unit = (int(limits.max) - int(limits.min)) / 1.7
    image = np.rint((noise_free + 0.2) * unit + limits.min)
    return image.clip(limits.min, limits.max).astype(dtype), unit


def drawn(number: int, channels: int | None, dtype: str) -> tuple[np.ndarray, Case, bool]:
    """A picture, the options for it, and whether it is a hard one; always the same for a number."""
    rng = np.random.default_rng(number)
    ndim = int(rng.choice([1, 2, 2, 2, 3]))
    top = {1: 40, 2: 14, 3: 7}[ndim]
    grid = tuple(int(n) for n in rng.integers(1, top + 1, ndim))
    if channels is None and ndim == 3:
        grid = (*grid[:2], max(5, grid[2]))  # up to four would be taken for channels, with a warning
    axis = None if channels is None else int(rng.integers(0, ndim + 1))
    shape = grid if axis is None else (*grid[:axis], channels, *grid[axis:])
    hard = bool(rng.random() < 0.25)
    picture = (np.indices(shape)[-1] > shape[-1] // 2) * 1.0 if hard else noisy(shape, number)
    image, unit = scaled(picture + hard * rng.normal(0, 0.01, shape), dtype)
    sigma = (0.01 if hard else 0.1) * unit
    case: Case = {
        "channel_axis": axis,
        "patch_radius": tuple(int(r) for r in rng.integers(0, 4 if ndim < 3 else 2, ndim)),
        "search_radius": tuple(int(r) for r in rng.integers(0, 6 if ndim < 3 else 3, ndim)),
        "patch": str(rng.choice(["box", "gaussian"])),
        "center": str(rng.choice(["max", "one", "zero"])),
        "aggregate": str(rng.choice(["pixel", "patch"])),
        "sigma": sigma,
        "k": float(rng.uniform(0.4, 1.2)),
        "color": "joint",
    }
    kind = rng.choice(["plain", "plain", "map", "per channel", "guide", "mask"])
    if kind == "map":
        case["sigma"] = sigma * rng.uniform(0.5, 2, grid)
    elif kind == "per channel" and channels is not None:
        case["sigma"] = tuple(sigma * rng.uniform(0.5, 2, channels))
    elif kind == "guide":
        case["guide"] = (noisy(shape, number + 1) * unit).astype("float32")
    elif kind == "mask":
        case["mask"] = rng.random(grid) < 0.7
    return image, case, hard


MATRIX = [
    (number, *cell[:3])
    for number, cell in enumerate(itertools.product(TYPES, CHANNELS, LAYOUTS, range(DRAWS)))
]


def test_the_matrix_has_enough_cases_and_hard_ones_among_them() -> None:
    hard = [drawn(number, channels, dtype)[2] for number, dtype, channels, _ in MATRIX]
    assert len(hard) >= 600
    assert sum(hard) >= 100


@pytest.mark.parametrize(("number", "dtype", "channels", "layout"), MATRIX)
def test_every_type_and_layout_agrees_with_the_reference_in_float64(
    number: int, dtype: str, channels: int | None, layout: str, fast_backend: str
) -> None:
    image, case, hard = drawn(number, channels, dtype)
    exact = denoise(image.astype(np.float64), backend="reference", **case)
    got = denoise(laid_out(image, layout), backend=fast_backend, **case)
    assert_close(got, exact, laid_out(image, layout), fast_backend, hard=hard)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", TYPES)
def test_the_reference_takes_every_type_and_layout(dtype: str, layout: str) -> None:
    image, case, hard = drawn(TYPES.index(dtype) * 10 + LAYOUTS.index(layout), 3, dtype)
    exact = denoise(image.astype(np.float64), backend="reference", **case)
    got = denoise(laid_out(image, layout), backend="reference", **case)
    assert_close(got, exact, laid_out(image, layout), "reference", hard=hard)


@pytest.mark.parametrize("aggregate", ["pixel", "patch"])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1e4, 2e4), (1e-6, 2e-6), (1e6, 2e6)])
def test_a_sharp_edge_at_little_noise_stays_within_the_hard_tolerance(
    low: float, high: float, axis: int, aggregate: str, backend: str
) -> None:
    rng = np.random.default_rng(3)
    step = (np.indices((24, 40))[axis] > 15) * 1.0 + rng.normal(0, 0.01, (24, 40))
    image = (low + (high - low) * step).astype(np.float32)
    case = {
        "sigma": 0.01 * (high - low),
        "k": 0.6,
        "patch_radius": 3,
        "search_radius": 5,
        "aggregate": aggregate,
    }
    exact = denoise(image.astype(np.float64), backend="reference", **case)
    assert_close(denoise(image, backend=backend, **case), exact, image, backend, hard=True)


@pytest.mark.parametrize(("dtype", "most"), [("uint8", 0.001), ("uint16", 0.02)])
def test_few_integers_differ_from_the_reference_and_by_one_at_most(
    dtype: str, most: float, fast_backend: str
) -> None:
    image, unit = scaled(noisy((120, 130), 4), dtype)
    case = {"sigma": 0.1 * unit, "k": 0.6, "patch_radius": 2, "search_radius": 5}
    exact = np.rint(denoise(image.astype(np.float64), backend="reference", **case))
    difference = np.abs(denoise(image, backend=fast_backend, **case) - exact)
    assert difference.max() <= 1
    assert (difference > 0).mean() <= most
    assert data_range_of(image) > 0
