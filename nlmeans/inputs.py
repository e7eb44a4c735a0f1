"""What the caller hands over, checked once and laid out as (channels, Z, Y, X); tiles of it, and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nlmeans.arrays import (
    Array,
    as_channels,
    as_numpy_or_cupy,
    check_image,
    dtype_name,
    grid_axes,
    in_library_of,
    library,
    namespace,
)
from nlmeans.backends.contract import Request, Transfers
from nlmeans.errors import AxesWarning, InvalidTypeError, InvalidValueError, Parameter, warn
from nlmeans.levels import FAR, Ends, Levels, ends, ends_without_outliers, filled
from nlmeans.parameters import Settings, check_names, one_of
from nlmeans.tiling import Tile


@dataclass(frozen=True, eq=False)
class Inputs:
    """An image, what it is compared by, and which of its pixels are valid."""

    image: Array  # as it came
    channel_axis: int | None
    value: Array  # (V, Z, Y, X) of the image, in its own type: a view
    feature: Array  # (C, Z, Y, X) of the guide, or the same object as `value`
    mask: Array | None  # (Z, Y, X) bool, True where valid; None: every pixel is
    grid: tuple[int, ...]
    value_ends: Ends | None  # smallest and largest valid values
    feature_ends: Ends | None
    request: Request  # what a backend must be able to do
    origin: tuple[int, int, int] = (0, 0, 0)  # of a chunk in the whole
    whole: tuple[int, int, int] | None = None  # shape of that; None: it is the whole
    impulses: Array | None = None  # (Z, Y, X) bool: filled in, and no part of any average

    @property
    def voters(self) -> Array | None:
        """(Z, Y, X) True where a pixel may be averaged and measured; None: every pixel may."""
        if self.impulses is None:
            return self.mask
        return ~self.impulses if self.mask is None else self.mask & ~self.impulses

    def with_holes_filled(self, patch_radius: tuple[int, ...]) -> Inputs:
        """The same with invalid pixels of the feature replaced, so that patches can be compared there."""
        return (
            self
            if self.mask is None
            else replace(self, feature=filled(self.feature, self.mask, patch_radius))
        )

    def tile(
        self,
        region: tuple[slice, ...],
        levels: tuple[Levels, Levels],
        dtype: str,
        to: Any,
        sigma: Array | None = None,
        bring: Callable[[Array], Array] | None = None,
    ) -> Tile:
        """A region near [-1, 1], as arrays of the namespace `to`, with its part of a sigma map."""
        at = (slice(None), *region)
        bring = bring or to.asarray
        pixels = bring(self.value[at])
        value = levels[0].down(to.ascontiguousarray(pixels), dtype)
        feature = value
        if self.feature is not self.value:
            feature = levels[1].down(to.ascontiguousarray(bring(self.feature[at])), dtype)
        if self.mask is None:
            vote = to.ones(value.shape[1:], dtype=dtype)
        else:
            vote = bring(self.mask[region]).astype(dtype)
            value = to.where(vote > 0, value, 0)  # no NaN times 0
        if self.impulses is not None:
            vote[bring(self.impulses[region])] = 0
        return Tile(pixels, value, feature, vote, None if sigma is None else bring(sigma[region]))

    def put(
        self,
        values: Array,
        result: Array,
        core: Sequence[slice],
        moving: Transfers | None = None,
    ) -> None:
        """Write a tile's values into the result; invalid pixels as they were."""
        at = (slice(None), *core)

        def write(there: Array) -> None:
            if self.mask is not None:
                there = namespace(result).where(self.mask[at[1:]], there, self.value[at])
            for channel, new in zip(result[at], there, strict=True):  # 3 times faster if interleaved
                channel[...] = new

        if moving is None:
            write(values)
        else:
            moving.down(values, write)

    def restored(self, channels: Array) -> Array:
        """The result (V, Z, Y, X) in the shape, byte order and library of the image."""
        shape = channels.shape[:1] + self.grid
        result = channels.reshape(shape)
        result = result[0] if self.channel_axis is None else np.moveaxis(result, 0, self.channel_axis)
        return in_library_of(result, self.image)


@dataclass(frozen=True)
class Part:
    """Of what an image is a part, where it is a chunk of a whole."""

    origin: tuple[int, ...]  # its first pixel in the grid
    grid: tuple[int, ...]
    ends: tuple[Ends | None, Ends | None]  # of image and guide, as far as the whole was seen


