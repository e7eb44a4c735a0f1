"""One run from beginning to end: what is written as JSON."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from ..machine import circumstances, machine
from . import local
from .cpu_plan import GROUPS, Choice, Entries
from .targets import targets
from .turns import Effort, Log, Row, measure

PARTS = ("targets", "local", *dict.fromkeys(name for name, _ in GROUPS))


@dataclass(frozen=True)
class Order:
    """What was asked for."""

    choice: Choice
    effort: Effort
    parts: tuple[str, ...] = PARTS
    time_limit: float = 1500.0  # seconds; comparisons that would begin later are not made
    largest: int = 4096  # pixels a side of the largest picture of the targets
    command: str = "python -m nlmeans.benchmarks cpu"


def record(order: Order, log: Log) -> dict[str, Any]:
    """Measure all that was asked for."""
    began = time.monotonic()
    result: dict[str, Any] = {
        "what": "non-local means on the processor: this package and its rivals, in one run, taking turns",
        "units": {
            "wall, cpu": "seconds for one picture, every turn; cpu is all threads together",
            "peak": "bytes during the first call beyond those held before it, result included",
            "psnr": "dB against the clean picture",
            "h, noise": "of a picture in [0, 1]",
        },
        "command": order.command,
        "machine": machine(),
        "started": circumstances(),
    }
    rows: list[Row] = []
    if "targets" in order.parts:
        found, rows = targets(order.choice, order.effort, log, largest=order.largest)
        result["targets"] = [target.to_dict() for target in found]
    if "local" in order.parts:
        result["local"] = local.compare(*local.camera(), log)
    for group, comparisons in GROUPS:
        for entries in comparisons(order.choice) if group in order.parts else ():
            if time.monotonic() - began < order.time_limit:
                rows += measure(group, entries, order.effort, log)
            else:
                rows += _left_out(group, entries, order.time_limit)
    result["ended"] = circumstances()
    result["rows"] = [row.to_dict() for row in rows]
    return result


def _left_out(group: str, entries: Entries, limit: float) -> list[Row]:
    """Rows that say why they are empty."""
    return [
        Row(
            group,
            c.name,
            c.rival,
            c.threads,
            p.with_dtype(c.dtype).to_dict(),
            reason=f"the run's {limit:g} s were over",
        )
        for p, c in entries
    ]
