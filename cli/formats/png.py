"""PNG: chunks are walked here, pixels come from libpng, which is shown nothing but pixels.

Whatever the file holds besides pixels is put into the output as it stood, as far as PNG's own rule
("safe to copy") allows; so nothing that libpng, or this program, does not know is lost.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from ..status import UnreadableError
from .limits import Limits, byte_size
from .metadata import dots_per_inch, exif_of, lost, split
from .picture import Array, Item, Layout, Picture, Saving
from .segments import behind

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_METRE = {"inch": 0.0254, "cm": 0.01}
_COLOUR_CHUNKS = {b"gAMA", b"cHRM", b"cICP", b"mDCV", b"cLLI", b"sBIT", b"bKGD"}
_KNOWN_SAFE = {b"gAMA", b"cHRM", b"cICP", b"sBIT", b"bKGD", b"sRGB", b"iCCP", b"tIME", b"mDCV", b"cLLI"}
_REPEATED = {b"tEXt", b"zTXt", b"iTXt", b"sPLT"}  # of which PNG allows several
_DEPENDS_ON_PIXELS = {b"hIST", b"tRNS", b"PLTE", b"sPLT"}


def open_picture(file: BinaryIO, size: int, limits: Limits) -> Picture:
    """Walk the chunks and describe the picture; pixels are read when asked for."""
    return _open(file, size, limits, mask=False)


def open_mask(file: BinaryIO, size: int, limits: Limits) -> Picture:
    """The same, with a palette too, whose colours are then the pixels."""
    return _open(file, size, limits, mask=True)


def _open(file: BinaryIO, size: int, limits: Limits, *, mask: bool) -> Picture:
    header, chunks, data, end = _walk(file, size, limits)
    if mask and len(header) == 13 and header[9] == 3:
        layout, transparent = _mask_layout(header, chunks, data, limits)
        warnings: list[str] = []
    else:
        layout, transparent, warnings = _layout(header, chunks, data, limits)
    warnings += behind(file, end, size)
    minimal = SIGNATURE + _chunk(b"IHDR", header) + transparent

    def decode(_: int) -> Array:
        import imagecodecs

        parts = [minimal]
        for offset, length in data:
            file.seek(offset)
            parts.append(_chunk(b"IDAT", file.read(length)))
        pixels = imagecodecs.png_decode(b"".join([*parts, _chunk(b"IEND", b"")]))
        return pixels != 0 if layout.kind == "b" else pixels

    items = [item for kind, payload in chunks if (item := _item(kind, payload, limits, warnings))]
    return Picture("PNG", [layout], decode, items, warnings)


def refusal(name: str, layout: Layout, count: int) -> str | None:
    """Why PNG cannot hold pages like this; None when it can."""
    layout = layout.as_picture
    if count != 1:
        return f"PNG holds one picture, not {count}"
    if layout.kind != "u" or layout.bits > 16:
        return f"PNG holds 8-bit and 16-bit unsigned integers, not {layout.words}"
    if layout.extra or not layout.colours:
        return f"PNG holds grey and RGB with or without alpha, not {layout.words}"
    return None


def write(file: BinaryIO, pages: Iterable[Array], like: Picture, saving: Saving) -> list[str]:
    """Store one page and what can be kept of the metadata; returns warnings for the rest."""
    import imagecodecs
    import numpy as np

    (page,) = pages
    page = np.ascontiguousarray(page, dtype=page.dtype.newbyteorder("="))
    stored = imagecodecs.png_encode(page, level=saving.compression)
    native = [i for i in like.metadata if i.raw is not None and like.format == "PNG"]
    taken, left = split(
        [i for i in like.metadata if i not in native], ("icc", "exif", "xmp", "resolution", "orientation")
    )
    body = len(SIGNATURE) + 25  # IHDR is 25 bytes and comes first
    file.write(stored[:body])
    for item in native:
        file.write(_chunk(*item.raw))
    for kind, payload in _chunks_of(taken):
        file.write(_chunk(kind, payload))
    file.write(stored[body:])
    return lost(left, "PNG")


def _walk(
    file: BinaryIO, size: int, limits: Limits
) -> tuple[bytes, list[tuple[bytes, bytes]], list[tuple[int, int]], int]:
    """The header, the chunks that are not pixels, where the pixels are, and where the picture ends."""
    *places, (_, end, _) = _places(file, size, limits)
    if not places or places[0][0] != b"IHDR":
        raise UnreadableError("a PNG file begins with its header; this one does not")
    chunks: list[tuple[bytes, bytes]] = []
    once: set[tuple[bytes, bytes]] = set()
    for kind, position, length in places:
        if kind == b"IDAT":
            continue
        file.seek(position)
        payload = file.read(length)
        if zlib.crc32(kind + payload) != int.from_bytes(file.read(4), "big"):
            raise UnreadableError(f"the chunk {kind!r} is damaged (wrong checksum)")
        if kind not in _REPEATED and (kind, payload) in once:
            continue  # a second copy is one too many for other readers
        once.add((kind, payload))
        chunks.append((kind, payload))
    data = [(position, length) for kind, position, length in places if kind == b"IDAT"]
    return chunks[0][1], chunks[1:], data, end


def _places(file: BinaryIO, size: int, limits: Limits) -> Iterator[tuple[bytes, int, int]]:
    """(kind, offset of the payload, its length) of every chunk, and at last where the file should end."""
    position, metadata = len(SIGNATURE), 0
    while True:
        file.seek(position)
        start = file.read(8)
        if len(start) < 8:
            raise UnreadableError("the file ends before the picture does")
        length, kind = struct.unpack(">I4s", start)
        if position + 12 + length > size:
            raise UnreadableError("the file ends before the picture does")
        if kind == b"IEND":
            yield kind, position + 12 + length, 0
            return
        metadata += 12 + (0 if kind == b"IDAT" else length)
        limits.check_metadata(metadata)
        yield kind, position + 8, length
        position += 12 + length


def _layout(
    header: bytes, chunks: list[tuple[bytes, bytes]], data: list[tuple[int, int]], limits: Limits
) -> tuple[Layout, bytes, list[str]]:
    """What the pixels are, the chunk that makes a colour transparent, and what changes."""
    if len(header) != 13:
        raise UnreadableError("its header is damaged")
    width, height, depth, colour, compression, filtering, _ = struct.unpack(">IIBBBBB", header)
    if not width or not height or compression or filtering:
        raise UnreadableError("its header is damaged")
    limits.check_pixels(width, height)
    found = dict(chunks)
    if b"acTL" in found:
        raise UnreadableError(
            "it is an animation, which only 'nlmeans denoise' and 'nlmeans report' take, and from a file"
        )
    if colour == 3:
        raise UnreadableError(
            "it has a palette, and averaging palette numbers means nothing; convert it to RGB first "
            "(for instance: magick in.png -type TrueColor out.png)"
        )
    if (colour, depth) not in {(0, 1), (0, 2), (0, 4)} | {(c, d) for c in (0, 2, 4, 6) for d in (8, 16)}:
        raise UnreadableError(f"its header is damaged (colour type {colour} with {depth} bits)")
    warnings = []
    if 1 < depth < 8:
        warnings.append(f"{depth}-bit grey is stored as 8-bit grey")
    colours = 3 if colour in (2, 6) else 1
    alpha = colour in (4, 6)
    transparent = b""
    if b"tRNS" in found and not alpha:
        warnings.append("its transparent colour is stored as an alpha channel")
        transparent, alpha = _chunk(b"tRNS", found[b"tRNS"]), True
    samples = colours + alpha
    shape = (height, width) if samples == 1 else (height, width, samples)
    dtype = "=u2" if depth > 8 else "|b1" if depth == 1 and not alpha else "|u1"
    layout = Layout(shape, dtype, colours, alpha)
    limits.check_expansion(byte_size(shape, layout.bits // 8), sum(length for _, length in data))
    return layout, transparent, warnings


def _mask_layout(
    header: bytes, chunks: list[tuple[bytes, bytes]], data: list[tuple[int, int]], limits: Limits
) -> tuple[Layout, bytes]:
    """What libpng makes of a palette, RGB; and the palette."""
    width, height, depth = struct.unpack_from(">IIB", header)
    if not width or not height or depth not in (1, 2, 4, 8):
        raise UnreadableError("its header is damaged")
    limits.check_pixels(width, height)
    entries = dict(chunks).get(b"PLTE", b"")
    if not entries or len(entries) % 3 or len(entries) > 768:
        raise UnreadableError("its palette is damaged")
    shape = (height, width, 3)
    limits.check_expansion(byte_size(shape, 1), sum(length for _, length in data))
    return Layout(shape, "|u1", 3), _chunk(b"PLTE", entries)


def _item(kind: bytes, payload: bytes, limits: Limits, warnings: list[str]) -> Item | None:
    """A chunk as a piece of metadata; None for those that describe the old pixels."""
    name = kind.decode("latin-1")
    raw = (kind, payload)
    if kind in _DEPENDS_ON_PIXELS:
        return None
    if not (kind[3] & 0x20 or kind in _KNOWN_SAFE):
        warnings.append(f"the chunk {name}, unknown and not marked as safe to copy, is left out")
        return None
    if kind == b"iCCP":
        return Item("icc", "ICC profile", _inflated(payload.partition(b"\0")[2][1:], limits), raw)
    if kind == b"eXIf":
        return Item("exif", "EXIF", payload, raw)
    if kind == b"pHYs" and len(payload) == 9:
        x, y, metre = struct.unpack(">IIB", payload)
        content = (x / 100, y / 100, "cm") if metre else (float(x), float(y), "")
        return Item("resolution", "resolution", content, raw)
    if kind == b"iTXt" and payload.startswith(b"XML:com.adobe.xmp\0"):
        return Item("xmp", "XMP", _itxt_text(payload, limits), raw)
    if kind == b"sRGB":
        return Item("implied", "sRGB", None, raw)  # the default of the other formats
    if kind in _COLOUR_CHUNKS:
        return Item("colour", f"colour chunk {name}", None, raw)
    if kind in (b"tEXt", b"zTXt", b"iTXt"):
        keyword = payload.partition(b"\0")[0].decode("latin-1")
        return Item("other", f"text ({keyword})", None, raw)
    return Item("other", f"chunk {name}", None, raw)


def _itxt_text(payload: bytes, limits: Limits) -> bytes | None:
    """The text of an iTXt chunk; None where it is damaged."""
    rest = payload.partition(b"\0")[2]
    compressed, rest = rest[:1], rest[2:]
    parts = rest.split(b"\0", 2)
    if len(parts) < 3:
        return None
    return _inflated(parts[2], limits) if compressed == b"\1" else parts[2]


def _inflated(data: bytes, limits: Limits) -> bytes | None:
    """Decompressed bytes; None where they are damaged or more than metadata may be."""
    unpacker = zlib.decompressobj()
    try:
        result = unpacker.decompress(data, limits.metadata)
    except zlib.error:
        return None
    return result if unpacker.eof else None


def _chunks_of(taken: dict[str, Item]) -> Iterable[tuple[bytes, bytes]]:
    """Chunks for metadata that comes from another format."""
    if "icc" in taken:
        yield b"iCCP", b"ICC profile\0\0" + zlib.compress(taken["icc"].content)
    if "resolution" in taken:
        yield b"pHYs", _physical(taken["resolution"].content)
    if "xmp" in taken:
        yield b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + taken["xmp"].content
    exif = exif_of(taken)
    if exif is not None:
        yield b"eXIf", exif


def _physical(resolution: tuple[float, float, str]) -> bytes:
    x, y, unit = resolution
    if dots_per_inch(resolution) is None:
        return struct.pack(">IIB", round(x), round(y), 0)
    return struct.pack(">IIB", round(x / _METRE[unit]), round(y / _METRE[unit]), 1)


def _chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))
