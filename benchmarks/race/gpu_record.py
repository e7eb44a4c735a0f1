"""One run on a GPU from beginning to end: what is written as JSON."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from nlmeans import backends

from .. import device
from ..machine import circumstances, machine
from .cpu_plan import Entries
from .gpu_plan import GROUPS, OURS, QUICK, TORCH, UNITS, GpuChoice, needs_gpu, on_processor
from .turns import Contestant, Effort, Log, Row, measure

PARTS = tuple(name for name, _ in GROUPS)


@dataclass(frozen=True)
class GpuOrder:
    """What was asked for; without a GPU everything small, with the processor in its place."""

    effort: Effort
    parts: tuple[str, ...] = PARTS
    quick: bool = False
    time_limit: float = 1500.0  # seconds; comparisons that would begin later are not made
    command: str = "python -m nlmeans.benchmarks gpu"


def record(order: GpuOrder, log: Log) -> dict[str, Any]:
    """Measure all that was asked for."""
    began = time.monotonic()
    missing = device.missing()
    found = None if missing else device.facts(backends.load("cuda").namespace())
    quick = order.quick or missing is not None
    if missing:
        log(f"no GPU: {missing}; small pictures on the processor show that everything runs")
    result: dict[str, Any] = {
        "what": "non-local means on a GPU: this package and its rivals, in one run, taking turns",
        "units": UNITS,
        "command": order.command,
        "device": found,
        "no_gpu": missing,
        "quick": quick,
        "machine": machine(),
        "started": circumstances(),
    }
    rows: list[Row] = []
    for group, comparisons in GROUPS:
        for entries in comparisons(QUICK if quick else GpuChoice()) if group in order.parts else ():
            if time.monotonic() - began > order.time_limit:
                rows += _without(group, entries, f"the run's {order.time_limit:g} s were over")
            else:
                rows += _measured(group, entries, order.effort, missing, log)
    if found is not None:
        found["afterwards"] = device.management(0)
    result["ended"] = circumstances()
    result["rows"] = [row.to_dict() for row in rows]
    return result


def _measured(group: str, entries: Entries, effort: Effort, missing: str | None, log: Log) -> list[Row]:
    """A comparison; without a GPU those that need one are rows that say so."""
    if missing is None:
        return measure(group, entries, effort, log)
    rows = _without(group, [(p, c) for p, c in entries if needs_gpu(c)], f"no GPU: {missing}")
    there = [(p, _stand_in(c)) for p, c in entries if c.rival in (OURS, TORCH) or not needs_gpu(c)]
    return rows + measure(f"{group}, on the processor", there, effort, log)


def _stand_in(contestant: Contestant) -> Contestant:
    return on_processor(contestant) if contestant.rival in (OURS, TORCH) else contestant


def _without(group: str, entries: Entries, reason: str) -> list[Row]:
    """Rows that say why they are empty."""
    return [
        Row(group, c.name, c.rival, c.threads, p.with_dtype(c.dtype).to_dict(), reason=reason)
        for p, c in entries
    ]
