"""Streams: what is told where, to a person or a pipe, and what happens when they go away."""

from __future__ import annotations

import io
import itertools
import os
import pty
import re
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from nlmeans.cli.environment import Environment, printable
from nlmeans.cli.program import run
from nlmeans.cli.progress import Progress, duration

from ..faults import files
from ..faults.sessions import zygote as zygote
from ..faults.streams import Ran, Terminal
from ..faults.zygote import Zygote

ESCAPE = "\x1b"
SWITCH = (False, True)
CLOSED = [set_ for n in (1, 2, 3) for set_ in itertools.combinations(("in", "out", "err"), n)]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    path.write_bytes(files.png(files.samples("u1")))
    return path


@pytest.mark.parametrize(
    ("terminal", "variable", "no_color", "quiet", "as_json"),
    list(itertools.product(SWITCH, ["", "NO_COLOR", "TERM", "TERM=xterm"], SWITCH, SWITCH, SWITCH)),
)
def test_colours_and_progress_only_where_they_are_wanted(
    terminal: bool, variable: str, no_color: bool, quiet: bool, as_json: bool, picture: Path
) -> None:
    """64 cells: a failing and a good input, so that an error is coloured where it may be."""
    variables = {"NO_COLOR": {"NO_COLOR": "1"}, "TERM": {"TERM": "dumb"}}.get(variable, {"TERM": "xterm"})
    flags = [f for f, on in (("--no-color", no_color), ("--quiet", quiet), ("--json", as_json)) if on]
    missing = picture.parent / "missing.png"
    ran = Ran(
        "denoise",
        missing,
        picture,
        *files.QUICK,
        *flags,
        out_terminal=True,
        err_terminal=terminal,
        **variables,
    )
    assert ran.code == 1
    assert ESCAPE not in ran.out
    coloured = terminal and not no_color and variable in ("", "TERM=xterm")
    assert (ESCAPE in ran.err) is coloured
    rewritten = terminal and not quiet and variable != "TERM"
    assert ("\r" in ran.err) is rewritten
    assert "missing.png: there is no such file" in " ".join(ran.err.split())
    assert ("a.denoised.png" in ran.err) is not quiet
    assert len(ran.out.splitlines()) == (2 if as_json else 0)


def test_results_go_to_standard_output_and_messages_do_not(picture: Path) -> None:
    ran = Ran("estimate", picture, *files.QUICK)
    assert re.fullmatch(r".*a\.png: 12 x 9, 8-bit grey; sigma 25\.5 .*\n", ran.out)
    assert ran.err == ""
    ran = Ran("denoise", picture, *files.QUICK, "--verbose")
    assert ran.out == ""
    assert '"patch_radius": 1' in ran.err


def test_a_picture_goes_through_a_pipe(picture: Path) -> None:
    ran = Ran("denoise", "-", *files.QUICK, given=picture.read_bytes())
    assert ran.code == 0
    to_file = Ran("denoise", picture, *files.QUICK)
    assert to_file.code == 0
    assert ran.pixels == (picture.parent / "a.denoised.png").read_bytes()
    assert ran.out == ""
    other = Ran("denoise", picture, "-o", "-", "--format", "tiff", *files.QUICK)
    assert other.pixels[:2] == b"II"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["-o", "-", "--json"], "--json"),
        (["-", "-o", "x"], "one of several"),
    ],
)
def test_standard_streams_have_one_use(arguments: list[str], word: str, picture: Path) -> None:
    ran = Ran("denoise", picture, *arguments)
    assert ran.code == 2
    assert word in ran.err


def test_a_picture_is_not_written_to_a_terminal(picture: Path) -> None:
    ran = Ran("denoise", picture, "-o", "-", *files.QUICK, out_terminal=True)
    assert ran.code == 2
    assert "terminal" in ran.err
    assert ran.pixels == b""


