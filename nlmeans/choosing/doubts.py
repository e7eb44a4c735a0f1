"""What was given and can hardly be meant: a noise level in other units, patches of which no two are alike."""

from __future__ import annotations

from nlmeans.arrays import Array
from nlmeans.choosing.given import Given
from nlmeans.errors import Parameter, RoundingWarning, warn
from nlmeans.inputs import Inputs
from nlmeans.levels import Levels
from nlmeans.noise.strength import Noise
from nlmeans.parameters import BY_GROUPS

_FEW = 100  # pixels; white noise alone spans 5 sigma among so many
_BEYOND = 3.0  # data ranges: mistakes of units are of 255 and more, and a dark frame of a film is none
_ROUNDING = 12**-0.5  # standard deviation of what rounding to integers adds

FEW_STEPS = 16  # of integers between the smallest and the largest value: counts, labels, two values
_LARGE = 30  # patch radius: the table's go to 5, and no two patches of 61 x 61 pixels are alike


def doubt(inputs: Inputs, given: Given, noise: Noise, levels: Levels) -> None:
    """Warn of what was given, where it can hardly be meant."""
    if given.sigma is not None and given.k is None:  # with k, as `suggest` gives it, it was chosen with care
        _doubt_scale(inputs, given, noise, levels)
    radii = given.patch_radius if isinstance(given.patch_radius, tuple) else (given.patch_radius or 0,)
    if max(radii) > _LARGE and inputs.request.pixels >= _FEW:
        warn(
            Parameter("patch_radius"),
            f" is {max(radii)}: among patches of {2 * max(radii) + 1} samples hardly two are alike, and next "
            "to nothing is removed; 1 to 5 is usual",
        )


def doubt_rounding(inputs: Inputs, result: Array) -> None:
    """Warn where integers of a few steps were changed: what was averaged lies between them.

    Of other images only the ends are looked at, which are known; of what was not changed nothing is said.
    """
    if inputs.value_ends is None or inputs.request.pixels < _FEW:
        return
    low, high = inputs.value_ends
    steps = round(max(high) - min(low))
    if 0 < steps <= FEW_STEPS and bool((result != inputs.value).any()):
        warn(
            f"the image holds integers that differ by {steps} at most, to which the result is rounded: that "
            "loses much of what the filter wins; pass image.astype('float32')",
            category=RoundingWarning,
        )


def _doubt_scale(inputs: Inputs, given: Given, noise: Noise, levels: Levels) -> None:
    """Warn of a given sigma far beyond the data range, or below the rounding of integers.

    The latter not for methods by groups, where `suggest` gives the measured sigma alone.
    """
    if noise.is_map:
        return
    sigma, extent = noise.largest, levels.data_range
    times = sigma / (extent or sigma or 1.0)
    if inputs.request.pixels >= _FEW and times > _BEYOND:
        warn(
            Parameter("sigma"),
            f" is {sigma:.3g}, {times:.3g} times the data range of the image ({extent:.3g}): is it in the "
            "units of the image?",
        )
    of_integers = inputs.feature.dtype.kind in "iu" and given.method not in BY_GROUPS
    if of_integers and 0 < sigma < _ROUNDING and given.h is None:
        warn(
            Parameter("sigma"),
            f" is {sigma:.3g}, less than the rounding of integers ({_ROUNDING:.2g}), so that next to nothing "
            "is removed: is it in the units of the image, and not of a range from 0 to 1?",
        )
