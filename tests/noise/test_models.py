"""Models of noise: their parameters, the transforms against expectations, and `denoise` with them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from skimage import data

import nlmeans
from nlmeans.errors import InvalidTypeError, InvalidValueError, RoundingWarning
from nlmeans.noise_models.special import bessel_i, digamma, inverse_trigamma, trigamma
from nlmeans.noise_models.transforms import Anscombe, Logarithm, Rice
from nlmeans.parameters import Parameters

Model = nlmeans.NoiseModel
MODELS = [
    Model("poisson", gain=0.5),
    Model("poisson-gaussian", gain=0.5, offset=3.0, sigma=2.0),
    Model("speckle", looks=4.0),
    Model("rician", sigma=8.0),
]


def psnr(result: Any, clean: Any, data_range: float) -> float:
    return float(10 * np.log10(data_range**2 / np.mean((np.asarray(result, float) - clean) ** 2)))


def scene(peak: float = 255.0, side: int = 160) -> Any:
    """A part of a photograph with dark flat areas, edges and texture."""
    return data.camera()[90 : 90 + side, 160 : 160 + side] * (peak / 255.0)


# --- special functions and transforms ---------------------------------------------------------


def test_special_functions_have_their_known_values() -> None:
    gamma = 0.5772156649015329
    assert digamma(1.0) == pytest.approx(-gamma, abs=1e-10)
    assert digamma(0.5) == pytest.approx(-gamma - 2 * math.log(2), abs=1e-10)
    assert trigamma(1.0) == pytest.approx(math.pi**2 / 6, abs=1e-10)
    assert trigamma(0.5) == pytest.approx(math.pi**2 / 2, abs=1e-10)
    assert inverse_trigamma(trigamma(3.7)) == pytest.approx(3.7, rel=1e-9)
    x = np.linspace(0, 80, 33)
    assert bessel_i(0, x) == pytest.approx(np.i0(x) * np.exp(-x), rel=1e-10)
    step = 1e-4  # I1 is the derivative of I0
    slope = (np.i0(x + step) - np.i0(abs(x - step))) / (2 * step) * np.exp(-x)
    assert bessel_i(1, x) == pytest.approx(slope, abs=1e-6)


@pytest.mark.parametrize("sigma", [0.0, 0.5, 1.0, 3.0])
def test_inverse_of_the_anscombe_transform_is_unbiased(sigma: float) -> None:
    """Against the expectation over counts and normal values, in counts."""
    transform, nodes = Anscombe(2.0, 10.0, 2 * sigma), np.linspace(-8, 8, 321)
    normal = np.exp(-(nodes**2) / 2) / np.exp(-(nodes**2) / 2).sum()
    for clean in (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 200.0):
        counts = np.arange(int(clean + 12 * math.sqrt(clean) + 30))
        logs = counts * math.log(clean) - clean - np.array([math.lgamma(n + 1) for n in counts])
        values = 10 + 2 * (counts[:, None] + sigma * nodes)
        mean = (np.exp(logs)[:, None] * normal * transform.forward(values, np)).sum()
        back = (float(transform.inverse(np.array(mean), np)) - 10) / 2
        assert back == pytest.approx(clean, abs=0.045)


def test_inverse_of_the_logarithm_is_unbiased() -> None:
    rng = np.random.default_rng(0)
    for looks in (1.0, 4.0, 16.0):
        transform = Logarithm(looks, 0.0)
        seen = transform.forward(7.0 * rng.gamma(looks, 1 / looks, 400_000), np)
        assert seen.std() == pytest.approx(1.0, abs=0.01)
        assert float(transform.inverse(seen.mean(), np)) == pytest.approx(7.0, rel=0.01)


def test_inverse_of_the_rice_transform_is_unbiased() -> None:
    rng = np.random.default_rng(0)
    transform = Rice(2.0)
    for clean in (1.6, 2.0, 4.0, 10.0, 39.0, 60.0, 400.0):  # the table ends at 40
        values = np.hypot(clean + 2 * rng.standard_normal(400_000), 2 * rng.standard_normal(400_000))
        seen = transform.forward(values, np)
        assert 0.88 < seen.std() < 1.07
        assert float(transform.inverse(seen.mean(keepdims=True), np)[0]) == pytest.approx(clean, abs=0.03)


# --- denoise -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "draw", "least"),
    [
        (MODELS[0], lambda rng, c: 0.5 * rng.poisson(c / 0.5), 6.0),
        (MODELS[1], lambda rng, c: 3 + 0.5 * rng.poisson(c / 0.5) + rng.normal(0, 2, c.shape), 6.0),
        (MODELS[2], lambda rng, c: (c + 5) * rng.gamma(4.0, 0.25, c.shape), 11.0),
        (MODELS[3], lambda rng, c: np.hypot(c + rng.normal(0, 8, c.shape), rng.normal(0, 8, c.shape)), 7.0),
    ],
    ids=lambda each: each.kind if isinstance(each, Model) else "",
)
@pytest.mark.parametrize("method", ["nlmeans", "nlridge"])
def test_a_model_removes_its_noise(model: Any, draw: Callable[..., Any], least: float, method: str) -> None:
    """By decibels, without a change of the mean, and better than where the noise is taken for white."""
    clean = scene(60.0)
    noisy = draw(np.random.default_rng(1), clean).astype(np.float32)
    clean = clean + {"poisson-gaussian": 3.0, "speckle": 5.0}.get(model.kind, 0.0)
    result = nlmeans.denoise(noisy, noise=model, method=method)
    white = nlmeans.denoise(noisy, sigma=float(np.std(noisy - clean)), method=method)
    assert result.dtype == np.float32
    assert psnr(result, clean, 60) > psnr(noisy, clean, 60) + least
    assert psnr(result, clean, 60) > psnr(white, clean, 60)
    assert abs(float(result.mean()) - clean.mean()) < 0.03 * clean.mean()


def test_dark_flat_areas_no_longer_hide_the_noise() -> None:
    """The photograph of reference/real_files.md 18: today's default leaves it at 18 dB."""
    clean = data.camera()[:256, :256] * (30 / 255)
    counts = np.random.default_rng(0).poisson(clean).astype(np.float32)
    assert psnr(nlmeans.denoise(counts, noise=Model("poisson", gain=1.0)), clean, 30) > 31.5


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.kind)
def test_suggest_says_what_denoise_does(model: Any) -> None:
    noisy = np.random.default_rng(0).poisson(scene(60.0, 64)).astype(np.float32)
    chosen = nlmeans.suggest(noisy, noise=model, strength=1.1, blend=0.25)
    assert (chosen.noise, chosen.blend) == (model, 0.25)
    again = Parameters.from_json(chosen.to_json())
    assert again == chosen
    one = nlmeans.denoise(noisy, noise=model, strength=1.1, blend=0.25)
    assert np.array_equal(one, nlmeans.denoise(noisy, **again.to_dict()))


