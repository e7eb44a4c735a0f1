"""The exit codes, which are the whole contract with a calling script, and the errors that carry them."""

from __future__ import annotations

from enum import IntEnum


class ExitStatus(IntEnum):
    """The exit code of the process."""

    DONE = 0  # everything asked for was done
    FAILED = 1  # at least one input failed; the others were written
    USAGE = 2  # wrong option, parameter or combination; nothing was done
    EXISTS = 3  # an output exists, and --overwrite was not given
    UNAVAILABLE = 4  # the device or backend asked for cannot run here
    LIMIT = 5  # a limit was hit: pixels, frames, metadata, memory
    INTERRUPTED = 130  # Ctrl-C (128 + SIGINT)
    PIPE_CLOSED = 141  # the reader of standard output has closed it (128 + SIGPIPE)
    TERMINATED = 143  # asked to end (128 + SIGTERM)


class CommandError(Exception):
    """An error that is printed in one line; `status` is the exit code."""

    status = ExitStatus.FAILED
    input: str = ""  # the file that it is about


class UsageError(CommandError):
    """What was asked for makes no sense; nothing has been done."""

    status = ExitStatus.USAGE


class UnreadableError(CommandError):
    """A file cannot be read as a picture: broken, hostile, or of a kind that is not supported."""


class UnwritableError(CommandError):
    """A result cannot be written: the format cannot hold it, or the file system refuses."""


class ExistsError(CommandError):
    """The output exists, or is the input."""

    status = ExitStatus.EXISTS


class LimitError(CommandError):
    """A file declares more than a limit allows."""

    status = ExitStatus.LIMIT


class Terminated(BaseException):
    """SIGTERM has come: unwind, clean up, end."""


def reason_of(error: object) -> str:
    """What another library says of an error, on one line and not too long; or the kind of error."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def status_of(error: BaseException) -> ExitStatus:
    """The exit code that an error means."""
    from nlmeans.errors import BackendUnavailableError

    if isinstance(error, CommandError):
        return error.status
    if isinstance(error, BackendUnavailableError):
        return ExitStatus.UNAVAILABLE
    if isinstance(error, MemoryError):
        return ExitStatus.LIMIT
    if isinstance(error, BrokenPipeError):
        return ExitStatus.PIPE_CLOSED
    return ExitStatus.FAILED
