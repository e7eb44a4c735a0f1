"""What a forked child does: the command line, with a fault or without."""

from __future__ import annotations

import errno
import resource
import shutil
import signal
import time
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Any, NoReturn

from nlmeans.cli.companions import read_mask
from nlmeans.cli.formats.limits import Limits
from nlmeans.cli.formats.reading import opened
from nlmeans.cli.program import run
from nlmeans.cli.status import CommandError, Terminated

from . import files, kit, mutations


def command(arguments: list[str]) -> int:
    """The command line."""
    return run(arguments)


def faulty(arguments: list[str], *, fault: str, amount: int = 0) -> int:
    """The command line under one fault."""
    here = Path.cwd()
    with ExitStack() as stack:
        match fault:
            case "full":
                stack.enter_context(kit.limit_file_size(amount))
            case "fsync" | "replace":
                stack.enter_context(kit.failing(fault, errno.EIO))
            case "forbidden":
                stack.enter_context(kit.forbidden_folder(here / "out"))
            case "vanishing":
                stack.enter_context(kit.during_denoising(lambda: shutil.rmtree(here / "out")))
            case "interrupt":
                stack.enter_context(kit.during_encoding(KeyboardInterrupt()))
            case "terminate":
                stack.enter_context(kit.during_encoding(Terminated()))
            case "memory":
                stack.enter_context(kit.during_encoding(MemoryError()))
            case "io":
                stack.enter_context(kit.during_encoding(OSError(errno.ENOSPC, "No space left on device")))
            case "bug":
                stack.enter_context(kit.during_encoding(ZeroDivisionError()))
        return run(arguments)


def slow(arguments: list[str], *, milliseconds: int) -> int:
    """The command line with a pause in the middle of every output, so that a signal can come."""
    with kit.after_writing(lambda _: time.sleep(milliseconds / 1000)):
        return run(arguments)


def fuzz(arguments: list[str]) -> int:
    """Read broken files; nothing but our own errors, and no file that takes long or much."""
    reader, count, seed = arguments[0], int(arguments[1]), int(arguments[2])
    seeds = [make() for make in files.CORPUS[reader]]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signal.signal(signal.SIGVTALRM, _too_long)
    outcomes = {"read": 0, "refused": 0}
    for data in mutations.mutated(seeds, count, seed):
        Path("now").write_bytes(data)  # what was read when it crashed
        signal.setitimer(signal.ITIMER_VIRTUAL, 1.0)
        try:
            _read(data, mask=reader == "mask")
            outcomes["read"] += 1
        except CommandError as error:
            outcomes["refused"] += 1
            if isinstance(error.__cause__, MemoryError):
                return 4
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{outcomes} grown by {grown:.0f} MiB")
    return 0 if grown < 512 else 3


def _read(data: bytes, *, mask: bool) -> None:
    """The pixels of a picture, of few pages at most, or of a mask."""
    if mask:
        read_mask("-", Limits(), BytesIO(data))
        return
    with opened("-", Limits(), BytesIO(data)) as picture:
        for page in range(min(len(picture.pages), 4)):
            picture.decode(page)


class TooLong(BaseException):
    """A file took more than a second; no decoder's `except Exception` may hide it."""


def _too_long(*_: Any) -> NoReturn:
    raise TooLong
