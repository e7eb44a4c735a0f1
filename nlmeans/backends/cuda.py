"""The window kernel on a GPU: plans of :mod:`nlmeans.backends.cuda_plan`, launched through CuPy.

Planes of a volume or film are one launch; to the kernels a pair of planes is a volume of depth 1.

Importing this module imports no CuPy and touches no driver: a process may fork until the first
CuPy array arrives.  Work is queued on CuPy's current stream of the device the arrays are on.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol, TypeVar

import numpy as np

from nlmeans.backends import cuda_plan
from nlmeans.backends.contract import Array, PlanePair, Request, Run, Slab, Sums
from nlmeans.backends.cuda_memory import CudaMemory, DeviceFullError
from nlmeans.backends.cuda_plan import Launch, Plan
from nlmeans.backends.cuda_shape import MOST_VALUES, Device, Problem
from nlmeans.errors import InvalidTypeError

LEAST_PLANES = 1  # of a slab: one launch of several planes of candidates is less than one of each
OLDEST = 75  # compute capability 7.5, Turing: the oldest that the compilers of CUDA 13 know
_T = TypeVar("_T")


def can_run(request: Request) -> str | None:
    """Where CuPy finds a GPU that is new enough; the device is looked for once in a process."""
    return _missing()


def works_in(dtype: str) -> str:
    """float32, whatever the image's type."""
    return "float32"


def namespace() -> Any:
    """CuPy."""
    return import_module("cupy")


def accumulate(pair: PlanePair, run: Run, *, peak: bool = False) -> Sums:
    """Weighted sums over the search window; see the contract."""
    with _on_device_of(pair.query) as executor:
        return accumulate_on(executor, pair, run, peak=peak)


def aggregate(pair: PlanePair, run: Run, normaliser: Array, center: Array | None, token: Any = None) -> Sums:
    """The same sums with every weight spread over its patch; it needs no token."""
    with _on_device_of(pair.query) as executor:
        return aggregate_on(executor, pair, run, normaliser, center)


def accumulate_slab(slab: Slab, run: Run, *, peak: bool = False) -> Sums:
    """Weighted sums over the search window of the slab's planes; see the contract."""
    with _on_device_of(slab.feature) as executor:
        return accumulate_on(executor, slab, run, peak=peak)


def aggregate_slab(slab: Slab, run: Run, normaliser: Array, center: Array) -> Sums:
    """The same sums with every weight spread over its patch, in its plane; see the contract."""
    with _on_device_of(slab.feature) as executor:
        return aggregate_on(executor, slab, run, normaliser, center)


def memory() -> CudaMemory:
    """Of the current device; see the contract."""
    return CudaMemory()


# --- the entries, for any executor -----------------------------------------------------------


class Executor(Protocol):
    """Memory and launches: CuPy's, or those of the tests' emulator."""

    device: Device

    def empty(self, shape: tuple[int, ...]) -> Array:
        """float32, not initialised."""

    def floats(self, numbers: Array) -> Array:
        """The numbers in the executor's memory, float32, in one piece."""

    def launch(self, launch: Launch, arguments: list[Any]) -> None:
        """Queue one launch."""


def accumulate_on(executor: Executor, given: PlanePair | Slab, run: Run, *, peak: bool = False) -> Sums:
    """`accumulate` or `accumulate_slab` on a given executor."""
    sums = _empty(executor, given, peak)
    results = {"denominator": sums.denominator, "peak": sums.peak}
    for values, buffers in _parts(executor, given, sums.numerator):
        problem = Problem.of(given, values, peak=peak)
        _execute(executor, cuda_plan.accumulate(problem, executor.device), buffers | results, given)
    if run.tick is not None:
        run.tick(1.0)
    return sums


def aggregate_on(
    executor: Executor, given: PlanePair | Slab, run: Run, normaliser: Array, center: Array | None
) -> Sums:
    """`aggregate` or `aggregate_slab` on a given executor."""
    sums = _empty(executor, given)
    results = {
        "denominator": sums.denominator,
        "normaliser": executor.floats(normaliser),
        "center": None if center is None else executor.floats(center),
    }
    for values, buffers in _parts(executor, given, sums.numerator):
        problem = Problem.of(given, values)
        _execute(executor, cuda_plan.aggregate(problem, executor.device), buffers | results, given)
    if run.tick is not None:
        run.tick(1.0)
    return sums


def _empty(executor: Executor, given: PlanePair | Slab, peak: bool = False) -> Sums:
    """Sums of a pair (V, H, W), or of a slab's planes (V, n, H, W)."""
    plane, values = tuple(given.vote.shape), len(given.value)
    if isinstance(given, Slab):
        plane = (given.planes[1] - given.planes[0], *plane[1:])
    sums = Sums(executor.empty((values, *plane)), executor.empty(plane))
    sums.peak = executor.empty(plane) if peak else None
    return sums


def _parts(
    executor: Executor, given: PlanePair | Slab, numerator: Array
) -> Iterator[tuple[int, dict[str, Any]]]:
    """At most as many values as fit a kernel's registers at a time: their number, and all buffers by name."""
    value = own_value = given.value
    if isinstance(given, Slab):
        query = key = given.feature
    else:
        query, key, own_value = given.query, given.key, given.own_value
    features = executor.floats(query)
    buffers = {
        "query": features,
        "key": features if key is query else executor.floats(key),
        "vote": executor.floats(given.vote),
    }
    for name, per_query in (("bias", given.bias), ("scale", given.scale)):
        buffers[name] = executor.floats(per_query) if getattr(per_query, "ndim", 0) else None
    for first in range(0, max(len(value), 1), MOST_VALUES):
        some = slice(first, first + MOST_VALUES)
        values = executor.floats(value[some])
        own = values if own_value is value else executor.floats(own_value[some])
        yield len(values), buffers | {"value": values, "own_value": own, "numerator": numerator[some]}


