"""A picture between file and library: pages of samples, what they mean, and what else the file held."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ..status import UsageError

Array = Any  #: a NumPy array; not named, so that this module loads without NumPy

Kind = Literal["icc", "exif", "xmp", "resolution", "orientation", "colour", "implied", "other"]


@dataclass(frozen=True)
class Layout:
    """One page before its pixels are read."""

    shape: tuple[int, ...]  # (H, W), (H, W, samples), or any for a bare array
    dtype: str  # NumPy's name with byte order: "|u1", ">u2", "<f4"
    colours: int = 1  # 1 or 3: how many of the samples are grey or RGB; 0 for a bare array
    alpha: bool = False  # a sample is transparency: that after the colours, unless `transparent` says other
    extra: int = 0  # further samples: bands of a satellite, channels of a microscope, denoised too
    transparent: tuple[int, ...] = ()  # places of transparency among the samples
    full_scale: int | None = None  # the number of full light (4095 of 12 bits), if not the type's largest
    white_is_zero: bool = False  # larger numbers are darker
    nodata: float | None = None  # the number that says "no value here"
    spacing: tuple[float, ...] | None = None  # of pixels along each axis, where radii should follow it
    converted: str = ""  # the type it had, of 32 or 64 bits: no number of it is full light

    @property
    def samples(self) -> int:
        """How many numbers a pixel has."""
        return self.colours + self.alpha + self.extra

    @property
    def apart(self) -> tuple[int, ...]:
        """Places of the samples that are transparency, which is kept."""
        return self.transparent or ((self.colours,) if self.alpha else ())

    @property
    def data(self) -> tuple[int, ...]:
        """Places of the samples that are denoised."""
        return tuple(n for n in range(self.samples) if n not in self.apart)

    @property
    def pixels(self) -> int:
        """How many pixels, or elements of a bare array."""
        return math.prod(self.shape if self.colours == 0 else self.shape[:2])

    @property
    def bits(self) -> int:
        """Bits of a sample."""
        return 8 * int(self.dtype[2:])

    @property
    def kind(self) -> str:
        """ "u", "i", "f" or "b", as NumPy has it."""
        return self.dtype[1]

    @property
    def as_picture(self) -> Layout:
        """A bare array of two axes, or of three the last of which could be colours, as a picture."""
        if (
            self.colours
            or not 2 <= len(self.shape) <= 3
            or (len(self.shape) == 3 and self.shape[2] not in (3, 4))
        ):
            return self
        if len(self.shape) == 2:
            return replace(self, colours=1)
        return replace(self, colours=3, alpha=self.shape[2] == 4)

    @property
    def words(self) -> str:
        """For people: "768 x 512, 16-bit RGB with alpha"."""
        number = {"u": "", "i": "signed ", "f": "floating-point ", "b": ""}[self.kind]
        depth = "1-bit" if self.kind == "b" else f"{self.bits}-bit"
        if self.colours == 0:
            depth = "boolean" if self.kind == "b" else depth
            return f"{' x '.join(map(str, self.shape)) or 'scalar'}, {depth} {number}array".replace("  ", " ")
        colour = "RGB" if self.colours == 3 else "grey"
        alpha = " with alpha" if self.alpha else ""
        extra = f" and {self.extra} more channels" if self.extra else ""
        return f"{self.shape[1]} x {self.shape[0]}, {depth} {number}{colour}{alpha}{extra}"


@dataclass(frozen=True)
class Item:
    """A piece of metadata.

    `content` is what any format can understand: bytes for icc, exif (a TIFF block) and xmp; (x, y,
    unit) with unit "inch", "cm" or "" for resolution; 1 to 8 for orientation; None where there is no such
    form.  `raw` is the piece as it stood in the file, for writing the same format again.
    """

    kind: Kind
    name: str  # for people: "ICC profile", "tEXt chunk (Comment)"
    content: Any = None
    raw: Any = None
    page: int = 0


@dataclass
class Picture:
    """An open picture: its pages are decoded one at a time, when asked for."""

    format: str  # a key of reading.FORMATS
    pages: Sequence[Layout]
    decode: Callable[[int], Array]
    metadata: list[Item] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)  # what reading already changes or leaves out
    encoding: dict[str, Any] = field(default_factory=dict)  # how it was stored, to store it likewise
    # The pages of each volume, in order of z; or of each picture or volume along an axis, by its letter.
    volumes: Callable[[str | None], Sequence[Sequence[int]]] | None = None
    spacing: tuple[float, ...] | None = None  # of the pixels of a volume along (z, y, x)


@dataclass(frozen=True)
class Saving:
    """The user's options for how results are stored."""

    quality: int | None = None  # JPEG and lossy WebP, 1 to 100; None: as the input was
    compression: int = 4  # PNG, 0 to 9: a third of the time of 6, 3 % larger (photographs, 2026-11-23)
    name: str = ""  # of the file, without its folder
    renamed: Mapping[str, str] = field(default_factory=dict)  # files of this run: old name -> new name


def page_of(picture: Picture, number: int) -> tuple[Layout, Array]:
    """One page of a picture, which must have rows and columns."""
    if number > len(picture.pages):
        raise UsageError(f"--page {number} is beyond the last of {len(picture.pages)} pages")
    layout = picture.pages[number - 1]
    if layout.colours == 0 and len(layout.shape) != 2:
        raise UsageError(f"this needs a picture with rows and columns, not {layout.words}")
    return layout, picture.decode(number - 1)


def data(samples: Array, layout: Layout) -> Array:
    """(H, W) or (H, W, C) without alpha: what is denoised; a view where it stands together."""
    if layout.colours == 0 or layout.samples == 1:
        return samples
    places = layout.data
    if len(places) == 1:
        return samples[..., places[0]]
    if places == tuple(range(places[0], places[-1] + 1)):
        return samples[..., places[0] : places[-1] + 1]
    return samples[..., list(places)]


def valued(colour: Array, layout: Layout) -> Array:
    """Of what `data` gives: False where a sample is the number that says "no value here"."""
    import numpy as np

    if layout.nodata is not None and math.isnan(layout.nodata):
        return ~np.isnan(colour)
    return colour != layout.nodata


def plain(samples: Array, layout: Layout) -> Array:
    """A page for formats that know one meaning of numbers: 0 is black, the type's largest is white."""
    import numpy as np

    if not (layout.white_is_zero or layout.full_scale) or layout.kind == "f":
        return samples
    result = samples.copy()
    largest = np.iinfo(samples.dtype).max
    if layout.white_is_zero:
        lowest = np.iinfo(samples.dtype).min
        places = (..., list(layout.data)) if layout.samples > 1 else ...
        # In the type itself: the largest minus what is above the smallest.
        result[places] = (layout.full_scale or largest) - (samples[places] - lowest)
    if layout.full_scale:
        scaled = result.astype(np.float64) * (largest / layout.full_scale)
        result = np.clip(np.rint(scaled), 0, largest).astype(samples.dtype)
    return result
