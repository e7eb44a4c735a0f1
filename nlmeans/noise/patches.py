"""A sample of small patches, and the variance of white noise in it."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
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
_AT_A_LEVEL = 1 / 32  # part of the samples of a window that may be clipped
_MUCH_CLIPPED = 0.005  # part of the samples
_HALF_CLIPPED = 0.25  # part of the samples of flat patches
_FAR_LESS = 1.15  # ratio of two sigmas
_ROOM = 2.0  # sigmas between a patch and a clipping level that leave its noise nearly whole
NOISIER = 2.0  # ratio of sigmas of two parts of an image that counts
# Of a part that is noisier: one of so many patches is looked at; ratio of energies within it, +- 1.8
# deviations of 22 squares; the least part of the patches; of the energy that is in the quietest directions
# too, of noise nearly all.  Halves of 29 pictures (train400 and skimage) with noise of 0 and 20, 5 and 30, 5
# and 15: told in 18, 26 and 16; of the same clean, with white, clipped or blurred noise or photons
# everywhere in none (2026-11-30).
_NOISIER_OF, _ALIKE, _NOISIER_PART, _IN_ALL = 4, 3.0, 0.15, 0.5
_RUN, _IN_RUNS = 5, 0.25  # neighbours; their part of it: of a quarter of an image 0.36, of edges next to none


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
        if unit != 1:
            values *= 1 / unit
        return cls(values.reshape(-1, math.prod(shape)), (cells % 2 == 0)[valid].ravel(), shape)

    @property
    def least(self) -> int:
        """How many are needed for an estimate."""
        return _PER_SAMPLE * math.prod(self.shape)

    def __getitem__(self, chosen: Bools) -> Patches:
        return Patches(self.values[chosen], self.even[chosen], self.shape)

    def alive(self) -> Patches:
        """Those that hold noise; all if hardly any does, for then the image as a whole has none."""
        alive = self.mostly_unequal()
        enough = max(self.least, 0.01 * len(alive))
        return self[alive] if enough <= np.count_nonzero(alive) < len(alive) else self

    def clear_of(self, levels: tuple[float, float], variance: float) -> Patches:
        """Those that hold noise, at a distance from the clipping levels."""
        room = _ROOM * math.sqrt(variance)
        mean = self.values.mean(axis=1)
        return self[self.mostly_unequal() & (mean - levels[0] >= room) & (levels[1] - mean >= room)]

    def unclipped(self, levels: tuple[float, float]) -> Patches:
        """Those that hold noise, hardly any of it clipped."""
        hold = self.mostly_unequal()
        if any(map(math.isfinite, levels)):
            at = (self.values <= levels[0]) | (self.values >= levels[1])
            hold &= at.mean(axis=1) <= _AT_A_LEVEL
        return self if hold.all() else self[hold]

    def without_slopes(self) -> Floats:
        """What constants and linear slopes do not explain, as coefficients of each patch."""
        # differences to the first sample: exactly 0 in a constant patch
        return _product(self.values - self.values[:, :1], _without_slope(self.shape))

    def mostly_unequal(self) -> Bools:
        """Where at least half of the neighbours differ."""
        return self.equal <= 0.5

    @functools.cached_property
    def equal(self) -> Floats:
        """The part of the neighbours of each patch that are equal."""
        place = np.indices(self.shape).reshape(len(self.shape), -1)
        unequal, pairs = np.zeros(len(self.values), np.float32), 0.0
        for axis, n in enumerate(self.shape):
            far = math.prod(self.shape[axis + 1 :])  # to the neighbour, in a row of samples
            inside = (place[axis, : place.shape[1] - far] < n - 1).astype(np.float32)
            if inside.any():
                steps = self.values[:, far:] != self.values[:, :-far]
                unequal += np.einsum("ij,j->i", steps.astype(np.float32), inside)
                pairs += float(inside.sum())
        return 1 - unequal.astype(np.float64) / max(pairs, 1.0)


def power_of_two(largest: float) -> float:
    """A unit in which squares of values are numbers, and which takes nothing from their precision."""
    return math.ldexp(1.0, min(max(math.frexp(largest)[1], -1000), 1000))


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
    if count < max(20, 0.005 * values.size):
        return math.inf
    below = values[values < top]
    if not below.size:
        return math.inf
    return top if count > 1.5 * np.count_nonzero(below == below.max()) else math.inf


def noisier_part(patches: Patches, white: float) -> tuple[float, float]:
    """Which part of the patches holds white noise far above that of the flattest ones, and its variance.

    Noise has about one energy in all its patches, which texture has not, and as much of it in every
    direction, which edges have not, nor do they fill a place.  (0, 0) where there is no such part.
    """
    some = patches[np.arange(len(patches.values)) % _NOISIER_OF == 0]
    values = some.without_slopes()
    energy = (values**2).mean(axis=1)
    far = np.sort(np.log(energy[energy > NOISIER**2 * white]))
    if len(far) < max(some.least, _NOISIER_PART * len(energy)):
        return 0.0, 0.0
    counts = np.searchsorted(far, far + math.log(_ALIKE), side="right") - np.arange(len(far))
    least = float(np.exp(far[int(counts.argmax())]))
    among = (energy >= least) & (energy <= _ALIKE * least)
    part, runs = float(np.mean(among)), sliding_window_view(among, _RUN).all(axis=1)
    if part < _NOISIER_PART or float(np.mean(runs)) < _IN_RUNS * part:
        return 0.0, 0.0
    variance = _quiet_variance(values, some.even, among)
    if variance < max(NOISIER**2 * white, _IN_ALL * float(energy[among].mean())):
        return 0.0, 0.0
    return part, variance


def white_variance(patches: Patches, levels: tuple[float, float]) -> float:
    """Variance of white noise: flat patches are chosen by it, and it is found in them, in turns.

    Patches far from the clipping levels come first.  Where all that is flat is clipped, as the paper of a
    scan, those would be edges: then it is found in the clipped ones, if that is much less.
    """
    mean = patches.values.mean(axis=1)
    room = np.minimum(mean - levels[0], levels[1] - mean)
    at = np.zeros((2, len(mean)))
    for part, level in zip(at, levels, strict=True):
        if math.isfinite(level):
            part[:] = (patches.values == level).mean(axis=1)
    flat = _FlatPatches(patches.without_slopes(), patches.even, mean, room, at, levels, patches.least)
    clear, among = flat.variance(clear=True)
    if at.mean() < _MUCH_CLIPPED:
        return clear
    clipped, _ = flat.variance(clear=False)
    return (
        clipped
        if _FAR_LESS**2 * clipped < clear or at[:, among].sum(axis=0).mean() > _HALF_CLIPPED
        else clear
    )


@dataclass(frozen=True, eq=False)
class _FlatPatches:
    """What the variance of white noise is found from."""

    values: Floats  # (patches, samples) without slopes
    even: Bools
    mean: Floats  # (patches,)
    room: Floats  # to the nearest clipping level
    at: Floats  # (2, patches) the part of the samples at each level
    levels: tuple[float, float]
    least: int

    def variance(self, *, clear: bool) -> tuple[float, Bools]:
        """In the flattest of those that have room to the levels, or of all; and which they are."""
        freedom = self.values.shape[1]
        energy = (self.values**2).mean(axis=1)
        flat = 1 + _FLAT * math.sqrt(2 / freedom)
        kept = _fraction_below(flat, freedom)
        least = max(self.least, len(energy) // 20 if clear else len(energy))
        variance, chosen = math.nan, np.ones(len(energy), np.bool_)
        for _ in range(20):
            previous = variance
            seen = _quiet_variance(self.values, self.even, chosen) / kept
            outside = self._expected(chosen, previous) if clear else self.at[:, chosen].mean(axis=1).tolist()
            variance = seen / _clipped_fraction(*outside)
            if abs(variance - previous) <= 2e-3 * variance:
                break
            chosen = _lowest(-self.room, -_ROOM * math.sqrt(variance), least)
            chosen &= _lowest(
                np.where(chosen, energy, math.inf), flat * (variance if clear else seen), self.least
            )
        return variance, chosen

    def _expected(self, chosen: Bools, variance: float) -> list[float]:
        """The parts of normal noise of a variance that are beyond the levels."""
        if not variance > 0 or not any(map(math.isfinite, self.levels)):
            return [0.0, 0.0]
        middle = float(np.median(self.mean[chosen]))
        edges = (abs(middle - level) / math.sqrt(2 * variance) for level in self.levels)
        return [math.erfc(edge) / 2 for edge in edges]


def _lowest(values: Floats, limit: float, least: int) -> Bools:
    """Where values are at most `limit`; at least the `least` lowest."""
    if np.count_nonzero(values <= limit) < least <= len(values):
        limit = np.partition(values, least - 1)[least - 1]
    return values <= limit


def _quiet_variance(values: Floats, even: Bools, chosen: Bools) -> float:
    """Mean variance of the chosen patches along their quietest directions.

    The least of many estimated variances is too small by chance: so the directions are sought in one
    half of the patches and their variances taken from the other, both ways round.
    """
    halves = chosen & even, chosen & ~even
    if min(map(np.count_nonzero, halves)) < 2:
        even = np.cumsum(chosen) % 2 == 1
        halves = chosen & even, chosen & ~even
    products = [_squares(values[half]) / np.count_nonzero(half) for half in halves]
    quiet = max(1, round(_QUIET * values.shape[1]))
    found = 0.0
    for sought, taken in (products, products[::-1]):
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
    product = np.empty((len(values), matrix.shape[1]))
    runs, rest = _runs(values, matrix.shape[1])
    whole = len(values) - len(rest)
    np.matmul(runs, matrix, out=product[:whole].reshape(*runs.shape[:2], matrix.shape[1]))
    np.matmul(rest, matrix, out=product[whole:])
    return product


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


def _clipped_fraction(below: float, above: float) -> float:
    """The part of the variance of normal noise that is left when such parts of it are clipped."""
    first = second = 0.0  # moments of z clipped, side by side
    for sign, outside in ((-1, below), (1, above)):
        if outside < 1e-4:
            continue
        edge = -NormalDist().inv_cdf(min(outside, 1 - 1e-4))
        density = math.exp(-edge * edge / 2) / math.sqrt(2 * math.pi)
        first += sign * (edge * outside - density)
        second += (edge * edge - 1) * outside - edge * density
    return max(1 + second - first * first, 0.1)
