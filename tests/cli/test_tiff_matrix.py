"""The matrix of what a TIFF file may be: whatever is not kept is refused, or named in a warning.

Cells are seeded so that every pair of levels of two factors occurs in one of them.  Each is a file made by
tifffile, denoised into some format, and looked at by tifffile or Pillow.  NLMEANS_TEST_MATRIX=20 takes
twenty times as many cells, from other seeds.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from ..faults import files
from ..faults.streams import Ran

HEIGHT, WIDTH = 40, 48
FACTORS: dict[str, list[Any]] = {
    "sample": ["u1", "u2", "i1", "i2", "f2", "f4", "f8", "i4", "u4", *range(1, 16)],  # packed bits
    "photometric": ["minisblack", "miniswhite", "rgb"],
    "extra": [(), (0,), (1,), (2,), (0, 0), (0, 2), (2, 0), (0, 0, 0, 1)],
    "planes": ["contig", "separate"],
    "strips": ["whole", "rows", (16, 16), (16, 48), (32, 16)],
    "packing": [None, "zlib", "lzw", "packbits", "lzma", "zstd", "predicted"],
    "file": ["<", ">", "<big", ">big"],
    "orientation": [*range(1, 9)],
    "tag": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 17],
    "axes": ["", "", "ImageJ ZC", "OME ZCT", "shaped QYX", "resolution", "nodata", "mask"],
    "target": [*["tif"] * 6, "png", "png", "jpg", "webp", "bmp", "npy", "pgm", "ppm", "pfm", "exr", "hdr"],
}
VALUES: dict[int, Any] = {  # of each type of tag, none like another
    1: (1, 2, 3, 4, 5), 2: b"five\0", 3: (1, 65535, 3), 4: (1, 2**32 - 1), 5: (3127, 10000, 329, 1000),
    6: (-1, -2, -3), 7: b"\1\2\3\4\5\6", 8: (-300, 400, -5), 9: (-70000, 5), 10: (-3, 4, 5, -6),
    11: (0.5, -2.5, 7.25), 12: (1e-300, 2.0, 3.5), 13: (8, 9, 10), 16: (2**40, 7), 17: (-(2**40), 7),
}  # fmt: skip
PAGES = {"ImageJ ZC": 4, "OME ZCT": 8, "shaped QYX": 3}
DESCRIPTIONS = {
    "ImageJ ZC": "ImageJ=1.54f\nimages=4\nchannels=2\nslices=2\nhyperstack=true\n",
    "shaped QYX": '{"shape": [3, 40, 48]}',
    "OME ZCT": '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
    '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="48" SizeY="40" '
    'SizeZ="2" SizeC="2" SizeT="2"><TiffData/></Pixels></Image></OME>',
}
Cell = dict[str, Any]


def cells(seed: int) -> Iterator[Cell]:
    """Cells by chance, each with a pair of levels that no earlier one had, until there are none left."""
    chance = random.Random(seed)
    places = {name: range(len(levels)) for name, levels in FACTORS.items()}
    missing = [
        ((a, m), (b, n))
        for a, b in itertools.combinations(FACTORS, 2)
        for m, n in itertools.product(places[a], places[b])
    ]
    chance.shuffle(missing)
    seen: set[Any] = set()
    for pair in missing:
        if pair not in seen:
            chosen = {name: chance.choice(place) for name, place in places.items()} | dict(pair)
            seen |= set(itertools.combinations(chosen.items(), 2))
            yield possible({name: FACTORS[name][n] for name, n in chosen.items()})


def possible(cell: Cell) -> Cell:
    """The nearest cell that tifffile can write and that contradicts nothing."""
    bits = isinstance(cell["sample"], int)
    alpha = bool({1, 2} & set(cell["extra"]))
    if bits and cell["sample"] % 8:  # packed: tifffile has it in strips, of the processor's order
        cell |= {
            "packing": None,
            "planes": "contig",
            "strips": "whole",
            "file": cell["file"].replace(">", "<"),
        }
    if cell["sample"] == 1:
        cell |= {"extra": (), "photometric": cell["photometric"].replace("rgb", "minisblack")}
    if bits and cell["photometric"] != "rgb":
        cell["extra"] = ()
    if cell["axes"] in PAGES and cell["axes"] != "shaped QYX" and cell["target"] not in ("tif", "png"):
        cell["axes"] = ""  # refused like the other
    if cell["axes"] == "mask" and (alpha or cell["sample"] == 1):
        cell["axes"] = ""
    if cell["tag"] in (16, 17) and not cell["file"].endswith("big"):
        cell["tag"] = 4
    if cell["packing"] == "predicted" and cell["sample"] == "f2":
        cell["packing"] = "zlib"
    return cell


def kind_of(cell: Cell) -> tuple[str, int | None, int]:
    """The array's type, bits where they are packed, and what is full."""
    sample = cell["sample"]
    if not isinstance(sample, int):
        dtype = np.dtype(sample)
        return sample, None, 1 if dtype.kind == "f" else int(np.iinfo(dtype).max)
    if sample == 1:
        return "?", None, 1
    return ("u1" if sample <= 8 else "u2"), sample if sample != 8 else None, 2**sample - 1


