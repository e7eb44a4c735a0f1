"""The exceptions that users may catch; all share :class:`NLMeansError`."""

from __future__ import annotations


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


class MemoryLimitError(NLMeansError, MemoryError):
    """The work does not fit the memory limit; the message names what would."""
