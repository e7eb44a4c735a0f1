"""Bombs and attacks: refused from the header, cheaply, and for the reason that is told."""

from __future__ import annotations

import os
import pickle
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ..faults import files
from ..faults.streams import Ran

RGB, GREY = 2, 0
BIG = zlib.compress(b"\0" * 2_000_000, 9)  # 2 kB


def webp_of(width: int, height: int) -> bytes:
    """An extended WebP header that declares a size, over a tiny picture."""
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + size
    body += files.pillow(files.samples("u1", 3), "WEBP", lossless=True)[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_lossless_of(width: int, height: int) -> bytes:
    bits = (width - 1) | (height - 1) << 14
    chunk = b"\x2f" + struct.pack("<I", bits) + b"\0" * 50
    body = b"WEBPVP8L" + struct.pack("<I", len(chunk)) + chunk + b"\0" * (len(chunk) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpeg_of(width: int, height: int, *, scans: int = 1) -> bytes:
    """A JPEG file whose frame header is changed, and whose scan is repeated."""
    data = bytearray(files.pillow(files.samples("u1", 3), "JPEG", progressive=scans > 1))
    at = next(n for n in range(len(data)) if data[n] == 0xFF and data[n + 1] in (0xC0, 0xC2))
    struct.pack_into(">HH", data, at + 5, height, width)
    scan = data.rfind(b"\xff\xda")
    return bytes(data[:scan]) + bytes(data[scan:-2]) * scans + b"\xff\xd9"


def bmp_of(width: int, height: int, compression: int = 0) -> bytes:
    header = struct.pack(
        "<IiiHHIIiiII", 40, width, height, 1, 8 if compression else 24, compression, 0, 0, 0, 0, 0
    )
    return b"BM" + struct.pack("<IHHI", 2000, 0, 0, 54) + header + b"\0" * 2000


def tiff_of(*entries: tuple[int, int, int, int], following: int = 0, tail: bytes = b"") -> bytes:
    """A little-endian TIFF file with one directory, each value within its entry."""
    body = b"".join(struct.pack("<HHII", *e) for e in sorted(entries))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + struct.pack("<I", following) + tail


def page(width: int, height: int, **changes: int) -> list[tuple[int, int, int, int]]:
    """The tags of an 8-bit grey page of one strip."""
    values = {"width": 256, "height": 257, "bits": 258, "compression": 259, "photometric": 262}
    values |= {"offset": 273, "samples": 277, "rows": 278, "bytes": 279}
    base = {"width": width, "height": height, "bits": 8, "compression": 1, "photometric": 1}
    base |= {"offset": 8, "samples": 1, "rows": height, "bytes": 100}
    return [(values[name], 4, 1, value) for name, value in (base | changes).items()]


def tiled(width: int, height: int) -> list[tuple[int, int, int, int]]:
    """The tags of a page of one tile."""
    kept = [e for e in page(9, 9) if e[0] not in (273, 278, 279)]
    return [*kept, (322, 4, 1, width), (323, 4, 1, height), (324, 4, 1, 8), (325, 4, 1, 9)]


def npy_of(shape: str, dtype: str = "'|u1'", version: bytes = b"\1\0") -> bytes:
    text = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (63 - (10 + len(text)) % 64) + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text


def pages_chain(count: int) -> bytes:
    """Many empty directories, each pointing to the next."""
    one = struct.pack("<HHHII", 1, 256, 3, 1, 1)
    parts = [b"II*\0" + struct.pack("<I", 8)]
    for n in range(count):
        parts.append(one + struct.pack("<I", 8 + 18 * (n + 1) if n < count - 1 else 0))
    return b"".join(parts)


BOMBS: dict[str, tuple[str, Callable[[], bytes], int, str]] = {  # suffix, file, exit code, reason
    "PNG of 20,000 squared": ("png", lambda: files.png_of(20_000, 20_000, 8, RGB, BIG), 5, "--max-pixels"),
    "PNG of 2^31 squared": (
        "png",
        lambda: files.png_of(2**31 - 1, 2**31 - 1, 8, RGB, BIG),
        5,
        "--max-pixels",
    ),
    "PNG of 2^32 - 1": ("png", lambda: files.png_of(2**32 - 1, 1, 16, RGB, BIG), 5, "--max-pixels"),
    "PNG, many-fold": ("png", lambda: files.png_of(13_000, 13_000, 8, RGB, BIG), 5, "--max-expansion"),
    "PNG, many-fold, 16 bits": ("png", lambda: files.png_of(9_000, 9_000, 16, 6, BIG), 5, "--max-expansion"),
    "PNG without pixels": ("png", lambda: files.png_of(13_000, 13_000, 8, RGB, b""), 5, "--max-expansion"),
    "PNG with zero width": ("png", lambda: files.png_of(0, 10, 8, RGB, BIG), 1, "damaged"),
    "PNG of odd depth": ("png", lambda: files.png_of(9, 9, 4, RGB, BIG), 1, "colour type"),
    "PNG, text of 65 MiB": (
        "png",
        lambda: files.png(files.samples("u1"), (b"tEXt", b"k\0" + b"x" * (65 * 2**20))),
        5,
        "--max-metadata",
    ),
    "PNG, many texts": (
        "png",
        lambda: files.png(files.samples("u1"), *[(b"tEXt", b"k\0" + b"x" * 2**20)] * 65),
        5,
        "--max-metadata",
    ),
    "PNG, chunk beyond the end": (
        "png",
        lambda: files.png(files.samples("u1"))[:33] + struct.pack(">I4s", 2**31 - 1, b"tEXt") + b"x",
        1,
        "the file ends",
    ),
    "PNG animation": (
        "png",
        lambda: files.png(files.samples("u1"), (b"acTL", struct.pack(">II", 9, 0))),
        1,
        "film",  # which is what animations are taken for
    ),
    "PNG cut short": ("png", lambda: files.png(files.samples("u1"))[:-5], 1, "the file ends"),
    "PNG, wrong checksum": (
        "png",
        lambda: files.png(files.samples("u1")).replace(b"IHDR\0\0\0\x0c", b"IHDR\0\0\0\x0d"),
        1,
        "checksum",
    ),
    "JPEG of 65,000 squared": ("jpg", lambda: jpeg_of(65_000, 65_000), 5, "--max-pixels"),
    "JPEG, many-fold": ("jpg", lambda: jpeg_of(12_000, 12_000), 5, "--max-expansion"),
    "JPEG of 3,000 scans": ("jpg", lambda: jpeg_of(2_000, 2_000, scans=3000), 1, "scans"),
    "JPEG, segments of 65 MiB": (
        "jpg",
        lambda: b"\xff\xd8" + (b"\xff\xfe\xff\xff" + b"x" * 65_533) * 1100,
        5,
        "--max-metadata",
    ),
    "JPEG without pixels": ("jpg", lambda: b"\xff\xd8\xff\xd9", 1, "no pixels"),
    "JPEG, fill bytes only": ("jpg", lambda: b"\xff\xd8" + b"\xff" * 3_000_000, 1, "ends before"),
    "WebP of 16,383 squared": ("webp", lambda: webp_lossless_of(16_383, 16_383), 5, "--max-pixels"),
    "WebP canvas of 2^24": ("webp", lambda: webp_of(2**24, 2**24), 5, "--max-pixels"),
    "WebP, many-fold": ("webp", lambda: webp_lossless_of(13_000, 13_000), 5, "--max-expansion"),
    "BMP of 2^31": ("bmp", lambda: bmp_of(2**31 - 1, 2**31 - 1), 5, "--max-pixels"),
    "BMP of minus 2^31": ("bmp", lambda: bmp_of(-(2**31), 1000), 5, "--max-pixels"),
    "BMP beyond its end": ("bmp", lambda: bmp_of(13_000, 13_000), 1, "the file ends"),
    "BMP, runs, many-fold": ("bmp", lambda: bmp_of(13_000, 13_000, 1), 5, "--max-expansion"),
    "TIFF loop": ("tif", lambda: tiff_of(*page(9, 9), following=8), 1, "loop"),
    "TIFF, loop of two": ("tif", lambda: pages_chain(2)[:-4] + struct.pack("<I", 8), 1, "loop"),
    "TIFF of 32,769 pages": ("tif", lambda: pages_chain(32_769), 5, "--max-frames"),
    "TIFF without pages": ("tif", lambda: b"II*\0\0\0\0\0", 1, "no page"),
    "TIFF of 65,535 tags": ("tif", lambda: b"II*\0\x08\0\0\0\xff\xff" + b"\0" * 999, 1, "directory"),
    "TIFF, directory beyond the end": ("tif", lambda: b"II*\0\xff\xff\xff\x7f", 1, "directory"),
    "TIFF, tag beyond the end": (
        "tif",
        lambda: tiff_of(*page(9, 9), (270, 2, 2**31, 50)),
        1,
        "beyond the end",
    ),
    "TIFF of 2^31 pixels, empty": ("tif", lambda: tiff_of(*page(50_000, 50_000)), 1, "declares"),
    "TIFF strip beyond the end": ("tif", lambda: tiff_of(*page(9, 9, bytes=2**31)), 1, "the file ends"),
    "TIFF, deflate, many-fold": ("tif", lambda: tiff_of(*page(13_000, 32_000 // 2, compression=8)), 5, ""),
    "TIFF, too many samples": ("tif", lambda: tiff_of(*page(9, 9, samples=5000)), 1, "size"),
    "TIFF, huge tiles": (
        "tif",
        lambda: tiff_of(*tiled(60_000, 60_000)),
        1,
        "tiles",
    ),
    "TIFF, tiles of no size": (
        "tif",
        lambda: tiff_of(*tiled(0, 16)),
        1,
        "no size",
    ),
    "TIFF, wrong strip count": ("tif", lambda: tiff_of(*page(9, 9, rows=3)), 1, "list of where"),
    "TIFF, unknown compression": ("tif", lambda: tiff_of(*page(9, 9, compression=34661)), 1, "34661"),
    "TIFF, old JPEG": ("tif", lambda: tiff_of(*page(9, 9, compression=6)), 1, "compression"),
    "TIFF, 12-bit floats": ("tif", lambda: tiff_of(*page(9, 9, bits=12), (339, 4, 1, 3)), 1, "12 bits"),
    "TIFF, complex": ("tif", lambda: tiff_of(*page(9, 9, bits=64), (339, 4, 1, 6)), 1, "complex"),
    "TIFF, camera raw": ("tif", lambda: tiff_of(*page(9, 9), (50706, 1, 4, 0x0401)), 1, "camera raw"),
    "BigTIFF, damaged header": ("tif", lambda: b"II+\0\x07\0\0\0" + b"\0" * 99, 1, "header"),
    "BigTIFF of 2^62 bytes": ("tif", lambda: b"II+\0\x08\0\0\0" + struct.pack("<Q", 2**62), 1, "directory"),
    "NPY of 2^40": ("npy", lambda: npy_of("(1048576, 1048576)"), 1, "declares"),
    "NPY of 2^70": ("npy", lambda: npy_of("(1180591620717411303424,)"), 1, "declares"),
    "NPY of negative size": ("npy", lambda: npy_of("(-5, 7)") + b"\0" * 35, 1, ""),
    "NPY header of 2^31": ("npy", lambda: b"\x93NUMPY\2\0" + struct.pack("<I", 2**31 - 1) + b"x", 1, ""),
    "NPY header of brackets": (
        "npy",
        lambda: b"\x93NUMPY\1\0" + struct.pack("<H", 9000) + b"[" * 9000,
        1,
        "",
    ),
    "NPY of objects": ("npy", lambda: npy_of("(3,)", "'|O'") + pickle.dumps([1]), 1, "pickled"),
    "NPY of text": ("npy", lambda: npy_of("(3,)", "'<U5'") + b"\0" * 60, 1, "holds"),
    "NPY of records": ("npy", lambda: npy_of("(3,)", "[('a', '<f4')]") + b"\0" * 12, 1, "plain array"),
    "NPY of complex": ("npy", lambda: npy_of("(2, 2)", "'<c8'") + b"\0" * 32, 1, "holds"),
    "NPY, version 3": ("npy", lambda: npy_of("(2, 2)", version=b"\3\0"), 1, ""),
    "NPY, version 9": ("npy", lambda: npy_of("(2, 2)", version=b"\x09\0"), 1, ""),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_from_the_header(name: str, tmp_path: Path) -> None:
    suffix, make, code, reason = BOMBS[name]
    path = tmp_path / f"bomb.{suffix}"
    path.write_bytes(make())
    assert Ran("denoise", path, *files.QUICK).code == code  # loads whatever is needed
    tracemalloc.start()
    try:
        ran = Ran("denoise", path, *files.QUICK)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert ran.code == code
    assert reason in ran.err, ran.err
    assert ran.err.count("\n") == 1
    assert peak < 64 * 2**20 + path.stat().st_size
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


ADDRESSES = [
    "http://host/a.png",
    "https://host/a.tif",
    "ftp://host/a.npy",
    "file:///etc/passwd",
    "s3://b/k.png",
]


def foreign() -> dict[str, tuple[bytes, str]]:
    return {
        "pickle": (pickle.dumps({"a": 1}), "pickle"),
        "saved model": (b"PK\x03\x04" + b"\0" * 60, "ZIP"),
        "GIF": (b"GIF89a" + b"\0" * 60, "palette"),
        "PDF": (b"%PDF-1.7\n", "PDF"),
        "PostScript": (b"%!PS-Adobe-3.0 EPSF", "PostScript"),
        "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        "XML": (b"<?xml version='1.0'?>", "XML"),
        "HEIC": (b"\0\0\0\x18ftypheic" + b"\0" * 30, "HEIC"),
        "HDF5": (b"\x89HDF\r\n\x1a\n", "HDF5"),
        "FITS": (b"SIMPLE  =    T", "FITS"),
        "JPEG 2000": (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        "nothing": (b"", "empty"),
        "text": (b"hello", "not a picture"),
        "safetensors": (struct.pack("<Q", 2**60) + b"{", "not a picture"),
    }


@pytest.mark.parametrize("name", foreign())
def test_other_files_are_named_and_refused(name: str, tmp_path: Path) -> None:
    data, word = foreign()[name]
    path = tmp_path / "x.png"
    path.write_bytes(data)
    ran = Ran("denoise", path, *files.QUICK)
    assert ran.code == 1
    assert word in ran.err


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("option", ["input", "--guide", "--mask", "--sigma-map"])
def test_no_address_is_ever_opened(option: str, address: str, tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, files.samples("f4"))
    arguments = [address] if option == "input" else [path, option, address]
    ran = Ran("denoise", *arguments, "-o", tmp_path / "out.npy")
    assert ran.code == 2
    assert "addresses are never opened" in ran.err


@pytest.mark.parametrize("kind", ["fifo", "device", "endless device", "folder", "broken link", "loop"])
def test_only_plain_files_are_opened(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind in ("broken link", "loop"):
        path.symlink_to(tmp_path / ("x.png" if kind == "loop" else "nowhere"))
    else:
        path = Path("/dev/null" if kind == "device" else "/dev/zero")
    ran = Ran("denoise", path, "-o", tmp_path / "out.png", *files.QUICK)
    assert ran.code == (2 if kind == "folder" else 1)
    reason = {"folder": "is a folder", "broken link": "no such file", "loop": "cannot be opened"}
    assert reason.get(kind, "not a regular file") in ran.err
    assert not (tmp_path / "out.png").exists()


def test_a_pickle_in_an_npy_file_is_never_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "owned"),)

    path = tmp_path / "a.npy"
    np.save(path, np.array([Evil()], dtype=object), allow_pickle=True)
    ran = Ran("denoise", path)
    assert ran.code == 1
    assert "pickled Python objects" in ran.err
    assert not (tmp_path / "owned").exists()


def test_a_strip_that_unpacks_to_more_than_it_says_is_bounded(tmp_path: Path) -> None:
    """One row is declared; the deflated strip holds 128 MiB."""
    packer = zlib.compressobj(9)
    strip = b"".join([*(packer.compress(b"\0" * 2**20) for _ in range(128)), packer.flush()])
    entries = page(1000, 1, compression=8, offset=200, bytes=len(strip))
    data = tiff_of(*entries).ljust(200, b"\0") + strip
    path = tmp_path / "a.tif"
    path.write_bytes(data)
    before = peak_memory()
    Ran("denoise", path, *files.QUICK)
    assert peak_memory() - before < 48


def peak_memory() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MiB


@pytest.mark.parametrize("option", ["--max-pixels", "--max-frames", "--max-metadata", "--max-expansion"])
def test_limits_can_be_set(option: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    pages = [np.zeros((3000, 3000), "u1")] * 2 if option == "--max-expansion" else [files.samples("u1")] * 2
    path.write_bytes(files.tiff(pages, compression="zlib", description="x" * 500))
    small = {"--max-metadata": "400", "--max-expansion": "1"}.get(option, "1")
    ran = Ran("estimate", path, option, small, "--sigma", "1")
    if option == "--max-expansion":  # the floor of 256 MiB keeps small files out of it
        assert ran.code == 0
    else:
        assert ran.code == 5
        assert option in ran.err
