"""Tiny pictures of every format that the command line reads, made here."""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from collections.abc import Callable
from importlib.util import find_spec
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


def paletted(name: str) -> bytes:
    """A file with a palette."""
    memory = io.BytesIO()
    Image.fromarray(samples("u1") >> 4).convert("P").save(memory, name)
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


def netpbm(pixels: np.ndarray, *, text: bool = False, largest: int | None = None, comment: str = "") -> bytes:
    """A PGM or PPM file, of bytes or of text."""
    full = largest or int(np.iinfo(pixels.dtype).max)
    kind = (2 if text else 5) + (pixels.ndim == 3)
    head = f"P{kind}\n{comment}{pixels.shape[1]} {pixels.shape[0]}\n{full}\n".encode()
    body = " ".join(map(str, pixels.ravel())).encode() + b"\n"
    return head + (body if text else pixels.astype(">u2" if full > 255 else "u1").tobytes())


def pfm(pixels: np.ndarray, order: str = "<", scale: str = "1.0") -> bytes:
    """A PFM file."""
    head = f"P{'F' if pixels.ndim == 3 else 'f'}\n{pixels.shape[1]} {pixels.shape[0]}\n"
    return (
        f"{head}{'-' if order == '<' else ''}{scale}\n".encode() + pixels[::-1].astype(order + "f4").tobytes()
    )


def radiance(pixels: np.ndarray, *lines: str) -> bytes:
    """A Radiance file with further lines in its header."""
    first, _, rest = bytes(imagecodecs.rgbe_encode(pixels, header=True)).partition(b"\n")
    return b"\n".join([first, *(line.encode() for line in lines), rest])


def exr(pixels: np.ndarray, names: str, **header: Any) -> bytes:
    """An OpenEXR file of channels with these names."""
    import OpenEXR

    memory = io.BytesIO()
    planes = {
        n: np.ascontiguousarray(p)
        for n, p in zip(names, np.moveaxis(np.atleast_3d(pixels), -1, 0), strict=True)
    }
    settings = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, **header}
    OpenEXR.File(settings, planes).write(memory)
    return memory.getvalue()


def jpeg2000(pixels: np.ndarray, bits: int | None = None, **options: Any) -> bytes:
    """A JPEG 2000 file without loss."""
    form = {"level": 0, "reversible": True, "codecformat": "jp2", **options}
    return bytes(imagecodecs.jpeg2k_encode(pixels, bitspersample=bits, **form))


def sgi(pixels: np.ndarray) -> bytes:
    """An SGI file of 8 or 16 bits, without compression."""
    planes = np.moveaxis(np.atleast_3d(pixels), -1, 0)[:, ::-1]
    channels, height, width = planes.shape
    axes = 2 if channels == 1 else 3
    head = struct.pack(">hBBHHHH", 474, 0, pixels.itemsize, axes, width, height, channels)
    return head.ljust(512, b"\0") + planes.astype(f">u{pixels.itemsize}").tobytes()


def masked_tiff(pixels: np.ndarray) -> bytes:
    """A TIFF file with a mask page, as GDAL writes it."""
    memory = io.BytesIO()
    mask: Any = {"subfiletype": 4, "photometric": 4, "metadata": None}
    with tifffile.TiffWriter(memory) as writer:
        writer.write(pixels, metadata=None, photometric="rgb" if pixels.ndim == 3 else "minisblack")
        writer.write(np.arange(pixels.shape[0] * pixels.shape[1]).reshape(pixels.shape[:2]) % 5 > 0, **mask)
    return memory.getvalue()


def spe(frames: np.ndarray) -> bytes:
    """An SPE file of frames (N, H, W)."""
    kind = {"f4": 0, "i4": 1, "i2": 2, "u2": 3}[frames.dtype.str[1:]]
    head = bytearray(4100)
    for at, number in ((42, frames.shape[2]), (108, kind), (656, frames.shape[1])):
        struct.pack_into("<H", head, at, number)
    struct.pack_into("<i", head, 1446, len(frames))
    struct.pack_into("<I", head, 4096, 0x01234567)
    return bytes(head) + frames.astype(frames.dtype.newbyteorder("<")).tobytes()


_PLANES: dict[str, Any] = {"planarconfig": "separate", "extrasamples": (2,)}


