"""NPY: a bare array; never a pickled one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, BinaryIO

from ..status import UnreadableError
from .limits import Limits, byte_size
from .metadata import lost
from .picture import Array, Layout, Picture, Saving

SIGNATURE = b"\x93NUMPY"
_KNOWN_KINDS = "biuf"
_LONGEST_HEADER = 10_000  # NumPy's own limit
_TYPE = r"""['"]descr['"]:\s*['"]([<>|=]?[a-zA-Z]\d{0,3})['"]"""
_ORDER = r"""['"]fortran_order['"]:\s*(True|False)"""
_SHAPE = r"""['"]shape['"]:\s*\(((?:\s*\d{1,40}\s*,)*(?:\s*\d{1,40})?\s*)\)"""


def open_picture(file: BinaryIO, size: int, limits: Limits) -> Picture:
    """Read the header and describe the array; pixels are read when asked for."""
    import numpy as np

    shape, fortran, dtype = _header(file)
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


def _header(file: BinaryIO) -> tuple[tuple[int, ...], bool, Any]:
    """Shape, order and type; read by patterns, since NumPy evaluates the text as Python literals."""
    import numpy as np

    file.seek(len(SIGNATURE))
    major = file.read(2)[:1]
    if major not in (b"\1", b"\2", b"\3"):
        raise UnreadableError("its version of NPY is not known")
    length = int.from_bytes(file.read(2 if major == b"\1" else 4), "little")
    if length > _LONGEST_HEADER:
        raise UnreadableError(f"its header of {length:,} bytes is longer than that of any plain array")
    text = file.read(length).decode("latin-1")
    found = [re.search(pattern, text) for pattern in (_TYPE, _ORDER, _SHAPE)]
    if len(text) < length or not all(found):
        raise UnreadableError("its header does not describe a plain array")
    kind, order, shape = (match[1] for match in found if match)
    if "O" in kind:
        raise UnreadableError("it holds pickled Python objects, which can run any code; save a plain array")
    dtype = np.dtype(kind)
    if dtype.kind not in _KNOWN_KINDS:
        raise UnreadableError(f"it holds {dtype}; pixels are integers or floating-point numbers")
    return tuple(int(n) for n in shape.split(",") if n.strip()), order == "True", dtype


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
