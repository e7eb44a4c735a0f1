"""What the numbers of a TIFF page mean: 0 is white, few bits, packed bits; other formats show the same."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile

from ..faults import files, tiffs
from ..faults.streams import Ran
from ..faults.tiffs import denoised, warnings_of

QUICK = files.QUICK


@pytest.mark.parametrize("target", ["png", "jpg", "webp", "bmp"])
def test_zero_is_white_is_carried_into_other_formats(target: str, tmp_path: Path) -> None:
    pixels = np.full((32, 32), 10, "u1")
    pixels[:, 16:] = 230
    ran, result = denoised(files.tiff(pixels, photometric="miniswhite"), tmp_path, target=target)
    assert ran.code == 0, ran.err
    shown = files.decoded(result).astype(int)
    shown = shown if shown.ndim == 2 else shown[..., 0]
    assert np.abs(shown[:, :8] - 245).max() < 5
    assert np.abs(shown[:, 24:] - 25).max() < 5


def test_zero_is_white_with_16_bits_and_alpha(tmp_path: Path) -> None:
    pixels = np.full((16, 16, 2), 1000, "u2")
    pixels[..., 1] = 65535
    data = files.tiff(pixels, photometric="miniswhite", planarconfig="contig", extrasamples=(2,))
    ran, result = denoised(data, tmp_path, target="png")
    assert ran.code == 0, ran.err
    assert (files.decoded(result) == (64535, 65535)).all()


def test_arrays_keep_numbers_and_say_what_they_mean(tmp_path: Path) -> None:
    data = files.tiff(np.full((16, 16), 10, "u1"), photometric="miniswhite")
    ran, result = denoised(data, tmp_path, target="npy")
    assert (np.load(result) == 10).all()
    assert "0 is white" in warnings_of(ran)


def test_views_show_what_the_file_shows(tmp_path: Path) -> None:
    pixels = np.full((40, 40), 10, "u1")
    pixels[:, 20:] = 240
    dark, light = files.tiff(pixels, photometric="miniswhite"), files.tiff(255 - pixels)
    sides = []
    for n, data in enumerate((dark, light)):
        side = tmp_path / f"side{n}.png"
        ran, _ = denoised(data, tmp_path, "--side-by-side", side)
        assert ran.code == 0, ran.err
        sides.append(files.decoded(side))
        ran = Ran("weights", tmp_path / "in.tif", "--at", "5,5", "-o", tmp_path / f"w{n}.png", *QUICK)
        assert ran.code == 0, ran.err
    assert np.array_equal(*sides)
    assert np.array_equal(files.decoded(tmp_path / "w0.png"), files.decoded(tmp_path / "w1.png"))


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("bits", [2, 4, 6])
def test_few_bits_are_stretched(bits: int, photometric: str, tmp_path: Path) -> None:
    largest = 2**bits - 1
    pixels = np.full((16, 20), 1, "u1")
    pixels[:, 10:] = largest
    data = files.tiff(pixels, photometric=photometric, bitspersample=bits)
    ran, result = denoised(data, tmp_path, "--h", 0.001)
    assert ran.code == 0, ran.err
    assert "8 bits" in warnings_of(ran)
    after = tifffile.imread(result)
    assert after[0, 0] == round(255 / largest)
    assert after[0, -1] == 255
    ran, result = denoised(data, tmp_path, "--h", 0.001, target="png")
    shown = files.decoded(result)
    assert shown[0, -1] == (0 if photometric == "miniswhite" else 255)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bits", [10, 12, 14])
def test_packed_bits_keep_their_depth_and_scale(bits: int, channels: int, tmp_path: Path) -> None:
    largest = 2**bits - 1
    mean = largest // 4
    shape = (40, 40) if channels == 1 else (40, 40, channels)
    before = np.random.default_rng(0).normal(mean, largest / 100, shape).astype("u2")
    photometric = "rgb" if channels == 3 else "minisblack"
    data = files.tiff(before, bitspersample=bits, photometric=photometric)
    ran, result = denoised(data, tmp_path)
    assert ran.code == 0, ran.err
    with tifffile.TiffFile(result) as tiff:
        page = tiff.pages[0]
        assert page.bitspersample == bits  # type: ignore[union-attr]
        after = page.asarray()
    assert abs(float(after.mean()) - mean) < largest / 100
    assert after.std() < 0.8 * before.std()
    sigma = Ran("estimate", tmp_path / "in.tif", "--sigma", "10%", "--json").lines[0]["pages"][0][
        "parameters"
    ]
    assert sigma["sigma"] == pytest.approx(largest / 10)
    error = np.mean((after.astype(float) - before) ** 2)
    measured = Ran("compare", tmp_path / "in.tif", result, "--json").lines[0]["pages"][0]
    assert measured["psnr"] == pytest.approx(10 * np.log10(largest**2 / error))
    ran, shown = denoised(data, tmp_path, target="png")
    assert abs(float(files.decoded(shown).mean()) / 65535 - mean / largest) < 0.01


def test_compressed_packed_bits_say_how_they_are_stored(tmp_path: Path) -> None:
    before = np.random.default_rng(0).normal(1000, 30, (40, 40)).astype("u2")
    rows = np.zeros((40, 80), "u1")
    for y, row in enumerate(before):
        number = int("".join(f"{v:012b}" for v in row), 2)
        rows[y, :60] = np.frombuffer(number.to_bytes(60, "big"), "u1")
    import zlib

    body = zlib.compress(rows[:, :60].tobytes())
    tags = tiffs.plain(bits=12) | {259: (3, (8,)), 273: (4, (0,)), 279: (4, (len(body),))}
    ran, result = denoised(tiffs.by_hand(tags, body), tmp_path)
    assert ran.code == 0, ran.err
    assert "12-bit samples are stored packed, without compression" in warnings_of(ran)
    with tifffile.TiffFile(result) as tiff:
        assert tiff.pages[0].bitspersample == 12  # type: ignore[union-attr]
        assert abs(tiff.pages[0].asarray().mean() - 1000) < 10


def test_packed_bits_of_a_big_endian_file(tmp_path: Path) -> None:
    """tifffile packs samples of the other byte order wrongly: the file is written in the processor's own."""
    body, mean = bytearray(), 0.0
    pixels = np.random.default_rng(0).normal(1000, 30, (40, 40)).astype(int)
    for row in pixels:
        body += int("".join(f"{v:012b}" for v in row), 2).to_bytes(60, "big")
    tags = [(256, 40), (257, 40), (258, 12), (259, 1), (262, 1), (273, 200), (277, 1), (278, 40), (279, 2400)]
    entries = b"".join(struct.pack(">HHII", code, 4, 1, value) for code, value in tags)
    entries += struct.pack(">HHIHH", 65001, 3, 2, 300, 400)
    data = b"MM\0*" + struct.pack(">IH", 8, 10) + entries + bytes(4)
    ran, result = denoised(data.ljust(200, b"\0") + body, tmp_path)
    assert ran.code == 0, ran.err
    with tifffile.TiffFile(result) as tiff:
        page = tiff.pages[0]
        mean = float(page.asarray().mean())
        assert (page.bitspersample, page.tags[65001].value) == (12, (300, 400))  # type: ignore[union-attr]
    assert abs(mean - pixels.mean()) < 5
