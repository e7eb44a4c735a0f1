"""Netpbm, PFM, Radiance, OpenEXR and what imageio reads: kept as they were, or refused by name."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from nlmeans.cli.formats import reading
from nlmeans.cli.formats.limits import Limits
from PIL import Image

from ..faults import files
from ..faults.streams import Ran

QUICK = files.QUICK
FLOATS = ("--sigma", "0.1", *QUICK[2:])
SHAPE = (20, 28)


def written(data: bytes, tmp_path: Path, suffix: str) -> Path:
    path = tmp_path / f"in.{suffix}"
    path.write_bytes(data)
    return path


def read(path: Path) -> np.ndarray:
    """By our own reader."""
    with reading.opened(str(path), Limits(), BytesIO()) as picture:
        return np.asarray(picture.decode(0))


# --- Netpbm --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_netpbm_keeps_depth_and_colours(dtype: str, channels: int, text: bool, tmp_path: Path) -> None:
    before = files.samples(dtype, channels, SHAPE)
    suffix = {1: "pgm", 3: "ppm"}[channels]
    path = written(files.netpbm(before, text=text, comment="# by hand\n"), tmp_path, suffix)
    np.testing.assert_array_equal(read(path), before)
    ran = Ran("denoise", path, *QUICK)
    assert (ran.code, ran.warnings) == (0, [])
    out = tmp_path / f"in.denoised.{suffix}"
    head = f"P{5 + (channels == 3)}\n# by hand\n28 20\n{255 if dtype == 'u1' else 65535}\n".encode()
    assert out.read_bytes().startswith(head)
    after = np.frombuffer(out.read_bytes()[len(head) :], f">{dtype}").reshape(before.shape)
    assert after.std() < 0.8 * before.std()
    assert after.mean() == pytest.approx(before.mean(), rel=0.02)
    if (dtype, channels) != ("u2", 3):  # which Pillow reads as 8 bits
        with Image.open(out) as image:
            np.testing.assert_array_equal(np.asarray(image), after)


@pytest.mark.parametrize(("largest", "full"), [(1, 255), (15, 255), (1023, 65535), (4095, 65535)])
def test_netpbm_of_other_depths_becomes_full(largest: int, full: int, tmp_path: Path) -> None:
    before = (files.samples("u2", 1, SHAPE).astype(float) * (largest / 65535)).round().astype("u2")
    path = written(files.netpbm(before, largest=largest), tmp_path, "pgm")
    np.testing.assert_array_equal(read(path), np.rint(before * (full / largest)))
    ran = Ran("denoise", path, "-o", tmp_path / "out.png", *QUICK)
    assert ran.code == 0, ran.err
    assert f"values up to {largest} are stored as values up to {full}" in ran.err


@pytest.mark.parametrize("text", [False, True])
def test_a_bitmap_is_a_mask_and_no_picture(text: bool, tmp_path: Path) -> None:
    valid = np.zeros(SHAPE, bool)
    valid[4:15, 3:25] = True
    rows = " ".join(str(int(not v)) for v in valid.ravel()).encode() if text else b""
    bits = rows or np.packbits(~valid, axis=1).tobytes()  # 1 is black
    mask = tmp_path / "mask.pbm"
    mask.write_bytes(b"P%d\n28 20\n" % (1 if text else 4) + bits)
    picture = written(files.png(files.samples("u1", 1, SHAPE)), tmp_path, "png")
    ran = Ran("denoise", picture, "-o", tmp_path / "out.png", *QUICK, "--mask", mask)
    assert (ran.code, ran.warnings) == (0, [])
    before, after = files.decoded(picture), files.decoded(tmp_path / "out.png")
    np.testing.assert_array_equal(before[~valid], after[~valid])
    assert (before[valid] != after[valid]).mean() > 0.5
    ran = Ran("denoise", mask, "-o", tmp_path / "no.pgm", *QUICK)
    assert ran.code == 1
    assert "1 bit" in ran.err


@pytest.mark.parametrize(
    ("name", "target", "words"),
    [
        ("u1 1", "ppm", "holds RGB"),
        ("u1 3", "pgm", "holds grey"),
        ("u1 4", "pnm", "holds grey and RGB"),
        ("f4 1", "pgm", "unsigned integers"),
        ("u1 1", "pfm", "--dtype float32"),
        ("u1 3", "hdr", "32-bit floating-point RGB"),
        ("f4 1", "hdr", "32-bit floating-point RGB"),
        ("u1 1", "exr", "floating point"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(name: str, target: str, words: str, tmp_path: Path) -> None:
    dtype, channels = name.split()
    samples = files.samples(dtype, int(channels), SHAPE)
    path = written(files.npy(samples), tmp_path, "npy")
    axis = ("--channel-axis", "2") if samples.ndim == 3 else ()
    ran = Ran("denoise", path, "-o", tmp_path / f"out.{target}", *FLOATS, *axis)
    assert ran.code == 1
    assert words in ran.err
    assert not (tmp_path / f"out.{target}").exists()


# --- floats --------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pfm_keeps_order_and_scale(channels: int, order: str, tmp_path: Path) -> None:
    before = files.samples("f4", channels, SHAPE)
    path = written(files.pfm(before, order, "2.5"), tmp_path, "pfm")
    np.testing.assert_array_equal(read(path), before)
    ran = Ran("denoise", path, *FLOATS)
    assert (ran.code, ran.warnings) == (0, [])
    out = tmp_path / "in.denoised.pfm"
    assert out.read_bytes().startswith(b"P%c\n28 20\n%s2.5\n" % (b"fF"[channels == 3], b"-" * (order == "<")))
    after = read(out)
    assert after.std() < 0.8 * before.std()
    if channels == 1:
        with Image.open(out) as image:
            np.testing.assert_allclose(np.asarray(image), after)


def test_radiance_keeps_its_header(tmp_path: Path) -> None:
    before = files.samples("f4", 3, SHAPE)
    path = written(files.radiance(before, "EXPOSURE=2.0", "# a note"), tmp_path, "hdr")
    np.testing.assert_allclose(read(path), before, atol=0.01)
    ran = Ran("denoise", path, *FLOATS)
    assert (ran.code, ran.warnings) == (0, [])
    out = (tmp_path / "in.denoised.hdr").read_bytes()
    assert out.startswith(b"#?RADIANCE\nEXPOSURE=2.0\n# a note\nFORMAT=32-bit_rle_rgbe\n\n-Y 20 +X 28\n")
    assert imagecodecs.rgbe_decode(out).std() < 0.8 * before.std()
    ran = Ran("denoise", path, "-o", tmp_path / "out.png", *FLOATS)
    assert "PNG holds" in ran.err


@pytest.mark.parametrize(("channels", "names"), [(1, "Y"), (2, "YA"), (3, "RGB"), (4, "RGBA")])
@pytest.mark.parametrize("dtype", ["f2", "f4"])
def test_exr_keeps_type_channels_and_attributes(
    dtype: str, channels: int, names: str, tmp_path: Path
) -> None:
    exr = pytest.importorskip("OpenEXR")
    before = files.samples(dtype, channels, SHAPE)
    data = files.exr(before, names, owner="me", compression=exr.PIZ_COMPRESSION)
    path = written(data, tmp_path, "exr")
    np.testing.assert_array_equal(read(path), before)
    ran = Ran("denoise", path, *FLOATS)
    assert (ran.code, ran.warnings) == (0, [])
    out = tmp_path / "in.denoised.exr"
    with exr.File(str(out)) as opened:
        assert opened.header()["owner"] == "me"
        assert opened.header()["compression"] == exr.PIZ_COMPRESSION
    after = read(out)
    assert after.dtype == before.dtype
    colours = min(channels, 3) if channels > 2 else 1
    assert np.atleast_3d(after)[..., :colours].std() < 0.8 * np.atleast_3d(before)[..., :colours].std()
    if names.endswith("A"):
        np.testing.assert_array_equal(after[..., -1], before[..., -1])


def test_exr_without_the_package_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("OpenEXR")
    path = written(files.exr(files.samples("f4"), "Y"), tmp_path, "exr")
    array = written(files.npy(files.samples("f4")), tmp_path, "npy")
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    for ran in (
        Ran("denoise", path, "-o", tmp_path / "out.exr", *FLOATS),
        Ran("denoise", array, "-o", tmp_path / "out.exr", *FLOATS),
    ):
        assert ran.code == 1
        assert "pip install 'nlmeans[exr]'" in ran.err


def test_exr_of_other_channels_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("OpenEXR")
    path = written(files.exr(files.samples("f4", 2), "XZ"), tmp_path, "exr")
    ran = Ran("denoise", path, *FLOATS)
    assert ran.code == 1
    assert "its channels are X, Z" in ran.err


@pytest.mark.parametrize("target", ["pfm", "hdr", "exr", "tif"])
def test_floats_go_between_formats(target: str, tmp_path: Path) -> None:
    if target == "exr":
        pytest.importorskip("OpenEXR")
    before = files.samples("u1", 3, SHAPE)
    path = written(files.png(before), tmp_path, "png")
    out = tmp_path / f"out.{target}"
    ran = Ran("denoise", path, "-o", out, *QUICK, "--dtype", "float32")
    assert (ran.code, ran.warnings) == (0, [])
    assert read(out).mean() == pytest.approx(before.mean(), rel=0.02)


# --- read only -----------------------------------------------------------------------------------

READ_ONLY: dict[str, tuple[str, Callable[[], bytes], np.ndarray]] = {
    "SPE": ("spe", lambda: files.spe(files.samples("u2", 1, SHAPE)[None]), files.samples("u2", 1, SHAPE)),
    "JPEG 2000": (
        "jp2",
        lambda: files.pillow(files.samples("u2", 1, SHAPE), "JPEG2000"),
        files.samples("u2", 1, SHAPE),
    ),
    "codestream": (
        "j2k",
        lambda: files.pillow(files.samples("u1", 3, SHAPE), "JPEG2000", no_jp2=True),
        files.samples("u1", 3, SHAPE),
    ),
    "QOI": ("qoi", lambda: files.pillow(files.samples("u1", 3, SHAPE), "QOI"), files.samples("u1", 3, SHAPE)),
    "JPEG 2000 of 16-bit colours": (
        "jp2",
        lambda: files.jpeg2000(files.samples("u2", 3, SHAPE)),
        files.samples("u2", 3, SHAPE),
    ),
    "JPEG 2000 of 12 bits": (
        "j2k",
        lambda: files.jpeg2000(files.samples("u2", 1, SHAPE) >> 4, 12, codecformat="j2k"),
        files.samples("u2", 1, SHAPE) >> 4,
    ),
    "JPEG 2000 with alpha": (
        "jp2",
        lambda: files.jpeg2000(files.samples("u1", 2, SHAPE)),
        files.samples("u1", 2, SHAPE),
    ),
    "TGA": ("tga", lambda: files.pillow(files.samples("u1", 3, SHAPE), "TGA"), files.samples("u1", 3, SHAPE)),
    "TGA from the top": (
        "tga",
        lambda: files.pillow(files.samples("u1", 1, SHAPE), "TGA", orientation=1, compression="tga_rle"),
        files.samples("u1", 1, SHAPE),
    ),
    "TGA with alpha": (
        "tga",
        lambda: files.pillow(files.samples("u1", 4, SHAPE), "TGA"),
        files.samples("u1", 4, SHAPE),
    ),
    "SGI": ("sgi", lambda: files.pillow(files.samples("u1", 3, SHAPE), "SGI"), files.samples("u1", 3, SHAPE)),
    "SGI of 16 bits": (
        "sgi",
        lambda: files.sgi(files.samples("u2", 3, SHAPE)),
        files.samples("u2", 3, SHAPE),
    ),
    "grey SGI of 16 bits": (
        "bw",
        lambda: files.sgi(files.samples("u2", 1, SHAPE)),
        files.samples("u2", 1, SHAPE),
    ),
}


def test_twelve_bits_of_jpeg_2000_stay_twelve(tmp_path: Path) -> None:
    before = np.random.default_rng(0).normal(1000, 40, (*SHAPE, 3)).astype("u2")
    path = written(files.jpeg2000(before, 12), tmp_path, "jp2")
    ran = Ran("denoise", path, *QUICK)
    assert ran.code == 0, ran.err
    with tifffile.TiffFile(tmp_path / "in.denoised.tif") as tiff:
        assert tiff.pages[0].bitspersample == 12  # type: ignore[union-attr]
        assert tiff.pages[0].asarray().mean() == pytest.approx(before.mean(), rel=0.01)
    assert Ran("denoise", path, "-o", tmp_path / "out.png", *QUICK).code == 0
    assert files.decoded(tmp_path / "out.png").mean() == pytest.approx(before.mean() * 65535 / 4095, rel=0.01)


def test_what_tga_says_is_no_alpha_is_left_out(tmp_path: Path) -> None:
    """Its zeros would hide every pixel."""
    pixels = files.samples("u1", 4, SHAPE)
    pixels[..., 3] = 0
    data = bytearray(files.pillow(pixels, "TGA"))
    data[17] &= 0xF0
    path = written(bytes(data), tmp_path, "tga")
    ran = Ran("denoise", path, *QUICK)
    assert ran.code == 0, ran.err
    assert "its fourth channel, which is no alpha by its header, is left out" in ran.err
    assert tifffile.imread(tmp_path / "in.denoised.tif").shape == (*SHAPE, 3)


def test_a_tga_file_that_begins_like_another_is_read(tmp_path: Path) -> None:
    """Ten bytes of text in front make it begin as PCX does, which Pillow tries first."""
    pixels = files.samples("u1", 3, SHAPE)
    path = written(files.pillow(pixels, "TGA", id_section=b"made by me"), tmp_path, "tga")
    np.testing.assert_array_equal(read(path), pixels)


def test_what_tga_and_sgi_keep_beside_pixels_is_named(tmp_path: Path) -> None:
    path = written(files.pillow(files.samples("u1"), "TGA", id_section=b"by me"), tmp_path, "tga")
    assert "what TGA stores besides pixels is left out" in Ran("estimate", path).err
    data = bytearray(files.sgi(files.samples("u1")))
    data[24:29] = b"ocean"
    assert "the name that SGI stores" in Ran("estimate", written(bytes(data), tmp_path, "sgi")).err


@pytest.mark.parametrize("name", READ_ONLY)
def test_what_is_only_read_becomes_tiff(name: str, tmp_path: Path) -> None:
    suffix, make, before = READ_ONLY[name]
    path = written(make(), tmp_path, suffix)
    np.testing.assert_array_equal(read(path), before)
    ran = Ran("denoise", path, *QUICK)
    assert ran.code == 0, ran.err
    after = tifffile.imread(tmp_path / "in.denoised.tif")
    assert (after.shape, after.dtype) == (before.shape, before.dtype)
    assert after.std() < 0.8 * before.std()
    ran = Ran("denoise", path, "-o", tmp_path / f"out.{suffix}", *QUICK)
    assert ran.code == 2
    assert "it must be one of" in ran.err
    ran = Ran("denoise", "-r", tmp_path, "-o", "{dir}/{stem}.x{ext}", *QUICK)
    assert [p.name for p in tmp_path.glob("*.x*")] == ["in.x.tif"]


def test_every_frame_of_spe_is_a_page(tmp_path: Path) -> None:
    frames = np.stack([files.samples("u2", 1, SHAPE, seed) for seed in range(3)])
    path = written(files.spe(frames), tmp_path, "spe")
    ran = Ran("denoise", path, *QUICK)
    assert ran.code == 0, ran.err
    assert "what SPE stores besides pixels" in ran.err
    after = tifffile.imread(tmp_path / "in.denoised.tif")
    assert after.shape == frames.shape
    assert after.mean(axis=(1, 2)) == pytest.approx(frames.mean(axis=(1, 2)), rel=0.01)
    ran = Ran("denoise", "-", "-o", tmp_path / "piped.tif", *QUICK, given=path.read_bytes())
    assert ran.code == 0, ran.err
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "piped.tif"), after)


def tga_header(side: int, depth: int) -> bytes:
    """Of run-length encoded colours."""
    return bytes((0, 0, 10)) + bytes(9) + struct.pack("<HHBB", side, side, depth, 8) + bytes(9)


def sgi_header(side: int, depth: int = 1) -> bytes:
    """Of run-length encoded colours."""
    return struct.pack(">hBBHHHH", 474, 1, depth, 3, side, side, 3).ljust(600, b"\0")


BROKEN: dict[str, tuple[bytes, str]] = {
    "PGM of 2^31 squared": (b"P5\n2147483648 2147483648\n255\n\0", "bytes of pixels"),
    "PGM without pixels": (b"P5\n9 9\n255\n", "bytes of pixels"),
    "PGM of text without pixels": (b"P2\n9 9\n255\n1 2 3", "numbers in"),
    "PGM of words": (b"P2\n2 2\n255\n1 2 three 4", "not written as numbers"),
    "PGM, largest 0": (b"P5\n1 1\n0\n\0", "largest value"),
    "PGM, largest 70000": (b"P5\n1 1\n70000\n\0\0\0", "largest value"),
    "PAM": (b"P7\nWIDTH 1\n", "a PAM picture"),
    "PFM without pixels": (b"Pf\n9 9\n-1.0\n", "bytes of pixels"),
    "PFM, scale 0": (b"Pf\n1 1\n0.0\n\0\0\0\0", "scale"),
    "HDR turned": (b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n+X 9 -Y 9\n", "-Y height +X width"),
    "HDR of XYZ": (b"#?RADIANCE\nFORMAT=32-bit_rle_xyze\n\n-Y 9 +X 9\n", "CIE XYZ"),
    "HDR of 60,000 squared": (b"#?RADIANCE\n\n-Y 60000 +X 60000\n", "--max-pixels"),
    "HDR, many-fold": (b"#?RADIANCE\n\n-Y 9000 +X 9000\n", "--max-expansion"),
    "QOI of 60,000 squared": (b"qoif" + struct.pack(">IIBB", 60_000, 60_000, 3, 0), "--max-pixels"),
    "QOI, many-fold": (b"qoif" + struct.pack(">IIBB", 12_000, 12_000, 4, 0), "--max-expansion"),
    "EXR of several parts": (b"\x76\x2f\x31\x01" + struct.pack("<I", 0x1002), "several parts"),
    "EXR, deep": (b"\x76\x2f\x31\x01" + struct.pack("<I", 0x802), "deep pixels"),
    "EXR of another version": (b"\x76\x2f\x31\x01" + struct.pack("<I", 3), "version"),
    "DICOM": (bytes(128) + b"DICM" + bytes(200), "a DICOM file; save its pixels as NPY"),
    "TGA with a palette": (
        bytes((0, 1, 1, 0, 0, 0, 1, 24, *bytes(4), 9, 0, 9, 0, 8, 0)) + bytes(900),
        "palette",
    ),
    "TGA of 60,000 squared": (tga_header(60_000, 24), "--max-pixels"),
    "TGA, many-fold": (tga_header(12_000, 32), "--max-expansion"),
    "TGA of 16 bits": (tga_header(9, 16), "packed colours"),
    "SGI cut": (files.sgi(np.zeros((9, 9, 3), "u2"))[:-1], "the file ends before"),
    "SGI of 60,000 squared": (sgi_header(60_000), "--max-pixels"),
    "SGI, many-fold": (sgi_header(12_000), "--max-expansion"),
    "SGI of 16 bits, packed": (sgi_header(9, depth=2), "run-length encoded"),
    "JPEG 2000, signed": (files.jpeg2000(np.zeros((9, 9), "i2")), "unsigned bits"),
    "JPEG 2000 cut": (b"\xff\x4f\xff\x51" + bytes(9), "no JPEG 2000 codestream"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_headers_are_refused_by_what_is_wrong(name: str, tmp_path: Path) -> None:
    data, words = BROKEN[name]
    ran = Ran("denoise", written(data, tmp_path, "any"), "-o", tmp_path / "out.tif", *QUICK)
    assert ran.code == (5 if words.startswith("--") else 1), ran.err
    assert words in ran.err


def test_imageio_is_asked_for_one_plugin_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never for its own choice, which goes by names and tries one after the other."""
    import imageio.v3 as imageio

    asked = []
    real = imageio.imopen
    monkeypatch.setattr(imageio, "imopen", lambda *a, **k: asked.append(k["plugin"]) or real(*a, **k))
    for suffix, make, _ in READ_ONLY.values():
        read(written(make(), tmp_path, suffix))
    assert asked == ["SPE", "pillow"]  # for QOI; the others are read by Pillow and imagecodecs


def test_what_was_written_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that made something else is no success."""
    from nlmeans.cli.formats import png

    path = written(files.png(files.samples("u1", 1, SHAPE)), tmp_path, "png")
    monkeypatch.setattr(png, "SIGNATURE", b"BM" + png.SIGNATURE[2:])
    monkeypatch.setattr(png, "write", lambda file, *_: file.write(b"BM" + bytes(99)) and [])
    ran = Ran("denoise", path, "-o", tmp_path / "out.png", *QUICK)
    assert ran.code == 1
    assert "what was written is no PNG" in ran.err
    assert not (tmp_path / "out.png").exists()
