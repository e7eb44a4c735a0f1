"""Reading TIFF: the structure is walked by :mod:`tags`, pixels are decoded by tifffile.

Every page is an independent picture.  Tags that do not describe how pixels are stored are copied
as they stand, EXIF and GPS directories included.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, BinaryIO

from ...status import UnreadableError
from ..limits import Limits
from ..metadata import EXIF_DIRECTORIES
from ..picture import Array, Item, Picture
from ..refused import DEVELOP
from . import describe
from . import write as writing
from .codecs import check_segments
from .pages import NODATA, RAW_COLOURS, Page, page_of
from .scale import Scale, scale
from .tags import Directory, Structure, walk

_STORAGE = {
    254, 255, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 288, 289, 317, 320, 322, 323, 324, 325,
    330, 338, 339, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532, 32997, 50674,
}  # fmt: skip
_OF_OLD_NUMBERS = {280: "MinSampleValue", 281: "MaxSampleValue", 291: "GrayResponseCurve",
                   301: "TransferFunction", 340: "SMinSampleValue", 341: "SMaxSampleValue"}  # fmt: skip
_OF_THE_OLD_FILE = {
    400, 33560, 33471, 33628, 33630, 33631, 34118, 34952, 37724, 40965, 40976, 50215,
}  # fmt: skip
_KINDS = {34675: ("icc", "ICC profile"), 700: ("xmp", "XMP"), 274: ("orientation", "orientation")}
_RESOLUTION = {282, 283, 296}
_REDUCED, _SINGLE, _MASK = 1, 2, 4  # bits of NewSubfileType
_CANON_PLACE = 8  # in a file's header
_DESCRIPTION, _SUBDIRECTORIES = 270, 330


def open_picture(file: BinaryIO, size: int, limits: Limits) -> Picture:
    """Walk the directories and describe the pages; pixels are read when asked for."""
    return _open(file, size, limits, mask=False)


def open_mask(file: BinaryIO, size: int, limits: Limits) -> Picture:
    """The same, with a palette or on a page for masks too; a palette's colours are then the pixels."""
    return _open(file, size, limits, mask=True)


def open_stack(file: BinaryIO, size: int, limits: Limits, offsets: Sequence[int]) -> Picture:
    """The pages of one image, by where their directories are: its pixels are read elsewhere, by regions."""
    structure = _walked(file, size, limits)
    at = {tags.offset: tags for tags in structure.directories}
    if not set(offsets) <= set(at):
        raise UnreadableError("its pages are damaged")
    warnings: list[str] = []
    pages, items = _described(structure, [at[o] for o in offsets], limits, warnings)
    if any(page.stretched for page in pages):
        raise UnreadableError("its samples of less than 8 bits cannot be read by regions; save it in 8 bits")
    stored = [page.storage for page in pages]
    encoding: dict[str, Any] = {"order": structure.order, "big": structure.big, "pages": stored}
    encoding["scale"] = _scale(structure, at[offsets[0]])
    layouts = [page.layout for page in pages]
    return Picture("TIFF", layouts, _elsewhere, items, list(dict.fromkeys(warnings)), encoding)


def _scale(structure: Structure, tags: Directory) -> Scale:
    """How large the pixels are."""
    known = writing.resolution(structure, tags) if {282, 283} <= set(tags) else None
    return scale(describe.chosen(structure.texts(tags, _DESCRIPTION)), known)


def _elsewhere(number: int) -> Array:
    raise NotImplementedError(f"page {number} is read by regions")


def _walked(file: BinaryIO, size: int, limits: Limits) -> Structure:
    structure = walk(file, size, limits)
    file.seek(_CANON_PLACE)
    if file.read(2) == b"CR":
        raise UnreadableError(f"it is camera raw (CR2); {DEVELOP}")
    return structure


def _described(
    structure: Structure, chosen: Sequence[Directory], limits: Limits, warnings: list[str], mask: bool = False
) -> tuple[list[Page], list[Item]]:
    """What the pixels of pages are, and all else that they carry."""
    pages = [page_of(structure, tags, limits, warnings, mask=mask) for tags in chosen]
    items = [
        item
        for number, (tags, page) in enumerate(zip(chosen, pages, strict=True))
        for item in _items(structure, tags, number, page, warnings)
    ]
    return pages, items


