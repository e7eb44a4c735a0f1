"""NL-means on a block of planes: pairs of planes to a backend, centre rule and division around it.

This is the one driver of every backend and dimension: a signal is a picture of height 1, a volume
is pairs of planes, and a patch deep in z is the neighbouring planes stacked as channels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np

from nlmeans.arrays import namespace
from nlmeans.backends.contract import Array, Backend, PlanePair, Run, Sums
from nlmeans.parameters import Parameters
from nlmeans.similarity import CENTRE_FLOOR

LOG2_E = math.log2(math.e)  # the kernels' weights are powers of 2
_STRIP = 64  # rows


@dataclass(frozen=True, eq=False)
class Block:
    """A piece of the image as the kernels want it: channels first, then (Z, Y, X)."""

    feature: Array  # (C, Z, Y, X) what is compared; may be `value` itself
    value: Array  # (V, Z, Y, X) what is averaged
    vote: Array  # (Z, Y, X) 1 where a pixel may be averaged, else 0
    scale: float | Array  # makes the patch distance an exponent of 2; or (Z, Y, X), per query pixel
    bias: float | Array  # exponents up to this count as 0: 2 sigma^2 in their unit; or (Z, Y, X)

    def exponent(self, index: Any) -> tuple[Any, Any]:
        """Scale and bias of a plane or pixel: its part of an array, or the number for all."""
        scale, bias = (x if isinstance(x, float) else x[index] for x in (self.scale, self.bias))
        return scale, bias


@dataclass(frozen=True)
class Geometry:
    """Radii along (Z, Y, X) and the rules of one filter."""

    patch_radius: tuple[int, int, int]
    search_radius: tuple[int, int, int]
    patch: str
    center: str
    aggregate: str

    @classmethod
    def of(cls, parameters: Parameters, grid: tuple[int, ...]) -> Geometry:
        """The radii of a grid of one to three axes, with 0 along the axes it lacks."""
        missing = (0,) * (3 - len(grid))
        p = parameters
        return cls(
            (*missing, *p.patch_radii(len(grid))),  # type: ignore[arg-type]
            (*missing, *p.search_radii(grid)),  # type: ignore[arg-type]
            p.patch,
            p.center,
            p.aggregate,
        )

    @property
    def halo(self) -> tuple[int, int, int]:
        """How far a pixel's result looks along (Z, Y, X); patches are aggregated in plane only."""
        times = (1, 2, 2) if self.aggregate == "patch" else (1, 1, 1)
        (z, y, x) = (b + t * r for b, t, r in zip(self.search_radius, times, self.patch_radius, strict=True))
        return z, y, x

    def calls(self, planes: int) -> int:
        """Kernel calls for this many planes, for progress."""
        return planes * (2 * self.search_radius[0] + 1) * (2 if self.aggregate == "patch" else 1)


def taps(radius: int, patch: str, dtype: Any) -> np.ndarray:
    """Weights of a patch along one axis: flat, or a Gaussian of standard deviation r/2; sum 1."""
    offsets = np.arange(-radius, radius + 1)
    if patch == "box" or radius == 0:
        weights = np.ones(len(offsets))
    else:
        weights = np.exp(-((offsets / (radius / 2)) ** 2) / 2)
    normalised: np.ndarray = (weights / weights.sum()).astype(dtype)
    return normalised


def filtered(block: Block, planes: range, geometry: Geometry, backend: Backend, run: Run) -> Array:
    """The filtered values (V, len(planes), Y, X) of some of the block's planes; where not valid, any."""
    xp = namespace(block.value)
    results = [_plane(block, z, geometry, backend, run, xp) for z in planes]
    return results[0][:, None] if len(results) == 1 else xp.stack(results, axis=1)


def _plane(block: Block, z: int, geometry: Geometry, backend: Backend, run: Run, xp: Any) -> Array:
    """One plane: sums over the window, the centre rule, then one division."""
    if geometry.aggregate == "patch":
        return _plane_of_patches(block, z, geometry, backend, run, xp)
    own = _sums(
        backend.accumulate(p, run, peak=geometry.center == "max") for p in _pairs(block, z, geometry, xp)
    )
    result, total = own.numerator, own.denominator
    for rows in _strips(block, xp):
        centre = _centre([own.peak], rows, geometry.center, xp)
        result[:, rows] += centre * block.value[:, z, rows]
        total[rows] += centre
        result[:, rows] /= total[rows]
    return result


