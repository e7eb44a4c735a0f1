"""Films: the frames of a window, held against volumes and single frames; cuts, flashes and fades; memory."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from skimage import data

from nlmeans import InvalidTypeError, InvalidValueError, denoise, denoise_frames

SIGMA = 0.1
CAMERA = (data.camera() / 255).astype(np.float32)
COINS = (data.coins()[:128, :128] / 255).astype(np.float32)
FIXED: dict[str, Any] = {"sigma": SIGMA, "k": 0.45, "patch_radius": 2, "search_radius": 3}


def noisy(clean: np.ndarray, seed: int) -> np.ndarray:
    return (clean + np.random.default_rng(seed).normal(0, SIGMA, clean.shape)).astype(np.float32)


def pan(step: int, count: int = 5, side: int = 96) -> list[np.ndarray]:
    """Crops of a picture, each so many columns further."""
    return [CAMERA[100 : 100 + side, 150 + step * t :][:, :side] for t in range(count)]


def film(clean: list[np.ndarray], first: int = 0) -> list[np.ndarray]:
    return [noisy(frame, first + i) for i, frame in enumerate(clean)]


def error(image: np.ndarray, clean: np.ndarray) -> float:
    return float(10 * np.log10(np.mean((image - clean) ** 2)))


def in_light(frame: np.ndarray, like: np.ndarray, there: Any = np.s_[:], here: Any = np.s_[:]) -> np.ndarray:
    """A frame as light as another by the median of the means of cells, where both show the same."""
    difference = like[here] - frame[there]
    h, w = (n // 16 * 16 for n in difference.shape)
    cells = difference[:h, :w].reshape(h // 16, 16, w // 16, 16).mean((1, 3))
    return frame + np.median(cells)


def test_a_still_film_is_a_volume() -> None:
    """Its frames are the planes, and patches lie in them."""
    frames = film(pan(0))
    radii: dict[str, Any] = {"patch_radius": (0, 2, 2), "search_radius": (2, 3, 3)}
    for t, got in enumerate(denoise_frames(frames, **FIXED)):
        volume = np.stack([frame if i == t else in_light(frame, frames[t]) for i, frame in enumerate(frames)])
        expected = denoise(volume, sigma=SIGMA, k=0.45, **radii)[t]
        np.testing.assert_allclose(got, expected, rtol=0, atol=2e-6)


def test_without_other_frames_each_is_denoised_alone() -> None:
    frames = film(pan(5, 3))
    for got, frame in zip(denoise_frames(frames, temporal_radius=0, **FIXED), frames, strict=True):
        np.testing.assert_allclose(got, denoise(frame, **FIXED), rtol=0, atol=2e-6)


@pytest.mark.parametrize("step", [0, 3, 9])
def test_frames_help_each_other_where_the_picture_moves_too(step: int) -> None:
    clean = pan(step)
    frames = film(clean)
    alone = [denoise(frame, sigma=SIGMA) for frame in frames]
    together = list(denoise_frames(frames, sigma=SIGMA))
    for i in (0, 2, 4):
        assert error(together[i], clean[i]) < error(alone[i], clean[i]) - 0.7


def moved_by_hand(frames: list[np.ndarray]) -> np.ndarray:
    """Three frames of a pan of 9 columns, where the one in the middle is, and as light."""
    before, after = np.s_[:, :-9], np.s_[:, 9:]
    first = in_light(frames[0], frames[1], after, before)
    lit = first, frames[1], in_light(frames[2], frames[1], before, after)
    return np.stack([np.roll(frame, 9 * (t - 1), 1) for t, frame in enumerate(lit)])


def test_a_moving_frame_is_averaged_where_it_has_moved_to() -> None:
    """Frames without an edge: what a window moved by hand gives, where all partners lie in the frame."""
    frames = film(pan(9, 3, 80))
    got = list(denoise_frames(frames, temporal_radius=1, **FIXED))[1]
    rolled = moved_by_hand(frames)
    radii: dict[str, Any] = {"patch_radius": (0, 2, 2), "search_radius": (1, 3, 3)}
    expected = denoise(rolled, sigma=SIGMA, k=0.45, **radii)[1]
    inner = np.s_[:, 9 + 7 : -9 - 7]
    np.testing.assert_allclose(got[inner], expected[inner], rtol=0, atol=2e-6)


def test_a_cut_keeps_scenes_apart() -> None:
    """Each scene comes out as if there were no other, to the bit."""
    first, second = film(pan(3)), film([COINS[:96, :96]] * 4, 20)
    apart = [*denoise_frames(first, sigma=SIGMA), *denoise_frames(second, sigma=SIGMA)]
    together = denoise_frames([*first, *second], sigma=SIGMA)
    for got, expected in zip(together, apart, strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=2e-6)


def test_a_flash_has_no_part_in_the_frames_around_it() -> None:
    frames = film(pan(0))
    dark, bright = ([*frames[:2], other, *frames[3:]] for other in (frames[2] - 0.5, frames[2] + 0.4))
    for i, (a, b) in enumerate(
        zip(denoise_frames(dark, sigma=SIGMA), denoise_frames(bright, sigma=SIGMA), strict=True)
    ):
        if i != 2:
            np.testing.assert_allclose(a, b, rtol=0, atol=2e-6)


def test_a_fade_is_followed() -> None:
    """No frame takes light from those before and after it."""
    clean = [frame * (1 - 0.08 * t) for t, frame in enumerate(pan(0))]
    frames = film(clean)
    for got, alone in zip(
        denoise_frames(frames, **FIXED), (denoise(f, **FIXED) for f in frames), strict=True
    ):
        assert np.abs(got - alone).max() <= 0.001


@pytest.mark.parametrize("sigma", [25 / 255, 50 / 255])
@pytest.mark.parametrize("rate", [0.002, 0.004, 0.006])
def test_a_slow_fade_gives_no_light_to_the_frames_around(rate: float, sigma: float) -> None:
    """Less than a thousandth of the range, where noise hides the change from frame to frame."""
    rng, picture = np.random.default_rng(0), CAMERA[100:356, 100:356]
    frames = [
        (picture * (1 - rate * t) + rng.normal(0, sigma, picture.shape)).astype(np.float32) for t in range(4)
    ]
    settings: dict[str, Any] = {**FIXED, "sigma": sigma}
    for got, frame in zip(denoise_frames(frames, **settings), frames, strict=True):
        assert abs(float(np.mean(got - denoise(frame, **settings)))) < 0.0006


@pytest.mark.parametrize("count", range(7))
@pytest.mark.parametrize("radius", [0, 1, 2, 5])
def test_as_many_frames_come_out_as_went_in(count: int, radius: int) -> None:
    frames = film(pan(0, count, 16))
    got = list(denoise_frames(iter(frames), temporal_radius=radius, **FIXED))
    assert [g.shape for g in got] == [f.shape for f in frames]


def test_no_more_frames_are_kept_than_the_window_has() -> None:
    made: list[weakref.ref[np.ndarray]] = []
    read = 0

    def frames() -> Iterator[np.ndarray]:
        nonlocal read
        for clean in pan(0, 20, 24):
            frame = noisy(clean, read)
            read += 1
            made.append(weakref.ref(frame))
            yield frame
            del frame

    for done, _ in enumerate(denoise_frames(frames(), temporal_radius=1, **FIXED), start=1):
        assert read <= done + 1
        gc.collect()
        assert sum(frame() is not None for frame in made) <= 3


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float64"])
def test_frames_come_back_in_their_type(kind: str) -> None:
    scale = {"uint8": 255, "uint16": 65535}.get(kind, 1)
    whole = np.rint if scale > 1 else np.asarray
    frames = [np.clip(whole(f * scale), 0, scale).astype(kind) for f in film(pan(2, 3, 64))]
    for got, frame in zip(denoise_frames(frames, sigma=SIGMA * scale), frames, strict=True):
        assert got.dtype == frame.dtype
        assert np.std(got.astype(float) - frame) > 0.5 * SIGMA * scale


def test_colour_films() -> None:
    astronaut = data.astronaut() / 255
    clean = [astronaut[50:146, 100 + 4 * t : 196 + 4 * t] for t in range(3)]
    frames = film(clean)
    for settings in ({}, {"color": "joint"}, {"color": "separate"}, {"passes": 2}):
        chosen: dict[str, Any] = {"sigma": SIGMA, "channel_axis": -1, **settings}
        got = list(denoise_frames(frames, temporal_radius=1, **chosen))[1]
        assert error(got, clean[1]) < error(denoise(frames[1], **chosen), clean[1]) - 0.4


def test_the_number_of_workers_changes_no_bit() -> None:
    frames = film(pan(3, 4, 80))
    one, many = (list(denoise_frames(frames, sigma=SIGMA, workers=n)) for n in (1, 5))
    assert [a.tobytes() for a in one] == [b.tobytes() for b in many]


def test_frames_without_noise_or_strength_come_back() -> None:
    frames = pan(1, 4, 32)
    for settings in ({"sigma": 0.0, "h": 0.0}, {"sigma": 0.1, "k": 0.0}):
        for got, frame in zip(denoise_frames(frames, **settings), frames, strict=True):
            assert got.tobytes() == np.ascontiguousarray(frame).tobytes()


def test_what_are_no_frames_is_refused() -> None:
    good = noisy(COINS[:20, :20], 0)
    with pytest.raises(InvalidValueError, match="one shape and type"):
        list(denoise_frames([good, good[:10]], **FIXED))
    with pytest.raises(InvalidValueError, match="one shape and type"):
        list(denoise_frames([good, good.astype(float)], **FIXED))
    with pytest.raises(InvalidValueError, match="two axes"):
        list(denoise_frames([np.zeros((5, 5, 5))], **FIXED))
    with pytest.raises(InvalidTypeError, match="array"):
        list(denoise_frames([[1.0, 2.0]], **FIXED))  # type: ignore[list-item]
    with pytest.raises(InvalidValueError, match="method"):
        denoise_frames([good], sigma=0.1, method="nlridge")
    for name, value in (("guide", good), ("mask", good > 0), ("nan", "keep")):
        with pytest.raises(InvalidValueError, match=name):
            denoise_frames([good], **FIXED, **{name: value})  # type: ignore[arg-type]
    for radius in (-1, 17, 1.5):
        with pytest.raises((InvalidValueError, InvalidTypeError), match="temporal_radius"):
            denoise_frames([good], temporal_radius=radius, **FIXED)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unexpected"):
        denoise_frames([good], sigmaa=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("aggregate", ["pixel", "patch"])
def test_what_lies_outside_a_moved_frame_is_no_candidate(aggregate: str) -> None:
    """To the border as a volume whose frames are moved by hand, with a mask where they end."""
    frames = film(pan(9, 3, 80))
    settings: dict[str, Any] = {"sigma": SIGMA, "k": 2.0, "aggregate": aggregate}
    radii = {"patch_radius": 0, "search_radius": 3}
    got = list(denoise_frames(frames, temporal_radius=1, **settings, **radii))[1]
    moved = moved_by_hand(frames)
    mask = np.ones(moved.shape, bool)
    mask[0, :, -9:] = mask[2, :, :9] = False
    expected = denoise(moved, mask=mask, patch_radius=0, search_radius=(1, 3, 3), **settings)[1]
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-6)
