"""TIFF: the structure is walked by :mod:`tiff_tags`, pixels are decoded and encoded by tifffile.

Every page is an independent picture.  Tags that do not describe how pixels are stored are copied
as they stand, EXIF and GPS directories included.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from typing import Any, BinaryIO

from ..status import UnreadableError
from . import tiff_write
from .limits import MEBI, Limits
from .metadata import EXIF_DIRECTORIES
from .picture import Array, Item, Layout, Picture
from .tiff_storage import Storage
from .tiff_tags import Directory, Structure, walk

COMPRESSIONS = {
    1: None,
    5: "lzw",
    7: "jpeg",
    8: "zlib",
    32773: "packbits",
    32946: "zlib",
    34925: "lzma",
    50000: "zstd",
}
_STORAGE = {
    254, 255, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 280, 281, 284, 288, 289, 317, 320, 322, 323,
    324, 325, 330, 338, 339, 340, 341, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532,
    32997,
}  # fmt: skip
_OF_THE_OLD_FILE = {
    400, 33560, 33471, 33628, 33630, 33631, 34118, 34952, 37724, 40965, 40976, 50215,
}  # fmt: skip
_REFUSED_KINDS = {  # by a tag that nothing else has
    50706: "it is camera raw (DNG); develop it first",
    34412: "it is a Zeiss LSM file; save it as plain TIFF first",
    33629: "it is a MetaMorph STK file, many planes behind one page; save it as plain TIFF first",
    65420: "it is a Hamamatsu NDPI file; save the part you need as plain TIFF first",
}
_KINDS = {34675: ("icc", "ICC profile"), 700: ("xmp", "XMP"), 274: ("orientation", "orientation")}
_RESOLUTION = {282, 283, 296}
_REDUCED, _MASK = 1, 4
_REFUSED_COLOURS = {
    3: "it has a palette, and averaging palette numbers means nothing; convert it to RGB first",
    4: "it is a transparency mask, not a picture",
    5: "it is separated into inks (CMYK); convert it to RGB first",
    8: "it is in CIE L*a*b*; convert it to RGB first",
    9: "it is in ICC L*a*b*; convert it to RGB first",
    10: "it is in ITU L*a*b*; convert it to RGB first",
    32803: "it is a camera's raw mosaic; develop it first",
    34892: "it is camera raw; develop it first",
}


def open_picture(file: BinaryIO, size: int, limits: Limits) -> Picture:
    """Walk the directories and describe the pages; pixels are read when asked for."""
    structure = walk(file, size, limits)
    warnings: list[str] = []
    chosen = _full_pages(structure, warnings)
    described = [_page(structure, structure.directories[n], limits, warnings) for n in chosen]
    items = [
        item
        for page, n in enumerate(chosen)
        for item in _items(structure, structure.directories[n], page, warnings)
    ]
    _check_imagej(structure, items)

    def decode(page: int) -> Array:
        offset = structure.directories[chosen[page]].offset
        return _decode(file, chosen[page], offset, described[page])

    encoding = {"order": structure.order, "big": structure.big, "pages": [s for _, s in described]}
    layouts = [layout for layout, _ in described]
    return Picture("TIFF", layouts, decode, items, list(dict.fromkeys(warnings)), encoding)


refusal = tiff_write.refusal
write = tiff_write.write


def _full_pages(structure: Structure, warnings: list[str]) -> list[int]:
    """The pages that are pictures of their own, not thumbnails or masks of others."""
    kinds = [structure.first(d, 254, 0) for d in structure.directories]
    chosen = [n for n, kind in enumerate(kinds) if not kind & (_REDUCED | _MASK)]
    if not chosen:
        chosen = [0]
    left = structure.pages - len(chosen)
    if left:
        warnings.append(f"{left} reduced or mask page{'s' * (left > 1)} left out: they repeat the full pages")
    if any(330 in structure.directories[n] for n in chosen):
        warnings.append("sub-pages (a pyramid of reduced copies) are left out")
    return chosen


def _page(
    structure: Structure, tags: Directory, limits: Limits, warnings: list[str]
) -> tuple[Layout, Storage]:
    """What one page's pixels are and how they are stored; refuses what cannot be kept."""
    width, height = structure.first(tags, 256, 0), structure.first(tags, 257, 0)
    samples, photometric = structure.first(tags, 277, 1), structure.first(tags, 262, 1)
    if not width or not height or not 1 <= samples <= 4096:
        raise UnreadableError("its size is damaged")
    for code, what in _REFUSED_KINDS.items():
        if code in tags:
            raise UnreadableError(what)
    if photometric in _REFUSED_COLOURS:
        raise UnreadableError(_REFUSED_COLOURS[photometric])
    if structure.first(tags, 32997, 1) > 1:
        raise UnreadableError("it is one page of several planes; save a page for each plane")
    dtype = _dtype(structure, tags, samples, warnings)
    code = structure.first(tags, 259, 1)
    if code not in COMPRESSIONS:
        raise UnreadableError(
            f"its compression (number {code}) is not supported; save it with LZW, deflate or none"
        )
    compression = COMPRESSIONS[code]
    colours = 3 if photometric in (2, 6) else 1
    if photometric not in (0, 1, 2, 6) or samples < colours or (photometric == 6 and compression != "jpeg"):
        raise UnreadableError(f"its colours (photometric interpretation {photometric}) are not supported")
    extrasamples = structure.integers(tags[338]) if 338 in tags else ()
    extrasamples = (extrasamples + (0,) * samples)[: samples - colours]
    alpha = bool(extrasamples) and extrasamples[0] in (1, 2)
    shape = (height, width) if samples == 1 else (height, width, samples)
    layout = Layout(shape, dtype, colours, alpha, samples - colours - alpha)
    storage = Storage(
        compression=compression,
        predictor=structure.first(tags, 317, 1),
        tile=_tile(structure, tags),
        photometric=2 if photometric == 6 else photometric,
        separate=structure.first(tags, 284, 1) == 2,
        extrasamples=extrasamples,
        subfile=structure.first(tags, 254, 0),
    )
    _check_data(structure, tags, layout, storage, limits)
    if compression == "jpeg":
        warnings.append("its JPEG-compressed pixels are stored with lossless deflate")
    return layout, storage


