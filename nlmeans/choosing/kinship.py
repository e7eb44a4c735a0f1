"""Do channels show the same things?  What `color="auto"` goes by, measured once for an image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nlmeans.arrays import Array, to_numpy

_SIDE = 8  # samples of a block along an axis; its halves are compared, so that noise is averaged
_BLOCKS = 4096  # sampled at most: a variance is then known to 2 %
_SURE = 4.0  # standard errors above the noise alone that are no chance
# Found by benchmarks/studies/tables/kinship.py, see benchmarks/results/kinship.json: on 27 pictures at three
# sigmas the best way is missed by more than 0.4 dB once, by discs half of which are in all channels.
FEW = 1.2  # both differences over the luminance, energies: photographs have 0.1 to 0.6, unrelated bands 2
MOST = 3.0  # beyond, as where one channel is a negative, a luminance is no more than another channel
APART = 0.2  # correlation of energies: unrelated channels have less than 0.1, colours more than 0.25

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


def energies(values: Contrasts, noise: Sequence[float]) -> NDArray[np.float64]:
    """Mean squares above the noise, whose variances are given; 0 where they may be chance."""
    variance, count = np.asarray(noise), max(values.shape[1], 1)
    found = (values**2).sum(axis=1) / count - variance
    return np.where(found > _SURE * variance * math.sqrt(2 / count), found, 0.0)


def differences_over_luminance(components: Contrasts, noise: Sequence[float]) -> float:
    """How much the two differences of colours hold of what the luminance holds."""
    light, *others = energies(components, noise)
    return float(sum(others) / light) if light > 0 else math.inf if any(others) else 0.0


def kinship(channels: Contrasts, noise: Sequence[float]) -> float:
    """Whether channels vary at the same places, alike or not: the correlation of energies, 0 to 1.

    Of contrasts s with normal noise of variance v, the variance of squares is Var(s^2) + 4 v E s^2 + 2 v^2.
    """
    energy, squares, v = energies(channels, noise), channels**2, np.asarray(noise)
    varied = energy > 0
    if np.count_nonzero(varied) < 2:
        return 0.0 if varied.any() else 1.0
    covariance = np.cov(squares, bias=True)[varied][:, varied]
    own = np.maximum(np.diag(covariance) - (4 * v * energy + 2 * v**2)[varied], 0)
    scale = np.sqrt(np.outer(own, own))
    pairs = ~np.eye(len(own), dtype=bool)
    each = np.divide(covariance, scale, out=np.ones_like(scale), where=scale > 0)
    return float(np.clip(each[pairs], 0, 1).mean())


def _blocks(channels: Array, sides: Sequence[int], counts: Sequence[int], step: int) -> Array:
    """Every `step`-th block along each axis: (channels, blocks, samples)."""
    cut = tuple(slice(0, n * side) for n, side in zip(counts, sides, strict=True))
    pairs = [x for n, side in zip(counts, sides, strict=True) for x in (n, side)]
    blocks = channels[(slice(None), *cut)].reshape(len(channels), *pairs)
    some = blocks[:, ::step, :, ::step, :, ::step].transpose(0, 1, 3, 5, 2, 4, 6)
    return some.reshape(len(channels), -1, math.prod(sides))
