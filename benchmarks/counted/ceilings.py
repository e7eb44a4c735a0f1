"""How fast a GPU could be with the kernels at hand: counted in machine code, kept in a file, not measured.

    python -m nlmeans.benchmarks.counted.ceilings  counts again (needs NVRTC and nvdisasm, no GPU; minutes)

A ceiling is what the units of a multiprocessor allow for the instructions of a useful (pixel, shift)
pair; the limit of the exponential alone is what no kernel can pass that weighs every pair by itself.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from functools import cache
from typing import Any

import numpy as np

from nlmeans.backends import cuda_plan
from nlmeans.backends.cuda_plan import Launch, Plan
from nlmeans.backends.cuda_shape import Device, Problem

from .. import RESULTS
from .count_instructions import Count, Gpu, Line, ceilings, line, versions, volumes

KEPT = RESULTS / "cuda_ceilings.json"

#: Shared memory in KiB of a block and of a multiprocessor, by compute capability.
_SHARED = {75: (64, 64), 80: (163, 164), 86: (99, 100), 90: (227, 228), 100: (227, 228), 120: (99, 100)}
_HALF_RATE = (75, 80)  # 64 float32 lanes a multiprocessor; later ones have 128
_UNUSED = re.compile(r"-DWARPS=|-DBLOCKS=|-DINDEX=")  # in another count of registers, not of what is issued


def gpu_of(name: str, capability: int, multiprocessors: int, gigahertz: float) -> Gpu:
    """A GPU by the properties it reports."""
    lanes = 64 if capability in _HALF_RATE else 128
    return Gpu(name, f"sm_{capability}", multiprocessors, gigahertz, fp32=lanes)


def device_of(capability: int, multiprocessors: int = 132) -> Device:
    """What a plan needs to know of a GPU of this kind."""
    block, whole = _SHARED[max(c for c in _SHARED if c <= capability)]
    return Device(multiprocessors, block * 1024, whole * 1024, capability)


def seconds_at_least(plans: list[Plan], gpu: Gpu, problem: Problem) -> float | None:
    """The time the counted instructions of all plans need; None where a kernel was not counted."""
    pairs = _pairs(problem)
    total = 0.0
    for plan in plans:
        counted = _counted(plan.launches[0], gpu, 2 * problem.radius[1] + 1)
        if counted is None:
            return None
        total += pairs / _rate(ceilings(counted, gpu)["lowest"], gpu)
    return total


def exponential_seconds(gpu: Gpu, problem: Problem, passes: int) -> float:
    """The time of one exponential for every pair and pass."""
    return passes * _pairs(problem) / _rate(gpu.mufu, gpu)


def _pairs(problem: Problem) -> int:
    return problem.depth.planes * problem.height * problem.width * problem.shifts


def _rate(pairs_a_clock: float, gpu: Gpu) -> float:
    return pairs_a_clock * gpu.multiprocessors * gpu.gigahertz * 1e9


def _counted(launch: Launch, gpu: Gpu, size_x: int) -> Count | None:
    """What a launch issues, by the kept counts of the nearest older architecture."""
    wanted = int(gpu.architecture.removeprefix("sm_"))
    known = [a for a in {a for a, *_ in _kept()} if a <= wanted]
    if not known:
        return None
    found = _kept().get((max(known), launch.kernel, _key(launch.options)))
    if found is None:
        return None
    return Count(found.kinds(size_x), found.registers, found.spills, launch.shared_bytes, 0.0)


def _key(options: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(o for o in options if not _UNUSED.match(o)))


@cache
def _kept() -> dict[tuple[int, str, tuple[str, ...]], Line]:
    """The counts of the file."""
    if not KEPT.exists():
        return {}
    rows = json.loads(KEPT.read_text(encoding="utf-8"))["rows"]
    return {
        (row["architecture"], row["kernel"], _key(tuple(row["options"].split()))): Line(
            row["once"], tuple(row["loops"]), row["outputs"], row["registers"], row["spills"]
        )
        for row in rows
    }


def described() -> dict[str, Any]:
    """Where the counts come from."""
    found: dict[str, Any] = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    return {name: value for name, value in found.items() if name != "rows"}


# --- calls, as plans -------------------------------------------------------------------------


def problem_of(
    shape: tuple[int, int],
    patch: int = 3,
    search: int = 10,
    channels: int = 1,
    taps: str = "box",
    *,
    corrected: bool,
) -> Problem:
    """One picture; `corrected`: noise correction and the centre rule "max"."""
    weights = np.ones(2 * patch + 1)
    if taps == "gaussian":
        weights = np.exp(-2 * (np.arange(-patch, patch + 1) / max(patch, 1)) ** 2)
    weights /= weights.sum()
    return Problem(
        *shape,
        channels=channels,
        values=channels,
        radius=(search, search),
        taps=(weights, weights),
        bias=8.0 if corrected else 0.0,
        peak=corrected,
    )


def plans_of(problem: Problem, device: Device, *, aggregates: bool) -> list[Plan]:
    """The kernels' part of a call: one pass, or two with patch aggregation."""
    first = cuda_plan.accumulate(replace(problem, values=0) if aggregates else problem, device)
    return [first, cuda_plan.aggregate(problem, device)] if aggregates else [first]


