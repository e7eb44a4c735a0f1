"""Stores: what goes in whole comes out whole, block by block; nothing half-done looks done."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import nlmeans

from ..faults.kit import limit_file_size
from ..faults.streams import Ran

zarr = pytest.importorskip("zarr")

from nlmeans.cli.stores import pyramid  # noqa: E402
from nlmeans.cli.stores.plan import Axes, Plan  # noqa: E402

SIDE = 150
GIVEN: dict[str, Any] = {"sigma": 12.0, "k": 0.5, "patch_radius": 1, "search_radius": 4}
QUICK = ("--sigma", "12", "--k", "0.5", "--patch-radius", "1", "--search-radius", "4", "--block", "64")


def noisy(*shape: int, dtype: str = "float32", seed: int = 0) -> np.ndarray:
    """Blocks of two levels with noise of 12."""
    clean = 60 + 80.0 * ((np.indices(shape) // 20).sum(axis=0) % 2)
    return (clean + np.random.default_rng(seed).normal(0, 12, shape)).clip(0, 255).astype(dtype)


def stored(path: Path, image: np.ndarray, **more: Any) -> Path:
    """A Zarr array in shards of 64."""
    layout = {"chunks": (32,) * image.ndim, "shards": (64,) * image.ndim} | more
    zarr.create_array(path, data=image, **layout)
    return path


def read(path: Path) -> np.ndarray:
    """An array, or the full resolution of an OME-Zarr image."""
    node = zarr.open(path, mode="r")
    return np.asarray(node[:] if isinstance(node, zarr.Array) else node["0"][:])


def record(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.with_name(path.name + ".json").read_text())
    return found


def files(path: Path) -> dict[str, int]:
    """The shards of an array, and when they were written."""
    return {p.relative_to(path).as_posix(): p.stat().st_mtime_ns for p in path.glob("c/**/*") if p.is_file()}


def assert_near(found: np.ndarray, expected: np.ndarray) -> None:
    assert (found.shape, found.dtype.newbyteorder("=")) == (expected.shape, expected.dtype.newbyteorder("="))
    apart = np.abs(found.astype(float) - expected.astype(float))
    if expected.dtype.kind in "iu":
        assert apart.max() <= 1
        assert (apart > 0).mean() <= 1e-3
    else:
        assert np.nanmax(apart) <= 2e-6 * np.nanmax(expected)


# --- what comes out ----------------------------------------------------------------------------


KINDS = [{}, {"shards": None}, {"zarr_format": 2, "shards": None, "order": "F"}]


@pytest.mark.parametrize("dtype", ["uint8", ">u2", "float32"])
@pytest.mark.parametrize("more", KINDS, ids=str)
def test_an_array_comes_out_as_the_library_makes_it(dtype: str, more: dict[str, Any], tmp_path: Path) -> None:
    image = noisy(SIDE, SIDE + 13, dtype=dtype)
    stored(tmp_path / "a.zarr", image, **more)
    ran = Ran("denoise", tmp_path / "a.zarr", "-o", tmp_path / "b.zarr", *QUICK, "--json")
    assert ran.code == 0, ran.err
    assert_near(read(tmp_path / "b.zarr"), nlmeans.denoise(image, **GIVEN))
    made, like = (zarr.open_array(tmp_path / f"{n}.zarr", mode="r") for n in "ba")
    for name in ("shape", "chunks", "shards", "dtype", "compressors", "fill_value"):
        assert getattr(made, name) == getattr(like, name)
    assert made.metadata.zarr_format == like.metadata.zarr_format
    assert ran.lines[0]["complete"]
    assert ran.lines[0]["blocks"] > 4


def tiff(path: Path, image: np.ndarray, **more: Any) -> Path:
    tifffile.imwrite(path, image, **more)
    return path


def npy(path: Path, image: np.ndarray) -> Path:
    np.save(path, image)
    return path


@pytest.mark.parametrize(
    "more",
    [
        {"tile": (64, 64), "compression": "zlib"},
        {"bigtiff": True, "rowsperstrip": 16},
        {"tile": (64, 64), "byteorder": ">"},
        {"ome": True, "metadata": {"axes": "YX"}},
    ],
    ids=str,
)
def test_a_tiff_is_read_by_its_tiles_or_strips(more: dict[str, Any], tmp_path: Path) -> None:
    image = noisy(SIDE, SIDE, dtype="uint16")
    path = tiff(tmp_path / "a.tif", image, **more)
    ran = Ran("denoise", path, "-o", tmp_path / "b.zarr", *QUICK)
    assert ran.code == 0, ran.err
    assert_near(read(tmp_path / "b.zarr"), nlmeans.denoise(image, **GIVEN))
    assert zarr.open_array(tmp_path / "b.zarr" / "0").metadata.dimension_names == ("y", "x")
    described = zarr.open_group(tmp_path / "b.zarr").attrs["ome"]["multiscales"][0]
    assert [axis["name"] for axis in described["axes"]] == ["y", "x"]


def test_colours_of_a_tiff_are_compared_as_colours(tmp_path: Path) -> None:
    image = np.stack([noisy(SIDE, SIDE, dtype="uint8", seed=n) for n in range(3)], axis=-1)
    path = tiff(tmp_path / "a.tif", image, photometric="rgb", tile=(64, 64))
    ran = Ran(
        "denoise", path, "-o", tmp_path / "b.zarr", "--sigma", "12", "--color", "luminance", "--block", "64"
    )
    assert ran.code == 0, ran.err
    parameters = nlmeans.Parameters.from_dict(record(tmp_path / "b.zarr")["chosen"][0]["parameters"])
    assert parameters.color == "luminance"
    expected = nlmeans.denoise(image, channel_axis=-1, **parameters.to_dict())
    assert_near(read(tmp_path / "b.zarr"), expected)


def test_pages_of_a_stack_are_images_or_a_volume(tmp_path: Path) -> None:
    image = noisy(5, 70, 80)
    path = tiff(tmp_path / "a.tif", image, imagej=True, metadata={"axes": "ZYX"})
    settings = ("--sigma", "12", "--k", "0.5", "--patch-radius", "1", "--search-radius", "2", "--block", "32")
    given = {**GIVEN, "search_radius": 2}
    assert Ran("denoise", path, "-o", tmp_path / "planes.zarr", *settings).code == 0
    assert Ran("denoise", path, "-o", tmp_path / "volume.zarr", "--volume", *settings).code == 0
    assert_near(read(tmp_path / "planes.zarr"), np.stack([nlmeans.denoise(p, **given) for p in image]))
    assert_near(read(tmp_path / "volume.zarr"), nlmeans.denoise(image, **given))


def test_an_npy_file_is_read_where_it_lies(tmp_path: Path) -> None:
    image = noisy(SIDE, SIDE)
    image[40:50, 60:63] = np.nan
    path = npy(tmp_path / "a.npy", image)
    ran = Ran("denoise", path, "-o", tmp_path / "b.zarr", *QUICK, "--nan", "keep")
    assert ran.code == 0, ran.err
    expected = nlmeans.denoise(image, nan="keep", **GIVEN)
    np.testing.assert_array_equal(np.isnan(read(tmp_path / "b.zarr")), np.isnan(image))
    assert_near(np.nan_to_num(read(tmp_path / "b.zarr")), np.nan_to_num(expected))
    ran = Ran("denoise", path, "-o", tmp_path / "c.zarr", *QUICK)
    assert ran.code == 1
    assert "--nan keep" in ran.err


def ome(path: Path, image: np.ndarray, *, version: str = "0.4") -> Path:
    """An OME-Zarr image of t, c, y, x with two resolutions, as programs write it."""
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    for level, pixels in enumerate((image, image[..., ::2, ::2])):
        array = group.create_array(str(level), shape=pixels.shape, dtype=pixels.dtype, chunks=(1, 1, 50, 64))
        array[:] = pixels
    scales = [{"type": "scale", "scale": [1.0, 1.0, s, s]} for s in (0.5, 1.0)]
    described = {
        "multiscales": [
            {
                "axes": [{"name": a, "type": "space"} for a in "tcyx"],
                "datasets": [
                    {"path": str(n), "coordinateTransformations": [s]} for n, s in enumerate(scales)
                ],
            }
        ],
        "omero": {"channels": [{"label": "nuclei"}, {"label": "walls"}]},
    }
    group.attrs.update(described if version == "0.4" else {"ome": {"version": "0.5", **described}})
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_ome_zarr_image_keeps_what_is_said_of_it(version: str, tmp_path: Path) -> None:
    """Every channel has a noise of its own, and lower resolutions are made of the result."""
    first = np.stack([noisy(131, 140, dtype="uint16", seed=n) for n in range(2)])
    image = np.stack([first, 3 * first], axis=1)
    path = ome(tmp_path / "a.zarr", image, version=version)
    ran = Ran("denoise", path, "-o", tmp_path / "b.zarr", "--sigma", "12,36", *QUICK[2:])
    assert ran.code == 0, ran.err
    made, like = (zarr.open_group(tmp_path / f"{n}.zarr", mode="r") for n in "ba")
    full = np.asarray(made["0"])
    for t in range(2):
        for c, sigma in enumerate((12.0, 36.0)):
            assert_near(full[t, c], nlmeans.denoise(image[t, c], **{**GIVEN, "sigma": sigma}))
    low = np.asarray(made["1"])
    cells = np.pad(full, [(0, 0), (0, 0), (0, 1), (0, 0)], mode="edge").reshape(2, 2, 66, 2, 70, 2)
    np.testing.assert_array_equal(low, np.rint(cells.mean(axis=(3, 5))).astype("uint16"))
    attributes = {**made.attrs}
    assert attributes.pop("nlmeans")["version"] == nlmeans.__version__
    assert attributes == {**like.attrs}
    for level in "01":
        assert made[level].chunks == like[level].chunks


def test_lower_resolutions_are_left_out_by_name(tmp_path: Path) -> None:
    path = ome(tmp_path / "a.zarr", np.stack([[noisy(60, 60)]]))
    assert Ran("denoise", path, "-o", tmp_path / "b.zarr", *QUICK, "--no-pyramid").code == 0
    made = zarr.open_group(tmp_path / "b.zarr", mode="r")
    assert sorted(name for name, _ in made.members()) == ["0"]
    assert [d["path"] for d in made.attrs["multiscales"][0]["datasets"]] == ["0"]


def test_means_of_cells() -> None:
    pixels = np.arange(15, dtype=np.uint8).reshape(3, 5)
    np.testing.assert_array_equal(pyramid.means(pixels, (2, 2), (2, 3)), [[3, 5, 6], [10, 12, 14]])


# --- blocks ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "unit", "side"), [((150, 163), (64, 64), 64), ((7, 90, 200), (1, 30, 70), 80), ((5,), (9,), 16)]
)
def test_every_shard_is_in_one_block(shape: tuple[int, ...], unit: tuple[int, ...], side: int) -> None:
    axes = Axes(tuple(range(len(shape)))[-2:], None, tuple(range(len(shape)))[:-2])
    plan = Plan.of(shape, unit, axes, side)
    count = np.zeros(shape, int)
    for number in range(len(plan)):
        region = plan.region(number)
        count[region] += 1
        for part, n, u in zip(region, shape, unit, strict=True):
            assert part.start % u == 0
            assert part.stop % u == 0 or part.stop == n
    assert (count == 1).all()
    parts = [n for part in range(1, 6) for n in plan.part(part, 5)]
    assert parts == list(range(len(plan)))


def test_parts_make_the_whole_and_only_the_last_says_so(tmp_path: Path) -> None:
    image = noisy(SIDE, SIDE)
    path = stored(tmp_path / "a.zarr", image)
    for part in (2, 3, 1):
        assert not (tmp_path / "b.zarr.json").exists() or not record(tmp_path / "b.zarr")["complete"]
        assert "nlmeans" not in (zarr.open_array(tmp_path / "b.zarr").attrs if part != 2 else {})
        ran = Ran("denoise", path, "-o", tmp_path / "b.zarr", *QUICK, "--part", f"{part}/3")
        assert ran.code == 0, ran.err
        assert ("not complete" in ran.err) == (part != 1)
    assert record(tmp_path / "b.zarr")["complete"]
    assert_near(read(tmp_path / "b.zarr"), nlmeans.denoise(image, **GIVEN))


def test_what_is_chosen_is_chosen_once(tmp_path: Path) -> None:
    """By the first part, from regions; a later one takes it from the record and estimates nothing."""
    path = stored(tmp_path / "a.zarr", noisy(SIDE, SIDE))
    assert Ran("denoise", path, "-o", tmp_path / "b.zarr", "--block", "64", "--part", "1/2").code == 0
    chosen = record(tmp_path / "b.zarr")["chosen"][0]["parameters"]
    assert nlmeans.Parameters.from_dict(chosen) == nlmeans.suggest(noisy(SIDE, SIDE))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nlmeans.cli.stores.run.chosen_for", lambda *_: pytest.fail("chosen again"))
        assert Ran("denoise", path, "-o", tmp_path / "b.zarr", "--block", "64", "--part", "2/2").code == 0
    assert_near(read(tmp_path / "b.zarr"), nlmeans.denoise(noisy(SIDE, SIDE)))


def test_a_strength_counts_once(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.zarr", noisy(SIDE, SIDE))
    more = ("--strength", "1.5", "--blend", "0.25", *QUICK)
    assert Ran("denoise", path, "-o", tmp_path / "b.zarr", *more).code == 0
    expected = nlmeans.denoise(noisy(SIDE, SIDE), strength=1.5, blend=0.25, **GIVEN)
    assert_near(read(tmp_path / "b.zarr"), expected)


# --- stopped, and gone on with -------------------------------------------------------------------


def stopped(tmp_path: Path) -> tuple[Path, Path]:
    """A source and a store of which a third is there."""
    path = stored(tmp_path / "a.zarr", noisy(SIDE, SIDE))
    assert Ran("denoise", path, "-o", tmp_path / "b.zarr", *QUICK, "--part", "1/3").code == 0
    return path, tmp_path / "b.zarr"


def test_a_run_that_is_started_again_does_what_is_missing(tmp_path: Path) -> None:
    path, output = stopped(tmp_path)
    before = files(output)
    ran = Ran("denoise", path, "-o", output, *QUICK)
    assert ran.code == 0, ran.err
    assert f"{len(before)} of 9 blocks are there already" in ran.err
    assert {name: files(output)[name] for name in before} == before
    assert len(files(output)) == 9
    assert_near(read(output), nlmeans.denoise(noisy(SIDE, SIDE), **GIVEN))
    ran = Ran("denoise", path, "-o", output, *QUICK)
    assert ran.code == 3
    assert "complete" in ran.err
    assert Ran("denoise", path, "-o", output, *QUICK, "--skip-existing").code == 0
    assert Ran("denoise", path, "-o", output, "--sigma", "9", *QUICK[2:], "--overwrite").code == 0
    assert_near(read(output), nlmeans.denoise(noisy(SIDE, SIDE), **{**GIVEN, "sigma": 9.0}))


def test_a_shard_of_the_fill_value_is_there(tmp_path: Path) -> None:
    """It is written too, or it would be done again for ever."""
    image = noisy(SIDE, SIDE)
    image[:80, :80] = 0
    path = stored(tmp_path / "a.zarr", image, config={"write_empty_chunks": True})
    assert Ran("denoise", path, "-o", tmp_path / "b.zarr", *QUICK).code == 0
    assert (read(tmp_path / "b.zarr")[:64, :64] == 0).all()
    assert len(files(tmp_path / "b.zarr")) == 9


def test_it_goes_on_with_the_same_or_not_at_all(tmp_path: Path) -> None:
    path, output = stopped(tmp_path)
    ran = Ran("denoise", path, "-o", output, "--sigma", "11", *QUICK[2:])
    assert ran.code == 3
    assert "begun with sigma 12.0 (now 11.0)" in ran.err
    ran = Ran("denoise", path, "-o", output, *QUICK, "--center", "one")
    assert ran.code == 3
    assert "center not given (now one)" in ran.err
    zarr.open_array(path)[0, 0] = 7
    ran = Ran("denoise", path, "-o", output, *QUICK)
    assert ran.code == 3
    assert "another source" in ran.err
    data = record(output)
    (tmp_path / "b.zarr.json").write_text(json.dumps({**data, "version": "0.0.1"}))
    assert "another version" in Ran("denoise", path, "-o", output, *QUICK).err
    (tmp_path / "b.zarr.json").write_text("{}")
    assert "no record of a store" in Ran("denoise", path, "-o", output, *QUICK).err
    assert len(files(output)) == 3


# --- bad input -----------------------------------------------------------------------------------


def test_a_damaged_chunk_costs_its_blocks_and_no_more(tmp_path: Path) -> None:
    image = noisy(SIDE, SIDE)
    path = stored(tmp_path / "a.zarr", image)
    shard = path / "c" / "0" / "0"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:40] + bytes(200) + whole[240:])
    ran = Ran("denoise", path, "-o", tmp_path / "b.zarr", *QUICK)
    assert ran.code == 1
    assert "blocks failed" in ran.err
    assert "cannot be read" in ran.err
    assert not record(tmp_path / "b.zarr")["complete"]
    assert 5 <= len(files(tmp_path / "b.zarr")) < 9
    assert not list(tmp_path.rglob("*.partial"))


def test_an_empty_file_is_no_chunk(tmp_path: Path) -> None:
    """Zarr reads it as the fill value where all of it is read; a power failure leaves such files."""
    path = stored(tmp_path / "a.zarr", noisy(SIDE, SIDE))
    shard = path / "c" / "1" / "1"
    whole = shard.read_bytes()
    shard.write_bytes(b"")
    ran = Ran("denoise", path, "-o", tmp_path / "b.zarr", *QUICK[:-1], "256")
    assert ran.code == 1
    assert "its chunk c/1/1 is an empty file" in ran.err
    assert not (tmp_path / "b.zarr").exists()
    shard.write_bytes(whole)
    words = ("denoise", path, "-o", tmp_path / "b.zarr", *QUICK)
    assert Ran(*words, "--part", "1/2").code == 0
    (tmp_path / "b.zarr" / "c" / "0" / "0").write_bytes(b"")
    assert "1 of 9 blocks" not in Ran(*words, "--part", "2/2").err
    ran = Ran(*words)
    assert ran.code == 0, ran.err
    assert "1 of 9 blocks" in ran.err
    assert_near(read(tmp_path / "b.zarr"), nlmeans.denoise(noisy(SIDE, SIDE), **GIVEN))


def test_nothing_but_the_error_is_said_of_a_damaged_chunk(tmp_path: Path) -> None:
    """The other reads that Zarr had begun end before the program does."""
    path = stored(tmp_path / "a.zarr", noisy(640, 640), chunks=(16, 16))
    shard = path / "c" / "0" / "0"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:40] + bytes(200) + whole[240:])
    program = [sys.executable, "-m", "nlmeans", "denoise", "a.zarr", "-o", "b.zarr", "--quiet"]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "the pixels [0:640, 0:640] cannot be read" in done.stderr


def test_a_chunk_that_is_not_stored_is_told_of(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.zarr", noisy(SIDE, SIDE))
    (path / "c" / "1" / "1").unlink()
    ran = Ran("denoise", path, "-o", tmp_path / "b.zarr", *QUICK)
    assert ran.code == 0
    assert "1 of its 9 chunks are not stored; they are read as 0.0" in ran.err


def test_a_full_disk_ends_the_run_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.zarr", noisy(SIDE, SIDE))
    with limit_file_size(8000):
        ran = Ran("denoise", path, "-o", tmp_path / "b.zarr", *QUICK)
    assert ran.code == 1
    assert "File too large" in ran.err
    assert files(tmp_path / "b.zarr") == {}
    with limit_file_size(100):
        ran = Ran("denoise", path, "-o", tmp_path / "c.zarr", *QUICK)
    assert "c.zarr.json: File too large" in ran.err
    assert not list(tmp_path.glob("*.partial"))
    assert Ran("denoise", path, "-o", tmp_path / "b.zarr", *QUICK).code == 0
    assert_near(read(tmp_path / "b.zarr"), nlmeans.denoise(noisy(SIDE, SIDE), **GIVEN))


def test_what_cannot_be_written_or_must_not(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.zarr", noisy(70, 70))
    before = {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}
    other = tmp_path / "other.zarr"
    other.mkdir()
    (tmp_path / "file.zarr").write_bytes(b"mine")
    for output, code, words in (
        ("/proc/nlmeans/b.zarr", 1, "cannot be made"),
        (path, 3, "are one, or one lies in the other"),
        (path / "c" / "b.zarr", 3, "one lies in the other"),
        (other, 3, "no " + str(other) + ".json says"),
        (tmp_path / "file.zarr", 3, "is no store"),
        (tmp_path / "b.png", 2, "-o clean.zarr"),
    ):
        ran = Ran("denoise", path, "-o", output, *QUICK, "--overwrite")
        assert (ran.code, words in ran.err) == (code, True), ran.err
    assert {p: p.read_bytes() for p in path.rglob("*") if p.is_file()} == before
    assert (tmp_path / "file.zarr").read_bytes() == b"mine"
    assert list(other.iterdir()) == []


def test_sources_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    sizes = tmp_path / "sizes.tif"
    with tifffile.TiffWriter(sizes) as writer:
        for side in (60, 70, 80):
            writer.write(noisy(side, side, dtype="uint8"), metadata=None)
    group = tmp_path / "group.zarr"
    zarr.open_group(group, mode="w").create_array("inside", data=noisy(9, 9))
    np.save(tmp_path / "half.npy", noisy(90, 90))
    (tmp_path / "half.npy").write_bytes((tmp_path / "half.npy").read_bytes()[:9000])
    text = tmp_path / "text.txt"
    text.write_text("words")
    zarr.create_array(tmp_path / "many.zarr", data=np.zeros((2, 2, 2, 2, 2), "u1"))
    zarr.create_array(tmp_path / "long.zarr", data=np.zeros((40, 40), "i8"))
    zarr.create_array(tmp_path / "truth.zarr", data=np.zeros((40, 40), "?"))
    for path, code, words in (
        (sizes, 1, "3 images of different sizes or types (60 x 60, 70 x 70, 80 x 80)"),
        (group, 1, "it holds inside"),
        (text, 1, "none of them"),
        (tmp_path / "nothing.npy", 1, "No such file"),
        (tmp_path / "half.npy", 1, "whose pixels are all there"),
        (tmp_path / "many.zarr", 2, "5 axes without names"),
        (tmp_path / "long.zarr", 1, "got int64"),
        (tmp_path / "truth.zarr", 1, "it holds bool"),
    ):
        ran = Ran("denoise", path, "-o", tmp_path / "b.zarr", *QUICK)
        assert (ran.code, words in ran.err) == (code, True), ran.err
        assert not (tmp_path / "b.zarr").exists()
        assert not (tmp_path / "b.zarr.json").exists()


@pytest.mark.parametrize("place", ["filters", "compressor"])
def test_a_codec_that_runs_code_is_never_asked(place: str, tmp_path: Path) -> None:
    """The store is refused by its metadata alone; with other codecs that are not known too."""
    ran = tmp_path / "ran"

    class Bomb:
        def __reduce__(self) -> Any:
            return open, (str(ran), "w")

    path = stored(tmp_path / "a.zarr", noisy(64, 64), zarr_format=2, shards=None, compressors=None)
    for chunk in path.glob("[0-9]*"):
        chunk.write_bytes(pickle.dumps(Bomb()))
    described = json.loads((path / ".zarray").read_text())
    codec = {"id": "pickle", "protocol": 5}
    described[place] = [codec] if place == "filters" else codec
    (path / ".zarray").write_text(json.dumps(described))
    found = Ran("denoise", path, "-o", tmp_path / "b.zarr", *QUICK)
    assert found.code == 1
    assert "pickle" in found.err
    assert not ran.exists()
    described[place] = [{"id": "base64"}] if place == "filters" else {"id": "base64"}
    (path / ".zarray").write_text(json.dumps(described))
    found = Ran("denoise", path, "-o", tmp_path / "b.zarr", *QUICK)
    assert "it is stored with base64, which this program does not run" in found.err


def test_options_that_do_not_fit(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.zarr", noisy(70, 70))
    np.save(tmp_path / "small.npy", np.ones((70, 69)))
    output = ("-o", tmp_path / "b.zarr")
    for options, words in (
        (("--part", "4/3"), "3/16"),
        (("--part", "x"), "3/16"),
        (("--part", "1/2", "--scheduler", "local"), "two ways"),
        (("--part", "1/2", "--overwrite"), "other parts"),
        (("--mask", "m.png"), "--mask m.png: it cannot be opened"),
        (("--mask", tmp_path / "small.npy"), "it is 70 x 69, the image 70 x 70"),
        (("--sigma-map", tmp_path / "small.npy"), "takes the place of --sigma"),
        (("--convert",), "--convert is not possible with a store"),
        (("--axis", "t"), "its axes have no names"),
        (("--axis", "2"), "--axis 2 is none of the 2 axes"),
        (("--uncertainty", "u.npy"), "--uncertainty is not possible with a store"),
        (("--scheduler", "here"), "tcp://host:8786"),
        (("--channel-axis", "2"), "none of the 2 axes"),
        (("--search-radius", "image"), "needs the whole image"),
    ):
        ran = Ran("denoise", path, *output, *QUICK, *options)
        assert (ran.code != 0, words in ran.err) == (True, True), ran.err
    ran = Ran("denoise", path, path, *output)
    assert "one image" in ran.err
    ran = Ran("denoise", tmp_path / "x.png", "--part", "1/2")
    assert ran.code == 2
    assert "by blocks" in ran.err


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.zarr", noisy(SIDE, SIDE))
    ran = Ran("denoise", path, "-o", tmp_path / "b.zarr", "--dry-run", "--json")
    assert ran.code == 0
    assert ran.lines[0]["status"] == "planned"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zarr"]
