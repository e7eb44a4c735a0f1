"""Other libraries' calls on this filter, so that changing an import is enough."""

from __future__ import annotations

from nlmeans.arrays import Array, check_image, dtype_name, namespace
from nlmeans.denoising import denoise
from nlmeans.errors import InvalidValueError
from nlmeans.parameters import integer, number


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
        As for `nlmeans.denoise`; bool too.
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

    Notes
    -----
    Differences from scikit-image 0.26:

    * `fast_mode` compares true patches of ``patch_size`` samples; there it is one sample less along
      each axis, so that its `h` acts as one ``(s / (s - 1))^(n / 2)`` larger.
    * Exponentials are exact, and not cut off at exponent 5.
    * Only real pixels are averaged at the border, in both modes; patches are completed by symmetric
      reflection, there by reflection without the edge sample.
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
    return denoise(
        floating,
        sigma=number("sigma", sigma),
        h=h,
        patch_radius=patch_size // 2,
        search_radius=integer("patch_distance", patch_distance, 0),
        channel_axis=channel_axis,
        patch="box" if fast_mode else "gaussian",
        center="one",
        aggregate="pixel",
    )


def _as_float(image: Array, preserve_range: bool) -> Array:
    """Floating point: integers over their largest value, unless the range is preserved."""
    if getattr(image, "dtype", None) is not None and dtype_name(image) == "bool":
        return namespace(image).astype(image, namespace(image).float64)
    check_image(image)
    xp = namespace(image)
    name = dtype_name(image)
    if name.startswith("float"):
        return image if name != "float16" else xp.astype(image, xp.float32)
    floating = xp.astype(image, xp.float64)
    if preserve_range:
        return floating
    return xp.clip(floating / xp.iinfo(image.dtype).max, -1.0, None)
