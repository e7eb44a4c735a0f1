"""Which model the variance at each brightness follows, and with which parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nlmeans.noise.models.brightness import Bins
from nlmeans.noise.patches import Floats
from nlmeans.noise_models.model import NoiseModel, Numbers
from nlmeans.noise_models.transforms import rice_table

# Chosen on 57 of the 400 photographs, see benchmarks/studies/noise.py.
_SYSTEMATIC = 0.06  # relative error of a variance that more windows do not cure: texture
_USUAL = 1.5, 1.0  # standard errors below and above a curve beyond which a bin counts less: above is texture
_POWERS = ((0,), (1,), (1, 0), (2,))  # of the mean, whose sum the variance is
_WHOLE = 0.15  # of counts: by so much the estimated gain may differ from 1, which it then is
_ROUNDED = 0.5  # sigma of what is added to counts, at least: less would be rounded away
_SIGMAS = 1.02 ** np.arange(-120, 121)  # of Rician noise that are tried, times a first guess


@dataclass(frozen=True)
class Fit:
    """A model, how badly it fits, and the standard errors of its parameters."""

    model: NoiseModel
    loss: float  # minus the logarithm of how probable the bins are, and of its parameters (BIC)
    errors: dict[str, float]

    def scaled(self, unit: float) -> Fit:
        """In smaller units."""
        if unit == 1:
            return self
        errors = {name: v * (1 if name == "looks" else unit) for name, v in self.errors.items()}
        return Fit(_scaled(self.model, unit), self.loss, errors)


def _scaled(model: NoiseModel, unit: float) -> NoiseModel:
    """A model of one channel in smaller units."""
    gain, offset, sigma = (
        None if v is None else unit * one_number(v) for v in (model.gain, model.offset, model.sigma)
    )
    return replace(model, gain=gain, offset=offset, sigma=sigma)


def fits(bins: Bins) -> dict[str, Fit]:
    """The best model of each kind that the bins can have, in units of the image."""
    return {kind: fit.scaled(bins.unit) for kind, fit in _fits(bins).items()}


def _fits(bins: Bins) -> dict[str, Fit]:
    """In the unit of the bins."""
    found: dict[str, Fit] = {}
    for powers in _POWERS if bins.usable else ():
        fit = _fitted(bins, powers)
        if fit is not None and bins.whole:
            fit = _of_counts(fit)
        if fit is not None and (fit.model.kind not in found or fit.loss < found[fit.model.kind].loss):
            found[fit.model.kind] = fit
    return found


def completed(model: NoiseModel, bins: Bins) -> NoiseModel | None:
    """A model of one channel with what is missing as the bins tell it; None where they do not."""
    if not model.missing:
        return model
    if not bins.usable:
        return None
    found = _completed(_scaled(model, 1 / bins.unit), bins)
    return None if found is None else _scaled(found, bins.unit)


def _completed(model: NoiseModel, bins: Bins) -> NoiseModel | None:
    """The same in the unit of the bins."""
    if model.kind == "rician":
        return _rician(bins)
    offset = one_number(model.offset)
    shifted = replace(bins, means=bins.means - offset, darkest=bins.darkest - offset)
    if model.kind == "poisson-gaussian" and len(model.missing) == 1:
        return _half(model, shifted)
    found = _fits(shifted)
    fit = found.get(model.kind) or (found.get("poisson") if model.kind == "poisson-gaussian" else None)
    if model.kind == "poisson" and model.offset is not None:
        fit = _fitted(shifted, (1,))
    if fit is None or model.kind == "speckle":
        return None if fit is None else fit.model
    known: dict[str, Any] = {"gain": fit.model.gain}
    if model.kind == "poisson-gaussian":
        known["sigma"] = one_number(fit.model.sigma)
    if model.offset is not None or fit.model.offset is not None:
        known["offset"] = offset if model.offset is not None else fit.model.offset
    return replace(model, **known)


def _half(model: NoiseModel, bins: Bins) -> NoiseModel | None:
    """Counts and normal noise, of which one is known."""
    if model.missing == ("sigma",):
        rest = float(np.median(bins.variances - one_number(model.gain) * bins.means))
        return replace(model, sigma=math.sqrt(max(rest, 0.0)))
    gain = float(np.median((bins.variances - one_number(model.sigma) ** 2) / bins.means))
    return replace(model, gain=gain) if gain > 0 else None


def one_number(value: Numbers | None) -> float:
    """A parameter of one channel; 0 where there is none."""
    assert not isinstance(value, tuple)
    return 0.0 if value is None else value


def _fitted(bins: Bins, powers: tuple[int, ...]) -> Fit | None:
    """Variance as a sum of powers of the mean, by least squares that bears with bins of texture."""
    m, v = bins.means, bins.variances
    error = np.sqrt(bins.errors**2 + _SYSTEMATIC**2)
    columns = np.stack([m**p for p in powers], axis=1)
    if powers[0] and m.min() < -3 * math.sqrt(v.min()):
        return None  # counts and intensities are not negative
    curve, weight = v, np.ones(len(m))
    for _ in range(20):
        each = np.sqrt(weight) / (curve * error)
        found, _, rank, _ = np.linalg.lstsq(columns * each[:, None], v * each, rcond=None)
        if rank < len(powers):
            return None  # equally bright bins, of a regular pattern, do not tell a slope
        before, curve = curve, columns @ found
        if found[0] <= 0 or not (curve > 0.02 * v).all():
            return None
        deviate = (v / curve - 1) / error
        limit = np.where(deviate < 0, *_USUAL)
        weight = np.minimum(1, limit / np.maximum(np.abs(deviate), 1e-9))
        if (np.abs(curve - before) < 1e-3 * curve).all():
            break
    if len(powers) == 2 and found[1] < -found[0] * bins.darkest:
        return None  # brighter than the darkest pixels is no darkness
    each = np.sqrt(weight) / (curve * error)
    scaled = columns * each[:, None]
    spread = np.sqrt(np.diag(np.linalg.inv(scaled.T @ scaled)))
    model, errors = _named(powers, found, spread)
    return Fit(model, _loss(deviate, limit) + len(powers) * math.log(len(m)) / 2, errors)


def _loss(deviate: Floats, limit: Floats) -> float:
    """Half the squares of deviates, linear beyond a limit (Huber 1964)."""
    size = np.abs(deviate)
    return float(np.where(size <= limit, deviate**2 / 2, limit * (size - limit / 2)).sum())


def _named(powers: tuple[int, ...], found: Any, spread: Any) -> tuple[NoiseModel, dict[str, float]]:
    """The model of coefficients and of their standard errors."""
    first, error = float(found[0]), float(spread[0])
    if powers == (0,):
        sigma = math.sqrt(first)
        return NoiseModel("gaussian", sigma=sigma), {"sigma": error / (2 * sigma)}
    if powers == (2,):
        return NoiseModel("speckle", looks=1 / first), {"looks": error / first**2}
    if powers == (1,):
        return NoiseModel("poisson", gain=first), {"gain": error}
    rest, own = float(found[1]), float(spread[1])
    if rest < 0:
        offset = -rest / first
        return NoiseModel("poisson", gain=first, offset=offset), {"gain": error, "offset": own / first}
    sigma = math.sqrt(rest)
    more = {"gain": error, "sigma": own / (2 * max(sigma, math.sqrt(own)))}
    return NoiseModel("poisson-gaussian", gain=first, sigma=sigma), more


def _of_counts(fit: Fit) -> Fit:
    """Whole numbers whose gain is about 1 are counts."""
    gain, sigma, offset = (one_number(v) for v in (fit.model.gain, fit.model.sigma, fit.model.offset))
    if gain == 0 or sigma > _ROUNDED or offset:
        return fit
    near = abs(gain - 1) < max(_WHOLE, 2 * fit.errors["gain"])
    return replace(fit, model=NoiseModel("poisson", gain=1.0), errors={"gain": 0.0}) if near else fit


def _rician(bins: Bins) -> NoiseModel:
    """The sigma whose curve of mean and variance is nearest to the bins."""
    table = rice_table()
    variance = 2 + table.clean**2 - table.z**2
    guess = math.sqrt(float(np.median(bins.variances)))
    error = np.sqrt(bins.errors**2 + _SYSTEMATIC**2)
    losses = []
    for sigma in guess * _SIGMAS:
        curve = sigma**2 * np.interp(bins.means / sigma, table.z, variance)
        deviate = np.log(bins.variances / curve) / error
        losses.append(_loss(deviate, np.where(deviate < 0, *_USUAL)))
    return NoiseModel("rician", sigma=float(guess * _SIGMAS[int(np.argmin(losses))]))


def together(each: Sequence[dict[str, Fit]]) -> dict[str, float]:
    """The probability of each kind, from channels that all have the same."""
    seen = [found for found in each if found]
    kinds = set.intersection(*(set(found) for found in seen)) if seen else set()
    losses = {kind: sum(found[kind].loss for found in seen) for kind in kinds}
    least = min(losses.values(), default=0.0)
    weights = {kind: math.exp(least - loss) for kind, loss in losses.items()}
    return {kind: weight / sum(weights.values()) for kind, weight in weights.items()}
