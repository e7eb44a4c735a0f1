"""What holds an array and is none: Pillow's images, xarray's labelled arrays, anything with ``__array__``.

Results come back in the same clothes.  What would lose something is refused, with what to do instead.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from nlmeans.arrays import Array
from nlmeans.errors import InvalidTypeError, InvalidValueError, Parameter

Dressed = Callable[[Array], Any]
_PILLOW = {"L": 0, "I;16": 0, "F": 0, "RGB": 3, "LA": 1, "RGBA": 3}  # mode -> colours; 0: no channel axis
_LABELLED = ("pandas", "polars", "astropy", "pint", "unyt")  # their labels or units would be lost


def carried(image: Any, settings: Mapping[str, Any]) -> tuple[Array, dict[str, Any], Dressed] | None:
    """The array within what is none, the settings for it, and what dresses a result alike; or None."""
    if _is_a("PIL.Image", "Image", image):
        return _of_pillow(image, settings)
    if _is_a("xarray", "DataArray", image):
        return _of_xarray(image, settings)
    if not hasattr(image, "__array__") or hasattr(image, "dask"):
        return None
    if type(image).__module__.partition(".")[0] in _LABELLED:
        raise InvalidTypeError(
            f"image is a {type(image).__name__}, whose labels or units would be lost; pass its plain array"
        )
    import numpy as np

    array = np.asarray(image)
    return (array, dict(settings), lambda result: result) if array.ndim else None  # no number


def _is_a(module: str, name: str, image: object) -> bool:
    """Whether it is an instance of a class of a module, which is not loaded for this."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(image, getattr(loaded, name))


def _of_pillow(image: Any, settings: Mapping[str, Any]) -> tuple[Array, dict[str, Any], Dressed]:
    """Grey and RGB, with alpha, which stays; fully transparent pixels are neither used nor changed."""
    import numpy as np
    from PIL import Image

    if image.mode not in _PILLOW:
        known = ", ".join(_PILLOW)
        raise InvalidTypeError(
            f"image is a Pillow image of mode {image.mode}; one of {known} can be denoised: image.convert"
        )
    if settings.get("channel_axis") not in (None, -1, 2):
        raise InvalidValueError(Parameter("channel_axis"), " of a Pillow image is known: leave it out")
    samples, colours = np.asarray(image), _PILLOW[image.mode]
    more = dict(settings)
    more["channel_axis"] = -1 if colours == 3 else None
    alpha = samples[..., -1:] if image.mode.endswith("A") else None
    array = samples if alpha is None else samples[..., :colours]
    if alpha is not None:
        visible, mask = alpha[..., 0] > 0, settings.get("mask")
        if not visible.all():
            more["mask"] = visible if mask is None else visible & mask
        array = array if colours == 3 else array[..., 0]

    def dressed(result: Array) -> Any:
        if alpha is not None:
            result = np.concatenate([result.reshape(*alpha.shape[:2], -1), alpha], axis=-1)
        made = Image.fromarray(result)
        made.info = dict(image.info)
        return made

    return array, more, dressed


def _of_xarray(image: Any, settings: Mapping[str, Any]) -> tuple[Array, dict[str, Any], Dressed]:
    """Its data, whose channel axis may be named; names, coordinates and attributes stay."""
    more, axis = dict(settings), settings.get("channel_axis")
    if isinstance(axis, str):
        if axis not in image.dims:
            raise InvalidValueError(
                Parameter("channel_axis"), f" is {axis!r}, and the axes are {', '.join(map(str, image.dims))}"
            )
        more["channel_axis"] = image.get_axis_num(axis)
    for name in ("mask", "guide", "sigma"):
        if _is_a("xarray", "DataArray", more.get(name)):
            grid = [d for d in image.dims if d in more[name].dims]
            more[name] = more[name].transpose(*grid, ...).data
    return image.data, more, lambda result: image.copy(data=result)
