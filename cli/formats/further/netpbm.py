"""Netpbm (PGM, PPM and PBM) and PFM: a line of text and bare samples.

Pillow reads 16-bit PPM as 8 bits and colour PFM not at all, and both formats are a header and an array.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import BinaryIO

from ...status import UnreadableError
from ..limits import Limits, byte_size
from ..metadata import lost
from ..picture import Array, Item, Layout, Picture, Saving
from ..segments import behind

_HEADER = 65_536  # most bytes of a header, comments included
_GAP = rb"(?:\s|#[^\n]*\n)+"
_WHOLE = re.compile(rb"P([1-6])" + _GAP + rb"(\d{1,10})" + _GAP + rb"(\d{1,10})" + _GAP + rb"(\d{1,5})\s")
_BITMAP = re.compile(rb"P([14])" + _GAP + rb"(\d{1,10})" + _GAP + rb"(\d{1,10})\s")
_FLOATS = re.compile(rb"P([Ff])\s+(\d{1,10})\s+(\d{1,10})\s+([-+0-9.eE]{1,40})\s")
_COLOURS = {b"2": 1, b"3": 3, b"5": 1, b"6": 3, b"f": 1, b"F": 3}


def open_picture(file: BinaryIO, size: int, limits: Limits) -> Picture:
    """Describe a PGM, PPM or PBM file."""
    start = file.read(_HEADER)
    if start[1:2] in b"14":
        return _bitmap(file, size, limits, start)
    found = _WHOLE.match(start)
    if found is None:
        raise UnreadableError("its header is damaged")
    colours, (height, width), largest = _COLOURS[found[1]], _size(found), int(found[4])
    if not 1 <= largest <= 65_535:
        raise UnreadableError(f"its largest value is {largest}; 1 to 65535 are possible")
    full = 255 if largest < 256 else 65_535
    shape = (height, width) if colours == 1 else (height, width, colours)
    layout = Layout(shape, "|u1" if full == 255 else "=u2", colours)
    text = found[1] in b"23"
    at, count = found.end(), byte_size(shape, 1)
    warnings = []
    if not text:
        warnings = _checked(file, size, at, count * (layout.bits // 8))
    elif 2 * count - 1 > size - at:
        raise UnreadableError(f"it declares {count:,} numbers in {size - at:,} bytes of text")
    if largest != full:
        warnings.append(f"values up to {largest} are stored as values up to {full}")

    def decode(_: int) -> Array:
        samples = (
            _numbers(file, at, count) if text else _bytes(file, at, count, ">u2" if full > 255 else "u1")
        )
        return _scaled(samples, largest, full).reshape(shape)

    return Picture("PPM" if colours == 3 else "PGM", [layout], decode, _comments(found[0]), warnings)


def _bitmap(file: BinaryIO, size: int, limits: Limits, start: bytes) -> Picture:
    """Of a PBM file, in which 1 is black: True where it is white."""
    found = _BITMAP.match(start)
    if found is None:
        raise UnreadableError("its header is damaged")
    height, width = _size(found)
    limits.check_pixels(width, height)
    row, at, text = (width + 7) // 8, found.end(), found[1] == b"1"
    warnings = [] if text else _checked(file, size, at, row * height)

    def decode(_: int) -> Array:
        import numpy as np

        if text:
            file.seek(at)
            digits = np.frombuffer(file.read(size - at), "u1")
            bits = digits[(digits == ord("0")) | (digits == ord("1"))][: width * height] - ord("0")
        else:
            bits = np.unpackbits(_bytes(file, at, row * height, "u1").reshape(height, row), axis=1)[:, :width]
        return (bits == 0).reshape(height, width)

    return Picture("PGM", [Layout((height, width), "|b1")], decode, _comments(found[0]), warnings)


def open_floats(file: BinaryIO, size: int, limits: Limits) -> Picture:
    """Describe a PFM file: its rows are stored from the lowest up."""
    found = _FLOATS.match(file.read(_HEADER))
    if found is None:
        raise UnreadableError("its header is damaged")
    colours, (height, width) = _COLOURS[found[1]], _size(found)
    try:
        scale = float(found[4])
    except ValueError:
        scale = 0.0
    if not 0 < abs(scale) < float("inf"):
        raise UnreadableError("its scale is no number other than zero")
    order = "<" if scale < 0 else ">"
    shape = (height, width) if colours == 1 else (height, width, 3)
    warnings = _checked(file, size, found.end(), byte_size(shape, 4))

    def decode(_: int) -> Array:
        return _bytes(file, found.end(), byte_size(shape, 1), order + "f4").reshape(shape)[::-1]

    encoding = {"scale": found[4].decode().lstrip("+-"), "order": order}
    return Picture("PFM", [Layout(shape, f"{order}f4", colours)], decode, [], warnings, encoding)


def refusal(name: str, layout: Layout, count: int) -> str | None:
    """Why this format cannot hold pages like this; None when it can."""
    layout = layout.as_picture
    if count != 1:
        return f"{name} holds one picture, not {count}"
    colours = {"PGM": (1,), "PPM": (3,)}.get(name, (1, 3))
    if layout.alpha or layout.extra or layout.colours not in colours:
        what = {"PGM": "grey", "PPM": "RGB"}.get(name, "grey and RGB")
        return f"{name} holds {what}, not {layout.words}; name a .png or .tif output"
    if name == "PFM" and layout.dtype[1:] != "f4":
        return f"PFM holds 32-bit floating-point pixels, not {layout.words}; --dtype float32 makes such"
    if name != "PFM" and (layout.kind != "u" or layout.bits > 16):
        return f"{name} holds 8-bit and 16-bit unsigned integers, not {layout.words}; name a .tif output"
    return None


def write(file: BinaryIO, pages: Iterable[Array], like: Picture, saving: Saving) -> list[str]:
    """Store bare samples; returns a warning for metadata, of which Netpbm holds comments only."""
    (page,) = pages
    native = [i for i in like.metadata if i.raw is not None and like.format in ("PGM", "PPM", "PNM")]
    height, width = page.shape[:2]
    magic = b"P6" if page.ndim == 3 else b"P5"
    full = 255 if page.dtype.itemsize == 1 else 65_535
    file.write(magic + b"\n" + b"".join(i.raw for i in native) + b"%d %d\n%d\n" % (width, height, full))
    file.write(page.astype(">u2" if full > 255 else "u1").tobytes())
    return lost((i for i in like.metadata if i not in native and i.kind != "implied"), "Netpbm")


def write_floats(file: BinaryIO, pages: Iterable[Array], like: Picture, saving: Saving) -> list[str]:
    """Store floats, in the order and with the scale that they had."""
    (page,) = pages
    height, width = page.shape[:2]
    order, scale = like.encoding.get("order", "<"), like.encoding.get("scale", "1.0")
    if like.format != "PFM":
        order, scale = "<", "1.0"
    sign = "-" if order == "<" else ""
    magic = "PF" if page.ndim == 3 else "Pf"
    file.write(f"{magic}\n{width} {height}\n{sign}{scale}\n".encode())
    file.write(page[::-1].astype(order + "f4").tobytes())
    return lost((i for i in like.metadata if i.kind != "implied"), "PFM")


def _size(found: re.Match[bytes]) -> tuple[int, int]:
    width, height = int(found[2]), int(found[3])
    if not width or not height:
        raise UnreadableError("its header is damaged")
    return height, width


def _checked(file: BinaryIO, size: int, at: int, count: int) -> list[str]:
    """Refuse pixels that are not in the file; the warning for what stands behind them."""
    if size - at < count:
        raise UnreadableError(f"it declares {count:,} bytes of pixels and has {size - at:,}")
    return behind(file, at + count, size)


def _bytes(file: BinaryIO, at: int, count: int, dtype: str) -> Array:
    import numpy as np

    file.seek(at)
    data = file.read(count * np.dtype(dtype).itemsize)
    return np.frombuffer(data, dtype, count)


def _numbers(file: BinaryIO, at: int, count: int) -> Array:
    """Samples written as text."""
    import numpy as np

    file.seek(at)
    text = re.sub(rb"#[^\n]*", b"", file.read())
    if re.search(rb"[^\d\s]", text):
        raise UnreadableError("its pixels are not written as numbers")
    numbers = np.fromstring(text.decode("ascii"), dtype=np.float64, sep=" ", count=-1)
    if numbers.size < count:
        raise UnreadableError(f"it declares {count:,} numbers and has {numbers.size:,}")
    return numbers[:count]


def _scaled(samples: Array, largest: int, full: int) -> Array:
    import numpy as np

    dtype = np.uint8 if full == 255 else np.uint16
    if largest == full and samples.dtype.itemsize < 8:
        return samples.astype(dtype, copy=False)
    scaled: Array = np.rint(np.minimum(samples, largest) * (full / largest)).astype(dtype)
    return scaled


def _comments(header: bytes) -> list[Item]:
    return [Item("other", "comment", None, found) for found in re.findall(rb"#[^\n]*\n", header)]
