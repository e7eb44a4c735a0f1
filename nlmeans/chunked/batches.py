"""Batches: pictures of one array that have nothing to do with each other, each denoised alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nlmeans.arrays import (
    Array,
    as_numpy_or_cupy,
    check_image,
    in_library_of,
    library,
    namespace,
    on_device_of,
)
from nlmeans.choosing import choose
from nlmeans.errors import InvalidTypeError, InvalidValueError, Parameter, shown
from nlmeans.inputs import check
from nlmeans.noise.strength import root_mean_square
from nlmeans.parameters import Settings, one_of

_PER_PICTURE = ("mask", "guide", "sigma")  # arrays that may be one for each picture
_SHARED = ("settings",)


def denoise_each(
    image: Array,
    batch_axis: object,
    share: str | None,
    settings: Settings,
    denoise: Callable[..., Array],
    progress: Callable[[float], None] | None,
) -> Array:
    """Every picture along an axis by `denoise`, which takes the settings of one."""
    check_image(image)
    if library(image) not in ("numpy", "cupy", "torch"):
        raise InvalidTypeError(Parameter("batch_axis"), " is for NumPy, CuPy and torch arrays")
    batch = _Batch.of(image, batch_axis, settings.get("channel_axis"))
    given, image = image, as_numpy_or_cupy(image)
    settings = {**settings, **{n: _plain(settings.get(n)) for n in _PER_PICTURE}}  # type: ignore[typeddict-item]
    each = [batch.settings_of(i, settings) for i in range(batch.count)]
    pictures = [_at(image, batch.axis, i) for i in range(batch.count)]
    if share is not None:
        one_of("share", share, _SHARED)
        known = _shared(pictures, each)
        each = [{**own, **known} for own in each]
    done = []
    with on_device_of(given):
        for i, (picture, own) in enumerate(zip(pictures, each, strict=True)):
            done.append(denoise(picture, **own, progress=_part_of(progress, i, batch.count)))
        return in_library_of(namespace(*done).stack(done, axis=batch.axis), given)


def _plain(array: Any) -> Any:
    """A tensor as the array of NumPy or CuPy that the pictures are."""
    return as_numpy_or_cupy(array) if library(array) == "torch" else array


class _Batch:
    """Where the pictures of an array are."""

    def __init__(self, shape: tuple[int, ...], axis: int, channel_axis: int | None) -> None:
        self.shape, self.axis, self.channel_axis = shape, axis, channel_axis
        self.count = shape[axis]

    @classmethod
    def of(cls, image: Array, batch_axis: object, channel_axis: object) -> _Batch:
        """From the arguments of a call, checked."""
        axis = _axis("batch_axis", batch_axis, image.ndim)
        channels = None if channel_axis is None else _axis("channel_axis", channel_axis, image.ndim)
        if axis == channels:
            raise InvalidValueError(
                Parameter("batch_axis"),
                " and ",
                Parameter("channel_axis"),
                f" must differ, got {axis} for both",
            )
        return cls(tuple(image.shape), axis, channels)

    def settings_of(self, i: int, settings: Settings) -> dict[str, Any]:
        """Those of one picture: without the batch axis, with its own part of what is one for each."""
        own: dict[str, Any] = dict(settings)
        if self.channel_axis is not None:
            own["channel_axis"] = self.channel_axis - (self.channel_axis > self.axis)
        for name in _PER_PICTURE:
            array = own.get(name)
            if array is not None and library(array) is not None and array.ndim:
                own[name] = self._part(name, array, i)
        return own

    def _part(self, name: str, array: Array, i: int) -> Array:
        """A picture's part of an array that has the batch axis; else the array, which all share."""
        if name == "sigma" and array.ndim == 1:
            if len(array) != self.count:
                raise InvalidValueError(
                    "an array of sigma with ",
                    Parameter("batch_axis"),
                    f" must have one value for each of {self.count} pictures, got {len(array)}",
                )
            return float(array[i])
        shape = tuple(array.shape)
        if shape == self.shape or (len(shape) == len(self.shape) and name == "guide"):
            return _at(array, self.axis, i)
        without = tuple(n for a, n in enumerate(self.shape) if a != self.channel_axis)
        if self.channel_axis is not None and shape == without:
            return _at(array, self.axis - (self.channel_axis < self.axis), i)
        return array


def _axis(name: str, axis: object, ndim: int) -> int:
    if isinstance(axis, bool) or not isinstance(axis, int) or not -ndim <= axis < ndim:
        raise InvalidValueError(
            Parameter(name),
            f" must be an integer in [{-ndim}, {ndim - 1}] for {ndim} axes, got {shown(axis)}",
        )
    return axis % ndim


def _at(array: Array, axis: int, i: int) -> Array:
    """One picture: a view."""
    return array[(slice(None),) * axis + (i,)]


def _shared(pictures: list[Array], each: list[dict[str, Any]]) -> dict[str, Any]:
    """What is chosen once: sigma as the root mean square over pictures, all else as for the first with it."""
    known = dict(each[0])
    if known.get("sigma") is None and known.get("h") is None:
        found = [
            choose(check(p, s), s).noise.rms_sigma  # type: ignore[arg-type]
            for p, s in zip(pictures, each, strict=True)
        ]
        known["sigma"] = root_mean_square(found)
    parameters = choose(check(pictures[0], known), known).parameters  # type: ignore[arg-type]
    return {name: value for name, value in parameters.to_dict().items() if name not in _PER_PICTURE} | {
        name: known[name] for name in ("sigma",) if known.get(name) is not None and each[0].get(name) is None
    }


def _part_of(progress: Callable[[float], None] | None, i: int, count: int) -> Callable[[float], None] | None:
    if progress is None:
        return None
    return lambda done: progress((i + done) / count)
