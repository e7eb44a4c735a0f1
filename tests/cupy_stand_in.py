"""As much of CuPy as the package touches, strict where CuPy is strict and late where a GPU is late.

Arrays are no NumPy arrays and do not mix with them.  Copies on streams of their own happen when
somebody waits for them, and until then their target holds nonsense: whoever forgets to wait sees it.
"""

from __future__ import annotations

import sys
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.lib.mixins import NDArrayOperatorsMixin

from nlmeans import backends
from nlmeans.backends import cuda, cuda_memory, cuda_plan
from nlmeans.backends.contract import PlanePair, Run, Sums
from nlmeans.backends.cuda_plan import Launch

from .cuda_emulator.emulator import Emulator


class Array(NDArrayOperatorsMixin):
    """A CuPy array, in the processor's memory."""

    cupy: FakeCuPy

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = getattr(self.values, name)
        if not callable(found):
            return wrapped(found)
        return lambda *given, **named: wrapped(found(*unwrapped(given), **unwrapped(named)))

    @property
    def device(self) -> Any:
        return self.cupy.cuda.Device(0)

    def __array__(self, *given: Any, **named: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **named: Any) -> Any:
        out = named.pop("out", None)
        result = getattr(ufunc, method)(*unwrapped(inputs), **unwrapped(named))
        if out is None:
            return wrapped(result)
        out[0].values[...] = result
        return out[0]

    def __array_function__(self, function: Any, types: Any, given: Any, named: Any) -> Any:
        return wrapped(function(*unwrapped(given), **unwrapped(named)))

    def __getitem__(self, index: Any) -> Any:
        return wrapped(self.values[unwrapped(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        self.values[unwrapped(index)] = unwrapped(value)

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Any:
        return (wrapped(v) for v in self.values)

    def __bool__(self) -> bool:
        return bool(self.values)

    def __float__(self) -> float:
        return float(self.values)

    def __int__(self) -> int:
        return int(self.values)

    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True) -> Any:
        self.cupy.log.append(("down", self.values.dtype.name, self.values.nbytes))
        if blocking:
            return self.values.copy()
        assert stream is not None
        assert out.flags.c_contiguous
        assert out.shape == self.values.shape
        spoil(out)
        needed, self.cupy.uploads = self.cupy.uploads, []

        def copy() -> None:
            assert all(there() is not None for there in needed), "memory was freed while it was in use"
            out[...] = self.values

        stream.later.append(copy)
        return out

    def set(self, values: Any, stream: Any = None) -> None:
        self.cupy.log.append(("up", values.dtype.name, values.nbytes))
        assert values.flags.c_contiguous
        assert values.dtype == self.values.dtype
        assert values.shape == self.values.shape
        spoil(self.values)
        self.cupy.uploads.append(weakref.ref(self))
        stream.later.append(lambda: self.values.__setitem__(..., values))


Array.__module__ = "cupy"


def spoil(values: Any) -> None:
    """Nonsense, until a copy arrives."""
    values[...] = 77


def wrapped(result: Any) -> Any:
    """NumPy results as arrays of the device; scalars are arrays there too."""
    if isinstance(result, np.ndarray | np.generic):
        return Array(result)
    if isinstance(result, list):
        return [wrapped(r) for r in result]
    return result


def unwrapped(given: Any) -> Any:
    """The values of arrays of the device; NumPy arrays do not mix with them."""
    if isinstance(given, Array):
        return given.values
    if isinstance(given, np.ndarray) and given.ndim:
        raise TypeError(f"Unsupported type {type(given)}")
    if isinstance(given, tuple | list):
        return type(given)(unwrapped(g) for g in given)
    if isinstance(given, dict):
        return {name: unwrapped(g) for name, g in given.items()}
    return given


class Event:
    """Everything that a stream had to do when it was recorded."""

    def __init__(self, stream: Stream) -> None:
        self._stream, self._until = stream, stream.done + len(stream.later)

    def synchronize(self) -> None:
        self._stream.cupy.log.append(("wait", "", 0))
        self._stream.work(self._until)


class Mark:
    """An event that was made by itself, to read the time from."""

    def __init__(self) -> None:
        self.at = 0.0

    def record(self) -> None:
        self.at = time.perf_counter()

    def synchronize(self) -> None: ...


class Stream:
    """Work that is done when it is waited for; that of the current stream is done at once."""

    def __init__(self, cupy: FakeCuPy, name: str) -> None:
        self.cupy, self.name = cupy, name
        self.later: list[Callable[[], None]] = []
        self.done = 0

    def work(self, until: int) -> None:
        while self.done < until:
            self.later.pop(0)()
            self.done += 1

    def record(self) -> Event:
        return Event(self)

    def wait_event(self, event: Event) -> None:
        if self is self.cupy.streams[-1]:
            event._stream.work(event._until)

    def synchronize(self) -> None:
        self.cupy.log.append(("synchronize", self.name, 0))
        self.work(self.done + len(self.later))

    def __enter__(self) -> None:
        self.cupy.streams.append(self)

    def __exit__(self, *raised: object) -> None:
        self.cupy.streams.pop()


class Kernel:
    """What RawModule gives for a name."""

    max_dynamic_shared_size_bytes = 48 * 1024

    def __init__(self, cupy: FakeCuPy, source: str, options: tuple[str, ...], name: str) -> None:
        self.cupy, self.source, self.options, self.name = cupy, source, options, name

    def __call__(self, grid: Any, block: Any, arguments: tuple[Any, ...], *, shared_mem: int) -> None:
        assert shared_mem <= self.max_dynamic_shared_size_bytes
        assert self.options[0] == "-std=c++17"
        launch = Launch(self.name, self.source, self.options[1:], grid, block, shared_mem, ())
        assert all(isinstance(a, Array | np.generic | None) or a.dtype == cuda_plan.WINDOW for a in arguments)
        self.cupy.emulator.launch(launch, [a.values if isinstance(a, Array) else a for a in arguments])


class FakeCuPy(ModuleType):
    """The module."""

    ndarray = Array
    __version__ = "14"

    def __init__(
        self, capability: int = 90, devices: int = 1, failing_allocations: int = 0, largest: int = 2**40
    ) -> None:
        super().__init__("cupy")
        Array.cupy = self
        self.emulator = Emulator()
        self.failing_allocations = failing_allocations
        self.largest = largest  # bytes that can be had at a time
        self.pools_freed = 0
        self.free_bytes = 2**30
        self.log: list[tuple[str, str, int]] = []
        self.uploads: list[Any] = []
        self.null = Stream(self, "null")
        self.streams = [self.null]
        self.devices_entered: list[int] = []
        attributes = {
            "MultiProcessorCount": 1,
            "MaxSharedMemoryPerBlockOptin": 227 * 1024,
            "MaxSharedMemoryPerMultiprocessor": 228 * 1024,
            "ClockRate": 1_980_000,
        }
        fake = self

        class Device:
            def __init__(self, number: int) -> None:
                self.id, self.attributes, self.compute_capability = number, attributes, str(capability)

            def __enter__(self) -> None:
                fake.devices_entered.append(self.id)

            def __exit__(self, *raised: object) -> None: ...

        class OutOfMemoryError(MemoryError):
            pass

        class CudaError(RuntimeError):
            def __init__(self, status: int, words: str = "cuda") -> None:
                super().__init__(words)
                self.status = status

        class DriverError(CudaError):
            pass

        class AnyStream(Stream):
            null = self.null

            def __init__(self, non_blocking: bool = False) -> None:
                assert non_blocking, "a blocking stream waits for the default one"
                super().__init__(fake, "own")

            @staticmethod
            def from_external(other: Any) -> Stream:
                return Stream(fake, f"external {other.__cuda_stream__()[1]}")

        self.out_of_memory = OutOfMemoryError
        self.cuda = SimpleNamespace(
            Device=Device,
            Stream=AnyStream,
            Event=Mark,
            get_elapsed_time=lambda first, last: 1000 * (last.at - first.at),
            get_current_stream=lambda: self.streams[-1],
            runtime=SimpleNamespace(
                getDeviceCount=lambda: devices,
                getDevice=lambda: 0,
                getDeviceProperties=lambda number: {"name": b"a stand-in", "totalGlobalMem": 2**34},
                driverGetVersion=lambda: 13000,
                runtimeGetVersion=lambda: 13000,
                memGetInfo=self._memory,
                CUDARuntimeError=CudaError,
            ),
            driver=SimpleNamespace(CUDADriverError=DriverError),
            memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        )

    def __getattr__(self, name: str) -> Any:
        function = getattr(np, name)
        if not callable(function) or isinstance(function, type):
            return function

        def call(*given: Any, **named: Any) -> Any:
            result = wrapped(function(*unwrapped(given), **unwrapped(named)))
            if isinstance(result, Array):
                self._allocate(result.values.nbytes)
            return result

        return call

    def _memory(self) -> tuple[int, int]:
        self.log.append(("memory?", "", 0))
        return self.free_bytes, 2**40

    def _allocate(self, size: int) -> None:
        if self.failing_allocations or size > self.largest:
            self.failing_allocations = max(0, self.failing_allocations - 1)
            raise self.out_of_memory("no memory")

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        self._allocate(int(np.prod(shape)) * np.dtype(dtype).itemsize)
        found = np.empty(shape, dtype)
        found.reshape(-1).view(np.uint8)[...] = 0xFF
        return Array(found)

    def asarray(self, values: Any, dtype: Any = None) -> Any:
        if isinstance(values, Array):
            return Array(values.values.astype(dtype or values.dtype, copy=False))
        found = np.array(values, dtype)
        self._allocate(found.nbytes)
        if isinstance(values, np.ndarray):
            self.log.append(("up", found.dtype.name, found.nbytes))
        return Array(found)

    def ascontiguousarray(self, values: Any, dtype: Any = None) -> Any:
        if not isinstance(values, Array):
            raise TypeError(f"Argument 'a' has incorrect type (got {type(values).__name__})")
        return Array(np.ascontiguousarray(values.values, dtype))

    def from_dlpack(self, tensor: Any) -> Any:
        return tensor.array

    def get_default_memory_pool(self) -> Any:
        def free() -> None:
            self.pools_freed += 1

        return SimpleNamespace(free_all_blocks=free, free_bytes=lambda: 0)

    def RawModule(self, *, code: str, options: tuple[str, ...], backend: str) -> Any:
        names = {
            cuda_plan.source(n): n for n in ("accumulate.cu", "aggregate.cu", "readable.cu", "reduce.cu")
        }
        return SimpleNamespace(get_function=lambda name: Kernel(self, names[code], options, name))

    def moved(self, way: str) -> int:
        """Bytes that went "up" or came "down"."""
        return sum(size for what, _, size in self.log if what == way)


def install(monkeypatch: pytest.MonkeyPatch, fake: FakeCuPy) -> FakeCuPy:
    """The stand-in in place of CuPy."""
    extra: Any = ModuleType("cupyx")
    extra.empty_pinned = lambda shape, dtype: np.empty(shape, dtype)
    for name, module in (("cupy", fake), ("cupyx", extra), ("array_api_compat.cupy", fake)):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(cuda, "find_spec", lambda name: object())
    return fake


def with_reference(monkeypatch: pytest.MonkeyPatch, fake: FakeCuPy) -> FakeCuPy:
    """The reference in place of the kernels, for tests of what moves and of what is asked."""
    exact = backends.load("reference")

    def there(value: Any) -> Any:
        return value.values if isinstance(value, Array) else value

    def on_processor(pair: PlanePair) -> PlanePair:
        for name in ("query", "key", "value", "own_value", "vote"):
            assert isinstance(getattr(pair, name), Array)
        assert all(isinstance(taps, np.ndarray) for taps in pair.taps), (
            "asking the device for taps waits for it"
        )
        names = ("query", "key", "value", "own_value", "vote", "bias", "scale")
        return replace(pair, **{n: there(getattr(pair, n)) for n in names})

    def on_device(sums: Sums) -> Sums:
        found = {n: getattr(sums, n) for n in ("numerator", "denominator", "peak")}
        return Sums(**{n: None if v is None else fake.asarray(Array(v)) for n, v in found.items()})

    def accumulate(pair: PlanePair, run: Run, **options: Any) -> Sums:
        fake.log.append(("kernel", fake.streams[-1].name, 0))
        return on_device(exact.accumulate(on_processor(pair), run, **options))

    def aggregate(pair: PlanePair, run: Run, *planes: Any) -> Sums:
        return on_device(exact.aggregate(on_processor(pair), run, *map(there, planes)))

    monkeypatch.setattr(cuda, "accumulate", accumulate)
    monkeypatch.setattr(cuda, "aggregate", aggregate)
    monkeypatch.setattr(cuda, "LEAST_PLANES", 0)  # the reference knows pairs of planes only
    return fake


CACHES = (cuda._missing, cuda._describe, cuda._kernel, cuda_memory._streams)


def forget() -> None:
    """No answer of one test is kept for the next."""
    for cached in CACHES:
        cached.cache_clear()
