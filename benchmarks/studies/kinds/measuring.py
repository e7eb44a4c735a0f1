"""What the one call makes of each kind of input: estimate over truth, dB lost, warnings.

    python -m nlmeans.benchmarks kinds --train DIR [--best FILE]

The best strength of a picture is sought on a grid of sigmas; it depends on the filter but not on the
estimate, so that ``--best`` takes it from an earlier result.
"""

from __future__ import annotations

import hashlib
import json
import math
import statistics
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import nlmeans

from ... import RESULTS, ROOT
from ...chart import scatter
from ...machine import machine
from ...ours import own
from ...race.turns import Log
from ..baseline import commit
from .cases import GROUPS, Case, cases

COMMITTED = RESULTS / "noise_kinds.json"
_GRID = (0.35, 0.5, 0.7, 0.85, 1.0, 1.2, 1.45, 1.75, 2.1, 2.6, 3.2)  # of sigma


def digest(case: Case) -> str:
    """Which picture it is."""
    return hashlib.sha256(np.ascontiguousarray(case.noisy).tobytes()).hexdigest()[:16]


def psnr(clean: NDArray[Any], result: NDArray[Any]) -> float:
    """In dB of 255, values clipped; at most 100."""
    error = np.mean((np.clip(result.astype(np.float64), 0, 255) - clean) ** 2)
    return min(100.0, 10 * math.log10(255**2 / max(float(error), 1e-12)))


def best(case: Case) -> tuple[float, float]:
    """The highest dB over the grid, and its sigma; 0 is the picture as it is."""
    found = [(psnr(case.clean, case.noisy), 0.0)]
    for factor in _GRID if case.sigma else ():
        sigma = factor * case.sigma
        result = nlmeans.denoise(case.noisy, sigma=sigma, channel_axis=case.channel_axis)
        found.append((psnr(case.clean, result), sigma))
    return max(found)


def row(case: Case, known: dict[str, tuple[float, float]]) -> dict[str, Any]:
    """All figures of a picture."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimate = nlmeans.estimate_sigma(case.noisy, channel_axis=case.channel_axis)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        result = nlmeans.denoise(case.noisy, channel_axis=case.channel_axis)
    mark = digest(case)
    highest, at = known[mark] if mark in known else best(case)
    return {
        "group": case.group,
        "name": case.name,
        "made": case.told,
        "digest": mark,
        "sigma": round(case.sigma, 3),
        "estimate": round(estimate, 3),
        "input_db": round(psnr(case.clean, case.noisy), 3),
        "db": round(psnr(case.clean, result), 3),
        "kept_db": round(psnr(case.noisy, result), 3),
        "best_db": round(highest, 3),
        "best_sigma": round(at, 3),
        "warnings": [str(w.message)[:60] for w in caught],
    }


def best_of(path: Path | None) -> dict[str, tuple[float, float]]:
    """Best dB and its sigma of each picture of an earlier result, by the picture."""
    if path is None:
        return {}
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return {r["digest"]: (r["best_db"], r["best_sigma"]) for r in rows}


def measure(
    folder: Path, log: Log, *, known: dict[str, tuple[float, float]], every: int = 1
) -> dict[str, Any]:
    """All rows, and a summary of each group."""
    rows = []
    for case in cases(folder, every=every):
        rows.append(row(case, known))
        log(f"{case.group}, {case.name}: {rows[-1]['estimate']} for {rows[-1]['sigma']}")
    return {
        "what": "the one call on kinds of input: estimate of sigma, dB of the default call and of the best",
        "units": "levels of 255; dB of 255",
        "grid": f"sigma times {', '.join(map(str, _GRID))}, and 0",
        "command": "python -m nlmeans.benchmarks kinds --train DIR",
        "commit": commit(ROOT),
        "versions": own.versions("cpu"),
        "machine": machine(),
        "summary": {g: summary([r for r in rows if r["group"] == g]) for g in GROUPS},
        "rows": rows,
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Of a group; clean pictures have no ratio."""
    noisy = [r for r in rows if r["sigma"] > 0]
    clean = [r for r in rows if r["sigma"] == 0]
    found: dict[str, Any] = {"pictures": len(rows), "warned": sum(bool(r["warnings"]) for r in rows)}
    if clean:
        found |= {
            "largest_estimate": max(r["estimate"] for r in clean),
            "kept_45_db": round(statistics.fmean(r["kept_db"] >= 45 for r in clean), 3),
            "least_kept_db": min(r["kept_db"] for r in clean),
        }
    if noisy:
        ratios = [r["estimate"] / r["sigma"] for r in noisy]
        lost = [r["best_db"] - r["db"] for r in noisy]
        found |= {
            "mean_error": round(statistics.fmean(abs(q - 1) for q in ratios), 4),
            "ratio": [round(min(ratios), 3), round(statistics.median(ratios), 3), round(max(ratios), 3)],
            "half_to_one_and_a_half": round(statistics.fmean(0.5 <= q <= 1.5 for q in ratios), 3),
            "within_20_percent": round(statistics.fmean(abs(q - 1) <= 0.2 for q in ratios), 3),
            "lost_db": [round(statistics.fmean(lost), 3), round(max(lost), 3)],
            "least_gain_db": round(min(r["db"] - r["input_db"] for r in noisy), 3),
        }
    return found


def table(result: dict[str, Any]) -> str:
    """One line for each group."""
    lines = []
    for group, found in result["summary"].items():
        words = ", ".join(f"{name} {value}" for name, value in found.items())
        lines.append(f"{group}: {words}")
    return "\n".join(lines)


def drawn(result: dict[str, Any]) -> str:
    """Estimate against truth, every noisy picture a dot."""
    dots: dict[str, list[tuple[float, float]]] = {}
    for found in result["rows"]:
        if found["sigma"]:
            dots.setdefault(found["group"], []).append((found["sigma"], max(found["estimate"], 0.1)))
    return scatter(
        "Estimate of sigma by kind of input", "sigma, of 255", "estimate; 0.1 is 0.1 or less", dots
    )
