"""What is carried from the input to the output, what each format can carry, and warnings of the rest."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace
from io import BytesIO

from .limits import Limits
from .picture import Array, Item, Picture
from .tiff.tags import walk

ORIENTATION = 274  # the tag, in TIFF and in EXIF blocks
LYING = (5, 6, 7, 8)  # orientations whose rows and columns are exchanged when they are shown
SHORT = 3  # TIFF's 16-bit unsigned type
EXIF_DIRECTORIES = {34665: "EXIF", 34853: "GPS"}  # by the tag that points to them
_NOT_CARRIED = {
    *range(254, 270),
    273,
    274,
    *range(277, 285),
    296,
    317,
    *range(320, 348),
    *EXIF_DIRECTORIES,
    *range(512, 533),
}


def stripped(picture: Picture) -> Picture:
    """The picture without private metadata: colour and orientation stay, or it would look different."""
    kept = [i for i in picture.metadata if i.kind in ("icc", "colour", "implied", "orientation")]
    turned = [orientation_of(i.content) for i in picture.metadata if i.kind == "exif"]
    kept += [orientation_item(n) for n in turned if n != 1]
    return replace(picture, metadata=kept)


def orientation_item(orientation: int) -> Item:
    """An orientation of 1 to 8 as a piece of metadata."""
    return Item("orientation", "orientation", content=orientation)


def split(items: Iterable[Item], kinds: Iterable[str]) -> tuple[dict[str, Item], list[Item]]:
    """For a format that takes these kinds: the item to write of each kind, and the items it cannot take."""
    taken: dict[str, Item] = {}
    left = []
    for item in items:
        if item.kind in kinds and item.content is not None and item.kind not in taken:
            taken[item.kind] = item
        elif item.kind != "implied":
            left.append(item)
    return taken, left


def exif_of(taken: dict[str, Item]) -> bytes | None:
    """The EXIF block to write: the carried one, or one with the orientation only."""
    if "exif" in taken:
        block: bytes = taken["exif"].content
        return block
    if "orientation" in taken and taken["orientation"].content != 1:
        return exif_with(taken["orientation"].content)
    return None


def exif_with(orientation: int) -> bytes:
    """The smallest EXIF block with an orientation."""
    entry = struct.pack(">HHIHH", ORIENTATION, SHORT, 1, orientation, 0)
    return b"MM\0*" + struct.pack(">IH", 8, 1) + entry + struct.pack(">I", 0)


def orientation_of(block: bytes) -> int:
    """The orientation an EXIF block declares, 1 where it declares none or is damaged."""
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    try:
        if order is None:
            return 1
        (start,) = struct.unpack_from(order + "I", block, 4)
        (count,) = struct.unpack_from(order + "H", block, start)
        for n in range(count):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", block, start + 2 + 12 * n)
            if (tag, kind) == (ORIENTATION, SHORT):
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def orientation(picture: Picture, page: int = 0) -> int:
    """How a page has to be turned to stand upright: 1 to 8, as EXIF counts; 1 is upright already."""
    for item in picture.metadata:
        if item.kind == "orientation" and item.page == page and item.content in range(1, 9):
            turn: int = item.content
            return turn
        if item.kind == "exif" and item.content is not None and (turn := orientation_of(item.content)) != 1:
            return turn
    return 1


def upright(samples: Array, orientation: int) -> Array:
    """Rows and columns as they are to be shown: a view."""
    if orientation in LYING:
        samples = samples.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    return samples


@dataclass(frozen=True)
class Exif:
    """An EXIF block taken apart: what TIFF keeps in its page, and the directories beside it."""

    order: str
    tags: list[tuple[int, int, bytes]]  # (number, type, value) of the first directory
    directories: list[tuple[int, dict[int, tuple[int, bytes]]]]  # (pointing tag, number -> (type, value))
    thumbnail: bool

    @classmethod
    def of(cls, block: bytes) -> Exif:
        """Take a block apart; one that is damaged is an UnreadableError."""
        structure = walk(BytesIO(block), len(block), Limits())
        first = structure.directories[0]
        directories = []
        for code in EXIF_DIRECTORIES:
            if code in first:
                inner = structure.inner(structure.integers(first[code])[0])
                directories.append((code, {c: (t.type, structure.raw(t)) for c, t in inner.items()}))
        tags = [(c, t.type, structure.raw(t)) for c, t in first.items() if c not in _NOT_CARRIED]
        return cls(structure.order, tags, directories, thumbnail=structure.pages > 1)


def dots_per_inch(resolution: tuple[float, float, str]) -> tuple[float, float] | None:
    """Pixels per inch along x and y; None where only their ratio is known."""
    x, y, unit = resolution
    return {"inch": (x, y), "cm": (2.54 * x, 2.54 * y)}.get(unit)


def lost(items: Iterable[Item], format_name: str) -> list[str]:
    """The warning for what a format cannot take, or none."""
    names = sorted({i.name for i in items})
    return [f"{format_name} output leaves out: {', '.join(names)}"] if names else []
