"""--method nlridge: what is written, what is told, and which options it does not have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from imageio.v3 import imread

from nlmeans import denoise

from ..faults import files
from ..faults.streams import Ran

RIDGE = ("--method", "nlridge")


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    (tmp_path / "in.png").write_bytes(files.png(files.samples("u1", 3, (24, 32))))
    return tmp_path / "in.png"


def test_it_writes_what_the_library_computes(noisy: Path, tmp_path: Path) -> None:
    ran = Ran(
        "denoise", noisy, *RIDGE, "--sigma", "9", "--color", "luminance", "-o", tmp_path / "a.png", "--json"
    )
    assert ran.code == 0, ran.err
    expected = denoise(imread(noisy), method="nlridge", sigma=9.0, color="luminance", channel_axis=-1)
    np.testing.assert_array_equal(imread(tmp_path / "a.png"), expected)
    assert '"method": "nlridge"' in ran.out
    assert "radius" not in ran.out


def test_verbose_and_dry_runs_name_it(noisy: Path, tmp_path: Path) -> None:
    for more, told in (("-v", '"method": "nlridge"'), ("--dry-run", "sigma 9, NL-Ridge")):
        ran = Ran("denoise", noisy, *RIDGE, "--sigma", "9", more, "--overwrite", "-o", tmp_path / "b.png")
        assert ran.code == 0, ran.err
        assert told in ran.err + ran.out
    ran = Ran("estimate", noisy, *RIDGE)
    assert ran.code == 0, ran.err
    assert "NL-Ridge; luminance" in ran.out + ran.err


@pytest.mark.parametrize(
    "wrong",
    [
        ("--h", "5"),
        ("--k", "0.5"),
        ("--patch-radius", "1"),
        ("--search-radius", "3"),
        ("--aggregate", "pixel"),
        ("--center", "one"),
        ("--passes", "1"),
    ],
)
def test_options_of_nl_means_are_refused_before_any_picture_is_opened(wrong: tuple[str, str]) -> None:
    ran = Ran("denoise", "nowhere.png", *RIDGE, *wrong, "-o", "out.png")
    assert ran.code == 2
    assert f"{wrong[0]} belongs to NL-means" in ran.err
    assert "--method nlmeans" in ran.err


def test_strength_multiplies_a_map_too(noisy: Path, tmp_path: Path) -> None:
    """The factor is not lost where sigma comes from a file."""
    for sigma in (8, 12):
        np.save(tmp_path / f"{sigma}.npy", np.full((24, 32), float(sigma)))
    results = []
    for sigma, strength in ((8, "1.5"), (12, "1")):
        result = tmp_path / f"from{sigma}.png"
        given = ("--sigma-map", tmp_path / f"{sigma}.npy", "--strength", strength)
        ran = Ran("denoise", noisy, *RIDGE, *given, "-o", result)
        assert ran.code == 0, ran.err
        results.append(imread(result))
    np.testing.assert_array_equal(*results)


def test_the_learned_method_is_there_too(noisy: Path, tmp_path: Path) -> None:
    ran = Ran("denoise", noisy, "--method", "learned", "--sigma", "9", "-o", tmp_path / "c.png", "-v")
    assert ran.code == 0, ran.err
    expected = denoise(imread(noisy), method="learned", sigma=9.0, channel_axis=-1)
    np.testing.assert_array_equal(imread(tmp_path / "c.png"), expected)
    ran = Ran("denoise", noisy, "--method", "learned", "--sigma", "9", "--dry-run", "-o", tmp_path / "d.png")
    assert "NL-Ridge and network" in ran.err + ran.out
