"""A volume against scikit-image, DIPY and ANTsPy: the same radii, taking turns, each in a process of its own.

    python -m nlmeans.benchmarks.race.volumes --side 96 128 --threads 2 --json volumes.json

A ball in a noisy cube; patch 3^3, window 7^3, pixels averaged.  scikit-image and ANTsPy cannot be told all
of it: the first has one thread, the second weights by its own statistics.  Calls that take longer than
`--once` are made once.  Where the machine is shared compare processor seconds, whose ratio is printed beside
that of wall seconds.
"""

from __future__ import annotations

import argparse
import json
import os
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
from numpy.typing import NDArray

Volume = NDArray[np.float32]
Call = Callable[[], Any]
NOISE = 20.0  # on values from 60 to 200
PATCH, WINDOW = 1, 3  # radii
NAMES = ("nlmeans", "scikit-image", "DIPY", "ANTsPy")


def cube(side: int) -> Volume:
    """A textured ball in an even surrounding, with noise."""
    z, y, x = np.indices((side, side, side), dtype=np.float32) / side - 0.5
    inside = z**2 + y**2 + x**2 < 0.16
    clean = np.where(inside, 160 + 40 * np.sin(25 * z) * np.cos(20 * y), 60)
    return (clean + np.random.default_rng(0).normal(0, NOISE, clean.shape)).astype(np.float32)


def _ours(volume: Volume, threads: int) -> Call:
    import nlmeans

    options: Any = {"patch_radius": PATCH, "search_radius": WINDOW, "aggregate": "pixel", "center": "one"}
    return lambda: nlmeans.denoise(volume, sigma=0.0, h=NOISE, workers=threads, backend="cpu", **options)


def _skimage(volume: Volume, threads: int) -> Call:
    from skimage.restoration import denoise_nl_means

    options = {"patch_size": 2 * PATCH + 1, "patch_distance": WINDOW, "h": NOISE, "fast_mode": True}
    return lambda: denoise_nl_means(volume, sigma=0.0, **options)


def _dipy(volume: Volume, threads: int) -> Call:
    from dipy.denoise.nlmeans import nlmeans  # type: ignore[import-not-found, import-untyped, unused-ignore]

    options = {"patch_radius": PATCH, "block_radius": WINDOW, "rician": False, "method": "classic"}
    return lambda: nlmeans(volume, NOISE, num_threads=threads, **options)


def _ants(volume: Volume, threads: int) -> Call:
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = str(threads)
    import ants  # type: ignore[import-not-found, import-untyped, unused-ignore]

    image = ants.from_numpy(volume)
    return lambda: ants.denoise_image(image, p=PATCH, r=WINDOW, noise_model="Gaussian")


_MAKERS: dict[str, Callable[[Volume, int], Call]] = {
    "nlmeans": _ours, "scikit-image": _skimage, "DIPY": _dipy, "ANTsPy": _ants,
}  # fmt: skip


def serve(name: str, path: str, threads: int) -> None:
    """In a process of its own: a call for every line that comes, and its seconds."""
    volume = np.load(path)
    _MAKERS[name](np.ascontiguousarray(volume[:16, :16, :16]), threads)()  # imports are not its time
    call = _MAKERS[name](volume, threads)
    print("ready", flush=True)
    for _ in sys.stdin:
        before, wall = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        call()
        wall, after = time.perf_counter() - wall, resource.getrusage(resource.RUSAGE_SELF)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"\n{wall} {cpu}", flush=True)


class _Rival:
    """A program that serves."""

    def __init__(self, name: str, path: Path, threads: int) -> None:
        self.name, self.wall, self.cpu = name, [], []  # type: ignore[var-annotated]
        words = [
            sys.executable,
            "-P",
            "-m",
            __spec__.name,
            "--serve",
            name,
            str(path),
            "--threads",
            str(threads),
        ]
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(words, text=True, **pipes)
        self.there = self._line() == ["ready"]

    def run(self) -> None:
        """One call."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        wall, cpu = self._line()
        self.wall.append(float(wall))
        self.cpu.append(float(cpu))

    def _line(self) -> list[str]:
        """The next that says something; a rival may print between."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            words: list[str] = line.split()
            if words == ["ready"] or (len(words) == 2 and words[0].replace(".", "").isdigit()):
                return words
        return []

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def race(side: int, names: list[str], threads: int, repeats: int, once: float) -> list[dict[str, Any]]:
    """Medians of every program, and how many times as fast nlmeans is."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cube.npy"
        np.save(path, cube(side))
        rivals = [_Rival(name, path, 1 if name == "scikit-image" else threads) for name in names]
        try:
            running = [rival for rival in rivals if rival.there]
            for turn in range(repeats):
                for rival in running:
                    if turn == 0 or rival.wall[0] <= once:
                        rival.run()
        finally:
            for rival in rivals:
                rival.close()
    ours = next(r for r in rivals if r.name == "nlmeans")
    return [_row(side, rival, ours) for rival in rivals]


def _row(side: int, rival: _Rival, ours: _Rival) -> dict[str, Any]:
    if not rival.there:
        return {"side": side, "name": rival.name, "reason": "not installed, or it does not run"}
    wall, cpu = (statistics.median(v) for v in (rival.wall, rival.cpu))
    own_wall, own_cpu = (statistics.median(v) for v in (ours.wall, ours.cpu))
    return {
        "side": side,
        "name": rival.name,
        "calls": len(rival.wall),
        "wall": round(wall, 4),
        "cpu": round(cpu, 4),
        "least_wall": round(min(rival.wall), 4),
        "wall_ratio": round(wall / own_wall, 1),
        "cpu_ratio": round(cpu / own_cpu, 1),
    }


def main() -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, nargs="+", default=[96])
    parser.add_argument("--rivals", nargs="+", default=list(NAMES[1:]))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--once", type=float, default=20.0, help="seconds after which a call is the only one")
    parser.add_argument("--json")
    parser.add_argument("--serve", nargs=2, metavar=("NAME", "FILE"))
    given = parser.parse_args()
    if given.serve:
        name, path = given.serve
        serve(name, path, given.threads)
        return
    rows = []
    for side in given.side:
        for row in race(side, ["nlmeans", *given.rivals], given.threads, given.repeats, given.once):
            rows.append(row | {"threads": given.threads, "load": round(os.getloadavg()[0], 1)})
            print(json.dumps(rows[-1]), flush=True)
    if given.json:
        Path(given.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
