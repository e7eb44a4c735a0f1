"""What notebooks show: the pixels that are given, on one scale, in HTML that stands alone."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import nlmeans

from ..faults.chromium import browsing, needs_browser

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 255, (20, 30), dtype=np.uint8)
COLOUR = RNG.integers(0, 255, (20, 30, 3), dtype=np.uint8)


class Page(HTMLParser):
    """The pictures, texts and open elements of a page."""

    EMPTY = ("img", "input", "br")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.pictures: list[np.ndarray] = []
        self.texts: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in self.EMPTY:
            self.open.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attributes]
        if tag == "img":
            source = dict(attributes)["src"] or ""
            assert source.startswith("data:image/png;base64,")
            with Image.open(BytesIO(base64.b64decode(source.partition(",")[2]))) as image:
                self.pictures.append(np.asarray(image))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.mark.parametrize("picture", [GREY, COLOUR], ids=["grey", "colour"])
def test_both_pictures_are_shown_as_they_are(picture: np.ndarray) -> None:
    page = Page(nlmeans.show(picture, 255 - picture)._repr_html_())
    after, before = page.pictures
    np.testing.assert_array_equal(before, picture)
    np.testing.assert_array_equal(after, 255 - picture)


def test_both_have_one_scale() -> None:
    """Of the picture before: stretched by itself, a weak result would look like a strong one."""
    before = np.linspace(-5, 5, 600).reshape(20, 30)
    after, shown = Page(nlmeans.show(before, before / 2).to_html()).pictures
    assert (shown.min(), shown.max()) == (0, 255)
    assert 60 < after.min() < 66
    assert 190 < after.max() < 195
    assert np.all(Page(nlmeans.show(before * 0, before * 0).to_html()).pictures[0] == 0)


def test_the_piece_of_html_stands_alone() -> None:
    html = nlmeans.show(GREY, GREY)._repr_html_()
    page = Page(html)
    assert not re.search(r"https?:|<script|@import|url\(", html)
    assert ("input", "type", "range") in page.attributes
    assert [value for tag, name, value in page.attributes if (tag, name) == ("img", "alt")] == [
        "after",
        "before",
    ]
    assert any(name == "aria-label" and "before" in value for _, name, value in page.attributes)


def test_words_tell_what_was_removed() -> None:
    before = np.zeros((8, 8), np.float32)
    before[::2] = 2.0
    words = str(nlmeans.show(before, before * 0))
    assert "8 x 8 pixels of float32" in words
    assert "standard deviation 1, mean 1, largest 2" in words


def test_large_pictures_and_volumes_are_shown_in_part() -> None:
    large = np.zeros((900, 20), np.uint8)
    large[450] = 9
    shown = nlmeans.show(large, large)
    page = Page(shown.to_html())
    assert page.pictures[0].shape == (800, 20)
    assert page.pictures[0][400, 0] == 9
    assert "the middle 800 x 20 are shown" in "".join(page.texts)
    volume = np.zeros((5, 6, 7), np.uint8)
    volume[2] = 8
    shown = nlmeans.show(volume, volume)
    assert "plane 2 is shown" in str(shown)
    assert Page(shown.to_html()).pictures[0].max() == 8


def test_other_libraries_and_axes_of_colours() -> None:
    first = np.moveaxis(COLOUR, -1, 0)
    np.testing.assert_array_equal(
        Page(nlmeans.show(first, first, channel_axis=0).to_html()).pictures[0], COLOUR
    )
    image = Image.fromarray(COLOUR)
    np.testing.assert_array_equal(Page(nlmeans.show(image, COLOUR).to_html()).pictures[0], COLOUR)
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(first / np.float32(255)).requires_grad_()
    assert Page(nlmeans.show(tensor, tensor, channel_axis=0).to_html()).pictures[0].shape == COLOUR.shape


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        (GREY, GREY[1:], "one shape"),
        (GREY[0], GREY[0], "a picture or a volume"),
        (np.zeros((4, 4, 7, 2)), np.zeros((4, 4, 7, 2)), None),
        (np.full((4, 4), np.nan), np.zeros((4, 4)), "no finite pixel"),
        (np.array([["a"]]), np.array([["a"]]), "numbers"),
        (None, GREY, "numbers"),
        (np.zeros((0, 4)), np.zeros((0, 4)), "a picture or a volume"),
    ],
)
def test_what_cannot_be_shown_is_refused(before: Any, after: Any, says: str | None) -> None:
    with pytest.raises(nlmeans.NLMeansError, match=says):
        nlmeans.show(before, after)
    with pytest.raises(nlmeans.InvalidValueError, match="channel_axis"):
        nlmeans.show(GREY, GREY, channel_axis=2)


def test_parameters_are_a_table_with_tables_of_their_parts() -> None:
    chosen = nlmeans.suggest(COLOUR, channel_axis=-1, sigma=20.0, color="luminance", passes=2)
    page = Page(chosen._repr_html_())
    text = " ".join(page.texts)
    for name in ("sigma", "20", "patch_radius", "differences", "second", "mixing"):
        assert name in text
    assert "standard deviation of the noise" in text
    assert page.open == []


def test_what_a_result_is_worth_is_said_and_listed() -> None:
    noisy = np.add.outer(np.arange(60.0), np.arange(60.0)) + RNG.normal(0, 9, (60, 60))
    _, info = nlmeans.denoise(noisy, return_info=True)
    text = " ".join(Page(info._repr_html_()).texts)
    assert info.advice in text
    for name in ("averaged", "psnr", "expected PSNR", "parameters", "patch_radius"):
        assert name in text


@needs_browser
def test_the_divider_moves_by_keys_and_mouse(tmp_path: Path) -> None:
    """Before is what is left of it; the label of what is not there goes."""
    html = nlmeans.show(np.zeros((200, 300), np.uint8), np.full((200, 300), 255, np.uint8)).to_html()
    (tmp_path / "show.html").write_text(f'<html lang="en"><title>show</title><main>{html}</main></html>')
    with browsing(tmp_path / "profile") as browser:
        browser.size(500, 400)
        browser.go(f"file://{tmp_path}/show.html")
        browser.until("document.querySelectorAll('.nlmeans-show img')[1]?.complete")
        left, top, width, height = browser.box(".nlmeans-show")
        assert (width, height) == (300, 200)

        def brightness(share: float) -> int:
            shot = np.asarray(Image.open(BytesIO(browser.shot())).convert("L"))
            return int(shot[int(top + height * 0.6), int(left + width * share)])

        assert (brightness(0.4), brightness(0.6)) == (0, 255)
        browser.drag((left + width / 2, top + 100), (left + width * 0.8, top + 100))
        assert (brightness(0.7), brightness(0.9)) == (0, 255)
        browser.key("Home")
        assert (brightness(0.1), brightness(0.9)) == (255, 255)
        assert (
            browser.run("getComputedStyle(document.querySelectorAll('.nlmeans-show span')[0]).display")
            == "none"
        )
        browser.key("End")
        assert (brightness(0.1), brightness(0.9)) == (0, 0)
        for _ in range(10):
            browser.key("ArrowLeft")
        assert (brightness(0.85), brightness(0.95)) == (0, 255)
        axe = pytest.importorskip("axe_core_python")
        browser.run(Path(axe.__file__).with_name("axe.min.js").read_text())
        found = browser.run("axe.run().then((r) => r.violations.map((v) => [v.impact, v.id]))")
        assert [each for each in found if each[0] in ("critical", "serious")] == []
        assert browser.problems == []


def test_names_cannot_become_html() -> None:
    from nlmeans.notebook.tables import table

    html = table("<script>", {"<b>": "<i>", "within": {"&": (1.0, 2.5)}})
    assert "<script>" not in html
    assert "&lt;b&gt;" in html
    assert "1, 2.5" in " ".join(Page(html).texts)