def check(image: Array, settings: Settings, part: Part | None = None) -> Inputs:
    """Refuse what cannot be worked on, with its reason; find which pixels are valid, and their range."""
    check_names(settings)
    channel_axis, nan = settings.get("channel_axis"), settings.get("nan", "raise")
    guide, mask = settings.get("guide"), settings.get("mask")
    check_image(image)
    axes = grid_axes(image, channel_axis)
    if part is None:
        warn_of_volume(image, settings)
    one_of("nan", nan, ("raise", "keep"))
    grid = tuple(image.shape[a] for a in axes)
    value = as_channels(as_numpy_or_cupy(image), channel_axis)
    feature = value if guide is None else _guide(guide, image, channel_axis, grid)
    given = None if mask is None else _mask(mask, image, grid)
    arrays = [value] if guide is None else [value, feature]
    valid, found = _valid_pixels(arrays, given, None if part is None else part.ends)
    if nan == "raise" and valid is not None:
        for name, channels in zip(("image", "guide"), arrays, strict=False):
            _refuse_not_finite(
                channels, name, (0,) * len(grid) if part is None else part.origin, channel_axis, given
            )
    pixels = value.size // value.shape[0]
    request = Request(library(value) or "", dtype_name(value), pixels, feature.shape[0])
    place = () if part is None else (_along_zyx(part.origin, 0), _along_zyx(part.grid, 1))
    return Inputs(image, channel_axis, value, feature, valid, grid, found[0], found[-1], request, *place)


def warn_of_volume(image: Any, settings: Settings) -> None:
    """Say that what looks like a colour picture is taken for a volume."""
    if settings.get("channel_axis") is None and len(image.shape) == 3 and image.shape[-1] <= 4:
        warn(
            f"an image of shape {tuple(image.shape)} without ",
            Parameter("channel_axis"),
            " is a volume; give ",
            Parameter("channel_axis=-1"),
            " if its last axis is colour",
            category=AxesWarning,
        )


def tell_of_batch(image: Any, settings: Settings) -> None:
    """Four axes with channels may be a batch: tensors, which mostly are, are refused, others warned of.

    Whoever gives `spacing` or a radius for each of three axes knows that it is a volume.
    """
    channels = settings.get("channel_axis") is not None and len(getattr(image, "shape", ())) == 4
    three = any(isinstance(settings.get(name), tuple) for name in ("patch_radius", "search_radius"))
    if not channels or ((three or settings.get("spacing") is not None) and library(image) != "torch"):
        return
    what = f"of shape {tuple(image.shape)} with "
    if library(image) == "torch":
        raise InvalidValueError(
            f"a tensor {what}",
            Parameter("channel_axis"),
            " may be a batch or a volume: give ",
            Parameter("batch_axis=0"),
            " for a batch, or pass image.numpy() for a volume of several channels",
        )
    warn(
        f"an image {what}",
        Parameter("channel_axis"),
        " is a volume of several channels; give ",
        Parameter("batch_axis"),
        " if it is a batch of pictures, or radii for its three axes to say that it is a volume",
        category=AxesWarning,
    )


def _along_zyx(each: tuple[int, ...], missing: int) -> tuple[int, int, int]:
    z, y, x = (missing,) * (3 - len(each)) + each
    return z, y, x


def _valid_pixels(
    arrays: Sequence[Array], mask: Array | None, known: Sequence[Ends | None] | None
) -> tuple[Array | None, list[Ends | None]]:
    """(Z, Y, X) True where the mask and all channels of all arrays allow, None: everywhere; and the ends.

    The ends of a part include those of the whole, as far as they are `known`.
    """
    if mask is not None and bool(mask.all()):
        mask = None
    if mask is None:
        found = [ends(channels, None) for channels in arrays]
        if all(math.isfinite(end) for both in found if both for each in both for end in each):
            return _near_pixels(arrays, None, found, known)
    for channels in arrays:
        if channels.dtype.kind == "f":
            finite = namespace(channels).isfinite(channels).all(axis=0)
            mask = finite if mask is None else mask & finite
    return _near_pixels(arrays, mask, [ends(channels, mask) for channels in arrays], known)


