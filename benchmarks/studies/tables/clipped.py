"""How far noise that is clipped would reach: the one number of :mod:`nlmeans.choosing`.

    python -m nlmeans.benchmarks.studies.tables.clipped --kodak FOLDER --train FOLDER [--out FILE]

Noise is added to photographs, which are then stored in 8 bits.  Told are the mean PSNR of the default call
where the range is taken as it is, 0, and what is gained where each clipped end adds so many sigma to it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from imageio.v3 import imread

from nlmeans import denoise

from .tune_parts import Pictures, middles

SIGMAS = (5, 10, 20, 30, 40, 50)
TAILS = (0.0, 2.0, 3.0, 4.0)
_EVERY = 40  # grey picture of the folder


def stored(picture: Any, sigma: float, rng: np.random.Generator) -> Any:
    """With noise, in 8 bits."""
    return np.clip(np.rint(picture + rng.normal(0, sigma, picture.shape)), 0, 255).astype(np.uint8)


def reached(picture: Any, noisy: Any, tail: float) -> float:
    """PSNR of the default call."""
    axis = -1 if picture.ndim == 3 else None
    with patch("nlmeans.choosing.TAIL", tail):
        result = denoise(noisy, channel_axis=axis, workers=1)
    return float(-10 * np.log10(np.mean((result - np.clip(picture, 0, 255)) ** 2) / 255**2))


def measured(pictures: Pictures) -> list[dict[str, Any]]:
    """A row for each sigma."""
    rows = []
    for sigma in SIGMAS:
        rng = np.random.default_rng(sigma)
        noisy = [stored(p, sigma, rng) for p in pictures]
        each = np.array([[reached(p, n, t) for t in TAILS] for p, n in zip(pictures, noisy, strict=True)])
        gains = each - each[:, :1]
        row: dict[str, Any] = {"sigma": sigma, "psnr": round(float(each[:, 0].mean()), 2)}
        for tail, gain in zip(TAILS[1:], gains.T[1:], strict=True):
            row[f"tail {tail:g}"] = {
                "mean": round(float(gain.mean()), 3),
                "worst": round(float(gain.min()), 3),
            }
        rows.append(row)
        print(json.dumps(row), flush=True)
    return rows


def main() -> None:
    """Measure, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kodak", type=Path, required=True)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/clipped.json"))
    given = parser.parse_args()
    grey = [imread(p).astype(np.float64) for p in sorted(given.train.glob("*.png"))[::_EVERY]]
    found = {"colour": measured(middles(given.kodak)), "grey": measured(grey)}
    given.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
