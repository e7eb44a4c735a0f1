"""Arrays through the CUDA backend: NumPy up and down, CuPy and torch in place, memory that runs out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import nlmeans
from nlmeans import MemoryLimitError, running
from nlmeans.backends import cuda, cuda_memory, cuda_plan
from nlmeans.backends.contract import PlanePair, Run
from nlmeans.backends.cuda_shape import Device, Shape

from ..cuda_emulator.emulator import COMPILER
from ..cupy_stand_in import Array, FakeCuPy, install

pytestmark = pytest.mark.usefixtures("fresh_cuda")

OPTIONS: dict[str, Any] = {"sigma": 20.0, "patch_radius": 1, "search_radius": 2}


def noisy(shape: tuple[int, ...] = (40, 30), dtype: str = "uint8") -> Any:
    levels = np.random.default_rng(0).normal(100, 20, shape)
    return levels.round().astype(dtype)


def denoised(image: Any, backend: str = "cuda", **options: Any) -> Any:
    return nlmeans.denoise(image, backend=backend, **{**OPTIONS, **options})


def tiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is large: copies beside the work, in several tiles."""
    monkeypatch.setattr(cuda_memory, "_SMALL", 0)
    monkeypatch.setattr(running, "WORTH_OVERLAP", 1)
    monkeypatch.setattr(running, "_ROWS_A_HALO", 1)
    monkeypatch.setattr("nlmeans.tiling.SMALLEST", 4)


