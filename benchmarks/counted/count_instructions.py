"""Counts what the CUDA kernels issue for each useful pair, in machine code: nothing here runs on a GPU.

    python -m nlmeans.benchmarks.counted.count_instructions [--gpu NAME] [--output FILE]

NVRTC compiles a plan's kernel (``nvidia-cuda-nvrtc``), nvdisasm takes it apart
(``nvidia-cuda-nvdisasm``), and the loops over shifts are weighed with their trip counts.  A *useful
pair* is one (pixel, shift) that ends in the result: the lanes that only supply their neighbours are in
the count.  The rates are ceilings that the counts allow, not measurements.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from nlmeans.backends import cuda_plan
from nlmeans.backends.cuda_plan import Launch
from nlmeans.backends.cuda_shape import Depth, Device, Problem

from ..scripts import write_json
from .machine_code import GUARD, Code, Loop, compile_kernel, disassemble, loops

# --- counting --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Count:
    """Instructions of each kind for one useful pair, lanes without output included."""

    kinds: dict[str, float]
    registers: int
    spills: int  # instructions
    shared_bytes: int
    loading: float  # estimated slots for the tiles

    @property
    def slots(self) -> float:
        return sum(self.kinds.values())


@dataclass(frozen=True)
class Line:
    """What a thread issues for one row of shifts: once, and for every further turn of each inner loop."""

    once: dict[str, int]
    loops: tuple[dict[str, int], ...]
    outputs: float  # of a thread, lanes that only supply their neighbours taken into account
    registers: int
    spills: int  # instructions

    def kinds(self, size_x: int) -> dict[str, float]:
        """Instructions of each kind for one useful pair, in a row of so many shifts."""
        # Groups of 4 and what is left, or halves of groups and one single shift.
        turns = [size_x // 4] if len(self.loops) == 1 else [(size_x + 2) // 4, size_x // 4, 1]
        issued = Counter(self.once)
        for loop, often in zip(self.loops, turns, strict=True):
            issued.update({kind: number * (often - 1) for kind, number in loop.items()})
        return {kind: issued[kind] / (self.outputs * size_x) for kind in sorted(issued)}


def line(launch: Launch, architecture: str) -> Line:
    """The row of shifts of a register kernel, in a tile where every vote is 1."""
    code = disassemble(compile_kernel(launch.source, launch.options, architecture), launch.kernel)
    defined = dict(o[2:].split("=") for o in launch.options)
    reach = int(defined["PATCH_X"]) * (1 if launch.kernel == "accumulate" else 2)
    useful = (32 - 2 * -(-reach // 4)) / 32
    whole, inner = _line_of_shifts(code)

    def kinds(loop: Loop) -> dict[str, int]:
        return dict(Counter(_kind(code.instructions[n]) for n in loop.body))

    outputs = int(defined["ROWS"]) * 4 * useful
    return Line(kinds(whole), tuple(kinds(loop) for loop in inner), outputs, code.registers, code.spills)


def count(launch: Launch, architecture: str) -> Count:
    """What a launch of a register kernel issues for each useful pair where every vote is 1."""
    counted = line(launch, architecture)
    window = next(a for a in launch.arguments if isinstance(a, np.ndarray))[0]
    warps = int(dict(o[2:].split("=") for o in launch.options)["WARPS"])
    size_x = 2 * int(window["radius_x"]) + 1
    words = launch.shared_bytes / 4 / (32 * warps)
    chunk = counted.outputs * size_x * int(window["chunk_y"])
    return Count(
        counted.kinds(size_x),
        counted.registers,
        counted.spills,
        launch.shared_bytes,
        _SLOTS_A_WORD * words / chunk,
    )


_SLOTS_A_WORD = 12  # of a tile: index, border rule, load, scale, store


def _kind(instruction: str) -> str:
    """What a GPU's units see in an instruction."""
    words = GUARD.sub("", instruction).split(" ", 1)[0]
    name = words.split(".", 1)[0]
    if name in ("FADD", "FFMA", "FMUL"):
        return "fp32"
    if name == "MUFU":
        return "mufu"
    if name == "SHFL":
        return "shfl"
    if name in ("LDS", "LDSM"):
        return "lds_128" if ".128" in words else "lds_64" if ".64" in words else "lds_32"
    if name in ("LDL", "STL"):
        return "spill"
    return "minmax" if name == "FMNMX" else "other"


