"""What is measured: named pictures with noise, and the filter's settings, the same for everyone.

The pictures are generated (dead leaves: discs of every size, each with a grey level and a texture of
its own, hiding one another), so that any size is there on any machine and nothing is downloaded; volumes
hold a ball, and the frames of a film are the picture that moves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[Any]

_SCENE = 1024  # pixels a side at most; larger pictures continue it by reflection
_PAN = 2  # columns a frame
NOISE = 20.0 / 255.0


@dataclass(frozen=True)
class Problem:
    """One noisy picture, volume or film, and the settings of the filter, in the units of a picture in [0, 1].

    Parameters
    ----------
    name : str
        How tables and JSON call it.
    shape : tuple of int
        Rows and columns; with planes before them it is a volume, or with `moving` a film.
    channels : int
        1 (grey) or 3 (colour, last axis).
    dtype : {"float32", "uint8"}
        float32 in [0, 1] or uint8 in [0, 255]: the same numbers, quantised to 8 bits either way.
    patch_radius, search_radius : int
        Radii r and R; a filter sees patches of 2r + 1 and a window of 2R + 1 pixels a side.
    noise : float
        Standard deviation of the white Gaussian noise.
    h : float
        Filtering strength.
    seed : int
        Of the scene and of the noise.
    moving : bool
        Whether it is a film.

    Examples
    --------
    >>> p = Problem("small", (32, 48), dtype="uint8")
    >>> p.noisy().shape, p.noisy().dtype.name
    ((32, 48), 'uint8')
    """

    name: str
    shape: tuple[int, ...]
    channels: int = 1
    dtype: str = "float32"
    patch_radius: int = 3
    search_radius: int = 10
    noise: float = NOISE
    h: float = NOISE
    seed: int = 0
    moving: bool = False

    @property
    def pixels(self) -> int:
        """Rows times columns, and planes: a colour pixel counts once."""
        return math.prod(self.shape)

    def clean(self) -> Image:
        """The picture without noise: float64 in [0.15, 0.85]."""
        return _clean(self.shape, self.channels, self.seed, self.moving)

    def noisy(self) -> Image:
        """The picture with noise, rounded to 8 bits, in the type asked for."""
        levels = _noisy(self.shape, self.channels, self.seed, self.noise, self.moving)
        return levels if self.dtype == "uint8" else (levels / np.float32(255)).astype(np.float32)

    def with_dtype(self, dtype: str) -> Problem:
        """The same numbers in another type."""
        return replace(self, dtype=dtype)

    def to_dict(self) -> dict[str, Any]:
        """A JSON form."""
        return asdict(self) | {"shape": list(self.shape)}


def size_name(side: int, channels: int) -> str:
    """How a square picture is called."""
    return f"{side}^2 {'grey' if channels == 1 else 'RGB'}"


def square(side: int, **settings: Any) -> Problem:
    """A square picture named by its size, colours and radii."""
    problem = Problem("", (side, side), **settings)
    radii = f"r={problem.patch_radius} R={problem.search_radius}"
    return replace(problem, name=f"{size_name(side, problem.channels)} {radii}")


def edge(side: int = 64) -> Image:
    """The hard case of float arithmetic: a sharp edge under noise of 1 % of its height."""
    step = np.repeat([[0.0, 1.0]], side, axis=0).repeat(side // 2, axis=1)
    return step + np.random.default_rng(0).normal(0, 0.01, step.shape)


def frames(shape: tuple[int, ...], channels: int = 1, noise: float = NOISE, seed: int = 0) -> Iterator[Image]:
    """A picture that moves two columns to the left a frame, round and round: 8-bit levels with noise."""
    rng = np.random.default_rng(seed + 1)
    for clean in _moved(_clean(shape, channels, seed)):
        yield _levels(clean, noise, rng)


def _moved(scene: Image) -> Iterator[Image]:
    """One frame after the other, without end."""
    number = 0
    while True:
        yield np.roll(scene, -_PAN * number, axis=1)
        number += 1


@lru_cache(maxsize=2)
def _clean(shape: tuple[int, ...], channels: int, seed: int, moving: bool = False) -> Image:
    """Read-only, because it is shared."""
    if moving:
        whole = np.stack(list(islice(_moved(_clean(shape[1:], channels, seed)), shape[0])))
    elif len(shape) == 3:
        whole = _ball(shape)
    else:
        scene = _dead_leaves((min(shape[0], _SCENE), min(shape[1], _SCENE)), channels, seed)
        more = [(0, n - m) for n, m in zip(shape, scene.shape[:2], strict=True)]
        whole = np.pad(scene, [*more, (0, 0)], mode="symmetric")
        whole = whole if channels > 1 else whole[..., 0]
    whole.flags.writeable = False
    return whole


@lru_cache(maxsize=2)
def _noisy(shape: tuple[int, ...], channels: int, seed: int, noise: float, moving: bool) -> Image:
    """8-bit levels, read-only, because they are shared."""
    if moving:
        levels = np.stack(list(islice(frames(shape[1:], channels, noise, seed), shape[0])))
    else:
        levels = _levels(_clean(shape, channels, seed), noise, np.random.default_rng(seed + 1))
    levels.flags.writeable = False
    return levels


def _levels(clean: Image, noise: float, rng: np.random.Generator) -> Image:
    """With noise, as 8 bits."""
    spoiled = clean + rng.normal(0, noise, clean.shape)
    levels: Image = np.clip(np.rint(spoiled * 255), 0, 255).astype(np.uint8)
    return levels


def _ball(shape: tuple[int, ...]) -> Image:
    """A textured ball in an even surrounding, in [0.15, 0.85]."""
    z, y, x = (i / n - 0.5 for i, n in zip(np.indices(shape), shape, strict=True))
    inside = z**2 + y**2 + x**2 < 0.16
    return np.where(inside, 0.65 + 0.2 * np.sin(25 * z) * np.cos(20 * y), 0.25)


def _dead_leaves(shape: tuple[int, int], channels: int, seed: int) -> Image:
    """Discs over discs, (H, W, channels); radii fall off as r^-3, as sizes in photographs do."""
    rng = np.random.default_rng(seed)
    scene = np.full((*shape, channels), 0.5)
    smallest, largest = 6.0, max(8.0, min(shape) / 6)
    for _ in range(int(shape[0] * shape[1] / 200) + 20):
        spread = rng.uniform(largest**-2, smallest**-2)
        radius = spread**-0.5
        y, x = rng.uniform(-radius, shape[0] + radius), rng.uniform(-radius, shape[1] + radius)
        level = rng.uniform(0.25, 0.75, channels)
        angle, period, depth = rng.uniform(0, np.pi), rng.uniform(4, 20), rng.uniform(0, 0.1)
        rows = np.arange(max(0, int(y - radius)), min(shape[0], int(y + radius) + 1))[:, None] - y
        columns = np.arange(max(0, int(x - radius)), min(shape[1], int(x + radius) + 1))[None, :] - x
        if rows.size == 0 or columns.size == 0:
            continue
        stripes = np.sin((rows * np.sin(angle) + columns * np.cos(angle)) * (2 * np.pi / period))
        leaf = level + depth * stripes[..., None]
        inside = rows**2 + columns**2 <= radius**2
        top, left = int(rows[0, 0] + y + 0.5), int(columns[0, 0] + x + 0.5)
        place = scene[top : top + rows.size, left : left + columns.size]
        place[inside] = leaf[inside]
    return scene


def psnr(clean: Image, result: Image) -> float:
    """Peak signal-to-noise ratio in dB of pictures in [0, 1], the result clipped to it."""
    error = np.clip(result.astype(np.float64), 0, 1) - clean
    return float(-10 * np.log10(np.mean(error**2)))
