"""TIFF files larger than memory: written tile by tile from a store that is gone in the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import nlmeans

from ..faults.streams import Ran

zarr = pytest.importorskip("zarr")

from nlmeans.cli.stores import pyramid  # noqa: E402

from .test_stores import QUICK, assert_near, noisy, ome, stored  # noqa: E402
from .test_stores_beside import a_mask  # noqa: E402

Writer = Callable[[Path], None]
BARE: dict[str, Any] = {"metadata": None, "software": False}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the pictures of these tests would have one."""
    monkeypatch.setattr("nlmeans.cli.stores.target._SHARD", {2: 64, 3: 32})
    monkeypatch.setattr("nlmeans.cli.stores.target._CHUNK", {2: 64, 3: 32})
    monkeypatch.setattr("nlmeans.cli.stores.target._TILES", ())


def rgb(height: int = 150, width: int = 163) -> np.ndarray:
    return np.stack([noisy(height, width, dtype="uint8", seed=n) for n in range(3)], axis=-1)


def within(path: Path) -> None:
    """A pyramid of SubIFDs of JPEG tiles, as OME and most scanners have it."""
    how: dict[str, Any] = {"photometric": "rgb", "tile": (64, 64), "compression": "jpeg"}
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        more = {"resolution": (40_000, 40_000), "resolutionunit": 3, "iccprofile": b"profile"}
        writer.write(rgb(), subifds=2, description="a slide", **more, **how)
        writer.write(rgb()[::2, ::2], subfiletype=1, **how)
        writer.write(rgb()[::4, ::4], subfiletype=1, **how)


def behind(path: Path) -> None:
    """A pyramid of pages, as GDAL has it."""
    how: dict[str, Any] = {"photometric": "rgb", "tile": (64, 64), "compression": "zlib", **BARE}
    with tifffile.TiffWriter(path) as writer:
        writer.write(rgb(), **how)
        writer.write(rgb()[::2, ::2], subfiletype=1, **how)


def aperio(path: Path) -> None:
    """A picture, its thumbnail, a lower resolution, a label and a macro."""
    text = "Aperio Image Library v11\n163x150 [0,0 163x150] (64x64) JPEG/RGB Q=70|AppMag = 20|MPP = 0.499"
    how: dict[str, Any] = {"photometric": "rgb", "compression": "jpeg", **BARE}
    with tifffile.TiffWriter(path) as writer:
        writer.write(rgb(), description=text, tile=(64, 64), **how)
        writer.write(rgb()[::5, ::5], description=text, **how)
        writer.write(rgb()[::3, ::3], description=text, tile=(64, 64), **how)
        writer.write(rgb(40, 30), description="Aperio Image Library v11\nlabel 30x40", subfiletype=1, **how)
        writer.write(rgb(50, 90), description="Aperio Image Library v11\nmacro 90x50", subfiletype=9, **how)


def hyperstack(path: Path) -> None:
    described = {
        "axes": "TZCYX",
        "spacing": 0.8,
        "unit": "um",
        "finterval": 2.5,
        "Labels": list("abcdefghijkl"),
    }
    tifffile.imwrite(
        path, noisy(2, 3, 2, 50, 60, dtype="uint16"), imagej=True, resolution=(5, 5), metadata=described
    )


def five_axes(path: Path) -> None:
    described = {"axes": "TCZYX", "PhysicalSizeX": 0.2, "Channel": {"Name": ["nuclei", "walls"]}}
    image = noisy(2, 2, 3, 100, 120, dtype="uint16")
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(image, tile=(64, 64), subifds=1, metadata=described)
        writer.write(image[..., ::2, ::2], tile=(64, 64), subfiletype=1)


