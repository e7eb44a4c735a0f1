"""Images that were enlarged by repeating their pixels, taken at their own resolution, and enlarged again.

Copies share their noise wholly: to compare or to average them wins nothing.  Without them the filter is told
the truth about the noise, sees more of the image, and is as many times faster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nlmeans.arrays import (
    Array,
    as_numpy_or_cupy,
    check_image,
    grid_axes,
    in_library_of,
    is_chunked,
    namespace,
    to_numpy,
)
from nlmeans.errors import InvalidValueError, Parameter, shown, warn
from nlmeans.parameters import Settings, integer

_MOST = 4  # copies along an axis that are looked for
_LEAST = 12  # own pixels along an axis: of fewer it may be chance
_WEAK = 0.005  # of the range: changes of less are not to be seen
_VALUES = 9  # of an image with noise, at least
_EQUAL = 0.5  # part of the own pixels that equal the next at most: drawings have more
#: Settings that are about the pixels as they are: where one is given nothing is looked for.
_GIVEN = ("sigma", "h", "k", "patch_radius", "search_radius", "spacing", "guide", "mask")


@dataclass(frozen=True, eq=False)
class Reduced:
    """An image at its own resolution, the settings for it, and the way back."""

    image: Array
    settings: dict[str, Any]
    repeats: tuple[int, ...]  # along each axis of the grid
    _original: Array
    _axes: tuple[int, ...]
    _first: tuple[int, ...]  # where the first whole pixel begins along each axis

    def restored(self, result: Array) -> Array:
        """A result enlarged as the image was; that is told where the change is to be seen."""
        large, xp = as_numpy_or_cupy(result), namespace(as_numpy_or_cupy(result))
        if _differ(large, as_numpy_or_cupy(self.image)):
            times = " x ".join(map(str, self.repeats))
            warn(
                f"each pixel is repeated {times} times: the image was filtered at its own resolution, and "
                "enlarged again; ",
                Parameter("repeats=1"),
                " filters it as it is",
            )
        for axis, n, first in zip(self._axes, self.repeats, self._first, strict=True):
            if n > 1:
                place = np.arange(self._original.shape[axis])
                large = large.take(xp.asarray((place - first + n) // n - (first == 0)), axis)
        return in_library_of(large, self._original)


def _differ(one: Array, other: Array) -> bool:
    """Whether it is to be seen; NaN is in both or in none."""
    values, result = other.astype(np.float64), one.astype(np.float64)
    seen = namespace(one).isfinite(values)
    if not bool(seen.any()):
        return False
    values, result = values[seen], result[seen]
    return float(((result - values) ** 2).mean()) > (_WEAK * float(values.max() - values.min())) ** 2


def reduced(image: Any, settings: Settings) -> Reduced | None:
    """The image without its copies; None where there are none, or it is to be filtered as it is."""
    asked = settings.get("repeats")
    if asked is None and any(settings.get(name) is not None for name in _GIVEN):
        return None
    if is_chunked(image):
        if asked not in (None, 1):
            raise InvalidValueError(Parameter("repeats"), " is not for Dask arrays: leave it out")
        return None
    check_image(image)
    axes, array = grid_axes(image, settings.get("channel_axis")), as_numpy_or_cupy(image)
    found = [_times(array, axis) for axis in axes] if asked is None else _asked(asked, array, axes)
    repeats, first = (tuple(each) for each in zip(*found, strict=True))
    if max(repeats) == 1 or (asked is None and _is_drawn(array)):
        return None
    grid = tuple(array.shape[axis] for axis in axes)
    for axis, (n, begin) in zip(axes, found, strict=True):
        array = _own(array, axis, n, begin)
    _check_beside(settings, grid, tuple(array.shape[axis] for axis in axes))
    known = {name: value for name, value in settings.items() if name != "repeats"}
    return Reduced(in_library_of(array, image), {**known, "repeats": 1}, repeats, image, axes, first)


def _check_beside(settings: Settings, grid: tuple[int, ...], own: tuple[int, ...]) -> None:
    """What goes with the image must be without copies too."""
    for name in ("mask", "guide", "sigma"):
        shape = tuple(getattr(settings.get(name), "shape", ()))
        if grid in (shape[: len(grid)], shape[-len(grid) :]):
            raise InvalidValueError(
                Parameter("repeats"),
                f" filters an image of {own} own pixels: give ",
                Parameter(name),
                f" for these, too, not for the {grid} with their copies",
            )


def _is_drawn(array: Array) -> bool:
    """Whether it has few values, as codes and drawings: what looks like noise there is meant."""
    part = array[tuple(slice(n // 2 - 24 if n > 48 else 0, n // 2 + 24) for n in array.shape)]
    return len(np.unique(to_numpy(part))) < _VALUES


def _own(array: Array, axis: int, n: int, first: int) -> Array:
    """One of each n along an axis; what is before the first whole pixel is a pixel too."""
    places = np.unique(np.concatenate([[0], np.arange(first, array.shape[axis], n)]))
    return array if n == 1 else array.take(namespace(array).asarray(places), axis)


def _asked(asked: object, array: Array, axes: tuple[int, ...]) -> list[tuple[int, int]]:
    """Repeats that were given, and are there; and where the first begins."""
    each = tuple(asked) if isinstance(asked, tuple | list) else (asked,) * len(axes)
    times = tuple(integer("repeats", n, 1) for n in each)
    if len(times) != len(axes):
        raise InvalidValueError(
            Parameter("repeats"), f" must have one number for each of {len(axes)} axes, got {shown(asked)}"
        )
    found = []
    for axis, n in zip(axes, times, strict=True):
        first = _first(_equal(array, axis), n) if n > 1 else 0
        if first is None:
            raise InvalidValueError(
                Parameter("repeats"), f" is {shown(asked)}, and pixels along axis {axis} are no copies"
            )
        found.append((n, first))
    return found


def _times(array: Array, axis: int) -> tuple[int, int]:
    """How many times each pixel stands along an axis, and where the first begins."""
    length, some = array.shape[axis], _LEAST * _MOST
    if length < 2 * _LEAST:
        return 1, 0
    middle = max(0, (length - some) // 2)
    part = _equal(array[(slice(None),) * axis + (slice(middle, middle + some),)], axis)
    if _period(part) == 1:  # nearly always: then no more is looked at
        return 1, 0
    equal = _equal(array, axis)
    n = _period(equal)
    return n, _first(equal, n) or 0


def _equal(array: Array, axis: int) -> Any:
    """Of each pixel along an axis, which part of it equals the next."""
    ahead, behind = (array[(slice(None),) * axis + (part,)] for part in (slice(1, None), slice(None, -1)))
    others = tuple(a for a in range(array.ndim) if a != axis)
    return to_numpy((ahead == behind).mean(axis=others))


def _period(equal: Any) -> int:
    """The number of copies of each of pixels most of which differ from the next; 1 where they are none."""
    for n in range(_MOST, 1, -1):
        first = _first(equal, n)
        if first is not None and len(equal) >= _LEAST * n - 1:
            borders = equal[(np.arange(len(equal)) + 1 - first) % n == 0]
            return n if float(borders.mean()) < _EQUAL else 1
    return 1


def _first(equal: Any, n: int) -> int | None:
    """Where the first of n equal pixels begins; None where they are not equal throughout."""
    for first in range(n):
        within = (np.arange(len(equal)) + 1 - first) % n != 0
        if bool((equal[within] == 1).all()):
            return first
    return None
