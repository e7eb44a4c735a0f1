"""What the calls cost against one another: one thread's processor time, all taking turns in this process.

The machine may be shared, so that ratios from turn to turn are the figures to keep, not seconds.
"""

from __future__ import annotations

import contextlib
import math
import statistics
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np

import nlmeans

from ..problems import NOISE, Image, Problem, square
from ..race.rivals import RIVALS, Job, _Command
from ..race.turns import Log

_SAME = {"patch_radius": 3, "search_radius": 10}  # where radii are not the table's
_RATIOS = {  # what it is: (over, under)
    "default over pixel": ("default", "pixel"),
    "patch over pixel aggregation, same radii": ("patch, same radii", "pixel, same radii"),
    "RGB over grey": ("default, RGB", "default"),
    "volume over picture": ("default, volume", "default, picture of as many pixels"),
    "estimate_sigma at 12 megapixels over pixel": ("estimate_sigma, 12 megapixels", "pixel"),
    "8 x 8 over pixel": ("default, 8 x 8", "pixel"),
    "command on a 64 x 64 PNG over import numpy": ("nlmeans denoise of a 64 x 64 PNG", "import numpy"),
    "import nlmeans over python": ("import nlmeans", "python"),
    "scikit-image's fast mode over pixel aggregation": ("scikit-image", "plain"),
    "OpenCV over pixel aggregation": ("OpenCV", "plain"),
}


def times(log: Log, *, quick: bool = False) -> dict[str, Any]:
    """Seconds of every call, and ratios with their quartiles over the turns.

    ``pairs`` is the (pixel, shift) pairs of one pass over a picture, by which the ratio "per pair" is
    divided.
    """
    turns, of_processes = (2, 1) if quick else (15, 9)
    calls, pairs, missing = _calls(quick)
    rows = _turns(calls, turns)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        rows |= _turns(_processes(), of_processes)
    rows |= {name: {"call": None, "reason": reason} | _spent([]) for name, reason in missing.items()}
    for name, row in rows.items():
        row["pairs"] = pairs.get(name)
        log(f"  {name}: {row['cpu']} s")
    ratios = {name: _ratio(rows[a], rows[b]) for name, (a, b) in _RATIOS.items()}
    more = pairs["default, volume"] / pairs["default, picture of as many pixels"]
    ratios["volume over picture, per pair"] = {
        "ratio": round(ratios["volume over picture"]["ratio"] / more, 3),
        "quartiles": [round(q / more, 3) for q in ratios["volume over picture"]["quartiles"]],
    }
    for row in rows.values():
        del row["turns"]
    return {"turns": turns, "turns of processes": of_processes, "calls": rows, "ratios": ratios}


