"""Images of which parts can be read: Zarr and OME-Zarr, NPY by memory map, TIFF by its tiles or strips."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..formats.npy import SIGNATURE
from ..formats.picture import Array
from ..status import CommandError, UnreadableError, UsageError

_MARKS = ("zarr.json", ".zarray", ".zgroup")  # what makes a folder a Zarr store
_METADATA = (*_MARKS, ".zattrs", ".zmetadata")
#: Codecs that read numbers and run nothing: that of pickles, for one, is none of them.
_CODECS = {
    *("bytes", "endian", "transpose", "sharding_indexed", "crc32c", "crc32", "adler32", "fletcher32"),
    *("blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd", "shuffle", "bitround", "delta"),
    *("fixedscaleoffset", "packbits", "quantize"),
}
_ENDS = 2**16  # bytes at either end of a file that are part of its fingerprint


def is_store(path: str) -> bool:
    """Whether it is a folder that holds a Zarr array or group."""
    return os.path.isdir(path) and any(os.path.isfile(os.path.join(path, mark)) for mark in _MARKS)


@dataclass(frozen=True)
class Source:
    """An image, where it is; what is open stays in the process that opened it."""

    path: str
    kind: str  # "zarr", "npy" or "tiff"
    arrays: tuple[str, ...] = ("",)  # of a group: the full resolution, then the lower ones
    axes: tuple[str, ...] = ()  # names, where the file has them: t, c, z, y, x, or s for samples
    attributes: str = "{}"  # JSON of the group's, or of the array's
    modified: int = 0  # when, so that a process that lives longer opens another state anew

    @classmethod
    def of(cls, path: str) -> Source:
        """Look at what a path names."""
        if is_store(path):
            return _zarr(path)
        try:
            with open(path, "rb") as file:
                start = file.read(8)
        except OSError as error:
            raise UnreadableError(f"it cannot be opened: {error.strerror}") from None
        if start.startswith(SIGNATURE):
            return cls(path, "npy", modified=os.stat(path).st_mtime_ns)
        if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return _tiff(path)
        raise UnreadableError("into a store go Zarr stores, TIFF and NPY files; this is none of them")

    def array(self, level: int = 0) -> Any:
        """Something to be sliced; each process opens it once."""
        return _opened(self, level)

    def read(self, region: tuple[Any, ...], level: int = 0) -> Array:
        """The pixels of a region; whatever a decoder raises is one error that names the place."""
        import numpy as np

        try:
            return np.asarray(self.array(level)[region])
        except (CommandError, MemoryError):
            raise
        except Exception as error:
            at = ", ".join(f"{s.start}:{s.stop}" if isinstance(s, slice) else str(s) for s in region)
            detail = " ".join(str(error).split())[:200] or type(error).__name__
            raise UnreadableError(f"the pixels [{at}] cannot be read: {detail}") from None

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
        names = (os.path.basename(name) for name, _ in _files(folder))
        stored = sum(name not in _METADATA and not name.endswith(".partial") for name in names)
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


def _open(source: Source, level: int) -> tuple[Any, Any]:
    if source.kind == "npy":
        import numpy as np

        return np.load(source.path, mmap_mode="r", allow_pickle=False), None
    zarr = needed("zarr")
    if source.kind == "zarr":
        return zarr.open_array(os.path.join(source.path, source.arrays[level]), mode="r"), None
    from tifffile import TiffFile

    file = TiffFile(source.path)
    return zarr.open_array(file.series[0].levels[0].aszarr(), mode="r"), file


def needed(name: str) -> Any:
    """A package of the extra `dask`."""
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        raise UsageError(f"{name} is needed for this: pip install 'nlmeans[dask]' ({error})") from None


# --- what is in a file -----------------------------------------------------------------------


def _zarr(path: str) -> Source:
    """An array, or the full resolution of an OME-Zarr image with the lower ones."""
    zarr = needed("zarr")
    try:
        node = zarr.open(path, mode="r")
        attributes = dict(node.attrs)
    except Exception as error:
        detail = " ".join(str(error).split())
        raise UnreadableError(f"it is no Zarr store that can be read ({detail})") from None
    if isinstance(node, zarr.Array):
        names = getattr(node.metadata, "dimension_names", None) or ()
        axes = tuple(names) if names and all(names) else ()
        return _checked(Source(path, "zarr", ("",), axes, json.dumps(attributes)), node)
    images = attributes.get("ome", attributes).get("multiscales")
    if not images:
        inside = ", ".join(sorted(name for name, _ in node.members())[:8]) or "nothing"
        raise UnreadableError(
            f"it is a group without an OME-Zarr image (it holds {inside}); name one in it, as in {path}/0"
        )
    first = images[0]
    axes = tuple(a["name"] if isinstance(a, dict) else a for a in first.get("axes", ()))
    levels = tuple(d["path"] for d in first["datasets"])
    if any(os.path.isabs(p) or ".." in p.split("/") for p in levels):
        raise UnreadableError("it names a resolution outside of itself")
    source = Source(path, "zarr", levels, axes, json.dumps(attributes))
    return _checked(source, source.array())


def _checked(source: Source, array: Any) -> Source:
    """The source, if its names of axes fit, and nothing but known codecs is asked to read it."""
    if source.axes and len(source.axes) != len(array.shape):
        raise UnreadableError(f"it names {len(source.axes)} axes, and has {len(array.shape)}")
    if array.dtype.kind not in "iuf":
        raise UnreadableError(f"it holds {array.dtype}; pixels are integers or floating-point numbers")
    for level in range(len(source.arrays)):
        unknown = sorted(set(_codecs(source.array(level).metadata.to_dict())) - _CODECS)
        if unknown:
            raise UnreadableError(f"it is stored with {', '.join(unknown)}, which this program does not run")
    return source


def _codecs(described: Any) -> Iterator[str]:
    """The names of all codecs in the description of an array, also of those within others."""
    if not isinstance(described, dict):
        return
    every = [described.get("compressor"), *(described.get("filters") or ()), *(described.get("codecs") or ())]
    for codec in filter(None, every):
        known = codec if isinstance(codec, dict) else codec.to_dict() if hasattr(codec, "to_dict") else {}
        known = known or codec.get_config()  # of numcodecs
        yield str(known.get("name") or known.get("id")).removeprefix("numcodecs.")
        inside = known.get("configuration") or {}
        yield from _codecs(inside)
        yield from _codecs({"codecs": inside.get("index_codecs")})


def _tiff(path: str) -> Source:
    """The one image of a TIFF file, of pages of one size and type; lower resolutions are left out."""
    from tifffile import TiffFile

    needed("zarr")
    try:
        with TiffFile(path) as file:
            shapes = [series.shape for series in file.series]
            axes = file.series[0].axes
    except Exception as error:
        raise UnreadableError(f"it is damaged, or no TIFF that can be read ({error})") from None
    if len(shapes) > 1:
        listed = ", ".join(" x ".join(map(str, shape)) for shape in shapes[:4])
        raise UnreadableError(
            f"its pages are {len(shapes)} images of different sizes or types ({listed}), and a store holds "
            "one: give each page a file of its own"
        )
    names = tuple(axis.lower() for axis in axes)
    return Source(path, "tiff", ("",), names, modified=os.stat(path).st_mtime_ns)
