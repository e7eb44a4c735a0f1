"""The site: pages of docs/ and of the rest of the repository, as they stand there, and the API.

Built by ``sphinx-build -W -c docs/site . build/docs`` from the top of a clone; it needs no network.
"""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

import nlmeans

sys.path.insert(0, str(Path(__file__).parent))
import pictures

project = "nlmeans"
author = "the authors of nlmeans"
project_copyright = "the authors of nlmeans; BSD-3-Clause"
version = release = nlmeans.__version__

root_doc = "docs/index"
include_patterns = [
    "docs/*.md",
    "docs/*.rst",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "kernels/README.md",
    "benchmarks/results/*.md",
]
exclude_patterns = [".*", "build", "dist", "tests", "nlmeans", "cli"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # pages of results begin with deeper titles

autodoc_typehints = "none"  # the docstrings have the types in words
autodoc_mock_imports = [] if find_spec("torch") else ["torch"]
default_role = "py:obj"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"nlmeans {release}"
html_copy_source = False
html_show_sourcelink = False
html_static_path: list[str] = []


def setup(app: Sphinx) -> None:
    """Draw the pictures before the pages are read, and lead from the top of the site to its first page."""
    app.connect("builder-inited", lambda app: pictures.draw(Path(app.srcdir) / "docs" / "generated"))
    app.connect("autodoc-process-docstring", _escape, priority=400)  # before napoleon's, which is at 500
    app.connect("html-page-context", _level, priority=900)  # after furo has made the menu
    app.connect("build-finished", _lead)


def _escape(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Shapes such as (B, C, *grid) hold a star that begins no emphasis."""
    lines[:] = [re.sub(r"\*(?=grid\b|keys\b)", r"\\*", line) for line in lines]


def _level(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Headings of the menu tell screen readers their level."""
    menu = context.get("furo_navigation_tree", "")
    context["furo_navigation_tree"] = menu.replace('role="heading"', 'role="heading" aria-level="2"')


def _lead(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.name == "html":
        to = '<meta http-equiv="refresh" content="0; url=docs/index.html">'
        text = f'<!doctype html><html lang="en">{to}<title>nlmeans</title></html>'
        Path(app.outdir, "index.html").write_text(text, encoding="utf-8")
