"""A first look at a GPU: parts in order, time that is kept to, a file that is whole at any moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nlmeans.benchmarks import children, device, needs
from nlmeans.benchmarks.__main__ import main
from nlmeans.benchmarks.ours import correctness, sanitizer
from nlmeans.benchmarks.race import first_light, gpu_rivals, turns
from nlmeans.benchmarks.race.first_light import NO_TIME, PARTS, FirstOrder, Part
from nlmeans.benchmarks.race.gpu_plan import OURS, GpuChoice, frame, large_frame
from nlmeans.benchmarks.race.turns import Effort
from nlmeans.benchmarks.report import gpu as gpu_report

import nlmeans
from nlmeans.errors import InvalidValueError

from ..cupy_stand_in import FakeCuPy

pytestmark = pytest.mark.usefixtures("fresh_cuda")

TINY = GpuChoice(frame=(9, 16), large=(12, 20), cube=6, film=(9, 16), frames=2)


@pytest.fixture
def gpu(fake: FakeCuPy, monkeypatch: pytest.MonkeyPatch) -> FakeCuPy:
    """CuPy's stand-in in this process, where everything that has a process of its own runs as well."""

    class Here:
        def __init__(self, rival: str, folder: Path, effort: Effort) -> None:
            folder.mkdir()
            if rival != OURS:
                raise turns.RivalError("not installed")

        def ask(self, **request: Any) -> dict[str, Any]:
            if request["do"] == "load":
                self.job = gpu_rivals.ours(np.load(request["image"]), request["setting"], 1)
                return {"call": self.job.call, "versions": self.job.versions}
            if request["do"] == "save":
                self.job.save(request["path"])
                return {}
            return dict(self.job.run())

        def close(self) -> None: ...

    def objects(command: list[str], **limits: float) -> Iterator[dict[str, Any]]:
        return correctness.rows(correctness.CHECKS, "cuda", int(command[command.index("--from") + 1]))

    checks = (correctness.Check((8, 9), {"search_radius": 1}), correctness.Check((1, 5)))
    monkeypatch.setattr(correctness, "CHECKS", checks)
    monkeypatch.setattr(children, "objects", objects)
    monkeypatch.setattr(sanitizer, "program", lambda: None)
    monkeypatch.setattr(turns, "Worker", Here)
    monkeypatch.setattr(gpu_rivals, "_SECONDS", 0)
    monkeypatch.setattr(first_light, "frame", partial(frame, search=2))
    monkeypatch.setattr(
        first_light, "large_frame", lambda choice: replace(large_frame(choice), search_radius=2)
    )
    monkeypatch.setattr(needs, "_there", lambda module: True)
    return fake


def order(path: Path | None = None, minutes: float = 5.0) -> FirstOrder:
    return FirstOrder(minutes, path, Effort(repeats=1, seconds=5.0), TINY)


@pytest.fixture
def a_gpu_that_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """For parts that need none."""
    monkeypatch.setattr(first_light, "_missing", lambda log: None)
    monkeypatch.setattr(first_light, "_facts", lambda result: {"name": "one"})
    monkeypatch.setattr(device, "management", lambda number: {})


def told(*rows: dict[str, Any], last: BaseException | None = None) -> Any:
    """The rows of a part, and how it ends."""

    def made(order: FirstOrder, until: float) -> Iterator[tuple[str, dict[str, Any]]]:
        for row in rows:
            yield "checks", row
        if last is not None:
            raise last

    return made


def check(number: int) -> dict[str, Any]:
    return vars(correctness.Compared(number, "a call", "NumPy", 1e-7, 2e-6, 0.1, ok=True))


# --- the run -----------------------------------------------------------------------------------


