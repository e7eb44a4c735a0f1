"""The front door: shapes, types, rounding, NaN, tiles, progress, weights, parameters, lazy imports."""

from __future__ import annotations

import itertools
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

import nlmeans
from nlmeans import (
    InvalidTypeError,
    InvalidValueError,
    MemoryLimitError,
    Parameters,
    denoise,
    running,
    tiling,
    weights,
)
from nlmeans.methods.nlmeans import Geometry

from ..conftest import assert_close

FIXED: dict[str, Any] = {"sigma": 0.1, "k": 0.7, "patch_radius": 1, "search_radius": 2}
HALO = 4  # of FIXED with patch aggregation: R + 2 r
SIZES = (1, 2, HALO - 1, HALO, HALO + 1)


def noisy(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """A bright block on a dark ground, with noise of 0.1."""
    block = (np.indices(shape).min(axis=0) > min(shape) // 3) * 1.0
    return block + np.random.default_rng(seed).normal(0, 0.1, shape)


# Shapes


@pytest.mark.filterwarnings("ignore:.*channel_axis")
@pytest.mark.parametrize(
    "shape",
    [s for n in (1, 2, 3) for s in itertools.product(SIZES, repeat=n)],
    ids=lambda s: "x".join(map(str, s)),
)
def test_every_small_shape_is_kept(shape: tuple[int, ...], backend: str) -> None:
    image = noisy(shape).astype(np.float32)
    for aggregate in ("pixel", "patch"):
        result = denoise(image, backend=backend, aggregate=aggregate, **FIXED)
        assert (result.shape, result.dtype) == (image.shape, image.dtype)
        assert np.isfinite(result).all()


@pytest.mark.parametrize("channel_axis", [0, 1, -1])
@pytest.mark.parametrize("size", SIZES)
def test_no_axis_is_dropped_beside_a_channel_axis(size: int, channel_axis: int, backend: str) -> None:
    image = noisy((size, 1, 2)).astype(np.float32)
    assert denoise(image, channel_axis=channel_axis, backend=backend, **FIXED).shape == image.shape


@pytest.mark.parametrize("shape", [(0,), (0, 5), (5, 0), (3, 0, 5), (4, 4, 0)])
def test_an_empty_axis_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidValueError, match=r"0"):
        denoise(np.zeros(shape, np.float32), **FIXED)


@pytest.mark.filterwarnings("ignore:.*channel_axis")
def test_an_axis_of_length_one_is_no_axis_lost(backend: str) -> None:
    row = noisy((20,)).astype(np.float32)
    expected = denoise(row, backend=backend, **FIXED)
    for shape in ((1, 20), (20, 1), (1, 20, 1), (1, 1, 20)):
        result = denoise(row.reshape(shape), backend=backend, **FIXED)
        assert result.shape == shape
        assert_close(result.reshape(-1), expected.astype(np.float64), row, backend)


def test_a_few_channels_without_a_channel_axis_are_a_volume_with_a_warning() -> None:
    image = noisy((8, 9, 3))
    with pytest.warns(UserWarning, match="channel_axis"):
        result = denoise(image, **FIXED)
    assert result.shape == image.shape
    assert np.abs(result - denoise(image, channel_axis=-1, **FIXED)).max() > 1e-6


def test_five_planes_are_a_volume_without_a_warning() -> None:
    assert denoise(noisy((6, 7, 5)), **FIXED).shape == (6, 7, 5)


# Types


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "f2", "f4", "f8"])
def test_the_type_is_kept(dtype: str, order: str, backend: str) -> None:
    image = (noisy((9, 8)) * 60).clip(0, 120).astype(np.dtype(dtype).newbyteorder(order))
    result = denoise(image, backend=backend, **{**FIXED, "sigma": 6})
    assert result.dtype == image.dtype
    assert result.shape == image.shape
    assert np.abs(result.astype(float) - image.astype(float)).max() > 1


@pytest.mark.parametrize(
    "dtype",
    ["bool", "int32", "uint32", "int64", "uint64", "complex64", "complex128", "object", "U3", "S3", "M8[s]"],
)
def test_other_types_are_refused_by_name(dtype: str) -> None:
    image = np.zeros((6, 6), dtype)
    with pytest.raises(InvalidTypeError) as caught:
        denoise(image, **FIXED)
    assert image.dtype.name in str(caught.value)
    assert "uint8" in str(caught.value)  # what is allowed


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="long double is float64 here")
def test_long_double_is_refused_by_name() -> None:
    with pytest.raises(InvalidTypeError, match=np.dtype(np.longdouble).name):
        denoise(np.zeros((6, 6), np.longdouble), **FIXED)