def test_channels_have_parameters_of_their_own() -> None:
    clean = np.stack([scene(60.0, 96) + 10, scene(240.0, 96) + 80], axis=-1)  # far more than few counts
    gains = np.array([0.5, 4.0])
    noisy = (gains * np.random.default_rng(0).poisson(clean / gains)).astype(np.float32)
    model = Model("poisson", gain=(0.5, 4.0))
    options = {"channel_axis": -1, "color": "separate", "patch_radius": 1, "search_radius": 4, "k": 0.5}
    result = nlmeans.denoise(noisy, noise=model, **options)
    for c in range(2):
        del options["channel_axis"], options["color"]
        alone = nlmeans.denoise(noisy[..., c], noise=model.of_channel(c), **options)
        assert np.allclose(result[..., c], alone, atol=1e-3)
        options |= {"channel_axis": -1, "color": "separate"}


def test_volumes_masks_and_nan_are_as_without_a_model() -> None:
    rng = np.random.default_rng(0)
    volume = rng.poisson(np.full((5, 24, 24), 20.0)).astype(np.float32)
    volume[2, 3, 4], volume[0, 0, 0] = np.nan, -9999.0
    mask = np.ones(volume.shape, bool)
    mask[0, 0, 0] = False
    result = nlmeans.denoise(volume, noise=Model("poisson", gain=1.0), mask=mask, nan="keep")
    assert np.isnan(result[2, 3, 4])
    assert result[0, 0, 0] == -9999.0
    rest = mask & np.isfinite(volume)
    assert result[rest].std() < 0.5 * volume[rest].std()


@pytest.mark.parametrize("sigma", [3.0, 6.0, 9.0])
def test_rician_noise_leaves_no_bias_in_the_background(sigma: float) -> None:
    """At most 0.3 % of the range; the default leaves 3.7 to 11 %."""
    yy, xx = np.indices((128, 128)) - 64.0
    clean = np.where(np.hypot(yy / 50, xx / 40) < 1, 60.0, 0.0)
    clean[np.hypot(yy - 10, xx + 8) < 12] = 100.0
    background = np.hypot(yy / 54, xx / 44) > 1
    parts = np.random.default_rng(0).normal(0, sigma, (2, 128, 128))
    noisy = np.hypot(clean + parts[0], parts[1]).astype(np.float32)
    result = nlmeans.denoise(noisy, noise=Model("rician", sigma=sigma))
    assert abs(result[background].mean()) <= 0.3
    assert abs(result[clean == 100].mean() - 100) < 1.5


