"""How the pixels of a TIFF page are stored, for reading and for writing alike."""

from __future__ import annotations

from dataclasses import dataclass, replace

COMPRESSIONS = {
    1: None,
    2: "ccitt",
    3: "ccitt",
    4: "ccitt",
    5: "lzw",
    7: "jpeg",
    8: "zlib",
    32773: "packbits",
    32946: "zlib",
    33003: "jpeg2000",
    33004: "jpeg2000",
    33005: "jpeg2000",
    34712: "jpeg2000",
    34887: "lerc",
    34925: "lzma",
    50000: "zstd",
    50001: "webp",
    50002: "jpegxl",
    52546: "jpegxl",
}
#: Compressions that are read but not written: lossless deflate takes their place.
PICTURES = {
    "ccitt": "CCITT",
    "jpeg": "JPEG",
    "jpeg2000": "JPEG 2000",
    "jpegxl": "JPEG XL",
    "lerc": "LERC",
    "webp": "WebP",
}
_TILE_STEP = 16  # sides of tiles are multiples of it


@dataclass(frozen=True)
class Storage:
    """How one page is stored."""

    compression: str | None = "zlib"
    predictor: int = 1
    tile: tuple[int, int] | None = None
    photometric: int = 1
    separate: bool = False
    extrasamples: tuple[int, ...] | None = ()  # None: the file does not say
    subfile: int = 0
    depth: int | None = None  # bits of a sample, where the array's type has more
    masked: bool = False  # the last sample, transparency, is a page of its own

    def writable(self, warnings: list[str]) -> Storage:
        """The same as this program writes it; what differs is warned of."""
        made = self
        if self.compression in PICTURES:
            warnings.append(f"its {PICTURES[self.compression]} pixels are stored with lossless deflate")
            made = replace(made, compression="zlib", predictor=1)
        if self.tile and any(side % _TILE_STEP for side in self.tile):
            rounded = tuple(-(-side // _TILE_STEP) * _TILE_STEP for side in self.tile)
            old, new = (f"{t[1]} x {t[0]}" for t in (self.tile, rounded))
            warnings.append(f"its tiles of {old} are stored as {new}: sides must be multiples of 16")
            made = replace(made, tile=(rounded[0], rounded[1]))
        if self.depth and self.depth > 8 and made.compression:
            warnings.append(f"{self.depth}-bit samples are stored packed, without compression")
            made = replace(made, compression=None, predictor=1)
        return made
