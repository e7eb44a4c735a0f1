"""Pictures within TIFF (JPEG 2000, JPEG XL, WebP, LERC): their own headers, held against the page's.

Such a stream says its size itself, and a decoder believes it: one of another size than its strip or tile is
refused before it is decoded.
"""

from __future__ import annotations

import struct
from typing import Any

from ...status import UnreadableError
from ..picture import Layout
from .pages import Page
from .storage import PICTURES
from .tags import Directory, Structure

_HEAD = 4096  # bytes at the start in which a header must be
_LERC_PARAMETERS = 50674  # tag: version, and what the blobs are compressed by
_PADDING = 16  # bytes behind a LERC blob, too few for another


def check_segments(structure: Structure, tags: Directory, page: Page, found: Any) -> None:
    """Refuse a strip or tile that declares more pixels than it has room for."""
    name = page.storage.compression
    measure = _SIZES.get(name or "")
    if name is None or measure is None:
        return
    stored = page.stored
    height, width = stored.shape[:2]
    room = page.storage.tile or (min(found.rowsperstrip or height, height), width)
    if name == "lerc" and not page.storage.separate:
        room = (room[0], room[1] * stored.samples)  # its header has one number for both
    packed = _packing(structure, tags) if name == "lerc" else 0
    for offset, count in zip(found.dataoffsets, found.databytecounts, strict=True):
        if not count:
            continue
        structure.file.seek(offset)
        if name == "lerc" and packed:
            head, count = _unpacked(structure.file.read(count), packed, _most(stored, room))
        else:
            head = structure.file.read(min(count, _HEAD))
        size = measure(head, count)
        if size is None:
            raise UnreadableError(
                f"its {PICTURES[name]} data is damaged, or of a kind that is not known; save it with LZW or "
                "deflate"
            )
        if size[0] > room[0] or size[1] > room[1]:
            raise UnreadableError(
                f"its {PICTURES[name]} data declares {size[1]} x {size[0]} pixels in a strip or tile of "
                f"{room[1]} x {room[0]}"
            )


def _packing(structure: Structure, tags: Directory) -> int:
    """What LERC blobs are compressed by once more: 0 nothing, 1 deflate, 2 zstd."""
    parameters = structure.integers(tags[_LERC_PARAMETERS]) if _LERC_PARAMETERS in tags else ()
    return parameters[1] if len(parameters) > 1 else 0


def _most(layout: Layout, room: tuple[int, int]) -> int:
    """Bytes that a LERC blob of a strip or tile may have: its pixels as they are, a mask, and a header."""
    return room[0] * room[1] * layout.bits // 8 + room[0] * room[1] // 8 + _HEAD


def _unpacked(data: bytes, packed: int, most: int) -> tuple[bytes, int]:
    """The start of a blob that was compressed once more, and its size."""
    import imagecodecs

    if packed not in (1, 2):
        raise UnreadableError(f"its LERC data is packed in a way that is not known (number {packed})")
    decode = imagecodecs.zlib_decode if packed == 1 else imagecodecs.zstd_decode
    try:
        blob = bytes(decode(data, out=most))  # not more than there is room for, whatever it declares
    except Exception as error:
        raise UnreadableError("its LERC data is damaged, or unpacks to more than its pixels") from error
    return blob, len(blob)


def _jpeg2000(head: bytes, count: int) -> tuple[int, int] | None:
    """Rows and columns of a JPEG 2000 stream, bare or in the boxes of a JP2 file."""
    at = 0
    if head[4:8] == b"jP  ":
        while head[at + 4 : at + 8] not in (b"jp2c", b""):
            length = int.from_bytes(head[at : at + 4], "big")
            if length < 8:
                return None
            at += length
        at += 8
    if head[at : at + 4] != b"\xff\x4f\xff\x51" or len(head) < at + 24:
        return None
    right, bottom, left, top = struct.unpack_from(">4I", head, at + 8)
    return max(0, bottom - top), max(0, right - left)


def _webp(head: bytes, count: int) -> tuple[int, int] | None:
    """Rows and columns of a WebP picture."""
    kind = head[12:16]
    if head[:4] != b"RIFF" or head[8:12] != b"WEBP" or len(head) < 30:
        return None
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(head[n : n + 3], "little") for n in (24, 27))
    elif kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif kind == b"VP8 ":
        width, height = (n & 0x3FFF for n in struct.unpack_from("<2H", head, 26))
    else:
        return None
    return height, width


def _lerc(head: bytes, count: int) -> tuple[int, int] | None:
    """Rows and columns of the one LERC blob that fills a strip or tile, of version 2 and later."""
    if head[:6] != b"Lerc2 " or len(head) < 38:
        return None
    (version,) = struct.unpack_from("<i", head, 6)
    at = 14 if version >= 3 else 10
    rows, columns, depth, *rest = struct.unpack_from("<6i", head, at)
    blob = rest[2] if version >= 4 else rest[1]
    if version < 4:
        depth = 1
    if min(rows, columns, depth) < 1 or depth > 4096 or not count - _PADDING <= blob <= count:
        return None
    return rows, columns * depth


class _Bits:
    """Bits of a JPEG XL header, the lowest of each byte first."""

    def __init__(self, data: bytes) -> None:
        self._number = int.from_bytes(data, "little")

    def take(self, count: int) -> int:
        value = self._number & ((1 << count) - 1)
        self._number >>= count
        return value


def _jpegxl(head: bytes, count: int) -> tuple[int, int] | None:
    """Rows and columns of a JPEG XL stream, bare or in boxes."""
    at = 0
    if head[4:8] == b"JXL ":
        while (kind := head[at + 4 : at + 8]) not in (b"jxlc", b"jxlp", b""):
            length = int.from_bytes(head[at : at + 4], "big")
            if length < 8:
                return None
            at += length
        at += 12 if kind == b"jxlp" else 8
    if head[at : at + 2] != b"\xff\x0a":
        return None
    bits = _Bits(head[at + 2 : at + 34])

    def side(small: int) -> int:
        return 8 * (1 + bits.take(5)) if small else 1 + bits.take((9, 13, 18, 30)[bits.take(2)])

    def both() -> tuple[int, int]:
        small = bits.take(1)
        rows = side(small)
        ratio = bits.take(3)
        if not ratio:
            return rows, side(small)
        above, below = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio - 1]
        return rows, rows * above // below

    size = both()
    if not bits.take(1) and bits.take(1):  # not all is as usual, and not only the depth
        bits.take(3)  # orientation
        if bits.take(1):
            both()  # the size to show it at
        if bits.take(1) or bits.take(1):
            return None  # a preview, or frames of a film that would all be decoded
    return size


_SIZES = {"jpeg2000": _jpeg2000, "webp": _webp, "lerc": _lerc, "jpegxl": _jpegxl}
