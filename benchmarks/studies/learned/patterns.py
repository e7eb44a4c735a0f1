"""Patterns that repeat exactly, generated: of them NL-Ridge finds every copy, and little is to be corrected.

Without them a network that saw photographs only takes what is left of an exact pattern for noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[Any]
Random = np.random.Generator
_GLYPH = (7, 5)  # rows and columns of a letter


def pattern(rng: Random, side: int) -> Plane:
    """One in two colours at random, (3, side, side), from 0 to 1."""
    kind = KINDS[int(rng.integers(len(KINDS)))]
    plane = np.clip(kind(rng, side), 0, 1).astype(np.float32)
    low, high = rng.uniform(0, 1, (2, 3, 1, 1)).astype(np.float32)
    if rng.random() < 0.5:  # grey, with much contrast
        low, high = np.full((3, 1, 1), rng.uniform(0, 0.3)), np.full((3, 1, 1), rng.uniform(0.6, 1))
    values: Plane = (low + (high - low) * plane).astype(np.float32)
    return values


def stripes(rng: Random, side: int) -> Plane:
    """Of any direction and period, with edges from hard to soft."""
    wave = np.sin(_along(rng, side))
    plane: Plane = 0.5 + np.clip(wave * math.exp(rng.uniform(-0.7, 3)), -1, 1) / 2
    return plane


def waves(rng: Random, side: int) -> Plane:
    """The product of two."""
    return 0.5 + np.sin(_along(rng, side)) * np.sin(_along(rng, side)) / 2


def checks(rng: Random, side: int) -> Plane:
    """Rectangles of two values in turn."""
    y, x = _grid(side)
    height, width = rng.integers(2, 16, 2)
    plane: Plane = ((y // height + x // width) % 2).astype(np.float32)
    return plane


def tiles(rng: Random, side: int) -> Plane:
    """A square of random values, or of two, that is repeated; rows may be shifted, as bricks are."""
    height, width = (int(n) for n in rng.integers(4, 25, 2))
    tile = rng.uniform(0, 1, (height, width))
    for _ in range(int(rng.integers(3))):
        tile = (tile + np.roll(tile, 1, 0) + np.roll(tile, 1, 1)) / 3
    tile = (tile - tile.min()) / (np.ptp(tile) or 1)
    if rng.random() < 0.3:
        tile = np.round(tile)
    y, x = _grid(side)
    shift = int(rng.integers(width)) if rng.random() < 0.5 else 0
    plane: Plane = tile[y % height, (x + shift * (y // height)) % width]
    return plane


def dots(rng: Random, side: int) -> Plane:
    """Round spots on a grid."""
    period = rng.uniform(5, 24)
    angle = rng.uniform(0, math.pi)
    y, x = (a.astype(float) for a in _grid(side))
    u, v = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    far = np.hypot(*(a - period * np.round(a / period) for a in (u, v)))
    return 0.5 + np.clip(rng.uniform(0.2, 0.45) * period - far, -0.5, 0.5)


def text(rng: Random, side: int) -> Plane:
    """Lines of letters, each one of a few random ones, enlarged."""
    letters = rng.random((int(rng.integers(3, 30)), *_GLYPH)) < 0.5
    zoom = int(rng.integers(1, 4))
    rows, columns = (side // zoom // (n + 1) + 2 for n in _GLYPH)
    written = letters[rng.integers(len(letters), size=(rows, columns))]
    written[rng.random((rows, columns)) < 0.15] = False
    spaced = np.pad(written, ((0, 0), (0, 0), (0, 1), (0, 1))).transpose(0, 2, 1, 3)
    page = spaced.reshape(rows * (_GLYPH[0] + 1), -1).repeat(zoom, 0).repeat(zoom, 1)
    return 1.0 - page[:side, :side].astype(np.float32)


KINDS: tuple[Callable[[Random, int], Plane], ...] = (stripes, waves, checks, tiles, tiles, dots, text)


def _grid(side: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    y, x = np.mgrid[:side, :side]
    return y, x


def _along(rng: Random, side: int) -> Plane:
    """A phase that grows in some direction, of a period of 4 to 30 pixels."""
    y, x = _grid(side)
    angle, step = rng.uniform(0, 2 * math.pi), 2 * math.pi / math.exp(rng.uniform(math.log(4), math.log(30)))
    phase: Plane = step * (x * math.cos(angle) + y * math.sin(angle)) + rng.uniform(0, 2 * math.pi)
    return phase
