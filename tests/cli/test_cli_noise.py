"""--noise: models of the noise from the shell."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from imageio.v3 import imread
from skimage import data

from nlmeans import NoiseModel, denoise

from ..faults import files
from ..faults.streams import Ran


@pytest.fixture
def counted(tmp_path: Path) -> Path:
    clean = data.camera()[60:188, 120:248] / 255 * 60
    counts = np.random.default_rng(0).poisson(clean).astype(np.uint8)
    (tmp_path / "in.png").write_bytes(files.png(counts))
    return tmp_path / "in.png"


@pytest.mark.parametrize("noise", ["poisson:gain=1", "poisson", "auto"])
def test_it_writes_what_the_library_computes(counted: Path, tmp_path: Path, noise: str) -> None:
    ran = Ran("denoise", counted, "--noise", noise, "-o", tmp_path / "a.png", "--json")
    assert ran.code == 0, ran.err
    expected = denoise(imread(counted), noise=NoiseModel("poisson", gain=1.0))
    np.testing.assert_array_equal(imread(tmp_path / "a.png"), expected)
    model = json.loads(ran.out)["pages"][0]["parameters"]["noise"]
    assert model == {"kind": "poisson", "gain": 1.0}


def test_estimate_tells_the_model(counted: Path) -> None:
    ran = Ran("estimate", counted, "--noise", "auto")
    assert ran.code == 0, ran.err
    assert "poisson noise, gain 1; patch radius" in ran.out
    assert ", k 0." in ran.out
    ran = Ran("estimate", counted, "--noise", "poisson-gaussian:gain=1,sigma=2", "--method", "nlridge")
    assert "poisson-gaussian noise, gain 1, sigma 2; NL-Ridge" in ran.out


def test_copied_pixels_are_filtered_at_their_own_resolution(counted: Path, tmp_path: Path) -> None:
    large = imread(counted).repeat(2, 0).repeat(3, 1)
    (tmp_path / "large.png").write_bytes(files.png(large))
    ran = Ran("estimate", tmp_path / "large.png", "--noise", "auto")
    assert "poisson noise, gain 1" in ran.out
    assert "each pixel is repeated 2 x 3 times" in ran.out
    more = ("--noise", "poisson:gain=1")
    ran = Ran("denoise", tmp_path / "large.png", *more, "-o", tmp_path / "a.png")
    assert ran.code == 0, ran.err
    assert "filtered at its own resolution, and enlarged again; --repeats 1" in " ".join(ran.err.split())
    expected = denoise(imread(counted), noise=NoiseModel("poisson", gain=1.0))
    np.testing.assert_array_equal(imread(tmp_path / "a.png"), expected.repeat(2, 0).repeat(3, 1))
    ran = Ran("estimate", tmp_path / "large.png", *more, "--repeats", "1")
    assert "repeated" not in ran.out


def test_nlridge_and_strength_go_with_it(counted: Path, tmp_path: Path) -> None:
    more = ("--noise", "poisson:gain=1", "--method", "nlridge", "--strength", "1.2")
    ran = Ran("denoise", counted, *more, "-o", tmp_path / "a.png")
    assert ran.code == 0, ran.err
    expected = denoise(imread(counted), noise={"kind": "poisson", "gain": 1}, method="nlridge", strength=1.2)
    np.testing.assert_array_equal(imread(tmp_path / "a.png"), expected)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (("--noise", "shot"), "must be one of gaussian"),
        (("--noise", "poisson:gain=much"), "parameters are numbers"),
        (("--noise", "poisson:looks=2"), "looks is no parameter of poisson"),
        (("--noise", "auto", "--sigma", "5"), "levels of white noise"),
        (("--noise", "speckle:looks=4", "--h", "5"), "levels of white noise"),
    ],
)
def test_what_contradicts_it_is_refused(counted: Path, wrong: tuple[str, ...], told: str) -> None:
    ran = Ran("denoise", counted, *wrong)
    assert ran.code == 2
    assert told in " ".join(ran.err.split())


def test_the_page_of_a_model(counted: Path, tmp_path: Path) -> None:
    ran = Ran("report", counted, "--noise", "poisson:gain=1", "-o", tmp_path / "page.html")
    assert ran.code == 0, ran.err
    assert "poisson noise, gain 1" in (tmp_path / "page.html").read_text()
