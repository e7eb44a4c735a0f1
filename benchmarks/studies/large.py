"""What Dask and stores cost on one machine, beside a plain call: the figures of docs/large.md.

    python -m nlmeans.benchmarks.studies.large [--only PART ...] [--side 4096] [--repeats 3]

Times are of alternating runs, their medians; graphs are built for arrays that are never computed.
"""

from __future__ import annotations

import json
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nlmeans import denoise, suggest

from ..scripts import parser_of

PARTS = ("dask", "halo", "graph", "store", "scheduler", "queue", "memory")


def picture(side: int) -> np.ndarray:
    """Blocks of two levels with noise of 12."""
    rng = np.random.default_rng(0)
    clean = 60 + 80.0 * ((np.indices((side, side), dtype=np.float32) // 40).sum(axis=0) % 2)
    noisy = clean + rng.normal(0, 12, clean.shape).astype(np.float32)
    result: np.ndarray = np.clip(noisy, 0, 255).astype(np.uint8)
    return result


def alternating(
    repeats: int, clock: Callable[[], float] = time.perf_counter, **runs: Callable[[], object]
) -> dict[str, float]:
    """Median seconds of each, in turns."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, call in runs.items():
            began = clock()
            call()
            times[name].append(clock() - began)
    return {name: round(statistics.median(each), 3) for name, each in times.items()}


def dask(side: int, repeats: int) -> dict[str, Any]:
    """A Dask array in chunks of 1024, in two threads and in one, against plain calls with as many workers."""
    import dask.array as da

    image = picture(side)
    settings = suggest(image, passes=1).to_dict()
    lazy = denoise(da.from_array(image, chunks=1024), **settings)
    found = alternating(
        repeats,
        plain_1=lambda: denoise(image, workers=1, **settings),
        dask_1=lambda: lazy.compute(scheduler="synchronous"),
        plain_2=lambda: denoise(image, workers=2, **settings),
        dask_2=lambda: lazy.compute(scheduler="threads", num_workers=2),
    )
    return {
        **found,
        "over_1": found["dask_1"] / found["plain_1"],
        "over_2": found["dask_2"] / found["plain_2"],
    }


def halo(side: int, repeats: int) -> dict[str, Any]:
    """Chunks of several sides, one thread, against a plain call: the pixels of the halo are computed too."""
    import dask.array as da

    image = picture(min(side, 2048))
    settings = suggest(image, passes=1).to_dict()
    runs: dict[str, Callable[[], object]] = {"plain": lambda: denoise(image, workers=1, **settings)}
    for chunk in (128, 256, 512, 1024):
        lazy = denoise(da.from_array(image, chunks=chunk), **settings)
        runs[str(chunk)] = lambda lazy=lazy: lazy.compute(scheduler="synchronous")  # type: ignore[misc]
    return alternating(repeats, time.process_time, **runs)


def graph(side: int, repeats: int) -> dict[str, Any]:
    """Seconds of one thread and megabytes to build the graph of so many chunks."""
    found = {}
    for shape in ((316,) * 2, (46,) * 3, (1000,) * 2):
        program = (
            "import time\nimport dask.array as da\nfrom nlmeans import denoise\n"
            f"lazy = da.zeros({tuple(64 * n for n in shape)}, chunks=64, dtype='uint8')\n"
            "def peak():\n"
            "    return int(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])\n"
            "before = peak()\nbegan = time.process_time()\n"
            "made = denoise(lazy, sigma=12.0, k=0.5, patch_radius=2, search_radius=7)\n"
            "seconds = time.process_time() - began\n"
            "print(seconds, (peak() - before) / 1024)"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        seconds, size = map(float, done.stdout.split())
        name = f"{len(shape)}-D, {math.prod(shape)} chunks"
        found[name] = {"seconds": round(seconds, 2), "megabytes": round(size)}
        print(name, found[name], flush=True)
    return found


def _command(folder: str, *more: str) -> None:
    program = [sys.executable, "-m", "nlmeans", "denoise", "big.zarr", "--workers", "1", "--quiet", *more]
    subprocess.run(program, cwd=folder, check=True)


def _of_children() -> float:
    """Seconds of all processors that processes started here have taken, and those that they started."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def store(side: int, repeats: int) -> dict[str, Any]:
    """8 blocks of a store by one process, by two at the same time, and on a local cluster of two.

    Seconds on the clock, which mean something on an idle machine only, and of all processors together.
    """
    import zarr

    spent: dict[str, list[float]] = {}

    def counted(call: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            before = _of_children()
            call()
            spent.setdefault(call.__name__, []).append(_of_children() - before)

        return run

    with tempfile.TemporaryDirectory() as folder:
        image = picture(max(side, 4096))[:2048, :4096]
        zarr.create_array(f"{folder}/big.zarr", data=image, chunks=(256, 256), shards=(1024, 1024))
        settings = ["--sigma=12", "--k=0.5", "--patch-radius=2", "--search-radius=43"]  # 4 s for a block
        count = iter(range(1000))

        def one() -> None:
            _command(folder, "-o", f"{next(count)}.zarr", *settings)

        def two() -> None:
            output = f"{next(count)}.zarr"
            program = [sys.executable, "-m", "nlmeans", "denoise", "big.zarr", "--workers", "1", "-q"]
            each = [
                subprocess.Popen([*program, "-o", output, "--part", f"{n}/2", *settings], cwd=folder)
                for n in (1, 2)
            ]
            for process in each:
                if process.wait():
                    raise AssertionError("a part failed")

        def cluster() -> None:
            _command(folder, "-o", f"{next(count)}.zarr", "--scheduler", "local[2]", *settings)

        found = alternating(repeats, one=counted(one), two_parts=counted(two), cluster=counted(cluster))
    return {
        **found,
        "spent": {name: round(statistics.median(each), 2) for name, each in spent.items()},
        "parts": found["one"] / found["two_parts"],
        "on_cluster": found["one"] / found["cluster"],
    }


def _printed_by(program: str) -> str:
    """Run it from a file, which the processes that it starts read again."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "program.py"
        path.write_text(program)
        return subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=True).stdout


def scheduler(side: int, repeats: int) -> dict[str, Any]:
    """Tasks a second of a scheduler with two workers, and its memory, with blocks that do nothing."""
    program = (
        "import time\n"
        "from distributed import Client, LocalCluster\n"
        "from nlmeans.cli.stores import cluster\n"
        "def job(number):\n    return []\n"
        "if __name__ == '__main__':\n"
        "    with LocalCluster(2, threads_per_worker=1, dashboard_address=':0') as c, Client(c) as client:\n"
        "        cluster.run(client, job, range(100), lambda n, w: None, lambda n, e: None)\n"
        "        for count in (2000, 10000):\n"
        "            began = time.perf_counter()\n"
        "            cluster.run(client, job, range(count), lambda n, w: None, lambda n, e: None)\n"
        "            rate = count / (time.perf_counter() - began)\n"
        "            peak = int(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])\n"
        "            print(count, round(rate), peak // 1024)\n"
    )
    rows = [line.split() for line in _printed_by(program).splitlines()]
    return {count: {"tasks_a_second": int(rate), "peak_megabytes": int(size)} for count, rate, size in rows}


def queue(side: int, repeats: int) -> dict[str, Any]:
    """Megabytes of a scheduler for the graph of a Dask array, and seconds until it has it; no workers."""
    program = (
        "import time\nimport dask.array as da\n"
        "from distributed import Client, LocalCluster\n"
        "from nlmeans import denoise\n"
        "def look(dask_scheduler):\n"
        "    size = open('/proc/self/status').read().partition('VmRSS:')[2].split()[0]\n"
        "    return len(dask_scheduler.tasks), int(size) / 1024\n"
        "if __name__ == '__main__':\n"
        "    import subprocess, sys\n"
        "    command = [sys.executable, '-m', 'dask', 'scheduler', '--host', '127.0.0.1', '--port', '8791']\n"
        "    with subprocess.Popen([*command, '--no-dashboard'], stderr=subprocess.DEVNULL) as scheduler:\n"
        "        client = Client('tcp://127.0.0.1:8791')\n"
        "        before = client.run_on_scheduler(look)[1]\n"
        "        lazy = da.zeros((64 * 100, 64 * 100), chunks=64, dtype='uint8')\n"
        "        made = denoise(lazy, sigma=12.0, k=0.5, patch_radius=2, search_radius=7)\n"
        "        began = time.perf_counter()\n"
        "        future = client.compute(made.to_delayed().ravel().tolist())\n"
        "        while client.run_on_scheduler(look)[0] < 10_000:\n"
        "            time.sleep(0.5)\n"
        "        count, size = client.run_on_scheduler(look)\n"
        "        print(count, size - before, time.perf_counter() - began)\n"
        "        scheduler.kill()\n"
    )
    tasks, size, seconds = map(float, _printed_by(program).split())
    return {"tasks": tasks, "megabytes": round(size, 1), "seconds": round(seconds, 1)}


def memory(side: int, repeats: int) -> dict[str, Any]:
    """Peak of a process that denoises a TIFF of 100 megapixels into a store, beyond one that does nothing."""
    import tifffile

    program = "import sys\nfrom nlmeans.cli.program import run\ncode = run(sys.argv[1:])\n"
    program += "print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])\nsys.exit(code)"
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        tifffile.imwrite(f"{folder}/a.tif", picture(10_000), tile=(256, 256), compression="zlib")
        for name, words in (
            ("nothing", ["--version"]),
            ("store", ["denoise", "a.tif", "-o", "b.zarr", "-q", *_QUICK]),
            ("tiff", ["denoise", "a.tif", "-o", "b.tif", "-q", *_QUICK]),
        ):
            call = [sys.executable, "-c", program, *words]
            done = subprocess.run(call, cwd=folder, capture_output=True, text=True, check=True)
            found[name] = round(float(done.stdout.split()[-1]) / 1024)
    return found


_QUICK = ["--sigma", "12", "--k", "0.5", "--patch-radius", "1", "--search-radius", "2"]


def main() -> None:
    """Measure, and print JSON."""
    parser = parser_of(__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    for name in given.only:
        print(name, json.dumps(globals()[name](given.side, given.repeats)), flush=True)


if __name__ == "__main__":
    main()
