"""What the pixels of a TIFF page are, how they are stored and where: by its tags, before any is read."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, replace

from ...status import UnreadableError
from ..limits import MEBI, Limits
from ..picture import Layout
from ..refused import DEVELOP
from . import describe
from .storage import COMPRESSIONS, Storage
from .tags import Directory, Structure

RAW_COLOURS = {32803, 34892}  # a camera's mosaic, and what came linear from it
RESAVE = "re-save it with tiffcp or ImageMagick"
NODATA = 42113  # GDAL_NODATA
_REFUSED_KINDS = {  # by a tag that nothing else has
    50706: f"it is camera raw (DNG); {DEVELOP}",
    50752: f"it is camera raw (CR2); {DEVELOP}",
    34412: "it is a Zeiss LSM file; save it as plain TIFF first",
    33629: "it is a MetaMorph STK file, many planes behind one page; save it as plain TIFF first",
    65420: "it is a Hamamatsu NDPI file; save the part you need as plain TIFF first",
}
_PALETTE, _MASK = 3, 4  # photometric interpretations
_REFUSED_COLOURS = {
    _PALETTE: "it has a palette, and averaging palette numbers means nothing; convert it to RGB first",
    _MASK: "it is a transparency mask, not a picture",
    5: "it is separated into inks (CMYK); convert it to RGB first",
    8: "it is in CIE L*a*b*; convert it to RGB first",
    9: "it is in ICC L*a*b*; convert it to RGB first",
    10: "it is in ITU L*a*b*; convert it to RGB first",
    32803: f"it is a camera's raw mosaic; {DEVELOP}",
    34892: f"it is camera raw; {DEVELOP}",
}
_COLOURS = {0: "0 is white", 1: "0 is black", 2: "RGB", 6: "YCbCr"}
_EXTRA_SAMPLES, _UNSPECIFIED = 338, 0
_TRANSPARENCY = (1, 2)  # associated and unassociated alpha


@dataclass(frozen=True)
class Page:
    """One page: what its pixels are, how they are stored, and where, if not as its tags say."""

    layout: Layout
    storage: Storage
    stretched: int | None = None  # bits of samples that become 8 bits
    palette: bool = False  # the samples are numbers of colours
    segments: tuple[tuple[int, ...], tuple[int, ...]] | None = None  # offsets and sizes

    def masked(self) -> Page:
        """The same with a further sample of transparency, which is a page of its own."""
        layout, samples = self.layout, self.layout.samples
        place = (samples,) if layout.extra else ()
        layout = replace(layout, shape=(*layout.shape[:2], samples + 1), alpha=True, transparent=place)
        return replace(self, layout=layout, storage=replace(self.storage, masked=True))

    @property
    def stored(self) -> Layout:
        """The samples that the page itself has."""
        layout, samples = self.layout, self.layout.samples - 1
        if not self.storage.masked:
            return layout
        shape = (*layout.shape[:2], samples) if samples > 1 else layout.shape[:2]
        return replace(layout, shape=shape, alpha=False, transparent=())


def page_of(
    structure: Structure, tags: Directory, limits: Limits, warnings: list[str], *, mask: bool = False
) -> Page:
    """What one page's pixels are and how they are stored; refuses what cannot be kept.

    As a mask it may have a palette, or say that it is one.
    """
    width, height = structure.first(tags, 256, 0), structure.first(tags, 257, 0)
    samples, photometric = structure.first(tags, 277, 1), structure.first(tags, 262, 1)
    if not width or not height or not 1 <= samples <= 4096:
        raise UnreadableError("its size is damaged")
    for code, what in _REFUSED_KINDS.items():
        if code in tags:
            raise UnreadableError(what)
    palette = photometric == _PALETTE
    if photometric in _REFUSED_COLOURS and not (mask and photometric in (_PALETTE, _MASK)):
        raise UnreadableError(_REFUSED_COLOURS[photometric])
    if structure.first(tags, 32997, 1) > 1:
        raise UnreadableError("it is one page of several planes; save a page for each plane")
    depth, dtype = _depth(structure, tags, samples)
    code = structure.first(tags, 259, 1)
    if code not in COMPRESSIONS:
        raise UnreadableError(
            f"its compression (number {code}) is not supported; save it with LZW, deflate or none"
        )
    compression = COMPRESSIONS[code]
    if ((depth == 1 or palette) and samples > 1) or (depth > 1 and compression == "ccitt"):
        raise UnreadableError(
            f"its {samples} samples of {depth} bit{'s' * (depth > 1)} are not supported; {RESAVE}"
        )
    colours = 1 if photometric in (_PALETTE, _MASK) else _colours(photometric, samples, compression)
    extras, kept = _extra_samples(structure, tags, samples, colours, warnings)
    transparent = tuple(colours + n for n, kind in enumerate(extras) if kind in _TRANSPARENCY)
    shape = (height, width) if samples == 1 else (height, width, samples)
    separate = structure.first(tags, 284, 1) == 2 and samples > 1
    if separate and colours == 3 and _frames(structure, tags, shape, warnings):
        colours, transparent = 1, ()
    alpha = bool(transparent)
    layout = Layout(
        shape,
        dtype,
        colours,
        alpha,
        samples - colours - alpha,
        transparent if transparent not in ((), (colours,)) else (),
        full_scale=2**depth - 1 if 8 < depth < 16 else None,
        white_is_zero=photometric == 0,
    )
    storage = Storage(
        compression=compression,
        predictor=structure.first(tags, 317, 1),
        tile=_tile(structure, tags),
        photometric=2 if photometric == 6 else photometric,
        separate=separate,
        extrasamples=kept,
        subfile=structure.first(tags, 254, 0),
        depth=depth if 8 < depth < 16 else None,
    )
    stretched = depth if 1 < depth < 8 and not palette else None
    if stretched:
        warnings.append(f"{depth}-bit samples are stored in 8 bits, {2**depth - 1} as 255")
    segments = _check_data(structure, tags, layout, storage, depth, limits, warnings)
    layout = _with_nodata(structure, tags, layout, stretched, warnings)
    return Page(layout, storage, stretched, palette, segments)


def _depth(structure: Structure, tags: Directory, samples: int) -> tuple[int, str]:
    """Bits of a sample, and NumPy's type that holds them."""
    bits = set(structure.integers(tags[258])[:samples]) if 258 in tags else {1}
    formats = set(structure.integers(tags[339])[:samples]) if 339 in tags else {1}
    if len(bits) != 1 or len(formats) != 1:
        raise UnreadableError("its channels have different depths or types; save each as a page of its own")
    (bit,), (number,) = bits, formats
    letter = {1: "u", 2: "i", 3: "f", 4: "u"}.get(number)
    if letter is None:
        raise UnreadableError("its samples are complex numbers; save magnitude or parts instead")
    if (bit, letter) == (1, "u"):
        return 1, "|b1"
    whole = next((n for n in (8, 16, 32, 64) if n >= bit), 0)
    packed = letter == "u" and bit < 16  # of 17 to 31 bits tifffile takes the bytes in one order only
    if not whole or (bit != whole and not packed) or (letter == "f" and bit == 8):
        raise UnreadableError(f"its depth of {bit} bits is not supported")
    order = "|" if whole == 8 else structure.order
    return bit, f"{order}{letter}{whole // 8}"


