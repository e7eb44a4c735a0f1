"""The CUDA kernels, compiled for the processor, against the float64 reference."""

from __future__ import annotations

import pytest

from nlmeans.backends import cuda
from nlmeans.backends.contract import Run

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

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no g++ on the PATH")


def accumulated(case: Case, emulator: Emulator) -> None:
    got = cuda.accumulate_on(emulator, pair_of(case), Run(), peak=case.peak, squares=case.squares)
    expected = exact_accumulate(case)
    print(case, emulator.launched[-1].kernel, picture_error(case, got, expected), weight_error(got, expected))
    assert picture_error(case, got, expected) < 2e-6
    assert weight_error(got, expected) < 2e-5


def aggregated(case: Case, emulator: Emulator) -> None:
    got = cuda.aggregate_on(emulator, pair_of(case), Run(), *weights_of_centre(case))
    expected = exact_aggregate(case)
    print(case, emulator.launched[0].kernel, picture_error(case, got, expected), weight_error(got, expected))
    assert picture_error(case, got, expected) < 2e-6
    assert weight_error(got, expected) < 2e-5


@pytest.mark.parametrize(
    "case",
    [
        Case(),
        Case(patch=(5, 5)),
        Case(bias="none"),
        Case(picture="edge"),
        Case(picture="edge", radius=(10, 10), height=60, width=150),
        Case(votes="some"),
        Case(own=False),
        Case(taps="gaussian"),
        Case(channels=3, values=3),
        Case(bias="plane", scale="plane"),
        Case(height=1, radius=(0, 5), patch=(0, 3)),
        Case(patch=(0, 0)),
        Case(patch=(1, 2)),
        Case(patch=(4, 4)),
        Case(patch=(2, 1), radius=(3, 1)),
        Case(channels=2, values=5),
        Case(height=3, width=2),
    ],
    ids=str,
)
def test_b(case: Case) -> None:
    aggregated(case, Emulator())


@pytest.mark.parametrize(
    "case",
    [
        Case(),
        Case(patch=(5, 5)),
        Case(bias="none"),
        Case(picture="edge"),
        Case(picture="edge", radius=(10, 10), height=60, width=150),
        Case(votes="some"),
        Case(own=False),
        Case(taps="gaussian"),
        Case(channels=3, values=3),
        Case(bias="plane", scale="plane"),
        Case(height=1, radius=(0, 5), patch=(0, 3)),
        Case(patch=(0, 0)),
        Case(patch=(1, 2)),
        Case(patch=(4, 4)),
        Case(squares=True),
        Case(channels=2, values=5),
        Case(height=3, width=2),
    ],
    ids=str,
)
def test_a(case: Case) -> None:
    accumulated(case, Emulator())
