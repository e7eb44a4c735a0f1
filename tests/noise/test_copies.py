"""Images enlarged by repeating their pixels: filtered at their own resolution."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from skimage import data

import nlmeans


def enlarged(times: tuple[int, int], kind: str = "u1", side: int = 96) -> tuple[Any, Any]:
    """The small noisy picture, and the large one."""
    clean = data.camera()[60 : 60 + side, 120 : 120 + side]
    small = np.clip(clean + np.random.default_rng(0).normal(0, 20, clean.shape), 0, 255).astype(kind)
    return small, small.repeat(times[0], 0).repeat(times[1], 1)


@pytest.mark.parametrize("times", [(2, 2), (3, 3), (1, 2), (4, 1)])
@pytest.mark.parametrize("method", ["nlmeans", "nlridge"])
def test_the_result_is_that_of_the_own_pixels_enlarged(times: tuple[int, int], method: str) -> None:
    small, large = enlarged(times, "f4")
    expected = nlmeans.denoise(small, method=method)
    with pytest.warns(UserWarning, match=f"repeated {times[0]} x {times[1]} times: the image was filtered"):
        result = nlmeans.denoise(large, method=method)
    assert np.array_equal(result, expected.repeat(times[0], 0).repeat(times[1], 1))
    chosen = nlmeans.suggest(large, method=method)
    assert chosen.repeats == times
    with pytest.warns(UserWarning, match="repeated"):
        again = nlmeans.denoise(large, **nlmeans.Parameters.from_json(chosen.to_json()).to_dict())
    assert np.array_equal(again, result)


def test_it_is_better_by_far_than_to_filter_the_copies() -> None:
    _, large = enlarged((2, 2))
    clean = data.camera()[60:156, 120:216].repeat(2, 0).repeat(2, 1)
    errors = []
    for options in ({"repeats": 1}, {}):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            errors.append(float(np.mean((nlmeans.denoise(large, **options) - clean.astype(float)) ** 2)))
    assert errors[1] < 0.87 * errors[0]  # 0.8 dB


def test_parts_of_copies_at_the_end_channels_volumes_and_models() -> None:
    small, large = enlarged((2, 2), "f4")
    with pytest.warns(UserWarning, match="2 x 2"):
        cut = nlmeans.denoise(large[:-1, :-1])
    assert cut.shape == (191, 191)
    assert np.array_equal(cut[::2, ::2], nlmeans.denoise(small))
    with pytest.warns(UserWarning, match="2 x 2"):  # a crop that begins within a pixel
        cut = nlmeans.denoise(large[1:, 1:])
    assert np.array_equal(cut, nlmeans.denoise(small).repeat(2, 0).repeat(2, 1)[1:, 1:])
    colour = np.stack([large, large[::-1], large.T])
    assert nlmeans.suggest(colour, channel_axis=0).repeats == (2, 2)
    volume = np.stack([small[:40, :40] + z for z in range(12)]).repeat(2, 0)
    assert nlmeans.suggest(volume).repeats == (2, 1, 1)
    counts = np.random.default_rng(0).poisson(data.camera()[::2, ::2] / 8).repeat(2, 0).repeat(2, 1)
    chosen = nlmeans.suggest(counts.astype(np.float32), noise="poisson")
    assert (chosen.repeats, chosen.noise.gain) == ((2, 2), 1.0)


def test_what_is_not_repeated_or_asked_for_is_left_as_it_is() -> None:
    small, large = enlarged((2, 2), "f4")
    off_by_one = large.copy()
    off_by_one[60, 60] += 1  # one of 36,864 is no copy
    drawing = np.where(np.indices((96, 96)).sum(axis=0) % 32 < 16, 0.0, 255.0)
    for image in (small, off_by_one, drawing, np.full((96, 96), 3.0), data.camera()[:96, :96]):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert nlmeans.suggest(image).repeats is None
    for given in ({"sigma": 20.0}, {"k": 0.5}, {"patch_radius": 1}, {"repeats": 1}):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert nlmeans.suggest(large, **given).repeats in (None, 1)
    assert nlmeans.suggest(large, sigma=20.0, repeats=2).repeats == (2, 2)


@pytest.mark.parametrize(
    ("repeats", "told"), [(3, "no copies"), ((2, 2, 2), "one number"), (0, "repeats must be an integer")]
)
def test_wrong_repeats_are_refused(repeats: Any, told: str) -> None:
    with pytest.raises(nlmeans.InvalidValueError, match=told):
        nlmeans.denoise(enlarged((2, 2))[1], repeats=repeats)


def test_what_has_no_noise_comes_back_in_silence() -> None:
    clean = data.camera()[:64, :64].repeat(2, 0).repeat(2, 1)
    result = nlmeans.denoise(clean, strength=0)
    assert np.array_equal(result, clean)


@pytest.mark.filterwarnings("ignore:each pixel is repeated")
@pytest.mark.parametrize("name", ["mask", "guide", "sigma"])
def test_what_goes_with_the_image_is_without_copies_too(name: str) -> None:
    """It was refused for another grid than "the image's", which it had."""
    small = np.random.default_rng(0).normal(100, 20, (20, 24))
    image, beside = np.kron(small, np.ones((2, 2))), {"mask": small > 80, "guide": small, "sigma": small / 5}
    more = {} if name == "sigma" else {"sigma": 20.0}
    assert nlmeans.denoise(image, repeats=2, **{name: beside[name]}, **more).shape == image.shape
    whole = np.kron(beside[name], np.ones((2, 2))).astype(beside[name].dtype)
    with pytest.raises(
        nlmeans.InvalidValueError, match=rf"repeats filters an image of \(20, 24\) own pixels: give {name}"
    ):
        nlmeans.denoise(image, repeats=2, **{name: whole}, **more)
