"""Tiles of a grid with their halo, so that the work fits a memory limit."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

from nlmeans.arrays import Array
from nlmeans.errors import MemoryLimitError, Parameter

SMALLEST = 64  # rows or columns of a tile: below this the halo is most of the work


@dataclass(frozen=True)
class Cut:
    """Where a tile lies: the pixels it computes, those with the halo, and the first within the second."""

    core: tuple[slice, ...]
    seen: tuple[slice, ...]
    inner: tuple[slice, ...]


@dataclass(frozen=True, eq=False)
class Tile:
    """What a method sees of a cut: channels first, then (Z, Y, X), near [-1, 1]; see `Levels.down`."""

    pixels: Array  # (V, Z, Y, X) of the image, as they are
    value: Array  # (V, Z, Y, X) what is averaged; 0 where not valid
    feature: Array  # (C, Z, Y, X) what is compared, holes filled; `value` itself where it is the same
    vote: Array  # (Z, Y, X) 1 where a pixel is valid, else 0
    sigma: Array | None  # (Z, Y, X) of a sigma map, in the units of the image


@dataclass(frozen=True)
class Cost:
    """Bytes of one pixel: kept for the whole tile, and for the one plane that is worked on."""

    tile: int
    plane: int
    slab: int = 0  # more, of every plane but the first `few`, where planes are worked on together
    few: int = 0

    def of(self, shape: Sequence[int]) -> int:
        """Bytes of a tile of this (Z, Y, X) shape."""
        together = self.slab * max(0, shape[0] - self.few)
        return self.tile * math.prod(shape) + (self.plane + together) * math.prod(shape[1:])


def plan(shape: tuple[int, ...], halo: tuple[int, ...], cost: Cost, limit: int) -> list[Cut]:
    """Cuts covering a (Z, Y, X) grid, each of whose tiles costs at most `limit` bytes.

    Planes are separated first (their halo is only read), then rows, then columns.

    Raises
    ------
    MemoryLimitError
        When the smallest tile does not fit.
    """
    core = list(shape)

    def bytes_needed() -> int:
        return cost.of([min(n, c + 2 * h) for n, c, h in zip(shape, core, halo, strict=True)])

    while bytes_needed() > limit:
        axis = _longest(core)
        if axis is None:
            raise MemoryLimitError(
                Parameter("memory_limit"),
                f" must be at least {bytes_needed()} bytes for this image and these radii, got {limit}; "
                "raise it, or, for NL-means, make ",
                Parameter("search_radius"),
                " smaller",
            )
        core[axis] = math.ceil(core[axis] / 2)
    cuts = [range(0, n, c) for n, c in zip(shape, core, strict=True)]
    return [_cut(start, core, shape, halo) for start in product(*cuts)]


def _longest(core: list[int]) -> int | None:
    """The axis to halve: planes while there are several, else the longer of rows and columns."""
    if core[0] > 1:
        return 0
    axis = 1 if core[1] >= core[2] or core[1] > SMALLEST else 2
    return axis if core[axis] > SMALLEST else None


def _cut(start: tuple[int, ...], core: Sequence[int], shape: tuple[int, ...], halo: tuple[int, ...]) -> Cut:
    stop = [min(n, a + c) for n, a, c in zip(shape, start, core, strict=True)]
    low = [max(0, a - h) for a, h in zip(start, halo, strict=True)]
    high = [min(n, b + h) for n, b, h in zip(shape, stop, halo, strict=True)]
    return Cut(
        core=tuple(map(slice, start, stop)),
        seen=tuple(map(slice, low, high)),
        inner=tuple(slice(a - m, b - m) for a, b, m in zip(start, stop, low, strict=True)),
    )


def by_halves(
    region: tuple[slice, ...],
    most: int,
    part: Callable[[tuple[slice, ...]], Array],
    join: Callable[[list[Array], int], Array],
    sides: Sequence[int] | None = None,
) -> Array:
    """The results of `part` for pieces of a region of at most `most` positions, joined along their axes.

    The axis with the most positions is halved; with `sides`, so many of an axis stay together.
    """
    sizes = [s.stop - s.start for s in region]
    counts = sizes if sides is None else [-(-n // side) for n, side in zip(sizes, sides, strict=True)]
    axis = max(range(len(region)), key=counts.__getitem__)
    if math.prod(sizes) <= most or counts[axis] <= 1:
        return part(region)
    middle = region[axis].start + counts[axis] // 2 * (1 if sides is None else sides[axis])
    first = (*region[:axis], slice(region[axis].start, middle), *region[axis + 1 :])
    second = (*region[:axis], slice(middle, region[axis].stop), *region[axis + 1 :])
    return join([by_halves(piece, most, part, join, sides) for piece in (first, second)], axis)
