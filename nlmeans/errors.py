"""The exceptions and the warning that users may catch; the exceptions share :class:`NLMeansError`."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable


def shown(value: object) -> str:
    """A value for a message: on one line, not long, whatever it is."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a repr of somebody else's, or an integer too long to print
        text = f"a {type(value).__name__} that cannot be printed"
    return text if len(text) <= 80 else text[:77] + "..."


class Parameter(str):
    """The name of a parameter within a message, also with a value: ``nan="keep"``."""


class _InParts:
    """A message in parts, of which those that are parameters can be spelled in another way."""

    args: tuple[object, ...]

    def __str__(self) -> str:
        return "".join(map(str, self.args))

    def spelled(self, option: Callable[[Parameter], str]) -> str:
        """The message with `option` of every parameter in its place, as a shell calls it."""
        return "".join(option(part) if isinstance(part, Parameter) else str(part) for part in self.args)


class NLMeansError(_InParts, Exception):
    """Base of every error this package raises on purpose."""


class NLMeansWarning(_InParts, UserWarning):
    """A warning that names parameters."""


class AxesWarning(NLMeansWarning):
    """The axes of an array can mean two things; the message says which was taken, and the other."""


class InvalidValueError(NLMeansError, ValueError):
    """A parameter or array holds a value that is not allowed."""


class InvalidTypeError(NLMeansError, TypeError):
    """A parameter or array is of a type that is not allowed."""


class BackendUnavailableError(NLMeansError, RuntimeError):
    """The backend that was asked for cannot run; the message says why and what to install."""


class RoundingWarning(NLMeansWarning):
    """The image holds integers that differ by a few steps, to which the result is rounded."""


class SlowBackendWarning(RuntimeWarning):
    """No fast backend can run, so the slow one does; the message says why and what to do."""


class MemoryLimitError(NLMeansError, MemoryError):
    """The work does not fit the memory limit; the message names what would."""


def warn(*parts: str, category: type[Warning] = UserWarning) -> None:
    """A warning that names the line outside of this package from which the call came."""
    level = 1
    try:
        while sys._getframe(level).f_globals.get("__name__", "").partition(".")[0] == "nlmeans":
            level += 1
    except ValueError:  # the package itself is the program
        level = 1
    named = any(isinstance(part, Parameter) for part in parts)
    if named and not issubclass(category, NLMeansWarning):
        category = NLMeansWarning
    message = category(*parts) if named else category("".join(parts))
    warnings.warn(message, stacklevel=level + 1)
