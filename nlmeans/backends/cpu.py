"""The window kernel in C (``kernels/cpu``), on every core: bands of rows, one thread each.

The contract is in :mod:`nlmeans.backends.contract`.  Within one plane each pair of pixels is weighed
once and used for both (S(i, j) = S(j, i)): a band then also has sums for the rows below it, its
*spill*.  Bands do not depend on the number of workers, and spills are added from the topmost down,
so the same bits come back for any number of workers.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from itertools import pairwise
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import numpy as np

from nlmeans.backends.contract import Array, PlanePair, Request, Run, Sums
from nlmeans.checkout import hiding
from nlmeans.errors import InvalidTypeError

_BAND = 64  # rows: measured flat from 32 to 128; fewer waste work at the seams, more idle threads
_TICK = 0.1  # seconds between two signs of life to the caller
_WORTH_THREADS = 2**20  # pairs, 0.3 ms on one thread: below, starting threads takes longer than they save
_REMEDY = "install a C compiler, then nlmeans again"

T = TypeVar("T")  # what becomes of a band

_kernel: Any
_missing: str | None = None
try:
    _kernel = import_module("nlmeans._cpu")
except ImportError as error:
    _missing = str(error)


def can_run(request: Request) -> str | None:
    """Wherever the extension was built and the arrays are NumPy's."""
    if _missing is not None:
        # *.pyd or *.so, not *.pyi
        return hiding("_cpu.*[do]") or f"the compiled part of nlmeans is missing ({_missing}); {_REMEDY}"
    if request.array_library != "numpy":
        return f"it works on NumPy arrays, not {request.array_library}; convert the image first"
    try:
        isa()
    except ValueError as error:
        return str(error)
    return None


def works_in(dtype: str) -> str:
    """float32, whatever the image's type."""
    return "float32"


def namespace() -> Any:
    """NumPy."""
    return np


def memory() -> None:
    """None of its own."""


def kernel() -> Any:
    """The compiled module; `can_run` says where there is none."""
    return _kernel


def isa() -> str:
    """The instruction set in use: the best, or the one that NLMEANS_ISA names."""
    runs = _kernel.isas()
    asked = os.environ.get("NLMEANS_ISA", "")
    if asked and asked not in runs:
        raise ValueError(
            f"NLMEANS_ISA={asked!r} is not what this processor runs; use one of {', '.join(runs)}"
        )
    return asked or str(runs[0])


def accumulate(pair: PlanePair, run: Run, *, peak: bool = False) -> Sums:
    """Weighted sums over the search window; see the contract.  Their denominators are the token."""
    pair = _for_the_kernel(pair)
    sums = _empty(pair)
    sums.peak = np.empty_like(sums.denominator) if peak else None
    sums.token = sums.denominator
    return _Call(partial(_kernel.accumulate, isa(), pair, sums), pair, sums, reach=0).run(run)


def aggregate(pair: PlanePair, run: Run, normaliser: Array, center: Array | None, token: Any = None) -> Sums:
    """The same sums with every weight spread over its patch; see the contract.

    Where all vote, the denominator is the spread of what each pixel's normalised weights sum to, known from
    the pair's denominators: the kernel need not sum it up again.
    """
    pair = _for_the_kernel(pair)
    weight_sum = pair.vote  # the whole window: 1 where a pixel is valid
    if token is not None:
        weight_sum = (token + center if pair.own else token) * normaliser
    normalised = _Normalised(
        normaliser=_float32("normaliser", normaliser),
        center=None if center is None else _float32("center", center),
        weight_sum=_float32("weight_sum", weight_sum),
    )
    sums = _empty(pair)
    entry = partial(_kernel.aggregate, isa(), pair, normalised, sums)
    return _Call(entry, pair, sums, reach=pair.patch_radius[0]).run(run)


# --- what the kernel is given: the structs of kernels/cpu/contract.h --------------------------


@dataclass(frozen=True, eq=False)
class _Normalised:
    """What makes p(i, s) = w(i, s) normaliser_i of a weight."""

    normaliser: Array  # (H, W)
    center: Array | None  # (H, W) the weight of the pixel itself, within one plane
    weight_sum: Array  # (H, W) sum_s p(i, s)


@dataclass(frozen=True, eq=False)
class _Band:
    """Some rows of a call, and what its thread works with."""

    rows: tuple[int, int]  # first, last + 1
    spill: Array  # (P, rows above + rows below, W) sums for the rows around the band
    stop: bytearray  # one byte, other than 0 where the thread shall end
    scratch: bytearray


def _for_the_kernel(pair: PlanePair) -> PlanePair:
    """The pair with each array as the kernel reads it; numbers become arrays of one item."""
    query, value = _float32("query", pair.query), _float32("value", pair.value)
    return replace(
        pair,
        query=query,
        key=query if pair.key is pair.query else _float32("key", pair.key),
        value=value,
        own_value=value if pair.own_value is pair.value else _float32("own_value", pair.own_value),
        vote=_float32("vote", pair.vote),
        taps=(_float32("taps", pair.taps[0]), _float32("taps", pair.taps[1])),
        bias=_float32("bias", pair.bias),
        scale=_float32("scale", pair.scale),
    )


def _float32(name: str, array: Any) -> Array:
    """In one piece of memory; other types would be silently rounded, so they are refused."""
    if np.ndim(array) and array.dtype != np.float32:
        raise InvalidTypeError(f"{name} must be float32 here, got {array.dtype}; convert it first.")
    return np.ascontiguousarray(array, dtype=np.float32)


