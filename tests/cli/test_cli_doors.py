"""What goes in and out beside ordinary pictures: masks, pictures that lie on their side, types of numbers."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
from nlmeans.cli.formats.metadata import exif_with, upright
from PIL import Image, ImageOps

from ..faults import files, tiffs
from ..faults.streams import Ran

QUICK = files.QUICK
SHAPE = (24, 32)


def saved(image: Image.Image, name: str, **options: object) -> bytes:
    memory = BytesIO()
    image.save(memory, name, **options)
    return memory.getvalue()


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    return write(tmp_path / "noisy.png", files.png(files.samples("u1", 1, SHAPE)))


# --- masks as people save them -------------------------------------------------------------------

VALID = np.zeros(SHAPE, bool)
VALID[6:20, 5:28] = True


def palette(valid: np.ndarray, colours: list[int], **options: object) -> bytes:
    image = Image.fromarray(valid.astype("u1"), mode=None).convert("P")
    image.putpalette(colours)
    return saved(image, "PNG", **options)


def palette_tiff(valid: np.ndarray, bits: int, colours: list[int]) -> bytes:
    """Numbers of colours, packed, and red, green and blue of each colour in the table."""
    rows = np.zeros((SHAPE[0], SHAPE[1] * bits), "u1")
    rows[:, bits - 1 :: bits] = valid
    table = np.zeros((3, 2**bits), "u2")
    table[:, :2] = np.reshape(colours, (2, 3)).T
    body = np.packbits(rows, axis=1).tobytes()
    tags = tiffs.plain(bits=bits, photometric=3) | {256: (4, (SHAPE[1],)), 257: (4, (SHAPE[0],))}
    tags |= {320: (3, tuple(table.ravel())), 273: (4, (0,)), 279: (4, (len(body),))}
    return tiffs.by_hand(tags, body)


def two_colours(_: str) -> Image.Image:
    return Image.open(BytesIO(palette(VALID, [0, 0, 0, 255, 0, 255])))


def gray(valid: np.ndarray) -> np.ndarray:
    return valid.astype("u1") * np.uint8(255)


MASKS: dict[str, Callable[[], bytes]] = {
    "8 bits.png": lambda: files.png(gray(VALID)),
    "1 bit.png": lambda: saved(Image.fromarray(VALID), "PNG"),
    "1 bit.tif": lambda: files.tiff(VALID),  # tifffile says "0 is white" of bool
    "1 bit black is 0.tif": lambda: files.tiff(VALID, photometric="minisblack"),
    "1 bit deflated.tif": lambda: files.tiff(VALID, compression="zlib"),
    "1 bit group 4.tif": lambda: saved(Image.fromarray(VALID), "TIFF", compression="group4"),
    "1 bit.bmp": lambda: saved(Image.fromarray(VALID), "BMP"),
    "bool.npy": lambda: files.npy(VALID),
    "int32.npy": lambda: files.npy(VALID.astype("i4")),
    "int32.tif": lambda: files.tiff(VALID.astype("i4")),
    "float.npy": lambda: files.npy(VALID.astype("f8")),
    "palette.png": lambda: palette(VALID, [0, 0, 0, 255, 255, 255]),
    "palette of two colours.png": lambda: palette(VALID, [0, 0, 0, 200, 0, 0]),
    "palette, black last.png": lambda: palette(~VALID, [255, 255, 255, 0, 0, 0]),
    "palette with transparency.png": lambda: palette(~VALID, [0, 9, 0, 0, 0, 0], transparency=0),
    "palette of 4 bits.png": lambda: palette(VALID, [0, 0, 0, 255, 255, 255], bits=4),
    "palette.bmp": lambda: saved(Image.open(BytesIO(palette(~VALID, [255, 255, 255, 0, 0, 0]))), "BMP"),
    "palette.tif": lambda: palette_tiff(VALID, 8, [0, 0, 0, 65535, 65535, 65535]),
    "palette of 4 bits, black last.tif": lambda: palette_tiff(~VALID, 4, [9, 0, 0, 0, 0, 0]),
    "palette of 1 bit.tif": lambda: palette_tiff(VALID, 1, [0, 0, 0, 0, 300, 0]),
    "palette, deflated.tif": lambda: saved(two_colours("TIFF"), "TIFF", compression="tiff_deflate"),
    "RGB.png": lambda: files.png(np.dstack([gray(VALID)] * 3)),
    "RGBA.png": lambda: files.png(np.dstack([gray(VALID)] * 3 + [gray(VALID) | 255])),
    "RGB.npy": lambda: files.npy(np.dstack([gray(VALID)] * 3)),
    "red.png": lambda: files.png(np.dstack([gray(VALID), gray(VALID) * 0, gray(VALID) * 0])),
    "RGB.webp": lambda: files.pillow(np.dstack([gray(VALID)] * 3), "WEBP", lossless=True),
}


@pytest.mark.parametrize("name", MASKS)
def test_a_mask_is_black_where_pixels_are_left_alone(name: str, noisy: Path, tmp_path: Path) -> None:
    mask = write(tmp_path / name, MASKS[name]())
    ran = Ran("denoise", noisy, "-o", tmp_path / "out.png", *QUICK, "--mask", mask)
    assert ran.code == 0, ran.err
    before, after = files.decoded(noisy), files.decoded(tmp_path / "out.png")
    np.testing.assert_array_equal(before[~VALID], after[~VALID])
    assert (before[VALID] != after[VALID]).mean() > 0.5


def test_a_mask_may_come_through_a_pipe(noisy: Path, tmp_path: Path) -> None:
    data = MASKS["1 bit.png"]()
    ran = Ran("denoise", noisy, "-o", tmp_path / "out.png", *QUICK, "--mask", "-", given=data)
    assert ran.code == 0, ran.err


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_a_damaged_palette_of_a_mask_is_named(bits: int, noisy: Path, tmp_path: Path) -> None:
    data = bytearray(palette_tiff(VALID, bits, [0, 0, 0, 9, 9, 9]))
    at = data.index(struct.pack("<HHI", 320, 3, 3 * 2**bits))
    struct.pack_into("<HHI", data, at, 320, 3, 3)
    mask = write(tmp_path / "mask.tif", bytes(data))
    ran = Ran("denoise", noisy, "-o", tmp_path / "out.png", *QUICK, "--mask", mask)
    assert (ran.code, "palette" in ran.err) == (1, True), ran.err


BITMAPS = [name for name in MASKS if name.startswith("1 bit")]


@pytest.mark.parametrize("name", BITMAPS)
def test_one_bit_is_converted_on_request(name: str, tmp_path: Path) -> None:
    """As the file shows it; it was refused, whatever was asked for."""
    path = write(tmp_path / name, MASKS[name]())
    shown = ~VALID if name in ("1 bit.tif", "1 bit deflated.tif") else VALID  # tifffile's "0 is white"
    ran = Ran("denoise", path, "-o", tmp_path / "out.png", "--convert", "--h", "0", "--sigma", "10%")
    assert ran.code == 0, ran.err
    assert "1 bit per pixel is converted to 0 and 255" in ran.err
    np.testing.assert_array_equal(files.decoded(tmp_path / "out.png"), gray(shown))
    same = tmp_path / f"same{path.suffix}"
    ran = Ran("denoise", path, "-o", same, "--convert", "--sigma", "60", "--h", "200", *QUICK[2:])
    assert ran.code == 0, ran.err
    with Image.open(same) as image:
        pixels = np.asarray(image.convert("L")).astype(int)
    assert len(np.unique(pixels)) > 2
    assert np.corrcoef(pixels.ravel(), shown.ravel())[0, 1] > 0.6
    for command in (("estimate",), ("report", "-o", tmp_path / "r.html"), ("weights", "--at", "6,6")):
        assert Ran(command[0], path, *command[1:]).code == 1
        assert Ran(command[0], path, *command[1:], "--convert", *QUICK).code == 0
    assert "identical" in Ran("compare", path, path).out


@pytest.mark.parametrize("name", ["1 bit.png", "palette.png", "1 bit.tif", "1 bit.bmp", "palette.bmp"])
def test_a_mask_is_no_picture(name: str, tmp_path: Path) -> None:
    ran = Ran("denoise", write(tmp_path / name, MASKS[name]()), *QUICK)
    assert ran.code == 1
    assert "1 bit" in ran.err or "palette" in ran.err


@pytest.mark.parametrize(
    ("header", "chunks", "words"),
    [
        ((8, 8, 1, 3), (), "palette is damaged"),
        ((8, 8, 8, 3), ((b"PLTE", b"\0" * 7),), "palette is damaged"),
        ((8, 8, 16, 3), ((b"PLTE", b"\0" * 6),), "header is damaged"),
        ((20_000, 20_000, 1, 0), (), "--max-pixels"),
        ((13_000, 13_000, 1, 3), ((b"PLTE", b"\0" * 6),), "--max-expansion"),
    ],
)
def test_broken_masks_are_refused_from_their_headers(
    header: tuple[int, int, int, int],
    chunks: tuple[tuple[bytes, bytes], ...],
    words: str,
    noisy: Path,
    tmp_path: Path,
) -> None:
    mask = write(tmp_path / "mask.png", files.png_of(*header, zlib.compress(b"\0" * 72), *chunks))
    ran = Ran("denoise", noisy, "-o", tmp_path / "out.png", *QUICK, "--mask", mask)
    assert (ran.code, words in ran.err) == (5 if words.startswith("--") else 1, True), ran.err


def test_a_one_bit_tiff_of_too_many_pixels_is_refused(noisy: Path, tmp_path: Path) -> None:
    broken = files.tiff(VALID, compression="zlib")
    for code, size in ((256, 32), (257, 24), (278, 24)):
        at = next(n for kind in (3, 4) if (n := broken.find(struct.pack("<HHII", code, kind, 1, size))) > 0)
        broken = broken[:at] + struct.pack("<HHII", code, 4, 1, 60_000) + broken[at + 12 :]
    mask = write(tmp_path / "mask.tif", broken)
    ran = Ran("denoise", noisy, "-o", tmp_path / "out.png", *QUICK, "--mask", mask)
    assert ran.code == 5, ran.err


def test_estimate_takes_a_mask(tmp_path: Path) -> None:
    """The noise is 2 where the mask is black, 40 elsewhere: without it the smaller one is told."""
    rng = np.random.default_rng(0)
    image = rng.normal(100, 40, (64, 64))
    image[:, :32] = rng.normal(100, 2, (64, 32))
    picture = write(tmp_path / "in.npy", files.npy(image.astype("f4")))
    mask = write(tmp_path / "mask.npy", files.npy(np.broadcast_to(np.arange(64) >= 32, (64, 64)).copy()))
    sigma = [
        Ran("estimate", picture, "--json", *options).lines[0]["pages"][0]["parameters"]["sigma"]
        for options in ((), ("--mask", mask))
    ]
    assert sigma[0] < 10
    assert sigma[1] == pytest.approx(40, rel=0.2)


# --- pictures that lie on their side -------------------------------------------------------------

TURNED = np.arange(35, dtype="u1").reshape(5, 7)


@pytest.mark.parametrize("turn", range(1, 9))
def test_upright_is_what_pillow_shows(turn: int) -> None:
    image = Image.fromarray(TURNED)
    image.getexif()[274] = turn
    np.testing.assert_array_equal(upright(TURNED, turn), np.asarray(ImageOps.exif_transpose(image)))


def turned(tmp_path: Path, turn: int, suffix: str) -> tuple[Path, Path]:
    """A picture stored turned, and the same one upright, which has no orientation."""
    shown = files.samples("u1", 3, (24, 33))
    shown[5:9, 20:26] //= 3
    stored = next(
        np.ascontiguousarray(s)
        for s in (upright(shown, t) for t in range(1, 9))
        if np.array_equal(upright(s, turn), shown)
    )
    block = exif_with(turn)
    data = {
        "png": lambda: files.png(stored, (b"eXIf", block)),
        "webp": lambda: files.pillow(stored, "WEBP", lossless=True, exif=block),
        "tif": lambda: files.rgb_tiff(stored, extratags=[(274, 3, 1, turn, True)]),
    }[suffix]()
    return write(tmp_path / f"stored.{suffix}", data), write(tmp_path / "shown.png", files.png(shown))


@pytest.mark.parametrize("turn", range(2, 9))
@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_what_is_looked_at_stands_upright(turn: int, suffix: str, tmp_path: Path) -> None:
    """It lay on its side, and --at counted in the stored axes, which nobody sees."""
    stored, shown = turned(tmp_path, turn, suffix)
    options = ("--sigma", "20", "--h", "20", "--patch-radius", "1", "--search-radius", "2")
    made = []
    for name in (stored, shown):
        here = tmp_path / name.stem
        commands = [
            ("weights", name, "--at", "22,6", "-o", here / "w.npy"),
            ("weights", name, "--at", "22,6", "-o", here / "w.png"),
            ("attention", name, "--at", "22,6", "-o", here / "a.npy", "--queries", "0"),
            ("denoise", name, "-o", here / f"d.{suffix}", "--side-by-side", here / "s.png"),
            ("denoise", name, "-o", here / f"e.{suffix}", "--method-noise", here / "m.png"),
        ]
        for command in commands:
            ran = Ran(*command, *options)
            assert ran.code == 0, ran.err
        made.append(here)
    for name in ("w.npy", "a.npy"):
        np.testing.assert_allclose(np.load(made[0] / name), np.load(made[1] / name), atol=1e-6)
    for name in ("w.png", "s.png", "m.png"):
        a, b = (files.decoded(here / name).astype(int) for here in made)
        assert a.shape == b.shape
        assert np.abs(a - b).max() <= 2
    ran = Ran("report", stored, "-o", tmp_path / "r.html", *options)
    assert ran.code == 0, ran.err
    assert '"width": 33, "height": 24' in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize("option", ["mask", "guide", "sigma-map"])
def test_a_companion_that_lies_across_is_told_of_the_orientation(option: str, tmp_path: Path) -> None:
    stored, _ = turned(tmp_path, 6, "png")
    across = write(tmp_path / "across.npy", files.npy(np.ones((24, 33), "f4")))
    plain = write(tmp_path / "plain.png", files.png(files.samples("u1", 3, (33, 24))))
    options = ("--patch-radius", "1", "--search-radius", "2", "--k", "0.5", f"--{option}", across)
    ran = Ran("denoise", stored, "-o", tmp_path / "out.png", *options)
    assert ran.code != 0
    assert "orientation (6)" in ran.err
    assert "33 x 24 (columns x rows), the picture is stored as 24 x 33" in ran.err
    ran = Ran("denoise", plain, "-o", tmp_path / "out.png", *options)
    assert "lie across each other" in ran.err
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("turn", [1, 3, 6])
@pytest.mark.parametrize("own", [1, 3, 6])
def test_a_companion_with_an_orientation_of_its_own(own: int, turn: int, tmp_path: Path) -> None:
    """It was taken as it is stored, whatever it said of itself: turned by 180 degrees, without a word."""
    side = 24
    picture = write(tmp_path / "in.png", files.png(files.samples("u1", 1, (side, side)), turn_chunk(turn)))
    valid = np.zeros((side, side), "u1")
    valid[:9, :15] = 255
    mask = write(tmp_path / "mask.png", files.png(valid, turn_chunk(own)))
    ran = Ran("denoise", picture, "-o", tmp_path / "out.png", *QUICK, "--mask", mask)
    if own not in (1, turn):
        assert ran.code != 0
        assert f"--mask has the orientation {own}, the picture {turn}" in ran.err
        return
    assert ran.code == 0, ran.err
    assert ("--mask has none: it is taken to lie as the picture is stored" in ran.err) is (own != turn)
    before, after = files.decoded(picture), files.decoded(tmp_path / "out.png")
    np.testing.assert_array_equal(before[valid == 0], after[valid == 0])


def turn_chunk(turn: int) -> tuple[bytes, bytes]:
    return b"eXIf", exif_with(turn)


def test_a_companion_turns_with_the_picture(tmp_path: Path) -> None:
    stored, _ = turned(tmp_path, 6, "png")
    with Image.open(stored) as image:
        guide = np.asarray(image.convert("L"))
    write(tmp_path / "guide.png", files.png(guide))
    assert guide.shape == (33, 24)
    options = ("--guide", tmp_path / "guide.png", "--guide-sigma", "5", "--k", "0.5", *QUICK[2:])
    ran = Ran("denoise", stored, "-o", tmp_path / "out.png", *options)
    assert ran.code == 0, ran.err


# --- types of numbers ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["i4", "u4", "i8", "u8", ">i4"])
@pytest.mark.parametrize("suffix", ["npy", "tif"])
def test_wide_integers_are_converted_on_request(dtype: str, suffix: str, tmp_path: Path) -> None:
    before = (files.samples("u1", 1, SHAPE).astype("i8") * 100_003).astype(dtype)
    data = files.npy(before) if suffix == "npy" else files.tiff(before.astype(before.dtype.newbyteorder("<")))
    picture, out = write(tmp_path / f"in.{suffix}", data), tmp_path / f"out.{suffix}"
    ran = Ran("denoise", picture, "-o", out, *QUICK[2:], "--sigma", "1e6")
    assert ran.code == 1
    assert np.dtype(dtype).name in ran.err
    assert "--convert" in ran.err
    ran = Ran("denoise", picture, "-o", out, *QUICK[2:], "--sigma", "1e6", "--convert")
    assert ran.code == 0, ran.err
    assert f"{np.dtype(dtype).name} is converted to float64" in ran.err
    after = files.decoded(out)
    assert after.dtype == np.float64
    assert after.mean() == pytest.approx(before.mean(), rel=0.05)
    assert after.std() < 0.9 * before.std()
    assert Ran("estimate", picture).code == 1
    assert "converted" in Ran("estimate", picture, "--convert").err


@pytest.mark.parametrize("level", ["4%", "10,4%,3"])
def test_wide_integers_have_no_full_scale(level: str, tmp_path: Path) -> None:
    """Per cent of them were per cent of 1, since they are taken as floating point."""
    shape = (*SHAPE, 3) if "," in level else SHAPE
    before = (np.random.default_rng(0).normal(900, 50, shape)).astype("i4")
    picture = write(tmp_path / "in.npy", files.npy(before))
    axis = ("--channel-axis", "-1") if "," in level else ()
    for command in ("denoise", "estimate"):
        ran = Ran(command, picture, "--convert", "--sigma", level, *axis)
        assert ran.code == 2
        assert "no number of int32 is full light" in ran.err
    ran = Ran("compare", picture, write(tmp_path / "b.npy", files.npy(before + 5)), "--json")
    peak = np.ptp(before)
    assert ran.lines[0]["pages"][0]["psnr"] == pytest.approx(20 * np.log10(peak / 5))


def test_integers_that_no_float_keeps_are_refused(tmp_path: Path) -> None:
    picture = write(tmp_path / "in.npy", files.npy(np.full((9, 9), 2**60, "i8")))
    ran = Ran("denoise", picture, "-o", tmp_path / "out.npy", *QUICK, "--convert")
    assert ran.code == 1
    assert "too large for float64" in ran.err


def test_bool_is_converted_on_request(tmp_path: Path) -> None:
    picture = write(tmp_path / "in.npy", files.npy(VALID))
    ran = Ran("denoise", picture, "-o", tmp_path / "out.npy", *QUICK)
    assert ran.code == 1
    assert "it holds bool" in ran.err
    assert "--convert" in ran.err
    ran = Ran("denoise", picture, "-o", tmp_path / "out.npy", *QUICK, "--convert")
    assert ran.code == 0, ran.err
    after = np.load(tmp_path / "out.npy")
    assert (after.dtype, after.max()) == (np.uint8, 255)


@pytest.mark.parametrize(
    ("data", "suffix", "target"),
    [
        (lambda: files.png(files.samples("u1", 1, SHAPE)), "png", "tif"),
        (lambda: files.png(files.samples("u1", 3, SHAPE)), "png", "npy"),
        (lambda: files.npy(files.samples("u2", 1, SHAPE)), "npy", "npy"),
        (lambda: files.tiff(files.samples("u2", 1, SHAPE), compression="zlib", predictor=2), "tif", "tif"),
        (lambda: files.tiff(files.samples(">u2", 1, SHAPE), order=">", compression="lzw"), "tif", "tif"),
        (lambda: files.tiff([files.samples("u1", 1, SHAPE)] * 2), "tif", "tif"),
        (lambda: files.tiff(files.samples("f8", 1, SHAPE), compression="zlib", predictor=3), "tif", "tif"),
    ],
)
@pytest.mark.parametrize("volume", [(), ("--volume",)])
def test_results_may_be_floats(
    data: Callable[[], bytes], suffix: str, target: str, volume: tuple[str, ...], tmp_path: Path
) -> None:
    """What integers would be rounded to, before it is rounded; per cent are of the file's own scale."""
    picture = write(tmp_path / f"in.{suffix}", data())
    for name in ("same", "float32"):
        ran = Ran("denoise", picture, "-o", tmp_path / f"{name}.{target}", *QUICK, *volume, "--dtype", name)
        assert (ran.code, ran.warnings) == (0, [])
    same, floats = (files.decoded(tmp_path / f"{name}.{target}") for name in ("same", "float32"))
    assert floats.dtype.newbyteorder("=") == np.float32
    if same.dtype.kind == "u":
        assert np.abs(same - floats).max() <= 0.51
        assert (floats != np.rint(floats)).mean() > 0.5
    else:
        np.testing.assert_allclose(same, floats, rtol=1e-5)


