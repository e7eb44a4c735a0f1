"""The structure of a TIFF file, walked before anything is decoded: directories and their tags.

Strict where the decoder is lenient: a loop, an offset beyond the end or a damaged directory is an
error here, so that no page can go missing in silence.  Never holds more than the limits allow.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from ...status import UnreadableError
from ..limits import Limits

SIZES = dict(zip((*range(1, 14), 16, 17, 18), (1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 8, 8, 8), strict=True))
_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_MAX_TAGS = 4096
RATIONAL = 5


@dataclass(frozen=True)
class Tag:
    """One entry of a directory; its value is where `offset` says."""

    code: int
    type: int
    count: int
    offset: int  # of the value, in the file
    entry: int  # of the entry itself
    inline: bytes | None = None  # the value, where it stands in the entry

    @property
    def size(self) -> int:
        return self.count * SIZES[self.type]


class Directory(dict[int, Tag]):
    """The tags of a page by number, and those that stand there a second time or are of unknown type."""

    def __init__(self, offset: int) -> None:
        super().__init__()
        self.offset = offset  # in the file
        self.repeated: list[Tag] = []
        self.unknown: list[int] = []


@dataclass(frozen=True)
class Structure:
    """A TIFF file's byte order, kind and directories."""

    file: BinaryIO
    size: int
    order: str  # "<" or ">"
    big: bool
    directories: list[Directory]

    @property
    def pages(self) -> int:
        return len(self.directories)

    def raw(self, tag: Tag) -> bytes:
        """A value as it stands in the file."""
        if tag.inline is not None:
            return tag.inline
        self.file.seek(tag.offset)
        return self.file.read(tag.size)

    def integers(self, tag: Tag) -> tuple[int, ...]:
        """A value of integer type."""
        letter = _INTEGERS.get(tag.type)
        if letter is None:
            raise UnreadableError(f"its tag {tag.code} is not an integer")
        return struct.unpack(f"{self.order}{tag.count}{letter}", self.raw(tag))

    def first(self, directory: Directory, code: int, default: int) -> int:
        """The first integer of a tag, or a default where the tag is missing."""
        tag = directory.get(code)
        if tag is None or not tag.count:
            return default
        if tag.inline is None:
            tag = Tag(code, tag.type, 1, tag.offset, tag.entry)
        return self.integers(tag)[0]

    def texts(self, directory: Directory, code: int) -> list[bytes]:
        """The values of bytes or text that a tag has: it may stand there more than once."""
        tags = [t for t in (directory.get(code), *directory.repeated) if t is not None and t.code == code]
        return [self.raw(t) for t in tags if t.type in (1, 2, 7)]

    def inner(self, offset: int) -> Directory:
        """A directory that a tag points to: EXIF or GPS."""
        return _directory(self.file, self.size, self.order, self.big, offset)


def walk(file: BinaryIO, size: int, limits: Limits) -> Structure:
    """Every directory of the main chain."""
    file.seek(0)
    start = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(start[:2])
    if order is None or len(start) < 8:
        raise UnreadableError("its TIFF header is damaged")
    (version,) = struct.unpack_from(order + "H", start, 2)
    big = version == 43
    if version not in (42, 43) or (
        big and (len(start) < 16 or start[4:8] != struct.pack(order + "HH", 8, 0))
    ):
        raise UnreadableError("its TIFF header is damaged")
    (offset,) = struct.unpack_from(order + ("Q" if big else "I"), start, 8 if big else 4)
    offsets = _chain(file, size, order, big, offset, limits)
    directories = []
    metadata = 0
    for offset in offsets:
        directory = _directory(file, size, order, big, offset)
        metadata += sum(tag.size for tag in [*directory.values(), *directory.repeated])
        limits.check_metadata(metadata)
        directories.append(directory)
    if not directories:
        raise UnreadableError("it has no page")
    return Structure(file, size, order, big, directories)


def _chain(file: BinaryIO, size: int, order: str, big: bool, offset: int, limits: Limits) -> list[int]:
    """Where the directories are: counted before any is looked at."""
    offsets: dict[int, None] = {}
    count_format, next_format = struct.Struct(order + "HQ"[big]), struct.Struct(order + "IQ"[big])
    length = 20 if big else 12
    while offset:
        if offset in offsets:
            raise UnreadableError("its pages form a loop")
        offsets[offset] = None
        if len(offsets) > limits.frames:
            limits.check_frames(len(offsets))
        file.seek(min(offset, size))
        start = file.read(count_format.size)
        count = count_format.unpack(start)[0] if len(start) == count_format.size else 0
        if not 0 < count <= _MAX_TAGS:
            raise UnreadableError(f"its page directory at byte {offset:,} is damaged")
        file.seek(offset + count_format.size + length * count)
        following = file.read(next_format.size)
        if len(following) < next_format.size:
            raise UnreadableError("the file ends before its page directory does")
        (offset,) = next_format.unpack(following)
    return list(offsets)


def _directory(file: BinaryIO, size: int, order: str, big: bool, offset: int) -> Directory:
    """The tags of one directory."""
    count_format, entry_format, width, length = ("Q", "HHQ", 8, 20) if big else ("H", "HHI", 4, 12)
    head = struct.calcsize(order + count_format)
    file.seek(min(offset, size))
    start = file.read(head)
    count = struct.unpack(order + count_format, start)[0] if len(start) == head else 0
    body = file.read(count * length) if 0 < count <= _MAX_TAGS else b""
    if not body or len(body) < count * length:
        raise UnreadableError(f"its directory at byte {offset:,} is damaged")
    tags = Directory(offset)
    for n in range(count):
        code, kind, items = struct.unpack_from(order + entry_format, body, n * length)
        if kind not in SIZES:
            tags.unknown.append(code)  # the specification asks readers to skip types they do not know
            continue
        entry = offset + head + n * length
        at = entry + length - width
        inline = None
        if items * SIZES[kind] <= width:
            inline = body[at - offset - head : at - offset - head + items * SIZES[kind]]
        else:
            (at,) = struct.unpack_from(order + "IQ"[big], body, n * length + length - width)
        if at + items * SIZES[kind] > size:
            raise UnreadableError(f"its tag {code} lies beyond the end of the file")
        tag = Tag(code, kind, items, at, entry, inline)
        if tags.setdefault(code, tag) is not tag:
            tags.repeated.append(tag)
    return tags
