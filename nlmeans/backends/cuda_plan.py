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
RESERVED = 1024  # bytes of shared memory that CUDA keeps for itself in each block
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
    shape = best_shape("accumulate", problem, device)
    if shape is None:
        return _accumulate_readable(problem)
    results = ("numerator", "denominator", "peak" * problem.peak, "squares" * problem.squares)
    tail = 1 if problem.radius[1] % 2 == 0 else 3  # of 2 R + 1 shifts, after groups of 4
    options = (f"-DTAIL={tail}", f"-DPEAK={problem.peak:d}", f"-DSQUARES={problem.squares:d}")
    return _in_slices(problem, shape, device, options, (), results)


def aggregate(problem: Problem, device: Device) -> Plan:
    """Launches of one `aggregate`: the same choice; the pixel's own patch comes after the register kernel."""
    shape = best_shape("aggregate", problem, device)
    if shape is None:
        return _aggregate_readable(problem, range(problem.shifts))
    plan = _in_slices(problem, shape, device, (), ("normaliser",), ("numerator", "denominator", "", ""))
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
    slices = _slices(problem, shape, device)
    shape = shape.with_chunks(slices)
    plane = (problem.height, problem.width)
    names = {name: name if slices == 1 else f"partial_{name}" for name in results if name}
    scratch: dict[str, tuple[int, ...]] = {}
    if slices > 1:
        scratch = {partial: (slices, *plane) for partial in names.values()}
        scratch["partial_numerator"] = (slices, problem.values, *plane)
    wanted = results if shape.kernel == "accumulate" else results[:2]
    arguments = (
        *("query", "key", "value", "vote", *_maps(problem), *inputs),
        *(names.get(name) for name in wanted),
        _window(problem, shape, slices),
    )
    launch = Launch(
        kernel=shape.kernel,
        source=f"{shape.kernel}.cu",
        options=(*shape.options(problem), *options),
        grid=(shape.blocks(problem), 1, slices),
        block=(LANES, shape.warps, 1),
        shared_bytes=shape.shared_bytes,
        arguments=arguments,
    )
    reductions = [_reduce(problem, names[name], name, slices) for name in names if slices > 1]
    return Plan((launch, *reductions), scratch)


def _maps(problem: Problem) -> tuple[str | None, str | None]:
    """Arguments for bias and scale: planes where they are planes."""
    return ("bias" if problem.bias is None else None, "scale" if problem.scale is None else None)


# --- how a register kernel is cut up ---------------------------------------------------------


@dataclass(frozen=True)
class Shape:
    """Rows of a thread, warps of a block, shifts of a chunk, and the shared memory they take."""

    kernel: str
    rows: int
    warps: int
    warps_wanted: int  # on a multiprocessor: what the registers are for
    chunk_y: int
    chunk_x: int
    chunks_y: int
    chunks_x: int
    channels: int
    values: int
    patch: tuple[int, int]
    radius: tuple[int, int]
    per_query: bool

    @property
    def block_rows(self) -> int:
        return self.rows * self.warps

    @property
    def block_columns(self) -> int:
        """Without the lanes that only supply their neighbours."""
        reach = self.patch[1] if self.kernel == "accumulate" else 2 * self.patch[1]
        return SPAN - 2 * COLUMNS * -(-reach // COLUMNS)

    @property
    def pitch(self) -> int:
        last = 2 * self.radius[1] + 1 - (self.chunks_x - 1) * self.chunk_x
        return SPAN + ((max(self.chunk_x, last) + 2) & ~3)

    @property
    def shared_bytes(self) -> int:
        value_rows, more = self.block_rows, self.chunk_y - 1
        weight_rows = value_rows + (0 if self.kernel == "accumulate" else 2 * self.patch[0])
        query_rows = weight_rows + 2 * self.patch[0]
        words = self.channels * (query_rows * SPAN + (query_rows + more) * self.pitch)
        words += (self.values * (value_rows + more) + weight_rows + more) * self.pitch
        if self.kernel == "aggregate":
            words += weight_rows * SPAN * (3 if self.per_query else 1)
        return 4 * words

    def with_chunks(self, least: int) -> Shape:
        """The same with at least so many chunks, if the window has as many rows."""
        size_y = 2 * self.radius[0] + 1
        chunk_y = min(self.chunk_y, max(1, size_y * self.chunks_x // least))
        return replace(self, chunk_y=chunk_y, chunks_y=-(-size_y // chunk_y))

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
            f"-DBLOCKS={max(1, self.warps_wanted // self.warps)}",
        )


def best_shape(kernel: str, problem: Problem, device: Device) -> Shape | None:
    """The shape that fits the most warps on a multiprocessor; None when none fits."""
    if max(problem.patch) > LARGEST_PATCH or problem.values > MOST_VALUES:
        return None
    rows, registers_for = _rows(kernel, problem)
    for wanted in (registers_for, 4, 2, 1):
        for warps in (4, 2, 1):
            if warps > wanted:
                continue
            budget = device.shared_per_multiprocessor * warps // wanted - RESERVED
            shape = _fitting(kernel, problem, rows, warps, min(budget, device.shared_per_block))
            if shape is not None:
                return replace(shape, warps_wanted=registers_for)
    return None


def _rows(kernel: str, problem: Problem) -> tuple[int, int]:
    """Rows of a thread, and warps that share the registers: 12 have 168 registers a thread, 8 have 255.

    Found with ptxas for sm_75 to sm_120: as many rows as do not spill (2 ry + 2 at most).
    """
    one_plane = problem.channels == 1 and problem.values == 1
    if kernel == "accumulate":
        plain = one_plane and problem.box and not (problem.per_query or problem.squares)
        return 4, 12 if plain else 8
    return (4 if not one_plane else {2: 6, 3: 8, 4: 6}.get(problem.patch[0], 4)), 8


def _fitting(kernel: str, problem: Problem, rows: int, warps: int, budget: int) -> Shape | None:
    """As many shifts in a chunk as the budget allows."""
    size_y, size_x = (2 * r + 1 for r in problem.radius)
    chunks_x = max(1, -(-(size_x - 3) // _WIDEST_CHUNK))
    one = Shape(
        kernel=kernel,
        rows=rows,
        warps=warps,
        warps_wanted=warps,
        chunk_y=1,
        chunk_x=size_x if chunks_x == 1 else _WIDEST_CHUNK,
        chunks_y=size_y,
        chunks_x=chunks_x,
        channels=problem.channels,
        values=problem.values,
        patch=problem.patch,
        radius=problem.radius,
        per_query=problem.per_query,
    )
    more_bytes = replace(one, chunk_y=2).shared_bytes - one.shared_bytes
    most = 1 + (budget - one.shared_bytes) // more_bytes
    if most < 1:
        return None
    chunks_y = -(-size_y // most)
    return replace(one, chunk_y=-(-size_y // chunks_y), chunks_y=chunks_y)


def _slices(problem: Problem, shape: Shape, device: Device) -> int:
    """Parts of the window that run side by side: for small pictures, and for huge windows."""
    resident = max(1, device.shared_per_multiprocessor // (shape.shared_bytes + RESERVED))
    resident = min(resident, max(1, shape.warps_wanted // shape.warps))
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


def _window(problem: Problem, shape: Shape | None = None, slices: int = 1) -> Any:
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
