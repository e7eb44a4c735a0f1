"""Files that few programs write and somebody has: read as they are, or refused by what they are."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from ..faults import files, tiffs
from ..faults.streams import Ran
from ..faults.tiffs import denoised, warnings_of

QUICK = files.QUICK


# --- JPEG of other kinds -------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["jpg", "png"])
def test_lossless_jpeg_is_denoised_and_told_of(target: str, tmp_path: Path) -> None:
    """It ended in "unexpected ValueError: None or too many quantization tables", after all the work."""
    before = files.samples("u1", 1, (30, 40))
    (tmp_path / "in.jpg").write_bytes(imagecodecs.jpeg8_encode(before, lossless=True))
    ran = Ran("denoise", tmp_path / "in.jpg", "-o", tmp_path / f"out.{target}", *QUICK)
    assert ran.code == 0, ran.err
    assert ("stored without loss, and are not at JPEG quality 95" in ran.err) is (target == "jpg")
    after = files.decoded(tmp_path / f"out.{target}").astype(float)
    assert after.mean() == pytest.approx(before.mean(), rel=0.01)
    assert after.std() < 0.8 * before.std()


JPEGS: dict[str, Callable[[], bytes]] = {
    "JPEG of 12 bits": lambda: imagecodecs.jpeg8_encode(files.samples("u2") >> 4, bitspersample=12),
    "lossless JPEG of 16 bits": lambda: imagecodecs.ljpeg_encode(files.samples("u2")),
    "JPEG-LS of 8 bits": lambda: imagecodecs.jpegls_encode(files.samples("u1")),
}


@pytest.mark.parametrize("kind", JPEGS)
def test_other_jpeg_is_refused_by_its_kind(kind: str, tmp_path: Path) -> None:
    """They were called damaged."""
    (tmp_path / "in.jpg").write_bytes(JPEGS[kind]())
    ran = Ran("denoise", tmp_path / "in.jpg", *QUICK)
    assert ran.code == 1
    assert f"it is a {kind}, and of JPEG 8 bits can be read" in ran.err


# --- files of other kinds ------------------------------------------------------------------------

STARTS = {
    "JPEG XL": b"\xff\x0a\x7f\0",
    "JPEG XL ": b"\0\0\0\x0cJXL \r\n\x87\n",
    "JPEG XR": b"II\xbc\1",
    "Photoshop": b"8BPS\0\1",
    "an icon": b"\0\0\1\0\2\0 ",
    "an icon ": b"icns\0\0\1\0",
    "PCX": b"\x0a\5\1\x08",
    "DDS": b"DDS |\0\0\0",
    "Zeiss CZI": b"ZISRAWFILE",
    "Nikon ND2": b"\xda\xce\xbe\x0a",
    "Leica LIF": b"\x70\0\0\0\x10\0\0\0\x2a",
    "MATLAB": b"MATLAB 5.0 MAT-file",
    "camera raw ": b"\0\0\0\x18ftypcrx ",
    "camera raw": b"FUJIFILMCCD-RAW 0201",
    "camera raw;": b"IIRO\x08\0\0\0",
    "DICOM": bytes(128) + b"DICM",
    "DICOM ": b"\x08\0\5\0CS\x0a\0ISO_IR 100",
    "HEIC": b"\0\0\0\x18ftypheic",
    "AVIF": b"\0\0\0\x18ftypavif",
    "MRC": struct.pack("<4i", 8, 8, 1, 2).ljust(208, b"\0") + b"MAP DD",
}


@pytest.mark.parametrize("what", STARTS)
def test_a_file_that_is_not_read_is_called_by_its_name(what: str, tmp_path: Path) -> None:
    """And told what to do with it, where it was "not a picture of a known format"."""
    (tmp_path / "a.bin").write_bytes(STARTS[what] + bytes(300))
    ran = Ran("denoise", tmp_path / "a.bin", *QUICK)
    assert ran.code == 1
    assert what.strip() in ran.err
    assert " first" in ran.err


TOOLS = {
    "HEIC": "heif-convert IN.heic OUT.png",
    "AVIF": "heif-convert IN.avif OUT.png",
    "camera raw": "dcraw_emu -T -6 FILE",
    "camera raw ": "dcraw_emu -T -6 FILE",
    "Zeiss CZI": "bfconvert FILE OUT.ome.tif",
    "Nikon ND2": "bfconvert FILE OUT.ome.tif",
    "DICOM": "pydicom.dcmread('in.dcm').pixel_array",
}


@pytest.mark.parametrize("command", ["denoise", "estimate"])
@pytest.mark.parametrize("what", TOOLS)
def test_cameras_and_scanners_files_are_refused_with_the_tool_that_converts_them(
    what: str, command: str, tmp_path: Path
) -> None:
    """Also where an output is named: CR3 was called a film, for which a .tif is no name."""
    (tmp_path / "a.bin").write_bytes(STARTS[what] + bytes(300))
    output = ["-o", tmp_path / "out.tif"] if command == "denoise" else []
    ran = Ran(command, tmp_path / "a.bin", *output, *QUICK)
    assert ran.code == 1
    assert f"it is {'' if what.startswith('camera') else 'a'}" in ran.err
    assert what.strip() in ran.err
    assert TOOLS[what] in ran.err


def test_a_further_picture_behind_the_first_is_named(tmp_path: Path) -> None:
    one = files.netpbm(files.samples("u1"))
    (tmp_path / "a.pgm").write_bytes(one + one)
    ran = Ran("denoise", tmp_path / "a.pgm", *QUICK)
    assert ran.code == 0, ran.err
    assert f"{len(one)} bytes behind the picture (a further picture) are left out" in ran.err


# --- sparse TIFF ---------------------------------------------------------------------------------


def sparse(stored: int, *, nodata: bytes = b"", short: int = 0) -> bytes:
    """Four tiles of 16 x 16, the first of which are stored, as GDAL writes SPARSE_OK=TRUE."""
    pixels = np.random.default_rng(0).normal(100, 10, (4, 256)).astype("u1")
    tags = tiffs.plain(32) | {322: (3, (16,)), 323: (3, (16,))}
    tags |= {324: (4, tuple(256 * n for n in range(4))), 325: (4, (256,) * stored + (0,) * (4 - stored))}
    if nodata:
        tags[42113] = (2, nodata)
    data = bytearray(tiffs.by_hand(tags, pixels[:stored].tobytes()))
    for n in range(stored, 4):  # no place either
        at = data.index(struct.pack("<I", len(data) - 256 * stored + 256 * n))
        struct.pack_into("<I", data, at, 0)
    return bytes(data[: len(data) - short])


@pytest.mark.parametrize("nodata", [b"", b"7\0"])
@pytest.mark.parametrize("stored", [1, 3])
def test_tiles_that_are_not_stored_are_empty(stored: int, nodata: bytes, tmp_path: Path) -> None:
    """GDAL leaves them out: "it declares 1,024 bytes of pixels and holds 512"."""
    ran, result = denoised(sparse(stored, nodata=nodata), tmp_path)
    assert ran.code == 0, ran.err
    assert f"{4 - stored} of its 4 strips or tiles are not stored (sparse)" in warnings_of(ran)
    after = tifffile.imread(result)
    assert (after[16 if nodata else 24 :, 24:] == (7 if nodata else 0)).all()
    assert after[:14, :14].mean() == pytest.approx(100, abs=3)


def test_a_sparse_file_that_is_cut_is_refused(tmp_path: Path) -> None:
    ran, _ = denoised(sparse(3, short=90), tmp_path)
    assert ran.code == 1
    assert "ends before its pixels do" in ran.err


def test_a_sparse_file_of_too_many_pixels_is_refused(tmp_path: Path) -> None:
    count = 4 * 4 * 100
    tags = tiffs.plain(60_000) | {322: (3, (1504,)), 323: (3, (1504,)), 324: (4, (0,) * count)}
    data = bytearray(tiffs.by_hand(tags | {325: (4, (0,) * count)}, b"\0"))
    at = data.index(struct.pack("<I", len(data) - 1) * 9)
    data[at : at + 4 * count] = bytes(4 * count)
    ran, _ = denoised(bytes(data), tmp_path)
    assert ran.code == 5, ran.err


# --- companions ----------------------------------------------------------------------------------


def test_a_mask_of_another_size_beside_transparency(tmp_path: Path) -> None:
    """It was an unexpected ValueError of shapes that could not be broadcast."""
    pixels = files.samples("u1", 4, (16, 16))
    pixels[0, 0, 3] = 0
    (tmp_path / "in.png").write_bytes(files.png(pixels))
    np.save(tmp_path / "mask.npy", np.ones((20, 24), bool))
    ran = Ran("denoise", tmp_path / "in.png", *QUICK, "--mask", tmp_path / "mask.npy")
    assert ran.code == 2
    assert "--mask is 24 x 20 (columns x rows), the picture is 16 x 16" in ran.err


@pytest.mark.parametrize("names", [["a.tfw"], ["a.tif.aux.xml", "a.prj"], ["a.tifw", "a.xmp"], []])
def test_what_lies_beside_a_picture_by_name_is_told_of(names: list[str], tmp_path: Path) -> None:
    """World files and their like hold what the picture does not: beside a new name they are lost."""
    (tmp_path / "a.tif").write_bytes(files.tiff(files.samples("u1")))
    for name in [*names, "b.tfw"]:
        (tmp_path / name).write_text("1.0")
    ran = Ran("denoise", tmp_path / "a.tif", "-o", tmp_path / "out.tif", *QUICK)
    assert ran.code == 0, ran.err
    assert ("what lies beside it by name is not copied: " in ran.err) is bool(names)
    assert all(name in ran.err for name in names)
    assert Ran("denoise", tmp_path / "a.tif", "-o", tmp_path / "a.tif", "--overwrite", *QUICK).warnings == []


def test_a_mask_beside_a_picture_is_told_of_and_can_be_given(tmp_path: Path) -> None:
    before = files.samples("u1")
    (tmp_path / "a.tif").write_bytes(files.tiff(before))
    valid = np.ones(before.shape, bool)
    valid[:4] = False
    (tmp_path / "a.tif.msk").write_bytes(files.tiff(valid, subfiletype=4, photometric=4))
    ran = Ran("denoise", tmp_path / "a.tif", "-o", tmp_path / "out.tif", *QUICK)
    assert "its mask a.tif.msk is not obeyed: give it with --mask" in ran.err
    options = ("--mask", tmp_path / "a.tif.msk", "--overwrite")
    ran = Ran("denoise", tmp_path / "a.tif", "-o", tmp_path / "out.tif", *QUICK, *options)
    assert ran.code == 0, ran.err
    after = tifffile.imread(tmp_path / "out.tif")
    assert np.array_equal(after[:4], before[:4])
    assert not np.array_equal(after[4:], before[4:])


@pytest.mark.parametrize(("scale", "warned"), [(0.5, False), (4000.0, True)])
def test_per_cent_of_floats_beyond_one_are_doubted(scale: float, warned: bool, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).normal(scale, scale / 20, (24, 30)).astype("f4")
    pixels[3, 3] = np.nan
    (tmp_path / "a.tif").write_bytes(files.tiff(pixels))
    for command in (("denoise", "-o", tmp_path / "b.tif"), ("estimate",)):
        ran = Ran(command[0], tmp_path / "a.tif", *command[1:], *QUICK, "--nan", "keep")
        assert ran.code == 0, ran.err
        assert ("full scale of floating point is 1" in ran.err) is warned


@pytest.mark.parametrize("value", [(999_999,), (8, 8)])
@pytest.mark.parametrize(("code", "name"), [(34665, "EXIF"), (34853, "GPS")])
def test_exif_that_lies_outside_is_left_out(
    code: int, name: str, value: tuple[int, ...], tmp_path: Path
) -> None:
    """The pixels are whole: a damaged directory beside them was the end of it."""
    body = tiffs.noise().tobytes()
    tags = tiffs.plain() | {code: (4, value), 273: (4, (0,)), 279: (4, (1600,))}
    ran, result = denoised(tiffs.by_hand(tags, body), tmp_path)
    assert ran.code == 0, ran.err
    assert f"its {name} (tag {code}) is damaged and left out" in warnings_of(ran)
    assert tifffile.imread(result).mean() == pytest.approx(100, abs=1)
