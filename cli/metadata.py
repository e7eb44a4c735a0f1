"""What is carried from the input to the output, what each format can carry, and what is said of the rest."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import replace
from io import BytesIO

from .picture import Item, Picture

ORIENTATION = 274  # the tag, in TIFF and in EXIF blocks
SHORT = 3  # TIFF's 16-bit unsigned type


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
    """The EXIF block to write: the carried one, or one that only says the orientation."""
    if "exif" in taken:
        block: bytes = taken["exif"].content
        return block
    if "orientation" in taken and taken["orientation"].content != 1:
        return exif_with(taken["orientation"].content)
    return None


def exif_with(orientation: int) -> bytes:
    """The smallest EXIF block that says how to turn the picture."""
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


def exif_directories(block: bytes) -> list[tuple[int, str, dict[int, tuple[int, bytes]]]]:
    """The EXIF and GPS directories of a block: (pointing tag, byte order, tag -> (type, value))."""
    from .limits import Limits
    from .tiff_tags import walk

    structure = walk(BytesIO(block), len(block), Limits())
    found = []
    for code in (34665, 34853):
        tag = structure.directories[0].get(code)
        if tag is not None:
            inner = structure.inner(structure.integers(tag)[0])
            found.append((code, structure.order, {c: (t.type, structure.raw(t)) for c, t in inner.items()}))
    return found


def dots_per_inch(resolution: tuple[float, float, str]) -> tuple[float, float] | None:
    """Pixels per inch along x and y; None where only their ratio is known."""
    x, y, unit = resolution
    return {"inch": (x, y), "cm": (2.54 * x, 2.54 * y)}.get(unit)


def lost(items: Iterable[Item], format_name: str) -> list[str]:
    """The warning for what a format cannot take, or none."""
    names = sorted({i.name for i in items})
    return [f"{format_name} output leaves out: {', '.join(names)}"] if names else []
