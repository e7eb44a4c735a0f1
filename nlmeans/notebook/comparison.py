"""Two pictures of the same thing, one over the other with a divider between them."""

from __future__ import annotations

import base64
from html import escape
from io import BytesIO
from typing import Any

from nlmeans.errors import InvalidTypeError, InvalidValueError, Parameter

LARGEST = (
    800  # pixels along a side of what is shown: one pixel for each sample, so that noise is seen as it is
)
_STYLE = """
.nlmeans-show{position:relative;line-height:0;overflow:hidden}
.nlmeans-show img{display:block;width:100%;margin:0;max-width:none}
.nlmeans-show img+img{position:absolute;inset:0;clip-path:inset(0 50% 0 0)}
.nlmeans-show i{position:absolute;top:0;bottom:0;left:50%;width:2px;margin-left:-1px;background:#fff;
box-shadow:0 0 3px #000;pointer-events:none}
.nlmeans-show span{position:absolute;top:.5em;padding:.2em .5em;font:13px/1.3 system-ui,sans-serif;color:#fff;
background:#000b;border-radius:3px;pointer-events:none}
.nlmeans-show input{position:absolute;inset:0;width:100%;height:100%;margin:0;opacity:0;cursor:ew-resize}
.nlmeans-show:focus-within{outline:3px solid #4a90d9;outline-offset:2px}
"""
_MOVE = (
    "const c=this.parentNode.children,v=+this.value;"
    "c[1].style.clipPath=`inset(0 ${100-v}% 0 0)`;c[2].style.left=v+'%';"
    "c[3].hidden=v<12;c[4].hidden=v>88"
)


class Comparison:
    """What `show` returns: a picture with a divider in a notebook, a few words in a terminal."""

    def __init__(self, before: Any, after: Any, note: str) -> None:
        self._before, self._after, self._note = before, after, note

    def to_html(self) -> str:
        """One piece of HTML with both pictures in it; it needs nothing from outside."""
        pictures, piece = _as_bytes(self._before, self._after)
        height, width = pictures[0].shape[:2]
        first, second = map(_address, pictures)
        label = "divider: before is to its left, after to its right"
        return (
            f'<style>{_STYLE}</style><figure style="margin:0;max-width:{max(width, 240)}px">'
            f'<div class="nlmeans-show" style="aspect-ratio:{width}/{height}">'
            f'<img alt="after" src="{second}"><img alt="before" src="{first}"><i></i>'
            '<span style="left:.5em">before</span><span style="right:.5em">after</span>'
            f'<input type="range" min="0" max="100" value="50" aria-label="{label}" '
            f'oninput="{escape(_MOVE)}"></div><figcaption style="font:13px system-ui,sans-serif">'
            f"{escape(self._note + piece)}</figcaption></figure>"
        )

    _repr_html_ = to_html

    def __repr__(self) -> str:
        return (
            f"{self._note}\nA notebook shows both with a divider; elsewhere write .to_html() to a file and "
            "open it in a browser."
        )


