"""Writing TIFF: pages as they come, stored as the input was, with its tags copied byte for byte."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from .limits import Limits
from .metadata import exif_directories, lost, orientation_of, split
from .picture import Array, Item, Layout, Picture, Saving
from .tiff_tags import RATIONAL, Directory, Structure, Tag, walk

if TYPE_CHECKING:
    from .format_tiff import Storage

_UNITS = {1: "", 2: "inch", 3: "cm"}
_UNIT_NUMBERS = {"": 1, "inch": 2, "cm": 3}
_CLASSIC_LIMIT = 2**32 - 2**25  # tifffile's own rule
_PLACEHOLDERS = {
    34665: 34664,
    34853: 34852,
}  # tifffile writes no directories: theirs take the next lower number
_LONG = 4
_BIG_SIZES = (8, 20)
_CLASSIC_SIZES = (4, 12)


def refusal(name: str, layout: Layout, count: int) -> str | None:
    """Why TIFF cannot hold pages like this; None when it can."""
    if layout.colours == 0 and len(layout.shape) not in (2, 3):
        return f"a TIFF page has 2 axes, a stack of them 3; this is {layout.words}"
    return None


def resolution(structure: Structure, tags: Directory) -> tuple[Any, ...]:
    """(x, y, unit), x and y as exact fractions."""
    unit = _UNITS.get(structure.first(tags, 296, 2), "inch")
    return (*(_rational(structure, tags[code]) for code in (282, 283)), unit)


def _rational(structure: Structure, tag: Tag) -> Fraction:
    raw = structure.raw(tag)
    if tag.type != RATIONAL or len(raw) != 8:
        return Fraction(1)
    above, below = struct.unpack(structure.order + "II", raw)
    return Fraction(above, below or 1)


def write(file: BinaryIO, pages: Iterable[Array], like: Picture, saving: Saving) -> list[str]:
    """Store pages and what can be kept of the metadata; returns warnings for the rest."""
    import numpy as np
    import tifffile

    same = like.format == "TIFF"
    order: Literal["<", ">"] = like.encoding["order"] if same else "<"
    big = bool(like.encoding.get("big")) if same else _needs_big(like)
    left: list[Item] = []
    directories: list[tuple[int, int, str, dict[int, tuple[int, bytes]]]] = []
    with tifffile.TiffWriter(file, bigtiff=big, byteorder=order) as writer:
        for number, page in enumerate(pages):
            storage = like.encoding["pages"][number] if same else _storage(like.pages[0])
            mine = [i for i in like.metadata if i.page == number]
            tags, options, rest, inner = _tags_of(mine, order, same)
            left += rest
            directories += [(number, *d) for d in inner]
            if storage.separate and page.ndim == 3:
                page = np.moveaxis(page, -1, 0)
            if page.dtype.byteorder == {"<": ">", ">": "<"}[order]:
                page = page.astype(page.dtype.newbyteorder(order))
            writer.write(page, **_options(storage, page), **options, extratags=tags)
    for number, code, source_order, inner_tags in directories:
        _attach(file, number, code, source_order, inner_tags)
    return lost(left, "TIFF")


def _options(storage: Storage, page: Array) -> dict[str, Any]:
    """tifffile's words for how a page is stored."""
    lossless = "zlib" if storage.compression == "jpeg" else storage.compression
    return {
        "photometric": storage.photometric,
        "planarconfig": ("separate" if storage.separate else "contig") if page.ndim == 3 else None,
        "extrasamples": storage.extrasamples,
        "compression": lossless,
        "predictor": storage.predictor if storage.predictor > 1 and lossless else None,
        "tile": storage.tile,
        "subfiletype": storage.subfile,
        "software": False,
        "metadata": None,
        "contiguous": False,
    }


def _storage(layout: Layout) -> Storage:
    """How to store what comes from another format: losslessly."""
    from .format_tiff import Storage

    extra = ((2,) if layout.alpha else ()) + (0,) * layout.extra
    predictor = 3 if layout.kind == "f" else 2
    return Storage("zlib", predictor, None, 2 if layout.colours == 3 else 1, False, extra)


