"""Find the tables of :mod:`nlmeans.choosing.table` for the parts of a filter: colours and a second pass.

    python -m nlmeans.benchmarks.studies.tables.tune_parts --kodak FOLDER --train FOLDER [--out FILE]

``--kodak`` holds colour photographs, of which kodim01 to kodim11 are used, a square of 256 pixels from the
middle of each; ``--train`` grey ones.  Components of colours are tuned by their own error, which is that of
the picture because the transform is orthonormal.  For every setting k is the best, and the processor time is
told.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from imageio.v3 import imread
from numpy.typing import NDArray

from nlmeans import denoise, formula

from ...scripts import parser_of
from .tune import best_strength, climb

SIGMAS = (2.5, 5, 10, 15, 25, 35, 50, 75)
SIDE = 256  # of the middle of a colour photograph
Row = dict[str, Any]
Pictures = list[NDArray[Any]]


def middles(folder: Path) -> Pictures:
    """The middle of each colour photograph that may be tuned on."""
    found = []
    for name in sorted(folder.glob("kodim*.png")):
        if int(name.stem[5:]) <= 11:
            picture = imread(name).astype(np.float64)
            top, left = ((n - SIDE) // 2 for n in picture.shape[:2])
            found.append(picture[top : top + SIDE, left : left + SIDE])
    return found


def spoiled(pictures: Pictures, sigma: float) -> Pictures:
    """With white noise, one stream over all."""
    rng = np.random.default_rng(0)
    return [(p + rng.normal(0, sigma, p.shape)).astype(np.float32) for p in pictures]


def components(pictures: Pictures) -> tuple[Pictures, Pictures]:
    """Luminance and differences, channels last."""
    each = [np.moveaxis(formula.opponent(np.moveaxis(p, -1, 0), np), 0, -1) for p in pictures]
    return [e[..., 0].copy() for e in each], [e[..., 1:].copy() for e in each]


def level(clean: Pictures, results: Pictures) -> float:
    """Mean PSNR for a range of 255, of components too: nothing is clipped."""
    errors = [np.mean((r.astype(np.float64) - c) ** 2) for c, r in zip(clean, results, strict=True)]
    return float(np.mean(-10 * np.log10(np.array(errors) / 255**2)))


def tuned(
    clean: Pictures, images: Pictures, guides: Pictures | None, options: Row, start: float, told: Row
) -> Row:
    """The best k of one setting, what it reaches, and seconds of processor time for one value of k."""
    spent = []

    def score_of(k: float) -> float:
        began = time.process_time()
        results = [
            denoise(image, k=k, workers=1, guide=guides and guides[n], **options)
            for n, image in enumerate(images)
        ]
        spent.append(time.process_time() - began)
        return level(clean, results)

    k, reached = best_strength(climb(score_of, start))
    return told | {"k": k, "psnr": round(reached, 3), "seconds": round(float(np.median(spent)), 3)}


def of_colours(folder: Path) -> Iterator[Row]:
    """The luminance and the differences of colours, each by itself."""
    pictures = middles(folder)
    clean = components(pictures)
    settings = {
        "luminance": [
            *(("patch", r, R) for r, R in product((1, 2, 3, 4, 5), (6, 7))),
            *(("pixel", r, R) for r, R in product((1, 2, 3, 4, 5), (5, 7))),
        ],
        "differences": [
            *(("patch", r, R) for r, R in product((3, 4, 5), (3, 4, 5))),
            *(("pixel", r, R) for r, R in product((2, 3, 4), (5, 7, 8, 10))),
        ],
    }
    for sigma in SIGMAS:
        noisy = components(spoiled(pictures, sigma))
        for part, (name, rows) in enumerate(settings.items()):
            axis = -1 if part else None
            images = [n.astype(np.float32) for n in noisy[part]]
            for aggregate, r, R in rows:
                radii: Row = {"aggregate": aggregate, "patch_radius": r, "search_radius": R}
                options = {"sigma": sigma, "channel_axis": axis, "color": "joint", **radii}
                yield tuned(clean[part], images, None, options, 0.5, {"part": name, "sigma": sigma, **radii})


def of_passes(name: str, clean: Pictures, noisy_at: Callable[[float], Pictures]) -> Iterator[Row]:
    """A second pass; k is in units of sigma here, divide by 1 - mixing for the table."""
    for sigma in SIGMAS:
        noisy = noisy_at(sigma)
        began = time.process_time()
        pilots = [denoise(n, sigma=sigma, passes=1, workers=1) for n in noisy]
        seconds = round(time.process_time() - began, 3)
        alone = round(level(clean, pilots), 3)
        yield {"part": name, "sigma": sigma, "passes": 1, "psnr": alone, "seconds": seconds}
        for mixing, R in product((0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93), (7, 8, 10)):
            guides = [
                (mixing * p + (1 - mixing) * n).astype(np.float32) for p, n in zip(pilots, noisy, strict=True)
            ]
            options = {"sigma": sigma, "guide_sigma": (1 - mixing) * sigma}
            options |= {"patch_radius": 1, "search_radius": R}
            told = {"part": name, "sigma": sigma, "passes": 2, "mixing": mixing, "search_radius": R}
            yield tuned(clean, noisy, guides, options, 0.5 if sigma < 40 else 0.35, told)


def main() -> None:
    """Print a line for each setting, and write all of them as JSON."""
    parser = parser_of(__doc__)
    parser.add_argument("--kodak", type=Path, required=True)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=40, help="of the grey ones, evenly chosen")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    files = sorted(options.train.glob("*.png"))
    grey = [imread(f).astype(np.float64) for f in files[:: max(1, len(files) // options.pictures)]]
    photographs = middles(options.kodak)
    light = components(photographs)[0]

    def luminances(sigma: float) -> Pictures:
        return [n.astype(np.float32) for n in components(spoiled(photographs, sigma))[0]]

    rows = []
    for found in (
        of_colours(options.kodak),
        of_passes("grey", grey, lambda sigma: spoiled(grey, sigma)),
        of_passes("luminance", light, luminances),
    ):
        for row in found:
            rows.append(row)
            print(json.dumps(row), flush=True)
    if options.out:
        options.out.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


if __name__ == "__main__":
    main()
