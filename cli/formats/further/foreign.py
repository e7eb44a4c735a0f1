"""What imageio reads for us: SPE and QOI, each by the one plugin named here.

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
