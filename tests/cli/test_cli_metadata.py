"""What stands beside the pixels: kept, or refused, or named in a warning; nothing is lost in silence.

Every cell of the matrix is a file with one piece of metadata, denoised into the same or another
format, and looked at with another reader than the program's own.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from ..faults import files
from ..faults.streams import Ran

ICC = b"a colour profile, 128 bytes of header and some more" * 4
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><title>Sea</title></x:xmpmeta>"


def entry(code: int, kind: int, count: int, value: bytes) -> bytes:
    """An entry of a big-endian directory, its value within it."""
    return struct.pack(">HHI", code, kind, count) + value.ljust(4, b"\0")


def exif(*, gps: bool = False) -> bytes:
    """An EXIF block: turned picture, a maker, an EXIF directory with the ISO number, perhaps GPS."""
    first = [
        entry(271, 2, 4, b"Eye\0"),
        entry(274, 3, 1, struct.pack(">H", 6)),
        entry(34665, 4, 1, struct.pack(">I", 100)),
    ]
    if gps:
        first.append(entry(34853, 4, 1, struct.pack(">I", 140)))
    body = b"MM\0*" + struct.pack(">IH", 8, len(first)) + b"".join(first) + struct.pack(">I", 0)
    body = body.ljust(100, b"\0") + struct.pack(">H", 1) + entry(34855, 3, 1, struct.pack(">H", 1600))
    body = body.ljust(140, b"\0")
    return body + struct.pack(">H", 1) + entry(1, 2, 2, b"N\0") + struct.pack(">I", 0)


EXIF = exif(gps=True)


# --- what is looked for in the output, by another reader ----------------------------------------


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += length + 12
    return found


def jpeg_segments(data: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 2
    while data[at + 1] != 0xDA:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        found.append((data[at + 1], data[at + 4 : at + 2 + length]))
        at += 2 + length
    return found


def info(path: Path) -> dict[str, Any]:
    with Image.open(path) as image:
        return dict(image.info)


def has_icc(path: Path) -> bool:
    return info(path).get("icc_profile") == ICC


def has_iso(path: Path) -> bool:
    """The ISO number of the EXIF directory, and the turn."""
    with Image.open(path) as image:
        found = image.getexif()
        return found.get(274) == 6 and found.get_ifd(34665).get(34855) == 1600


def has_gps(path: Path) -> bool:
    with Image.open(path) as image:
        return image.getexif().get_ifd(34853).get(1) == "N"


def has_turn(path: Path) -> bool:
    with Image.open(path) as image:
        return image.getexif().get(274) == 6


def has_dots(path: Path) -> bool:
    dpi = info(path).get("dpi", (0, 0))
    return abs(float(dpi[0]) - 300) < 0.1 and abs(float(dpi[1]) - 150) < 0.1


def has_xmp(path: Path) -> bool:
    return XMP in path.read_bytes()


def has_chunk(kind: bytes, payload: bytes) -> Callable[[Path], bool]:
    return lambda path: (kind, payload) in png_chunks(path.read_bytes())


def has_segment(marker: int, payload: bytes) -> Callable[[Path], bool]:
    return lambda path: (marker, payload) in jpeg_segments(path.read_bytes())


def has_tag(code: int, value: Any) -> Callable[[Path], bool]:
    def look(path: Path) -> bool:
        with tifffile.TiffFile(path) as tiff:
            found = tiff.pages[0].tags.get(code)  # type: ignore[union-attr]
            return found is not None and found.value == value

    return look


# --- PNG ----------------------------------------------------------------------------------------

Cell = tuple[str, Callable[[], bytes], Callable[[Path], bool]]  # (words of a warning, file, kept?)

PNG_ITEMS: dict[str, tuple[tuple[bytes, bytes], Callable[[Path], bool] | None]] = {
    "ICC profile": ((b"iCCP", b"p\0\0" + zlib.compress(ICC)), has_icc),
    "EXIF": ((b"eXIf", EXIF), has_iso),
    "resolution": ((b"pHYs", struct.pack(">IIB", 11811, 5906, 1)), has_dots),
    "aspect": ((b"pHYs", struct.pack(">IIB", 2, 1, 0)), None),
    "text (Title)": ((b"tEXt", b"Title\0Sea"), None),
    "text (Comment)": ((b"zTXt", b"Comment\0\0" + zlib.compress(b"long")), None),
    "text (Autor)": ((b"iTXt", b"Autor\0\0\0de\0Autor\0J\xc3\xb6rg"), None),
    "XMP": ((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP), has_xmp),
    "gAMA": ((b"gAMA", struct.pack(">I", 100000)), None),
    "cHRM": ((b"cHRM", struct.pack(">8I", *range(8))), None),
    "cICP": ((b"cICP", bytes([9, 16, 0, 1])), None),
    "tIME": ((b"tIME", struct.pack(">HBBBBB", 2026, 11, 23, 1, 2, 3)), None),
    "chunk prVt": ((b"prVt", b"copies safely"), None),
    "prVT": ((b"prVT", b"does not"), None),
}
KINDS = {
    "g8": ("u1", 1),
    "g16": ("u2", 1),
    "ga8": ("u1", 2),
    "rgb8": ("u1", 3),
    "rgb16": ("u2", 3),
    "rgba16": ("u2", 4),
}


def denoised(data: bytes, tmp_path: Path, source: str, target: str, *options: str) -> tuple[Ran, Path]:
    path = tmp_path / f"in.{source}"
    path.write_bytes(data)
    result = tmp_path / f"out.{target}"
    ran = Ran("denoise", path, "-o", result, *files.QUICK, "--json", *options)
    return ran, result


def check(ran: Ran, result: Path, kept: Callable[[Path], bool], words: str) -> str:
    """The cell's state; anything but kept, warned and refused fails."""
    if ran.code != 0:
        assert "hold" in ran.err or "cannot" in ran.err, ran.err
        return "refused"
    warned = any(words in warning for warning in ran.lines[0]["warnings"])
    if kept(result):
        return "kept"
    assert warned, f"{words}: neither kept nor named in {ran.lines[0]['warnings']}"
    return "warned"


