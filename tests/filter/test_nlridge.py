"""NL-Ridge as a method: closed forms, noise that varies, holes, tiles, threads, and the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from skimage import data

from nlmeans import denoise
from nlmeans.backends import cpu as cpu_backend
from nlmeans.backends.contract import Request
from nlmeans.backends.groups import Grid
from nlmeans.errors import MemoryLimitError
from nlmeans.methods.references import Part, Place, Step, grid_of

NO_CPU = cpu_backend.can_run(Request("numpy", "float32", 64, 1)) is not None
needs_cpu = pytest.mark.skipif(NO_CPU, reason="the extension is not built")
BACKENDS = ["reference", pytest.param("cpu", marks=needs_cpu)]
FAST = "reference" if NO_CPU else "cpu"


def ridge(
    image: np.ndarray,
    *,
    backend: str = FAST,
    workers: int = 1,
    memory_limit: int | None = None,
    progress: Any = None,
    **settings: Any,
) -> np.ndarray:
    """`denoise` with this method."""
    more: dict[str, Any] = {"memory_limit": memory_limit, "progress": progress, **settings}
    result: np.ndarray = denoise(image, method="nlridge", backend=backend, workers=workers, **more)
    return result


def clean(shape: tuple[int, int]) -> np.ndarray:
    return data.camera()[100 : 100 + shape[0], 180 : 180 + shape[1]].astype(float)


def noise(shape: tuple[int, ...], sigma: Any, seed: int = 0) -> np.ndarray:
    return sigma * np.random.default_rng(seed).normal(size=shape)


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=float))))


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_is_better_than_nl_means(backend: str) -> None:
    """By more than a third of a decibel, on a part of a photograph."""
    truth = clean((64, 72))
    noisy = truth + noise(truth.shape, 20)
    gain = rms(denoise(noisy, sigma=20) - truth) / rms(ridge(noisy, sigma=20, backend=backend) - truth)
    assert 20 * np.log10(gain) > 0.35


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_a_constant_comes_back(backend: str, dtype: str) -> None:
    image = np.full((23, 31), 77, dtype)
    np.testing.assert_array_equal(ridge(image, sigma=5, backend=backend), image)


@pytest.mark.filterwarnings("ignore:sigma is .* times the data range")
@pytest.mark.parametrize("backend", BACKENDS)
def test_no_noise_and_more_noise_than_there_is(backend: str) -> None:
    noisy = clean((24, 33)) + noise((24, 33), 10)
    np.testing.assert_array_equal(ridge(noisy, sigma=0, backend=backend), noisy)
    assert rms(ridge(noisy, sigma=1e-6, backend=backend) - noisy) < 1e-6
    for sigma in (1e4, 1e12, 1e30):
        result = ridge(noisy, sigma=sigma, backend=backend)
        assert noisy.min() < result.min() <= result.max() < noisy.max()
        assert rms(result - result.mean()) < rms(noisy - noisy.mean())  # means of whole groups


def test_equal_patches_become_nearly_their_mean() -> None:
    """A picture of one repeated tile: noise falls as where a pixel is averaged with its copies."""
    tile = np.random.default_rng(5).uniform(0, 100, (4, 4))
    truth = np.tile(tile, (24, 24))
    result = ridge(truth + noise(truth.shape, 4), sigma=4)
    assert rms(result - truth) < 4 / 5  # of 65 patches most are copies


@needs_cpu
@pytest.mark.parametrize(
    ("height", "width", "sigma"), [(8, 31, 0.5), (8, 31, 2.0), (8, 64, 2.0), (20, 40, 0.5)]
)
@pytest.mark.parametrize("kind", ["saw", "waves", "rows"])
def test_patches_that_depend_on_each_other(kind: str, height: int, width: int, sigma: float) -> None:
    """Of equal rows each patch is a sum of others: what rounding left of a pivot grew to NaN everywhere."""
    x = np.arange(width)
    row = {"saw": 10 + (5 * x) % 230, "waves": 100 + 23 * np.sin(x / 2)}.get(
        kind, np.random.default_rng(60).uniform(0, 255, width)
    )
    image = np.tile(row, (height, 1)).astype(np.float32)
    by_c, exact = (ridge(image, sigma=sigma, backend=b) for b in ("cpu", "reference"))
    assert rms(by_c - exact) < 5e-3 * np.ptp(image)


@needs_cpu
@pytest.mark.parametrize("settings", [{}, {"channel_axis": -1}, {"channel_axis": -1, "color": "separate"}])
def test_the_compiled_one_is_the_reference(settings: dict[str, Any]) -> None:
    """Partners may differ where distances hardly do: 1e-3 of the range in root mean square."""
    truth = clean((48, 57))
    if settings:
        truth = np.stack([truth, truth[::-1]], axis=-1)
    noisy = truth + noise(truth.shape, 20)
    by_c, exact = (ridge(noisy, sigma=20, backend=b, **settings) for b in ("cpu", "reference"))
    assert rms(by_c - exact) < 1e-3 * np.ptp(noisy)
    assert abs(20 * np.log10(rms(by_c - truth) / rms(exact - truth))) < 0.01


@needs_cpu
def test_same_bits_for_every_number_of_threads() -> None:
    noisy = clean((150, 130)) + noise((150, 130), 20)
    one, two, five = (ridge(noisy, sigma=20, workers=n) for n in (1, 2, 5))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one, five)


@needs_cpu
@pytest.mark.parametrize("settings", [{}, {"holes": True}, {"map": True}])
def test_tiles_are_the_whole(settings: dict[str, bool]) -> None:
    """The references lie on one grid, and a tile sees all that its pixels depend on."""
    rng = np.random.default_rng(0)
    truth = np.tile(clean((120, 110)), (3, 3))[:330, :301]
    noisy = truth + noise(truth.shape, 20)
    more: dict[str, Any] = (
        {"sigma": np.full(truth.shape, 20.0) + rng.random(truth.shape)} if "map" in settings else {}
    )
    if "holes" in settings:
        more["mask"] = rng.random(truth.shape) > 0.02
    more = {"sigma": 20.0, **more}
    whole, told = ridge(noisy, **more), []
    tiles = ridge(noisy, memory_limit=6_000_000, progress=told.append, **more)
    assert len(told) > 8
    assert rms(tiles - whole) < 1e-5 * np.ptp(noisy)
    assert np.abs(tiles - whole).max() < 1e-3 * np.ptp(noisy)


def test_references_do_not_depend_on_where_a_tile_begins() -> None:
    def grid(shape: tuple[int, int], origin: tuple[int, int]) -> Grid:
        part = Part.of(np.zeros((1, *shape)), None, np.ones(shape), Place(origin, (50, 43)))
        return grid_of(Step(patch=7, partners=9, radius=5, stride=4), part)

    whole = grid((50, 43), (0, 0))
    assert whole.rows.tolist() == [*range(0, 43, 4), 43]
    assert whole.cols.tolist() == [*range(0, 36, 4), 36]
    part = grid((21, 30), (9, 13))
    assert [9 + y for y in part.rows] == [y for y in whole.rows if 9 <= y <= 9 + 21 - 7]
    assert [13 + x for x in part.cols] == [x for x in whole.cols if 13 <= x <= 13 + 30 - 7]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 3), (6, 6), (7, 7), (8, 30), (3, 3, 3)])
def test_tiny_pictures(shape: tuple[int, ...], backend: str) -> None:
    image = (50 + noise(shape, 10)).astype(np.float32)
    result = ridge(image, sigma=10, backend=backend, channel_axis=-1 if len(shape) == 3 else None)
    assert np.isfinite(result).all()
    assert result.shape == shape
    assert rms(result - 50) <= rms(image - 50)


@pytest.mark.parametrize("channels", [2, 4, 7])
@pytest.mark.parametrize("color", ["joint", "separate"])
def test_channels(channels: int, color: str) -> None:
    """Together they share partners and combinations; separately each is as if it were alone."""
    truth = np.stack([clean((60, 64)) * (0.5 + 0.1 * c) for c in range(channels)], axis=-1)
    noisy = truth + noise(truth.shape, 15)
    sigma = [15.0] * channels
    result = ridge(noisy, sigma=sigma, channel_axis=-1, color=color)
    alone = np.stack([ridge(noisy[..., c], sigma=15) for c in range(channels)], axis=-1)
    if color == "separate":
        assert rms(result - alone) < 1e-3 * np.ptp(noisy)
    else:
        assert rms(result - truth) < 0.95 * rms(alone - truth)


def test_the_noise_of_each_channel() -> None:
    """A channel in other units, and its sigma with it, is the same in other units."""
    truth = np.stack([clean((60, 64)), clean((60, 64)) * 0.7], axis=-1)
    noisy = truth + noise(truth.shape, 15)
    units = np.array([1.0, 16.0])
    same = ridge(noisy, sigma=[15.0, 15.0], channel_axis=-1)
    other = ridge(noisy * units, sigma=[15.0, 240.0], channel_axis=-1)
    assert rms(other / units - same) < 1e-4 * np.ptp(noisy)
    half = ridge(noisy, sigma=[0.0, 15.0], channel_axis=-1, color="separate")
    np.testing.assert_array_equal(half[..., 0], noisy[..., 0])
    assert rms(half[..., 1] - truth[..., 1]) < 0.5 * 15


def test_noise_that_varies_from_pixel_to_pixel() -> None:
    truth = clean((100, 96))
    ramp = np.broadcast_to(np.linspace(2, 45, 96), truth.shape)
    noisy = truth + noise(truth.shape, ramp)
    by_map, by_one = ridge(noisy, sigma=ramp.copy()), ridge(noisy, sigma=rms(ramp))
    assert rms(by_map - truth) < 0.75 * rms(by_one - truth)
    no_noise = np.where(np.arange(96) < 48, 0.0, ramp)
    quiet = ridge(noisy, sigma=no_noise)
    np.testing.assert_array_equal(quiet[:, :48], noisy[:, :48])
    assert rms((quiet - truth)[:, 56:]) < 0.5 * rms((noisy - truth)[:, 56:])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["few", "many", "half", "one is left", "nearly all"])
def test_holes(kind: str, backend: str) -> None:
    """Pixels under a mask are neither changed nor used, whatever they hold; the others are denoised."""
    truth = clean((50, 60))
    noisy = truth + noise(truth.shape, 15)
    rng = np.random.default_rng(1)
    mask = {
        "few": rng.random(truth.shape) > 0.01,
        "many": rng.random(truth.shape) > 0.3,
        "half": np.broadcast_to(np.arange(60) < 31, truth.shape),
        "one is left": np.add.outer(np.arange(50), np.arange(60)) == 40,
        "nearly all": rng.random(truth.shape) > 0.98,
    }[kind].copy()
    spoiled = np.where(mask, noisy, np.nan)
    result = ridge(spoiled, sigma=15, nan="keep", backend=backend)
    np.testing.assert_array_equal(np.isnan(result), ~mask)
    assert np.isfinite(result[mask]).all()
    error, before = rms((result - truth)[mask]), rms((noisy - truth)[mask])
    assert error < {"few": 0.52, "many": 0.7, "half": 0.55}.get(kind, 1.01) * before
    other = ridge(np.where(mask, noisy, 300.0), sigma=15, mask=mask, backend=backend)
    np.testing.assert_allclose(other[mask], result[mask], atol=1e-3)


def test_what_holes_hold_never_spreads() -> None:
    """Equal values stay as they are beside a hole."""
    image = np.full((30, 30), 50.0)
    image[10:14, 10:20] = 1e6
    mask = image < 100
    np.testing.assert_allclose(ridge(image, sigma=5, mask=mask), image, rtol=1e-6)


def test_a_volume_is_its_planes() -> None:
    volume = np.stack([clean((40, 50)), clean((50, 40)).T]) + noise((2, 40, 50), 15)
    result = ridge(volume, sigma=15)
    for z in range(2):
        alone = ridge(volume[z], sigma=15)
        assert rms(result[z] - alone) < 1e-3 * np.ptp(volume)


def test_a_limit_too_small_for_any_tile_says_how_much_is_needed() -> None:
    with pytest.raises(MemoryLimitError, match=r"memory_limit must be at least \d+ bytes"):
        ridge(np.zeros((300, 300)), sigma=1, memory_limit=1000)
