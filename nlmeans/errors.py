"""The exceptions and the warning that users may catch; the exceptions share :class:`NLMeansError`."""

from __future__ import annotations

import sys
import warnings


def shown(value: object) -> str:
    """A value for a message: on one line, not long, whatever it is."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a repr of somebody else's, or an integer too long to print
        text = f"a {type(value).__name__} that cannot be printed"
    return text if len(text) <= 80 else text[:77] + "..."


class NLMeansError(Exception):
    """Base of every error this package raises on purpose."""


class InvalidValueError(NLMeansError, ValueError):
    """A parameter or array holds a value that is not allowed."""


class InvalidTypeError(NLMeansError, TypeError):
    """A parameter or array is of a type that is not allowed."""


class BackendUnavailableError(NLMeansError, RuntimeError):
    """The backend that was asked for cannot run; the message says why and what to install."""


class SlowBackendWarning(RuntimeWarning):
    """No fast backend can run, so the slow one does; the message says why and what to do."""


class MemoryLimitError(NLMeansError, MemoryError):
    """The work does not fit the memory limit; the message names what would."""


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """A warning that names the line outside of this package from which the call came."""
    level = 1
    try:
        while sys._getframe(level).f_globals.get("__name__", "").partition(".")[0] == "nlmeans":
            level += 1
    except ValueError:  # the package itself is the program
        level = 1
    warnings.warn(message, category, stacklevel=level + 1)
