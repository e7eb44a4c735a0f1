"""Looking into the filter: which pixels vote for one, and how much."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Unpack

import numpy as np

from nlmeans.arrays import Array, leave
from nlmeans.automatic import Settings, settled
from nlmeans.errors import InvalidTypeError, InvalidValueError, shown
from nlmeans.parameters import integer
from nlmeans.planes import Block, Geometry, taps
from nlmeans.preparation import Prepared
from nlmeans.similarity import Euclidean, nonlocal_weights

LN_2 = math.log(2)


def weights(image: Array, at: Sequence[int], **settings: Unpack[Settings]) -> Array:
    """Who votes for one pixel, and how much: its normalised weights, the centre included.

    Parameters
    ----------
    image : array
        As for `denoise`.
    at : sequence of int
        The pixel, one index per grid axis.
    **settings
        Any of `denoise`'s parameters from `sigma` to `nan`.

    Returns
    -------
    array of float64, shape of the grid
        Zero outside of the search window; the sum is 1.  ``sum(weights * image)`` is what
        ``denoise(image, aggregate="pixel")`` gives at that pixel.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        As `denoise`, and for a pixel outside of the image.

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
    votes = Votes(image, **settings)
    window, shares = votes.window(at)
    result = np.zeros(votes.grid)
    result[window] = shares
    return leave(result, image)


class Votes:
    """The weights of any number of pixels of one image, which is prepared once."""

    def __init__(self, image: Array, **settings: Unpack[Settings]) -> None:
        self._inputs, self.parameters, self._noise = settled(image, **settings)
        self.grid = tuple(self._inputs.grid)
        self._geometry = Geometry.of(self.parameters, self.grid)

    @property
    def search_radius(self) -> tuple[int, ...]:
        """R for each grid axis."""
        return self._geometry.search_radius[-len(self.grid) :]

    def window(self, at: Sequence[int]) -> tuple[tuple[slice, ...], np.ndarray]:
        """A pixel's search window, cut at the edges, and the weights in it."""
        pixel = self._pixel(at)
        vote = self._inputs.vote
        if self._noise.changes_nothing or (vote is not None and not bool(vote[pixel])):
            return tuple(slice(i, i + 1) for i in pixel[-len(self.grid) :]), np.ones((1,) * len(self.grid))
        window, rows, _ = _window(self.prepared, self._geometry, pixel)
        return window[-len(self.grid) :], rows.reshape(rows.shape[-len(self.grid) :])

    def patches(self, at: Sequence[int]) -> np.ndarray:
        """The patch of every pixel in the search window as a vector: (pixels, samples)."""
        return _window(self.prepared, self._geometry, self._pixel(at))[2]

    @cached_property
    def prepared(self) -> Prepared:
        """The image, ready to be cut."""
        return Prepared.of(self._inputs, self._noise, self._geometry.patch_radius, "float64")

    def _pixel(self, at: Sequence[int]) -> tuple[int, ...]:
        return (0,) * (3 - len(self.grid)) + _checked(at, self.grid)


def _checked(at: Sequence[int], grid: tuple[int, ...]) -> tuple[int, ...]:
    """The pixel's indices, inside the grid."""
    if not isinstance(at, tuple | list):
        raise InvalidTypeError(f"at must be a tuple of one index per grid axis, got {shown(at)}")
    if len(at) != len(grid):
        raise InvalidValueError(f"at must have {len(grid)} indices, one per grid axis, got {shown(at)}")
    return tuple(integer("at", i, 0, n - 1) for i, n in zip(at, grid, strict=True))


def _window(
    prepared: Prepared, geometry: Geometry, pixel: tuple[int, ...]
) -> tuple[tuple[slice, ...], np.ndarray, np.ndarray]:
    """The search window of a pixel, cut at the edges, the weights in it, and its patches."""
    shape = prepared.value.shape[1:]
    each = list(zip(pixel, geometry.search_radius, shape, strict=True))
    window = tuple(slice(max(0, i - big), min(n, i + big + 1)) for i, big, n in each)
    margin = list(zip(window, geometry.patch_radius, shape, strict=True))
    seen = tuple(slice(max(0, w.start - r), min(n, w.stop + r)) for w, r, n in margin)
    block = prepared.block(seen, np)
    inside = tuple(slice(w.start - s.start, w.stop - s.start) for w, s in zip(window, seen, strict=True))
    features = _patches(block, geometry)[inside]
    counts = features.shape[:3]
    keys = features.reshape(math.prod(counts), -1)
    itself = np.ravel_multi_index(tuple(i - w.start for i, w in zip(pixel, window, strict=True)), counts)
    here = tuple(i - s.start for i, s in zip(pixel, seen, strict=True))
    scale, bias = (float(x) for x in block.exponent(here))
    rows = nonlocal_weights(
        keys[itself][None],
        keys,
        itself=np.asarray([itself]),
        similarity=Euclidean(h=(LN_2 * scale) ** -0.5, sigma=(bias / scale / 2) ** 0.5),
        center=geometry.center,  # type: ignore[arg-type]
        vote=block.vote[inside].reshape(-1),
    )
    return window, rows[0].reshape(counts), keys


def _patches(block: Block, geometry: Geometry) -> np.ndarray:
    """The patch of every pixel of a block as a vector, scaled by the root of the taps."""
    radius = geometry.patch_radius
    padded = np.pad(block.feature, ((0, 0), *((r, r) for r in radius)), mode="symmetric")
    for axis, r in enumerate(radius, start=1):
        padded = np.lib.stride_tricks.sliding_window_view(padded, 2 * r + 1, axis=axis)
        padded = padded * np.sqrt(taps(r, geometry.patch, np.float64))
    return np.moveaxis(padded, 0, 3)
