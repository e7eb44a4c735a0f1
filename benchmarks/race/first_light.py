"""What fits into a few minutes on a GPU, most telling first.

Right answers come before fast ones: forty calls against the reference, then a checker of memory, then
the times.  Every row is in the file as soon as it is measured, and the file is a whole JSON at any
moment; a part for which no time is left says so, and a part that fails says why, and the next begins.

On a machine without a network that has setuptools 77, NumPy, CuPy and array-api-compat::

    pip install --no-build-isolation --no-deps .
    cd / && python -m nlmeans.benchmarks gpu --minutes 8 --json FILE

(from another folder, so that what is imported is what was installed).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from nlmeans import backends

from .. import children, device, needs
from ..machine import circumstances, machine
from ..ours import correctness, sanitizer
from ..scripts import write_json
from . import turns
from .cpu_plan import Entries
from .gpu_plan import (
    CONTESTANTS,
    DEVICE,
    HOST,
    HOST_BYTES,
    KERNEL,
    LARGE,
    OURS,
    TORCH,
    UNITS,
    WHOLE,
    GpuChoice,
    frame,
    large_frame,
    volumes,
)
from .turns import Effort, Log, Row

NO_TIME = "no time left"
COMPILING = 60.0  # seconds that a first call may take and is not taken for a slow program: it compiles
_SILENCE = 60.0  # seconds after which a check is taken for one that hangs
_ATTEMPTS = 6  # processes that may be lost to checks that fail
_PACKAGES = ("nlmeans", "numpy", "cupy-cuda13x", "cupy-cuda12x", "array-api-compat", "torch", "bm3d-cupy")

Rows = Iterator[tuple[str, dict[str, Any]]]  # a list of the result, and what is added to it


@dataclass(frozen=True)
class FirstOrder:
    """What was asked for."""

    minutes: float
    path: Path | None = None
    effort: Effort = field(default_factory=lambda: Effort(repeats=5, seconds=10.0, once=COMPILING))
    choice: GpuChoice = field(default_factory=GpuChoice)
    command: str = "python -m nlmeans.benchmarks gpu"


@dataclass(frozen=True)
class Part:
    """A question, the seconds under which it is not begun, and how much of the whole time it may take."""

    name: str
    asks: str
    least: float
    most: float
    rows: Callable[[FirstOrder, float], Rows]


# --- parts -----------------------------------------------------------------------------------


def _checks(order: FirstOrder, until: float) -> Rows:
    """Each in turn; a process that is lost to one is followed by another, which begins with the next."""
    number, count = 0, len(correctness.CHECKS)
    for _ in range(_ATTEMPTS):
        words = children.module(correctness.__name__, "--from", str(number))
        reason = ""
        try:
            for row in children.objects(words, silence=_SILENCE, until=until):
                number = row["number"] + 1
                yield "checks", row
        except children.ChildError as error:
            reason = str(error)
        if number >= count:
            return
        if f"code {correctness.LOST}" not in reason:  # it went with the next one, which has no row
            lost = correctness.Compared(
                number, correctness.CHECKS[number].what, "", reason=reason or "it ended"
            )
            yield "checks", vars(lost)
            number += 1
        if time.monotonic() >= until or number >= count:
            break
    for left in range(number, count):
        late = NO_TIME if time.monotonic() >= until else f"not begun: {_ATTEMPTS} processes were lost before"
        yield "checks", vars(correctness.Compared(left, correctness.CHECKS[left].what, "", reason=late))


def _sanitizer(order: FirstOrder, until: float) -> Rows:
    for row in sanitizer.rows(until):
        yield "sanitizer", row


def _usual(order: FirstOrder, until: float) -> Rows:
    entries = [(frame(order.choice), c) for c in (KERNEL, DEVICE, HOST, HOST_BYTES)]
    return _measured("rivals", entries, order, until)


def _default_call(order: FirstOrder, until: float) -> Rows:
    return _measured("rivals", [(frame(order.choice), WHOLE)], order, until)


def _colour(order: FirstOrder, until: float) -> Rows:
    problem = frame(order.choice, channels=3)
    return _measured("rivals", [(problem, c) for c in (KERNEL, DEVICE, HOST, WHOLE)], order, until)


def _large(order: FirstOrder, until: float) -> Rows:
    problem = large_frame(order.choice)
    return _measured(LARGE, [(problem, c) for c in (KERNEL, DEVICE, HOST, WHOLE)], order, until)


def _volumes(order: FirstOrder, until: float) -> Rows:
    entries = [entry for entries in volumes(order.choice) for entry in entries]
    return _measured("volumes", entries, order, until)


def _rivals(order: FirstOrder, until: float) -> Rows:
    """The one that most can have first; at the end all that needs a GPU where they are at their best."""
    others = [c for c in CONTESTANTS if c.rival != OURS]
    others.sort(key=lambda c: c.rival != TORCH)
    favourite = frame(order.choice, patch=4, search=2)
    entries = [(frame(order.choice), c) for c in others]
    entries += [(favourite, c) for c in (KERNEL, HOST, HOST_BYTES)]
    return _measured("rivals", entries, order, until)


PARTS = (
    Part("correctness", "forty calls against the float64 reference", 10.0, 0.4, _checks),
    Part("sanitizer", "the same kernels under a checker of memory", 15.0, 0.35, _sanitizer),
    Part("1080p", "the table's row: kernel, arrays on the GPU, NumPy in and out", 8.0, 1.0, _usual),
    Part("default call", "two passes", 8.0, 1.0, _default_call),
    Part("RGB", "three channels, compared jointly", 8.0, 1.0, _colour),
    Part(LARGE, "four times the pixels", 10.0, 1.0, _large),
    Part("volumes", "a volume, and a film", 10.0, 1.0, _volumes),
    Part("rivals", "others on the same frame", 10.0, 1.0, _rivals),
)


def _measured(group: str, entries: Entries, order: FirstOrder, until: float) -> Rows:
    """One after another, not in turns: each row is there as soon as it can be."""
    for problem, contestant in entries:
        if time.monotonic() >= until:
            shown = problem.with_dtype(contestant.dtype).to_dict()
            row = Row(group, contestant.name, contestant.rival, contestant.threads, shown, reason=NO_TIME)
            yield "rows", row.to_dict()
            continue
        effort = replace(order.effort, until=until)
        for row in turns.measure(group, [(problem, contestant)], effort):
            yield "rows", row.to_dict()


# --- the run ---------------------------------------------------------------------------------


def _missing(log: Log) -> str | None:
    """Why nothing can be measured; every package that is not there is told, in a line."""
    absent = needs.absent(needs.ON_A_GPU)
    for line in absent:
        log(f"error: {line}")
    for line in needs.absent(needs.RIVALS):
        log(f"note: {line}")
    if absent:
        return f"missing: {', '.join(line.partition(' ')[0] for line in absent)}"
    reason = device.missing()
    if reason is not None:
        log(f"error: {reason}")
    return reason


def record(order: FirstOrder, log: Log, parts: tuple[Part, ...] = PARTS) -> dict[str, Any]:
    """Measure what the time is enough for; the result, which is in the file as well."""
    began = time.monotonic()
    end = began + 60 * order.minutes
    no_gpu = _missing(log)
    result = _beginning(order, no_gpu)
    try:
        _keep(result, order.path)
        if no_gpu is None:
            result["device"] = _facts(result)
        for part in parts:
            _do(part, order, result, end, log)
        if result["device"]:
            result["device"]["afterwards"] = device.management(0)
    finally:  # also where somebody stops the run
        result["ended"] = circumstances()
        result["seconds"] = round(time.monotonic() - began, 1)
        _keep(result, order.path)
    return result


def _do(part: Part, order: FirstOrder, result: dict[str, Any], end: float, log: Log) -> None:
    """One part: its rows, and how it went."""
    now = time.monotonic()
    told: dict[str, Any] = {"part": part.name, "asks": part.asks, "rows": 0, "seconds": 0.0, "reason": None}
    result["parts"].append(told)
    if result["no_gpu"] is not None:
        told["reason"] = f"no GPU: {result['no_gpu']}"
    elif end - now < part.least:
        told["reason"] = NO_TIME
    else:
        log(f"{part.name}: {part.asks}")
        try:
            for kind, row in part.rows(order, min(end, now + part.most * 60 * order.minutes)):
                result[kind].append(row)
                told["rows"] += 1
                told["seconds"] = round(time.monotonic() - now, 1)
                _keep(result, order.path)
                log(f"  {line(kind, row)}")
        except Exception as error:  # whatever it is, it costs this part only
            told["reason"] = f"{type(error).__name__}: {' '.join(str(error).split())}"
    if told["reason"] and result["no_gpu"] is None:
        log(f"{part.name}: {told['reason']}")
    told["seconds"] = round(time.monotonic() - now, 1)
    _keep(result, order.path)


def line(kind: str, row: dict[str, Any]) -> str:
    """What is said of a row while measuring."""
    if kind == "checks":
        verdict = row["reason"] or f"{'right' if row['ok'] else 'WRONG'}, off by {row['largest']:.2g}"
        return f"{row['number'] + 1:2} {row['what']}: {verdict}"
    if kind == "sanitizer":
        return f"{row['tool']}: {row['reason'] or str(row['faults']) + ' faults'}"
    figures = ""
    if not row["reason"]:
        figures = f"{1e3 * row.get('device_median', row['wall_median']):.3f} ms, {row['psnr']:.2f} dB"
    return f"{row['problem']['name']}, {row['contestant']}: {row['reason'] or figures}"


def wrong(result: dict[str, Any]) -> list[str]:
    """What is not as it should be: answers, and faults that the checker found."""
    checks = [line("checks", r) for r in result["checks"] if not r["ok"] and r["reason"] != NO_TIME]
    return checks + [line("sanitizer", r) for r in result["sanitizer"] if r["faults"]]


def _beginning(order: FirstOrder, no_gpu: str | None) -> dict[str, Any]:
    """A result before anything is measured."""
    return {
        "what": "non-local means on a GPU, first light: right answers, then times, one row after another",
        "units": {
            **UNITS,
            "largest, allowed": "of a check: difference from the float64 reference, of the data range",
            "first": "of a check: seconds of the call, compiling included",
        },
        "command": order.command,
        "minutes": order.minutes,
        "turns": False,
        "device": None,
        "no_gpu": no_gpu,
        "quick": False,
        "versions": _versions(),
        "machine": machine(),
        "started": circumstances(),
        "parts": [],
        "checks": [],
        "sanitizer": [],
        "rows": [],
    }


def _facts(result: dict[str, Any]) -> dict[str, Any] | None:
    """The device; where it cannot be asked, that is told, and the measuring goes on."""
    try:
        return device.facts(backends.load("cuda").namespace())
    except Exception as error:
        result["no_facts"] = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return None


def _versions() -> dict[str, str]:
    """Of what is installed of the packages that matter; none is imported."""
    found = {}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _keep(result: dict[str, Any], path: Path | None) -> None:
    """In the file, at once or not at all."""
    if path is None:
        return
    beside = path.with_name(f".{path.name}.part")
    write_json(beside, result)
    os.replace(beside, path)
