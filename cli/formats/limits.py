"""How much a file may declare before any of its pixels are read."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..status import LimitError

MEBI = 2**20


@dataclass(frozen=True)
class Limits:
    """Each refusal names its limit and the option that raises it."""

    pixels: int = (
        178_956_970  # a frame of a compressed format: where Pillow refuses too, so that there is one limit
    )
    frames: int = 32_768
    metadata: int = 64 * MEBI  # bytes of everything that is not pixels
    expansion: int = 1000  # times the file's own size that compressed data may grow to ...
    expansion_floor: int = 256 * MEBI  # ... or to this many bytes, whichever is larger

    def check_pixels(self, width: int, height: int) -> None:
        """Refuse a frame of too many pixels."""
        if width * height > self.pixels:
            raise LimitError(
                f"it declares {width} x {height} = {width * height:,} pixels, more than the limit of "
                f"{self.pixels:,}; raise it with --max-pixels if you trust the file"
            )

    def check_frames(self, count: int) -> None:
        """Refuse too many pages."""
        if count > self.frames:
            raise LimitError(
                f"it has more than {self.frames:,} pages; raise the limit with --max-frames if you "
                "trust the file"
            )

    def check_metadata(self, size: int) -> None:
        """Refuse too many bytes of metadata."""
        if size > self.metadata:
            raise LimitError(
                f"it carries {size:,} bytes of metadata, more than the limit of {self.metadata:,}; "
                "raise it with --max-metadata if you trust the file"
            )

    def check_expansion(self, declared: int, compressed: int) -> None:
        """Refuse compressed data that declares to unpack to far more than it could reasonably hold."""
        if declared > max(self.expansion * compressed, self.expansion_floor):
            raise LimitError(
                f"{compressed:,} compressed bytes declare {declared:,} bytes of pixels, more than "
                f"{self.expansion:,}-fold; raise it with --max-expansion if you trust the file"
            )


def byte_size(shape: tuple[int, ...], itemsize: int) -> int:
    """Bytes of an array."""
    return math.prod(shape) * itemsize
