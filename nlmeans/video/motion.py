"""How far a frame has moved as a whole against another, and whether the two show the same."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Plane = NDArray[np.float32]
Shift = tuple[int, int]

_COARSEST = 96  # samples along the longer side of the plane whose shift is found by phase correlation
_PEAKS = 4  # places of the correlation that are tried
_OVERLAP = 0.25  # of the frame that a shift must leave
_BLOCK = 8  # side of the blocks whose best match is sought
_BLOCKS = 16  # blocks along each axis, at most
_CELL = 16  # side of the cells whose means are compared
_REACH = 4  # samples that a block may have moved besides the frame


@dataclass(frozen=True, eq=False)
class Look:
    """What motion is found by: the mean of a frame's channels, from fine to coarse."""

    plane: Plane

    @cached_property
    def pyramid(self) -> list[Plane]:
        """Each level is the mean of 2 x 2 samples of the one before."""
        levels = [self.plane]
        while max(levels[-1].shape) > _COARSEST and min(levels[-1].shape) >= 2 * _BLOCK:
            fine = levels[-1]
            h, w = (n // 2 * 2 for n in fine.shape)
            fine = fine[:h, :w]
            four = fine[::2, ::2] + fine[1::2, ::2] + fine[::2, 1::2] + fine[1::2, 1::2]
            levels.append(four * np.float32(0.25))
        return levels

    @cached_property
    def spectrum(self) -> NDArray[np.complex128]:
        """Of the coarsest level, faded out towards its border."""
        coarse = self.pyramid[-1]
        window = np.outer(*(np.hanning(n + 2)[1:-1] for n in coarse.shape))
        found: NDArray[np.complex128] = np.fft.rfft2((coarse - coarse.mean()) * window)
        return found


def shift_between(here: Look, there: Look) -> Shift:
    """(dy, dx) so that `there` at x + shift shows what `here` shows at x, to the nearest sample.

    Phase correlation finds it on the coarsest level (Kuglin and Hines 1975); on each finer one the best of
    the nine neighbours is taken, by the mean squared difference where the two overlap.
    """
    coarse = len(here.pyramid) - 1
    best = min(_candidates(here, there), key=lambda s: _difference(here, there, coarse, s))
    for level in range(coarse - 1, -1, -1):
        around = [(2 * best[0] + y, 2 * best[1] + x) for y in (0, -1, 1) for x in (0, -1, 1)]
        best = min(around, key=lambda s: _difference(here, there, level, s))
    return best


def _candidates(here: Look, there: Look) -> list[Shift]:
    """Standing still, and the peaks of the phase correlation."""
    cross = there.spectrum * np.conj(here.spectrum)
    shape = here.pyramid[-1].shape
    peaks = np.fft.irfft2(cross / np.maximum(np.abs(cross), 1e-12), shape)
    found: list[Shift] = [(0, 0)]
    for flat in np.argsort(peaks, axis=None)[: -_PEAKS - 1 : -1]:
        y, x = (int(i) for i in np.unravel_index(int(flat), shape))
        found.append((y - shape[0] if y > shape[0] // 2 else y, x - shape[1] if x > shape[1] // 2 else x))
    return found


def overlap(shape: tuple[int, ...], shift: Shift) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The samples that have a counterpart, and those counterparts."""
    (h, w), (y, x) = shape, shift
    here = slice(max(0, -y), min(h, h - y)), slice(max(0, -x), min(w, w - x))
    return here, (slice(max(0, y), min(h, h + y)), slice(max(0, x), min(w, w + x)))


def _difference(here: Look, there: Look, level: int, shift: Shift) -> float:
    """The mean squared difference where both are; infinite where that is too little."""
    a, b = here.pyramid[level], there.pyramid[level]
    i, j = overlap(a.shape, shift)
    if any(s.stop <= s.start for s in i) or a[i].size < _OVERLAP * a.size:
        return math.inf
    return float(np.mean(np.square(a[i] - b[j])))


@dataclass(frozen=True)
class Gate:
    """When a frame shows the same as another: noise of the compared planes, and their range."""

    sigma: float
    data_range: float

    def light(self, here: Look, there: Look, shift: Shift) -> float | None:
        """How much lighter `here` is, where most blocks are found again within the noise; else None.

        It is less than what noise and a thousandth of the range make: more is a fade, and not the same.

        The median of the best distances of blocks holds against cuts; the means of cells, which the noise
        moves little, against fades and flashes.
        """
        i, j = overlap(here.plane.shape, shift)
        a, b = here.plane[i], there.plane[j]
        if a.size < _OVERLAP * here.plane.size:
            return None
        change = self._change_of_light(a, b)
        return change if change is not None and self._blocks_match(a, b) else None

    def _change_of_light(self, a: Plane, b: Plane) -> float | None:
        """The median difference of the means of cells; None where these differ by more than noise."""
        side = min(_CELL, *a.shape)
        h, w = (n // side * side for n in a.shape)
        cells = (a - b)[:h, :w].reshape(h // side, side, w // side, side).mean((1, 3))
        noise = math.sqrt(2) * self.sigma / side
        change = float(np.median(cells))
        spread = float(np.median(np.square(cells))) / 0.455  # the median of a squared normal variable
        error = 1.25 * noise / math.sqrt(cells.size)  # of the median of a normal variable
        steady = abs(change) <= 0.001 * self.data_range + 3 * error
        same = steady and spread <= 1.6 * noise**2 + (0.01 * self.data_range) ** 2
        return change if same else None

    def _blocks_match(self, a: Plane, b: Plane) -> bool:
        """Whether the median of the best distances of blocks is that of noise."""
        starts = [_places(n) for n in a.shape]
        if not all(len(s) for s in starts):
            return True
        side = _BLOCK + 2 * _REACH
        corners = np.meshgrid(*(start - _REACH for start in starts), indexing="ij")
        y, x = (c.ravel() for c in corners)
        # each block's surroundings gathered once, blocks last, so that those moved are slices of them
        around = sliding_window_view(b, (side, side))[y, x].transpose(1, 2, 0).copy()
        own = sliding_window_view(a, (_BLOCK, _BLOCK))[y + _REACH, x + _REACH].transpose(1, 2, 0).copy()
        best = np.full(own.shape[2], np.inf, np.float32)
        for dy in range(2 * _REACH + 1):
            for dx in range(2 * _REACH + 1):
                change = own - around[dy : dy + _BLOCK, dx : dx + _BLOCK]
                np.minimum(best, np.einsum("yxn,yxn->n", change, change), out=best)
        best *= np.float32(1 / _BLOCK**2)
        return float(np.median(best)) <= 2 * 1.15 * self.sigma**2 + (0.005 * self.data_range) ** 2


def _places(n: int) -> NDArray[np.intp]:
    """First samples of blocks that may move inside n samples."""
    last = n - _BLOCK - _REACH
    count = min(_BLOCKS, (last - _REACH) // _BLOCK + 1)
    return np.linspace(_REACH, last, max(count, 0)).astype(np.intp)