def _open(file: BinaryIO, size: int, limits: Limits, *, mask: bool) -> Picture:
    structure = _walked(file, size, limits)
    warnings: list[str] = []
    full = _full_pages(structure, limits, warnings)
    chosen = [structure.directories[n] for n in full]
    pages, items = _described(structure, chosen, limits, warnings, mask)
    text = describe.chosen(structure.texts(chosen[0], _DESCRIPTION))
    _check_imagej(structure, text)
    count = len(pages)
    if count > 1 and (contradiction := describe.contradiction(text, count)):
        warnings.append(contradiction)
    decoder = Decoder(structure, chosen, pages)
    if not mask:
        _obey_masks(structure, full, decoder, limits, warnings)
    stored = [page.storage.writable(warnings) for page in pages]
    encoding = {"order": structure.order, "big": structure.big, "pages": stored}
    layouts = [replace(page.layout, dtype="|b1") if page.palette else page.layout for page in pages]
    return Picture(
        "TIFF",
        layouts,
        decoder.decode,
        items,
        list(dict.fromkeys(warnings)),
        encoding,
        lambda along: describe.volumes(text, count, along),
        _scale(structure, chosen[0]).volume,
    )


refusal = writing.refusal
write = writing.write


def _full_pages(structure: Structure, limits: Limits, warnings: list[str]) -> list[int]:
    """The pages that are pictures of their own, not thumbnails or masks of others."""
    kinds = [structure.first(d, 254, 0) for d in structure.directories]
    chosen = [n for n, kind in enumerate(kinds) if not kind & (_REDUCED | _MASK)]
    if not chosen:
        chosen = [0]
    left = structure.pages - len(chosen) - sum(kind & ~_SINGLE == _MASK for kind in kinds)
    inner = 0
    for n in chosen:
        tags = structure.directories[n]
        if _SUBDIRECTORIES in tags:
            inner += tags[_SUBDIRECTORIES].count
            limits.check_frames(inner + structure.pages)
            _refuse_raw(structure, tags)
    if left:
        warnings.append(f"{left} reduced page{'s' * (left > 1)} left out: they repeat the full pages")
    if inner:
        warnings.append("sub-pages (a pyramid of reduced copies) are left out")
    return chosen


def _obey_masks(
    structure: Structure, full: list[int], decoder: Decoder, limits: Limits, warnings: list[str]
) -> None:
    """Let mask pages (of GDAL, for instance) be the transparency of the picture before them."""
    left = 0
    for number, tags in enumerate(structure.directories):
        if structure.first(tags, 254, 0) & ~_SINGLE != _MASK or number in full:
            continue
        place = max((n for n, page in enumerate(full) if page < number), default=0)
        page, size = decoder.pages[place], tuple(structure.first(tags, code, 0) for code in (257, 256))
        if page.layout.apart or place in decoder.masks or page.layout.shape[:2] != size:
            left += 1
            continue
        found = page_of(structure, tags, limits, warnings, mask=True)
        if found.layout.samples > 1 or found.palette:
            left += 1
            continue
        decoder.masks[place] = Decoder(structure, [tags], [found])
        decoder.pages[place] = page.masked()
    if left:
        warnings.append(
            f"{left} mask page{'s' * (left > 1)} left out, and not obeyed: give --mask with a file of its own"
        )


def _refuse_raw(structure: Structure, tags: Directory) -> None:
    """Refuse a page that is the thumbnail of a larger one within it: camera raw."""
    area = structure.first(tags, 256, 0) * structure.first(tags, 257, 0)
    for offset in structure.integers(tags[_SUBDIRECTORIES]):
        try:
            inner = structure.inner(offset)
            raw = structure.first(inner, 262, 1) in RAW_COLOURS
            larger = structure.first(inner, 256, 0) * structure.first(inner, 257, 0) > area
        except UnreadableError:
            continue  # damaged, and left out anyway
        if raw or larger:
            raise UnreadableError(f"it is camera raw behind a thumbnail; {DEVELOP}")


