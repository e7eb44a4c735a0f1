"""What stands beside a TIFF page: tags of every type, names of sibling files, raw data behind a thumbnail."""

from __future__ import annotations

import re
import struct
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from ..faults import files, tiffs
from ..faults.streams import Ran
from ..faults.tiffs import denoised, warnings_of

QUICK = files.QUICK


# --- tags ---------------------------------------------------------------------------------------

TYPES: dict[int, Any] = {  # of TIFF: values as tifffile takes them
    1: (1, 2, 3, 4, 5),
    2: b"five\0",
    3: (1, 65535, 3),
    4: (1, 2**32 - 1),
    5: (3127, 10000, 329, 1000),
    6: (-1, 127, -128, 4, 5),
    7: b"\0\1\2\xff\3",
    8: (-1, 32767, -32768),
    9: (-(2**31), 5),
    10: (-1, 3, 2**31 - 1, -7),
    11: (1.5, -0.25),
    12: (1e300, -2.5),
    13: (8, 9),
    16: (2**63, 1),
    17: (-(2**62), 3),
    18: (2**40, 2),
}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("kind", TYPES)
def test_tags_of_every_type_survive(kind: int, single: bool, order: str, tmp_path: Path) -> None:
    value = TYPES[kind]
    pairs = 2 if kind in (5, 10) else 1
    if single and kind != 2:
        value = value[:pairs]
    count = len(value) // pairs
    data = files.tiff(
        files.samples("u2"), order=order, big=kind > 13, extratags=[(65001, kind, count, value, True)]
    )
    ran, result = denoised(data, tmp_path)
    assert ran.code == 0, ran.err
    with tifffile.TiffFile(BytesIO(data)) as old, tifffile.TiffFile(result) as new:
        a, b = (t.pages[0].tags[65001] for t in (old, new))  # type: ignore[union-attr]
        assert (a.count, a.dtype, a.value) == (b.count, b.dtype, b.value)


def test_rationals_of_exif_survive_the_way_to_tiff(tmp_path: Path) -> None:
    def entry(code: int, kind: int, at: int) -> bytes:
        return struct.pack(">HHII", code, kind, 1, at)

    first = entry(318, 5, 200)[:4] + struct.pack(">II", 2, 200)  # WhitePoint has two
    body = b"MM\0*" + struct.pack(">IH", 8, 2) + first + struct.pack(">HHII", 34665, 4, 1, 100) + bytes(4)
    body = (
        body.ljust(100, b"\0")
        + struct.pack(">H", 2)
        + entry(33434, 5, 220)
        + entry(37377, 10, 228)
        + bytes(4)
    )
    body = body.ljust(200, b"\0") + struct.pack(">4I", 3127, 10000, 329, 1000)
    body = body.ljust(220, b"\0") + struct.pack(">IIii", 1, 125, -7, 2)
    path, result = tmp_path / "in.jpg", tmp_path / "out.tif"
    path.write_bytes(files.pillow(files.samples("u1", 3), "JPEG", exif=b"Exif\0\0" + body))
    ran = Ran("denoise", path, "-o", result, *QUICK)
    assert ran.code == 0, ran.err
    with tifffile.TiffFile(result) as tiff:
        tags = tiff.pages[0].tags  # type: ignore[union-attr]
        assert (tags[318].count, tags[318].value) == (2, (3127, 10000, 329, 1000))
        assert tags[34665].value["ExposureTime"] == (1, 125)
        assert tags[34665].value["ShutterSpeedValue"] == (-7, 2)


@pytest.mark.parametrize(
    "value", [(1, 100000), (2**32 - 1, 2**32 - 2), (1, 2**32 - 1), (300, 1), (3937, 100), (123457, 99991)]
)
def test_a_resolution_is_kept_exactly(value: tuple[int, int], tmp_path: Path) -> None:
    data = files.tiff(files.samples("u1"), resolution=(value, value), resolutionunit=1)
    _, result = denoised(data, tmp_path)
    with tifffile.TiffFile(result) as tiff:
        assert tiff.pages[0].tags[282].value == value  # type: ignore[union-attr]


