"""TIFF files that no library writes: by hand, and OME sets."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from . import files
from .streams import Ran

_FORMATS = {
    1: "B",
    2: "s",
    3: "H",
    4: "I",
    5: "II",
    6: "b",
    7: "s",
    8: "h",
    9: "i",
    10: "ii",
    11: "f",
    12: "d",
}
_FORMATS[13] = "I"
Tags = dict[int, tuple[int, tuple[Any, ...] | bytes]]  #: number -> (type, values)


def by_hand(tags: Tags, body: bytes) -> bytes:
    """A little-endian TIFF file of one page; offsets of strips and tiles count from the start of the body."""
    packed = {}
    for code, (kind, values) in tags.items():
        raw = (
            values if isinstance(values, bytes) else struct.pack(f"<{_FORMATS[kind] * len(values)}", *values)
        )
        packed[code] = (kind, raw)
        if not isinstance(values, bytes) and kind in (5, 10):
            raise ValueError("give rationals as bytes")
    start = 14 + 12 * len(packed)
    room = sum(len(raw) + len(raw) % 2 for _, raw in packed.values() if len(raw) > 4)
    head, beyond = struct.pack("<2sHIH", b"II", 42, 8, len(packed)), b""
    for code, (kind, raw) in sorted(packed.items()):
        if code in (273, 324):
            numbers = struct.unpack(f"<{len(raw) // 4}I", raw)
            raw = struct.pack(f"<{len(numbers)}I", *(n + start + room for n in numbers))
        count = len(raw) // (struct.calcsize("<" + _FORMATS[kind]))
        place = raw.ljust(4, b"\0")
        if len(raw) > 4:
            place = struct.pack("<I", start + len(beyond))
            beyond += raw + b"\0" * (len(raw) % 2)
        head += struct.pack("<HHI", code, kind, count) + place
    return head + b"\0" * 4 + beyond + body


def plain(side: int = 40, bits: int = 8, photometric: int = 1) -> Tags:
    """The tags of a grey page but for those that say where its pixels are."""
    return {
        256: (4, (side,)),
        257: (4, (side,)),
        258: (3, (bits,)),
        259: (3, (1,)),
        262: (3, (photometric,)),
        277: (3, (1,)),
    }


def noise(side: int = 40, channels: int = 1, *, mean: float = 100, deviation: float = 10) -> np.ndarray:
    """8-bit noise."""
    shape = (side, side) if channels == 1 else (side, side, channels)
    return np.rint(np.random.default_rng(0).normal(mean, deviation, shape)).clip(0, 255).astype("u1")


_OME = (
    '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{own}">'
    '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="40" SizeY="40" '
    'SizeZ="1" SizeC="2" SizeT="1"><Channel ID="Channel:0:0" SamplesPerPixel="1"/><Channel ID="Channel:0:1" '
    'SamplesPerPixel="1"/><TiffData FirstC="0" IFD="0" PlaneCount="1"><UUID FileName="s0.ome.tif">{ids[0]}'
    '</UUID></TiffData><TiffData FirstC="1" IFD="0" PlaneCount="1"><UUID FileName="s1.ome.tif">{ids[1]}'
    "</UUID></TiffData></Pixels></Image></OME>"
)


def ome_set() -> list[bytes]:
    """Two files, s0.ome.tif and s1.ome.tif, one channel each, whose descriptions name both."""
    ids = [f"urn:uuid:00000000-0000-0000-0000-00000000000{n}" for n in range(2)]
    return [
        files.tiff(noise(mean=90 + 40 * n), description=_OME.format(own=ids[n], ids=ids)) for n in range(2)
    ]


def denoised(data: bytes, folder: Path, *options: object, target: str = "tif") -> tuple[Ran, Path]:
    """A run of the command line on such a file, and its output."""
    source, result = folder / "in.tif", folder / f"out.{target}"
    source.write_bytes(data)
    ran = Ran("denoise", source, "-o", result, "--json", "--overwrite", *files.QUICK, *options)
    return ran, result


def warnings_of(ran: Ran) -> str:
    """What it warned of."""
    return " ".join(ran.lines[0]["warnings"])
