"""Processes of their own: what crashes or hangs there costs its own rows only."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from threading import Thread
from typing import Any

_LAST_WORDS = 400  # characters of what a process said before it ended


class ChildError(Exception):
    """The process ended badly or was stopped; the message is the reason."""


def module(name: str, *words: str) -> list[str]:
    """The command that runs a module of this package, wherever this process was started."""
    return [sys.executable, "-P", "-m", name, *words]


def objects(command: Sequence[str], *, silence: float, until: float) -> Iterator[dict[str, Any]]:
    """The JSON objects that a process prints, one a line, as they come.

    It is stopped when it says nothing for `silence` seconds, or at `until` (of `time.monotonic`).
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        process = _started(command, stdout=subprocess.PIPE, stderr=errors)
        lines: queue.Queue[str] = queue.Queue()
        reader = Thread(target=_read, args=(process, lines), daemon=True)
        reader.start()
        try:
            while True:
                wait = min(silence, until - time.monotonic())
                try:
                    line = lines.get(timeout=max(wait, 0.0))
                except queue.Empty:
                    late = time.monotonic() >= until
                    raise ChildError("no time left" if late else f"no answer for {silence:g} s") from None
                if not line:
                    break
                if line.startswith("{"):
                    yield json.loads(line)
            if process.wait():
                raise ChildError(f"it ended with code {process.returncode}: {_end(errors)}")
        finally:
            _stop(process)
            reader.join(timeout=5)


def output(command: Sequence[str], *, until: float) -> tuple[int, str]:
    """The exit code of a process and all that it printed; it is not started where no time is left."""
    if time.monotonic() >= until:
        raise ChildError("no time left")
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as told:
        process = _started(command, stdout=told, stderr=subprocess.STDOUT)
        try:
            process.wait(timeout=max(until - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            raise ChildError("no time left") from None
        finally:
            _stop(process)
        told.seek(0)
        return process.returncode, told.read()


def _started(command: Sequence[str], **streams: Any) -> subprocess.Popen[str]:
    """In a group of its own, so that its children can be ended with it."""
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, text=True, errors="replace", start_new_session=True, **streams
    )


def _read(process: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    assert process.stdout is not None
    with process.stdout as told:
        for line in told:
            lines.put(line)
    lines.put("")


def _stop(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _end(file: Any) -> str:
    """The last words, in one line."""
    file.seek(0)
    return " ".join(file.read().split())[-_LAST_WORDS:]
