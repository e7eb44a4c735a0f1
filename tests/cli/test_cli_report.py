"""The report page: one file that asks nobody for anything.

What it does in a browser is in test_page.py.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import imagecodecs
import numpy as np
import pytest
from nlmeans.cli.views import method_noise, page_data
from nlmeans.cli.views.words import verdict_words

import nlmeans

from ..faults import files
from ..faults.page import NAME, page_in
from ..faults.streams import Ran


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page_in(tmp_path_factory.mktemp("report"))


def data_of(page: Path) -> dict[str, Any]:
    found = re.search(
        r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.DOTALL
    )
    assert found
    return dict(json.loads(found[1]))


def picture(address: str) -> np.ndarray:
    return imagecodecs.png_decode(base64.b64decode(address.removeprefix("data:image/png;base64,")))


def test_the_page_is_one_file_that_loads_nothing(page: Path) -> None:
    text = page.read_text()
    assert "default-src 'none'" in text
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:|//)", text)
    assert not re.search(r"https?://", text)


def test_a_name_cannot_become_part_of_the_page(page: Path) -> None:
    text = page.read_text()
    assert "<b>" not in text
    assert NAME in data_of(page)["title"]
    assert text.count("<script") == 2
    assert text.count("</script") == 2


def test_the_pictures_of_the_page_are_those_of_the_filter(page: Path) -> None:
    data = data_of(page)
    noisy, clean = picture(data["images"]["noisy"]), picture(data["images"]["clean"])
    assert np.array_equal(noisy, files.decoded(page.with_name(NAME)))
    target = page.with_name("c.png")
    assert Ran("denoise", page.with_name(NAME), "-o", target, "--sigma", "12").code == 0
    assert np.array_equal(clean, files.decoded(target))
    chosen = [piece for piece in data["strip"] if piece["chosen"]]
    assert len(data["strip"]) == len(page_data.FACTORS)
    assert np.array_equal(picture(chosen[0]["image"]), clean)


def test_the_command_on_the_page_does_it_again(page: Path) -> None:
    command = shlex.split(data_of(page)["command"])
    assert command[:3] == ["nlmeans", "denoise", str(page.with_name(NAME))]
    again = page.with_name("again.png")
    assert Ran(*command[1:], "-o", again).code == 0
    assert np.array_equal(files.decoded(again), picture(data_of(page)["images"]["clean"]))


def test_the_spectrum_of_white_noise_is_flat_and_its_histogram_a_bell() -> None:
    noise = np.random.default_rng(0).normal(0, 3, (256, 256)).astype("f4")
    _, radial = method_noise.spectra(noise, 3.0)
    assert max(abs(level) for frequency, level in radial if frequency > 0.02) < 1
    bars = method_noise.histogram(noise, 3.0, whole=False)["bars"]
    middle = bars["heights"][len(bars["heights"]) // 2]
    assert middle == pytest.approx(1 / np.sqrt(2 * np.pi), rel=0.05)
    assert sum(bars["heights"]) * bars["step"] == pytest.approx(1, abs=0.01)


def test_the_curve_of_the_noise_is_that_of_the_picture(tmp_path: Path) -> None:
    """Counts with 3 units each on a ramp: variance = 3 mean, in the dots, the line and the words."""
    ramp = np.add.outer(np.arange(200.0), np.arange(200.0)) / 10 + 5
    counts = 3.0 * np.random.default_rng(0).poisson(ramp)
    (tmp_path / "a.tif").write_bytes(files.tiff(counts.astype("f4")))
    assert Ran("report", tmp_path / "a.tif", "-o", tmp_path / "a.html").code == 0
    curve = data_of(tmp_path / "a.html")["curve"]
    (channel,) = curve["channels"]
    for name, count in (("points", 12), ("line", 65)):
        means, variances = np.array(channel[name]).T
        assert len(means) == count
        assert np.median(np.abs(variances / (3 * means) - 1)) < 0.1, name
    assert "poisson noise, gain 3" in curve["caption"]
    assert curve["y"][1] > max(variances)


def test_channels_each_have_their_curve_and_a_flat_picture_has_none() -> None:
    rng = np.random.default_rng(0)
    colour = np.linspace(0, 200, 200)[:, None, None] + rng.normal(0, [2, 4, 8], (200, 200, 3))
    found = method_noise.noise_curve(colour, None, -1)
    assert found is not None
    levels = [np.median([v for _, v in one["points"]]) ** 0.5 for one in found["channels"]]
    assert np.allclose(levels, [2, 4, 8], rtol=0.1)
    assert method_noise.noise_curve(np.zeros((40, 40)), None, None) is None


def test_bars_of_whole_numbers_do_not_stand_like_a_comb() -> None:
    noise = np.rint(np.random.default_rng(0).normal(0, 19, (300, 300))).astype("f4")
    heights = np.array(method_noise.histogram(noise, 19.0, whole=True)["bars"]["heights"])
    middle = heights[len(heights) // 2 - 10 : len(heights) // 2 + 10]
    assert np.abs(np.diff(middle)).max() < 0.2 * middle.max()


def test_bars_of_two_whole_numbers_each_begin_between_two() -> None:
    noise = np.rint(np.random.default_rng(0).normal(0, 19.828, (500, 600)))
    bars = method_noise.histogram(noise, 19.828, whole=True)["bars"]
    at = bars["start"] + bars["step"] * (np.arange(len(bars["heights"])) + 0.5)
    bell = np.exp(-(at**2) / 2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(bars["heights"], bell, atol=0.02)


@pytest.mark.parametrize(
    "make",
    [
        lambda: files.png(np.full((20, 20), 7, "u1")),
        lambda: files.png(files.samples("u1", 1, (1, 1))),
        lambda: files.png(files.samples("u1", 1, (1, 50))),
        lambda: files.png(files.samples("u2", 4, (5, 9))),
        lambda: files.tiff(files.samples("f4", 1, (30, 3))),
    ],
    ids=["constant", "one pixel", "one row", "alpha", "float"],
)
def test_odd_pictures_have_a_page_too(make: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.img"
    path.write_bytes(make())
    ran = Ran("report", path, "-o", tmp_path / "a.html", "--sigma", "1")
    assert ran.code == 0, ran.err
    assert data_of(tmp_path / "a.html")["weights"]


def test_a_page_is_not_written_over(page: Path) -> None:
    before = page.read_bytes()
    ran = Ran("report", page.with_name(NAME), "-o", page, "--sigma", "12")
    assert ran.code == 3
    assert page.read_bytes() == before
    assert Ran("report", page.with_name(NAME), "-o", page.with_name("x.txt")).code == 2


def test_a_piece_stands_where_it_was_cut_from(tmp_path: Path) -> None:
    """Of a picture larger than the pieces; odd sizes too."""
    pixels = files.samples("u1", 1, (431, 505))
    path = tmp_path / "a.png"
    path.write_bytes(files.png(pixels))
    ran = Ran(
        "report",
        path,
        "-o",
        tmp_path / "a.html",
        "--sigma",
        "20",
        "--patch-radius",
        "1",
        "--search-radius",
        "1",
    )
    assert ran.code == 0, ran.err
    data = data_of(tmp_path / "a.html")
    place, clean = data["piece"], picture(data["images"]["clean"])
    rows = slice(place["top"], place["top"] + place["height"])
    columns = slice(place["left"], place["left"] + place["width"])
    (chosen,) = (piece for piece in data["strip"] if piece["chosen"])
    assert picture(chosen["image"]).shape == (page_data.STRIP, page_data.STRIP)
    assert np.abs(picture(chosen["image"]).astype(int) - clean[rows, columns]).max() <= 1


def test_the_page_says_what_is_known_of_the_result(page: Path) -> None:
    """The verdict and the facts are those of `denoise(return_info=True)`."""
    removed = data_of(page)["removed"]
    pixels = files.decoded(page.with_name(NAME))
    _, info = nlmeans.denoise(pixels, sigma=12.0, channel_axis=-1, return_info=True)
    assert removed["known"] == info.words()[:-1]
    assert info.advice.partition(":")[0].lower() in removed["verdict"].lower()


def test_a_verdict_names_the_page_s_control() -> None:
    """D6: a verdict in words, with what to do."""
    for word, advice, told in (
        ("noise", "what was removed looks like the noise", "What was removed looks like the noise."),
        ("structure", "structure was removed: lower k", "Structure was removed: a lower strength keeps it."),
        ("noise is left", "noise is left: raise k", "Noise is left: raise the strength."),
    ):
        assert verdict_words(SimpleNamespace(verdict=word, advice=advice)) == told


def test_clipped_values_are_told() -> None:
    assert method_noise.clipped(np.array([0, 1, 255, 9], "u1")) == 0.5
    assert method_noise.clipped(np.array([0.0, 1.0])) == 0
    noise = np.random.default_rng(0).normal(0, 9, (64, 64))
    assert (
        "12 % of the values are clipped"
        in method_noise.histogram(noise, 9, whole=True, clipped=0.12)["caption"]
    )
    assert "clipped" not in method_noise.histogram(noise, 9, whole=True)["caption"]
