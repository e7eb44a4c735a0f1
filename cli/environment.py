"""What surrounds a run: its streams, whether a person looks at them, and the variables that count.

Everything that touches a terminal is handed an :class:`Environment`, so that a test makes a fake
terminal in one line.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO, FileIO, TextIOWrapper
from typing import Any, BinaryIO, TextIO, cast

_STYLES = {"error": "31", "warning": "33", "good": "32", "faint": "2", "name": "1"}


@dataclass
class Environment:
    """Streams and variables of one run."""

    out: TextIO  # results
    err: TextIO  # messages and progress
    binary_in: BinaryIO  # a picture that was piped in
    binary_out: BinaryIO  # a picture that is piped out
    variables: Mapping[str, str] = field(default_factory=dict)
    no_color: bool = False
    out_closed: bool = False  # there is nowhere for results to go
    stopped: type[BaseException] | None = None  # what a signal has asked for
    deferring: bool = False  # a signal waits until the library next reports its progress

    @classmethod
    def of_process(cls) -> Environment:
        """The streams of this process; one that is closed becomes the null device."""
        out, err = (_text(stream) for stream in (sys.stdout, sys.stderr))
        inside = sys.stdin.buffer if sys.stdin else BytesIO()
        closed = sys.stdout is None
        return cls(out, err, inside, cast(BinaryIO, out.buffer), os.environ, out_closed=closed)

    @contextlib.contextmanager
    def stopped_at_progress(self) -> Iterator[None]:
        """Let a signal wait until the library next reports its progress.

        An exception at any other moment could leave its threads waiting for a lock forever.
        """
        self.deferring = True
        try:
            yield
        finally:
            self.deferring = False
        self.check_stopped()

    def check_stopped(self) -> None:
        """End what is going on if a signal has come.

        Its exception can get lost on the way: Python 3.11 itself turns one that comes while a
        class is made, as on loading a module, into a RuntimeError.
        """
        if self.stopped is not None:
            raise self.stopped

    def write_all(self, data: memoryview) -> None:
        """Write a picture to `binary_out`, which takes less at a time under PYTHONUNBUFFERED."""
        while data:
            data = data[self.binary_out.write(data) or 0 :]
        self.binary_out.flush()

    def is_terminal(self, stream: TextIO | BinaryIO) -> bool:
        """Whether a person looks at this stream."""
        try:
            return stream.isatty()
        except ValueError:  # closed
            return False

    def colour_on(self, stream: TextIO) -> bool:
        """Whether colours may be used: on a terminal that has them, unless the user has switched them off."""
        if self.no_color or self.variables.get("NO_COLOR"):
            return False
        return self.is_terminal(stream) and self.variables.get("TERM") != "dumb"

    def can_rewrite_lines(self) -> bool:
        """Whether a progress line can be shown and overwritten on `err`."""
        return self.is_terminal(self.err) and self.variables.get("TERM") != "dumb"

    def styled(self, text: str, style: str, stream: TextIO) -> str:
        """Text in a colour, where the stream shows colours."""
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if self.colour_on(stream) else text


def _text(stream: Any) -> TextIOWrapper:
    """A stream that cannot fail on a name its encoding lacks; the null device where it is closed."""
    if stream is None:
        stream = TextIOWrapper(FileIO(os.devnull, "w"))
    stream.reconfigure(errors="backslashreplace")
    wrapped: TextIOWrapper = stream
    return wrapped


def printable(name: str) -> str:
    """A file name that is safe on a terminal: control and undecodable bytes are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def available_memory() -> int | None:
    """Bytes that this process can still take: of the machine, of its group, of its address space."""
    found = [_of_machine(), *_of_group(), _of_addresses()]
    known = [size for size in found if size is not None]
    return max(0, min(known)) if known else None


def _of_machine() -> int | None:
    return _kilobytes("/proc/meminfo", "MemAvailable:")


def _of_group() -> Iterator[int | None]:
    """Of the control group, as containers and batch systems set it."""
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        with contextlib.suppress(OSError, ValueError), open(limit) as most, open(used) as now:
            yield int(most.read()) - int(now.read())


def _of_addresses() -> int | None:
    """Of `ulimit -v`."""
    try:
        import resource
    except ImportError:
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    used = _kilobytes("/proc/self/status", "VmSize:")
    return None if limit == resource.RLIM_INFINITY or used is None else limit - used


def _kilobytes(path: str, name: str) -> int | None:
    """A number of a file of the kernel, in bytes."""
    with contextlib.suppress(OSError, ValueError, IndexError), open(path) as file:
        return 1024 * int(file.read().partition(name)[2].split()[0])
    return None
