"""The weights of a pixel: how much every other counts in its average."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Unpack

import numpy as np

from nlmeans import formula
from nlmeans.arrays import Array, in_library_of
from nlmeans.choosing import Chosen, choose
from nlmeans.errors import InvalidTypeError, InvalidValueError, Parameter, shown
from nlmeans.inputs import Inputs, check
from nlmeans.methods.color import channel, luminance_and_differences
from nlmeans.methods.nlmeans import Exponents, Geometry, NLMeans
from nlmeans.noise.impulses import without_impulses
from nlmeans.noise.stabilised import stabilised
from nlmeans.parameters import BY_GROUPS, Settings, integer
from nlmeans.tiling import Tile


def weights(
    image: Array, at: Sequence[int], *, component: int | None = None, **settings: Unpack[Settings]
) -> Array:
    """The normalised weights of one pixel: how much each pixel counts in its average, itself included.

    Parameters
    ----------
    image : array
        As for `denoise`.
    at : sequence of int
        The pixel, one index per grid axis.
    component : int, optional
        With ``color="separate"`` the channel whose weights are asked for, from 0.  With
        ``color="luminance"`` the component: 0, the default, is the luminance, and 1 or 2 a difference of
        colours.  Both differences have the same weights.
    **settings
        Any of `denoise`'s parameters from `sigma` to `nan`.

    Returns
    -------
    array of float64, shape of the grid
        Zero outside of the search window; the sum is 1.  ``sum(weights * image)`` is what
        ``denoise(image, aggregate="pixel")`` gives at that pixel, or in that component of it.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        As `denoise`, for a pixel outside of the image, for two passes, whose second compares what the first
        made of the image, and for what is blended.

    Notes
    -----
    Time and memory O((2R + 1)^n (2r + 1)^n) for n grid axes.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    >>> weights(image, (1,), h=0.1, sigma=0, patch_radius=0, search_radius=5).round(3)
    array([0.333, 0.333, 0.333, 0.   , 0.   , 0.   ])
    """
    of_image = PixelWeights(image, component, **settings)
    window, inside = of_image.window(at)
    result = np.zeros(of_image.grid)
    result[window] = inside
    return in_library_of(result, image)


class PixelWeights:
    """The weights of any number of pixels of one image, which is prepared once."""

    def __init__(self, image: Array, component: int | None = None, **settings: Unpack[Settings]) -> None:
        if (white := stabilised(image, settings)) is not None:
            image, settings = white.image, white.settings  # type: ignore[assignment]
        self._inputs = without_impulses(check(image, settings), settings)
        method = settings.get("method")
        if isinstance(method, str) and method in BY_GROUPS:
            raise InvalidValueError("weights are those of NL-means: give ", Parameter('method="nlmeans"'))
        whole = choose(self._inputs, {**settings, "passes": settings.get("passes") or 1})
        self.parameters = whole.parameters
        if self.parameters.passes != 1:
            raise InvalidValueError("weights are those of one pass: give ", Parameter("passes=1"))
        if self.parameters.blend != 0:
            raise InvalidValueError("weights are those of the filter alone: give ", Parameter("blend=0"))
        self.grid = tuple(self._inputs.grid)
        self._levels, self._sigma_map = whole.levels, whole.noise.sigma if whole.noise.is_map else None
        self._part, chosen = _part(whole, component)
        self._method = NLMeans.of(chosen, self._inputs, "reference", "float64")

    @property
    def search_radius(self) -> tuple[int, ...]:
        """R for each grid axis."""
        return self._method.geometry.search_radius[-len(self.grid) :]

    def window(self, at: Sequence[int]) -> tuple[tuple[slice, ...], np.ndarray]:
        """A pixel's search window, cut at the edges, and the normalised weights in it."""
        pixel = self._pixel(at)
        mask = self._inputs.mask
        if self._method.changes_nothing or (mask is not None and not bool(mask[pixel])):
            return tuple(slice(i, i + 1) for i in pixel[-len(self.grid) :]), np.ones((1,) * len(self.grid))
        window, p, _ = self._window(pixel)
        return window[-len(self.grid) :], p.reshape(p.shape[-len(self.grid) :])

    def patches(self, at: Sequence[int]) -> np.ndarray:
        """The patch of every pixel in the search window as a vector: (pixels, samples)."""
        return self._window(self._pixel(at))[2]

    def _window(self, pixel: tuple[int, ...]) -> tuple[tuple[slice, ...], np.ndarray, np.ndarray]:
        """The search window of a pixel, cut at the edges, the normalised weights in it, and its patches."""
        geometry, shape = self._method.geometry, self._filled.value.shape[1:]
        each = list(zip(pixel, geometry.search_radius, shape, strict=True))
        window = tuple(slice(max(0, i - big), min(n, i + big + 1)) for i, big, n in each)
        margin = list(zip(window, geometry.patch_radius, shape, strict=True))
        seen = tuple(slice(max(0, w.start - r), min(n, w.stop + r)) for w, r, n in margin)
        whole = self._filled.tile(seen, self._levels, "float64", np, self._sigma_map)
        tile = self._method.exponents(self._part(whole))
        inside = tuple(slice(w.start - s.start, w.stop - s.start) for w, s in zip(window, seen, strict=True))
        patches = _patches(tile, geometry)[inside]
        counts = patches.shape[:3]
        patches = patches.reshape(math.prod(counts), -1)
        itself = np.ravel_multi_index(tuple(i - w.start for i, w in zip(pixel, window, strict=True)), counts)
        scale, bias = tile.at(tuple(i - s.start for i, s in zip(pixel, seen, strict=True)))
        distance = ((patches - patches[itself]) ** 2).sum(axis=1)
        w = formula.weight(distance, scale, bias, np) * tile.vote[inside].reshape(-1)
        w[itself] = 0.0
        w[itself] = formula.center(geometry.center, w.max(), np)
        return window, (w / w.sum()).reshape(counts), patches

    @cached_property
    def _filled(self) -> Inputs:
        return self._inputs.with_holes_filled(self._method.patch_radius)

    def _pixel(self, at: Sequence[int]) -> tuple[int, ...]:
        return (0,) * (3 - len(self.grid)) + _checked(at, self.grid)


