"""Noise that grows with brightness: its variance as a line of the mean, and the map of sigma that follows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlmeans.noise.models.brightness import bins_of
from nlmeans.noise.models.fitting import fits, one_number
from nlmeans.noise.noise_curve import told
from nlmeans.noise.patches import Bools, Floats, Patches, clipping_levels, power_of_two, white_variance
from nlmeans.noise_models.model import NoiseModel
from nlmeans.noise_models.transforms import Anscombe

_PHOTONS = ("poisson", "poisson-gaussian")
# How badly a curve may fit (loss of `fits`): photons at a peak of 30 to 300 in 14 grey and 16 colour pictures
# of scikit-image and kodak 14 at most; clean ones that are taken for photons up to 100
_FITS = 15.0
# Ratio of the gains of channels: of those photons 1.1 at most, of two of three such clean pictures 1.8 and up
_UNLIKE = 1.5
# Sigma of the brightest over that of the darkest, at least: below, a map wins next to nothing, and 3 of 7
# textured pictures with white noise that were taken for photons are there (333 of train400, sigma 3 to 8)
_GROWS = 1.4
# Standard deviation left of the noise once the curve is undone: of photons 0.92 to 1.02 in 330 pictures
# (train400, skimage, kodim01 to 11; peaks of 8 to 400); 0.86 to 0.94 in 5 with white noise that were taken
# for photons, whose curve is that much too high; where neighbours share noise and in texture below half
_LEFT, _USUAL, _PATCHES = 0.6, 0.95, 8_000
_SAMPLED = 64  # places along an axis that a mean is taken of
MEAN_RADIUS = 4  # of the mean that brightness is taken from: 81 pixels know it nine times better than one


@dataclass(frozen=True)
class Curve:
    """Variance = slope * mean + floor, within the brightnesses in which it was measured."""

    slope: float
    floor: float
    ends: tuple[float, float]  # darkest and brightest mean

    def times(self, factor: float) -> Curve:
        """With so much of the variance."""
        return replace(self, slope=factor * self.slope, floor=factor * self.floor)

    def variance(self, mean: Any) -> Any:
        """At some brightnesses; beyond the measured ones it goes on, but not below a quarter of the least."""
        least = min(self.slope * end + self.floor for end in self.ends) / 4
        return np.maximum(self.slope * mean + self.floor, least)


def curves_of_photons(channels: NDArray[Any], valid: Bools | None) -> tuple[Curve, ...]:
    """The curve of each of (C, Z, Y, X) where the noise of all is that of photons; none where it is not."""
    bins = [bins_of(channel, valid) for channel in channels]
    found = [fits(each) for each in bins]
    kind, model, _ = told(bins, found)
    if kind not in _PHOTONS or any(fit[kind].loss > _FITS for fit in found if kind in fit):
        return ()
    means = [each.unit * each.means for each in bins if each.usable]
    ends = min(float(m[0]) for m in means), max(float(m[-1]) for m in means)
    curves = tuple(_of_model(model.of_channel(c), ends) for c in range(len(bins)))
    if all(dark * _GROWS**2 > bright for dark, bright in (c.variance(np.array(ends)) for c in curves)):
        return ()
    gains = [curve.slope for curve in curves]
    if max(gains) > _UNLIKE * min(gains):
        return ()
    left = [_left(curve, channel, valid) for curve, channel in zip(curves, channels, strict=True)]
    if min(left) < _LEFT:
        return ()
    return tuple(curve.times(min(1.0, each / _USUAL) ** 2) for curve, each in zip(curves, left, strict=True))


def _left(curve: Curve, channel: NDArray[Any], valid: Bools | None) -> float:
    """The standard deviation of white noise once a curve is undone: about 1 where it is the noise's.

    By the estimate for white noise, which goes by the quietest directions of patches, as the curve does not.
    """
    second, first = sorted(range(3), key=lambda axis: (channel.shape[axis], axis))[1:]
    flat = channel.shape[second] > 1
    patches = Patches.of(channel, valid, 1.0, {second: 5, first: 5} if flat else {first: 10}, _PATCHES)
    if len(patches.values) < patches.least:
        return 1.0
    levels = clipping_levels(patches.values)
    dark, sigma = max(-curve.floor, 0.0) / curve.slope, math.sqrt(max(curve.floor, 0.0))
    transform = Anscombe(curve.slope, dark, sigma)
    undone = replace(patches, values=transform.forward(patches.values, np))
    ends = (float(transform.forward(np.float64(v), np)) if math.isfinite(v) else v for v in levels)
    return math.sqrt(white_variance(undone.alive(), (next(ends), next(ends))))


def _of_model(model: NoiseModel, ends: tuple[float, float]) -> Curve:
    """The variance of counts, and of what a sensor adds."""
    gain, offset, sigma = (one_number(each) for each in (model.gain, model.offset, model.sigma))
    return Curve(gain, sigma**2 - gain * offset, ends)


def root_mean(curve: Curve, channel: NDArray[Any], valid: Bools | None) -> float:
    """The root mean square of sigma over (Z, Y, X), from the mean of a sample."""
    thin = tuple(slice(None, None, max(1, n // _SAMPLED)) for n in channel.shape)
    some, known = channel[thin].astype(np.float64), None if valid is None else valid[thin]
    some = some[np.isfinite(some) if known is None else known]
    return math.sqrt(curve.variance(some.mean() if some.size else np.mean(curve.ends)))


def map_of(curves: Sequence[Curve], channels: NDArray[Any], valid: Bools | None) -> Floats:
    """Sigma of each pixel of (C, Z, Y, X), from the means around it; the root mean square over channels."""
    total = sum(
        curve.variance(box_means(channel, valid)) for curve, channel in zip(curves, channels, strict=True)
    )
    return np.asarray(np.sqrt(total / len(curves)))


def box_means(channel: NDArray[np.generic], valid: Bools | None) -> Floats:
    """Of the valid pixels in the box around each pixel of (Z, Y, X); of all where there is none."""
    values = channel.astype(np.float64)
    if valid is None:
        valid = np.isfinite(values)
    weight = valid.astype(np.float64)
    known = values[valid]
    unit = power_of_two(float(np.abs(known).max(initial=0.0))) if known.size else 1.0
    values *= 1 / unit
    total = np.where(valid, values, 0.0)
    for axis, n in enumerate(channel.shape):
        if n > 1:
            total, weight = (_sums(a, axis, n) for a in (total, weight))
    everywhere = float(values[valid].mean()) if valid.any() else 0.0
    return unit * np.where(weight > 0.5, total / np.maximum(weight, 1.0), everywhere)


def _sums(values: Floats, axis: int, n: int) -> Floats:
    """Running sums along an axis, cut at its ends."""
    sums = np.cumsum(values, axis=axis)
    sums = np.concatenate([np.zeros_like(sums.take([0], axis)), sums], axis=axis)
    at = np.arange(n)
    return np.asarray(
        sums.take(np.minimum(at + MEAN_RADIUS + 1, n), axis)
        - sums.take(np.maximum(at - MEAN_RADIUS, 0), axis)
    )
