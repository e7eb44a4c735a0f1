"""Pictures, and noise of every kind in them, from seeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from imageio.v3 import imread
from numpy.typing import NDArray

from nlmeans import NoiseModel

Image = NDArray[Any]
Draw = Callable[[Image, np.random.Generator], Image]  # a picture of 0 to 255, to one with noise

KODIM = ("kodim01", "kodim03", "kodim05", "kodim07", "kodim09", "kodim11")
TRAIN = (201, 240, 290, 333)
_LUMA = (0.2126, 0.7152, 0.0722)


@dataclass(frozen=True)
class Noise:
    """A kind of noise: what is to be told of it, the clean picture in its units, and the noise."""

    model: NoiseModel | None  # None: there is none
    scale: float  # of the clean picture of 0 to 255
    add: Draw  # to the scaled picture


def _white(sigma: float) -> Noise:
    return Noise(NoiseModel("gaussian", sigma=sigma), 1.0, lambda c, rng: c + rng.normal(0, sigma, c.shape))


def _photons(peak: float, gain: float = 1.0, sigma: float = 0.0) -> Noise:
    kind = "poisson-gaussian" if sigma else "poisson"
    model = NoiseModel(kind, gain=gain, sigma=sigma or None)
    return Noise(
        model,
        gain * peak / 255,
        lambda c, rng: gain * rng.poisson(c / gain) + (rng.normal(0, sigma, c.shape) if sigma else 0.0),
    )


def _speckle(looks: float) -> Noise:
    return Noise(
        NoiseModel("speckle", looks=looks),
        1.0,
        lambda c, rng: np.maximum(c, 1) * rng.gamma(looks, 1 / looks, c.shape),
    )


#: Sigma of gaussian noise is of 255; of the others in counts.
NOISES: dict[str, Noise] = {
    "gaussian 5": _white(5),
    "gaussian 25": _white(25),
    "poisson peak 5": _photons(5),
    "poisson peak 30": _photons(30),
    "poisson peak 200": _photons(200),
    "poisson peak 30, gain 0.7": _photons(30, gain=0.7),
    "poisson peak 200, gain 3.1": _photons(200, gain=3.1),
    "poisson-gaussian peak 10, sigma 1": _photons(10, sigma=1),
    "poisson-gaussian peak 30, sigma 3": _photons(30, sigma=3),
    "poisson-gaussian peak 100, sigma 5": _photons(100, sigma=5),
    "speckle 1": _speckle(1),
    "speckle 4": _speckle(4),
    "speckle 16": _speckle(16),
    "clean": Noise(None, 1.0, lambda c, _: c),
}


def grey(path: Path) -> Image:
    """A picture as brightness from 0 to 255."""
    read = np.asarray(imread(path), np.float64)
    return read if read.ndim == 2 else np.rint(read[..., :3] @ _LUMA)


def photographs(kodak: Path, side: int | None = None) -> dict[str, Image]:
    """kodim01 to 11, whole or squares from their middle."""
    found = {name: grey(kodak / f"{name}.png") for name in KODIM}
    return {name: _middle(each, side) for name, each in found.items()}


def _middle(image: Image, side: int | None) -> Image:
    if side is None:
        return image
    top, left = ((n - side) // 2 for n in image.shape)
    return image[top : top + side, left : left + side]


def twelve(train: Path, kodak: Path) -> dict[str, Image]:
    """Six of kodak's, four of the 400, two made."""
    small = {f"train{n}": grey(train / f"test_{n:03d}.png") for n in TRAIN}
    return {**photographs(kodak), **small, "discs": discs(), "slopes": slopes()}


def discs(side: int = 256) -> Image:
    """Flat discs of many greys on a dark ground, as cells are."""
    rng, image = np.random.default_rng(7), np.full((side, side), 12.0)
    yy, xx = np.indices(image.shape)
    for _ in range(40):
        y, x, radius, level = rng.uniform((0, 0, 6, 25), (side, side, 30, 250))
        image[np.hypot(yy - y, xx - x) < radius] = level
    return image


def slopes(side: int = 256) -> Image:
    """A smooth scene: waves over a slope."""
    yy, xx = np.indices((side, side)) / side
    return np.asarray(20 + 160 * xx + 30 * np.sin(7 * yy) + 30 * np.cos(11 * xx * yy))


def phantom(side: int = 256) -> tuple[Image, Image]:
    """A head as MRI has it, from 0 to 100, and where its background is."""
    yy, xx = np.indices((side, side)) - side / 2
    scale, image = side / 256, np.zeros((side, side))
    for y, x, b, a, level in (
        (0, 0, 110, 90, 100.0),
        (0, 0, 100, 80, 60.0),
        (20, -20, 30, 20, 80.0),
        (-30, 20, 20, 30, 30.0),
    ):
        image[np.hypot((yy - y * scale) / (b * scale), (xx - x * scale) / (a * scale)) < 1] = level
    return image, np.hypot(yy / (115 * scale), xx / (95 * scale)) > 1