# --- counting --------------------------------------------------------------------------------


def _wanted() -> Iterator[Problem]:
    """Every key of register kernels that the benchmarks come across."""
    for corrected in (False, True):
        for search in (10, 7):  # even and odd: another end of the row
            for patch in (1, 2, 3, 4):
                yield problem_of((2160, 3840), patch, search, corrected=corrected)
            for channels in (2, 3, 4):
                yield problem_of((2160, 3840), 3, search, channels, corrected=corrected)
            yield problem_of((2160, 3840), 3, search, 1, "gaussian", corrected=corrected)
    for _, problem in volumes():
        yield replace(problem, peak=True)


def _rows(capability: int) -> Iterator[dict[str, Any]]:
    done = set()
    for problem in _wanted():
        plans = plans_of(problem, device_of(capability), aggregates=False)
        if problem.peak:
            plans += plans_of(problem, device_of(capability), aggregates=True)
        for plan in plans:
            launch = plan.launches[0]
            key = (launch.kernel, _key(launch.options))
            if key in done or launch.source == "readable.cu":
                continue
            done.add(key)
            counted = line(launch, f"sm_{capability}")
            yield {
                "architecture": capability,
                "kernel": launch.kernel,
                "options": " ".join(launch.options),
                "once": counted.once,
                "loops": list(counted.loops),
                "outputs": counted.outputs,
                "registers": counted.registers,
                "spills": counted.spills,
            }


def main() -> int:
    """Count anew for some architectures and keep what is known of the others."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "capabilities", nargs="*", type=int, default=list(_SHARED), help="such as 90 for sm_90"
    )
    rows: list[dict[str, Any]] = []
    wanted = parser.parse_args().capabilities
    for capability in wanted:
        for row in _rows(capability):
            rows.append(row)
            print(f"sm_{capability} {row['kernel']} {row['options']}", file=sys.stderr, flush=True)
    if KEPT.exists():
        kept = json.loads(KEPT.read_text(encoding="utf-8"))["rows"]
        rows += [row for row in kept if row["architecture"] not in wanted]
    rows.sort(key=lambda row: int(row["architecture"]))
    head = {
        "what": "counted in machine code, not measured: instructions of a thread for one row of shifts",
        "command": "python -m nlmeans.benchmarks.counted.ceilings",
        "date": date.today().isoformat(),
        "versions": versions(),
    }
    lines = ",\n".join("  " + json.dumps(row) for row in rows)
    text = json.dumps(head, indent=1)[:-2] + ',\n "rows": [\n' + lines + "\n ]\n}\n"
    KEPT.write_text(text, encoding="utf-8")
    return 0


def gigapixels(problem: Problem, seconds: float | None) -> float | None:
    """Pixels a second, in 10^9."""
    if seconds is None or not math.isfinite(seconds):
        return None
    return problem.height * problem.width / seconds / 1e9


if __name__ == "__main__":
    sys.exit(main())
