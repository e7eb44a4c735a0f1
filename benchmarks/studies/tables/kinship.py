"""Find the limits of :mod:`nlmeans.choosing.kinship`: when are colours filtered how?

    python -m nlmeans.benchmarks.studies.tables.kinship --kodak FOLDER --train FOLDER [--out FILE]

Photographs with their colours made weaker and stronger, mixtures of three grey pictures, and drawings; each
by luminance, jointly and separately, beside what `color="auto"` goes by.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from imageio.v3 import imread
from numpy.typing import NDArray

import nlmeans
from nlmeans import formula
from nlmeans.choosing import kinship

from ...problems import square
from ...scripts import parser_of
from .tune_parts import middles

SIGMAS = (10, 25, 50)
COLORS = ("luminance", "joint", "separate")
Image = NDArray[Any]


def scenes(photographs: list[Image], grey: list[Image]) -> Iterator[tuple[str, Image]]:
    """Named pictures of three channels, of 0 to 255."""
    for strength in (0.3, 1.0, 2.0, 3.0, 5.0):
        for n in (1, 4):
            mean = photographs[n].mean(axis=-1, keepdims=True)
            yield f"photograph {n}, colours x {strength}", mean + strength * (photographs[n] - mean)
    for part in (0.0, 0.3, 0.5, 0.7, 0.85):
        for first in (0, 6):
            own, common = np.stack(grey[first : first + 3], -1), grey[first + 3][..., None]
            yield f"mixture {first}, {part} in common", part * common + (1 - part) * own
    yield "discs", np.stack([discs(n, 60) for n in range(3)], -1)
    yield "few discs", np.stack([discs(n, 8) for n in range(3)], -1)
    yield "discs, half in common", np.stack([np.maximum(discs(9, 60), discs(n, 60)) for n in range(3)], -1)
    yield "leaves", 255 * square(256, channels=3).clean()
    red, green, blue = np.moveaxis(photographs[0], -1, 0)
    yield "one channel negative", np.stack([red, 255 - green, blue], -1)
    yield "one channel alone", np.stack([red, np.full_like(red, 100), np.full_like(red, 50)], -1)
    yield "unrelated photographs", np.stack([photographs[n][..., 1] for n in (0, 2, 4)], -1)


def discs(seed: int, count: int) -> Image:
    """Bright discs on a dark ground."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:256, :256]
    picture = np.full((256, 256), 20.0)
    for row, column, radius in zip(*rng.uniform((0, 0, 3), (256, 256, 12), (count, 3)).T, strict=True):
        picture += 120.0 * ((y - row) ** 2 + (x - column) ** 2 < radius**2)
    return picture.clip(0, 255)


def measured(clean: Image, sigma: float) -> dict[str, Any]:
    """PSNR of each way, what is chosen, and by what."""
    noisy = (clean + np.random.default_rng(0).normal(0, sigma, clean.shape)).astype(np.float32)
    blocks, part = kinship.contrasts(np.moveaxis(noisy, -1, 0)[:, None], None, 1.0)
    noise = [part * sigma**2] * 3
    found: dict[str, Any] = {
        "differences_over_luminance": kinship.differences_over_luminance(formula.opponent(blocks, np), noise),
        "kinship": kinship.kinship(blocks, noise),
    }
    for color in COLORS:
        result = nlmeans.denoise(noisy, sigma=sigma, channel_axis=-1, color=color)
        found[color] = float(-10 * np.log10(np.mean((result - clean) ** 2) / 255**2))
    auto = nlmeans.suggest(noisy, sigma=sigma, channel_axis=-1).color
    best = max(COLORS, key=lambda color: float(found[color]))
    rounded = {name: round(value, 2) for name, value in found.items()}
    return rounded | {"best": best, "auto": auto, "lost": round(found[best] - found[auto], 2)}


def main() -> None:
    """Print a line for each picture, and write all of them as JSON."""
    parser = parser_of(__doc__)
    parser.add_argument("--kodak", type=Path, required=True)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    grey = [imread(f).astype(np.float64) for f in sorted(options.train.glob("*.png"))[::20]]
    rows = []
    for sigma in SIGMAS:
        for name, clean in scenes(middles(options.kodak), grey):
            rows.append({"picture": name, "sigma": sigma, **measured(clean, sigma)})
            print(json.dumps(rows[-1]), flush=True)
    if options.out:
        options.out.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


if __name__ == "__main__":
    main()
