"""The report of a film: its scenes, and frames that are those of the denoised film."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data

from ..faults import films
from ..faults.chromium import browsing, needs_browser
from ..faults.streams import Ran
from .test_cli_report import data_of, picture

av = pytest.importorskip("av")

QUICK = ("--sigma", "5%", "--patch-radius", "1", "--search-radius", "2")
PICTURES = [
    data.astronaut()[100:160, 180:270],
    data.coffee()[100:160, 200:290],
    data.rocket()[200:260, 200:290],
]


def film(path: Path, scenes: list[int]) -> Path:
    """So many frames of each of some pictures, with noise, stored without loss."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as opened:
        stream = opened.add_stream("ffv1", rate=25)
        stream.height, stream.width = PICTURES[0].shape[:2]
        stream.pix_fmt = "bgr0"
        for n, count in enumerate(scenes):
            for _ in range(count):
                noisy = PICTURES[n % 3] + rng.normal(0, 12, PICTURES[0].shape)
                samples = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
                opened.mux(stream.encode(av.VideoFrame.from_ndarray(samples, "rgb24")))
        opened.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    path = film(tmp_path_factory.mktemp("report") / "a <b>.mkv", [7, 1, 4])
    ran = Ran("report", path, *QUICK)
    assert (ran.code, ran.warnings) == (0, [])
    made = path.with_name("a <b>.report.html")
    return made, data_of(made)


def test_frames_are_those_of_the_film_before_and_after(page: tuple[Path, dict[str, Any]]) -> None:
    path, found = page
    numbers = [int(frame["caption"].split("frame ")[1].split(",")[0]) for frame in found["frames"]]
    assert numbers == [0, 3, 6, 7, 8, 9, 11]
    assert found["frames"][3]["caption"] == "Scene 2, frame 7, 0.28 s"
    source = path.with_name("a <b>.mkv")
    assert Ran("denoise", source, *QUICK).code == 0
    before, after = (films.rgb(p) for p in (source, path.with_name("a <b>.denoised.mkv")))
    for number, frame in zip(numbers, found["frames"], strict=True):
        np.testing.assert_array_equal(picture(frame["images"]["noisy"]), before[number])
        np.testing.assert_array_equal(picture(frame["images"]["clean"]), after[number])
        removed = before[number].astype(float) - after[number]
        shown = picture(frame["images"]["removed"]).astype(float) - 127.5
        assert np.corrcoef(removed.ravel(), shown.ravel())[0, 1] > 0.99


def test_the_page_says_what_was_done_and_how_to_repeat_it(page: tuple[Path, dict[str, Any]]) -> None:
    found = page[1]
    assert "all 12 frames, 3 scenes" in found["summary"]
    rows = dict(found["table"])
    assert rows["scene 1"].startswith("frames 0 to 6; sigma 12.8; patch radius (0, 1, 1)")
    assert found["command"].endswith("--patch-radius 1 --search-radius 2 --sigma 5%")
    assert "<b>" not in page[0].read_text()


def test_of_many_scenes_the_first_four_are_shown(tmp_path: Path) -> None:
    path = film(tmp_path / "in.mkv", [2] * 6)
    ran = Ran("report", path, *QUICK, "--temporal-radius", "1", "--noise", "gaussian")
    assert ran.code == 0
    found = data_of(tmp_path / "in.report.html")
    assert [frame["caption"].split(",")[0] for frame in found["frames"]] == [
        f"Scene {n}" for n in (1, 1, 2, 2, 3, 3, 4, 4)
    ]
    assert "the first 8 frames, 4 scenes" in found["summary"]
    assert "--temporal-radius 1" in found["command"]


def test_a_model_of_noise_with_numbers_is_repeated_as_it_was_given(tmp_path: Path) -> None:
    path = film(tmp_path / "in.mkv", [2])
    options = ["--noise", "poisson-gaussian:gain=1.5,sigma=3", "--patch-radius", 1, "--search-radius", 1]
    assert Ran("report", path, *options).code == 0
    command = data_of(tmp_path / "in.report.html")["command"]
    assert "--noise poisson-gaussian:gain=1.5,sigma=3" in command


def test_an_animated_picture_has_a_report_too(tmp_path: Path) -> None:
    frames = [Image.fromarray(PICTURES[0]), Image.fromarray(PICTURES[0][::-1].copy())]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], duration=50, lossless=True)
    assert Ran("report", tmp_path / "a.webp", *QUICK).code == 0
    found = data_of(tmp_path / "a.report.html")
    assert len(found["frames"]) == 2
    np.testing.assert_array_equal(picture(found["frames"][0]["images"]["noisy"]), PICTURES[0])


def test_what_is_for_pictures_is_refused(tmp_path: Path) -> None:
    path = film(tmp_path / "in.mkv", [1])
    assert "is for pictures" in Ran("report", path, "--channel-axis", "0").err
    assert "reports" not in {p.suffix for p in tmp_path.iterdir()}
    short = tmp_path / "short.mkv"
    short.write_bytes(path.read_bytes()[:600])
    ran = Ran("report", short)
    assert ran.code == 1
    assert not list(tmp_path.glob("*.html"))


@needs_browser
def test_a_frame_is_shown_at_a_click(page: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    path, found = page
    with browsing(tmp_path) as browser:
        browser.size(1400, 900)
        browser.go(path.as_uri())
        browser.until("document.querySelectorAll('#strip button').length === 7")
        browser.until("$('clean').complete")
        assert browser.run("$('clean').src") == found["frames"][0]["images"]["clean"]
        assert browser.run("$('weights-section').hidden")
        browser.click("#strip button:nth-child(4)")
        assert browser.run("$('clean').src") == found["frames"][3]["images"]["clean"]
        assert browser.run("$('noisy').src") == found["frames"][3]["images"]["noisy"]
        assert browser.run("$('removed').src") == found["frames"][3]["images"]["removed"]
        assert "frame 7" in browser.text("#verdict")
        browser.click("#show-removed")
        assert browser.run("$('clean').src") == found["frames"][3]["images"]["removed"]
        assert browser.problems == []
