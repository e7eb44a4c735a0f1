"""What NL-Ridge works on: channels of a plane in units of their noise, and where its references lie."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from nlmeans.arrays import Array, namespace
from nlmeans.backends.groups import Grid

_LEAST_VARIANCE = 1e-5  # of the largest in a map: no matrix is singular where there is no noise
_FILLED = 8.0  # variance of a pixel that was filled in, in that of the noise: patches with many count less


@dataclass(frozen=True)
class Place:
    """Where a tile lies."""

    origin: tuple[int, ...]  # its first pixel
    whole: tuple[int, ...]  # the shape of the image


@dataclass(frozen=True)
class Step:
    """How one step finds and takes its patches."""

    patch: int  # samples of a patch along an axis
    partners: int  # patches of a group, the reference among them
    radius: int  # of the window in which they are sought
    stride: int  # pixels from one reference to the next

    @property
    def reach(self) -> int:
        """How far from a pixel its change looks: to a patch on it, its reference, and that one's partners."""
        return 2 * self.radius + self.patch - 1


@dataclass(frozen=True, eq=False)
class Part:
    """Some channels of one plane of a tile, in units of their noise."""

    values: Array  # (V, Y, X), holes filled
    variance: Array | None  # (Y, X) of the noise; None: 1 everywhere
    vote: Array  # (Y, X) 1 where a pixel is valid, else 0
    place: Place

    @classmethod
    def of(cls, values: Array, variance: Array | None, vote: Array, place: Place) -> Part:
        """With a floor for the variance, and that of holes."""
        xp = namespace(values)
        if variance is not None:
            variance = xp.maximum(variance, _LEAST_VARIANCE)
        if not bool(vote.all()):
            variance = xp.where(vote > 0, 1.0 if variance is None else variance, _FILLED)
        return cls(values, None if variance is None else variance.astype(values.dtype), vote, place)

    def of_channels(self, channels: slice) -> Part:
        """Some of the channels."""
        return replace(self, values=self.values[channels])

    def variances(self, patch: tuple[int, int], channels: int) -> Array:
        """The variance of a patch's samples, summed: at the first pixel of each, or one number for all."""
        if self.variance is None:
            return namespace(self.values).asarray([channels * math.prod(patch)], dtype=self.values.dtype)
        return (channels * sums(self.variance, patch)).astype(self.values.dtype)

    def barred(self, patch: tuple[int, int]) -> Array | None:
        """Infinite where more than half of a patch was filled in, which is no partner then, else 0."""
        if bool(self.vote.all()):
            return None
        where, missing = namespace(self.vote).where, 2 * sums(self.vote, patch) < math.prod(patch)
        return where(missing, np.inf, 0).astype(self.values.dtype)


def sums(plane: Array, patch: tuple[int, int]) -> Array:
    """Sums over patches, at their first pixels; of what of them lies in the plane."""
    result = plane.astype(np.float64)
    for axis, size in enumerate(patch):
        along = result.swapaxes(axis, 0)
        total = along.copy()
        for o in range(1, size):
            total[: len(along) - o] += along[o:]
        result = total.swapaxes(axis, 0)
    return result


def grid_of(step: Step, part: Part) -> Grid:
    """The references in a tile: at multiples of the stride in the whole image, and where it ends."""
    height, width = part.values.shape[1:]
    py, px = (min(step.patch, whole) for whole in part.place.whole)
    (top, left), (bottom, right) = part.place.origin, part.place.whole
    rows = _starts(height, py, step.stride, top, bottom)
    return Grid((height, width), (py, px), rows, _starts(width, px, step.stride, left, right))


def _starts(length: int, patch: int, stride: int, origin: int, whole: int) -> Array:
    """First pixels of references along an axis of a tile; the last patch of the image ends with it."""
    absolute = np.append(np.arange(0, whole - patch, stride), whole - patch)
    return (absolute[(absolute >= origin) & (absolute <= origin + length - patch)] - origin).astype(np.int32)
