"""What a given noise level cannot be: a mistake of units, which costs people an hour."""

from __future__ import annotations

from nlmeans.choosing.given import Given
from nlmeans.errors import Parameter, warn
from nlmeans.inputs import Inputs
from nlmeans.levels import Levels
from nlmeans.noise.strength import Noise
from nlmeans.parameters import BY_GROUPS

_FEW = 100  # pixels; white noise alone spans 5 sigma among so many
_BEYOND = 3.0  # data ranges: mistakes of units are of 255 and more, and a dark frame of a film is none
_ROUNDING = 12**-0.5  # standard deviation of what rounding to integers adds


def doubt_scale(inputs: Inputs, given: Given, noise: Noise, levels: Levels) -> None:
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
