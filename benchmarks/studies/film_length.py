"""Memory and time of `denoise_frames` by the length of a film.

    python -m nlmeans.benchmarks.studies.film_length [--frames 30,300] [--size 1280x720] [--radius 2]
        [--patch 3] [--search 5] [--workers 1] [--out FILE]

Each length is a process of its own: frames of 8-bit grey are made one by one (a pan of two columns a frame,
noise of 20), and results are dropped.  Peak memory is what the operating system counts, less that of the
same process once it has done a tiny film: the interpreter, its libraries and the threads.  What makes the
frames is counted too.  On a 2-core AMD EPYC VM (2026-11-30), 1280 x 720, one thread: 224 MB for 30 frames
and for 100, 0.50 and 0.51 CPU s a frame (230 and 232 MB for 30 and 300 frames some commits before).
"""

from __future__ import annotations

import json
import platform
import resource
import time
from itertools import islice
from pathlib import Path
from typing import Any

from nlmeans import denoise_frames

from ..children import module, objects
from ..problems import NOISE, frames
from ..scripts import parser_of, write_json

_HOUR = 3600.0


def one(height: int, width: int, count: int, settings: dict[str, Any]) -> dict[str, Any]:
    """A film in this process."""
    list(denoise_frames(islice(frames((32, 32)), 6), **settings))
    next(frames((height, width)))  # the scene
    before, began = _peak(), time.process_time()
    done = sum(1 for _ in denoise_frames(islice(frames((height, width)), count), **settings))
    seconds = time.process_time() - began
    return {
        "frames": done,
        "peak MB": round((_peak() - before) / 1e6, 1),
        "CPU s a frame": round(seconds / done, 3),  # of making it too, which is a tenth
    }


def _peak() -> int:
    """Bytes."""
    unit = 1 if platform.system() == "Darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Measure from the command line."""
    parser = parser_of(__doc__)
    parser.add_argument("--frames", default="30,300")
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--radius", type=int, default=2)
    parser.add_argument("--patch", type=int, default=3)
    parser.add_argument("--search", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--here", action="store_true", help="in this process, one length")
    given = parser.parse_args()
    width, height = (int(n) for n in given.size.split("x"))
    settings = {
        "temporal_radius": given.radius,
        "patch_radius": given.patch,
        "search_radius": given.search,
        "sigma": 255 * NOISE,
        "workers": given.workers,
    }
    if given.here:
        print(json.dumps(one(height, width, int(given.frames), settings)), flush=True)
        return
    rows = []
    for count in given.frames.split(","):
        words = [f"--{n}={getattr(given, n)}" for n in ("size", "radius", "patch", "search", "workers")]
        command = module("nlmeans.benchmarks.studies.film_length", "--here", f"--frames={count}", *words)
        for row in objects(command, silence=_HOUR, until=time.monotonic() + _HOUR):
            rows.append({"size": given.size, **row})
            print(json.dumps(rows[-1]), flush=True)
    if given.out is not None:
        write_json(given.out, rows)


if __name__ == "__main__":
    main()
