"""Noise that grows with brightness: its variance as a line of the mean, and the map of sigma that follows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlmeans.noise.patches import Bools, Floats

_GROWS = 1.4  # sigma of the brightest bin over that of the darkest, at least
_FITS = 0.12  # logarithm of variance over line, at most, in half of the bins: 3 of its standard deviations
_BETTER = 0.4  # of what remains of a constant
_WHITE = 1.2  # sigma over all scales over that of the finest, at most, in half of the bins
_SCATTERED = 1.2  # at most, of 1 for noise: photons 1 to 1.2, texture that grows with brightness 1.3 to 1.6
MEAN_RADIUS = 4  # of the mean that brightness is taken from: 81 pixels know it nine times better than one


@dataclass(frozen=True)
class Curve:
    """Variance = slope * mean + floor, within the brightnesses in which it was measured."""

    slope: float
    floor: float
    ends: tuple[float, float]  # darkest and brightest mean

    def variance(self, mean: Floats) -> Floats:
        """At some brightnesses; beyond the measured ones it goes on, but not below a quarter of the least."""
        least = min(self.slope * end + self.floor for end in self.ends) / 4
        return np.maximum(self.slope * mean + self.floor, least)

    def scaled(self, unit: float) -> Curve:
        """In smaller units."""
        low, high = self.ends
        return Curve(unit * self.slope, unit**2 * self.floor, (unit * low, unit * high))

    def map_of(self, channel: NDArray[np.generic], valid: Bools | None) -> Floats:
        """Sigma of each pixel of (Z, Y, X), from the mean around it."""
        return np.sqrt(self.variance(box_means(channel, valid)))


def curve_of(means: Floats, finest: Floats, whole: Floats, scatter: float) -> Curve | None:
    """From bins of brightness: variance of the finest scale and over all scales; None where it is level.

    `scatter` is that of the finest scale from window to window of one brightness, 1 of noise.
    The line goes through two of the bins and leaves the least to the others.
    """
    if len(means) < 4 or scatter > _SCATTERED or not finest.min() > 0 or not means[0] < means[-1]:
        return None
    i, j = np.array(
        [pair for pair in combinations(range(len(means)), 2) if means[pair[0]] < means[pair[1]]]
    ).T
    slopes = (finest[j] - finest[i]) / (means[j] - means[i])
    lines = slopes[:, None] * (means - means[i, None]) + finest[i, None]
    possible = lines.min(axis=1) > 0
    if not possible.any():
        return None
    lines, slopes, floors = (each[possible] for each in (lines, slopes, finest[i] - slopes * means[i]))
    left, slope, floor = min(zip(_left(finest, lines), slopes, floors, strict=True))
    level = _left(finest, np.median(finest))
    ends = [slope * m + floor for m in (means[0], means[-1])]
    grows = ends[1] > _GROWS**2 * ends[0]
    white = float(np.median(whole / finest)) <= _WHITE**2
    if not (grows and white and left <= min(_FITS, _BETTER * level)):
        return None
    return Curve(float(slope), float(floor), (float(means[0]), float(means[-1])))


def _left(variances: Floats, lines: Any) -> Any:
    """Median distance of logarithms along the last axis."""
    return np.median(np.abs(np.log(variances / lines)), axis=-1)


def box_means(channel: NDArray[np.generic], valid: Bools | None) -> Floats:
    """Of the valid pixels in the box around each pixel of (Z, Y, X); of all where there is none."""
    values = channel.astype(np.float64)
    if valid is None:
        valid = np.isfinite(values)
    weight = valid.astype(np.float64)
    total = np.where(valid, values, 0.0)
    for axis, n in enumerate(channel.shape):
        if n > 1:
            total, weight = (_sums(a, axis, n) for a in (total, weight))
    everywhere = float(values[valid].mean()) if valid.any() else 0.0
    return np.where(weight > 0.5, total / np.maximum(weight, 1.0), everywhere)


def _sums(values: Floats, axis: int, n: int) -> Floats:
    """Running sums along an axis, cut at its ends."""
    sums = np.cumsum(values, axis=axis)
    sums = np.concatenate([np.zeros_like(sums.take([0], axis)), sums], axis=axis)
    at = np.arange(n)
    return np.asarray(
        sums.take(np.minimum(at + MEAN_RADIUS + 1, n), axis)
        - sums.take(np.maximum(at - MEAN_RADIUS, 0), axis)
    )


def root_mean(curve: Curve, mean: float) -> float:
    """The root mean square of sigma over an image of this mean."""
    return math.sqrt(float(curve.variance(np.asarray(mean))))
