"""NL-Ridge's settings: which it has, how it tells of others, what is suggested, and colour."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from skimage import data
from skimage.filters import gaussian

from nlmeans import Parameters, denoise, suggest, weights
from nlmeans.errors import InvalidValueError
from nlmeans.parameters import OF_NLMEANS, Settings


def picture(shape: tuple[int, int] = (48, 56), sigma: float = 15) -> tuple[np.ndarray, np.ndarray]:
    """A part of a photograph in colour, and the same with noise."""
    clean = data.astronaut()[40 : 40 + shape[0], 170 : 170 + shape[1]].astype(float)
    return clean, clean + np.random.default_rng(0).normal(0, sigma, clean.shape)


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(x**2)))


GREY = picture()[1][..., 0]
VALUES: dict[str, Any] = {
    "h": 5.0,
    "k": 0.5,
    "patch_radius": 1,
    "search_radius": 3,
    "patch": "box",
    "center": "max",
    "aggregate": "patch",
    "passes": 1,
    "differences": Parameters(1, 3, k=1.0),
    "second": Parameters(1, 3, k=1.0, mixing=0.5),
    "guide": GREY,
    "guide_sigma": 1.0,
}


@pytest.mark.parametrize("name", sorted(VALUES))
def test_a_parameter_of_nl_means_is_refused_by_its_name_and_its_method(name: str) -> None:
    with pytest.raises(InvalidValueError, match=f'{name} belongs to NL-means.*method="nlmeans"'):
        denoise(GREY, method="nlridge", **{name: VALUES[name]})
    if name in Parameters.__dataclass_fields__ and VALUES[name] != getattr(Parameters, name):
        with pytest.raises(InvalidValueError, match=f"{name} belongs to NL-means"):
            Parameters(method="nlridge", **{name: VALUES[name]})


def test_every_setting_is_of_both_methods_or_of_nl_means() -> None:
    both = {
        "method",
        "noise",
        "repeats",
        "sigma",
        "color",
        "strength",
        "blend",
        "channel_axis",
        "mask",
        "nan",
    } | {"impulses"}
    assert set(Settings.__annotations__) == both | (set(OF_NLMEANS) - {"mixing"})


@pytest.mark.parametrize("color", ["auto", "joint", "luminance", "separate"])
@pytest.mark.parametrize("sigma", [None, 12.0, [10.0, 12.0, 14.0]])
def test_what_is_suggested_is_what_is_done(color: str, sigma: Any) -> None:
    noisy = picture()[1]
    settings: dict[str, Any] = {"method": "nlridge", "color": color, "sigma": sigma, "channel_axis": -1}
    chosen = suggest(noisy, **settings)
    assert set(chosen.to_dict()) == {"method", "sigma", "color", "blend"}
    assert Parameters.from_json(chosen.to_json()) == chosen
    again = denoise(noisy, channel_axis=-1, **chosen.to_dict())
    np.testing.assert_array_equal(again, denoise(noisy, **settings))


def test_a_map_is_suggested_as_none() -> None:
    chosen = suggest(GREY, method="nlridge", sigma=np.full(GREY.shape, 9.0))
    assert chosen.to_dict() == {"method": "nlridge", "color": "joint", "blend": 0.0}
    assert chosen.strength is None


def test_a_signal_is_referred_to_nl_means() -> None:
    with pytest.raises(InvalidValueError, match=r'signal.*method="nlmeans"'):
        denoise(GREY[0], method="nlridge", sigma=3)


def test_weights_are_of_nl_means_only() -> None:
    with pytest.raises(InvalidValueError, match="NL-means"):
        weights(GREY, (3, 3), method="nlridge", sigma=3)


def test_parameters_without_radii_are_of_nl_ridge_only() -> None:
    with pytest.raises(InvalidValueError, match="lack patch_radius, search_radius"):
        Parameters(k=1.0)
    with pytest.raises(InvalidValueError, match="method"):
        Parameters(method="bm3d")  # type: ignore[arg-type]
    assert Parameters(method="nlridge", sigma=(1.0, 2.0)).to_dict()["sigma"] == (1.0, 2.0)


def test_luminance_and_differences_apart_are_better_than_channels_together() -> None:
    """By 0.5 dB at least, on a photograph."""
    clean, noisy = picture((96, 96), 20)
    apart, together = (
        denoise(noisy, method="nlridge", sigma=20, channel_axis=-1, color=color)
        for color in ("luminance", "joint")
    )
    automatic = denoise(noisy, method="nlridge", sigma=20, channel_axis=-1)
    np.testing.assert_array_equal(automatic, apart)
    assert 20 * np.log10(rms(together - clean) / rms(apart - clean)) > 0.5


@pytest.mark.parametrize("color", ["joint", "luminance", "separate"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_one_colour_comes_back(color: str, dtype: str) -> None:
    image = np.broadcast_to(np.array([10, 200, 77]), (20, 30, 3)).astype(dtype)
    result = denoise(image, method="nlridge", sigma=4, channel_axis=-1, color=color)
    np.testing.assert_array_equal(result, image)


@pytest.mark.parametrize("color", ["joint", "luminance", "separate"])
def test_colour_with_a_mask_a_map_and_integers(color: str) -> None:
    clean, noisy = picture()
    mask = np.random.default_rng(1).random(clean.shape[:2]) > 0.05
    settings: dict[str, Any] = {"method": "nlridge", "channel_axis": -1, "color": color}
    grey = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    result = denoise(grey, sigma=np.full(mask.shape, 15.0), mask=mask, **settings)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result[~mask], grey[~mask])
    assert rms((result - clean)[mask]) < 0.65 * rms((grey - clean)[mask])
    spoiled = np.where(mask[..., None], noisy, np.nan)
    kept = denoise(spoiled, sigma=15, nan="keep", **settings)
    np.testing.assert_array_equal(np.isnan(kept).all(axis=-1), ~mask)
    assert rms((kept - clean)[mask]) < 0.65 * rms((noisy - clean)[mask])


def test_a_component_without_noise_stays_as_it_is() -> None:
    """Noise in the differences only: the luminance comes back."""
    noisy = picture()[1]
    result = denoise(noisy, method="nlridge", sigma=[15.0, 0.0, 0.0], channel_axis=-1, color="luminance")
    for difference in ([1, 0, -1], [1, -2, 1]):
        np.testing.assert_allclose(result @ difference, noisy @ difference, atol=1e-3)
    assert rms(result - noisy) > 1


def test_strength_multiplies_sigma_and_blend_mixes_the_image_back() -> None:
    settings: dict[str, Any] = {"method": "nlridge", "sigma": 10.0}
    stronger = denoise(GREY, strength=1.5, **settings)
    np.testing.assert_array_equal(stronger, denoise(GREY, method="nlridge", sigma=15.0))
    assert suggest(GREY, strength=1.5, **settings).sigma == 15.0
    sigma = np.full(GREY.shape, 10.0)
    by_map = denoise(GREY, method="nlridge", sigma=sigma, strength=1.5)
    np.testing.assert_array_equal(by_map, denoise(GREY, method="nlridge", sigma=1.5 * sigma))
    mixed = denoise(GREY, blend=0.25, **settings)
    np.testing.assert_allclose(mixed, 0.75 * denoise(GREY, **settings) + 0.25 * GREY, atol=1e-4)
    assert suggest(GREY, blend=0.25, **settings).to_dict()["blend"] == 0.25
    with pytest.raises(InvalidValueError, match="blend must be in"):
        Parameters(method="nlridge", blend=2.0)


def test_chunks_of_dask_are_the_whole() -> None:
    """Each is a task that reads its own halo; the references lie on the grid of the whole."""
    da = pytest.importorskip("dask.array")
    rng = np.random.default_rng(3)
    clean = np.tile(data.camera()[:200, :160].astype(float), (2, 2))[:301, :270]
    noisy = (clean + rng.normal(0, 20, clean.shape)).astype(np.float32)
    for sigma in (20.0, np.full(clean.shape, 20.0)):
        whole = denoise(noisy, method="nlridge", sigma=sigma, strength=1.1)
        chunked = denoise(da.from_array(noisy, chunks=(90, 135)), method="nlridge", sigma=sigma, strength=1.1)
        assert chunked.chunks == ((90, 90, 90, 31), (135, 135))
        assert rms(chunked.compute() - whole) < 1e-5 * np.ptp(noisy)


@pytest.mark.filterwarnings("ignore:two estimates of sigma disagree")
def test_noise_that_neighbours_share_is_taken_for_stronger() -> None:
    """What is suggested is sigma as NL-Ridge needs it, and better than sigma as it is."""
    clean = data.camera()[:200, 100:300].astype(float)
    shared = gaussian(np.random.default_rng(0).normal(size=clean.shape), 1.0)
    noisy = clean + 20 * shared / shared.std()
    sigma = suggest(noisy, method="nlridge").sigma
    assert isinstance(sigma, float)
    assert sigma > 25
    result, plain = denoise(noisy, method="nlridge"), denoise(noisy, method="nlridge", sigma=20.0)
    assert rms(result - clean) < 0.97 * rms(plain - clean)
