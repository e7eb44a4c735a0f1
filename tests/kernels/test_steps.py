"""The table in kernels/README.md, which tells what function does which step, held against the sources."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CUDA = ROOT / "kernels" / "cuda"
COLUMNS = {
    "NumPy": [ROOT / "nlmeans" / "backends" / "reference.py", ROOT / "nlmeans" / "formula.py"],
    "C": sorted((ROOT / "kernels" / "cpu").glob("*.h")),
    "CUDA, plain": [CUDA / name for name in ("readable.cu", "window.cuh")],
    "CUDA, in registers": [CUDA / n for n in ("accumulate.cu", "aggregate.cu", "strip.cuh", "window.cuh")]
    + [CUDA / "readable.cu"],  # for the pixel itself
}


GROUPS = {
    "NumPy": [ROOT / "nlmeans" / "backends" / "groups" / name for name in ("reference.py", "cpu.py")],
    "C": [
        *COLUMNS["C"],
        *(ROOT / "nlmeans" / "backends" / "groups" / name for name in ("__init__.py", "cpu.py")),
    ],
}


def rows(first="step"):
    text = (ROOT / "kernels" / "README.md").read_text(encoding="utf-8")
    lines = text[text.index(f"| {first} |") :].partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_table_has_a_cell_for_every_implementation():
    assert len(rows()) >= 12
    assert {len(row) for row in rows()} == {1 + len(COLUMNS)}


@pytest.mark.parametrize(("first", "columns"), [("step", COLUMNS), ("stage", GROUPS)])
@pytest.mark.parametrize("column", COLUMNS)
def test_every_function_of_the_table_is_there(column, first, columns):
    if column not in columns:
        return
    files = {path.name: path.read_text(encoding="utf-8") for path in columns[column]}
    files |= {f"{path.parent.name}/{path.name}": "" for path in columns[column]}
    number = 1 + list(columns).index(column)
    for step, cell in ((row[0], row[number]) for row in rows(first)):
        for name in re.findall(r"`([^`]+)`", cell):
            there = name in files or any(re.search(rf"\b{name}\b", text) for text in files.values())
            assert there, f"{step}: no {name} in {', '.join(files)}"
