"""Images of which parts can be read, by whatever process: `look` says what is in a file."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ..formats.picture import Array, Layout
from ..formats.tiff.scale import Scale
from ..status import CommandError, UnreadableError, UsageError, reason_of

_MARKS = ("zarr.json", ".zarray", ".zgroup")  # what makes a folder a Zarr store
_METADATA = (*_MARKS, ".zattrs", ".zmetadata")
_UNKNOWN = Scale()
_PATIENCE = 30.0  # seconds for what was being read when another chunk could not be
_ENDS = 2**16  # bytes at either end of a file that are part of its fingerprint


def is_store(path: str) -> bool:
    """Whether it is a folder that holds a Zarr array or group."""
    return os.path.isdir(path) and any(os.path.isfile(os.path.join(path, mark)) for mark in _MARKS)


@dataclass(frozen=True)
class Source:
    """An image, where it is; what is open stays in the process that opened it."""

    path: str
    kind: str  # "zarr", "npy" or "tiff"
    arrays: tuple[str, ...] = (
        "",
    )  # names of the full resolution, then of the lower ones; "" without a group
    axes: tuple[str, ...] = ()  # names, where the file has them: t, c, z, y, x, or s for samples
    attributes: str = "{}"  # JSON of the group's, or of the array's
    modified: int = 0  # when, so that a process that lives longer opens another state anew
    layout: Layout | None = None  # what the samples of a TIFF are
    scale: Scale = _UNKNOWN  # how large its pixels are
    carried: tuple[str, ...] = ()  # names of what a TIFF holds besides pixels, their sizes and a description
    warnings: tuple[str, ...] = ()  # of what is left out anyway

    def array(self, level: int = 0) -> Any:
        """Something to be sliced; each process opens it once."""
        return _opened(self, level)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the full resolution."""
        return tuple(self.array().shape)

    def read(self, region: tuple[Any, ...], level: int = 0) -> Array:
        """The pixels of a region; whatever a decoder raises is one error that names the place."""
        import numpy as np

        try:
            return np.asarray(self.array(level)[region])
        except (CommandError, MemoryError):
            raise
        except Exception as error:
            _let_end()
            at = ", ".join(f"{s.start}:{s.stop}" if isinstance(s, slice) else str(s) for s in region)
            raise UnreadableError(f"the pixels [{at}] cannot be read: {reason_of(error)}") from None

    def fingerprint(self) -> dict[str, Any]:
        """What tells this state of the source from another."""
        if self.kind != "zarr":
            return _of_file(self.path)
        names, texts = hashlib.sha256(), hashlib.sha256()
        files = size = 0
        root = os.path.join(self.path, self.arrays[0])
        for name, found in _files(root):
            if os.path.basename(name) in _METADATA:
                with open(os.path.join(root, name), "rb") as file:
                    texts.update(file.read())
                continue
            files, size = files + 1, size + found.st_size
            names.update(f"{name} {found.st_size} {found.st_mtime_ns}\n".encode())
        return {"files": files, "bytes": size, "chunks": names.hexdigest(), "metadata": texts.hexdigest()}

    def missing(self) -> tuple[int, int]:
        """How many chunks of a Zarr array are not stored, and how many there should be."""
        if self.kind != "zarr":
            return 0, 0
        array = self.array()
        unit = array.shards or array.chunks
        every = math.prod(-(-n // u) for n, u in zip(array.shape, unit, strict=True))
        folder = os.path.join(self.path, self.arrays[0])
        stored = 0
        for path, found in _files(folder):
            name = os.path.basename(path)
            if name in _METADATA or name.endswith(".partial"):
                continue
            if found.st_size == 0:  # which Zarr reads as the fill value, sometimes
                raise UnreadableError(
                    f"its chunk {path} is an empty file: what wrote or copied it was stopped; copy it anew, "
                    "or remove it where the fill value is meant"
                )
            stored += 1
        return max(0, every - stored), every


def _files(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """Names and facts of all files below, in the order of their names."""
    for here, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(here, name)
            yield os.path.relpath(path, folder), os.stat(path)


def _of_file(path: str) -> dict[str, Any]:
    found = os.stat(path)
    ends = hashlib.sha256()
    with open(path, "rb") as file:
        ends.update(file.read(_ENDS))
        file.seek(max(0, found.st_size - _ENDS))
        ends.update(file.read())
    return {"bytes": found.st_size, "modified": found.st_mtime_ns, "ends": ends.hexdigest()}


_OPEN: dict[tuple[Source, int], tuple[Any, Any]] = {}  # arrays, and files that they read from


def _opened(source: Source, level: int) -> Any:
    """From what this process has open already, where it has."""
    key = (source, level)
    if key not in _OPEN:
        _OPEN[key] = _open(source, level)
    return _OPEN[key][0]


def forget() -> None:
    """Close what is open."""
    for _, file in _OPEN.values():
        if file is not None:
            file.close()
    _OPEN.clear()


_ENDING = threading.Lock()


def _let_end() -> None:
    """Wait for the other chunks of a read that failed: Zarr leaves them, and Python complains at its end."""
    import asyncio

    async def others() -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:
            await asyncio.wait(left, timeout=_PATIENCE)

    with _ENDING, contextlib.suppress(Exception):  # never in place of the error
        import_module("zarr.core.sync").sync(others())


def _open(source: Source, level: int) -> tuple[Any, Any]:
    if source.kind == "npy":
        import numpy as np

        try:
            return np.load(source.path, mmap_mode="r", allow_pickle=False), None
        except ValueError as error:
            words = f"it is no NPY file whose pixels are all there ({reason_of(error)})"
            raise UnreadableError(words) from None
    zarr = needed("zarr")
    if source.kind == "zarr":
        return zarr.open_array(os.path.join(source.path, source.arrays[level]), mode="r"), None
    from tifffile import TiffFile

    file = TiffFile(source.path)
    image = file.series[0]
    array = zarr.open_array(image.aszarr(level=level), mode="r")
    order = tuple(image.axes.lower().index(name) for name in source.axes)
    return array if order == tuple(range(len(order))) else Turned(array, order), file


class Turned:
    """An array with its axes in another order, to be sliced by a number or a slice for each."""

    def __init__(self, array: Any, order: tuple[int, ...]) -> None:
        self._array, self._order = array, order
        self.shape = tuple(array.shape[a] for a in order)
        self.chunks = tuple(array.chunks[a] for a in order)
        self.ndim, self.dtype = len(order), array.dtype

    def __getitem__(self, index: tuple[Any, ...]) -> Array:
        own: dict[int, Any] = dict(zip(self._order, index, strict=True))
        found = self._array[tuple(own[a] for a in range(self.ndim))]
        kept = [a for a in self._order if isinstance(own[a], slice)]
        return found.transpose([sorted(kept).index(a) for a in kept])


def needed(name: str) -> Any:
    """A package of the extra `dask`."""
    try:
        return import_module(name)
    except ImportError as error:
        raise UsageError(f"{name} is needed for this: pip install 'nlmeans[dask]' ({error})") from None
