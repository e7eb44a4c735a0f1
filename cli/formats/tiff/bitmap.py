"""TIFF of 1 bit a pixel: a mask, which is refused as a picture for having no noise."""

from __future__ import annotations

import logging

from ...status import UnreadableError
from ..limits import Limits
from ..picture import Array, Layout, Picture
from .tags import Directory, Structure


def bitmap(structure: Structure, limits: Limits) -> Picture | None:
    """The one page of a file, as bool, where it has 1 bit; else None."""
    tags = structure.directories[0]
    bits = structure.integers(tags[258]) if 258 in tags else (1,)
    if bits != (1,) or structure.pages != 1 or structure.first(tags, 262, 1) not in (0, 1):
        return None
    width, height = structure.first(tags, 256, 0), structure.first(tags, 257, 0)
    limits.check_pixels(width, height)
    limits.check_expansion(width * height, structure.size)
    _check_strips(structure, tags, width, height)

    def decode(_: int) -> Array:
        pixels = _decoded(structure)
        if pixels.shape != (height, width):
            raise UnreadableError(f"it decodes to {pixels.shape}, its header says {(height, width)}")
        return pixels.astype("?")

    return Picture("TIFF", [Layout((height, width), "|b1")], decode)


def _check_strips(structure: Structure, tags: Directory, width: int, height: int) -> None:
    """Refuse what is not in the file: tifffile takes time and memory for what is declared."""
    if not width or not height or structure.first(tags, 277, 1) != 1 or 322 in tags:
        raise UnreadableError("its size is damaged, or it is stored in tiles or several samples")
    rows = min(structure.first(tags, 278, height), height) or 1
    expected = -(-height // rows)
    if any(code not in tags or tags[code].count != expected for code in (273, 279)):
        raise UnreadableError("the list of where its pixels are is damaged")
    places = zip(structure.integers(tags[273]), structure.integers(tags[279]), strict=True)
    if any(at + count > structure.size for at, count in places):
        raise UnreadableError("the file ends before its pixels do")
    if structure.first(tags, 259, 1) == 1 and sum(structure.integers(tags[279])) < (width + 7) // 8 * height:
        raise UnreadableError("it declares more pixels than it holds")


def _decoded(structure: Structure) -> Array:
    import tifffile

    logger = logging.getLogger("tifffile")  # which tells of tags that have been looked at
    before, logger.disabled = logger.disabled, True
    try:
        structure.file.seek(0)
        with tifffile.TiffFile(structure.file) as tiff:
            return tiff.pages[0].asarray(maxworkers=1)
    finally:
        logger.disabled = before
