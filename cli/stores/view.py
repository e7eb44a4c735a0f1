"""One image of a source as the library takes it: colours last, transparency and fill values apart."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..formats.limits import Limits
from ..formats.picture import Array, Layout
from ..job import Split, merged
from ..status import CommandError, UsageError
from .look import source_of
from .plan import Axes
from .source import Source

_SETTINGS = {"mask": "mask", "guide": "guide", "sigma_map": "sigma"}  # by option


@dataclass(frozen=True)
class View:
    """One image of a source, to be sliced: an index along each axis that is not the image's."""

    source: Source
    axes: Axes
    index: Mapping[int, int]
    dtype: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Its grid, and the samples that are data."""
        shape = self.source.shape
        grid = tuple(shape[a] for a in self.axes.grid)
        channels = len(self.layout.data) if self.layout.colours else self._samples
        return (*grid, channels) if channels > 1 or (self._samples and not self.layout.colours) else grid

    @property
    def ndim(self) -> int:
        """Axes of the image."""
        return len(self.shape)

    @property
    def channel_axis(self) -> int | None:
        """Of the image: the last, where there is one."""
        return None if self.ndim == len(self.axes.grid) else self.ndim - 1

    @property
    def color(self) -> str | None:
        """How its channels are compared: as in pictures; others than colours of a picture together."""
        if self.channel_axis is None:
            return None
        if not self.layout.colours:
            return "joint"
        return "separate" if self.shape[-1] > self.layout.colours else None

    @property
    def layout(self) -> Layout:
        """What its samples are: a bare array, where the source does not say, or these are no samples."""
        known = self.source.layout
        bare = Layout((), self.dtype, colours=0)
        if known is None or self.axes.channel is None:
            return known or bare
        if self.source.axes[self.axes.channel] == "s":
            return known
        if known.nodata is not None:
            raise UsageError(
                "--channel-axis is not possible where a file declares a fill value (GDAL_NODATA)"
            )
        return bare

    @property
    def _samples(self) -> int:
        return 0 if self.axes.channel is None else int(self.source.shape[self.axes.channel])

    def samples(self, region: Sequence[slice]) -> Array:
        """All samples of a region of the grid, as (grid) or (grid, samples)."""
        import numpy as np

        inside = dict(zip(self.axes.grid, region, strict=True))
        count = len(self.source.shape)
        full = tuple(self.index[a] if a in self.index else inside.get(a, slice(None)) for a in range(count))
        pixels = self.source.read(full).astype(self.dtype, copy=False)
        return pixels if self.axes.channel is None else np.moveaxis(pixels, self._place, -1)

    def split(self, samples: Array) -> Split:
        """Samples as the library takes them."""
        return Split.of(samples, self.layout, self.channel_axis)

    def stored(self, samples: Array, clean: Array) -> Array:
        """The samples with new colours, in the order of axes in which the source has them."""
        import numpy as np

        result = merged(samples, clean, self.layout)
        return result if self.axes.channel is None else np.moveaxis(result, -1, self._place)

    @property
    def _place(self) -> int:
        """Of the samples, among the axes that are the image's."""
        channel = self.axes.channel
        assert channel is not None
        return channel - sum(a < channel for a in self.index)

    def __getitem__(self, region: Sequence[slice]) -> Array:
        return self.split(self.samples(region[: len(self.axes.grid)])).colour


@dataclass(frozen=True)
class Valid:
    """Where an image is valid: by its own transparency and fill values, and by a mask."""

    image: View
    mask: View | None

    dtype = "bool"

    @property
    def shape(self) -> tuple[int, ...]:
        """The grid."""
        return self.image.shape[: self.ndim]

    @property
    def ndim(self) -> int:
        """Axes of the grid."""
        return len(self.image.axes.grid)

    def __getitem__(self, region: Sequence[slice]) -> Array:
        own = self.image.split(self.image.samples(region)).mask
        return self.of(own, None if self.mask is None else self.mask[region], region)

    @staticmethod
    def of(own: Array | None, mask: Array | None, region: Sequence[slice]) -> Array:
        """Both at once."""
        import numpy as np

        if own is None and mask is None:
            return np.ones([s.stop - s.start for s in region], bool)
        return own if mask is None else mask if own is None else own & mask


@dataclass(frozen=True)
class Companion:
    """A picture that goes with the image: of every pixel a number, of a guide there may be several."""

    option: str
    source: Source
    axes: Axes
    along: Mapping[int, int]  # of its axes that are not an image's: the axis of the source, or -1 for all

    @property
    def setting(self) -> str:
        """Its name in the library."""
        return _SETTINGS[self.option]

    @classmethod
    def of(cls, option: str, path: str, limits: Limits, image: Source, axes: Axes) -> Companion:
        """From what an option names; its grid is the image's, its other axes all, some or none."""
        words = f"--{option.replace('_', '-')} {path}"
        try:
            source = source_of(os.path.abspath(path), limits, mask=option == "mask")
            return cls(option, source, *_placed(option, source, image, axes))
        except CommandError as error:
            raise type(error)(f"{words}: {error}") from None

    def view(self, index: Mapping[int, int]) -> View:
        """What goes with one image, by the image's index."""
        own = {a: 0 if other < 0 else index[other] for a, other in self.along.items()}
        dtype = "bool" if self.option == "mask" else self.source.array().dtype.str
        return View(self.source, self.axes, own, dtype)


def _placed(option: str, source: Source, image: Source, axes: Axes) -> tuple[Axes, dict[int, int]]:
    """Which of its axes are the grid, which are channels, and along which it has many images."""
    shape, whole = source.shape, image.shape
    grid = tuple(whole[a] for a in axes.grid)
    others = [a for a in range(len(whole)) if a != axes.channel]
    several = option == "guide"
    if several and len(shape) == len(whole) and axes.channel is not None:
        own, along, channel = axes.grid, dict(zip(axes.loops, axes.loops, strict=True)), axes.channel
    elif len(shape) == len(others):
        at = {other: n for n, other in enumerate(others)}
        own, along, channel = tuple(at[a] for a in axes.grid), {at[a]: a for a in axes.loops}, None
    elif len(shape) == len(grid):
        own, along, channel = tuple(range(len(grid))), {}, None
    elif several and len(shape) == len(grid) + 1:
        last = "s" not in source.axes or source.axes[-1] == "s"
        own, along = tuple(range(len(grid)) if last else range(1, len(grid) + 1)), {}
        channel = len(grid) if last else 0
    else:
        own, along, channel = (), {}, None
    along = {a: -1 if shape[a] == 1 else other for a, other in along.items()}
    fits = all(other < 0 or shape[a] == whole[other] for a, other in along.items())
    if not fits or tuple(shape[a] for a in own) != grid:
        raise UsageError(
            f"it is {_by(shape)}, the image {_by(whole)}: give the {_by(grid)} pixels of one image, for all "
            "of them, or as many as the image has"
        )
    return Axes(own, channel, tuple(along)), along


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
