"""What the library warns of: shown by every command, once, and never as Python's raw warning."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nlmeans
from nlmeans import backends

from ..faults import files
from ..faults.streams import Ran

QUICK = ("--search-radius", "1", "--patch-radius", "1")
DOUBT = "two estimates disagree"


@pytest.fixture
def noisy(tmp_path: Path) -> list[Path]:
    """Three small pictures."""
    paths = [tmp_path / f"{n}.png" for n in range(3)]
    for n, path in enumerate(paths):
        path.write_bytes(files.png(np.random.default_rng(n).integers(90, 160, (40, 50)).astype("u1")))
    return paths


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without its compiled part, on a machine without a GPU."""
    monkeypatch.setattr(backends.load("cpu"), "_missing", "No module named 'nlmeans._cpu'")
    monkeypatch.setattr(backends.load("cuda"), "can_run", lambda request: "there is no GPU; buy one")


@pytest.fixture
def doubtful(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that warns of its choice."""
    suggest: Callable[..., Any] = nlmeans.suggest

    def warning(*arguments: Any, **settings: Any) -> Any:
        warnings.warn(DOUBT, stacklevel=2)
        return suggest(*arguments, **settings)

    monkeypatch.setattr(nlmeans, "suggest", warning)


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("more", [(), ("--dry-run",), ("--quiet",), ("--json",)])
def test_a_slow_installation_says_so_once_in_three_lines(noisy: list[Path], more: tuple[str, ...]) -> None:
    ran = Ran("denoise", *noisy, *QUICK, *more)
    assert ran.code == 0
    first, why, remedy = ran.err.splitlines()[:3]
    assert first.startswith("warning: the slow reference backend computes")
    assert why.startswith("  why: its compiled part is missing (No module named 'nlmeans._cpu')")
    assert remedy == "  what to do: install a C compiler, then nlmeans again"
    assert all(len(line) <= 100 for line in (first, why, remedy))
    assert ran.err.count("slow reference backend") == 1
    assert "Warning" not in ran.err


@pytest.mark.usefixtures("slow")
def test_other_commands_say_it_too(noisy: list[Path], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    ran = Ran("report", noisy[0], "-o", page, "--quiet", *QUICK)
    assert len(ran.err.splitlines()) == 3
    assert "slow reference backend" not in page.read_text()
    assert Ran("demo", tmp_path).err.count("slow reference backend") == 1


@pytest.mark.usefixtures("slow")
def test_who_asks_for_the_slow_backend_is_told_nothing(noisy: list[Path]) -> None:
    assert "slow reference" not in Ran("denoise", *noisy, *QUICK, "--backend", "reference").err


def test_a_fast_installation_says_nothing(noisy: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends.load("cpu"), "can_run", lambda request: None)
    assert backends.slow_words() is None
    monkeypatch.setattr(backends.load("cpu"), "can_run", lambda request: "no; nothing")
    monkeypatch.setattr(backends.load("cuda"), "can_run", lambda request: None)
    assert backends.slow_words() is None


@pytest.mark.usefixtures("doubtful")
def test_every_command_shows_what_denoise_shows(noisy: list[Path], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    for arguments in (
        ("denoise", noisy[0]),
        ("denoise", noisy[1], "--dry-run"),
        ("estimate", noisy[0]),
        ("weights", noisy[0], "--at", "3,4"),
        ("attention", noisy[0], "--at", "3,4"),
        ("report", noisy[0], "-o", page, "--quiet"),
    ):
        ran = Ran(*arguments)
        assert ran.code == 0, ran.err
        lines = [line for line in ran.err.splitlines() if DOUBT in line]
        assert lines == [f"warning: {arguments[1]}: {DOUBT}"], arguments[0]
    assert page.read_text().count(DOUBT) == 1
