"""What imageio reads for us: SPE, QOI, TGA and SGI, each by the one plugin named here.

imageio's own choice of a plugin is never asked for: it goes by names, tries one after the other and knows
some that load code or files from elsewhere.  Headers are read here first, and held against the limits.
"""

from __future__ import annotations

import struct
import warnings as python_warnings
from collections.abc import Callable
from typing import Any, BinaryIO

from ...status import UnreadableError
from ..limits import Limits, byte_size
from ..picture import Array, Layout, Picture

_SPE_HEADER, _SPE_MAGIC = 4100, 0x01234567
_SPE_TYPES = {0: "<f4", 1: "<i4", 2: "<i2", 3: "<u2", 5: "<f8", 6: "|u1", 8: "<u4"}

TGA_HEADER = 18
_TGA_FOOTER = b"TRUEVISION-XFILE.\0"


def open_spe(file: BinaryIO, size: int, limits: Limits) -> Picture:
    """Describe the frames of a Princeton Instruments camera."""
    start = file.read(_SPE_HEADER)
    if len(start) < _SPE_HEADER:
        raise UnreadableError("the file ends before the picture does")
    (width,), (kind,), (height,) = (struct.unpack_from("<H", start, at) for at in (42, 108, 656))
    (frames,) = struct.unpack_from("<i", start, 1446)
    dtype = _SPE_TYPES.get(kind)
    if dtype is None or not width or not height or frames < 1:
        raise UnreadableError("its header is damaged")
    limits.check_frames(frames)
    layout = Layout((height, width), dtype)
    declared = byte_size((frames, height, width), layout.bits // 8)
    if declared > size - _SPE_HEADER:
        raise UnreadableError(f"it declares {declared:,} bytes of pixels and has {size - _SPE_HEADER:,}")
    warnings = ["what SPE stores besides pixels (camera, exposure, regions) is left out"]
    return _picture("SPE", file, [layout] * frames, warnings, "SPE", lambda n: {"index": n})


def open_qoi(file: BinaryIO, size: int, limits: Limits) -> Picture:
    """Describe a QOI file."""
    start = file.read(14)
    if len(start) < 14:
        raise UnreadableError("the file ends before the picture does")
    width, height, channels = struct.unpack_from(">IIB", start, 4)
    if not width or not height or channels not in (3, 4):
        raise UnreadableError("its header is damaged")
    limits.check_pixels(width, height)
    limits.check_expansion(width * height * channels, size)
    return _picture("QOI", file, [_layout(height, width, channels, "|u1")], [], "pillow", lambda _: {})


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
    picture = _picture(
        "TGA", file, [_layout(height, width, channels, "|u1")], warnings, "pillow", lambda _: {}
    )
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
    picture = _picture("SGI", file, [layout], [], "pillow", lambda _: {})
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


def _picture(
    name: str,
    file: BinaryIO,
    layouts: list[Layout],
    warnings: list[str],
    plugin: str,
    chosen: Callable[[int], dict[str, int]],
) -> Picture:
    """A picture whose pixels one plugin of imageio decodes."""

    def decode(page: int) -> Array:
        import imageio.v3 as imageio
        import numpy as np
        from PIL import Image

        imopen: Any = imageio.imopen
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # ours has been kept
        try:
            with python_warnings.catch_warnings(), _of_its_own(file, on_disk=plugin == "SPE") as own:
                python_warnings.simplefilter("ignore")
                with imopen(own, "r", plugin=plugin) as opened:
                    pixels = np.asarray(opened.read(**chosen(page)))
        finally:
            Image.MAX_IMAGE_PIXELS = before
        layout = layouts[page]
        if pixels.shape != layout.shape or pixels.dtype.str[1:] != layout.dtype[1:]:
            raise UnreadableError(
                f"it decodes to {pixels.shape} {pixels.dtype}, its header says {layout.words}"
            )
        return pixels

    return Picture(name, layouts, decode, [], warnings)


def _of_its_own(file: BinaryIO, *, on_disk: bool) -> BinaryIO:
    """The file once more, for a plugin to close: some need a descriptor, which data of a pipe lacks."""
    import io
    import os
    import tempfile

    if on_disk:
        try:
            own: BinaryIO = open(os.dup(file.fileno()), "rb")  # noqa: SIM115 - the caller closes it
            own.seek(0)
            return own
        except io.UnsupportedOperation:
            spilled: Any = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
            file.seek(0)
            spilled.write(file.read())
            spilled.seek(0)
            return spilled  # type: ignore[no-any-return]
    file.seek(0)
    return io.BytesIO(file.read())
