"""How noisy an image is: the standard deviation of its noise, estimated from the image alone.

Everything is read from a sample of small patches, so that the time hardly depends on the size of the
image.  Patches are flat pieces: in a volume they lie along its two longest axes, in a signal they
are runs of samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from nlmeans.arrays import Array, is_chunked, library, to_numpy
from nlmeans.carriers import carried
from nlmeans.errors import InvalidTypeError, Parameter, warn
from nlmeans.inputs import check
from nlmeans.levels import ends
from nlmeans.noise.curve import Curve, curves_of_photons, root_mean
from nlmeans.noise.patches import (
    NOISIER,
    Bools,
    Patches,
    clipping_levels,
    noisier_part,
    power_of_two,
    white_variance,
)
from nlmeans.noise.shared import APART, COARSE, FINE, shared_noise
from nlmeans.noise.signs import COPIES, Sign, Signs
from nlmeans.noise.spectrum import shared_variance
from nlmeans.noise.stored import Stored, stored_noise
from nlmeans.noise.strength import root_mean_square, strength_against
from nlmeans.parameters import Settings
from nlmeans.sampling import sample

_PATCHES, _WINDOWS = 16_000, 1_000  # sampled at most
_FEWEST = 8  # differences; of fewer nothing can be said
_FAR_APART = 3.0  # ratio of two estimates that is told
# Logarithms of odds.  To smooth what is no noise harms the more the stronger, so that odds of 3.5 to 1 are
# needed for all of it, which real noise has in 9 of 10 pictures; from even odds on as much is used as
# leaves a clean picture at 38 dB, and less where they are lower: of 990 clean pictures of other seeds than
# the bench's 4 % are then kept below 45 dB, 2.8 % without that.
_MOST_LIKELY, _PERHAPS, _POSSIBLE = 1.25, -0.5, -0.7
# Without a grid of JPEG what is found is too large where there is texture below the noise, the more often the
# lower the odds: between these it goes from 2 % of the range to all.  300 photographs with blurred, enlarged
# or demosaiced noise of 5: gain over the input 0.72 dB without this, 0.80 with it, least gain -7.3 and -2.5.
_RISES = 0.9, 2.0
_HARMS, _HARMS_LITTLE = 0.02, 0.007  # of the range: clean pictures keep 38, 45 dB
# Part of equal neighbours in patches that vary: drawings have 0.42 to 0.87, clipped noise at most 0.29,
# see "clean graphics" and "noisy graphics" of benchmarks/studies/kinds
_FLAT = 0.35
_MANY = 4  # times the patches that are needed, of which a quarter may then be flat
# Photons: variance of the finest scale in the brighter over that in the darker half, in 49 of 50 pictures of
# train400 with a peak of 10 to 300; it costs as much time again to look closer.  Sigma over that of equally
# strong white noise, which is that of the darker parts: at most 3 in all of them.
_GROWS, _MOST_PHOTONS = 1.08, 5.0
_SINGLE = 1e-15, 1e15  # sigma whose square float32 holds, in which curves are found
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
        When the noise seems to be shared by neighbouring pixels.  The message gives both estimates and
        tells which is returned.  When a part of the image has more than twice the noise that is returned.

    Notes
    -----
    * *White noise.*  Of a sample of 5 x 5 patches those are kept whose variance is what the noise
      alone would give.  In them the noise is the variance along the quietest principal directions,
      which are sought in one half of the image and measured in the other, so that their choice does
      not bias them.  The estimate and the choice are repeated until they agree.  Small images have
      3 x 3 patches, signals runs of 10 samples, and what is smaller still second differences.
    * *Clipping.*  Where values pile up at the smallest or the largest value, patches closer to it
      than 2 sigma are left out.  Where all that is flat is clipped, as the paper of a scan, what
      clipping took is given back by how many of the samples are at the level.
    * *No noise.*  Patches most of whose neighbours are equal (borders, saturated skies) are left out.
      Where the others have many equal neighbours too, as in drawings, screenshots and text, what is
      exactly flat counts, and sigma is about 0.
    * *Rounding* to integers is noise as well: sigma includes its 0.29.  Noise that a floating type
      cannot tell from rounding is none.
    * *Shared noise.*  White noise is equally strong at every scale.  Noise that neighbours share
      (blurred, enlarged, demosaiced, compressed as JPEG, grain of film) is not, and so is texture.
      The flattest windows of 8 x 8 and 16 x 16 pixels (of a signal 64 samples) tell them apart:
      noise is as strong in one as in the next, has no direction, is normal, fills many frequencies,
      and what it has in some of them says nothing of the others; so it is at half the size.  Where that
      speaks for noise, 7 to 1 at least, with a grid of JPEG 3.5 to 1, sigma is that of all scales, typical
      of the brightnesses; from even odds on it is that, but at most 2 % of the range and, without a grid,
      rising from 3.5 to 1 on; where they are a little lower 0.7 %, and else that of white noise, because
      to smooth what is no noise harms more than to leave noise.
    * *JPEG.*  In whole numbers of 0 to 255 its grid of 8 x 8 blocks is sought, wherever it begins, and
      the steps to which it rounds each frequency.  From them follows how strong the noise was before,
      also where most of it was rounded to 0.
    * *Nothing flat.*  In a picture that is all texture sigma is too large, the more so the weaker
      the noise; in one that is all a strong pattern it can be some 15 % too small.

    Time and memory are those of 16,000 patches and 2,000 windows per channel, about 50 ms and 20 MB,
    besides one pass over the image in search of NaN and, in float64, of the largest value.

    References
    ----------
    Flat patches, and noise as the least principal variance: X. Liu, M. Tanaka, M. Okutomi,
    "Single-image noise level estimation for blind denoising", IEEE Transactions on Image Processing
    22 (2013), doi:10.1109/TIP.2013.2283400; S. Pyatykh, J. Hesser, L. Zheng, "Image noise level
    estimation by principal component analysis", ibid., doi:10.1109/TIP.2012.2221728.  Clipping:
    A. Foi, "Clipped noisy images", Signal Processing 89 (2009), doi:10.1016/j.sigpro.2009.04.035.
    The steps of JPEG: Z. Fan, R. de Queiroz, "Identification of bitmap compression history", IEEE
    Transactions on Image Processing 12 (2003), doi:10.1109/TIP.2002.807361.

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
    found = estimates(inputs.value, inputs.mask).sigma
    return found if per_channel else root_mean_square(found)


@dataclass(frozen=True)
class Estimates:
    """What the filter is told of each channel."""

    sigma: tuple[float, ...]
    stretch: tuple[float, ...]  # by which k must be larger than against white noise
    curves: tuple[Curve, ...] = ()  # of the channels, where their noise grows with brightness


@dataclass(frozen=True, eq=False)
class Found:
    """The noise of one channel, in the units of the image."""

    white: float  # sigma, if it is independent from pixel to pixel
    shared: float = 0.0  # sigma, if neighbours share it; 0 where nothing of the kind is seen
    evidence: float = -math.inf  # natural logarithm of the odds that it is shared noise and not texture
    freedom: float = 1.0  # independent values per pixel
    span: float = 0.0  # of the means of patches
    copies: int = 1  # of each pixel
    grows: bool = False  # whether the finest scale is stronger where it is bright
    curve: Curve | None = None  # of white noise that grows with brightness
    drawn: bool = False  # much is exactly flat
    stored: bool = False  # as JPEG, with steps that leave something of the noise
    signs: tuple[Sign, ...] = ()  # of noise that the filter is not made for
    noisier: tuple[float, float] = (0.0, 0.0)  # a part of the image that has far more, and its sigma

    def scaled(self, unit: float) -> Found:
        """In smaller units."""
        white, shared, span = (unit * each for each in (self.white, self.shared, self.span))
        part, noisier = self.noisier
        return replace(self, white=white, shared=shared, span=span, noisier=(part, unit * noisier))

    @property
    def apart(self) -> bool:
        """Whether there are two estimates."""
        return self.shared > APART * self.white

    def used(self, evidence: float, span: float, *, stored: bool | None = None) -> float:
        """Sigma to use, by what speaks for shared noise and the span of means, here or in another channel.

        So is whether the image was stored as JPEG; by default as here.
        """
        if not self.apart:
            return self.white
        if evidence > _MOST_LIKELY:
            low = min(max(self.white, _HARMS * span), self.shared)
            stored = self.stored if stored is None else stored
            part = 1.0 if stored or not low > 0 else (evidence - _RISES[0]) / (_RISES[1] - _RISES[0])
            return self.shared if part >= 1 else low * (self.shared / low) ** max(part, 0.0)
        if evidence <= _PERHAPS:
            return self.white
        if evidence <= 0:
            return max(self.white, min(self.shared, _HARMS_LITTLE * span))
        # what JPEG rounded away lies between the two; else white is the nearer, see _NEAR in shared.py
        near = min(self.shared, _FAR_APART * self.white) if self.stored else self.white
        return max(math.sqrt(self.white * near), min(self.shared, _HARMS * span))

    def stretch(self, used: float, span: float) -> float:
        """By what k grows against the sigma that is used; `span` is 0 where evidence is not its own."""
        if used <= self.white:
            return strength_against(1 / self.copies)
        likely = span > 0 and (used in (self.shared, _HARMS * span) or self.evidence > _MOST_LIKELY)
        known = (self.evidence, used / span) if likely else ()
        return strength_against(self.freedom / self.copies, *known)


def estimates(channels: Array, mask: Array | None) -> Estimates:
    """Of each channel of (C, Z, Y, X), from its valid pixels; warns where two estimates disagree."""
    return chosen_of(both_estimates(channels, mask))


def both_estimates(channels: Array, mask: Array | None) -> list[Found]:
    """For each channel what is found; nothing is said."""
    valid = None if mask is None else to_numpy(mask)
    channels = to_numpy(channels)
    stored = stored_of(channels, valid)
    found = [of_channel(channel, valid, stored) for channel in channels]
    return found if stored else of_photons(channels, valid, found) or found


def of_photons(channels: NDArray[Any], valid: Bools | None, found: Sequence[Found]) -> list[Found] | None:
    """For each of (C, Z, Y, X) sigma and its curve, where what was found of them or of their luminance grows.

    None where that is not the noise of photons; or it would be far more than was found in a single channel.
    """
    if not any(f.grows and _SINGLE[0] < f.white < _SINGLE[1] and f.copies == 1 for f in found):
        return None
    curves = curves_of_photons(channels, valid)
    each = [root_mean(curve, channel, valid) for curve, channel in zip(curves, channels, strict=False)]
    if not curves or (len(curves) == 1 and each[0] > _MOST_PHOTONS * found[0].white):
        return None
    signs = tuple(sign for f in found for sign in f.signs)
    return [Found(sigma, curve=curve, signs=signs) for sigma, curve in zip(each, curves, strict=True)]


def stored_of(channels: NDArray[Any], valid: Bools | None) -> Stored | None:
    """What the grid of JPEG says, if there is one: only whole numbers can have it."""
    if channels.dtype.kind == "f" and not (channels[:, 0, :1] == np.rint(channels[:, 0, :1])).all():
        return None
    return stored_noise(channels, valid)


def chosen_of(found: list[Found]) -> Estimates:
    """The estimates to use; warns where they are not those of white noise, or perhaps should not be."""
    for sign in dict.fromkeys(sign for f in found for sign in f.signs):
        warn(*sign)
    most = max((f for f in found if f.apart), key=lambda f: f.shared, default=None)
    evidence = -math.inf if most is None else most.evidence  # of what would be removed most of
    span = max(f.span for f in found)
    stored = any(f.stored for f in found)
    used = tuple(f.used(max(f.evidence, evidence), span, stored=stored) for f in found)
    if evidence > _POSSIBLE:
        _tell(found, used)
    stretch = (f.stretch(s, span if f is most else 0.0) for f, s in zip(found, used, strict=True))
    curves = tuple(f.curve for f in found if f.curve is not None)
    if curves:
        ends = np.array([curve.variance(np.array(curve.ends)) for curve in curves])
        dark, bright = np.sqrt(ends.mean(axis=0))
        warn(
            f"the noise grows with brightness, as that of counted photons does: sigma is {dark:.4g} in the "
            f"dark and {bright:.4g} in the bright parts, {root_mean_square(used):.4g} on average; denoise "
            "uses a map of it"
        )
    else:
        _tell_of_part(found, used)
    return Estimates(used, tuple(stretch), curves)


def _tell_of_part(found: list[Found], used: tuple[float, ...]) -> None:
    """That a part of the image is far noisier than what is used, if nothing else is seen that could be it."""
    (part, sigma), own = max(
        ((f.noisier, s) for f, s in zip(found, used, strict=True)), key=lambda each: each[0][1]
    )
    if sigma > NOISIER * own and not any(f.signs for f in found):
        warn(
            f"about {100 * part:.0f} % of the image has noise of {sigma:.3g}, the quietest of it {own:.3g}, "
            "which is used: what is noisier keeps its noise. Give a map of sigma, or denoise the parts apart"
        )


def _tell(found: list[Found], used: tuple[float, ...]) -> None:
    """That two estimates disagree, and which is used; of a larger one that is not used, if far larger."""
    fine, broad, chosen = (
        root_mean_square(each)
        for each in ([f.white for f in found], [max(f.white, f.shared) for f in found], used)
    )
    if chosen <= fine and broad <= _FAR_APART * fine:
        return
    other, what = (fine, "texture and not noise") if chosen > fine else (broad, "noise and not texture")
    warn(
        f"two estimates of sigma disagree: {fine:.4g} if the noise is independent from pixel to pixel, "
        f"{broad:.4g} if neighbouring pixels share it; {chosen:.4g} is used. If what varies so finely is "
        f"{what}, give ",
        Parameter(f"sigma={other:.4g}"),
    )


def of_channel(
    channel: NDArray[Any], valid: Bools | None, stored: Stored | None, *, shared: bool = True
) -> Found:
    """Both estimates, what speaks for the second, and what else is seen.

    Without `shared` only that of equally strong white noise, in half the time.
    """
    second, first = sorted(range(3), key=lambda axis: (channel.shape[axis], axis))[1:]
    seen = Signs.of(channel, valid, (second, first))
    if max(seen.steps) > 1:
        once = tuple(slice(None, None, step) for step in seen.steps)
        channel, valid = channel[once], None if valid is None else valid[once]
    found = _of_pixels(channel, valid, (second, first), stored, shared=shared)
    if found.drawn:
        return found
    copied = (COPIES,) if max(seen.steps) > 1 and found.white > seen.weak else ()
    return replace(found, copies=math.prod(seen.steps), signs=copied + seen.words)


def _of_pixels(
    channel: NDArray[Any],
    valid: Bools | None,
    axes: tuple[int, int],
    stored: Stored | None,
    *,
    shared: bool = True,
) -> Found:
    """Both estimates, and what speaks for the second; or the first alone."""
    unit = _unit(channel, valid)
    second, first = axes
    for sides in ({second: 5, first: 5}, {second: 3, first: 3}, {first: 10}):
        patches = Patches.of(channel, valid, unit, sides, _PATCHES)
        if len(patches.values) >= patches.least:
            break
    else:
        return Found(unit * _from_differences(channel, valid, unit, first))
    drawn = _drawn(patches)
    if drawn and len(patches.values) < _MANY * patches.least:
        return Found(0.0, drawn=True)  # an icon: the flat ones are too few, and others are edges
    levels = (-math.inf, math.inf) if drawn else clipping_levels(patches.values)
    alive = patches if drawn else patches.alive()
    white = white_variance(alive, levels)
    largest = np.percentile(np.abs(patches.values[::4]).max(axis=1), 99)  # but for outliers
    if white <= (_rounding(channel.dtype) * largest) ** 2:
        return Found(0.0)
    if drawn:
        return Found(unit * math.sqrt(white), drawn=True)
    if not shared:
        return Found(unit * math.sqrt(white))
    part, variance = noisier_part(alive, white)
    noisier = part, unit * math.sqrt(variance)

    def windows(side: int) -> Patches:
        sides = {first: side} if channel.shape[second] == 1 else {second: side, first: side}
        return Patches.of(channel, valid, unit, sides, _WINDOWS)

    if channel.shape[second] == 1:
        variance = shared_variance(windows(64).clear_of(levels, white), white)
        return Found(unit * math.sqrt(white), unit * math.sqrt(variance), math.inf if variance else -math.inf)
    fine, coarse = (windows(side).unclipped(levels) for side in (FINE, COARSE))
    other = shared_noise(fine, coarse, white, None if stored is None else stored.scaled(1 / unit))
    if other is None:
        return Found(unit * math.sqrt(white), grows=True, noisier=noisier)
    span = unit * float(np.ptp(patches.values[::4].mean(axis=1)))
    found = Found(unit * math.sqrt(white), unit * other.sigma, other.evidence, other.freedom, span)
    return replace(found, grows=_grows(other.finest), stored=stored is not None, noisier=noisier)


def _grows(variances: NDArray[np.float64]) -> bool:
    """Whether they are larger in the brighter half."""
    half = len(variances) // 2
    dark, bright = (float(np.median(part)) for part in (variances[: half or None], variances[half:]))
    return bright > _GROWS * dark


def _drawn(patches: Patches) -> bool:
    """Whether much is exactly flat, as in drawings: patches that vary have many equal neighbours.

    Noise leaves few: rounded to integers 0.28 / sigma of them, clipped in its middle a quarter.
    """
    equal = patches.equal
    varied = equal[equal < 1]
    return not varied.size or float(varied.mean()) >= _FLAT


def _unit(channel: NDArray[Any], valid: Bools | None) -> float:
    """A power of two that keeps squares of float64 values finite; other types need none."""
    if channel.dtype.itemsize < 8:
        return 1.0
    both = ends(channel[None], None if valid is None else valid)
    largest = 0.0 if both is None else max(both[1][0], -both[0][0], 0.0)
    return power_of_two(largest)


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
    if second.size < _FEWEST or float(np.mean(second == 0)) >= _FLAT:
        return 0.0
    return _NORMAL * float(np.median(np.abs(second))) / math.sqrt(6)
