"""Find the table of :mod:`nlmeans.choosing`: the best radii and k for each noise level.

    python -m nlmeans.benchmarks.studies.tables.tune FOLDER [--pictures N] [--out FILE]

FOLDER holds clean grey pictures (the shipped table used the first of a training set of 400
crops of 180 x 180).  For each noise level, aggregation, patch and search radius, k is chosen by the
mean PSNR over the pictures.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from imageio.v3 import imread

from nlmeans import denoise

from ...problems import psnr
from ...scripts import parser_of, write_json

SIGMAS = (5, 10, 15, 25, 35, 50, 75)
PATCH_RADII = (1, 2, 3, 4, 5)
SEARCH_RADII = (5, 7, 10)


def noisy(pictures: Iterable[np.ndarray], sigma: float) -> list[np.ndarray]:
    """The pictures with white Gaussian noise, one seeded stream over all."""
    rng = np.random.default_rng(0)
    return [(p + rng.normal(0, sigma / 255, p.shape)).astype(np.float32) for p in pictures]


def score(pictures: list[np.ndarray], spoiled: list[np.ndarray], sigma: float, **settings: object) -> float:
    """Mean PSNR over the pictures."""
    results = (denoise(s, sigma=sigma / 255, passes=1, **settings) for s in spoiled)  # type: ignore[arg-type]
    return float(np.mean([psnr(p, r) for p, r in zip(pictures, results, strict=True)]))


def at_strength(
    pictures: list[np.ndarray], spoiled: list[np.ndarray], sigma: float, settings: dict[str, Any], k: float
) -> float:
    """The score of one k."""
    return score(pictures, spoiled, sigma, k=k, **settings)


def best_strength(scores: dict[float, float]) -> tuple[float, float]:
    """The k of the highest score, refined by the parabola through its neighbours."""
    k = max(scores, key=scores.__getitem__)
    around = [scores.get(round(k + d, 2)) for d in (-0.05, 0.0, 0.05)]
    if None in around:
        return k, scores[k]
    low, middle, high = (float(s) for s in around if s is not None)
    bend = low - 2 * middle + high
    return round(k + 0.05 * (low - high) / (2 * bend), 3) if bend < 0 else k, middle


def climb(score_of: Callable[[float], float], start: float) -> dict[float, float]:
    """Scores of k around the best, found by walking uphill from `start`."""
    scores: dict[float, float] = {}

    def at(k: float) -> float:
        k = round(k, 2)
        if k not in scores:
            scores[k] = score_of(k)
        return scores[k]

    k = start
    while True:
        better = max((k - 0.05, k, k + 0.05), key=at)
        if better == k or not 0.1 < better < 1.2:
            return scores
        k = round(better, 2)


def main() -> None:
    """Print a line for each setting, and write all of them as JSON."""
    parser = parser_of(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=16)
    parser.add_argument("--aggregate", nargs="+", default=["patch", "pixel"])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    files = sorted(options.folder.glob("*.png"))[: options.pictures]
    pictures = [imread(f).astype(np.float64) / 255 for f in files]
    rows = []
    for aggregate in options.aggregate:
        for sigma in SIGMAS:
            spoiled = noisy(pictures, sigma)
            for radius in PATCH_RADII:
                k = 0.5
                for search in SEARCH_RADII:
                    settings = {"aggregate": aggregate, "patch_radius": radius, "search_radius": search}
                    at_k = partial(at_strength, pictures, spoiled, sigma, settings)
                    found = climb(at_k, round(k * 20) / 20)
                    k, result = best_strength(found)
                    rows.append(settings | {"sigma": sigma, "k": k, "psnr": round(result, 3)})
                    print(json.dumps(rows[-1]), flush=True)
    if options.out:
        write_json(options.out, rows)


if __name__ == "__main__":
    main()
