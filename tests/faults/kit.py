"""Faults to inject: each is a context manager, and each is shown to matter by a writer that fails it."""

from __future__ import annotations

import errno
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch


@contextmanager
def limit_file_size(size: int) -> Iterator[None]:
    """A disk that is full after `size` bytes of any one file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


@contextmanager
def failing(name: str, error: BaseException | int, times: int = 1) -> Iterator[None]:
    """A function of `os` that fails at its `times`-th call; an error number is an OSError."""
    real: Callable[..., Any] = getattr(os, name)
    raised = OSError(error, os.strerror(error)) if isinstance(error, int) else error
    count = 0

    def fail(*arguments: Any, **keywords: Any) -> Any:
        nonlocal count
        count += 1
        if count == times:
            raise raised
        return real(*arguments, **keywords)

    with patch.object(os, name, fail):
        yield


@contextmanager
def forbidden_folder(folder: Path) -> Iterator[None]:
    """A folder in which no file can be made, also for the superuser."""
    real = open

    def refuse(name: Any, mode: str = "r", *rest: Any, **keywords: Any) -> Any:
        if set(mode) & set("wxa") and Path(name).parent.resolve() == folder.resolve():
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(name))
        return real(name, mode, *rest, **keywords)

    with patch("builtins.open", refuse):
        yield


@contextmanager
def during_denoising(action: Callable[[], None]) -> Iterator[None]:
    """Something that happens while the pixels are worked on."""
    import nlmeans

    real = nlmeans.denoise

    def disturbed(*arguments: Any, **keywords: Any) -> Any:
        action()
        return real(*arguments, **keywords)

    with patch.object(nlmeans, "denoise", disturbed, create=True):
        yield


def during_encoding(error: BaseException) -> AbstractContextManager[None]:
    """An error that comes when half of the output is written."""

    def half(file: Any) -> None:
        file.truncate(file.tell() // 2)
        raise error

    return after_writing(half)


@contextmanager
def after_writing(then: Callable[[Any], None]) -> Iterator[None]:
    """Something that is done with every output once it is written, before it is in its place."""
    from nlmeans.cli.formats import reading

    real = reading.Format.function

    def function(self: Any, name: str) -> Any:
        found = real(self, name)
        if not name.startswith("write"):
            return found

        def write(file: Any, *rest: Any) -> Any:
            result = found(file, *rest)
            then(file)
            return result

        return write

    with patch.object(reading.Format, "function", function):
        yield
