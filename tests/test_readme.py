"""The README and the pages of docs/: every example runs as printed, every link leads somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = (README, *sorted((ROOT / "docs").glob("*.md")))
LINKED = (*PAGES, *(ROOT / name for name in ("ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md")))
DRAWN = ROOT / "docs" / "generated"
ELSEWHERE = ("pip install", "pytest")  # installing and the tests themselves are not run from within a test


def blocks(page: Path) -> list[tuple[str, str]]:
    """The language and the text of every fenced block, in order."""
    return re.findall(r"^```(\w*)\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def commands(language: str, text: str) -> Iterator[str]:
    """The lines that a reader types into a shell, without what belongs to ELSEWHERE."""
    for line in text.splitlines():
        if language == "console":
            assert line.startswith("$ "), line
        parts = [part for part in line.removeprefix("$ ").split(" && ") if not part.startswith(ELSEWHERE)]
        if parts:
            yield " && ".join(parts)


def run(command: str) -> None:
    """Run a line in a shell that finds this environment's programs, and go where it ends."""
    scripts = sysconfig.get_path("scripts")
    around = os.environ | {"PATH": os.pathsep.join((scripts, os.environ["PATH"]))}
    line = f"{command} && echo && pwd"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, env=around, timeout=300)
    assert done.returncode == 0, command + "\n" + done.stderr
    os.chdir(done.stdout.splitlines()[-1])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, with an empty one around it."""
    clone = tmp_path / "clone"
    clone.mkdir()
    monkeypatch.chdir(clone)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_example_runs_in_order_as_printed(page: Path) -> None:
    if "import torch" in page.read_text("utf-8"):
        pytest.importorskip("torch")
        pytest.importorskip("safetensors")
    if "zarr" in page.read_text("utf-8"):
        pytest.importorskip("zarr")
        pytest.importorskip("distributed")
    if page not in (README, ROOT / "docs" / "index.md"):  # whose first command it is
        run("nlmeans demo")
    names: dict[str, object] = {}
    for language, text in blocks(page):
        if language == "python":
            exec(compile(text, page.name, "exec"), names)
        else:
            assert language in ("sh", "console"), f"a block that no test runs: {text}"
            for command in commands(language, text):
                run(command)
    for made in re.findall(r"-o ([\w.]+\.\w+)|--side-by-side ([\w.]+)", page.read_text("utf-8")):
        assert Path("".join(made)).stat().st_size > 100, made


@pytest.mark.usefixtures("folder")
def test_the_first_command_makes_a_picture_and_a_better_one() -> None:
    language, text = blocks(README)[0]
    assert text.startswith("pip install . && nlmeans demo ")
    for command in commands(language, text):
        run(command)
    original, noisy, denoised = (
        imageio.imread(f"{name}.png").astype(float) for name in ("original", "noisy", "denoised")
    )
    assert np.mean((denoised - original) ** 2) < 0.2 * np.mean((noisy - original) ** 2)


def test_the_readme_is_short_and_measured() -> None:
    text = README.read_text("utf-8")
    assert len(text.splitlines()) <= 150
    assert text.count("not measured") <= 3
    for marker in ("cpu-table", "gpu-table"):
        assert f"<!-- {marker} -->\n" in text
        assert f"<!-- /{marker} -->\n" in text


def anchors(page: Path) -> set[str]:
    """What can stand after # in a link to this page."""
    titles = re.findall(r"^#+ (.*)", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.stem)
def test_links_lead_to_files_and_titles_that_exist(page: Path) -> None:
    prose = re.sub(r"^```.*?^```|^    .*?$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if target.parent == DRAWN:  # when the site is built, see tests/doors/test_site.py
            continue
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"
