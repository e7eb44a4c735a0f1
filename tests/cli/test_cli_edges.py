"""Files as cameras, phones and other programs make them: around the picture, and at its end."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ..faults import files
from ..faults.streams import Ran

QUICK = files.QUICK
MOTION = b"<x xmlns:GCamera='http://ns.google.com/photos/1.0/camera/' GCamera:MicroVideo='1'/>"


def jpeg(*segments: bytes, channels: int = 3, **options: object) -> bytes:
    """A JPEG file with further segments, or anything, behind its first marker."""
    stored = files.pillow(files.samples("u1", channels), "JPEG", quality=90, **options)
    return stored[:2] + b"".join(segments) + stored[2:]


def segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def xmp(text: bytes) -> bytes:
    return segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + text)


def denoised(data: bytes, tmp_path: Path, suffix: str) -> tuple[Ran, Path]:
    (tmp_path / f"in.{suffix}").write_bytes(data)
    return Ran("denoise", tmp_path / f"in.{suffix}", "-o", tmp_path / f"out.{suffix}", *QUICK), (
        tmp_path / f"out.{suffix}"
    )


def noise(count: int) -> bytes:
    return np.random.default_rng(0).integers(0, 256, count, dtype="u1").tobytes()


def bmp_v5(profile: bytes) -> bytes:
    stored = files.pillow(files.samples("u1", 3), "BMP")
    pixels = stored[54:]
    head = struct.pack("<2sIHHI", b"BM", 138 + len(pixels) + len(profile), 0, 0, 138)
    head += struct.pack("<I", 124) + stored[18:54] + bytes(16) + b"DEBM" + bytes(48)
    return head + struct.pack("<IIII", 0, 124 + len(pixels), len(profile), 0) + pixels + profile


ENDS = {
    "png": lambda: files.png(files.samples("u1", 3)),
    "jpg": jpeg,
    "webp": lambda: files.pillow(files.samples("u1", 3), "WEBP", lossless=True),
    "bmp": lambda: files.pillow(files.samples("u1", 3), "BMP"),
}


@pytest.mark.parametrize("suffix", ENDS)
@pytest.mark.parametrize("count", [7, 3_000_000])
def test_what_stands_behind_a_picture_is_named(suffix: str, count: int, tmp_path: Path) -> None:
    """A JPEG of 3 MB of anything behind it was refused for its 45 scans and more; shorter: silence."""
    ran, result = denoised(ENDS[suffix]() + noise(count), tmp_path, suffix)
    assert ran.code == 0, ran.err
    assert f"{count:,} bytes behind the picture are left out" in ran.err
    assert result.stat().st_size < 10_000


@pytest.mark.parametrize("suffix", ENDS)
def test_zeros_behind_a_picture_are_nothing(suffix: str, tmp_path: Path) -> None:
    ran, _ = denoised(ENDS[suffix]() + bytes(500), tmp_path, suffix)
    assert (ran.code, ran.warnings) == (0, [])


def test_scans_are_counted_within_the_picture_only(tmp_path: Path) -> None:
    ran, _ = denoised(jpeg() + b"\xff\xda" * 113, tmp_path, "jpg")
    assert ran.code == 0, ran.err
    assert "226 bytes behind the picture" in ran.err


@pytest.mark.parametrize(
    ("head", "rest", "words"),
    [
        (xmp(MOTION), noise(5000), "the video of a motion photo that its XMP still promises"),
        (xmp(b"<x Item:Mime='video/mp4'/>"), noise(50), "the video of a motion photo that its XMP"),
        (xmp(b"<x hdrgm:Version='1.0'/>"), noise(50), "the gain map that its XMP still promises"),
        (b"", b"\0\0\0\x18ftypmp42" + noise(50), "(a video)"),
    ],
)
def test_a_motion_photo_says_that_its_video_is_left_out(
    head: bytes, rest: bytes, words: str, tmp_path: Path
) -> None:
    ran, _ = denoised(jpeg(head) + rest, tmp_path, "jpg")
    assert ran.code == 0, ran.err
    assert words in ran.err
    assert f"{len(rest):,} bytes behind" in ran.err


STRAY = {
    "a byte": (b"\0", 1),
    "many": (b"abc" * 40_000, 120_000),
    "stuffed zeros": (b"\xff\0\xff\0", 4),
    "fill bytes, which belong there": (b"\xff" * 300, 0),
    "at the edge of a block": (b"a" * 65_534 + b"\xff", 65_534),
}


@pytest.mark.parametrize("name", STRAY)
def test_stray_bytes_between_segments_are_skipped(name: str, tmp_path: Path) -> None:
    stray, count = STRAY[name]
    data = jpeg(segment(0xFE, b"a comment"), stray)
    with Image.open(BytesIO(data)) as image:
        expected = np.asarray(image)
    ran, result = denoised(data, tmp_path, "jpg")
    assert ran.code == 0, ran.err
    assert len(ran.warnings) == bool(count)
    assert f"{count:,} stray bytes between its segments are left out" in ran.err or not count
    with Image.open(result) as image:
        assert image.info["comment"] == b"a comment"
        assert abs(np.asarray(image).mean() - expected.mean()) < 3


@pytest.mark.parametrize("copies", [1, 2, 3])
@pytest.mark.parametrize("size", [500, 150_000])
def test_copies_of_a_colour_profile_become_one(copies: int, size: int, tmp_path: Path) -> None:
    """Two copies, each "1 of 1", side by side are none for Pillow."""
    profile = noise(size)
    step = 65_519
    pieces = [profile[n : n + step] for n in range(0, size, step)]
    marked = [
        segment(0xE2, b"ICC_PROFILE\0" + bytes([n, len(pieces)]) + piece) for n, piece in enumerate(pieces, 1)
    ]
    ran, result = denoised(jpeg(*marked * copies), tmp_path, "jpg")
    assert (ran.code, ran.warnings) == (0, [])
    with Image.open(result) as image:
        assert image.info["icc_profile"] == profile


def test_a_second_colour_profile_is_named(tmp_path: Path) -> None:
    marked = [segment(0xE2, b"ICC_PROFILE\0\1\1" + p) for p in (b"first", b"second")]
    ran, result = denoised(jpeg(*marked), tmp_path, "jpg")
    assert "two colour profiles" in ran.err
    with Image.open(result) as image:
        assert image.info["icc_profile"] == b"first"


def test_copies_of_a_png_chunk_become_one(tmp_path: Path) -> None:
    chunk = (b"iCCP", b"p\0\0" + zlib.compress(b"profile" * 9))
    text = (b"tEXt", b"Title\0twice")
    ran, result = denoised(files.png(files.samples("u1", 3), chunk, chunk, text, text), tmp_path, "png")
    assert ran.code == 0, ran.err
    assert (result.read_bytes().count(b"iCCP"), result.read_bytes().count(b"tEXt")) == (1, 2)


# --- alpha in BMP --------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["png", "bmp"])
def test_alpha_survives_in_bmp(source: str, tmp_path: Path) -> None:
    """It was written without a mask, and then every reader took it for RGB."""
    before = files.samples("u1", 4)
    before[..., 3] = np.arange(before[..., 3].size).reshape(before.shape[:2]) % 256
    (tmp_path / "in.png").write_bytes(files.pillow(before, "PNG", dpi=(254, 254)))
    ran = Ran("denoise", tmp_path / "in.png", "-o", tmp_path / "out.bmp", *QUICK)
    assert (ran.code, ran.warnings) == (0, [])
    last = tmp_path / "out.bmp"
    if source == "bmp":
        ran = Ran("denoise", last, "-o", tmp_path / "again.bmp", *QUICK)
        assert (ran.code, ran.warnings) == (0, [])
        last = tmp_path / "again.bmp"
    with Image.open(last) as image:
        assert image.mode == "RGBA"
        assert image.info["dpi"] == pytest.approx((254, 254), abs=0.1)
        after = np.asarray(image)
    np.testing.assert_array_equal(after[..., 3], before[..., 3])
    assert after[..., :3].std() < 0.8 * before[..., :3].std()


def test_a_fourth_byte_without_a_mask_is_named(tmp_path: Path) -> None:
    plain = files.samples("u1", 4)
    ran, result = denoised(files.pillow(plain, "BMP"), tmp_path, "bmp")
    assert "the fourth byte of its pixels" in ran.err
    plain[..., 3] = 255
    result.unlink()
    ran, _ = denoised(files.pillow(plain, "BMP"), tmp_path, "bmp")
    assert (ran.code, ran.warnings) == (0, [])


def test_a_profile_at_the_end_of_a_bmp_is_not_behind_it(tmp_path: Path) -> None:
    (tmp_path / "in.bmp").write_bytes(bmp_v5(b"profile" * 9))
    ran = Ran("denoise", tmp_path / "in.bmp", "-o", tmp_path / "out.png", *QUICK)
    assert (ran.code, ran.warnings) == (0, [])
    with Image.open(tmp_path / "out.png") as image:
        assert image.info["icc_profile"] == b"profile" * 9