@pytest.mark.parametrize("name", PNG_ITEMS)
@pytest.mark.parametrize("kind", KINDS)
def test_png_keeps_its_chunks(kind: str, name: str, tmp_path: Path) -> None:
    chunk, look = PNG_ITEMS[name]
    data = files.png(files.samples(*KINDS[kind]), chunk)
    ran, result = denoised(data, tmp_path, "png", "png")
    state = check(ran, result, has_chunk(*chunk), name)
    assert state == ("warned" if name == "prVT" else "kept")
    if look is not None:
        assert look(result)


# --- JPEG ---------------------------------------------------------------------------------------


def jpeg(channels: int, *segments: tuple[int, bytes], **options: Any) -> bytes:
    data = files.pillow(files.samples("u1", channels), "JPEG", **options)
    extra = b"".join(struct.pack(">BBH", 0xFF, m, len(p) + 2) + p for m, p in segments)
    return data[:20] + extra + data[20:]


JPEG_ITEMS: dict[str, tuple[tuple[int, bytes] | None, Callable[[Path], bool]]] = {
    "ICC profile": ((0xE2, b"ICC_PROFILE\0\1\1" + ICC), has_icc),
    "EXIF": ((0xE1, b"Exif\0\0" + EXIF), has_iso),
    "GPS": ((0xE1, b"Exif\0\0" + EXIF), has_gps),
    "XMP": ((0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP), has_xmp),
    "extended XMP": ((0xE1, b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 40 + XMP), has_xmp),
    "IPTC": (
        (0xED, b"Photoshop 3.0\x008BIM\4\4\0\0\0\0\0\0"),
        has_segment(0xED, b"Photoshop 3.0\x008BIM\4\4\0\0\0\0\0\0"),
    ),
    "comment": ((0xFE, b"a comment"), has_segment(0xFE, b"a comment")),
    "APP5": ((0xE5, b"whatever"), has_segment(0xE5, b"whatever")),
    "(MPF)": ((0xE2, b"MPF\0MM\0*" + b"\0" * 20), lambda path: False),
    "resolution": (None, has_dots),
}


