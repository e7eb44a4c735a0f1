"""Measure contestants against one another: each in a process of its own, taking turns.

Turns (A B C, A B C, ...) make what else the machine does fall on all alike; medians make single
disturbances not count.  Processor time is the figure to compare where the machine is shared.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Timer
from typing import Any

import numpy as np

from ..problems import Problem, psnr
from . import rivals

Log = Callable[[str], None]
PYTHON_VARIABLE = "NLMEANS_VAPOURSYNTH_PYTHON"
_NEEDS_OTHER_PYTHON = ("vs-nlm-ispc", "vs-nlm-ispc, film", "vszip", "vs-nlm-cuda", "vszipcu", "KNLMeansCL")


@dataclass(frozen=True)
class Contestant:
    """A program with its settings."""

    name: str  # in tables
    rival: str  # a key of `rivals.RIVALS`
    dtype: str = "float32"
    threads: int = 1
    options: dict[str, Any] = field(default_factory=dict)  # of the call, beside the problem's


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    repeats: int = 5  # turns, after one to warm up
    seconds: float = 120.0  # that the turns of one comparison may take; at least one is made
    patience: float = 300.0  # seconds after which one call is stopped
    once: float = 6.0  # a first call that takes longer is the only one
    python: str | None = None  # the interpreter that has VapourSynth
    until: float = math.inf  # moment of `time.monotonic` after which nothing is waited for


@dataclass
class Row:
    """One contestant on one problem: what was measured, or why not."""

    group: str
    contestant: str
    rival: str
    threads: int
    problem: dict[str, Any]
    call: str = ""
    versions: str = ""
    wall: list[float] = field(default_factory=list)  # seconds for a picture, every turn
    cpu: list[float] = field(default_factory=list)
    device: list[float] = field(default_factory=list)  # seconds by a GPU's own events, where there are any
    peak: int | None = None  # bytes during the first call beyond those held before it, result included
    psnr: float | None = None  # dB against the clean picture, result clipped to [0, 1]
    reason: str | None = None

    @property
    def pixels(self) -> int:
        """Of the problem, of all planes."""
        return math.prod(self.problem["shape"])

    @property
    def cpu_seconds(self) -> float:
        """Median of processor time for a picture, all threads together."""
        return statistics.median(self.cpu) if self.cpu else float("nan")

    @property
    def wall_seconds(self) -> float:
        """Median of wall time for a picture."""
        return statistics.median(self.wall) if self.wall else float("nan")

    @property
    def rate(self) -> float:
        """Million pixels for each second of processor time."""
        return self.pixels / 1e6 / self.cpu_seconds

    def to_dict(self) -> dict[str, Any]:
        """A JSON form, with the medians spelled out."""
        if self.reason:
            return asdict(self)
        medians = {
            "cpu_median": self.cpu_seconds,
            "wall_median": self.wall_seconds,
            "mpixel_per_cpu_s": self.rate,
        }
        if self.device:
            medians["device_median"] = statistics.median(self.device)
        return asdict(self) | {name: round(value, 6) for name, value in medians.items()}


class RivalError(Exception):
    """A rival could not do what was asked; the message is the reason."""


class Worker:
    """A process that serves one rival."""

    def __init__(self, rival: str, folder: Path, effort: Effort) -> None:
        program = _interpreter(rival, effort.python)
        self._patience, self._until = effort.patience, effort.until
        folder.mkdir()
        self._process = subprocess.Popen(
            [program, "-P", rivals.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=folder,
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        """The answer, or RivalError with the reason."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        patience = min(self._patience, max(0.0, self._until - time.monotonic()))
        timer = Timer(patience, process.kill)
        timer.start()
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            late = not timer.is_alive()
            timer.cancel()
        if not line:
            why = f"stopped after {patience:.3g} s" if late else f"it ended with code {process.wait()}"
            raise RivalError(why)
        answer: dict[str, Any] = json.loads(line)
        if "reason" in answer:
            raise RivalError(answer["reason"])
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