def _part(whole: Chosen, component: int | None) -> tuple[Callable[[Tile], Tile], Chosen]:
    """The part of a tile whose channels are compared together, and what was chosen for it."""
    color, channels = whole.parameters.color, len(whole.levels[0].offset)
    if channels == 1 or color == "joint":
        if component is not None:
            raise InvalidValueError(
                "one weight serves all channels: component is for ",
                Parameter('color="separate"'),
                " and ",
                Parameter('color="luminance"'),
            )
        return lambda tile: tile, whole
    if component is None and color == "separate":
        raise InvalidValueError(
            "with ",
            Parameter('color="separate"'),
            f" each channel has weights of its own: give component, 0 to {channels - 1}",
        )
    c = integer("component", component or 0, 0, channels - 1)
    if color == "separate":
        return lambda tile: channel(tile, c), whole.of_channel(c)
    if c == 0:
        return lambda tile: luminance_and_differences(tile)[0], whole.of_luminance()
    return lambda tile: luminance_and_differences(tile)[1], whole.of_differences()


def _checked(at: Sequence[int], grid: tuple[int, ...]) -> tuple[int, ...]:
    """The pixel's indices, inside the grid."""
    if not isinstance(at, tuple | list):
        raise InvalidTypeError(f"at must be a tuple of one index per grid axis, got {shown(at)}")
    if len(at) != len(grid):
        raise InvalidValueError(f"at must have {len(grid)} indices, one per grid axis, got {shown(at)}")
    return tuple(integer("at", i, 0, n - 1) for i, n in zip(at, grid, strict=True))


def _patches(tile: Exponents, geometry: Geometry) -> np.ndarray:
    """The patch of every pixel of a tile as a vector, scaled by the root of the taps."""
    radius = geometry.patch_radius
    padded = np.pad(tile.feature, ((0, 0), *((r, r) for r in radius)), mode="symmetric")
    for axis, r in enumerate(radius, start=1):
        padded = np.lib.stride_tricks.sliding_window_view(padded, 2 * r + 1, axis=axis)
        padded = padded * np.sqrt(formula.taps(r, geometry.patch, np.float64))
    return np.moveaxis(padded, 0, 3)
