"""Stores on Dask clusters of real processes, which are killed: nothing is lost, and nothing done twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
    assert done.stdout.startswith("[0, 1, 2, 3] 3 workers die again and again (3 blocks)"), done.stderr
