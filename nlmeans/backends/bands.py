"""Bands of rows, one thread each, whose sums reach rows of others: the same bits for any number of workers.

Bands do not depend on the number of workers.  What a band has for the rows above and below it, its
*spill*, is added from the topmost down.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from queue import Empty, SimpleQueue
from typing import TypeVar

import numpy as np

from nlmeans.backends.contract import Array, Run

_TICK = 0.1  # seconds between two signs of life to the caller
_WORTH_THREADS = 2**20  # pairs, 0.3 ms on one thread: below, starting threads takes longer than they save
_ALONE = 2**27  # pairs, 40 ms: below, one worker needs no thread of its own to be interrupted soon


T = TypeVar("T")  # what becomes of a band


@dataclass(frozen=True, eq=False)
class Band:
    """Some rows of a call, and what its thread works with."""

    rows: tuple[int, int]  # first, last + 1
    spill: Array  # (P, rows above + rows below, ...) sums for the rows around the band
    stop: bytearray  # one byte, other than 0 where the thread shall end
    scratch: bytearray


@dataclass
class _Spill:
    """Sums of a band for rows above or below it."""

    first: int
    planes: Array  # (P, rows, ...)

    @property
    def last(self) -> int:
        return self.first + int(self.planes.shape[1])


@dataclass
class _Finished:
    """A band whose own rows are written."""

    rows: tuple[int, int]
    above: _Spill
    below: _Spill


class Bands:
    """One call of an entry: bands of `height` rows, their spills, and the flag that stops its threads.

    `planes` are the sums with their rows first, in the order of a spill; of the one called `largest` the
    larger counts, all others are added.  A band's sums reach so many rows above and below it.
    """

    def __init__(
        self,
        entry: Callable[[Band], None],
        planes: list[Array],
        reach: tuple[int, int],
        *,
        height: int,
        pairs: int,
        largest: Array | None = None,
    ) -> None:
        self.entry = entry
        self.planes = planes
        self.largest = largest
        self.height = height
        self.rows, *self.rest = planes[0].shape
        self.above, self.below = reach
        self.stop = bytearray(1)
        self.scratch: list[bytearray] = []  # one for each thread: fresh memory for each band costs 5 %
        self.pairs = pairs

    def run(self, run: Run) -> None:
        """All bands; whatever `run.tick` raises stops the threads first."""
        if self.pairs < (_WORTH_THREADS if run.workers > 1 else _ALONE):
            self.add_spills(map(self.work, self.bands()), run)
            return
        with in_order(self.work, self.bands(), run, self.stop) as finished:
            self.add_spills(finished, run)

    def bands(self) -> list[tuple[int, int]]:
        """Their rows; half as high in the end, so that threads end about together."""
        high = self.height
        full = range(0, max(0, self.rows - 2 * high), high)
        starts = [*full, *range(len(full) * high, self.rows, high // 2), self.rows]
        return list(pairwise(starts))

    def work(self, rows: tuple[int, int]) -> _Finished:
        """One band, in a thread of its own."""
        first, last = rows
        above, below = min(self.above, first), min(self.below, self.rows - last)
        spill = np.zeros((len(self.planes), above + below, *self.rest), np.float32)
        try:
            scratch = self.scratch.pop()
        except IndexError:
            scratch = bytearray()
        if not self.stop[0]:
            self.entry(Band(rows, spill, self.stop, scratch))
        self.scratch.append(scratch)
        return _Finished(rows, _Spill(first - above, spill[:, :above]), _Spill(last, spill[:, above:]))

    def add_spills(self, finished: Iterable[_Finished], run: Run) -> None:
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
                run.tick((last - first) / self.rows)

    def add(self, spill: _Spill, first: int, last: int) -> None:
        """A spill's part in some rows; peaks are compared, all else is added."""
        top, bottom = max(first, spill.first), min(last, spill.last)
        if top >= bottom:
            return
        parts = spill.planes[:, top - spill.first : bottom - spill.first]
        for plane, part in zip(self.planes, parts, strict=True):
            combine = np.maximum if plane is self.largest else np.add
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
