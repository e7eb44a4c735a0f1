"""The map of standard errors, against the errors themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from nlmeans import InvalidTypeError, denoise, uncertainty


def picture(shape: tuple[int, ...]) -> np.ndarray:
    """Smooth, with edges, and fine stripes in its left half."""
    rng = np.random.default_rng(0)
    waves = ndimage.gaussian_filter(rng.normal(size=shape), 9) * 9
    result: np.ndarray = 110 + 50 * np.sign(waves) + 30 * waves
    half = shape[-1] // 2
    result[..., :half] += 15 * np.sin(np.arange(half) / 1.1)
    return result


@pytest.mark.parametrize(
    ("shape", "dtype", "options"),
    [
        ((180, 200), np.float32, {}),
        ((180, 200), np.uint8, {}),
        ((180, 200), np.float32, {"passes": 2}),
        ((180, 200), np.float32, {"method": "nlridge"}),
        ((110, 120, 3), np.float32, {"channel_axis": -1}),
        ((20, 60, 60), np.float32, {}),
        ((20_000,), np.float32, {}),
    ],
)
def test_two_thirds_of_the_errors_are_within_it(
    shape: tuple[int, ...], dtype: type, options: dict[str, Any]
) -> None:
    covered = []
    for seed in range(2):
        clean = picture(shape)
        noisy = clean + np.random.default_rng(seed).normal(0, 12, shape)
        image = np.rint(noisy).clip(0, 255).astype(dtype) if dtype is np.uint8 else noisy.astype(dtype)
        error = uncertainty(image, sigma=12.0, **options)
        assert error.shape == image.shape
        assert error.dtype == np.float32
        result = denoise(image, sigma=12.0, **options).astype(np.float64)
        covered.append(float((np.abs(result - clean) <= error).mean()))
    assert 0.58 < np.mean(covered) < 0.78


def test_it_is_larger_where_errors_are() -> None:
    clean = picture((180, 200))
    noisy = clean + np.random.default_rng(0).normal(0, 12, clean.shape)
    error = uncertainty(noisy, sigma=12.0)
    wrong = np.abs(denoise(noisy, sigma=12.0) - clean)
    for half in (slice(0, 90), slice(110, 200)):
        rms = float(np.sqrt((wrong[:, half] ** 2).mean()))
        assert float(np.sqrt((error[:, half] ** 2).mean())) == pytest.approx(0.93 * rms, rel=0.12)
    assert error[:, :90].mean() > 1.5 * error[:, 110:].mean()


def test_with_a_model_it_is_in_the_units_of_the_image() -> None:
    clean = np.linspace(4, 200, 160) * np.ones((160, 1))
    counts = np.random.default_rng(3).poisson(clean).astype(np.uint16)
    model = {"kind": "poisson", "gain": 1.0, "offset": 0.0}
    error = uncertainty(counts, noise=model)
    wrong = np.abs(denoise(counts.astype(np.float32), noise=model) - clean)
    assert 0.55 < float((wrong <= error).mean()) < 0.85
    assert error[:, 120:].mean() > 1.8 * error[:, :40].mean()  # as the root of the counts


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_invalid_pixels_have_none_and_odd_images_are_taken() -> None:
    image = picture((60, 60)) + np.random.default_rng(1).normal(0, 5, (60, 60))
    image[10:14, 20] = np.nan
    error = uncertainty(image, nan="keep", sigma=5.0)
    np.testing.assert_array_equal(np.isnan(error), np.isnan(image))
    for odd in (np.ones((1, 1)), np.arange(9.0), np.full((30, 30), 7, np.uint8)):
        assert np.isfinite(uncertainty(odd)).all()
    with pytest.raises(InvalidTypeError, match="got a Dask array"):
        uncertainty(pytest.importorskip("dask.array").ones((20, 20)))