def _execute(executor: Executor, plan: Plan, buffers: dict[str, Any], given: PlanePair | Slab) -> None:
    """Every launch of a plan, with scratch for the time of it; few need the taps as arrays."""
    named = buffers | {name: executor.empty(shape) for name, shape in plan.scratch.items()}
    if plan.needs_taps:
        taps = given.taps if isinstance(given, Slab) else (np.ones(1), *given.taps)
        named |= {f"taps_{axis}": executor.floats(each) for axis, each in zip("zyx", taps, strict=True)}
    for launch in plan.launches:
        executor.launch(launch, [named[a] if isinstance(a, str) else a for a in launch.arguments])


# --- CuPy ------------------------------------------------------------------------------------


@cache
def _missing() -> str | None:
    """Why there is no GPU to work on, or None."""
    if find_spec("cupy") is None:
        return (
            "CuPy is not installed; pip install 'nlmeans[cuda13]' (or 'nlmeans[cuda12]' for a CUDA 12 driver)"
        )
    if not _has_driver():
        return "there is no NVIDIA driver on this machine; install one"
    try:
        return _missing_device(import_module("cupy"))
    except Exception as error:  # a broken installation may raise anything
        return f"CuPy or CUDA does not start ({error}); install the CuPy that fits your NVIDIA driver"


def _has_driver() -> bool:
    """Whether the driver's library is there, asked without starting CUDA or importing CuPy."""
    if "cupy" in sys.modules:
        return True  # it will say
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def _missing_device(cupy: Any) -> str | None:
    devices = cupy.cuda.runtime.getDeviceCount()
    if devices == 0:
        return "there is no CUDA device on this machine"
    newest = max(_describe(number).capability for number in range(devices))
    if newest < OLDEST:
        return f"the GPU has compute capability {newest / 10}; {OLDEST / 10} or newer is needed"
    return None


class _OnDevice:
    """The executor of one CuPy device; a context, so that new memory and launches are there."""

    def __init__(self, number: int) -> None:
        self.cupy = import_module("cupy")
        self.number = number
        self.device = _describe(number)

    def __enter__(self) -> _OnDevice:
        self._context = self.cupy.cuda.Device(self.number)
        self._context.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        self._context.__exit__(*raised)

    def empty(self, shape: tuple[int, ...]) -> Array:
        return self._allocating(lambda: self.cupy.empty(shape, np.float32))

    def floats(self, numbers: Array) -> Array:
        if isinstance(numbers, np.ndarray):  # which CuPy's `ascontiguousarray` refuses
            return self._allocating(lambda: self.cupy.asarray(numbers, np.float32))
        if numbers.dtype == np.float32 and numbers.flags.c_contiguous:
            return numbers
        return self._allocating(lambda: self.cupy.ascontiguousarray(numbers, np.float32))

    def launch(self, launch: Launch, arguments: list[Any]) -> None:
        loaded = _kernel(self.number, launch.source, launch.options, launch.kernel)
        loaded.allow(launch.shared_bytes)
        loaded.kernel(launch.grid, launch.block, tuple(arguments), shared_mem=launch.shared_bytes)

    def _allocating(self, allocate: Callable[[], _T]) -> _T:
        """Once more with the pool's unused blocks given back, when memory runs out."""
        out_of_memory = self.cupy.cuda.memory.OutOfMemoryError
        try:
            return allocate()
        except out_of_memory:
            self.cupy.get_default_memory_pool().free_all_blocks()
        try:
            return allocate()
        except out_of_memory as error:
            raise DeviceFullError(
                f"the GPU has too little free memory ({error}); use smaller tiles"
            ) from error


def _on_device_of(array: Array) -> _OnDevice:
    """Work where the array is."""
    if not type(array).__module__.startswith("cupy"):
        raise InvalidTypeError(f"the CUDA backend works on CuPy arrays, got {type(array).__name__}")
    return _OnDevice(array.device.id)


@cache
def _describe(number: int) -> Device:
    device = import_module("cupy").cuda.Device(number)
    attributes = device.attributes  # which lacks the compute capability
    return Device(
        multiprocessors=attributes["MultiProcessorCount"],
        shared_per_block=attributes["MaxSharedMemoryPerBlockOptin"],
        shared_per_multiprocessor=attributes["MaxSharedMemoryPerMultiprocessor"],
        capability=int(device.compute_capability),
    )


class _Loaded:
    """A compiled kernel, and the shared memory it may use so far."""

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self._allowed = 48 * 1024

    def allow(self, shared_bytes: int) -> None:
        """As much shared memory, asked of the driver once."""
        if shared_bytes > self._allowed:
            self.kernel.max_dynamic_shared_size_bytes = shared_bytes
            self.kernel.preferred_shared_memory_carveout = 100  # per cent: as many blocks as were planned
            self._allowed = shared_bytes


@cache
def _kernel(number: int, source: str, options: tuple[str, ...], name: str) -> _Loaded:
    """A compiled kernel; CuPy keeps the machine code on disk by text, options and architecture."""
    module = import_module("cupy").RawModule(
        code=cuda_plan.source(source), options=("-std=c++17", *options), backend="nvrtc"
    )
    return _Loaded(module.get_function(name))