@pytest.mark.parametrize(
    ("values", "expected"), [((0, 1), 0), ((1, 2), 2), ((2, 3), 2), ((-1, 0), 0), ((-2, -1), -2)]
)
def test_integers_are_rounded_half_to_even(values: tuple[int, int], expected: int, backend: str) -> None:
    image = np.array(values, np.int16)
    result = denoise(
        image, sigma=0, h=1e9, patch_radius=0, search_radius=1, aggregate="pixel", backend=backend
    )
    np.testing.assert_array_equal(result, [expected, expected])


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16"])
def test_the_ends_of_an_integer_type_do_not_wrap(dtype: str, backend: str) -> None:
    limits = np.iinfo(dtype)
    image = np.where(np.indices((12, 12))[0] < 6, limits.min, limits.max).astype(dtype)
    unit = int(limits.max) - int(limits.min)
    result = denoise(image, backend=backend, **{**FIXED, "sigma": 0.01 * unit})
    np.testing.assert_array_equal(result, image)


@pytest.mark.parametrize("aggregate", ["pixel", "patch"])
def test_float64_results_of_the_reference_are_computed_in_float64(aggregate: str) -> None:
    image = noisy((16, 16))
    exact = denoise(image, backend="reference", aggregate=aggregate, **FIXED)
    rounded = denoise(image.astype(np.float32), backend="reference", aggregate=aggregate, **FIXED)
    assert 1e-10 < np.abs(exact - rounded).max() < 1e-6


def test_torch_tensors_come_back_as_tensors() -> None:
    torch = pytest.importorskip("torch")
    image = noisy((12, 10)).astype(np.float32)
    expected = denoise(image, **FIXED)
    for tensor in (torch.from_numpy(image), torch.from_numpy(image.T.copy()).T):
        result = denoise(tensor, mask=torch.ones(12, 10, dtype=torch.bool), **FIXED)
        assert isinstance(result, torch.Tensor)
        assert result.dtype == torch.float32
        np.testing.assert_array_equal(result.numpy(), expected)


# The input


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "float64"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"nan": "keep"},
        {"center": "zero"},
        {"aggregate": "pixel"},
        {"h": 0, "k": None},
        {"sigma": None, "k": None},
    ],
    ids=str,
)
def test_the_input_is_never_written_and_never_returned(
    dtype: str, options: dict[str, Any], backend: str
) -> None:
    image = (noisy((24, 20)) * 50 + 60).clip(0, 200).astype(dtype)
    before = image.copy()
    result = denoise(image, backend=backend, **{**FIXED, "sigma": 5, **options})
    np.testing.assert_array_equal(image, before)
    assert not np.shares_memory(result, image)
    assert result.flags.writeable


def test_the_arrays_beside_the_image_are_never_written(backend: str) -> None:
    image = noisy((12, 10))
    image[3, 4] = np.nan
    extra = {"mask": np.ones((12, 10), bool), "guide": noisy((12, 10), 1), "sigma": np.full((12, 10), 0.1)}
    extra["mask"][5, 5] = False
    before = {name: array.copy() for name, array in extra.items()}
    denoise(image, nan="keep", backend=backend, **{**FIXED, **extra})
    for name, array in extra.items():
        np.testing.assert_array_equal(array, before[name])


def test_strength_zero_returns_the_input(backend: str) -> None:
    image = noisy((12, 10)).astype(np.float32)
    for options in ({"sigma": 0, "k": 0.5}, {"sigma": 0}, {"sigma": 0.3, "h": 0}, {"sigma": 0.3, "k": 0}):
        for aggregate in ("pixel", "patch"):
            result = denoise(
                image, patch_radius=1, search_radius=2, aggregate=aggregate, backend=backend, **options
            )
            np.testing.assert_array_equal(result, image)


