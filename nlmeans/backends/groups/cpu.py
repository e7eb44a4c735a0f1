"""The groups of NL-Ridge in C (``kernels/cpu/nearest.h``, ``combine.h``): a thread for a band of references.

Bands do not depend on the number of workers, and their sums are added from the topmost down: the same bits
come back for any number of workers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from nlmeans.backends import cpu
from nlmeans.backends.bands import in_order
from nlmeans.backends.contract import Array, Run
from nlmeans.backends.groups import Grid, spread

_BAND = 8  # rows of references
_MARGIN = 32  # columns that the kernel may read beyond a row: PATCH_MARGIN of groups_contract.h

T = TypeVar("T")


def nearest(
    grid: Grid,
    feature: Array,
    barred: Array | None,
    radius: tuple[int, int],
    farthest: Array,
    k: int,
    run: Run,
) -> Array:
    """The k nearest patches of each reference; see the contract."""
    partners = np.empty((len(grid.rows), len(grid.cols), k), np.int32)
    search = _Search(
        **_of(grid),
        partners=partners,
        feature=_widened(feature),
        barred=None if barred is None else _widened(barred),
        radius=radius,
        farthest=_number_or_plane(farthest),
    )
    isa = cpu.isa()

    def work(rows: tuple[int, int], stop: bytearray) -> None:
        cpu.kernel().nearest(isa, search, _Band(rows, stop))

    _each(work, lambda _: None, grid, run)
    return partners


def combine(
    grid: Grid,
    noisy: Array,
    basis: Array,
    variance: Array,
    ridge: float,
    weighted: bool,
    partners: Array,
    run: Run,
) -> tuple[Array, Array]:
    """The best combinations of each group, summed where its patches are; see the contract."""
    width = grid.shape[1]
    wide = _widened(noisy)
    group = _Group(
        **_of(grid),
        partners=partners,
        noisy=wide,
        basis=wide if basis is noisy else _widened(basis),
        variance=_number_or_plane(variance),
        ridge=ridge,
        weighted=weighted,
    )
    isa = cpu.isa()
    numerator = np.zeros(wide.shape, np.float32)
    votes = np.zeros(wide.shape[1:], np.float32)

    def work(rows: tuple[int, int], stop: bytearray) -> _Sums:
        some = partners[rows[0] : rows[1]]
        first, last = int(some[some >= 0].min()) // width, int(some.max()) // width + grid.patch[0]
        shape = (len(wide), last - first, wide.shape[2])
        sums = _Sums(rows, stop, sums=(first, last), numerator=np.zeros(shape, np.float32))
        cpu.kernel().combine(isa, group, sums)
        return sums

    def add(band: _Sums) -> None:
        first, last = band.sums
        numerator[:, first:last] += band.numerator
        votes[first:last] += band.votes

    _each(work, add, grid, run)
    return numerator[:, :, :width], spread(votes[:, :width], grid.patch)


# --- what the kernel is given: the structs of kernels/cpu/groups_contract.h -------------------


@dataclass(frozen=True, eq=False, kw_only=True)
class _Patches:
    """The patches, the references, and their partners."""

    shape: tuple[int, int]
    patch: tuple[int, int]
    rows: Array
    cols: Array
    partners: Array


@dataclass(frozen=True, eq=False, kw_only=True)
class _Search(_Patches):
    """The same, and how partners are sought."""

    feature: Array
    barred: Array | None
    radius: tuple[int, int]
    farthest: Array


@dataclass(frozen=True, eq=False, kw_only=True)
class _Group(_Patches):
    """The same, and how they are combined."""

    noisy: Array
    basis: Array
    variance: Array
    ridge: float
    weighted: bool


@dataclass(frozen=True, eq=False)
class _Band:
    """Some rows of references, and what its thread works with."""

    at_hand: tuple[int, int]  # first, last + 1
    stop: bytearray  # one byte, other than 0 where the thread shall end
    scratch: bytearray = field(default_factory=bytearray, kw_only=True)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Sums(_Band):
    """The rows that the patches of a band reach."""

    sums: tuple[int, int]  # first, last + 1
    numerator: Array  # (V, rows, stride)
    votes: Array = field(init=False)  # (rows, stride)

    def __post_init__(self) -> None:
        object.__setattr__(self, "votes", np.zeros(self.numerator.shape[1:], np.float32))


def _of(grid: Grid) -> dict[str, Any]:
    return {"shape": grid.shape, "patch": grid.patch, "rows": grid.rows, "cols": grid.cols}


def _widened(planes: Array) -> Array:
    """With the columns that the kernel may read beyond each row."""
    *more, width = planes.shape
    result = np.zeros((*more, width + _MARGIN), np.float32)
    result[..., :width] = planes
    return result


def _number_or_plane(array: Array) -> Array:
    """(1,) or (H, stride)."""
    return array.astype(np.float32) if array.ndim == 1 else _widened(array)


def _each(
    work: Callable[[tuple[int, int], bytearray], T], then: Callable[[T], None], grid: Grid, run: Run
) -> None:
    """Work on bands; what becomes of each goes on from the topmost down."""
    count = len(grid.rows)
    bands = [(a, min(a + _BAND, count)) for a in range(0, count, _BAND)]
    stop = bytearray(1)
    with in_order(lambda rows: work(rows, stop), bands, run, stop) as done:
        for rows, result in zip(bands, done, strict=True):
            then(result)
            if run.tick is not None:
                run.tick((rows[1] - rows[0]) / count)
