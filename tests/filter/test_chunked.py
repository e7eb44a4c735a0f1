"""Dask arrays: lazy, in the same chunks, and what the whole array gives."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import nlmeans
from nlmeans import InvalidTypeError, InvalidValueError, backends, denoise, estimate_sigma, suggest

da = pytest.importorskip("dask.array")

from nlmeans.benchmarks.studies.chunkings import CASES, differences  # noqa: E402

from nlmeans.chunked.work import Work  # noqa: E402

from ..conftest import why_not  # noqa: E402
from ..cupy_stand_in import Array, FakeCuPy  # noqa: E402

GIVEN: dict[str, Any] = {"sigma": 12.0, "k": 0.5, "patch_radius": 2, "search_radius": 5}


def noisy(shape: tuple[int, ...], sigma: float = 12.0) -> np.ndarray:
    """Large blocks of two levels with noise."""
    clean = 60 + 80.0 * ((np.indices(shape) // 40).sum(axis=0) % 2)
    return (clean + np.random.default_rng(0).normal(0, sigma, shape)).astype(np.float32)


class Computed(Exception):
    """A chunk that nobody should have asked for."""


def untouchable(shape: tuple[int, ...], chunks: Any, dtype: str = "float32") -> Any:
    """A Dask array that cannot be computed."""

    def refuse(_: Any) -> None:
        raise Computed

    return da.zeros(shape, chunks=chunks, dtype=dtype).map_blocks(
        refuse, dtype=dtype, meta=np.zeros((0,) * len(shape), dtype)
    )


@pytest.mark.filterwarnings("ignore:two estimates of sigma disagree")  # of the blocks of the signal
@pytest.mark.parametrize("name", CASES)
def test_any_chunks_give_what_the_whole_gives(name: str) -> None:
    """With the same settings: 2e-6 of the data range, integers a step in one of a thousand pixels.

    nlridge, whose partners may be others where two are as near: 1e-3 in root mean square.
    """
    integers = np.dtype(CASES[name].dtype).kind in "iu"
    most = 1 if integers else 1e-3 if "nlridge" in name else 2e-6
    for chunks, apart, part in differences(name, 5):
        assert apart <= most, chunks
        assert not integers or part <= 1e-3, chunks


def test_a_halo_one_too_small_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Work.seen

    def less(self: Work, core: Any) -> Any:
        object.__setattr__(self, "halo", tuple(h - (h > 0) for h in whole))
        return seen(self, core)

    image = noisy((60, 70))
    whole = Work.of(image, GIVEN).halo
    lazy = da.from_array(image, chunks=(20, 25))
    expected = denoise(image, **GIVEN)
    np.testing.assert_allclose(denoise(lazy, **GIVEN).compute(), expected, atol=4e-4)
    monkeypatch.setattr(Work, "seen", less)
    assert np.abs(denoise(lazy, **GIVEN).compute() - expected).max() > 4e-4


def test_nothing_is_computed_where_the_settings_say_all() -> None:
    lazy = untouchable((300, 400), (50, 128))
    result = denoise(lazy, **GIVEN)
    assert (result.chunks, result.dtype, result.shape) == (lazy.chunks, np.float32, lazy.shape)
    colour = suggest(
        np.random.default_rng(0).random((40, 40, 3)), channel_axis=-1, color="luminance", passes=2
    )
    denoise(untouchable((90, 80, 3), (30, 30, 2)), channel_axis=-1, **colour.to_dict())
    denoise(lazy, **{**GIVEN, "sigma": untouchable((300, 400), 77)}, mask=untouchable((300, 400), 60, "bool"))
    denoise(lazy, method="nlridge", sigma=12.0)
    for less in GIVEN:
        with pytest.raises(Computed):
            denoise(lazy, **{name: value for name, value in GIVEN.items() if name != less})
    with pytest.raises(Computed):
        result.compute()


def test_one_task_for_each_chunk() -> None:
    image = da.from_array(noisy((300, 400)), chunks=(30, 40))
    more = len(denoise(image, **GIVEN).__dask_graph__()) - len(image.__dask_graph__())
    assert more == 100


def test_only_the_chunks_that_are_asked_for_are_computed() -> None:
    """And those around them."""
    asked = []

    def noted(block: np.ndarray, block_info: Any = None) -> np.ndarray:
        asked.append(block_info[0]["chunk-location"])
        return block

    image = da.from_array(noisy((200, 200)), chunks=20)
    lazy = image.map_blocks(noted, dtype="float32", meta=np.zeros((0, 0), "float32"))
    denoise(lazy, **GIVEN)[100:110, 100:110].compute(scheduler="synchronous")
    assert sorted(asked) == [(y, x) for y in (4, 5, 6) for x in (4, 5, 6)]


def test_names_of_tasks_tell_results_apart() -> None:
    image = da.from_array(noisy((60, 60)), chunks=30)
    names = [denoise(image, **{**GIVEN, "k": k}).name for k in (0.5, 0.6, 0.5)]
    assert names[0] == names[2] != names[1]


@pytest.mark.parametrize("shape", [(3000, 2600), (40, 9000), (200_000,), (90, 180, 160)], ids=str)
def test_sigma_of_a_sample_is_near_that_of_the_whole(shape: tuple[int, ...]) -> None:
    """Where the noise is equally strong everywhere; only regions are read of what is larger."""
    image = noisy(shape) if len(shape) == 2 else np.random.default_rng(0).normal(0, 12, shape)
    lazy = da.from_array(image, chunks=tuple(-(-n // 5) for n in shape))
    assert abs(estimate_sigma(lazy) / estimate_sigma(image) - 1) < 0.03
    assert abs(estimate_sigma(lazy) / 12 - 1) < 0.03
    assert suggest(lazy, sigma=12.0).search_radius == suggest(image, sigma=12.0).search_radius


def test_what_is_left_out_is_chosen_from_regions() -> None:
    """A small array is taken whole; of a large one what lies between the regions is not read."""
    small = noisy((300, 200))
    lazy = da.from_array(small, chunks=90)
    assert suggest(lazy) == suggest(small)
    np.testing.assert_allclose(denoise(lazy).compute(), denoise(small), atol=4e-4)
    asked = set()

    def noted(block: np.ndarray, block_info: Any = None) -> np.ndarray:
        asked.add(block_info[0]["chunk-location"])
        return block

    large = da.from_array(noisy((4000, 4000)), chunks=200)
    estimate_sigma(large.map_blocks(noted, dtype="float32", meta=np.zeros((0, 0), "float32")))
    assert 16 <= len(asked) <= 16 * 9


def test_what_dask_cannot_do_is_refused() -> None:
    image = da.from_array(noisy((60, 60)), chunks=30)
    with pytest.raises(InvalidValueError, match="needs the whole image"):
        denoise(image, search_radius="image")
    with pytest.raises(InvalidValueError, match=r"ProgressBar"):
        denoise(image, progress=print)
    with pytest.raises(InvalidValueError, match=r"compute_chunk_sizes\(\)"):
        denoise(image[image.sum(axis=1) > 0], **GIVEN)
    with pytest.raises(InvalidValueError, match="at least one element"):
        denoise(image[:0], **GIVEN)
    with pytest.raises(InvalidValueError, match="1 to 3 grid axes"):
        denoise(da.zeros((2, 2, 2, 2, 2)), **GIVEN)
    with pytest.raises(InvalidTypeError, match="got int64"):
        denoise(image.astype("int64"), **GIVEN)
    with pytest.raises(InvalidValueError, match=r"mask must have the grid \(60, 60\)"):
        denoise(image, mask=np.ones((60, 61), bool), **GIVEN)
    with pytest.raises(InvalidValueError, match=r"guide must have the grid \(60, 60\)"):
        denoise(image, guide=da.zeros((59, 60), chunks=20), **GIVEN)
    with pytest.raises(InvalidTypeError, match="mask must be an array"):
        denoise(image, mask=[True], **GIVEN)
    with pytest.raises(InvalidValueError, match="workers"):
        denoise(image, workers=0, **GIVEN)
    with pytest.raises(InvalidValueError, match="k"):
        denoise(image, **{**GIVEN, "k": -1.0})
    if why_not("cuda"):
        with pytest.raises(nlmeans.BackendUnavailableError):
            denoise(image, backend="cuda", **GIVEN)


def test_a_nan_is_named_by_its_place_in_the_whole() -> None:
    image = noisy((60, 60))
    image[47, 12] = np.nan
    lazy = denoise(da.from_array(image, chunks=20), **GIVEN)
    with pytest.raises(InvalidValueError, match=r"the first at \(47, 12\)"):
        lazy.compute(scheduler="synchronous")


def test_a_volume_that_looks_like_colour_is_warned_of_once() -> None:
    image = da.from_array(np.random.default_rng(0).normal(size=(30, 30, 4)), chunks=(15, 15, 2))
    with pytest.warns(UserWarning, match=r"shape \(30, 30, 4\)") as caught:
        denoise(image, sigma=1.0, k=0.5, patch_radius=1, search_radius=2).compute()
    assert len(caught) == 1


@pytest.mark.parametrize("given", [GIVEN, {"passes": 1}], ids=["given", "sampled"])
def test_chunks_on_a_gpu_stay_there(given: dict[str, Any], fake: FakeCuPy) -> None:
    """So says what is computed, and `meta` before it; a mask beside them is there too."""

    def up(array: np.ndarray) -> Any:
        meta = Array(np.empty((0,) * array.ndim, array.dtype))
        return da.from_array(array, chunks=(20, 25)).map_blocks(Array, dtype=array.dtype, meta=meta)

    image = noisy((40, 50))
    mask = np.random.default_rng(1).random(image.shape) > 0.1
    lazy = denoise(up(image), mask=up(mask), **given)
    assert isinstance(lazy._meta, Array)
    found = lazy.compute(scheduler="synchronous")
    assert isinstance(found, Array)
    np.testing.assert_allclose(
        found.values, denoise(image, mask=mask, backend="reference", **given), atol=1e-3
    )
    with pytest.raises(
        InvalidTypeError, match="mask must be an array of the image's library cupy, got numpy"
    ):
        denoise(up(image), mask=mask, **given)


def test_a_worker_that_sees_a_gpu_computes_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which backend is fastest is asked where a part is done, not where its settings were chosen."""
    image = noisy((40, 50))
    work = Work.of(image, GIVEN)  # type: ignore[arg-type]
    known, used = backends.load, []

    def load(name: str) -> Any:
        module = known("cpu" if name == "cuda" else name)
        if name != "cuda":
            return module
        used.append(name)
        return SimpleNamespace(**{**vars(module), "can_run": lambda request: None})

    monkeypatch.setattr(backends, "load", load)
    result = work(image, (0, 0), {})
    assert used
    np.testing.assert_array_equal(result, denoise(image, backend="cpu", **GIVEN))


def test_dask_is_loaded_by_its_own_arrays_only() -> None:
    program = "import sys, numpy, nlmeans; nlmeans.suggest(numpy.ones((9, 9))); print('dask' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd="/"
    )
    assert done.stdout.strip() == "False"
