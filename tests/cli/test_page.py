"""The report page in a browser: real hands on it, and what is then on the screen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from nlmeans.cli.views import page_data
from nlmeans.cli.views.page import bmp

from ..faults.chromium import Browser, browsing, needs_browser
from ..faults.page import NAME, SHAPE, page_in
from .test_cli_report import data_of, picture

pytestmark = needs_browser


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page_in(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def one_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def browser(one_browser: Browser, page: Path) -> Iterator[Browser]:
    """The page freshly loaded; at the end nothing may have gone wrong in it."""
    one_browser.problems.clear()
    one_browser.dark(False)
    one_browser.size(1400, 900)
    shown(one_browser, page)
    yield one_browser
    assert one_browser.problems == []


def shown(browser: Browser, page: Path) -> None:
    browser.go("about:blank")
    browser.until("location.href === 'about:blank'")
    browser.go(f"file://{page}")
    browser.until("document.getElementById('weights-caption')?.textContent && $('places').width !== 300")


def at(browser: Browser) -> str:
    return str(browser.run("$('divider').getAttribute('aria-valuenow')"))


def width(browser: Browser) -> float:
    return browser.box("#noisy")[2]


def test_everything_of_the_page_is_drawn(browser: Browser) -> None:
    drawn = """((id) => { const c = $(id);
        return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v > 0); })"""
    for name in ("histogram", "radial", "curve", "places", "weights"):
        assert browser.run(f"{drawn}('{name}')"), name
    assert browser.run("[...document.images].filter((i) => !i.hidden && !i.naturalWidth).length") == 0
    assert browser.run("document.querySelectorAll('#strip img').length") == len(page_data.FACTORS)
    assert browser.run("document.querySelectorAll('b').length") == 0, "a name became part of the page"
    assert browser.text("#title").endswith(NAME)
    assert browser.run("$('controls').hidden"), "there is no program to ask"


@pytest.mark.parametrize("across", [360, 1400])
@pytest.mark.parametrize("end", ["Home", "", "End"])
def test_each_side_shows_what_its_badge_says(browser: Browser, page: Path, across: int, end: str) -> None:
    """D1: at either end there is one picture, whole, under its own badge, and the other's badge is gone."""
    browser.size(across, 900)
    browser.click("#one")
    browser.run("$('stage').focus()")
    for _ in range(6):
        browser.key("+")
    browser.run("$('divider').focus()")
    if end:
        browser.key(end)
    share = {"Home": 0, "": 50, "End": 100}[end]
    assert at(browser) == str(share)
    assert (
        browser.run("$('divider').getAttribute('aria-valuetext')")
        == f"noisy {share} %, denoised {100 - share} %"
    )
    line, stage = browser.box("#divider"), browser.box("#stage")
    left, top, wide, high = browser.box("#noisy")
    start, stop = max(left, stage[0]), min(left + wide, stage[0] + stage[2])
    edge = start + (stop - start) * share / 100
    assert line[0] + line[2] / 2 == pytest.approx(edge, abs=0.6), "the handle is not on the line"

    shot = imagecodecs.png_decode(browser.shot())[..., :3].astype(int)
    data = data_of(page)
    scale = wide / SHAPE[1]
    xs = np.arange(int(start) + 3, int(stop) - 3)
    ys = np.arange(int(max(top, stage[1])) + 45, int(min(top + high, stage[1] + stage[3])) - 3)
    xs = xs[np.abs(xs - edge) > 24]  # the line and its handle
    inside = [((v + 0.5 - o) / scale) for v, o in ((xs, left), (ys, top))]
    steady = [np.abs(v - np.rint(v)) > 1.5 / scale for v in inside]  # away from the borders of pixels
    xs, ys = xs[steady[0]], ys[steady[1]]
    columns, rows = (v[s].astype(int) for v, s in zip(inside, steady, strict=True))
    noisy, clean = (picture(data["images"][n])[np.ix_(rows, columns)].astype(int) for n in ("noisy", "clean"))
    expected = np.where((xs < edge)[None, :, None], noisy, clean)
    assert np.abs(shot[np.ix_(ys, xs)] - expected).max() <= 2

    for badge, visible in (("#left", share > 0), ("#right", share < 100)):
        x, y, w, h = (round(v) for v in browser.box(badge))
        dark = (shot[y + 2 : y + h - 2, x + 2 : x + w - 2].max(-1) < 70).mean()
        assert (dark > 0.3) == visible, badge
    assert browser.run("document.documentElement.scrollWidth - innerWidth") <= 0, "wider than the window"


