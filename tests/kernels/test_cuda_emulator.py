"""The CUDA kernels, compiled for the processor, against the float64 reference.

The very text, launches and compile options that CuPy would get; see ``cuda_emulator/``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nlmeans.backends import cuda
from nlmeans.backends.contract import Run, Sums
from nlmeans.backends.cuda_shape import Device

from ..conftest import TOLERANCE
from ..cuda_emulator.emulator import COMPILER, Emulator
from ..cuda_emulator.problems import (
    Case,
    exact_accumulate,
    exact_aggregate,
    pair_of,
    picture_error,
    weight_error,
    weights_of_centre,
)

pytestmark = pytest.mark.skipif(COMPILER is None, reason="the emulator needs g++ on the PATH")

#: Largest relative difference of the sums of weights themselves; a weight of 2^-20 counts as 0.
WEIGHTS = 2e-5

ONE_WAVE = Device(multiprocessors=1)  # even a small picture is not cut in slices
TIGHT = {
    "accumulate": Device(multiprocessors=1, shared_per_block=24 * 1024, shared_per_multiprocessor=25 * 1024),
    "aggregate": Device(multiprocessors=1, shared_per_block=44 * 1024, shared_per_multiprocessor=45 * 1024),
}


def run(entry: str, case: Case, emulator: Emulator) -> Sums:
    if entry == "accumulate":
        return cuda.accumulate_on(emulator, pair_of(case), Run(), peak=case.peak)
    return cuda.aggregate_on(emulator, pair_of(case), Run(), *weights_of_centre(case))


def check(entry: str, case: Case, emulator: Emulator, kernel: str) -> None:
    """The answer is the reference's, and it came from the kernel that the case is about."""
    got = run(entry, case, emulator)
    expected = exact_accumulate(case) if entry == "accumulate" else exact_aggregate(case)
    assert emulator.launched[0].kernel == kernel
    assert picture_error(case, got, expected) < TOLERANCE["hard" if case.picture == "edge" else "ordinary"]
    assert weight_error(got, expected) < WEIGHTS


ENTRIES = pytest.mark.parametrize("entry", ["accumulate", "aggregate"])

SIZES = [
    (1, 1),
    (1, 2),
    (2, 1),
    (3, 5),
    (16, 120),
    (17, 121),
    (15, 119),
    (32, 112),
    (33, 113),
    (31, 111),
    (40, 250),
]


@ENTRIES
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_size_around_a_tile(entry: str, size: tuple[int, int]) -> None:
    check(entry, Case(*size, votes="some"), Emulator(ONE_WAVE), entry)


@ENTRIES
@pytest.mark.parametrize("radius", [(0, 0), (0, 2), (2, 0), (1, 4), (12, 8), (10, 24)], ids=str)
def test_every_search_radius_even_beyond_the_plane(entry: str, radius: tuple[int, int]) -> None:
    check(entry, Case(9, 23, radius=radius), Emulator(ONE_WAVE), entry)


@ENTRIES
@pytest.mark.parametrize("radius", [(2, 1), (1, 3), (1, 5), (2, 7)], ids=str)
def test_rows_of_shifts_that_end_with_three(entry: str, radius: tuple[int, int]) -> None:
    check(entry, Case(21, 37, radius=radius), Emulator(ONE_WAVE), entry)


@ENTRIES
def test_a_window_wider_than_one_chunk_of_shifts(entry: str) -> None:
    check(entry, Case(3, 200, radius=(1, 70), patch=(1, 1)), Emulator(ONE_WAVE), entry)


#: Wide enough for a block inside, where everything votes though the window is that wide.
OWN_AT_THE_END: dict[str, Any] = {"height": 48, "width": 400, "patch": (1, 1)}


@ENTRIES
@pytest.mark.parametrize("votes", ["all", "some"])
@pytest.mark.parametrize("radius", [60, 61, 62, 63, 64, 65])
def test_the_pixel_itself_at_the_end_of_a_chunk_of_shifts_and_at_the_start_of_the_next(
    entry: str, radius: int, votes: str
) -> None:
    """Chunks along the row have 64 shifts: the pixel's own is in the last group of one, then in the next."""
    emulator = Emulator(ONE_WAVE)
    check(entry, Case(**{**OWN_AT_THE_END, "radius": (0, radius), "votes": votes}), emulator, entry)
    assert emulator.launched[0].arguments[-1]["chunks_x"] == 2


@ENTRIES
def test_a_window_in_slices_is_put_together(entry: str) -> None:
    emulator = Emulator(Device(multiprocessors=2))
    check(entry, Case(21, 37, radius=(4, 2)), emulator, entry)
    assert emulator.launched[0].grid[2] > 1
    assert "reduce" in [launch.kernel for launch in emulator.launched]


@ENTRIES
def test_little_shared_memory_makes_small_chunks(entry: str) -> None:
    emulator = Emulator(TIGHT[entry])
    check(entry, Case(21, 137, radius=(3, 2)), emulator, entry)
    assert emulator.launched[0].shared_bytes <= emulator.device.shared_per_block
    assert emulator.launched[0].block[1] < 4


