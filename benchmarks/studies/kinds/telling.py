"""Find the weights of :mod:`nlmeans.noise.shared`: what tells shared noise from texture.

    python -m nlmeans.benchmarks.studies.kinds.telling FOLDER COLOUR [--seed N]

FOLDER holds grey photographs (the shipped weights: 400 crops of 180 x 180 that others train on), COLOUR some
in colour (kodim01 to 11, and five of scikit-image).  Pictures are drawn with other seeds than those of the
bench.  A picture counts where the sigma over all scales is at least 1.5 times that of white noise: as noise
where it is at most 1.6 times the truth, as texture where it is more than 1.8 times the truth.  Logistic
regression, apart for pictures in which the grid of JPEG is found; the contrast is not in it, see there.

Coefficients of standardised values are drawn towards those that are shipped.  Of pictures without a grid the
shipped ones are three quarters of what such draws, 6,000 pictures, gave: on other seeds than those they were
too sure.  With a grid they lost 0.1 dB on JPEG of photographs, and those found before stay.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nlmeans.noise import shared as shared_noise
from nlmeans.noise.patches import Patches, clipping_levels, white_variance
from nlmeans.noise.stored import stored_noise

from ...scripts import parser_of
from . import cases
from .camera import Camera, convolved, demosaiced, jpeg, resized


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


def shared(natural: cases.Natural, rng: cases.Random, n: int, group: str) -> cases.Case:
    """Noise of any strength that neighbours share, blurred once or twice, enlarged or demosaiced."""
    sigma, grey = float(np.exp(rng.uniform(np.log(2), np.log(30)))), natural(int(rng.integers(400)))
    height, width = (side // 2 * 2 for side in grey.shape)
    noise = rng.normal(0, sigma, (height, width, 1))
    if n % 3 == 0:
        noise = demosaiced(noise + np.zeros(3)).mean(axis=-1, keepdims=True)
    elif n % 3 == 1:
        noise = resized(noise[::2, ::2], 2.0)
    for _ in range(int(rng.integers(1, 3)) if n % 3 == 2 else 0):
        for axis in (0, 1):
            noise = convolved(noise, np.array([0.25, 0.5, 0.25]), axis)
    noisy = grey[:height, :width] + noise[..., 0]
    return cases.Case(group, "shared", grey[:height, :width], noisy, float(noise.std()))


@dataclass(frozen=True)
class Colours:
    """Parts of photographs in colour, as light."""

    paths: tuple[Path, ...]

    def scene(self, rng: cases.Random) -> NDArray[np.float64]:
        """One of 360 to 512 pixels a side."""
        picture = np.asarray(Image.open(self.paths[int(rng.integers(len(self.paths)))]).convert("RGB"))
        sides = [min(n, int(rng.integers(180, 256)) * 2) for n in picture.shape[:2]]
        top, left = (int(rng.integers(n - side + 1)) for n, side in zip(picture.shape, sides, strict=False))
        part = picture[top : top + sides[0], left : left + sides[1]]
        return np.asarray((part / 255) ** 2.2, np.float64)


def rougher(scenes: Any, rng: cases.Random, n: int, group: str) -> cases.Case:
    """Larger grain, stronger in-camera denoising and sharpening, darker scenes, and onwards."""
    while True:
        camera = replace(
            Camera.drawn(rng, film=n % 3 == 2),
            smoothing=float(rng.choice([0, 12, 24])),
            grain_size=float(rng.uniform(0.6, 2)),
            sharpening=float(rng.choice([0, 0.5, 1.0])),
        )
        light, seed = scenes.scene(rng) * float(rng.uniform(0.15, 1)), int(rng.integers(1 << 31))
        clean, noisy = (camera.picture(light, r)[:256, :256] for r in (None, np.random.default_rng(seed)))
        if n % 2:
            clean, noisy = (np.asarray(Image.fromarray(p).convert("L")) for p in (clean, noisy))
        sigma = float((noisy.astype(np.float64) - clean).std())
        if sigma >= 2:
            return onwards(cases.Case(group, "rougher", clean, noisy, sigma), rng)


def clean_colours(scenes: Any, rng: cases.Random, n: int, group: str) -> cases.Case:
    """Photographs in colour as they are, onwards."""
    picture = np.rint(255 * scenes.scene(rng)[:256, :256] ** (1 / 2.2)).astype(np.uint8)
    picture = np.asarray(Image.fromarray(picture).convert("L")) if n % 2 else picture
    return onwards(cases.Case(group, "colours", picture, picture, 0.0), rng)


_OF_COLOURS: tuple[tuple[Any, int], ...] = ((clean_colours, 400), (cases.cameras, 200), (rougher, 300))
_DRAWN = (
    (cases.clean_photographs, 400),
    (cases.clean_files, 400),
    (cases.clean_cameras, 300),
    (clean_cameras_onwards, 200),
    (cases.clean_textures, 40),
    (cases.cameras, 400),
    (cameras_onwards, 240),
    (cases.files, 200),
    (shared, 450),
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
        for n in (shared_noise.FINE, shared_noise.COARSE)
    )
    stored = stored_noise(channels, None)
    found = shared_noise.shared_noise(fine, coarse, white, stored)
    if found is None:
        return None
    known, strength = found.properties, found.sigma
    if strength < 1.5 * math.sqrt(white):
        return None
    if sigma == 0 or strength > 1.8 * sigma:
        return (known, stored is not None, 0) if sigma or strength > 2 else None
    return (known, stored is not None, 1) if strength <= 1.6 * sigma else None


def fitted(
    values: NDArray[np.float64], noise: NDArray[np.float64], usual: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weights of logistic regression, by Newton's method, drawn a little towards usual ones."""
    scale = np.maximum(values.std(axis=0), 1e-9)
    scale[-1] = 1  # of the constant
    values, weights = values / scale, usual * scale
    for _ in range(25):
        odds = 1 / (1 + np.exp(-np.clip(values @ weights, -30, 30)))
        slope = values.T @ (odds - noise) + 2e-4 * len(noise) * (weights - usual * scale)
        bend = (values * (odds * (1 - odds))[:, None]).T @ values + 2e-4 * len(noise) * np.eye(len(weights))
        weights -= np.linalg.solve(bend, slope)
    return np.asarray(weights / scale)


