"""A region of an image denoised twice, the second time with a little more noise: what errors are read from.

With y = x + n, noise n of standard deviation sigma, and a result F(y), a second result of y + e m, where m is
noise like n and independent of it, gives the response to noise, ``r = (F(y + e m) - F(y)) / e``::

    mean squared error  =  mean of (F(y) - y)^2 - sigma^2 + 2 m r        (Stein's estimate, by Monte Carlo)
    variance of F(y)    =  mean of r^2                                   (to first order in n)

The first is Stein's formula ``2 E[n . F(y)] = 2 sigma^2 E[div F]`` with the divergence ``E[m . J m]`` of the
Jacobian J; it holds for any F.  The second is ``E[(J m)_i^2] = sigma^2 sum_j J_ij^2``: where weights p do not
depend on the noise it is sigma^2 over the number of pixels averaged, ``1 / sum_j p_ij^2``.

References
----------
S. Ramani, T. Blu, M. Unser, "Monte-Carlo SURE: a black-box optimization of regularization parameters for
general denoising algorithms", IEEE Transactions on Image Processing 17 (2008),
doi:10.1109/TIP.2008.2001404.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlmeans import formula
from nlmeans.arrays import to_numpy
from nlmeans.choosing import Chosen
from nlmeans.errors import InvalidValueError
from nlmeans.inputs import Inputs
from nlmeans.noise.estimate import both_estimates

Values = NDArray[np.float64]  #: (C, Z, Y, X)
Filter = Callable[[Inputs, Chosen], Any]  #: the result (C, Z, Y, X) of a region with what was chosen for it

# e: how much of the noise is added once more.  With NL-means 0.1 makes the expected error 3 to 4 % too large
# on photographs in colour (kodim05 and 09, sigma 25), 0.03 and 0.01 by less than chance leaves open.
# NL-Ridge takes other partners suddenly: its response grows as steps shrink, 1.2 to 2.5 times to 0.03.
# What the network makes of it is expected within 5 % (root mean square; kodim01 to 11, sigma 10 to 50).
STEPS = {"nlmeans": 0.03, "nlridge": 0.1, "learned": 0.1}
_SIDES = {1: 16_384, 2: 160, 3: 40}  # of a region, by the number of grid axes
_REGIONS = {1: 9, 2: 9, 3: 8}
_WHOLE = 2**18  # pixels of an image that is looked at as a whole
_MARGINS = {1: 64, 2: 16, 3: 6}  # around a region: at its edges windows are cut, which costs 8 % in error
_LEAST_SIDES = {1: 1024, 2: 80, 3: 24}
_SQUARED = 1e-70, 1e70  # sigma whose fourth power is a number


@dataclass(frozen=True, eq=False)
class Trial:
    """A region before and after, and the response to noise; in the units of the image."""

    noisy: Values
    clean: Values
    noise: Values  # m: as strong as the noise of the image, and independent of it
    response: Values  # r
    variance: Values  # of the noise, of the shape of the image or broadcast to it
    valid: NDArray[np.bool_]  # (Z, Y, X)

    @property
    def removed(self) -> Values:
        """What the filter took away."""
        return self.noisy - self.clean

    @cached_property
    def risk(self) -> Values:
        """What each pixel adds to the estimated mean squared error; some are negative."""
        risk: Values = self.removed**2 - self.variance + 2 * self.noise * self.response
        return risk

    @property
    def product(self) -> Values:
        """m r, whose mean is sigma^2 times the divergence of the filter per number."""
        return self.noise * self.response

    @property
    def response_square(self) -> Values:
        """r^2, whose mean is the variance of the result."""
        squares: Values = self.response**2
        return squares

    def within(self, at: tuple[slice, ...]) -> Trial:
        """A part of it."""
        index = (slice(None), *at)
        variance = np.broadcast_to(self.variance, self.noisy.shape)
        a, b, c, d, e = (v[index] for v in (self.noisy, self.clean, self.noise, self.response, variance))
        return Trial(a, b, c, d, e, self.valid[at])

    def mean(self, values: Values) -> float:
        """Over valid pixels."""
        return float(np.broadcast_to(values, self.noisy.shape)[:, self.valid].mean())


def regions(inputs: Inputs, share: float = 1.0) -> list[tuple[slice, slice, slice]]:
    """Where (Z, Y, X) an image is looked at: all of a small one, else regions spread evenly.

    They have no more than a share of its pixels, unless that makes them too small to be denoised.
    """
    shape, axes = inputs.value.shape[1:], len(inputs.grid)
    side, count = _SIDES[axes], _REGIONS[axes]
    if share < 1:
        count = 2**axes
        wanted = round((share * math.prod(shape) / count) ** (1 / axes))
        side = min(max(wanted, _LEAST_SIDES[axes]), side)
    if math.prod(shape) <= (max(count * side**axes, _WHOLE) if share == 1 else count * side**axes):
        return [(slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2]))]
    long = [n > side for n in shape]
    each = max(1, math.floor(count ** (1 / sum(long)) + 1e-9))
    starts = [
        [round((2 * i + 1) / (2 * each) * (n - side)) for i in range(each)] if wide else [0]
        for n, wide in zip(shape, long, strict=True)
    ]
    ends = [side if wide else n for n, wide in zip(shape, long, strict=True)]
    return [
        (slice(z, z + ends[0]), slice(y, y + ends[1]), slice(x, x + ends[2])) for z, y, x in product(*starts)
    ]


def with_margin(
    inputs: Inputs, at: tuple[slice, slice, slice]
) -> tuple[tuple[slice, slice, slice], tuple[slice, slice, slice]]:
    """A region with what is around it, and where it lies in that."""
    margin = _MARGINS[len(inputs.grid)]
    each = list(zip(at, inputs.value.shape[1:], strict=True))
    seen = [slice(max(0, s.start - margin), min(n, s.stop + margin)) for s, n in each]
    inner = [slice(s.start - w.start, s.stop - w.start) for (s, _), w in zip(each, seen, strict=True)]
    return (seen[0], seen[1], seen[2]), (inner[0], inner[1], inner[2])


def part_of(inputs: Inputs, chosen: Chosen, at: tuple[slice, slice, slice]) -> tuple[Inputs, Chosen]:
    """A region as an image of floating point in NumPy, and what was chosen for it."""
    dtype = "float64" if inputs.value.dtype.itemsize == 8 else "float32"

    def cut(channels: Any) -> Any:
        return np.ascontiguousarray(to_numpy(channels[(slice(None), *at)])).astype(dtype)

    value = cut(inputs.value)
    feature = value if inputs.feature is inputs.value else cut(inputs.feature)
    part = replace(
        inputs,
        image=value,
        value=value,
        feature=feature,
        mask=None if inputs.mask is None else to_numpy(inputs.mask[at]),
        impulses=None if inputs.impulses is None else to_numpy(inputs.impulses[at]),
        grid=value.shape[4 - len(inputs.grid) :],
        request=replace(inputs.request, array_library="numpy", dtype=dtype, pixels=value[0].size),
    )
    noise = chosen.noise
    if noise.is_map:
        noise = replace(noise, sigma=to_numpy(noise.sigma[at]))
    return part, replace(chosen, noise=noise)


def noise_of(inputs: Inputs, chosen: Chosen) -> tuple[float, ...] | Values:
    """Sigma of the image: one, one for each channel or component, or a map (Z, Y, X)."""
    if inputs.feature is not inputs.value:  # what was chosen is the guide's
        return tuple(found.white for found in both_estimates(inputs.value, inputs.voters))
    sigma = chosen.noise.sigma if chosen.sigma is None else chosen.sigma
    return sigma if isinstance(sigma, tuple) else to_numpy(sigma).astype(np.float64)


def trial(
    inputs: Inputs,
    chosen: Chosen,
    sigma: tuple[float, ...] | Values,
    run: Filter,
    rng: np.random.Generator,
) -> Trial:
    """A region, which `part_of` made, denoised twice."""
    _check_squares(sigma)
    step = STEPS[chosen.parameters.method]
    noise, variance = _more_noise(inputs.value.shape, chosen.parameters.color, sigma, rng)
    noisy = inputs.value.astype(np.float64)
    valid = np.ones(noisy.shape[1:], bool) if inputs.voters is None else inputs.voters
    added = np.where(valid, noise, 0)
    value = (noisy + step * added).astype(inputs.value.dtype)
    feature = value if inputs.feature is inputs.value else inputs.feature
    clean = run(inputs, chosen).astype(np.float64)
    other = run(replace(inputs, image=value, value=value, feature=feature), chosen).astype(np.float64)
    noisy, clean, other = (np.where(valid, a, 0.0) for a in (noisy, clean, other))  # NaN and infinity
    return Trial(noisy, clean, noise, (other - clean) / step, variance, valid)


def _check_squares(sigma: tuple[float, ...] | Values) -> None:
    """Errors are squares in units of the image, and their own deviation is one of squares again."""
    largest = float(np.max(sigma, initial=0.0))
    if largest > 0 and not _SQUARED[0] < largest < _SQUARED[1]:
        raise InvalidValueError(
            f"the squared error of noise of {largest:.3g} cannot be told in float64: divide the image by"
            " about as much, and what is in its units"
        )


def _more_noise(
    shape: tuple[int, ...], color: str, sigma: tuple[float, ...] | Values, rng: np.random.Generator
) -> tuple[Values, Values]:
    """Noise of two values, +sigma and -sigma, whose products vary least; and its variance."""
    signs = rng.integers(0, 2, shape).astype(np.float64) * 2 - 1
    if not isinstance(sigma, tuple):
        return signs * sigma, np.asarray(sigma**2)[None]
    each = np.array(sigma).reshape(-1, 1, 1, 1)
    if color != "luminance" or len(sigma) == 1:
        return signs * each, each**2
    transform = np.array(formula.OPPONENT)
    variance = (transform.T**2 @ each.reshape(3) ** 2).reshape(3, 1, 1, 1)
    return formula.from_opponent([*(signs * each)], np), variance
