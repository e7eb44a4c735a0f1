"""The CUDA backend's Python: reasons, plans, memory; CuPy is stood in for by NumPy and the emulator."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import nlmeans
from nlmeans.backends import cuda, cuda_plan
from nlmeans.backends.contract import PlanePair, Request, Run, Sums
from nlmeans.backends.cuda_shape import Device, Problem, Shape
from nlmeans.errors import InvalidTypeError, MemoryLimitError

from ..cuda_emulator.emulator import COMPILER
from ..cuda_emulator.problems import (
    Case,
    exact_accumulate,
    exact_aggregate,
    pair_of,
    picture_error,
    weight_error,
    weights_of_centre,
)
from ..cupy_stand_in import Array, FakeCuPy, install

pytestmark = pytest.mark.usefixtures("fresh_cuda")

REQUEST = Request(array_library="numpy", dtype="float32", pixels=64, channels=1)


def test_importing_the_backend_loads_no_gpu_library() -> None:
    code = """
import sys
import nlmeans.backends.cuda
assert not {"cupy", "torch", "nvidia"} & set(sys.modules), sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# --- reasons ---------------------------------------------------------------------------------


def test_without_cupy_the_reason_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "find_spec", lambda name: None)
    assert "pip install 'nlmeans[cuda13]'" in str(cuda.can_run(REQUEST))


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
    query, value = Array(pair.query), Array(pair.value)
    return replace(
        pair,
        query=query,
        key=query if pair.own else Array(pair.key),
        value=value,
        own_value=value if pair.own else Array(pair.own_value),
        vote=Array(pair.vote),
    )


def down(sums: Sums) -> Sums:
    found = (sums.numerator, sums.denominator, sums.peak)
    return Sums(*(None if values is None else values.get() for values in found))


@pytest.mark.skipif(COMPILER is None, reason="the emulator needs g++ on the PATH")
@pytest.mark.parametrize("aggregate", ["patch", "pixel"])
@pytest.mark.parametrize(("shape", "dtype"), [((20, 41), "f4"), ((20, 41, 3), "u2"), ((3, 14, 15), "f2")])
def test_equal_values_come_back_bit_for_bit(
    monkeypatch: pytest.MonkeyPatch, aggregate: str, shape: tuple[int, ...], dtype: str
) -> None:
    install(monkeypatch, FakeCuPy())
    image = np.random.default_rng(0).normal(700, 20, shape).astype(dtype)
    colour = shape[-1] == 3
    constant = (slice(3, -3), slice(2, -2)) if colour else (..., slice(3, -3), slice(2, -2))
    image[constant] = 0.1 if dtype[0] == "f" else 12345
    settings: dict[str, Any] = {"sigma": 20.0, "k": 0.5, "patch_radius": 1, "search_radius": 2}
    if colour:  # every part looks as far as the first
        part = {name: settings[name] for name in ("k", "patch_radius", "search_radius")}
        settings |= {"channel_axis": -1, "color": "luminance", "differences": part}
        settings |= {"passes": 2, "second": {**part, "mixing": 0.8}}
    given = Array(image)
    result = nlmeans.denoise(given, backend="cuda", aggregate=aggregate, **settings).values
    inside = (slice(5, -5), slice(4, -4)) if colour else (..., slice(5, -5), slice(4, -4))
    np.testing.assert_array_equal(result[inside], image[inside])
    assert np.any(result != image)


@pytest.mark.skipif(COMPILER is None, reason="the emulator needs g++ on the PATH")
def test_both_entries_through_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = install(monkeypatch, FakeCuPy())
    case, done = Case(9, 30), []
    pair, run = on_device(pair_of(case)), Run(tick=done.append)
    first = down(cuda.accumulate(pair, run, peak=True))
    normaliser, centre = map(Array, weights_of_centre(case))
    second = down(cuda.aggregate(pair, run, normaliser, centre, first.token))
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


@pytest.mark.skipif(COMPILER is None, reason="the emulator needs g++ on the PATH")
def test_weights_alone_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeCuPy())
    case = Case(5, 7)
    pair = on_device(pair_of(case))
    sums = cuda.accumulate(replace(pair, value=pair.value[:0], own_value=pair.value[:0]), Run(), peak=True)
    assert sums.numerator.shape == (0, 5, 7)
    assert weight_error(down(sums), exact_accumulate(case)) < 2e-5


# --- plans -----------------------------------------------------------------------------------


def problem(height: int = 1080, width: int = 1920, radius: int = 10, patch: int = 3, **kinds: Any) -> Problem:
    taps = np.full(2 * patch + 1, 1 / (2 * patch + 1))
    sizes: dict[str, Any] = {"channels": 1, "values": 1, "bias": 8.0} | kinds
    return Problem(height, width, radius=(radius, radius), taps=(taps, taps), **sizes)


def test_a_large_picture_takes_one_launch_and_no_scratch() -> None:
    plan = cuda_plan.accumulate(problem(2160, 3840, peak=True), Device())
    assert [launch.kernel for launch in plan.launches] == ["accumulate"]
    assert plan.scratch == {}
    assert plan.launches[0].grid == (32 * 135, 1, 1)


def test_a_small_picture_is_split_over_the_window_to_fill_the_gpu() -> None:
    plan = cuda_plan.accumulate(problem(128, 128), Device())
    blocks, _, slices = plan.launches[0].grid
    assert blocks < 132 <= blocks * slices
    window = plan.launches[0].arguments[-1][0]
    assert window["chunks_y"] * window["chunks_x"] >= slices
    assert sum(math.prod(shape) for shape in plan.scratch.values()) == slices * 2 * 128 * 128


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


def test_a_side_beyond_the_coordinates_is_refused() -> None:
    huge = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (1, 1, 2**30 + 1), (0, 0, 0))
    pair = replace(pair_of(Case(1, 1)), query=huge, key=huge, value=huge, vote=huge[0])
    with pytest.raises(MemoryLimitError, match="use tiles"):
        Problem.of(pair, 1)


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