# --- NumPy in, NumPy out ------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float16", "float32", ">f4", "float64"])
@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
def test_numpy_arrays_go_up_and_come_down_in_their_own_type(
    dtype: str, large: bool, fake: FakeCuPy, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large:
        tiled(monkeypatch)
    image = noisy(dtype=dtype)
    result = denoised(image)
    assert isinstance(result, np.ndarray)
    assert result.dtype == image.dtype
    exact = denoised(image.astype(np.float64), "reference")
    np.testing.assert_allclose(result.astype(float), exact, atol=0.51 if image.dtype.kind != "f" else 0.1)
    pictures = [entry for entry in fake.log if entry[0] in ("up", "down") and entry[2] >= 300]
    assert {name for _, name, _ in pictures} == {np.dtype(dtype).name}
    assert fake.moved("down") == image.nbytes
    assert image.nbytes <= fake.moved("up") <= 2.5 * image.nbytes  # with the tiles' halos, not as floats


def test_the_next_tile_goes_up_before_the_last_one_is_waited_for(
    fake: FakeCuPy, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiled(monkeypatch)
    denoised(noisy((96, 20)), aggregate="pixel")
    order = [what for what, _, _ in fake.log if what in ("up", "kernel", "down", "wait")]
    assert order.count("kernel") >= 4
    first = order.index("wait")
    assert order[:first] == ["up", "kernel", "down"] * 3
    assert order[-3:] == ["down", "wait", "wait"] or order[-2:] == ["wait", "wait"]


@pytest.mark.parametrize("shape", [(40, 30, 3), (6, 12, 10), (300,)])
def test_colour_volumes_and_signals_in_tiles(
    shape: tuple[int, ...], fake: FakeCuPy, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiled(monkeypatch)
    image = noisy(shape, "float32")
    axis = -1 if shape[-1] == 3 else None
    part = {"patch_radius": 1, "search_radius": 2, "k": 0.5}
    colours: list[dict[str, Any]] = [{"color": "joint"}, {"color": "luminance", "differences": part}]
    for options in colours if axis else [{}]:
        options["channel_axis"] = axis
        exact = denoised(image.astype(np.float64), "reference", **options)
        limited = denoised(image, memory_limit=30_000 if "differences" in options else 20_000, **options)
        np.testing.assert_allclose(limited, exact, atol=1e-3)
        np.testing.assert_allclose(denoised(image, **options), exact, atol=1e-3)


def test_masks_guides_and_sigma_maps_go_up_with_their_tiles(
    fake: FakeCuPy, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiled(monkeypatch)
    image = noisy(dtype="float32")
    image[10, 10] = np.nan
    mask = np.ones(image.shape, bool)
    mask[30:, :5] = False
    options = {
        "mask": mask,
        "nan": "keep",
        "guide": noisy(dtype="float32"),
        "sigma": np.full(image.shape, 20.0),
    }
    result = denoised(image, **options)
    exact = denoised(image, "reference", **options)
    np.testing.assert_allclose(result, exact, atol=1e-3)
    np.testing.assert_array_equal(result[30:, :5], image[30:, :5])


def test_a_large_window_is_not_cut_in_tiles_for_the_sake_of_overlap(
    fake: FakeCuPy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "WORTH_OVERLAP", 1)
    denoised(noisy((24, 24)), search_radius="image", aggregate="pixel")
    assert [what for what, _, _ in fake.log].count("kernel") == 1


def test_pinned_memory_that_is_not_there_is_done_without(
    fake: FakeCuPy, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiled(monkeypatch)
    error = fake.cuda.runtime.CUDARuntimeError

    def none(shape: Any, dtype: Any) -> None:
        raise error(status)

    monkeypatch.setattr(sys.modules["cupyx"], "empty_pinned", none)
    status = 2
    np.testing.assert_allclose(denoised(noisy()), denoised(noisy(), "reference"), atol=1)
    status = 700
    with pytest.raises(error):
        denoised(noisy())


# --- arrays that are there ----------------------------------------------------------------------


def test_cupy_arrays_stay_on_their_device(fake: FakeCuPy) -> None:
    image = noisy(dtype="float32")
    given = Array(image)
    result = denoised(given)
    assert isinstance(result, Array)
    np.testing.assert_allclose(result.values, denoised(image, "reference"), atol=1e-3)
    assert fake.moved("up") == 0
    assert fake.moved("down") <= 64  # the smallest and the largest value, together
    assert [what for what, _, _ in fake.log].count("down") <= 2
    assert fake.devices_entered[0] == 0
    np.testing.assert_array_equal(given.values, image)


def test_torch_tensors_come_by_dlpack_and_work_is_on_their_current_stream(
    fake: FakeCuPy, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch: Any = ModuleType("torch")

    class Tensor:
        layout, requires_grad, device = "torch.strided", False, SimpleNamespace(type="cuda", index=1)

        def __init__(self, array: Array) -> None:
            self.array, self.shape, self.dtype, self.ndim = array, array.shape, array.dtype, array.ndim

    torch.Tensor, torch.from_dlpack = Tensor, Tensor
    torch.cuda = SimpleNamespace(
        current_stream=lambda device: SimpleNamespace(cuda_stream=4711, device_index=device.index)
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    image = noisy(dtype="float32")
    result = denoised(Tensor(Array(image)))
    assert isinstance(result, Tensor)
    np.testing.assert_allclose(result.array.values, denoised(image, "reference"), atol=1e-3)
    assert ("kernel", "external 4711", 0) in fake.log
    assert fake.streams == [fake.null]
    assert fake.devices_entered[0] == 1
    assert fake.moved("up") == 0


# --- memory -------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", ["numpy", "cupy"])
@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
def test_where_memory_is_full_the_pool_is_freed_and_tiles_are_halved(
    library: str, large: bool, fake: FakeCuPy, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large:
        tiled(monkeypatch)
    monkeypatch.setattr("nlmeans.tiling.SMALLEST", 4)
    image = noisy((64, 40), "float32")
    shares: list[float] = []
    given = Array(image) if library == "cupy" else image
    monkeypatch.setattr(fake, "empty_like", lambda there: Array(np.empty_like(there.values)), raising=False)
    fake.largest = image.nbytes // 2
    result = denoised(given, progress=shares.append)
    values = result.values if library == "cupy" else result
    np.testing.assert_allclose(values, denoised(image, "reference"), atol=1e-3)
    if not (large and library == "numpy"):  # whose first tiles are small enough
        assert fake.pools_freed >= 1
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_memory_that_never_suffices_is_an_error_that_says_so(fake: FakeCuPy) -> None:
    fake.largest = 500
    with pytest.raises(MemoryLimitError, match=r"even for the smallest tile \(no memory\)"):
        denoised(noisy())
    assert fake.pools_freed >= 1


@pytest.mark.parametrize(
    ("status", "memory"), [(2, True), (700, False), (1, False)], ids=["memory", "illegal address", "value"]
)
def test_only_cudas_error_for_memory_is_taken_for_it(
    status: int, memory: bool, fake: FakeCuPy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nlmeans.tiling.SMALLEST", 4)
    kernel, failures = cuda.aggregate, [fake.cuda.driver.CUDADriverError(status)]
    added: list[float] = []
    add = running.Running._add
    monkeypatch.setattr(running.Running, "_add", lambda self, part: (added.append(part), add(self, part)))

    def failing(*given: Any, **named: Any) -> Any:
        if failures:
            raise failures.pop()
        return kernel(*given, **named)

    monkeypatch.setattr(cuda, "aggregate", failing)
    if memory:
        assert denoised(noisy(), progress=lambda _: None).shape == (40, 30)
        assert sum(added) == pytest.approx(1)  # what was done before memory ran out counts, once
    else:
        with pytest.raises(fake.cuda.driver.CUDADriverError):
            denoised(noisy())
    assert fake.pools_freed == memory


def test_a_failure_on_the_way_waits_for_all_that_moves(
    fake: FakeCuPy, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiled(monkeypatch)

    def stop(fraction: float) -> None:
        if fraction > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        denoised(noisy(), progress=stop)
    assert [entry[:2] for entry in fake.log[-3:]] == [
        ("synchronize", "null"),
        ("synchronize", "own"),
        ("synchronize", "own"),
    ]


def test_the_device_is_asked_for_its_memory_only_when_that_matters(
    fake: FakeCuPy, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    plan = running.tiling.plan

    def planned(*given: Any) -> Any:
        asked.append(given[-1])
        return plan(*given)

    monkeypatch.setattr(running.tiling, "plan", planned)
    denoised(noisy())
    assert ("memory?", "", 0) not in fake.log
    monkeypatch.setattr(running, "MEMORY_LIMIT", 1000)
    denoised(noisy())
    assert ("memory?", "", 0) in fake.log
    denoised(noisy(), memory_limit=123_456)
    assert asked == [3 * 2**26, int(0.6 * 2**30), 123_456]


# --- what a call costs --------------------------------------------------------------------------


def test_a_call_like_the_last_one_is_not_planned_again(monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[Any] = []
    best: Callable[..., Any] = Shape.best
    monkeypatch.setattr(Shape, "best", staticmethod(lambda *given: planned.append(given) or best(*given)))
    plane = np.zeros((1, 33, 47), np.float32)

    class Nothing:
        device = Device(multiprocessors=77)

        def empty(self, shape: tuple[int, ...]) -> Any:
            return np.empty(shape, np.float32)

        def floats(self, numbers: Any) -> Any:
            return numbers

        def launch(self, launch: Any, arguments: list[Any]) -> None: ...

    def call(bias: float, taps: Any) -> None:
        pair = PlanePair(plane, plane, plane, plane, plane[0], (3, 3), (taps, taps), bias, 1.0, True)
        cuda.accumulate_on(Nothing(), pair, Run(), peak=True)

    box = np.full(3, 1 / 3, np.float32)
    cuda_plan.accumulate.cache_clear()
    for bias, taps, times in (
        (2.0, box, 1),
        (2.0, box.copy(), 1),
        (3.0, box, 2),
        (2.0, np.float32([0.25, 0.5, 0.25]), 3),
    ):
        call(bias, taps)
        assert len(planned) == times


@pytest.mark.skipif(COMPILER is None, reason="the emulator needs g++ on the PATH")
@pytest.mark.parametrize("aggregate", ["pixel", "patch"])
def test_a_picture_from_end_to_end_with_the_kernels_themselves(
    aggregate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, FakeCuPy())
    image = noisy((12, 20), "uint8")
    result = denoised(image, aggregate=aggregate)
    exact = denoised(image.astype(np.float64), "reference", aggregate=aggregate)
    assert np.abs(result - exact).max() <= 0.51
