"""Blocks or files on a Dask cluster: a few for each thread at a time, so that the scheduler stays small."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from itertools import islice
from threading import Thread
from typing import Any

from ..outcome import Report
from ..status import CommandError, ExitStatus, UnwritableError, UsageError, reason_of
from .source import needed

_A_THREAD = 4  # blocks that are handed out, for each thread
_HANDSHAKE = 15.0  # seconds more than Dask takes to connect
_NO_WORKER = 60.0  # seconds without any worker until the run gives up
_KILLED = 3  # blocks whose workers died again and again until the run gives up
#: How often processes of a cluster of our own look after themselves.  As Dask has it, with a profile every
#: 10 ms and a tick every 20 ms, that took a fifth of the processor's time of blocks of half a second.
_SELDOM = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.worker.memory.monitor-interval": "500ms",
}
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
        stack.enter_context(_quiet())
        if local:
            stack.enter_context(needed("dask").config.set(_SELDOM))
            count = int(local[1] or 0) or None
            cluster = distributed.LocalCluster(
                n_workers=count, threads_per_worker=1, dashboard_address=":0", silence_logs="CRITICAL"
            )
            scheduler = stack.enter_context(cluster).scheduler_address
        client = stack.enter_context(_connected(distributed, scheduler))
        link = client.dashboard_link if find_spec("bokeh") or not local else None
        report.tell(f"dashboard at {link}" if link else "no dashboard: pip install bokeh")
        yield client


def _connected(distributed: Any, scheduler: str) -> Any:
    """A client; in a thread, for it waits for ever where something else than a scheduler listens."""
    dask = needed("dask")
    patience = dask.utils.parse_timedelta(dask.config.get("distributed.comm.timeouts.connect")) + _HANDSHAKE
    found: list[Any] = []

    def connect() -> None:
        try:
            found.append(distributed.Client(scheduler))
        except Exception as error:
            found.append(error)

    thread = Thread(target=connect, daemon=True)
    thread.start()
    thread.join(patience)
    error = found[0] if found else "what listens there is no scheduler of Dask"
    if isinstance(error, distributed.Client):
        return error
    if isinstance(error, OSError | TimeoutError | ValueError | str):
        raise UnreachableError(f"the scheduler at {scheduler} does not answer: {reason_of(error)}") from None
    raise error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Dask's own words, and its tracebacks, for what is told as one error here."""
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


@contextmanager
def _connection() -> Iterator[None]:
    """What is done over it; one error, where it is lost."""
    try:
        yield
    except (CancelledError, OSError) as error:
        raise _lost() from error


def _lost() -> UnreachableError:
    return UnreachableError(
        "the connection to the scheduler was lost, and with it the work that had been handed out: start it "
        "again, and the same command goes on with what is missing"
    )


def run(
    client: Any,
    job: Callable[[Any], Any],
    items: Iterable[Any],
    done: Callable[[Any, Any], None],
    failed: Callable[[Any, Exception], None],
    tick: Callable[[], None] = lambda: None,
    most_killed: int | None = _KILLED,
) -> None:
    """Every item as one task; that of a worker that is lost goes to another.

    `tick` is called once a second at least.  After `most_killed` items that killed their workers it gives up.
    """
    from distributed import KilledWorker, wait

    waiting = iter(items)
    running: dict[Any, Any] = {}
    killed, last_seen = 0, time.monotonic()
    while True:
        with _connection():
            threads = sum(client.nthreads().values())
            for item in islice(waiting, max(0, max(1, threads) * _A_THREAD - len(running))):
                running[client.submit(job, item, pure=False)] = item
        if not running:
            return
        now = time.monotonic()
        last_seen = now if threads else last_seen
        if now - last_seen > _NO_WORKER:
            raise UnreachableError(f"there has been no worker for {_NO_WORKER:.0f} seconds; start some")
        tick()
        finished = []
        with _connection(), suppress(TimeoutError):
            finished = wait(list(running), timeout=1, return_when="FIRST_COMPLETED").done
        for future in finished:
            item = running.pop(future)
            try:
                result = future.result()  # which may be lost again until here
            except UnwritableError:
                raise
            except CancelledError as error:
                raise _lost() from error
            except KilledWorker:
                killed += 1
                words = (
                    "the workers that took it died again and again: too little memory, or a broken machine"
                )
                failed(item, CommandError(words))
            except Exception as error:
                failed(item, error)
            else:
                done(item, result)
            if most_killed is not None and killed >= most_killed:
                raise CommandError(f"workers die again and again, over {killed} blocks: too little memory?")
