"""Blocks on a Dask cluster: a few for each thread at a time, so that the scheduler stays small."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import Any

from ..outcome import Report
from ..status import CommandError, ExitStatus, UnwritableError, UsageError
from .source import needed

_A_THREAD = 4  # blocks that are handed out, for each thread
_NO_WORKER = 60.0  # seconds without any worker until the run gives up
_KILLED = 3  # blocks whose workers died again and again until the run gives up
_LOCAL = re.compile(r"local(?:\[([1-9]\d{0,2})\])?")
_ADDRESS = re.compile(r"([a-z]+://)?[\w.\-\[\]]+:\d+")


class UnreachableError(CommandError):
    """There is no scheduler, or no worker."""

    status = ExitStatus.UNAVAILABLE


def check(scheduler: str) -> None:
    """Refuse what is no address."""
    if not _LOCAL.fullmatch(scheduler) and not _ADDRESS.fullmatch(scheduler):
        raise UsageError(f"--scheduler {scheduler}: give an address as in tcp://host:8786, or local[4]")


@contextmanager
def client_of(scheduler: str, report: Report) -> Iterator[Any]:
    """A client of the scheduler at an address, or of one with workers of its own: ``local[4]``."""
    distributed, local = needed("distributed"), _LOCAL.fullmatch(scheduler)
    with ExitStack() as stack:
        if local:
            count = int(local[1] or 0) or None
            dashboard = ":0" if find_spec("bokeh") else None
            cluster = distributed.LocalCluster(
                n_workers=count, threads_per_worker=1, dashboard_address=dashboard, silence_logs="CRITICAL"
            )
            scheduler = stack.enter_context(cluster).scheduler_address
        try:
            client = stack.enter_context(distributed.Client(scheduler))
        except (OSError, TimeoutError, ValueError) as error:
            detail = " ".join(str(error).split()) or type(error).__name__
            raise UnreachableError(f"the scheduler at {scheduler} does not answer: {detail}") from None
        link = client.dashboard_link if find_spec("bokeh") or not local else None
        report.tell(f"dashboard at {link}" if link else "no dashboard: pip install bokeh")
        yield client


def run(
    client: Any,
    job: Callable[[int], list[str]],
    numbers: Sequence[int],
    done: Callable[[int, list[str]], None],
    failed: Callable[[int, Exception], None],
) -> None:
    """Every block as one task; the task of a worker that is lost goes to another."""
    from distributed import KilledWorker, wait

    waiting, running = iter(numbers), {}
    killed, last_seen = 0, time.monotonic()
    while True:
        threads = sum(client.nthreads().values())
        for number in waiting:
            running[client.submit(job, number, pure=False)] = number
            if len(running) >= max(1, threads) * _A_THREAD:
                break
        if not running:
            return
        now = time.monotonic()
        last_seen = now if threads else last_seen
        if now - last_seen > _NO_WORKER:
            raise UnreachableError(f"there has been no worker for {_NO_WORKER:.0f} seconds; start some")
        try:
            finished = wait(list(running), timeout=1, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            done(-1, [])
            continue
        for future in finished:
            number = running.pop(future)
            error = future.exception()
            if error is None:
                done(number, future.result())
                continue
            if isinstance(error, UnwritableError):
                raise error
            if isinstance(error, KilledWorker):
                killed += 1
                error = CommandError(
                    "the workers that took it died again and again: too little memory for a block, or a "
                    "broken machine"
                )
            failed(number, error)
            if killed >= _KILLED:
                raise CommandError(f"workers die again and again ({killed} blocks): {error}")
