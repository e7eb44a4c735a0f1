"""Volumes and films against other programs, at the same radii, taking turns.

    python -m nlmeans.benchmarks.race.stacks volumes --side 96 128 --threads 2 [--json FILE]
    python -m nlmeans.benchmarks.race.stacks films --size 1280x720 --frames 20 [--vapoursynth PYTHON]

Volumes: a ball in a noisy cube; patch 3^3, window 7^3, pixels averaged, against scikit-image, DIPY and
ANTsPy.  scikit-image and ANTsPy cannot be told all of it: the first has one thread, the second weights by its
own statistics.  Films: grey frames of a scene that moves two columns a frame, T = 2, R = 5, r = 3, pixels
averaged, centre weighted as its most similar candidate, against vs-nlm-ispc, for which PYTHON (3.12 or later)
has VapourSynth, vapoursynth-nlm-ispc and NumPy; seconds are those of one frame.

Calls that take longer than `--once` are made once.  Where the machine is shared compare processor seconds,
whose ratio is printed beside that of wall seconds.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from ..problems import Problem
from ..scripts import parser_of, write_json
from .turns import Contestant, Effort, Row, measure

_RADIUS = {"temporal_radius": 2}
VOLUMES = {
    "nlmeans": {"channel_axis": None, "color": None},
    "scikit-image": {"channel_axis": None},
    "DIPY": {},
    "ANTsPy": {},
}  # with their options, beside the problem's
FILMS = {"nlmeans, film": _RADIUS, "vs-nlm-ispc, film": _RADIUS}
Rivals = dict[str, dict[str, Any]]


def volume(side: int) -> Problem:
    """A ball in a noisy cube."""
    return Problem(f"{side}^3 r=1 R=3", (side,) * 3, patch_radius=1, search_radius=3)


def film(width: int, height: int, count: int) -> Problem:
    """A scene that moves to the left."""
    name = f"{count} frames of {width}x{height}"
    return Problem(name, (count, height, width), patch_radius=3, search_radius=5, moving=True)


def race(problem: Problem, rivals: Rivals, threads: int, effort: Effort) -> list[dict[str, Any]]:
    """Of every program its medians, and how many times as fast the first is."""
    contestants = [
        Contestant(name, name, threads=1 if name == "scikit-image" else threads, options=options)
        for name, options in rivals.items()
    ]
    rows = measure("stacks", [(problem, each) for each in contestants], effort)
    return [_told(row, rows[0]) for row in rows]


def _told(row: Row, first: Row) -> dict[str, Any]:
    told = {"problem": row.problem["name"], "name": row.contestant, "threads": row.threads}
    told |= {"load": round(os.getloadavg()[0], 1), "on": time.strftime("%Y-%m-%d")}
    if row.reason:
        return told | {"reason": row.reason}
    return told | {
        "calls": len(row.wall),
        "wall": round(row.wall_seconds, 4),
        "cpu": round(row.cpu_seconds, 4),
        "wall_ratio": round(row.wall_seconds / first.wall_seconds, 2),
        "cpu_ratio": round(row.cpu_seconds / first.cpu_seconds, 2),
        "psnr": row.psnr,
        "versions": row.versions,
    }


def main() -> None:
    """Measure, print a line of JSON for each program, and write what was measured."""
    parser = parser_of(__doc__)
    parser.add_argument("what", choices=("volumes", "films"))
    parser.add_argument("--side", type=int, nargs="+", default=[96], help="of the cubes")
    parser.add_argument("--size", default="1280x720", help="of the frames")
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--rivals", nargs="+", choices=(*VOLUMES, *FILMS), metavar="NAME")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--once", type=float, default=20.0, help="seconds after which a call is the only one")
    parser.add_argument("--vapoursynth", metavar="PYTHON")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    effort = Effort(given.repeats, seconds=1e6, patience=1e6, once=given.once, python=given.vapoursynth)
    rivals: Rivals = VOLUMES if given.what == "volumes" else FILMS
    if given.rivals:
        rivals = {name: rivals[name] for name in (next(iter(rivals)), *given.rivals)}
    if given.what == "volumes":
        problems = [volume(side) for side in given.side]
    else:
        width, height = (int(n) for n in given.size.split("x"))
        problems = [film(width, height, given.frames)]
    rows = []
    for problem in problems:
        for row in race(problem, rivals, given.threads, effort):
            rows.append(row)
            print(json.dumps(row), flush=True)
    if given.json:
        write_json(given.json, rows)


if __name__ == "__main__":
    main()
