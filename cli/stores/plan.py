"""How an image is cut: which axes are what, and the blocks of which each is one task."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from ..status import UsageError

# Pixels of a block, at least, where the image has them: below 1024^2 or 128^3 the halo of the default radii
# (about 20 pixels, 8 in volumes) is more than a tenth of the work; see docs/large.md.
_PIXELS = {1: 2**20, 2: 2**20, 3: 2**21}
_SAMPLES = ("s",)  # axes that are colours in TIFF
_GRID = ("y", "x")


@dataclass(frozen=True)
class Axes:
    """Of an image: where it is filtered, its channels, and what it has many images of."""

    grid: tuple[int, ...]
    channel: int | None
    loops: tuple[int, ...]  # an image by itself for every index along these
    apart: tuple[int, ...] = ()  # those of them whose images have settings of their own
    channels: int | None = None  # the one of them that is channels of a microscope

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        ndim: int,
        channel_axis: int | None,
        volume: bool,
        axis: int | str | None = None,
        share: str | None = None,
    ) -> Axes:
        """By the names of the axes, where there are any; else all are grid but the channel axis, and `axis`.

        Along `axis` each image is alone, and the others, but for channels, are a volume.
        """
        if channel_axis is not None and not -ndim <= channel_axis < ndim:
            raise UsageError(f"--channel-axis {channel_axis} is none of the {ndim} axes")
        channel = None if channel_axis is None else channel_axis % ndim
        known = set(names) >= set(_GRID)
        if channel is None and known:
            channel = next((a for a, name in enumerate(names) if name in _SAMPLES), None)
        alone = None if axis is None else _alone(axis, names if known else (), ndim, channel)
        inside = (*_GRID, "z") if volume else _GRID
        grid = tuple(
            a
            for a in range(ndim)
            if a not in (channel, alone)
            and (not known or (names[a] in inside if alone is None else names[a] != "c"))
        )
        if not 1 <= len(grid) <= 3:
            raise UsageError(
                f"it has {len(grid)} axes{' without names' * (not known)}; an image has one to three besides "
                "--channel-axis and --axis"
            )
        loops = tuple(a for a in range(ndim) if a != channel and a not in grid)
        channels = next((a for a in loops if known and names[a] == "c"), None)
        apart = () if share else tuple(a for a in loops if a in (alone, channels))
        return cls(grid, channel, loops, apart, channels)


def _alone(axis: int | str, names: Sequence[str], ndim: int, channel: int | None) -> int:
    """The axis along which each image is alone, from what --axis says."""
    others = [name for name in names if name not in (*_GRID, *_SAMPLES)]
    if names and axis not in others:
        raise UsageError(f"--axis {axis}: it has the axes {', '.join(names)}; name one that is no picture's")
    if isinstance(axis, str):
        if not names:
            raise UsageError(f"--axis {axis}: its axes have no names; give a number, as in --axis 0")
        return list(names).index(axis)
    if not -ndim <= axis < ndim or axis % ndim == channel:
        raise UsageError(f"--axis {axis} is none of the {ndim} axes besides --channel-axis")
    return axis % ndim


@dataclass(frozen=True)
class Plan:
    """Independent blocks, each of whole shards of the output: no two tasks write to one shard."""

    shape: tuple[int, ...]
    block: tuple[int, ...]

    @classmethod
    def of(cls, shape: tuple[int, ...], unit: tuple[int, ...], axes: Axes, side: int | None = None) -> Plan:
        """Of as many shards as make a block worth its halo; all channels of a pixel are in one block."""
        block = [min(u, n) for u, n in zip(unit, shape, strict=True)]
        if axes.channel is not None:
            block[axes.channel] = shape[axes.channel]
        least_pixels = _PIXELS[len(axes.grid)] if side is None else side ** len(axes.grid)
        while math.prod(block[a] for a in axes.grid) < least_pixels:
            open_axes = [a for a in axes.grid if block[a] < shape[a]]
            if not open_axes:
                break
            least = min(open_axes, key=lambda a: block[a])
            block[least] = min(block[least] + unit[least], -(-shape[least] // unit[least]) * unit[least])
        return cls(shape, tuple(block))

    @property
    def counts(self) -> tuple[int, ...]:
        """Blocks along every axis."""
        return tuple(-(-n // b) for n, b in zip(self.shape, self.block, strict=True))

    def __len__(self) -> int:
        return math.prod(self.counts)

    def region(self, number: int) -> tuple[slice, ...]:
        """Where a block lies."""
        found: list[slice] = []
        for n, b, count in zip(self.shape[::-1], self.block[::-1], self.counts[::-1], strict=True):
            number, index = divmod(number, count)
            found.append(slice(index * b, min(n, (index + 1) * b)))
        return tuple(found[::-1])

    def part(self, part: int, parts: int) -> range:
        """The blocks of one of so many parts, counted from 1: every block is in one of them."""
        return range(len(self) * (part - 1) // parts, len(self) * part // parts)


def each(region: Sequence[slice], axes: Sequence[int]) -> Iterator[dict[int, int]]:
    """Every index along some axes of a region."""
    for index in product(*(range(region[a].start, region[a].stop) for a in axes)):
        yield dict(zip(axes, index, strict=True))
