"""The launches that make one call of the CUDA backend, in plain Python: nothing here needs a GPU.

A plan names kernels, compile options, grids, shared memory and arguments; whoever runs it (CuPy,
or the emulator of the tests) brings buffers under the names of the arguments.  The layout of shared
memory and of :data:`WINDOW` is that of ``kernels/cuda``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from nlmeans.backends.contract import PlanePair
from nlmeans.errors import MemoryLimitError

LANES = 32
COLUMNS = 4  # of a thread
SPAN = LANES * COLUMNS  # columns of a block
LARGEST_PATCH = 4  # radius of the register kernels: a lane has halo from its neighbours only
MOST_VALUES = 4  # planes of values in registers at a time
_TAPS = 2 * LARGEST_PATCH + 1
_WIDEST_CHUNK = 64  # shifts along the row whose tile is loaded at a time
_READABLE_BLOCK = (32, 4, 1)
_SHIFTS_IN_A_SUM = 2**16  # beyond, float32 sums lose digits: the window is cut in slices
_MOST_SLICES = 16
_BATCH_BYTES = 2**26  # of weight planes in the readable aggregation

#: struct Window of kernels/cuda/window.cuh
WINDOW = np.dtype(
    [(name, np.int32) for name in ("height", "width", "radius_y", "radius_x", "patch_y", "patch_x")]
    + [(name, np.int32) for name in ("own", "blocks_x", "chunk_y", "chunk_x", "chunks_y", "chunks_x")]
    + [(name, np.int32) for name in ("slices", "first", "count", "add")]
    + [(name, np.float32) for name in ("bias", "scale", "gain", "start")]
    + [(name, np.float32, (_TAPS,)) for name in ("taps_y", "taps_x")]
)


@dataclass(frozen=True)
class Device:
    """What a plan needs to know of a GPU; the defaults are those of an H100."""

    multiprocessors: int = 132
    shared_per_block: int = 227 * 1024  # bytes, with the opt-in
    shared_per_multiprocessor: int = 228 * 1024
    registers_per_multiprocessor: int = 65536


@dataclass(frozen=True, eq=False)
class Problem:
    """One call: sizes and kinds, no planes."""

    height: int
    width: int
    channels: int
    values: int
    radius: tuple[int, int]
    taps: tuple[Any, Any]  # NumPy, float64
    own: bool = True
    bias: float | None = 0.0  # None: a plane
    scale: float | None = 1.0
    peak: bool = False
    squares: bool = False

    @staticmethod
    def of(pair: PlanePair, taps: tuple[Any, Any], *, peak: bool = False, squares: bool = False) -> Problem:
        """From a pair and its taps as NumPy arrays."""
        (channels, height, width), values = pair.query.shape, pair.value.shape[0]
        bias, scale = (None if getattr(x, "ndim", 0) else float(x) for x in (pair.bias, pair.scale))
        return Problem(
            height, width, channels, values, pair.radius, taps, pair.own, bias, scale, peak, squares
        )

    @property
    def patch(self) -> tuple[int, int]:
        return len(self.taps[0]) // 2, len(self.taps[1]) // 2

    @property
    def box(self) -> bool:
        return all(bool(np.all(taps == taps[0])) for taps in self.taps)

    @property
    def shifts(self) -> int:
        return (2 * self.radius[0] + 1) * (2 * self.radius[1] + 1)

    @property
    def per_query(self) -> bool:
        return self.bias is None or self.scale is None


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

    @property
    def scratch_bytes(self) -> int:
        return sum(4 * math.prod(shape) for shape in self.scratch.values())


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


def accumulate(problem: Problem, device: Device) -> Plan:
    """Launches of one `accumulate`: the register kernel where it can, else the readable one."""
    shape = _Shape.best(problem, device)
    if shape is None:
        return _accumulate_readable(problem)
    slices = _slices(problem, shape, device)
    shape = shape.with_chunks(slices)
    plane = (problem.height, problem.width)
    outputs = _asked("denominator", "peak" * problem.peak, "squares" * problem.squares)
    names = {name: name if slices == 1 else f"partial_{name}" for name in ("numerator", *outputs)}
    scratch: dict[str, tuple[int, ...]] = {}
    if slices > 1:
        scratch = {names[name]: (slices, *plane) for name in outputs}
        scratch[names["numerator"]] = (slices, problem.values, *plane)
    window = _window(problem, shape, slices)
    arguments = (
        *("query", "key", "value", "vote", *_maps(problem)),
        *(names.get(name) for name in ("numerator", "denominator", "peak", "squares")),
        window,
    )
    options = (*shape.options(problem), f"-DPEAK={problem.peak:d}", f"-DSQUARES={problem.squares:d}")
    grid = (shape.blocks(problem), 1, slices)
    launches = [
        Launch("accumulate", "accumulate.cu", options, grid, shape.block, shape.shared_bytes, arguments)
    ]
    if slices > 1:
        launches += [_reduce(problem, names[name], name, slices) for name in names]
    return Plan(tuple(launches), scratch)


def aggregate(problem: Problem, device: Device) -> Plan:
    """Launches of one `aggregate`."""
    return _aggregate_readable(problem, range(problem.shifts))


def _asked(*names: str) -> tuple[str, ...]:
    return tuple(name for name in names if name)


def _maps(problem: Problem) -> tuple[str | None, str | None]:
    """Arguments for bias and scale: planes where they are planes."""
    return ("bias" if problem.bias is None else None, "scale" if problem.scale is None else None)


# --- how a register kernel is cut up ---------------------------------------------------------


@dataclass(frozen=True)
class _Shape:
    """Rows of a thread, warps of a block, shifts of a chunk, and the shared memory they take."""

    rows: int
    warps: int
    chunk_y: int
    chunk_x: int
    chunks_y: int
    chunks_x: int
    channels: int
    values: int
    patch: tuple[int, int]
    radius: tuple[int, int]

    @staticmethod
    def best(problem: Problem, device: Device, rows: int = 4) -> _Shape | None:
        """The shape that fits the most warps on a multiprocessor; None when none fits."""
        if max(problem.patch) > LARGEST_PATCH or problem.values > MOST_VALUES:
            return None
        for wanted in (warps_wanted(problem), 4, 2, 1):
            for warps in (4, 2, 1):
                if warps > wanted:
                    continue
                budget = device.shared_per_multiprocessor * warps // wanted - 1024
                shape = _Shape._within(problem, rows, warps, min(budget, device.shared_per_block))
                if shape is not None:
                    return shape
        return None

    @staticmethod
    def _within(problem: Problem, rows: int, warps: int, budget: int) -> _Shape | None:
        """As many shifts in a chunk as the budget allows."""
        size_y, size_x = (2 * r + 1 for r in problem.radius)
        chunks_x = max(1, -(-(size_x - 3) // _WIDEST_CHUNK))
        chunk_x = size_x if chunks_x == 1 else _WIDEST_CHUNK
        one = _Shape(
            *(rows, warps, 1, chunk_x, size_y, chunks_x, problem.channels, problem.values),
            *(problem.patch, problem.radius),
        )
        row_bytes = replace(one, chunk_y=2).shared_bytes - one.shared_bytes
        most = 1 + (budget - one.shared_bytes) // row_bytes
        if most < 1:
            return None
        chunks_y = -(-size_y // most)
        return replace(one, chunk_y=-(-size_y // chunks_y), chunks_y=chunks_y)

    def with_chunks(self, least: int) -> _Shape:
        """The same with at least so many chunks, if the window has as many rows."""
        size_y = 2 * self.radius[0] + 1
        chunk_y = min(self.chunk_y, max(1, size_y * self.chunks_x // least))
        return replace(self, chunk_y=chunk_y, chunks_y=-(-size_y // chunk_y))

    @property
    def block(self) -> tuple[int, int, int]:
        return (LANES, self.warps, 1)

    @property
    def block_rows(self) -> int:
        return self.rows * self.warps

    @property
    def block_columns(self) -> int:
        return SPAN - (2 * COLUMNS if self.patch[1] else 0)

    @property
    def pitch(self) -> int:
        last = 2 * self.radius[1] + 1 - (self.chunks_x - 1) * self.chunk_x
        return SPAN + ((max(self.chunk_x, last) + 2) & ~3)

    @property
    def shared_bytes(self) -> int:
        query_rows = self.block_rows + 2 * self.patch[0]
        key_rows, value_rows = query_rows + self.chunk_y - 1, self.block_rows + self.chunk_y - 1
        features = self.channels * (query_rows * SPAN + key_rows * self.pitch)
        return 4 * (features + (self.values + 1) * value_rows * self.pitch)

    def blocks_x(self, problem: Problem) -> int:
        return -(-problem.width // self.block_columns)

    def blocks(self, problem: Problem) -> int:
        return self.blocks_x(problem) * -(-problem.height // self.block_rows)

    def options(self, problem: Problem) -> tuple[str, ...]:
        """What is compiled in: everything but sizes, radii and numbers."""
        bias = 2 if problem.per_query else 1 if problem.bias else 0
        return (
            *_common_options(problem),
            f"-DPATCH_Y={self.patch[0]}",
            f"-DPATCH_X={self.patch[1]}",
            f"-DBOX={problem.box:d}",
            f"-DBIAS={bias}",
            f"-DROWS={self.rows}",
            f"-DWARPS={self.warps}",
            f"-DBLOCKS={max(1, warps_wanted(problem) // self.warps)}",
            f"-DTAIL={1 if problem.radius[1] % 2 == 0 else 3}",
        )


def warps_wanted(problem: Problem) -> int:
    """Warps that share the registers of a multiprocessor: 12 have 168 each, 8 have 255."""
    light = problem.channels == 1 and problem.values == 1 and problem.box
    return 12 if light and not (problem.per_query or problem.squares) else 8


def _slices(problem: Problem, shape: _Shape, device: Device) -> int:
    """Parts of the window that run side by side: for small pictures, and for huge windows."""
    resident = max(1, device.shared_per_multiprocessor // (shape.shared_bytes + 1024))
    resident = min(resident, max(1, warps_wanted(problem) // shape.warps))
    to_fill = -(-2 * device.multiprocessors * resident // shape.blocks(problem))
    to_keep_digits = -(-problem.shifts // _SHIFTS_IN_A_SUM)
    chunks = (2 * problem.radius[0] + 1) * shape.chunks_x
    return max(1, min(max(to_fill, to_keep_digits), _MOST_SLICES, chunks))


def _reduce(problem: Problem, partial: str, result: str, slices: int) -> Launch:
    planes = problem.values if result == "numerator" else 1
    count = planes * problem.height * problem.width
    arguments = (partial, result, np.int64(count), np.int32(slices), np.int32(result == "peak"))
    return Launch("reduce", "reduce.cu", (), (-(-count // 256), 1, 1), (256, 1, 1), 0, arguments)


# --- the readable kernels --------------------------------------------------------------------


def _accumulate_readable(problem: Problem) -> Plan:
    arguments = (
        *("query", "key", "value", "vote", *_maps(problem), "taps_y", "taps_x", "numerator"),
        *("denominator", "peak" if problem.peak else None, "squares" if problem.squares else None),
        _window(problem),
    )
    return Plan((_readable_launch("accumulate_readable", problem, 1, arguments),), {})


def _aggregate_readable(problem: Problem, shifts: Sequence[int], add: bool = False) -> Plan:
    """Weight planes of a batch of shifts, then their sums, batch after batch."""
    plane = problem.height * problem.width
    batch = max(1, min(len(shifts), _BATCH_BYTES // (4 * plane), 65535))
    launches = []
    for first in range(shifts[0], shifts[-1] + 1, batch):
        count = min(batch, shifts[-1] + 1 - first)
        window = _window(problem)
        window["first"], window["count"], window["add"] = first, count, add or first > shifts[0]
        taps = ("taps_y", "taps_x")
        centre = "centre" if problem.own else None
        weigh = ("query", "key", "vote", *_maps(problem), *taps, "normaliser", centre, "p", window)
        spread = ("p", "value", "vote", *taps, "numerator", "denominator", window)
        launches += [
            _readable_launch("weigh", problem, count, weigh),
            _readable_launch("spread", problem, 1, spread),
        ]
    return Plan(tuple(launches), {"p": (batch, problem.height, problem.width)})


def _readable_launch(kernel: str, problem: Problem, grid_y: int, arguments: tuple[Any, ...]) -> Launch:
    block_x, block_y, _ = _READABLE_BLOCK
    blocks = -(-problem.width // block_x) * -(-problem.height // block_y)
    options = _common_options(problem)
    return Launch(kernel, "readable.cu", options, (blocks, grid_y, 1), _READABLE_BLOCK, 0, arguments)


# --- what all share --------------------------------------------------------------------------


def _common_options(problem: Problem) -> tuple[str, ...]:
    samples = max(problem.channels, problem.values * _MOST_SLICES) * problem.height * problem.width
    options = (f"-DCHANNELS={problem.channels}", f"-DVALUES={problem.values}")
    return options if samples < 2**29 else (*options, "-DINDEX=long long")


def _window(problem: Problem, shape: _Shape | None = None, slices: int = 1) -> Any:
    """The WINDOW value of a launch."""
    window = np.zeros(1, WINDOW)
    down, along = problem.taps
    numbers: dict[str, Any] = {
        "height": problem.height,
        "width": problem.width,
        "radius_y": problem.radius[0],
        "radius_x": problem.radius[1],
        "patch_y": problem.patch[0],
        "patch_x": problem.patch[1],
        "own": problem.own,
        "blocks_x": -(-problem.width // _READABLE_BLOCK[0]),
        "slices": slices,
        "bias": problem.bias or 0.0,
        "scale": 1.0 if problem.scale is None else problem.scale,
    }
    if shape is not None:
        gain = down[0] * along[0] if problem.box else 1.0
        if not problem.per_query:
            gain *= numbers["scale"]
        numbers |= {
            "blocks_x": shape.blocks_x(problem),
            "chunk_y": shape.chunk_y,
            "chunk_x": shape.chunk_x,
            "chunks_y": shape.chunks_y,
            "chunks_x": shape.chunks_x,
            "gain": math.sqrt(gain),
            "start": -numbers["bias"] / (len(along) if problem.box else along.sum()),
        }
        window["taps_y"][0, : len(down)], window["taps_x"][0, : len(along)] = down, along
    for name, number in numbers.items():
        window[name] = number
    return window


def check_size(problem: Problem) -> None:
    """Refuse planes whose sides do not fit the kernels' 32-bit coordinates."""
    if max(problem.height, problem.width) > 2**30:
        raise MemoryLimitError(
            f"a plane of {problem.height} x {problem.width} is too large for the GPU: "
            "sides go up to 2^30; denoise it in tiles"
        )