def main() -> None:
    """Print the weights of both kinds of picture."""
    parser = parser_of(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("colour", type=Path)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--every", type=int, default=1, help="every so-manyth picture only")
    given = parser.parse_args()
    natural = cases.Natural(tuple(sorted(given.folder.glob("*.png"))))
    colours = Colours(tuple(sorted(given.colour.glob("*.png"))))
    rows = []
    for number, (make, count) in enumerate((*_DRAWN, *_OF_COLOURS)):
        for n in range(0, count, given.every):
            scenes = natural if number < len(_DRAWN) else colours
            case = make(scenes, np.random.default_rng([given.seed + number, n]), n, "")
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
    shipped = shared_noise._WEIGHTS_OF_STORED if rows[0][1] else shared_noise._WEIGHTS
    names = [name for name in rows[0][0] if name != "contrast"]
    each = np.array([[found[name] for name in names] for found, _, _ in rows])
    noise = np.array([float(label) for _, _, label in rows])
    values = np.concatenate([each, each**2, np.ones((len(each), 1))], axis=1)
    usual = np.array([*(shipped.get(n, (0, 0))[k] for k in (0, 1) for n in names), shipped[""][0]])
    weights = fitted(values, noise, usual)
    scores = values @ weights
    pairs = scores[noise == 1][:, None] > scores[noise == 0][None]
    print(f'    "": ({weights[-1]:.2f}, 0.0),')
    for name, linear, square in zip(names, weights, weights[len(names) :], strict=False):
        print(f'    "{name}": ({linear:.2f}, {square:.2f}),')
    print(f"{what}: {len(rows)} pictures, {int(noise.sum())} of them noisy; {pairs.mean():.3f} in order")


if __name__ == "__main__":
    main()