def _needs_big(like: Picture) -> bool:
    import math

    return sum(math.prod(p.shape) * p.bits // 8 for p in like.pages) > _CLASSIC_LIMIT


def _tags_of(
    items: list[Item], order: str, same: bool
) -> tuple[
    list[tuple[Any, ...]], dict[str, Any], list[Item], list[tuple[int, str, dict[int, tuple[int, bytes]]]]
]:
    """Tags as tifffile takes them, its own options, what is lost, and directories to attach."""
    tags: list[tuple[Any, ...]] = []
    directories: list[tuple[int, str, dict[int, tuple[int, bytes]]]] = []
    native = [i for i in items if same and i.raw is not None]
    taken, left = split(
        [i for i in items if i not in native], ("icc", "xmp", "resolution", "orientation", "exif")
    )
    for item in native:
        if item.raw[0] == "tag":
            _, code, _, kind, raw = item.raw
            tags.append((code, kind, None, raw, True))
        else:
            directories.append(item.raw[1:])
    if "icc" in taken:
        tags.append((34675, 7, None, taken["icc"].content, True))
    if "xmp" in taken:
        tags.append((700, 1, None, taken["xmp"].content, True))
    if "exif" in taken:
        block = taken["exif"].content
        tags.append((274, 3, 1, orientation_of(block), True))
        directories += exif_directories(block)
    elif "orientation" in taken:
        tags.append((274, 3, 1, taken["orientation"].content, True))
    tags += [(_PLACEHOLDERS[code], _LONG, 1, 0, True) for code, *_ in directories]
    return tags, _resolution_options(taken), left, directories


def _resolution_options(taken: dict[str, Item]) -> dict[str, Any]:
    if "resolution" not in taken:
        return {}
    x, y, unit = taken["resolution"].content
    exact = [Fraction(v).limit_denominator(2**16) for v in (x, y)]
    return {
        "resolution": tuple((v.numerator, v.denominator) for v in exact),
        "resolutionunit": _UNIT_NUMBERS[unit],
    }


def _attach(
    file: BinaryIO, number: int, code: int, source_order: str, tags: dict[int, tuple[int, bytes]]
) -> None:
    """Append a directory and let the placeholder of its page point to it."""
    size = file.seek(0, 2)
    structure = walk(file, size, Limits(frames=2**31, metadata=2**62))
    order, big = structure.order, structure.big
    entry = structure.directories[number][_PLACEHOLDERS[code]].entry
    at = size + size % 2
    file.seek(size)
    file.write(b"\0" * (at - size) + _directory_bytes(tags, order, source_order, big, at))
    file.seek(entry)
    file.write(struct.pack(order + ("HHQQ" if big else "HHII"), code, 16 if big else _LONG, 1, at))
    file.seek(0, 2)


def _directory_bytes(
    tags: dict[int, tuple[int, bytes]], order: str, source_order: str, big: bool, at: int
) -> bytes:
    """A directory with its values behind it, for the place `at` of a file."""
    width, length = _BIG_SIZES if big else _CLASSIC_SIZES
    head = struct.pack(order + ("Q" if big else "H"), len(tags))
    values = b""
    beyond = at + len(head) + length * len(tags) + width
    for code, (kind, raw) in sorted(tags.items()):
        raw, count = swapped(kind, raw, source_order != order)
        if len(raw) <= width:
            place = raw.ljust(width, b"\0")
        else:
            values += b"\0" * (len(values) % 2)
            place = struct.pack(order + ("Q" if big else "I"), beyond + len(values))
            values += raw
        head += struct.pack(order + ("HHQ" if big else "HHI"), code, kind, count) + place
    return head + b"\0" * width + values


def swapped(kind: int, raw: bytes, swap: bool) -> tuple[bytes, int]:
    """A value in the other byte order, and how many items it has."""
    from .tiff_tags import SIZES

    size = SIZES[kind]
    unit = 4 if kind in (5, 10) else size
    if swap and unit > 1:
        raw = b"".join(raw[n : n + unit][::-1] for n in range(0, len(raw), unit))
    return raw, len(raw) // size