def test_packed_samples_that_become_floats_are_told_of(tmp_path: Path) -> None:
    before = np.random.default_rng(0).normal(1000, 40, SHAPE).astype("u2")
    picture = write(tmp_path / "in.tif", files.tiff(before, bitspersample=12))
    for extra in ((), ("--dry-run",)):
        ran = Ran("denoise", picture, "-o", tmp_path / "out.tif", *QUICK, "--dtype", "float32", *extra)
        assert ran.code == 0, ran.err
        assert "stored packed, 12 bits a sample; float32 takes 32, and 4095 is full light" in ran.err
        (tmp_path / "out.tif").unlink(missing_ok=True)


@pytest.mark.parametrize("target", ["png", "jpg", "webp", "bmp"])
def test_formats_without_floats_refuse_them_before_work(target: str, noisy: Path, tmp_path: Path) -> None:
    ran = Ran("denoise", noisy, "-o", tmp_path / f"out.{target}", "--dtype", "float32")
    assert ran.code == 1
    assert "floating-point" in ran.err
    assert "sigma" not in ran.err


def test_floats_are_refused_with_alpha(tmp_path: Path) -> None:
    picture = write(tmp_path / "in.png", files.png(files.samples("u1", 4, SHAPE)))
    ran = Ran("denoise", picture, "-o", tmp_path / "out.tif", *QUICK, "--dtype", "float32")
    assert "alpha" in ran.err
    assert ran.code == 1


def test_counts_are_told_of_floats(tmp_path: Path) -> None:
    """Photons, one on eight pixels: rounded, the result was zero everywhere, without a word."""
    counts = np.random.default_rng(0).poisson(0.125, (48, 48)).astype("u2")
    picture, out = write(tmp_path / "in.tif", files.tiff(counts)), tmp_path / "out.tif"
    options = ("-o", out, "--sigma", "0.35", "--overwrite")
    ran = Ran("denoise", picture, *options)
    assert ran.code == 0, ran.err
    assert "--dtype float32" in ran.err
    ran = Ran("denoise", picture, *options, "--dtype", "float32")
    assert (ran.code, ran.warnings) == (0, [])
    assert tifffile.imread(out).mean() == pytest.approx(counts.mean(), rel=0.2)  # not 0