def test_the_picture_fills_its_room_at_every_width(browser: Browser) -> None:
    """D2, D3: it is enlarged to fit, the panel is beside it where there is room, nothing sticks out."""
    for across in (360, 800, 1400):
        browser.size(across, 900)
        browser.until(f"innerWidth === {across}")
        browser.click("#fit")
        left, _, wide, _ = browser.box("#noisy")
        stage, panel = browser.box("#stage"), browser.box(".panel")
        assert wide == pytest.approx(min(stage[2], stage[3] * SHAPE[1] / SHAPE[0], 8 * SHAPE[1]), abs=1)
        assert left >= stage[0] - 1
        assert (panel[0] > stage[0] + stage[2]) == (across > 1000)
        assert browser.run("document.documentElement.scrollWidth - innerWidth") <= 0
        broken = "[...document.querySelectorAll('th')].filter((t) => t.scrollWidth > t.clientWidth).length"
        assert browser.run(broken) == 0


def test_the_picture_is_taken_in_hand(browser: Browser) -> None:
    """D4: the wheel zooms about its point, dragging moves the picture or the line, keys flip and zoom."""
    left, top, wide, high = browser.box("#stage")
    x, y = left + wide / 3, top + high / 3
    browser.click("#one")
    before = browser.box("#noisy")
    browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=-400)
    browser.until(f"$('noisy').getBoundingClientRect().width > {2 * before[2]}")
    for _ in range(2):
        browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=-400)
    browser.until(f"$('noisy').getBoundingClientRect().width > {20 * before[2]}")
    after = browser.box("#noisy")
    browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=-100)
    browser.until(f"$('noisy').getBoundingClientRect().width > {1.1 * after[2]}")
    zoomed = browser.box("#noisy")
    assert (x - zoomed[0]) / zoomed[2] == pytest.approx((x - after[0]) / after[2], abs=0.01)

    line = browser.box("#divider")
    browser.drag((x, y), (x - 60, y + 40))
    moved = browser.box("#noisy")
    assert [moved[0] - zoomed[0], moved[1] - zoomed[1]] == pytest.approx([-60, 40], abs=1)
    assert browser.box("#divider") == line, "the line stays where it is"
    handle = (line[0] + line[2] / 2, line[1] + line[3] / 2)
    browser.drag(handle, (handle[0] + 100, handle[1]))
    assert browser.box("#divider")[0] == pytest.approx(line[0] + 100, abs=1)
    assert browser.box("#noisy") == moved

    browser.run("document.activeElement.blur()")
    browser.key("f")
    assert at(browser) == "0"
    browser.key("F")
    assert at(browser) == "100"
    browser.run("$('stage').focus()")
    browser.key("0")
    assert width(browser) < zoomed[2]
    browser.key("1")
    assert width(browser) == SHAPE[1]
    browser.key("+")
    assert width(browser) == pytest.approx(1.25 * SHAPE[1], abs=0.5)


def test_two_fingers_zoom(browser: Browser) -> None:
    """D4, on a phone."""
    browser.size(360, 740, fine=2, mobile=True)
    browser.send("Emulation.setTouchEmulationEnabled", enabled=True)
    browser.click("#one")
    left, top, wide, high = browser.box("#stage")
    x, y, before = left + wide / 4, top + high / 2, width(browser)

    def touch(kind: str, *places: float) -> None:
        points = [{"x": place, "y": y, "id": n} for n, place in enumerate(places)]
        browser.send("Input.dispatchTouchEvent", type=kind, touchPoints=points)

    touch("touchStart", x - 20, x + 20)
    for apart in (30, 40, 60):
        touch("touchMove", x - apart, x + apart)
    touch("touchEnd")
    browser.send("Emulation.setTouchEmulationEnabled", enabled=False)
    assert width(browser) == pytest.approx(3 * before, rel=0.02)


