"""How noisy an image is: the standard deviation of its noise, estimated from the image alone.

Everything is read from a sample of small patches, so that the time hardly depends on the size of the
image.  Patches are flat pieces: in a volume they lie along its two longest axes, in a signal they
are runs of samples.
"""

from __future__ import annotations

import math
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from nlmeans.arrays import Array, is_chunked, library, to_numpy
from nlmeans.carriers import carried
from nlmeans.errors import InvalidTypeError, Parameter, warn
from nlmeans.inputs import check
from nlmeans.noise.patches import Bools, Patches, clipping_levels, shared_variance, white_variance
from nlmeans.noise.strength import root_mean_square
from nlmeans.parameters import Settings
from nlmeans.sampling import sample

_PATCHES, _WINDOWS = 16_000, 1_000  # sampled at most
_FEWEST = 8  # differences; of fewer nothing can be said
_NORMAL = 1 / 0.6744897501960817  # standard deviation over median magnitude of normal noise


@overload
def estimate_sigma(
    image: Array,
    *,
    channel_axis: int | None = None,
    mask: Array | None = None,
    per_channel: Literal[False] = False,
) -> float: ...
@overload
def estimate_sigma(
    image: Array, *, channel_axis: int | None = None, mask: Array | None = None, per_channel: Literal[True]
) -> tuple[float, ...]: ...
def estimate_sigma(
    image: Array, *, channel_axis: int | None = None, mask: Array | None = None, per_channel: bool = False
) -> float | tuple[float, ...]:
    """Estimate the standard deviation of the noise of an image.

    The noise is taken to be added to the image, about normal, and equally strong everywhere.

    Parameters
    ----------
    image : array
        A signal, image or volume, as for `denoise`: one to three grid axes, at most one channel
        axis.  Pixels that are not finite are left out, and so is what touches them.  Of a Dask array
        regions are computed, about 16 of 256 x 256 pixels: sigma is within 3 % of that of the whole.
    channel_axis : int, optional
        The axis of colours or other channels.  Default: no such axis.
    mask : array of bool, optional
        True where a pixel is valid; shape of the grid.  The others are left out.
    per_channel : bool
        Give one estimate per channel instead of their root mean square.

    Returns
    -------
    float or tuple of float
        Sigma in the units of the image, >= 0.  0 for what has no noise, or too few pixels (less than
        about ten in a row) to tell.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        For what is not an image, a channel axis it does not have, or a mask that does not fit.

    Warns
    -----
    UserWarning
        When the noise seems to be shared by neighbouring pixels.  The message gives both estimates;
        the one over all scales, the larger, is returned.

    Notes
    -----
    * *White noise.*  Of a sample of 5 x 5 patches those are kept whose variance is what the noise
      alone would give.  In them the noise is the variance along the quietest principal directions,
      which are sought in one half of the image and measured in the other, so that their choice does
      not bias them.  The estimate and the choice are repeated until they agree.  Small images have
      3 x 3 patches, signals runs of 10 samples, and what is smaller still second differences.
    * *Clipping.*  Where values pile up at the smallest or the largest value, patches closer to it
      than 2 sigma are left out, or what clipping took from them is given back.
    * *No noise.*  Patches most of whose neighbours are equal (borders, saturated skies, drawings)
      are left out, unless nearly all are such.
    * *Rounding* to integers is noise as well: sigma includes its 0.29.  Noise that a floating type
      cannot tell from rounding is none.
    * *Correlated noise.*  White noise is equally strong at every scale.  Where even the flattest
      windows of 16 x 16 pixels (64 samples of a signal) are much stronger at coarse scales, equally
      so in all and as normal noise would be, the variance is summed over the scales.  Fine, even
      texture such as grass under weak noise can look the same: hence the warning.
    * *Nothing flat.*  In a picture that is all texture sigma is too large, the more so the weaker
      the noise; in one that is all a strong pattern it can be some 15 % too small.

    Time and memory are those of 16,000 patches and 1,000 windows per channel, about 40 ms and 20 MB,
    besides one pass over the image in search of NaN and, in float64, of the largest value.

    References
    ----------
    Flat patches, and noise as the least principal variance: X. Liu, M. Tanaka, M. Okutomi,
    "Single-image noise level estimation for blind denoising", IEEE Transactions on Image Processing
    22 (2013), doi:10.1109/TIP.2013.2283400; S. Pyatykh, J. Hesser, L. Zheng, "Image noise level
    estimation by principal component analysis", ibid., doi:10.1109/TIP.2012.2221728.  Clipping:
    A. Foi, "Clipped noisy images", Signal Processing 89 (2009), doi:10.1016/j.sigpro.2009.04.035.

    Examples
    --------
    >>> import numpy as np
    >>> ramp = np.add.outer(np.arange(200.0), np.arange(200.0))
    >>> noisy = ramp + np.random.default_rng(0).normal(0, 5, ramp.shape)
    >>> bool(abs(estimate_sigma(noisy) - 5) < 0.1)
    True
    """
    if not isinstance(per_channel, bool | np.bool_):
        raise InvalidTypeError(f"per_channel must be True or False, got {per_channel!r}")
    settings: Settings = {"channel_axis": channel_axis, "mask": mask, "nan": "keep"}
    if library(image) is None and (carrier := carried(image, settings)):
        image, settings = carrier[0], carrier[1]  # type: ignore[assignment]
    if is_chunked(image):
        image, settings = sample(image, settings)
    inputs = check(image, settings)
    found = estimates(inputs.value, inputs.mask)
    return tuple(found) if per_channel else root_mean_square(found)


