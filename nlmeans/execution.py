"""How the work is done: threads, memory, tiles, and how far it is; never what is computed."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass

from nlmeans import tiling
from nlmeans.arrays import Array, library, namespace
from nlmeans.backends.contract import Backend, DeviceMemory, Run
from nlmeans.errors import InvalidTypeError, MemoryLimitError, shown
from nlmeans.parameters import integer
from nlmeans.planes import Geometry, filtered
from nlmeans.preparation import Prepared

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
        """From what the caller said."""
        if progress is not None and not callable(progress):
            raise InvalidTypeError(f"progress must be callable with a fraction, got {shown(progress)}")
        return cls(
            _available_processors() if workers is None else integer("workers", workers, 1, 1024),
            None if memory_limit is None else integer("memory_limit", memory_limit, 1, 2**62),
            progress,
        )

    def part(self, share: float) -> Run:
        """The run of one kernel call that is this share of the whole work."""
        return Run(self.workers, None if self.progress is None else lambda part: self._add(share * part))

    def finish(self) -> None:
        """All is done."""
        if self.progress is not None:
            self.progress(1.0)

    def _add(self, share: float) -> None:
        self.done += share
        if self.progress is not None and self.done < 1.0:
            self.progress(self.done)


def _available_processors() -> int:
    """Those this process may use, which can be fewer than the machine has."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def in_tiles(prepared: Prepared, geometry: Geometry, engine: Backend, running: Running) -> Array:
    """The filtered image; where a device's memory is full, again in tiles of half the size."""
    own = engine.memory()
    limit = _limit(prepared, running, own)
    full = ""
    while True:
        try:
            return _tile_by_tile(prepared, geometry, engine, running, limit, own)
        except Exception as error:
            if own is None or not own.ran_out(error):
                if not full or not isinstance(error, MemoryLimitError):
                    raise
                raise MemoryLimitError(
                    f"the GPU has too little free memory even for the smallest tile ({full}); "
                    "free some, or make search_radius smaller"
                ) from None
            full = str(error)
        own.release()  # not above: until there the error's frames hold arrays of the device
        limit = min(limit, prepared.cost.of(prepared.value.shape[1:])) // 2


def _limit(prepared: Prepared, running: Running, own: DeviceMemory | None) -> int:
    """Bytes of work at a time; a device is asked what it has when that matters."""
    if running.memory_limit is not None:
        return running.memory_limit
    if own is None or prepared.cost.of(prepared.value.shape[1:]) <= MEMORY_LIMIT:
        return MEMORY_LIMIT
    return max(own.limit(), 1)


def _tile_by_tile(
    prepared: Prepared,
    geometry: Geometry,
    engine: Backend,
    running: Running,
    limit: int,
    own: DeviceMemory | None,
) -> Array:
    """One tile where it fits at once; images that are not on the device go there and back on the way."""
    shape = prepared.value.shape[1:]
    result = namespace(prepared.value).empty_like(prepared.value)
    moving = own.transfers() if own is not None and library(prepared.value) == "numpy" else None
    tiles = tiling.plan(shape, geometry.halo, prepared.cost, limit)
    if moving is not None and len(tiles) == 1 and _worth_overlap(prepared, geometry):
        with suppress(MemoryLimitError):  # there is room for the whole: a halo too wide to cut is no error
            tiles = tiling.plan(shape, geometry.halo, prepared.cost, prepared.cost.of(shape) // 3)
    rest = 1.0 - running.done
    with moving or nullcontext():
        for tile in tiles:
            block = prepared.block(tile.block, engine.namespace(), moving)
            planes = range(tile.inner[0].start, tile.inner[0].stop)
            pixels = (tile.core[1].stop - tile.core[1].start) * (tile.core[2].stop - tile.core[2].start)
            share = rest * pixels / (shape[1] * shape[2]) / geometry.calls(shape[0])
            values = filtered(block, planes, geometry, engine, running.part(share))
            kept = values[(slice(None), slice(None), *tile.inner[1:])]
            prepared.store(kept, result, tile.core, moving)
    return result


def _worth_overlap(prepared: Prepared, geometry: Geometry) -> bool:
    """Whether a large picture should be cut, so that its parts move while others are worked on."""
    shape = prepared.value.shape[1:]
    cut = 1 if shape[1] > tiling.SMALLEST else 2  # the axis that a plan cuts: a signal has one row
    flat = shape[0] == 1 and geometry.halo[0] == 0
    wide = shape[cut] >= _ROWS_A_HALO * geometry.halo[cut]
    return flat and prepared.value.nbytes >= WORTH_OVERLAP and wide
