"""What the samples of a TIFF page are: bands, frames, transparency, fill values; none is passed over."""

from __future__ import annotations

import math
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from ..faults import files, tiffs
from ..faults.streams import Ran
from ..faults.tiffs import denoised, warnings_of

QUICK = files.QUICK


# --- bands --------------------------------------------------------------------------------------

BANDS: dict[str, tuple[int, str, dict[str, Any]]] = {
    "2 bands": (2, "u2", {"photometric": "minisblack"}),
    "3 bands": (3, "u2", {"photometric": "minisblack"}),
    "10 bands": (10, "u1", {"photometric": "minisblack"}),
    "60 bands": (60, "u2", {"photometric": "minisblack"}),
    "5 separate": (5, "u2", {"photometric": "minisblack", "planarconfig": "separate"}),
    "RGB + infrared": (4, "u1", {"photometric": "rgb", "extrasamples": (0,)}),
    "float RGB + 2": (5, "f4", {"photometric": "rgb", "extrasamples": (0, 0)}),
}


@pytest.mark.parametrize("name", BANDS)
def test_every_band_is_denoised(name: str, tmp_path: Path) -> None:
    count, dtype, options = BANDS[name]
    before = files.samples(dtype, count, (20, 24))
    separate = options.get("planarconfig") == "separate"
    stored = np.moveaxis(before, -1, 0) if separate else before
    options = {"planarconfig": "contig", **options}
    options.setdefault("extrasamples", (0,) * (count - 1))
    data = files.tiff(stored, **options)
    ran, result = denoised(data, tmp_path)
    assert ran.code == 0, ran.err
    with tifffile.TiffFile(BytesIO(data)) as old, tifffile.TiffFile(result) as new:
        a, b = old.pages[0], new.pages[0]
        for what in ("photometric", "planarconfig", "extrasamples", "shape", "dtype"):
            assert getattr(a, what) == getattr(b, what), what
        after = b.asarray()
    after = np.moveaxis(after, 0, -1) if separate else after
    for band in range(count):
        assert after[..., band].astype(float).std() < 0.9 * before[..., band].astype(float).std(), band


@pytest.mark.parametrize("place", [1, 3, 4])
def test_alpha_is_kept_wherever_it_stands(place: int, tmp_path: Path) -> None:
    before = files.samples("u1", 5, (20, 24))
    colours = 1 if place == 1 else 3
    kinds = [0] * (5 - colours)
    kinds[place - colours] = 2
    before[:, 12:, place] = 0
    options = {"photometric": "rgb" if colours == 3 else "minisblack", "planarconfig": "contig"}
    ran, result = denoised(files.tiff(before, extrasamples=kinds, **options), tmp_path, "--h", 1000)
    assert ran.code == 0, ran.err
    after = tifffile.imread(result)
    assert np.array_equal(after[..., place], before[..., place])
    assert np.array_equal(after[:, 12:], before[:, 12:]), "transparent pixels have changed"
    others = [n for n in range(5) if n != place]
    assert (after[:, :12, others].std((0, 1)) < 0.8 * before[:, :12, others].std((0, 1))).all()


def test_two_samples_of_transparency_are_both_kept(tmp_path: Path) -> None:
    before = files.samples("u1", 5, (20, 24))
    before[..., 3] |= 1
    ran, result = denoised(files.tiff(before, photometric="rgb", extrasamples=(2, 1)), tmp_path)
    assert ran.code == 0, ran.err
    after = tifffile.imread(result)
    assert np.array_equal(after[..., 3:], before[..., 3:])
    assert (after[..., :3].std((0, 1)) < 0.8 * before[..., :3].std((0, 1))).all()


