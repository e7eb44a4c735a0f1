"""The learned method: better than its pilot, tiles, colour, maps, holes, no noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from skimage import data

from nlmeans import denoise, suggest
from nlmeans.backends import cpu as cpu_backend
from nlmeans.backends.contract import Request, Run
from nlmeans.choosing import choose
from nlmeans.errors import BackendUnavailableError, InvalidValueError
from nlmeans.inputs import check
from nlmeans.methods.composition import method_for
from nlmeans.methods.learned import Learned
from nlmeans.network import weights

NO_CPU = cpu_backend.can_run(Request("numpy", "float32", 64, 1)) is not None
pytestmark = pytest.mark.skipif(NO_CPU, reason="the extension is not built")


def learned(image: np.ndarray, **settings: Any) -> np.ndarray:
    more: dict[str, Any] = {"backend": "cpu", "workers": 1, **settings}
    result: np.ndarray = denoise(image, method="learned", **more)
    return result


def clean(shape: tuple[int, int]) -> np.ndarray:
    return data.camera()[100 : 100 + shape[0], 180 : 180 + shape[1]].astype(np.float32)


def noise(shape: tuple[int, ...], sigma: Any, seed: int = 0) -> np.ndarray:
    return (sigma * np.random.default_rng(seed).normal(size=shape)).astype(np.float32)


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=float))))


@pytest.mark.parametrize("sigma", [10, 25, 50, 75])
def test_it_is_better_than_its_pilot(sigma: float) -> None:
    """On a photograph that it was not trained on, at every strength of the noise."""
    truth = clean((180, 200))
    noisy = truth + noise(truth.shape, sigma)
    ridge = denoise(noisy, method="nlridge", sigma=sigma, workers=1)
    assert 20 * np.log10(rms(ridge - truth) / rms(learned(noisy, sigma=sigma) - truth)) > 0.1


def test_sigma_that_is_estimated_costs_little() -> None:
    truth = data.camera()[:256, 100:356].astype(np.float32)
    noisy = truth + noise(truth.shape, 25)
    assert 20 * np.log10(rms(learned(noisy) - truth) / rms(learned(noisy, sigma=25) - truth)) < 0.1


@pytest.mark.parametrize("sigma", [0.0, 1e-6])
def test_no_noise_is_no_change(sigma: float) -> None:
    image = clean((40, 50))
    assert rms(learned(image, sigma=sigma) - image) < 1e-5


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_constant_comes_back(dtype: str) -> None:
    """Of floating point to a hundredth of sigma: the network answers nothing by almost nothing."""
    image = np.full((33, 47), 77, dtype)
    np.testing.assert_allclose(learned(image, sigma=5), image, atol=0.05 if dtype == "float32" else 0)


@pytest.mark.filterwarnings("ignore:sigma is")
def test_more_noise_than_there_is_stays_in_range() -> None:
    noisy = clean((40, 50)) + noise((40, 50), 10)
    for sigma in (1e3, 1e6, 1e30):
        result = learned(noisy, sigma=sigma)
        assert noisy.min() < result.min() <= result.max() < noisy.max()


def test_what_is_suggested_is_what_is_done() -> None:
    noisy = clean((60, 70)) + noise((60, 70), 12)
    settings = suggest(noisy, method="learned").to_dict()
    assert settings["method"] == "learned"
    np.testing.assert_array_equal(denoise(noisy, **settings), learned(noisy))


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (2, 3), (7, 7), (3, 3, 3)])
def test_tiny_pictures(shape: tuple[int, ...]) -> None:
    result = learned(50 + noise(shape, 10), sigma=10, channel_axis=-1 if len(shape) == 3 else None)
    assert np.isfinite(result).all()
    assert result.shape == shape


# --- tiles -----------------------------------------------------------------------------------


def test_tiles_are_the_whole() -> None:
    truth = np.tile(clean((120, 110)), (4, 3))[:471, :301]
    noisy, told = truth + noise(truth.shape, 20), []
    whole = learned(noisy, sigma=20)
    tiles = learned(noisy, sigma=20, memory_limit=22_000_000, progress=told.append)
    assert len(set(told)) > 8
    assert told[-1] == 1
    assert rms(tiles - whole) < 1e-5 * np.ptp(noisy)  # of the pilot's partners a few are others


@pytest.mark.parametrize("origin", [(0, 0), (40, 36), (41, 37), (40, 37)])
def test_with_the_pilot_given_a_part_is_the_whole_to_1e_5(origin: tuple[int, int]) -> None:
    """Pairs of pixels begin at even places of the whole, wherever a part begins."""
    noisy = clean((150, 160)) + noise((150, 160), 20)
    inputs = check(noisy, {"method": "learned", "sigma": 20.0})
    method = method_for(choose(inputs, {"method": "learned", "sigma": 20.0}), inputs, "cpu")
    assert isinstance(method, Learned)
    pilot, sigma = noisy - noise(noisy.shape, 19), np.full_like(noisy, 20)
    guide = noisy[::-1].copy(), pilot[::-1].copy()
    whole = method.correction(noisy, pilot, sigma, (0, 0), Run(), guide)
    part = tuple(slice(first, None) for first in origin)
    halo = [0 if first == 0 else method.networks.light.reach + 1 for first in origin]
    seen = method.correction(
        noisy[part], pilot[part], sigma[part], origin, Run(), (guide[0][part], guide[1][part])
    )
    inner = tuple(slice(h, None) for h in halo)
    kept = tuple(slice(first + h, None) for first, h in zip(origin, halo, strict=True))
    assert np.abs(seen[inner] - whole[kept]).max() < 1e-5 * np.ptp(noisy)


# --- channels, maps, holes -------------------------------------------------------------------


def test_colour_is_better_than_colour_by_nlridge() -> None:
    truth = data.astronaut()[:128, 160:300].astype(np.float32)
    noisy = truth + noise(truth.shape, 25)
    ridge = denoise(noisy, method="nlridge", sigma=25, channel_axis=-1, workers=1)
    gain = rms(ridge - truth) / rms(learned(noisy, sigma=25, channel_axis=-1) - truth)
    assert 20 * np.log10(gain) > 0.05


def test_channels_apart_are_each_alone() -> None:
    noisy = np.stack([clean((64, 60)), clean((64, 60))[::-1]], axis=-1) + noise((64, 60, 2), 15)
    result = learned(noisy, sigma=[15.0, 12.0], channel_axis=-1, color="separate")
    for c, sigma in enumerate((15.0, 12.0)):
        assert rms(result[..., c] - learned(noisy[..., c], sigma=sigma)) < 1e-3 * np.ptp(noisy)


def test_noise_that_varies_from_pixel_to_pixel() -> None:
    truth = clean((140, 150))
    ramp = np.broadcast_to(np.linspace(5, 45, 150, dtype=np.float32), truth.shape).copy()
    noisy = truth + noise(truth.shape, ramp)
    ridge = denoise(noisy, method="nlridge", sigma=ramp, workers=1)
    assert rms(learned(noisy, sigma=ramp) - truth) < 0.995 * rms(ridge - truth)
    ramp[:, :75] = 0
    np.testing.assert_array_equal(learned(noisy, sigma=ramp)[:, :75], noisy[:, :75])


@pytest.mark.parametrize("least", [0.0, 0.01, 2.0])
def test_a_map_with_an_edge_makes_none(least: float) -> None:
    """Where one half had next to no noise the result was 8 dB worse than the noisy image."""
    truth = clean((120, 140))
    sigma = np.where(np.arange(140) < 70, least, 25.0) * np.ones(truth.shape)
    noisy = truth + noise(truth.shape, sigma)
    ridge = denoise(noisy, method="nlridge", sigma=sigma, workers=1)
    assert rms(learned(noisy, sigma=sigma) - truth) < rms(ridge - truth)


def test_holes_are_neither_changed_nor_used() -> None:
    truth = clean((70, 80))
    noisy = truth + noise(truth.shape, 15)
    mask = np.random.default_rng(1).random(truth.shape) > 0.05
    result = learned(np.where(mask, noisy, np.nan), sigma=15, nan="keep")
    np.testing.assert_array_equal(np.isnan(result), ~mask)
    other = learned(np.where(mask, noisy, 300), sigma=15, mask=mask)
    np.testing.assert_allclose(other[mask], result[mask], atol=1e-3)
    assert rms((result - truth)[mask]) < 0.55 * 15


def test_a_volume_is_its_planes() -> None:
    volume = np.stack([clean((40, 50)), clean((50, 40)).T]) + noise((2, 40, 50), 15)
    result = learned(volume, sigma=15)
    for z in range(2):
        assert rms(result[z] - learned(volume[z], sigma=15)) < 1e-3 * np.ptp(volume)


# --- refusals --------------------------------------------------------------------------------


def test_what_it_cannot_do_is_told() -> None:
    with pytest.raises(InvalidValueError, match="learned is for images and volumes"):
        learned(np.zeros(30), sigma=3)
    with pytest.raises(InvalidValueError, match="patch_radius belongs to NL-means"):
        learned(np.zeros((30, 30)), sigma=3, patch_radius=2)


def test_nothing_else_needs_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise BackendUnavailableError("no weights")

    monkeypatch.setattr(weights, "shipped", missing)
    monkeypatch.setattr("nlmeans.methods.learned.shipped", missing)
    denoise(np.zeros((20, 20)), method="nlridge", sigma=1)
    with pytest.raises(BackendUnavailableError, match="no weights"):
        learned(np.zeros((20, 20)), sigma=1)
