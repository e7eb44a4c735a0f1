"""Find the weights of :mod:`nlmeans.noise.shared`: what tells shared noise from texture.

    python -m nlmeans.benchmarks.studies.kinds.telling FOLDER

FOLDER holds grey photographs (the shipped weights: 400 crops of 180 x 180 that others train on).  Pictures
are drawn with other seeds than those of the bench.  A picture counts where the sigma over all scales is at
least 1.5 times that of white noise: as noise where it is at most 1.6 times the truth, as texture where it is
more than 1.8 times the truth.  Logistic regression, apart for pictures in which the grid of JPEG is found;
the contrast is not in it, see there.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlmeans.noise import shared
from nlmeans.noise.patches import Patches, clipping_levels, white_variance
from nlmeans.noise.stored import stored_noise

from ...scripts import parser_of
from . import cases
from .camera import jpeg, resized


def onwards(made: cases.Case, rng: cases.Random) -> cases.Case:
    """In another size, as from the web; half of them stored as JPEG again."""
    scale, quality = float(rng.uniform(0.5, 1.4)), int(rng.choice([0, 0, 0, 75, 85, 92]))

    def picture(before: NDArray[Any]) -> NDArray[np.uint8]:
        planes = before.reshape(*before.shape[:2], -1).astype(np.float64)
        after = np.clip(np.rint(resized(planes, scale)), 0, 255).astype(np.uint8).squeeze()
        return jpeg(after, quality) if quality else after

    clean, noisy = picture(made.clean), picture(made.noisy)
    sigma = float((noisy.astype(np.float64) - clean).std()) if made.sigma else 0.0
    return replace(made, clean=clean, noisy=noisy, sigma=sigma)


def cameras_onwards(natural: cases.Natural, rng: cases.Random, n: int, group: str) -> cases.Case:
    """What cameras make, onwards."""
    return onwards(cases.cameras(natural, rng, n, group), rng)


def clean_cameras_onwards(natural: cases.Natural, rng: cases.Random, n: int, group: str) -> cases.Case:
    """The same without noise."""
    return onwards(cases.clean_cameras(natural, rng, n, group), rng)


_DRAWN = (
    (cases.clean_photographs, 400),
    (cases.clean_files, 400),
    (cases.clean_cameras, 300),
    (clean_cameras_onwards, 200),
    (cases.clean_textures, 40),
    (cases.cameras, 400),
    (cameras_onwards, 240),
    (cases.files, 200),
    (cases.shared, 200),
    (cases.bayer_files, 100),
    (cases.white, 70),
    (cases.counted, 30),
    (cases.noisy_textures, 40),
    (cases.clipped, 40),
)


def told(picture: NDArray[Any], sigma: float) -> tuple[dict[str, float], bool, int] | None:
    """Properties of a picture, whether it was stored as JPEG, and 1 for noise or 0 for texture.

    None where it is neither.
    """
    channels = np.ascontiguousarray(np.moveaxis(picture.reshape(*picture.shape[:2], -1), -1, 0))[:, None]
    channel = channels.mean(axis=0)
    patches = Patches.of(channel, None, 1.0, {1: 5, 2: 5}, 16_000)
    if len(patches.values) < patches.least:
        return None
    levels = clipping_levels(patches.values)
    white = white_variance(patches.alive(), levels)
    fine, coarse = (
        Patches.of(channel, None, 1.0, {1: n, 2: n}, 1_000).unclipped(levels)
        for n in (shared.FINE, shared.COARSE)
    )
    stored = stored_noise(channels, None)
    found = shared.shared_noise(fine, coarse, white, stored)
    if found is None:
        return None
    known, strength = found.properties, found.sigma
    if strength < 1.5 * math.sqrt(white):
        return None
    if sigma == 0 or strength > 1.8 * sigma:
        return (known, stored is not None, 0) if sigma or strength > 2 else None
    return (known, stored is not None, 1) if strength <= 1.6 * sigma else None


def fitted(values: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of logistic regression, by Newton's method, slightly damped."""
    weights = np.zeros(values.shape[1])
    for _ in range(25):
        odds = 1 / (1 + np.exp(-np.clip(values @ weights, -30, 30)))
        slope = values.T @ (odds - noise) + 2e-4 * len(noise) * weights
        bend = (values * (odds * (1 - odds))[:, None]).T @ values + 2e-4 * len(noise) * np.eye(len(weights))
        weights -= np.linalg.solve(bend, slope)
    return weights


def main() -> None:
    """Print the weights of both kinds of picture."""
    parser = parser_of(__doc__)
    parser.add_argument("folder", type=Path)
    natural = cases.Natural(tuple(sorted(parser.parse_args().folder.glob("*.png"))))
    rows = []
    for number, (make, count) in enumerate(_DRAWN):
        for n in range(count):
            case = make(natural, np.random.default_rng([1000 + number, n]), n, "")
            row = told(case.noisy, _of_luminance(case))
            rows += [row] if row else []
    for stored in (False, True):
        _show([row for row in rows if row[1] == stored], "stored as JPEG" if stored else "others")


def _of_luminance(case: cases.Case) -> float:
    """Sigma of the mean of colours."""
    if case.noisy.ndim == 2 or not case.sigma:
        return case.sigma
    return float((case.noisy.astype(np.float64) - case.clean).mean(axis=-1).std())


def _show(rows: list[tuple[dict[str, float], bool, int]], what: str) -> None:
    """Print the weights, and how well they tell: the part of pairs that are in the right order."""
    names = [name for name in rows[0][0] if name != "contrast"]
    each = np.array([[found[name] for name in names] for found, _, _ in rows])
    noise = np.array([float(label) for _, _, label in rows])
    values = np.concatenate([each, each**2, np.ones((len(each), 1))], axis=1)
    weights = fitted(values, noise)
    scores = values @ weights
    pairs = scores[noise == 1][:, None] > scores[noise == 0][None]
    print(f'    "": ({weights[-1]:.2f}, 0.0),')
    for name, linear, square in zip(names, weights, weights[len(names) :], strict=False):
        print(f'    "{name}": ({linear:.2f}, {square:.2f}),')
    print(f"{what}: {len(rows)} pictures, {int(noise.sum())} of them noisy; {pairs.mean():.3f} in order")


if __name__ == "__main__":
    main()
