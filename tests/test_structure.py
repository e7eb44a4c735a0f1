"""The structure of the package: which rooms an image visits on its way, and what may import what."""

from __future__ import annotations

import ast
import itertools
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
@pytest.mark.parametrize(("backend", "most"), [("cpu", 14), ("auto", 15)])  # "auto" asks the GPU's first
def test_an_image_goes_a_straight_way(aggregate: str, backend: str, most: int) -> None:
    """At most 14 stays, 5 of them returns to a file already left; they were 29 and 18."""
    ramp = np.add.outer(np.arange(40.0), np.arange(40.0))
    image = (ramp + np.random.default_rng(0).normal(0, 3, ramp.shape)).astype(np.float32)
    denoise = nlmeans.denoise
    denoise(image, aggregate=aggregate)  # imports are done
    walk = stays(denoise, image, aggregate=aggregate, backend=backend)
    assert walk[0] == "denoising.py"
    assert len(walk) <= most, walk
    assert len(walk) - len(set(walk)) <= 5, walk


def test_the_walk_sees_returns() -> None:
    """What counts must count: a call that checks twice goes to the same files twice."""
    image = np.random.default_rng(0).normal(size=(20, 20))
    suggest = nlmeans.suggest
    once = stays(suggest, image)
    twice = stays(lambda: [suggest(image), suggest(image)])
    assert len(twice) == 2 * len(once)


# --- imports ---------------------------------------------------------------------------------

#: Rooms from the ground up: each may import from those before it, from its own, and from no other.
FLOORS = (
    {"checkout", "errors", "formula"},
    {"arrays", "parameters"},
    {"levels", "tiling"},
    {"backends"},
    {"operation", "inputs"},
    {"noise"},
    {"choosing"},
    {"methods"},
    {"running"},
    {"denoising"},
    {"attention", "compat"},
    {"learned"},
)
OLD_NAMES = {"similarity", "independence"}  # they lead to new ones, and go with version 0.3


def room(module: str) -> str:
    """The room of a module below nlmeans: its folder, or the file where there is none."""
    return module.split(".")[1] if "." in module else "nlmeans"


def imports(path: Path) -> Iterator[str]:
    """The modules of the package that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("nlmeans"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nlmeans"):
            assert node.module is not None
            if node.module == "nlmeans":
                yield from (f"nlmeans.{alias.name}" for alias in node.names)
            else:
                yield node.module


def arrows() -> set[tuple[str, str]]:
    """(room, room it imports from), for all files of the library."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[0] in {"__init__", "__main__", *OLD_NAMES}:
            continue
        here = room(".".join(("nlmeans", *parts)))
        found |= {(here, room(module)) for module in imports(path)}
    return {(a, b) for a, b in found if a != b and b != "nlmeans"}


def test_imports_between_rooms_go_one_way() -> None:
    height = {name: n for n, floor in enumerate(FLOORS) for name in floor}
    upward = [(a, b) for a, b in arrows() if height[b] >= height[a]]
    assert not upward


def test_every_room_has_its_floor() -> None:
    rooms = set(itertools.chain.from_iterable(arrows()))
    assert rooms == set(itertools.chain.from_iterable(FLOORS))


def test_the_operation_knows_no_filter() -> None:
    assert {b for a, b in arrows() if a == "operation"} <= {"arrays", "errors", "formula", "tiling"}


def test_the_library_knows_no_shell() -> None:
    assert not {b for _, b in arrows()} & {"cli", "benchmarks"}
