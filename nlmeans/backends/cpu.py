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
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from nlmeans.backends.contract import Array, PlanePair, Request, Run, Sums
from nlmeans.checkout import hiding
from nlmeans.errors import InvalidTypeError

_BAND = 64  # rows: measured flat from 32 to 128; fewer waste work at the seams, more idle threads
_TICK = 0.1  # seconds between two signs of life to the caller
_WORTH_THREADS = 2**20  # pairs, 0.3 ms on one thread: below, starting threads takes longer than they save
_REMEDY = "install a C compiler, then nlmeans again"

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
        return hiding("_cpu.*[do]") or f"its compiled part is missing ({_missing}); {_REMEDY}"
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
    sums = _empty(pair)
    sums.peak = np.empty_like(sums.denominator) if peak else None
    sums.token = sums.denominator
    return _in_bands(_Call(pair, sums), run)


def aggregate(pair: PlanePair, run: Run, normaliser: Array, centre: Array | None, token: Any = None) -> Sums:
    """The same sums with every weight spread over its patch; see the contract.

    Where all vote, the denominator is the spread of what each pixel's normalised weights sum to, known from
    the pair's denominators: the kernel need not sum it up again.
    """
    weight_sum = pair.vote  # the whole window: 1 where a pixel is valid
    if token is not None:
        weight_sum = (token + centre if pair.own else token) * normaliser
    return _in_bands(_Call(pair, _empty(pair), normaliser, centre, weight_sum), run)


def _empty(pair: PlanePair) -> Sums:
    _float32("value", pair.value), _float32("vote", pair.vote)
    return Sums(np.empty(pair.value.shape, np.float32), np.empty(pair.vote.shape, np.float32))


def _float32(name: str, array: Any) -> Array:
    """In one piece of memory; other types would be silently rounded, so they are refused."""
    if np.ndim(array) and array.dtype != np.float32:
        raise InvalidTypeError(f"{name} must be float32 here, got {array.dtype}; convert it first.")
    return np.ascontiguousarray(array, dtype=np.float32)


@dataclass
class _Spill:
    """Sums that a band has for the rows below it."""

    first: int
    planes: Array  # (P, rows, W)


_Band = tuple[tuple[int, int], tuple[_Spill, _Spill]]  # first and last row, and what it has for others


class _Call:
    """One call of an entry: the arrays as the kernel takes them, and the flag that stops its threads."""

    def __init__(
        self,
        pair: PlanePair,
        sums: Sums,
        normaliser: Array | None = None,
        centre: Array | None = None,
        weight_sum: Array | None = None,
    ) -> None:
        query = _float32("query", pair.query)
        key = query if pair.key is pair.query else _float32("key", pair.key)
        self.sums = sums
        self.height, self.width = pair.vote.shape
        window = [min(2 * r + 1, n) for r, n in zip(pair.radius, pair.vote.shape, strict=True)]
        self.pairs = len(query) * math.prod(window) * pair.vote.size
        self.up = 0 if normaliser is None else pair.patch_radius[0]
        self.down = pair.radius[0] + self.up
        self.stop = bytearray(1)
        known = {"normaliser": normaliser, "centre": centre, "weight_sum": weight_sum}
        optional = (None if array is None else _float32(name, array) for name, array in known.items())
        self.arguments = (
            query,
            key,
            _float32("value", pair.value),
            _float32("vote", pair.vote),
            pair.radius,
            tuple(_float32("taps", t) for t in pair.taps),
            _float32("bias", pair.bias),
            _float32("scale", pair.scale),
            pair.own,
            *optional,
            sums.numerator,
            sums.denominator,
            sums.peak,
        )
        self.isa = isa()
        self.scratch: list[bytearray] = []  # one for each thread: fresh memory for each band costs 5 %

    def planes(self) -> list[Array]:
        """Every plane of sums, in the order of a spill."""
        peak = () if self.sums.peak is None else (self.sums.peak,)
        return [*self.sums.numerator, self.sums.denominator, *peak]

    def bands(self) -> list[tuple[int, int]]:
        """First and last row; half as high in the end, so that threads end about together."""
        full = range(0, max(0, self.height - 2 * _BAND), _BAND)
        starts = [*full, *range(len(full) * _BAND, self.height, _BAND // 2), self.height]
        return list(pairwise(starts))

    def band(self, first: int, last: int) -> tuple[_Spill, _Spill]:
        """One band, in a thread of its own: its rows are written, the spills are handed back."""
        above, below = min(self.up, first), min(self.down, self.height - last)
        spill = np.zeros((len(self.planes()), above + below, self.width), np.float32)
        try:
            scratch = self.scratch.pop()
        except IndexError:
            scratch = bytearray()
        if not self.stop[0]:
            _kernel.band((first, last), self.isa, self.stop, *self.arguments, spill, scratch)
        self.scratch.append(scratch)
        return _Spill(first - above, spill[:, :above]), _Spill(last, spill[:, above:])

    def add(self, spill: _Spill, first: int, last: int) -> None:
        """A spill's part in some rows; peaks are compared, all else is added."""
        top, bottom = max(first, spill.first), min(last, spill.first + spill.planes.shape[1])
        if top >= bottom:
            return
        for plane, part in zip(
            self.planes(), spill.planes[:, top - spill.first : bottom - spill.first], strict=True
        ):
            join = np.maximum if plane is self.sums.peak else np.add
            join(plane[top:bottom], part, out=plane[top:bottom])


def _in_bands(call: _Call, run: Run) -> Sums:
    """All bands, their spills joined in order; whatever `run.tick` raises stops the threads first."""
    if call.pairs < _WORTH_THREADS:
        return _joined(call, run, ((rows, call.band(*rows)) for rows in call.bands()))
    with ThreadPoolExecutor(run.workers, thread_name_prefix="nlmeans") as pool:
        try:
            return _joined(call, run, _finished(pool, call, run))
        except BaseException:
            call.stop[0] = 1
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _joined(call: _Call, run: Run, finished: Iterator[_Band]) -> Sums:
    """The sums, once every band from the top down has what the bands above have for it."""
    spills: deque[_Spill] = deque()
    for (first, last), (above, below) in finished:
        for earlier in spills:
            call.add(earlier, first, below.first)
        call.add(above, 0, first)
        spills.append(below)
        while spills and spills[0].first + spills[0].planes.shape[1] <= below.first:
            spills.popleft()
        if run.tick is not None:
            run.tick((last - first) / call.height)
    return call.sums


def _finished(pool: ThreadPoolExecutor, call: _Call, run: Run) -> Iterator[_Band]:
    """Bands from the top down; only a few more than there are workers at a time, so memory stays small.

    They come through a queue: an interrupt while waiting for a future can leave its lock held for ever.
    """
    results: SimpleQueue[tuple[tuple[int, int], Any]] = SimpleQueue()

    def work(rows: tuple[int, int]) -> None:
        try:
            results.put((rows, call.band(*rows)))
        except BaseException as error:  # raised again where the bands are joined
            results.put((rows, error))

    bands = call.bands()
    begun, done = 0, {}
    for number, band in enumerate(bands):
        for next_band in bands[begun : number + 2 * run.workers]:
            pool.submit(work, next_band)
            begun += 1
        while band not in done:
            try:
                finished, result = results.get(timeout=_TICK)
                done[finished] = result
            except Empty:
                if run.tick is not None:
                    run.tick(0.0)
        result = done.pop(band)
        if isinstance(result, BaseException):
            raise result
        yield band, result
