"""Pages that are too large to be held: written tile by tile, read by regions as the tiles come."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..picture import Array
from .storage import Storage

TILE = (256, 256)  # where the source has strips, of which tifffile writes none that come one by one
_DESCRIPTION = 270
_READ = 2**24  # bytes of tiles that are read at once
BUFFER = 2**24  # bytes of tiles that are compressed at once


@dataclass(frozen=True)
class Pieces:
    """One page, by a way to read its regions, and its lower resolutions."""

    shape: tuple[int, ...]  # (H, W) or (H, W, samples)
    dtype: Any
    read: Callable[[slice, slice], Array]  # rows and columns
    lower: tuple[Pieces, ...] = ()  # lower resolutions that are within it (SubIFDs)
    behind: tuple[Pieces, ...] = ()  # pages that follow it: lower resolutions, and what a slide has besides
    texts: tuple[bytes, ...] = ()  # of these two, their descriptions
    subfile: int = 1  # and their kind

    @property
    def ndim(self) -> int:
        """2 or 3."""
        return len(self.shape)

    def tiles(self, storage: Storage, order: str = "=") -> Iterator[Array]:
        """Its tiles in the order of the file, those at the edge as large as the others."""
        planes = range(self.shape[2]) if storage.separate and self.ndim == 3 else [None]
        for plane in planes:
            for tile in self._tiles(storage.tile or TILE):
                part = tile if plane is None else tile[..., plane]
                yield part.astype(part.dtype.newbyteorder(order), copy=False)

    def _tiles(self, tile: tuple[int, int]) -> Iterator[Array]:
        import numpy as np

        (height, width), (rows, columns) = self.shape[:2], tile
        one = math.prod(tile) * math.prod(self.shape[2:]) * np.dtype(self.dtype).itemsize
        step = columns * max(1, _READ // one)
        for top in range(0, height, rows):
            for left in range(0, width, step):
                band = self.read(slice(top, min(top + rows, height)), slice(left, min(left + step, width)))
                for at in range(0, band.shape[1], columns):
                    part = band[:, at : at + columns]
                    missing = [(0, rows - part.shape[0]), (0, columns - part.shape[1])]
                    if any(m for _, m in missing):
                        part = np.pad(part, [*missing, *[(0, 0)] * (part.ndim - 2)], mode="edge")
                    yield part


def in_tiles(storage: Storage, warnings: list[str]) -> Storage:
    """How such a page is stored."""
    made = storage
    if storage.tile is None:
        warnings.append(f"its strips are stored as tiles of {TILE[1]} x {TILE[0]}")
        made = replace(made, tile=TILE)
    if storage.depth:
        bits = storage.depth.bit_length() if storage.depth > 16 else storage.depth
        warnings.append(f"its {bits}-bit samples are stored in 16 bits")
        made = replace(made, depth=None)
    return made


def write(writer: Any, page: Pieces, storage: Storage, order: str, options: dict[str, Any], more: Any) -> int:
    """One page, and what belongs to it; returns how many pages follow it."""
    _write(writer, page, storage, order, {**options, **more, "subifds": len(page.lower) or None})
    for each in (*page.lower, *page.behind):
        texts = [(_DESCRIPTION, 2, None, text, True) for text in each.texts]
        own = {"subfiletype": each.subfile, "extratags": texts}
        if each.ndim != page.ndim:
            own |= {"photometric": 2 if each.ndim == 3 else 1, "planarconfig": None, "extrasamples": None}
        _write(writer, each, storage, order, {**options, **own})
    return len(page.behind)


def _write(writer: Any, page: Pieces, storage: Storage, order: str, options: dict[str, Any]) -> None:
    shape = page.shape
    if storage.separate and page.ndim == 3:
        shape = (shape[2], *shape[:2])
    tiles = page.tiles(storage, order)
    writer.write(tiles, shape=shape, dtype=page.dtype, buffersize=BUFFER, **options)
