"""Structural similarity, which ``compare`` tells beside PSNR."""

from __future__ import annotations

import math

from .formats.picture import Array

# Of the paper, section III.B and C: a Gaussian window of 11 x 11 samples, and what keeps divisions stable.
_RADIUS, _DEVIATION = 5, 1.5
_K1, _K2 = 0.01, 0.03
_BAND = 256  # rows at a time, which bounds the memory


def ssim(a: Array, b: Array, data_range: float, valid: Array, *, colour: bool) -> float | None:
    """The mean structural similarity of two float64 arrays; None where no whole window fits.

    Wang, Bovik, Sheikh and Simoncelli 2004, doi:10.1109/TIP.2003.819861, equation 13, averaged over all
    windows that lie within the picture and hold valid samples only; of channels (last axis) the mean.
    Time is linear in the samples; memory is that of about twelve bands of 256 rows.
    """
    if not colour:
        mean, count = _sums(a, b, data_range, valid)
        return mean / count if count else None
    found = [_sums(a[..., n], b[..., n], data_range, valid[..., n]) for n in range(a.shape[-1])]
    means = [mean / count for mean, count in found if count]
    return sum(means) / len(means) if len(means) == len(found) else None


def _sums(a: Array, b: Array, data_range: float, valid: Array) -> tuple[float, int]:
    """The sum of the similarity over the windows, and how many there are."""
    import numpy as np

    if not a.ndim or min(a.shape) < 2 * _RADIUS + 1:
        return 0.0, 0
    total, count = 0.0, 0
    for top in range(0, a.shape[0] - 2 * _RADIUS, _BAND):
        rows = slice(top, top + _BAND + 2 * _RADIUS)
        whole = _windowed(~valid[rows] + 0.0) == 0
        offset = a[rows][valid[rows]].mean() if valid[rows].any() else 0.0
        x, y = (np.where(valid[rows], each[rows], offset) / data_range for each in (a, b))
        total += float(_similarity(x, y)[whole].sum())
        count += int(np.count_nonzero(whole))
    return total, count


def _similarity(x: Array, y: Array) -> Array:
    """Equation 13 for values in units of the data range."""
    c1, c2 = _K1**2, _K2**2
    mx, my = _windowed(x), _windowed(y)
    vx, vy = _windowed(x * x) - mx * mx, _windowed(y * y) - my * my
    both = _windowed(x * y) - mx * my
    similarity: Array = (2 * mx * my + c1) * (2 * both + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    return similarity


def _windowed(values: Array) -> Array:
    """Means under the Gaussian window, where it lies within the array; it is separable."""
    taps = [math.exp(-((n / _DEVIATION) ** 2) / 2) for n in range(-_RADIUS, _RADIUS + 1)]
    for axis in range(values.ndim):
        length = values.shape[axis] - 2 * _RADIUS
        parts = ((slice(None),) * axis + (slice(n, n + length),) for n in range(len(taps)))
        values = sum(tap / sum(taps) * values[part] for tap, part in zip(taps, parts, strict=True))
    return values
