"""Methods: algorithms that turn a noisy array into a clean one, all behind one seam.

Tiles, memory, threads, progress, transfers, levels, masks and types use a method through
:class:`Method` only.  A method asks its backend whether it can run before it is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from nlmeans.arrays import Array
from nlmeans.backends.contract import DeviceMemory, Run
from nlmeans.levels import Levels
from nlmeans.tiling import Cost, Tile


@dataclass(frozen=True, eq=False, kw_only=True)
class Method:
    """What is done to a tile, and what must be known for it; made for one image.

    Tiles are near [-1, 1]: ``(image - offset) / unit`` with the offset and unit of `levels`, not rounded.
    """

    levels: tuple[Levels, Levels]  # of the image, and of what is compared
    halo: tuple[int, int, int]  # how far a pixel's result looks along (Z, Y, X)
    cost: Cost  # bytes that a tile takes
    patch_radius: tuple[int, int, int] = (0, 0, 0)  # holes are filled from boxes of this radius before
    sigma_map: Array | None = None  # (Z, Y, X) where the noise varies; its part comes with each tile
    dtype: str = "float32"  # floating type of its tiles, or "float64"
    library: Any = np  # of its tiles: ``numpy`` or ``cupy``
    memory: DeviceMemory | None = None  # None: the processor's
    changes_nothing: bool = False  # the result is the image, whatever it holds

    def run(
        self, tile: Tile, origin: tuple[int, ...], whole_shape: tuple[int, ...], planes: range, run: Run
    ) -> Array:
        """The change of the values (V, len(planes), Y, X) of some of a tile's planes: clean less noisy.

        It is in the unit of `levels`, and added to the image's own pixels: where it is 0 they come back bit
        for bit.  That of invalid pixels may be any finite number.  `origin` is the tile's first pixel in a
        grid of `whole_shape`: a method with a grid of its own must not depend on where tiles begin.
        ``run.tick`` is called with the fraction done since the last call, 1.0 in sum.
        """
        raise NotImplementedError


@dataclass(frozen=True, eq=False, kw_only=True)
class Parts(Method):
    """A method made of others, which run on the same backend."""

    parts: tuple[Method, ...]

    @classmethod
    def made_of(
        cls, parts: tuple[Method, ...], *, levels: tuple[Levels, Levels], arrays: int, **more: Any
    ) -> Self:
        """With the widest halo and the highest cost of its parts, and so many planes of a tile besides."""
        one = parts[0]
        size = np.dtype(one.dtype).itemsize
        tile, plane, slab = (max(getattr(p.cost, name) for p in parts) for name in ("tile", "plane", "slab"))
        fields: dict[str, Any] = {
            "halo": _most([p.halo for p in parts]),
            "cost": Cost(tile + size * arrays, plane, slab, min(p.cost.few for p in parts)),
            "patch_radius": _most([p.patch_radius for p in parts]),
            "sigma_map": one.sigma_map,
            "dtype": one.dtype,
            "library": one.library,
            "memory": one.memory,
            "changes_nothing": all(p.changes_nothing for p in parts),
        }
        return cls(parts=parts, levels=levels, **{**fields, **more})


def _most(each: list[tuple[int, int, int]]) -> tuple[int, int, int]:
    z, y, x = (max(along) for along in zip(*each, strict=True))
    return z, y, x
