"""The store that is written: whole shards only, and which of them are there."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

from ..formats.picture import Array
from ..status import UnwritableError
from . import ome
from .source import Source, needed

_SHARD, _CHUNK = {1: 2**20, 2: 1024, 3: 256}, {1: 2**16, 2: 256, 3: 64}  # sides, where the source has none
_TILES = (128, 256, 512, 1024)  # sides that are kept
_WHOLE = {"write_empty_chunks": True}  # or a shard equal to the fill value would look undone


@dataclass(frozen=True)
class Target:
    """A Zarr array, or an OME-Zarr group with its resolutions, like those of the source."""

    path: str
    source: Source
    arrays: tuple[str, ...]  # their names in the group, the full resolution first; "" without a group
    dtype: str  # of the pixels

    def make(self, grid: tuple[int, ...]) -> None:
        """What of the store is not there yet: groups and arrays without pixels."""
        zarr = needed("zarr")
        try:
            if self.arrays[0]:
                zarr.open_group(self.path, mode="a", zarr_format=self._format())
            for level in range(len(self.arrays)):
                if not _has_array(self._folder(level)):
                    self._make_array(zarr, level, grid)
        except OSError as error:
            raise UnwritableError(f"{self.path}: {error.strerror or error}") from None

    def _format(self) -> int:
        return int(self.source.array().metadata.zarr_format) if self.source.kind == "zarr" else 3

    def _make_array(self, zarr: Any, level: int, grid: tuple[int, ...]) -> None:
        from zarr.errors import ContainsArrayError

        array = self.source.array(level)
        given: dict[str, Any] = {"store": self._folder(level), "config": _WHOLE, "dtype": self.dtype}
        with contextlib.suppress(ContainsArrayError):  # another part was quicker, with the same
            if self.source.kind == "zarr":
                self._like(zarr, array, level, given)
                return
            chunks, shards = _cut(array, grid, self.source)
            names = self.source.axes or None
            zarr.create_array(shape=array.shape, chunks=chunks, shards=shards, dimension_names=names, **given)

    def _like(self, zarr: Any, array: Any, level: int, given: dict[str, Any]) -> None:
        """An array as that of the source: its chunks, shards, compression and attributes."""
        version = array.metadata.zarr_format
        more: dict[str, Any] = {"compressors": array.compressors, "filters": array.filters}
        if version == 3:
            more["dimension_names"] = array.metadata.dimension_names
        more["chunk_key_encoding"] = (
            array.metadata.chunk_key_encoding
            if version == 3
            else {"name": "v2", "separator": array.metadata.dimension_separator}
        )
        attributes = dict(array.attrs) if self.arrays[0] else {}
        zarr.create_array(
            shape=array.shape,
            chunks=array.chunks,
            shards=array.shards,
            fill_value=array.fill_value,
            order=array.order if version == 2 else None,
            zarr_format=version,
            attributes=attributes,
            **given,
            **more,
        )

    def _folder(self, level: int) -> str:
        return os.path.join(self.path, self.arrays[level]) if self.arrays[level] else self.path

    def array(self, level: int = 0) -> Any:
        """The array that is written."""
        folder = self._folder(level)
        names = [os.path.join(folder, name) for name in ("zarr.json", ".zarray")]
        found = [os.stat(name).st_mtime_ns for name in names if os.path.exists(name)]
        if not found:
            raise UnwritableError(
                f"{folder} is gone, or not to be seen from here: workers need the same paths"
            )
        return _opened(folder, found[0])

    def unit(self, level: int = 0) -> tuple[int, ...]:
        """Sides of what is written at once, a shard or a chunk without shards."""
        array = self.array(level)
        return tuple(array.shards or array.chunks)

    def has(self, region: tuple[slice, ...], level: int = 0) -> bool:
        """Whether all shards of a region are there; after a power failure files may be empty."""
        array, unit = self.array(level), self.unit(level)
        ranges = [range(s.start // u, -(-s.stop // u)) for s, u in zip(region, unit, strict=True)]
        keys = (array.metadata.encode_chunk_key(index) for index in product(*ranges))
        return all(_has_bytes(os.path.join(self._folder(level), key)) for key in keys)

    def write(self, region: tuple[slice, ...], pixels: Array, level: int = 0) -> None:
        """Whole shards."""
        try:
            self.array(level)[region] = pixels
        except OSError as error:
            raise UnwritableError(f"{self.path}: {error.strerror or error}") from None

    def finish(self, parameters: dict[str, Any]) -> None:
        """The names of axes and resolutions, and that all is there: what readers look for comes last."""
        zarr = needed("zarr")
        found = ome.attributes(self.source, len(self.arrays))
        try:
            node = zarr.open(self.path, mode="r+")
            node.attrs.update({**found, "nlmeans": parameters})
        except OSError as error:
            raise UnwritableError(f"{self.path}: {error.strerror or error}") from None


def _cut(array: Any, grid: tuple[int, ...], source: Source) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Chunks and shards of a new array: whole in its samples, one at a time along other axes.

    The tiles of a TIFF are its chunks, where they are of a common size.
    """
    chunks, shards = [], []
    for a, n in enumerate(array.shape):
        if a in grid:
            own = array.chunks[a] if source.kind == "tiff" and len(grid) == 2 else 0
            side = own if own in _TILES else _CHUNK[len(grid)]
            chunk = min(side, -(-n // 16) * 16)
            many = min(_SHARD[len(grid)] // chunk, -(-n // chunk))
        else:
            chunk, many = n if not source.axes or source.axes[a] == "s" else 1, 1
        chunks.append(chunk)
        shards.append(many * chunk)
    return tuple(chunks), tuple(shards)


def _has_bytes(path: str) -> bool:
    try:
        return os.stat(path).st_size > 0
    except OSError:
        return False


def _has_array(folder: str) -> bool:
    if os.path.exists(os.path.join(folder, ".zarray")):
        return True
    try:
        with open(os.path.join(folder, "zarr.json"), "rb") as file:
            return bool(json.load(file).get("node_type") == "array")
    except FileNotFoundError:
        return False


@lru_cache(maxsize=64)
def _opened(folder: str, modified: int) -> Any:
    return needed("zarr").open_array(folder, mode="r+").with_config(_WHOLE)  # opening ignores config=