@pytest.mark.parametrize(
    ("shape", "channel_axis"), [((40,), None), ((33, 20), None), ((20, 22, 3), 2), ((6, 12, 10), None)]
)
def test_an_image_alone_is_enough(shape: tuple[int, ...], channel_axis: int | None, backend: str) -> None:
    grid = tuple(n for a, n in enumerate(shape) if a != channel_axis)
    clean = (np.indices(shape).min(axis=0) > min(grid) // 3) * 1.0
    image = (clean + np.random.default_rng(2).normal(0, 0.1, shape)).astype(np.float32)
    result = denoise(image, channel_axis=channel_axis, backend=backend)
    assert (result.shape, result.dtype) == (image.shape, image.dtype)
    assert np.square(result - clean).mean() < 0.7 * np.square(image - clean).mean()


# NaN and masks


PLACES = {"a corner": (0, 0), "an edge": (0, 7), "the centre": (8, 7)}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("aggregate", ["pixel", "patch"])
def test_one_nan_in_is_one_nan_out(bad: float, place: str, aggregate: str, backend: str) -> None:
    image = noisy((17, 15)).astype(np.float32)
    image[PLACES[place]] = bad
    result = denoise(image, nan="keep", aggregate=aggregate, backend=backend, **FIXED)
    assert (~np.isfinite(result)).sum() == 1
    np.testing.assert_array_equal(result[PLACES[place]], np.float32(bad))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_pixel_with_one_bad_channel_comes_back_whole(bad: float, backend: str) -> None:
    image = noisy((9, 8, 3)).astype(np.float32)
    image[4, 4, 1] = bad
    result = denoise(image, channel_axis=2, nan="keep", backend=backend, **FIXED)
    np.testing.assert_array_equal(result[4, 4], image[4, 4])
    assert (~np.isfinite(result)).sum() == 1


def test_nan_everywhere_comes_back(backend: str) -> None:
    image = np.full((6, 5), np.nan, np.float32)
    assert np.isnan(denoise(image, nan="keep", backend=backend, **FIXED)).all()


def test_what_lies_under_the_mask_is_of_no_consequence(backend: str) -> None:
    image = noisy((17, 15)).astype(np.float32)
    mask = np.random.default_rng(3).random(image.shape) < 0.8
    expected = denoise(image, mask=mask, backend=backend, **FIXED)
    np.testing.assert_array_equal(expected[~mask], image[~mask])
    for hidden in (1e30, -5.0, np.nan, np.inf):
        other = np.where(mask, image, np.float32(hidden))
        result = denoise(other, mask=mask, nan="keep", backend=backend, **FIXED)
        np.testing.assert_allclose(result[mask], expected[mask], rtol=0, atol=5e-6)


def test_non_finite_pixels_are_refused_with_their_count_and_the_first_position() -> None:
    image = noisy((9, 8))
    image[2, 5] = image[6, 1] = np.nan
    image[7, 7] = np.inf
    with pytest.raises(InvalidValueError, match=r"\b3\b.*\(2, 5\)"):
        denoise(image, **FIXED)


@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1e30, 1e37])
def test_very_small_and_very_large_numbers_are_as_any_other(scale: float, backend: str) -> None:
    image = noisy((12, 10)).astype(np.float32)
    expected = denoise(image.astype(np.float64), backend="reference", **FIXED)
    result = denoise(image * np.float32(scale), backend=backend, **{**FIXED, "sigma": 0.1 * scale})
    np.testing.assert_allclose(result / np.float64(scale), expected, rtol=0, atol=5e-6)


def test_the_smallest_numbers_there_are_as_any_other(backend: str) -> None:
    image = np.random.default_rng(0).integers(0, 60, (12, 10)) * 5e-324 * 60
    options = {**FIXED, "sigma": 300 * 5e-324}
    exact = denoise(image, backend="reference", **options)
    assert np.abs(denoise(image, backend=backend, **options) - exact).max() <= 1e-5 * np.ptp(image)


def test_a_map_of_noise_and_little_strength_are_the_same_everywhere(backend: str) -> None:
    image, sigma = noisy((40, 30)), np.random.default_rng(0).uniform(0.05, 0.15, (40, 30))
    for aggregate in ("pixel", "patch"):
        options = {**FIXED, "sigma": sigma, "k": 0.1, "aggregate": aggregate}
        exact = denoise(image, backend="reference", **options)
        assert np.abs(denoise(image, backend=backend, **options) - exact).max() <= 5e-6


# Tiles, workers, progress


def smaller_and_smaller(image: np.ndarray, **options: Any) -> list[tuple[int, np.ndarray]]:
    """The results under memory limits from 2 MiB down to the least that is accepted."""
    results = []
    limit = 2**21
    while limit > 0:
        try:
            results.append((limit, denoise(image, memory_limit=limit, **options)))
        except MemoryLimitError:
            break
        limit //= 2
    return results


TILED = [
    ((300, 150), None, {}),
    ((9, 90, 80), None, {"search_radius": 1}),
    ((140, 200, 3), 2, {}),
    ((3000,), None, {}),
]