def test_everything_in_order_and_every_row_in_the_file_at_once(
    gpu: FakeCuPy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "gpu.json", []
    keep = first_light._keep

    def kept(result: dict[str, Any], where: Path | None) -> None:
        keep(result, where)
        found = json.loads(path.read_text())
        seen.append([len(found[kind]) for kind in ("checks", "sanitizer", "rows")])

    monkeypatch.setattr(first_light, "_keep", kept)
    said: list[str] = []
    result = first_light.record(order(path), said.append)
    assert json.loads(path.read_text()) == result
    assert os.listdir(tmp_path) == ["gpu.json"]
    assert [part["part"] for part in result["parts"]] == [part.name for part in PARTS]
    assert all(part["reason"] is None for part in result["parts"]), result["parts"]
    counts = [sum(row) for row in seen]
    assert all(after - before in (0, 1) for before, after in pairwise(counts))
    assert counts[-1] == sum(part["rows"] for part in result["parts"]) > 20
    assert [row["ok"] for row in result["checks"]] == [True, True]
    assert [row["arrays"] for row in result["checks"]] == ["NumPy", "on the device"]
    assert all("not installed" in row["reason"] for row in result["sanitizer"])
    ours = [row for row in result["rows"] if row["rival"] == OURS]
    assert len(ours) == 20
    for row in ours:
        assert row["reason"] is None, row
        assert row["wall"]
        assert bool(row["device"]) == ("NumPy in and out" not in row["contestant"])
    assert {row["reason"] for row in result["rows"] if row not in ours} == {"not installed"}
    assert result["device"]["name"] == "a stand-in"
    assert result["versions"]["nlmeans"] == nlmeans.__version__
    assert any("right, off by" in line for line in said)
    report = gpu_report.full_report(result)
    assert "2 of 2 calls agree with the float64 reference" in report
    assert "compute-sanitizer is not installed" in report
    assert "one after another" in report


def test_a_run_without_time_says_so_for_every_part(gpu: FakeCuPy, tmp_path: Path) -> None:
    began = time.monotonic()
    result = first_light.record(order(tmp_path / "gpu.json", minutes=0.05), lambda _: None)
    assert time.monotonic() - began < 2
    assert {part["reason"] for part in result["parts"]} == {NO_TIME}
    assert [part["part"] for part in json.loads((tmp_path / "gpu.json").read_text())["parts"]] == [
        part.name for part in PARTS
    ]


def test_a_comparison_that_time_is_up_for_has_a_row_that_says_so(gpu: FakeCuPy) -> None:
    rows = [row for _, row in first_light._usual(order(), time.monotonic() - 1)]
    assert [row["reason"] for row in rows] == [NO_TIME] * 4


@pytest.mark.usefixtures("a_gpu_that_is_not_asked")
def test_a_part_that_fails_costs_no_other(tmp_path: Path) -> None:
    parts = (
        Part("first", "asks", 0, 1, told(check(0), last=RuntimeError("an illegal\n memory access"))),
        Part("second", "asks", 0, 1, told(check(1))),
        Part("never", "asks", 1e6, 1, told(check(2))),
    )
    result = first_light.record(order(tmp_path / "x.json"), lambda _: None, parts)
    assert [part["reason"] for part in result["parts"]] == [
        "RuntimeError: an illegal memory access",
        None,
        NO_TIME,
    ]
    assert [row["number"] for row in result["checks"]] == [0, 1]
    assert first_light.wrong(result) == []


@pytest.mark.usefixtures("a_gpu_that_is_not_asked")
def test_a_run_that_somebody_stops_leaves_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    parts = (Part("first", "asks", 0, 1, told(check(0), last=KeyboardInterrupt())),)
    with pytest.raises(KeyboardInterrupt):
        first_light.record(order(path), lambda _: None, parts)
    found = json.loads(path.read_text())
    assert [row["number"] for row in found["checks"]] == [0]
    assert found["ended"]["time"]


def test_a_run_that_is_killed_leaves_a_whole_file(tmp_path: Path) -> None:
    code = """
import sys, time
from pathlib import Path
from nlmeans.benchmarks import device
from nlmeans.benchmarks.race import first_light as f

def rows(order, until):
    for number in range(10**6):
        yield "checks", {"number": number, "what": "x" * 20_000, "ok": True, "largest": 0.0, "reason": None}

f._missing, f._facts = lambda log: None, lambda result: None
f.record(f.FirstOrder(1.0, Path(sys.argv[1])), lambda line: None, (f.Part("p", "asks", 0, 1, rows),))
"""
    path = tmp_path / "x.json"
    process = subprocess.Popen([sys.executable, "-c", code, path])
    try:
        until = time.monotonic() + 30
        while (not path.exists() or path.stat().st_size < 200_000) and time.monotonic() < until:
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    found = json.loads(path.read_text())
    assert len(found["checks"]) >= 9
    assert "ended" not in found


# --- what is missing ----------------------------------------------------------------------------


def test_without_packages_there_is_a_line_for_each_and_no_traceback(tmp_path: Path) -> None:
    """Nor does it need what only the command line and files of pictures need."""
    code = """
import sys
for name in ("cupy", "array_api_compat", "click", "tifffile", "imagecodecs", "PIL", "imageio", "skimage"):
    sys.modules[name] = None
from nlmeans.benchmarks import needs
gone = {"cupy", "array_api_compat", "torch", "skimage"}
there = needs._there
needs._there = lambda module: module not in gone and there(module)
from nlmeans.benchmarks.__main__ import main
sys.exit(main(["gpu", "--minutes", "1", "--json", sys.argv[1]]))
"""
    path = tmp_path / "x.json"
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    lines = done.stderr.splitlines()
    assert done.returncode == 1
    assert [line for line in lines if line.startswith("error: ")] == [
        f"error: {need.line}" for need in needs.ON_A_GPU
    ]
    assert "note: torch is missing: the rival written with torch is not measured; pip install torch" in lines
    assert all(line.startswith(("error: ", "note: ")) for line in lines)
    found = json.loads(path.read_text())
    assert found["no_gpu"] == "missing: cupy, array_api_compat"
    assert {part["reason"] for part in found["parts"]} == {"no GPU: missing: cupy, array_api_compat"}


def test_without_numpy_that_is_all_that_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(needs, "_there", lambda module: module != "numpy")
    assert main(["report"]) == 1
    assert (
        capsys.readouterr().err
        == "error: numpy is missing: pictures and results are its arrays; pip install numpy\n"
    )


def test_a_module_that_is_there_is_not_missing() -> None:
    assert needs.absent([needs.Need("json", "python", "all")]) == []
    assert needs.absent([needs.Need("no_such_module", "it", "nothing")]) == [
        "no_such_module is missing: nothing; pip install it"
    ]


def test_minutes_are_checked(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["gpu", "--minutes", "0"])
    assert "from 0 to 600, got 0" in capsys.readouterr().err


# --- checks -------------------------------------------------------------------------------------


def test_there_are_forty_checks_and_they_begin_with_what_shares_its_kernels() -> None:
    assert len(correctness.CHECKS) == 40
    assert len({c.what for c in correctness.CHECKS}) == 40
    assert all(not c.options for c in correctness.CHECKS[:9])
    assert any(c.shape == (1080, 1920) for c in correctness.CHECKS)
    assert all(np.prod(c.shape) < 5000 for c in correctness.FEW)


def test_an_answer_that_is_wrong_is_not_right(monkeypatch: pytest.MonkeyPatch) -> None:
    denoise = nlmeans.denoise
    good = correctness.Check((8, 9))
    assert correctness.compared(0, good, "reference").ok

    def off(image: Any, **options: Any) -> Any:
        made = denoise(image, **options)
        if image.dtype == np.float32:
            made[3, 3] += 0.01
        return made

    monkeypatch.setattr(nlmeans, "denoise", off)
    found = correctness.compared(0, good, "reference")
    assert not found.ok
    assert found.largest is not None
    assert found.largest > 2e-5
    holes = correctness.Check((8, 9), picture="nan")
    monkeypatch.setattr(nlmeans, "denoise", lambda image, **_: np.full_like(image, np.nan))
    assert (
        correctness.compared(0, good, "reference").largest == 0
    )  # NaN where the reference has it, only there
    monkeypatch.setattr(
        nlmeans,
        "denoise",
        lambda image, backend, **o: denoise(image, **o) if backend == "reference" else image * np.nan,
    )
    assert not correctness.compared(0, holes, "cpu").ok


def test_an_error_that_may_have_cost_the_device_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(number: int, check: Any, backend: str) -> Any:
        raise InvalidValueError("ours") if number == 0 else RuntimeError("an illegal memory access")

    monkeypatch.setattr(correctness, "compared", failing)
    rows = list(correctness.rows(correctness.CHECKS, "cpu"))
    assert [row["number"] for row in rows] == [0, 1]
    assert "InvalidValueError: ours (failing, line" in rows[0]["reason"]
    assert not any(row["ok"] for row in rows)


def test_checks_go_on_in_another_process_after_one_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correctness, "CHECKS", correctness.CHECKS[:6])
    starts = []

    def objects(command: list[str], silence: float, until: float) -> Iterator[dict[str, Any]]:
        start = int(command[-1])
        starts.append(start)
        for number in range(start, 6):
            if number == 4:
                raise children.ChildError("no answer for 60 s")  # and 4 has no row
            yield check(number)
            if number == 1:
                raise children.ChildError(f"it ended with code {correctness.LOST}: ...")  # and 1 has one

    monkeypatch.setattr(children, "objects", objects)
    rows = [row for _, row in first_light._checks(order(), time.monotonic() + 60)]
    assert starts == [0, 2, 5]
    assert [row["number"] for row in rows] == list(range(6))
    assert [row["reason"] for row in rows] == [None] * 4 + ["no answer for 60 s", None]


