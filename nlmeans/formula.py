"""The formulas of NL-means on one page, each once and without policy.

    d2(i, j) = 1/C sum_c sum_o a(o) (u_c(i + o) - u_c(j + o))^2          taps a, sum 1
    w(i, j)  = exp(-max(d2(i, j) - 2 sigma^2, 0) / h^2)                  weight
    w(i, i)  = max(rule, 2^-20)                                          centre
    y(i)     = sum_j w(i, j) v(j) / sum_j w(i, j)                        aggregate="pixel"

    p(i, s)  = w(i, i + s) / sum_s w(i, i + s)                           normalised weight
    B_s(x)   = sum_o a(o) p(x - o, s)                                    over patch centres x - o
    y(x)     = sum_s B_s(x) v(x + s) / sum_s B_s(x)                      aggregate="patch"

    Y, D, E  = (r + g + b)/sqrt 3, (r - b)/sqrt 2, (r - 2g + b)/sqrt 6   color="luminance"

The window kernels in C and CUDA restate `log_weight`, `weight` and `patch_sum` for their lanes.

References
----------
A. Buades, B. Coll, J.-M. Morel, "Non-local means denoising", Image Processing On Line 1 (2011),
doi:10.5201/ipol.2011.bcm_nlm.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

Array = Any  #: a NumPy, CuPy or torch array

LOG2_E = math.log2(math.e)  #: the kernels' weights are powers of 2
LEAST_SHARE = 1e-3  #: of the weights of a pixel's patches; float32's running sums leave 1e-8 of nothing
CENTER_FLOOR = 2.0**-20  #: least weight of a pixel for itself: defines the case where all others vanish


# --- the windows -----------------------------------------------------------------------------


def shifts(radius: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """The offsets of a window, in the one order that every implementation visits them."""
    return product(*(range(-r, r + 1) for r in radius))


def taps(radius: int, patch: str, dtype: Any) -> np.ndarray:
    """a(o) along one axis: flat, or a Gaussian of standard deviation r/2 cut off at r; sum 1."""
    import numpy as np  # not above: the operation on other arrays needs none

    offsets = np.arange(-radius, radius + 1)
    if patch == "box" or radius == 0:
        weights = np.ones(len(offsets))
    else:
        weights = np.exp(-((offsets / (radius / 2)) ** 2) / 2)
    normalised: np.ndarray = (weights / weights.sum()).astype(dtype)
    return normalised


def reflected(index: Any, n: int) -> Any:
    """Symmetric reflection of an index, or an array of them, into [0, n): -1 is 0, -2 is 1, n is n - 1."""
    last = 2 * n - 1  # an index and its mirror image in one period of 2n add up to this
    return (last - abs(2 * (index % (2 * n)) - last)) // 2


def patch_sum(values: Array, weights: Sequence[Sequence[float]]) -> Array:
    """sum_o a(o) values(x + o) along the last axes, which bring their margin; B from p too: a(o) = a(-o)."""
    for axis, each in enumerate(weights, start=-len(weights)):
        length = values.shape[axis] - len(each) + 1
        behind = (slice(None),) * (-axis - 1)
        values = sum(a * values[..., o : o + length, *behind] for o, a in enumerate(each))
    return values


# --- the weight ------------------------------------------------------------------------------


def feature_factor(h: float, channels: int) -> float:
    """What features are multiplied by, so that the summed squared difference is an exponent of 2.

    With ``S = sum_c sum_o a(o) (...)^2 = C d2``, ``exp(-d2 / h^2) = 2^-(log2(e) / (C h^2) S)``: the root
    of that factor is for the features.  Squared it is the `scale` of S for features left as they are.
    """
    return math.sqrt(LOG2_E / channels) / h


def bias(sigma_over_h: float) -> float:
    """The part of the exponent that noise alone gives, ``2 sigma^2 / h^2``, as an exponent of 2."""
    return 2 * LOG2_E * sigma_over_h * sigma_over_h


def log_weight(distance: Array, bias: Array | float, xp: Any) -> Array:
    """The clamp: ``-max(distance - bias, 0)`` of a scaled squared distance; its base is the caller's."""
    return -xp.clip(distance - bias, 0, None)


def weight(distance: Array, scale: Array | float, bias: Array | float, xp: Any) -> Array:
    """w from S: ``2^-max(scale S - bias, 0)``."""
    return xp.exp2(log_weight(scale * distance, bias, xp))


# --- the centre ------------------------------------------------------------------------------


def divide(sums: Array, total: Array, vote: Array) -> None:
    """y(i) - v(i), in place: 0 where there are no weights, and where a pixel without a vote has too few.

    Such a pixel, an impulse, is the mean of others alone, and no patch may be like its own.
    """
    total[(total <= 0) | ((vote == 0) & (total < LEAST_SHARE))] = math.inf
    sums /= total


def center(rule: str, largest: Array, xp: Any) -> Array | float:
    """A pixel's weight for itself: the largest of the others, 1 or 0, but at least the floor."""
    if rule == "max":
        return xp.maximum(largest, CENTER_FLOOR)
    return 1.0 if rule == "one" else CENTER_FLOOR


def log_center(rule: str, largest: Array, xp: Any) -> Array | float:
    """The same for natural logarithms of weights."""
    if rule == "max":
        return xp.clip(largest, math.log(CENTER_FLOOR), None)
    return math.log(1.0 if rule == "one" else CENTER_FLOOR)


# --- colour ----------------------------------------------------------------------------------

_THIRD, _HALF, _SIXTH = math.sqrt(1 / 3), math.sqrt(1 / 2), math.sqrt(1 / 6)
#: Luminance and two differences from red, green and blue: orthonormal, so that white noise keeps its sigma.
OPPONENT = ((_THIRD, _THIRD, _THIRD), (_HALF, 0.0, -_HALF), (_SIXTH, -2 * _SIXTH, _SIXTH))


def opponent(channels: Array, xp: Any) -> Array:
    """Luminance and differences (3, ...) of three channels; equal channels have differences of exactly 0."""
    red, green, blue = channels
    ends = red + blue
    return xp.stack(
        [(ends + green) * _THIRD, (red - blue) * _HALF, ((red - green) + (blue - green)) * _SIXTH]
    )


def from_opponent(components: Array, xp: Any) -> Array:
    """The three channels (3, ...) of luminance and differences; exactly 0 where those are."""
    light, ends, middle = (c * f for c, f in zip(components, (_THIRD, _HALF, _SIXTH), strict=True))
    outer = light + middle
    return xp.stack([outer + ends, light - 2 * middle, outer - ends])
