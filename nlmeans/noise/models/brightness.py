"""The variance of the noise at each brightness, from the flattest windows of that brightness.

A window's highest frequencies, where pictures are weakest, tell the variance; its other frequencies tell how
flat it is.  White noise has the two independently: so to choose the flattest does not bias the variance.
Where even the flattest have more energy at low than at high frequencies they are texture, and count less.
N. Ponomarenko et al., "An automatic approach to lossy compression of AVIRIS images", IGARSS 2007, and
M. Colom, A. Buades, "Analysis and extension of the Ponomarenko et al. method, estimating a noise curve from a
single image", Image Processing On Line 3 (2013), doi:10.5201/ipol.2013.45, choose so too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlmeans.noise.patches import Bools, Floats, Patches, clipping_levels, power_of_two
from nlmeans.noise.spectrum import chi_square, cosine_transform

_SIDE, _LENGTH = 8, 32  # of windows in images and in signals
_WINDOWS = 7_000  # sampled at most
_BINS, _FEWEST = 12, 24  # of brightness; windows in each at least
_HIGH, _LOW = 6.5 / 8, 1.9 / 8  # frequencies: variance from here on; below is the picture, and says nothing
_FLAT = 1.5  # standard deviations by which the energy of a flat window may exceed the expected one
_MORE = 1.3  # times: by so much the highest frequencies may exceed the others, else it is texture
_TEXTURE = 0.25  # by so much the energy falls towards the highest frequencies at most; of noise by nothing
_ROOM = 2.5  # standard deviations from a clipping level that leave noise whole
_COUNTS = 1 / 3  # of sigma: where values are that far apart they are counts, and none is clipped at 0
# Typical values between these are measured as they are; others in a unit, for squares are taken in float32
_USUAL = 2.0**-20, 2.0**40


@dataclass(frozen=True, eq=False)
class Bins:
    """Mean, variance of the noise, and relative standard error of that variance, at each brightness.

    Means are in multiples of `unit`, variances of its square, which may not be a number.
    """

    means: Floats
    variances: Floats
    errors: Floats
    counts: NDArray[np.intp]  # windows that were used
    whole: bool  # all values are whole numbers >= 0
    spread: float  # between the darkest and the brightest windows, usable or not
    darkest: float  # mean of a window
    unit: float = 1.0  # a power of two

    @property
    def usable(self) -> bool:
        """Whether anything can be told from them."""
        return len(self.means) >= 4


_EMPTY = np.empty(0)
NONE = Bins(_EMPTY, _EMPTY, _EMPTY, np.empty(0, np.intp), whole=False, spread=0.0, darkest=0.0)


def bins_of(channel: NDArray[Any], valid: Bools | None) -> Bins:
    """Of one channel (Z, Y, X); none where it is too small, or constant but for few windows."""
    second, first = sorted(range(3), key=lambda axis: (channel.shape[axis], axis))[1:]
    flat = channel.shape[second] > 1
    sides = {second: _SIDE, first: _SIDE} if flat else {first: _LENGTH}
    windows = Patches.of(channel, valid, 1.0, sides, _WINDOWS)
    alive = (windows.values != windows.values[:, :1]).any(axis=1)
    if np.count_nonzero(alive) < max(_BINS * _FEWEST // 2, 0.05 * len(alive)):
        return NONE
    values, unit = _in_unit(windows.values)
    some = slice(None, None, max(1, len(values) // 1000))
    levels = clipping_levels(values[some][alive[some]])
    whole = unit == 1 and all(bool(((v >= 0) & (v == np.rint(v))).all()) for v in (values[:50], values))
    lattice = _lattice(values)
    means = values.mean(axis=1)
    kept = alive | (means == means.min()) if whole else alive  # windows of 0 counts are counts
    if not kept.all():
        means, values = means[kept], values[kept]
    low, high = _energies(values - means[:, None], windows.shape)
    share = min(1.0, channel.size / values.shape[1] / len(values))  # of windows that do not overlap
    return replace(_binned(means, low, high, share, levels, lattice, whole), unit=unit)


def _in_unit(values: Floats) -> tuple[Floats, float]:
    """Windows in multiples of a power of two."""
    typical = float(
        np.quantile(np.abs(values[:: max(1, len(values) // 1000)]).max(axis=1), 0.5, method="lower")
    )
    if typical == 0 or _USUAL[0] <= typical <= _USUAL[1]:
        return values, 1.0
    unit = power_of_two(typical)
    return values / unit, unit


def _lattice(values: Floats) -> float:
    """The distance of the two lowest values."""
    lowest = np.unique(values[:: max(1, len(values) // 500)])[:2]
    return float(lowest[-1] - lowest[0])


@dataclass(frozen=True, eq=False)
class _Energy:
    """Mean squares of some frequencies in each window."""

    each: Floats
    freedom: int


def _energies(values: Floats, shape: tuple[int, ...]) -> tuple[_Energy, _Energy]:
    """Of the lower and of the highest frequencies."""
    samples = values.shape[1]
    basis = cosine_transform(np.eye(samples).reshape(-1, *shape)).reshape(samples, -1).astype(np.float32)
    single = values.astype(np.float32)
    axes = np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij")
    frequency = np.sqrt(sum(a.ravel() ** 2 for a in axes))
    parts = (frequency < _HIGH) & (frequency >= _LOW), frequency >= _HIGH
    low, high = (_Energy(_mean_squares(single @ basis[:, p]), int(p.sum())) for p in parts)
    return low, high


def _mean_squares(values: NDArray[np.float32]) -> Floats:
    return np.asarray(np.einsum("ij,ij->i", values, values) / values.shape[1], np.float64)


def _binned(
    means: Floats,
    low: _Energy,
    high: _Energy,
    share: float,
    levels: tuple[float, float],
    lattice: float,
    whole: bool,
) -> Bins:
    order = np.argsort(means, kind="stable")
    rows: list[tuple[float, ...]] = []
    for part in np.array_split(order, min(_BINS, len(order) // _FEWEST)):
        variance, flat = _variance(low.each[part], high.each[part], low.freedom)
        chosen = part[flat]
        slope = low.each[chosen].mean() / variance - 1 if variance > 0 else 0.0
        rows.append((means[chosen].mean(), variance, len(chosen), max(slope, 0.0)))
    mean, variances, count, texture = np.array(rows).T
    sigma = np.sqrt(variances)
    clear = (texture <= _TEXTURE) & (variances > 0)
    if not (whole and lattice > _COUNTS * np.median(sigma)):
        clear &= mean - levels[0] > _ROOM * sigma
    clear &= levels[1] - mean > _ROOM * sigma
    error = np.hypot(np.sqrt(2 / (high.freedom * np.maximum(share * count, 1))), texture)
    return Bins(
        mean[clear],
        variances[clear],
        error[clear],
        count[clear].astype(np.intp),
        whole,
        float(np.ptp(mean)),
        float(means.min()),
    )


def _variance(low: Floats, high: Floats, freedom: int) -> tuple[float, Bools]:
    """That of the highest frequencies in the flattest windows, which are chosen by it, in turns."""
    variance = float(np.quantile(low, 0.1)) / chi_square(0.1, freedom)
    if variance == 0:  # many windows of few counts are constant by chance: there noise outdoes texture
        return float(high.mean()), np.ones(len(low), np.bool_)
    limit = 1 + _FLAT * math.sqrt(2 / freedom)
    flat = np.ones(len(low), np.bool_)
    least = min(16, len(low))
    for _ in range(12):
        before = variance
        flat = low <= max(variance * limit, float(np.partition(low, least - 1)[least - 1]))
        variance = min(float(high[flat].mean()), _MORE * before)
        if abs(variance - before) <= 1e-3 * before:
            break
    return variance, flat
