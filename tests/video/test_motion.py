"""Where a frame has moved to, and whether two frames show the same."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data

from nlmeans.video.motion import Gate, Look, overlap, shift_between

CAMERA = (data.camera() / 255).astype(np.float32)
SHIFTS = [(0, 0), (1, 0), (0, -3), (5, 7), (-12, 20), (20, -31), (-40, -17)]


def look(y: int, x: int, sigma: float, seed: int, side: int = 160) -> Look:
    crop = CAMERA[y : y + side, x : x + side + 30]
    return Look((crop + np.random.default_rng(seed).normal(0, sigma, crop.shape)).astype(np.float32))


@pytest.mark.parametrize("sigma", [0.0, 0.1, 0.2])
@pytest.mark.parametrize("shift", SHIFTS)
def test_the_shift_of_a_frame_is_found(shift: tuple[int, int], sigma: float) -> None:
    here, there = look(120, 120, sigma, 0), look(120 - shift[0], 120 - shift[1], sigma, 1)
    assert shift_between(here, there) == shift


@pytest.mark.parametrize("shift", SHIFTS)
def test_what_overlaps_is_the_same(shift: tuple[int, int]) -> None:
    here, there = look(120, 120, 0, 0), look(120 - shift[0], 120 - shift[1], 0, 0)
    i, j = overlap(here.plane.shape, shift)
    np.testing.assert_array_equal(here.plane[i], there.plane[j])
    assert here.plane[i].size == (160 - abs(shift[0])) * (190 - abs(shift[1]))


@pytest.mark.parametrize("sigma", [0.02, 0.1, 0.2])
def test_a_gate_opens_for_the_same_picture_only(sigma: float) -> None:
    gate = Gate(sigma, 1.0)
    here, same, other = look(120, 120, sigma, 0), look(115, 130, sigma, 1), look(300, 250, sigma, 2)
    assert gate.light(here, same, (5, -10)) is not None
    assert gate.light(here, same, (40, 40)) is None
    assert gate.light(here, other, shift_between(here, other)) is None
    for light in (0.05, -0.05):
        assert gate.light(here, Look(same.plane + np.float32(light)), (5, -10)) is None


def test_small_frames_have_a_shift_and_a_gate() -> None:
    for shape in ((1, 1), (1, 40), (7, 5), (9, 200)):
        plane = np.random.default_rng(0).random(shape).astype(np.float32)
        assert shift_between(Look(plane), Look(plane)) == (0, 0)
        assert Gate(0.1, 1.0).light(Look(plane), Look(plane), (0, 0)) is not None


def test_the_light_of_cells_is_not_enough() -> None:
    """Stripes along and across: every cell has the same mean, no block is found again."""
    stripes = np.where(np.arange(96) % 8 < 4, 0.3, 0.7).astype(np.float32)
    along, across = np.tile(stripes, (96, 1)), np.tile(stripes, (96, 1)).T.copy()
    gate = Gate(0.05, 1.0)
    noise = np.random.default_rng(0).normal(0, 0.05, (3, 96, 96)).astype(np.float32)
    assert gate.light(Look(along + noise[0]), Look(along + noise[1]), (0, 0)) is not None
    assert gate.light(Look(along + noise[0]), Look(across + noise[2]), (0, 0)) is None


def test_a_little_more_light_is_measured() -> None:
    gate, here = Gate(0.05, 1.0), look(120, 120, 0.05, 0)
    for light in (0.001, -0.0015):
        found = gate.light(here, Look(look(120, 120, 0.05, 1).plane - np.float32(light)), (0, 0))
        assert found == pytest.approx(light, abs=3 * 1.25 * np.sqrt(2) * 0.05 / np.sqrt(here.plane.size))