def test_what_is_not_changed_comes_back_to_the_bit() -> None:
    rng = np.random.default_rng(0)
    noisy = rng.poisson(scene(30.0, 48)).astype(np.uint16)
    model = Model("poisson", gain=1.0)
    for options in ({"strength": 0.0}, {"blend": 1.0}):
        assert np.array_equal(nlmeans.denoise(noisy, noise=model, **options), noisy)
    constant = np.full((20, 20), 1.7, np.float32)
    assert np.array_equal(nlmeans.denoise(constant, noise=model), constant)


def test_a_guide_is_transformed_alike() -> None:
    clean = scene(30.0, 64)
    counts = np.random.default_rng(0).poisson(clean).astype(np.float32)
    model = Model("poisson", gain=1.0)
    options = {"patch_radius": 1, "search_radius": 5, "k": 0.6}
    plain = nlmeans.denoise(counts, noise=model, passes=1, **options)
    assert np.allclose(nlmeans.denoise(counts, noise=model, guide=counts, **options), plain, atol=1e-4)
    guided = nlmeans.denoise(counts, noise=model, guide=clean.astype(np.float32), guide_sigma=0, **options)
    assert psnr(guided, clean, 30) > psnr(plain, clean, 30)
    with pytest.raises(InvalidValueError, match="guide_sigma"):
        nlmeans.denoise(counts, noise=model, guide=counts, guide_sigma=2.0)


def test_dask_arrays_are_transformed_chunk_by_chunk() -> None:
    da = pytest.importorskip("dask.array")
    counts = np.random.default_rng(0).poisson(np.stack([scene(30.0, 96)] * 2)).astype(np.float32)
    options: dict[str, Any] = {"channel_axis": 0, "color": "separate", "passes": 1, "k": 0.5}
    options |= {"patch_radius": 1, "search_radius": 4, "noise": Model("poisson", gain=(1.0, 2.0))}
    lazy = nlmeans.denoise(da.from_array(counts, chunks=(2, 40, 50)), **options)
    assert lazy.chunks == ((2,), (40, 40, 16), (50, 46))
    assert np.allclose(lazy.compute(), nlmeans.denoise(counts, **options), atol=1e-3)


# --- wrong calls and bad input -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "laplace"}, "one of gaussian, poisson"),
        ({"kind": "poisson", "sigma": 2.0}, "sigma is no parameter of poisson"),
        ({"kind": "speckle", "gain": 2.0}, "which has looks"),
        ({"kind": "poisson", "gain": 0.0}, "> 0"),
        ({"kind": "gaussian", "sigma": -1.0}, ">= 0"),
        ({"kind": "poisson-gaussian", "gain": (1.0, 2.0), "sigma": (1.0, 2.0, 3.0)}, "equally many"),
    ],
)
def test_a_model_refuses_what_contradicts_it(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        Model(**arguments)


@pytest.mark.parametrize("given", [{"sigma": 5.0}, {"h": 3.0}])
@pytest.mark.parametrize(
    "noise", ["auto", "poisson", Model("speckle", looks=4), {"kind": "rician", "sigma": 2}]
)
def test_a_level_contradicts_a_model(given: dict[str, float], noise: Any) -> None:
    with pytest.raises(InvalidValueError, match="level of white noise"):
        nlmeans.denoise(np.ones((16, 16)), noise=noise, **given)


def test_wrong_words_and_types_are_refused() -> None:
    image = np.ones((16, 16, 2))
    with pytest.raises(InvalidValueError, match="noise must be one of gaussian"):
        nlmeans.denoise(image, noise="shot", channel_axis=-1)
    with pytest.raises(InvalidTypeError, match="noise must be a word"):
        nlmeans.denoise(image, noise=3, channel_axis=-1)  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match="3 channels, and the image has 2"):
        nlmeans.denoise(image, noise=Model("poisson", gain=(1.0, 1.0, 1.0)), channel_axis=-1)