INNER = {"height": 72, "width": 250, "radius": (1, 2)}  # has blocks where everything votes
KINDS = [
    Case(**INNER),
    Case(**INNER, bias="none"),
    Case(**INNER, own=False),
    Case(votes="none"),
    Case(**INNER, scale="number", votes="some"),
    Case(**INNER, bias="plane"),
    Case(bias="plane", scale="plane", votes="some"),
    Case(**INNER, taps="gaussian"),
    Case(taps="gaussian", patch=(2, 4), bias="none", own=False),
    Case(**INNER, channels=3, values=3),
    Case(channels=2, values=6, votes="some"),
    Case(channels=3, taps="gaussian"),
    Case(height=1, width=300, radius=(0, 5), patch=(0, 3)),
    Case(height=300, width=1, radius=(5, 0), patch=(3, 0)),
    Case(patch=(0, 0)),
    Case(**INNER, patch=(1, 1)),
    Case(**INNER, patch=(2, 2)),
    Case(**INNER, patch=(4, 4)),
    Case(patch=(1, 3)),
    Case(patch=(4, 0), taps="gaussian"),
]


@ENTRIES
@pytest.mark.parametrize("case", KINDS, ids=str)
def test_every_kind_of_input(entry: str, case: Case) -> None:
    check(entry, case, Emulator(ONE_WAVE), entry)


@ENTRIES
def test_the_keys_of_newer_gpus(entry: str) -> None:
    emulator = Emulator(Device(multiprocessors=1, capability=120))
    check(entry, Case(**INNER, channels=3, values=3), emulator, entry)
    assert "-DUNROLLED_CHANNELS=1" in emulator.launched[0].options


@pytest.mark.parametrize("peak", [False, True])
def test_the_peak_comes_back_only_when_asked_for(peak: bool) -> None:
    check("accumulate", Case(peak=peak), Emulator(ONE_WAVE), "accumulate")


@pytest.mark.parametrize("device", [ONE_WAVE, Device()], ids=["one slice", "slices"])
@pytest.mark.parametrize(
    "case",
    [
        Case(**INNER, values=0),
        Case(values=0, channels=3, votes="some"),
        Case(values=0, patch=(2, 2), bias="plane"),
        Case(11, 13, values=0, patch=(5, 5)),
    ],
    ids=str,
)
def test_weights_alone_can_be_asked_for(case: Case, device: Device) -> None:
    got = run("accumulate", case, Emulator(device))
    assert got.numerator.shape == (0, case.height, case.width)
    assert weight_error(got, exact_accumulate(case)) < WEIGHTS


READABLE = {"accumulate": "accumulate_readable", "aggregate": "weigh"}


@ENTRIES
@pytest.mark.parametrize(
    "case",
    [
        Case(11, 13, patch=(5, 5), votes="some"),
        Case(11, 13, patch=(6, 2), bias="plane", scale="plane"),
        Case(3, 4, patch=(9, 9), own=False, channels=2, values=2, taps="gaussian"),
    ],
    ids=str,
)
def test_patch_radii_above_four_take_the_readable_kernels(entry: str, case: Case) -> None:
    check(entry, case, Emulator(), READABLE[entry])


@ENTRIES
@pytest.mark.parametrize("height", [40, 12])
def test_a_sharp_edge_with_little_noise(entry: str, height: int) -> None:
    check(entry, Case(height, 150, picture="edge", radius=(10, 10)), Emulator(ONE_WAVE), entry)


@ENTRIES
@pytest.mark.parametrize(
    "case",
    [
        Case(**INNER),
        Case(votes="some", bias="plane"),
        Case(own=False, taps="gaussian"),
        Case(channels=3, values=3, votes="some"),
        Case(11, 13, patch=(5, 5), votes="some"),
        Case(11, 13, patch=(5, 5), own=False),
    ],
    ids=str,
)
@pytest.mark.parametrize("device", [ONE_WAVE, Device(multiprocessors=2)], ids=["one slice", "slices"])
def test_equal_values_add_nothing_to_a_numerator(entry: str, case: Case, device: Device) -> None:
    pair = pair_of(case)
    value = np.empty_like(pair.value)
    value[...] = np.float32([0.1, -1e30, 7])[: len(value), None, None]
    pair = replace(pair, value=value, own_value=value if case.own else value.copy())
    if entry == "accumulate":
        sums = cuda.accumulate_on(Emulator(device), pair, Run())
    else:
        sums = cuda.aggregate_on(Emulator(device), pair, Run(), *weights_of_centre(case))
    assert not np.any(sums.numerator)


def planes(sums: Sums) -> list[Any]:
    return [a for a in (sums.numerator, sums.denominator, sums.peak) if a is not None]


@ENTRIES
@pytest.mark.parametrize("patch", [3, 5], ids=["register", "readable"])
def test_same_bits_for_every_order_of_threads_and_every_poison(entry: str, patch: int) -> None:
    case = Case(37, 130, patch=(patch, patch), votes="some")
    first = planes(run(entry, case, Emulator()))
    for seed, fill in ((0, 0x7F), (1, 0xFF), (2, 0x00)):
        for mine, theirs in zip(planes(run(entry, case, Emulator(seed=seed, fill=fill))), first, strict=True):
            np.testing.assert_array_equal(mine, theirs)


SANITIZED = [Case(17, 30, radius=(1, 2), votes="some"), Case(5, 9, patch=(5, 5)), Case(7, 121, bias="plane")]


@ENTRIES
@pytest.mark.parametrize("case", SANITIZED, ids=str)
@pytest.mark.parametrize("build", ["address", "thread"])
def test_sanitizers_find_nothing(entry: str, case: Case, build: str) -> None:
    run(entry, case, Emulator(TIGHT["aggregate"], build=build, seed=1))
