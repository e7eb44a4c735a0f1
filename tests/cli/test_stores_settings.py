"""Stores: settings that are found out once for all blocks, or for each image by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import nlmeans

from ..faults.streams import Ran

zarr = pytest.importorskip("zarr")

from .test_stores import GIVEN, QUICK, assert_near, noisy, read, record, stored  # noqa: E402

RADII = ("--k", "0.5", "--patch-radius", "1", "--search-radius", "4", "--block", "64")


def counted(*shape: int, gain: float = 1.0, seed: int = 0) -> np.ndarray:
    """Blocks of two levels, as counts of photons."""
    clean = 3 + 9.0 * ((np.indices(shape) // 20).sum(axis=0) % 2)
    return (gain * np.random.default_rng(seed).poisson(clean)).astype(np.float32)


def speckled(image: np.ndarray) -> np.ndarray:
    """Under the noise of radar, of four looks."""
    rng = np.random.default_rng(1)
    return ((image + 1) * rng.gamma(4, 1 / 4, image.shape)).astype(np.float32)


def chosen(path: Path, n: int = 0) -> dict[str, Any]:
    """What the record of a store says was used."""
    return nlmeans.Parameters.from_dict(record(path)["chosen"][n]["parameters"]).to_dict()


# --- noise that has a model ----------------------------------------------------------------------


@pytest.mark.parametrize("words", ["poisson:gain=1", "poisson", "auto", "speckle:looks=4", "rician:sigma=2"])
def test_noise_that_has_a_model_is_told_once_for_all_blocks(words: str, tmp_path: Path) -> None:
    """Few counts: sigma of what is transformed then depends on what lies around a pixel."""
    image = counted(130, 150)
    image = speckled(image) if "speckle" in words else image
    path = stored(tmp_path / "a.zarr", image)
    ran = Ran("denoise", path, "-o", tmp_path / "b.zarr", "--noise", words, *RADII)
    assert ran.code == 0, ran.err
    used = chosen(tmp_path / "b.zarr")
    assert used["noise"]["kind"] == ("poisson" if words == "auto" else words.partition(":")[0])
    assert_near(read(tmp_path / "b.zarr"), nlmeans.denoise(image, **used))
    if words == "poisson":
        assert 0.7 < used["noise"]["gain"] < 1.4


def test_sigma_of_few_photons_is_that_of_the_whole_at_the_edges_of_blocks(tmp_path: Path) -> None:
    """It is a map, by the mean around each pixel, which reaches farther than a small window."""
    image = counted(130, 150)
    path = stored(tmp_path / "a.zarr", image)
    words = ("--k", "0.5", "--patch-radius", "0", "--search-radius", "1", "--block", "64")
    ran = Ran("denoise", path, "-o", tmp_path / "b.zarr", "--noise", "poisson:gain=1", *words)
    assert ran.code == 0, ran.err
    assert_near(read(tmp_path / "b.zarr"), nlmeans.denoise(image, **chosen(tmp_path / "b.zarr")))


def test_parts_go_on_with_the_model_that_the_first_has_found(tmp_path: Path) -> None:
    image = speckled(counted(130, 150))
    path = stored(tmp_path / "a.zarr", image)
    for part in ("2/2", "1/2"):
        ran = Ran("denoise", path, "-o", tmp_path / "b.zarr", "--noise", "speckle", *RADII, "--part", part)
        assert ran.code == 0, ran.err
    assert_near(read(tmp_path / "b.zarr"), nlmeans.denoise(image, **chosen(tmp_path / "b.zarr")))


# --- impulses ------------------------------------------------------------------------------------


def test_impulses_are_told_by_what_was_measured_once(tmp_path: Path) -> None:
    """Salt in two of a hundred pixels, in clusters too; parts take the measure from the record."""
    rng = np.random.default_rng(0)
    image = noisy(150, 170, dtype="uint8")
    image[rng.random(image.shape) < 0.02] = 255
    image[40:42, 60:63] = 255
    path = stored(tmp_path / "a.zarr", image)
    for part in ("1/2", "2/2"):
        words = ("--impulses", "replace", *QUICK, "--part", part)
        ran = Ran("denoise", path, "-o", tmp_path / "b.zarr", *words)
        assert ran.code == 0, ran.err
    expected = nlmeans.denoise(image, impulses="replace", **GIVEN)
    assert_near(read(tmp_path / "b.zarr"), expected)
    assert expected.max() < 200


def test_repeats_are_refused(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.zarr", noisy(64, 64))
    ran = Ran("denoise", path, "-o", tmp_path / "b.zarr", "--repeats", "2")
    assert ran.code == 2
    assert "--repeats is not possible with a store" in ran.err


# --- images that have nothing to do with each other ----------------------------------------------


def louder(*shape: int) -> np.ndarray:
    """Three pictures or volumes, of noise of 6, 12 and 24."""
    clean = 60 + 80.0 * ((np.indices(shape) // 20).sum(axis=0) % 2)
    rng = np.random.default_rng(0)
    return np.stack([clean + rng.normal(0, sigma, shape) for sigma in (6, 12, 24)]).astype(np.float32)


def test_along_an_axis_each_image_has_settings_of_its_own(tmp_path: Path) -> None:
    image = louder(70, 80)
    path = stored(tmp_path / "a.zarr", image, chunks=(1, 40, 40), shards=None)
    ran = Ran("denoise", path, "-o", tmp_path / "b.zarr", "--axis", 0, "--block", 40)
    assert ran.code == 0, ran.err
    assert_near(read(tmp_path / "b.zarr"), nlmeans.denoise(image, batch_axis=0))
    used = [chosen(tmp_path / "b.zarr", n)["sigma"] for n in range(3)]
    assert used == pytest.approx([6, 12, 24], rel=0.15)


def test_along_an_axis_images_may_share_settings(tmp_path: Path) -> None:
    image = louder(70, 80)
    path = stored(tmp_path / "a.zarr", image, chunks=(1, 40, 40), shards=None)
    words = ("--axis", "-3", "--share", "settings", "--block", "40")
    ran = Ran("denoise", path, "-o", tmp_path / "b.zarr", *words)
    assert ran.code == 0, ran.err
    assert len(record(tmp_path / "b.zarr")["chosen"]) == 1
    used = chosen(tmp_path / "b.zarr")
    assert_near(read(tmp_path / "b.zarr"), np.stack([nlmeans.denoise(one, **used) for one in image]))


def test_along_t_the_planes_of_each_time_are_a_volume(tmp_path: Path) -> None:
    """Channels still have their own noise, and a level for each."""
    image = np.stack([louder(6, 40, 44)[:2], 2 * louder(6, 40, 44)[:2]], axis=1)  # t, c, z, y, x
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, image.transpose(0, 2, 1, 3, 4), imagej=True, metadata={"axes": "TZCYX"})
    words = ("--axis", "t", "--sigma", "8,16", "--k", "0.5", "--patch-radius", "1", "--search-radius", "2")
    ran = Ran("denoise", path, "-o", tmp_path / "b.zarr", *words, "--block", "16")
    assert ran.code == 0, ran.err
    found = read(tmp_path / "b.zarr")
    order = [a["name"] for a in zarr.open_group(tmp_path / "b.zarr").attrs["ome"]["multiscales"][0]["axes"]]
    assert order == ["t", "c", "z", "y", "x"]
    given: dict[str, Any] = {"k": 0.5, "patch_radius": 1, "search_radius": 2}
    for t in range(2):
        for c in range(2):
            assert_near(found[t, c], nlmeans.denoise(image[t, c], sigma=8.0 + 8 * c, **given))
    assert len(record(tmp_path / "b.zarr")["chosen"]) == 4
    ran = Ran("denoise", path, "-o", tmp_path / "c.zarr", "--axis", "0")
    assert "it has the axes t, c, z, y, x" in ran.err


# --- what is found out from regions --------------------------------------------------------------


def test_the_strength_is_tuned_on_regions_once(tmp_path: Path) -> None:
    """Independent noise without anything below it: the more is averaged the better."""
    image = np.random.default_rng(0).normal(100, 12, (150, 160)).astype(np.float32)
    path = stored(tmp_path / "a.zarr", image)
    ran = Ran("denoise", path, "-o", tmp_path / "b.zarr", "--tune", "--sigma", "12", "--block", "64")
    assert ran.code == 0, ran.err
    assert "sigma 12, tuned to 2.83 times the strength of the table, " in ran.err
    used = chosen(tmp_path / "b.zarr")
    assert used == nlmeans.suggest(image, sigma=12.0, by="sure").to_dict()
    assert used["k"] > 1.2 * nlmeans.suggest(image, sigma=12.0).k  # type: ignore[operator]
    assert_near(read(tmp_path / "b.zarr"), nlmeans.denoise(image, **used))
    ran = Ran("denoise", path, "-o", tmp_path / "b.zarr", "--sigma", "12", "--block", "64")
    assert "begun with tune True" in ran.err


def test_a_store_is_explained_by_regions(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.zarr", noisy(150, 160))
    ran = Ran("denoise", path, "-o", tmp_path / "b.zarr", "--block", "64", "--explain", "--json")
    assert ran.code == 0, ran.err
    _, info = nlmeans.denoise(noisy(150, 160), return_info=True)
    for line in info.words():
        assert f"  {line}" in ran.err
    assert ran.lines[0]["info"][0]["sigma_error"] == info.sigma_error
    ran = Ran("denoise", path, "-o", tmp_path / "c.zarr", "--uncertainty", "u.npy")
    assert "--uncertainty is not possible with a store" in ran.err
