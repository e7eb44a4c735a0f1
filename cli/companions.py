"""Pictures that go with the input: its mask, its guide, its map of noise levels."""

from __future__ import annotations

from typing import BinaryIO

from .formats.limits import Limits
from .formats.metadata import LYING, orientation
from .formats.picture import Array, Layout, Picture
from .formats.reading import described, format_of, one_error, opened, source
from .formats.tiff_tags import Directory, Structure, walk
from .status import CommandError, UnreadableError, UsageError


def read(option: str, name: str | None, limits: Limits, piped: BinaryIO) -> Array | None:
    """The colours of the one picture in the file that an option names, if it names one."""
    if not name:
        return None
    try:
        with opened(name, limits, piped) as picture:
            return _colours(*_only_page(picture))
    except CommandError as error:
        raise type(error)(f"--{option} {name}: {error}") from error


def read_mask(name: str | None, limits: Limits, piped: BinaryIO) -> Array | None:
    """True where a mask is not black, as (H, W), or as it is for a bare array.

    Masks are seldom stored as pictures are: 1 bit, bool, a palette, black and white as RGB.  Of numbers
    0 is black, also in TIFF whose pages say that 0 is white, since programs that store bool there mean
    True by 1.  Of a palette it is the colour that counts, not its number.
    """
    if not name:
        return None
    try:
        with source(name, piped) as (file, size):
            one_bit = _one_bit_tiff(file, size, limits) if format_of(file) == "TIFF" else None
            if one_bit is not None:
                return one_bit
            samples, layout = _only_page(described(file, size, limits, mask=True))
            colours = _colours(samples, layout)
    except CommandError as error:
        raise type(error)(f"--mask {name}: {error}") from error
    valid: Array = colours != 0
    if layout.colours == 3 or (layout.colours == 0 and layout.as_picture.colours == 3):
        valid = valid[..., :3].any(axis=-1)
    return valid


def check_size(option: str, companion: Array | None, picture: Picture) -> None:
    """Refuse a companion that lies across the picture, and say what a camera's orientation does to it."""
    layout = picture.pages[0].as_picture
    if companion is None or not layout.colours:
        return
    height, width = layout.shape[:2]
    if companion.shape[:2] != (width, height) or height == width:
        return
    across = f"--{option} is {height} x {width} (columns x rows), the picture is stored as {width} x {height}"
    turned = orientation(picture)
    if turned in LYING:
        raise UsageError(
            f"{across} and is only shown upright, by its orientation ({turned}): make the {option} of the "
            "stored picture, or turn the pixels first (for instance: magick in.jpg -auto-orient out.png)"
        )
    raise UsageError(
        f"{across}: they lie across each other; turn the {option} (or the picture) by 90 degrees"
    )


def _only_page(picture: Picture) -> tuple[Array, Layout]:
    if len(picture.pages) > 1:
        raise UnreadableError(f"it has {len(picture.pages)} pages")
    return picture.decode(0), picture.pages[0]


def _colours(samples: Array, layout: Layout) -> Array:
    if layout.colours == 0 or layout.samples == 1:
        return samples
    return samples[..., :3] if layout.colours == 3 else samples[..., 0]


def _one_bit_tiff(file: BinaryIO, size: int, limits: Limits) -> Array | None:
    """The pixels of a TIFF file of 1 bit, which is refused as a picture for having no noise; else None."""
    with one_error("TIFF"):
        structure = walk(file, size, limits)
        tags = structure.directories[0]
        bits = structure.integers(tags[258]) if 258 in tags else (1,)
        if bits != (1,) or structure.pages != 1 or structure.first(tags, 262, 1) not in (0, 1):
            return None
        width, height = structure.first(tags, 256, 0), structure.first(tags, 257, 0)
        limits.check_pixels(width, height)
        limits.check_expansion(width * height, size)
        _check_strips(structure, tags, width, height)
        pixels = _decoded(file)
        if pixels.shape != (height, width):
            raise UnreadableError(f"it decodes to {pixels.shape}, its header says {(height, width)}")
        return pixels.astype("?")


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


def _decoded(file: BinaryIO) -> Array:
    import logging

    import tifffile

    logger = logging.getLogger("tifffile")  # which tells of tags that have been looked at
    before, logger.disabled = logger.disabled, True
    try:
        file.seek(0)
        with tifffile.TiffFile(file) as tiff:
            return tiff.pages[0].asarray(maxworkers=1)
    finally:
        logger.disabled = before
