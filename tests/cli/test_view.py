"""``nlmeans view`` in a browser: a person tunes, saves, cancels, and closes the page."""

from __future__ import annotations

import base64
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from nlmeans.cli.options import FilterOptions
from nlmeans.cli.viewer.wish import Wish
from nlmeans.cli.views.spelling import spelled

import nlmeans

from ..faults import files
from ..faults.chromium import Browser, browsing, needs_browser
from ..faults.streams import Ran

PROGRAM = (sys.executable, "-c", "import sys; from nlmeans.cli import main; sys.exit(main())")
SHAPE = (150, 200)
NAME = 'it\'s a "picture" <b>.png'


def noisy(seed: int, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """Colours that differ little, with noise of 12."""
    light = (np.indices(shape) // 25).sum(axis=0)[..., None] % 2 * 90.0 + 70
    image = light + np.array((15, 0, -15)) + np.random.default_rng(seed).normal(0, 12, (*shape, 3))
    return np.rint(image).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("view")
    (folder / NAME).write_bytes(files.png(noisy(0)))
    (folder / "second.png").write_bytes(files.png(np.ascontiguousarray(noisy(1)[..., 0])))
    (folder / "broken.png").write_bytes((folder / NAME).read_bytes()[:999])
    (folder / "large.png").write_bytes(files.png(noisy(2, (900, 1300))))
    return folder


@pytest.fixture(scope="module")
def one_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


class Viewing:
    """The program and its page."""

    def __init__(self, browser: Browser, folder: Path, *arguments: str) -> None:
        self.browser, self.folder = browser, folder
        self.process = subprocess.Popen(
            [*PROGRAM, "view", "--no-browser", *arguments],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        browser.size(1400, 900)
        browser.problems.clear()
        browser.go(self.address)
        browser.until("document.body?.dataset.shown")

    def after(self, act: Any) -> None:
        """Do something, and wait until another piece is on the screen."""
        idle = "!$('stage').hasAttribute('aria-busy')"
        self.browser.until(idle)
        before = self.browser.run("document.body.dataset.shown")
        act()
        self.browser.until(f"document.body.dataset.shown !== '{before}' && {idle}")

    def says(self, words: str) -> None:
        self.browser.until(f"$('status').textContent.includes({json.dumps(words)})")

    def pixels(self, side: str) -> np.ndarray:
        """Of the piece on the screen, as the page holds them."""
        found = self.browser.run(
            f"""(async () => {{
            const image = document.querySelector('#{side}-layer img:last-child');
            const c = document.createElement('canvas');
            await image.decode();
            c.width = image.naturalWidth; c.height = image.naturalHeight;
            c.getContext('2d').drawImage(image, 0, 0);
            return c.toDataURL();
        }})()"""
        )
        png = base64.b64decode(found.removeprefix("data:image/png;base64,"))
        return np.asarray(imagecodecs.png_decode(png))[..., :3]

    def command(self) -> list[str]:
        return shlex.split(self.browser.text("#again"))


@pytest.fixture
def viewing(one_browser: Browser, folder: Path, request: pytest.FixtureRequest) -> Iterator[Viewing]:
    viewing = Viewing(one_browser, folder, *getattr(request, "param", (NAME, "second.png")))
    try:
        yield viewing
        assert one_browser.problems == []
    finally:
        one_browser.go("about:blank")  # a page whose program is gone would complain into the next test
        one_browser.until("location.href === 'about:blank'")
        viewing.process.kill()
        viewing.process.wait()
        assert viewing.process.stdout is not None
        viewing.process.stdout.close()


def again(folder: Path, command: list[str], *more: str) -> np.ndarray:
    """What the command line on the page makes."""
    assert command[:2] == ["nlmeans", "denoise"]
    target = folder / "again.png"
    ran = Ran("denoise", *command[2:-1], folder / command[-1], "-o", target, "--overwrite", *more)
    assert ran.code == 0, ran.err
    return np.asarray(files.decoded(target))


@needs_browser
def test_what_is_seen_is_what_the_command_makes(viewing: Viewing, folder: Path) -> None:
    """With every control: the piece on the screen, the command line beside it, and the library agree."""
    browser = viewing.browser
    assert np.array_equal(viewing.pixels("before"), noisy(0))
    assert viewing.command() == ["nlmeans", "denoise", NAME]
    assert np.abs(viewing.pixels("after").astype(int) - again(folder, viewing.command())).max() <= 1
    viewing.after(lambda: browser.set("#strength", 1.5))
    viewing.after(lambda: browser.set("#differences", 0.5))
    viewing.after(lambda: browser.set("#blend", 0.25))
    viewing.after(lambda: browser.set("#sigma", 11))
    expected = ["--strength", "1.5,0.5", "--blend", "0.25", "--sigma", "11"]
    assert viewing.command() == ["nlmeans", "denoise", *expected, NAME]
    seen = viewing.pixels("after").astype(int)
    by_library = nlmeans.denoise(noisy(0), channel_axis=-1, sigma=11.0, strength=(1.5, 0.5), blend=0.25)
    assert np.abs(seen - by_library).max() <= 1
    assert np.abs(seen - again(folder, viewing.command())).max() <= 1
    viewing.after(lambda: browser.set("#method", "nlridge"))
    assert np.abs(viewing.pixels("after").astype(int) - again(folder, viewing.command())).max() <= 1
    viewing.after(lambda: browser.click("#restore"))
    assert viewing.command() == ["nlmeans", "denoise", NAME]


@needs_browser
def test_save_writes_as_the_command_line_does_and_nothing_else(viewing: Viewing, folder: Path) -> None:
    before = set(folder.iterdir())
    viewing.after(lambda: viewing.browser.set("#strength", 0.7))
    target = folder / NAME.replace(".png", ".denoised.png")
    viewing.browser.click("#save")
    viewing.says("Saved as")
    assert set(folder.iterdir()) - before == {target}
    assert np.array_equal(files.decoded(target), again(folder, viewing.command()))
    written = target.read_bytes()
    viewing.after(lambda: viewing.browser.set("#strength", 2))
    viewing.browser.click("#save")
    viewing.says("exists")
    assert viewing.browser.run("$('status').classList.contains('bad')")
    assert target.read_bytes() == written
    target.unlink()


@needs_browser
def test_another_picture_is_chosen(viewing: Viewing) -> None:
    browser = viewing.browser
    assert browser.run("[...$('picture').options].map((o) => o.text)") == [NAME, "second.png"]
    browser.set("#picture", "1")
    browser.until("$('title').textContent === 'second.png' && $('differences-control').hidden")
    browser.until("$('again').textContent === 'nlmeans denoise second.png'")
    assert np.array_equal(viewing.pixels("before")[..., 0], noisy(1)[..., 0])
    viewing.after(lambda: browser.set("#strength", 1.5))
    assert viewing.command() == ["nlmeans", "denoise", "--strength", "1.5", "second.png"]


@needs_browser
@pytest.mark.parametrize("viewing", [(NAME, "broken.png", "--strength", "4,0.5")], indirect=True)
def test_a_picture_that_cannot_be_read_is_told_and_nothing_of_another_is_shown(
    viewing: Viewing,
) -> None:
    browser = viewing.browser
    assert browser.text("#strength-value") == "4.00", "beyond what the slider usually has"
    assert viewing.command()[2:4] == ["--strength", "4,0.5"]
    browser.set("#picture", "1")
    viewing.says("the file ends before the picture does")
    assert browser.text("#title") == "broken.png"
    assert browser.run("document.querySelectorAll('.layer img').length") == 0
    assert browser.run("$('save').disabled")
    assert browser.text("#again") == ""
    viewing.after(lambda: browser.set("#picture", "0"))
    assert browser.text("#title") == NAME


@needs_browser
def test_what_was_removed_and_the_weights_of_any_pixel_are_shown(viewing: Viewing) -> None:
    browser = viewing.browser
    browser.until("$('verdict').textContent && $('known').children.length === 3")
    first = browser.text("#known")
    assert "PSNR" in first
    assert "(of the whole picture)" in first
    viewing.after(lambda: browser.set("#strength", 3))
    browser.until(f"$('known').textContent !== {json.dumps(first)}")
    viewing.after(lambda: browser.set("#strength", 1))
    browser.until(f"$('known').textContent === {json.dumps(first)}")
    browser.until("$('weights-caption').textContent.startsWith('Pixel (100, 75)')")
    for _ in range(5):  # a key that comes while the picture of places is drawn anew is lost
        browser.run("$('places').focus()")
        browser.key("ArrowRight")
        if browser.comes("/^Pixel .10[1-5], 75/.test($('weights-caption').textContent)", 5.0):
            break
    browser.until("/^Pixel .10[1-5], 75/.test($('weights-caption').textContent)")
    viewing.after(lambda: browser.click("#show-removed"))
    assert browser.text("#right") == "removed"
    removed = viewing.pixels("after").astype(float)
    assert abs(removed.mean() - 127.5) < 3
    assert removed.std() > 20


@needs_browser
@pytest.mark.parametrize("viewing", [("large.png",)], indirect=True)
def test_of_a_large_picture_a_piece_is_seen_first_and_all_of_it_when_asked_for(
    viewing: Viewing, folder: Path
) -> None:
    browser = viewing.browser
    assert browser.text("#percent") == "100 %", "pixel for pixel"
    left, top, width, height = browser.run(
        "(() => { const s = document.querySelector('#after-layer img:last-child').style;"
        "return [s.left, s.top, s.width, s.height].map(parseFloat); })()"
    )
    assert width * height < 1_000_001
    seen = viewing.pixels("after").astype(int)
    target = folder / "large.denoised.png"
    browser.click("#whole")
    browser.until("!$('work').hidden")
    viewing.says("The whole picture is denoised")
    assert not target.exists()
    viewing.after(lambda: browser.click("#fit"))
    assert browser.run("document.querySelectorAll('#after-layer img').length") == 2
    browser.click("#save")
    viewing.says("Saved as")
    whole = np.asarray(files.decoded(target)).astype(int)
    target.unlink()
    part = whole[int(top) : int(top + height), int(left) : int(left + width)]
    assert np.abs(seen - part).max() <= 1

    viewing.after(lambda: browser.set("#method", "nlridge"))
    browser.click("#save")
    browser.until("!$('work').hidden && $('progress').value > 0")
    browser.click("#cancel")
    viewing.says("Cancelled")
    assert not target.exists()
    assert not [p for p in folder.iterdir() if p.name.startswith(".")]


@needs_browser
def test_it_ends_when_the_page_is_closed_and_not_when_it_is_loaded_anew(viewing: Viewing) -> None:
    browser = viewing.browser
    browser.send("Page.reload")
    browser.until("document.body?.dataset.shown")
    assert viewing.process.poll() is None
    browser.go("about:blank")
    assert viewing.process.wait(15) == 0


@needs_browser
@pytest.mark.parametrize("name", ["nlmeans", "report"])
@pytest.mark.parametrize(("width", "dark"), [(360, False), (1400, True)])
def test_no_serious_finding_of_axe(
    viewing: Viewing, folder: Path, tmp_path: Path, name: str, width: int, dark: bool
) -> None:
    """Names for screen readers, contrast, order: by axe-core, of which no finding is critical or serious."""
    axe = pytest.importorskip("axe_core_python")
    browser = viewing.browser
    if name == "report":
        ran = Ran("report", folder / "second.png", "-o", tmp_path / "page.html")
        assert ran.code == 0
        browser.go(f"file://{tmp_path}/page.html")
        browser.until("document.getElementById('weights-caption')?.textContent")
    browser.size(width, 900)
    browser.dark(dark)
    browser.until("!$('weights-section').hidden")
    browser.run(Path(axe.__file__).with_name("axe.min.js").read_text())
    found = browser.run(
        "axe.run().then((r) => r.violations.map((v) => [v.impact, v.id, v.nodes.map((n) => n.html)]))"
    )
    browser.dark(False)
    assert [each for each in found if each[0] in ("critical", "serious")] == []


# --- without a browser -------------------------------------------------------------------------


@pytest.mark.parametrize("color", ["luminance", "joint", "separate"])
@pytest.mark.parametrize("method", ["nlmeans", "nlridge"])
def test_strengths_on_the_page_are_those_of_the_library(method: str, color: str) -> None:
    settings: Any = {"method": method, "color": color, "channel_axis": -1}
    for sigma in ({}, {"sigma": 9.0}):
        settings |= sigma
        check_strengths(method, settings)


def check_strengths(method: str, settings: Any) -> None:
    base = nlmeans.suggest(noisy(0), **settings)
    for wish in (Wish(method, 1.3, 0.4, 0.2), Wish(method, 0.8, 0.8), Wish(method, 0.0, 1.0)):
        found = nlmeans.suggest(noisy(0), **settings, strength=wish.factors, blend=wish.blend)
        assert wish.applied(base).to_dict() == found.to_dict()


def test_an_unequal_pair_is_not_lost_where_strength_is_one() -> None:
    assert Wish(strength=1.0, differences=2.0).factors == (1.0, 2.0)
    assert Wish(strength=2.0, differences=2.0).factors == 2.0


def test_the_command_line_is_quoted_and_has_what_was_given() -> None:
    options = FilterOptions.of(
        {
            "sigma": ((4.0, True), (0.1, False)),
            "patch_radius": (1, 2, 2),
            "k": 1 / 3,
            "nan": "raise",
            "mask": "a b.png",
            "channel_axis": -1,
            "convert": True,
            "strength": (1.0, 0.35),
            "noise": {"kind": "poisson-gaussian", "gain": 1.5, "sigma": 3.0},
        }
    )
    words = shlex.split(
        spelled("-x '$(id)'.png", options, {"output": "out dir/{stem}{ext}", "overwrite": False})
    )
    assert words[:2] == ["nlmeans", "denoise"]
    assert words[-2:] == ["--", "-x '$(id)'.png"]
    told = dict(pairwise(words))
    assert told["--sigma"] == "4%,0.1"
    assert told["--patch-radius"] == "1,2,2"
    assert float(told["--k"]) == 1 / 3
    assert told["--mask"] == "a b.png"
    assert told["--channel-axis"] == "-1"
    assert told["--strength"] == "1,0.35"
    assert told["--noise"] == "poisson-gaussian:gain=1.5,sigma=3.0"
    assert told["--output"] == "out dir/{stem}{ext}"
    assert "--convert" in words
    assert "--nan" not in words
    assert "--overwrite" not in words
