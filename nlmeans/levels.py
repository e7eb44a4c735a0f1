"""The levels of an image, without its noise or its data: offset, unit, data range, and what fills holes."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlmeans.arrays import Array, dtype_name, namespace, to_numpy

Ends = tuple[list[float], list[float]]  #: smallest and largest valid value of each channel
SPREADS = 8  # more than so many spreads away a value is an outlier: no part of the data range
_SAMPLE = 2**14  # values from which the spread, from 0.1 to 99.9 % of them, is read
# Bytes: 12 megapixels of float32 take 1.8 ms in pieces of 2^18 to 2^20, 5.9 ms as a whole (2-core AMD EPYC
# with 1 MB of cache for each, 2026-11-30)
_PIECE = 2**19
FAR = 1e4  # data ranges: the kernels' least weight, 2^-64, over the least sum, 2^-20, times this is 6e-10


@dataclass(frozen=True)
class Levels:
    """A constant per channel and a power of two that bring an image near [-1, 1] without rounding.

    Chosen once for the whole image and handed to every tile and frame.  The offset is 0 unless every value
    lies between half and three halves of it: such a difference is exact.  So values differ from one another
    in a tile as they do in the image, however far others are from them.
    """

    offset: tuple[float, ...]
    unit: float
    data_range: float

    @classmethod
    def of(cls, ends: Ends | None, dtype: np.dtype[Any], channels: int) -> Levels:
        """From the smallest and largest valid values; None where no pixel is valid."""
        if ends is None:
            return cls((0.0,) * channels, 1.0, 0.0)
        low, high = ends
        middle = [_offset(a, b, dtype) for a, b in zip(low, high, strict=True)]
        half = max(high) / 2 - min(low) / 2
        exponent = math.frexp(half)[1] if half > 0 else 0
        reach = 126 if dtype.itemsize < 8 else 1000  # 2^-reach and 2^reach are normal numbers of the type
        return cls(
            tuple(middle),
            math.ldexp(1.0, min(max(exponent, -reach), reach)),
            min(2 * half, sys.float_info.max),
        )

    def of_channel(self, channel: int) -> Levels:
        """Those of one channel, in the same unit; its data range is at most that of all."""
        return Levels((self.offset[channel],), self.unit, self.data_range)

    def of_differences(self, channels: int) -> Levels:
        """Those of sums and differences of channels whose offset is taken off."""
        return Levels((0.0,) * channels, self.unit, self.data_range)

    def down(self, channels: Array, dtype: str) -> Array:
        """Values near [-1, 1], in the type the kernels work in."""
        xp = namespace(channels)
        wide = channels if dtype_name(channels) == "float64" else channels.astype(dtype, copy=False)
        offset = xp.asarray(self.offset, dtype=wide.dtype).reshape(-1, 1, 1, 1)
        scaled = wide * wide.dtype.type(1 / self.unit)
        if any(self.offset):
            scaled -= offset * wide.dtype.type(1 / self.unit)
        with np.errstate(over="ignore"):  # of values that are beyond use, and invalid
            return scaled.astype(dtype, copy=False)

    def changed(self, pixels: Array, change: Array) -> Array:
        """The image's pixels and a change in this unit, in their type: integers half to even, and clipped.

        The change may be overwritten.  Where it is 0 the pixels are as they were, to the bit.
        """
        xp, dtype = namespace(change), pixels.dtype
        with np.errstate(over="ignore"):  # of invalid pixels
            result = change.astype(np.float64 if dtype.itemsize > 4 else np.float32, copy=False)
            result *= result.dtype.type(-self.unit)
            result -= pixels
            result *= -1  # not the sum of the two: -0.0 would become 0.0
            if dtype.kind != "f":
                limits = np.iinfo(dtype)
                xp.rint(result, out=result)
                xp.clip(result, limits.min, limits.max, out=result)
            return result.astype(dtype, copy=False)


def _offset(low: float, high: float, dtype: np.dtype[Any]) -> float:
    """The middle, in the image's type, where it is far enough from 0 for differences to it to be exact."""
    middle = low / 2 + high / 2
    if abs(middle) <= 2 * (high / 2 - low / 2):
        return 0.0
    return float(dtype.type(middle)) if dtype.kind == "f" else middle


