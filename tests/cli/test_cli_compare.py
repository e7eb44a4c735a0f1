"""``compare``: SSIM as its authors define it, and pixels that have no value."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nlmeans.cli.ssim import ssim
from skimage.metrics import structural_similarity

from ..faults import files
from ..faults.streams import Ran


def by_scikit_image(a: np.ndarray, b: np.ndarray, data_range: float, **options: Any) -> Any:
    return structural_similarity(
        a, b, data_range=data_range, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, **options
    )


@pytest.mark.parametrize("shape", [(40, 33), (600, 30), (11, 11), (300, 20, 3), (20, 14, 12), (40,)])
@pytest.mark.parametrize("offset", [0, 1e4])
def test_ssim_is_that_of_scikit_image(shape: tuple[int, ...], offset: float) -> None:
    """More rows than a band, an offset that cancels, colours, a volume, a signal."""
    rng = np.random.default_rng(0)
    a = rng.normal(offset, 30, shape)
    b = a + rng.normal(0, 10, shape)
    colour = shape[-1] == 3
    expected = by_scikit_image(a, b, 255.0, channel_axis=-1 if colour else None)
    got = ssim(a, b, 255.0, np.ones(shape, bool), colour=colour)
    assert got == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("colour", [False, True])
def test_windows_with_holes_are_left_out(colour: bool) -> None:
    rng = np.random.default_rng(0)
    shape = (300, 40, 3) if colour else (300, 40)
    a = rng.normal(100, 30, shape)
    b = a + rng.normal(0, 10, shape)
    valid = np.ones(shape, bool)
    valid[4, 7] = valid[270, 30] = False
    _, full = by_scikit_image(a, b, 255.0, channel_axis=-1 if colour else None, full=True)
    whole = np.zeros((300, 40), bool)
    whole[5:-5, 5:-5] = True
    whole[:10, 2:13] = whole[265:276, 25:36] = False
    a[~valid], b[~valid] = -1e300, math.nan
    assert ssim(a, b, 255.0, valid, colour=colour) == pytest.approx(full[whole].mean(), abs=1e-9)


@pytest.mark.parametrize("shape", [(10, 40), (40, 10, 3), ()])
def test_no_window_fits(shape: tuple[int, ...]) -> None:
    a = np.zeros(shape)
    assert ssim(a, a, 1.0, np.ones(shape, bool), colour=len(shape) == 3) is None


NODATA = {"f8": ("-1.797e308", -1.797e308), "f4": ("nan", math.nan), "i2": ("-32768", -32768)}


@pytest.mark.parametrize("dtype", NODATA)
@pytest.mark.parametrize("channels", [1, 2])
def test_pixels_declared_to_have_no_value_are_left_out(dtype: str, channels: int, tmp_path: Path) -> None:
    """Of the float64 one the squares were an OverflowError, of the others a part of the error."""
    text, value = NODATA[dtype]
    shape = (40, 50) if channels == 1 else (40, 50, channels)
    clean = np.random.default_rng(0).normal(1000, 100, shape).astype(dtype)
    test = clean + np.asarray(3, dtype)
    clean[:12, :30] = value
    test[:12, :30] = 7
    options: dict[str, Any] = {"photometric": "minisblack", "extratags": [(42113, 2, None, text, True)]}
    if channels > 1:
        options |= {"planarconfig": "contig", "extrasamples": (0,) * (channels - 1)}
    for name, pixels in (("clean", clean), ("test", test)):
        (tmp_path / f"{name}.tif").write_bytes(files.tiff(pixels, **options))
    for names in (("clean", "test"), ("test", "clean")):
        paths = [tmp_path / f"{name}.tif" for name in names]
        (page,) = Ran("compare", *paths, "--json").lines[0]["pages"]
        used = clean[12:].astype(float), clean[:12, 30:].astype(float)
        known = np.concatenate([part.reshape(-1) for part in used])
        if names[0] == "test":
            known = known + 3
        peak = 32767 if dtype == "i2" else np.ptp(known)
        assert page["left_out"] == 12 * 30 * channels
        assert page["psnr"] == pytest.approx(20 * np.log10(peak / 3), abs=1e-3)
        assert abs(page["mean_shift"]) == pytest.approx(3, rel=1e-4)
        assert 0.9 < page["ssim"] < 1
        assert f"{12 * 30 * channels:,} values without a number" in Ran("compare", *paths).out


@pytest.mark.parametrize("value", [1e308, -1.7e308])
def test_values_whose_range_is_no_number(value: float, tmp_path: Path) -> None:
    """Not declared, they are part of the picture: no error, and no figure that means nothing."""
    clean = np.random.default_rng(0).normal(0, 1, (20, 20))
    clean[3, 3], clean[5, 5] = value, -value
    for name, pixels in (("clean", clean), ("test", clean[::-1])):
        np.save(tmp_path / f"{name}.npy", pixels)
    ran = Ran("compare", tmp_path / "clean.npy", tmp_path / "test.npy", "--json")
    assert ran.code == 0, ran.err
    (page,) = ran.lines[0]["pages"]
    assert (page["psnr"], page["identical"]) == (None, False)
