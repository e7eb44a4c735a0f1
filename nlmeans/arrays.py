"""Which library an array comes from, which of its axes are the grid, and which types are allowed."""

from __future__ import annotations

import sys
from typing import Any

from nlmeans.errors import InvalidTypeError, InvalidValueError

Array = Any  #: a NumPy, CuPy or torch array

DTYPES = ("int8", "uint8", "int16", "uint16", "float16", "float32", "float64")
MAX_GRID_AXES = 3


def library(array: object) -> str | None:
    """The name of the array's library, by libraries already imported: none is loaded for this."""
    for name, kind in (("numpy", "ndarray"), ("cupy", "ndarray"), ("torch", "Tensor")):
        module = sys.modules.get(name)
        if module is not None and isinstance(array, getattr(module, kind)):
            return name
    return None


def namespace(*arrays: Array) -> Any:
    """The array API namespace that the arrays share."""
    libraries = {library(a) for a in arrays}
    if libraries == {"numpy"}:
        import numpy as np  # NumPy 2 is such a namespace by itself

        return np
    from array_api_compat import array_namespace

    try:
        return array_namespace(*arrays)
    except TypeError as error:
        kinds = ", ".join(sorted({type(a).__name__ for a in arrays}))
        raise InvalidTypeError(f"arrays of one library are needed, got {kinds}: {error}") from None


def dtype_name(array: Array) -> str:
    """The element type without byte order or library: ``uint16``, not ``>u2`` or ``torch.uint16``."""
    name = getattr(array.dtype, "name", None) or str(array.dtype)
    return str(name).removeprefix("torch.")


def check_image(image: Array, name: str = "image") -> None:
    """Refuse what cannot be an image: no array, another element type, no element."""
    if library(image) is None:
        raise InvalidTypeError(
            f"{name} must be a NumPy, CuPy or torch array, got {type(image).__name__}; "
            "convert it, for instance with numpy.asarray"
        )
    if dtype_name(image) not in DTYPES:
        raise InvalidTypeError(
            f"{name} must hold one of {', '.join(DTYPES)}, got {dtype_name(image)}; "
            "convert it to the nearest of these"
        )
    if 0 in image.shape:
        raise InvalidValueError(f"{name} must have at least one element, got shape {tuple(image.shape)}")


def grid_axes(image: Array, channel_axis: int | None, name: str = "image") -> tuple[int, ...]:
    """The axes of the grid: all but the channel axis, one to three of them."""
    if channel_axis is not None:
        channel_axis = _axis(channel_axis, image.ndim, name)
    axes = tuple(a for a in range(image.ndim) if a != channel_axis)
    if not 1 <= len(axes) <= MAX_GRID_AXES:
        raise InvalidValueError(
            f"{name} must have 1 to {MAX_GRID_AXES} grid axes besides the channel axis, got {len(axes)} "
            f"(shape {tuple(image.shape)}, channel_axis={channel_axis}); loop over the others"
        )
    return axes


def _axis(axis: object, ndim: int, name: str) -> int:
    """A channel axis counted from the front, checked."""
    if isinstance(axis, bool) or not hasattr(axis, "__index__"):
        raise InvalidTypeError(f"channel_axis must be an integer or None, got {axis!r}")
    index = axis.__index__()
    if not -ndim <= index < ndim:
        raise InvalidValueError(
            f"channel_axis must be in [-{ndim}, {ndim - 1}] for {name} of {ndim} axes, got {index}"
        )
    return int(index % ndim)
