"""Find the weights of :mod:`nlmeans.noise.shared`: what tells shared noise from texture.

    python -m nlmeans.benchmarks.studies.kinds.telling FOLDER

FOLDER holds grey photographs (the shipped weights: 400 crops of 180 x 180 that others train on).  Pictures
are drawn with other seeds than those of the bench.  A picture counts where the sigma over all scales is at
least 1.5 times that of white noise: as noise where it is at most 1.6 times the truth, as texture where it is
more than 1.8 times the truth.  Logistic regression; the contrast is not in it, see there.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlmeans.noise import shared
from nlmeans.noise.patches import Patches, clipping_levels, white_variance

from . import cases

_DRAWN = (
    (cases.clean_photographs, 400),
    (cases.clean_files, 120),
    (cases.clean_cameras, 80),
    (cases.clean_textures, 20),
    (cases.cameras, 400),
    (cases.files, 150),
    (cases.shared, 120),
    (cases.bayer_files, 80),
    (cases.white, 140),
    (cases.counted, 30),
    (cases.noisy_textures, 40),
    (cases.clipped, 40),
)


def told(picture: NDArray[Any], sigma: float) -> tuple[dict[str, float], int] | None:
    """Properties of a picture, and 1 for noise or 0 for texture; None where it is neither."""
    plane = picture[..., 1] if picture.ndim == 3 else picture
    channel = np.ascontiguousarray(plane)[None].astype(np.float64)
    patches = Patches.of(channel, None, 1.0, {1: 5, 2: 5}, 16_000)
    if len(patches.values) < patches.least:
        return None
    levels = clipping_levels(patches.values)
    white = white_variance(patches.alive(), levels)
    fine, coarse = (
        Patches.of(channel, None, 1.0, {1: n, 2: n}, 1_500).unclipped(levels)
        for n in (shared.FINE, shared.COARSE)
    )
    found = shared.shared_noise(fine, coarse, white)
    if found is None or found.variance < 1.5**2 * white:
        return None
    strength = math.sqrt(found.variance)
    if sigma == 0 or strength > 1.8 * sigma:
        return (found.properties, 0) if sigma or strength > 2 else None
    return (found.properties, 1) if strength <= 1.6 * sigma else None


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
    """Print the weights, and how well they tell: the part of pairs that are in the right order."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    natural = cases.Natural(tuple(sorted(parser.parse_args().folder.glob("*.png"))))
    rows = []
    for number, (make, count) in enumerate(_DRAWN):
        for n in range(count):
            case = make(natural, np.random.default_rng([1000 + number, n]), n, "")
            row = told(case.noisy, case.sigma)
            rows += [row] if row else []
    names = [name for name in rows[0][0] if name != "contrast"]
    values = np.array([[found[name] for name in names] + [1.0] for found, _ in rows])
    noise = np.array([float(label) for _, label in rows])
    weights = fitted(values, noise)
    scores = values @ weights
    pairs = scores[noise == 1][:, None] > scores[noise == 0][None]
    print({name: round(float(w), 2) for name, w in zip([*names, ""], weights, strict=True)})
    print(f"{len(rows)} pictures, {int(noise.sum())} of them noisy; {pairs.mean():.3f} of pairs in order")


if __name__ == "__main__":
    main()