def _near_pixels(
    arrays: Sequence[Array],
    mask: Array | None,
    found: list[Ends | None],
    known: Sequence[Ends | None] | None,
) -> tuple[Array | None, list[Ends | None]]:
    """The mask and the ends without outliers; values beyond any use (1e30 among 700) are invalid too."""
    result: list[Ends | None] = []
    valid = mask
    for n, (channels, both) in enumerate(zip(arrays, found, strict=True)):
        if both is None:
            return mask, found
        near = ends_without_outliers(channels, mask, both)
        if known and (seen := known[n]):  # what was not seen of the whole is no outlier for that alone
            near = [*map(min, near[0], seen[0])], [*map(max, near[1], seen[1])]
        result.append(near)
        room = FAR * max(high - low for low, high in zip(*near, strict=True))
        if max(both[1]) > max(near[1]) + room or min(both[0]) < min(near[0]) - room:
            here = ((channels >= min(near[0]) - room) & (channels <= max(near[1]) + room)).all(axis=0)
            here = here if mask is None else here | ~mask
            _warn_of_outliers(here)
            valid = here if valid is None else valid & here
    return valid, result


def _warn_of_outliers(near: Array) -> None:
    """Say how many pixels are beyond use, and where the first is."""
    count, first = int((~near).sum()), int((~near).argmax())
    z, y, x = (int(i) for i in np.unravel_index(first, near.shape))
    plane = f" of plane {z}" if near.shape[0] > 1 else ""
    warn(
        f"{count} pixels are more than {FAR:,.0f} times the data range of the others away from them, the "
        f"first at row {y}, column {x}{plane}: they are kept as they are and are no part of any average; "
        "give a ",
        Parameter("mask"),
        " to choose yourself",
    )


def _guide(guide: Array, image: Array, channel_axis: int | None, grid: tuple[int, ...]) -> Array:
    """The guide as (C, Z, Y, X): on the image's grid, channels at the image's axis or last."""
    check_image(guide, "guide")
    _same_library(guide, image, "guide")
    axis = None
    if guide.ndim == len(grid) + 1:
        axis = -1 if channel_axis is None else channel_axis
    elif guide.ndim != len(grid):
        axis = channel_axis
    if guide.ndim not in (len(grid), len(grid) + 1) or _without(guide.shape, axis) != grid:
        raise InvalidValueError(
            f"guide must have the grid {grid} of the image (and channels at its channel axis, or last), "
            f"got shape {tuple(guide.shape)}"
        )
    return as_channels(as_numpy_or_cupy(guide), axis)


def _without(shape: tuple[int, ...], axis: int | None) -> tuple[int, ...]:
    if axis is None:
        return tuple(shape)
    return tuple(n for a, n in enumerate(shape) if a != axis % len(shape))


def _mask(mask: Array, image: Array, grid: tuple[int, ...]) -> Array:
    """The mask as (Z, Y, X) bool."""
    if library(mask) is None or dtype_name(mask) != "bool":
        kind = type(mask).__name__ if library(mask) is None else f"an array of {dtype_name(mask)}"
        raise InvalidTypeError(f"mask must be an array of bool, True where valid, got {kind}")
    _same_library(mask, image, "mask")
    if tuple(mask.shape) != grid:
        raise InvalidValueError(f"mask must have the grid {grid} of the image, got {tuple(mask.shape)}")
    return as_channels(as_numpy_or_cupy(mask), None)[0]


def _same_library(array: Array, image: Array, name: str) -> None:
    if library(array) != library(image):
        raise InvalidTypeError(
            f"{name} must be an array of the image's library {library(image)}, got {library(array)}"
        )


def _refuse_not_finite(
    channels: Array, name: str, origin: tuple[int, ...], channel_axis: int | None, mask: Array | None
) -> None:
    """Raise with the count of values that are not finite among the unmasked, and the first position."""
    if channels.dtype.kind != "f":
        return
    bad = ~np.isfinite(channels)
    if mask is not None:
        bad &= mask
    count = int(bad.sum())
    if count:
        c, *at = (int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape))
        position = tuple(a + first for a, first in zip(at[3 - len(origin) :], origin, strict=True))
        channel = "" if channel_axis is None else f" in channel {c}"
        values = "1 value that is" if count == 1 else f"{count} values that are"
        raise InvalidValueError(
            f"{name} must be finite, got {values} not, the first at {position}{channel}; give ",
            Parameter('nan="keep"'),
            " to leave such pixels as they are",
        )
