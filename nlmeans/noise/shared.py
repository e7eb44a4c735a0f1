"""Noise that neighbours share: how strong it is where the image is flattest, and whether it is noise at all.

Such noise (blurred, enlarged, demosaiced, compressed, grain) is weak at the finest scale, and so is
texture.  What tells them apart are properties of the flattest windows: noise is as strong in one as in the
next, has no direction, is normal, fills many frequencies, and what it has in some of them says nothing of the
others; texture is uneven, directed, and coarse, and strong at many frequencies at once.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from nlmeans.noise.patches import Bools, Floats, Patches
from nlmeans.noise.spectrum import chi_square, cosine_transform, lowest
from nlmeans.noise.stored import Stored

FINE, COARSE = 8, 16  # sides of windows
APART = 1.5  # ratio of two estimates that count as two
_FEWEST = 100  # windows
_FLATTEST = 0.15  # part of the windows in which noise is looked at
# Fourth moments over those of normal noise, at least: of noise 0.82 and more in 99 of 100 pictures, also
# behind JPEG; of what repeats, such as waves, cobbles and cloth, 0.3 to 0.7
_NORMAL = 0.75
# Freedom below which windows of the larger size are needed as well, and alone: ratio of estimate to truth in
# small ones 0.75 and in large ones 0.97 below 0.25, 0.88 and 1.04 from 0.35 on, where large ones see texture
_NEEDS_COARSE = (0.25, 0.4)
# How far a frequency may stand above its neighbours: noise, JPEG and all, 16 times; waves, checks 30 to 4000
_LINE = 20.0
# Logarithm of the spread of brightness over sigma, as far as it speaks against noise: an image that is all
# texture has less than 0; an even image has too, and shows its noise so clearly that it is found all the same
_CONTRASTS = (-0.8, 0.0)
_HIGH = 7 / 8  # of the highest frequency along an axis
_STRONGEST = (
    3.0  # logarithm of shared over white sigma, as far as it speaks for noise: of noise 95 in 100 are below
)
_KIN = 0.25  # part of the windows
# In 19 noisy pictures without a grid of JPEG sigma was 1.5 to 2 times that of white noise: the latter was
# nearer to the truth in all, and the rest was texture.  Logarithm of such odds, 1 to 20
_FAR, _NEAR = 2.0, -3.0
_MORE = 1.3  # sigma typical of the brightnesses over that of the flattest windows, at most
_BINS, _PER_BIN = 6, 60  # of brightness


@dataclass(frozen=True, eq=False)
class Shared:
    """What the flattest windows hold."""

    sigma: float  # over all scales, typical of the brightnesses
    evidence: float  # natural logarithm of the odds that it is noise
    freedom: float  # independent values per pixel: 1 of white noise, less the more neighbours share
    finest: Floats  # variance of the finest scale at each brightness, from dark to bright
    properties: dict[str, float]  # that the evidence is made of


def shared_noise(fine: Patches, coarse: Patches, white: float, stored: Stored | None) -> Shared | None:
    """From windows of two sizes that are not clipped; None where there are too few.

    `white` is the variance of noise that is white, `stored` what the grid of JPEG says.
    """
    if len(fine.values) < _FEWEST:
        return None
    small = _Flattest.of(fine)
    large = _Flattest.of(coarse) if len(coarse.values) >= _FEWEST else small
    bins = small.bins()
    variances = np.array([small.variance_of(b) for b in bins])
    freedom = small.freedom / small.kept.sum()
    variance = small.typical(variances)
    if freedom < _NEEDS_COARSE[1] and large is not small:
        part = min(1.0, (_NEEDS_COARSE[1] - freedom) / (_NEEDS_COARSE[1] - _NEEDS_COARSE[0]))
        broad = large.typical(np.array([large.variance_of(b) for b in large.bins()]))
        variance = variance ** (1 - part) * broad**part
    if not variance > 0:
        return None
    sigma = math.sqrt(variance) if stored is None else stored.sigma(math.sqrt(variance), freedom)
    finest = np.array([small.finest(b) for b in bins])
    freedom = 1.0 if stored is not None and stored.white else freedom
    if sigma <= APART * math.sqrt(white):  # nothing depends on what it is
        return Shared(sigma, -math.inf, freedom, finest, {})
    found = properties(small, large, bins)
    found["strength"] = min(math.log(variance / max(white, 1e-9 * variance)) / 2, _STRONGEST)
    contrast = small.values.mean(axis=(1, 2)).std() / math.sqrt(variance)
    found["contrast"] = min(max(math.log(max(contrast, 1e-9)), _CONTRASTS[0]), _CONTRASTS[1])
    if stored is None:
        found, weights = found | more_properties(small, large), _WEIGHTS
    else:
        found, weights = found | stored.properties, _WEIGHTS_OF_STORED
    odds = _odds(found, weights)
    if stored is None and variance < _FAR**2 * white:
        odds += _NEAR
    evidence = odds if small.peaked >= _NORMAL and large.line <= _LINE else -math.inf
    return Shared(sigma, evidence, freedom, finest, found)


@dataclass(frozen=True, eq=False)
class _Flattest:
    """Windows by their cosine transform; the flattest have the least energy but for slopes."""

    values: Floats  # (windows, side, side)
    squares: Floats  # of their transform
    kept: Bools  # (side, side): the frequencies that slopes do not reach
    energy: Floats  # mean over those
    chosen: NDArray[np.intp]
    spectrum: Floats  # (side, side) mean of the chosen

    @classmethod
    def of(cls, windows: Patches) -> _Flattest:
        side = max(windows.shape)
        return cls.of_values(windows.values.reshape(-1, side, side))

    @classmethod
    def of_values(cls, values: Floats) -> _Flattest:
        """Of windows (windows, side, side)."""
        side = values.shape[-1]
        coefficients = cosine_transform(values - values[:, :1, :1])
        squares = coefficients**2
        down, across = np.indices((side, side))
        kept = np.hypot(down, across) * (8 / side) >= (0.9 if side > 8 else 1.4)
        energy = squares[:, kept].mean(axis=1)
        chosen = lowest(energy, _FLATTEST)
        return cls(values, squares, kept, energy, chosen, squares[chosen].mean(axis=0))

    def halved(self) -> _Flattest:
        """The same windows at half the size."""
        half = self.values.shape[-1] // 2
        return _Flattest.of_values(self.values.reshape(-1, half, 2, half, 2).mean(axis=(2, 4)))

    def bins(self) -> list[NDArray[np.intp]]:
        """The windows by brightness, as many in each."""
        order = np.argsort(self.values.mean(axis=(1, 2)), kind="stable")
        return np.array_split(order, min(_BINS, max(1, len(order) // _PER_BIN)))

    @property
    def freedom(self) -> float:
        """How many independent values of one strength vary as much as the energy does."""
        kept = self.spectrum[self.kept]
        return float(kept.sum() ** 2 / (kept**2).sum())

    def typical(self, variances: Floats) -> float:
        """A low quantile of those of the brightnesses, but not far above that of the flattest windows."""
        everywhere = self.variance_of(np.arange(len(self.energy)))
        return min(float(np.quantile(variances, 1 / 3)), _MORE**2 * everywhere)

    def variance_of(self, some: NDArray[np.intp]) -> float:
        """Of the noise of some windows: a low quantile of their energy, over all frequencies."""
        energy = self.energy[some]
        low = np.quantile(energy, 0.1)
        spectrum = self.squares[some][energy <= low].mean(axis=0)
        mean = spectrum[self.kept].mean()
        if mean <= 0:
            return 0.0
        quantile = low / chi_square(0.1, self.freedom)
        return float(quantile * self._filled(spectrum).mean() / mean)

    def finest(self, some: NDArray[np.intp]) -> float:
        """Variance of white noise as the highest frequencies have it, where texture is weakest."""
        return float(np.quantile(self._high[some], 0.25) / chi_square(0.25, int(self._highest.sum())))

    @property
    def _highest(self) -> Bools:
        return np.asarray(np.hypot(*np.indices(self.spectrum.shape)) >= _HIGH * len(self.spectrum))

    @functools.cached_property
    def _high(self) -> Floats:
        """Energy of the highest frequencies."""
        return np.asarray(self.squares[:, self._highest].mean(axis=1))

    def _filled(self, spectrum: Floats) -> Floats:
        """Its lowest frequencies, which hold the image, as strong as those next to them."""
        radius = np.hypot(*np.indices(spectrum.shape))
        lowest = radius[self.kept].min()
        return np.where(self.kept, spectrum, spectrum[self.kept & (radius < 1.5 * lowest)].mean())

    def unevenness(self, some: NDArray[np.intp]) -> float:
        """Logarithm of a ratio of two low quantiles of the energy of some windows, which is 0 for noise."""
        low, lowest = (np.quantile(self.energy[some], q) / chi_square(q, self.freedom) for q in (0.1, 0.02))
        return math.log(low / lowest) if lowest > 0 else 4.0

    def coherence(self, some: NDArray[np.intp]) -> float:
        """Of the gradients of the flattest of some windows, above that of noise of this spectrum."""
        return _coherence(self.values[some[lowest(self.energy[some], _FLATTEST)]]) - self.by_chance

    def kinship(self, some: NDArray[np.intp]) -> float:
        """Correlation of the energies in two halves of the frequencies, as a chessboard: 0 of noise.

        In the flattest of some windows.
        """
        black = np.indices(self.kept.shape).sum(axis=0) % 2 == 0
        halves = [
            np.log(self.squares[some][:, self.kept & colour].mean(axis=1) + 1e-300)
            for colour in (black, ~black)
        ]
        flattest = lowest(halves[0] + halves[1], _KIN)
        one, other = (half[flattest] - half[flattest].mean() for half in halves)
        scale = math.sqrt(float((one**2).sum() * (other**2).sum()))
        return float((one * other).sum()) / scale if scale > 0 else 0.0

    @property
    def sides(self) -> float:
        """Logarithm of the ratio of what varies more down and what varies more across, without sign."""
        across = np.triu(np.ones_like(self.spectrum), 1) > 0
        down = float(self.spectrum[self.kept & across.T].sum())
        side = float(self.spectrum[self.kept & across].sum())
        return abs(math.log(side / down)) if min(side, down) > 0 else 4.0

    @property
    def peaked(self) -> float:
        """Fourth moments of the coefficients over those of normal values of this spectrum."""
        fourth = (self.squares[self.chosen] ** 2).mean(axis=0)[self.kept].sum()
        return float(fourth / (3 * (self.spectrum[self.kept] ** 2).sum()))

    @property
    def line(self) -> float:
        """How much stronger a frequency is at most than the mean of the eight next to it."""
        padded = np.pad(self.spectrum, 1, mode="reflect")
        around = sliding_window_view(padded, (3, 3)).sum(axis=(2, 3)) - self.spectrum
        return float((8 * self.spectrum / np.maximum(around, 1e-9 * self.spectrum.max()))[self.kept].max())

    @property
    def tails(self) -> float:
        """Logarithm of the fourth moment of second differences in the flattest windows; 0 of normal noise."""
        v = self.values[self.chosen]
        inner = v[:, 1:-1, 1:-1]
        second = 4 * inner - v[:, 2:, 1:-1] - v[:, :-2, 1:-1] - v[:, 1:-1, 2:] - v[:, 1:-1, :-2]
        square = float((second**2).mean())
        return math.log(max(float((second**4).mean()) / (3 * square**2), 0.1)) if square > 0 else 0.0

    @functools.cached_property
    def by_chance(self) -> float:
        """The coherence of normal noise with the spectrum of the flattest windows."""
        return _coherence(
            cosine_transform(_normal(len(self.spectrum)) * np.sqrt(self.spectrum), inverse=True)
        )


@functools.cache
def _normal(side: int) -> Floats:
    """Normal values for the windows that noise would give."""
    return np.random.default_rng(0).standard_normal((20_480 // side**2, side, side))


def _coherence(windows: Floats) -> float:
    """Of gradients: 0 where all directions are alike, 1 where there is one; the median over windows."""
    down, across = np.diff(windows, axis=1)[:, :, :-1], np.diff(windows, axis=2)[:, :-1]
    yy, xx, xy = ((a * b).mean(axis=(1, 2)) for a, b in ((down, down), (across, across), (down, across)))
    total = yy + xx
    directed = np.sqrt((yy - xx) ** 2 + 4 * xy**2)
    return float(np.median(directed / np.where(total > 0, total, 1)))


# Logistic regression by benchmarks/studies/kinds/telling.py, but for the contrast, see _CONTRASTS
_WEIGHTS = {
    "": (4.34, 0.0),
    "most coherence": (-4.38, 3.19),
    "by chance": (-23.81, 18.9),
    "by chance, coarse": (-22.05, 22.03),
    "unevenness": (-5.22, 2.31),
    "unevenness of a brightness": (-1.84, 0.29),
    "kinship": (-2.05, 1.44),
    "sides": (-2.67, -0.93),
    "freedom": (3.32, 1.84),
    "freedom, coarse": (-2.37, -0.9),
    "strength": (-1.08, 0.15),
    "coherence, half": (3.83, -73.03),
    "by chance, half": (34.88, -32.24),
    "kinship, half": (0.55, 0.41),
    "tails": (2.71, -1.35),
    "contrast": (1.12, 0.0),
}
_WEIGHTS_OF_STORED = {
    "": (2.99, 0.0),
    "most coherence": (-5.91, -0.56),
    "by chance": (-2.87, -2.11),
    "by chance, coarse": (-1.25, -0.23),
    "unevenness": (-1.42, 0.69),
    "unevenness of a brightness": (-3.21, -0.07),
    "kinship": (-3.2, 3.58),
    "sides": (-3.64, 1.01),
    "freedom": (2.32, -0.24),
    "freedom, coarse": (-1.36, -0.37),
    "strength": (3.08, -0.48),
    "slope": (-3.36, 1.54),
    "stored sides": (-0.24, 0.1),
    "uneven": (-0.34, -1.29),
    "uneven, most": (-0.4, 1.08),
    "contrast": (1.5, 0.0),
}


def _odds(properties: dict[str, float], weights: dict[str, tuple[float, float]]) -> float:
    """Natural logarithm of those of noise: it is near one value of a property, texture on both sides."""
    each = ((*pair, properties[name]) for name, pair in weights.items() if name)
    return weights[""][0] + sum(value * (linear + square * value) for linear, square, value in each)


def properties(small: _Flattest, large: _Flattest, bins: list[NDArray[np.intp]]) -> dict[str, float]:
    """What tells noise from texture; see the top of this file."""
    everywhere = np.arange(len(small.energy))
    return {
        "most coherence": max(small.coherence(b) for b in bins),
        "by chance": small.by_chance,
        "by chance, coarse": large.by_chance,
        "unevenness": min(small.unevenness(everywhere), 1.0),  # more is noise that depends on brightness
        "unevenness of a brightness": min(float(np.median([small.unevenness(b) for b in bins])), 4.0),
        "kinship": float(np.median([small.kinship(b) for b in bins])),
        "sides": min(small.sides, 4.0),
        "freedom": math.log(small.freedom / small.kept.sum()),
        "freedom, coarse": math.log(large.freedom / large.kept.sum()),
    }


def more_properties(small: _Flattest, large: _Flattest) -> dict[str, float]:
    """Those at half the size, where noise that neighbours share is nearer to white, and the tails.

    Weights with them behind JPEG lost 0.1 dB on its photographs: there they are not used.
    """
    half = large.halved() if large is not small else small
    everywhere = np.arange(len(half.energy))
    return {
        "coherence, half": half.coherence(everywhere),
        "by chance, half": half.by_chance,
        "kinship, half": half.kinship(everywhere),
        "tails": small.tails,
    }
