"""The noise at each brightness: the kind told, its parameters, and what `denoise` makes of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from skimage import data

import nlmeans
from nlmeans.noise.models.brightness import Bins
from nlmeans.noise.models.fitting import fits

Model = nlmeans.NoiseModel


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def scene(side: int = 256) -> Any:
    return data.camera()[:side, :side].astype(float)


def psnr(result: Any, clean: Any, data_range: float) -> float:
    return float(10 * np.log10(data_range**2 / np.mean((np.asarray(result, float) - clean) ** 2)))


NOISES: list[tuple[Any, Callable[[Any], Any]]] = [
    (Model("gaussian", sigma=10.0), lambda c: c + rng().normal(0, 10, c.shape)),
    (Model("poisson", gain=1.0), lambda c: rng().poisson(c / 255 * 20).astype(float)),
    (Model("poisson", gain=0.7), lambda c: 0.7 * rng().poisson(c / 2)),
    (
        Model("poisson-gaussian", gain=1.0, sigma=3.0),
        lambda c: rng().poisson(c / 255 * 30) + rng().normal(0, 3, c.shape),
    ),
    (Model("speckle", looks=4.0), lambda c: (c + 1) * rng().gamma(4, 0.25, c.shape)),
]
NAMES = ["gaussian", "counts", "poisson", "poisson-gaussian", "speckle"]


@pytest.mark.parametrize(("model", "draw"), NOISES, ids=NAMES)
def test_kind_and_parameters_are_told(model: Any, draw: Callable[[Any], Any]) -> None:
    curve = nlmeans.noise_curve(draw(scene()))
    assert curve.kind == model.kind
    assert curve.confidence >= 0.95
    for name, true in model.to_dict().items():
        if name != "kind":
            assert getattr(curve.model, name) == pytest.approx(true, rel=0.1)
            assert curve.errors[name] < 0.15 * true
    assert len(curve.levels) == len(curve.variances) == len(curve.counts) >= 4
    assert all(a < b for a, b in zip(curve.levels, curve.levels[1:], strict=False))


def test_variances_are_those_of_the_noise() -> None:
    """Against what was added, at each brightness, in a picture with texture."""
    clean = scene()
    curve = nlmeans.noise_curve(clean + rng().normal(0, 1, clean.shape) * (3 + clean / 20))
    expected = (3 + np.array(curve.levels) / 20) ** 2
    assert np.median(np.array(curve.variances) / expected) == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("draw", [draw for _, draw in NOISES[1:]], ids=NAMES[1:])
@pytest.mark.parametrize("exponent", [-450, -60, 60, 500])
def test_no_scale_is_too_small_or_too_large(exponent: int, draw: Callable[[Any], Any]) -> None:
    """Against the same values in ordinary units; a power of two changes no bit of them."""
    ordinary, unit = 0.7 * draw(scene(200)), 2.0**exponent
    curve, other = (nlmeans.noise_curve(image) for image in (ordinary, unit * ordinary))
    assert (other.kind, other.counts) == (curve.kind, curve.counts)
    assert other.confidence == pytest.approx(curve.confidence, rel=1e-3)
    np.testing.assert_allclose(np.array(other.levels) / unit, curve.levels, rtol=1e-6)
    np.testing.assert_allclose(np.array(other.variances) / unit / unit, curve.variances, rtol=1e-4)
    for name, scale in (("gain", unit), ("sigma", unit), ("looks", 1.0)):
        if getattr(curve.model, name) is not None:
            assert getattr(other.model, name) / scale == pytest.approx(getattr(curve.model, name), rel=1e-3)
            assert other.errors[name] / scale == pytest.approx(curve.errors[name], rel=1e-2)


@pytest.mark.parametrize("exponent", [-1000, -60, 60, 530, 1010])
@pytest.mark.parametrize("noise", ["auto", "poisson", "rician"])
def test_models_hold_at_every_scale(exponent: int, noise: str) -> None:
    counts = 0.7 * rng().poisson(scene(96) / 2)
    unit = 2.0**exponent
    result, other = (nlmeans.denoise(image, noise=noise) for image in (counts, unit * counts))
    np.testing.assert_allclose(other / unit, result, atol=1e-3 * np.ptp(counts))


@pytest.mark.parametrize("unit", [1e-300, 1e160])
def test_variances_that_are_no_numbers_are_refused(unit: float) -> None:
    with pytest.raises(nlmeans.errors.InvalidValueError, match=r"no number in float64: divide the image"):
        nlmeans.noise_curve(unit * rng().poisson(scene()).astype(float))


def test_clipped_ends_are_left_out() -> None:
    """Noise that clipping makes weaker in the dark is no noise of photons."""
    noisy = np.clip(np.rint(scene() + rng().normal(0, 25, (256, 256))), 0, 255).astype(np.uint8)
    curve = nlmeans.noise_curve(noisy)
    assert min(curve.levels) > 30
    assert curve.model.kind == "gaussian"


def test_each_channel_has_its_own_curve() -> None:
    clean, gains = np.stack([scene()] * 2), np.array([0.5, 4.0]).reshape(2, 1, 1)
    noisy = gains * rng().poisson(clean / gains)
    first, second = nlmeans.noise_curve(noisy, channel_axis=0)
    assert first.model.gain == pytest.approx(0.5, rel=0.1)
    assert second.model.gain == pytest.approx(4.0, rel=0.1)
    chosen = nlmeans.suggest(noisy.astype(np.float32), channel_axis=0, noise="auto")
    assert chosen.noise.gain == pytest.approx((0.5, 4.0), rel=0.1)


def test_masks_are_obeyed_and_signals_and_volumes_measured() -> None:
    noisy = rng().poisson(scene() / 255 * 40).astype(float)
    noisy[:, :128] = rng().normal(300, 90, (256, 128))
    curve = nlmeans.noise_curve(noisy, mask=np.arange(256) >= np.full((256, 1), 128))
    assert curve.kind == "poisson"
    signal = rng().poisson(50 + 40 * np.sin(np.arange(60_000) / 3000)).astype(float)
    assert nlmeans.noise_curve(signal).kind == "poisson"
    volume = rng().poisson(np.stack([scene()[80:200, 80:200] / 255 * 40] * 8)).astype(float)
    assert nlmeans.noise_curve(volume).kind == "poisson"


# --- what denoise makes of it ------------------------------------------------------------------


@pytest.mark.parametrize(("model", "draw"), NOISES[1:], ids=NAMES[1:])
def test_automatic_is_as_good_as_the_model_given(model: Any, draw: Callable[[Any], Any]) -> None:
    noisy = draw(scene()).astype(np.float32)
    clean = {"counts": 20 / 255, "poisson": 0.35, "poisson-gaussian": 30 / 255}.get(
        NAMES[[m for m, _ in NOISES].index(model)], 1.0
    ) * scene()
    given, found, told = (
        psnr(nlmeans.denoise(noisy, noise=noise, passes=1), clean, float(clean.max()))
        for noise in (model, model.kind, "auto")
    )
    assert abs(found - given) < 0.2
    assert told == found


def test_automatic_leaves_white_noise_to_the_default() -> None:
    noisy = (scene(128) + rng().normal(0, 20, (128, 128))).astype(np.float32)  # all of it is sky
    assert nlmeans.noise_curve(noisy).kind == "cannot tell"
    noisy = np.concatenate([noisy, noisy / 2 + rng().normal(0, 300**0.5, (128, 128))]).astype(np.float32)
    assert np.array_equal(nlmeans.denoise(noisy, noise="auto"), nlmeans.denoise(noisy))
    assert nlmeans.suggest(noisy, noise="auto") == nlmeans.suggest(noisy)


def test_rician_sigma_is_estimated() -> None:
    clean = np.where(np.hypot(*(np.indices((200, 200)) - 100)) < 70, scene(200) / 2 + 20, 0)
    parts = rng().normal(0, 8, (2, 200, 200))
    noisy = np.hypot(clean + parts[0], parts[1]).astype(np.float32)
    assert nlmeans.suggest(noisy, noise="rician").noise.sigma == pytest.approx(8, rel=0.08)


@pytest.mark.parametrize("given", [{"gain": 1.0}, {"sigma": 3.0}, {"offset": 100.0}, {}])
def test_what_is_given_is_kept_and_the_rest_estimated(given: dict[str, float]) -> None:
    offset = given.get("offset", 0.0)
    noisy = (offset + NOISES[3][1](scene())).astype(np.float32)
    found = nlmeans.suggest(noisy, noise=Model("poisson-gaussian", **given)).noise
    for name, value in given.items():
        assert getattr(found, name) == value
    assert found.gain == pytest.approx(1.0, rel=0.12)
    assert found.sigma == pytest.approx(3.0, rel=0.12)


def test_a_pedestal_is_found() -> None:
    noisy = (500 + 2 * rng().poisson(scene() / 8)).astype(np.float32)
    found = nlmeans.suggest(noisy, noise="poisson").noise
    assert found.gain == pytest.approx(2.0, rel=0.12)
    assert found.offset == pytest.approx(500, abs=5)


def test_a_pedestal_is_not_brighter_than_the_darkest_pixels() -> None:
    """Where variance falls faster than counts explain: all below such a pedestal would become one value."""
    means = np.linspace(110.0, 130.0, 10)
    few = np.full(10, 100)
    for darkest, pedestal in ((104.0, 102.0), (90.0, None)):
        bins = Bins(means, 0.1 * (means - 102), np.full(10, 0.03), few, False, 40.0, darkest)
        offset = fits(bins)["poisson"].model.offset
        assert offset == (None if pedestal is None else pytest.approx(pedestal, abs=0.5))


# --- bad input -----------------------------------------------------------------------------------


def bad_pictures() -> dict[str, Any]:
    saturated = np.full((64, 64), 255.0)
    saturated[20:24, 20:40] = 100
    letters = np.where((np.indices((64, 64)) // 6).sum(axis=0) % 3 == 0, 255.0, 0.0)
    return {
        "small": rng().normal(50, 5, (5, 6)),
        "one": np.full((1, 1), 3.0),
        "constant": np.full((64, 64), 7.0),
        "saturated": saturated,
        "two values": letters,
        "clean": scene(128),
        "denoised": nlmeans.denoise(scene(128) + rng().normal(0, 20, (128, 128)), sigma=20),
    }


@pytest.mark.parametrize("noise", ["auto", "poisson", "poisson-gaussian", "rician", "speckle"])
@pytest.mark.parametrize("name", list(bad_pictures()))
def test_pictures_without_such_noise_are_nearly_unchanged(name: str, noise: str) -> None:
    image = bad_pictures()[name].astype(np.float32)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        result = nlmeans.denoise(image, noise=noise)
    assert np.isfinite(result).all()
    assert np.sqrt(np.mean((result - image) ** 2)) <= 0.02 * max(np.ptp(image), 1) or name == "small"
    if name in ("one", "constant", "saturated", "two values", "small"):
        assert any("taken for white" in str(w.message) for w in told)


def test_negative_values_under_poisson_and_zeros_under_speckle() -> None:
    noisy = rng().poisson(scene(128) / 255 * 20).astype(np.float32)
    noisy[:4] = -5
    assert np.isfinite(nlmeans.denoise(noisy, noise="poisson")).all()
    speckled = (scene(128) * rng().gamma(4, 0.25, (128, 128))).astype(np.float32)
    speckled[::16, ::16] = 0
    assert np.isfinite(nlmeans.denoise(speckled, noise="speckle")).all()


def test_complex_pictures_are_refused_by_name() -> None:
    with pytest.raises(nlmeans.InvalidTypeError, match="complex"):
        nlmeans.denoise(np.zeros((16, 16), np.complex64), noise="rician")


@pytest.mark.filterwarnings("ignore:this looks like impulse noise")  # as some of them do
@pytest.mark.parametrize("dtype", ["u1", "f4"])
@pytest.mark.parametrize("across", [1, 2])
@pytest.mark.parametrize("period", [2, 3, 4, 5, 7])
def test_a_regular_pattern_of_two_values_is_no_trouble(dtype: str, across: int, period: int) -> None:
    """All windows are equally bright, and rows and columns differ from their neighbours by one value."""
    y, x = np.mgrid[:64, :64]
    image = (((across * y + x) % period == 0) * 190 + 7).astype(dtype)
    for curve in (
        nlmeans.noise_curve(image),
        nlmeans.noise_curve(np.stack([image, image]), channel_axis=0)[1],
    ):
        assert curve.kind in ("gaussian", "cannot tell")
    clean = nlmeans.denoise(image, noise="auto")
    assert np.array_equal(clean, nlmeans.denoise(image))
    assert np.abs(clean.astype(float) - image).max() < 1
