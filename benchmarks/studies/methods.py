"""Each method's quality against its time, beside BM3D where that is installed.

    python -m nlmeans.benchmarks methods --set12 DIR --kodak DIR

Protocol of `baseline`: one stream of noise over the pictures in the order of their names, results clipped.
Times are processor seconds of one thread for a megapixel, everything included.  BM3D (its authors' package
``bm3d==4.0.3``, for non-commercial use: it is run, nothing of it is used) takes minutes for a megapixel, so
it has its row on the first and every sixth further picture, and all others have theirs on the same besides.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import nlmeans

from .. import RESULTS
from ..machine import circumstances, machine
from ..problems import Image, psnr
from ..race.turns import Log
from .baseline import GROUPS, SIGMAS, Pictures, read

COMMITTED = RESULTS / "methods.json"
METHODS: dict[str, dict[str, Any]] = {
    "one pass": {"passes": 1},
    "two passes": {"passes": 2},
    "nlridge": {"method": "nlridge"},
}
_RIVAL_STEP = 6

Call = Callable[[Image, float], Image]


def measure(folders: dict[str, Path], log: Log = lambda _: None, *, quick: bool = False) -> dict[str, Any]:
    """PSNR in dB and seconds for a megapixel, by group, method and sigma."""
    groups = {name: read(GROUPS[name], folder, quick=quick) for name, folder in folders.items()}
    return {
        "machine": machine(),
        "circumstances": circumstances(),
        "command": "python -m nlmeans.benchmarks methods --set12 DIR --kodak DIR",
        "groups": {name: pictures.to_dict() for name, pictures in groups.items()},
        "methods": {name: _of_group(pictures, log) for name, pictures in groups.items()},
    }


def _of_group(pictures: Pictures, log: Log) -> dict[str, Any]:
    """Of every method on all pictures, then on the few that BM3D has time for."""
    axis = pictures.group.channel_axis
    calls: dict[str, Call] = {}
    for name, options in METHODS.items():
        calls[name] = lambda noisy, sigma, options=options: np.asarray(  # type: ignore[misc]
            nlmeans.denoise(noisy, sigma=sigma, channel_axis=axis, workers=1, **options)
        )
    found = {name: _by_sigma(pictures, call, 1, f"{name}, all", log) for name, call in calls.items()}
    if find_spec("bm3d"):
        bm3d = import_module("bm3d")
        calls["bm3d"] = bm3d.bm3d if axis is None else bm3d.bm3d_rgb
        few = {n: _by_sigma(pictures, c, _RIVAL_STEP, f"{n}, few", log) for n, c in calls.items()}
        found |= {f"{name}, few": row for name, row in few.items()}
    return found


def _by_sigma(pictures: Pictures, call: Call, step: int, name: str, log: Log) -> dict[str, Any]:
    rows = {}
    for sigma in SIGMAS:
        some = list(zip(pictures.clean, pictures.noisy(sigma), strict=True))[::step]
        before, scores = time.process_time(), []
        for clean, noisy in some:
            scores.append(psnr(clean / 255, np.clip(call(noisy, float(sigma)), 0, 255) / 255))
        seconds = time.process_time() - before
        pixels = sum(clean.shape[0] * clean.shape[1] for clean, _ in some)
        rows[str(sigma)] = {
            "psnr": round(statistics.fmean(scores), 3),
            "s/Mpx": round(1e6 * seconds / pixels, 3),
        }
        log(f"  {name}, sigma {sigma}: {rows[str(sigma)]}")
    return rows


def table(result: dict[str, Any]) -> str:
    """A line for each group and method."""
    lines = [f"{'':34}" + "".join(f"{f'sigma {s}: dB, s/Mpx':>24}" for s in SIGMAS)]
    for group, rows in result["methods"].items():
        for name, row in rows.items():
            cells = "".join(f"{row[str(s)]['psnr']:>15.2f}{row[str(s)]['s/Mpx']:>9.2f}" for s in SIGMAS)
            lines.append(f"{f'{group}, {name}':34}" + cells)
    return "\n".join(lines)
