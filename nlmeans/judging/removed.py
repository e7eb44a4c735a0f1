"""Whether what was removed looks like noise: as strong, unlike its neighbours, and everywhere the same."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]  #: (C, Z, Y, X)


@dataclass(frozen=True)
class Removed:
    """What the image less the result is like.

    Parameters
    ----------
    strength : float
        Its root mean square over sigma: near 1 where all of the noise and nothing else was removed; 0
        where there is no noise.
    autocorrelation : float
        Of next neighbours, mean over the grid axes.  0 for white noise; above 0 where structure was removed
        or noise that neighbours share, below 0 where low frequencies of the noise are left.
    tolerance : float
        Standard deviation of the same for white noise of that many pixels.
    structure : float
        Correlation, over blocks of 8 pixels a side, of its mean square with the steepness of the result.
        0 for noise; above 0 where more was removed at edges and texture, below 0 where less was.
    """

    strength: float
    autocorrelation: float
    tolerance: float
    structure: float


def removed_is(removed: list[Values], clean: list[Values], valid: list[Any], sigma: float) -> Removed:
    """Of regions (C, Z, Y, X) of an image; `sigma` is the root mean square over channels."""
    each = [np.where(v, r, 0.0) for r, v in zip(removed, valid, strict=True)]
    square = sum(float((r**2).sum()) for r in each)
    count = sum(int(v.sum()) * len(r) for r, v in zip(each, valid, strict=True))
    axes = [a for a in (1, 2, 3) if any(r.shape[a] > 1 for r in each)]
    mean = square / count if count else 0.0
    lags = [_products(each, valid, a) / mean for a in axes] if mean else []
    return Removed(
        strength=math.sqrt(mean) / sigma if sigma else 0.0,
        autocorrelation=sum(lags) / len(lags) if lags else 0.0,
        tolerance=1 / math.sqrt(max(count * len(axes), 1)),
        structure=_with_structure(each, clean, valid),
    )


def _products(each: list[Values], valid: list[Any], axis: int) -> float:
    """Mean product of neighbours along an axis."""
    total, count = 0.0, 0
    for r, v in zip(each, valid, strict=True):
        first = (slice(None),) * axis + (slice(None, -1),)
        second = (slice(None),) * axis + (slice(1, None),)
        total += float((r[first] * r[second]).sum())
        count += int((v[first[1:]] & v[second[1:]]).sum()) * len(r)
    return total / max(count, 1)


def _with_structure(each: list[Values], clean: list[Values], valid: list[Any]) -> float:
    """Correlation of ranks, which a few strong edges do not decide."""
    energies, steep = [], []
    for r, c, v in zip(each, clean, valid, strict=True):
        quiet = np.where(v, c, 0.0)
        slopes = [np.abs(np.diff(quiet, axis=a, append=np.take(quiet, [-1], axis=a))) for a in (1, 2, 3)]
        whole = _blocks(v[None].astype(np.float64)) == 1
        energies.append(_blocks((r**2).mean(axis=0, keepdims=True))[whole])
        steep.append(_blocks(sum(slopes).mean(axis=0, keepdims=True))[whole])  # type: ignore[union-attr]
    if not energies:
        return 0.0
    a, b = np.concatenate(energies), np.concatenate(steep)
    if a.size < 16 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    first, second = (np.argsort(np.argsort(x)).astype(np.float64) for x in (a, b))
    return float(np.corrcoef(first, second)[0, 1])


def _blocks(values: Values, side: int = 8) -> Values:
    """Means over blocks along (Y, X), and runs of as many pixels in signals; what is over is left out."""
    height, width = values.shape[2:]
    high = side if height >= side else 1
    wide = side if high > 1 else side * side
    rows, columns = height // high, width // wide
    cut = values[:, :, : rows * high, : columns * wide]
    blocks: Values = cut.reshape(*values.shape[:2], rows, high, columns, wide).mean(axis=(3, 5))
    return blocks
