"""The scikit-image call against scikit-image's own slow mode, where the definitions agree."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage
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


# --- the axes and types that theirs takes ------------------------------------------------------


@pytest.mark.parametrize("fast_mode", [True, False])
@pytest.mark.parametrize(
    ("shape", "channel_axis"), [((5,), None), ((5, 3), -1), ((5,) * 5, None), ((5,) * 6, -1), ((5,) * 6, 0)]
)
def test_their_error_for_wrong_numbers_of_axes(shape, channel_axis, fast_mode):
    for f in (ours, theirs):
        with pytest.raises(NotImplementedError):
            f(np.zeros(shape), channel_axis=channel_axis, fast_mode=fast_mode)


@pytest.mark.parametrize(("shape", "channel_axis"), [((5,) * 4, -1), ((5,) * 4, None), ((5,) * 5, -1)])
def test_their_error_for_axes_that_only_the_fast_mode_has(shape, channel_axis):
    for f in (ours, theirs):
        with pytest.raises(NotImplementedError):
            f(np.zeros(shape), channel_axis=channel_axis, fast_mode=False)
    with pytest.raises(nlmeans.NLMeansError, match="fast_mode=False"):
        ours(np.zeros(shape), channel_axis=channel_axis, fast_mode=False)


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.int64, np.uint64, np.int8, bool])
def test_any_width_is_taken_as_theirs_is(dtype):
    whole = np.dtype(dtype).kind in "iu"
    full = np.iinfo(dtype).max if whole else 1
    image = (noisy().clip(0, 0.99) * full).astype(dtype) if dtype is not bool else noisy() > 0.5
    a, b = (f(image, patch_size=3, patch_distance=2, h=0.1, fast_mode=False) for f in (ours, theirs))
    assert a.dtype == b.dtype == np.float64
    np.testing.assert_allclose(a[4:-4, 4:-4], b[4:-4, 4:-4], atol=0.01)


def test_lists_are_taken_and_other_things_refused():
    rows = noisy().tolist()
    np.testing.assert_array_equal(ours(rows, patch_distance=2), ours(np.array(rows), patch_distance=2))
    for thing in ("text", None, np.zeros((9, 9), complex)):
        with pytest.raises(nlmeans.NLMeansError):
            ours(thing)


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
@pytest.mark.parametrize("channel_axis", [None, 0, -1])
def test_four_axes_are_the_same_search(axis, channel_axis):
    """An axis of length 1 adds nothing, so that the library's own answer for three axes must come."""
    rng = np.random.default_rng(5)
    volume = rng.normal(size=(6, 8, 7) if channel_axis is None else (6, 8, 7, 2))
    if channel_axis == 0:
        volume = np.moveaxis(volume, -1, 0)
    settings = {"patch_size": 3, "patch_distance": 2, "h": 0.9, "sigma": 0.6, "channel_axis": channel_axis}
    place = axis + (channel_axis == 0)
    found = ours(np.expand_dims(volume, place), **settings)
    assert np.ptp(found) < 0.9 * np.ptp(volume)
    np.testing.assert_allclose(np.squeeze(found, place), ours(volume, **settings), atol=1e-5)


def test_four_axes_by_the_definition():
    """Against one pixel's weighted average, written out."""
    rng = np.random.default_rng(6)
    image, at, radius, h, sigma = rng.normal(size=(5, 4, 6, 5)), (1, 3, 2, 0), 2, 1.1, 0.4
    padded = np.pad(image, 1, mode="symmetric")

    def patch(p):
        return padded[tuple(slice(i, i + 3) for i in p)]

    total = weights = 0.0
    for p in np.ndindex(image.shape):
        if max(abs(a - b) for a, b in zip(p, at, strict=True)) <= radius:
            distance = np.mean((patch(p) - patch(at)) ** 2)
            weight = 1.0 if p == at else np.exp(-max(distance - 2 * sigma**2, 0) / h**2)
            total, weights = total + weight * image[p], weights + weight
    found = ours(image, patch_size=3, patch_distance=radius, h=h, sigma=sigma)
    np.testing.assert_allclose(found[at], total / weights, rtol=1e-12)
    assert ours(image.astype("f4"), patch_size=3, patch_distance=1).dtype == np.float32
    np.testing.assert_array_equal(ours(image, h=0.0, patch_distance=1), image)
    image[0, 0, 0, 0] = np.nan
    with pytest.raises(nlmeans.NLMeansError, match="finite"):
        ours(image, patch_size=3, patch_distance=1)


# --- scikit-image's own tests, where its source is ---------------------------------------------

SOURCE = Path(os.environ.get("NLMEANS_SKIMAGE_SOURCE", "."))  # a folder with scikit-image's source or wheel
PLACES = (
    Path(skimage.__file__).parent / "restoration/tests/test_denoise.py",  # releases before 0.26 install them
    SOURCE / "tests/skimage/restoration/test_denoise.py",
    SOURCE / "skimage/restoration/tests/test_denoise.py",
)
RUN = """
import sys, pytest, skimage.restoration
from nlmeans.compat import denoise_nl_means
skimage.restoration.denoise_nl_means = denoise_nl_means
options = ["-k", "nl_means or small_h", "-q", "-p", "no:cacheprovider"]
options += ["--noconftest", "--import-mode=importlib"]
sys.exit(pytest.main([sys.argv[1], "-c", sys.argv[2], *options]))
"""


def test_their_own_tests_pass_on_ours(tmp_path):
    """37 tests of theirs, and 4 that a tiny h removes nothing."""
    found = [path for path in PLACES if path.is_file()]
    if not found:
        pytest.skip(
            "this scikit-image is installed without its tests; unpack its source and name the folder in "
            "NLMEANS_SKIMAGE_SOURCE (pip download --no-deps --no-binary :all: scikit-image)"
        )
    (tmp_path / "empty.ini").write_text("[pytest]\n")
    command = [sys.executable, "-c", RUN, str(found[0]), str(tmp_path / "empty.ini")]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-4000:]
    assert " failed" not in run.stdout
    assert int(run.stdout.split(" passed")[0].split()[-1]) >= 37