def ends(channels: Array, mask: Array | None) -> Ends | None:
    """Smallest and largest valid value of each channel of (C, Z, Y, X); None where no pixel is valid.

    Without a mask they are NaN or infinite where the image is: one pass finds both.
    """
    if mask is not None:
        if not bool(mask.any()):
            return None
        channels = channels[:, mask][:, None, None]
    xp = namespace(channels)
    pieces = [channels] if xp is not np else _pieces(channels)
    low, high = (xp.stack(each) for each in zip(*map(_ends_of_piece, pieces), strict=True))
    low, high = to_numpy(xp.stack([low.min(axis=0), high.max(axis=0)]))  # one transfer, not two
    return [float(v) for v in low], [float(v) for v in high]


def _pieces(channels: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Rows of (C, Z, Y, X) that stay in the cache while they are read twice."""
    row = channels.itemsize * channels.shape[0] * channels.shape[3]
    rows = max(1, _PIECE // max(row, 1))
    for z in range(channels.shape[1]):
        for top in range(0, channels.shape[2], rows):
            yield channels[:, z : z + 1, top : top + rows]


def _ends_of_piece(channels: Array) -> tuple[Array, Array]:
    """The same of a piece; rows first where channels are interleaved, which is faster there."""
    if channels.strides[-1] == channels.itemsize:
        return channels.min(axis=(1, 2, 3)), channels.max(axis=(1, 2, 3))
    return channels.min(axis=(1, 2)).min(axis=1), channels.max(axis=(1, 2)).max(axis=1)


def ends_without_outliers(channels: Array, mask: Array | None, found: Ends) -> Ends:
    """The ends once more, without values that are far from all but one in a thousand others.

    Such a value (a fill value, a dead or a hot pixel) must not decide the precision of the others.
    """
    low, high = list(found[0]), list(found[1])
    for c, (first, last) in enumerate(zip(*found, strict=True)):
        least, most = _spread(channels[c], mask)
        room = SPREADS * (most - least)
        if room <= 0 or last - first <= room:
            continue
        channel = channels[c] if mask is None else channels[c][mask]
        inside = channel[(channel >= least - room) & (channel <= most + room)]
        low[c], high[c] = float(inside.min()), float(inside.max())
    return low, high


def _spread(channel: Array, mask: Array | None) -> tuple[float, float]:
    """The values that 0.1 % and 99.9 % of a sample are below; one value more or less does not move them."""
    wide = sum(n > 1 for n in channel.shape)
    step = math.ceil((channel.size / _SAMPLE) ** (1 / max(wide, 1)))
    at = tuple(slice(None, None, step) for _ in channel.shape)
    values = channel[at].ravel() if mask is None else channel[at][mask[at]]
    if values.size <= 2:
        values = channel.ravel() if mask is None else channel[mask]
    xp = namespace(channel)
    beyond = max(1, values.size // 1000) if values.size > 2 else 0
    ordered = np.partition(values, (beyond, -1 - beyond)) if xp is np else xp.sort(values)
    least, most = to_numpy(xp.stack([ordered[beyond], ordered[-1 - beyond]]))  # one transfer
    return float(least), float(most)


def filled(channels: Array, mask: Array, patch_radius: tuple[int, ...]) -> Array:
    """Channels with invalid pixels replaced by the mean of the valid ones in the box around them.

    The box has the patch's radius, doubled until it holds a valid pixel; float32 or float64.
    """
    xp = namespace(channels)
    work = channels.astype(np.float64)
    work = xp.where(mask, work, 0)
    result, missing = work.copy(), ~mask
    radius = tuple(max(r, 1) if n > 1 else 0 for r, n in zip(patch_radius, mask.shape, strict=True))
    while bool(missing.any()):
        count = box_sum(mask.astype(np.float64)[None], radius)[0]
        found = missing & (count > 0.5)
        mean = box_sum(work, radius) / xp.maximum(count, 1)
        result = xp.where(found, mean, result)
        missing = missing & ~found
        radius = tuple(2 * r for r in radius)
    return result if dtype_name(channels) == "float64" else result.astype(np.float32)


def box_sum(channels: Array, radius: tuple[int, ...]) -> Array:
    """Sums over boxes cut at the edges, by differences of running sums along (Z, Y, X)."""
    xp = namespace(channels)
    for axis, r in enumerate(radius, start=1):
        n = channels.shape[axis]
        running = xp.cumsum(channels, axis=axis)
        zero = xp.zeros_like(xp.take(running, xp.arange(1), axis=axis))
        running = xp.concatenate([zero, running], axis=axis)
        index = xp.arange(n)
        upper = xp.take(running, xp.minimum(index + r + 1, n), axis=axis)
        channels = upper - xp.take(running, xp.maximum(index - r, 0), axis=axis)
    return channels
