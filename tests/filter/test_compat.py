"""The scikit-image call against scikit-image's own slow mode, where the definitions agree."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data
from skimage.restoration import denoise_nl_means as theirs

import nlmeans
from nlmeans.compat import denoise_nl_means as ours

CAMERA = data.camera()[100:148, 200:256]


def noisy(dtype=np.float64, shape=CAMERA.shape):
    rng = np.random.default_rng(3)
    return (CAMERA / 255 + rng.normal(0, 0.05, shape)).astype(dtype)


@pytest.mark.parametrize("patch_size", [3, 5, 7])
@pytest.mark.parametrize("sigma", [0.0, 0.05])
def test_slow_mode_agrees_but_for_its_approximate_exponential(patch_size, sigma):
    image, distance = noisy(), 4
    inner = (slice(distance + patch_size // 2, -distance - patch_size // 2),) * 2  # borders differ
    settings = {"patch_size": patch_size, "patch_distance": distance, "h": 0.1, "sigma": sigma}
    expected = theirs(image, fast_mode=False, **settings)[inner]

    def rms(result):
        return np.sqrt(np.mean((result[inner] - expected) ** 2))

    difference = rms(ours(image, fast_mode=False, **settings))
    assert difference < 4e-4  # its exponential is off by up to 4 %
    assert rms(ours(image, fast_mode=True, **settings)) > 10 * difference
    assert rms(ours(image, fast_mode=False, **settings | {"h": 0.095})) > 2 * difference
    assert rms(ours(image, fast_mode=False, **settings | {"sigma": sigma + 0.05})) > 2 * difference


def test_slow_mode_agrees_for_channels():
    rng = np.random.default_rng(4)
    image = data.astronaut()[:40, :44] / 255 + rng.normal(0, 0.05, (40, 44, 3))
    settings = {"patch_size": 5, "patch_distance": 3, "h": 0.1, "fast_mode": False, "channel_axis": -1}
    inner = (slice(6, -6), slice(6, -6))
    np.testing.assert_allclose(ours(image, **settings)[inner], theirs(image, **settings)[inner], atol=4e-3)


def test_fast_mode_is_a_true_patch_of_the_size_asked_for():
    image = noisy()
    a = ours(image, patch_size=5, patch_distance=4, h=0.1)
    b = nlmeans.denoise(
        image, sigma=0, h=0.1, patch_radius=2, search_radius=4, center="one", aggregate="pixel"
    )
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
def test_integers_are_rescaled_as_theirs_are(dtype):
    image = (noisy().clip(0, 1) * 100).astype(dtype)
    data_range = 100 / np.iinfo(dtype).max
    a, b = (
        f(image, patch_size=3, patch_distance=2, h=data_range / 10, fast_mode=False) for f in (ours, theirs)
    )
    np.testing.assert_allclose(a[4:-4, 4:-4], b[4:-4, 4:-4], atol=0.01 * data_range)
    kept = ours(image, patch_size=3, patch_distance=2, h=30.0, preserve_range=True)
    assert kept.max() > 50


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [(np.float16, np.float32), (np.float32, np.float32), (np.float64, np.float64), (bool, np.float64)],
)
def test_the_result_is_floating_point_of_their_type(dtype, expected):
    image = (noisy() > 0.5) if dtype is bool else noisy(dtype)
    assert ours(image, patch_size=3, patch_distance=2).dtype == expected


def test_axes_of_length_one_are_kept():
    assert ours(np.zeros((1, 40)), patch_size=3, patch_distance=2).shape == (1, 40)


@pytest.mark.parametrize(
    "bad",
    [
        {"patch_size": 4},
        {"patch_size": -3},
        {"patch_size": 0},
        {"patch_distance": -1},
        {"patch_distance": 2.5},
        {"h": float("nan")},
        {"sigma": -1},
    ],
)
def test_what_crashes_or_is_silent_there_is_refused(bad):
    with pytest.raises(nlmeans.NLMeansError, match=next(iter(bad))):
        ours(noisy(), **bad)
