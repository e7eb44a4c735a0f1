"""The variance of noise in a sample of small patches, white or shared by neighbours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Shape = tuple[int, ...]

# Chosen on 200 photographs with white noise of 1 to 30 % of the data range, checked on 212 others.
_PER_SAMPLE = 10  # patches needed per sample of a patch, and as many are used, flat or not
_FLAT = 2.0  # standard deviations by which the variance of a flat patch may exceed the expected one
_QUIET = 0.14  # part of the directions of a patch, those of least variance, that hold noise alone
_ROOM = 2.0  # sigmas between a patch and a clipping level that leave its noise nearly whole
_EVEN = 1.18  # at most: two quantiles of the strength of noise differ as those of chi-square
_FLATTEST = 0.2  # part of the windows in which noise that neighbours share is measured
_FEWEST_WINDOWS = 100
_NEARLY_NORMAL = (0.7, 1.1)  # fourth moment over that of normal noise


@dataclass(frozen=True, eq=False)
class Patches:
    """A sample of the valid patches of one shape."""

    values: Floats  # (patches, samples)
    even: Bools  # (patches,) which colour of a chessboard laid over the image
    shape: Shape  # of a patch

    @classmethod
    def of(
        cls, channel: NDArray[Any], mask: Bools | None, unit: float, sides: dict[int, int], limit: int
    ) -> Patches:
        """About `limit` of them at most, evenly spread over the channel; values in units of `unit`."""
        shape = tuple(sides.get(axis, 1) for axis in range(channel.ndim))
        counts = [n - side + 1 for n, side in zip(channel.shape, shape, strict=True)]
        if min(counts) < 1:
            return cls(np.empty((0, math.prod(shape))), np.empty(0, np.bool_), shape)
        at = _places(counts, limit)
        valid: Any = ...
        if mask is not None:
            for places in (limit, 8 * limit):  # more where few are valid
                at = _places(counts, places)
                valid = sliding_window_view(mask, shape)[at].all(axis=(-3, -2, -1))
                if np.count_nonzero(valid) >= limit // 8:
                    break
        cells: Any = sum(places // (2 * side + 2) for places, side in zip(at, shape, strict=True))
        values = sliding_window_view(channel, shape)[at][valid].astype(np.float64)
        return cls(values.reshape(-1, math.prod(shape)) * (1 / unit), (cells % 2 == 0)[valid].ravel(), shape)

    @property
    def least(self) -> int:
        """How many are needed for an estimate."""
        return _PER_SAMPLE * math.prod(self.shape)

    def __getitem__(self, chosen: Bools) -> Patches:
        return Patches(self.values[chosen], self.even[chosen], self.shape)

    def alive(self) -> Patches:
        """Those that hold noise; all if hardly any does, for then the image as a whole has none."""
        alive = self._mostly_unequal()
        enough = max(self.least, 0.01 * len(alive))
        return self[alive] if np.count_nonzero(alive) >= enough else self

    def clear_of(self, levels: tuple[float, float], variance: float) -> Patches:
        """Those that hold noise, at a distance from the clipping levels."""
        room = _ROOM * math.sqrt(variance)
        mean = self.values.mean(axis=1)
        return self[self._mostly_unequal() & (mean - levels[0] >= room) & (levels[1] - mean >= room)]

    def _mostly_unequal(self) -> Bools:
        """Where at least half of the neighbours differ."""
        patches = self.values.reshape(-1, *self.shape)
        unequal, pairs = np.zeros(len(patches)), 0
        for axis in range(1, patches.ndim):
            steps = np.diff(patches, axis=axis) != 0
            unequal += np.count_nonzero(steps, axis=(1, 2, 3))
            pairs += math.prod(steps.shape[1:])
        return unequal >= pairs / 2


def _places(counts: Sequence[int], limit: int) -> tuple[NDArray[np.intp], ...]:
    """Indices along each axis, as an open mesh of about `limit` places at most."""
    thinning = max(1.0, math.prod(counts) / limit) ** (1 / max(1, sum(n > 1 for n in counts)))
    each = (np.linspace(0, n - 1, max(1, int(n / thinning))) for n in counts)
    return np.ix_(*(np.rint(places).astype(np.intp) for places in each))


def _without_slope(shape: Shape) -> Floats:
    """Orthonormal columns that span what is orthogonal to constants and to linear slopes."""
    axes = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in shape), indexing="ij")
    slopes = np.stack([np.ones(math.prod(shape)), *(a.ravel() for a in axes if a.any())])
    return np.linalg.svd(slopes)[2][len(slopes) :].T


def clipping_levels(values: Floats) -> tuple[float, float]:
    """The smallest and the largest value where values pile up there, else -inf and inf."""
    return -_pile(-values), _pile(values)


def _pile(values: Floats) -> float:
    """The largest value if clipping made it: frequent, and more so than the next one below."""
    top = float(values.max())
    count = np.count_nonzero(values == top)
    below = values[values < top]
    if count < max(20, 0.005 * values.size) or not below.size:
        return math.inf
    return top if count > 1.5 * np.count_nonzero(below == below.max()) else math.inf


def white_variance(patches: Patches, levels: tuple[float, float]) -> float:
    """Variance of white noise: flat patches are chosen by it, and it is found in them, in turns."""
    mean = patches.values.mean(axis=1)
    room = np.minimum(mean - levels[0], levels[1] - mean)
    steps = patches.values - patches.values[:, :1]  # exactly 0 in a constant patch
    values = _product(steps, _without_slope(patches.shape))
    energy, freedom = (values**2).mean(axis=1), values.shape[1]
    flat = 1 + _FLAT * math.sqrt(2 / freedom)
    kept = _fraction_below(flat, freedom)
    variance, chosen = math.nan, np.ones(len(mean), np.bool_)
    for _ in range(20):
        previous = variance
        variance = _quiet_variance(values[chosen], patches.even[chosen]) / kept
        middle = float(np.median(mean[chosen]))
        variance /= _clipped_fraction(middle - levels[0], levels[1] - middle, previous)
        if abs(variance - previous) <= 2e-3 * variance:
            break
        chosen = _lowest(-room, -_ROOM * math.sqrt(variance), max(patches.least, len(mean) // 20))
        chosen &= _lowest(np.where(chosen, energy, math.inf), flat * variance, patches.least)
    return variance


def _lowest(values: Floats, limit: float, least: int) -> Bools:
    """Where values are at most `limit`; at least the `least` lowest."""
    if np.count_nonzero(values <= limit) < least <= len(values):
        limit = np.partition(values, least - 1)[least - 1]
    return values <= limit


def _quiet_variance(values: Floats, even: Bools) -> float:
    """Mean variance of patches along their quietest directions.

    The least of many estimated variances is too small by chance: so the directions are sought in one
    half of the patches and their variances taken from the other, both ways round.
    """
    if min(np.count_nonzero(even), np.count_nonzero(~even)) < 2:
        even = np.arange(len(even)) % 2 == 0
    halves = [_squares(values[half]) / np.count_nonzero(half) for half in (even, ~even)]
    quiet = max(1, round(_QUIET * values.shape[1]))
    found = 0.0
    for sought, taken in (halves, halves[::-1]):
        directions = np.linalg.eigh(sought)[1][:, :quiet]
        found += float(np.einsum("ij,ik,kj->j", directions, taken, directions).mean()) / 2
    return max(0.0, found)


def _runs(values: Floats, columns: int) -> tuple[Floats, Floats]:
    """Rows in runs (runs, rows, samples) so short that BLAS does not spread their products over threads.

    For products this small threads gain nothing, and on a busy machine they cost ten times as much.
    """
    rows = max(1, 200_000 // (values.shape[1] * columns))
    whole = len(values) // rows * rows
    return values[:whole].reshape(-1, rows, values.shape[1]), values[whole:]


def _product(values: Floats, matrix: Floats) -> Floats:
    """``values @ matrix``."""
    runs, rest = _runs(values, matrix.shape[1])
    return np.concatenate([(runs @ matrix).reshape(-1, matrix.shape[1]), rest @ matrix])


def _squares(values: Floats) -> Floats:
    """``values.T @ values``."""
    runs, rest = _runs(values, values.shape[1])
    return np.asarray((runs.transpose(0, 2, 1) @ runs).sum(axis=0) + rest.T @ rest)


def _fraction_below(limit: float, freedom: int) -> float:
    """What is left of the mean of squares of `freedom` normal values when those > `limit` are dropped.

    A ratio of two chi-square distributions, finite sums for even degrees of freedom.
    """
    half = limit * freedom / 2
    terms = [half**k / math.factorial(k) for k in range(freedom // 2 + 1)]
    return (math.exp(half) - sum(terms)) / (math.exp(half) - sum(terms[:-1]))


def _clipped_fraction(below: float, above: float, variance: float) -> float:
    """The part of the variance of normal noise that is left when it is clipped so far below and above."""
    if not variance > 0 or (math.isinf(below) and math.isinf(above)):
        return 1.0
    first = second = 0.0  # moments of z clipped to [-below, above] / sigma, side by side
    for sign, distance in ((-1, below), (1, above)):
        edge = min(max(distance, 0.0) / math.sqrt(variance), 40.0)
        outside = math.erfc(edge / math.sqrt(2)) / 2
        density = math.exp(-edge * edge / 2) / math.sqrt(2 * math.pi)
        first += sign * (1 / math.sqrt(2 * math.pi) - density + edge * outside)
        second += 0.5 - outside - edge * density + edge * edge * outside
    return max(second - first * first, 0.2)


def shared_variance(windows: Patches, white: float) -> float:
    """Variance over all scales where neighbours share their noise, else 0.

    Such noise is stronger at coarse scales than at fine ones, and so is texture.  But noise is
    equally strong in all windows, normal, and either fades all the way to the finest scale or leaves
    next to nothing there.  Texture differs from window to window, over a level ground of white noise;
    and a pattern that repeats is not normal.
    """
    if white <= 0 or len(windows.values) < _FEWEST_WINDOWS:
        return 0.0
    squares = _cosine_transform(windows.values - windows.values[:, :1], windows.shape) ** 2
    bands = _bands(windows.shape)
    energy = np.stack([squares[:, band].mean(axis=1) for band in bands], axis=1)
    sizes = [len(band) for band in bands]
    floor = np.quantile(energy, 0.1, axis=0) / [_chi_square(0.1, n) for n in sizes]
    even = floor <= _EVEN * np.quantile(energy, 0.02, axis=0) / [_chi_square(0.02, n) for n in sizes]
    strong = floor > white * np.array([math.inf, math.inf, math.inf, math.inf, 2**2, 8**2, math.inf])
    flattest = energy[:, 4] <= np.quantile(energy[:, 4], _FLATTEST)
    squares = squares[np.ix_(flattest, bands[4])]
    peaked = (squares**2).mean(axis=0).sum() / (3 * (squares.mean(axis=0) ** 2).sum())
    low = np.quantile(energy[flattest], 0.25, axis=0) / [_chi_square(0.25, n) for n in sizes]
    variance = float(np.average([*floor[:5], low[5], min(low[6], 4 * low[5])], weights=sizes))
    finest, next_finest = energy[flattest, :2].mean(axis=0)
    fades = next_finest > 1.4 * finest or variance > 5**2 * white
    normal = _NEARLY_NORMAL[0] <= peaked <= _NEARLY_NORMAL[1]
    return variance if normal and fades and bool((even & strong).any()) else 0.0


def _cosine_transform(values: Floats, shape: Shape) -> Floats:
    """Orthonormal cosine transform of each row, a window of `shape`."""
    windows = values.reshape(-1, *shape)
    for axis, n in enumerate(shape, start=1):
        k = np.arange(n)
        cosines = np.cos(np.pi * np.outer(k + 0.5, k) / n) * math.sqrt(2 / n)
        cosines[:, 0] /= math.sqrt(2)
        windows = np.moveaxis(np.moveaxis(windows, axis, -1) @ cosines, -1, axis)
    return windows.reshape(len(values), -1)


def _bands(shape: Shape) -> list[NDArray[np.intp]]:
    """Which coefficients make up each of seven bands: the finest octave in four parts, then three octaves."""
    axes = np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij")
    frequency = np.sqrt(sum(a.ravel() ** 2 for a in axes))
    order = np.argsort(-frequency, kind="stable")
    edges = [int(np.count_nonzero(frequency >= f)) for f in (0.5, 0.25, 0.125)]
    return [*np.array_split(order[: edges[0]], 4), *np.split(order[:-1], edges)[1:]]


def _chi_square(probability: float, freedom: int) -> float:
    """Quantile of a mean square of normal values (Wilson and Hilferty 1931)."""
    deviate = {0.02: -2.0537, 0.1: -1.2816, 0.25: -0.6745}[probability]
    spread = 2 / (9 * freedom)
    return (1 - spread + deviate * math.sqrt(spread)) ** 3