@pytest.mark.parametrize(("kind", "value"), [(3, 300), (11, 72.5), (12, 72.5), (10, (3937, 100))])
def test_a_resolution_of_another_type_is_understood(kind: int, value: Any, tmp_path: Path) -> None:
    raw = struct.pack("<ii", *value) if kind == 10 else value
    form = {3: "H", 11: "f", 12: "d"}.get(kind)
    values = raw if kind == 10 else struct.pack(f"<{form}", raw)
    tags = tiffs.plain() | {273: (4, (0,)), 279: (4, (1600,)), 282: (kind, values), 283: (kind, values)}
    _, result = denoised(tiffs.by_hand(tags, bytes(1600)), tmp_path)
    with tifffile.TiffFile(result) as tiff:
        x, y = tiff.pages[0].tags[282].value  # type: ignore[union-attr]
    assert x / y == (value[0] / value[1] if kind == 10 else value)


@pytest.mark.parametrize(("code", "kind"), [(280, 3), (281, 3), (340, 4), (341, 11)])
def test_the_range_to_display_is_kept_or_named(code: int, kind: int, tmp_path: Path) -> None:
    tags = [(code, kind, 1, 3, True)]
    ran, result = denoised(files.tiff(files.samples("u2"), extratags=tags), tmp_path)
    with tifffile.TiffFile(result) as tiff:
        assert tiff.pages[0].tags[code].value == 3  # type: ignore[union-attr]
    few = files.tiff(files.samples("u1") // 16, bitspersample=4, extratags=tags)
    ran, result = denoised(few, tmp_path)
    with tifffile.TiffFile(result) as tiff:
        assert code not in tiff.pages[0].tags  # type: ignore[union-attr]
    assert f"(tag {code}) is left out: the numbers have changed" in warnings_of(ran)


# --- files of a set -------------------------------------------------------------------------------


def test_files_of_a_set_name_each_other_by_their_new_names(tmp_path: Path) -> None:
    names = []
    for n, data in enumerate(tiffs.ome_set()):
        (tmp_path / f"s{n}.ome.tif").write_bytes(data)
        names.append(tmp_path / f"s{n}.ome.tif")
    ran = Ran("denoise", *names, "--json", *QUICK)
    assert ran.code == 0, ran.err
    assert not any(line["warnings"] for line in ran.lines)
    for n in range(2):
        whole = tifffile.imread(tmp_path / f"s{n}.denoised.ome.tif")
        assert whole.shape == (2, 40, 40)
        assert (whole.std((1, 2)) < 8).all(), "a noisy channel of the original shows"
    old, new = (
        [re.findall(rb"urn:uuid:[-0-9a-f]+", (tmp_path / f"s{n}.{kind}tif").read_bytes()) for n in range(2)]
        for kind in ("ome.", "denoised.ome.")
    )
    assert not set(old[0]) & set(new[0])
    assert new[0][1:] == new[1][1:], "the files of the set disagree about each other's identifiers"
    assert (new[0][0], new[1][0]) == (new[0][1], new[0][2])


@pytest.mark.parametrize("output", ["clean.ome.tif", "folder"])
def test_a_file_of_a_set_alone_says_that_it_names_others(output: str, tmp_path: Path) -> None:
    path = tmp_path / "s0.ome.tif"
    path.write_bytes(tiffs.ome_set()[0])
    target = tmp_path / output if output.endswith("tif") else f"{tmp_path / output}/"
    ran = Ran("denoise", path, "-o", target, "--json", *QUICK)
    assert ran.code == 0, ran.err
    assert "one of a set; its description still names s1.ome.tif" in warnings_of(ran)
    text = Path(ran.lines[0]["output"]).read_bytes()
    assert (b'FileName="clean.ome.tif"' if output.endswith("tif") else b'FileName="s0.ome.tif"') in text


def test_a_renamed_file_of_a_set_is_known_by_its_identifier(tmp_path: Path) -> None:
    path = tmp_path / "other & name.tif"
    path.write_bytes(tiffs.ome_set()[0])
    ran = Ran("denoise", path, "--json", *QUICK)
    assert ran.code == 0, ran.err
    assert b'FileName="other &amp; name.denoised.tif"' in Path(ran.lines[0]["output"]).read_bytes()


def test_a_file_whose_description_is_elsewhere_names_that(tmp_path: Path) -> None:
    text = '<OME UUID="urn:uuid:1"><BinaryOnly MetadataFile="set.companion.ome" UUID="urn:uuid:2"/></OME>'
    ran, _ = denoised(files.tiff(files.samples("u1"), description=text), tmp_path)
    assert "set.companion.ome" in warnings_of(ran)


def test_a_set_can_go_into_a_pipe(tmp_path: Path) -> None:
    ran = Ran("denoise", "-", *QUICK, given=tiffs.ome_set()[0])
    assert ran.code == 0, ran.err
    assert "still names s0.ome.tif, s1.ome.tif" in ran.err
    assert b'FileName="s0.ome.tif"' in ran.pixels


def test_text_that_would_keep_a_pattern_busy_does_not(tmp_path: Path) -> None:
    hostile = b"<TiffData " * 200_000 + b"<UUID FileName='" + b"FileName=" * 200_000 + b" OME>"
    began = time.process_time()
    pages = [files.samples("u1")] * 2
    ran, _ = denoised(files.tiff(pages, description=hostile), tmp_path, "--volume")
    assert ran.code == 0, ran.err
    assert time.process_time() - began < 5


@pytest.mark.parametrize("suffix", [".ome.tif", ".ome.tiff", ".OME.TIF", ".ome.btf"])
def test_the_double_suffix_of_ome_stays_at_the_end(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(files.tiff(files.samples("u1")))
    assert Ran("denoise", path, *QUICK).code == 0
    assert (tmp_path / f"x.denoised{suffix}").exists()
    ran = Ran("denoise", "-r", tmp_path, "-o", str(tmp_path / "out"), *QUICK, "--json")
    assert [Path(line["output"]).name for line in ran.lines] == [f"x{suffix}"], "a result was taken for input"
    assert Ran("denoise", path, "--format", "png", *QUICK).code == 0
    assert (tmp_path / "x.denoised.png").exists()


# --- camera raw -----------------------------------------------------------------------------------


@pytest.mark.parametrize("thumbnail", [0, 1])
@pytest.mark.parametrize("photometric", [32803, 34892, "minisblack"])
def test_camera_raw_behind_a_thumbnail_is_refused(photometric: Any, thumbnail: int, tmp_path: Path) -> None:
    memory = BytesIO()
    with tifffile.TiffWriter(memory) as writer:
        thumb = np.zeros((12, 16, 3), "u1")
        writer.write(thumb, photometric="rgb", subfiletype=thumbnail, subifds=1, metadata=None)
        shape = (40, 60, 3) if photometric == 34892 else (40, 60)
        writer.write(np.zeros(shape, "u2"), photometric=photometric, metadata=None)
    ran, result = denoised(memory.getvalue(), tmp_path)
    assert ran.code == 1
    assert "it is camera raw behind a thumbnail; develop it first" in ran.err
    assert not result.exists()


def test_canon_raw_is_refused(tmp_path: Path) -> None:
    data = bytearray(files.tiff(files.samples("u1")))
    (offset,) = struct.unpack_from("<I", data, 4)
    directory = data[offset:]
    moved = data[:8] + b"CR\2\0" + bytes(4) + data[8:]
    struct.pack_into("<I", moved, 4, len(moved))
    ran, _ = denoised(bytes(moved + directory), tmp_path)
    assert ran.code == 1
    assert "camera raw (CR2)" in ran.err


# --- mask pages ----------------------------------------------------------------------------------

MASKED: dict[str, tuple[str, int, dict[str, Any]]] = {
    "grey": ("u1", 1, {}),
    "RGB": ("u1", 3, {"photometric": "rgb"}),
    "heights": ("f4", 1, {"extratags": [(42113, 2, None, "-9999", True)]}),
    "bands": ("u2", 4, {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": (0,) * 3}),
    "planes": ("i2", 4, {"photometric": "minisblack", "planarconfig": "separate", "extrasamples": (0,) * 3}),
}


def masked(name: str, mask: np.ndarray, pages: int = 1) -> tuple[list[np.ndarray], bytes]:
    """Pages with a mask page behind each, as GDAL writes them within a file."""
    dtype, channels, options = MASKED[name]
    before = [files.samples(dtype, channels, mask.shape, seed=n) for n in range(pages)]
    memory = BytesIO()
    with tifffile.TiffWriter(memory) as writer:
        for page in before:
            stored = np.moveaxis(page, -1, 0) if name == "planes" else page
            writer.write(stored, metadata=None, contiguous=False, **options)
            writer.write(mask, subfiletype=4, photometric=4, metadata=None, compression="zlib")  # type: ignore[arg-type]
    return before, memory.getvalue()


@pytest.mark.parametrize("pages", [1, 2])
@pytest.mark.parametrize("name", MASKED)
def test_mask_pages_are_obeyed_and_kept(name: str, pages: int, tmp_path: Path) -> None:
    """They were left out: the result showed pixels that the input hides, and hidden ones were averaged."""
    mask = np.ones((20, 24), bool)
    mask[:8, 5:20] = False
    before, data = masked(name, mask, pages)
    ran, result = denoised(data, tmp_path, "--sigma", "10%" if name != "heights" else "0.1")
    assert (ran.code, ran.lines[0]["warnings"]) == (0, []), ran.err
    with tifffile.TiffFile(result) as new, tifffile.TiffFile(BytesIO(data)) as old:
        for a, b in zip(old.pages, new.pages, strict=True):
            for what in ("photometric", "planarconfig", "extrasamples", "shape", "dtype", "subfiletype"):
                assert getattr(a, what) == getattr(b, what), what  # type: ignore[arg-type]
        for n, page in enumerate(before):
            after = new.pages[2 * n].asarray()
            after = np.moveaxis(after, 0, -1) if name == "planes" else after
            assert np.array_equal(new.pages[2 * n + 1].asarray(), mask)
            assert np.array_equal(after[~mask], page[~mask])
            assert (after[mask].astype(float).std(0) < 0.9 * page[mask].astype(float).std(0)).all()
    for command in (("estimate",), ("weights", "--at", "2,15"), ("report",)):
        assert Ran(command[0], tmp_path / "in.tif", *command[1:], *files.QUICK).code == 0
    assert "identical" not in Ran("compare", tmp_path / "in.tif", result).out


@pytest.mark.parametrize("target", ["png", "webp", "jpg"])
def test_a_mask_page_becomes_transparency_elsewhere(target: str, tmp_path: Path) -> None:
    mask = np.ones((20, 24), bool)
    mask[:8] = False
    _, data = masked("RGB", mask)
    ran, result = denoised(data, tmp_path, target=target)
    if target == "jpg":
        assert (ran.code, "RGB with alpha" in ran.err) == (1, True)
        return
    assert ran.code == 0, ran.err
    assert np.array_equal(files.decoded(result)[..., 3], np.where(mask, 255, 0))


def test_masked_heights_may_become_float32(tmp_path: Path) -> None:
    mask = np.arange(24 * 20).reshape(20, 24) % 7 > 0
    _, data = masked("bands", mask)
    ran, result = denoised(data, tmp_path, "--dtype", "float32")
    assert ran.code == 0, ran.err
    with tifffile.TiffFile(result) as tiff:
        assert tiff.pages[0].dtype == np.float32
        assert np.array_equal(tiff.pages[1].asarray(), mask)


@pytest.mark.parametrize("kind", ["another size", "alpha too", "reduced"])
def test_a_mask_page_that_cannot_be_obeyed_is_named(kind: str, tmp_path: Path) -> None:
    memory = BytesIO()
    alpha = {"photometric": "rgb", "extrasamples": (2,)} if kind == "alpha too" else {}
    with tifffile.TiffWriter(memory) as writer:
        writer.write(files.samples("u1", 4 if alpha else 1), metadata=None, **alpha)  # type: ignore[arg-type]
        mask = np.ones((3, 5) if kind == "another size" else files.SHAPE, bool)
        writer.write(mask, subfiletype=5 if kind == "reduced" else 4, photometric=4, metadata=None)  # type: ignore[arg-type]
    ran, _ = denoised(memory.getvalue(), tmp_path)
    assert ran.code == 0, ran.err
    word = (
        "1 reduced page left out"
        if kind == "reduced"
        else "1 mask page left out, and not obeyed: give --mask"
    )
    assert word in warnings_of(ran)