def _line_of_shifts(code: Code) -> tuple[Loop, list[Loop]]:
    """The loop over rows of shifts of a tile where every vote is 1, and the loops inside it."""
    heavy = sorted((b for b in loops(code) if b.weights(code)), key=lambda b: len(b.body))
    innermost = [b for b in heavy if not any(other.body < b.body for other in heavy)]
    most = max(b.weights(code) for b in innermost)
    group = next(b for b in innermost if b.weights(code) == most)  # with votes it is longer
    line = next(b for b in heavy if group.body < b.body)
    return line, sorted((b for b in innermost if b.body < line.body), key=lambda b: min(b.body))


# --- what a GPU could do with it -------------------------------------------------------------


@dataclass(frozen=True)
class Gpu:
    """Limits of a GPU: lanes for each clock and multiprocessor."""

    name: str
    architecture: str
    multiprocessors: int
    gigahertz: float
    fp32: int = 128
    minmax: int = 64
    mufu: int = 16
    shared_words: int = 32  # reads and shuffles together: pessimistic
    issue: int = 128


GPUS = (
    Gpu("H100 SXM", "sm_90", 132, 1.755),
    Gpu("A100 SXM", "sm_80", 108, 1.41, fp32=64),
    Gpu("RTX 5090", "sm_120", 170, 2.407),
    Gpu("RTX 4090", "sm_89", 128, 2.52),
    Gpu("RTX 3080", "sm_86", 68, 1.71),
    Gpu("T4", "sm_75", 40, 1.11, fp32=64),
)


def ceilings(counted: Count, gpu: Gpu) -> dict[str, float]:
    """Useful pairs for each clock and multiprocessor that each unit allows, and all of them together."""
    kinds = Counter(counted.kinds)
    words = kinds["shfl"] + kinds["lds_32"] + 2 * kinds["lds_64"] + 4 * kinds["lds_128"]
    limits = {
        "issue": gpu.issue / counted.slots,
        "fp32": gpu.fp32 / kinds["fp32"],
        "mufu": gpu.mufu / kinds["mufu"],
        "shared": gpu.shared_words / words,
    }
    if kinds["minmax"]:
        limits["minmax"] = gpu.minmax / kinds["minmax"]
    return limits | {"lowest": min(limits.values())}


def gigapixels(limit: float, gpu: Gpu, shifts: int) -> float:
    """The rate of a limit for a window of so many shifts, 10^9 pixels a second."""
    return limit * gpu.multiprocessors * gpu.gigahertz / shifts


def shifts_of(launch: Launch) -> int:
    """How many shifts the window of a launch has."""
    window = next(a for a in launch.arguments if isinstance(a, np.ndarray))[0]
    return math.prod(2 * int(window[f"radius_{axis}"]) + 1 for axis in "zyx")


# --- the table -------------------------------------------------------------------------------


def cases() -> Iterator[tuple[str, str, Problem]]:
    """The settings that are tabled: 21 x 21 shifts, 4 megapixels; a volume of 96^3 with 7^3; a film."""

    def problem(patch: int = 3, taps: str = "box", **kinds: Any) -> Problem:
        weights = np.ones(2 * patch + 1)
        if taps == "gaussian":
            weights = np.exp(-2 * (np.arange(-patch, patch + 1) / patch) ** 2)
        weights /= weights.sum()
        sizes: dict[str, Any] = {"channels": 1, "values": 1, "bias": 8.0} | kinds
        return Problem(2048, 2048, radius=(10, 10), taps=(weights, weights), **sizes)

    yield "bare: no bias, no peak", "accumulate", problem(bias=0.0)
    yield "bias and peak, one pass", "accumulate", problem(peak=True)
    yield "default, first pass: bias and peak, no values", "accumulate", problem(peak=True, values=0)
    yield "default, second pass: every patch votes", "aggregate", problem()
    for patch in (1, 2, 4):
        yield f"first pass, patch radius {patch}", "accumulate", problem(patch, peak=True, values=0)
        yield f"second pass, patch radius {patch}", "aggregate", problem(patch)
    others: dict[str, dict[str, Any]] = {
        "Gaussian taps": {"taps": "gaussian"},
        "three channels": {"channels": 3, "values": 3},
        "three channels, Gaussian taps": {"channels": 3, "values": 3, "taps": "gaussian"},
        "sigma map": {"bias": None, "scale": None},
    }
    for name, kinds in others.items():
        yield f"first pass, {name}", "accumulate", problem(peak=True, **(kinds | {"values": 0}))
        yield f"second pass, {name}", "aggregate", problem(**kinds)
    for name, asked in volumes():
        yield f"{name}, one pass", "accumulate", replace(asked, peak=True)
        yield f"{name}, first pass", "accumulate", replace(asked, peak=True, values=0)
        yield f"{name}, second pass", "aggregate", asked