def test_checks_for_which_no_time_is_left_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def objects(command: list[str], silence: float, until: float) -> Iterator[dict[str, Any]]:
        yield check(0)
        raise children.ChildError(NO_TIME)

    monkeypatch.setattr(children, "objects", objects)
    rows = [row for _, row in first_light._checks(order(), time.monotonic())]
    assert [row["reason"] for row in rows] == [None] + [NO_TIME] * 39
    assert first_light.wrong({"checks": rows, "sanitizer": []}) == []


# --- processes ----------------------------------------------------------------------------------


def script(code: str) -> list[str]:
    return [sys.executable, "-c", f"import sys, time\n{code}"]


def test_objects_come_as_they_are_printed_and_other_lines_are_left_out() -> None:
    command = script("print('hello'); print('{\"a\": 1}', flush=True); print('{\"a\": 2}')")
    found = list(children.objects(command, silence=30, until=time.monotonic() + 30))
    assert found == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    ("code", "silence", "left", "reason"),
    [
        ("sys.exit('it fell over')", 30, 30, "code 1: it fell over"),
        ("import os; os.kill(os.getpid(), 9)", 30, 30, "code -9"),
        ("time.sleep(60)", 0.2, 30, "no answer for 0.2 s"),
        ("time.sleep(60)", 30, 0.2, NO_TIME),
    ],
)
def test_a_process_that_ends_badly_or_hangs_is_a_reason(
    code: str, silence: float, left: float, reason: str
) -> None:
    began = time.monotonic()
    command = script("print('{}', flush=True)\n" + code)
    found = children.objects(command, silence=silence, until=began + left)
    if silence > 1 and left > 1:
        assert next(found) == {}
    with pytest.raises(children.ChildError, match=reason):
        list(found)
    assert time.monotonic() - began < 20


