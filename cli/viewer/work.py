"""What takes long: one thing at a time, with its progress, until it is done or cancelled."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO, StringIO
from typing import Any

from ..environment import Environment
from ..outcome import one_line
from ..progress import Progress
from ..status import UsageError

_WAIT = 0.5  # seconds after which a page that listens is looked for


class Cancelled(Exception):
    """Nobody wants the result any more."""


def silent() -> Environment:
    """Streams that nobody sees."""
    return Environment(StringIO(), StringIO(), BytesIO(), BytesIO())


class Watched(Progress):
    """A progress that is told to the page, and ends the work where it is not wanted."""

    def __init__(self, tell: Callable[[float], None], unwanted: Callable[[], bool]) -> None:
        super().__init__(silent(), shown=False)
        self._tell, self._unwanted = tell, unwanted

    def __call__(self, fraction: float) -> None:
        """The fraction done, 0 to 1."""
        if self._unwanted():
            raise Cancelled
        self._tell(fraction)


@dataclass
class State:
    """What the page is told without asking."""

    told: dict[str, Any] = field(default_factory=dict)
    number: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def tell(self, **news: Any) -> None:
        """Change some of it."""
        with self.changed:
            self.told.update(news)
            self.number += 1
            self.changed.notify_all()

    def after(self, number: int) -> tuple[int, str] | None:
        """The state, once it is another than that of a number; None if it is not for a while."""
        with self.changed:
            self.changed.wait_for(lambda: self.number > number, _WAIT)
            if self.number <= number:
                return None
            return self.number, json.dumps(self.told, allow_nan=False)


@dataclass
class Work:
    """The thread of what takes long."""

    state: State
    kind: str = ""  # of what goes on
    count: int = 0  # of what was done
    cancelled: bool = False
    thread: threading.Thread | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, kind: str, words: str, act: Callable[[Watched], str]) -> None:
        """Start it; refused while something goes on.  `act` gives the words for its end."""
        with self._lock:
            if self.kind:
                raise UsageError("something is being computed; wait for it, or cancel it")
            self.kind, self.cancelled = kind, False
        self.state.tell(work={"kind": kind, "words": words, "fraction": 0.0})
        self.thread = threading.Thread(target=self._run, args=(kind, words, act), daemon=True)
        self.thread.start()

    def cancel(self) -> None:
        """End what goes on, at its next progress."""
        self.cancelled = True

    def wait(self, seconds: float = 10.0) -> None:
        """Until what was cancelled has cleaned up after itself."""
        if self.thread is not None:
            self.thread.join(seconds)

    def _run(self, kind: str, words: str, act: Callable[[Watched], str]) -> None:
        def tell(fraction: float) -> None:
            self.state.tell(work={"kind": kind, "words": words, "fraction": round(fraction, 3)})

        try:
            message, failed = act(Watched(tell, lambda: self.cancelled)), False
        except Cancelled:
            message, failed = "Cancelled; nothing was written", False
        except BaseException as error:
            message, failed = one_line(error), True
        with self._lock:
            self.kind = ""
        self.count += 1
        self.state.tell(work=None, done=self.count, message=message, failed=failed)