def _interpreter(rival: str, python: str | None) -> str:
    """The one that has the rival."""
    if rival not in _NEEDS_OTHER_PYTHON:
        return sys.executable
    program = python or os.environ.get(PYTHON_VARIABLE)
    if not program:
        raise RivalError(f"not looked for: name a Python 3.12 that has VapourSynth in {PYTHON_VARIABLE}")
    if not os.access(program, os.X_OK):
        raise RivalError(f"{program} in {PYTHON_VARIABLE} or --vapoursynth-python is no program")
    return program


@dataclass
class _Turn:
    """A contestant that is in the race."""

    row: Row
    worker: Worker
    problem: Problem


def measure(
    group: str, entries: Sequence[tuple[Problem, Contestant]], effort: Effort, log: Log = lambda _: None
) -> list[Row]:
    """A row for every entry, in order; all take turns."""
    rows = [_row(group, problem, contestant) for problem, contestant in entries]
    turns: list[_Turn] = []
    with tempfile.TemporaryDirectory() as scratch:
        try:
            for number, (problem, contestant) in enumerate(entries):
                turn = _warmed_up(rows[number], problem, contestant, Path(scratch) / str(number), effort)
                log(_line(rows[number]))
                if turn is not None:
                    turns.append(turn)
            _take_turns(turns, effort)
        finally:
            for turn in turns:
                turn.worker.close()
    return rows


def _row(group: str, problem: Problem, contestant: Contestant) -> Row:
    shown = problem.with_dtype(contestant.dtype).to_dict()
    return Row(group, contestant.name, contestant.rival, contestant.threads, shown)


def _warmed_up(
    row: Row, problem: Problem, contestant: Contestant, folder: Path, effort: Effort
) -> _Turn | None:
    """Loaded, called once, its result looked at; None where that was all, or did not work."""
    worker: Worker | None = None
    try:
        worker = Worker(contestant.rival, folder, effort)
        first = _first_call(row, problem, contestant, worker, folder)
    except RivalError as error:
        row.reason = str(error)
    except BaseException:  # somebody stops the run
        if worker is not None:
            worker.close()
        raise
    else:
        if first["wall"] <= effort.once:
            return _Turn(row, worker, problem)
        row.wall, row.cpu = [first["wall"]], [first["cpu"]]
    if worker is not None:
        worker.close()
    return None


def _first_call(
    row: Row, problem: Problem, contestant: Contestant, worker: Worker, folder: Path
) -> dict[str, Any]:
    """Not timed for the table: it finds the memory and the quality."""
    np.save(folder / "image.npy", problem.with_dtype(contestant.dtype).noisy())
    setting = {n: getattr(problem, n) for n in ("patch_radius", "search_radius", "h", "noise")}
    loaded = worker.ask(
        do="load",
        rival=contestant.rival,
        image=str(folder / "image.npy"),
        setting=setting | {"options": contestant.options},
        threads=contestant.threads,
    )
    row.call, row.versions = loaded["call"], loaded["versions"]
    first = worker.ask(do="run")
    row.peak = int(first["peak"])
    worker.ask(do="save", path=str(folder / "result.npy"))
    row.psnr = round(psnr(problem.clean(), np.load(folder / "result.npy")), 2)
    return first


def _take_turns(turns: list[_Turn], effort: Effort) -> None:
    """A B C, A B C, ... until it has been enough."""
    racing = list(turns)
    started = time.monotonic()
    for done in range(effort.repeats):
        spent = time.monotonic() - started
        left = min(effort.seconds, effort.until - started)
        if done and spent * (done + 1) / done > left:
            return
        for turn in list(racing):
            try:
                answer = turn.worker.ask(do="run")
            except RivalError as error:
                turn.row.reason = str(error)
                racing.remove(turn)
                continue
            turn.row.wall.append(round(answer["wall"], 6))
            turn.row.cpu.append(round(answer["cpu"], 6))
            if answer.get("device") is not None:
                turn.row.device.append(round(answer["device"], 7))


def _line(row: Row) -> str:
    """What is said while measuring."""
    told = row.reason or f"{row.psnr:.2f} dB"
    return f"{row.problem['name']:28} {row.contestant:28} {row.threads} thread(s)  {told}"