def upside_down(path: Path) -> None:
    """Planes that lie in the file in another order than along z."""
    text = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image '
        'ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="60" SizeY="50" '
        'SizeZ="2" SizeC="1" '
        'SizeT="1"><Channel ID="Channel:0:0" SamplesPerPixel="1"/>'
        '<TiffData IFD="0" FirstZ="1" PlaneCount="1"/>'
        '<TiffData IFD="1" FirstZ="0" PlaneCount="1"/></Pixels></Image></OME>'
    )
    tifffile.imwrite(path, noisy(2, 50, 60, dtype="uint16"), description=text, tile=(32, 32), **BARE)


def planar(path: Path) -> None:
    image = np.moveaxis(rgb(), -1, 0)
    tifffile.imwrite(
        path, image, photometric="rgb", planarconfig="separate", tile=(64, 64), byteorder=">", **BARE
    )


def transparent(path: Path) -> None:
    image = np.concatenate([rgb(), np.where(a_mask(150, 163), 255, 0)[..., None].astype("u1")], axis=-1)
    how: dict[str, Any] = {"photometric": "rgb", "extrasamples": ["unassalpha"], "tile": (64, 64), **BARE}
    tifffile.imwrite(path, image, **how)


def with_fill_values(path: Path) -> None:
    image = np.where(a_mask(150, 163), noisy(150, 163), -9999).astype("f4")
    how: dict[str, Any] = {"tile": (64, 64), "compression": "zlib", "predictor": True, **BARE}
    tifffile.imwrite(path, image, extratags=[(42113, 2, 6, "-9999", True)], **how)


def in_strips(path: Path) -> None:
    tifffile.imwrite(
        path, noisy(150, 163, dtype=">u2"), byteorder=">", rowsperstrip=7, compression="lzw", **BARE
    )


KINDS: list[Writer] = [
    within, behind, aperio, hyperstack, five_axes, upside_down, planar, transparent, with_fill_values,
    in_strips,
]  # fmt: skip
_STORED = {256, 257, 259, 262, 273, 277, 278, 279, 317, 322, 323, 324, 325, 254, 330, 347, 529, 530, 532}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_file_by_blocks_is_the_file_at_once(kind: Writer, tmp_path: Path) -> None:
    """Its pixels, and its axes, resolutions, other pages and tags."""
    source, output, once = (tmp_path / f"{name}.tif" for name in ("a", "b", "once"))
    kind(source)
    ran = Ran("denoise", source, "-o", output, "--color", "joint", *QUICK)
    assert ran.code == 0, ran.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tif", "b.tif"]
    assert Ran("denoise", source, "-o", once, "--color", "joint", *QUICK[:-2]).code == 0
    with tifffile.TiffFile(source) as like, tifffile.TiffFile(output) as made:
        assert [(s.kind, s.axes, s.name) for s in made.series] == [
            (s.kind, s.axes, s.name) for s in like.series
        ]
        for new, old in zip(made.series, like.series, strict=True):
            assert [level.shape for level in new.levels] == [level.shape for level in old.levels]
        full, *lower = made.series[0].levels
        pixels = full.asarray()
        assert_near(pixels, tifffile.imread(once))
        above = pixels
        for level in lower:
            each = tuple(round(a / b) for a, b in zip(above.shape, level.shape, strict=True))
            np.testing.assert_array_equal(level.asarray(), pyramid.means(above, each, level.shape))
            above = level.asarray()
        for new, old in zip(made.series[1:], like.series[1:], strict=True):
            np.testing.assert_array_equal(new.asarray(), old.asarray())
        for code in {tag.code for tag in like.pages.first.tags} - _STORED:
            if code != 270 or not like.is_ome:
                assert made.pages.first.tags[code].value == like.pages.first.tags[code].value
    if kind is upside_down:
        first = (tifffile.imread(path, key=0) for path in (output, once))
        np.testing.assert_array_equal(*first)


