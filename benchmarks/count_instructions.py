"""Counts what the CUDA kernels issue for each useful pair, in machine code: nothing here runs on a GPU.

    python -m nlmeans.benchmarks.count_instructions [--gpu NAME] [--output FILE]

NVRTC compiles a plan's kernel (``nvidia-cuda-nvrtc``), nvdisasm takes it apart
(``nvidia-cuda-nvdisasm``), and the loops over shifts are weighed with their trip counts.  A *useful
pair* is one (pixel, shift) that ends in the result: the lanes that only supply their neighbours are in
the count.  The rates are ceilings that the counts allow, not measurements.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from nlmeans.backends import cuda_plan
from nlmeans.backends.cuda_plan import Launch
from nlmeans.backends.cuda_shape import Device, Problem

# --- the tools -------------------------------------------------------------------------------


class ToolMissingError(Exception):
    """A compiler or disassembler is not installed; the message says which package has it."""


class CompileError(Exception):
    """NVRTC refused a kernel; the message is its log."""


def _packaged(pattern: str) -> str | None:
    """A file of NVIDIA's PyPI packages."""
    spec = find_spec("nvidia")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(folder).glob(pattern)):
            return str(path)
    return None


@cache
def _nvrtc() -> ctypes.CDLL:
    path = _packaged("*/lib/libnvrtc.so*") or _packaged("*/bin/**/nvrtc64*.dll")
    if path is None:
        raise ToolMissingError("NVRTC is not installed: pip install nvidia-cuda-nvrtc")
    return ctypes.CDLL(path)


@cache
def nvdisasm() -> str:
    """The disassembler's path."""
    path = _packaged("*/bin/nvdisasm*") or shutil.which("nvdisasm")
    if path is None:
        raise ToolMissingError("nvdisasm is not installed: pip install nvidia-cuda-nvdisasm")
    return path


