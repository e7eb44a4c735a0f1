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
from nlmeans.cli.views import method_noise, page_data

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
    _, radial = method_noise.spectra(noise, 3.0)
    assert max(abs(level) for frequency, level in radial if frequency > 0.02) < 1
    bars = method_noise.histogram(noise, 3.0, whole=False)["bars"]
    middle = bars["heights"][len(bars["heights"]) // 2]
    assert middle == pytest.approx(1 / np.sqrt(2 * np.pi), rel=0.05)
    assert sum(bars["heights"]) * bars["step"] == pytest.approx(1, abs=0.01)


def test_bars_of_whole_numbers_do_not_stand_like_a_comb() -> None:
    noise = np.rint(np.random.default_rng(0).normal(0, 19, (300, 300))).astype("f4")
    heights = np.array(method_noise.histogram(noise, 19.0, whole=True)["bars"]["heights"])
    middle = heights[len(heights) // 2 - 10 : len(heights) // 2 + 10]
    assert np.abs(np.diff(middle)).max() < 0.2 * middle.max()


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
            broken: [...document.images].filter((i) => !i.hidden && !i.naturalWidth).length,
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
    assert told["strip"] == len(page_data.FACTORS) + 1  # and what was removed
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
    away = np.abs(np.arange(across) - edge) > 20  # the line and its handle
    assert np.abs(seen - expected)[below_the_badges][:, away].max() <= 2
    for badge, visible in zip(told["badges"], (at > 0, at < 100), strict=True):
        x, y, wide, high = (round(v) for v in badge)
        there = (slice(y - top, y - top + high), slice(x - left, x - left + wide))
        changed = np.abs(seen - expected)[there][:, away[there[1]]].max()
        assert changed > 20 if visible else changed <= 2
    assert told["overflow"] <= 0, "the page is wider than the window"
    assert told["says"] == f"noisy {at} %, denoised {100 - at} %"


HANDS = """(() => {
    const $ = (id) => document.getElementById(id), pair = $('pair'), stage = $('stage');
    const size = () => $('noisy').getBoundingClientRect().width;
    const at = () => pair.style.getPropertyValue('--at');
    const key = (key, target) => target.dispatchEvent(
        new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));
    const wheel = (more) => stage.dispatchEvent(new WheelEvent('wheel', { cancelable: true, ...more }));
    const pointer = (type, x, y, buttons) => pair.dispatchEvent(
        new PointerEvent(type, { clientX: x, clientY: y, buttons, pointerId: 1 }));
    pair.setPointerCapture = () => {};
    const told = { fit: [size(), innerWidth, innerHeight, data.width] };
    told.scrolls = [wheel({ deltaY: -100 }), size() === told.fit[0]];
    key('f', document.body);
    told.flipped = [at()];
    key('F', document.body);
    told.flipped.push(at());
    pair.focus();
    const box = stage.getBoundingClientRect(), before = size();
    const first = (box.left + 30 - pair.getBoundingClientRect().left) / before;
    wheel({ deltaY: -400, clientX: box.left + 30, clientY: box.top + 20 });
    const still = pair.getBoundingClientRect();
    told.about = [(box.left + 30 - still.left) / still.width, first, size() / before];
    $('zoom').value = '4'; $('zoom').dispatchEvent(new Event('change'));
    stage.style.width = '200px'; stage.style.maxHeight = '150px';
    key('+', pair);
    told.key = size() / data.width;
    $('slider').value = 0; $('slider').dispatchEvent(new Event('input'));
    stage.scrollLeft = stage.scrollTop = 20;
    pointer('pointerdown', box.left + 150, box.top + 90, 1);
    pointer('pointermove', box.left + 110, box.top + 70, 1);
    told.panned = [stage.scrollLeft, stage.scrollTop, at()];
    $('zoom').value = '1'; $('zoom').dispatchEvent(new Event('change'));
    stage.style.width = stage.style.maxHeight = '';
    const small = pair.getBoundingClientRect();
    pointer('pointerdown', small.left + small.width / 4, small.top + 9, 1);
    told.dragged = at();
    const buttons = [...document.querySelectorAll('#strip button')];
    told.shown = buttons.map((button) => {
        button.click();
        return [$('right').textContent, $('piece').hidden, button.getAttribute('aria-pressed'),
            $('clean').src === data.images.removed, $('piece').getBoundingClientRect().width / size()];
    });
    told.overflow = document.documentElement.scrollWidth - innerWidth;
    return told;
})()"""


@needs_browser
@pytest.mark.parametrize("width", [520, 1400])
def test_the_picture_is_taken_in_hand(page: Path, tmp_path: Path, width: int) -> None:
    """It fills its room; F flips; wheel and keys zoom once it is clicked; dragging moves it or the line."""
    told = told_by(page, tmp_path, HANDS, f"--window-size={width},900", "--hide-scrollbars")
    size, across, down, pixels = told["fit"]
    assert size == pytest.approx(min(across - 32, 0.75 * down * SHAPE[1] / SHAPE[0], 8 * pixels), abs=1)
    assert told["scrolls"] == [True, True], "the wheel belongs to the page until the picture is clicked"
    assert told["flipped"] == ["0%", "100%"]
    kept, expected, factor = told["about"]
    assert factor == pytest.approx(2.718, rel=0.01)
    assert kept == pytest.approx(expected, abs=0.02), "the point under the wheel has moved"
    assert told["key"] == pytest.approx(5)
    assert told["panned"] == [60, 40, "0%"]
    assert told["dragged"].startswith("25")
    names = [caption for caption, *_ in told["shown"]]
    assert names[2] == "denoised"
    assert [name[-7:] for name in names[:2]] == ["(0.5 x)", "(0.7 x)"]
    assert names[-1] == "what was removed"
    assert [hidden for _, hidden, *_ in told["shown"]] == [False, False, True, False, False, True]
    assert all(pressed == "true" for _, _, pressed, *_ in told["shown"])
    assert [removed for *_, removed, _ in told["shown"]] == [False] * 5 + [True]
    assert told["shown"][0][-1] == pytest.approx(1)
    assert told["overflow"] <= 0


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


def test_the_verdict_tells_noise_from_detail() -> None:
    rng = np.random.default_rng(0)
    clean = np.where(np.arange(256)[None, :] // 32 % 2 == 1, 200.0, 50.0) + np.zeros((256, 1))
    slope = np.abs(np.arange(256)[None, :] % 32 - 15.5) > 8  # squares beside an edge
    noise = rng.normal(0, 10, clean.shape)
    for removed, words in (
        (noise, "looks like noise"),
        (noise + 60 * slope * rng.choice((-1, 1), clean.shape), "detail went with the noise"),
        (noise * np.where(slope, 0.3, 1), "noise has stayed there"),
        (noise * 0, "Next to nothing was removed"),
    ):
        assert words in method_noise.verdict(clean, removed)
        assert words in method_noise.verdict(np.dstack([clean] * 3), np.dstack([removed] * 3))
    assert method_noise.verdict(clean[:20, :20], noise[:20, :20]) == ""


def test_clipped_values_are_told() -> None:
    assert method_noise.clipped(np.array([0, 1, 255, 9], "u1")) == 0.5
    assert method_noise.clipped(np.array([0.0, 1.0])) == 0
    noise = np.random.default_rng(0).normal(0, 9, (64, 64))
    assert (
        "12 % of the values are clipped"
        in method_noise.histogram(noise, 9, whole=True, clipped=0.12)["caption"]
    )
    assert "clipped" not in method_noise.histogram(noise, 9, whole=True)["caption"]


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
