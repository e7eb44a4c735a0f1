"""The GPU's memory: how much there is, when it is full, and tiles on their way there and back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from nlmeans.backends.contract import Array
from nlmeans.errors import MemoryLimitError

_SHARE = 0.6  # of the free memory: temporary arrays come on top of what is counted
_SMALL = 2**20  # bytes below which a copy is not worth a stream of its own
_IN_FLIGHT = 2  # tiles whose results are on their way while the next is queued
_OUT_OF_MEMORY = 2  # cudaErrorMemoryAllocation and CUDA_ERROR_OUT_OF_MEMORY


class CudaMemory:
    """The memory of the current device, as CuPy sees it."""

    def __init__(self) -> None:
        self._cupy = import_module("cupy")

    def limit(self) -> int:
        """A share of what is free, the pool's unused blocks included."""
        free, _ = self._cupy.cuda.runtime.memGetInfo()
        return int(_SHARE * (free + self._cupy.get_default_memory_pool().free_bytes()))

    def ran_out(self, error: BaseException) -> bool:
        """CuPy's own error, ours for it, or CUDA's error number 2; no other number."""
        cuda = self._cupy.cuda
        if isinstance(error, cuda.memory.OutOfMemoryError | DeviceFullError):
            return True
        cuda_errors = (cuda.runtime.CUDARuntimeError, cuda.driver.CUDADriverError)
        return isinstance(error, cuda_errors) and getattr(error, "status", None) == _OUT_OF_MEMORY

    def release(self) -> None:
        """Free the pool's unused blocks."""
        self._cupy.get_default_memory_pool().free_all_blocks()

    def transfers(self) -> Pipeline:
        """A pipeline on the current stream."""
        return Pipeline(self._cupy)


class DeviceFullError(MemoryLimitError):
    """The device's memory is full though unused blocks were freed."""


@dataclass
class _Tile:
    """One tile in flight: what must not be freed before it is down."""

    kept: list[Any] = field(default_factory=list)
    there: Any = None  # pinned NumPy array that fills
    done: Any = None  # event
    put: Callable[[Array], None] | None = None


class Pipeline:
    """Copies on streams of their own through pinned memory: tile n + 1 goes up and n - 1 comes down
    while the current stream works on tile n.

    Device memory of a copy belongs to the stream it was allocated on, so everything a tile uses is
    kept until its result is down.
    """

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy
        self._tile = _Tile()
        self._flying: deque[_Tile] = deque()

    def up(self, part: Array) -> Array:
        """Small arrays on the current stream (CuPy pins them itself), large ones beside it."""
        cupy = self._cupy
        if part.nbytes < _SMALL:
            return cupy.asarray(part)
        current, (stream, _) = cupy.cuda.get_current_stream(), _streams(cupy.cuda.runtime.getDevice())
        pinned = _pinned(part.shape, part.dtype.newbyteorder("="))
        pinned[...] = part
        with stream:
            there = cupy.empty(part.shape, pinned.dtype)
        there.set(pinned, stream=stream)
        current.wait_event(stream.record())
        self._tile.kept += [pinned, there]
        return there

    def down(self, result: Array, put: Callable[[Array], None]) -> None:
        """Queue it; the oldest in flight is waited for when there are enough."""
        cupy = self._cupy
        if result.nbytes < _SMALL:
            put(result.get())
            self._tile = _Tile()
            return
        current, (_, stream) = cupy.cuda.get_current_stream(), _streams(cupy.cuda.runtime.getDevice())
        result = cupy.ascontiguousarray(result)
        stream.wait_event(current.record())
        tile, self._tile = self._tile, _Tile()
        tile.there, tile.put = _pinned(result.shape, result.dtype), put
        tile.kept.append(result)
        result.get(stream=stream, out=tile.there, blocking=False)
        tile.done = stream.record()
        self._flying.append(tile)
        if len(self._flying) > _IN_FLIGHT:
            self._land()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        if kind is None:
            while self._flying:
                self._land()
            return
        cuda = self._cupy.cuda  # nothing may be freed that a copy or kernel still uses
        for stream in (cuda.get_current_stream(), *_streams(cuda.runtime.getDevice())):
            stream.synchronize()

    def _land(self) -> None:
        tile = self._flying.popleft()
        tile.done.synchronize()
        assert tile.put is not None
        tile.put(tile.there)


@cache
def _streams(number: int) -> tuple[Any, Any]:
    """One up and one down for each device, for ever: making them takes longer than using them."""
    cuda = import_module("cupy").cuda
    with cuda.Device(number):
        return cuda.Stream(non_blocking=True), cuda.Stream(non_blocking=True)


def _pinned(shape: tuple[int, ...], dtype: Any) -> Any:
    """A NumPy array that the device can copy to and from by itself; an ordinary one where none is left."""
    cupy = import_module("cupy")
    try:
        return import_module("cupyx").empty_pinned(shape, dtype)
    except cupy.cuda.runtime.CUDARuntimeError as error:
        if error.status != _OUT_OF_MEMORY:
            raise
        return np.empty(shape, dtype)