def test_other_strengths_stand_right_of_the_line(browser: Browser, page: Path) -> None:
    """D5: each is clicked on, is named, and is seen as large as the picture; so is what was removed."""
    captions = []
    for n in range(len(page_data.FACTORS)):
        browser.click(f"#strip button:nth-child({n + 1})")
        captions.append(browser.text("#right"))
        assert browser.run("document.querySelectorAll('#strip [aria-pressed=true]').length") == 1
        piece = browser.run("document.getElementById('piece')?.src")
        assert piece == (None if captions[-1] == "denoised" else data_of(page)["strip"][n]["image"])
        if piece:
            assert browser.box("#piece") == pytest.approx(browser.box("#clean"), abs=0.5)
    assert captions[2] == "denoised"
    assert [name[-7:] for name in captions[:2]] == ["(0.5 x)", "(0.7 x)"]
    browser.run("document.activeElement.blur()")
    browser.key("r")
    assert browser.text("#right") == "removed"
    assert browser.run("$('clean').src") == data_of(page)["images"]["removed"]
    browser.key("r")
    assert browser.text("#right") == "denoised"


def test_marks_are_reached_by_mouse_and_keys(browser: Browser) -> None:
    first = browser.text("#weights-caption")
    browser.run("$('places').scrollIntoView({block: 'center'})")
    left, top, *_ = browser.box("#places")
    browser.mouse("mousePressed", left + 3, top + 3)
    browser.mouse("mouseReleased", left + 3, top + 3)
    corner = browser.text("#weights-caption")
    assert corner != first
    browser.run("$('places').focus()")
    browser.key("ArrowRight")
    right = browser.text("#weights-caption")
    assert right not in (first, corner)
    browser.key("ArrowLeft")
    assert browser.text("#weights-caption") == corner
    assert "of 1" not in browser.text("#largest")
    assert browser.text("#largest").endswith("%, the largest"), "D7: a scale beside the weights"


@pytest.mark.parametrize("warnings", [[], ["a <b>&", "another"]])
def test_warnings_stand_in_a_box_at_the_top(
    browser: Browser, page: Path, tmp_path: Path, warnings: list[str]
) -> None:
    warned = tmp_path / "warned.html"
    text = json.dumps(warnings).replace("<", "\\u003c")
    warned.write_text(page.read_text().replace('"warnings": []', f'"warnings": {text}'))
    shown(browser, warned)
    box = browser.box("#warnings")
    assert (box[3] > 0) == bool(warnings)
    assert box[1] < browser.box("#stage")[1]
    assert (
        browser.run("[...document.querySelectorAll('#warnings li')].map((li) => li.textContent)") == warnings
    )


def test_the_command_is_copied(browser: Browser, page: Path) -> None:
    """D8."""
    browser.click("#copy")
    browser.until("$('copy').textContent === 'Copied'")
    assert browser.run("getSelection().toString().trim()") == data_of(page)["command"]


def test_dark_is_dark(browser: Browser) -> None:
    """D9."""
    browser.dark()
    browser.until("matchMedia('(prefers-color-scheme: dark)').matches")
    assert imagecodecs.png_decode(browser.shot())[5, 5, :3].max() < 40


def test_a_bmp_holds_what_it_was_given() -> None:
    for shape in ((5, 7), (4, 8, 3), (1, 1, 3), (3, 2, 3)):
        pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        read = imagecodecs.bmp_decode(bmp(pixels))
        assert np.array_equal(read if read.ndim == len(shape) else read[..., 0], pixels)
