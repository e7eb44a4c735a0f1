"""Formats: depth, colours, pages and the way a picture was stored come out as they went in."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage import data

from nlmeans import denoise

from ..faults import files
from ..faults.streams import Ran

QUICK = files.QUICK


def denoised(
    data: bytes, tmp_path: Path, suffix: str, *options: object, target: str | None = None
) -> tuple[Ran, Path]:
    path = tmp_path / f"in.{suffix}"
    path.write_bytes(data)
    result = tmp_path / f"out.{target or suffix}"
    return Ran("denoise", path, "-o", result, *QUICK, *options), result


def check_denoised(before: np.ndarray, after: np.ndarray, colours: int) -> None:
    """Same shape and type, less noise in the colours, all else untouched."""
    assert (after.shape, after.dtype.newbyteorder("=")) == (before.shape, before.dtype.newbyteorder("="))
    if before.ndim == 2:
        before, after = before[..., None], after[..., None]
    for channel in range(colours):
        assert after[..., channel].astype(float).std() < 0.8 * before[..., channel].astype(float).std()
    assert np.array_equal(before[..., colours:], after[..., colours:])


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_png_keeps_its_depth(dtype: str, channels: int, tmp_path: Path) -> None:
    before = files.samples(dtype, channels)
    ran, result = denoised(files.png(before), tmp_path, "png")
    assert ran.code == 0, ran.err
    check_denoised(before, imagecodecs.png_decode(result.read_bytes()), {1: 1, 2: 1}.get(channels, 3))


@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("dtype", ["u1", ">u2", "u2", "i2", "i1", "f2", "f4", ">f8"])
def test_tiff_keeps_its_depth(dtype: str, colours: int, tmp_path: Path) -> None:
    before = files.samples(dtype, colours)
    photometric = "rgb" if colours == 3 else "minisblack"
    data = files.tiff(before, photometric=photometric, order=">" if dtype[0] == ">" else "<")
    ran, result = denoised(data, tmp_path, "tif")
    assert ran.code == 0, ran.err
    check_denoised(before, tifffile.imread(result), colours)


@pytest.mark.parametrize("dtype", ["u1", "i1", ">u2", "i2", "f2", "f4", ">f4", "f8"])
@pytest.mark.parametrize("fortran", [False, True])
def test_npy_keeps_type_and_order(dtype: str, fortran: bool, tmp_path: Path) -> None:
    before = files.samples(dtype)
    before = np.asfortranarray(before) if fortran else before
    ran, result = denoised(files.npy(before), tmp_path, "npy")
    assert ran.code == 0, ran.err
    after = np.load(result)
    assert after.dtype == before.dtype
    assert after.flags.f_contiguous == before.flags.f_contiguous
    check_denoised(before, after, 1)


@pytest.mark.parametrize(
    ("mode", "channels"),
    [("JPEG", 1), ("JPEG", 3), ("WEBP", 3), ("WEBP", 4), ("BMP", 1), ("BMP", 3), ("BMP", 4)],
)
def test_eight_bit_formats_keep_their_channels(mode: str, channels: int, tmp_path: Path) -> None:
    data = files.pillow(files.samples("u1", channels), mode, **({"lossless": True} if mode == "WEBP" else {}))
    suffix = {"JPEG": "jpg"}.get(mode, mode.lower())
    with Image.open(BytesIO(data)) as image:
        before = np.asarray(image)
    ran, result = denoised(data, tmp_path, suffix)
    assert ran.code == 0, ran.err
    with Image.open(result) as image:
        check_denoised(before, np.asarray(image), min(channels, 3))


STORED: dict[str, dict[str, Any]] = {
    "plain": {},
    "lzw": {"compression": "lzw"},
    "deflate and predictor": {"compression": "zlib", "predictor": True},
    "packbits": {"compression": "packbits"},
    "zstd": {"compression": "zstd"},
    "tiles": {"tile": (16, 16), "compression": "zlib"},
    "strips": {"rowsperstrip": 3},
    "separate planes": {"planarconfig": "separate"},
    "BigTIFF": {"big": True},
    "big-endian": {"order": ">"},
    "white is zero": {"photometric": "miniswhite"},
}


@pytest.mark.parametrize("name", STORED)
def test_tiff_is_stored_as_it_was(name: str, tmp_path: Path) -> None:
    colours = 1 if name == "white is zero" else 3
    before = files.samples("u2", colours, (20, 24))
    stored = before
    if name == "separate planes":
        stored = np.moveaxis(before, -1, 0)
    data = files.tiff(stored, **{"photometric": "rgb", **STORED[name]})
    ran, result = denoised(data, tmp_path, "tif")
    assert ran.code == 0, ran.err
    with tifffile.TiffFile(BytesIO(data)) as old, tifffile.TiffFile(result) as new:
        a, b = old.pages[0], new.pages[0]
        for what in ("compression", "predictor", "photometric", "planarconfig", "is_tiled", "tilewidth"):
            assert getattr(a, what) == getattr(b, what), what
        assert (old.byteorder, old.is_bigtiff) == (new.byteorder, new.is_bigtiff)
        after = b.asarray()
    if name == "separate planes":
        after = np.moveaxis(after, 0, -1)
    check_denoised(before, after, colours)


def test_pages_are_independent_and_keep_their_sizes(tmp_path: Path) -> None:
    pages = [
        files.samples("u2", 1, (12, 14)),
        files.samples("u1", 3, (9, 9)),
        files.samples("f4", 1, (20, 8)),
    ]
    memory = BytesIO()
    with tifffile.TiffWriter(memory) as writer:
        for page in pages:
            writer.write(page, photometric="rgb" if page.ndim == 3 else None, metadata=None)
    ran, result = denoised(memory.getvalue(), tmp_path, "tif")
    assert ran.code == 0, ran.err
    with tifffile.TiffFile(result) as tiff:
        for page, after in zip(pages, tiff.pages, strict=True):
            check_denoised(page, after.asarray(), 3 if page.ndim == 3 else 1)


def test_a_volume_uses_the_neighbouring_planes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    planes = [np.rint(100 + rng.normal(0, 10, (16, 16))).astype("u1") for _ in range(6)]
    data = files.tiff(list(planes))
    ran, apart = denoised(data, tmp_path, "tif")
    assert ran.code == 0
    apart_std = tifffile.imread(apart).std()
    ran, _ = denoised(data, tmp_path, "tif", "--volume", "--overwrite")
    assert ran.code == 0, ran.err
    together = tifffile.imread(apart)
    assert together.shape == (6, 16, 16)
    assert together.std() < apart_std


def test_planes_of_different_sizes_are_no_volume(tmp_path: Path) -> None:
    data = files.tiff([files.samples("u1", 1, (9, 9)), files.samples("u1", 1, (9, 8))])
    ran, result = denoised(data, tmp_path, "tif", "--volume")
    assert ran.code == 1
    assert "no volume" in ran.err
    assert not result.exists()


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2)])
@pytest.mark.parametrize("suffix", ["png", "tif", "npy", "bmp"])
def test_tiny_pictures_pass(suffix: str, shape: tuple[int, int], tmp_path: Path) -> None:
    pixels = files.samples("u1", 1, shape)
    make = {"png": files.png, "tif": files.tiff, "npy": files.npy, "bmp": lambda p: files.pillow(p, "BMP")}
    ran, result = denoised(make[suffix](pixels), tmp_path, suffix)
    assert ran.code == 0, ran.err
    assert files.decoded(result).shape == shape


def test_transparent_pixels_neither_vote_nor_change(tmp_path: Path) -> None:
    pixels = np.full((12, 12, 4), 255, "u1")
    pixels[..., :3] = np.random.default_rng(0).normal(100, 5, (12, 12, 3)).astype("u1")
    pixels[:, 6:, :3] = 250
    pixels[:, 6:, 3] = 0
    _, result = denoised(files.png(pixels), tmp_path, "png", "--h", "1000")
    after = files.decoded(result)
    assert np.array_equal(after[:, 6:], pixels[:, 6:])
    assert after[:, :6, :3].max() < 120, "a transparent pixel was averaged"


def test_a_transparent_colour_becomes_alpha_and_that_is_said(tmp_path: Path) -> None:
    pixels = files.samples("u1", 3)
    key = tuple(int(v) for v in pixels[0, 0])
    data = files.png(pixels, (b"tRNS", bytes(b for v in key for b in (0, v))))
    ran, result = denoised(data, tmp_path, "png")
    assert ran.code == 0
    assert "transparent colour is stored as an alpha channel" in ran.err
    after = files.decoded(result)
    assert after.shape == (*pixels.shape[:2], 4)
    assert after[0, 0].tolist() == [*key, 0]
    assert after[1:, :, 3].min() == 255


@pytest.mark.parametrize("channel_axis", [0, -1])
def test_the_channel_axis_of_an_array(channel_axis: int, tmp_path: Path) -> None:
    before = np.moveaxis(files.samples("f4", 3), -1, channel_axis)
    ran, result = denoised(files.npy(before), tmp_path, "npy", "--channel-axis", channel_axis)
    assert ran.code == 0, ran.err
    assert np.load(result).shape == before.shape
    assert "volume" not in ran.err


def test_an_array_that_could_be_colour_is_a_volume_and_that_is_said(tmp_path: Path) -> None:
    ran, _ = denoised(files.npy(files.samples("f4", 3)), tmp_path, "npy")
    assert ran.code == 0
    assert "--channel-axis" in ran.err


REFUSED = {  # what comes, where to, a word of the reason
    "16 bits to JPEG": ("png", lambda: files.png(files.samples("u2", 3)), "jpg", "8-bit"),
    "alpha to JPEG": ("png", lambda: files.png(files.samples("u1", 4)), "jpg", "alpha"),
    "float to PNG": ("tif", lambda: files.tiff(files.samples("f4")), "png", "floating-point"),
    "signed to PNG": ("tif", lambda: files.tiff(files.samples("i2")), "png", "signed"),
    "pages to PNG": ("tif", lambda: files.tiff([files.samples("u1")] * 2), "png", "not 2"),
    "pages to NPY": ("tif", lambda: files.tiff([files.samples("u1")] * 2), "npy", "--volume"),
    "16 bits to WebP": ("tif", lambda: files.tiff(files.samples("u2")), "webp", "8-bit"),
    "volume to PNG": ("npy", lambda: files.npy(np.zeros((5, 5, 5), "u1")), "png", "array"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_format_cannot_hold_is_refused_before_the_work(name: str, tmp_path: Path) -> None:
    source, make, target, word = REFUSED[name]
    ran, result = denoised(make(), tmp_path, source, target=target)
    assert ran.code == 1
    assert word in ran.err, ran.err
    assert not result.exists()


def palette(mode: str, suffix: str) -> bytes:
    memory = BytesIO()
    image = Image.fromarray(files.samples("u1", 3)).convert(mode)
    image.save(memory, {"tif": "TIFF"}.get(suffix, suffix.upper()))
    return memory.getvalue()


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
@pytest.mark.parametrize(("mode", "word"), [("P", "palette"), ("1", "1 bit")])
def test_palettes_and_single_bits_are_refused_with_the_way_out(
    mode: str, word: str, suffix: str, tmp_path: Path
) -> None:
    ran, _ = denoised(palette(mode, suffix), tmp_path, suffix)
    assert ran.code == 1
    assert word in ran.err
    assert mode == "1" or "convert it to RGB first" in ran.err


def test_inks_are_refused(tmp_path: Path) -> None:
    for suffix in ("tif", "jpg"):
        memory = BytesIO()
        Image.fromarray(files.samples("u1", 3)).convert("CMYK").save(
            memory, {"tif": "TIFF", "jpg": "JPEG"}[suffix]
        )
        ran, _ = denoised(memory.getvalue(), tmp_path, suffix)
        assert ran.code == 1
        assert "CMYK" in ran.err


def test_the_format_is_told_by_content_not_by_name(tmp_path: Path) -> None:
    path = tmp_path / "scan"
    path.write_bytes(files.png(files.samples("u1")))
    assert Ran("denoise", path, *QUICK).code == 0
    assert files.decoded(tmp_path / "scan.denoised.png").shape == files.SHAPE
    path = tmp_path / "liar.tif"
    path.write_bytes(files.png(files.samples("u1")))
    assert Ran("denoise", path, *QUICK).code == 0
    assert tifffile.imread(tmp_path / "liar.denoised.tif").shape == files.SHAPE


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_jpeg_is_as_fine_as_it_was_large(strength: float, tmp_path: Path) -> None:
    """The tables of a noisy picture cost 0.4 to 1.4 dB of what was gained; where nothing is they stay."""
    clean = data.astronaut()[:200, 100:300]
    noisy = np.clip(clean + np.random.default_rng(0).normal(0, 25, clean.shape), 0, 255).astype(np.uint8)
    stored = files.pillow(noisy, "JPEG", quality=85)
    path, result = tmp_path / "in.jpg", tmp_path / "out.jpg"
    path.write_bytes(stored + bytes(200_000))  # what stands behind a picture is no part of it
    assert Ran("denoise", path, "-o", result, "--sigma", 20, "--strength", strength).code == 0
    with Image.open(BytesIO(stored)) as image:
        before, tables = np.asarray(image), image.quantization  # type: ignore[attr-defined]
    exact = denoise(before, channel_axis=-1, sigma=20.0, strength=strength)
    Image.fromarray(exact).save(memory := BytesIO(), "JPEG", qtables=tables, subsampling=2)
    with Image.open(result) as image, Image.open(memory) as alike:
        assert (image.quantization == tables) is (strength == 0)  # type: ignore[attr-defined]
        assert result.stat().st_size <= len(stored)
        lost, usual = (np.std(np.asarray(one) - exact.astype(float)) for one in (image, alike))
    assert lost < 0.8 * usual if strength else lost == usual


@pytest.mark.parametrize("quality", [30, 95])
def test_quality_is_a_wish_that_is_followed(quality: int, tmp_path: Path) -> None:
    data = files.pillow(files.samples("u1", 3, (64, 64)), "JPEG", quality=80)
    kept, kept_path = denoised(data, tmp_path, "jpg")
    assert kept.code == 0
    size = kept_path.stat().st_size
    ran, result = denoised(data, tmp_path, "jpg", "--quality", quality, "--overwrite")
    assert ran.code == 0
    assert (result.stat().st_size > size) is (quality > 80)


def test_an_imagej_stack_behind_one_page_is_refused(tmp_path: Path) -> None:
    data = files.tiff(files.samples("u1"), description="ImageJ=1.53t\nimages=40\nslices=40\n")
    ran, _ = denoised(data, tmp_path, "tif")
    assert ran.code == 1
    assert "40 planes" in ran.err


def test_a_sigma_in_per_cent_is_of_full_scale(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    for dtype, full in (("u1", 255), ("u2", 65535), ("i2", 32767), ("f4", 1)):
        np.save(path, files.samples(dtype))
        ran = Ran("estimate", path, "--sigma", "10%", "--json")
        assert ran.lines[0]["pages"][0]["parameters"]["sigma"] == pytest.approx(full / 10)


def test_an_array_becomes_a_picture_or_a_stack_of_pages(tmp_path: Path) -> None:
    stack = np.stack([files.samples("u2", seed=n) for n in range(3)])
    ran, result = denoised(files.npy(stack), tmp_path, "npy", target="tif")
    assert ran.code == 0, ran.err
    with tifffile.TiffFile(result) as tiff:
        assert len(tiff.pages) == 3
        check_denoised(stack[1], tiff.pages[1].asarray(), 1)
    for target in ("png", "jpg", "tif"):
        pixels = files.samples("u1", 3)
        ran, result = denoised(
            files.npy(pixels), tmp_path, "npy", "--channel-axis", -1, "--overwrite", target=target
        )
        assert ran.code == 0, ran.err
        assert files.decoded(result).shape == pixels.shape
