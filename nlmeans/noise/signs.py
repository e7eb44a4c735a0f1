"""Noise that the filter is not made for: copied pixels, impulses, rows that differ as a whole."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from nlmeans.errors import Parameter
from nlmeans.noise.patches import Bools, Floats

Sign = tuple[str, ...]  # the parts of a warning
COPIES: Sign = (
    "neighbouring pixels are copies: the image seems to be enlarged by repeating them. Reduce it to its own "
    "pixels, denoise those, and enlarge again",
)
IMPULSES: Sign = (
    "this looks like impulse noise (salt and pepper), which `denoise` replaces with ",
    Parameter('impulses="replace"'),
)
ROWS: Sign = (
    "rows seem to be brighter or darker as a whole (banding), which patches cannot tell from the image: "
    "subtract the median of each row first",
)
COLUMNS: Sign = (
    "columns seem to be brighter or darker as a whole (banding), which patches cannot tell from the image: "
    "subtract the median of each column first",
)
_SIDE = 160  # of the part in the middle that is looked at
_LONGEST = 4  # copies in a row
_IMPULSES, _FAR = 0.004, 6.0  # part of the pixels; distance from the median around in those of others
_BANDS, _PART, _ALIKE = 5.0, 0.2, 3.0  # strength over its deviation, over the noise, over the other direction
_WEAK = 0.005  # of the range: weaker bands are not to be seen
# Lag-one correlation of second differences of independent values is -2/3; of what an image shows it is more
_INDEPENDENT = (-0.85, -0.5)


@dataclass(frozen=True)
class Signs:
    """What the middle of an image shows."""

    steps: tuple[int, ...] = (1, 1, 1)  # how many times each pixel stands along each axis; 1 is the usual
    words: tuple[Sign, ...] = ()
    weak: float = 0.0  # noise of less is not to be seen

    @classmethod
    def of(cls, channel: NDArray[Any], valid: Bools | None, axes: tuple[int, int]) -> Signs:
        """Of the plane along two axes of (Z, Y, X)."""
        cut = [
            slice((n - _SIDE) // 2, (n - _SIDE) // 2 + _SIDE) if axis in axes and n > _SIDE else slice(None)
            for axis, n in enumerate(channel.shape)
        ]
        cut[3 - sum(axes)] = slice(channel.shape[3 - sum(axes)] // 2, channel.shape[3 - sum(axes)] // 2 + 1)
        part = channel[tuple(cut)]
        plane = part.reshape([n for axis, n in enumerate(part.shape) if axis in axes])
        if min(plane.shape) < 16 or not np.isfinite(plane).all():
            return cls()
        if valid is not None and not valid[tuple(cut)].all():
            return cls()
        steps = [1, 1, 1]
        steps[min(axes)], steps[max(axes)] = _period(plane), _period(plane.T)
        if max(steps) > 1:
            plane = plane[:: steps[min(axes)], :: steps[max(axes)]]
        values = plane.astype(np.float64)
        largest = float(np.abs(values).max())
        words = _words(values / largest) if largest > 0 and min(plane.shape) >= 16 else ()
        return cls((steps[0], steps[1], steps[2]), words, _WEAK * float(values.max() - values.min()))


def _period(plane: NDArray[Any]) -> int:
    """Of equal neighbours down the first axis."""
    equal = (plane[1:] == plane[:-1]).mean(axis=1)
    for period in range(2, _LONGEST + 1):
        for phase in range(period):
            border = (np.arange(len(equal)) - phase) % period == 0
            if len(equal) >= 4 * period and equal[~border].min() > 0.98 and equal[border].mean() < 0.5:
                return period
    return 1


def _words(values: Floats) -> tuple[Sign, ...]:
    """What to say of a plane."""
    words = [IMPULSES] if _impulses(values) else []
    down, across = _bands(values), _bands(values.T)
    for own, other, told in ((down, across, ROWS), (across, down, COLUMNS)):
        if own > max(_ALIKE * other, _WEAK * np.ptp(values)):
            words.append(told)
    return tuple(words)


def _impulses(values: Floats) -> bool:
    """Whether some pixels have an extreme value that nothing around them comes near to."""
    around = sliding_window_view(values, (3, 3))[::3, ::3].reshape(-1, 9)
    others = np.sort(around[:, [0, 1, 2, 3, 5, 6, 7, 8]], axis=1)
    away = around[:, 4] - (others[:, 3] + others[:, 4]) / 2
    usual = 1.4826 * np.median(np.abs(away))
    extreme = (around[:, 4] == values.min()) | (around[:, 4] == values.max())
    far = np.abs(away) > _FAR * max(usual, 0.01 * np.ptp(values))
    like = np.abs(others - around[:, 4:5]) < np.abs(away[:, None]) / 2
    alone = np.count_nonzero(like, axis=1) <= 1  # a stroke of a letter goes on
    return float(np.mean(extreme & far & alone)) > _IMPULSES


def _bands(values: Floats) -> float:
    """How strongly rows differ from those beside them as a whole, if they do so independently.

    0 where they do not by far more than noise along the rows explains.
    """
    each = np.median(values[1:-1] - (values[2:] + values[:-2]) / 2, axis=1)
    spread = 1.4826 * float(np.median(np.abs(each)))
    along = values[:, 1:-1] - (values[:, 2:] + values[:, :-2]) / 2
    noise = 1.4826 * float(np.median(np.abs(along[::2, ::2])))
    if noise <= 0 or spread <= max(_BANDS * 1.2533 / math.sqrt(values.shape[1]), _PART) * noise:
        return 0.0
    return spread if _INDEPENDENT[0] < _lag_one(each) < _INDEPENDENT[1] else 0.0


def _lag_one(values: Floats) -> float:
    """Correlation of each value with the next; 0 where one side is constant, as in a regular pattern."""
    first, second = (part - part.mean() for part in (values[1:], values[:-1]))
    scale = math.sqrt(float(first @ first) * float(second @ second))
    return float(first @ second) / scale if scale > 0 else 0.0
