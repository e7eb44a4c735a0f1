"""Runs into a store that lose a worker, or are killed as a whole and started again, at random moments.

    python -m nlmeans.benchmarks.studies.killed [--times 20] [--only worker run cluster]

After each the store must be complete and hold what the library makes of the whole image with the same
parameters, and shards that were there before must not have been written again.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nlmeans import denoise

from ..scripts import parser_of

SIDE, SHARD = 448, 64
EVERY = (SIDE // SHARD) ** 2  # shards
SETTINGS = {"sigma": 12.0, "k": 0.5, "patch_radius": 2, "search_radius": 12}
OPTIONS = [part for name, value in SETTINGS.items() for part in (f"--{name.replace('_', '-')}", str(value))]
HOW = {"worker": ["--scheduler", "local[2]"], "run": [], "cluster": ["--scheduler", "local[2]"]}
_PATIENCE = 240.0  # seconds


@dataclass
class Case:
    """A source in a folder, and what must come out."""

    folder: Path
    expected: np.ndarray

    @classmethod
    def made(cls, folder: Path, seed: int = 0) -> Case:
        """Blocks of two levels with noise of 12, and the whole image denoised."""
        import zarr

        rng = np.random.default_rng(seed)
        clean = 60 + 80.0 * ((np.indices((SIDE, SIDE)) // 40).sum(axis=0) % 2)
        image = (clean + rng.normal(0, 12, clean.shape)).astype(np.float32)
        zarr.create_array(folder / "big.zarr", data=image, chunks=(SHARD // 2,) * 2, shards=(SHARD,) * 2)
        return cls(folder, denoise(image, **SETTINGS))  # type: ignore[arg-type]

    def start(self, output: str, *more: str) -> subprocess.Popen[str]:
        """The command, in a session of its own."""
        program = [sys.executable, "-m", "nlmeans", "denoise", "big.zarr", "-o", output, *OPTIONS]
        return subprocess.Popen(
            [*program, "--block", str(SHARD), "--workers", "1", *more],
            cwd=self.folder,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def shards(self, output: str) -> dict[str, tuple[int, int]]:
        """The files of shards that are there, and what changes when one is written again."""
        found = {}
        for path in (self.folder / output).glob("c/*/*"):
            if path.suffix != ".partial":
                facts = path.stat()
                found[str(path)] = (facts.st_ino, facts.st_mtime_ns)
        return found

    def wait_for(self, output: str, count: int, process: subprocess.Popen[str]) -> dict[str, tuple[int, int]]:
        """The shards, once there are so many, or the run has ended."""
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end and process.poll() is None:
            found = self.shards(output)
            if len(found) >= count:
                return found
            time.sleep(0.005)
        return self.shards(output)

    def check(self, output: str, process: subprocess.Popen[str], before: dict[str, tuple[int, int]]) -> int:
        """The store is complete and right; returns how many shards of `before` were written again."""
        import zarr

        _, said = process.communicate(timeout=_PATIENCE)
        if process.returncode:
            raise AssertionError(f"exit code {process.returncode}: {said}")
        if not json.loads((self.folder / f"{output}.json").read_text())["complete"]:
            raise AssertionError("not marked complete")
        found = zarr.open_array(self.folder / output, mode="r")[:]
        apart = float(np.abs(np.asarray(found) - self.expected).max() / np.ptp(self.expected))
        if not apart <= 2e-6:
            raise AssertionError(f"off by {apart:.3g} of the data range")
        after = self.shards(output)
        return sum(after[path] != facts for path, facts in before.items())


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """The processes that a run has started to work for it."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                command = (folder / "cmdline").read_text()
            except OSError:
                continue
            if parent == process.pid and "spawn_main" in command:
                found.append(int(folder.name))
    return found


def lose_a_worker(case: Case, output: str, count: int) -> int:
    """Kill a worker once so many shards are there; the run goes on."""
    process = case.start(output, *HOW["worker"])
    before = case.wait_for(output, count, process)
    workers = workers_of(process)
    if not workers or len(before) == EVERY:
        raise AssertionError(f"nothing to lose: {len(workers)} workers, {len(before)} shards are there")
    os.kill(random.choice(workers), signal.SIGKILL)
    return case.check(output, process, before)


def kill_the_run(case: Case, output: str, count: int, *how: str) -> int:
    """Kill all of a run once so many shards are there, and start it again."""
    process = case.start(output, *how)
    case.wait_for(output, count, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    time.sleep(0.2)  # for its workers to be gone
    before = case.shards(output)
    if len(before) == EVERY:
        raise AssertionError("nothing was left to do")
    again = case.start(output, *how)
    return case.check(output, again, before)


def main() -> None:
    """Run all trials."""
    parser = parser_of(__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--only", nargs="+", choices=HOW, default=list(HOW))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        case = Case.made(Path(folder))
        for kind in given.only:
            again = 0
            for n in range(given.times):
                output, count = f"{kind}{n}.zarr", random.randrange(1, EVERY - 8)
                if kind == "worker":
                    again += lose_a_worker(case, output, count)
                else:
                    again += kill_the_run(case, output, count, *HOW[kind])
            print(
                f"{kind}: {given.times} times, 0 wrong, {again} of the finished shards written again",
                flush=True,
            )


if __name__ == "__main__":
    main()
