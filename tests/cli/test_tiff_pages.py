"""Pages of TIFF: tables with gaps, thousands of pages, volumes by named axes, pictures within pages."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from nlmeans.cli.formats.limits import Limits
from nlmeans.cli.formats.picture import Saving
from nlmeans.cli.formats.tiff import read as tiff
from PIL import Image

from ..faults import files, tiffs
from ..faults.streams import Ran
from ..faults.tiffs import denoised, warnings_of

QUICK = files.QUICK


# --- tiles, strips and their tables ---------------------------------------------------------------

BODY = tiffs.noise().tobytes()
GAPS: dict[str, tuple[dict[int, Any], str | None]] = {
    "no counts": ({273: (4, (0,))}, "StripByteCounts"),
    "counts of zero": ({273: (4, (0,)), 279: (4, (0,))}, "StripByteCounts"),
    "no counts of two": ({278: (3, (20,)), 273: (4, (0, 800))}, "StripByteCounts"),
    "no counts, last strip short": ({278: (3, (30,)), 273: (4, (0, 1200))}, "StripByteCounts"),
    "one too many": ({278: (3, (20,)), 273: (4, (0, 800, 0)), 279: (4, (800, 800, 0))}, "surplus"),
    "too many counts": ({278: (3, (20,)), 273: (4, (0, 800)), 279: (4, (800, 800, 0))}, "surplus"),
    "tiles of 40": ({322: (3, (40,)), 323: (3, (40,)), 324: (4, (0,)), 325: (4, (1600,))}, "48 x 48"),
}


@pytest.mark.parametrize("name", GAPS)
def test_gaps_that_other_readers_fill_are_filled_and_named(name: str, tmp_path: Path) -> None:
    tags, word = GAPS[name]
    ran, result = denoised(tiffs.by_hand(tiffs.plain() | tags, BODY), tmp_path, "--h", 0)
    assert ran.code == 0, ran.err
    assert np.array_equal(tifffile.imread(result), tiffs.noise())
    assert (word or "") in warnings_of(ran)


def test_one_compressed_strip_needs_no_count(tmp_path: Path) -> None:
    tags = tiffs.plain() | {259: (3, (8,)), 273: (4, (0,))}
    ran, result = denoised(tiffs.by_hand(tags, zlib.compress(BODY)), tmp_path, "--h", 0)
    assert ran.code == 0, ran.err
    assert np.array_equal(tifffile.imread(result), tiffs.noise())


REFUSED: dict[str, dict[int, Any]] = {
    "no offsets": {279: (4, (1600,))},
    "too few": {278: (3, (20,)), 273: (4, (0,)), 279: (4, (1600,))},
    "compressed strips without counts": {259: (3, (8,)), 278: (3, (20,)), 273: (4, (0, 800))},
}


@pytest.mark.parametrize("name", REFUSED)
def test_gaps_that_cannot_be_filled_say_what_to_do(name: str, tmp_path: Path) -> None:
    ran, _ = denoised(tiffs.by_hand(tiffs.plain() | REFUSED[name], BODY), tmp_path)
    assert ran.code == 1
    assert "re-save it with tiffcp or ImageMagick" in ran.err


def test_tiles_are_refused_before_the_work_or_stored(tmp_path: Path) -> None:
    ran = Ran("denoise", "-", "--dry-run", given=tiffs.by_hand(tiffs.plain() | GAPS["tiles of 40"][0], BODY))
    assert "48 x 48" in ran.err


def test_differences_of_floats_are_stored_in_the_way_for_floats(tmp_path: Path) -> None:
    """libtiff allows the predictor of integers for them, tifffile reads it and does not write it."""
    pixels = files.samples("f4", shape=(40, 40))
    words = np.diff(pixels.view("u4"), axis=1, prepend=np.zeros((40, 1), "u4"))
    body = zlib.compress(words.astype("<u4").tobytes())
    tags = tiffs.plain(bits=32) | {259: (3, (8,)), 317: (3, (2,)), 339: (3, (3,))}
    ran, result = denoised(
        tiffs.by_hand(tags | {273: (4, (0,)), 279: (4, (len(body),))}, body), tmp_path, "--h", 0
    )
    assert ran.code == 0, ran.err
    assert np.array_equal(tifffile.imread(result), pixels)


# --- many pages -----------------------------------------------------------------------------------


class Counted(BytesIO):
    """A file that counts how often it is read and written."""

    calls = 0

    def read(self, *arguments: Any) -> bytes:
        self.calls += 1
        return super().read(*arguments)

    def readinto(self, *arguments: Any) -> int:
        self.calls += 1
        return super().readinto(*arguments)

    def write(self, *arguments: Any) -> int:
        self.calls += 1
        return super().write(*arguments)


class Listed(list[Any]):
    """A list that counts how often it is gone through."""

    times = 0

    def __iter__(self) -> Iterator[Any]:
        self.times += 1
        return super().__iter__()


def work(count: int) -> tuple[int, int]:
    """Calls of the input and of the output for so many pages, each with a directory of its own."""
    page, tags = tiffs.noise(24), [(34664, 4, 1, 0, True)]
    memory = BytesIO()
    with tifffile.TiffWriter(memory) as writer:
        for _ in range(count):
            writer.write(page, contiguous=False, metadata=None, extratags=tags)
    data, at = bytearray(memory.getvalue()), -1
    for _ in range(count):
        at = data.find(struct.pack("<HH", 34664, 4), at + 1)
        struct.pack_into("<HHII", data, at, 34665, 4, 1, len(data))
    source, target = Counted(data + struct.pack("<HHHIHHI", 1, 34855, 3, 1, 1600, 0, 0)), Counted()
    picture = tiff.open_picture(source, len(source.getvalue()), Limits())
    picture.metadata = items = Listed(picture.metadata)
    tiff.write(target, (picture.decode(n) for n in range(count)), picture, Saving())
    assert items.times < 4
    with tifffile.TiffFile(BytesIO(target.getvalue())) as written:
        assert all(p.tags[34665].value == {"ISOSpeedRatings": 1600} for p in written.pages)  # type: ignore[union-attr]
        assert np.array_equal(written.pages[count - 1].asarray(), page)
    return source.calls, target.calls


def test_work_is_linear_in_pages() -> None:
    """4,000 pages of 24 x 24 took 37 to 68 seconds; they take 2."""
    for few, many in zip(work(100), work(400), strict=True):
        assert many < 4.5 * few


# --- axes -----------------------------------------------------------------------------------------


def stack(axes: str, shape: tuple[int, ...], kind: str) -> tuple[bytes, np.ndarray]:
    """A stack whose planes along z are alike, and others far apart; its description names the axes."""
    rng = np.random.default_rng(0)
    planes = np.zeros((*shape, 24, 24))
    for place in np.ndindex(*shape):
        level = sum(25 * n * (1 + a) for a, n in enumerate(place) if axes[a] != "Z")
        planes[place] = 60 + level + rng.normal(0, 8, (24, 24))
    stored = np.rint(planes).clip(0, 255).astype("u1")
    memory = BytesIO()
    options: dict[str, Any] = {"imagej": True} if kind == "imagej" else {"ome": kind == "ome"}
    tifffile.imwrite(memory, stored, metadata={"axes": axes + "YX"}, photometric="minisblack", **options)
    return memory.getvalue(), stored


VOLUMES = [
    ("ZC", (4, 2), "imagej"),
    ("TZC", (2, 4, 2), "imagej"),
    ("ZCT", (4, 2, 2), "ome"),
    ("CZ", (2, 4), "ome"),
    ("CZ", (2, 4), "shaped"),
    ("Z", (6,), "shaped"),
    ("Q", (6,), "shaped"),
]


@pytest.mark.parametrize(("axes", "shape", "kind"), VOLUMES)
def test_a_volume_is_z_of_each_channel_and_time_point(
    axes: str, shape: tuple[int, ...], kind: str, tmp_path: Path
) -> None:
    data, before = stack(axes, shape, kind)
    ran, result = denoised(data, tmp_path, "--volume", "--sigma", 8)
    assert ran.code == 0, ran.err
    after = tifffile.imread(result).reshape(before.shape)
    z = axes.replace("Q", "Z").index("Z")
    for place in np.ndindex(*(1 if a == z else n for a, n in enumerate(shape))):
        index: list[Any] = list(place)
        index[z] = slice(None)
        one = before[tuple(index)]
        alone = tmp_path / "alone.tif"
        alone.write_bytes(files.tiff(list(one)))
        target = tmp_path / "alone.out.tif"
        Ran("denoise", alone, "-o", target, "--volume", "--overwrite", *QUICK, "--sigma", 8)
        assert np.array_equal(after[tuple(index)], tifffile.imread(target))


NO_VOLUMES = [
    ("C", (3,), "imagej", "3 channels (C)"),
    ("T", (3,), "ome", "3 time points (T)"),
    ("TC", (2, 3), "ome", "2 time points (T) x 3 channels (C)"),
    ("QC", (2, 3), "shaped", "3 channels (C)"),
]


@pytest.mark.parametrize(("axes", "shape", "kind", "words"), NO_VOLUMES)
def test_what_is_no_volume_is_refused_by_the_names_of_its_axes(
    axes: str, shape: tuple[int, ...], kind: str, words: str, tmp_path: Path
) -> None:
    data, _ = stack(axes, shape, kind)
    ran, result = denoised(data, tmp_path, "--volume")
    assert ran.code == 1
    assert words in ran.err
    assert not result.exists()
    assert denoised(data, tmp_path)[0].code == 0


def test_axes_without_names_are_asked_for(tmp_path: Path) -> None:
    memory = BytesIO()
    planes = files.samples("u1", 6, (20, 20)).transpose(2, 0, 1).reshape(2, 3, 20, 20)
    tifffile.imwrite(memory, planes, photometric="minisblack")
    ran, _ = denoised(memory.getvalue(), tmp_path, "--volume")
    assert ran.code == 1
    assert "2 x 3 planes" in ran.err
    assert denoised(memory.getvalue(), tmp_path)[0].code == 0


def test_axes_that_contradict_the_pages_are_named(tmp_path: Path) -> None:
    pages = [files.samples("u1", seed=n) for n in range(6)]
    text = "ImageJ=1.53t\nimages=4\nchannels=2\nslices=2\n"
    memory = BytesIO()
    with tifffile.TiffWriter(memory) as writer:
        for page in pages:
            writer.write(page, description=text, metadata=None, contiguous=False)
    ran, _ = denoised(memory.getvalue(), tmp_path)
    assert ran.code == 0
    assert "(ImageDescription) names 2 planes (Z) x 2 channels (C), it has 6 pages" in warnings_of(ran)
    ran, _ = denoised(memory.getvalue(), tmp_path, "--volume")
    assert ran.code == 1
    assert "ImageDescription" in ran.err


# --- pictures within TIFF -------------------------------------------------------------------------

CODECS: dict[str, tuple[str, dict[str, Any]]] = {
    "JPEG 2000": ("jpeg2000", {"level": 0, "reversible": True}),
    "JPEG XL": ("jpegxl", {"lossless": True}),
    "WebP": ("webp", {"lossless": True}),
    "LERC": ("lerc", {}),
    "LERC in deflate": ("lerc", {"compression": "deflate"}),
    "LERC in zstd": ("lerc", {"compression": "zstd"}),
}


@pytest.mark.parametrize("number", [1, 2, 9])
def test_a_packed_blob_that_unpacks_to_too_much_is_refused(number: int, tmp_path: Path) -> None:
    packed = (imagecodecs.zlib_encode if number == 1 else imagecodecs.zstd_encode)(b"Lerc2 " + bytes(10**7))
    tags = tiffs.plain() | {259: (3, (34887,)), 273: (4, (0,)), 279: (4, (len(packed),))}
    ran, _ = denoised(tiffs.by_hand(tags | {50674: (4, (4, number))}, bytes(packed)), tmp_path)
    assert ran.code == 1
    assert ("number 9" if number == 9 else "unpacks to more than its pixels") in ran.err


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("name", CODECS)
def test_pictures_within_tiff_are_read_and_stored_losslessly(name: str, tiled: bool, tmp_path: Path) -> None:
    codec, options = CODECS[name]
    before = files.samples("u1", 3, (40, 50))
    tile = (32, 32) if tiled else None
    data = files.tiff(
        before, photometric="rgb", compression=codec, compressionargs=options, tile=tile, rowsperstrip=None
    )
    with tifffile.TiffFile(BytesIO(data)) as file:
        before = file.pages[0].asarray()
    ran, result = denoised(data, tmp_path, "--h", 0)
    assert ran.code == 0, ran.err
    assert f"its {name.partition(' in ')[0]} pixels are stored with lossless deflate" in warnings_of(ran)
    with tifffile.TiffFile(result) as file:
        assert np.array_equal(file.pages[0].asarray(), before)
        assert file.pages[0].compression == 8  # type: ignore[union-attr]


@pytest.mark.parametrize("name", [name for name in CODECS if " in " not in name])
def test_a_picture_larger_than_its_place_is_refused_undecoded(name: str, tmp_path: Path) -> None:
    """A decoder believes what a stream says of its size, and takes the memory for it."""
    codec = CODECS[name][0]
    encode = {
        "jpeg2000": lambda a: imagecodecs.jpeg2k_encode(a, level=0, codecformat="j2k"),
        "jpegxl": lambda a: imagecodecs.jpegxl_encode(a, lossless=True),
        "webp": lambda a: imagecodecs.webp_encode(a, lossless=True),
        "lerc": imagecodecs.lerc_encode,
    }[codec]
    large = encode(np.zeros((2000, 3000, 3), "u1"))
    small = files.tiff(files.samples("u1", 3, (40, 50)), photometric="rgb", compression=codec)
    with tifffile.TiffFile(BytesIO(small)) as file:
        number = int(file.pages[0].compression)  # type: ignore[union-attr]
    tags = tiffs.plain(photometric=2) | {277: (3, (3,)), 258: (3, (8,) * 3), 259: (3, (number,))}
    data = tiffs.by_hand(tags | {273: (4, (0,)), 279: (4, (len(large),))}, large)
    ran, _ = denoised(data, tmp_path)
    assert ran.code == 1
    place = "9000 x 2000 pixels in a strip or tile of 120 x 40" if codec == "lerc" else "3000 x 2000 pixels"
    assert place in ran.err, ran.err


@pytest.mark.parametrize("codec", ["jpegxl", "lerc"])
def test_many_pictures_in_place_of_one_are_refused_undecoded(codec: str, tmp_path: Path) -> None:
    """A few bytes each, all would be decoded."""
    if codec == "jpegxl":
        many = imagecodecs.jpegxl_encode(np.zeros((50, 40, 40), "u1"), photometric="gray")
        number = 50002
    else:
        many, number = imagecodecs.lerc_encode(np.zeros((40, 40), "u1")) * 50, 34887
    tags = tiffs.plain() | {259: (3, (number,)), 273: (4, (0,)), 279: (4, (len(many),))}
    ran, _ = denoised(tiffs.by_hand(tags, many), tmp_path)
    assert ran.code == 1
    assert "of a kind that is not known" in ran.err, ran.err


@pytest.mark.parametrize("form", ["j2k", "jp2"])
def test_jpeg_2000_in_boxes_and_without(form: str, tmp_path: Path) -> None:
    stored = imagecodecs.jpeg2k_encode(tiffs.noise(), level=0, codecformat=form, reversible=True)
    tags = tiffs.plain() | {259: (3, (34712,)), 273: (4, (0,)), 279: (4, (len(stored),))}
    ran, result = denoised(tiffs.by_hand(tags, stored), tmp_path, "--h", 0)
    assert ran.code == 0, ran.err
    assert np.array_equal(tifffile.imread(result), tiffs.noise())


def test_several_ome_images_are_denoised_without_a_word(tmp_path: Path) -> None:
    memory = BytesIO()
    with tifffile.TiffWriter(memory, ome=True) as writer:
        for _ in range(2):
            writer.write(files.samples("u1", 2, (20, 20)).transpose(2, 0, 1), photometric="minisblack")
    ran, _ = denoised(memory.getvalue(), tmp_path)
    assert (ran.code, ran.lines[0]["warnings"]) == (0, [])
    ran, _ = denoised(memory.getvalue(), tmp_path, "--volume")
    assert ran.code == 1
    assert "2 OME images" in ran.err


def test_a_damaged_picture_within_tiff_is_refused(tmp_path: Path) -> None:
    tags = tiffs.plain() | {259: (3, (50001,)), 273: (4, (0,)), 279: (4, (1600,))}
    ran, _ = denoised(tiffs.by_hand(tags, BODY), tmp_path)
    assert ran.code == 1
    assert "WebP data is damaged" in ran.err


def test_pillow_opens_what_is_written(tmp_path: Path) -> None:
    tags = tiffs.plain() | GAPS["no counts"][0]
    _, result = denoised(tiffs.by_hand(tags, BODY), tmp_path)
    with Image.open(result) as image:
        assert image.size == (40, 40)