@pytest.mark.parametrize("read", [0, 1, 10, 100, 1000])
@pytest.mark.parametrize("command", ["denoise", "estimate"])
def test_a_reader_that_leaves_ends_the_run_with_141(
    command: str, read: int, zygote: Zygote, tmp_path: Path
) -> None:
    """Many files, or one too large for the pipe, so that something is written after the end."""
    big = tmp_path / "a.npy"
    big.write_bytes(files.npy(files.samples("f8", 1, (200, 200))))
    arguments = ["denoise", big, "-o", "-"] if command == "denoise" else ["estimate", *[big] * 60]
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    zygote.start("command", tmp_path, *arguments, *files.QUICK, streams={"out": str(fifo)})
    got = 0
    while got < read and select.select([reader], [], [], 20)[0]:
        got += len(os.read(reader, read - got))
    if read == 0:
        select.select([reader], [], [], 20)
    os.close(reader)
    assert zygote.wait() == 141
    assert "Traceback" not in (tmp_path / "err.log").read_text()
    assert "rror" not in (tmp_path / "err.log").read_text()


def test_a_pipe_that_takes_little_at_a_time_gets_the_whole_picture(picture: Path) -> None:
    """As standard output is under PYTHONUNBUFFERED: its `write` may take a part only."""

    class Narrow(io.BytesIO):
        def write(self, data: Any, /) -> int:
            return super().write(data[:7])

    whole = Ran("denoise", "-", *files.QUICK, given=picture.read_bytes()).pixels
    narrow = Narrow()
    around = Environment(io.StringIO(), io.StringIO(), io.BytesIO(picture.read_bytes()), narrow, {})
    assert run(["denoise", "-", *files.QUICK], around) == 0
    assert narrow.getvalue() == whole


@pytest.mark.parametrize("closed", CLOSED)
@pytest.mark.parametrize("command", ["denoise", "estimate", "info", "--help"])
def test_closed_streams_do_no_harm(
    command: str, closed: tuple[str, ...], zygote: Zygote, tmp_path: Path
) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(files.npy(files.samples("f4")))
    arguments = [command] + ([path, *files.QUICK] if command in ("denoise", "estimate") else [])
    assert zygote.run("command", tmp_path, *arguments, streams=dict.fromkeys(closed, "closed")) == 0
    if command == "denoise":
        assert (tmp_path / "a.denoised.npy").stat().st_size == path.stat().st_size


