"""Films and batches whose noise has a model: each frame as a picture, and frames help each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from skimage import data

from nlmeans import InvalidValueError, NoiseModel, denoise, denoise_frames, suggest
from nlmeans.video.scenes import Film, match

PEAK = 20.0
CAMERA = data.camera()[100:196, 150:246] / 255 * PEAK
COINS = data.coins()[:96, :96] / 255 * PEAK
MODELS: list[Any] = [
    "poisson",
    NoiseModel("poisson", gain=1.0),
    NoiseModel("poisson-gaussian", gain=1.0, sigma=0.5),
    NoiseModel("speckle", looks=4.0),
    NoiseModel("rician", sigma=2.0),
    "auto",
    NoiseModel("gaussian", sigma=3.0),
]


def photons(clean: np.ndarray, count: int, first: int = 0) -> list[np.ndarray]:
    return [np.random.default_rng(first + t).poisson(clean).astype(np.float32) for t in range(count)]


def psnr(image: np.ndarray, clean: np.ndarray) -> float:
    return float(10 * np.log10(PEAK**2 / np.mean((image - clean) ** 2)))


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_without_other_frames_each_is_denoised_as_a_picture(model: Any) -> None:
    """What the first frame tells of the noise holds for the others."""
    frames = photons(CAMERA, 3)
    fixed: dict[str, Any] = {"patch_radius": 2, "search_radius": 4, "k": 0.5}
    noise = suggest(frames[0], noise=model, **fixed).noise
    got = list(denoise_frames(frames, noise=model, temporal_radius=0, **fixed))
    if noise is None:  # white
        sigma = suggest(frames[0], noise=model, **fixed).sigma
        expected = [denoise(frame, sigma=sigma, **fixed) for frame in frames]
    else:
        expected = [denoise(frame, noise=noise, **fixed) for frame in frames]
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=2e-6 * PEAK)


def test_what_is_left_out_is_chosen_as_for_the_first_frame() -> None:
    frames = photons(CAMERA, 2)
    got = next(denoise_frames(frames, noise="poisson", temporal_radius=0))
    np.testing.assert_array_equal(got, denoise(frames[0], noise="poisson", passes=1))


@pytest.mark.filterwarnings("ignore:the noise grows with brightness")
def test_a_model_and_the_frames_around_both_help() -> None:
    frames = photons(CAMERA, 5)
    alone = psnr(denoise(frames[2], noise="poisson"), CAMERA)
    white = psnr(list(denoise_frames(frames))[2], CAMERA)
    both = psnr(list(denoise_frames(frames, noise="poisson"))[2], CAMERA)
    assert both > alone + 1.0
    assert both > white + 1.5


def test_scenes_have_models_of_their_own_and_do_not_mix() -> None:
    first, second = photons(CAMERA, 3), [3 * frame for frame in photons(COINS, 3, 9)]
    apart = [*denoise_frames(first, noise="poisson"), *denoise_frames(second, noise="poisson")]
    together = list(denoise_frames([*first, *second], noise="poisson"))
    for got, expected in zip(together, apart, strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4)


def test_frames_in_units_of_different_noise_are_not_averaged() -> None:
    """As behind a flash, where a scene goes on and its noise is estimated once more."""
    image = photons(CAMERA, 1)[0]
    one, same, other = (
        Film(2, "cpu", {"noise": NoiseModel("poisson", gain=g)}).frame(image) for g in (1.0, 1.0, 1.01)
    )
    assert match(one, replace(same, number=1)) is not None
    assert match(one, replace(other, number=2)) is None


def test_colours_types_and_blend_are_as_of_pictures() -> None:
    clean = np.stack([CAMERA, 0.5 * CAMERA + 4, COINS], axis=-1) * 10
    frames = [np.random.default_rng(t).poisson(clean).astype(np.uint16) for t in range(2)]
    model = NoiseModel("poisson", gain=(1.0, 1.0, 1.0))
    got = list(denoise_frames(frames, noise=model, temporal_radius=0, channel_axis=-1, blend=0.2))
    expected = denoise(frames[0], noise=model, channel_axis=-1, blend=0.2, passes=1)
    assert got[0].dtype == np.uint16
    np.testing.assert_array_equal(got[0], expected)


def test_a_level_contradicts_a_model_in_films_too() -> None:
    with pytest.raises(InvalidValueError, match="level of white noise"):
        next(denoise_frames(photons(CAMERA, 1), noise="poisson", sigma=1.0))


# --- batches that share settings -------------------------------------------------------------


@pytest.mark.parametrize("noise", ["poisson", "auto", NoiseModel("poisson", gain=1.0)], ids=str)
def test_a_batch_shares_one_model(noise: Any) -> None:
    """The round trip of `suggest`; the model is nearer to the truth than that of a single small picture."""
    batch = np.stack(photons(CAMERA[:64, :64], 4))
    chosen = suggest(batch, batch_axis=0, share="settings", noise=noise)
    assert chosen.noise is not None
    assert chosen.noise.kind == "poisson"
    assert chosen.noise.gain == pytest.approx(1.0, rel=0.1)
    shared = denoise(batch, batch_axis=0, share="settings", noise=noise)
    np.testing.assert_array_equal(denoise(batch, batch_axis=0, **chosen.to_dict()), shared)
    alone = denoise(batch[0], **chosen.to_dict())
    np.testing.assert_array_equal(shared[0], alone)


@pytest.mark.parametrize("method", ["nlmeans", "nlridge"])
def test_strength_and_channels_of_a_batch_are_kept(method: str) -> None:
    batch = np.stack([photons(10 * CAMERA, 3, 3 * c) for c in range(2)], axis=-1)
    more: dict[str, Any] = {"noise": "poisson", "strength": 1.5, "method": method, "channel_axis": -1}
    chosen = suggest(batch, batch_axis=0, share="settings", **more)
    shared = denoise(batch, batch_axis=0, share="settings", **more)
    again = denoise(batch, batch_axis=0, channel_axis=-1, **chosen.to_dict())
    np.testing.assert_array_equal(again, shared)
    weaker = denoise(batch, batch_axis=0, share="settings", **{**more, "strength": 0.7})
    assert np.std(shared - batch) > np.std(weaker - batch)


@pytest.mark.parametrize(
    "noise", ["auto", NoiseModel("gaussian"), NoiseModel("gaussian", sigma=2.0)], ids=str
)
def test_white_noise_of_a_batch_is_shared_as_without_a_model(noise: Any) -> None:
    rng = np.random.default_rng(0)
    batch = np.stack([5 * CAMERA + rng.normal(0, s, CAMERA.shape) for s in (1.5, 2.5)])
    sigma = getattr(noise, "sigma", None)
    expected = denoise(batch, batch_axis=0, share="settings", sigma=sigma)
    np.testing.assert_array_equal(denoise(batch, batch_axis=0, share="settings", noise=noise), expected)


def test_pictures_of_which_some_are_masked_are_measured_together() -> None:
    batch = np.stack(photons(CAMERA, 3))
    mask = np.ones(batch.shape, bool)
    mask[1, :40] = False
    batch[1, :40] = 500.0
    chosen = suggest(batch, batch_axis=0, share="settings", noise="poisson", mask=mask)
    assert chosen.noise is not None
    assert chosen.noise.gain == pytest.approx(1.0, rel=0.1)
