"""The CUDA backend's Python: reasons, plans, memory; CuPy is stood in for by NumPy and the emulator."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nlmeans.backends import cuda, cuda_plan
from nlmeans.backends.contract import PlanePair, Request, Run
from nlmeans.backends.cuda_plan import Launch
from nlmeans.backends.cuda_shape import Device, Problem, Shape
from nlmeans.errors import InvalidTypeError, MemoryLimitError

from .cuda_emulator.emulator import COMPILER, Emulator
from .cuda_emulator.problems import (
    Case,
    exact_accumulate,
    exact_aggregate,
    pair_of,
    picture_error,
    weight_error,
    weights_of_centre,
)

REQUEST = Request(array_library="numpy", dtype="float32", pixels=64, channels=1)


def test_importing_the_backend_loads_no_gpu_library() -> None:
    code = """
import sys
import nlmeans.backends.cuda
assert not {"cupy", "torch", "nvidia"} & set(sys.modules), sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# --- reasons ---------------------------------------------------------------------------------


class _Array(np.ndarray):
    """A NumPy array that says it is CuPy's."""

    @property
    def device(self) -> Any:
        return SimpleNamespace(id=0)


_Array.__module__ = "cupy"


class _Kernel:
    """What RawModule gives for a name."""

    max_dynamic_shared_size_bytes = 48 * 1024

    def __init__(self, cupy: FakeCuPy, source: str, options: tuple[str, ...], name: str) -> None:
        self.cupy, self.source, self.options, self.name = cupy, source, options, name

    def __call__(self, grid: Any, block: Any, arguments: tuple[Any, ...], *, shared_mem: int) -> None:
        assert shared_mem <= self.max_dynamic_shared_size_bytes
        assert self.options[0] == "-std=c++17"
        launch = Launch(self.name, self.source, self.options[1:], grid, block, shared_mem, ())
        self.cupy.emulator.launch(launch, list(arguments))


class FakeCuPy(ModuleType):
    """As much of CuPy as the backend touches."""

    def __init__(self, capability: int = 90, devices: int = 1, failing_allocations: int = 0) -> None:
        super().__init__("cupy")
        self.emulator = Emulator()
        self.failing_allocations = failing_allocations
        self.pools_freed = 0
        attributes = {
            "MultiProcessorCount": 1,
            "MaxSharedMemoryPerBlockOptin": 227 * 1024,
            "MaxSharedMemoryPerMultiprocessor": 228 * 1024,
            "ComputeCapabilityMajor": capability // 10,
            "ComputeCapabilityMinor": capability % 10,
        }

        class OnDevice:
            def __init__(self, number: int) -> None:
                self.attributes = attributes

            def __enter__(self) -> None: ...

            def __exit__(self, *raised: object) -> None: ...

        class OutOfMemoryError(MemoryError):
            pass

        self.out_of_memory = OutOfMemoryError
        self.cuda = SimpleNamespace(
            Device=OnDevice,
            runtime=SimpleNamespace(getDeviceCount=lambda: devices),
            memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        )

    def _allocate(self) -> None:
        if self.failing_allocations:
            self.failing_allocations -= 1
            raise self.out_of_memory("no memory")

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        self._allocate()
        return self.emulator.empty(shape).view(_Array)

    def ascontiguousarray(self, numbers: Any, dtype: Any) -> Any:
        return np.ascontiguousarray(numbers, dtype).view(_Array)

    def get_default_memory_pool(self) -> Any:
        def free() -> None:
            self.pools_freed += 1

        return SimpleNamespace(free_all_blocks=free)

    def RawModule(self, *, code: str, options: tuple[str, ...], backend: str) -> Any:
        names = {
            cuda_plan.source(n): n for n in ("accumulate.cu", "aggregate.cu", "readable.cu", "reduce.cu")
        }
        return SimpleNamespace(get_function=lambda name: _Kernel(self, names[code], options, name))


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """No answer of one test is kept for the next."""
    caches = (cuda._missing, cuda._describe, cuda._kernel)
    for cached in caches:
        cached.cache_clear()
    yield
    for cached in caches:
        cached.cache_clear()