def _calls(quick: bool) -> tuple[dict[str, Job], dict[str, int], dict[str, str]]:
    """By name: what runs in this process, its pairs, and why rivals are missing."""
    side, small = (64, 32) if quick else (512, 128)
    depth = 6 if quick else 24
    grey, colour = square(side).noisy(), square(side, channels=3).noisy()
    wide = Problem("", (4 * small, depth * small // 4)).noisy()
    large = Problem("", (300, 400) if quick else (3000, 4000)).noisy()
    pictures: dict[str, tuple[Image, dict[str, Any]]] = {
        "default": (grey, {}),
        "pixel": (grey, {"aggregate": "pixel"}),
        "patch, same radii": (grey, _SAME),
        "pixel, same radii": (grey, _SAME | {"aggregate": "pixel"}),
        "default, RGB": (colour, {"channel_axis": -1}),
        "default, volume": (_volume(depth, small), {}),
        "default, picture of as many pixels": (wide, {}),
    }
    calls, pairs = {}, {}
    for name, (image, options) in pictures.items():
        calls[name] = _denoise(image, sigma=NOISE, **options)
        pairs[name] = _pairs(image, options)
    calls["estimate_sigma, 12 megapixels"] = Job(
        f"nlmeans.estimate_sigma({_shown(large)})",
        lambda: np.asarray(nlmeans.estimate_sigma(large)),
        versions="",
    )
    loops = 5 if quick else 100
    tiny = grey[:8, :8].copy()
    calls["default, 8 x 8"] = _denoise(tiny, loops, sigma=NOISE)
    calls["estimated, 8 x 8"] = _denoise(tiny, loops)
    return calls, pairs, _add_rivals(calls, side)


def _add_rivals(calls: dict[str, Job], side: int) -> dict[str, str]:
    """The bare filter, by this package and by those that are installed; why the others are not."""
    problem, missing = square(side), {}
    setting = {**_SAME, "h": problem.h}
    for name, rival, dtype in (
        ("plain", "nlmeans", "float32"),
        ("scikit-image", "scikit-image", "float32"),
        ("OpenCV", "OpenCV", "uint8"),
    ):
        try:
            calls[name] = RIVALS[rival](problem.with_dtype(dtype).noisy(), setting, 1)
        except ImportError as error:
            missing[name] = f"not installed: {error}"
    return missing


def _processes() -> dict[str, Job]:
    """What is a whole process; files are in the working folder."""

    def python(text: str) -> Job:
        return _Command(f"python -c {text!r}", lambda: _finished(sys.executable, "-c", text), versions="")

    image = square(64).with_dtype("uint8").noisy()
    return {
        "nlmeans denoise of a 64 x 64 PNG": RIVALS["nlmeans command"](image, {}, 1),
        "python": python("pass"),
        "import nlmeans": python("import nlmeans"),
        "import nlmeans and denoise": python("from nlmeans import denoise"),
        "import numpy": python("import numpy"),
    }


def _finished(*words: str) -> Image:
    subprocess.run(words, check=True)
    return np.empty(0)


def _denoise(image: Image, loops: int = 1, **options: Any) -> Job:
    """The call in one thread, so often that its time can be told."""

    def call() -> Image:
        for _ in range(loops):
            result = nlmeans.denoise(image, workers=1, **options)
        return np.asarray(result)

    arguments = "".join(f", {n}={round(v, 6) if isinstance(v, float) else v!r}" for n, v in options.items())
    return Job(f"nlmeans.denoise({_shown(image)}{arguments}, workers=1)", call, versions="", pictures=loops)


def _shown(image: Image) -> str:
    return f"{' x '.join(map(str, image.shape))} {image.dtype}"


def _volume(depth: int, side: int) -> Image:
    """Noisy planes, each a pixel aside of the last."""
    scene = square(side + depth).clean()
    planes = np.stack([scene[z : z + side, z : z + side] for z in range(depth)])
    return (planes + np.random.default_rng(1).normal(0, NOISE, planes.shape)).astype(np.float32)


def _pairs(image: Image, options: dict[str, Any]) -> int:
    """(pixel, shift) pairs of one pass, the centre included."""
    radius = nlmeans.suggest(image, sigma=NOISE, **options).search_radius
    grid = image.shape[:-1] if "channel_axis" in options else image.shape
    assert isinstance(radius, int), "the table has one radius for all axes"
    return int(math.prod(grid)) * int((2 * radius + 1) ** len(grid))


def _turns(jobs: dict[str, Job], turns: int) -> dict[str, dict[str, Any]]:
    """A B C, A B C, ... after one round to warm up."""
    spent: dict[str, list[dict[str, float]]] = {name: [] for name in jobs}
    for turn in range(turns + 1):
        for name, job in jobs.items():
            measured = job.run()
            if turn:
                spent[name].append(measured)
    return {name: {"call": job.call, "reason": None} | _spent(spent[name]) for name, job in jobs.items()}


def _spent(measured: list[dict[str, float]]) -> dict[str, Any]:
    """Medians in seconds; every turn's processor time for ratios."""
    medians = {
        kind: round(statistics.median(m[kind] for m in measured), 7) if measured else None
        for kind in ("cpu", "wall")
    }
    return medians | {"turns": [m["cpu"] for m in measured]}


def _ratio(over: dict[str, Any], under: dict[str, Any]) -> dict[str, Any]:
    """The median over the turns of one's time over the other's, and the quartiles."""
    if not over["turns"] or not under["turns"]:
        return {"ratio": None, "quartiles": None}
    ratios = np.array(over["turns"]) / np.array(under["turns"])
    low, middle, high = (round(float(q), 3) for q in np.quantile(ratios, [0.25, 0.5, 0.75]))
    return {"ratio": middle, "quartiles": [low, high]}
