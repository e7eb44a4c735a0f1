"""Writing pictures: whatever happens, an original is not lost and nothing half-written is seen."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import signal
import stat
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from nlmeans.cli.files import writing
from nlmeans.cli.status import ExistsError, UnwritableError

from ..faults import files, kit
from ..faults.sessions import zygote as zygote
from ..faults.streams import Ran
from ..faults.zygote import Zygote

FORMATS = {
    "png": lambda: files.png(files.samples("u2", 3)),
    "jpg": lambda: files.pillow(files.samples("u1", 3), "JPEG"),
    "tif": lambda: files.tiff([files.samples("u2"), files.samples("u2", seed=1)]),
    "webp": lambda: files.pillow(files.samples("u1", 3), "WEBP", lossless=True),
    "bmp": lambda: files.pillow(files.samples("u1", 3), "BMP"),
    "npy": lambda: files.npy(files.samples("f4")),
}
ORIGINAL = b"the only copy of something dear"
FAULTS = {  # fault -> exit code
    "fsync": 1,
    "replace": 1,
    "forbidden": 1,
    "vanishing": 1,
    "interrupt": 130,
    "terminate": 143,
    "memory": 5,
    "io": 1,
    "bug": 1,
}
EIGHTHS = range(8)  # of the output, after which the disk is full


class Place:
    """An input, and an output that may exist already."""

    def __init__(self, folder: Path, suffix: str, *, existing: bool) -> None:
        self.input = folder / f"in.{suffix}"
        self.input.write_bytes(FORMATS[suffix]())
        self.before = self.input.read_bytes()
        self.folder = folder / "out"
        self.folder.mkdir()
        self.output = self.folder / f"result.{suffix}"
        self.existing = existing
        if existing:
            self.output.write_bytes(ORIGINAL)

    @property
    def arguments(self) -> list[str]:
        overwrite = ["--overwrite"] if self.existing else []
        return ["denoise", str(self.input), "-o", str(self.output), *files.QUICK, *overwrite]

    def check_unharmed(self, *, swept: bool = True, vanished: bool = False) -> None:
        """The input and the original are as they were; nothing else can be seen."""
        assert self.input.read_bytes() == self.before
        if vanished:
            return
        seen = {p.name for p in self.folder.iterdir() if swept or not p.name.startswith(".")}
        assert seen == ({self.output.name} if self.existing else set())
        if self.existing:
            assert self.output.read_bytes() == ORIGINAL

    def check_unharmed_or_done(self, *, swept: bool) -> None:
        """The same, or the whole result stands there: the signal came too late to stop it."""
        if self.output.exists() and self.output.read_bytes() == self.whole():
            return
        self.check_unharmed(swept=swept)

    def whole(self) -> bytes:
        """The result when nothing fails."""
        target = self.folder.parent / f"whole.{self.output.suffix[1:]}"
        assert Ran("denoise", self.input, "-o", target, "--overwrite", *files.QUICK).code == 0
        return target.read_bytes()


@pytest.mark.parametrize("existing", [False, True], ids=["new", "existing"])
@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("eighth", EIGHTHS)
def test_a_full_disk_loses_nothing(
    eighth: int, suffix: str, existing: bool, zygote: Zygote, tmp_path: Path
) -> None:
    place = Place(tmp_path, suffix, existing=existing)
    amount = len(place.whole()) * eighth // 8
    assert zygote.run("faulty", tmp_path, *place.arguments, fault="full", amount=amount) == 1
    place.check_unharmed()


@pytest.mark.parametrize("existing", [False, True], ids=["new", "existing"])
@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_failure_while_writing_loses_nothing(
    fault: str, suffix: str, existing: bool, zygote: Zygote, tmp_path: Path
) -> None:
    place = Place(tmp_path, suffix, existing=existing)
    code = zygote.run("faulty", tmp_path, *place.arguments, fault=fault)
    assert code == FAULTS[fault], (tmp_path / "err.log").read_text()
    place.check_unharmed(vanished=fault == "vanishing")


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("existing", [False, True], ids=["new", "existing"])
@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("kind", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_a_signal_at_a_random_moment_loses_nothing(
    kind: str, suffix: str, existing: bool, number: int, zygote: Zygote, tmp_path: Path
) -> None:
    """The moments lie before, in and after the denoising, and in a pause while the output is open."""
    place = Place(tmp_path, suffix, existing=existing)
    wanted = getattr(signal, kind)
    child = zygote.start("slow", tmp_path, *place.arguments, milliseconds=200)
    moment = random.Random(f"{kind}{suffix}{existing}{number}").uniform(0.01, 0.12)
    time.sleep(moment)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, wanted)
    code = zygote.wait()
    if code == 0:  # it had ended before
        return
    assert code in ({"SIGINT": 130, "SIGTERM": 143}.get(kind), -wanted)
    place.check_unharmed_or_done(swept=kind != "SIGKILL")


def test_what_a_killed_run_leaves_is_swept_by_the_next(zygote: Zygote, tmp_path: Path) -> None:
    place = Place(tmp_path, "png", existing=False)
    child = zygote.start("slow", tmp_path, *place.arguments, milliseconds=5000)
    deadline = time.monotonic() + 20
    while not any(place.folder.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.01)
    (left,) = place.folder.iterdir()
    assert writing.sweep(place.folder) == 0, "the file of a running process was taken from it"
    os.kill(child, signal.SIGKILL)
    assert zygote.wait() == -signal.SIGKILL
    assert left.exists()
    assert Ran(*place.arguments).code == 0
    assert [p.name for p in place.folder.iterdir()] == [place.output.name]


def test_the_sweep_removes_nothing_but_its_own(tmp_path: Path) -> None:
    for name in (".nlmeans-mine.txt", "nlmeans-0.part", ".other.part"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / ".nlmeans-link.part").symlink_to(tmp_path / ".other.part")
    (tmp_path / ".nlmeans-0.part").write_bytes(b"x")
    assert writing.sweep(tmp_path) == 1
    assert len(list(tmp_path.iterdir())) == 4


def naive(path: Path) -> None:
    """How most programs save."""
    with open(path, "wb") as file:
        file.write(b"x" * 100_000)
        file.flush()
        os.fsync(file.fileno())


@pytest.mark.parametrize(
    "fault",
    [lambda: kit.limit_file_size(1000), lambda: kit.failing("fsync", errno.EIO)],
    ids=["full", "fsync"],
)
def test_these_faults_cost_a_naive_writer_the_original(fault: Callable[[], object], tmp_path: Path) -> None:
    """Else the tests above would prove nothing."""
    path = tmp_path / "original"
    path.write_bytes(ORIGINAL)
    with pytest.raises(OSError, match=r"File too large|Input/output error"), fault():  # type: ignore[attr-defined]
        naive(path)
    assert path.read_bytes() != ORIGINAL


def test_bytes_reach_the_disk_before_the_old_file_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, n=name, f=real: (order.append(n), f(*a))[1])
    with writing.replacing(tmp_path / "x", overwrite=False) as file:
        file.write(b"x")
    assert order == ["fsync", "replace", "fsync"], "the file, its place, then the folder"


def test_new_files_follow_the_umask_and_replaced_ones_keep_their_mode(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with writing.replacing(tmp_path / "new", overwrite=False) as file:
            file.write(b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    (tmp_path / "new").chmod(0o604)
    with writing.replacing(tmp_path / "new", overwrite=True) as file:
        file.write(b"y")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o604


def test_an_output_that_appears_while_we_work_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with pytest.raises(ExistsError), writing.replacing(path, overwrite=False):
        path.write_bytes(ORIGINAL)
    assert path.read_bytes() == ORIGINAL
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["link", "dangling", "fifo", "folder", "device"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_only_plain_files_are_replaced(kind: str, overwrite: bool, tmp_path: Path) -> None:
    path = tmp_path / "x"
    other = tmp_path / "other"
    if kind == "link":
        other.write_bytes(ORIGINAL)
    if kind in ("link", "dangling"):
        path.symlink_to(other)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path = Path("/dev/null")
    reason = "symbolic link" if kind in ("link", "dangling") else "not a regular file"
    with pytest.raises(ExistsError, match=reason), writing.replacing(path, overwrite=overwrite):
        pass
    if kind == "link":
        assert other.read_bytes() == ORIGINAL


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(UnwritableError, match="too long"),
        writing.replacing(tmp_path / ("x" * 300), overwrite=False),
    ):
        pass


def same_by_link(folder: Path, path: Path) -> Path:
    other = folder / "link.npy"
    other.symlink_to(path)
    return other


def same_by_hard_link(folder: Path, path: Path) -> Path:
    other = folder / "hard.npy"
    other.hardlink_to(path)
    return other


def same_by_another_way(folder: Path, path: Path) -> Path:
    (folder / "sub").mkdir()
    return folder / "sub" / ".." / path.name


@pytest.mark.parametrize("other_name", [same_by_link, same_by_hard_link, same_by_another_way])
@pytest.mark.parametrize("swapped", [False, True])
def test_the_input_under_another_name_is_still_the_input(
    other_name: Callable[[Path, Path], Path], swapped: bool, tmp_path: Path
) -> None:
    path = tmp_path / "a.npy"
    np.save(path, files.samples("f4"))
    before = path.read_bytes()
    pair = [path, other_name(tmp_path, path)]
    source, target = reversed(pair) if swapped else pair
    ran = Ran("denoise", source, "-o", target, *files.QUICK)
    assert ran.code == 3
    assert "is the input itself" in ran.err
    assert path.read_bytes() == before


def test_overwriting_the_input_is_possible_when_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, files.samples("f4"))
    before = np.load(path)
    assert Ran("denoise", path, "-o", path, "--overwrite", *files.QUICK).code == 0
    assert np.load(path).std() < before.std()


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("change", ["shorter", "gone", "other"])
def test_an_input_that_changes_while_it_is_read_does_no_harm(
    change: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its header and its pixels: refused, or read as it was."""
    from nlmeans.cli.formats import reading

    place = Place(tmp_path, suffix, existing=True)
    real = reading.described

    def changing(file: object, size: int, limits: object, *mask: bool) -> object:
        picture = real(file, size, limits)  # type: ignore[arg-type]
        if change == "shorter":
            os.truncate(place.input, size // 3)
        elif change == "gone":
            place.input.unlink()
        else:
            place.input.write_bytes(os.urandom(size))
        return picture

    monkeypatch.setattr(reading, "described", changing)
    ran = Ran(*place.arguments)
    assert ran.code in (0, 1)
    if ran.code == 1:
        assert place.output.read_bytes() == ORIGINAL
    assert [p.name for p in place.folder.iterdir()] == [place.output.name]
