"""The kernels under NVIDIA's checker of memory, where that program is installed."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .. import children
from . import correctness

NAME = "compute-sanitizer"
TOOLS = {
    "memcheck": "reads and writes outside of an array or of shared memory",
    "racecheck": "threads of a block that do not wait for one another",
    "initcheck": "reads of global memory that nothing has written",
}
_FAULTS = 9  # its exit code for them
_SUMMARY = re.compile(r"(?:ERROR SUMMARY: (\d+) error)|(?:RACECHECK SUMMARY: (\d+) hazard)")
_SHOWN = 12  # lines of what it found


def program() -> str | None:
    """Where it is: on the PATH, or in a CUDA toolkit that is not."""
    folders = [os.environ.get(name) for name in ("CUDA_HOME", "CUDA_PATH")] + ["/usr/local/cuda"]
    places = [Path(folder, kind) for folder in folders if folder for kind in ("bin", "compute-sanitizer")]
    return shutil.which(NAME) or shutil.which(NAME, path=os.pathsep.join(map(str, places)))


def rows(until: float, tools: Sequence[str] = tuple(TOOLS)) -> Iterator[dict[str, Any]]:
    """One for each of its tools: how many faults, and what it said of the first; or why there is nothing."""
    found = program()
    for number, tool in enumerate(tools):
        row: dict[str, Any] = {"tool": tool, "finds": TOOLS[tool], "calls": len(correctness.FEW)}
        row |= {"faults": None, "says": [], "seconds": None, "reason": None}
        if found is None:
            row["reason"] = f"{NAME} is not installed; it comes with the CUDA toolkit"
            yield row
            continue
        began = time.monotonic()
        share = began + (until - began) / (len(tools) - number)  # one that takes too long costs no other
        try:
            code, told = children.output(command(found, tool), until=share)
        except children.ChildError as error:
            row["reason"] = str(error)
        else:
            row |= read(code, told)
        row["seconds"] = round(time.monotonic() - began, 1)
        yield row


def command(found: str, tool: str) -> list[str]:
    """The few calls, every array an allocation of its own."""
    calls = children.module(correctness.__name__, "--few", "--own-allocations")
    return [found, "--tool", tool, "--error-exitcode", str(_FAULTS), "--print-limit", "20", *calls]


def read(code: int, told: str) -> dict[str, Any]:
    """What it printed: the faults, or why it did not look."""
    summary = _SUMMARY.findall(told)
    marked = [line for line in told.splitlines() if line.startswith("=========")]
    compared = told.count('"ok": true')
    if not summary or code not in (0, _FAULTS):
        last = " ".join(told.split())[-400:]
        return {"reason": f"it ended with code {code}: {last}", "says": marked[:_SHOWN], "right": compared}
    faults = sum(int(number) for pair in summary for number in pair if number)
    return {"faults": faults, "says": marked[:_SHOWN] if faults else [], "right": compared}
