"""The report page: one file that asks nobody for anything, and does in a browser what it says.

The browser tests need Chromium; the screenshot of the page is kept where NLMEANS_TEST_ARTEFACTS says.
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from nlmeans.cli.views import page_data

from ..faults import files
from ..faults.streams import Ran

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next((found for name in NAMES if (found := shutil.which(name))), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=4000",
)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium on the PATH")
SHAPE = (60, 90)
NAME = "a <b>&\"'.png"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a small colour picture with an edge."""
    folder = tmp_path_factory.mktemp("report")
    noise = np.random.default_rng(0).normal(0, 12, (*SHAPE, 3))
    pixels = np.where(np.arange(SHAPE[1])[None, :, None] < 45, 90, 160) + noise
    (folder / NAME).write_bytes(files.png(np.clip(np.rint(pixels), 0, 255).astype("u1")))
    ran = Ran("report", folder / NAME, "-o", folder / "page.html", "--sigma", "12")
    assert ran.code == 0, ran.err
    return folder / "page.html"


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
    _, radial = page_data.spectra(noise, 3.0)
    assert max(abs(level) for frequency, level in radial if frequency > 0.02) < 1
    bars = page_data.histogram(noise, 3.0, whole=False)["bars"]
    middle = bars["heights"][len(bars["heights"]) // 2]
    assert middle == pytest.approx(1 / np.sqrt(2 * np.pi), rel=0.05)
    assert sum(bars["heights"]) * bars["step"] == pytest.approx(1, abs=0.01)


def test_bars_of_whole_numbers_do_not_stand_like_a_comb() -> None:
    noise = np.rint(np.random.default_rng(0).normal(0, 19, (300, 300))).astype("f4")
    heights = np.array(page_data.histogram(noise, 19.0, whole=True)["bars"]["heights"])
    middle = heights[len(heights) // 2 - 10 : len(heights) // 2 + 10]
    assert np.abs(np.diff(middle)).max() < 0.2 * middle.max()


@pytest.mark.parametrize(
    "make",
    [
        lambda: files.png(np.full((20, 20), 7, "u1")),
        lambda: files.png(files.samples("u1", 1, (1, 1))),
        lambda: files.png(files.samples("u2", 4, (5, 9))),
        lambda: files.tiff(files.samples("f4", 1, (30, 3))),
    ],
    ids=["constant", "one pixel", "alpha", "float"],
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


TELL = """<script>
addEventListener("load", () => setTimeout(() => {
    const told = document.createElement("pre");
    told.id = "told";
    told.textContent = JSON.stringify(SCRIPT);
    document.body.append(told);
}, 300));
</script>"""


def browse(page: Path, tmp_path: Path, *more: str, script: str = "") -> str:
    """The page after its scripts, and one of ours, have run."""
    copy = tmp_path / "copy.html"
    copy.write_text(page.read_text().replace("</body>", TELL.replace("SCRIPT", script or "0") + "</body>"))
    profile = tmp_path / "profile"
    assert BROWSER is not None
    ran = subprocess.run(
        [BROWSER, *FLAGS, f"--user-data-dir={profile}", *more, f"file://{copy}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "Uncaught" not in ran.stderr, ran.stderr
    return ran.stdout


@needs_browser
def test_the_page_works_in_a_browser(page: Path, tmp_path: Path) -> None:
    """The slider moves the edge, a click shows another pixel's weights, everything is drawn."""
    script = """(() => {
        const drawn = (id) => {
            const c = document.getElementById(id);
            return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v > 0);
        };
        const slider = document.getElementById('slider'), pair = document.getElementById('pair');
        slider.value = 25; slider.dispatchEvent(new Event('input'));
        const at = pair.style.getPropertyValue('--at');
        const places = document.getElementById('places'), box = places.getBoundingClientRect();
        const before = document.getElementById('weights-caption').textContent;
        places.dispatchEvent(new MouseEvent('click', { clientX: box.left + 2, clientY: box.top + 2 }));
        const after = document.getElementById('weights-caption').textContent;
        const zoom = document.getElementById('zoom');
        zoom.value = '2'; zoom.dispatchEvent(new Event('change'));
        return {
            at, before, after, title: document.title, heading: document.getElementById('title').textContent,
            drawn: ['histogram', 'radial', 'places', 'weights'].map(drawn),
            width: document.getElementById('noisy').getBoundingClientRect().width,
            strip: document.querySelectorAll('#strip img').length,
            broken: [...document.images].filter((i) => !i.naturalWidth).length,
            bold: document.querySelectorAll('b').length,
        };
    })()"""
    shown = browse(page, tmp_path, "--dump-dom", script=script)
    found = re.search(r'<pre id="told">(.*?)</pre>', shown, re.DOTALL)
    assert found, shown[-2000:]
    told = json.loads(html.unescape(found[1]))
    assert told["at"] == "25%"
    assert told["before"] != told["after"]
    assert told["heading"].endswith(NAME)
    assert told["drawn"] == [True] * 4
    assert told["width"] == 2 * SHAPE[1]
    assert told["strip"] == len(page_data.FACTORS)
    assert told["broken"] == 0
    assert told["bold"] == 0


def told_by(page: Path, tmp_path: Path, script: str, *more: str) -> Any:
    """What a script finds in the page."""
    shown = browse(page, tmp_path, "--dump-dom", *more, script=script)
    found = re.search(r'<pre id="told">(.*?)</pre>', shown, re.DOTALL)
    assert found
    return json.loads(html.unescape(found[1]))


PLACES = """(() => {
    const slider = document.getElementById('slider');
    document.getElementById('zoom').value = '4';
    document.getElementById('zoom').dispatchEvent(new Event('change'));
    slider.value = AT; slider.dispatchEvent(new Event('input'));
    const box = (e) => { const b = e.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; };
    const sides = ['before', 'after'].map((name) => document.querySelector('.side.' + name));
    return {
        picture: box(document.getElementById('noisy')), slider: box(slider),
        line: box(document.querySelector('.bar')), says: slider.getAttribute('aria-valuetext'),
        badges: sides.map((side) => box(side.querySelector('span'))),
        overflow: document.documentElement.scrollWidth - innerWidth,
    };
})()"""
THUMB = (10, 132, 198)  # its colour, --accent


@needs_browser
@pytest.mark.parametrize("width", [520, 1280])  # below 500 Chromium without a screen lays out as for 500
@pytest.mark.parametrize("at", [0, 30, 100])
def test_the_thumb_stands_under_the_line_and_each_side_shows_what_its_badge_says(
    page: Path, tmp_path: Path, width: int, at: int
) -> None:
    """At either end there is one picture, whole, under its own badge, and the other's badge is gone."""
    script = PLACES.replace("AT", str(at))
    size = (f"--window-size={width},900", "--hide-scrollbars")
    told = told_by(page, tmp_path, script, *size)
    target = tmp_path / "shot.png"
    browse(page, tmp_path, f"--screenshot={target}", *size, script=script)
    shot = imagecodecs.png_decode(target.read_bytes())[..., :3].astype(int)
    left, top, across, down = (round(v) for v in told["picture"])
    assert (down, across) == (4 * SHAPE[0], 4 * SHAPE[1])
    line = left + across * at / 100
    assert told["line"][0] + told["line"][2] / 2 == pytest.approx(line, abs=0.6)

    row = round(told["slider"][1] + told["slider"][3] / 2)
    columns = np.flatnonzero((np.abs(shot[row] - THUMB) < 12).all(-1))
    assert (columns[0] + columns[-1]) / 2 == pytest.approx(line, abs=1.5)

    data = data_of(page)
    below_the_badges = slice(35, down - 2)
    noisy, clean = (
        picture(data["images"][name]).repeat(4, 0).repeat(4, 1).astype(int) for name in ("noisy", "clean")
    )
    edge = round(across * at / 100)
    expected = np.where(np.arange(across)[:, None] < edge, noisy, clean)
    seen = shot[top : top + down, left : left + across]
    away = np.abs(np.arange(across) - edge) > 5  # the line and its shadow
    assert np.abs(seen - expected)[below_the_badges][:, away].max() <= 2
    for badge, visible in zip(told["badges"], (at > 0, at < 100), strict=True):
        x, y, wide, high = (round(v) for v in badge)
        there = (slice(y - top, y - top + high), slice(x - left, x - left + wide))
        changed = np.abs(seen - expected)[there][:, away[there[1]]].max()
        assert changed > 20 if visible else changed <= 2
    assert told["overflow"] <= 0, "the page is wider than the window"
    assert told["says"] == f"noisy {at} %, denoised {100 - at} %"


@needs_browser
@pytest.mark.parametrize("warnings", [[], ["a <b>&", "another"]])
def test_warnings_stand_in_a_box_at_the_top(page: Path, tmp_path: Path, warnings: list[str]) -> None:
    warned = tmp_path / "warned.html"
    text = json.dumps(warnings).replace("<", "\\u003c")
    warned.write_text(page.read_text().replace('"warnings": []', f'"warnings": {text}'))
    script = """(() => {
        const box = document.getElementById('warnings'), at = box.getBoundingClientRect();
        const below = document.getElementById('pair').getBoundingClientRect();
        return { shown: at.height > 0, above: at.top < below.top,
            texts: [...box.querySelectorAll('li')].map((li) => li.textContent) };
    })()"""
    told = told_by(warned, tmp_path, script)
    assert told == {"shown": bool(warnings), "above": True, "texts": warnings}


@needs_browser
def test_a_screenshot_of_the_page_shows_pictures(page: Path, tmp_path: Path) -> None:
    folder = Path(os.environ.get("NLMEANS_TEST_ARTEFACTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "report-page.png"
    browse(page, tmp_path, f"--screenshot={target}", "--window-size=1200,1800", "--hide-scrollbars")
    shot = imagecodecs.png_decode(target.read_bytes())[..., :3]
    assert shot.shape[:2] == (1800, 1200)
    assert len(np.unique(shot.reshape(-1, 3), axis=0)) > 1000, "an empty page"