def compile_kernel(source: str, options: tuple[str, ...], architecture: str) -> bytes:
    """Machine code (a cubin) of a kernel file for an architecture such as "sm_90"."""
    nvrtc, program = _nvrtc(), ctypes.c_void_p()
    text = cuda_plan.source(source).encode()
    flags = [o.encode() for o in ("-std=c++17", f"-arch={architecture}", *options)]
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, source.encode(), 0, None, None)
    try:
        failed = nvrtc.nvrtcCompileProgram(program, len(flags), (ctypes.c_char_p * len(flags))(*flags))
        log = _nvrtc_bytes(program, "ProgramLog").rstrip(b"\0").decode(errors="replace")
        if failed:
            raise CompileError(f"{source} {' '.join(options)} for {architecture}:\n{log}")
        if "warning" in log:
            raise CompileError(f"{source} {' '.join(options)} for {architecture} is not clean:\n{log}")
        return _nvrtc_bytes(program, "CUBIN")
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _nvrtc_bytes(program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    getattr(_nvrtc(), f"nvrtcGet{what}Size")(program, ctypes.byref(size))
    content = ctypes.create_string_buffer(size.value)
    getattr(_nvrtc(), f"nvrtcGet{what}")(program, content)
    return content.raw


# --- machine code ----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Code:
    """One kernel, taken apart."""

    registers: int
    instructions: tuple[str, ...]
    labels: dict[str, int]  # where each label stands

    @property
    def spills(self) -> int:
        """Instructions that move registers to or from local memory."""
        return sum(_opcode(i) in ("LDL", "STL") for i in self.instructions)


_INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/\s+(.*?)\s*;")
_SECTION = re.compile(r"^\s*\.section\s")
_LABEL = re.compile(r"^(\.L_\w+):")
_TARGET = re.compile(r"`\((\.L_\w+)\)")
_GUARD = re.compile(r"^@!?U?P\w+\s+")


def disassemble(cubin: bytes, kernel: str) -> Code:
    """The instructions of a kernel in a cubin."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        done = subprocess.run([nvdisasm(), str(path)], capture_output=True, text=True, check=True)
    counted = re.search(rf"EIATTR_REGCOUNT\b.*?index@\({kernel}\).*?\.word\s+(0x\w+)", done.stdout, re.DOTALL)
    wanted = False
    found: list[str] = []
    labels: dict[str, int] = {}
    for line in done.stdout.splitlines():
        if _SECTION.match(line):
            wanted = f".text.{kernel}," in line
        elif wanted and (at := _LABEL.match(line)):
            labels[at[1]] = len(found)
        elif wanted and (at := _INSTRUCTION.match(line)):
            found.append(at[1])
    return Code(int(counted[1], 16) if counted else 0, tuple(found), labels)


def _opcode(instruction: str) -> str:
    return _GUARD.sub("", instruction).split(" ", 1)[0].split(".", 1)[0]


def _kind(instruction: str) -> str:
    """What a GPU's units see in an instruction."""
    words = _GUARD.sub("", instruction).split(" ", 1)[0]
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


# --- loops -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Loop:
    """The instructions of a natural loop, by number."""

    body: frozenset[int]

    def weights(self, code: Code) -> int:
        """Exponentials: one is one pair."""
        return sum(code.instructions[n].split(" ")[0] == "MUFU.EX2" for n in self.body)


@cache
def loops(code: Code) -> list[Loop]:
    """Natural loops of the hot path: what a diverged warp would do instead is left out."""
    successors = _successors(code)
    order = _reachable(successors)
    dominators = _dominators(successors, order)
    bodies: dict[int, set[int]] = {}
    predecessors: dict[int, list[int]] = {n: [] for n in order}
    for n in order:
        for m in successors[n]:
            predecessors[m].append(n)
    for tail in order:
        for head in successors[tail]:
            if head in dominators[tail]:
                body = bodies.setdefault(head, {head})
                waiting = [tail]
                while waiting:
                    n = waiting.pop()
                    if n not in body:
                        body.add(n)
                        waiting += predecessors[n]
    blocks = _blocks(code)
    whole = {head: frozenset(i for b in body for i in range(*blocks[b])) for head, body in bodies.items()}
    return [Loop(body) for body in whole.values()]


@cache
def _blocks(code: Code) -> dict[int, tuple[int, int]]:
    """Basic blocks: first instruction -> (first, one past the last)."""
    starts = {0, *code.labels.values()}
    starts |= {n + 1 for n, i in enumerate(code.instructions) if _opcode(i) in ("BRA", "EXIT", "RET", "BRX")}
    ordered = sorted(n for n in starts if n < len(code.instructions))
    return {a: (a, b) for a, b in zip(ordered, [*ordered[1:], len(code.instructions)], strict=True)}


def _successors(code: Code) -> dict[int, list[int]]:
    follow: dict[int, list[int]] = {}
    blocks = _blocks(code)
    for first, (_, end) in blocks.items():
        last = code.instructions[end - 1]
        name, guarded = _opcode(last), bool(_GUARD.match(last))
        into: list[int] = []
        if name == "BRA" and "BRA.DIV" not in last and (target := _TARGET.search(last)):
            into.append(code.labels[target[1]])
        conditional = guarded or "BRA.DIV" in last or re.search(r"\bBRA\S* !?U?P\d", last)
        if end in blocks and (name not in ("BRA", "EXIT", "RET", "BRX") or conditional):
            into.append(end)
        follow[first] = into
    return follow


def _reachable(successors: dict[int, list[int]]) -> list[int]:
    """Blocks from the entry on, each before those it leads to where there is no loop."""
    seen, order, waiting = {0}, [], [(0, iter(successors[0]))]
    while waiting:
        block, rest = waiting[-1]
        following = next((m for m in rest if m not in seen), None)
        if following is None:
            order.append(block)
            waiting.pop()
        else:
            seen.add(following)
            waiting.append((following, iter(successors[following])))
    return order[::-1]


def _dominators(successors: dict[int, list[int]], order: list[int]) -> dict[int, set[int]]:
    everything = set(order)
    dominators = {n: everything for n in order} | {order[0]: {order[0]}}
    predecessors: dict[int, list[int]] = {n: [] for n in order}
    for n in order:
        for m in successors[n]:
            predecessors[m].append(n)
    changed = True
    while changed:
        changed = False
        for n in order[1:]:
            new = {n} | set.intersection(*(dominators[p] for p in predecessors[n]))
            if new != dominators[n]:
                dominators[n], changed = new, True
    return dominators


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


def count(launch: Launch, architecture: str) -> Count:
    """What a launch of a register kernel issues for each useful pair where everything votes."""
    code = disassemble(compile_kernel(launch.source, launch.options, architecture), launch.kernel)
    window = next(a for a in launch.arguments if isinstance(a, np.ndarray))[0]
    defined = dict(o[2:].split("=") for o in launch.options)
    rows, size_x = int(defined["ROWS"]), 2 * int(window["radius_x"]) + 1
    line, inner = _line_of_shifts(code)
    # One row of shifts: groups of 4 and what is left, or halves of groups and one single shift.
    trips = [size_x // 4] if len(inner) == 1 else [(size_x + 2) // 4, size_x // 4, 1]
    times = Counter(dict.fromkeys(line.body, 1))
    for loop, often in zip(inner, trips, strict=True):
        times.update(dict.fromkeys(loop.body, often - 1))
    issued: Counter[str] = Counter()
    for n, often in times.items():
        issued[_kind(code.instructions[n])] += often
    reach = int(defined["PATCH_X"]) * (1 if launch.kernel == "accumulate" else 2)
    useful = (32 - 2 * -(-reach // 4)) / 32
    pairs = rows * 4 * size_x * useful
    words = launch.shared_bytes / 4 / (32 * int(defined["WARPS"]))
    chunk = rows * 4 * size_x * int(window["chunk_y"]) * useful
    return Count(
        {kind: issued[kind] / pairs for kind in sorted(issued)},
        code.registers,
        code.spills,
        launch.shared_bytes,
        _SLOTS_A_WORD * words / chunk,
    )


_SLOTS_A_WORD = 12  # of a tile: index, border rule, load, scale, store


def _line_of_shifts(code: Code) -> tuple[Loop, list[Loop]]:
    """The loop over rows of shifts of a tile where everything votes, and the loops inside it."""
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


# --- the table -------------------------------------------------------------------------------


def cases() -> Iterator[tuple[str, str, Problem]]:
    """The settings that are tabled: 21 x 21 shifts, 4 megapixels."""

    def problem(patch: int = 3, taps: str = "box", **kinds: Any) -> Problem:
        weights = np.ones(2 * patch + 1)
        if taps == "gaussian":
            weights = np.exp(-2 * (np.arange(-patch, patch + 1) / patch) ** 2)
        weights /= weights.sum()
        sizes: dict[str, Any] = {"channels": 1, "values": 1, "bias": 8.0} | kinds
        return Problem(2048, 2048, radius=(10, 10), taps=(weights, weights), **sizes)

    yield "bare: no bias, no peak", "accumulate", problem(bias=0.0)
    yield "default, first pass: bias and peak", "accumulate", problem(peak=True)
    yield "default, second pass: every patch votes", "aggregate", problem()
    for patch in (1, 2, 4):
        yield f"first pass, patch radius {patch}", "accumulate", problem(patch, peak=True)
        yield f"second pass, patch radius {patch}", "aggregate", problem(patch)
    others: dict[str, dict[str, Any]] = {
        "Gaussian taps": {"taps": "gaussian"},
        "three channels": {"channels": 3, "values": 3},
        "three channels, Gaussian taps": {"channels": 3, "values": 3, "taps": "gaussian"},
        "sigma map": {"bias": None, "scale": None},
    }
    for name, kinds in others.items():
        yield f"first pass, {name}", "accumulate", problem(peak=True, **kinds)
        yield f"second pass, {name}", "aggregate", problem(**kinds)


def table(gpu: Gpu) -> list[dict[str, Any]]:
    """One row for each case."""
    rows = []
    for name, kernel, problem in cases():
        device = Device(capability=int(gpu.architecture.removeprefix("sm_")))
        launch = getattr(cuda_plan, kernel)(problem, device).launches[0]
        counted = count(launch, gpu.architecture)
        limits = ceilings(counted, gpu)
        rows.append(
            {
                "case": name,
                "kernel": kernel,
                "options": " ".join(launch.options),
                "slots": round(counted.slots, 2),
                "loading_estimated": round(counted.loading, 2),
                "kinds": {kind: round(number, 3) for kind, number in counted.kinds.items()},
                "registers": counted.registers,
                "spill_instructions": counted.spills,
                "shared_bytes": counted.shared_bytes,
                "pairs_per_clock": {unit: round(limit, 2) for unit, limit in limits.items()},
                "ceiling_gigapixels": round(gigapixels(limits["lowest"], gpu, problem.shifts), 2),
            }
        )
    return rows


def _versions() -> dict[str, str]:
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
        "versions": _versions(),
        "gpu": vars(gpu),
        "shifts": 441,
        "rows": rows,
    }
    for row in rows:
        print(
            f"{row['case']:45}{row['slots']:7.2f} slots{row['registers']:5} registers"
            f"{row['spill_instructions']:4} spills{row['shared_bytes'] // 1024:5} KiB"
            f"{row['ceiling_gigapixels']:6.2f} Gpixel/s at most"
        )
    if given.output:
        given.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