def _colours(photometric: int, samples: int, compression: str | None) -> int:
    """How many samples are grey or RGB."""
    if photometric not in _COLOURS or (photometric == 6 and compression != "jpeg"):
        raise UnreadableError(f"its colours (photometric interpretation {photometric}) are not supported")
    colours = 3 if photometric in (2, 6) else 1
    if samples < colours:
        raise UnreadableError(
            f"it says {_COLOURS[photometric]} (PhotometricInterpretation {photometric}) and has {samples} "
            f"sample{'s' * (samples > 1)} a pixel (SamplesPerPixel): one of the two tags is wrong"
        )
    return colours


def _extra_samples(
    structure: Structure, tags: Directory, samples: int, colours: int, warnings: list[str]
) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    """What the samples after the colours are, and what is written of that: None where it is not said."""
    count = samples - colours
    said = structure.integers(tags[_EXTRA_SAMPLES]) if _EXTRA_SAMPLES in tags else ()
    extras = tuple(kind if kind in _TRANSPARENCY else _UNSPECIFIED for kind in said[:count])
    extras += (_UNSPECIFIED,) * (count - len(extras))
    if said and len(said) != count:
        warnings.append(
            f"ExtraSamples (tag 338) describes {len(said)} samples, {count} follow the colours: "
            "what it does not describe is data"
        )
    if not said and colours == 3 and count == 1:
        warnings.append(
            "its fourth sample is not described (no ExtraSamples, tag 338): it is denoised like the others"
        )
    return extras, extras if said or not count else None


def _frames(structure: Structure, tags: Directory, shape: tuple[int, ...], warnings: list[str]) -> bool:
    """Whether the planes of a colour picture are frames that were stored so by accident."""
    found = describe.frames(describe.chosen(structure.texts(tags, 270)), shape)
    if found is False:
        return False
    count = shape[2]
    if found is None:
        warnings.append(
            f"its {count} planes are taken for RGB; if they are {count} frames or channels, --color separate "
            "denoises each by itself, or save them as pages (photometric='minisblack')"
        )
        return False
    warnings.append(
        f"its {count} planes are taken for {count} frames, each denoised, by its description; if they are "
        "colours, save them pixel by pixel (planarconfig='contig')"
    )
    return True


def _with_nodata(
    structure: Structure, tags: Directory, layout: Layout, stretched: int | None, warnings: list[str]
) -> Layout:
    """The layout with the number that GDAL declares as "no value here"."""
    if NODATA not in tags:
        return layout
    text = b"".join(structure.texts(tags, NODATA)[:1]).partition(b"\0")[0].decode("latin-1").strip()
    value = nodata_value(text, layout.dtype)
    if value is None:
        warnings.append(
            f"GDAL_NODATA (tag 42113) is {text[:40]!r}, and no {layout.bits}-bit pixel can be that: "
            "it is not obeyed"
        )
        return layout
    if stretched:
        value = round(value * 255 / (2**stretched - 1))
    return replace(layout, nodata=value)


