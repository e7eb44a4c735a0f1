"""The groups of NL-Ridge in C (``kernels/cpu/nearest.h``, ``combine.h``): bands of references, one thread each.

Bands do not depend on the number of workers, and their sums are added from the topmost down: the same bits come
back for any number of workers.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from nlmeans.backends import cpu
from nlmeans.backends.contract import Array, Run
from nlmeans.backends.groups import Grid

_BAND = 8  # rows of references
_MARGIN = 32  # columns that the kernel may read beyond a row: PATCH_MARGIN of groups_contract.h


@dataclass(frozen=True, eq=False, kw_only=True)
class _Band:
    """Some rows of references, and what its thread works with."""

    at_hand: tuple[int, int]
    stop: bytearray
    scratch: bytearray = field(default_factory=bytearray)
    shape: tuple[int, int]
    patch: tuple[int, int]
    rows: Array
    cols: Array
    partners: Array


@dataclass(frozen=True, eq=False, kw_only=True)
class _Search(_Band):
    feature: Array
    barred: Array | None
    radius: tuple[int, int]


@dataclass(frozen=True, eq=False, kw_only=True)
class _Group(_Band):
    noisy: Array
    basis: Array
    variance: Array
    sums: tuple[int, int]  # their first row, and their last + 1
    numerator: Array
    votes: Array


def nearest(
    grid: Grid, feature: Array, barred: Array | None, radius: tuple[int, int], k: int, run: Run
) -> Array:
    """The k nearest patches of each reference; see the contract."""
    partners = np.empty((len(grid.rows), len(grid.cols), k), np.int32)
    stop = bytearray(1)
    known: dict[str, Any] = {
        "shape": grid.shape, "patch": grid.patch, "rows": grid.rows, "cols": grid.cols, "stop": stop,
        "partners": partners, "feature": widened(feature), "radius": radius,
        "barred": None if barred is None else widened(barred),
    }  # fmt: skip
    entry = partial(cpu.kernel().nearest, cpu.isa())

    def work(rows: tuple[int, int]) -> None:
        entry(s := _Search(at_hand=rows, **known), s)

    for _ in _each(work, grid, run, stop):
        pass
    return partners


def combine(
    grid: Grid, noisy: Array, basis: Array, variance: Array, partners: Array, run: Run
) -> tuple[Array, Array]:
    """The best combinations of each group, summed where its patches are; see the contract."""
    height, width = grid.shape
    wide = widened(noisy)
    stop = bytearray(1)
    known: dict[str, Any] = {
        "shape": grid.shape, "patch": grid.patch, "rows": grid.rows, "cols": grid.cols, "stop": stop,
        "partners": partners, "noisy": wide, "basis": wide if basis is noisy else widened(basis),
        "variance": widened(variance) if variance.size > 1 else variance.astype(np.float32),
    }  # fmt: skip
    entry = partial(cpu.kernel().combine, cpu.isa())
    numerator = np.zeros((len(noisy), height, width + _MARGIN), np.float32)
    votes = np.zeros((height, width + _MARGIN), np.float32)

    def work(rows: tuple[int, int]) -> _Group:
        some = partners[rows[0] : rows[1]]
        first = int(some[some >= 0].min()) // width
        last = int(some.max()) // width + grid.patch[0]
        here = (last - first, width + _MARGIN)
        band = _Group(
            at_hand=rows,
            sums=(first, last),
            numerator=np.zeros((len(noisy), *here), np.float32),
            votes=np.zeros(here, np.float32),
            **known,
        )
        entry(band, band)
        return band

    for band in _each(work, grid, run, stop):
        first, last = band.sums
        numerator[:, first:last] += band.numerator
        votes[first:last] += band.votes
    return numerator[:, :, :width], spread(votes[:, :width], grid.patch)


def spread(votes: Array, patch: tuple[int, int]) -> Array:
    """Weights at the first pixels of patches, over their pixels."""
    rows = np.zeros_like(votes)
    for o in range(patch[0]):
        rows[o:] += votes[: len(votes) - o]
    result = np.zeros_like(votes)
    for o in range(patch[1]):
        result[:, o:] += rows[:, : votes.shape[1] - o]
    return result


def widened(planes: Array) -> Array:
    """With the columns that the kernel may read beyond each row."""
    *more, width = planes.shape
    result = np.zeros((*more, width + _MARGIN), np.float32)
    result[..., :width] = planes
    return result


def _each(work: Any, grid: Grid, run: Run, stop: bytearray) -> Iterator[Any]:
    """The results of all bands, from the top down."""
    count = len(grid.rows)
    bands = [(a, min(a + _BAND, count)) for a in range(0, count, _BAND)]
    yield from map(work, bands)
