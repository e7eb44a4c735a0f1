"""An image as blocks the kernels can work on, and their results back in the image's own type."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nlmeans.arrays import Array, dtype_name, namespace, to_numpy
from nlmeans.backends.contract import Transfers
from nlmeans.inputs import Inputs
from nlmeans.planes import LOG2_E, Block
from nlmeans.tiling import Cost

_GREATEST_BIAS = {"float32": 1e37, "float64": 1e300}  # finite, and beyond any scaled distance
_GREATEST_SCALE = 1e30  # beyond, features are scaled instead, to the root of it: float32 ends at 3e38
_LEAST_STRENGTH = {"float32": 1e-12, "float64": 1e-100}  # of the span: keeps scaled features finite


@dataclass(frozen=True)
class Levels:
    """A constant per channel and a power of two that bring an image near [-1, 1] without rounding.

    Chosen once for the whole image and handed to every tile and frame.
    """

    offset: tuple[float, ...]
    unit: float
    span: float

    @classmethod
    def of(cls, channels: Array, vote: Array | None) -> Levels:
        """The levels of the finite, voting pixels of (C, Z, Y, X)."""
        if vote is not None and not bool(vote.any()):
            return cls((0.0,) * channels.shape[0], 1.0, 0.0)
        low, high = _extremes(channels, vote)
        floating = channels.dtype.kind == "f"
        middle = [a / 2 + b / 2 for a, b in zip(low, high, strict=True)]
        if floating:  # representable in the image's type, so that a constant image is 0 exactly
            middle = [float(channels.dtype.type(m)) for m in middle]
        half = max(high) / 2 - min(low) / 2
        exponent = math.frexp(half)[1] if half > 0 else 0
        reach = 126 if dtype_name(channels) != "float64" else 1000
        return cls(
            tuple(middle),
            math.ldexp(1.0, min(max(exponent, -reach), reach)),
            min(2 * half, sys.float_info.max),
        )

    def down(self, channels: Array, dtype: str) -> Array:
        """Values near [-1, 1], in the type the kernels work in."""
        xp = namespace(channels)
        wide = channels if dtype_name(channels) == "float64" else channels.astype(dtype, copy=False)
        offset = xp.asarray(self.offset, dtype=wide.dtype).reshape(-1, 1, 1, 1)
        scaled = wide * wide.dtype.type(1 / self.unit)
        scaled -= offset * wide.dtype.type(1 / self.unit)
        return scaled.astype(dtype, copy=False)

    def up(self, values: Array, dtype: Any) -> Array:
        """The way back, in place where types allow: integers are rounded half to even and clipped."""
        xp = namespace(values)
        restored = values.astype(np.float64 if np.dtype(dtype).itemsize > 4 else np.float32, copy=False)
        restored *= restored.dtype.type(self.unit)
        restored += xp.asarray(self.offset, dtype=restored.dtype).reshape(-1, 1, 1, 1)
        if np.dtype(dtype).kind != "f":
            limits = np.iinfo(dtype)
            xp.rint(restored, out=restored)
            xp.clip(restored, limits.min, limits.max, out=restored)
        return restored.astype(dtype, copy=False)


@dataclass(frozen=True, eq=False)
class Noise:
    """The noise and the strength against it, in the units of what is compared."""

    sigma: Any  # a tuple: one, or one per channel; or a map (Z, Y, X)
    h: float | None  # None: k sigma
    k: float
    correction: float | None = None  # sigma of the 2 sigma^2 term, where it is another: a guide's

    @property
    def is_map(self) -> bool:
        return not isinstance(self.sigma, tuple)

    @property
    def largest(self) -> float:
        """The greatest sigma."""
        return max(self.sigma) if isinstance(self.sigma, tuple) else float(self.sigma.max())

    @property
    def strengths(self) -> tuple[float, ...]:
        """The greatest h anywhere; or k sigma of each channel."""
        if self.h is not None:
            return (self.h,)
        return tuple(self.k * s for s in self.sigma) if not self.is_map else (self.k * self.largest,)

    def corrected_ratio(self, h: float) -> float:
        """sigma / h in the correction 2 sigma^2 / h^2."""
        if self.correction is not None:
            return self.correction / h
        if self.is_map or len(self.sigma) > 1:
            return 1 / self.k
        return float(self.sigma[0]) / h

    @property
    def level(self) -> float:
        """The root mean square of sigma over channels or a map."""
        if not self.largest:
            return 0.0
        each = np.asarray(self.sigma if isinstance(self.sigma, tuple) else to_numpy(self.sigma), np.float64)
        return self.largest * math.sqrt(float(np.mean((each / self.largest) ** 2)))

    @property
    def changes_nothing(self) -> bool:
        """Whether the strength is 0, which returns the image."""
        return self.h == 0 or (self.h is None and (self.k == 0 or self.largest == 0))


@dataclass(frozen=True, eq=False)
class Prepared:
    """An image ready to be cut into blocks, and to be put together again."""

    value: Array  # (V, Z, Y, X) of the image, in its own type
    feature: Array  # (C, Z, Y, X) of the image or its guide, holes filled
    vote: Array | None  # (Z, Y, X) bool, None: every pixel is valid
    value_levels: Levels
    feature_levels: Levels
    noise: Noise
    dtype: str  # floating type of the kernels

    @classmethod
    def of(cls, inputs: Inputs, noise: Noise, patch_radius: tuple[int, ...], dtype: str) -> Prepared:
        """Levels and holes of an image, for kernels that work in `dtype`."""
        levels = Levels.of(inputs.value, inputs.vote)
        feature_levels = Levels.of(inputs.feature, inputs.vote) if inputs.guided else levels
        feature = inputs.feature
        if inputs.vote is not None:
            feature = filled(feature, inputs.vote, patch_radius)
        return cls(inputs.value, feature, inputs.vote, levels, feature_levels, noise, dtype)

    @property
    def cost(self) -> Cost:
        """Bytes a pixel takes: the block's arrays, and a plane's sums and the kernel's scratch."""
        size = np.dtype(self.dtype).itemsize
        values, features = self.value.shape[0], self.feature.shape[0]
        return Cost(size * (values + features + 2), size * (3 * values + 2 * features + 8))

    def store(
        self, values: Array, result: Array, core: Sequence[slice], moving: Transfers | None = None
    ) -> None:
        """Write a tile's values into the result, in the image's type; invalid pixels as they were."""
        restored = self.value_levels.up(values, result.dtype)
        if moving is None:
            self._put(restored, result, core)
        else:
            moving.down(restored, lambda there: self._put(there, result, core))

    def _put(self, restored: Array, result: Array, core: Sequence[slice]) -> None:
        at = (slice(None), *core)
        if self.vote is not None:
            xp = namespace(result)
            restored = xp.where(self.vote[at[1:]], restored, self.value[at])
        for there, here in zip(result[at], restored, strict=True):  # 3 times faster into interleaved ones
            there[...] = here

    def block(self, region: Sequence[slice], to: Any, moving: Transfers | None = None) -> Block:
        """The block of a region, as arrays of the namespace `to`."""
        at = (slice(None), *region)
        bring = to.asarray if moving is None else moving.up
        value = self.value_levels.down(to.ascontiguousarray(bring(self.value[at])), self.dtype)
        feature, scale, bias = self._feature(at, value, to, bring)
        if self.vote is None:
            vote = to.ones(value.shape[1:], dtype=self.dtype)
        else:
            vote = bring(self.vote[at[1:]]).astype(self.dtype)
            value = to.where(vote > 0, value, 0)  # no NaN times 0
        return Block(feature, value, vote, scale, bias)

    def _feature(
        self, at: tuple[slice, ...], value: Array, to: Any, bring: Callable[[Array], Array]
    ) -> tuple[Array, float | Array, float | Array]:
        """Features, the factor that makes distances exponents of 2, a number or per pixel, and the bias."""
        levels, noise = self.feature_levels, self.noise
        least = _LEAST_STRENGTH[self.dtype] * (levels.span / levels.unit or 1.0)
        each = [min(max(s / levels.unit, least), 1e150) for s in noise.strengths]  # squares fit
        root = math.sqrt(LOG2_E / len(levels.offset))
        ratio = noise.corrected_ratio(each[0] * levels.unit)
        bias = min(2 * LOG2_E * ratio * ratio, _GREATEST_BIAS[self.dtype])
        scale = (root / each[0]) ** 2
        if self.feature is self.value and len(each) == 1 and not noise.is_map and scale < _GREATEST_SCALE:
            return value, scale, bias  # one array for both
        factor = to.asarray([root / s for s in each], dtype=self.dtype).reshape(-1, 1, 1, 1)
        if self.feature is self.value:
            feature = value * factor
        else:
            feature = levels.down(to.ascontiguousarray(bring(self.feature[at])), self.dtype)
            feature *= factor
        if not noise.is_map:
            return feature, 1.0, bias
        sigma = bring(noise.sigma[at[1:]]).astype(np.float64)
        share = to.maximum(sigma / noise.largest, max(least / each[0], 1e-18))
        scale = share**-2
        if noise.correction is not None:  # the same correction everywhere, in units of a varying h
            bias = to.minimum(bias * scale, _GREATEST_BIAS[self.dtype]).astype(self.dtype)
        return feature, scale.astype(self.dtype), bias


