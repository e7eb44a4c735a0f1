"""What the caller hands over, checked once and laid out as (channels, Z, Y, X)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nlmeans.arrays import (
    Array,
    as_channels,
    check_image,
    dtype_name,
    enter,
    grid_axes,
    leave,
    library,
    namespace,
)
from nlmeans.backends.contract import Request
from nlmeans.errors import InvalidTypeError, InvalidValueError
from nlmeans.parameters import one_of


@dataclass(frozen=True, eq=False)
class Inputs:
    """An image, what it is compared by, and which of its pixels are valid."""

    image: Array  # as it came
    channel_axis: int | None
    value: Array  # (V, Z, Y, X) of the image, in its own type: a view
    feature: Array  # (C, Z, Y, X) of the guide, or the same object as `value`
    vote: Array | None  # (Z, Y, X) bool; None: every pixel is valid
    grid: tuple[int, ...]

    @classmethod
    def checked(
        cls, image: Array, channel_axis: int | None, guide: Array | None, mask: Array | None, nan: str
    ) -> Inputs:
        """Refuse what cannot be worked on, with its reason."""
        check_image(image)
        axes = grid_axes(image, channel_axis)
        if channel_axis is None and len(axes) == 3 and image.shape[-1] <= 4:
            warnings.warn(
                f"an image of shape {tuple(image.shape)} without channel_axis is a volume; "
                "give channel_axis=-1 if its last axis is colour",
                UserWarning,
                stacklevel=4,
            )
        one_of("nan", nan, ("raise", "keep"))
        grid = tuple(image.shape[a] for a in axes)
        value = as_channels(enter(image), channel_axis)
        feature = value if guide is None else _guide(guide, image, channel_axis, grid)
        vote = None if mask is None else _mask(mask, image, grid)
        vote = _valid_pixels([value] if guide is None else [value, feature], vote)
        if nan == "raise":
            _refuse_not_finite(value, "image", grid, channel_axis, mask, vote)
            _refuse_not_finite(feature, "guide", grid, channel_axis, mask, vote)
        return cls(image, channel_axis, value, feature, vote, grid)

    @property
    def guided(self) -> bool:
        return self.feature is not self.value

    @property
    def nothing_valid(self) -> bool:
        return self.vote is not None and not bool(self.vote.any())

    @property
    def dtype(self) -> str:
        return dtype_name(self.value)

    @property
    def request(self) -> Request:
        """What a backend must be able to do."""
        pixels = self.value.size // self.value.shape[0]
        return Request(library(self.value) or "", self.dtype, pixels, self.feature.shape[0])

    def restored(self, channels: Array) -> Array:
        """The result (V, Z, Y, X) in the shape, byte order and library of the image."""
        shape = channels.shape[:1] + self.grid
        result = channels.reshape(shape)
        result = result[0] if self.channel_axis is None else np.moveaxis(result, 0, self.channel_axis)
        return leave(result, self.image)


def _valid_pixels(arrays: Sequence[Array], mask: Array | None) -> Array | None:
    """(Z, Y, X) True where the mask and every channel of every array allow; None: everywhere."""
    vote = mask
    for channels in arrays:
        if channels.dtype.kind == "f":
            finite = namespace(channels).isfinite(channels)
            if not bool(finite.all()):
                vote = finite.all(axis=0) if vote is None else vote & finite.all(axis=0)
    return None if vote is None or bool(vote.all()) else vote


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
    return as_channels(enter(guide), axis)


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
    return as_channels(enter(mask), None)[0]


def _same_library(array: Array, image: Array, name: str) -> None:
    if library(array) != library(image):
        raise InvalidTypeError(
            f"{name} must be an array of the image's library {library(image)}, got {library(array)}"
        )


def _refuse_not_finite(
    channels: Array, name: str, grid: tuple[int, ...], channel_axis: int | None, mask: Any, vote: Array | None
) -> None:
    """Say how many values are not finite among the unmasked, and where the first is."""
    if vote is None or channels.dtype.kind != "f":
        return
    allowed = True if mask is None else as_channels(enter(mask), None)
    bad = ~np.isfinite(channels) & allowed
    count = int(bad.sum())
    if count:
        c, *at = (int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape))
        position = tuple(at[3 - len(grid) :])
        channel = "" if channel_axis is None else f" in channel {c}"
        raise InvalidValueError(
            f"{name} must be finite, got {count} values that are not, the first at {position}{channel}; "
            'give nan="keep" to leave such pixels as they are'
        )
