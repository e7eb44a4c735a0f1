"""NIfTI: volumes with their place in space; one page for each volume of a series.

The header is checked by our own code first, then nibabel reads it.  Arrays are (Z, Y, X): as the file stores
them, X fastest.  Of numbers that the header scales the scaled ones are denoised, and stored as float32: put
back into the integers of the file they would be rounded to its steps.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Iterable
from io import BytesIO
from typing import Any, BinaryIO

from ...status import UnreadableError, UnwritableError
from ..limits import Limits, byte_size
from ..picture import Array, Item, Layout, Picture, Saving

_GZIP = b"\x1f\x8b"
# by the size that the header declares: place and length of `dim`, of `datatype`, of the magic word
_VERSIONS = {348: ("8h", 40, 70, 344, b"n+1\0"), 540: ("8q", 16, 12, 4, b"n+2\0")}
_TYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
_NOT_READ = {1: "1 bit", 32: "complex numbers", 1792: "complex numbers", 128: "RGB", 2304: "RGBA"}
_PLACES = {348: (76, "8f", 108, "3f"), 540: (104, "8d", 168, "q2d")}  # pixdim; vox_offset, slope, intercept


def open_picture(file: BinaryIO, size: int, limits: Limits) -> Picture:
    """Check the header and describe the volumes; their numbers are read when asked for."""
    header = _Header(_start(file, 540))
    declared = byte_size(header.shape, int(header.stored[2:]))
    limits.check_frames(header.volumes)
    limits.check_metadata(max(header.offset, 0))
    if header.zipped:
        limits.check_expansion(declared + header.offset, size)
    elif declared > size - header.offset:
        raise UnreadableError(f"it declares {declared:,} bytes of numbers and has {size - header.offset:,}")
    nibabel = package(UnreadableError)
    kind = nibabel.Nifti1Image if header.number == 1 else nibabel.Nifti2Image
    opened: list[Any] = []

    def image() -> Any:
        if not opened:
            file.seek(0)
            stream = gzip.GzipFile(fileobj=file) if header.zipped else file
            opened.append(kind.from_stream(stream))
        return opened[0]

    def decode(page: int) -> Array:
        import numpy as np

        proxy = image().dataobj
        part = proxy[(..., page)] if header.volumes > 1 else proxy
        found = np.asanyarray(part).reshape(header.grid).astype(header.dtype, copy=False)
        return found.T

    layout = Layout(header.grid[::-1], header.dtype, colours=0, spacing=header.spacing)
    encoding = {"image": image, "shape": header.shape, "zipped": header.zipped}
    items = [Item("other", "place in space and voxel sizes")]
    return Picture("NIfTI", [layout] * header.volumes, decode, items, header.warnings, encoding)


def refusal(name: str, layout: Layout, count: int) -> str | None:
    """Why NIfTI cannot hold pages like this; None when it can."""
    if layout.dtype[1:] == "f2":
        return "NIfTI has no floating point of 16 bits; give --dtype float32"
    return None


def write(file: BinaryIO, pages: Iterable[Array], like: Picture, saving: Saving) -> list[str]:
    """Store in the space of the input: its header, but for the type and scaling of the numbers."""
    import numpy as np

    if like.format != "NIfTI":
        raise UnwritableError("NIfTI says where a volume lies, which this input does not: name a .npy")
    package(UnwritableError)
    source = like.encoding["image"]()
    columns = [page.T for page in pages]
    found = np.stack(columns, axis=-1) if len(columns) > 1 else columns[0]
    found = found.reshape(like.encoding["shape"])
    header = source.header.copy()
    header.set_data_dtype(found.dtype)
    image = type(source)(found, None, header)
    image.header.set_slope_inter(1, 0)
    memory = BytesIO()
    image.to_stream(memory)
    packed = saving.name.lower().endswith(".gz") if saving.name else like.encoding["zipped"]
    file.write(gzip.compress(memory.getvalue(), 6, mtime=0) if packed else memory.getvalue())
    return []


def package(error: type[Exception]) -> Any:
    """The package nibabel, or what to install."""
    try:
        import nibabel
    except ImportError:
        raise error("NIfTI files need the package nibabel: pip install 'nlmeans[medical]'") from None
    return nibabel


def _start(file: BinaryIO, count: int) -> bytes:
    """The first bytes, unpacked where the file is packed, and whether it is."""
    file.seek(0)
    data = file.read(4096)
    if data[:2] != _GZIP:
        return data[:count]
    try:
        return _GZIP + zlib.decompressobj(31).decompress(data, count)
    except zlib.error:
        raise UnreadableError("its gzip data are damaged") from None


class _Header:
    """What the header says, checked."""

    def __init__(self, data: bytes) -> None:
        self.zipped = data[:2] == _GZIP
        data = data[2:] if self.zipped else data
        sizes = {order: struct.unpack(order + "i", data[:4])[0] for order in "<>" if len(data) >= 4}
        order = next((o for o, n in sizes.items() if n in _VERSIONS), None)
        if order is None:
            raise UnreadableError("it is a gzip file, but holds no NIfTI; unpack it first")
        layout, dims, kind, magic, word = _VERSIONS[sizes[order]]
        if len(data) < sizes[order]:
            raise UnreadableError("the file ends within its header")
        found = data[magic : magic + 4]
        if found in (b"ni1\0", b"ni2\0"):
            raise UnreadableError("its numbers are in another file (.hdr and .img); save it as one .nii file")
        if found != word:
            raise UnreadableError("it is no NIfTI (the header lacks its magic word; older ANALYZE files do)")
        self.number = 1 if sizes[order] == 348 else 2
        self._read_shape(struct.unpack_from(order + layout, data, dims))
        self._read_type(order, struct.unpack_from(order + "h", data, kind)[0])
        place, sizes_of, scaling, numbers = _PLACES[sizes[order]]
        pixdim = struct.unpack_from(order + sizes_of, data, place)
        offset, slope, intercept = struct.unpack_from(order + numbers, data, scaling)
        self.offset = int(offset) if math.isfinite(offset) else -1
        if self.offset < sizes[order]:
            raise UnreadableError("its header says that the numbers begin within it")
        self.spacing = self._spacing(pixdim[1:4])
        if math.isfinite(slope) and slope != 0 and (slope, intercept) != (1, 0):
            self._scale()

    def _read_shape(self, dim: tuple[int, ...]) -> None:
        if not 1 <= dim[0] <= 7 or any(n < 1 for n in dim[1 : dim[0] + 1]):
            raise UnreadableError(f"its header declares the impossible shape {dim[1:]}")
        self.shape = tuple(dim[1 : dim[0] + 1])
        if any(n > 1 for n in self.shape[4:]):
            raise UnreadableError(
                f"it has the axes {' x '.join(map(str, self.shape))}; three of space and one of time or "
                "direction can be read: split it first"
            )
        self.grid = self.shape[:3]
        while len(self.grid) > 1 and self.grid[-1] == 1:
            self.grid = self.grid[:-1]
        self.volumes = self.shape[3] if len(self.shape) > 3 else 1

    def _read_type(self, order: str, code: int) -> None:
        if code not in _TYPES:
            what = _NOT_READ.get(code, f"numbers of the type {code}")
            raise UnreadableError(f"it holds {what}; real numbers of 8 to 64 bits can be read")
        name = _TYPES[code]
        self.stored = self.dtype = f"{'|' if name[1] == '1' else order}{name}"
        self.warnings: list[str] = []

    def _spacing(self, each: tuple[float, ...]) -> tuple[float, ...] | None:
        """Sizes of a voxel along (Z, Y, X); None where the header does not say."""
        sizes = tuple(abs(n) for n in each[: len(self.grid)])[::-1]
        return sizes if all(math.isfinite(n) and n > 0 for n in sizes) else None

    def _scale(self) -> None:
        """Numbers that the header scales are real ones."""
        if self.stored[1] in "iu":
            self.warnings.append(
                f"its scaled {8 * int(self.stored[2:])}-bit integers become float32, so that results are not "
                "rounded to their steps"
            )
        self.dtype = "<f8" if self.stored[1:] == "f8" else "<f4"