@pytest.mark.parametrize("aggregate", ["pixel", "patch"])
@pytest.mark.parametrize(("shape", "channel_axis", "special"), TILED)
def test_tiles_agree_with_the_whole(
    shape: tuple[int, ...],
    channel_axis: int | None,
    special: dict[str, Any],
    aggregate: str,
    backend: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = noisy(shape).astype(np.float32)
    options = {**FIXED, "backend": backend, "channel_axis": channel_axis, "aggregate": aggregate, **special}
    whole = denoise(image, **options).astype(np.float64)
    counts: list[int] = []
    plan = tiling.plan

    def counted(*args: Any) -> list[tiling.Tile]:
        counts.append(len(plan(*args)))
        return plan(*args)

    monkeypatch.setattr(tiling, "plan", counted)
    results = smaller_and_smaller(image, **options)
    assert max(counts) > 1
    for _, result in results[-6:]:
        assert_close(result, whole, image, backend)


@pytest.mark.parametrize("aggregate", ["pixel", "patch"])
def test_tiles_of_a_masked_image_with_a_map_and_a_guide_agree_with_the_whole(
    aggregate: str, backend: str
) -> None:
    image = noisy((300, 150)).astype(np.float32)
    rng = np.random.default_rng(5)
    extra = {
        "mask": rng.random(image.shape) < 0.9,
        "guide": noisy(image.shape, 6),
        "sigma": rng.uniform(0.05, 0.2, image.shape),
    }
    options = {**FIXED, **extra, "backend": backend, "aggregate": aggregate}
    whole = denoise(image, **options).astype(np.float64)
    for _, result in smaller_and_smaller(image, **options)[-3:]:
        assert_close(result, whole, image, backend)


@pytest.mark.parametrize("aggregate", ["pixel", "patch"])
@pytest.mark.parametrize(("shape", "axis"), [((9, 30, 30), 0), ((300, 90), 1), ((90, 300), 2)])
def test_a_halo_that_is_one_short_is_seen(
    shape: tuple[int, ...], axis: int, aggregate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = noisy(shape)
    options = {**FIXED, "backend": "reference", "aggregate": aggregate}
    whole = denoise(image, **options)
    enough = Geometry.halo.fget  # type: ignore[attr-defined]
    short = property(lambda self: tuple(n - (a == axis) for a, n in enumerate(enough(self))))
    monkeypatch.setattr(Geometry, "halo", short)
    _, result = smaller_and_smaller(image, **options)[-1]
    assert np.abs(result - whole).max() > 1e-6


@pytest.mark.parametrize("workers", [1, 2, 3, 64])
def test_the_number_of_workers_changes_no_bit(
    workers: int, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if backend == "cpu":
        monkeypatch.setattr("nlmeans.backends.bands._WORTH_THREADS", 0)
    image = noisy((70, 40)).astype(np.float32)
    expected = denoise(image, backend=backend, **FIXED)
    result = denoise(image, backend=backend, workers=workers, **FIXED)
    np.testing.assert_array_equal(result, expected)


def test_the_same_call_gives_the_same_bits(backend: str) -> None:
    image = noisy((40, 30)).astype(np.float32)
    first = denoise(image, backend=backend, **FIXED)
    for _ in range(5):
        np.testing.assert_array_equal(denoise(image, backend=backend, **FIXED), first)


@pytest.mark.parametrize("memory_limit", [None, "least"])
@pytest.mark.parametrize("aggregate", ["pixel", "patch"])
@pytest.mark.parametrize(
    ("shape", "channel_axis"), [((150, 70), None), ((90, 70, 3), 2), ((5, 70, 66), None)]
)
def test_progress_rises_from_zero_to_one(
    shape: tuple[int, ...], channel_axis: int | None, aggregate: str, memory_limit: str | None, backend: str
) -> None:
    image = noisy(shape).astype(np.float32)
    options = {
        **FIXED,
        "channel_axis": channel_axis,
        "aggregate": aggregate,
        "backend": backend,
        "search_radius": 1,
    }
    limit = None if memory_limit is None else smaller_and_smaller(image, **options)[-1][0]
    ticks: list[float] = []
    denoise(image, progress=ticks.append, memory_limit=limit, **options)
    assert all(isinstance(t, float) and 0 <= t <= 1 for t in ticks)
    assert ticks == sorted(ticks)
    assert ticks[-1] == 1.0
    assert len(ticks) >= 2


@pytest.mark.parametrize("aggregate", ["pixel", "patch"])
@pytest.mark.parametrize("shape", [(90,), (150, 70), (5, 70, 66)])
def test_the_parts_of_the_work_make_the_whole(
    shape: tuple[int, ...], aggregate: str, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    fractions: list[float] = []
    monkeypatch.setattr(running.Running, "_add", lambda self, fraction: fractions.append(fraction))
    image = noisy(shape).astype(np.float32)
    options = {**FIXED, "aggregate": aggregate, "backend": backend, "search_radius": 1}
    for limit in (None, 2**18):
        fractions.clear()
        denoise(image, progress=print, memory_limit=limit, **options)
        if len(shape) < 3:
            assert sum(fractions) == pytest.approx(1, abs=1e-4)
        else:  # planes at the ends have fewer planes beside them
            assert 0.7 < sum(fractions) < 1 + 1e-4


def test_an_error_of_the_progress_function_reaches_the_caller(backend: str) -> None:
    def stop(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        denoise(noisy((60, 60)).astype(np.float32), progress=stop, backend=backend, **FIXED)


# weights()


@pytest.mark.parametrize("center", ["max", "one", "zero"])
@pytest.mark.parametrize(("shape", "channel_axis", "at"), [
    ((30,), None, (0,)), ((9, 8), None, (8, 7)), ((9, 8, 3), 2, (4, 4)), ((3, 9, 8), 0, (0, 4)),
    ((4, 6, 5), None, (3, 0, 2)),
])  # fmt: skip
def test_the_weight_map_is_that_of_the_pixel_average(
    shape: tuple[int, ...], channel_axis: int | None, at: tuple[int, ...], center: str, backend: str
) -> None:
    image = noisy(shape)
    options = {**FIXED, "channel_axis": channel_axis, "center": center, "color": "joint"}
    picture = weights(image, at, **options)
    channels_last = image[..., None] if channel_axis is None else np.moveaxis(image, channel_axis, -1)
    assert picture.shape == channels_last.shape[:-1]
    assert picture.min() >= 0
    assert picture[at] > 0
    np.testing.assert_allclose(picture.sum(), 1, atol=1e-6)
    result = denoise(image, aggregate="pixel", backend=backend, **options)
    result = result[..., None] if channel_axis is None else np.moveaxis(result, channel_axis, -1)
    average = (picture[..., None] * channels_last).reshape(-1, channels_last.shape[-1]).sum(axis=0)
    np.testing.assert_allclose(average, result[at], atol=5e-6)


def test_weights_beyond_the_window_are_zero() -> None:
    picture = weights(noisy((20, 20)), (10, 3), **FIXED)
    inside = np.zeros((20, 20), bool)
    inside[8:13, 1:6] = True
    assert (picture[~inside] == 0).all()
    assert picture[inside].sum() == pytest.approx(1)


@pytest.mark.parametrize(
    "at", [(20, 0), (0, -1), (1,), (1, 1, 1), (0.5, 1), "ab", None, 3, (True, 1), (2**63, 0)]
)
def test_the_pixel_of_weights_is_checked(at: Any) -> None:
    with pytest.raises((InvalidValueError, InvalidTypeError), match=r"\bat\b"):
        weights(noisy((20, 20)), at, **FIXED)


# Parameters


KEPT = [
    {"patch_radius": 2, "search_radius": 7, "sigma": 10.0, "k": 0.5},
    {"patch_radius": (0, 1, 2), "search_radius": "image", "sigma": 0, "h": 1e-300, "center": "zero"},
    {"patch_radius": 0, "search_radius": 0, "sigma": (1.5, 0.1, 7), "k": 1 / 3, "patch": "gaussian"},
    {"patch_radius": 1, "search_radius": (3, 5), "k": 0.7, "aggregate": "pixel", "center": "one"},
]


@pytest.mark.parametrize("fields", KEPT, ids=str)
def test_parameters_survive_json_and_pickle(fields: dict[str, Any]) -> None:
    parameters = Parameters(**fields)
    for copy in (Parameters.from_json(parameters.to_json()), pickle.loads(pickle.dumps(parameters))):  # noqa: S301
        assert copy == parameters
        assert hash(copy) == hash(parameters)
        assert copy.to_json() == parameters.to_json()


def test_parameters_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Parameters(**KEPT[0]).sigma = 3.0  # type: ignore[misc]


def test_equal_parameters_are_equal_whatever_numbers_they_were_given() -> None:
    plain = Parameters(patch_radius=2, search_radius=(3, 4), sigma=1.0, k=0.5)
    numpy = Parameters(
        patch_radius=np.int64(2), search_radius=[np.uint8(3), 4], sigma=np.float64(1), k=np.float32(0.5)
    )
    assert plain == numpy
    assert hash(plain) == hash(numpy)
    assert plain.to_json() == numpy.to_json()


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"patch_radius": 1}', '{"radius": 1}', "null", "3", '{"sigma": NaN}']
)
def test_text_that_holds_no_parameters_is_refused(text: str) -> None:
    with pytest.raises(InvalidValueError):
        Parameters.from_json(text)


def test_parameters_say_what_denoise_takes(backend: str) -> None:
    image = noisy((12, 10)).astype(np.float32)
    parameters = Parameters(patch_radius=1, search_radius=2, sigma=0.1, k=0.7)
    np.testing.assert_array_equal(
        denoise(image, backend=backend, **parameters.to_dict()), denoise(image, backend=backend, **FIXED)
    )


# Imports


def loaded_after(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after running some code."""
    report = "; import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_loads_no_numpy() -> None:
    assert not loaded_after("import nlmeans; dir(nlmeans)") & {
        "numpy",
        "torch",
        "cupy",
        "scipy",
        "skimage",
        "click",
    }


def test_the_front_door_loads_no_library_it_does_not_need() -> None:
    loaded = loaded_after("import nlmeans; nlmeans.denoise; nlmeans.weights; nlmeans.Parameters")
    assert not loaded & {"torch", "cupy", "scipy", "skimage", "click", "imageio", "tifffile", "dask"}


def test_denoising_a_numpy_array_loads_no_other_array_library() -> None:
    loaded = loaded_after("import numpy, nlmeans; nlmeans.denoise(numpy.ones((9, 9)), backend='reference')")
    assert "numpy" in loaded
    assert not loaded & {"torch", "cupy", "skimage", "click", "imageio", "tifffile", "dask"}


def test_every_public_name_is_there() -> None:
    for name in nlmeans.__all__:
        assert getattr(nlmeans, name) is not None
    with pytest.raises(AttributeError, match="nothing_such"):
        nlmeans.nothing_such  # noqa: B018


def test_the_front_door_can_be_called_from_many_threads(backend: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    images = [noisy((30, 20), seed).astype(np.float32) for seed in range(6)]
    call: Callable[[np.ndarray], np.ndarray] = lambda image: denoise(image, backend=backend, **FIXED)  # noqa: E731
    with ThreadPoolExecutor(4) as pool:
        for image, result in zip(images, pool.map(call, images), strict=True):
            np.testing.assert_array_equal(result, call(image))


class Apart:
    """A device's memory, in the processor's own: large enough for everything; it counts the tiles."""

    def __init__(self) -> None:
        self.tiles = 0

    def limit(self) -> int:
        return 2**40

    def ran_out(self, error: BaseException) -> bool:
        return False

    def transfers(self) -> Apart:
        return self

    def __enter__(self) -> Apart:
        return self

    def __exit__(self, *raised: object) -> None:
        pass

    def up(self, part: np.ndarray) -> np.ndarray:
        return part.copy()

    def down(self, result: np.ndarray, put: Callable[[np.ndarray], None]) -> None:
        self.tiles += 1
        put(result)


@pytest.mark.parametrize(
    ("shape", "search_radius", "tiles"),
    [
        ((600,), "image", 1),  # a signal has one row: how far it can be cut is said by its columns
        ((600,), 250, 1),
        ((9000,), 10, 4),
        ((32, 60), (0, 40), 1),
        ((70, 60), (0, 40), 1),  # in two between rows, and no further
        ((300, 60), (0, 40), 4),
        ((300, 90), 4, 1),
    ],
)
def test_what_goes_to_a_device_in_parts_is_only_what_parts_at_little_cost(
    shape: tuple[int, ...], search_radius: Any, tiles: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nlmeans.backends import reference

    flat = isinstance(search_radius, tuple)
    options = {
        "sigma": 0.1,
        "k": 0.7,
        "patch_radius": (0, 1) if flat else 1,
        "search_radius": search_radius,
        "aggregate": "pixel",
        "backend": "reference",
    }
    image = noisy(shape)
    exact = denoise(image, **options)
    device = Apart()
    monkeypatch.setattr(reference, "memory", lambda: device, raising=False)
    monkeypatch.setattr(running, "WORTH_OVERLAP", 1)
    np.testing.assert_allclose(denoise(image, **options), exact, atol=1e-9)
    assert device.tiles == tiles
