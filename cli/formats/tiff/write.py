"""Writing TIFF: pages as they come, stored as the input was, with its tags copied byte for byte."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any, BinaryIO, Literal

from ..metadata import lost
from ..picture import Array, Item, Layout, Picture, Saving
from . import pieces
from .carry import Afterwards, Tags
from .storage import Storage
from .tags import RATIONAL, Directory, Structure, Tag

_MASK: Any = 4  # of PhotometricInterpretation and NewSubfileType
_BARE: Any = {"software": False, "metadata": None, "contiguous": False}  # nothing of tifffile's own
_UNITS = {1: "", 2: "inch", 3: "cm"}
_CLASSIC_LIMIT = 2**32 - 2**25  # tifffile's own rule


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
    """A number of pixels per unit; some programs write it as another type than the rational it should be."""
    raw = structure.raw(tag)
    form = {3: "H", 4: "I", RATIONAL: "II", 10: "ii", 11: "f", 12: "d"}.get(tag.type)
    if form is None or len(raw) != struct.calcsize(structure.order + form):
        return Fraction(1)
    above, *below = struct.unpack(structure.order + form, raw)
    if not math.isfinite(above):
        return Fraction(1)
    return max(Fraction(0), Fraction(above) / ((below or (1,))[0] or 1))


def write(file: BinaryIO, pages: Iterable[Array], like: Picture, saving: Saving) -> list[str]:
    """Store pages and what can be kept of the metadata; returns warnings for the rest."""
    import numpy as np
    import tifffile

    same = like.format == "TIFF"
    order: Literal["<", ">"] = _order(like) if same else "<"
    big = bool(like.encoding.get("big")) if same else _needs_big(like)
    items: dict[int, list[Item]] = {}
    for item in like.metadata:
        items.setdefault(item.page, []).append(item)
    left: list[Item] = []
    warnings: list[str] = []
    afterwards = Afterwards()
    masks = 0
    with tifffile.TiffWriter(file, bigtiff=big, byteorder=order) as writer:
        for number, page in enumerate(pages if same else _planes(pages, like)):
            storage = like.encoding["pages"][number] if same else _storage(like.pages[0].as_picture)
            tags = Tags.of(items.get(number, ()), order, same, saving)
            left += tags.left
            warnings += tags.warnings
            afterwards.directories += [(number + masks, *d) for d in tags.directories]
            if storage.extrasamples is None:
                afterwards.undescribed.append(number + masks)
            if isinstance(page, pieces.Pieces):
                more = {**tags.options, "extratags": tags.tags}
                masks += pieces.write(writer, page, storage, order, _options(storage, page), more)
                continue
            mask = page[..., -1] != 0 if storage.masked else None
            if mask is not None:
                page = page[..., 0] if page.shape[-1] == 2 else page[..., :-1]
            if storage.separate and page.ndim == 3:
                page = np.moveaxis(page, -1, 0)
            if page.dtype.byteorder == {"<": ">", ">": "<"}[order]:
                page = page.astype(page.dtype.newbyteorder(order))
            writer.write(page, **_options(storage, page), **tags.options, extratags=tags.tags)
            if mask is not None:
                writer.write(mask, photometric=_MASK, subfiletype=_MASK, compression="zlib", **_BARE)
                masks += 1
    afterwards.done(file)
    return lost(left, "TIFF") + list(dict.fromkeys(warnings))


def _order(like: Picture) -> Literal["<", ">"]:
    """The byte order of the input; packed samples are packed from the processor's own order only."""
    found: Literal["<", ">"] = like.encoding["order"]
    return "<" if any(storage.depth for storage in like.encoding["pages"]) else found


def _planes(pages: Iterable[Array], like: Picture) -> Iterator[Array]:
    """The pages; a bare array of three axes is one page for each of its planes."""
    for page in pages:
        if page.ndim == 3 and not like.pages[0].as_picture.colours:
            yield from page
        else:
            yield page


def _options(storage: Storage, page: Array) -> dict[str, Any]:
    """tifffile's words for how a page is stored."""
    lossless, predictor = storage.compression, storage.predictor
    if predictor > 1:
        predictor = 3 if page.dtype.kind == "f" else 2
    return {
        "photometric": storage.photometric,
        "planarconfig": ("separate" if storage.separate else "contig") if page.ndim == 3 else None,
        "extrasamples": storage.extrasamples,
        "compression": lossless,
        "predictor": predictor if predictor > 1 and lossless else None,
        "tile": storage.tile,
        "subfiletype": storage.subfile,
        "bitspersample": storage.depth if page.dtype.kind == "u" and page.dtype.itemsize == 2 else None,
        **_BARE,
    }


def _storage(layout: Layout) -> Storage:
    """How to store what comes from another format: losslessly."""
    kinds = tuple(2 if n in layout.apart else 0 for n in range(layout.colours, layout.samples))
    photometric = 2 if layout.colours == 3 else 1
    if layout.full_scale and layout.kind != "f":  # packed, which tifffile does without compression only
        depth = layout.full_scale.bit_length()
        return Storage(None, photometric=photometric, extrasamples=kinds, depth=depth)
    predictor = 3 if layout.kind == "f" else 2
    return Storage("zlib", predictor, photometric=photometric, extrasamples=kinds)


def _needs_big(like: Picture) -> bool:
    return sum(math.prod(p.shape) * p.bits // 8 for p in like.pages) > _CLASSIC_LIMIT
