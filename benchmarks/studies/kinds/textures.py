"""Textures made of structure, not of noise: leaves, cloth, bricks, blades, stones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Random = np.random.Generator
_SIDE = 192


def leaves(rng: Random) -> Floats:
    """Discs of all sizes that cover each other (dead leaves), a model of natural pictures."""
    y, x = np.mgrid[:_SIDE, :_SIDE]
    picture = np.full((_SIDE, _SIDE), 128.0)
    for _ in range(900):
        radius = 3 / np.sqrt(rng.uniform(0.003, 1))  # density falls as the third power of the radius
        cy, cx = rng.uniform(0, _SIDE, 2)
        inside = (y - cy) ** 2 + (x - cx) ** 2 < radius**2
        picture[inside] = rng.uniform(20, 235)
    return _soft(picture)


def cloth(rng: Random) -> Floats:
    """Threads over and under each other, uneven in width and light."""
    y, x = np.mgrid[:_SIDE, :_SIDE].astype(np.float64)
    period = rng.uniform(4, 9)
    y += 1.5 * np.sin(x / rng.uniform(20, 50))
    x = x + 1.5 * np.sin(y / rng.uniform(20, 50))
    across, along = np.abs(np.sin(np.pi * x / period)), np.abs(np.sin(np.pi * y / period))
    over = (np.floor(x / period) + np.floor(y / period)) % 2
    light = np.where(over > 0, across, along)
    threads = rng.uniform(0.75, 1.0, 200)
    light *= np.where(
        over > 0, threads[(x / period).astype(int) % 200], threads[(y / period).astype(int) % 200]
    )
    return _soft(40 + rng.uniform(60, 160) * light)


def bricks(rng: Random) -> Floats:
    """Courses of bricks, each of its own grey and grain, with mortar between."""
    y, x = np.mgrid[:_SIDE, :_SIDE]
    height, width = int(rng.integers(10, 20)), int(rng.integers(22, 48))
    row = y // height
    column = (x + (row % 2) * width // 2) // width
    picture = rng.uniform(90, 170, (64, 64))[row, column]
    mortar = (y % height < 2) | ((x + (row % 2) * width // 2) % width < 2)
    return _soft(np.where(mortar, 200.0, picture + 12 * _pits(rng)))


def blades(rng: Random) -> Floats:
    """Short strokes in all directions near one, light on dark, like grass or hair."""
    picture = np.full((_SIDE, _SIDE), 70.0)
    leaning = rng.uniform(0, np.pi)
    for _ in range(2600):
        angle, length = leaning + rng.normal(0, 0.35), rng.uniform(6, 26)
        steps = np.arange(0, length, 0.5)
        y = (rng.uniform(0, _SIDE) + steps * np.sin(angle)).astype(int) % _SIDE
        x = (rng.uniform(0, _SIDE) + steps * np.cos(angle)).astype(int) % _SIDE
        picture[y, x] = rng.uniform(40, 220)
    return _soft(picture)


def stones(rng: Random) -> Floats:
    """Cells around random points, each rounded by its own light."""
    y, x = np.mgrid[:_SIDE, :_SIDE]
    points, greys = rng.uniform(0, _SIDE, (250, 2)), rng.uniform(60, 220, 250)
    squares = (y[..., None] - points[:, 0]) ** 2 + (x[..., None] - points[:, 1]) ** 2
    two = np.sqrt(np.partition(squares, 1, axis=-1)[..., :2])
    edge = np.clip((two[..., 1] - two[..., 0]) / 6, 0, 1)
    return _soft(greys[np.argmin(squares, axis=-1)] * (0.35 + 0.65 * edge))


def _pits(rng: Random) -> Floats:
    """Small dark spots, -1 to 0."""
    spots = np.zeros((_SIDE, _SIDE))
    spots[tuple(rng.integers(0, _SIDE, (2, 1200)))] = -1
    return _soft(spots) * 3


def _soft(picture: Floats) -> Floats:
    """With the softness of a lens: the mean over 2 x 2 pixels, twice."""
    for _ in range(2):
        for axis in (0, 1):
            picture = (picture + np.roll(picture, 1, axis)) / 2
    return picture


KINDS = {"leaves": leaves, "cloth": cloth, "bricks": bricks, "blades": blades, "stones": stones}
