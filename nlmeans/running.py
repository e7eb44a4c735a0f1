"""How the work is done: threads, memory, tiles, and how far it is; never what is computed."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass

from nlmeans import tiling
from nlmeans.arrays import Array, library, namespace
from nlmeans.backends.contract import Run
from nlmeans.choosing import Chosen
from nlmeans.errors import InvalidTypeError, MemoryLimitError, Parameter, shown
from nlmeans.inputs import Inputs
from nlmeans.methods import Method
from nlmeans.methods.composition import method_for
from nlmeans.parameters import integer

Progress = Callable[[float], None]
MEMORY_LIMIT = 3 * 2**26  # bytes of work besides input and output: a tile of about 700 x 4096 pixels
WORTH_OVERLAP = 2**24  # bytes of an image whose way to a device and back is worth several tiles
_ROWS_A_HALO = 64  # an image so many halos high can be cut in four at little cost


@dataclass
class Running:
    """How to work: threads, memory, and how much is done."""

    workers: int
    memory_limit: int | None
    progress: Progress | None
    done: float = 0.0

    @classmethod
    def checked(cls, workers: object, progress: Progress | None, memory_limit: object) -> Running:
        """From the caller's arguments."""
        if progress is not None and not callable(progress):
            raise InvalidTypeError(f"progress must be callable with a fraction, got {shown(progress)}")
        return cls(
            _available_processors() if workers is None else integer("workers", workers, 1, 1024),
            None if memory_limit is None else integer("memory_limit", memory_limit, 1, 2**62),
            progress,
        )

    def part(self, fraction: float) -> Run:
        """The run of what is this fraction of the whole work."""
        return Run(self.workers, None if self.progress is None else self._add).part(fraction)

    def finish(self) -> None:
        """All is done."""
        if self.progress is not None:
            self.progress(1.0)

    def _add(self, fraction: float) -> None:
        self.done += fraction
        if self.progress is not None and self.done < 1.0:
            self.progress(self.done)


def _available_processors() -> int:
    """Those this process may use, which can be fewer than the machine has."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def apply(
    chosen: Chosen,
    inputs: Inputs,
    backend: str = "auto",
    workers: int | None = None,
    progress: Progress | None = None,
    memory_limit: int | None = None,
) -> Array:
    """What was chosen, done to inputs: those it was chosen for, or others of the same kind; (V, Z, Y, X).

    Others (the next frame, a chunk) have the same type and channels.  A sigma map fits its own grid only.
    """
    running = Running.checked(workers, progress, memory_limit)
    method = method_for(chosen, inputs, backend)
    if method.changes_nothing or inputs.value_ends is None:
        running.finish()
        return inputs.value.copy()
    return in_tiles(inputs, method, running)


def in_tiles(inputs: Inputs, method: Method, running: Running) -> Array:
    """The result of a method; where a device's memory is full, again in tiles of half the size."""
    if inputs.mask is not None:
        inputs = inputs.with_holes_filled(method.patch_radius)
    own, limit = method.memory, _limit(inputs, method, running)
    full = ""
    while True:
        try:
            result = _tile_by_tile(inputs, method, running, limit)
        except Exception as error:
            if own is None or not own.ran_out(error):
                if not full or not isinstance(error, MemoryLimitError):
                    raise
                raise MemoryLimitError(
                    f"the GPU has too little free memory even for the smallest tile ({full}); "
                    "free some, or make ",
                    Parameter("search_radius"),
                    " smaller",
                ) from None
            full = str(error)
        else:
            running.finish()
            return result
        own.release()  # not above: until there the error's frames hold arrays of the device
        limit = min(limit, method.cost.of(inputs.value.shape[1:])) // 2


def _limit(inputs: Inputs, method: Method, running: Running) -> int:
    """Bytes of work at a time; a device is asked what it has when that matters."""
    if running.memory_limit is not None:
        return running.memory_limit
    if method.memory is None or method.cost.of(inputs.value.shape[1:]) <= MEMORY_LIMIT:
        return MEMORY_LIMIT
    return max(method.memory.limit(), 1)


def _tile_by_tile(inputs: Inputs, method: Method, running: Running, limit: int) -> Array:
    """One tile where it fits at once; images that are not on the device go there and back on the way."""
    shape, own = inputs.value.shape[1:], method.memory
    whole = inputs.whole or shape
    result = namespace(inputs.value).empty_like(inputs.value)
    moving = own.transfers() if own is not None and library(inputs.value) == "numpy" else None
    cuts = tiling.plan(shape, method.halo, method.cost, limit)
    if moving is not None and len(cuts) == 1 and _worth_overlap(inputs, method):
        with suppress(MemoryLimitError):  # there is room for the whole: a halo too wide to cut is no error
            cuts = tiling.plan(shape, method.halo, method.cost, method.cost.of(shape) // 3)
    rest, voxels = 1.0 - running.done, math.prod(shape)
    bring = None if moving is None else moving.up
    with moving or nullcontext():
        for cut in cuts:
            tile = inputs.tile(cut.seen, method.levels, method.dtype, method.library, method.sigma_map, bring)
            origin = tuple(s.start + first for s, first in zip(cut.seen, inputs.origin, strict=True))
            planes = range(cut.inner[0].start, cut.inner[0].stop)
            part = running.part(rest * math.prod(s.stop - s.start for s in cut.core) / voxels)
            change = method.run(tile, origin, whole, planes, part)
            kept = change[(slice(None), slice(None), *cut.inner[1:])]
            clean = method.levels[0].changed(tile.pixels[(slice(None), *cut.inner)], kept)
            inputs.put(clean, result, cut.core, moving)
    return result


def _worth_overlap(inputs: Inputs, method: Method) -> bool:
    """Whether a large picture should be cut, so that its parts move while others are worked on."""
    shape, halo = inputs.value.shape[1:], method.halo
    axis = 1 if shape[1] > tiling.SMALLEST else 2  # the axis that a plan cuts: a signal has one row
    flat = shape[0] == 1 and halo[0] == 0
    wide = shape[axis] >= _ROWS_A_HALO * halo[axis]
    return flat and inputs.value.nbytes >= WORTH_OVERLAP and wide