def estimates(channels: Array, mask: Array | None) -> list[float]:
    """Sigma of each channel of (C, Z, Y, X), from its valid pixels; warns where two estimates disagree."""
    return chosen_of(both_estimates(channels, mask))


def both_estimates(channels: Array, mask: Array | None) -> list[tuple[float, float]]:
    """For each channel sigma if the noise is white, and sigma to use; nothing is said."""
    valid = None if mask is None else to_numpy(mask)
    return [_of_channel(channel, valid) for channel in to_numpy(channels)]


def chosen_of(both: list[tuple[float, float]]) -> list[float]:
    """The sigmas to use; warns where they are not those of white noise."""
    white, used = ([pair[i] for pair in both] for i in (0, 1))
    if used != white:
        fine, broad = root_mean_square(white), root_mean_square(used)
        warn(
            f"two estimates of sigma disagree: {fine:.4g} if the noise is independent from pixel to pixel, "
            f"{broad:.4g} if neighbouring pixels share it; {broad:.4g} is used. If what varies so finely is "
            "texture and not noise, give ",
            Parameter(f"sigma={fine:.4g}"),
        )
    return used


def _of_channel(channel: NDArray[Any], valid: Bools | None) -> tuple[float, float]:
    """Sigma if the noise is white; and sigma to use, larger where neighbours share their noise."""
    unit = _unit(channel, valid)
    second, first = sorted(range(3), key=lambda axis: (channel.shape[axis], axis))[1:]
    for sides in ({second: 5, first: 5}, {second: 3, first: 3}, {first: 10}):
        patches = Patches.of(channel, valid, unit, sides, _PATCHES)
        if len(patches.values) >= patches.least:
            break
    else:
        sigma = unit * _from_differences(channel, valid, unit, first)
        return sigma, sigma
    levels = clipping_levels(patches.values)
    white = white_variance(patches.alive(), levels)
    largest = np.percentile(np.abs(patches.values).max(axis=1), 99)  # but for outliers
    if white <= (_rounding(channel.dtype) * largest) ** 2:
        return 0.0, 0.0
    sides = {first: 64} if channel.shape[second] == 1 else {second: 16, first: 16}
    windows = Patches.of(channel, valid, unit, sides, _WINDOWS)
    shared = shared_variance(windows.clear_of(levels, white), white)
    return unit * math.sqrt(white), unit * math.sqrt(max(white, shared))


def _unit(channel: NDArray[Any], valid: Bools | None) -> float:
    """A power of two that keeps squares of float64 values finite; other types need none."""
    if channel.dtype.itemsize < 8:
        return 1.0
    where: Any = True if valid is None else valid
    largest = max(channel.max(initial=0, where=where), -channel.min(initial=0, where=where))
    return math.ldexp(1.0, min(max(math.frexp(largest)[1], -1000), 1000))


def _rounding(dtype: np.dtype[Any]) -> float:
    """What rounding to a floating type adds at most, in units of the largest value."""
    return float(np.finfo(dtype).eps) / math.sqrt(12) if dtype.kind == "f" else 0.0


def _from_differences(channel: NDArray[Any], valid: Bools | None, unit: float, axis: int) -> float:
    """For what is too small for patches: the median second difference along one axis, or 0."""
    if valid is not None:
        channel = np.where(valid, channel, channel.dtype.type(0))
    lines = np.moveaxis(channel, axis, -1).astype(np.float64) * (1 / unit)
    second = lines[..., 2:] - 2 * lines[..., 1:-1] + lines[..., :-2]
    if valid is not None:
        usable = np.moveaxis(valid, axis, -1)
        second = second[usable[..., 2:] & usable[..., 1:-1] & usable[..., :-2]]
    if second.size < _FEWEST:
        return 0.0
    return _NORMAL * float(np.median(np.abs(second))) / math.sqrt(6)
