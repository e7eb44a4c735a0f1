"""scikit-image's call on this filter, so that changing an import is enough."""

from __future__ import annotations

import itertools

from nlmeans.arrays import Array, check_image, dtype_name, library, namespace
from nlmeans.denoising import denoise
from nlmeans.errors import InvalidValueError, NLMeansError
from nlmeans.parameters import integer, number

_GRIDS = {True: (2, 3, 4), False: (2, 3)}  # numbers of grid axes, by `fast_mode`


class DimensionError(NLMeansError, NotImplementedError):
    """A number of axes that `denoise_nl_means` does not take; scikit-image raises NotImplementedError."""


def denoise_nl_means(
    image: Array,
    patch_size: int = 7,
    patch_distance: int = 11,
    h: float = 0.1,
    fast_mode: bool = True,
    sigma: float = 0.0,
    *,
    preserve_range: bool = False,
    channel_axis: int | None = None,
) -> Array:
    """Non-local means with the signature and conventions of scikit-image.

    Parameters
    ----------
    image : array
        2-D, 3-D or, with `fast_mode`, 4-D, besides the channels; of floating point, of integers of any
        width, or bool.  A sequence is made an array of NumPy's.
    patch_size : int
        Width of the patches, odd and >= 1.
    patch_distance : int
        Search radius, >= 0.
    h : float
        Filtering strength, >= 0, in the units of the image after its conversion.
    fast_mode : bool
        True: equal weights in the patch.  False: Gaussian, of standard deviation ``(patch_size - 1) / 4``.
    sigma : float
        Standard deviation of the noise in the same units; 0 for no correction.
    preserve_range : bool
        Keep the range of integers; by default they are divided by their largest value.
    channel_axis : int, optional
        The axis of channels.

    Returns
    -------
    array of float64, or float32 for images of float32 and float16
        Same shape as `image`.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        For even patch sizes and whatever else is outside of the ranges above.
    DimensionError
        A NotImplementedError, for the axes that scikit-image raises one for: one grid axis, more than
        four, and without `fast_mode` more than two beside channels, or more than three.

    Notes
    -----
    Differences from scikit-image 0.26:

    * `fast_mode` compares true patches of ``patch_size`` samples; there it is one sample less along
      each axis, so that its `h` acts as one ``(s / (s - 1))^(n / 2)`` larger.
    * Exponentials are exact, and not cut off at exponent 5.
    * Only real pixels are averaged at the border, in both modes; patches are completed by symmetric
      reflection, there by reflection without the edge sample.
    * Four grid axes are searched as four there and here, by NumPy's array operations one shift after the
      other: exact, and slow, ``(2 patch_distance + 1)^4`` passes over the image.
    * Axes of length 1 are kept; even patch sizes, NaN and negative values are refused.

    Examples
    --------
    >>> import numpy as np
    >>> denoise_nl_means(np.full((8, 8), 128, dtype=np.uint8), patch_size=3).round(3)[0, 0]
    np.float64(0.502)
    """
    patch_size = integer("patch_size", patch_size, 1)
    if patch_size % 2 == 0:
        raise InvalidValueError(f"patch_size must be odd, got {patch_size}; take {patch_size + 1}")
    floating = _as_float(image, preserve_range)
    _check_dimensions(floating, channel_axis, fast_mode)
    sigma, radius = number("sigma", sigma), integer("patch_distance", patch_distance, 0)
    axes = floating.ndim - (channel_axis is not None)
    if axes == 4:
        return _four_axes(floating, patch_size // 2, radius, number("h", h), sigma, channel_axis)
    return denoise(
        floating,
        sigma=sigma,
        h=h,
        patch_radius=(patch_size // 2,) * axes,  # for each axis: there is nothing to ask about them
        search_radius=(radius,) * axes,
        channel_axis=channel_axis,
        patch="box" if fast_mode else "gaussian",
        center="one",
        aggregate="pixel",
        color="joint",
        passes=1,
    )


def _check_dimensions(image: Array, channel_axis: int | None, fast_mode: bool) -> None:
    grid = image.ndim - (channel_axis is not None)
    allowed = _GRIDS[bool(fast_mode)] if fast_mode or channel_axis is None else (2,)
    if grid not in allowed:
        beside = "" if channel_axis is None else " beside the channels"
        raise DimensionError(
            f"denoise_nl_means takes {' or '.join(map(str, allowed))} axes{beside} with fast_mode="
            f"{bool(fast_mode)}, got {grid}" + ("; nlmeans.denoise takes signals" if grid == 1 else "")
        )


def _as_float(image: Array, preserve_range: bool) -> Array:
    """Floating point: integers over their largest value, unless the range is preserved."""
    if library(image) is None and isinstance(image, list | tuple):
        import numpy as np

        image = np.asarray(image)
    if library(image) is None:
        check_image(image)
    xp, name = namespace(image), dtype_name(image)
    if name == "bool" or name.startswith(("int", "uint")):
        floating = xp.astype(image, xp.float64)
        if not preserve_range and name != "bool":
            floating = xp.clip(floating / xp.iinfo(image.dtype).max, -1.0, None)
        image = floating
    elif name in ("float16", "bfloat16"):
        image = xp.astype(image, xp.float32)
    check_image(image)
    return image


def _four_axes(
    image: Array, patch_radius: int, radius: int, h: float, sigma: float, channel_axis: int | None
) -> Array:
    """Box patches, a centre of weight 1 and the average of pixels over a grid of any number of axes.

    The pair of a pixel and the one a shift further is the pair of that and the opposite shift: every
    distance serves both.
    """
    xp = namespace(image)
    channels = image[None] if channel_axis is None else xp.moveaxis(image, channel_axis, 0)
    if not bool(xp.all(xp.isfinite(channels))):
        raise InvalidValueError("image must be finite, got NaN or infinity")
    if h == 0:
        return xp.asarray(image, copy=True)
    grid = channels.shape[1:]
    padded = channels
    for axis, n in enumerate(grid, 1):
        padded = xp.take(padded, xp.asarray(_reflected(n, patch_radius)), axis=axis)
    total, weight = xp.asarray(channels, copy=True), xp.ones(grid, dtype=channels.dtype)
    taps = channels.shape[0] * (2 * patch_radius + 1) ** len(grid)
    for shift in itertools.product(range(-radius, radius + 1), repeat=len(grid)):
        if shift <= (0,) * len(grid) or any(abs(s) >= n for s, n in zip(shift, grid, strict=True)):
            continue
        here = tuple(slice(max(0, -s), n - max(0, s)) for s, n in zip(shift, grid, strict=True))
        there = tuple(slice(max(0, s), n - max(0, -s)) for s, n in zip(shift, grid, strict=True))
        squares = xp.zeros((), dtype=channels.dtype)
        for plane in padded:
            squares = (
                squares + (plane[_widened(here, patch_radius)] - plane[_widened(there, patch_radius)]) ** 2
            )
        distance = _box_sums(squares, patch_radius) / taps
        pair = xp.exp(-xp.clip(distance - 2 * sigma**2, 0, None) / h**2)
        total[(slice(None), *here)] += pair * channels[(slice(None), *there)]
        total[(slice(None), *there)] += pair * channels[(slice(None), *here)]
        weight[here] += pair
        weight[there] += pair
    result = total / weight
    return result[0] if channel_axis is None else xp.moveaxis(result, 0, channel_axis)


def _reflected(n: int, margin: int) -> list[int]:
    """The samples of an axis and `margin` reflected ones at each end."""
    folded = [i % (2 * n) for i in range(-margin, n + margin)]
    return [min(i, 2 * n - 1 - i) for i in folded]


def _widened(region: tuple[slice, ...], margin: int) -> tuple[slice, ...]:
    """A region of the image within the padded one, with the margin around it."""
    return tuple(slice(s.start, s.stop + 2 * margin) for s in region)


def _box_sums(values: Array, radius: int) -> Array:
    """Sums over boxes, along one axis after the other: short by `radius` at every end."""
    for axis in range(values.ndim):
        length = values.shape[axis] - 2 * radius
        before = (slice(None),) * axis
        values = sum(values[(*before, slice(k, k + length))] for k in range(2 * radius + 1))
    return values