def test_the_checks_run_in_a_process_of_their_own() -> None:
    command = children.module(correctness.__name__, "--backend", "reference", "--few", "--from", "6")
    (row,) = children.objects(command, silence=60, until=time.monotonic() + 60)
    assert row["number"] == 6
    assert row["ok"]


def test_a_worker_waits_no_longer_than_there_is_time(tmp_path: Path) -> None:
    worker = turns.Worker("nlmeans", tmp_path / "w", Effort(until=time.monotonic()))
    with pytest.raises(turns.RivalError, match="stopped after 0 s"):
        worker.ask(do="run")
    worker.close()


# --- the checker of memory ----------------------------------------------------------------------

CLEAN = '========= COMPUTE-SANITIZER\n{"number": 0, "ok": true}\n========= ERROR SUMMARY: 0 errors\n'
RACES = """========= COMPUTE-SANITIZER
========= Error: Race reported between Write access at accumulate and Read access at accumulate
========= RACECHECK SUMMARY: 2 hazards displayed (2 errors, 0 warnings)
"""


def test_what_the_checker_prints_is_read() -> None:
    assert sanitizer.read(0, CLEAN) == {"faults": 0, "says": [], "right": 1}
    found = sanitizer.read(9, RACES)
    assert found["faults"] == 2
    assert "Race reported" in found["says"][1]
    assert "Device not supported" in sanitizer.read(1, "========= Error: Device not supported\n")["reason"]


def test_where_the_checker_is_each_tool_has_its_row_and_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "compute-sanitizer"
    program.write_text(
        '#!/bin/sh\necho "asked: $*"\nif [ "$2" = initcheck ]; then echo Device not supported; exit 1; fi\n'
        'echo "========= ERROR SUMMARY: 3 errors"\nexit 9\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert sanitizer.program() == str(program)
    rows = list(sanitizer.rows(time.monotonic() + 60))
    assert [row["tool"] for row in rows] == ["memcheck", "racecheck", "initcheck"]
    assert [row["faults"] for row in rows] == [3, 3, None]
    assert "code 1: asked: --tool initcheck" in rows[2]["reason"]
    assert "Device not supported" in rows[2]["reason"]
    assert next(sanitizer.rows(time.monotonic()))["reason"] == NO_TIME
    assert len(first_light.wrong({"checks": [], "sanitizer": rows})) == 2
    words = sanitizer.command(str(program), "memcheck")
    assert words[-2:] == ["--few", "--own-allocations"]
    assert words[words.index("-m") + 1] == correctness.__name__


def test_every_array_has_an_allocation_of_its_own_under_the_checker(
    gpu: FakeCuPy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []
    gpu.cuda.set_allocator = asked.append
    monkeypatch.setattr(correctness, "FEW", correctness.FEW[3:4])
    assert correctness.main(["--few", "--own-allocations"]) == 0
    assert asked == [None]
    assert json.loads(capsys.readouterr().out)["ok"]