def install(monkeypatch: pytest.MonkeyPatch, fake: FakeCuPy) -> FakeCuPy:
    monkeypatch.setitem(sys.modules, "cupy", fake)
    monkeypatch.setattr(cuda, "find_spec", lambda name: object())
    return fake


def test_without_cupy_the_reason_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "find_spec", lambda name: None)
    assert "pip install nlmeans[cuda13]" in str(cuda.can_run(REQUEST))


def test_without_a_driver_cupy_is_not_even_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_library(name: str) -> None:
        raise OSError(name)

    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(cuda, "find_spec", lambda name: object())
    monkeypatch.setattr("ctypes.CDLL", no_library)
    monkeypatch.setattr(cuda, "import_module", lambda name: pytest.fail(f"imported {name}"))
    assert "no NVIDIA driver" in str(cuda.can_run(REQUEST))


def test_without_a_device_the_reason_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeCuPy(devices=0))
    assert "no CUDA device" in str(cuda.can_run(REQUEST))


def test_an_old_gpu_is_refused_by_its_capability(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeCuPy(capability=61))
    assert "6.1; 7.5 or newer" in str(cuda.can_run(REQUEST))


def test_a_driver_that_does_not_start_is_a_reason_not_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = install(monkeypatch, FakeCuPy())

    def broken() -> int:
        raise RuntimeError("driver version is insufficient")

    fake.cuda.runtime.getDeviceCount = broken
    assert "driver version is insufficient" in str(cuda.can_run(REQUEST))


def test_a_new_gpu_can_run(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = install(monkeypatch, FakeCuPy())
    assert cuda.can_run(REQUEST) is None
    assert cuda.namespace() is fake
    assert cuda.works_in("float64") == "float32"


# --- through CuPy ----------------------------------------------------------------------------


def on_device(pair: PlanePair) -> PlanePair:
    query = pair.query.view(_Array)
    return replace(
        pair,
        query=query,
        key=query if pair.own else pair.key.view(_Array),
        value=pair.value.view(_Array),
        vote=pair.vote.view(_Array),
    )


@pytest.mark.skipif(COMPILER is None, reason="the emulator needs g++ on the PATH")
def test_both_entries_through_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = install(monkeypatch, FakeCuPy())
    case, done = Case(9, 30, squares=True), []
    pair, run = on_device(pair_of(case)), Run(tick=done.append)
    first = cuda.accumulate(pair, run, peak=True, squares=True)
    second = cuda.aggregate(pair, run, *weights_of_centre(case))
    assert picture_error(case, first, exact_accumulate(case)) < 2e-6
    assert weight_error(first, exact_accumulate(case)) < 2e-5
    assert picture_error(case, second, exact_aggregate(case)) < 2e-6
    assert done == [1.0, 1.0]
    kernels = [launch.kernel for launch in fake.emulator.launched]
    assert {"accumulate", "aggregate", "weigh", "spread"} <= set(kernels)


def test_arrays_of_another_library_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeCuPy())
    with pytest.raises(InvalidTypeError, match="CuPy arrays, got ndarray"):
        cuda.accumulate(pair_of(Case()), Run())


@pytest.mark.skipif(COMPILER is None, reason="the emulator needs g++ on the PATH")
def test_out_of_memory_once_frees_the_pool_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = install(monkeypatch, FakeCuPy(failing_allocations=1))
    cuda.accumulate(on_device(pair_of(Case(3, 4))), Run())
    assert fake.pools_freed == 1


def test_out_of_memory_twice_is_a_memory_limit_error(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeCuPy(failing_allocations=2))
    with pytest.raises(MemoryLimitError, match="smaller tiles"):
        cuda.accumulate(on_device(pair_of(Case(3, 4))), Run())


def test_other_errors_are_not_taken_for_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = install(monkeypatch, FakeCuPy())

    def illegal(shape: Any, dtype: Any) -> None:
        raise RuntimeError("an illegal memory access was encountered")

    fake.empty = illegal  # type: ignore[assignment, method-assign]
    with pytest.raises(RuntimeError, match="illegal memory access"):
        cuda.accumulate(on_device(pair_of(Case(3, 4))), Run())


# --- plans -----------------------------------------------------------------------------------


