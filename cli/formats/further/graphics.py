"""TGA and SGI, of graphics workstations: Pillow decodes them, told which of the two it is.

Left to itself Pillow, and imageio with it, tries its formats one after the other, and a TGA file, which has
no mark at its start, is taken for another that it happens to begin like.
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import BinaryIO

from ...status import UnreadableError
from ..limits import Limits, byte_size
from ..picture import Array, Layout, Picture

TGA_HEADER = 18
_TGA_FOOTER = b"TRUEVISION-XFILE.\0"


def open_tga(file: BinaryIO, size: int, limits: Limits) -> Picture:
    """Describe a Truevision TGA file of grey or RGB, run-length encoded or not."""
    start = file.read(TGA_HEADER)
    kind, depth, alpha = start[2], start[16], start[17] & 0xF
    width, height = struct.unpack_from("<HH", start, 12)
    channels = {(3, 8): 1, (2, 24): 3, (2, 32): 4}.get((kind & 3, depth), 0)
    if not width or not height or not channels:
        raise UnreadableError(
            f"it is a TGA picture of {depth} bits a pixel, with a palette or packed colours; convert it to "
            "PNG with RGB colours first"
        )
    limits.check_pixels(width, height)
    limits.check_expansion(width * height * channels, size)
    file.seek(max(0, size - len(_TGA_FOOTER) - 8))
    more = struct.unpack("<II", end[:8]) if (end := file.read()).endswith(_TGA_FOOTER) else (0, 0)
    warnings = ["what TGA stores besides pixels is left out"] if start[0] or any(more) else []
    picture = _picture("TGA", file, _layout(height, width, channels, "|u1"), warnings)
    if channels == 4 and not alpha:
        whole = picture.decode
        warnings.append("its fourth channel, which is no alpha by its header, is left out")
        picture.pages, picture.decode = [_layout(height, width, 3, "|u1")], lambda n: whole(n)[..., :3]
    return picture


def is_tga(start: bytes) -> bool:
    """Whether a file begins like a TGA, which has no mark of its own there: by all fields that it fixes."""
    if len(start) < TGA_HEADER:
        return False
    palette, kind, depth = start[1], start[2], start[16]
    possible = {1: (8,), 2: (15, 16, 24, 32), 3: (8, 16)}.get(kind & ~8, ())
    unused = palette == 0 and start[3:8] == bytes(5)
    return (unused or (palette == 1 and kind & 3 == 1)) and depth in possible and start[17] & 0xC0 == 0


def open_sgi(file: BinaryIO, size: int, limits: Limits) -> Picture:
    """Describe an SGI file; of 16 bits where it is not run-length encoded."""
    start = file.read(512)
    if len(start) < 512:
        raise UnreadableError("the file ends before the picture does")
    packed, depth, axes, width, height, channels = struct.unpack_from(">BBHHHH", start, 2)
    channels = channels if axes == 3 else 1
    height = height if axes >= 2 else 1
    (table,) = struct.unpack_from(">I", start, 104)
    if not width or not height or packed > 1 or depth not in (1, 2) or channels not in (1, 3, 4) or table:
        raise UnreadableError("its header is damaged, or it has a palette or 2 channels; convert it to PNG")
    if packed and depth == 2:
        raise UnreadableError("its 16 bits are run-length encoded; convert it to PNG or TIFF first")
    layout = _layout(height, width, channels, "|u1" if depth == 1 else ">u2")
    limits.check_pixels(width, height)
    limits.check_expansion(width * height * channels * depth, size)
    if not packed and size < 512 + width * height * channels * depth:
        raise UnreadableError("the file ends before its pixels do")
    picture = _picture("SGI", file, layout, [])
    if depth == 2:
        picture.decode = lambda _: _planes(file, layout)
    name = start[24:104].partition(b"\0")[0]
    if name and name != b"no name":
        picture.warnings.append("the name that SGI stores beside the pixels is left out")
    return picture


def _planes(file: BinaryIO, layout: Layout) -> Array:
    """Planes of channels, of which Pillow takes the upper 8 bits; each from the lowest row up."""
    import numpy as np

    file.seek(512)
    shape = (layout.samples, *layout.shape[:2])
    planes = np.frombuffer(file.read(byte_size(shape, 2)), layout.dtype).reshape(shape)[:, ::-1]
    return planes[0] if layout.samples == 1 else np.moveaxis(planes, 0, -1)


def _layout(height: int, width: int, channels: int, dtype: str) -> Layout:
    shape = (height, width) if channels == 1 else (height, width, channels)
    return Layout(shape, dtype, min(channels, 3), channels == 4)


def _picture(name: str, file: BinaryIO, layout: Layout, warnings: list[str]) -> Picture:
    def decode(_: int) -> Array:
        import numpy as np
        from PIL import Image

        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # ours has been kept
        try:
            file.seek(0)
            with Image.open(BytesIO(file.read()), formats=[name]) as image:
                pixels: Array = np.asarray(image)
        finally:
            Image.MAX_IMAGE_PIXELS = before
        if pixels.shape != layout.shape or pixels.dtype.str != layout.dtype:
            raise UnreadableError(
                f"it decodes to {pixels.shape} {pixels.dtype}, its header says {layout.words}"
            )
        return pixels

    return Picture(name, [layout], decode, [], warnings)
