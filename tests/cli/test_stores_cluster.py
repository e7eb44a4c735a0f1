"""Stores on Dask clusters of real processes, which are killed: nothing is lost, and nothing done twice."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest
from nlmeans.cli.batch import _OneFile
from nlmeans.cli.files.naming import Task
from nlmeans.cli.formats.limits import Limits
from nlmeans.cli.job import Job
from nlmeans.cli.options import FilterOptions, OutputOptions

import nlmeans

pytest.importorskip("zarr")
pytest.importorskip("distributed")

from nlmeans.benchmarks.studies.killed import EVERY, HOW, Case, kill_the_run, lose_a_worker

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case.made(tmp_path_factory.mktemp("killed"))


def test_a_lost_worker_costs_nothing(case: Case) -> None:
    assert lose_a_worker(case, "worker.zarr", 5) == 0


@pytest.mark.parametrize("how", ["run", "cluster"])
def test_a_run_that_is_killed_is_gone_on_with(how: str, case: Case) -> None:
    assert kill_the_run(case, f"{how}.zarr", EVERY // 3, *HOW[how]) == 0


def test_a_scheduler_that_is_not_there_is_named(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "2s")
    process = case.start("none.zarr", "--scheduler", "127.0.0.1:9")
    _, said = process.communicate(timeout=120)
    assert process.returncode == 4
    assert "the scheduler at 127.0.0.1:9 does not answer" in said


def test_what_listens_and_is_no_scheduler_is_not_waited_for(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "1s")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        process = case.start("other.zarr", "--scheduler", f"127.0.0.1:{other.getsockname()[1]}")
        _, said = process.communicate(timeout=120)
    assert process.returncode == 4
    assert "what listens there is no scheduler of Dask" in said


def test_a_scheduler_that_is_lost_ends_the_run_in_one_line(case: Case, tmp_path: Path) -> None:
    """What was written stays, and the same command goes on with the rest."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    dask = [sys.executable, "-m", "dask", "scheduler", "--host", "127.0.0.1", "--port", str(port)]
    quiet: dict[str, Any] = {"cwd": tmp_path, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    worker = [sys.executable, "-m", "dask", "worker", f"tcp://127.0.0.1:{port}", "--nthreads", "1"]
    with (
        subprocess.Popen([*dask, "--no-dashboard"], **quiet) as scheduler,
        subprocess.Popen([*worker, "--no-dashboard", "--no-nanny"], **quiet) as work,
    ):
        try:
            time.sleep(1)
            process = case.start("lost.zarr", "--scheduler", f"tcp://127.0.0.1:{port}")
            before = case.wait_for("lost.zarr", 3, process)
            scheduler.kill()
            _, said = process.communicate(timeout=120)
        finally:
            scheduler.kill()
            work.kill()
    assert 3 <= len(before) < EVERY, said
    assert process.returncode == 4, said
    assert "the connection to the scheduler was lost" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert case.check("lost.zarr", case.start("lost.zarr"), before) == 0


def test_files_are_tasks_and_one_that_fails_costs_no_other(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (40, 50), dtype=np.uint8)
    (tmp_path / "scans").mkdir()
    for n in range(3):
        imageio.imwrite(tmp_path / "scans" / f"{n}.png", image + n)
    (tmp_path / "scans" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    program = [sys.executable, "-m", "nlmeans", "denoise", "scans", "-r", "-o", "clean", "--sigma", "12"]
    done = subprocess.run(
        [*program, "--scheduler", "local[1]", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    outcomes = {row["input"]: row["status"] for row in map(json.loads, done.stdout.splitlines())}
    assert outcomes == {
        **{os.path.join("scans", f"{n}.png"): "written" for n in range(3)},
        os.path.join("scans", "broken.png"): "failed",
    }
    expected = nlmeans.denoise(image + 2, sigma=12.0)
    np.testing.assert_array_equal(imageio.imread(tmp_path / "clean" / "2.png"), expected)
    again = subprocess.run(
        [*program, "--scheduler", "local[1]"], cwd=tmp_path, capture_output=True, text=True
    )
    assert "exists" in again.stderr


def test_a_worker_takes_names_as_they_are_meant_where_the_command_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own folder is another; what it tells has the names that were given."""
    imageio.imwrite(tmp_path / "a.png", np.random.default_rng(0).integers(0, 255, (40, 50), dtype=np.uint8))
    job = Job.of(FilterOptions({"sigma": 12.0}, {}), Limits(), io.BytesIO())  # type: ignore[typeddict-item]
    options = OutputOptions(output="out", method_noise="removed.npy")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    one = _OneFile(Limits(), options, job, False, str(tmp_path))
    outcome = one(Task("a.png", os.path.join("out", "a.png"), "PNG"))
    assert (outcome.state, outcome.input, outcome.output) == (
        "written",
        "a.png",
        os.path.join("out", "a.png"),
    )
    assert str(tmp_path) not in outcome.to_json()
    assert (tmp_path / "out" / "a.png").exists()
    assert (tmp_path / "removed.npy").exists()
    missing = one(Task("b.png", os.path.join("out", "b.png"), "PNG"))
    assert (missing.state, missing.input, str(tmp_path) in missing.to_json()) == ("failed", "b.png", False)


DYING = """
import os, sys
from distributed import Client, LocalCluster
from nlmeans.cli.environment import Environment
from nlmeans.cli.outcome import Report
from nlmeans.cli.stores import cluster

def job(number):
    if number >= 4:
        os._exit(1)
    return []

if __name__ == "__main__":
    done, failed = [], []
    def note(number, error):
        failed.append(number)
    with cluster.client_of("local[1]", Report(Environment.of_process())) as client:
        try:
            cluster.run(client, job, range(9), lambda n, _: done.append(n), note)
        except Exception as error:
            print(sorted(n for n in done if n >= 0), len(failed), error)
"""


def test_a_worker_that_dies_again_and_again_ends_the_run(tmp_path: Path) -> None:
    """The others' blocks are done; the error says what happened."""
    (tmp_path / "dying.py").write_text(DYING)
    around = os.environ | {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    done = subprocess.run(
        [sys.executable, "dying.py"], cwd=tmp_path, env=around, capture_output=True, text=True, timeout=200
    )
    finished, failed, words = done.stdout.partition("]")[0], *done.stdout.rpartition("] ")[2].split(" ", 1)
    assert set(finished.strip("[").split(", ")) <= set("0123"), done.stderr
    assert failed == "3"
    assert words.startswith("workers die again and again, over 3 blocks")
