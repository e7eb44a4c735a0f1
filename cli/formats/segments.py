"""What stands around the pixels of JPEG, WebP and BMP files: walked before anything is decoded."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import BinaryIO

from ..status import UnreadableError
from .limits import Limits
from .metadata import dots_per_inch, exif_of
from .picture import Item

_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_ICC, _MPF = b"ICC_PROFILE\0", b"MPF\0"
_SEGMENT = 65_533  # most bytes in a JPEG segment
MOST_SCANS = 100  # a progressive JPEG has about ten; each costs a pass over all pixels
_BLOCK = 65_536  # bytes read at a time where a marker is looked for
_PICTURE = re.compile(rb"\s*P[1-6fF]\s|\xff\xd8\xff|\x89PNG|BM....\0\0\0\0", re.DOTALL)
_MARKER = re.compile(rb"\xff[^\x00\xff]")
_FIRST_WITH_LENGTH = 0xC0  # of markers behind the first scan; those before it are damage
_NO_LENGTH = {0x01, *range(0xD0, 0xD9)}
_APP0, _APP1, _APP2, _APP14, _COMMENT, _SCAN, _END = 0xE0, 0xE1, 0xE2, 0xEE, 0xFE, 0xDA, 0xD9
_JPEG_LS = 0xF7
_FRAMES = {*range(0xC0, 0xD0), _JPEG_LS} - {0xC4, 0xC8, 0xCC}  # what their headers begin with
_DENSITY_UNITS = {0: "", 1: "inch", 2: "cm"}


@dataclass
class Pieces:
    """What a walk has found."""

    items: list[Item] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    scans: int = 0
    coded: int = 0  # bytes of the scans
    more_pictures: bool = False
    animated: bool = False
    lossless: bool = False


def walk_jpeg(file: BinaryIO, size: int, limits: Limits) -> Pieces:
    """The segments before the pixels, the scans, and what stands behind the end of the picture."""
    pieces, profile = Pieces(), []
    places, scan = _jpeg_places(file, limits, pieces.warnings)
    for marker, position, length in places:
        file.seek(position)
        payload = file.read(length)
        if len(payload) < length:
            raise UnreadableError("the file ends before the picture does")
        if marker == _APP2 and payload.startswith(_ICC):
            profile.append(payload)
        elif marker == _APP2 and payload.startswith(_MPF):
            pieces.more_pictures = True
        elif marker in _FRAMES:
            _check_frame(marker, payload)
        elif item := _jpeg_item(marker, payload):
            pieces.items.append(item)
    if profile:
        profile = _each_once(profile, pieces.warnings)
        whole = b"".join(p[14:] for p in profile)
        pieces.items.append(Item("icc", "ICC profile", whole, [(_APP2, p) for p in profile]))
    pieces.scans, end = _scans(file, scan)
    pieces.coded = (size if end is None else end) - scan
    if pieces.more_pictures:
        pieces.warnings.append("further pictures behind the first (MPF) are left out")
    elif end is not None:
        pieces.warnings += behind(file, end, size, _promised(pieces.items))
    return pieces


def _check_frame(marker: int, payload: bytes) -> None:
    """Refuse what is stored otherwise than in 8 bits of the common kinds."""
    bits = payload[0] if payload else 0
    kind = {_JPEG_LS: "JPEG-LS", 0xC3: "lossless JPEG", 0xCB: "lossless JPEG"}.get(marker, "JPEG")
    if bits != 8 or marker == _JPEG_LS:
        raise UnreadableError(
            f"it is a {kind} of {bits} bits, and of JPEG 8 bits can be read; convert it to PNG or TIFF first"
        )


def _each_once(profile: list[bytes], warnings: list[str]) -> list[bytes]:
    """The segments of an ICC profile in order: some programs write them all twice, and then none counts."""
    kept: dict[bytes, bytes] = {}
    for payload in profile:
        if kept.setdefault(payload[12:13], payload) != payload:
            warnings.append("it has two colour profiles, of which the second is left out")
    return [kept[number] for number in sorted(kept)]


def _scans(file: BinaryIO, start: int) -> tuple[int, int | None]:
    """How many scans there are from the first, at `start`, on, and where the picture ends, if it says so.

    Markers are followed as libjpeg follows them: a marker with a length is stepped over, so that the
    picture ends here where it ends there.
    """
    file.seek(start)
    data = file.read()
    scans, position = 1, max(2, int.from_bytes(data[:2], "big"))
    while (found := _MARKER.search(data, position)) is not None:
        marker, position = found[0][1], found.end()
        if marker == _END:
            return scans, start + position
        scans += marker == _SCAN
        if scans > MOST_SCANS:
            break
        if marker >= _FIRST_WITH_LENGTH and marker not in _NO_LENGTH:
            position += max(2, int.from_bytes(data[position : position + 2], "big"))
    return scans, None


def behind(file: BinaryIO, end: int, size: int, promised: str = "") -> list[str]:
    """The warning for what stands behind the end of a picture; zeros that fill a block are nothing."""
    file.seek(end)
    start = file.read(_BLOCK)
    if size - end <= len(start) and not start.strip(b"\0"):
        return []
    what = ""
    if promised:
        what = f" (the {promised} that its XMP still promises)"
    elif b"ftyp" in start[:4096]:
        what = " (a video)"
    elif _PICTURE.match(start):
        what = " (a further picture)"
    return [f"{size - end:,} bytes behind the picture{what} are left out"]


def _promised(items: Iterable[Item]) -> str:
    """What the XMP says stands behind the picture."""
    for item in items:
        if item.kind == "xmp":
            if re.search(rb"MicroVideo|MotionPhoto|video/(mp4|quicktime)", item.content):
                return "video of a motion photo"
            if re.search(rb"hdrgm:|GainMap", item.content):
                return "gain map"
    return ""


def _jpeg_places(
    file: BinaryIO, limits: Limits, warnings: list[str]
) -> tuple[list[tuple[int, int, int]], int]:
    """(marker, offset of the payload, its length) of every segment before the pixels; where those begin.

    Bytes between segments that belong to none are stepped over, as all decoders do.
    """
    places, position, stray = [], 2, 0
    while True:
        marker, position, skipped = _next_marker(file, position, limits)
        stray += skipped
        if marker == _SCAN:
            break
        if marker == _END:
            raise UnreadableError("it has no pixels")
        if marker in _NO_LENGTH:
            continue
        file.seek(position)
        start = file.read(2)
        length = int.from_bytes(start, "big") - 2
        if len(start) < 2 or length < 0:
            raise UnreadableError("the file ends before the picture does")
        places.append((marker, position + 2, length))
        position += 2 + length
        limits.check_metadata(position)
    if stray:
        warnings.append(f"{stray:,} stray bytes between its segments are left out")
    return places, position


def _next_marker(file: BinaryIO, position: int, limits: Limits) -> tuple[int, int, int]:
    """The next marker, the offset behind it, and how many bytes before it belong to nothing."""
    stray = 0
    while True:
        limits.check_metadata(position)
        file.seek(position)
        block = file.read(_BLOCK)
        found = _MARKER.search(block)
        if found:
            stray += len(block[: found.start()].rstrip(b"\xff"))
            return found[0][1], position + found.end(), stray
        if len(block) < 2:
            raise UnreadableError("the file ends before the picture does")
        kept = block.endswith(b"\xff")  # it may begin a marker
        stray += len(block[: len(block) - kept].rstrip(b"\xff"))
        position += len(block) - kept


def _jpeg_item(marker: int, payload: bytes) -> Item | None:
    raw = [(marker, payload)]
    if marker == _APP0 and payload.startswith(b"JFIF\0") and len(payload) >= 12:
        unit, x, y = struct.unpack_from(">BHH", payload, 7)
        if unit == 0 and x == y:
            return Item("implied", "JFIF header", None, raw)
        return Item("resolution", "resolution", (float(x), float(y), _DENSITY_UNITS.get(unit, "")), raw)
    if marker == _APP1 and payload.startswith(_EXIF):
        return Item("exif", "EXIF", payload[len(_EXIF) :], raw)
    if marker == _APP1 and payload.startswith(_XMP):
        return Item("xmp", "XMP", payload[len(_XMP) :], raw)
    if marker == _COMMENT:
        return Item("other", "comment", None, raw)
    if _APP0 <= marker <= 0xEF and marker != _APP14:  # APP14 describes how the old pixels were coded
        return Item("other", f"APP{marker - _APP0} segment", None, raw)
    return None


def jpeg_with(encoded: bytes, native: Iterable[Item], taken: dict[str, Item], *, keep_density: bool) -> bytes:
    """An encoded JPEG with metadata put behind its first marker."""
    parts = [encoded[:2]]
    position = 2
    own = b""
    if encoded[2:4] == b"\xff\xe0":  # the encoder's own JFIF header
        length = 2 + int.from_bytes(encoded[4:6], "big")
        own, position = encoded[2 : 2 + length], 2 + length
    raws = [piece for item in native for piece in item.raw]
    headers = [r for r in raws if r[0] == _APP0 and r[1].startswith(b"JFIF\0")]
    if "resolution" in taken:
        parts.append(_segment(_APP0, _jfif(taken["resolution"].content)))
    elif not headers and not raws:
        parts.append(own)
    parts += [_segment(*r) for r in headers] + [_segment(*r) for r in raws if r not in headers]
    exif = exif_of(taken)
    if exif is not None and len(exif) + len(_EXIF) <= _SEGMENT:
        parts.append(_segment(_APP1, _EXIF + exif))
    if "xmp" in taken and len(taken["xmp"].content) + len(_XMP) <= _SEGMENT:
        parts.append(_segment(_APP1, _XMP + taken["xmp"].content))
    if "icc" in taken:
        parts += _icc_segments(taken["icc"].content)
    return b"".join([*parts, encoded[position:]])


def _icc_segments(profile: bytes) -> list[bytes]:
    step = _SEGMENT - 14
    pieces = [profile[n : n + step] for n in range(0, len(profile), step)]
    return [_segment(_APP2, _ICC + bytes([n, len(pieces)]) + p) for n, p in enumerate(pieces, 1)]


def _jfif(resolution: tuple[float, float, str]) -> bytes:
    per_inch = dots_per_inch(resolution)
    x, y = per_inch or resolution[:2]
    return b"JFIF\0\1\1" + struct.pack(">BHHBB", 1 if per_inch else 0, round(x), round(y), 0, 0)


def _segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def walk_webp(file: BinaryIO, size: int, limits: Limits) -> Pieces:
    """The chunks of a WebP file."""
    pieces, position, total = Pieces(), 12, 0
    file.seek(0)
    end = min(size, 8 + int.from_bytes(file.read(12)[4:8], "little"))
    while position + 8 <= end:
        file.seek(position)
        kind, length = struct.unpack("<4sI", file.read(8))
        position += 8 + length + length % 2
        if kind in (b"VP8 ", b"VP8L", b"VP8X"):
            # Pillow takes memory for the whole canvas when it opens the file: it must be known before.
            width, height = _webp_size(kind, file.read(10))
            limits.check_pixels(width, height)
            limits.check_expansion(4 * width * height, size)
            pieces.lossless |= kind == b"VP8L"
            continue
        if kind == b"ALPH":
            continue
        if kind in (b"ANIM", b"ANMF"):
            pieces.animated = True
            continue
        total += length
        limits.check_metadata(total)
        payload = file.read(length)
        name = kind.decode("latin-1").strip()
        known = {b"ICCP": ("icc", "ICC profile"), b"EXIF": ("exif", "EXIF"), b"XMP ": ("xmp", "XMP")}
        if kind in known:
            content = payload.removeprefix(_EXIF) if kind == b"EXIF" else payload
            pieces.items.append(Item(known[kind][0], known[kind][1], content, payload))  # type: ignore[arg-type]
        else:
            pieces.items.append(Item("other", f"chunk {name}"))
    pieces.warnings += behind(file, end, size)
    return pieces


def _webp_size(kind: bytes, start: bytes) -> tuple[int, int]:
    """Width and height from the first bytes of a chunk of pixels, or of the canvas."""
    if len(start) < 10:
        raise UnreadableError("the file ends before the picture does")
    if kind == b"VP8X":
        return 1 + int.from_bytes(start[4:7], "little"), 1 + int.from_bytes(start[7:10], "little")
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", start, 1)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", start, 6)
    return width & 0x3FFF, height & 0x3FFF


def walk_bmp(file: BinaryIO, size: int, limits: Limits) -> Pieces:
    """The header of a BMP file."""
    file.seek(0)
    header = file.read(138)
    if len(header) < 26:
        raise UnreadableError("its header is damaged")
    (length,) = struct.unpack_from("<I", header, 14)
    pieces = Pieces()
    if length < 40 or len(header) < 54:
        return pieces
    width, height, _, bits, compression, _, x, y = struct.unpack_from("<iiHHIIii", header, 18)
    limits.check_pixels(abs(width), abs(height))
    if compression in (0, 3) and abs(width) * abs(height) * bits // 8 > size:
        raise UnreadableError("the file ends before the picture does")
    if compression not in (0, 3):
        limits.check_expansion(abs(width) * abs(height) * 3, size)
    if bits == 16:
        pieces.warnings.append("5 and 6 bits per channel are stored in 8")
    if x > 0 and y > 0:
        pieces.items.append(Item("resolution", "resolution", (x / 100, y / 100, "cm")))
    (start,) = struct.unpack_from("<I", header, 10)
    end = start + (abs(width) * bits + 31) // 32 * 4 * abs(height)
    if compression == 0 and bits == 32 and _varies(file, start, end):
        pieces.warnings.append(
            "the fourth byte of its pixels, in which some programs keep alpha, is left out"
        )
    if length >= 124 and header[70:74] in (b"DEBM", b"KNIL") and len(header) >= 138:
        offset, count = struct.unpack_from("<II", header, 126)
        limits.check_metadata(count)
        file.seek(14 + offset)
        profile = file.read(count)
        end = max(end, 14 + offset + count)
        linked = header[70:74] == b"KNIL"
        pieces.items.append(Item("other" if linked else "icc", "ICC profile", None if linked else profile))
    if compression in (0, 3) and end < size:
        pieces.warnings += behind(file, end, size)
    return pieces


def _varies(file: BinaryIO, start: int, end: int) -> bool:
    """Whether the fourth bytes of pixels say anything: all 0 or all 255 say nothing."""
    file.seek(start)
    values: set[int] = set()
    for position in range(start, end, _BLOCK):
        values |= set(file.read(min(_BLOCK, end - position))[3::4])
        if len(values) > 1:
            return True
    return bool(values - {0, 255})