def _plane_of_patches(block: Block, z: int, geometry: Geometry, backend: Backend, run: Run, xp: Any) -> Array:
    """One plane where patches vote for all of their pixels: the sums of their weights, then the values."""
    firsts = [
        backend.accumulate(replace(p, value=p.value[:0]), run, peak=geometry.center == "max")
        for p in _pairs(block, z, geometry, xp)
    ]
    known = firsts[0]  # what is not needed again makes room
    centre = xp.empty_like(known.denominator) if known.peak is None else known.peak
    normaliser = known.denominator if len(firsts) == 1 else xp.empty_like(known.denominator)
    for rows in _strips(block, xp):
        centre[rows] = _centre([s.peak for s in firsts], rows, geometry.center, xp)
        total = reduce(xp.add, [s.denominator[rows] for s in firsts], centre[rows])
        xp.divide(block.vote[z, rows], total, out=normaliser[rows])  # who is not valid casts no estimates

    whole = len(firsts) == 1  # one pair holds the whole window
    tokens = [None if whole else first.token for first in firsts]
    both = _sums(
        backend.aggregate(p, run, normaliser, centre if p.own else None, token)
        for p, token in zip(_pairs(block, z, geometry, xp), tokens, strict=True)
    )
    result = both.numerator
    for rows in _strips(block, xp):
        total = both.denominator[rows]
        total[total <= 0] = 1
        result[:, rows] /= total
    return result


def _strips(block: Block, xp: Any) -> Iterator[slice]:
    """Rows to work on at a time outside the kernels: on a processor what fits its caches, else all."""
    height = block.vote.shape[1]
    step = _STRIP if xp is np else height
    return (slice(first, first + step) for first in range(0, height, step))


def _centre(peaks: list[Array | None], rows: slice, rule: str, xp: Any) -> Array | float:
    """A pixel's weight for itself, in some rows: the rule, but at least the floor."""
    if rule == "max":
        return reduce(xp.maximum, [peak[rows] for peak in peaks if peak is not None], CENTRE_FLOOR)
    return 1.0 if rule == "one" else CENTRE_FLOOR


def _pairs(block: Block, z: int, geometry: Geometry, xp: Any) -> Iterator[PlanePair]:
    """Plane z against every plane of its search window."""
    depth = block.vote.shape[0]
    reach = geometry.search_radius
    dtype = block.value.dtype
    down, along = (taps(r, geometry.patch, dtype) for r in geometry.patch_radius[1:])
    query = _stacked(block.feature, z, geometry, xp)
    scale, bias = block.exponent(z)
    for other in range(max(0, z - reach[0]), min(depth, z + reach[0] + 1)):
        yield PlanePair(
            query=query,
            key=query if other == z else _stacked(block.feature, other, geometry, xp),
            value=block.value[:, other],
            vote=block.vote[other],
            radius=reach[1:],
            taps=(down, along),
            bias=bias,
            scale=scale,
            own=other == z,
        )


def _stacked(feature: Array, z: int, geometry: Geometry, xp: Any) -> Array:
    """The planes of a patch around z, reflected by index at the ends, as channels."""
    depth = feature.shape[1]
    radius = geometry.patch_radius[0]
    if radius == 0:
        return feature[:, z]
    weights = np.sqrt(taps(radius, geometry.patch, np.float64))
    planes = [
        feature[:, _folded(z + o, depth)] * float(w)
        for o, w in zip(range(-radius, radius + 1), weights, strict=True)
    ]
    return xp.concatenate(planes, axis=0)


def _folded(index: int, n: int) -> int:
    """Symmetric reflection of an index into [0, n)."""
    index %= 2 * n
    return index if index < n else 2 * n - 1 - index


def _sums(each: Iterator[Sums]) -> Sums:
    """The sums of several planes together, in order."""
    total = next(each)
    for more in each:
        total.numerator += more.numerator
        total.denominator += more.denominator
        if total.peak is not None and more.peak is not None:
            total.peak = namespace(total.peak).maximum(total.peak, more.peak)
    return total
