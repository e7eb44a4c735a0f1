"""OpenEXR: the header is walked here, pixels come from the package OpenEXR (``nlmeans[exr]``)."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, BinaryIO

from ...status import UnreadableError, UnwritableError
from ..limits import Limits
from ..metadata import lost
from ..picture import Array, Item, Layout, Picture, Saving

_TILED, _DEEP, _PARTS, _KNOWN = 0x200, 0x800, 0x1000, 0x1EFF
_HALF, _FLOAT = 1, 2
_CHANNELS = {
    ("Y",): (1, False),
    ("B", "G", "R"): (3, False),
    ("A", "B", "G", "R"): (3, True),
    ("A", "Y"): (1, True),
}
_STRUCTURE = {
    "channels", "compression", "dataWindow", "displayWindow", "lineOrder", "pixelAspectRatio",
    "screenWindowCenter", "screenWindowWidth", "type", "tiles", "version", "chunkCount", "name",
}  # fmt: skip


@dataclass(frozen=True)
class _Header:
    width: int
    height: int
    names: tuple[str, ...]
    half: bool
    others: tuple[str, ...]  # attributes that are no structure


def open_picture(file: BinaryIO, size: int, limits: Limits) -> Picture:
    """Walk the header and describe the picture; pixels are read when asked for."""
    header = _walk(file, size, limits)
    if header.names not in _CHANNELS:
        raise UnreadableError(
            f"its channels are {', '.join(header.names)[:80]}; R, G, B or Y, with or without A, can be read: "
            "take them out first (for instance: oiiotool in.exr --ch R,G,B -o out.exr)"
        )
    colours, alpha = _CHANNELS[header.names]
    samples = colours + alpha
    limits.check_pixels(header.width, header.height)
    limits.check_expansion(header.width * header.height * samples * (2 if header.half else 4), size)
    shape = (header.height, header.width) + ((samples,) if samples > 1 else ())
    exr = package(UnreadableError)
    encoding: dict[str, Any] = {}

    def decode(_: int) -> Array:
        import numpy as np

        file.seek(0)
        with exr.File(file, separate_channels=True) as opened:
            encoding["header"] = {k: v for k, v in opened.header().items() if k != "channels"}
            found = {name: channel.pixels for name, channel in opened.channels().items()}
        planes = [np.array(found[name]) for name in ("R", "G", "B", "Y", "A") if name in found]
        pixels = planes[0] if samples == 1 else np.stack(planes, axis=-1)
        if pixels.shape != shape:
            raise UnreadableError(f"it decodes to {pixels.shape}, its header says {shape}")
        return pixels

    items = [Item("other", f"attribute {name}", None, name) for name in header.others]
    layout = Layout(shape, "=f2" if header.half else "=f4", colours, alpha)
    return Picture("EXR", [layout], decode, items, [], encoding)


def refusal(name: str, layout: Layout, count: int) -> str | None:
    """Why OpenEXR cannot hold pages like this; None when it can."""
    layout = layout.as_picture
    if count != 1:
        return f"EXR holds one picture, not {count}"
    if layout.extra or not layout.colours or layout.dtype[1:] not in ("f2", "f4"):
        return (
            f"EXR holds grey and RGB of 16-bit and 32-bit floating point, not {layout.words}; "
            "--dtype float32 makes such"
        )
    package(UnwritableError)
    return None


def write(file: BinaryIO, pages: Iterable[Array], like: Picture, saving: Saving) -> list[str]:
    """Store as the input was, or with ZIP; attributes are kept."""
    from io import BytesIO

    import numpy as np

    exr = package(UnwritableError)
    (page,) = pages
    native = like.format == "EXR"
    header = like.encoding.get("header") if native else None
    header = header or {"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage}
    page = page.astype(page.dtype.newbyteorder("="))
    planes = [page] if page.ndim == 2 else list(np.moveaxis(page, -1, 0))
    names = {1: "Y", 2: "YA", 3: "RGB", 4: "RGBA"}[len(planes)]
    channels = {name: np.ascontiguousarray(plane) for name, plane in zip(names, planes, strict=True)}
    memory = BytesIO()
    exr.File(header, channels).write(memory)
    file.write(memory.getvalue())
    return lost((i for i in like.metadata if not native and i.kind != "implied"), "EXR")


def package(error: type[Exception]) -> Any:
    """The package OpenEXR, or what to install."""
    try:
        import OpenEXR
    except ImportError:
        raise error("OpenEXR files need the package OpenEXR: pip install 'nlmeans[exr]'") from None
    return OpenEXR


def _walk(file: BinaryIO, size: int, limits: Limits) -> _Header:
    """The attributes of the header."""
    file.seek(4)
    version = int.from_bytes(file.read(4), "little")
    if version & 0xFF != 2 or version & ~_KNOWN & ~0xFF:
        raise UnreadableError("its version of OpenEXR is not known")
    if version & _PARTS:
        raise UnreadableError("it has several parts; save the part you need as a file of its own")
    if version & _DEEP:
        raise UnreadableError("it has deep pixels, many samples in each; flatten it first")
    attributes: dict[str, bytes] = {}
    while name := _text(file):
        _text(file)  # its type
        length = int.from_bytes(file.read(4), "little")
        limits.check_metadata(file.tell() + length)
        if file.tell() + length > size:
            raise UnreadableError("the file ends before the picture does")
        attributes[name] = file.read(length)
    try:
        left, top, right, bottom = struct.unpack("<4i", attributes["dataWindow"])
        channels = dict(_channels(attributes["channels"]))
    except (KeyError, struct.error):
        raise UnreadableError("its header is damaged") from None
    if right < left or bottom < top or not channels:
        raise UnreadableError("its header is damaged")
    kinds = set(channels.values())
    if kinds not in ({(_HALF, 1, 1)}, {(_FLOAT, 1, 1)}):
        raise UnreadableError("its channels are of different types or sizes, or integers")
    others = tuple(name for name in attributes if name not in _STRUCTURE)
    kind = next(iter(kinds))[0]
    return _Header(right - left + 1, bottom - top + 1, tuple(sorted(channels)), kind == _HALF, others)


def _text(file: BinaryIO) -> str:
    """A name that ends with a zero."""
    name = b""
    while (byte := file.read(1)) != b"\0":
        name += byte
        if not byte or len(name) > 255:
            raise UnreadableError("its header is damaged")
    return name.decode("latin-1")


def _channels(data: bytes) -> Iterable[tuple[str, tuple[int, int, int]]]:
    """(name, (type, sampling along x, along y)) of every channel."""
    while data and data != b"\0":
        name, _, rest = data.partition(b"\0")
        kind, _, x, y = struct.unpack_from("<4i", rest)
        yield name.decode("latin-1"), (kind, x, y)
        data = rest[16:]
