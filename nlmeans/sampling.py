"""Images of which only parts are read: the arrays that go with them, and a sample of regions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any, cast

import numpy as np

from nlmeans.arrays import Array, grid_axes, is_chunked, namespace
from nlmeans.errors import InvalidTypeError, InvalidValueError, Parameter
from nlmeans.parameters import Settings

# Regions that are looked at where something has to be estimated: so many at most, of so long sides, by the
# number of grid axes.  1 to 4 million samples, in which `estimate_sigma` takes 16,000 patches, as it does in
# the whole.  Regions are joined: 5 of 256 rows are in patches across a joint, which are not flat.
_REGIONS = {1: 64, 2: 16, 3: 27}
_SIDES = {1: 65_536, 2: 256, 3: 48}
_MARGIN = 0.02  # of an axis before the first and behind the last region: borders of scans are often empty


def sample(image: Any, settings: Settings) -> tuple[Array, Settings]:
    """Regions of an image, read and joined along its first grid axis, and the settings for them.

    Anything that is sliced like an array will do.  What is not larger than all regions is taken whole.
    """
    axes = check_sliced(image, settings)
    grid = [image.shape[a] for a in axes]
    most, side = _REGIONS[len(axes)], _SIDES[len(axes)]
    whole = math.prod(grid) <= most * side ** len(axes)
    corners = [(0,) * len(axes)] if whole else _corners(grid, side, most)
    sizes = grid if whole else [min(side, n) for n in grid]
    regions = [[slice(a, a + n) for a, n in zip(corner, sizes, strict=True)] for corner in corners]
    beside = along_grid(image, settings)
    every: list[tuple[Any, Sequence[int]]] = [(image, axes)]
    every += [(settings[name], own) for name, own in beside.items()]  # type: ignore[literal-required]
    parts = [[array[at(r, own, array.ndim)] for r in regions] for array, own in every]
    if any(is_chunked(array) for array, _ in every):
        import dask

        parts = cast(list[list[Array]], dask.compute(*parts))
    some, *others = (_joined(each, own[0]) for each, (_, own) in zip(parts, every, strict=True))
    return some, cast(Settings, {**settings, **dict(zip(beside, others, strict=True))})


def check_sliced(image: Any, settings: Settings) -> tuple[int, ...]:
    """Refuse what can only be done to a whole array; the axes of the grid."""
    if settings.get("search_radius") == "image":
        raise InvalidValueError(
            Parameter('search_radius="image"'),
            " needs the whole image at once: give a number, or a NumPy array",
        )
    if any(n != n for n in image.shape):
        raise InvalidValueError(
            f"the sizes of the chunks must be known, got shape {tuple(image.shape)}; "
            "call image.compute_chunk_sizes() first"
        )
    if 0 in image.shape:
        raise InvalidValueError(f"image must have at least one element, got shape {tuple(image.shape)}")
    return grid_axes(image, settings.get("channel_axis"))


def along_grid(image: Any, settings: Settings) -> dict[str, tuple[int, ...]]:
    """The settings that have a value for every pixel, and which of their axes are the grid's."""
    channel_axis = settings.get("channel_axis")
    grid = tuple(image.shape[a] for a in grid_axes(image, channel_axis))
    found = {}
    for name in ("mask", "guide", "sigma"):
        array: Any = settings.get(name)
        if array is None or (name == "sigma" and tuple(getattr(array, "shape", ())) != grid):
            continue  # a number, or one for each channel
        if not hasattr(array, "shape"):
            raise InvalidTypeError(f"{name} must be an array, got {type(array).__name__}")
        own = tuple(range(array.ndim))
        if array.ndim == len(grid) + 1 and name == "guide":
            own = grid_axes(array, -1 if channel_axis is None else channel_axis, name)
        if tuple(array.shape[a] for a in own) != grid:
            raise InvalidValueError(
                f"{name} must have the grid {grid} of the image, got {tuple(array.shape)}"
            )
        found[name] = own
    return found


def at(region: Sequence[slice], axes: Sequence[int], ndim: int) -> tuple[slice, ...]:
    """A region of the grid as an index of an array: all of its other axes."""
    index = [slice(None)] * ndim
    for axis, part in zip(axes, region, strict=True):
        index[axis] = part
    return tuple(index)


def _corners(grid: Sequence[int], side: int, most: int) -> list[tuple[int, ...]]:
    """Where regions begin: evenly spread along every axis that is longer than one."""
    long = sum(n > side for n in grid)
    each = round(most ** (1 / long))
    places = [
        [round(f * (n - side)) for f in np.linspace(_MARGIN, 1 - _MARGIN, min(each, -(-n // side)))]
        if n > side
        else [0]
        for n in grid
    ]
    return list(product(*places))


def _joined(parts: Sequence[Array], axis: int) -> Array:
    joined: Array = parts[0] if len(parts) == 1 else namespace(parts[0]).concatenate(parts, axis=axis)
    return np.asarray(joined) if isinstance(joined, np.ndarray) else joined
