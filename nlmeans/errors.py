"""The exceptions that users may catch; all share :class:`NLMeansError`."""

from __future__ import annotations


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
