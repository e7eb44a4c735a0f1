"""What of a Dask array is looked at, where something has to be estimated: some regions, joined."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from nlmeans.arrays import Array, grid_axes, namespace
from nlmeans.parameters import Settings

# Regions that are looked at where something has to be estimated: so many at most, of so long sides, by the
# number of grid axes.  1 to 4 million samples: the estimate of sigma takes fewer patches than they hold.
_REGIONS = {1: 64, 2: 16, 3: 27}
_SIDES = {1: 65_536, 2: 256, 3: 48}


def sample(image: Any, settings: Settings) -> tuple[Array, Settings]:
    """Regions of a Dask array, computed and joined along its first grid axis, and the settings for them.

    An image that is not larger than all regions together is taken whole.
    """
    axes = grid_axes(image, settings.get("channel_axis"))
    grid = [image.shape[a] for a in axes]
    most, side = _REGIONS[len(axes)], _SIDES[len(axes)]
    whole = math.prod(grid) <= most * side ** len(axes)
    corners = [(0,) * len(axes)] if whole else list(_corners(grid, side, most))
    sizes = grid if whole else [min(side, n) for n in grid]
    some = dict(settings)
    beside = [name for name, array in settings.items() if is_of_grid(name, array, len(axes))]
    arrays = [image, *(settings[name] for name in beside)]  # type: ignore[literal-required]
    joined = []
    for array in arrays:
        own = axes if array.ndim == image.ndim else tuple(range(len(axes)))
        at = [_region(array.ndim, own, corner, sizes) for corner in corners]
        joined.append(([array[r] for r in at], own[0]))
    import dask

    computed = dask.compute(*(parts for parts, _ in joined))
    image, *others = (
        parts[0] if len(parts) == 1 else namespace(parts[0]).concatenate(parts, axis=axis)
        for parts, (_, axis) in zip(computed, joined, strict=True)
    )
    some.update(zip(beside, others, strict=True))
    return image, some  # type: ignore[return-value]


def _corners(grid: Sequence[int], side: int, most: int) -> list[tuple[int, ...]]:
    """Where regions begin: evenly spread along every axis that is longer than one."""
    long = [n > side for n in grid]
    each = round(most ** (1 / max(1, sum(long))))
    places = [
        [round(f * (n - side)) for f in np.linspace(0.02, 0.98, min(each, -(-n // side)))] if wide else [0]
        for n, wide in zip(grid, long, strict=True)
    ]
    return list(product(*places))


def _region(ndim: int, axes: Sequence[int], corner: Sequence[int], sizes: Sequence[int]) -> tuple[slice, ...]:
    at = [slice(None)] * ndim
    for axis, first, size in zip(axes, corner, sizes, strict=True):
        at[axis] = slice(first, first + size)
    return tuple(at)


def is_of_grid(name: str, array: Any, axes: int) -> bool:
    """Whether a setting is an array with a value for every pixel."""
    return name in ("mask", "guide", "sigma") and getattr(array, "ndim", 0) >= axes