def _items(
    structure: Structure, tags: Directory, number: int, page: Page, warnings: list[str]
) -> Iterable[Item]:
    """The tags that do not describe storage."""
    order = structure.order
    if {282, 283} <= set(tags):
        yield Item("resolution", "resolution", writing.resolution(structure, tags), None, number)
    if tags.unknown:
        warnings.append(f"TIFF tags of unknown type are left out: {', '.join(map(str, tags.unknown))}")
    for tag in [*tags.values(), *tags.repeated]:
        code = tag.code
        if code in _STORAGE or code in _RESOLUTION:
            continue
        if code in _OF_THE_OLD_FILE:
            warnings.append(f"TIFF tag {code} is left out: it points into the old file or repeats its pixels")
        elif code in _OF_OLD_NUMBERS and page.stretched:
            warnings.append(f"{_OF_OLD_NUMBERS[code]} (tag {code}) is left out: the numbers have changed")
        elif code in EXIF_DIRECTORIES:
            try:
                offset = structure.integers(tag)[0] if tag.count == 1 else 0
                inner = {c: (t.type, structure.raw(t)) for c, t in structure.inner(offset).items()}
            except UnreadableError:
                warnings.append(f"its {EXIF_DIRECTORIES[code]} (tag {code}) is damaged and left out")
                continue
            yield Item("other", EXIF_DIRECTORIES[code], None, ("directory", code, order, inner), number)
        else:
            kind, name = _KINDS.get(code, ("other", f"TIFF tag {code}"))
            raw = structure.raw(tag)
            if code == NODATA and page.stretched and page.layout.nodata is not None:
                raw = b"%d\0" % int(page.layout.nodata)
            content: Any = raw if kind in ("icc", "xmp") else None
            if kind == "orientation":
                content = structure.first(tags, code, 1)
            yield Item(kind, name, content, ("tag", code, order, tag.type, raw), number)  # type: ignore[arg-type]


def _check_imagej(structure: Structure, text: bytes) -> None:
    """ImageJ stores a large stack behind one page; the other planes would be lost."""
    images = describe.imagej_planes(text)
    if images > structure.pages:
        raise UnreadableError(
            f"it is an ImageJ stack of {images} planes behind {structure.pages} page; "
            "save it as one page per plane"
        )


class Decoder:
    """Reads the pixels of pages, all through one open file: opening it anew looks at every page."""

    def __init__(self, structure: Structure, directories: list[Directory], pages: list[Page]) -> None:
        self._structure, self._directories, self.pages = structure, directories, pages
        self.masks: dict[int, Decoder] = {}  # by the page whose last sample they are
        self._numbers = {d.offset: n for n, d in enumerate(structure.directories)}
        self._tiff: Any = None

    def decode(self, number: int) -> Array:
        """The pixels of one page, (H, W) or (H, W, samples)."""
        import numpy as np

        array = self._decode(number)
        if self.pages[number].palette:
            return self._colours(array, self._directories[number])
        if number not in self.masks:
            return array
        full = np.iinfo(array.dtype).max if array.dtype.kind == "u" else 1
        opaque = np.where(self.masks[number].decode(0) != 0, full, 0).astype(array.dtype)
        return np.concatenate([array.reshape(*opaque.shape, -1), opaque[..., None]], axis=-1)

    def _colours(self, numbers: Array, directory: Directory) -> Array:
        """True where the colour of a number is not black."""
        import numpy as np

        table = self._structure.integers(directory[320]) if 320 in directory else ()
        if not table or len(table) % 3 or int(numbers.max()) >= len(table) // 3:
            raise UnreadableError("its palette (ColorMap) is damaged")
        lit = np.asarray(table).reshape(3, -1) != 0
        return np.any(lit, axis=0, keepdims=True)[0, numbers.astype(np.intp)]

    def _decode(self, number: int) -> Array:
        """The samples of one page as they are stored."""
        import numpy as np

        page, directory = self.pages[number], self._directories[number]
        layout = page.stored
        with _Complaints() as complaints:
            found = self._found(self._numbers[directory.offset])
            complaints.messages.clear()  # of tags, which have been looked at already
            if found.offset != directory.offset:
                raise UnreadableError("its pages are damaged")
            if page.segments is not None:
                found.dataoffsets, found.databytecounts = page.segments
            check_segments(self._structure, directory, page, found)
            array: Array = found.asarray(maxworkers=1)
        if complaints.messages:
            raise UnreadableError(complaints.messages[0])
        if page.storage.separate:
            array = np.moveaxis(array, 0, -1)
        expected = np.dtype(layout.dtype).newbyteorder("=")
        if array.shape != layout.shape or array.dtype.newbyteorder("=") != expected:
            raise UnreadableError(
                f"it decodes to {array.shape} {array.dtype}, its header says {layout.words}"
            )
        if page.stretched:
            largest = 2**page.stretched - 1
            array = ((array.astype(np.uint16) * 255 + largest // 2) // largest).astype(np.uint8)
        return array

    def _found(self, number: int) -> Any:
        import tifffile

        if self._tiff is None:
            self._structure.file.seek(0)
            self._tiff = tifffile.TiffFile(self._structure.file)
        return self._tiff.pages[number]


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
