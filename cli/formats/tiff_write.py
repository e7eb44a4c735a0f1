"""Writing TIFF: pages as they come, stored as the input was, with its tags copied byte for byte."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, BinaryIO, Literal

from ..status import UnreadableError
from .limits import Limits
from .metadata import ORIENTATION, Exif, lost, orientation_of, split
from .picture import Array, Item, Layout, Picture, Saving
from .tiff_storage import Storage
from .tiff_tags import RATIONAL, SIZES, Directory, Structure, Tag, walk

Inner = dict[int, tuple[int, bytes]]  #: a directory: tag number -> (type, value)

_INTEROPERABILITY, _MAKER_NOTE = 40965, 37500
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
    warnings: list[str] = []
    directories: list[tuple[int, int, str, Inner]] = []
    with tifffile.TiffWriter(file, bigtiff=big, byteorder=order) as writer:
        for number, page in enumerate(pages if same else _planes(pages, like)):
            storage = like.encoding["pages"][number] if same else _storage(like.pages[0].as_picture)
            mine = [i for i in like.metadata if i.page == number]
            tags = _Tags.of(mine, order, same)
            left += tags.left
            warnings += tags.warnings
            directories += [(number, *d) for d in tags.directories]
            if storage.separate and page.ndim == 3:
                page = np.moveaxis(page, -1, 0)
            if page.dtype.byteorder == {"<": ">", ">": "<"}[order]:
                page = page.astype(page.dtype.newbyteorder(order))
            writer.write(page, **_options(storage, page), **tags.options, extratags=tags.tags)
    for number, code, source_order, inner_tags in directories:
        _attach(file, number, code, source_order, inner_tags)
    return lost(left, "TIFF") + list(dict.fromkeys(warnings))


def _planes(pages: Iterable[Array], like: Picture) -> Iterator[Array]:
    """The pages; a bare array of three axes is one page for each of its planes."""
    for page in pages:
        if page.ndim == 3 and not like.pages[0].as_picture.colours:
            yield from page
        else:
            yield page


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

    extra = ((2,) if layout.alpha else ()) + (0,) * layout.extra
    predictor = 3 if layout.kind == "f" else 2
    return Storage("zlib", predictor, None, 2 if layout.colours == 3 else 1, False, extra)


def _needs_big(like: Picture) -> bool:
    import math

    return sum(math.prod(p.shape) * p.bits // 8 for p in like.pages) > _CLASSIC_LIMIT


@dataclass
class _Tags:
    """What one page carries besides its pixels."""

    order: str  # of the file to write
    tags: list[tuple[Any, ...]] = field(default_factory=list)  # as tifffile takes them
    directories: list[tuple[int, str, Inner]] = field(
        default_factory=list
    )  # (pointing tag, byte order, tags)
    options: dict[str, Any] = field(default_factory=dict)  # tifffile's own words
    left: list[Item] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, items: list[Item], order: str, same: bool) -> _Tags:
        """Sort the metadata of a page into what can be written how."""
        found = cls(order)
        native = [i for i in items if same and i.raw is not None]
        rest = [i for i in items if i not in native]
        taken, found.left = split(rest, ("icc", "xmp", "resolution", "orientation", "exif"))
        for item in native:
            found._native(item)
        if "exif" in taken:
            found._exif(taken["exif"])
        for name, code, kind in (("icc", 34675, 7), ("xmp", 700, 1)):
            if name in taken:
                found.tags.append((code, kind, None, taken[name].content, True))
        if "orientation" in taken:
            found._turned(taken["orientation"].content)
        found.options = _resolution_options(taken)
        found.tags += [(_PLACEHOLDERS[code], _LONG, 1, 0, True) for code, *_ in found.directories]
        return found

    def _native(self, item: Item) -> None:
        """A piece as it stood in a TIFF file of the same byte order."""
        if item.raw[0] == "tag":
            _, code, _, kind, raw = item.raw
            self.tags.append((code, kind, None, raw, True))
        else:
            _, code, order, inner = item.raw
            self._directory(code, order, inner)

    def _exif(self, item: Item) -> None:
        """The EXIF block of another format, taken apart."""
        try:
            exif = Exif.of(item.content)
        except UnreadableError:
            self.left.append(replace(item, name="EXIF (damaged)"))
            return
        self._turned(orientation_of(item.content))
        for code, kind, raw in exif.tags:
            self.tags.append((code, kind, None, swapped(kind, raw, exif.order != self.order)[0], True))
        for code, inner in exif.directories:
            self._directory(code, exif.order, inner)
        if exif.thumbnail:
            self.left.append(Item("other", "EXIF thumbnail"))

    def _directory(self, code: int, order: str, inner: Inner) -> None:
        if _INTEROPERABILITY in inner:
            self.left.append(Item("other", "EXIF interoperability"))
        if _MAKER_NOTE in inner:
            self.warnings.append(
                "the camera's own note in EXIF has moved; some programs cannot read it there"
            )
        kept = {number: value for number, value in inner.items() if number != _INTEROPERABILITY}
        self.directories.append((code, order, kept))

    def _turned(self, orientation: int) -> None:
        if ORIENTATION not in {t[0] for t in self.tags}:
            self.tags.append((ORIENTATION, 3, 1, orientation, True))


def _resolution_options(taken: dict[str, Item]) -> dict[str, Any]:
    if "resolution" not in taken:
        return {}
    x, y, unit = taken["resolution"].content
    exact = [Fraction(v).limit_denominator(2**16) for v in (x, y)]
    return {
        "resolution": tuple((v.numerator, v.denominator) for v in exact),
        "resolutionunit": _UNIT_NUMBERS[unit],
    }


def _attach(file: BinaryIO, number: int, code: int, source_order: str, tags: Inner) -> None:
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


def _directory_bytes(tags: Inner, order: str, source_order: str, big: bool, at: int) -> bytes:
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
    size = SIZES[kind]
    unit = 4 if kind in (5, 10) else size
    if swap and unit > 1:
        raw = b"".join(raw[n : n + unit][::-1] for n in range(0, len(raw), unit))
    return raw, len(raw) // size