def volumes() -> Iterator[tuple[str, Problem]]:
    """A volume with patches of 3 x 3 in 1, 3 and 5 planes, and a frame of a film with two on either side."""

    def deep(shape: tuple[int, int], patch: int, search: int, depth: Depth) -> Problem:
        taps = np.full(2 * patch + 1, 1 / (2 * patch + 1))
        radius = (search, search)
        return Problem(*shape, channels=1, values=1, radius=radius, taps=(taps, taps), bias=8.0, depth=depth)

    for r in range(3):
        depth = Depth(96, 0, 96, 3, (1 / (2 * r + 1),) * (2 * r + 1))
        yield f"volume, patch radii {r}, 1, 1", deep((96, 96), 1, 3, depth)
    yield "film, patch radius 3, R = 5", deep((720, 1280), 3, 5, Depth(5, 2, 1, 2))


def launches(device: Device) -> Iterator[tuple[str, Launch]]:
    """The launch of each case, and of settings that are compiled but not used."""
    for name, kernel, problem in cases():
        launch = getattr(cuda_plan, kernel)(problem, device).launches[0]
        yield name, launch
        if kernel == "accumulate" and name.startswith(("bare", "bias", "default")):
            # More rows a thread: fewer instructions a pair, but 8 warps on a multiprocessor and not 12.
            changed = {"-DROWS": "-DROWS=6", "-DBLOCKS": "-DBLOCKS=2"}
            options = tuple(changed.get(o.partition("=")[0], o) for o in launch.options)
            yield f"{name}; 6 rows a thread, unused", replace(launch, options=options)


def table(gpu: Gpu) -> list[dict[str, Any]]:
    """One row for each launch."""
    rows = []
    for name, launch in launches(Device(capability=int(gpu.architecture.removeprefix("sm_")))):
        counted = count(launch, gpu.architecture)
        limits = ceilings(counted, gpu)
        rows.append(
            {
                "case": name,
                "kernel": launch.kernel,
                "options": " ".join(launch.options),
                "slots": round(counted.slots, 2),
                "loading_estimated": round(counted.loading, 2),
                "kinds": {kind: round(number, 3) for kind, number in counted.kinds.items()},
                "registers": counted.registers,
                "spill_instructions": counted.spills,
                "shared_bytes": counted.shared_bytes,
                "pairs_per_clock": {unit: round(limit, 2) for unit, limit in limits.items()},
                "shifts": shifts_of(launch),
                "ceiling_gigapixels": round(gigapixels(limits["lowest"], gpu, shifts_of(launch)), 2),
            }
        )
    return rows


def versions() -> dict[str, str]:
    """Of the compiler and the disassembler."""
    found = {}
    for package in ("nvidia-cuda-nvrtc", "nvidia-cuda-nvdisasm"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not from PyPI"
    return found


def main() -> int:
    """Print the table, or write it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--gpu", default=GPUS[0].name, choices=[g.name for g in GPUS])
    parser.add_argument("--output", type=Path, help="a JSON file")
    given = parser.parse_args()
    gpu = next(g for g in GPUS if g.name == given.gpu)
    rows = table(gpu)
    result = {
        "what": "counted in machine code, not measured: no GPU ran this",
        "unit": "instructions a lane issues for one useful (pixel, shift) pair",
        "date": date.today().isoformat(),
        "versions": versions(),
        "gpu": vars(gpu),
        "rows": rows,
    }
    for row in rows:
        print(
            f"{row['case']:58}{row['slots']:7.2f} + {row['loading_estimated']:.2f} slots"
            f"{row['registers']:5} registers"
            f"{row['spill_instructions']:4} spills{row['shared_bytes'] // 1024:5} KiB"
            f"{row['ceiling_gigapixels']:6.2f} Gpixel/s at most"
        )
    if given.output:
        write_json(given.output, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
