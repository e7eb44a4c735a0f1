"""An image as blocks the kernels can work on, and their results back in the image's own type."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nlmeans.arrays import Array, dtype_name, library, namespace
from nlmeans.inputs import Inputs
from nlmeans.planes import LOG2_E, Block
from nlmeans.tiling import Cost

_GREATEST_BIAS = 1e37  # finite in float32, beyond any scaled distance
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
        low, high = _extremes(channels, vote)
        floating = channels.dtype.kind == "f"
        middle = [a / 2 + b / 2 for a, b in zip(low, high, strict=True)]
        if floating:  # representable in the image's type, so that a constant image is 0 exactly
            middle = [float(channels.dtype.type(m)) for m in middle]
        half = max(high) / 2 - min(low) / 2
        exponent = math.frexp(half)[1] if half > 0 else 0
        reach = 126 if dtype_name(channels) != "float64" else 1000
        return cls(tuple(middle), math.ldexp(1.0, min(max(exponent, -reach), reach)), 2 * half)

    def down(self, channels: Array, dtype: str) -> Array:
        """Values near [-1, 1], in the type the kernels work in."""
        xp = namespace(channels)
        wide = channels if dtype_name(channels) == "float64" else channels.astype(dtype)
        offset = xp.asarray(self.offset, dtype=wide.dtype).reshape(-1, 1, 1, 1)
        scaled = wide * wide.dtype.type(1 / self.unit)
        scaled -= offset * wide.dtype.type(1 / self.unit)
        return scaled.astype(dtype, copy=False)

    def up(self, values: Array, dtype: Any) -> Array:
        """The way back: integers are rounded half to even and clipped."""
        xp = namespace(values)
        wide = values.astype(np.float64 if np.dtype(dtype).itemsize > 4 else np.float32, copy=False)
        offset = xp.asarray(self.offset, dtype=wide.dtype).reshape(-1, 1, 1, 1)
        restored = wide * wide.dtype.type(self.unit) + offset
        if np.dtype(dtype).kind == "f":
            return restored.astype(dtype, copy=False)
        limits = np.iinfo(dtype)
        return xp.clip(xp.rint(restored), limits.min, limits.max).astype(dtype)


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
    def changes_nothing(self) -> bool:
        """Whether the strength is 0, which returns the image."""
        if self.h is not None:
            return self.h == 0
        return self.k == 0 or not (any(self.sigma) if isinstance(self.sigma, tuple) else self.sigma.any())


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

    def store(self, values: Array, result: Array, core: Sequence[slice]) -> None:
        """Write a tile's values into the result, in the image's type; invalid pixels as they were."""
        at = (slice(None), *core)
        restored = self.value_levels.up(values, result.dtype)
        if library(restored) == "cupy" and library(result) == "numpy":
            restored = restored.get()
        if self.vote is not None:
            xp = namespace(result)
            restored = xp.where(self.vote[at[1:]], restored, self.value[at])
        result[at] = restored

    def block(self, region: Sequence[slice], to: Any) -> Block:
        """The block of a region, as arrays of the namespace `to`."""
        at = (slice(None), *region)
        value = self.value_levels.down(to.asarray(self.value[at]), self.dtype)
        feature, scale, bias = self._feature(at, to)
        if self.vote is None:
            vote = to.ones(value.shape[1:], dtype=self.dtype)
        else:
            vote = to.asarray(self.vote[at[1:]]).astype(self.dtype)
            value = to.where(vote > 0, value, 0)  # no NaN times 0
        return Block(feature, value, vote, scale, bias)

    def _feature(self, at: tuple[slice, ...], to: Any) -> tuple[Array, Array | None, float]:
        """Features scaled to exponents of 2, the factor per pixel, and the bias."""
        levels, noise = self.feature_levels, self.noise
        least = _LEAST_STRENGTH[self.dtype] * max(levels.span / levels.unit, 1e-30)
        root = math.sqrt(LOG2_E / len(levels.offset))
        if noise.is_map:
            strength = max(float(noise.k * noise.sigma.max() / levels.unit), least)
            sigma = to.asarray(noise.sigma[at[1:]]).astype(np.float64) / levels.unit
            scale = (strength / to.maximum(noise.k * sigma, strength * 1e-9)) ** 2
            factor: Any = root / strength
            bias = 2 * LOG2_E / noise.k**2
            extra = scale.astype(self.dtype)
        elif len(noise.sigma) > 1:
            each = [root / (noise.k * s / levels.unit) for s in noise.sigma]
            factor = to.asarray(each, dtype=self.dtype).reshape(-1, 1, 1, 1)
            bias, extra = 2 * LOG2_E / noise.k**2, None
        else:
            strength = max((noise.k * noise.sigma[0] if noise.h is None else noise.h) / levels.unit, least)
            factor, extra = root / strength, None
            corrected = noise.sigma[0] if noise.correction is None else noise.correction
            bias = 2 * LOG2_E * (corrected / levels.unit / strength) ** 2
        feature = levels.down(to.asarray(self.feature[at]), self.dtype)
        feature *= factor if hasattr(factor, "dtype") else feature.dtype.type(factor)
        return feature, extra, min(bias, _GREATEST_BIAS)


def _extremes(channels: Array, vote: Array | None) -> tuple[list[float], list[float]]:
    """Smallest and largest valid value of each channel."""
    if vote is not None:
        channels = channels[:, vote]
    axes = tuple(range(1, channels.ndim))
    return [float(v) for v in channels.min(axis=axes)], [float(v) for v in channels.max(axis=axes)]


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