def made(cell: Cell) -> tuple[list[np.ndarray], bytes]:
    """The pages, samples last, and the file."""
    dtype, packed, full = kind_of(cell)
    colours = 3 if cell["photometric"] == "rgb" else 1
    count = colours + len(cell["extra"])
    pages = []
    for n in range(PAGES.get(cell["axes"], 1)):
        unit = np.random.default_rng(n).normal(0.4, 0.06, (HEIGHT, WIDTH, count)).clip(0.1, 0.9)
        unit[:, : WIDTH // 4] += 0.1
        page = unit > 0.45 if dtype == "?" else (unit * full).astype(dtype)
        for place, meaning in enumerate(cell["extra"], colours):
            if meaning:
                page[..., place] = full if place % 2 else full // 2 or 0.5
        if cell["axes"] == "nodata":
            page[:9, 5:20] = page.flat[0] + 1 if dtype != "?" else page[:9, 5:20]
        pages.append(page)
    options: dict[str, Any] = {
        "photometric": cell["photometric"], "planarconfig": cell["planes"] if count > 1 else None,
        "extrasamples": cell["extra"] or None, "bitspersample": packed, "software": False, "metadata": None,
        "contiguous": False,
    }  # fmt: skip
    if cell["packing"]:
        predicted = cell["packing"] == "predicted"
        options |= {"compression": "zlib" if predicted else cell["packing"], "predictor": predicted or None}
        if dtype == "?":
            options["predictor"] = None
    if cell["strips"] == "rows":
        options["rowsperstrip"] = 7
    elif cell["strips"] != "whole":
        options["tile"] = cell["strips"]
    kind, value = cell["tag"], VALUES[cell["tag"]]
    size = None if kind in (2, 7) else len(value) // (2 if kind in (5, 10) else 1)
    tags = [(65001, kind, size, value, True), (274, 3, 1, cell["orientation"], True)]
    if cell["axes"] in DESCRIPTIONS:
        options["description"] = DESCRIPTIONS[cell["axes"]]
    if cell["axes"] == "resolution":
        options |= {"resolution": ((1, 100000), (3, 7)), "resolutionunit": 3}
    if cell["axes"] == "nodata":
        tags.append((42113, 2, None, nodata_of(pages[0]), True))
    memory = BytesIO()
    with tifffile.TiffWriter(memory, bigtiff="big" in cell["file"], byteorder=cell["file"][0]) as writer:
        for page in pages:
            stored = page[..., 0] if count == 1 else page
            stored = np.moveaxis(page, -1, 0) if count > 1 and cell["planes"] == "separate" else stored
            writer.write(stored.astype(stored.dtype.newbyteorder(cell["file"][0])), **options, extratags=tags)
            if cell["axes"] == "mask":
                hidden: dict[str, Any] = {"subfiletype": 4, "photometric": 4, "metadata": None}
                writer.write(mask_of(), software=False, **hidden)
    return pages, memory.getvalue()


def nodata_of(page: np.ndarray) -> str:
    return repr(page[0, 5, 0].item()) if page.dtype != bool else "7"


def mask_of() -> np.ndarray:
    mask = np.ones((HEIGHT, WIDTH), bool)
    mask[:9, 5:20] = False
    return mask


@pytest.mark.parametrize("part", range(4))
def test_nothing_is_lost_in_silence(part: int, tmp_path: Path) -> None:
    """Zero losses that are neither refused nor named; and both happen."""
    states: dict[str, int] = {}
    for seed in range(int(os.environ.get("NLMEANS_TEST_MATRIX", "1"))):
        for number, cell in enumerate(cells(seed)):
            if number % 4 == part:
                try:
                    state = looked_at(cell, tmp_path)
                except Exception as error:
                    raise AssertionError(f"{cell}: {type(error).__name__} {error}") from error
                states[state] = states.get(state, 0) + 1
    assert states["kept"] > 5, states
    assert states["named"] > 5, states
    assert states["refused"] > 5, states


def looked_at(cell: Cell, folder: Path) -> str:
    """What became of one file."""
    pages, data = made(cell)
    path, out = folder / "in.tif", folder / f"out.{cell['target']}"
    path.write_bytes(data)
    dtype, _, full = kind_of(cell)
    sigma = 0.06 * (255 if dtype == "?" or (isinstance(cell["sample"], int) and full < 255) else full)
    options = ["--sigma", sigma, *files.QUICK[2:], "--overwrite", "--json"]
    ran = Ran("denoise", path, "-o", out, *options, *["--convert"] * (dtype in ("?", "i4", "u4")))
    (line,) = ran.lines
    if ran.code:
        assert ran.code == 1, line
        assert "unexpected" not in line["message"], line
        assert any(word in line["message"] for word in (" hold", "not possible", " not supported")), line
        assert cell["target"] != "tif", line
        return "refused"
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages[0].tags[65001].value  # type: ignore[union-attr]
    lost = [*losses(cell, pages, tag, out)]
    named = " ".join(line["warnings"])
    for what, words in lost:
        assert any(word in named for word in words), f"{what} is lost; named: {named}"
    return "named" if lost else "kept"


def losses(cell: Cell, pages: list[np.ndarray], tag: Any, out: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What is not in the output as it was, and words one of which must be in a warning."""
    pixels, facts = read_back(out)
    dtype, packed, full = kind_of(cell)
    colours = 3 if cell["photometric"] == "rgb" else 1
    assert len(pixels) == len(pages), "pages are lost"
    masked = cell["axes"] == "mask"
    for before, after in zip(pages, pixels, strict=True):
        after = after[..., None] if after.ndim == 2 else after
        if after.shape[2] in (3, 4) and before.shape[2] + masked == after.shape[2] - 2:
            after = after[..., 2:]  # grey, which WebP has as RGB
        alpha = [colours + n for n, kind in enumerate(cell["extra"]) if kind]
        if alpha and out.suffix == ".webp" and after.shape[2] == 3:  # which has no alpha where all is opaque
            after = np.dstack([after, np.full(after.shape[:2], 255, "u1")])
        more = after.shape[2] - before.shape[2]
        assert more == 0 or (more == 1 and masked and out.suffix != ".tif"), "samples are lost"
        scale = scale_of(after, facts, cell) / full
        inverted = cell["photometric"] == "miniswhite" and facts.get("photometric", 1) != 0
        if inverted and out.suffix in (".npy", ".pfm", ".exr", ".hdr"):
            yield "0 is white", ("0 is white",)
            inverted = False
        if packed and scale != 1 and out.suffix != ".tif" and after.dtype.kind == "f":
            yield "scale", (f"{full} is full",)
        for n in range(before.shape[2]):
            a, b = (x[12:, :, n].astype(float) for x in (before, after))
            low = float(np.iinfo(dtype).min) if dtype in ("i1", "i2") else 0
            shown = (full + low - a) if inverted and n not in alpha else a
            if n in alpha:
                assert np.allclose(b, a * scale, rtol=0.02), f"alpha, sample {n}, has changed"
                continue
            assert abs(b.mean() - shown.mean() * scale) < 0.02 * full * scale + 1, (
                f"sample {n} looks different"
            )
            assert dtype == "?" or b[:, 16:].std() < 0.97 * a[:, 16:].std() * scale + 0.3, (
                f"sample {n} is as noisy as before"
            )
        if cell["axes"] in ("nodata", "mask") and dtype != "?" and out.suffix == ".tif":
            kept = before[:9, 5:20] * (scale if scale != 1 else 1)
            assert np.allclose(after[:9, 5:20, : before.shape[2]], kept, rtol=0.02), "pixels without value"
    if facts.get("bits", cell["sample"]) != cell["sample"] and isinstance(cell["sample"], int):
        yield "depth", ("bits", "bit ", "-bit", "bool", "is full")
    if facts.get("orientation", 1) != cell["orientation"]:
        yield "orientation", ("orientation",)
    if facts.get("tag") != tag:
        yield "the tag", ("TIFF tag 65001",)
    if cell["axes"] in DESCRIPTIONS and facts.get("description") != DESCRIPTIONS[cell["axes"]].strip():
        yield "description", ("TIFF tag 270",)
    if cell["axes"] == "resolution" and not facts.get("resolution"):
        yield "resolution", ("resolution",)
    if cell["axes"] == "nodata" and not facts.get("nodata"):
        yield "nodata", ("42113",)
    if out.suffix == ".tif" and facts["extrasamples"] != cell["extra"]:
        raise AssertionError(f"extra samples are {facts['extrasamples']}")
    if masked and out.suffix == ".tif" and not facts["mask"]:
        raise AssertionError("the mask page is lost")


def scale_of(after: np.ndarray, facts: dict[str, Any], cell: Cell) -> float:
    """What full is in the output."""
    _, packed, full = kind_of(cell)
    if after.dtype.kind == "f" or cell["sample"] in ("i1", "i2", "i4"):
        return full
    if packed and "bits" in facts:
        return float(2 ** facts["bits"] - 1)
    if packed and facts.get("numbers"):
        return full if full > 255 else 255
    return float(np.iinfo(after.dtype).max)


def exr_of(out: Path) -> np.ndarray:
    import OpenEXR

    planes = {name: channel.pixels for name, channel in OpenEXR.File(str(out)).channels().items()}
    whole = [planes[name] for name in ("RGBA", "RGB", "Y", "A") if name in planes]
    return whole[0] if len(whole) == 1 else np.dstack(whole)


def pfm_of(out: Path) -> np.ndarray:
    kind, size, scale, body = out.read_bytes().split(b"\n", 3)
    width, height = map(int, size.split())
    pixels = np.frombuffer(body, "<f4" if scale.startswith(b"-") else ">f4")
    return pixels.reshape(height, width, 3 if kind == b"PF" else 1)[::-1]


def read_back(out: Path) -> tuple[list[np.ndarray], dict[str, Any]]:
    """Pages, samples last, and what other readers find beside them."""
    if out.suffix == ".npy":
        return [np.load(out)], {"numbers": True}
    if out.suffix != ".tif":
        facts: dict[str, Any] = {}
        if out.suffix in (".png", ".jpg", ".webp", ".bmp"):
            with Image.open(out) as image:
                facts["orientation"] = image.getexif().get(274, 1)
                dpi = image.info.get("dpi", (0, 0))
                facts["resolution"] = dpi[1] and abs(float(dpi[1]) - 3 / 7 * 2.54) < 0.1
        pixels = {".exr": exr_of, ".pfm": pfm_of}.get(out.suffix, files.decoded)(out)
        if out.suffix in (".pgm", ".ppm") and pixels.dtype.kind == "i":
            pixels = pixels.astype("u2")  # as Pillow has them
        return [pixels], facts
    with tifffile.TiffFile(out) as tiff:
        shown: list[Any] = [p for p in tiff.pages if not p.is_mask]  # type: ignore[union-attr]
        first = shown[0]
        tags = first.tags
        pixels = [p.asarray() for p in shown]
        if first.planarconfig == 2 and pixels[0].ndim == 3:
            pixels = [np.moveaxis(p, 0, -1) for p in pixels]
        private = tags[65001].value
        resolution = first.resolution
        facts = {
            "photometric": int(first.photometric), "bits": first.bitspersample,
            "extrasamples": tuple(int(n) for n in first.extrasamples),
            "orientation": tags[274].value if 274 in tags else 1,
            "tag": private, "mask": any(p.is_mask for p in tiff.pages),  # type: ignore[union-attr]
            "description": tags[270].value.strip() if 270 in tags else None, "nodata": 42113 in tags,
            "resolution": np.allclose(resolution, (1e-5, 3 / 7), rtol=1e-6),
        }  # fmt: skip
    return pixels, facts
