"""The launches that make one call of the CUDA backend, in plain Python: nothing here needs a GPU.

A plan names kernels, compile options, grids, shared memory and arguments; whoever runs it (CuPy,
or the emulator of the tests) brings buffers under the names of the arguments.  The layout of shared
memory and of :data:`WINDOW` is that of ``kernels/cuda``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from importlib.resources import files
from typing import Any

import numpy as np

from nlmeans.backends.cuda_shape import LANES, LARGEST_PATCH, Device, Problem, Shape

_TAPS = 2 * LARGEST_PATCH + 1
_READABLE_BLOCK = (32, 4, 1)
_PLANS = 64  # that are kept: the frames of a film and the tiles of a picture have the same
_BATCH_BYTES = 2**26  # of weight planes in the readable aggregation

#: struct Window of kernels/cuda/window.cuh
WINDOW = np.dtype(
    [(name, np.int32) for name in ("depth", "height", "width", "first_plane", "planes")]
    + [(f"{name}_{axis}", np.int32) for name in ("radius", "patch") for axis in "zyx"]
    + [(name, np.int32) for name in ("own", "blocks", "blocks_x")]
    + [(name, np.int32) for name in ("chunk_y", "chunk_x", "chunks_y", "chunks_x")]
    + [(name, np.int32) for name in ("slices", "first", "count", "add")]
    + [(name, np.float32) for name in ("bias", "scale", "gain", "start")]
    + [(name, np.float32, (_TAPS,)) for name in ("roots_z", "taps_y", "taps_x")]
)


@dataclass(frozen=True, eq=False)
class Launch:
    """One kernel launch; arguments are names of buffers, None for a null pointer, or WINDOW values."""

    kernel: str
    source: str  # file in kernels/cuda
    options: tuple[str, ...]
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared_bytes: int
    arguments: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """Launches in order, and the buffers they need besides inputs and results (float32 shapes)."""

    launches: tuple[Launch, ...]
    scratch: dict[str, tuple[int, ...]]

    @cached_property
    def needs_taps(self) -> bool:
        """Whether a launch takes the taps as arrays."""
        return any(isinstance(a, str) and a == "taps_y" for launch in self.launches for a in launch.arguments)


@cache
def source(name: str) -> str:
    """A kernel file with its own headers put in, ready for a compiler that sees no files."""
    text = (files("nlmeans.kernels") / "cuda" / name).read_text(encoding="utf-8")
    done: set[str] = set()

    def put_in(match: re.Match[str]) -> str:
        header = match[1]
        if header in done:
            return ""
        done.add(header)
        inner = (files("nlmeans.kernels") / "cuda" / header).read_text(encoding="utf-8")
        return _INCLUDE.sub(put_in, inner.replace("#pragma once\n", ""))

    return _INCLUDE.sub(put_in, text)


_INCLUDE = re.compile(r'^#include "(\w+\.cuh)"$', re.MULTILINE)


# --- the two entries -------------------------------------------------------------------------


@lru_cache(maxsize=_PLANS)
def accumulate(problem: Problem, device: Device) -> Plan:
    """Launches of one `accumulate`: the register kernel where it can, else the readable one."""
    shape = Shape.best("accumulate", problem, device)
    if shape is None:
        return _accumulate_readable(problem)
    results = ("numerator", "denominator", "peak" * problem.peak)
    tail = 1 if problem.radius[1] % 2 == 0 else 3  # of 2 R + 1 shifts, after groups of 4
    options = (f"-DTAIL={tail}", f"-DPEAK={problem.peak:d}")
    return _in_slices(problem, shape, device, options, (), results)


@lru_cache(maxsize=_PLANS)
def aggregate(problem: Problem, device: Device) -> Plan:
    """Launches of one `aggregate`: the same choice; the pixel's own patch comes after the register kernel."""
    shape = Shape.best("aggregate", problem, device)
    if shape is None:
        return _aggregate_readable(problem, range(problem.shifts))
    plan = _in_slices(problem, shape, device, (), ("normaliser",), ("numerator", "denominator"))
    if not problem.own:
        return plan
    middle = problem.shifts // 2
    own = _aggregate_readable(problem, range(middle, middle + 1), add=True)
    return Plan(plan.launches + own.launches, plan.scratch | own.scratch)