def test_a_store_becomes_an_ome_tiff(tmp_path: Path) -> None:
    image = np.stack([np.stack([noisy(131, 140, dtype="uint16", seed=n)] * 2) for n in range(2)])
    path = ome(tmp_path / "a.zarr", image)
    more = ("--sigma", "12", *QUICK[2:])
    assert Ran("denoise", path, "-o", tmp_path / "b.ome.tif", *more).code == 0
    assert Ran("denoise", path, "-o", tmp_path / "b.zarr", *more).code == 0
    expected = zarr.open_group(tmp_path / "b.zarr", mode="r")
    with tifffile.TiffFile(tmp_path / "b.ome.tif") as made:
        (series,) = made.series
        assert (series.kind, series.axes) == ("ome", "TCYX")
        for level, pixels in enumerate(series.levels):
            np.testing.assert_array_equal(pixels.asarray(), expected[str(level)][:])
        assert 'PhysicalSizeX="0.5"' in made.ome_metadata
        assert all(name in made.ome_metadata for name in ("nuclei", "walls"))
    np.save(tmp_path / "c.npy", image[0])
    assert (
        Ran("denoise", tmp_path / "c.npy", "-o", tmp_path / "c.tif", "--channel-axis", "0", *more).code == 0
    )
    given = {"sigma": 12.0, "k": 0.5, "patch_radius": 1, "search_radius": 4, "color": "joint"}
    whole = nlmeans.denoise(image[0], channel_axis=0, **given)  # type: ignore[arg-type]
    assert_near(np.moveaxis(tifffile.imread(tmp_path / "c.tif"), -1, 0), whole)


def test_parts_make_a_file_and_a_stopped_run_goes_on(tmp_path: Path) -> None:
    within(tmp_path / "a.tif")
    words = ("denoise", tmp_path / "a.tif", "-o", tmp_path / "b.tif", *QUICK)
    ran = Ran(*words, "--part", "1/2")
    assert ran.code == 0
    assert "not complete" in ran.err
    assert not (tmp_path / "b.tif").exists()
    ran = Ran(*words, "--k", "0.7")
    assert ran.code == 3
    assert "begun with k 0.5 (now 0.7)" in ran.err
    ran = Ran(*words)
    assert ran.code == 0
    assert "blocks are there already" in ran.err
    before = (tmp_path / "b.tif").read_bytes()
    assert Ran(*words).code == 3
    assert Ran(*words, "--skip-existing").code == 0
    assert (tmp_path / "b.tif").read_bytes() == before
    assert Ran(*words, "--overwrite").code == 0
    assert Ran("denoise", tmp_path / "a.tif", "-o", tmp_path / "a.tif", *QUICK, "--overwrite").code == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tif", "b.tif"]


def test_a_picture_that_does_not_fit_into_memory_is_done_by_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind(tmp_path / "a.tif")
    words = ("denoise", tmp_path / "a.tif", "-o", tmp_path / "b.tif", "--overwrite", *QUICK[:-2])
    assert "of 1 blocks" not in Ran(*words).err
    expected = tifffile.imread(tmp_path / "b.tif")
    monkeypatch.setattr("nlmeans.cli.stores.request.available_memory", lambda: 10_000)
    ran = Ran(*words)
    assert "1 of 1 blocks" in ran.err  # of 1024 x 1024
    assert_near(tifffile.imread(tmp_path / "b.tif"), expected)
    assert "1 of 1 blocks" in Ran("denoise", tmp_path / "a.tif", *QUICK[:-2]).err
    assert_near(tifffile.imread(tmp_path / "a.denoised.tif"), expected)


def test_a_damaged_source_makes_no_file(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.zarr", noisy(150, 150))
    shard = path / "c" / "1" / "1"
    shard.write_bytes(bytes(100))
    ran = Ran("denoise", path, "-o", tmp_path / "b.tif", *QUICK)
    assert ran.code == 1
    assert "blocks failed" in ran.err
    assert not (tmp_path / "b.tif").exists()
    assert (tmp_path / "b.tif.zarr.json").exists()
