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
)
from nlmeans.errors import InvalidValueError, Parameter, shown, warn
from nlmeans.parameters import Settings, integer

_MOST = 4  # copies along an axis that are looked for
_LEAST = 12  # own pixels along an axis: of fewer it may be chance
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

    def restored(self, result: Array) -> Array:
        """A result enlarged as the image was; that is told where anything was changed."""
        large, xp = as_numpy_or_cupy(result), namespace(as_numpy_or_cupy(result))
        if bool((large != as_numpy_or_cupy(self.image)).any()):
            times = " x ".join(map(str, self.repeats))
            warn(
                f"each pixel is repeated {times} times: the image was filtered at its own resolution, and "
                "enlarged again; ",
                Parameter("repeats=1"),
                " filters it as it is",
            )
        for axis, n in zip(self._axes, self.repeats, strict=True):
            if n > 1:
                index = xp.arange(self._original.shape[axis]) // n
                large = large.take(index, axis)
        return in_library_of(large, self._original)


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
    found = tuple(_times(array, axis) for axis in axes) if asked is None else _asked(asked, array, axes)
    if max(found) == 1:
        return None
    for axis, n in zip(axes, found, strict=True):
        array = _own(array, axis, n)
    known = {name: value for name, value in settings.items() if name != "repeats"}
    return Reduced(in_library_of(array, image), {**known, "repeats": 1}, found, image, axes)


def _own(array: Array, axis: int, n: int) -> Array:
    """Every n-th along an axis."""
    return array[(slice(None),) * axis + (slice(None, None, n),)]


def _asked(asked: object, array: Array, axes: tuple[int, ...]) -> tuple[int, ...]:
    """Repeats that were given, and are there."""
    each = tuple(asked) if isinstance(asked, tuple | list) else (asked,) * len(axes)
    times = tuple(integer("repeats", n, 1) for n in each)
    if len(times) != len(axes):
        raise InvalidValueError(
            Parameter("repeats"), f" must have one number for each of {len(axes)} axes, got {shown(asked)}"
        )
    for axis, n in zip(axes, times, strict=True):
        if n > 1 and not _repeated(array, axis, n):
            raise InvalidValueError(
                Parameter("repeats"), f" is {shown(asked)}, and pixels along axis {axis} are no copies"
            )
    return times


def _times(array: Array, axis: int) -> int:
    """How many times each pixel stands along an axis: the middle is looked at first."""
    length = array.shape[axis]
    for n in range(_MOST, 1, -1):
        own = length // n
        if own < _LEAST:
            continue
        first = (own // 2 - _LEAST // 2) * n
        some = array[(slice(None),) * axis + (slice(first, first + _LEAST * n),)]
        if _repeated(some, axis, n) and _varies(some, axis, n) and _repeated(array, axis, n):
            return n
    return 1


def _repeated(array: Array, axis: int, n: int) -> bool:
    """Whether every n along an axis are equal; the last ones may be fewer."""
    own = _own(array, axis, n)
    for j in range(1, n):
        copy = array[(slice(None),) * axis + (slice(j, None, n),)]
        some = own[(slice(None),) * axis + (slice(0, copy.shape[axis]),)]
        if not bool((copy == some).all()):
            return False
    return True


def _varies(array: Array, axis: int, n: int) -> bool:
    """Whether most own pixels differ from the next."""
    own = _own(array, axis, n)
    ahead, behind = (own[(slice(None),) * axis + (part,)] for part in (slice(1, None), slice(None, -1)))
    return float(np.float64((ahead == behind).mean())) < _EQUAL
