"""Impulses are found, have no part in any average, and are replaced; what only looks like them stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from skimage import data

from nlmeans import InvalidValueError, denoise, suggest
from nlmeans.inputs import check
from nlmeans.noise.impulses import impulses, without_impulses


def picture(shape: tuple[int, ...], sigma: float = 4.0, seed: int = 0) -> np.ndarray:
    """Smooth, with one edge along the last axis, from about 50 to 180."""
    rng = np.random.default_rng(seed)
    smooth = 100 + 300 * ndimage.gaussian_filter(rng.normal(size=shape), 8)
    smooth[..., shape[-1] // 2 :] += 50
    noisy: np.ndarray = smooth + rng.normal(0, sigma, shape)
    return noisy


def thrown(image: np.ndarray, part: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Salt and pepper in a part of the pixels; and where."""
    at = np.random.default_rng(seed).random(image.shape)
    result = image.copy()
    result[at < part / 2], result[at > 1 - part / 2] = 0, 255
    return result, (at < part / 2) | (at > 1 - part / 2)


def found(image: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    result: np.ndarray = impulses(image[None, None], None if valid is None else valid[None])[0, 0]
    return result


@pytest.mark.parametrize("part", [0.002, 0.02, 0.1, 0.3])
def test_salt_and_pepper_are_found_and_little_else(part: float) -> None:
    image, at = thrown(np.rint(picture((200, 200))).clip(0, 255).astype(np.uint8), part)
    assert found(image)[at].mean() > 0.93
    assert found(image)[~at].mean() < 3e-4


@pytest.mark.parametrize("height", [60.0, -60.0, 1e4])
def test_hot_and_dead_pixels_are_found_in_noise(height: float) -> None:
    image = picture((200, 200))
    at = np.random.default_rng(2).random(image.shape) < 0.003
    image[at] += height
    assert found(image)[at].mean() > 0.9
    assert found(image)[~at].sum() <= 1


def test_noise_alone_has_none() -> None:
    assert not found(np.random.default_rng(0).normal(0, 1, (1000, 1000))).any()
    assert found(picture((300, 300), 40).clip(0, 255).astype(np.uint8)).sum() <= 3
    assert not found(np.random.default_rng(0).poisson(0.2, (300, 300)).astype(np.uint16)).any()


def test_stars_lines_edges_and_corners_are_none() -> None:
    image = np.full((120, 120), 50.0)
    y, x = np.mgrid[:120, :120]
    for n in range(20):  # stars of 1.5 pixels at half their height, at places between pixels
        cy, cx = 8 + 5 * n + 0.13 * n, 10 + (37 * n) % 50 + 0.29 * n
        image += 40 * 1.5**n * np.exp(-4 * np.log(2) * ((y - cy) ** 2 + (x - cx) ** 2) / 1.5**2)
    image[20:100, 80] = 200  # a line, and its ends
    image[range(20, 100), range(20, 100)] += 0
    for n in range(30):
        image[70 + n, 84 + n] = 200  # a slanting one
    image[10:40, 95:115] = 220
    assert not found(image + np.random.default_rng(0).normal(0, 2, image.shape)).any()


def test_what_is_kept_is_not_touched_and_keep_is_the_default() -> None:
    image, _ = thrown(picture((60, 60)), 0.02)
    np.testing.assert_array_equal(denoise(image, sigma=4.0), denoise(image, sigma=4.0, impulses="keep"))


@pytest.mark.parametrize("method", ["nlmeans", "nlridge"])
def test_the_height_of_an_impulse_decides_nothing(method: str) -> None:
    image = picture((70, 80)).astype(np.float32)
    at = (np.random.default_rng(5).integers(5, 65, 12), np.random.default_rng(6).integers(5, 75, 12))
    results = []
    for height in (150.0, 400.0):
        high = image.copy()
        high[at] = height + 100
        assert found(high)[at].all()
        results.append(denoise(high, sigma=4.0, method=method, impulses="replace"))
    np.testing.assert_array_equal(*results)


def test_an_impulse_becomes_the_weighted_mean_of_others_by_its_filled_patch() -> None:
    image = picture((16, 18)).astype(np.float64)
    hot = [(8, 8), (8, 12), (3, 5)]
    for y, x in hot:
        image[y, x] = 900
    options: dict[str, Any] = {"sigma": 4.0, "h": 8.0, "patch_radius": 1, "search_radius": 4}
    rules: dict[str, Any] = {"aggregate": "pixel", "center": "one", "backend": "reference"}
    result = denoise(image, **options, **rules, impulses="replace")
    filled = image.copy()
    for y, x in hot:
        near = [image[a, b] for a in range(y - 1, y + 2) for b in range(x - 1, x + 2) if (a, b) not in hot]
        filled[y, x] = np.median(near)
    padded = np.pad(filled, 1, mode="symmetric")
    for y, x in [*hot, (8, 9), (0, 0)]:
        total = weight = 0.0
        for a in range(max(0, y - 4), min(16, y + 5)):
            for b in range(max(0, x - 4), min(18, x + 5)):
                if (a, b) in hot:
                    continue
                d2 = np.mean((padded[a : a + 3, b : b + 3] - padded[y : y + 3, x : x + 3]) ** 2)
                w = 1.0 if (a, b) == (y, x) else np.exp(-max(d2 - 2 * 16, 0) / 64)
                total, weight = total + w * filled[a, b], weight + w
        assert result[y, x] == pytest.approx(total / weight, abs=1e-9)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((120, 110), {}),
        ((120, 110), {"method": "nlridge"}),
        ((120, 110), {"aggregate": "pixel", "passes": 1}),
        ((120, 110), {"passes": 2}),
        ((100, 110, 3), {"channel_axis": -1}),
        ((100, 110, 3), {"channel_axis": -1, "method": "nlridge"}),
        ((100, 110, 2), {"channel_axis": -1, "color": "separate"}),
        ((12, 60, 50), {}),
        ((4000,), {}),
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_every_kind_of_image_is_freed_of_them(
    shape: tuple[int, ...], options: dict[str, Any], dtype: str
) -> None:
    clean = picture(shape[:-1] if "channel_axis" in options else shape, 0.0)
    if "channel_axis" in options:
        clean = np.stack([clean * f for f in (1.0, 0.8, 0.6)[: shape[-1]]], axis=-1)
    image = np.rint(clean + np.random.default_rng(3).normal(0, 4, shape)).clip(1, 254)
    salted = thrown(image, 0.02)[0].astype(dtype)
    plain = denoise(image.astype(dtype), sigma=4.0, **options)
    result, info = denoise(salted, sigma=4.0, impulses="replace", return_info=True, **options)
    assert result.dtype == salted.dtype
    part = info.impulses / (clean.size // (shape[-1] if "channel_axis" in options else 1))
    assert 0.015 < part < 0.02 * (shape[-1] if "channel_axis" in options else 1) * 1.2
    errors = [float(((r.astype(float) - clean) ** 2).mean()) for r in (plain, result)]
    assert errors[1] < 2 * errors[0] + 1


def test_sigma_is_estimated_without_them() -> None:
    image, _ = thrown(picture((200, 200)), 0.05)
    assert suggest(image, impulses="replace").sigma == pytest.approx(4, rel=0.15)
    assert suggest(image, impulses="replace").impulses == "replace"
    again = denoise(image, **suggest(image, impulses="replace").to_dict())
    np.testing.assert_array_equal(again, denoise(image, impulses="replace"))


def test_invalid_pixels_are_neither_found_nor_filled_in() -> None:
    image = picture((60, 60))
    image[30, 30], image[10, 10], image[10, 11] = 900, np.nan, 900
    mask = np.ones(image.shape, bool)
    mask[40:50, 40:50] = False
    image[45, 45] = 900
    inputs = without_impulses(
        *(lambda s: (check(image, s), s))({"mask": mask, "nan": "keep", "impulses": "replace"})
    )
    assert np.argwhere(inputs.impulses[0]).tolist() == [[10, 11], [30, 30]]
    result = denoise(image, sigma=4.0, mask=mask, nan="keep", impulses="replace")
    np.testing.assert_array_equal(result[40:50, 40:50], image[40:50, 40:50])
    assert abs(result[30, 30] - np.median(image[28:33, 28:33])) < 8


BAD = {
    "one pixel": np.ones((1, 1)),
    "a row": np.arange(5.0),
    "constant": np.full((20, 20), 3, np.uint8),
    "two values": np.random.default_rng(0).integers(0, 2, (30, 30)).astype(np.uint8) * 255,
    "all NaN": np.full((9, 9), np.nan),
    "one of many": np.where(np.arange(400).reshape(20, 20) == 210, 255, 0).astype(np.uint8),
    "integers with sign": np.random.default_rng(0).integers(-128, 127, (20, 20)).astype(np.int8),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", BAD)
def test_odd_images_come_back(name: str) -> None:
    image = BAD[name]
    result = denoise(image, nan="keep", impulses="replace")
    assert result.shape == image.shape
    assert result.dtype == image.dtype


@pytest.mark.parametrize("method", ["nlmeans", "nlridge"])
def test_a_column_is_a_row_that_stands(method: str) -> None:
    """A plane of one column ended in an IndexError."""
    row = np.random.default_rng(0).normal(100, 5, (1, 60))
    row[0, [7, 30]] = 255.0, 0.0
    found = [denoise(x, impulses="replace", method=method, sigma=5.0) for x in (row, row.T)]
    np.testing.assert_allclose(found[0], found[1].T, rtol=1e-5)
    assert np.abs(found[1][[7, 30]] - 100).max() < 30
    for shape in ((1, 1), (2, 1), (3, 1, 5)):
        assert denoise(np.zeros(shape, np.uint8), impulses="replace").shape == shape


def test_infinite_pixels_are_kept_without_a_warning() -> None:
    image = np.random.default_rng(0).normal(100, 5, (20, 30))
    image[3, 3:6] = np.inf, np.inf, -np.inf
    result = denoise(image, nan="keep", impulses="replace")
    np.testing.assert_array_equal(np.isfinite(result), np.isfinite(image))


def test_another_word_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="impulses must be one of keep, replace"):
        denoise(np.ones((9, 9)), impulses="remove")


@pytest.mark.filterwarnings("ignore:about .* of the image has noise")
@pytest.mark.parametrize("shape", [(150, 170), (5, 70, 80)])
def test_parts_of_an_image_find_those_of_the_whole(shape: tuple[int, ...]) -> None:
    """By what was measured once, though the noise of parts differs; their halo is wider for it."""
    da = pytest.importorskip("dask.array")
    rng = np.random.default_rng(3)
    image = picture(shape) + rng.normal(0, 1, shape) * np.linspace(0, 16, shape[-1])
    at = rng.random(shape) < 0.05
    image[at] += rng.choice([-1, 1], int(at.sum())) * rng.uniform(20, 120, int(at.sum()))
    lazy = da.from_array(image, chunks=(2, 30, 40)[-len(shape) :])
    given: dict[str, Any] = {"sigma": 6.0, "k": 0.5, "patch_radius": 1, "search_radius": 1}
    given |= {"aggregate": "pixel", "impulses": "replace"}
    assert suggest(lazy, impulses="replace").to_dict() == suggest(image, impulses="replace").to_dict()
    whole = denoise(image, **given)
    assert np.ptp(image) > 100
    assert np.abs(denoise(lazy, **given).compute() - whole).max() < 2e-6 * np.ptp(image)


@pytest.mark.parametrize("depth", [1, 8])
def test_an_impulse_in_a_patch_like_no_other_stays_within_the_values_around(depth: int) -> None:
    rng = np.random.default_rng(2)
    photo = data.camera()[100:164, 200:270] + rng.normal(0, 12, (depth, 64, 70))
    impulse = rng.random(photo.shape) < 0.01
    noisy = 7 * np.log(np.clip(np.where(impulse, 255, photo), 1, 255)).astype(np.float32)
    result = denoise(noisy if depth > 1 else noisy[0], sigma=1.0, impulses="replace")
    assert noisy.min() - 1 < result.min()
    assert result.max() < noisy.max() + 1
