"""--axis and --share: pictures of one file that have nothing to do with each other."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import nlmeans

from ..faults import files
from ..faults.streams import Ran
from .test_cli_formats import denoised

RNG = np.random.default_rng(3)
NOISE = np.array([4.0, 8.0, 12.0])
PICTURES = np.clip(
    np.indices((40, 44)).sum(0) % 32 * 4 + 60 + RNG.normal(0, 1, (3, 40, 44)) * NOISE[:, None, None], 0, 255
).astype(np.uint8)
RADII = ("--patch-radius", 1, "--search-radius", 2)
GIVEN: dict[str, Any] = {"patch_radius": 1, "search_radius": 2}


def stack(pages: np.ndarray, axes: str) -> bytes:
    memory = BytesIO()
    tifffile.imwrite(memory, pages, imagej=True, metadata={"axes": axes + "YX"})
    return memory.getvalue()


def ran_with(data: bytes, suffix: str, tmp_path: Path, *options: object) -> tuple[Ran, Path]:
    path, result = tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"
    path.write_bytes(data)
    return Ran("denoise", path, "-o", result, *RADII, *options), result


def test_time_points_are_denoised_by_themselves(tmp_path: Path) -> None:
    ran, result = ran_with(stack(PICTURES, "T"), "tif", tmp_path, "--axis", "t")
    assert ran.code == 0, ran.err
    for got, one in zip(tifffile.imread(result), PICTURES, strict=True):
        np.testing.assert_array_equal(got, nlmeans.denoise(one, **GIVEN))


def test_each_time_point_of_volumes_is_a_volume(tmp_path: Path) -> None:
    both = np.stack([PICTURES, PICTURES[::-1]])
    ran, result = ran_with(stack(both, "TZ"), "tif", tmp_path, "--axis", "t", "--sigma", 8)
    assert ran.code == 0, ran.err
    for got, one in zip(tifffile.imread(result), both, strict=True):
        np.testing.assert_array_equal(got, nlmeans.denoise(one, sigma=8.0, **GIVEN))


def test_an_axis_of_an_array_is_named_by_its_number(tmp_path: Path) -> None:
    image = np.moveaxis(PICTURES, 0, 1)
    ran, result = ran_with(files.npy(image), "npy", tmp_path, "--axis", 1, "--json")
    assert ran.code == 0, ran.err
    np.testing.assert_array_equal(np.load(result), nlmeans.denoise(image, batch_axis=1, **GIVEN))
    (page,) = json.loads(ran.out)["pages"]
    sigmas = [each["sigma"] for each in page["pictures"]]
    assert sigmas == [nlmeans.suggest(one, **GIVEN).sigma for one in PICTURES]


@pytest.mark.parametrize("kind", ["tif", "npy"])
def test_settings_are_shared_within_a_file(kind: str, tmp_path: Path) -> None:
    data = stack(PICTURES, "T") if kind == "tif" else files.npy(PICTURES)
    axis = "t" if kind == "tif" else "0"
    ran, result = ran_with(data, kind, tmp_path, "--axis", axis, "--share", "settings", "--strength", 1.4)
    assert ran.code == 0, ran.err
    got = tifffile.imread(result) if kind == "tif" else np.load(result)
    expected = nlmeans.denoise(PICTURES, batch_axis=0, share="settings", strength=1.4, **GIVEN)
    np.testing.assert_array_equal(got, expected)


def test_an_array_of_colour_pictures_warns_until_the_axis_is_named(tmp_path: Path) -> None:
    image = np.stack([PICTURES] * 3, axis=-1)
    channels = ("--channel-axis", -1, "--sigma", 8)
    ran, _ = ran_with(files.npy(image), "npy", tmp_path, *channels)
    assert ran.code == 0
    assert "--axis" in ran.err
    ran, _ = ran_with(files.npy(image), "npy", tmp_path, *channels, "--axis", 0, "--overwrite")
    assert (ran.code, "warning" in ran.err) == (0, False)


def test_a_volume_of_colour_pages_is_one_without_a_warning(tmp_path: Path) -> None:
    pages = [files.samples("u1", 3, (20, 21), seed=n) for n in range(3)]
    ran, _ = denoised(files.tiff(pages, photometric="rgb"), tmp_path, "tif", "--volume")
    assert ran.code == 0, ran.err
    assert "--axis" not in ran.err


WRONG: list[tuple[str, tuple[object, ...], str]] = [
    ("tif", ("--axis", "z"), "3 time points (T)"),
    ("tif", ("--axis", 0), "t, z or c"),
    ("tif", ("--axis", "tz"), "is no axis"),
    ("tif", ("--axis", "t", "--volume"), "leave out --volume"),
    ("npy", ("--axis", "t"), "give a number"),
    ("npy", ("--axis", 3), "--axis must be an integer in [-3, 2]"),
    ("npy", ("--share", "settings"), "--axis 0"),
    ("npy", ("--axis", 0, "--channel-axis", 0), "must differ"),
]


@pytest.mark.parametrize(("kind", "options", "words"), WRONG)
def test_what_fits_no_axis_is_refused_by_name(
    kind: str, options: tuple[object, ...], words: str, tmp_path: Path
) -> None:
    data = stack(PICTURES, "T") if kind == "tif" else files.npy(PICTURES)
    ran, result = ran_with(data, kind, tmp_path, *options)
    assert ran.code in (1, 2)
    assert words in ran.err
    assert not result.exists()


def test_two_axes_of_planes_are_no_volume(tmp_path: Path) -> None:
    ran, _ = ran_with(
        stack(np.stack([np.stack([PICTURES[:2]] * 2)] * 2), "TZC"), "tif", tmp_path, "--axis", "c"
    )
    assert ran.code == 2
    assert "without --axis" in ran.err


def test_a_dry_run_takes_one_picture_of_the_axis(tmp_path: Path) -> None:
    ran, result = ran_with(files.npy(PICTURES), "npy", tmp_path, "--axis", 0, "--dry-run")
    assert ran.code == 0, ran.err
    assert not result.exists()
    assert "sigma" in ran.err
