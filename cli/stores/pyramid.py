"""Lower resolutions of an OME-Zarr image: means of 2 x 2 pixels, or of as many as the source has."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ..formats.picture import Array
from .plan import Axes, Plan
from .source import Source
from .target import Target


def factors(source: Source) -> list[tuple[int, ...]]:
    """How many pixels of one resolution make one of the next, along every axis, while these are integers."""
    found = []
    shapes = [source.array(level).shape for level in range(len(source.arrays))]
    for above, below in pairwise(shapes):
        each = tuple(max(1, round(a / b)) for a, b in zip(above, below, strict=True))
        if any(b not in (a // f, -(-a // f)) for a, b, f in zip(above, below, each, strict=True)):
            break
        found.append(each)
    return found


def make(target: Target, level: int, each: tuple[int, ...], axes: Axes) -> None:
    """One resolution from the one above it, by whole shards."""
    above, below = target.array(level - 1), target.array(level)
    plan = Plan.of(below.shape, target.unit(level), axes)
    for number in range(len(plan)):
        region = plan.region(number)
        if not target.has(region, level):
            seen = tuple(
                slice(s.start * f, min(n, s.stop * f))
                for s, f, n in zip(region, each, above.shape, strict=True)
            )
            target.write(region, means(above[seen], each, [s.stop - s.start for s in region]), level)


def means(pixels: Array, each: Sequence[int], shape: Sequence[int]) -> Array:
    """Means of cells, in the type of the pixels; cells at the end are completed with its last pixels."""
    import numpy as np

    missing = [(0, n * f - p) for n, f, p in zip(shape, each, pixels.shape, strict=True)]
    cells = np.pad(pixels, missing, mode="edge") if any(m for _, m in missing) else pixels
    cells = cells.reshape([n for both in zip(shape, each, strict=True) for n in both])
    mean = cells.mean(axis=tuple(range(1, 2 * len(shape), 2)), dtype=np.float64)
    return (np.rint(mean) if pixels.dtype.kind in "iu" else mean).astype(pixels.dtype)