def problem(height: int = 1080, width: int = 1920, radius: int = 10, patch: int = 3, **kinds: Any) -> Problem:
    taps = np.full(2 * patch + 1, 1 / (2 * patch + 1))
    sizes: dict[str, Any] = {"channels": 1, "values": 1, "bias": 8.0} | kinds
    return Problem(height, width, radius=(radius, radius), taps=(taps, taps), **sizes)


def test_a_large_picture_takes_one_launch_and_no_scratch() -> None:
    plan = cuda_plan.accumulate(problem(2160, 3840, peak=True), Device())
    assert [launch.kernel for launch in plan.launches] == ["accumulate"]
    assert plan.scratch_bytes == 0
    assert plan.launches[0].grid == (32 * 135, 1, 1)


def test_a_small_picture_is_split_over_the_window_to_fill_the_gpu() -> None:
    plan = cuda_plan.accumulate(problem(128, 128), Device())
    blocks, _, slices = plan.launches[0].grid
    assert blocks < 132 <= blocks * slices
    window = plan.launches[0].arguments[-1][0]
    assert window["chunks_y"] * window["chunks_x"] >= slices
    assert plan.scratch_bytes == 4 * slices * 2 * 128 * 128


def test_wide_offsets_only_where_they_are_needed() -> None:
    small, large = problem(4096, 4096), problem(2**15, 2**15)
    assert "-DINDEX=long long" not in cuda_plan.accumulate(small, Device()).launches[0].options
    assert "-DINDEX=long long" in cuda_plan.accumulate(large, Device()).launches[0].options


@pytest.mark.parametrize("kernel", ["accumulate", "aggregate"])
@pytest.mark.parametrize("shared", [48, 64, 100, 164, 228])
@pytest.mark.parametrize(
    "kinds", [{}, {"channels": 3, "values": 3}, {"channels": 9}, {"radius": 100}], ids=str
)
def test_every_shape_fits_the_shared_memory_and_covers_the_window(
    kernel: str, shared: int, kinds: dict[str, Any]
) -> None:
    device = Device(shared_per_block=shared * 1024 - 1024, shared_per_multiprocessor=shared * 1024)
    asked = problem(**kinds)
    shape = Shape.best(kernel, asked, device)
    if shape is None:
        assert asked.channels > 1 or shared < 64
        return
    assert shape.shared_bytes <= device.shared_per_block
    size = 2 * asked.radius[0] + 1
    assert (shape.chunks_y - 1) * shape.chunk_y < size <= shape.chunks_y * shape.chunk_y
    assert (shape.chunks_x - 1) * shape.chunk_x < size
    assert shape.chunks_x == 1 or shape.chunk_x % 4 == 0


def test_the_memory_a_call_needs_grows_with_the_picture() -> None:
    pair = pair_of(Case(64, 64))
    large = pair_of(Case(128, 128))
    for aggregates in (False, True):
        needed = cuda.memory_needed(pair, aggregates=aggregates)
        assert 4 * 64 * 64 * 2 < needed < cuda.memory_needed(large, aggregates=aggregates)


def test_a_side_beyond_the_coordinates_is_refused() -> None:
    huge = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (1, 1, 2**30 + 1), (0, 0, 0))
    pair = replace(pair_of(Case(1, 1)), query=huge, key=huge, value=huge, vote=huge[0])
    with pytest.raises(MemoryLimitError, match="use tiles"):
        cuda.memory_needed(pair, aggregates=False)


def test_source_has_its_headers_put_in_once() -> None:
    text = cuda_plan.source("aggregate.cu")
    assert '#include "' not in text
    assert text.count("struct Window {") == 1
    assert text.count("struct Corner {") == 1


def test_the_launch_plan_and_the_kernels_agree_on_the_window_struct() -> None:
    text = cuda_plan.source("readable.cu")
    body = text[text.index("struct Window {") : text.index("};", text.index("struct Window {"))]
    fields = [
        name.strip().partition("[")[0]
        for line in body.splitlines()[1:]
        if (declared := line.partition("//")[0].strip())
        for name in declared.removeprefix("int ").removeprefix("float ").rstrip(";").split(",")
    ]
    assert tuple(fields) == cuda_plan.WINDOW.names
