"""The curve of the noise learned from the image: what it wins, what it keeps, where it declines."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np
import pytest
from skimage import data

import nlmeans
from nlmeans import backends
from nlmeans.errors import InvalidValueError
from nlmeans.inputs import check
from nlmeans.judging import curve

pytestmark = pytest.mark.skipif(
    dict(backends.describe()).get("cpu") is not None, reason="the extension is not built"
)


@functools.cache
def scene() -> Any:
    return data.camera()[100:196, 170:266].astype(np.float64)


def tone(light: Any) -> Any:
    """A curve that is steep in the middle, as of film: its noise is strong there."""
    return 255 * light**1.5 / (light**1.5 + 0.3**1.5) * (1 + 0.3**1.5)


@functools.cache
def odd() -> tuple[Any, Any]:
    """A picture and its counts of photons, both by that curve: no model of the package fits."""
    light = (scene() / 255) ** 2.2
    return tone(light), tone(np.random.default_rng(0).poisson(40 * light) / 40)


@functools.cache
def learned() -> Any:
    return nlmeans.suggest(odd()[1], noise="curve", method="nlridge")


def psnr(result: Any, clean: Any) -> float:
    return float(10 * np.log10(255**2 / np.mean((result - clean) ** 2)))


def test_it_wins_where_no_model_fits() -> None:
    """+2.0 dB and more over the default and over "auto" here; the study has the numbers of photographs."""
    clean, noisy = odd()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        others = [
            psnr(nlmeans.denoise(noisy, method="nlridge", noise=n), clean) for n in ("gaussian", "auto")
        ]
    ours = psnr(nlmeans.denoise(noisy, **learned().to_dict()), clean)
    assert ours > max(others) + 1.0


def test_the_curve_is_that_of_the_noise() -> None:
    """Where most of the picture is; the noise of the middle is several times that of the dark."""
    clean, noisy = odd()
    model = learned().noise
    near = [np.abs(clean - level) < 12 for level in model.levels]
    true = np.array([np.std((noisy - clean)[at]) if at.sum() > 300 else np.nan for at in near])
    found = np.where(np.isnan(true), np.nan, model.deviations)
    assert np.nanmedian(np.abs(np.log(found / true))) < 0.35


def test_the_curve_is_told_in_words() -> None:
    _, noisy = odd()
    _, info = nlmeans.denoise(noisy, **learned().to_dict(), return_info=True)
    assert str(info).startswith("noise: curve, levels ")
    assert info.to_json()


def test_suggest_and_denoise_agree_and_any_method_takes_it() -> None:
    _, noisy = odd()
    direct = nlmeans.denoise(noisy, method="nlridge", noise="curve")
    np.testing.assert_array_equal(direct, nlmeans.denoise(noisy, **learned().to_dict()))
    other = nlmeans.denoise(noisy, noise=learned().noise)
    assert other.shape == noisy.shape


def test_what_was_learned_serves_integers_and_another_range(monkeypatch: Any) -> None:
    """The curve follows the unit."""
    _, noisy = odd()
    result = nlmeans.denoise(np.clip(noisy, 0, 255).astype(np.uint8), method="nlridge", noise=learned().noise)
    assert result.dtype == np.uint8
    monkeypatch.setattr(curve, "_STEPS", (0.5,))
    models = [curve.learned_curve(check(noisy / unit, {})) for unit in (1.0, 1000.0)]
    np.testing.assert_allclose(np.multiply(models[1].deviations, 1000), models[0].deviations, rtol=0.02)


def test_white_noise_stays_about_as_good_and_weak_noise_is_left_to_the_tables() -> None:
    rng = np.random.default_rng(1)
    noisy = scene() + rng.normal(0, 20, scene().shape)
    ours, plain = (
        psnr(nlmeans.denoise(noisy, method="nlridge", noise=noise), scene())
        for noise in ("curve", "gaussian")
    )
    assert ours > plain - 0.3
    weak = scene() + rng.normal(0, 2, scene().shape)
    assert nlmeans.suggest(weak, noise="curve", method="nlridge").noise is None


@pytest.mark.filterwarnings("ignore:two estimates of sigma disagree")
def test_shared_noise_is_told_and_not_learned() -> None:
    white = np.fft.fft2(np.random.default_rng(2).standard_normal(scene().shape))
    frequencies = np.hypot(*np.meshgrid(*(np.fft.fftfreq(n) for n in scene().shape)))
    shared = np.fft.ifft2(white * np.exp(-2 * (np.pi * frequencies) ** 2)).real
    noisy = scene() + 20 * shared / shared.std()
    with pytest.warns(UserWarning, match="share noise, so no curve"):
        found = nlmeans.suggest(noisy, noise="curve", method="nlridge")
    assert found.noise is None


def test_each_channel_has_its_own_and_invalid_pixels_are_left_out(monkeypatch: Any) -> None:
    monkeypatch.setattr(curve, "_STEPS", (0.5,))
    _, noisy = odd()
    both = np.stack([noisy, noisy / 2], axis=-1)
    model = curve.learned_curve(check(both, {"channel_axis": -1}))
    assert model is not None
    assert model.channels == 2
    np.testing.assert_allclose(model.of_channel(0).deviations, np.multiply(model.of_channel(1).deviations, 2))
    valid = np.ones(noisy.shape, bool)
    valid[0, 0] = False
    assert curve.learned_curve(check(noisy, {"mask": valid})) is None  # the one tile is not whole


def test_of_a_large_image_tiles_from_dark_to_bright_are_looked_at() -> None:
    ramp = np.add.outer(np.arange(600.0), np.zeros(700))[None]
    tiles = curve._tiles(ramp, np.ones(ramp.shape, bool))
    assert [t.shape for t in tiles] == [(128, 128)] * 4
    assert tiles[0].mean() < 100 < 400 < tiles[-1].mean()
    assert curve._tiles(ramp[:, :20], np.ones((1, 20, 700), bool)) == []


def test_small_and_constant_images_are_taken_for_white() -> None:
    with pytest.warns(UserWarning, match="cannot be estimated"):
        assert nlmeans.suggest(scene()[:20, :20], noise="curve").noise is None
    assert nlmeans.suggest(np.full((64, 64), 3.0), noise="curve", method="nlridge").noise is None


def test_where_filters_cannot_run_for_it_it_is_asked_for() -> None:
    _, noisy = odd()
    with pytest.raises(InvalidValueError, match="is learned from one image"):
        nlmeans.weights(noisy, (5, 5), noise="curve")
    with pytest.raises(InvalidValueError, match="is learned from one image"):
        nlmeans.suggest(np.stack([noisy, noisy]), batch_axis=0, share="settings", noise="curve")
