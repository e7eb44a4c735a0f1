"""How the noise depends on brightness: measured, and the model that it follows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, overload

import numpy as np

from nlmeans.arrays import Array, is_chunked, library, to_numpy
from nlmeans.carriers import carried
from nlmeans.errors import InvalidValueError
from nlmeans.inputs import Inputs, check
from nlmeans.noise.models.brightness import Bins, bins_of
from nlmeans.noise.models.fitting import Fit, completed, fits, together
from nlmeans.noise_models.model import NoiseModel, joined
from nlmeans.parameters import Settings
from nlmeans.sampling import sample

Kind = Literal["gaussian", "poisson", "poisson-gaussian", "speckle", "cannot tell"]

SURE = 0.95  # probability of a kind that is told
# Of the range of brightness: weaker noise is called gaussian, because which model it follows changes next to
# nothing.  Scanned photographs without added noise have up to 0.014 (kodim01 to 11, train400).
_WEAK = 0.015
_LEVEL = 1.5  # times: the largest variance over the smallest of noise that one level describes well
#: Kinds that contain a kind, or are contained: where one is told, they do not contradict it.
_AGREE = {
    "gaussian": ("gaussian", "poisson-gaussian"),
    "poisson": ("poisson", "poisson-gaussian"),
    "poisson-gaussian": ("poisson-gaussian", "poisson"),
    "speckle": ("speckle",),
}


@dataclass(frozen=True)
class NoiseCurve:
    """The noise of one channel at each brightness.

    Attributes
    ----------
    levels, variances : tuple of float
        Mean of the flattest windows at each brightness, and the variance of the noise there, in units of
        the image.  Brightnesses that are clipped or all texture are left out; empty where nothing is left.
    counts : tuple of int
        Windows that each of them is measured in.
    kind : {"gaussian", "poisson", "poisson-gaussian", "speckle", "cannot tell"}
        "cannot tell" where no kind has 95 %, or fewer than four brightnesses could be measured.
    model : NoiseModel
        The likeliest model with its parameters; gaussian without sigma where nothing could be measured.
    confidence : float
        Probability of the kind of `model` among these, from 0 to 1.  A kind that contains another agrees
        with it.
    errors : mapping of str to float
        Standard error of each parameter of the model.
    """

    levels: tuple[float, ...]
    variances: tuple[float, ...]
    counts: tuple[int, ...]
    kind: Kind
    model: NoiseModel
    confidence: float
    errors: Mapping[str, float] = field(default_factory=dict)


@overload
def noise_curve(image: Array, *, channel_axis: None = None, mask: Array | None = None) -> NoiseCurve: ...
@overload
def noise_curve(image: Array, *, channel_axis: int, mask: Array | None = None) -> tuple[NoiseCurve, ...]: ...
def noise_curve(
    image: Array, *, channel_axis: int | None = None, mask: Array | None = None
) -> NoiseCurve | tuple[NoiseCurve, ...]:
    """Measure the variance of the noise at each brightness, and tell the kind of noise.

    Parameters
    ----------
    image : array
        As for `denoise`.  Pixels that are not finite are left out.  Of a Dask array regions are computed.
    channel_axis : int, optional
        The axis of colours or other channels.  Default: no such axis.
    mask : array of bool, optional
        True where a pixel is valid; shape of the grid.

    Returns
    -------
    NoiseCurve, or with `channel_axis` a tuple of them, one per channel

    Raises
    ------
    InvalidValueError, InvalidTypeError
        For what is not an image, a channel axis it does not have, a mask that does not fit, or values so
        large or small (beyond about 1e150 or 1e-150) that the variance of their noise is no number.

    Notes
    -----
    At each of twelve brightnesses the flattest windows of 8 x 8 pixels (of a signal 32 samples) are sought by
    their lower frequencies, and the variance is that of their highest.  Windows in which the energy falls
    with frequency are texture.  Four curves are fitted robustly, variance = sigma^2, gain mean, gain mean
    + sigma^2, and mean^2 / looks, and compared by their losses with the Bayesian information criterion.
    The noise must be independent from pixel to pixel; where neighbours share it, nothing is told.

    Time is that of 7,000 windows, about 10 ms for a channel; memory 10 MB.

    References
    ----------
    N. Ponomarenko et al., "An automatic approach to lossy compression of AVIRIS images", IGARSS 2007.
    M. Colom, A. Buades, "Analysis and extension of the Ponomarenko et al. method", Image Processing On Line 3
    (2013), doi:10.5201/ipol.2013.45.  A. Foi et al., "Practical Poissonian-Gaussian noise modeling and
    fitting for single-image raw-data", IEEE Transactions on Image Processing 17 (2008),
    doi:10.1109/TIP.2008.2001399.

    Examples
    --------
    >>> import numpy as np
    >>> ramp = np.add.outer(np.arange(200.0), np.arange(200.0)) + 10
    >>> noise_curve(np.random.default_rng(0).poisson(ramp).astype(float)).kind
    'poisson'
    """
    settings: Settings = {"channel_axis": channel_axis, "mask": mask, "nan": "keep"}
    if library(image) is None and (carrier := carried(image, settings)):
        image, settings = carrier[0], carrier[1]  # type: ignore[assignment]
    if is_chunked(image):
        image, settings = sample(image, settings)
    curves = tuple(_curve(bins, fits(bins)) for bins in bins_of_channels(check(image, settings)))
    return curves[0] if settings.get("channel_axis") is None else curves


def bins_of_channels(inputs: Inputs) -> list[Bins]:
    """Of each channel of an image."""
    valid = None if inputs.mask is None else to_numpy(inputs.mask)
    return [bins_of(channel, valid) for channel in to_numpy(inputs.value)]


def _curve(bins: Bins, found: dict[str, Fit]) -> NoiseCurve:
    kind, model, confidence = told([bins], [found])
    own = found.get(model.kind)
    with np.errstate(over="ignore", under="ignore"):
        measured = bins.means * bins.unit, bins.variances * bins.unit * bins.unit, bins.counts
    if bins.usable and not (np.isfinite(measured[1]) & (measured[1] > 0)).all():
        raise InvalidValueError(
            f"the variance of noise in values of about {float(np.abs(measured[0]).max()):.3g} is no number "
            f"in float64: divide the image by about {bins.unit:.3g}"
        )
    means, variances, counts = (tuple(a.tolist()) for a in measured)
    errors = MappingProxyType({} if own is None else own.errors)
    return NoiseCurve(means, variances, counts, kind, model, confidence, errors)


def automatic(inputs: Inputs) -> tuple[NoiseModel, bool]:
    """The model of the noise that all channels have; gaussian without sigma, and whether that is in doubt.

    In what is equally bright everywhere no kind is told, and none is needed.
    """
    bins = bins_of_channels(inputs)
    kind, model, _ = told(bins, [fits(b) for b in bins])
    if kind not in ("gaussian", "cannot tell"):
        return model, False
    level = all(b.usable and b.variances.max() < _LEVEL * b.variances.min() for b in bins)
    return NoiseModel("gaussian"), kind == "cannot tell" and not level


def of_kind(model: NoiseModel, inputs: Inputs) -> NoiseModel | None:
    """A model with what is missing estimated in each channel; None where that is not possible."""
    each = [completed(model.of_channel(c), bins) for c, bins in enumerate(bins_of_channels(inputs))]
    return _of_channels(each)


def told(bins: Sequence[Bins], found: Sequence[dict[str, Fit]]) -> tuple[Kind, NoiseModel, float]:
    """The kind, the likeliest model, and its probability."""
    if all(_is_weak(b) for b in bins if b.usable) and any(b.usable for b in bins):
        likely, confidence = "gaussian", 1.0
    else:
        odds = together(found)
        likely = max(odds, key=lambda kind: odds[kind], default="")
        confidence = sum(odds.get(kind, 0.0) for kind in _AGREE.get(likely, ()))
    each = _of_channels([f[likely].model if likely in f else None for f in found])
    if each is None:
        return "cannot tell", NoiseModel("gaussian"), 0.0
    kind: Any = likely if confidence >= SURE else "cannot tell"
    return kind, each, confidence


def _is_weak(bins: Bins) -> bool:
    return math.sqrt(float(bins.variances.max())) < _WEAK * bins.spread


def _of_channels(each: Sequence[NoiseModel | None]) -> NoiseModel | None:
    """Those of channels as one; a channel without has the medians of the others."""
    known = [model for model in each if model is not None]
    if not known:
        return None
    middle: dict[str, Any] = {}
    for name in ("gain", "offset", "sigma", "looks"):
        values = [getattr(model, name) for model in known]
        if None not in values:
            middle[name] = float(np.median(values))
    usual = NoiseModel(known[0].kind, **middle)
    return joined([usual if model is None else model for model in each])
