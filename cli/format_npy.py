"""NPY: a bare array; never a pickled one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

from .limits import Limits, byte_size
from .metadata import lost
from .picture import Array, Layout, Picture, Saving
from .status import UnreadableError

SIGNATURE = b"\x93NUMPY"
_KNOWN_KINDS = "iuf"


def open_picture(file: BinaryIO, size: int, limits: Limits) -> Picture:
    """Read the header and describe the array; pixels are read when asked for."""
    import numpy as np

    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
    else:
        raise UnreadableError(
            f"NPY version {version[0]}.{version[1]} is for named fields; save a plain array"
        )
    if dtype.hasobject:
        raise UnreadableError("it holds pickled Python objects, which can run any code; save a plain array")
    if dtype.kind not in _KNOWN_KINDS or dtype.shape:
        raise UnreadableError(f"it holds {dtype}; pixels are integers or floating-point numbers")
    start, declared = file.tell(), byte_size(shape, dtype.itemsize)
    if declared > size - start:
        raise UnreadableError(f"it declares {declared:,} bytes of pixels and has {size - start:,}")
    warnings = []
    if size - start > declared:
        warnings.append(f"{size - start - declared:,} bytes after the array are left out")

    def decode(_: int) -> Array:
        array = np.empty(shape[::-1] if fortran else shape, dtype)
        file.seek(start)
        if file.readinto(array.reshape(-1).view(np.uint8)) != declared:  # type: ignore[attr-defined]
            raise UnreadableError("it became shorter while it was read")
        return array.T if fortran else array

    layout = Layout(tuple(shape), dtype.str, colours=0)
    return Picture("NPY", [layout], decode, [], warnings, {"fortran": fortran})


def refusal(name: str, layout: Layout, count: int) -> str | None:
    """Why NPY cannot hold pages like this; None when it can."""
    return None if count == 1 else f"NPY holds one array, not {count} pages; use --volume, or name a .tif"


def write(file: BinaryIO, pages: Iterable[Array], like: Picture, saving: Saving) -> list[str]:
    """Store one array; returns a warning for metadata, of which NPY holds none."""
    import numpy as np

    (page,) = pages
    if like.encoding.get("fortran"):
        page = np.asfortranarray(page)
    np.lib.format.write_array(file, page, allow_pickle=False)
    return lost((i for i in like.metadata if i.kind != "implied"), "NPY")
