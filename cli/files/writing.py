"""Writing files so that an original is never lost: beside it first, then in its place in one step."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from ..status import ExistsError, UnwritableError

_PREFIX, _SUFFIX = ".nlmeans-", ".part"
_OLD = 86_400  # seconds


@contextmanager
def replacing(
    path: Path, *, overwrite: bool, remember: Callable[[tuple[int, int]], None] | None = None
) -> Iterator[BinaryIO]:
    """A new file that takes the place of `path` when the block ends well, and is gone when it does not.

    The bytes are on the disk before the old file goes.  A run that is killed leaves a hidden file,
    which the next run in this folder removes.
    """
    check_target(path, overwrite=overwrite)
    temporary = path.parent / f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}"
    try:
        with _locked(temporary) as file:
            yield cast(BinaryIO, _Checked(file))
            _keep_mode(file, path)
            file.flush()
            os.fsync(file.fileno())
            if os.name != "nt":  # an open file can be moved, and its lock holds until it is
                _move(temporary, path, overwrite)
        if os.name == "nt":
            _move(temporary, path, overwrite)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            raise UnwritableError(f"{path}: {error.strerror or error}; nothing was written") from error
        raise
    _sync_folder(path.parent)
    if remember is not None:
        remember(identity(path))


def identity(path: Path) -> tuple[int, int]:
    """What identifies a file under all of its names."""
    found = path.stat()
    return found.st_dev, found.st_ino


class _Checked(io.BufferedIOBase):
    """A file without a descriptor, so that every byte comes through `write`.

    NumPy's `tofile`, which tifffile and NPY writing use where they find a descriptor, buffers by
    itself and does not tell when the last bytes do not fit on the disk.
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        return self._file.read(-1 if size is None else size)

    def write(self, data: Any, /) -> int:
        return self._file.write(data)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def truncate(self, size: int | None = None, /) -> int:
        return self._file.truncate(size)

    def flush(self) -> None:
        if not self._file.closed:
            self._file.flush()


def check_target(path: Path, *, overwrite: bool, remedy: str = "give --overwrite to replace it") -> None:
    """Refuse an output that exists, or that is no plain file."""
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError) as error:
        raise UnwritableError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if stat.S_ISLNK(mode):
        raise ExistsError(f"{path} is a symbolic link; name the file that it points to")
    if not stat.S_ISREG(mode):
        raise ExistsError(f"{path} is not a regular file; use -o - to write to a pipe")
    if not overwrite:
        raise ExistsError(f"{path} exists; {remedy}")


def sweep(folder: Path) -> int:
    """Remove what killed runs have left in a folder; those of running ones are locked, and stay."""
    removed = 0
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if (
                entry.name.startswith(_PREFIX)
                and entry.name.endswith(_SUFFIX)
                and entry.is_file(follow_symlinks=False)
            ):
                removed += _remove_if_stale(Path(entry.path))
    return removed


def _locked(path: Path) -> BinaryIO:
    """A new file that is locked while it is ours, made anew if a sweep took it before it was locked."""
    while True:
        file = open(path, "x+b")  # noqa: SIM115 - the caller closes it
        if locked(file.fileno()) is not False and path.exists():
            return file
        file.close()


def locked(descriptor: int) -> bool | None:
    """Take the lock that shows that a run is alive; None where the system has no locks."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return None
    return True


def _remove_if_stale(path: Path) -> bool:
    """Remove a left-over file if nobody holds its lock, or, without locks, if it is old."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        free = locked(descriptor)
        stale = free or (free is None and time.time() - os.fstat(descriptor).st_mtime > _OLD)
        if stale:
            path.unlink(missing_ok=True)
        return bool(stale)
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _keep_mode(file: BinaryIO, path: Path) -> None:
    """An overwritten file keeps its permissions."""
    with contextlib.suppress(OSError):
        os.chmod(file.fileno(), stat.S_IMODE(path.stat().st_mode))


def _move(temporary: Path, path: Path, overwrite: bool) -> None:
    check_target(path, overwrite=overwrite)  # again: it may have come while we worked
    os.replace(temporary, path)


def _sync_folder(folder: Path) -> None:
    """Make the new name durable, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
