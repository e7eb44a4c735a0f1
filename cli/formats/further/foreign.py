"""What imageio reads for us: SPE, JPEG 2000 and QOI, each by the one plugin named here.

imageio's own choice of a plugin is never asked for: it goes by names, tries one after the other and knows
some that load code or files from elsewhere.  Headers are read here first, and held against the limits.
"""

from __future__ import annotations

import re
import struct
import warnings as python_warnings
from collections.abc import Callable
from typing import Any, BinaryIO

from ...status import UnreadableError
from ..limits import Limits, byte_size
from ..picture import Array, Layout, Picture

_SPE_HEADER, _SPE_MAGIC = 4100, 0x01234567
_SPE_TYPES = {0: "<f4", 1: "<i4", 2: "<i2", 3: "<u2", 5: "<f8", 6: "|u1", 8: "<u4"}
_SIZ = b"\xff\x4f\xff\x51"  # start of a JPEG 2000 codestream and of its size segment
_JP2_BYTES = 6  # of memory for each sample while it is decoded
_BOXES = 65_536  # bytes within which it begins


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


def open_jpeg2000(file: BinaryIO, size: int, limits: Limits) -> Picture:
    """Describe a JPEG 2000 file, by the size segment of its codestream."""
    start = file.read(_BOXES)
    at = start.find(_SIZ)
    if at < 0 or len(start) < at + 43:
        raise UnreadableError("it has no JPEG 2000 codestream of which the size is told")
    right, bottom, left, top = struct.unpack_from(">4I", start, at + 8)
    (channels,) = struct.unpack_from(">H", start, at + 40)
    parts = start[at + 42 : at + 42 + 3 * channels]
    width, height = right - left, bottom - top
    if width < 1 or height < 1 or channels not in (1, 3, 4) or len(parts) < 3 * channels:
        raise UnreadableError("its size is damaged, or it has neither 1, 3 nor 4 channels")
    if set(parts[1::3]) | set(parts[2::3]) != {1}:
        raise UnreadableError("its channels have different sizes; convert it to PNG or TIFF first")
    if set(parts[::3]) != {7} and not (channels == 1 and parts[0] == 15):
        raise UnreadableError("it has neither 8 bits per channel nor 16-bit grey; convert it to PNG or TIFF")
    limits.check_pixels(width, height)
    limits.check_expansion(_JP2_BYTES * width * height * channels, size)
    boxes = start[:at]
    if b"pclr" in boxes or re.search(rb"colr\x01..\0\0\0[^\x10\x11]", boxes, re.DOTALL):
        raise UnreadableError(
            "it has a palette, or colours that are not sRGB; convert it to PNG or TIFF first"
        )
    layout = _layout(height, width, channels, "|u1" if parts[0] == 7 else "=u2")
    kept = [name for mark, name in ((b"uuid", "EXIF or XMP"), (b"colr\x02", "ICC profile")) if mark in boxes]
    warnings = [f"JPEG 2000 input leaves out: {', '.join(kept)}"] if kept else []
    # The boxes say the size a second time, which could be another: the decoder sees the codestream only.
    return _picture("JPEG 2000", file, [layout], warnings, "pillow", lambda _: {}, start=at)


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
    start: int = 0,
) -> Picture:
    """A picture whose pixels one plugin of imageio decodes."""

    def decode(page: int) -> Array:
        import imageio.v3 as imageio
        import numpy as np
        from PIL import Image

        imopen: Any = imageio.imopen
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # ours has been kept
        try:
            with python_warnings.catch_warnings(), _of_its_own(file, start, on_disk=plugin == "SPE") as own:
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


def _of_its_own(file: BinaryIO, start: int, *, on_disk: bool) -> BinaryIO:
    """The file from `start` on, for a plugin to close: some need a descriptor, which data of a pipe lacks."""
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
            file.seek(start)
            spilled.write(file.read())
            spilled.seek(0)
            return spilled  # type: ignore[no-any-return]
    file.seek(start)
    return io.BytesIO(file.read())