def test_a_gaussian_model_is_sigma() -> None:
    noisy = scene(60.0, 64) + np.random.default_rng(0).normal(0, 5, (64, 64))
    assert np.array_equal(
        nlmeans.denoise(noisy, noise=Model("gaussian", sigma=5.0)), nlmeans.denoise(noisy, sigma=5.0)
    )


def test_integers_that_count_few_are_not_rounded_in_silence() -> None:
    counts = np.random.default_rng(0).poisson(scene(0.5, 64)).astype(np.uint16)
    with pytest.warns(UserWarning, match="rounding the result"):
        nlmeans.denoise(counts, noise=Model("poisson", gain=1.0))


def test_zeros_and_negative_values_are_taken_for_the_darkest() -> None:
    rng = np.random.default_rng(0)
    image = (20 * rng.gamma(4, 0.25, (32, 32))).astype(np.float32)
    image[3, 4], image[5, 6] = 0.0, -3.0
    for model in (Model("speckle", looks=4.0), Model("poisson", gain=2.0), Model("rician", sigma=3.0)):
        result = nlmeans.denoise(image, noise=model)
        assert np.isfinite(result).all()
        assert result.std() < image.std()


def test_strength_of_nlridge_with_a_model_is_kept() -> None:
    noisy = np.random.default_rng(0).poisson(scene(60.0, 64)).astype(np.float32)
    options: dict[str, Any] = {"noise": Model("poisson", gain=1.0), "method": "nlridge"}
    chosen = nlmeans.suggest(noisy, strength=1.3, **options)
    assert Parameters.from_json(chosen.to_json()) == chosen
    strong = nlmeans.denoise(noisy, **chosen.to_dict())
    assert np.array_equal(strong, nlmeans.denoise(noisy, strength=1.3, **options))
    assert not np.array_equal(strong, nlmeans.denoise(noisy, **options))
    colour = np.stack([noisy] * 3, axis=-1)
    options |= {"channel_axis": -1, "color": "luminance"}
    chosen = nlmeans.suggest(colour, strength=(1.2, 2.0), **options)
    assert Parameters.from_json(chosen.to_json()) == chosen
    again = nlmeans.denoise(colour, channel_axis=-1, **chosen.to_dict())
    assert np.array_equal(again, nlmeans.denoise(colour, strength=(1.2, 2.0), **options))


@pytest.mark.parametrize("method", ["nlmeans", "nlridge"])
def test_few_counts_are_known_to_vary_less_than_1(method: str) -> None:
    """Against sigma 1 everywhere, which smooths the dark parts too much: +0.3 and +6 dB."""
    clean = scene(1.0)
    counts = np.random.default_rng(0).poisson(clean).astype(np.float32)
    transform = Anscombe(1.0)
    white = nlmeans.denoise(transform.forward(counts, np), sigma=1, method=method)
    result = nlmeans.denoise(counts, noise=Model("poisson", gain=1.0), method=method)
    least = {"nlmeans": 0.05, "nlridge": 2.0}[method]
    assert psnr(result, clean, 1.0) > psnr(transform.inverse(white, np), clean, 1.0) + least


@pytest.mark.parametrize("sigma", [0.0, 0.7, 2.0])
def test_deviations_of_transformed_counts(sigma: float) -> None:
    """Against draws, in units of the image."""
    rng, transform = np.random.default_rng(0), Anscombe(2.0, 10.0, 2 * sigma)
    for clean in (1.0, 4.0, 29.0):
        values = 10 + 2 * (rng.poisson(clean, 200_000) + sigma * rng.standard_normal(200_000))
        seen = float(transform.forward(values, np).std())
        assert float(transform.deviation(10 + 2 * clean)) == pytest.approx(seen, rel=0.01)


def test_counts_that_are_rounded_are_told_of_without_a_model_too() -> None:
    """One warning of what is changed; floats, masks as they were and photographs have none."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(np.linspace(0.2, 5, 200)[:, None] + np.zeros((200, 200)))
    with pytest.warns(RoundingWarning, match=r"differ by \d+ at most.*astype\('float32'\)") as caught:
        rounded = nlmeans.denoise(counts.astype("u1"), sigma=1.5)
    assert sum(w.category is RoundingWarning for w in caught) == 1
    kept = nlmeans.denoise(counts.astype("f4"), sigma=1.5)  # without a warning, which were an error
    assert np.abs(rounded - kept).max() > 0.4
    mask = np.zeros((60, 60), "u1")
    mask[20:40, 10:50] = 1
    assert np.array_equal(nlmeans.denoise(mask), mask)
    nlmeans.denoise((10 * counts).astype("u1"), sigma=15.0)
