"""The structure of the package: which rooms an image visits on its way, and what may import what."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import nlmeans
from nlmeans import backends

PACKAGE = Path(nlmeans.__file__).parent
AVAILABLE = {name for name, reason in backends.describe() if reason is None}

# --- the way of an image ---------------------------------------------------------------------

#: What every room speaks: arrays and checked values, the formulas, data without behaviour of its own.
LANGUAGE = {
    "arrays.py",
    "backends/contract.py",
    "errors.py",
    "formula.py",
    "levels.py",
    "noise/spectrum.py",
    "noise/strength.py",
    "parameters.py",
}


def place(frame: FrameType | None) -> str | None:
    """The file of the package that a frame is in; for a frame of another library, of what called it."""
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(PACKAGE):
            return path.relative_to(PACKAGE).as_posix()
        frame = frame.f_back
    return None


def stays(call: Any, *arguments: Any, **options: Any) -> list[str]:
    """The files that a call goes to, in order: it stays in one until a call leads to another."""
    walk: list[str] = []

    def profile(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and Path(frame.f_code.co_filename).is_relative_to(PACKAGE):
            here = place(frame)
            assert here is not None
            entered = here != place(frame.f_back) and here not in LANGUAGE
            if entered and (not walk or walk[-1] != here):
                walk.append(here)

    sys.setprofile(profile)
    try:
        call(*arguments, **options)
    finally:
        sys.setprofile(None)
    return walk


@pytest.mark.skipif("cpu" not in AVAILABLE, reason="the extension is not built")
@pytest.mark.parametrize("aggregate", ["patch", "pixel"])
@pytest.mark.parametrize(("backend", "most"), [("cpu", 28), ("auto", 29)])  # "auto" asks the GPU's first
def test_an_image_goes_a_straight_way(aggregate: str, backend: str, most: int) -> None:
    """At most 28 stays, 8 of them returns to a file already left; they were 29 and 18.

    Two of them ask whether pixels are copies of others.  Of the 28, `choosing` are five (given, channels,
    table) and `methods` two, each entered once.
    """
    ramp = np.add.outer(np.arange(40.0), np.arange(40.0))
    image = (ramp + np.random.default_rng(0).normal(0, 3, ramp.shape)).astype(np.float32)
    denoise = nlmeans.denoise
    options = {"aggregate": aggregate, "passes": 1}  # the second pass of two goes through the method again
    denoise(image, **options)  # imports are done
    walk = stays(denoise, image, backend=backend, **options)
    assert walk[0] == "denoising.py"
    assert len(walk) <= most, walk
    assert len(walk) - len(set(walk)) <= 8, walk


def test_the_walk_sees_returns() -> None:
    """What counts must count: a call that checks twice goes to the same files twice."""
    image = np.random.default_rng(0).normal(size=(20, 20))
    suggest = nlmeans.suggest
    once = stays(suggest, image)
    twice = stays(lambda: [suggest(image), suggest(image)])
    assert len(twice) == 2 * len(once)


# --- imports ---------------------------------------------------------------------------------

#: Of each package its rooms from the ground up: a room is a folder, or a file where there is none.  Each
#: may import from the floors below, from its own room, and from no other.
FLOORS: dict[str, tuple[set[str], ...]] = {
    "nlmeans": (
        {"checkout", "errors", "formula"},
        {"noise_models", "notebook"},
        {"arrays", "parameters"},
        {"levels", "tiling", "carriers"},
        {"backends"},
        {"operation", "inputs", "sampling", "network"},
        {"noise"},
        {"choosing"},
        {"methods"},
        {"running"},
        {"chunked"},
        {"judging"},
        {"denoising"},
        {"attention", "compat", "video"},
        {"learned", "napari_plugin"},
    ),
    "nlmeans.cli": (
        {"status", "environment"},
        {"formats"},
        {"options", "progress", "ssim"},
        {"outcome", "companions"},
        {"job"},
        {"views"},
        {"files", "preview", "slow"},
        {"film"},
        {"stores"},
        {"batch"},
        {"viewer"},
        {"commands"},
        {"program"},
        {"__main__"},
    ),
    "nlmeans.benchmarks": (
        {"scripts"},
        {"browser", "counted", "problems", "machine", "chart", "children", "needs"},
        {"device"},
        {"ours"},
        {"race"},
        {"studies"},
        {"report"},
        {"commands"},
        {"__main__"},
    ),
}
OLD_NAMES = {"nlmeans.similarity", "nlmeans.independence"}  # they lead to new ones, and go with version 0.3
#: Arrows that are there for a reason: a program that its own command prints the completion of.
KNOWN_BACK = {("nlmeans.cli", "commands", "program")}
MOST_FILES = 13  # of a room, besides its __init__


def modules(package: str) -> Iterator[tuple[str, Path]]:
    """The modules of a package by their full names; of nlmeans without the packages within it."""
    folder = Path(importlib.import_module(package).__file__ or "").parent
    for path in folder.rglob("*.py"):
        parts = path.relative_to(folder).with_suffix("").parts
        name = ".".join((package, *parts)).removesuffix(".__init__")
        others = ("cli", "kernels", "benchmarks", "results")
        if name not in (package, "nlmeans.__main__", *OLD_NAMES) and parts[0] not in others:
            yield name, path


def imports(name: str, path: Path) -> Iterator[str]:
    """The modules that a file imports, wherever in it, by their full names."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1])
            origin = ".".join(filter(None, (above if node.level else "", node.module or "")))
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def arrows(package: str) -> set[tuple[str, str]]:
    """(room, room it imports from) within a package."""
    rooms = {room for floor in FLOORS[package] for room in floor}
    found = set()
    for name, path in modules(package):
        here = name.removeprefix(f"{package}.").split(".")[0]
        for imported in imports(name, path):
            if imported.startswith(f"{package}."):
                there = imported.removeprefix(f"{package}.").split(".")[0]
                if there in rooms | {here} and there != here:
                    found.add((here, there))
    return found


@pytest.mark.parametrize("package", FLOORS)
def test_imports_between_rooms_go_one_way(package: str) -> None:
    height = {name: n for n, floor in enumerate(FLOORS[package]) for name in floor}
    upward = [(a, b) for a, b in arrows(package) if height[b] >= height[a]]
    assert {(package, a, b) for a, b in upward} <= KNOWN_BACK


@pytest.mark.parametrize("package", FLOORS)
def test_every_room_has_its_floor_and_few_files(package: str) -> None:
    files: dict[str, int] = {}
    for name, path in modules(package):
        parts = name.removeprefix(f"{package}.").split(".")
        folder = path.parent.relative_to(Path(importlib.import_module(package).__file__ or "").parent)
        files[folder.as_posix()] = files.get(folder.as_posix(), 0) + (path.name != "__init__.py")
        assert any(parts[0] in floor for floor in FLOORS[package]), name
    assert {folder: n for folder, n in files.items() if n > MOST_FILES} == {}


def test_the_operation_knows_no_filter() -> None:
    below = {b for a, b in arrows("nlmeans") if a == "operation"}
    assert below == {"arrays", "errors", "formula", "tiling"}


def test_the_library_knows_no_shell() -> None:
    imported = {i for name, path in modules("nlmeans") for i in imports(name, path)}
    assert not [i for i in imported if i.startswith(("nlmeans.cli", "nlmeans.benchmarks", "click"))]