def _in_slices(
    problem: Problem,
    shape: Shape,
    device: Device,
    options: tuple[str, ...],
    inputs: tuple[str, ...],
    results: tuple[str, ...],
) -> Plan:
    """One launch of a register kernel; in slices, their sums are put together by more."""
    slices = shape.slices(problem, device)
    shape = shape.with_chunks(-(-slices // (2 * problem.depth.radius + 1)))
    plane = (problem.depth.planes, problem.height, problem.width)
    names = {name: name if slices == 1 else f"partial_{name}" for name in results if name}
    scratch: dict[str, tuple[int, ...]] = {}
    if slices > 1:
        scratch = {partial: (slices, *plane) for partial in names.values()}
        scratch["partial_numerator"] = (slices, problem.values, *plane)
    arguments = (
        *("query", "key", "value", "own_value", "vote", *_maps(problem), *inputs),
        *(names.get(name) for name in results),
        _window(problem, shape, slices),
    )
    launch = Launch(
        kernel=shape.kernel,
        source=f"{shape.kernel}.cu",
        options=(*shape.options(problem), *options),
        grid=(shape.blocks(problem) * problem.depth.planes, 1, slices),
        block=(LANES, shape.warps, 1),
        shared_bytes=shape.shared_bytes,
        arguments=arguments,
    )
    summed = [name for name in names if slices > 1 and (problem.values or name != "numerator")]
    reductions = [_reduce(problem, names[name], name, slices) for name in summed]
    return Plan((launch, *reductions), scratch)


def _maps(problem: Problem) -> tuple[str | None, str | None]:
    """Arguments for bias and scale: planes where they are planes."""
    return ("bias" if problem.bias is None else None, "scale" if problem.scale is None else None)


def _reduce(problem: Problem, partial: str, result: str, slices: int) -> Launch:
    planes = problem.depth.planes * (problem.values if result == "numerator" else 1)
    count = planes * problem.height * problem.width
    arguments = (partial, result, np.int64(count), np.int32(slices), np.int32(result == "peak"))
    return Launch("reduce", "reduce.cu", (), (-(-count // 256), 1, 1), (256, 1, 1), 0, arguments)


# --- the readable kernels --------------------------------------------------------------------


def _accumulate_readable(problem: Problem) -> Plan:
    arguments = (
        *("query", "key", "value", "own_value", "vote", *_maps(problem), "taps_z", "taps_y", "taps_x"),
        *("numerator", "denominator", "peak" if problem.peak else None),
        _window(problem),
    )
    return Plan((_readable_launch("accumulate_readable", problem, 1, arguments),), {})


def _aggregate_readable(problem: Problem, shifts: Sequence[int], add: bool = False) -> Plan:
    """Weight planes of a batch of shifts, then their sums, batch after batch."""
    planes = (problem.depth.planes, problem.height, problem.width)
    batch = max(1, min(len(shifts), _BATCH_BYTES // (4 * math.prod(planes)), 65535))
    launches = []
    for first in range(shifts[0], shifts[-1] + 1, batch):
        count = min(batch, shifts[-1] + 1 - first)
        window = _window(problem)
        window["first"], window["count"], window["add"] = first, count, add or first > shifts[0]
        taps = ("taps_y", "taps_x")
        center = "center" if problem.own else None
        weigh = ("query", "key", "vote", *_maps(problem), "taps_z", *taps, "normaliser", center, "p", window)
        spread = ("p", "value", "own_value", "vote", *taps, "numerator", "denominator", window)
        launches += [
            _readable_launch("weigh", problem, count, weigh),
            _readable_launch("spread", problem, 1, spread),
        ]
    return Plan(tuple(launches), {"p": (batch, *planes)})


def _readable_launch(kernel: str, problem: Problem, grid_y: int, arguments: tuple[Any, ...]) -> Launch:
    blocks, _ = _readable_blocks(problem)
    grid = (blocks * problem.depth.planes, grid_y, 1)
    return Launch(kernel, "readable.cu", problem.options(), grid, _READABLE_BLOCK, 0, arguments)


def _readable_blocks(problem: Problem) -> tuple[int, int]:
    """Blocks that cover a plane, and a row of it."""
    block_x, block_y, _ = _READABLE_BLOCK
    blocks_x = -(-problem.width // block_x)
    return blocks_x * -(-problem.height // block_y), blocks_x


# --- what all share --------------------------------------------------------------------------


def _window(problem: Problem, shape: Shape | None = None, slices: int = 1) -> Any:
    """The WINDOW value of a launch."""
    window = np.zeros(1, WINDOW)
    down, along = problem.taps
    depth, (blocks, blocks_x) = problem.depth, _readable_blocks(problem)
    numbers: dict[str, Any] = {
        "depth": depth.size,
        "first_plane": depth.first,
        "planes": depth.planes,
        "radius_z": depth.radius,
        "patch_z": len(depth.taps) // 2,
        "height": problem.height,
        "width": problem.width,
        "radius_y": problem.radius[0],
        "radius_x": problem.radius[1],
        "patch_y": problem.patch[0],
        "patch_x": problem.patch[1],
        "own": problem.own,
        "blocks": blocks,
        "blocks_x": blocks_x,
        "slices": slices,
        "bias": problem.bias or 0.0,
        "scale": 1.0 if problem.scale is None else problem.scale,
    }
    if shape is not None:
        gain = down[0] * along[0] if problem.box else 1.0
        if not problem.per_query:
            gain *= numbers["scale"]
        numbers |= {
            "blocks": shape.blocks(problem),
            "blocks_x": shape.blocks_x(problem),
            "chunk_y": shape.chunk_y,
            "chunk_x": shape.chunk_x,
            "chunks_y": shape.chunks_y,
            "chunks_x": shape.chunks_x,
            "gain": math.sqrt(gain),
            "start": -numbers["bias"] / (len(along) if problem.box else along.sum()),
        }
        window["roots_z"][0, : len(depth.taps)] = np.sqrt(depth.taps)
        window["taps_y"][0, : len(down)], window["taps_x"][0, : len(along)] = down, along
    for name, number in numbers.items():
        window[name] = number
    return window
