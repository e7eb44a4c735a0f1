"""How the pixels of a TIFF page are stored, for reading and for writing alike."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Storage:
    """How one page is stored."""

    compression: str | None = "zlib"
    predictor: int = 1
    tile: tuple[int, int] | None = None
    photometric: int = 1
    separate: bool = False
    extrasamples: tuple[int, ...] = ()
    subfile: int = 0
