"""Stores: settings that are found out once for all blocks, or for each image by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nlmeans

from ..faults.streams import Ran

pytest.importorskip("zarr")

from .test_stores import GIVEN, QUICK, assert_near, noisy, read, record, stored

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
