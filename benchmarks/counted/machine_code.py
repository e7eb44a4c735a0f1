"""CUDA kernels as machine code, without a GPU: compiled, taken apart, and their loops found.

NVRTC (``nvidia-cuda-nvrtc``) compiles, nvdisasm (``nvidia-cuda-nvdisasm``) takes apart.
"""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from nlmeans.backends import cuda_plan

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
        return sum(opcode(i) in ("LDL", "STL") for i in self.instructions)


_INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/\s+(.*?)\s*;")
_SECTION = re.compile(r"^\s*\.section\s")
_LABEL = re.compile(r"^(\.L_\w+):")
_TARGET = re.compile(r"`\((\.L_\w+)\)")
GUARD = re.compile(r"^@!?U?P\w+\s+")


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


def opcode(instruction: str) -> str:
    return GUARD.sub("", instruction).split(" ", 1)[0].split(".", 1)[0]


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
    starts |= {n + 1 for n, i in enumerate(code.instructions) if opcode(i) in _LEAVING or _is_jump(i)}
    ordered = sorted(n for n in starts if n < len(code.instructions))
    return {a: (a, b) for a, b in zip(ordered, [*ordered[1:], len(code.instructions)], strict=True)}


_LEAVING = ("BRA", "EXIT", "RET", "BRX")


def _is_jump(instruction: str) -> bool:
    """Branches; before Hopper also calls of a label, which is how far exits of loops are written."""
    return opcode(instruction) in ("BRA", "CALL") and bool(_TARGET.search(instruction))


def _successors(code: Code) -> dict[int, list[int]]:
    follow: dict[int, list[int]] = {}
    blocks = _blocks(code)
    for first, (_, end) in blocks.items():
        last = code.instructions[end - 1]
        name, guarded = opcode(last), bool(GUARD.match(last))
        into: list[int] = []
        jumps = _is_jump(last)
        if jumps and "BRA.DIV" not in last and (target := _TARGET.search(last)):
            into.append(code.labels[target[1]])
        conditional = guarded or "BRA.DIV" in last or re.search(r"\bBRA\S* !?U?P\d", last)
        if end in blocks and (not (jumps or name in _LEAVING) or conditional):
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