def test_bands_are_filtered_each_with_its_own_noise(tmp_path: Path) -> None:
    """They are no colours of one picture: a band of little noise must not get the strength of another."""
    deviations = (400, 40, 4)
    before = np.random.default_rng(0).normal(20000, deviations, (48, 48, 3)).astype("u2")
    options = {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": (0, 0)}
    path, result = tmp_path / "in.tif", tmp_path / "out.tif"
    path.write_bytes(files.tiff(before, **options))
    ran = Ran("denoise", path, "-o", result, "--json")
    sigma = ran.lines[0]["pages"][0]["parameters"]["sigma"]
    assert sigma == pytest.approx(deviations, rel=0.15)
    assert (tifffile.imread(result).std((0, 1)) < 0.4 * before.std((0, 1))).all()
    path.write_bytes(files.tiff(before, photometric="rgb"))
    ran = Ran("denoise", path, "-o", result, "--json", "--overwrite")
    assert ran.lines[0]["pages"][0]["parameters"]["color"] != "separate", "colours are filtered together"


def test_a_guide_serves_all_bands(tmp_path: Path) -> None:
    np.save(tmp_path / "guide.npy", files.samples("u1", 1, (20, 24)))
    kinds = {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": (0,) * 3}
    data = files.tiff(files.samples("u1", 4, (20, 24)), **kinds)
    ran, _ = denoised(data, tmp_path, "--guide", tmp_path / "guide.npy")
    assert ran.code == 0, ran.err


@pytest.mark.parametrize("axes", ["", "TYX", "CYX"])
@pytest.mark.parametrize("count", [3, 4])
def test_a_short_stack_that_became_planes_of_colour(count: int, axes: str, tmp_path: Path) -> None:
    """What tifffile writes for three or four frames: planes of RGB, the fourth called alpha."""
    before = np.moveaxis(tiffs.noise(40, count), -1, 0)
    memory = BytesIO()
    options: dict[str, Any] = {"photometric": "rgb", "planarconfig": "separate"}
    if count == 4:
        options["extrasamples"] = (2,)
    tifffile.imwrite(memory, before, metadata={"axes": axes} if axes else {}, **options)
    ran, result = denoised(memory.getvalue(), tmp_path)
    assert ran.code == 0, ran.err
    after = tifffile.imread(result)
    frames = axes == "TYX" or (not axes and count == 4)
    assert (f"taken for {count} frames" in warnings_of(ran)) is frames
    assert ("if they are 3 frames" in warnings_of(ran)) is (not axes and count == 3)
    noisy = [n for n in range(count) if after[n].std() > 0.8 * before[n].std()]
    assert noisy == ([3] if count == 4 and not frames else [])


def test_a_fourth_sample_without_a_word_is_data_and_stays_without(tmp_path: Path) -> None:
    pixels = tiffs.noise(40, 4)
    tags = tiffs.plain(photometric=2) | {277: (3, (4,)), 258: (3, (8,) * 4)}
    ran, result = denoised(
        tiffs.by_hand(tags | {273: (4, (0,)), 279: (4, (6400,))}, pixels.tobytes()), tmp_path
    )
    assert "ExtraSamples, tag 338" in warnings_of(ran)
    with tifffile.TiffFile(result) as tiff:
        assert 338 not in tiff.pages[0].tags  # type: ignore[union-attr]
        assert tiff.pages[0].tags[277].value == 4  # type: ignore[union-attr]
        assert (tiff.pages[0].asarray().std((0, 1)) < 0.8 * pixels.std((0, 1))).all()
    with Image.open(result) as image:
        assert image.mode == "RGBA"  # as Pillow reads the input


def test_method_noise_and_compare_see_every_band(tmp_path: Path) -> None:
    before = files.samples("u2", 4, (20, 24))
    data = files.tiff(before, photometric="minisblack", planarconfig="contig", extrasamples=(0,) * 3)
    noise = tmp_path / "noise.tif"
    ran, _ = denoised(data, tmp_path, "--method-noise", noise, "--side-by-side", tmp_path / "side.png")
    assert ran.code == 0, ran.err
    assert (np.abs(tifffile.imread(noise)).max((0, 1)) > 0).all()
    assert files.decoded(tmp_path / "side.png").shape[2] == 3
    changed = before.copy()
    changed[..., 3] += 1
    (tmp_path / "other.tif").write_bytes(
        files.tiff(changed, photometric="minisblack", planarconfig="contig", extrasamples=(0,) * 3)
    )
    assert "identical" not in Ran("compare", tmp_path / "in.tif", tmp_path / "other.tif").out


@pytest.mark.parametrize("count", [4, 60])
def test_bands_go_through_the_other_commands(count: int, tmp_path: Path) -> None:
    path = tmp_path / "in.tif"
    kinds = (0,) * (count - 1)
    bands = files.samples("u2", count, (20, 24))
    path.write_bytes(files.tiff(bands, photometric="minisblack", planarconfig="contig", extrasamples=kinds))
    for command in (("estimate",), ("weights", "--at", "3,4"), ("report",), ("denoise", "--dry-run")):
        ran = Ran(command[0], path, *command[1:], *QUICK)
        assert ran.code == 0, ran.err
        if command[0] == "weights":
            assert f"each of the {count} channels has weights of its own" in ran.err


CONTRADICTIONS = {
    "RGB of one sample": (tiffs.plain(photometric=2), "PhotometricInterpretation 2"),
    "RGB of two": (
        tiffs.plain(photometric=2) | {277: (3, (2,)), 258: (3, (8, 8))},
        "SamplesPerPixel",
    ),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_contradicting_tags_are_named(name: str, tmp_path: Path) -> None:
    tags, word = CONTRADICTIONS[name]
    ran, _ = denoised(tiffs.by_hand(tags | {273: (4, (0,)), 279: (4, (6400,))}, bytes(6400)), tmp_path)
    assert ran.code == 1
    assert word in ran.err


def test_extra_samples_of_another_number_are_named(tmp_path: Path) -> None:
    tags = tiffs.plain() | {277: (3, (3,)), 258: (3, (8,) * 3), 338: (3, (0, 0, 0, 999))}
    body = tiffs.noise(40, 3).tobytes()
    ran, _ = denoised(tiffs.by_hand(tags | {273: (4, (0,)), 279: (4, (4800,))}, body), tmp_path)
    assert ran.code == 0, ran.err
    assert "ExtraSamples (tag 338) describes 4 samples, 2" in warnings_of(ran)


# --- fill values --------------------------------------------------------------------------------

NODATA = {  # declared, as the pixels hold it, their type
    "-9999": ("-9999", -9999, "f4"),
    "NaN": ("nan", math.nan, "f4"),
    "NaN of Windows": ("-1.#QNAN", math.nan, "f8"),
    "largest": ("-3.4028234663852886e+38", np.finfo("f4").min, "f4"),
    "a fraction": ("0.1", np.float32(0.1), "f4"),
    "signed": ("-32768", -32768, "i2"),
    "half": ("-9999", np.float16(-9999), "f2"),
    "with a blank": (" 0 ", 0, "u1"),
    "with a comma": ("-9999,0", -9999, "f4"),
    "as a float": ("65535.0", 65535, "u2"),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NODATA)
def test_declared_fill_values_are_neither_used_nor_changed(name: str, channels: int, tmp_path: Path) -> None:
    text, value, dtype = NODATA[name]
    shape = (24, 30) if channels == 1 else (24, 30, channels)
    before = np.random.default_rng(0).normal(100, 5, shape).astype(dtype)
    clean = tmp_path / "clean.tif"
    empty = np.zeros(shape[:2], bool)
    empty[:9, :12] = empty[20, 20] = True
    before[empty] = value
    options = {"photometric": "minisblack", "extratags": [(42113, 2, None, text, True)]}
    if channels > 1:
        options |= {"planarconfig": "contig", "extrasamples": (0,) * (channels - 1)}
    ran, result = denoised(files.tiff(before, **options), tmp_path, "--sigma", 5)
    assert ran.code == 0, ran.err
    after = tifffile.imread(result)
    assert after[empty].tobytes() == before[empty].tobytes()
    assert np.abs(after[~empty].astype(float) - 100).max() < 30
    assert after[~empty].astype(float).std() < 0.8 * 5
    assert not clean.exists()


def test_no_pixel_becomes_a_fill_value(tmp_path: Path) -> None:
    before = np.full((20, 20), 10, "u1")
    before[::2, ::2] = 12
    before[5, 5] = 8
    tags = [(42113, 2, None, "10", True)]
    ran, result = denoised(files.tiff(before, extratags=tags), tmp_path, "--h", 1000)
    assert ran.code == 0, ran.err
    assert np.array_equal(tifffile.imread(result) == 10, before == 10)


@pytest.mark.parametrize(("text", "dtype"), [("none", "f4"), ("-9999", "u2"), ("0.5", "u1"), ("1e300", "f4")])
def test_an_impossible_fill_value_is_named(text: str, dtype: str, tmp_path: Path) -> None:
    data = files.tiff(files.samples(dtype), extratags=[(42113, 2, None, text, True)])
    ran, _ = denoised(data, tmp_path)
    assert ran.code == 0
    assert f"GDAL_NODATA (tag 42113) is '{text}'" in warnings_of(ran)


def test_a_picture_of_nothing_but_fill_values(tmp_path: Path) -> None:
    before = np.full((20, 20), np.nan, "f4")
    ran, result = denoised(files.tiff(before, extratags=[(42113, 2, None, "nan", True)]), tmp_path)
    assert ran.code == 0, ran.err
    assert np.isnan(tifffile.imread(result)).all()


def test_estimate_sees_no_fill_values(tmp_path: Path) -> None:
    before = np.random.default_rng(0).normal(700, 20, (64, 64)).astype("f4")
    before[:30, :30] = -9999
    path = tmp_path / "in.tif"
    path.write_bytes(files.tiff(before, extratags=[(42113, 2, None, "-9999", True)]))
    ran = Ran("estimate", path, "--json")
    assert ran.lines[0]["pages"][0]["parameters"]["sigma"] == pytest.approx(20, rel=0.15)
