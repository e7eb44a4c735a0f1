"""Radiance HDR: RGB of 8 bits each with an exponent that they share; imagecodecs decodes and encodes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import BinaryIO

from ...status import UnreadableError
from ..limits import Limits
from ..metadata import lost
from ..picture import Array, Item, Layout, Picture, Saving

_HEADER = 65_536  # most bytes of a header
_SIZE = re.compile(rb"-Y (\d{1,9}) \+X (\d{1,9})$")
_OURS = re.compile(rb"FORMAT=|#\?")


def open_picture(file: BinaryIO, size: int, limits: Limits) -> Picture:
    """Read the header; pixels are read when asked for."""
    header, end, rest = file.read(_HEADER).partition(b"\n\n")
    line, newline, _ = rest.partition(b"\n")
    if not end or not newline:
        raise UnreadableError("its header has no end")
    lines = header.split(b"\n")
    if b"FORMAT=32-bit_rle_xyze" in lines:
        raise UnreadableError("its colours are CIE XYZ; convert it to RGB first")
    found = _SIZE.match(line)
    if found is None:
        raise UnreadableError(f"its size and direction {line[:40]!r} are not -Y height +X width")
    height, width = int(found[1]), int(found[2])
    if not height or not width:
        raise UnreadableError("its header is damaged")
    limits.check_pixels(width, height)
    limits.check_expansion(12 * width * height, size)
    items = [Item("other", "header line", None, text) for text in lines if text and not _OURS.match(text)]

    def decode(_: int) -> Array:
        import imagecodecs

        file.seek(0)
        pixels: Array = imagecodecs.rgbe_decode(file.read())
        if pixels.shape != (height, width, 3):
            raise UnreadableError(f"it decodes to {pixels.shape}, its header says {(height, width, 3)}")
        return pixels

    return Picture("HDR", [Layout((height, width, 3), "=f4", 3)], decode, items)


def refusal(name: str, layout: Layout, count: int) -> str | None:
    """Why Radiance cannot hold pages like this; None when it can."""
    layout = layout.as_picture
    if count != 1:
        return f"HDR holds one picture, not {count}"
    if (layout.colours, layout.samples, layout.dtype[1:]) != (3, 3, "f4"):
        return f"HDR holds 32-bit floating-point RGB, not {layout.words}; name a .tif output"
    return None


def write(file: BinaryIO, pages: Iterable[Array], like: Picture, saving: Saving) -> list[str]:
    """Store RGB with a shared exponent, and the lines of the header (exposure, view) as they were."""
    import imagecodecs
    import numpy as np

    (page,) = pages
    native = [i for i in like.metadata if i.raw is not None and like.format == "HDR"]
    stored = imagecodecs.rgbe_encode(np.ascontiguousarray(page, np.float32), header=True)
    first, _, rest = bytes(stored).partition(b"\n")
    file.write(b"\n".join([first, *(i.raw for i in native), rest]))
    return lost((i for i in like.metadata if i not in native and i.kind != "implied"), "HDR")
