"""Each method's quality against its time, beside BM3D where that is installed.

    python -m nlmeans.benchmarks methods --set12 DIR --kodak DIR [--only NAME ...]

Protocol of `baseline`: one stream of noise over the pictures in the order of their names, results clipped.
Times are processor seconds of one thread for a megapixel, everything included.  BM3D (its authors' package
``bm3d==4.0.3``, for non-commercial use: it is run, nothing of it is used) takes minutes for a megapixel, so
it has its row on the first and every sixth further picture, and all others have theirs on the same besides.
With `--only` those methods alone are measured, and the rows of the others stay as they are in the record.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import nlmeans

from .. import RESULTS
from ..machine import circumstances, machine, measured
from ..problems import Image, psnr
from ..race.turns import Log
from .baseline import GROUPS, SIGMAS, Pictures, read

COMMITTED = RESULTS / "methods.json"
METHODS: dict[str, dict[str, Any]] = {
    "one pass": {"passes": 1},
    "two passes": {"passes": 2},
    "nlridge": {"method": "nlridge"},
    "learned": {"method": "learned"},
}
RIVAL = "bm3d"
_RIVAL_STEP = 6

Call = Callable[[Image, float], Image]


def measure(
    folders: dict[str, Path], log: Log = lambda _: None, *, quick: bool = False, only: Sequence[str] = ()
) -> dict[str, Any]:
    """PSNR in dB and seconds for a megapixel, by group, method and sigma; `only` some methods."""
    groups = {name: read(GROUPS[name], folder, quick=quick) for name, folder in folders.items()}
    return {
        "machine": machine(),
        "circumstances": circumstances(),
        "command": "python -m nlmeans.benchmarks methods --set12 DIR --kodak DIR",
        "groups": {name: pictures.to_dict() for name, pictures in groups.items()},
        "methods": {name: _of_group(pictures, log, only) for name, pictures in groups.items()},
    }


def renewed(earlier: Path, result: dict[str, Any]) -> dict[str, Any]:
    """An earlier record with these rows in place of its own, each of which says when it was measured."""
    record: dict[str, Any] = json.loads(earlier.read_text(encoding="utf-8"))
    if record["groups"] != result["groups"]:
        raise SystemExit(f"{earlier.name} was measured on other pictures: measure all methods anew")
    for group, rows in result["methods"].items():
        record["methods"][group] |= {name: row | {"measured": measured()} for name, row in rows.items()}
    return record


def _of_group(pictures: Pictures, log: Log, only: Sequence[str]) -> dict[str, Any]:
    """Of every method on all pictures, and on the few that BM3D has time for."""
    axis = pictures.group.channel_axis
    found: dict[str, Any] = {}
    for name in (name for name in METHODS if not only or name in only):
        given: dict[str, Any] = {"channel_axis": axis, "workers": 1, **METHODS[name]}
        found |= _by_sigma(pictures, partial(_ours, given), name, (1, _RIVAL_STEP), log)
    if find_spec(RIVAL) and (not only or RIVAL in only):
        bm3d = import_module(RIVAL)
        call = bm3d.bm3d if axis is None else bm3d.bm3d_rgb
        found |= _by_sigma(pictures, call, RIVAL, (_RIVAL_STEP,), log)
    return found


def _ours(given: dict[str, Any], noisy: Image, sigma: float) -> Image:
    return np.asarray(nlmeans.denoise(noisy, sigma=sigma, **given))


def _by_sigma(
    pictures: Pictures, call: Call, name: str, steps: Sequence[int], log: Log
) -> dict[str, dict[str, Any]]:
    """A row for every step between pictures, the least first."""
    rows: dict[str, dict[str, Any]] = {}
    call(pictures.clean[0][:64, :64].copy(), float(SIGMAS[0]))  # what is loaded at first
    for sigma in SIGMAS:
        done = []
        for clean, noisy in list(zip(pictures.clean, pictures.noisy(sigma), strict=True))[:: steps[0]]:
            before = time.process_time()
            result = call(noisy, float(sigma))
            seconds = time.process_time() - before
            score = psnr(clean / 255, np.clip(result, 0, 255) / 255)
            done.append((score, seconds, clean.shape[0] * clean.shape[1] / 1e6))
        for step in steps:
            scores, seconds_each, sizes = zip(*done[:: step // steps[0]], strict=True)
            row = {
                "psnr": round(statistics.fmean(scores), 3),
                "s/Mpx": round(sum(seconds_each) / sum(sizes), 3),
            }
            label = name if step == 1 else f"{name}, few"
            rows.setdefault(label, {})[str(sigma)] = row
            log(f"  {label}, sigma {sigma}: {row}")
    return rows


def table(result: dict[str, Any]) -> str:
    """A line for each group and method."""
    lines = [f"{'':34}" + "".join(f"{f'sigma {s}: dB, s/Mpx':>24}" for s in SIGMAS)]
    for group, rows in result["methods"].items():
        for name, row in rows.items():
            cells = "".join(f"{row[str(s)]['psnr']:>15.2f}{row[str(s)]['s/Mpx']:>9.2f}" for s in SIGMAS)
            lines.append(f"{f'{group}, {name}':34}" + cells)
    return "\n".join(lines)