@pytest.mark.parametrize("arguments", [["estimate", "a.npy"], ["info"], ["denoise", "a.npy", "-o", "-"]])
def test_a_full_standard_output_is_an_error(arguments: list[str], zygote: Zygote, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(files.npy(files.samples("f4")))
    options = files.QUICK if arguments[0] != "info" else ()
    assert zygote.run("command", tmp_path, *arguments, *options, streams={"out": "/dev/full"}) == 1
    told = (tmp_path / "err.log").read_text()
    assert "No space left" in told
    assert "Traceback" not in told


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def progress(**variables: str) -> tuple[Progress, Terminal, Clock]:
    stream, clock = Terminal(), Clock()
    around = Environment(stream, stream, None, None, variables)  # type: ignore[arg-type]
    return Progress(around, shown=True, clock=clock), stream, clock


def test_progress_tells_share_rate_and_time_left() -> None:
    bar, stream, clock = progress(TERM="xterm")
    bar.start("a.png")
    assert stream.getvalue() == "\ra.png", "the name is shown before anything is done"
    bar.size(10.0)
    clock.now = 2.0
    bar(0.25)
    assert stream.getvalue().endswith("\ra.png   25 %  1.25 Mpixel/s  0:06 left")
    clock.now = 2.05
    bar(0.3)
    assert "30 %" not in stream.getvalue(), "not more often than it can be read"
    bar.clear()
    assert stream.getvalue().endswith(" \r")


def test_progress_of_pages_is_of_the_whole() -> None:
    bar, stream, clock = progress(TERM="xterm")
    bar.start("a.tif")
    clock.now = 1.0
    bar.part(0.5, 0.25)(0.5)
    assert " 62 %" in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (65, "1:05"), (3599.6, "1:00:00"), (7265, "2:01:05")]
)
def test_durations_are_read_as_clocks(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_names_cannot_play_tricks_on_a_terminal() -> None:
    assert printable("a\x1b[2Jb\nc\udcff\u202eé") == "a\\x1b[2Jb\\nc\\udcff\\u202eé"


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_a_name_is_on_the_terminal_before_numpy_is_loaded(tmp_path: Path) -> None:
    """The first output does not wait for what is slow to load."""
    path = tmp_path / "a.npy"
    path.write_bytes(files.npy(files.samples("f4", 1, (64, 64))))
    script = (
        "import sys\n"
        "from nlmeans.cli import main, progress\n"
        "real = progress.Progress.start\n"
        "def start(self, label):\n"
        "    real(self, label)\n"
        "    print('numpy' in sys.modules, file=sys.stdout, flush=True)\n"
        "progress.Progress.start = start\n"
        "sys.exit(main())\n"
    )
    control, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    process = subprocess.run(
        [sys.executable, "-c", script, "denoise", str(path), *files.QUICK],
        stdout=subprocess.PIPE,
        stderr=terminal,
        env=environment,
        check=True,
    )
    os.close(terminal)
    shown = os.read(control, 10_000).decode()
    os.close(control)
    assert process.stdout == b"False\n"
    assert shown.startswith(f"\r{path}"[:60])


def test_help_loads_neither_numpy_nor_any_command() -> None:
    script = (
        "import sys\n"
        "from nlmeans.cli.program import run\n"
        "code = run(['--help'])\n"
        "heavy = ('numpy', 'PIL', 'imagecodecs', 'tifffile')\n"
        "loaded = [m for m in sys.modules if m.split('.')[0] in heavy]\n"
        "loaded += [m for m in ('nlmeans.cli.batch', 'nlmeans.cli.commands.denoise') if m in sys.modules]\n"
        "print(loaded, file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stderr == "[]\n"
    assert "Commands:" in ran.stdout


def test_the_installed_command_and_the_module_are_one() -> None:
    command = Path(sys.executable).with_name("nlmeans")
    if not command.exists():
        pytest.skip("the package is not installed in this environment")
    runs: list[list[Any]] = [[command, "--version"], [sys.executable, "-m", "nlmeans.cli", "--version"]]
    told = [subprocess.run(r, capture_output=True, text=True, check=True).stdout for r in runs]
    assert told[0] == told[1]
    assert re.match(r"nlmeans \d+\.\d+\.\d+", told[0])


@pytest.mark.parametrize("command", ["compare", "estimate"])
def test_a_person_sees_several_files_in_columns(
    command: str, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names are bold and as wide as the longest; pipes get what they got, narrow terminals no gaps."""
    noisy = picture.with_name("much_longer.png")
    noisy.write_bytes(files.png(files.samples("u1", seed=1)))
    given = [picture, picture, noisy] if command == "compare" else [noisy, picture]
    piped = Ran(command, *given)
    monkeypatch.setenv("COLUMNS", "400")
    seen = Ran(command, *given, out_terminal=True, TERM="xterm")
    plain = Ran(command, *given, out_terminal=True, TERM="dumb")
    assert seen.code == piped.code == 0
    assert ESCAPE not in plain.out + piped.out
    assert re.sub(r"\x1b\[\d*m", "", seen.out) == plain.out
    rows = plain.out.splitlines()
    assert [" ".join(row.split()) for row in rows] == piped.out.splitlines()
    at = len(f"{noisy}: ")
    assert all(row[at - 1] == " " != row[at] for row in rows)
    for row, name in zip(seen.out.splitlines(), given[-2:], strict=True):
        assert row.startswith(f"{ESCAPE}[1m{name}:{ESCAPE}[0m ")
    if command == "estimate":
        assert len({row.index("sigma") for row in rows}) == 1
    monkeypatch.setenv("COLUMNS", "40")
    narrow = Ran(command, *given, out_terminal=True, TERM="dumb")
    assert [row[at:] for row in narrow.out.splitlines()] == [
        row.partition(": ")[2] for row in piped.out.splitlines()
    ]


def test_names_of_a_batch_are_bold_where_there_are_colours(picture: Path) -> None:
    names = f"{picture} -> {picture.with_suffix('')}.denoised.png"
    seen = Ran("denoise", picture, *files.QUICK, err_terminal=True, TERM="xterm")
    assert f"{ESCAPE}[1m{names}{ESCAPE}[0m  sigma" in seen.err
    skipped = Ran("denoise", picture, "--skip-existing", err_terminal=True, TERM="xterm")
    assert f"{ESCAPE}[1m{names.split(' -> ')[1]}{ESCAPE}[0m exists, skipped" in skipped.err
    for variables in ({"TERM": "dumb"}, {"NO_COLOR": "1"}):
        plain = Ran("denoise", picture, "--overwrite", *files.QUICK, err_terminal=True, **variables)
        assert names in plain.err
        assert ESCAPE not in plain.err.replace("\x1b[K", "").replace("\x1b[2K", "")
