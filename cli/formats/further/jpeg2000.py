"""JPEG 2000, of up to 16 bits, which imagecodecs decodes: Pillow reads colours of 16 bits as 8."""

from __future__ import annotations

import re
import struct
from typing import BinaryIO

from ...status import UnreadableError
from ..limits import Limits
from ..picture import Array, Layout, Picture

_SIZ = b"\xff\x4f\xff\x51"  # start of a codestream and of its size segment
_BYTES = 6  # of memory for each sample while it is decoded
_BOXES = 65_536  # bytes within which it begins


def open_picture(file: BinaryIO, size: int, limits: Limits) -> Picture:
    """Describe a JPEG 2000 file, by the size segment of its codestream."""
    start = file.read(_BOXES)
    at = start.find(_SIZ)
    if at < 0 or len(start) < at + 43:
        raise UnreadableError("it has no JPEG 2000 codestream of which the size is told")
    right, bottom, left, top = struct.unpack_from(">4I", start, at + 8)
    (channels,) = struct.unpack_from(">H", start, at + 40)
    parts = start[at + 42 : at + 42 + 3 * channels]
    width, height = right - left, bottom - top
    if width < 1 or height < 1 or not 1 <= channels <= 4 or len(parts) < 3 * channels:
        raise UnreadableError("its size is damaged, or it has more than 4 channels")
    if set(parts[1::3]) | set(parts[2::3]) != {1}:
        raise UnreadableError("its channels have different sizes; convert it to PNG or TIFF first")
    bits = 1 + parts[0]
    if set(parts[::3]) != {parts[0]} or not 8 <= bits <= 16:
        raise UnreadableError("its channels have no 8 to 16 unsigned bits; convert it to PNG or TIFF")
    limits.check_pixels(width, height)
    limits.check_expansion(_BYTES * width * height * channels, size)
    boxes = start[:at]
    if b"pclr" in boxes or re.search(rb"colr\x01..\0\0\0[^\x10\x11]", boxes, re.DOTALL):
        raise UnreadableError(
            "it has a palette, or colours that are not sRGB; convert it to PNG or TIFF first"
        )
    kept = [name for mark, name in ((b"uuid", "EXIF or XMP"), (b"colr\x02", "ICC profile")) if mark in boxes]
    warnings = [f"JPEG 2000 input leaves out: {', '.join(kept)}"] if kept else []
    shape = (height, width) if channels == 1 else (height, width, channels)
    full = 2**bits - 1 if 8 < bits < 16 else None
    layout = Layout(
        shape, "|u1" if bits == 8 else "=u2", 3 if channels > 2 else 1, channels % 2 == 0, full_scale=full
    )

    def decode(_: int) -> Array:
        import imagecodecs

        file.seek(at)  # the boxes say the size a second time, which could be another
        pixels: Array = imagecodecs.jpeg2k_decode(file.read())
        if pixels.shape != layout.shape or pixels.dtype.str[1:] != layout.dtype[1:]:
            raise UnreadableError(
                f"it decodes to {pixels.shape} {pixels.dtype}, its header says {layout.words}"
            )
        return pixels

    return Picture("JPEG 2000", [layout], decode, [], warnings)