def nodata_value(text: str, dtype: str) -> float | None:
    """A number in words as a pixel of this type holds it; None where it holds none like it."""
    try:
        number = float(text.replace(",", ".").replace("1.#QNAN", "nan").replace("1.#IND", "nan"))
    except ValueError:
        return None
    if dtype[1] == "f":
        if math.isnan(number):
            return math.nan
        try:
            form = {"2": "<e", "4": "<f", "8": "<d"}[dtype[2]]
            return float(struct.unpack(form, struct.pack(form, number))[0])
        except OverflowError:
            return None
    bits = 8 * int(dtype[2:])
    low, high = (0, 2**bits - 1) if dtype[1] == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return int(number) if math.isfinite(number) and number == int(number) and low <= number <= high else None


def _tile(structure: Structure, tags: Directory) -> tuple[int, int] | None:
    if 322 not in tags and 323 not in tags:
        return None
    tile = structure.first(tags, 323, 0), structure.first(tags, 322, 0)
    if not all(tile):
        raise UnreadableError("its tiles have no size (TileWidth, TileLength)")
    return tile


def _check_data(
    structure: Structure,
    tags: Directory,
    layout: Layout,
    storage: Storage,
    depth: int,
    limits: Limits,
    warnings: list[str],
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Refuse pixels that are not in the file, or would unpack to too much; where they are, if mended."""
    height, width = layout.shape[:2]
    rows = min(structure.first(tags, 278, height), height) or 1
    segment = storage.tile or (rows, width)
    planes = layout.samples if storage.separate else 1
    expected = math.ceil(height / segment[0]) * math.ceil(width / segment[1]) * planes
    itemsize = layout.bits // 8
    declared = math.prod(layout.shape) * itemsize
    one = math.prod(segment) * (1 if storage.separate else layout.samples) * itemsize
    if one > max(4 * declared, 16 * MEBI):
        raise UnreadableError(
            f"its tiles of {segment[1]} x {segment[0]} pixels are far larger than the picture"
        )
    per_row = segment[1] * (1 if storage.separate else layout.samples) * depth
    whole = segment[0] * -(-per_row // 8)
    places, sizes, mended = _segments(structure, tags, storage, expected, whole, warnings)
    if any(at + n > structure.size for at, n in zip(places, sizes, strict=True)):
        raise UnreadableError("the file ends before its pixels do")
    stored = sum(sizes)
    sparse = sum(at == n == 0 for at, n in zip(places, sizes, strict=True)) if sizes else 0
    if sparse:  # as GDAL leaves out what is empty
        warnings.append(
            f"{sparse} of its {len(sizes)} strips or tiles are not stored (sparse): they are what "
            "GDAL_NODATA says, or 0, and stored whole"
        )
    if storage.compression is None and stored < math.prod(layout.shape) * depth // 8 - sparse * whole:
        raise UnreadableError(f"it declares {declared:,} bytes of pixels and holds {stored:,}")
    if storage.compression is not None or sparse:
        limits.check_pixels(width, height)
        limits.check_expansion(declared, min(stored, structure.size))
    return (places, sizes) if mended else None


def _segments(
    structure: Structure, tags: Directory, storage: Storage, expected: int, whole: int, warnings: list[str]
) -> tuple[tuple[int, ...], tuple[int, ...], bool]:
    """Offsets and sizes of strips or tiles, and whether they are other than the tags say."""
    offsets, counts = (324, 325) if storage.tile else (273, 279)
    names = ("TileOffsets", "TileByteCounts") if storage.tile else ("StripOffsets", "StripByteCounts")
    if offsets not in tags:
        raise UnreadableError(f"it does not say where its pixels are ({names[0]} is missing); {RESAVE}")
    if tags[offsets].count < expected or (counts in tags and tags[counts].count < expected):
        raise UnreadableError(
            f"the list of where its pixels are ({names[0]}, {names[1]}) is damaged: {expected} entries are "
            f"needed; {RESAVE}"
        )
    mended = tags[offsets].count > expected or (counts in tags and tags[counts].count > expected)
    if mended:
        warnings.append(f"surplus entries of {names[0]} or {names[1]} are ignored")
    places = structure.integers(tags[offsets])[:expected]
    sizes = structure.integers(tags[counts])[:expected] if counts in tags else ()
    if sizes and (storage.compression is not None or any(sizes) or not any(places)):
        return places, sizes, mended
    if storage.compression is not None and expected > 1:
        raise UnreadableError(f"the table of strip sizes ({names[1]}) is missing; {RESAVE}")
    warnings.append(f"the sizes of its strips ({names[1]}) are missing: they are taken from its shape")
    room = (max(0, structure.size - at) for at in places)
    return places, tuple(r if storage.compression else min(whole, r) for r in room), True
