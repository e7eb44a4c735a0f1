"""Types of numbers: those that the filter does not take, and results of another type than the picture."""

from __future__ import annotations

import math
from dataclasses import replace

from ..status import UnreadableError, UnwritableError
from .picture import Array, Layout, Picture

_EXACT = 2**53  # integers up to here are numbers of float64
_STORED = {"float32": "<f4"}
_LARGEST = {"float32": 2.0**128 - 2.0**104}
_NAMES = {"b1": "bool", "i4": "int32", "u4": "uint32", "i8": "int64", "u8": "uint64"}
_TARGETS = {"b1": ("|u1", "0 and 255 of 8 bits"), "i": ("<f8", "float64"), "u": ("<f8", "float64")}


def converted(picture: Picture, wanted: bool) -> Picture:
    """A picture of types that the filter takes: integers of 32 and 64 bits as float64, bool as 0 and 255."""
    found = sorted({page.dtype[1:] for page in picture.pages} & set(_NAMES))
    if not found:
        return picture
    if not wanted and found == ["b1"] and picture.pages[0].colours:
        raise UnreadableError(
            "it has 1 bit per pixel, black or white: there is no noise level to remove; give --convert to "
            "take it as 0 and 255"
        )
    names = " and ".join(_NAMES[kind] for kind in found)
    if found == ["b1"] and picture.pages[0].colours:
        names = "1 bit per pixel"
    targets = " and ".join(sorted({_target(kind)[1] for kind in found}))
    if not wanted:
        raise UnreadableError(
            f"it holds {names}, which the filter does not take; give --convert for {targets}"
        )

    def decode(page: int) -> Array:
        return _as(picture.decode(page), pages[page].dtype)

    pages = [_converted(page) if page.dtype[1:] in _NAMES else page for page in picture.pages]
    warnings = [*picture.warnings, f"{names} is converted to {targets}"]
    return replace(picture, pages=pages, decode=decode, warnings=warnings)


def _converted(page: Layout) -> Layout:
    kind = page.dtype[1:]
    return replace(page, dtype=_target(kind)[0], converted="" if kind == "b1" else _NAMES[kind])


def in_type(picture: Picture, name: str) -> Picture:
    """What results of this type are stored like: as the picture is, but for the type."""
    pages = [replace(page, dtype=_STORED[name]) for page in picture.pages]
    masked = [how.masked for how in picture.encoding.get("pages", ())] or [False] * len(pages)
    if any(page.alpha and not mask for page, mask in zip(pages, masked, strict=True)):
        raise UnwritableError(
            f"--dtype {name} is not possible with alpha, which is 1 at most in floating point"
        )
    for page in pages:
        if page.nodata is not None and _LARGEST[name] < abs(page.nodata) < math.inf:
            raise UnwritableError(
                f"--dtype {name} is not possible with {page.nodata:g} for "
                "pixels without a value (GDAL_NODATA)"
            )
    warnings = [
        f"it was stored packed, {full.bit_length()} bits a sample; {name} takes 32, and {full} is full light"
        for full in sorted({page.full_scale for page in picture.pages if page.full_scale})
    ]
    return replace(picture, pages=pages, warnings=[*picture.warnings, *warnings])


def _target(kind: str) -> tuple[str, str]:
    return _TARGETS.get(kind) or _TARGETS[kind[0]]


def _as(samples: Array, dtype: str) -> Array:
    import numpy as np

    if samples.dtype == np.dtype(dtype):
        return samples
    if samples.dtype == np.bool:
        return samples.astype(np.uint8) * np.uint8(255)
    if samples.dtype.itemsize == 8 and samples.dtype.kind in "iu" and samples.size:
        low, high = int(samples.min()), int(samples.max())
        if max(-low, high) > _EXACT:
            raise UnreadableError(f"it holds {high if high > -low else low:,}, too large for float64 to keep")
    return samples.astype(dtype)