def _dtype(structure: Structure, tags: Directory, samples: int, warnings: list[str]) -> str:
    """NumPy's type of the samples."""
    bits = set(structure.integers(tags[258])[:samples]) if 258 in tags else {1}
    formats = set(structure.integers(tags[339])[:samples]) if 339 in tags else {1}
    if len(bits) != 1 or len(formats) != 1:
        raise UnreadableError("its channels have different depths or types")
    (bit,), (number,) = bits, formats
    if bit == 1:
        raise UnreadableError("it has 1 bit per pixel, black or white: there is no noise level to remove")
    letter = {1: "u", 2: "i", 3: "f", 4: "u"}.get(number)
    if letter is None:
        raise UnreadableError("its samples are complex numbers; save magnitude or parts instead")
    whole = next((n for n in (8, 16, 32, 64) if n >= bit), 0)
    if not whole or (letter == "f" and bit not in (16, 32, 64)) or (letter == "i" and bit != whole):
        raise UnreadableError(f"its depth of {bit} bits is not supported")
    if whole != bit:
        warnings.append(f"{bit}-bit samples are stored in {whole} bits")
    order = "|" if whole == 8 else structure.order
    return f"{order}{letter}{whole // 8}"


def _tile(structure: Structure, tags: Directory) -> tuple[int, int] | None:
    if 322 not in tags and 323 not in tags:
        return None
    tile = structure.first(tags, 323, 0), structure.first(tags, 322, 0)
    if not all(tile):
        raise UnreadableError("its tiles have no size")
    return tile


