"""What TIFF pages carry besides pixels: tags copied as they stood, directories put behind the pages."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, BinaryIO

from ...status import UnreadableError
from ..limits import Limits
from ..metadata import ORIENTATION, Exif, orientation_of, split
from ..picture import Item, Saving
from .describe import is_ome, renamed_ome
from .tags import SIZES, Structure, walk

Inner = dict[int, tuple[int, bytes]]  #: a directory: tag number -> (type, value)

_DESCRIPTION, _EXTRA_SAMPLES = 270, 338
_INTEROPERABILITY, _MAKER_NOTE = 40965, 37500
_UNIT_NUMBERS = {"": 1, "inch": 2, "cm": 3}
_LARGEST = 2**32 - 1  # above and below the line of a rational
_RATIONALS = {5: "I", 10: "i"}
_PLACEHOLDERS = {
    34665: 34664,
    34853: 34852,
}  # tifffile writes no directories: theirs take the next lower number
_LONG = 4
_BIG_SIZES = (8, 20)
_CLASSIC_SIZES = (4, 12)


@dataclass
class Afterwards:
    """What is done to a file that tifffile has written, in one walk through its pages."""

    directories: list[tuple[int, int, str, Inner]] = field(default_factory=list)  # page, tag, order, tags
    undescribed: list[int] = field(default_factory=list)  # pages that do not say what their samples are

    def done(self, file: BinaryIO) -> None:
        """Put directories behind the pages, and take the tags out that the input did not have."""
        if not self.directories and not self.undescribed:
            return
        structure = walk(file, file.seek(0, 2), Limits(frames=2**31, metadata=2**62))
        for number, code, order, inner in self.directories:
            _attach(structure, number, code, order, inner)
        for number in self.undescribed:
            _remove(structure, number, _EXTRA_SAMPLES)
        file.seek(0, 2)


@dataclass
class Tags:
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
    def of(cls, items: Sequence[Item], order: str, same: bool, saving: Saving) -> Tags:
        """Sort the metadata of a page into what can be written how."""
        found = cls(order)
        native = [i for i in items if same and i.raw is not None]
        rest = [i for i in items if i not in native]
        taken, found.left = split(rest, ("icc", "xmp", "resolution", "orientation", "exif"))
        for item in native:
            found._native(item, saving)
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

    def _native(self, item: Item, saving: Saving) -> None:
        """A piece as it stood in a TIFF file."""
        if item.raw[0] == "tag":
            _, code, order, kind, raw = item.raw
            raw = swapped(kind, raw, order != self.order)[0]
            if code == _DESCRIPTION and is_ome(raw):
                raw = renamed_ome(raw, saving.renamed, saving.name, self.warnings)
            self._tag(code, kind, raw)
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
            self._tag(code, kind, swapped(kind, raw, exif.order != self.order)[0])
        for code, inner in exif.directories:
            self._directory(code, exif.order, inner)
        if exif.thumbnail:
            self.left.append(Item("other", "EXIF thumbnail"))

    def _tag(self, code: int, kind: int, raw: bytes) -> None:
        """A tag by its bytes.  Of a rational's bytes tifffile takes each half for one: it gets numbers."""
        count: int | None = None
        value: Any = raw
        if kind in _RATIONALS:
            count = len(raw) // SIZES[kind]
            value = struct.unpack(f"{self.order}{2 * count}{_RATIONALS[kind]}", raw)
        self.tags.append((code, kind, count, value, True))

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
    return {"resolution": (_exact(x), _exact(y)), "resolutionunit": _UNIT_NUMBERS[unit]}


def _exact(value: float | Fraction) -> tuple[int, int]:
    """Two numbers of 32 bits whose quotient it is, or the nearest there is."""
    number = min(Fraction(value), Fraction(_LARGEST))
    if max(number.numerator, number.denominator) > _LARGEST:
        number = number.limit_denominator(int(_LARGEST / max(1.0, float(number))))
    return number.numerator, number.denominator


def _attach(structure: Structure, number: int, code: int, source_order: str, tags: Inner) -> None:
    """Append a directory and let the placeholder of its page point to it."""
    file, order, big = structure.file, structure.order, structure.big
    size = file.seek(0, 2)
    entry = structure.directories[number][_PLACEHOLDERS[code]].entry
    at = size + size % 2
    file.write(b"\0" * (at - size) + _directory_bytes(tags, order, source_order, big, at))
    file.seek(entry)
    file.write(struct.pack(order + ("HHQQ" if big else "HHII"), code, 16 if big else _LONG, 1, at))


def _remove(structure: Structure, number: int, code: int) -> None:
    """Take an entry out of a page's directory; what follows it moves up."""
    tags = structure.directories[number]
    if code not in tags:
        return
    file, big = structure.file, structure.big
    width, length = _BIG_SIZES if big else _CLASSIC_SIZES
    counter = structure.order + ("Q" if big else "H")
    head = struct.calcsize(counter)
    file.seek(tags.offset)
    (count,) = struct.unpack(counter, file.read(head))
    file.seek(tags[code].entry + length)
    following = file.read(tags.offset + head + count * length + width - file.tell())
    file.seek(tags[code].entry)
    file.write(following)
    file.seek(tags.offset)
    file.write(struct.pack(counter, count - 1))


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
