"""Do channels show the same things?  What `color="auto"` goes by, measured once for an image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nlmeans.arrays import Array, to_numpy

_SIDE = 8  # samples of a block along an axis; its halves are compared, so that noise is averaged
_BLOCKS = 4096  # sampled at most: a variance is then known to 2 %
_APART = 2.0  # energy of both differences over that of the luminance: where channels hold as much as they
_SHARED = 0.25  # correlation of energies: below, each channel varies at places of its own

Contrasts = NDArray[np.float64]  # (channels, n)


def contrasts(channels: Array, mask: Array | None, unit: float) -> tuple[Contrasts, float]:
    """Half the difference between the halves of blocks, and the part of the noise's variance in its variance.

    In multiples of `unit`.  Blocks are sampled evenly, and halved along the two longest axes; those with an
    invalid pixel are left out.
    """
    shape = channels.shape[1:]
    axes = sorted(range(3), key=lambda axis: (shape[axis], axis))[1:]
    sides = [min(_SIDE, n // 2 * 2) or 1 if a in axes else 1 for a, n in enumerate(shape)]
    counts = [n // side for n, side in zip(shape, sides, strict=True)]
    wide = sum(n > 1 for n in counts)
    step = math.ceil((math.prod(counts) / _BLOCKS) ** (1 / max(wide, 1)))
    values = to_numpy(_blocks(channels, sides, counts, step)).astype(np.float64) * (1 / unit)
    if mask is not None:
        values = values[:, to_numpy(_blocks(mask[None], sides, counts, step))[0].all(axis=1)]
    size = values.shape[2]
    found = [np.zeros((len(values), 0))]
    for axis in range(3):
        if sides[axis] > 1:
            sign = np.ones(sides)
            sign[(slice(None),) * axis + (slice(sides[axis] // 2),)] = -1
            found.append(values @ (sign.ravel() / size))
    return np.concatenate(found, axis=1), 1 / size


def differences_are_less(components: Contrasts, noise: Sequence[float]) -> bool:
    """Whether the two differences hold less than the channels do, with these variances of the noise."""
    if not components.size:
        return True
    light, *others = np.maximum((components**2).mean(axis=1) - noise, 0)
    return float(sum(others)) < _APART * float(light) or not any(others)


def channels_share(channels: Contrasts, noise: Sequence[float]) -> bool:
    """Whether channels vary at the same places, alike or not: do the energies of their contrasts correlate?

    Of contrasts s with normal noise of variance v, the variance of squares is Var(s^2) + 4 v E s^2 + 2 v^2.
    """
    if channels.shape[1] < 2:
        return True
    squares, v = channels**2, np.asarray(noise)
    covariance = np.atleast_2d(np.cov(squares, bias=True))
    own = np.diag(covariance) - 4 * v * np.maximum(squares.mean(axis=1) - v, 0) - 2 * v**2
    scale = np.sqrt(np.maximum(own, 0))
    products = np.outer(scale, scale)
    pairs = ~np.eye(len(v), dtype=bool) & (products > 0)
    if not pairs.any():
        return True
    return float(np.clip(covariance[pairs] / products[pairs], 0, 1).mean()) > _SHARED


def _blocks(channels: Array, sides: Sequence[int], counts: Sequence[int], step: int) -> Array:
    """Every `step`-th block along each axis: (channels, blocks, samples)."""
    cut = tuple(slice(0, n * side) for n, side in zip(counts, sides, strict=True))
    pairs = [x for n, side in zip(counts, sides, strict=True) for x in (n, side)]
    blocks = channels[(slice(None), *cut)].reshape(len(channels), *pairs)
    some = blocks[:, ::step, :, ::step, :, ::step].transpose(0, 1, 3, 5, 2, 4, 6)
    return some.reshape(len(channels), -1, math.prod(sides))