@pytest.mark.parametrize("name", JPEG_ITEMS)
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_keeps_its_segments(channels: int, name: str, tmp_path: Path) -> None:
    segment, look = JPEG_ITEMS[name]
    data = jpeg(channels, *([segment] if segment else []), dpi=(300, 150))
    ran, result = denoised(data, tmp_path, "jpg", "jpg")
    assert check(ran, result, look, name) == ("warned" if name == "(MPF)" else "kept")
    if name == "(MPF)":
        return
    with Image.open(BytesIO(data)) as before, Image.open(result) as after:
        tables = before.quantization, after.quantization  # type: ignore[attr-defined]
        assert all(np.all(np.less_equal(tables[1][n], tables[0][n])) for n in tables[0]), "coarser"


def test_a_profile_in_several_segments_comes_whole(tmp_path: Path) -> None:
    profile = bytes(range(256)) * 600
    data = files.pillow(files.samples("u1", 3), "JPEG", icc_profile=profile)
    for target in ("jpg", "png", "tif", "webp"):
        ran, result = denoised(data, tmp_path, "jpg", target)
        assert ran.code == 0
        assert info(result)["icc_profile"] == profile


# --- TIFF ---------------------------------------------------------------------------------------

TIFF_ITEMS: dict[str, tuple[dict[str, Any], Callable[[Path], bool]]] = {
    "ICC profile": ({"iccprofile": ICC}, has_tag(34675, ICC)),
    "XMP": ({"extratags": [(700, 1, None, XMP, True)]}, has_tag(700, XMP)),
    "orientation": ({"extratags": [(274, 3, 1, 6, True)]}, has_tag(274, 6)),
    "resolution": ({"resolution": (300, 150), "resolutionunit": 2}, has_tag(282, (300, 1))),
    "centimetres": ({"resolution": (100, 50), "resolutionunit": 3}, has_tag(296, 3)),
    "description": ({"description": "a stack of cells"}, has_tag(270, "a stack of cells")),
    "software": ({"software": "Microscope 7"}, has_tag(305, "Microscope 7")),
    "date": ({"datetime": "2026:11:23 01:02:03"}, has_tag(306, "2026:11:23 01:02:03")),
    "artist": ({"extratags": [(315, 2, None, "J. Doe", True)]}, has_tag(315, "J. Doe")),
    "copyright": ({"extratags": [(33432, 2, None, "J. Doe", True)]}, has_tag(33432, "J. Doe")),
    "GeoTIFF": ({"extratags": [(33550, 12, 3, (1.0, 2.0, 0.0), True)]}, has_tag(33550, (1.0, 2.0, 0.0))),
    "private": ({"extratags": [(65001, 7, None, b"\1\2\3\4\5\6", True)]}, has_tag(65001, b"\1\2\3\4\5\6")),
    "TIFF tag 37724": ({"extratags": [(37724, 7, None, b"pointers", True)]}, has_tag(37724, b"pointers")),
}
TIFF_KINDS: dict[str, tuple[tuple[str, int], dict[str, Any]]] = {
    "g8": (("u1", 1), {}),
    "g16 big-endian": (("u2", 1), {"order": ">"}),
    "rgb16 lzw": (("u2", 3), {"compression": "lzw", "photometric": "rgb"}),
    "f32 BigTIFF": (("f4", 1), {"big": True}),
    "rgba8": (("u1", 4), {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
}


@pytest.mark.parametrize("name", TIFF_ITEMS)
@pytest.mark.parametrize("kind", TIFF_KINDS)
def test_tiff_keeps_its_tags(kind: str, name: str, tmp_path: Path) -> None:
    pixels, options = TIFF_KINDS[kind]
    item, look = TIFF_ITEMS[name]
    data = files.tiff(files.samples(*pixels), **{"software": False, **options, **item})
    assert name == "TIFF tag 37724" or look_at(data, look, tmp_path), "the test's own file lacks it"
    ran, result = denoised(data, tmp_path, "tif", "tif")
    assert check(ran, result, look, name) == ("warned" if name == "TIFF tag 37724" else "kept")


def look_at(data: bytes, look: Callable[[Path], bool], tmp_path: Path) -> bool:
    path = tmp_path / "before.tif"
    path.write_bytes(data)
    return look(path)


def tiff_with_exif(*, big: bool, order: str) -> bytes:
    """A TIFF file whose EXIF and GPS directories stand at its end."""
    tags = [(34664, 4, 1, 0, True), (34852, 4, 1, 0, True), (274, 3, 1, 6, True)]
    data = bytearray(files.tiff(files.samples("u2"), big=big, order=order, extratags=tags))
    for placeholder, code, value in (
        (34664, 34665, (34855, 3, 1, struct.pack(order + "H", 1600))),
        (34852, 34853, (1, 2, 2, b"N\0")),
    ):
        at = data.find(struct.pack(order + "HH", placeholder, 4))
        struct.pack_into(order + ("HHQQ" if big else "HHII"), data, at, code, 16 if big else 4, 1, len(data))
        count, width = (struct.pack(order + "Q", 1), 8) if big else (struct.pack(order + "H", 1), 4)
        inner = struct.pack(order + ("HHQ" if big else "HHI"), *value[:3]) + value[3].ljust(width, b"\0")
        data += count + inner + b"\0" * width
    return bytes(data)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("name", ["EXIF", "GPS"])
def test_tiff_keeps_its_directories(name: str, big: bool, order: str, tmp_path: Path) -> None:
    look = {"EXIF": has_tiff_iso, "GPS": has_tiff_gps}[name]
    data = tiff_with_exif(big=big, order=order)
    assert look_at(data, look, tmp_path), "the test's own file lacks it"
    ran, result = denoised(data, tmp_path, "tif", "tif")
    assert ran.code == 0, ran.err
    assert look(result)
    assert files.decoded(result).dtype == "u2"


def directory_of(path: Path, code: int) -> dict[str, Any]:
    with tifffile.TiffFile(path) as tiff:
        found = tiff.pages[0].tags.get(code)  # type: ignore[union-attr]
        return dict(found.value) if found is not None else {}


def has_tiff_iso(path: Path) -> bool:
    return 1600 in directory_of(path, 34665).values()


def has_tiff_gps(path: Path) -> bool:
    return "N" in directory_of(path, 34853).values()


def test_two_tags_of_one_number_are_both_kept(tmp_path: Path) -> None:
    data = files.tiff(files.samples("u1"), description="first", metadata={"second": 1})
    ran, result = denoised(data, tmp_path, "tif", "tif")
    assert ran.code == 0
    with tifffile.TiffFile(result) as tiff:
        values = [tag.value for tag in tiff.pages[0].tags if tag.code == 270]  # type: ignore[union-attr]
    assert values[0] == "first"
    assert "second" in values[1]


def test_tags_of_every_page_are_kept(tmp_path: Path) -> None:
    memory = BytesIO()
    with tifffile.TiffWriter(memory) as writer:
        for n in range(3):
            writer.write(
                files.samples("u1", seed=n), description=f"plane {n}", metadata=None, contiguous=False
            )
    _, result = denoised(memory.getvalue(), tmp_path, "tif", "tif")
    with tifffile.TiffFile(result) as tiff:
        assert [page.description for page in tiff.pages] == ["plane 0", "plane 1", "plane 2"]  # type: ignore[union-attr]


@pytest.mark.parametrize("what", ["pyramid", "thumbnail", "unknown type"])
def test_tiff_names_what_it_leaves_out(what: str, tmp_path: Path) -> None:
    memory = BytesIO()
    with tifffile.TiffWriter(memory) as writer:
        writer.write(
            files.samples("u1"),
            subifds=1 if what == "pyramid" else 0,
            metadata=None,
            extratags=[(65001, 3, 1, 7, True)],
        )
        if what != "unknown type":
            writer.write(files.samples("u1")[::2, ::2], subfiletype=1, metadata=None)
    data = bytearray(memory.getvalue())
    if what == "unknown type":
        at = data.find(struct.pack("<HH", 65001, 3))
        data[at + 2] = 99
    ran, _ = denoised(bytes(data), tmp_path, "tif", "tif")
    assert ran.code == 0
    expected = {"pyramid": "pyramid", "thumbnail": "1 reduced page", "unknown type": "65001"}[what]
    assert any(expected in warning for warning in ran.lines[0]["warnings"])


# --- WebP and BMP -------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize(
    ("option", "look"),
    [({"icc_profile": ICC}, has_icc), ({"exif": EXIF}, has_iso), ({"xmp": XMP}, has_xmp)],
    ids=["ICC", "EXIF", "XMP"],
)
def test_webp_keeps_its_chunks(
    option: dict[str, Any], look: Callable[[Path], bool], lossless: bool, channels: int, tmp_path: Path
) -> None:
    data = files.pillow(files.samples("u1", channels), "WEBP", lossless=lossless, **option)
    ran, result = denoised(data, tmp_path, "webp", "webp")
    assert ran.code == 0, ran.err
    assert look(result)
    assert (b"VP8L" in result.read_bytes()) is lossless


def test_webp_names_a_chunk_it_does_not_know(tmp_path: Path) -> None:
    data = files.pillow(files.samples("u1", 3), "WEBP", lossless=True)
    data = data[:4] + struct.pack("<I", len(data) + 4) + data[8:] + b"abcd" + struct.pack("<I", 4) + b"1234"
    ran, _ = denoised(data, tmp_path, "webp", "webp")
    assert any("chunk abcd" in warning for warning in ran.lines[0]["warnings"])


def test_bmp_keeps_its_resolution(tmp_path: Path) -> None:
    data = files.pillow(files.samples("u1", 3), "BMP", dpi=(300, 150))
    ran, result = denoised(data, tmp_path, "bmp", "bmp")
    assert ran.code == 0
    assert has_dots(result)


# --- from one format into another ---------------------------------------------------------------


def every_item(source: str) -> bytes:
    """A picture with all the metadata that several formats know."""
    if source == "png":
        kinds = ("ICC profile", "EXIF", "resolution", "XMP", "text (Title)", "gAMA")
        return files.png(files.samples("u1", 3), *(PNG_ITEMS[name][0] for name in kinds))
    if source == "jpg":
        kinds = ("ICC profile", "EXIF", "XMP", "IPTC", "comment")
        return jpeg(3, *(s for name in kinds if (s := JPEG_ITEMS[name][0])), dpi=(300, 150))
    if source == "webp":
        return files.pillow(
            files.samples("u1", 3), "WEBP", lossless=True, icc_profile=ICC, exif=EXIF, xmp=XMP
        )
    tags = [(700, 1, None, XMP, True), (274, 3, 1, 6, True), (315, 2, None, "J. Doe", True)]
    pixels = files.samples("u1", 3)
    options = {"photometric": "rgb", "iccprofile": ICC, "resolution": (300, 150), "resolutionunit": 2}
    return files.tiff(pixels, description="a word", extratags=tags, **options)


ITEMS: dict[str, dict[str, Callable[[Path], bool]]] = {
    "ICC profile": dict.fromkeys(("png", "jpg", "tif", "webp", "bmp"), has_icc),
    "EXIF": dict.fromkeys(("png", "jpg", "tif", "webp", "bmp"), has_iso),
    "orientation": dict.fromkeys(("png", "jpg", "tif", "webp", "bmp"), has_turn),
    "XMP": dict.fromkeys(("png", "jpg", "tif", "webp", "bmp"), has_xmp),
    "resolution": dict.fromkeys(("png", "jpg", "tif", "bmp"), has_dots),
}
PRESENT = {
    "png": ["ICC profile", "EXIF", "XMP", "resolution", "text (Title)", "gAMA"],
    "jpg": ["ICC profile", "EXIF", "XMP", "resolution", "APP13", "comment"],
    "webp": ["ICC profile", "EXIF", "XMP"],
    "tif": ["ICC profile", "orientation", "XMP", "resolution", "TIFF tag 315", "TIFF tag 270"],
}
CARRIED = {  # what a target must keep, whatever the source
    "png": {"ICC profile", "EXIF", "orientation", "XMP", "resolution"},
    "jpg": {"ICC profile", "EXIF", "orientation", "XMP", "resolution"},
    "tif": {"ICC profile", "EXIF", "orientation", "XMP", "resolution"},
    "webp": {"ICC profile", "EXIF", "orientation", "XMP"},
    "bmp": {"resolution"},
    "npy": set(),
}


@pytest.mark.parametrize(("source", "target"), [(s, t) for s in PRESENT for t in CARRIED if s != t])
def test_nothing_is_lost_in_silence_between_formats(source: str, target: str, tmp_path: Path) -> None:
    ran, result = denoised(every_item(source), tmp_path, source, target)
    assert ran.code == 0, ran.err
    for name in PRESENT[source]:
        look = ITEMS.get(name, {}).get(target, lambda path: False)
        state = check(ran, result, look, name)
        assert state == ("kept" if name in CARRIED[target] else "warned"), name


@pytest.mark.parametrize("source", PRESENT)
def test_strip_keeps_the_profile_and_the_turn_only(source: str, tmp_path: Path) -> None:
    ran, result = denoised(every_item(source), tmp_path, source, source, "--strip")
    assert ran.code == 0, ran.err
    assert has_turn(result)
    assert has_icc(result)
    left = result.read_bytes()
    for private in (XMP, b"Sea", b"J. Doe", b"a word", b"a comment", b"8BIM", b"Eye\0"):
        assert private not in left, private
    assert not has_gps(result)


def test_what_tiff_cannot_take_of_exif_is_named(tmp_path: Path) -> None:
    block = bytearray(EXIF)
    (count,) = struct.unpack_from(">H", block, 8)
    struct.pack_into(">I", block, 10 + 12 * count, len(block))  # a second directory: the thumbnail's
    block += struct.pack(">H", 1) + entry(259, 3, 1, struct.pack(">H", 6)) + struct.pack(">I", 0)
    maker = len(block)
    struct.pack_into(">I", block, 10 + 12 * 2 + 8, maker)  # a longer EXIF directory, with a maker's note
    block += struct.pack(">H", 2) + entry(34855, 3, 1, struct.pack(">H", 1600)) + entry(37500, 7, 4, b"note")
    block += struct.pack(">I", 0)
    ran, result = denoised(files.png(files.samples("u1"), (b"eXIf", bytes(block))), tmp_path, "png", "tif")
    warnings = " ".join(ran.lines[0]["warnings"])
    assert "EXIF thumbnail" in warnings
    assert "camera's own note" in warnings
    assert has_tiff_iso(result)
    assert b"Eye\0" in result.read_bytes()


def test_a_damaged_exif_block_is_named_and_harms_nothing(tmp_path: Path) -> None:
    data = files.png(files.samples("u1"), (b"eXIf", b"MM\0*\xff\xff\xff\xff"))
    ran, _ = denoised(data, tmp_path, "png", "tif")
    assert ran.code == 0
    assert any("EXIF (damaged)" in warning for warning in ran.lines[0]["warnings"])
