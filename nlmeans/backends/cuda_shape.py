"""How a register kernel of the CUDA backend is cut up: rows, warps, chunks of shifts, shared memory.

The sizes are those of ``kernels/cuda``; the two must be changed together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from nlmeans.backends.contract import PlanePair, Slab
from nlmeans.errors import MemoryLimitError

LANES = 32
COLUMNS = 4  # of a thread
SPAN = LANES * COLUMNS  # columns of a block
LARGEST_PATCH = 4  # radius of the register kernels: a lane has halo from its neighbours only
MOST_VALUES = 4  # planes of values in registers at a time
MOST_SLICES = 16
_WIDEST_CHUNK = 64  # shifts along the row whose tile is loaded at a time
_SHIFTS_IN_A_SUM = 2**16  # beyond, float32 sums lose digits: the window is cut in slices
# Words of the tiles for one useful pair, each of about 12 instructions: beyond, loading takes as long as the
# work, and fewer warps are tried where that halves it.
_MOST_LOADING = 1.0
_RESERVED = 1024  # bytes of shared memory that CUDA keeps for itself in each block
_BLACKWELL = 100  # from this compute capability on, the compiler needs more registers
_HOPPER = 90
_LONGEST_SIDE = 2**30  # the kernels' coordinates have 32 bits, with room for a tile


@dataclass(frozen=True)
class Device:
    """What a plan needs to know of a GPU; the defaults are those of an H100."""

    multiprocessors: int = 132
    shared_per_block: int = 227 * 1024  # bytes, with the opt-in
    shared_per_multiprocessor: int = 228 * 1024
    capability: int = 90  # 10 times the compute capability


@dataclass(frozen=True)
class Depth:
    """What a call has along z; one plane against another is a volume of depth 1."""

    size: int = 1
    first: int = 0  # of the planes to denoise
    planes: int = 1
    radius: int = 0  # of the search window
    taps: tuple[float, ...] = (1.0,)


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
    depth: Depth = Depth()

    @staticmethod
    def of(given: PlanePair | Slab, values: int, *, peak: bool = False) -> Problem:
        """A pair or a slab, with so many of its values."""
        height, width = given.vote.shape[-2:]
        if max(height, width) > _LONGEST_SIDE:
            raise MemoryLimitError(
                f"a plane of {height} x {width} is too large for the GPU: "
                f"sides go up to {_LONGEST_SIDE}; use tiles"
            )
        depth, own, feature = Depth(), True, None
        if isinstance(given, Slab):
            feature, (first, end) = given.feature, given.planes
            depth = Depth(
                len(given.vote), first, end - first, given.radius[0], tuple(map(float, given.taps[0]))
            )
        else:
            feature, own = given.query, given.own
        bias, scale = (None if getattr(x, "ndim", 0) else float(x) for x in (given.bias, given.scale))
        down, along = (np.asarray(taps, np.float64) for taps in given.taps[-2:])  # numbers of the plan
        radius = (given.radius[-2], given.radius[-1])
        kinds = (own, bias, scale, peak, depth)
        return Problem(height, width, len(feature), values, radius, (down, along), *kinds)

    @cached_property
    def _key(self) -> tuple[Any, ...]:
        """Equal for equal calls."""
        sizes = (self.height, self.width, self.channels, self.values, self.radius, self.depth)
        taps = (self.taps[0].tobytes(), self.taps[1].tobytes())
        return (*sizes, *taps, self.own, self.bias, self.scale, self.peak)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Problem) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def patch(self) -> tuple[int, int]:
        return len(self.taps[0]) // 2, len(self.taps[1]) // 2

    @property
    def box(self) -> bool:
        return all(bool(np.all(taps == taps[0])) for taps in self.taps)

    @property
    def shifts(self) -> int:
        return (2 * self.depth.radius + 1) * (2 * self.radius[0] + 1) * (2 * self.radius[1] + 1)

    @property
    def stacked(self) -> int:
        """Planes that a patch compares: those along z are as many channels more."""
        return self.channels * len(self.depth.taps)

    @property
    def per_query(self) -> bool:
        return self.bias is None or self.scale is None

    def options(self, channels: int | None = None) -> tuple[str, ...]:
        """What is compiled into every kernel; `channels` in place of the image's."""
        depth = self.depth
        planes = max(self.channels * depth.size, self.values * max(depth.size, depth.planes * MOST_SLICES))
        options = (f"-DCHANNELS={channels or self.channels}", f"-DVALUES={self.values}")
        return options if planes * self.height * self.width < 2**29 else (*options, "-DINDEX=long long")


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
    rolled: bool  # a loop over channels saves registers

    @staticmethod
    def best(kernel: str, problem: Problem, device: Device) -> Shape | None:
        """The shape that fits the most warps on a multiprocessor and loads little; None when none fits."""
        if max(*problem.patch, len(problem.depth.taps) // 2) > LARGEST_PATCH or problem.values > MOST_VALUES:
            return None
        rows, registers_for = _rows(kernel, problem, device)
        least: Shape | None = None
        for wanted in (registers_for, 4, 2, 1):
            for warps in (4, 2, 1):
                if warps > wanted:
                    continue
                budget = device.shared_per_multiprocessor * warps // wanted - _RESERVED
                shape = _fitting(kernel, problem, rows, warps, min(budget, device.shared_per_block))
                if shape is None or (least is not None and least.loading <= 2 * shape.loading):
                    continue
                rolled = problem.stacked > 1 and device.capability >= _BLACKWELL
                least = replace(shape, warps_wanted=registers_for, rolled=rolled)
                if least.loading <= _MOST_LOADING:
                    return least
        return least

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
    def loading(self) -> float:
        """Words of the tiles for one useful (pixel, shift) pair."""
        pairs = self.block_rows * self.block_columns * self.chunk_y * self.chunk_x
        return self.used_bytes / 4 / pairs

    @property
    def shared_bytes(self) -> int:
        return -(-self.used_bytes // 16) * 16

    @property
    def used_bytes(self) -> int:
        """Of shared memory, before it is rounded up."""
        value_rows, more = self.block_rows, self.chunk_y - 1
        weight_rows = value_rows + (0 if self.kernel == "accumulate" else 2 * self.patch[0])
        query_rows = weight_rows + 2 * self.patch[0]
        words = self.channels * (query_rows * SPAN + (query_rows + more) * self.pitch)
        words += self.values * value_rows * SPAN
        words += self.values * (value_rows + more) * self.pitch
        if self.kernel == "aggregate":
            words += weight_rows * SPAN * (3 if self.per_query else 1)
        return 4 * words + (weight_rows + more) * self.pitch  # a vote is a byte

    def with_chunks(self, least: int) -> Shape:
        """The same with at least so many chunks in a plane of the window, if that has as many rows."""
        size_y = 2 * self.radius[0] + 1
        chunk_y = min(self.chunk_y, max(1, size_y * self.chunks_x // least))
        return replace(self, chunk_y=chunk_y, chunks_y=-(-size_y // chunk_y))

    def blocks_x(self, problem: Problem) -> int:
        return -(-problem.width // self.block_columns)

    def blocks(self, problem: Problem) -> int:
        """Of one plane."""
        return self.blocks_x(problem) * -(-problem.height // self.block_rows)

    def slices(self, problem: Problem, device: Device) -> int:
        """Parts of the window that run side by side: for small pictures, and for huge windows."""
        resident = max(1, device.shared_per_multiprocessor // (self.shared_bytes + _RESERVED))
        resident = min(resident, max(1, self.warps_wanted // self.warps))
        blocks = self.blocks(problem) * problem.depth.planes
        to_fill = -(-2 * device.multiprocessors * resident // blocks)
        to_keep_digits = -(-problem.shifts // _SHIFTS_IN_A_SUM)
        chunks = (2 * problem.depth.radius + 1) * (2 * problem.radius[0] + 1) * self.chunks_x
        return max(1, min(max(to_fill, to_keep_digits), MOST_SLICES, chunks))

    def options(self, problem: Problem) -> tuple[str, ...]:
        """What is compiled in: everything but sizes, radii and numbers."""
        bias = 2 if problem.per_query else 1 if problem.bias else 0
        return (
            *problem.options(problem.stacked),
            *([] if problem.depth == Depth() else ["-DDEEP=1", f"-DPLANES={len(problem.depth.taps)}"]),
            *["-DUNROLLED_CHANNELS=1"] * self.rolled,
            f"-DPATCH_Y={self.patch[0]}",
            f"-DPATCH_X={self.patch[1]}",
            f"-DBOX={problem.box:d}",
            f"-DBIAS={bias}",
            f"-DROWS={self.rows}",
            f"-DWARPS={self.warps}",
            f"-DBLOCKS={max(1, self.warps_wanted // self.warps)}",
        )


def _rows(kernel: str, problem: Problem, device: Device) -> tuple[int, int]:
    """Rows of a thread, and warps that share the registers: 12 have 168 registers a thread, 8 have 255.

    Found with ptxas for sm_75 to sm_120: as many rows as do not spill (2 ry + 2 at most).
    """
    one_plane = problem.stacked == 1 and problem.values <= 1
    old = device.capability < _BLACKWELL
    if kernel == "accumulate":
        plain = one_plane and problem.box and not problem.per_query
        few = plain and (problem.values == 0 or (not problem.peak and problem.patch[0] == 3))
        five = few and device.capability == _HOPPER and problem.patch[0] > 1
        rows = 5 if five else 4 if one_plane or old else 3 if problem.values < 4 else 2
        return rows, 12 if plain and old else 8
    most = {2: 6, 3: 8, 4: 6} if old else {2: 6, 3: 6, 4: 4}
    return most.get(problem.patch[0], 4) if one_plane else 4, 8


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
        channels=problem.stacked,
        values=problem.values,
        patch=problem.patch,
        radius=problem.radius,
        per_query=problem.per_query,
        rolled=False,
    )
    more_bytes = replace(one, chunk_y=2).used_bytes - one.used_bytes
    most = 1 + (budget // 16 * 16 - one.used_bytes) // more_bytes
    if most < 1:
        return None
    chunks_y = -(-size_y // most)
    return replace(one, chunk_y=-(-size_y // chunks_y), chunks_y=chunks_y)
