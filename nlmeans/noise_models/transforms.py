"""Transforms that give noise the standard deviation 1, and their exact unbiased inverses.

The mean of a transformed value is not the transform of the mean.  So what a filter averages in the
transformed image is led back by the inverse of ``clean value -> mean of the transformed noisy value``.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from nlmeans.noise_models.model import NoiseModel
from nlmeans.noise_models.special import bessel_i, digamma, trigamma

#: Of the mean of values under speckle: what is darker is taken for this.  Of 1 look 0.1 % of the values are
#: darker, of more looks fewer.
DARKEST = 1e-3
#: Of the standard deviation of transformed counts.  Six photographs, against 1 everywhere: nlmeans +0.2, +0.5
#: and +0.1 dB at peak 1, 5 and 10, nlridge +6.3, +0.4 and +0.1; 0.6 and 0.7 are as good for nlmeans alone.
LEAST = 0.5
# Above the mean of Rician noise alone.  A phantom with noise of 9 %: bias of the background 1.4 % of the
# range without, 0.1 % with it, and 3 dB more; benchmarks/studies/noise.
_NOISE = 0.1


class Transform(Protocol):
    """Of one channel; `xp` is NumPy or CuPy, the values are of a floating type."""

    def forward(self, values: Any, xp: Any) -> Any:
        """Values whose noise has the standard deviation 1."""
        ...

    def inverse(self, mean: Any, xp: Any) -> Any:
        """The clean values of which the transformed noisy ones have this mean."""
        ...

    def deviation(self, mean: Any) -> Any:
        """The standard deviation of transformed values whose mean was this; None where it is 1 everywhere.

        Of few counts, and of next to no signal in MRI, no transform makes it 1.
        """
        ...


def transform_of(model: NoiseModel, mean: float) -> Transform:
    """That of a complete model of one channel, whose values have this mean."""
    if model.kind == "speckle":
        return Logarithm(float(model.looks), DARKEST * mean)  # type: ignore[arg-type]
    if model.kind == "curve":
        return Curve(model.levels, model.deviations)  # type: ignore[arg-type]
    if model.kind == "rician":
        return Rice(float(model.sigma))  # type: ignore[arg-type]
    return Anscombe(float(model.gain), float(model.offset or 0), float(model.sigma or 0))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Anscombe:
    """The generalised Anscombe transform, for counts and for counts with normal noise added.

    ``f(z) = 2 sqrt(max(z + 3/8 + s^2, 0))`` of ``z = (value - offset) / gain`` and ``s = sigma / gain``.
    The inverse is the closed form of the exact unbiased one: M. Makitalo, A. Foi, "A closed-form
    approximation of the exact unbiased inverse of the Anscombe variance-stabilizing transformation", IEEE
    Transactions on Image Processing 20 (2011), doi:10.1109/TIP.2011.2121085, less s^2 as in "Optimal
    inversion of the generalized Anscombe transformation for Poisson-Gaussian noise", ibid. 22 (2013),
    doi:10.1109/TIP.2012.2202675.  Against the expectation by numerical integration it is wrong by at most
    0.045 counts (tests/noise/test_models.py).
    """

    gain: float
    offset: float = 0.0
    sigma: float = 0.0

    def forward(self, values: Any, xp: Any) -> Any:
        """See the class."""
        counts = (values - self.offset) / self.gain + (3 / 8 + (self.sigma / self.gain) ** 2)
        return 2 * xp.sqrt(xp.maximum(counts, 0))

    def inverse(self, mean: Any, xp: Any) -> Any:
        """See the class; counts are not negative."""
        d = xp.maximum(mean, 2 * math.sqrt(3 / 8))
        y, root = 1 / d, math.sqrt(3 / 2)
        counts = d * d / 4 + y * (root / 4 - y * (11 / 8 - y * (5 / 8 * root)))
        counts -= 1 / 8 + (self.sigma / self.gain) ** 2
        return xp.maximum(counts, 0) * self.gain + self.offset

    def deviation(self, mean: Any) -> Any:
        """By expectation; not below `LEAST`, for there values are no longer near normal."""
        clean, table = _deviations(round(self.sigma / self.gain, 4))
        return np.interp((mean - self.offset) / self.gain, clean, np.maximum(table, LEAST))


@dataclass(frozen=True)
class Logarithm:
    """For speckle: gamma distributed around the clean value with `looks` as the shape.

    The logarithm of such a value has the mean ``ln clean + digamma(looks) - ln looks`` and the standard
    deviation ``sqrt(trigamma(looks))``, which are subtracted and divided out.  J.-S. Lee et al., "Speckle
    filtering of synthetic aperture radar images: a review", Remote Sensing Reviews 8 (1994); H. Xie,
    L. Pierce, F. Ulaby, "Statistical properties of logarithmically transformed speckle", IEEE Transactions
    on Geoscience and Remote Sensing 40 (2002), doi:10.1109/TGRS.2002.1000333.
    """

    looks: float
    darkest: float

    @property
    def _mean(self) -> float:
        return digamma(self.looks) - math.log(self.looks)

    def forward(self, values: Any, xp: Any) -> Any:
        """See the class; what is darker than the darkest, so 0 and less, is taken for that."""
        darkest = max(self.darkest, float(np.finfo(values.dtype).tiny))
        return (xp.log(xp.maximum(values, darkest)) - self._mean) / math.sqrt(trigamma(self.looks))

    def inverse(self, mean: Any, xp: Any) -> Any:
        """See the class."""
        return xp.exp(mean * math.sqrt(trigamma(self.looks)))

    def deviation(self, mean: Any) -> Any:
        """1."""
        return None


@dataclass(frozen=True)
class Rice:
    """For magnitudes of complex values, Rice distributed.

    ``f(z) = int dz / sd`` with the standard deviation sd of the values of mean z.  The inverse is that of
    the mean of f under the distribution, by numerical integration: A. Foi, "Noise estimation and removal in
    MR imaging: the variance-stabilization approach", ISBI 2011, doi:10.1109/ISBI.2011.5872758.
    """

    sigma: float

    def forward(self, values: Any, xp: Any) -> Any:
        """See the class; beyond the table f grows as ``z - 1 / 4z``, for the variance is 1 - 1 / 2z^2."""
        table, z = rice_table(), values / self.sigma
        within = xp.interp(z, xp.asarray(table.z), xp.asarray(table.f))
        last, at = table.z[-1], xp.maximum(z, table.z[-1])
        beyond = (at - last) + (1 / last - 1 / at) / 4
        return (within + beyond + xp.minimum(z - table.z[0], 0) / table.darkest).astype(values.dtype)

    def inverse(self, mean: Any, xp: Any) -> Any:
        """See the class; what is no brighter than pure noise is 0.

        Near there the inverse is a root, which makes of what a filter leaves of the noise, normal with
        deviations of 0.06 to 0.1, a bias of 0.2 sigma.  So values up to `_NOISE` above the mean of noise are
        0, and those of clean values above 0.8 sigma are led back exactly.
        """
        table = rice_table()
        above = (mean - table.mean_f[0]) / _NOISE
        within = xp.interp(mean, xp.asarray(table.mean_f), xp.asarray(table.clean))
        within *= xp.clip(above - 1, 0, 1)
        beyond = xp.maximum(mean - table.mean_f[-1], 0)
        return ((within + beyond) * self.sigma).astype(mean.dtype)

    def deviation(self, mean: Any) -> Any:
        """From the table."""
        table = rice_table()
        return np.interp(mean / self.sigma, table.z, table.deviation)


@dataclass(frozen=True)
class Curve:
    """For noise whose standard deviation is known at some levels, its logarithm linear between them.

    ``f(z) = int dz / sd(z)``.  The inverse is that of the mean of f under normal noise, by quadrature.
    """

    levels: tuple[float, ...]
    deviations: tuple[float, ...]

    def forward(self, values: Any, xp: Any) -> Any:
        """See the class; beyond the last levels the deviation is constant, so f is straight."""
        table = _curve_table(self.levels, self.deviations)
        return _straight_beyond(values, table.z, table.f, xp)

    def inverse(self, mean: Any, xp: Any) -> Any:
        """See the class."""
        table = _curve_table(self.levels, self.deviations)
        return _straight_beyond(mean, table.mean_f, table.z, xp)

    def deviation(self, mean: Any) -> Any:
        """1."""
        return None


def _straight_beyond(values: Any, x: Any, y: Any, xp: Any) -> Any:
    """y at values of x; beyond the ends along the first and the last piece."""
    first, last = ((y[b] - y[a]) / (x[b] - x[a]) for a, b in ((0, 1), (-2, -1)))
    within = xp.interp(values, xp.asarray(x), xp.asarray(y))
    beyond = xp.minimum(values - x[0], 0) * first + xp.maximum(values - x[-1], 0) * last
    return (within + beyond).astype(values.dtype)


@dataclass(frozen=True, eq=False)
class CurveTable:
    """Values z, the transform f there, and its mean where z is the clean value."""

    z: Any
    f: Any
    mean_f: Any


@functools.lru_cache(maxsize=64)
def _curve_table(levels: tuple[float, ...], deviations: tuple[float, ...]) -> CurveTable:
    """1024 pieces, from 6 deviations below the first level to 6 above the last: beyond, f is its mean."""
    z = np.linspace(levels[0] - 6 * deviations[0], levels[-1] + 6 * deviations[-1], 1025)
    deviation = np.exp(np.interp(z, levels, np.log(deviations)))
    steps = np.diff(z)
    f = np.concatenate([[0], np.cumsum((steps / deviation[1:] + steps / deviation[:-1]) / 2)])
    x, w = np.polynomial.hermite_e.hermegauss(24)
    noisy = z[:, None] + deviation[:, None] * x
    mean_f = _straight_beyond(noisy, z, f, np) @ (w / w.sum())
    return CurveTable(z, f, np.maximum.accumulate(mean_f + 1e-12 * np.arange(len(z))))


@functools.lru_cache(maxsize=64)
def _deviations(sigma: float) -> tuple[Any, Any]:
    """Clean counts from 0 to 30, and the standard deviation of the Anscombe transform of the noisy ones."""
    clean = np.concatenate([np.linspace(0, 1, 41), np.linspace(1, 30, 59)[1:]])
    counts, (nodes, weights) = np.arange(90), np.polynomial.hermite_e.hermegauss(32)
    chances = np.zeros((len(clean), len(counts)))
    chances[:, 0] = np.exp(-clean)
    for n in counts[1:]:
        chances[:, n] = chances[:, n - 1] * clean / n
    values = Anscombe(1.0, 0.0, sigma).forward(np.add.outer(counts, sigma * nodes), np)
    first, second = ((values**p) @ (weights / weights.sum()) for p in (1, 2))
    return clean, np.sqrt(np.maximum(chances @ second - (chances @ first) ** 2, 0))


@dataclass(frozen=True, eq=False)
class RiceTable:
    """Of noise of sigma 1: the mean of values z and the transform f there, and the clean value of a mean."""

    clean: Any
    z: Any  # mean of the values of a clean one, the points at which f is known
    f: Any
    mean_f: Any  # of a clean value
    deviation: Any  # of f, of a clean value
    darkest: float  # standard deviation of values where there is noise alone


@functools.cache
def rice_table() -> RiceTable:
    """By the moments in closed form, and quadrature over both parts of the complex value, up to 20 sigma."""
    clean = np.concatenate([np.linspace(0, 6, 301), np.linspace(6, 20, 141)[1:]])
    half = clean**2 / 4
    zeroth, first = bessel_i(0, half), bessel_i(1, half)
    mean = math.sqrt(math.pi / 2) * ((1 + 2 * half) * zeroth + 2 * half * first)
    deviation = np.sqrt(2 + clean**2 - mean**2)
    slopes = 1 / deviation
    f = np.concatenate([[0], np.cumsum(np.diff(mean) * (slopes[1:] + slopes[:-1]) / 2)])
    x, w = np.polynomial.hermite_e.hermegauss(48)
    w = np.multiply.outer(w, w) / w.sum() ** 2
    z = np.hypot(clean[:, None, None] + x[:, None], x)
    beyond = np.maximum(z - mean[-1], 0)
    at = np.interp(z, mean, f) + beyond + np.minimum(z - mean[0], 0) / deviation[0]
    mean_f = (at * w).sum(axis=(1, 2))
    spread = np.sqrt((at**2 * w).sum(axis=(1, 2)) - mean_f**2)
    return RiceTable(clean, mean, f, mean_f, spread, float(deviation[0]))