def show(before: Any, after: Any, *, channel_axis: int | None = None) -> Comparison:
    """Show a picture before and after, with a divider to drag, in a notebook.

    Parameters
    ----------
    before, after : array
        Pictures of one shape: NumPy, CuPy, torch, Pillow, xarray, or anything with ``__array__``.  Of a
        volume the middle plane is shown, of a large picture the middle 800 x 800 pixels.
    channel_axis : int, optional
        The axis of colours.  Default: the last one of three where it has 3 or 4 values (for looking only:
        `denoise` wants to be told).

    Returns
    -------
    Comparison
        Notebooks show it; ``print`` tells what was removed; ``to_html()`` gives the HTML.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        For arrays of different shapes, signals, and channels that are no colours.

    Notes
    -----
    Both have one scale: that of the type for 8 bits, else from the 0.1 to the 99.9 percentile of `before`.

    Examples
    --------
    >>> import numpy as np
    >>> noisy = np.random.default_rng(0).normal(100, 20, (64, 64))
    >>> print(str(show(noisy, np.full((64, 64), 100.0))).splitlines()[0])
    64 x 64 pixels of float64; removed: standard deviation 20, mean -0.323, largest 78
    """
    import numpy as np

    arrays = [_array(value, name) for name, value in (("before", before), ("after", after))]
    if arrays[0].shape != arrays[1].shape:
        raise InvalidValueError(
            f"before and after must have one shape, got {arrays[0].shape} and {arrays[1].shape}"
        )
    first, second = (_planes(array, channel_axis) for array in arrays)
    change = first.astype(np.float64) - second.astype(np.float64)
    finite = change[np.isfinite(change)]
    if not finite.size:
        raise InvalidValueError("before and after have no finite pixel in common")
    grid = " x ".join(map(str, first.shape[:-1]))
    note = (
        f"{grid} pixels of {arrays[0].dtype.name}; removed: standard deviation {finite.std():.3g}, "
        f"mean {finite.mean():.3g}, largest {np.abs(finite).max():.3g}"
    )
    if first.ndim == 4:
        middle = first.shape[0] // 2
        note += f"; plane {middle} is shown"
        first, second = first[middle], second[middle]
    return Comparison(first, second, note)


def _array(value: Any, name: str) -> Any:
    """It as a NumPy array; tensors and arrays of a GPU are copied down."""
    import numpy as np

    if hasattr(value, "detach"):  # torch
        value = value.detach().cpu().resolve_neg()
    elif type(value).__module__.partition(".")[0] == "cupy":
        value = value.get()
    array = np.asarray(value)
    if array.dtype.kind not in "iufb":
        raise InvalidTypeError(f"{name} must be an array of numbers, got {type(value).__name__}")
    return array


def _planes(array: Any, channel_axis: int | None) -> Any:
    """A picture as (Y, X, C) or a volume as (Z, Y, X, C), of 1, 3 or 4 channels."""
    import numpy as np

    if channel_axis is None and array.ndim == 3 and array.shape[-1] in (3, 4):
        channel_axis = -1
    if channel_axis is None:
        array = array[..., None]
    elif not -array.ndim <= channel_axis < array.ndim:
        raise InvalidValueError(
            Parameter("channel_axis"), f" must be an axis of an array of {array.ndim}, got {channel_axis}"
        )
    else:
        array = np.moveaxis(array, channel_axis, -1)
    if array.ndim not in (3, 4) or array.shape[-1] not in (1, 3, 4) or 0 in array.shape:
        raise InvalidValueError(
            "a picture or a volume is needed, grey or with 3 or 4 channels, got "
            f"{array.ndim - 1} grid axes and {array.shape[-1]} channels; choose what to look at"
        )
    return array


def _as_bytes(before: Any, after: Any) -> tuple[tuple[Any, Any], str]:
    """The middle of both as bytes on one scale, and what is left out."""
    import numpy as np

    window, piece = [], ""
    for size in before.shape[:2]:
        first = max(0, (size - LARGEST) // 2)
        window.append(slice(first, first + LARGEST))
    both = [picture[tuple(window)] for picture in (before, after)]
    if both[0].shape != before.shape:
        piece = f"; the middle {both[0].shape[0]} x {both[0].shape[1]} are shown"
    if before.dtype == np.uint8:
        return (both[0], both[1]), piece
    finite = before[np.isfinite(before)].astype(np.float64)
    low, high = np.percentile(finite, (0.1, 99.9)) if finite.size else (0.0, 1.0)
    scale = 255 / (high - low) if high > low else 1.0
    bytes_ = [
        np.clip(np.nan_to_num((p.astype(np.float64) - low) * scale), 0, 255).astype(np.uint8) for p in both
    ]
    return (bytes_[0], bytes_[1]), piece


def _address(picture: Any) -> str:
    """A picture of bytes as an address that holds it."""
    import numpy as np
    from PIL import Image

    memory = BytesIO()
    image = picture[..., 0] if picture.shape[-1] == 1 else picture
    Image.fromarray(np.ascontiguousarray(image)).save(memory, "PNG")
    return "data:image/png;base64," + base64.b64encode(memory.getvalue()).decode()
