"""Images of Pillow, arrays of xarray, and what has ``__array__``: as the plain array, in the same clothes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

import nlmeans

rng = np.random.default_rng(0)
GREY = (120 + 60 * (np.mgrid[:24, :30].sum(0) // 8 % 2) + rng.normal(0, 8, (24, 30))).astype(np.uint8)
RGB = np.stack([GREY, GREY[::-1], 255 - GREY], axis=-1)
QUICK: dict[str, Any] = {"sigma": 8.0, "patch_radius": 1, "search_radius": 3}


@pytest.mark.parametrize(
    ("image", "axis"),
    [(GREY, None), (GREY.astype(np.uint16) * 200, None), (GREY / np.float32(9), None), (RGB, -1)],
)
def test_pillow_gives_pillow(image: np.ndarray, axis: int | None) -> None:
    picture = Image.fromarray(image)
    picture.info["dpi"] = (300, 300)
    result = nlmeans.denoise(picture, **QUICK)
    assert (result.mode, result.size, result.info) == (picture.mode, picture.size, picture.info)
    expected = nlmeans.denoise(image, channel_axis=axis, **QUICK)
    np.testing.assert_array_equal(np.asarray(result), expected)
    assert nlmeans.suggest(picture) == nlmeans.suggest(image, channel_axis=axis)
    assert nlmeans.estimate_sigma(picture) == nlmeans.estimate_sigma(image, channel_axis=axis)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_stays_and_what_is_transparent_is_not_used(mode: str) -> None:
    alpha = np.full(GREY.shape, 255, np.uint8)
    alpha[:5], alpha[5:8] = 0, 90
    colours = RGB if mode == "RGBA" else GREY[..., None]
    result = np.asarray(nlmeans.denoise(Image.fromarray(np.dstack([colours, alpha])), **QUICK))
    np.testing.assert_array_equal(result[..., -1], alpha)
    plain = colours if mode == "RGBA" else GREY
    expected = nlmeans.denoise(plain, mask=alpha > 0, channel_axis=-1 if mode == "RGBA" else None, **QUICK)
    np.testing.assert_array_equal(result[..., :-1].squeeze(), expected)


@pytest.mark.parametrize("mode", ["P", "1", "CMYK", "I"])
def test_other_modes_are_refused_by_name(mode: str) -> None:
    with pytest.raises(nlmeans.InvalidTypeError, match=f"mode {mode}"):
        nlmeans.denoise(Image.fromarray(GREY).convert(mode))


def test_xarray_keeps_names_coordinates_and_attributes() -> None:
    xarray = pytest.importorskip("xarray")
    image = xarray.DataArray(
        np.moveaxis(RGB, -1, 0),
        dims=("band", "y", "x"),
        coords={"band": ["r", "g", "b"], "x": np.arange(30) * 0.5},
        attrs={"units": "counts"},
        name="scene",
    )
    result = nlmeans.denoise(image, channel_axis="band", **QUICK)
    expected = nlmeans.denoise(image.values, channel_axis=0, **QUICK)
    xarray.testing.assert_identical(result, image.copy(data=expected))
    mask = xarray.DataArray(GREY.T > 130, dims=("x", "y"))
    masked = nlmeans.denoise(image[0], mask=mask, **QUICK)
    np.testing.assert_array_equal(masked.values, nlmeans.denoise(image.values[0], mask=GREY > 130, **QUICK))
    with pytest.raises(nlmeans.InvalidValueError, match=r"'z'.*band, y, x"):
        nlmeans.denoise(image, channel_axis="z")


def test_anything_with_array_and_nothing_whose_labels_would_be_lost() -> None:
    class Holder:
        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            return GREY

    np.testing.assert_array_equal(nlmeans.denoise(Holder(), **QUICK), nlmeans.denoise(GREY, **QUICK))
    pandas = pytest.importorskip("pandas")
    with pytest.raises(nlmeans.InvalidTypeError, match="labels or units"):
        nlmeans.denoise(pandas.Series(GREY[0].astype(float)))
    with pytest.raises(nlmeans.InvalidTypeError, match="list"):
        nlmeans.denoise([1.0, 2.0])
