"""Films through the CUDA backend, on CuPy's stand-in: frames of NumPy and of CuPy, held against the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from skimage import data

from nlmeans import InvalidValueError, denoise_frames

from ..cuda_emulator.emulator import COMPILER
from ..cupy_stand_in import Array, FakeCuPy, install

pytestmark = pytest.mark.usefixtures("fresh_cuda")

SIGMA = 0.1
CAMERA = (data.camera() / 255).astype(np.float32)
COINS = (data.coins() / 255).astype(np.float32)
FIXED: dict[str, Any] = {"sigma": SIGMA, "k": 0.45, "patch_radius": 1, "search_radius": 2}


def noisy(clean: np.ndarray, seed: int) -> np.ndarray:
    return (clean + np.random.default_rng(seed).normal(0, SIGMA, clean.shape)).astype(np.float32)


def film(step: int, count: int = 4, side: int = 40, picture: np.ndarray = CAMERA) -> list[np.ndarray]:
    """Noisy crops of a picture, each so many columns further."""
    return [noisy(picture[100 : 100 + side, 150 + step * t :][:, : side + 8], step + t) for t in range(count)]


def results(frames: list[Any], backend: str, **settings: Any) -> list[np.ndarray]:
    return [getattr(f, "values", f) for f in denoise_frames(frames, backend=backend, **{**FIXED, **settings})]


def assert_same(frames: list[np.ndarray], **settings: Any) -> None:
    got, expected = (results(frames, name, **settings) for name in ("cuda", "reference"))
    for a, b in zip(got, expected, strict=True):
        assert isinstance(a, np.ndarray)
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-6 * float(np.ptp(frames[0])))


@pytest.mark.skipif(COMPILER is None, reason="the emulator needs g++ on the PATH")
@pytest.mark.parametrize("aggregate", ["patch", "pixel"])
def test_the_kernels_denoise_a_moving_film_with_a_cut(
    monkeypatch: pytest.MonkeyPatch, aggregate: str
) -> None:
    fake = install(monkeypatch, FakeCuPy())
    assert_same([*film(5, 3), *film(0, 2, picture=COINS)], temporal_radius=1, aggregate=aggregate)
    assert "accumulate" in {launch.kernel for launch in fake.emulator.launched}


@pytest.mark.parametrize("step", [0, 3, 9])
@pytest.mark.parametrize("radius", [0, 2])
def test_frames_are_those_of_the_reference(fake: FakeCuPy, step: int, radius: int) -> None:
    assert_same(film(step), temporal_radius=radius)


@pytest.mark.parametrize("settings", [{}, {"color": "joint"}, {"passes": 2}], ids=str)
def test_colour_and_passes(fake: FakeCuPy, settings: dict[str, Any]) -> None:
    astronaut = data.astronaut() / 255
    frames = [noisy(astronaut[50:80, 100 + 4 * t : 136 + 4 * t], t) for t in range(3)]
    assert_same(frames, temporal_radius=1, channel_axis=-1, **settings)


def test_each_frame_goes_up_once_and_comes_down_once(fake: FakeCuPy) -> None:
    frames = [np.rint(255 * f).clip(0, 255).astype(np.uint8) for f in film(3)]
    got = results(frames, "cuda", sigma=255 * SIGMA)
    assert {f.dtype.name for f in got} == {"uint8"}
    pixels, size = 4 * frames[0].size, len(frames)
    moved = [(what, name) for what, name, bytes_ in fake.log if bytes_ >= frames[0].nbytes]
    assert moved.count(("up", "uint8")) == size
    assert moved.count(("down", "uint8")) == size
    assert moved.count(("down", "float32")) == size  # what motion is sought by
    assert sum(bytes_ for what, _, bytes_ in fake.log if what == "up") < 2 * pixels


@pytest.mark.parametrize("backend", ["cuda", "auto"])
def test_frames_of_cupy_stay_on_the_device(fake: FakeCuPy, backend: str) -> None:
    frames = film(4)
    given = [Array(f) for f in frames]
    before = fake.moved("up")
    got = list(denoise_frames(given, backend=backend, **FIXED))
    assert fake.moved("up") - before < frames[0].nbytes
    for a, b in zip(got, results(frames, "reference"), strict=True):
        assert isinstance(a, Array)
        np.testing.assert_allclose(a.values, b, rtol=0, atol=2e-6)


def test_frames_of_two_libraries_are_refused(fake: FakeCuPy) -> None:
    frames = film(0, 2)
    with pytest.raises(InvalidValueError, match=r"float32 numpy after .* float32 cupy"):
        list(denoise_frames([Array(frames[0]), frames[1]], backend="cuda", **FIXED))