#: name -> a small valid file; what the mutations start from, by reader
def nifti(voxels: np.ndarray, version: int, *, slope: float | None = None, **header: Any) -> bytes:
    """A NIfTI file of (X, Y, ...) voxels of 1 x 1 x 3 mm somewhere in space."""
    import nibabel

    kind = {1: nibabel.Nifti1Image, 2: nibabel.Nifti2Image}[version]
    affine = np.diag([1.0, 1.0, 3.0, 1.0])
    affine[:3, 3] = -10, 5, 7
    made = kind.header_class(endianness=">" if voxels.dtype.byteorder == ">" else "<")
    made.set_data_dtype(voxels.dtype)
    image = kind(voxels, affine, made)
    image.set_qform(affine, 1)
    for name, value in header.items():
        image.header[name] = value
    image.header.set_slope_inter(1, 0)
    data = bytearray(image.to_bytes())
    if slope is not None:  # of the numbers as they are stored
        place, form = {1: (112, "2f"), 2: (176, "2d")}[version]
        struct.pack_into(("<>"[voxels.dtype.byteorder == ">"]) + form, data, place, slope, 0)
    return bytes(data)


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
        lambda: tiff(samples("f4"), compression="lerc", compressionargs={"compression": "deflate"}),
        lambda: tiff(samples("u2"), compression="lerc", compressionargs={"compression": "zstd"}),
        lambda: masked_tiff(samples("u1", 3)),
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
        lambda: npy(samples("u1") > 128),
    ],
    "netpbm": [
        lambda: netpbm(samples("u1"), comment="# made here\n"),
        lambda: netpbm(samples("u2", 3)),
        lambda: netpbm(samples("u1", 3), text=True),
        lambda: netpbm(samples("u2") >> 4, largest=4095),
    ],
    "pfm": [lambda: pfm(samples("f4")), lambda: pfm(samples("f4", 3), ">", "2.5")],
    "hdr": [lambda: radiance(samples("f4", 3)), lambda: radiance(samples("f4", 3, (9, 40)), "EXPOSURE=2.0")],
    "spe": [lambda: spe(np.stack([samples("u2"), samples("u2", seed=1)])), lambda: spe(samples("f4")[None])],
    "jp2": [
        lambda: pillow(samples("u1"), "JPEG2000"),
        lambda: pillow(samples("u1", 3), "JPEG2000", no_jp2=True),
        lambda: pillow(samples("u2"), "JPEG2000"),
        lambda: jpeg2000(samples("u2", 3) >> 4, 12),
    ],
    "tga": [
        lambda: pillow(samples("u1", 3), "TGA", id_section=b"mine"),
        lambda: pillow(samples("u1", 4), "TGA", compression="tga_rle"),
        lambda: pillow(samples("u1"), "TGA", orientation=1),
    ],
    "sgi": [
        lambda: pillow(samples("u1", 3), "SGI"),
        lambda: pillow(samples("u1"), "SGI"),
        lambda: sgi(samples("u2", 3)),
    ],
    "mask": [
        lambda: pillow(samples("u1") > 128, "PNG"),
        lambda: pillow(samples("u1") > 128, "BMP"),
        lambda: tiff(samples("u1") > 128),
        lambda: tiff(samples("u1") > 128, compression="zlib"),
        lambda: paletted("PNG"),
        lambda: paletted("BMP"),
        lambda: paletted("TIFF"),
        lambda: b"P4\n12 9\n" + bytes(range(18)),
    ],
    "csv": [
        lambda: b"time,I,II\n" + b"".join(b"%d,0.%d,1.%d\n" % (n, n * 7 % 10, n * 3 % 7) for n in range(20)),
        lambda: "\r\n".join(f"{n};{n * 7 % 10},25" for n in range(20)).encode(),
    ],
    "qoi": [lambda: pillow(samples("u1", 3), "QOI"), lambda: pillow(samples("u1", 4), "QOI")],
}
if find_spec("OpenEXR"):
    CORPUS["exr"] = [
        lambda: exr(samples("f2", 3), "RGB", owner="me"),
        lambda: exr(samples("f4"), "Y"),
        lambda: exr(samples("f4", 4), "RGBA"),
    ]
if find_spec("nibabel"):
    CORPUS["nii"] = [
        lambda: nifti(samples("i2"), 1),
        lambda: nifti(samples("f4", 4), 2),
        lambda: nifti(samples(">u2"), 1, slope=0.5),
        lambda: gzip.compress(nifti(samples("i2"), 1), mtime=0),
    ]

SUFFIX = {
    "png8": ".png",
    "png16": ".png",
    "jpeg": ".jpg",
    "tiff": ".tif",
    "bigtiff": ".tif",
    "tiff samples": ".tif",
    "netpbm": ".ppm",
} | {
    name: f".{name}"
    for name in ("webp", "bmp", "npy", "pfm", "hdr", "spe", "jp2", "qoi", "exr", "nii", "csv", "tga", "sgi")
}


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