def _empty(pair: PlanePair) -> Sums:
    return Sums(np.empty(pair.value.shape, np.float32), np.empty(pair.vote.shape, np.float32))


# --- bands -----------------------------------------------------------------------------------


@dataclass
class _Spill:
    """Sums of a band for rows above or below it."""

    first: int
    planes: Array  # (P, rows, W)

    @property
    def last(self) -> int:
        return self.first + int(self.planes.shape[1])


@dataclass
class _Finished:
    """A band whose own rows are written."""

    rows: tuple[int, int]
    above: _Spill
    below: _Spill


class _Call:
    """One call of an entry: bands, their spills, and the flag that stops its threads."""

    def __init__(self, entry: Callable[[_Band], None], pair: PlanePair, sums: Sums, reach: int) -> None:
        self.entry = entry
        self.sums = sums
        self.height, self.width = pair.vote.shape
        self.above, self.below = reach, pair.radius[0] + reach  # rows that a band's sums go beyond it
        self.stop = bytearray(1)
        self.scratch: list[bytearray] = []  # one for each thread: fresh memory for each band costs 5 %
        window = (min(2 * r + 1, n) for r, n in zip(pair.radius, pair.vote.shape, strict=True))
        self.pairs = len(pair.query) * math.prod(window) * pair.vote.size

    def run(self, run: Run) -> Sums:
        """All bands; whatever `run.tick` raises stops the threads first."""
        if self.pairs < _WORTH_THREADS:
            return self.add_spills(map(self.work, self.bands()), run)
        with in_order(self.work, self.bands(), run, self.stop) as finished:
            return self.add_spills(finished, run)

    def bands(self) -> list[tuple[int, int]]:
        """Their rows; half as high in the end, so that threads end about together."""
        full = range(0, max(0, self.height - 2 * _BAND), _BAND)
        starts = [*full, *range(len(full) * _BAND, self.height, _BAND // 2), self.height]
        return list(pairwise(starts))

    def work(self, rows: tuple[int, int]) -> _Finished:
        """One band, in a thread of its own."""
        first, last = rows
        above, below = min(self.above, first), min(self.below, self.height - last)
        spill = np.zeros((len(self.planes()), above + below, self.width), np.float32)
        try:
            scratch = self.scratch.pop()
        except IndexError:
            scratch = bytearray()
        if not self.stop[0]:
            self.entry(_Band(rows, spill, self.stop, scratch))
        self.scratch.append(scratch)
        return _Finished(rows, _Spill(first - above, spill[:, :above]), _Spill(last, spill[:, above:]))

    def planes(self) -> list[Array]:
        """Every plane of sums, in the order of a spill."""
        peak = () if self.sums.peak is None else (self.sums.peak,)
        return [*self.sums.numerator, self.sums.denominator, *peak]

    def add_spills(self, finished: Iterable[_Finished], run: Run) -> Sums:
        """The sums, once every band from the top down has what the bands above have for it."""
        waiting: deque[_Spill] = deque()
        for band in finished:
            first, last = band.rows
            for spill in waiting:
                self.add(spill, first, last)
            self.add(band.above, 0, first)
            waiting.append(band.below)
            while waiting and waiting[0].last <= last:
                waiting.popleft()
            if run.tick is not None:
                run.tick((last - first) / self.height)
        return self.sums

    def add(self, spill: _Spill, first: int, last: int) -> None:
        """A spill's part in some rows; peaks are compared, all else is added."""
        top, bottom = max(first, spill.first), min(last, spill.last)
        if top >= bottom:
            return
        parts = spill.planes[:, top - spill.first : bottom - spill.first]
        for plane, part in zip(self.planes(), parts, strict=True):
            combine = np.maximum if plane is self.sums.peak else np.add
            combine(plane[top:bottom], part, out=plane[top:bottom])


@contextmanager
def in_order(
    work: Callable[[tuple[int, int]], T], bands: list[tuple[int, int]], run: Run, stop: bytearray
) -> Iterator[Iterator[T]]:
    """The results of bands on every core, from the top down; an error sets `stop` and ends all threads."""
    with ThreadPoolExecutor(run.workers, thread_name_prefix="nlmeans") as pool:
        try:
            yield _in_order(pool, work, bands, run)
        except BaseException:
            stop[0] = 1
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[tuple[int, int]], T], bands: list[tuple[int, int]], run: Run
) -> Iterator[T]:
    """Bands from the top down; only a few more than there are workers at a time, so memory stays small.

    They come through a queue: an interrupt while waiting for a future can leave its lock held for ever.
    """
    results: SimpleQueue[tuple[int, T | BaseException]] = SimpleQueue()

    def work_and_tell(rows: tuple[int, int]) -> None:
        try:
            results.put((rows[0], work(rows)))
        except BaseException as error:  # raised again where the spills are added
            results.put((rows[0], error))

    begun = 0
    done: dict[int, T | BaseException] = {}  # by first row
    for number, (first, _) in enumerate(bands):
        for rows in bands[begun : number + 2 * run.workers]:
            pool.submit(work_and_tell, rows)
            begun += 1
        while first not in done:
            try:
                other, result = results.get(timeout=_TICK)
            except Empty:
                if run.tick is not None:
                    run.tick(0.0)
            else:
                done[other] = result
        result = done.pop(first)
        if isinstance(result, BaseException):
            raise result
        yield result
