"""The standard error of every pixel of a result, bias included."""

from __future__ import annotations

from functools import partial
from typing import Any, Unpack

import numpy as np

from nlmeans.arrays import Array, in_library_of, is_chunked, library, on_device_of, to_numpy
from nlmeans.carriers import carried
from nlmeans.choosing import Chosen, choose
from nlmeans.errors import InvalidTypeError
from nlmeans.inputs import Inputs, check
from nlmeans.judging.trial import Values, noise_of, part_of, trial
from nlmeans.levels import box_sum
from nlmeans.noise.impulses import without_impulses
from nlmeans.noise.stabilised import stabilised
from nlmeans.parameters import Settings
from nlmeans.running import apply

# Found on kodim01, 05, 09 in grey and 4 of train400, sigma 10 and 30, NL-means and NL-Ridge: errors
# are within so much of the root of their local mean square for 68 % of the pixels.
# "coverage" in benchmarks/studies/judging.
_FACTOR = 0.93
_RADIUS = 8  # of boxes, twice: 300 pixels or so, in which Stein's estimate is sure enough
_OF_RESPONSE = 3  # of boxes for the variance alone, which is surer
_LEAST = 0.5  # of the variance: the estimate of the whole error may come out smaller by chance
_ROUNDING = 1 / 12  # variance of rounding to integers
_SEED = 20081200


def uncertainty(
    image: Array,
    *,
    backend: str = "auto",
    workers: int | None = None,
    memory_limit: int | None = None,
    **settings: Unpack[Settings],
) -> Array:
    """The standard error of every pixel of what `denoise` makes of an image.

    About 68 % of the pixels of ``denoise(image, **settings)`` are within it of the clean image: noise that is
    left and structure that is lost both count.

    Parameters
    ----------
    image : array
        As for `denoise`; not a Dask array.
    backend, workers, memory_limit
        As for `denoise`.
    **settings
        Any of `denoise`'s parameters from `method` to `impulses`.

    Returns
    -------
    array of float32
        The shape and library of `image`, in its units; NaN where a pixel is invalid.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        As `denoise`; for a Dask array.

    Notes
    -----
    The image is denoised twice, the second time with a little more noise (see `nlmeans.judging.trial`).  The
    map is the root of Stein's estimate of the squared error, averaged over some 300 pixels around, or of half
    the variance, where that is larger.  With a model of the noise it is led back by the slope of the
    transform.  For noise that is independent from pixel to pixel.

    Time is twice that of `denoise`; memory that of a dozen copies of the image in float64.

    Examples
    --------
    >>> import numpy as np
    >>> flat = np.random.default_rng(0).normal(50, 5, (64, 64))
    >>> error = np.abs(uncertainty(flat, sigma=5.0))
    >>> bool(error.max() < 3)
    True
    """
    if library(image) is None and (found := carried(image, settings)):
        image, settings = found[0], found[1]  # type: ignore[assignment]
    if is_chunked(image):
        raise InvalidTypeError("uncertainty takes arrays that are there, got a Dask array: pass a part of it")
    run = partial(_run, backend=backend, workers=workers, memory_limit=memory_limit)
    if library(image) is not None and (white := stabilised(_floating(image), settings)) is not None:
        clean, error = _both(white.image, white.settings, run)  # type: ignore[arg-type]
        above, below = (to_numpy(white.restored(clean + side * error)) for side in (1, -1))
        return in_library_of(np.abs(above.astype(np.float64) - below).astype(np.float32) / 2, image)
    return in_library_of(_both(image, settings, run)[1], image)


def _floating(image: Array) -> Array:
    return image if "float" in str(image.dtype) else image.astype(np.float32)


def _run(inputs: Inputs, chosen: Chosen, **running: Any) -> Array:
    return apply(chosen, inputs, running["backend"], running["workers"], None, running["memory_limit"])


def _both(image: Array, settings: Settings, run: Any) -> tuple[Array, Array]:
    """The result and its standard error, in the shape of the image, as NumPy arrays of float32."""
    with on_device_of(image):
        inputs = without_impulses(check(image, settings), settings)
        chosen = choose(inputs, settings)
        z, y, x = (slice(0, n) for n in inputs.value.shape[1:])
        part, own = part_of(inputs, chosen, (z, y, x))
        done = trial(part, own, noise_of(inputs, chosen), run, np.random.default_rng(_SEED))
    one = part.mask if part.mask is not None else np.ones(done.clean.shape[1:], bool)
    smooth = _local(np.where(done.valid, done.risk, 0), done.valid, _RADIUS)
    variance = _local(np.where(done.valid, done.response_square, 0), done.valid, _OF_RESPONSE)
    square = np.maximum(smooth, _LEAST * variance)
    if inputs.value.dtype.kind in "iu":
        square = square + _ROUNDING
    error = np.where(one, _FACTOR * np.sqrt(square), np.nan).astype(np.float32)
    return part.restored(done.clean.astype(np.float32)), part.restored(error)


def _local(values: Values, valid: Any, radius: int) -> Values:
    """Means over valid pixels in boxes, twice, along the two longest axes; 0 where there is none."""
    longest = sorted(range(3), key=lambda axis: valid.shape[axis])[1:]
    reach = tuple(radius if axis in longest else 0 for axis in range(3))
    weight = np.broadcast_to(valid, values.shape).astype(np.float64)
    for _ in range(2):
        values, weight = box_sum(values, reach), box_sum(weight, reach)
    mean: Values = values / np.maximum(weight, 1)
    return mean