def _check_data(
    structure: Structure, tags: Directory, layout: Layout, storage: Storage, limits: Limits
) -> None:
    """Refuse pixels that are not in the file, or would unpack to too much."""
    height, width = layout.shape[:2]
    offsets, counts = (324, 325) if storage.tile else (273, 279)
    if offsets not in tags or counts not in tags:
        raise UnreadableError("it does not say where its pixels are")
    rows = min(structure.first(tags, 278, height), height) or 1
    segment = storage.tile or (rows, width)
    planes = layout.samples if storage.separate else 1
    expected = math.ceil(height / segment[0]) * math.ceil(width / segment[1]) * planes
    if not tags[offsets].count == tags[counts].count == expected:
        raise UnreadableError("the list of where its pixels are is damaged")
    itemsize = layout.bits // 8
    declared = math.prod(layout.shape) * itemsize
    sizes = structure.integers(tags[counts])
    places = structure.integers(tags[offsets])
    if any(at + n > structure.size for at, n in zip(places, sizes, strict=True)):
        raise UnreadableError("the file ends before its pixels do")
    one = math.prod(segment) * (1 if storage.separate else layout.samples) * itemsize
    if one > max(4 * declared, 16 * MEBI):
        raise UnreadableError(
            f"its tiles of {segment[1]} x {segment[0]} pixels are far larger than the picture"
        )
    stored = sum(sizes)
    if storage.compression is None:
        bits = structure.first(tags, 258, 1)
        if stored < math.prod(layout.shape) * bits // 8:
            raise UnreadableError(f"it declares {declared:,} bytes of pixels and holds {stored:,}")
        return
    limits.check_pixels(width, height)
    limits.check_expansion(declared, min(stored, structure.size))


def _items(structure: Structure, tags: Directory, page: int, warnings: list[str]) -> Iterable[Item]:
    """The tags that do not describe storage."""
    order = structure.order
    if {282, 283} <= set(tags):
        yield Item("resolution", "resolution", tiff_write.resolution(structure, tags), None, page)
    if tags.unknown:
        warnings.append(f"TIFF tags of unknown type are left out: {', '.join(map(str, tags.unknown))}")
    for tag in [*tags.values(), *tags.repeated]:
        code = tag.code
        if code in _STORAGE or code in _RESOLUTION:
            continue
        if code in _OF_THE_OLD_FILE:
            warnings.append(f"TIFF tag {code} is left out: it points into the old file or repeats its pixels")
        elif code in EXIF_DIRECTORIES:
            offset = structure.integers(tag)[0] if tag.count == 1 else 0
            inner = {c: (t.type, structure.raw(t)) for c, t in structure.inner(offset).items()}
            yield Item("other", EXIF_DIRECTORIES[code], None, ("directory", code, order, inner), page)
        else:
            kind, name = _KINDS.get(code, ("other", f"TIFF tag {code}"))
            raw = structure.raw(tag)
            content: Any = raw if kind in ("icc", "xmp") else None
            if kind == "orientation":
                content = structure.first(tags, code, 1)
            yield Item(kind, name, content, ("tag", code, order, tag.type, raw), page)  # type: ignore[arg-type]


def _check_imagej(structure: Structure, items: list[Item]) -> None:
    """ImageJ stores a large stack behind one page; the other planes would be lost."""
    for item in items:
        if item.name == "TIFF tag 270" and item.raw[4].startswith(b"ImageJ="):
            for line in item.raw[4].split(b"\n"):
                if line.startswith(b"images=") and line[7:].strip(b"\0\r ").isdigit():
                    images = int(line[7:].strip(b"\0\r "))
                    if images > structure.pages:
                        raise UnreadableError(
                            f"it is an ImageJ stack of {images} planes behind {structure.pages} page; "
                            "save it as one page per plane"
                        )


def _decode(file: BinaryIO, number: int, offset: int, described: tuple[Layout, Storage]) -> Array:
    """The pixels of one page, (H, W) or (H, W, samples)."""
    import numpy as np
    import tifffile

    layout, storage = described
    with _Complaints() as complaints:
        file.seek(0)
        with tifffile.TiffFile(file) as tiff:
            page = tiff.pages[number]
            complaints.messages.clear()  # of tags, which have been looked at already
            array: Array = page.asarray(maxworkers=1)
    if complaints.messages or page.offset != offset:
        raise UnreadableError((complaints.messages or ["its pages are damaged"])[0])
    if storage.separate and layout.samples > 1:
        array = np.moveaxis(array, 0, -1)
    if array.shape != layout.shape or array.dtype.newbyteorder("=") != np.dtype(layout.dtype).newbyteorder(
        "="
    ):
        raise UnreadableError(f"it decodes to {array.shape} {array.dtype}, its header says {layout.words}")
    return array


class _Complaints(logging.Handler):
    """Collects what tifffile only logs: a page it could not decode whole is an error here."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())

    def __enter__(self) -> _Complaints:
        self._logger = logging.getLogger("tifffile")
        self._propagate, self._logger.propagate = self._logger.propagate, False
        self._logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)
        self._logger.propagate = self._propagate