def _extremes(channels: Array, vote: Array | None) -> tuple[list[float], list[float]]:
    """Smallest and largest valid value of each channel: rows first, which is fast on interleaved ones too."""
    if vote is not None:
        channels = channels[:, vote][:, None, None]
    low, high = channels.min(axis=(1, 2)).min(axis=1), channels.max(axis=(1, 2)).max(axis=1)
    low, high = to_numpy(namespace(channels).stack([low, high]))  # one transfer, not two
    return [float(v) for v in low], [float(v) for v in high]


def filled(channels: Array, vote: Array, patch_radius: tuple[int, ...]) -> Array:
    """Channels with invalid pixels replaced by the mean of the valid ones in the box around them.

    The box has the patch's radius, doubled until it holds a valid pixel; float32 or float64.
    """
    xp = namespace(channels)
    work = channels.astype(np.float64)
    work = xp.where(vote, work, 0)
    result, missing = work.copy(), ~vote
    radius = tuple(max(r, 1) if n > 1 else 0 for r, n in zip(patch_radius, vote.shape, strict=True))
    while bool(missing.any()):
        count = _box_sum(vote.astype(np.float64)[None], radius)[0]
        found = missing & (count > 0.5)
        mean = _box_sum(work, radius) / xp.maximum(count, 1)
        result = xp.where(found, mean, result)
        missing = missing & ~found
        radius = tuple(2 * r for r in radius)
    return result if dtype_name(channels) == "float64" else result.astype(np.float32)


def _box_sum(channels: Array, radius: tuple[int, ...]) -> Array:
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
