"""A line on a terminal with the fraction done, the rate and the time left."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from types import TracebackType

from .environment import Environment

INTERVAL = 0.1  # seconds between two updates


class Progress:
    """Shown only on a terminal; off it, every call does nothing.

    The line is rewritten with a carriage return and spaces, never with escape codes.
    """

    def __init__(
        self, environment: Environment, *, shown: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.environment = environment
        self._stream = environment.err if shown and environment.can_rewrite_lines() else None
        self._clock = clock
        self._length = 0
        self._label, self._megapixels, self._began, self._last = "", 0.0, clock(), 0.0

    def start(self, label: str) -> None:
        """Begin with a new piece of work; its name is shown at once."""
        self.environment.check_stopped()
        self._label, self._megapixels, self._began, self._last = label, 0.0, self._clock(), 0.0
        self._write(label)

    def size(self, megapixels: float) -> None:
        """Set the size of the piece, and start the clock."""
        self._megapixels, self._began = megapixels, self._clock()

    def part(self, start: float, size: float) -> Part:
        """A progress of its own for a part of the piece: where it starts and its size, as fractions."""
        return Part(self, start, size)

    def __call__(self, fraction: float) -> None:
        """Show how much of the piece is done, 0 to 1."""
        self.environment.check_stopped()
        now = self._clock()
        if self._stream is None or now - self._last < INTERVAL:
            return
        self._last = now
        spent = now - self._began
        parts = [self._label, f"{100 * fraction:3.0f} %"]
        if fraction > 0 and spent > 0.5:
            parts += [f"{self._megapixels * fraction / spent:.3g} Mpixel/s"]
            parts += [f"{duration(spent / fraction - spent)} left"]
        self._write("  ".join(parts))

    def clear(self) -> None:
        """Remove the line, before anything else is printed."""
        if self._length:
            self._write("")

    def _write(self, text: str) -> None:
        if self._stream is None:
            return
        text = text[: shutil.get_terminal_size().columns - 1]
        self._stream.write("\r" + text.ljust(self._length) + ("" if text else "\r"))
        self._stream.flush()
        self._length = len(text)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()


class Part:
    """The progress of a part of a piece of work."""

    def __init__(self, whole: Progress, start: float, size: float) -> None:
        self.environment = whole.environment
        self._whole, self._start, self._size = whole, start, size

    def part(self, start: float, size: float) -> Part:
        """That of a part of the part."""
        return Part(self._whole, self._start + self._size * start, self._size * size)

    def __call__(self, fraction: float) -> None:
        """Show how much of the part is done, 0 to 1."""
        self._whole(self._start + self._size * fraction)


def duration(seconds: float) -> str:
    """1:05 for 65 seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
