"""Batches: each picture alone, with its own or with shared settings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nlmeans import InvalidTypeError, InvalidValueError, denoise, suggest

RNG = np.random.default_rng(0)
BATCH = RNG.normal(0, [[[1.0]], [[2.0]], [[0.5]]], (3, 20, 24)) + np.linspace(0, 9, 24)
FIXED: dict[str, Any] = {"patch_radius": 1, "search_radius": 2}


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_each_picture_is_denoised_alone(axis: int) -> None:
    image = np.moveaxis(BATCH, 0, axis)
    got = np.moveaxis(denoise(image, batch_axis=axis), axis, 0)
    for result, picture in zip(got, BATCH, strict=True):
        np.testing.assert_array_equal(result, denoise(picture))


@pytest.mark.parametrize(("batch_axis", "channel_axis"), [(0, -1), (0, 1), (1, 0), (-1, 0), (3, 2)])
def test_channels_are_where_they_were(batch_axis: int, channel_axis: int) -> None:
    pictures = RNG.normal(size=(4, 10, 12, 3))  # batch, rows, columns, channels
    image = np.moveaxis(pictures, (0, 3), (batch_axis, channel_axis))
    got = denoise(image, batch_axis=batch_axis, channel_axis=channel_axis, sigma=1.0, **FIXED)
    got = np.moveaxis(got, (batch_axis, channel_axis), (0, 3))
    for result, picture in zip(got, pictures, strict=True):
        np.testing.assert_allclose(result, denoise(picture, channel_axis=2, sigma=1.0, **FIXED), atol=1e-6)


def test_sigma_mask_and_guide_are_shared_or_one_for_each() -> None:
    each = np.array([1.0, 2.0, 0.5])
    masks = RNG.random(BATCH.shape) > 0.2
    maps, guide = RNG.random(BATCH.shape) + 0.5, np.cumsum(BATCH, 0)
    together: list[tuple[dict[str, Any], Any]] = [
        ({"sigma": each}, lambda i: {"sigma": each[i]}),
        ({"sigma": 1.0, "mask": masks}, lambda i: {"sigma": 1.0, "mask": masks[i]}),
        ({"sigma": 1.0, "mask": masks[0]}, lambda i: {"sigma": 1.0, "mask": masks[0]}),
        ({"sigma": maps}, lambda i: {"sigma": maps[i]}),
        ({"sigma": maps[1]}, lambda i: {"sigma": maps[1]}),
        ({"sigma": 1.0, "guide": guide}, lambda i: {"sigma": 1.0, "guide": guide[i]}),
        ({"sigma": 1.0, "guide": guide[2]}, lambda i: {"sigma": 1.0, "guide": guide[2]}),
    ]
    for given, own in together:
        got = denoise(BATCH, batch_axis=0, **given, **FIXED)
        for i, result in enumerate(got):
            np.testing.assert_array_equal(result, denoise(BATCH[i], **own(i), **FIXED))


def test_a_mask_of_a_batch_has_no_channels() -> None:
    image, mask = RNG.normal(size=(2, 3, 9, 8)), RNG.random((2, 9, 8)) > 0.3
    got = denoise(image, batch_axis=0, channel_axis=1, mask=mask, sigma=1.0, **FIXED)
    for i in range(2):
        alone = denoise(image[i], channel_axis=0, mask=mask[i], sigma=1.0, **FIXED)
        np.testing.assert_array_equal(got[i], alone)


def test_settings_can_be_shared() -> None:
    shared, apart = denoise(BATCH, batch_axis=0, share="settings"), denoise(BATCH, batch_axis=0)
    # the least noisy picture is smoothed more by the noise of all, the noisiest less
    assert np.std(shared[2] - BATCH[2]) > np.std(apart[2] - BATCH[2])
    assert np.std(shared[1] - BATCH[1]) < np.std(apart[1] - BATCH[1])
    equal = np.stack([BATCH[0]] * 2)
    np.testing.assert_allclose(
        denoise(equal, batch_axis=0, share="settings")[1], denoise(BATCH[0]), atol=1e-9
    )


def test_shared_settings_are_what_suggest_gives() -> None:
    """The round trip of `suggest`; the first picture alone gets the same where sigma is given."""
    for more in (
        {},
        {"strength": 1.5},
        {"method": "nlridge", "strength": 1.5},
        {"sigma": 1.0, "strength": 0.7},
    ):
        chosen = suggest(BATCH, batch_axis=0, share="settings", **more)
        shared = denoise(BATCH, batch_axis=0, share="settings", **more)
        np.testing.assert_array_equal(denoise(BATCH, batch_axis=0, **chosen.to_dict()), shared)
        if "sigma" in more:
            np.testing.assert_array_equal(shared[0], denoise(BATCH[0], **more))


def test_shared_settings_of_colours_have_two_strengths() -> None:
    image = RNG.normal(100, 10, (2, 24, 26, 3)) + np.indices((24, 26)).sum(0)[..., None]
    more: dict[str, Any] = {"batch_axis": 0, "channel_axis": -1, "strength": (1.0, 1.5), "color": "luminance"}
    shared = denoise(image, share="settings", **more)
    chosen = suggest(image, share="settings", **more)
    again = denoise(image, batch_axis=0, channel_axis=-1, **chosen.to_dict())
    np.testing.assert_array_equal(again, shared)


def test_a_sigma_for_each_picture_stays_one() -> None:
    each = np.array([1.0, 2.0, 0.5])
    chosen = suggest(BATCH, batch_axis=0, share="settings", sigma=each)
    assert chosen.sigma is None
    got = denoise(BATCH, batch_axis=0, **{**chosen.to_dict(), "sigma": each})
    np.testing.assert_array_equal(got, denoise(BATCH, batch_axis=0, share="settings", sigma=each))


@pytest.mark.filterwarnings("ignore:two estimates of sigma disagree")
def test_shared_noise_that_neighbours_have_in_common_stays_so() -> None:
    """Blurred noise raises k; two equal pictures that share settings get what one alone gets."""
    noise = np.random.default_rng(1).normal(0, 1, (160, 160))
    for axis in (0, 1):
        noise = np.apply_along_axis(np.convolve, axis, noise, [1.0, 4.0, 6.0, 4.0, 1.0], "same")
    picture = 100 + 40 * np.sin(np.indices(noise.shape).sum(0) / 25) + 10 * noise / noise.std()
    alone = suggest(picture)
    shared = suggest(np.stack([picture] * 2), batch_axis=0, share="settings")
    assert alone.k > 1.2 * suggest(picture, sigma=alone.sigma).k
    assert shared.k == pytest.approx(alone.k, rel=1e-3)


def test_suggest_has_one_answer_or_says_why_not() -> None:
    with pytest.raises(InvalidValueError, match="share"):
        suggest(BATCH, batch_axis=0)
    with pytest.raises(InvalidValueError, match="batch_axis"):
        suggest(BATCH, share="settings")
    with pytest.raises(InvalidValueError, match="noise"):
        suggest(BATCH, batch_axis=0, share="noise")
    with pytest.raises(TypeError, match="wrong"):
        suggest(BATCH, batch_axis=0, share="settings", wrong=1)


def test_progress_is_that_of_the_batch() -> None:
    told: list[float] = []
    denoise(BATCH, batch_axis=0, sigma=1.0, progress=told.append, **FIXED)
    assert told == sorted(told)
    assert told[-1] == 1.0


@pytest.mark.parametrize("axis", [3, -4, 1.0, True, "0"])
def test_what_is_no_axis_is_refused(axis: Any) -> None:
    with pytest.raises((InvalidValueError, InvalidTypeError), match="batch_axis"):
        denoise(BATCH, batch_axis=axis, sigma=1.0)


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="differ"):
        denoise(BATCH, batch_axis=0, channel_axis=0)
    with pytest.raises(InvalidValueError, match="share"):
        denoise(BATCH, batch_axis=0, share="noise")
    with pytest.raises(InvalidValueError, match="batch_axis"):
        denoise(BATCH, share="settings")
    with pytest.raises(InvalidValueError, match="3 pictures"):
        denoise(BATCH, batch_axis=0, sigma=np.array([1.0, 2.0]))


def test_an_array_of_four_axes_with_channels_is_a_volume_and_that_is_said() -> None:
    pictures = RNG.normal(size=(3, 9, 8, 2))
    for call in (denoise, suggest):
        with pytest.warns(UserWarning, match="volume of several channels; give batch_axis"):
            call(pictures, channel_axis=-1, sigma=1.0, **FIXED)
    with pytest.warns(UserWarning, match="volume"):
        said = denoise(pictures, channel_axis=-1, sigma=1.0, **FIXED)
    three = {"patch_radius": (1, 1, 1), "search_radius": (2, 2, 2)}  # whoever gives these knows it
    np.testing.assert_array_equal(denoise(pictures, channel_axis=-1, sigma=1.0, **three), said)
    denoise(pictures, channel_axis=-1, batch_axis=0, sigma=1.0, **FIXED)
    denoise(RNG.normal(size=(2, 3, 9, 8, 2)), channel_axis=-1, batch_axis=0, sigma=1.0, **FIXED)


def test_a_tensor_of_four_axes_with_channels_says_what_it_is() -> None:
    torch = pytest.importorskip("torch")
    pictures = RNG.normal(size=(2, 3, 9, 8)).astype(np.float32)
    settings: dict[str, Any] = {"channel_axis": 1, "sigma": 1.0, **FIXED}
    with pytest.raises(InvalidValueError, match="batch_axis=0"):
        denoise(torch.from_numpy(pictures), **settings)
    with pytest.raises(InvalidValueError, match="batch_axis=0"):
        suggest(torch.from_numpy(pictures), **settings)
    mask = RNG.random((2, 9, 8)) > 0.2
    got = denoise(torch.from_numpy(pictures), batch_axis=0, mask=torch.from_numpy(mask), **settings)
    assert isinstance(got, torch.Tensor)
    expected = denoise(pictures, batch_axis=0, mask=mask, **settings)
    np.testing.assert_array_equal(got.numpy(), expected)
    volumes = torch.from_numpy(RNG.normal(size=(2, 3, 4, 9, 8)))
    assert denoise(volumes, batch_axis=0, **settings).shape == volumes.shape
