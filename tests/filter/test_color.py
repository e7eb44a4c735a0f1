"""How colours are compared: each channel by itself, luminance and differences, and what is chosen."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import nlmeans
from nlmeans import Parameters, denoise, formula, suggest

from ..conftest import allowed_error

RNG = np.random.default_rng(5)


def drawn(seed: int = 0) -> np.ndarray:
    """Three channels in [0, 1] that show different things, channels last: 96 x 96 x 3."""
    rng = np.random.default_rng(seed)
    return np.stack([np.kron(rng.random((96 // n, 96 // n)), np.ones((n, n))) for n in (12, 16, 24)], axis=-1)


def bands(dtype: Any = np.float32) -> np.ndarray:
    """The same in different units, each with its own noise."""
    clean = drawn() * (1, 100, 4000)
    return (clean + np.random.default_rng(1).normal(size=clean.shape) * (0.05, 5, 200)).astype(dtype)


FIXED: dict[str, Any] = {"patch_radius": 1, "search_radius": 4, "k": 0.6}


@pytest.mark.parametrize("aggregate", ["patch", "pixel"])
def test_each_channel_is_what_it_is_alone(aggregate: str, backend: str) -> None:
    image = bands()
    options = {**FIXED, "aggregate": aggregate, "backend": backend}
    together = denoise(image, channel_axis=-1, color="separate", sigma=(0.05, 5.0, 200.0), **options)
    for c, sigma in enumerate((0.05, 5.0, 200.0)):
        alone = denoise(np.ascontiguousarray(image[..., c]), sigma=sigma, **options)
        limit = 2e-6 * np.ptp(image[..., c]) + 4 * np.spacing(np.abs(image).max())
        assert np.abs(together[..., c] - alone).max() <= limit


def test_the_noise_of_each_channel_is_estimated() -> None:
    chosen = suggest(bands(), channel_axis=-1, color="separate")
    assert chosen.color == "separate"
    np.testing.assert_allclose(chosen.sigma, (0.05, 5, 200), rtol=0.15)  # type: ignore[arg-type]
    image = bands()
    found = suggest(image, channel_axis=-1, color="separate").to_dict()
    np.testing.assert_array_equal(
        denoise(image, channel_axis=-1, **found), denoise(image, channel_axis=-1, color="separate")
    )
    assert (
        Parameters.from_json(suggest(image, channel_axis=-1, color="separate").to_json()).color == "separate"
    )


def test_unrelated_bands_gain_by_being_apart() -> None:
    clean = drawn(3)
    noisy = clean + np.random.default_rng(9).normal(0, 0.1, clean.shape)
    error = {
        c: np.mean((denoise(noisy, sigma=0.1, channel_axis=-1, color=c) - clean) ** 2)
        for c in ("joint", "separate")
    }
    assert error["separate"] < 0.8 * error["joint"]


def test_a_clean_channel_comes_back_as_it_is(backend: str) -> None:
    image = bands()
    image[..., 1] = np.round(image[..., 1])
    result = denoise(
        image, channel_axis=-1, color="separate", sigma=(0.05, 0.0, 200.0), backend=backend, **FIXED
    )
    limit = allowed_error(image[..., 1], backend) + 2 * np.spacing(np.float32(np.abs(image).max()))
    assert np.abs(result[..., 1] - image[..., 1]).max() <= limit
    assert np.abs(result[..., 2] - image[..., 2]).max() > 10


@pytest.mark.parametrize("memory_limit", [None, 2**19])
def test_masks_holes_maps_and_tiles(memory_limit: int | None, backend: str) -> None:
    image = bands()
    image[3, 4, 1] = np.nan
    mask = RNG.random(image.shape[:2]) > 0.1
    sigma = np.full(image.shape[:2], 5.0)
    options = {**FIXED, "backend": backend, "nan": "keep", "mask": mask, "sigma": sigma}
    result = denoise(image, channel_axis=-1, color="separate", memory_limit=memory_limit, **options)
    np.testing.assert_array_equal(result[~mask], image[~mask])
    valid = mask & np.isfinite(image).all(-1)
    options["mask"] = valid
    alone = denoise(np.where(valid, image[..., 1], 0), **options)
    limit = 2e-6 * 200 + 4 * np.spacing(np.float32(4000))
    assert np.abs(result[..., 1] - alone)[valid].max() <= limit


def test_what_does_not_go_with_it_is_refused() -> None:
    image = bands()
    with pytest.raises(nlmeans.InvalidValueError, match='give color="joint" or no guide'):
        denoise(image, channel_axis=-1, color="separate", guide=image)
    with pytest.raises(nlmeans.InvalidValueError, match="one of auto, joint, luminance, separate"):
        denoise(image, channel_axis=-1, color="apart")
    with pytest.raises(nlmeans.InvalidValueError, match="weights of its own"):
        nlmeans.weights(image, (3, 3), channel_axis=-1, color="separate")
    with pytest.raises(nlmeans.InvalidValueError, match=r"component must be an integer in \[0, 2\]"):
        nlmeans.weights(image, (3, 3), channel_axis=-1, color="separate", component=3)
    with pytest.raises(nlmeans.InvalidValueError, match="component is for"):
        nlmeans.weights(image, (3, 3), channel_axis=-1, color="joint", component=1)


def test_the_weights_of_one_channel_are_those_it_is_averaged_with() -> None:
    image = bands(np.float64)
    options: dict[str, Any] = {**FIXED, "sigma": (0.05, 5.0, 200.0), "channel_axis": -1, "color": "separate"}
    result = denoise(image, aggregate="pixel", backend="reference", **options)
    for c in range(3):
        weights = nlmeans.weights(image, (40, 50), component=c, **options)
        assert (weights * image[..., c]).sum() == pytest.approx(result[40, 50, c], rel=1e-9)


def test_one_channel_is_the_same_either_way() -> None:
    image = bands()[..., :1]
    for color in ("joint", "separate"):
        result = denoise(image, channel_axis=-1, color=color)
        np.testing.assert_array_equal(result[..., 0], denoise(np.ascontiguousarray(image[..., 0])))


# --- luminance and differences ---------------------------------------------------------------


def photograph() -> np.ndarray:
    """A colour photograph of 0 to 255, 100 x 120 x 3."""
    from skimage.data import astronaut

    return np.asarray(astronaut()[20:220:2, 130:370:2], np.float64)


def psnr(clean: np.ndarray, result: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((result - clean) ** 2) / 255**2))


@pytest.mark.parametrize("sigma", [15.0, 30.0])
def test_photographs_gain_by_luminance_and_differences(sigma: float) -> None:
    clean = photograph()
    noisy = (clean + np.random.default_rng(0).normal(0, sigma, clean.shape)).astype(np.float32)
    found = {c: psnr(clean, denoise(noisy, sigma=sigma, channel_axis=-1, color=c)) for c in ("auto", "joint")}
    assert found["auto"] > found["joint"] + 0.7
    assert psnr(clean, denoise(noisy, channel_axis=-1)) > found["auto"] - 0.15  # sigma estimated


def test_the_transform_is_orthonormal_and_leaves_grey_without_differences() -> None:
    components = formula.opponent(np.eye(3), np)
    np.testing.assert_allclose(components @ components.T, np.eye(3), atol=1e-15)
    np.testing.assert_allclose(components, formula.OPPONENT, atol=1e-15)
    values = np.random.default_rng(0).normal(size=(3, 50))
    back = formula.from_opponent(formula.opponent(values, np), np)
    np.testing.assert_allclose(back, values, atol=1e-15)
    grey = np.float32(0.1) * np.ones((3, 4), np.float32)
    assert not formula.opponent(grey, np)[1:].any()


def test_a_grey_picture_in_colours_stays_grey(backend: str) -> None:
    grey = photograph()[..., 1] + np.random.default_rng(0).normal(0, 10, (100, 120))
    image = np.stack([grey.astype(np.float32)] * 3, axis=-1)
    for sigma in (10.0, None):
        result = denoise(image, sigma=sigma, channel_axis=-1, color="luminance", backend=backend)
        np.testing.assert_array_equal(result[..., 0], result[..., 1])
        np.testing.assert_array_equal(result[..., 0], result[..., 2])


def test_the_noise_of_each_component_is_estimated() -> None:
    """Colours of half the resolution, as JPEG stores them, have less noise in their differences."""
    rng = np.random.default_rng(0)
    clean = np.full((160, 180, 3), 100.0) + 20 * np.sin(np.indices((160, 180))[1] / 30)[..., None]
    light = rng.normal(0, 12, (160, 180, 1)) * np.ones(3) / np.sqrt(3)
    spread = rng.normal(0, 6, (80, 90, 2)).repeat(2, 0).repeat(2, 1) * 0.5
    colours = np.moveaxis(
        formula.from_opponent(np.stack([0 * spread[..., 0], *np.moveaxis(spread, -1, 0)]), np), 0, -1
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that neighbours share their noise
        chosen = suggest((clean + light + colours).astype(np.float32), channel_axis=-1)
    assert chosen.color == "luminance"
    assert isinstance(chosen.sigma, tuple)
    assert chosen.sigma[0] == pytest.approx(12, rel=0.1)
    assert max(chosen.sigma[1:]) < 6


def test_texture_of_the_luminance_is_not_taken_for_noise() -> None:
    """Noise of independent channels is in the differences too, where there is no texture."""
    rng = np.random.default_rng(0)
    padded = np.pad(rng.normal(0, 1, (160, 180)), 1, mode="symmetric")
    rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    texture = rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]
    image = 100 + texture[..., None] * (10 / texture.std()) + rng.normal(0, 5, (160, 180, 3))
    chosen = suggest(image.astype(np.float32), channel_axis=-1)
    assert chosen.color == "luminance"
    np.testing.assert_allclose(chosen.sigma, 5, rtol=0.02)  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that two estimates disagree
        assert nlmeans.estimate_sigma(image.sum(axis=-1) / np.sqrt(3)) > 5.5


def test_the_sigmas_of_channels_become_those_of_components() -> None:
    image = (photograph() + np.random.default_rng(0).normal(0, 20, (100, 120, 3))).astype(np.float32)
    each = (10.0, 20.0, 30.0)
    chosen = suggest(image, channel_axis=-1, sigma=each)
    assert chosen.color == "luminance"
    noise = np.random.default_rng(1).normal(size=(3, 200_000)) * np.array(each)[:, None]
    expected = formula.opponent(noise, np).std(axis=1)
    np.testing.assert_allclose(chosen.sigma, expected, rtol=0.02)  # type: ignore[arg-type]


def test_the_weights_of_the_luminance_and_of_the_differences(backend: str) -> None:
    image = (photograph()[:40, :50] + np.random.default_rng(0).normal(0, 9, (40, 50, 3))).astype(np.float64)
    options: dict[str, Any] = {"sigma": 9.0, "channel_axis": -1, "color": "luminance", "aggregate": "pixel"}
    options["differences"] = {"patch_radius": 1, "search_radius": 3, "k": 0.7, "aggregate": "pixel"}
    result = formula.opponent(np.moveaxis(denoise(image, backend=backend, **options), -1, 0), np)
    components = formula.opponent(np.moveaxis(image, -1, 0), np)
    assert (
        nlmeans.weights(image, (20, 30), **options)
        == nlmeans.weights(image, (20, 30), component=0, **options)
    ).all()
    for c in range(3):
        weights = nlmeans.weights(image, (20, 30), component=c, **options)
        average = (weights * components[c]).sum()
        assert average == pytest.approx(result[c, 20, 30], abs=2e-6 * np.ptp(components))


# --- what is chosen --------------------------------------------------------------------------


def unrelated(channels: int) -> np.ndarray:
    """Discs at places of their own in each channel."""
    y, x = np.mgrid[:128, :128]
    picture = np.full((128, 128, channels), 20.0)
    rng = np.random.default_rng(3)
    for c in range(channels):
        for row, column, radius in rng.uniform((0, 0, 4), (128, 128, 10), (25, 3)):
            picture[..., c] += 120.0 * ((y - row) ** 2 + (x - column) ** 2 < radius**2)
    return picture.clip(0, 255)


def in_common(channels: int) -> np.ndarray:
    """The same discs in all, in other colours and partly inverted."""
    one = unrelated(1)
    return np.concatenate([one * f + 10 for f in np.linspace(-1, 1, channels) + 0.1], axis=-1)


@pytest.mark.parametrize("sigma", [None, 12.0])
@pytest.mark.parametrize("channels", [2, 3, 4, 7])
def test_auto_compares_together_what_varies_together(channels: int, sigma: float | None) -> None:
    noise = np.random.default_rng(0).normal(0, 12, (128, 128, channels))
    options: dict[str, Any] = {"channel_axis": -1, "sigma": sigma}
    apart = suggest((unrelated(channels) + noise).astype(np.float32), **options)
    assert apart.color == "separate"
    together = suggest((in_common(channels) + noise).astype(np.float32), **options)
    assert together.color in ("joint", "luminance" if channels == 3 else "joint")


def test_auto_is_luminance_for_photographs_and_for_what_holds_nothing() -> None:
    clean = photograph()
    for sigma in (2.0, 20.0, 60.0):
        noisy = (clean + np.random.default_rng(0).normal(0, sigma, clean.shape)).astype(np.float32)
        assert suggest(noisy, channel_axis=-1, sigma=sigma).color == "luminance"
    noise = np.random.default_rng(0).normal(0, 12, (128, 128, 3)).astype(np.float32)
    assert suggest(noise, channel_axis=-1).color == "luminance"
    for flat in (np.zeros((9, 9, 3)), np.full((1, 1, 3), 7, np.uint8), clean[:3, :2]):
        assert suggest(flat, channel_axis=-1, sigma=1.0).color in ("luminance", "joint", "separate")
    negative = clean * (1, -1, 1)
    assert suggest(negative.astype(np.float32), channel_axis=-1, sigma=1.0).color == "joint"
    guided = suggest(clean, channel_axis=-1, sigma=5.0, guide=clean)
    assert guided.color == "joint"


@pytest.mark.parametrize("shape", [(3, 300), (3, 5, 30, 31)], ids=["signal", "volume"])
def test_signals_and_volumes_have_colours_too(shape: tuple[int, ...], backend: str) -> None:
    image = np.random.default_rng(0).normal(0, 9, shape) + np.indices(shape)[-1] + 5 * np.indices(shape)[0]
    settings: dict[str, Any] = {"channel_axis": 0, "sigma": 9.0, "spacing": (1.0,) * (len(shape) - 1)}
    chosen = suggest(image, **settings)
    assert chosen.color == "luminance"
    assert np.isfinite(denoise(image, **settings, backend=backend)).all()
