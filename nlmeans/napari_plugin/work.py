"""Work in a thread of its own, which tells how far it is and can be stopped."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import Any

from nlmeans.errors import NLMeansError


class MissingQtError(NLMeansError, ImportError):
    """The widgets need Qt; the message says what to install."""


try:
    from qtpy import QtCore, QtWidgets
except Exception as error:  # no qtpy, or no binding of Qt that starts: each raises something of its own
    raise MissingQtError(
        "the widgets of napari need Qt, and it does not start here "
        f"({type(error).__name__}: {error}); pip install 'nlmeans[napari]' brings it"
    ) from None


__all__ = ["MissingQtError", "QtWidgets", "Stopped", "Work"]


class Stopped(Exception):
    """The work was stopped by the person who began it."""


class Work(QtCore.QThread):  # type: ignore[misc]
    """Calls a function with a callback for its progress; its signals arrive in the thread of the window.

    `told` has the fraction done, `done` the result and the texts of warnings, `failed` the text of an error,
    `stopped` nothing.
    """

    told = QtCore.Signal(float)
    done = QtCore.Signal(object, list)
    failed = QtCore.Signal(str)
    stopped = QtCore.Signal()

    def __init__(self, function: Callable[[Callable[[float], None]], Any]) -> None:
        super().__init__()
        self._function, self._stop = function, threading.Event()

    def stop(self) -> None:
        """End the work at its next report of progress."""
        self._stop.set()

    def run(self) -> None:
        """What the thread does."""
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                result = self._function(self._progress)
        except Stopped:
            self.stopped.emit()
        except Exception as error:  # of the library or of a lazy array: shown in the window
            self.failed.emit(str(error) or type(error).__name__)
        else:
            self.done.emit(result, list(dict.fromkeys(str(w.message) for w in caught)))

    def _progress(self, fraction: float) -> None:
        if self._stop.is_set():
            raise Stopped
        self.told.emit(fraction)
