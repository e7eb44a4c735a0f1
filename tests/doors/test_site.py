"""The site of docs/: built without a warning, no link astray, nothing from outside."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from PIL import Image

import nlmeans

from ..faults.chromium import browsing, needs_browser

ROOT = Path(__file__).parent.parent.parent
ASKS = {"img": "src", "script": "src", "link": "href", "source": "src", "iframe": "src"}


class Page(HTMLParser):
    """What a page asks for, where it leads, and what can be led to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.asks: list[str] = []
        self.leads: list[str] = []
        self.names: set[str] = set()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.names.update(given[name] or "" for name in ("id", "name") if name in given)
        if (where := given.get(ASKS.get(tag, ""))) is not None:
            self.asks.append(where)
        if tag == "a" and (where := given.get("href")) is not None:
            self.leads.append(where)


@cache
def page(path: Path) -> Page:
    return Page(path)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as CI builds it: a warning is an error."""
    for name in ("sphinx", "furo", "myst_parser"):
        pytest.importorskip(name)
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-P", "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-d"]
    done = subprocess.run(
        [*command, str(out / "trees"), "-c", str(ROOT / "docs" / "site"), str(ROOT), str(out / "html")],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return out / "html"


def test_every_link_within_the_site_leads_somewhere(site: Path) -> None:
    seen = 0
    for path in site.rglob("*.html"):
        for where in page(path).leads + page(path).asks:
            if re.match(r"[a-z]+:", where):
                continue
            file, _, name = unquote(where.partition("?")[0]).partition("#")
            target = (path.parent / file).resolve() if file else path
            assert target.is_file(), f"{path.relative_to(site)}: {where}"
            if name and target.suffix == ".html":
                assert name in page(target).names, f"{path.relative_to(site)}: {where}"
            seen += 1
    assert seen > 500


def test_nothing_is_asked_for_from_outside(site: Path) -> None:
    for path in site.rglob("*.html"):
        assert [where for where in page(path).asks if re.match(r"(https?:)?//", where)] == []
    for path in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", path.read_text("utf-8")), path


@needs_browser
def test_no_serious_finding_of_axe(site: Path, tmp_path: Path) -> None:
    """Names for screen readers, contrast, order: on a page of each kind, also as wide as a phone."""
    axe = pytest.importorskip("axe_core_python")
    script = Path(axe.__file__).with_name("axe.min.js").read_text()
    with browsing(tmp_path) as browser:
        for name in ("index", "noise", "reference"):
            browser.go((site / "docs" / f"{name}.html").as_uri())
            browser.until("document.readyState == 'complete'")
            browser.run(script)
            for width in (390, 1300):
                browser.size(width, 900)
                found = browser.run(
                    "axe.run().then((r) => r.violations.map((v) => [v.impact, v.id, v.nodes[0].html]))"
                )
                assert [each for each in found if each[0] in ("critical", "serious")] == [], name


def test_the_first_page_is_where_it_is_looked_for(site: Path) -> None:
    assert "url=docs/index.html" in (site / "index.html").read_text("utf-8")


def test_the_gallery_has_pictures_that_show_something(site: Path) -> None:
    names = set(re.findall(r"generated/(\w+\.png)", (ROOT / "docs" / "gallery.md").read_text("utf-8")))
    drawn = {path.name for path in (ROOT / "docs" / "generated").glob("*.png")}
    assert names == drawn
    assert len(names) >= 12
    for name in names:
        with Image.open(ROOT / "docs" / "generated" / name) as image:
            low, high = image.convert("L").getextrema()
            assert image.width >= 500
            assert high - low > 100


def test_every_page_of_docs_is_in_the_menu(site: Path) -> None:
    index = page(site / "docs" / "index.html").leads
    for source in (ROOT / "docs").glob("*.md"):
        assert source.stem == "index" or f"{source.stem}.html" in index, source.name


def test_the_api_has_every_public_name(site: Path) -> None:
    names = page(site / "docs" / "reference.html").names
    missing = [n for n in nlmeans.__all__ if n != "__version__" and f"nlmeans.{n}" not in names]
    assert missing == []
