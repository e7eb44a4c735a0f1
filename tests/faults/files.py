"""Tiny pictures of every format that the command line reads, made here."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

QUICK = ("--sigma", "10%", "--patch-radius", "1", "--search-radius", "2")  # options: nothing to find out
SHAPE = (9, 12)


def samples(dtype: str, channels: int = 1, shape: tuple[int, int] = SHAPE, seed: int = 0) -> np.ndarray:
    """Noise around mid-scale: (H, W) or (H, W, channels)."""
    noise = np.random.default_rng(seed).normal(0.5, 0.1, (*shape, channels))
    if np.dtype(dtype).kind == "f":
        result = noise.astype(dtype)
    else:
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        result = np.rint(low + np.clip(noise, 0, 1) * (high - low)).astype(dtype)
    return result[..., 0] if channels == 1 else result


def chunk(kind: bytes, payload: bytes) -> bytes:
    """A PNG chunk."""
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def png(pixels: np.ndarray, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file with further chunks before its pixels."""
    stored: bytes = imagecodecs.png_encode(pixels)
    return stored[:33] + b"".join(chunk(*c) for c in chunks) + stored[33:]


def png_of(
    width: int, height: int, depth: int, colour: int, data: bytes, *chunks: tuple[bytes, bytes]
) -> bytes:
    """A PNG file from its header and its packed rows, whatever they say."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *(chunk(*c) for c in chunks), chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def pillow(pixels: np.ndarray, name: str, **options: Any) -> bytes:
    """A file that Pillow writes."""
    memory = io.BytesIO()
    Image.fromarray(pixels).save(memory, name, **options)
    return memory.getvalue()


def tiff(
    pages: np.ndarray | list[np.ndarray], *, big: bool = False, order: Any = "<", **options: Any
) -> bytes:
    """A TIFF file, one page for each array."""
    memory = io.BytesIO()
    with tifffile.TiffWriter(memory, bigtiff=big, byteorder=order) as writer:
        for page in pages if isinstance(pages, list) else [pages]:
            writer.write(page, **{"metadata": None, "contiguous": False, **options})
    return memory.getvalue()


def npy(array: np.ndarray) -> bytes:
    """An NPY file."""
    memory = io.BytesIO()
    np.lib.format.write_array(memory, array, allow_pickle=False)
    return memory.getvalue()


def rgb_tiff(pixels: np.ndarray, **options: Any) -> bytes:
    """A colour TIFF file."""
    return tiff(pixels, photometric="rgb", **options)


_PLANES: dict[str, Any] = {"planarconfig": "separate", "extrasamples": (2,)}

#: name -> a small valid file; what the mutations start from, by reader
CORPUS: dict[str, list[Callable[[], bytes]]] = {
    "png8": [
        lambda: png(samples("u1")),
        lambda: png(samples("u1", 3), (b"pHYs", struct.pack(">IIB", 2835, 2835, 1)), (b"tEXt", b"Title\0x")),
        lambda: png(samples("u1", 4), (b"iCCP", b"p\0\0" + zlib.compress(b"profile" * 9))),
        lambda: png(samples("u1", 2)),
    ],
    "png16": [
        lambda: png(samples("u2")),
        lambda: png(samples("u2", 3)),
        lambda: png(samples("u2", 4), (b"eXIf", b"MM\0*\0\0\0\x08\0\0\0\0\0\0")),
    ],
    "jpeg": [
        lambda: pillow(samples("u1"), "JPEG", quality=80),
        lambda: pillow(samples("u1", 3), "JPEG", quality=90, progressive=True, dpi=(300, 300), comment=b"c"),
        lambda: pillow(samples("u1", 3), "JPEG", icc_profile=b"profile" * 50),
    ],
    "tiff": [
        lambda: tiff(samples("u1")),
        lambda: tiff([samples("u2"), samples("u2", seed=1)], compression="zlib", predictor=2),
        lambda: rgb_tiff(samples("u1", 3), compression="lzw", description="x", resolution=(300, 300)),
        lambda: tiff(samples("f4"), compression="zlib", predictor=3),
        lambda: tiff(samples("u1"), compression="packbits"),
    ],
    "bigtiff": [
        lambda: tiff(samples("u2"), big=True),
        lambda: rgb_tiff(samples("u1", 3, (40, 40)), big=True, tile=(16, 16), compression="zlib"),
        lambda: rgb_tiff(samples("u1", 3), big=True, order=">", planarconfig="separate"),
    ],
    "tiff samples": [
        lambda: tiff(
            samples("u2", 4), photometric="minisblack", planarconfig="contig", extrasamples=(0, 0, 2)
        ),
        lambda: tiff(samples("u2") // 16, bitspersample=12),
        lambda: tiff(samples("u1") // 16, bitspersample=4, photometric="miniswhite"),
        lambda: tiff(samples("f4"), extratags=[(42113, 2, None, "-9999", True)]),
        lambda: tiff(samples("u1", 4).transpose(2, 0, 1), photometric="rgb", metadata={}, **_PLANES),
        lambda: tiff([samples("u1")] * 4, description="ImageJ=1.5\nimages=4\nslices=2\nchannels=2\n"),
        lambda: rgb_tiff(samples("u1", 3), compression="webp", compressionargs={"lossless": True}),
        lambda: rgb_tiff(samples("u1", 3), compression="jpeg2000", compressionargs={"level": 0}),
        lambda: rgb_tiff(samples("u1", 3), compression="jpegxl", compressionargs={"lossless": True}),
        lambda: tiff(samples("f4"), compression="lerc"),
    ],
    "webp": [
        lambda: pillow(samples("u1", 3), "WEBP", lossless=True),
        lambda: pillow(samples("u1", 3), "WEBP", quality=80, icc_profile=b"profile", exif=b"MM\0*\0\0\0\x08"),
        lambda: pillow(samples("u1", 4), "WEBP", quality=80),
    ],
    "bmp": [
        lambda: pillow(samples("u1"), "BMP"),
        lambda: pillow(samples("u1", 3), "BMP", dpi=(300, 300)),
    ],
    "npy": [
        lambda: npy(samples("u1")),
        lambda: npy(samples("f4", 3)),
        lambda: npy(np.asfortranarray(samples(">f8"))),
    ],
}

SUFFIX = {
    "png8": ".png",
    "png16": ".png",
    "jpeg": ".jpg",
    "tiff": ".tif",
    "bigtiff": ".tif",
    "tiff samples": ".tif",
} | {name: f".{name}" for name in ("webp", "bmp", "npy")}


def decoded(path: Path) -> np.ndarray:
    """The pixels of a file by a decoder of its own, not by the program under test."""
    if path.suffix == ".npy":
        return np.load(path)
    if path.suffix == ".png":
        return imagecodecs.png_decode(path.read_bytes())
    if path.suffix == ".tif":
        return tifffile.imread(path)
    with Image.open(path) as image:
        return np.asarray(image)
