"""An image whose noise follows a model, made one of white noise of sigma 1; and what leads a result back.

What is missing of the model is estimated first.  Each channel is transformed by its own parameters; a guide
alike, so that distances are in units of the noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nlmeans.arrays import (
    Array,
    as_channels,
    as_numpy_or_cupy,
    dtype_name,
    grid_axes,
    in_library_of,
    library,
    namespace,
    to_numpy,
)
from nlmeans.errors import InvalidValueError, Parameter, warn
from nlmeans.inputs import Inputs, Part, check
from nlmeans.noise.curve import MEAN_RADIUS, box_means
from nlmeans.noise.noise_curve import automatic, of_kind
from nlmeans.noise_models.model import NoiseModel
from nlmeans.noise_models.transforms import DARKEST, Logarithm, Transform, transform_of
from nlmeans.parameters import Settings, number

_FEW = 2.0  # of sigma in integers
_PICTURES = 16  # in which the noise of a batch is measured: 7,000 windows of all are looked at


@dataclass(frozen=True, eq=False)
class Stabilised:
    """An image in units of its noise, the settings for it, and the way back; white noise as it is."""

    image: Array
    settings: dict[str, Any]  # without the model; sigma is 1
    model: NoiseModel
    _original: Array
    _channel_axis: int | None
    _transforms: tuple[Transform, ...]  # one, or one per channel; none where the noise is white
    _blend: float

    def restored(self, result: Array) -> Array:
        """A result in the units, the type and the library of the image.

        What was not changed is as it was, to the bit.
        """
        if not self._transforms:
            return result
        changed, before, image = (as_numpy_or_cupy(a) for a in (result, self.image, self._original))
        clean = _each(self._back, self._transforms, self._channel_axis, image.dtype, changed, before, image)
        return in_library_of(clean, self._original) if library(self._original) else clean

    def _back(self, transform: Transform, changed: Array, before: Array, image: Array) -> Array:
        """Of one transform: what was changed led back, blended, rounded and clipped."""
        xp, dtype = namespace(changed), image.dtype
        with np.errstate(all="ignore"):  # of what is not finite and as it was
            wide = image.astype(changed.dtype)
            clean = xp.where(changed == before, wide, transform.inverse(changed, xp))
            clean = clean if self._blend == 0 else self._blend * wide + (1 - self._blend) * clean
            if dtype.kind != "f":
                limits = np.iinfo(dtype)
                clean = xp.clip(xp.rint(clean), limits.min, limits.max)
            return xp.where(changed == before, image, clean.astype(dtype))


@dataclass(frozen=True)
class Stabiliser:
    """A model that lacks nothing, and its transforms, for any image of the same kind: the next frame."""

    model: NoiseModel
    transforms: tuple[Transform, ...]  # one, or one per channel; none where the noise is white

    def to_json(self) -> dict[str, Any]:
        """In lists, numbers and words."""
        darkest = [t.darkest for t in self.transforms if isinstance(t, Logarithm)]
        return {"model": self.model.to_dict(), "transforms": len(self.transforms), "darkest": darkest}

    @classmethod
    def from_json(cls, read: Mapping[str, Any]) -> Stabiliser:
        """What :meth:`to_json` made."""
        model = NoiseModel.of(read["model"])
        assert model is not None
        means = [d / DARKEST for d in read["darkest"]] or [0.0] * read["transforms"]
        return cls(model, tuple(transform_of(model.of_channel(c), mean) for c, mean in enumerate(means)))

    @property
    def reach(self) -> int:
        """How far around a pixel sigma depends on the image, where that is a map."""
        return 0 if all(t.deviation(1.0) is None for t in self.transforms) else MEAN_RADIUS

    def of(self, image: Any, settings: Settings) -> Stabilised:
        """An image, or a part of it, in units of its noise."""
        model, axis, transforms = self.model, settings.get("channel_axis"), self.transforms
        blend = _blend(settings)
        known: dict[str, Any] = {n: v for n, v in settings.items() if n not in ("noise", "blend")}
        if not transforms:
            known |= {"sigma": model.sigma, "blend": blend}
            return Stabilised(image, known, model, image, axis, (), 0.0)
        array = as_numpy_or_cupy(image)
        known["mask"] = as_numpy_or_cupy(settings.get("mask"))
        known["sigma"] = _sigma(array, axis, known["mask"], transforms)
        if (guide := settings.get("guide")) is not None:
            known |= _guide(as_numpy_or_cupy(guide), array, axis, transforms, settings.get("guide_sigma"))
        white = _each(_forward, transforms, axis, _floating(array), array)
        return Stabilised(white, known, model, image, axis, transforms, blend)


#: A curve learned from the image: it runs filters, which are on a floor above.
Learn = Callable[[Inputs], NoiseModel | None]


def stabilised(image: Any, settings: Settings, learn: Learn | None = None) -> Stabilised | None:
    """The image in units of its noise; None where that is white already."""
    found = stabiliser(image, settings, learn)
    return None if found is None else found.of(image, settings)


def stabiliser(
    image: Any, settings: Settings, learn: Learn | None = None, *, stand_in: bool = False
) -> Stabiliser | None:
    """What makes the noise of an image, and of others like it, white; None where it is white already.

    Of a stand-in for the image only the number of channels counts: the settings say all.
    """
    if not is_modelled(settings):
        return None
    model = NoiseModel.of(settings["noise"])
    _refuse_levels(model, settings)
    _blend(settings)
    seen = _seen(image, settings)
    model = _known(model, seen, learn)
    if model.kind == "gaussian":
        return Stabiliser(model, ())
    found = Stabiliser(model, _transforms(model, seen))
    if not stand_in:
        _warn_of_rounding(model, seen)
    return found


def _blend(settings: Settings) -> float:
    """How much of the image is mixed back, checked."""
    blend = number("blend", settings.get("blend", 0.0))
    if blend > 1:
        raise InvalidValueError(Parameter("blend"), f" must be in [0, 1], got {blend}")
    return blend


def is_modelled(settings: Settings) -> bool:
    """Whether the noise is said to be another than white."""
    noise = settings.get("noise")
    return noise is not None and not (isinstance(noise, str) and noise == "gaussian")


def model_of_all(pictures: Sequence[Any], settings: Sequence[Settings]) -> NoiseModel:
    """One model for pictures of the same kind: what it lacks is estimated from some of them together."""
    model = NoiseModel.of(settings[0]["noise"])
    _refuse_levels(model, settings[0])
    some = range(0, len(pictures), -(-len(pictures) // _PICTURES))
    return _known(model, _together([_seen(pictures[i], settings[i]) for i in some]), None)


def _together(each: list[Inputs]) -> Inputs:
    """Pictures side by side along an axis that they have, to be measured as one."""
    axis = 1 if each[0].value.shape[2] > 1 else 2  # of the grid
    xp = namespace(each[0].value)
    mask = None
    if any(one.mask is not None for one in each):
        full = [xp.ones(one.value.shape[1:], bool) if one.mask is None else one.mask for one in each]
        mask = xp.concatenate(full, axis=axis)
    return replace(each[0], value=xp.concatenate([one.value for one in each], axis=axis + 1), mask=mask)


def _refuse_levels(model: NoiseModel | None, settings: Settings) -> None:
    """sigma and h are of white noise."""
    kind = "auto" if model is None else model.kind
    for name in ("sigma", "h"):
        if settings.get(name) is not None:
            raise InvalidValueError(
                Parameter(name),
                " is a level of white noise, and the noise is ",
                Parameter(f'noise="{kind}"'),
                ": leave one of the two out; ",
                Parameter("strength"),
                " and ",
                Parameter("k"),
                " make the filter stronger or weaker",
            )


def _known(model: NoiseModel | None, seen: Inputs, learn: Learn | None) -> NoiseModel:
    """The model with all that it needs; gaussian noise where that cannot be told."""
    if model is None:
        likely, doubtful = automatic(seen)
        if doubtful:
            warn(
                "the kind of noise cannot be told with 95 % certainty: it is taken for white; give ",
                Parameter("noise"),
                " where you know it",
            )
        return likely
    if model.kind == "gaussian" or not model.missing:
        return model
    if model.kind == "curve" and learn is None:
        raise InvalidValueError(
            Parameter('noise="curve"'),
            " is learned from one image: for this call give what suggest(image, ",
            Parameter('noise="curve"'),
            ").noise is",
        )
    found = learn(seen) if model.kind == "curve" and learn is not None else of_kind(model, seen)
    if found is None:
        warn(
            f"the {' and '.join(model.missing)} of {model.kind} noise cannot be estimated from this image: "
            "its noise is taken for white; give what is known of it with ",
            Parameter("noise"),
        )
        return NoiseModel("gaussian")
    return found


def _seen(image: Any, settings: Settings) -> Inputs:
    """What the model is looked for in: the image, checked."""
    own: Settings = {
        "channel_axis": settings.get("channel_axis"),
        "mask": settings.get("mask"),
        "nan": settings.get("nan", "raise"),
    }
    grid = (1,) * len(grid_axes(image, settings.get("channel_axis")))
    return check(image, own, Part(grid, grid, (None, None)))  # as a part: nothing is said twice


def _transforms(model: NoiseModel, seen: Inputs) -> tuple[Transform, ...]:
    """One for all channels, or one for each."""
    channels = seen.value.shape[0]
    if model.channels not in (None, channels):
        raise InvalidValueError(
            f"the model of the noise is for {model.channels} channels, and the image has {channels}"
        )
    same = model.channels is None and model.kind != "speckle"
    each = range(1 if same else channels)
    return tuple(transform_of(model.of_channel(c), _mean(seen, c)) for c in each)


def _mean(seen: Inputs, channel: int) -> float:
    """Of the valid pixels of a channel."""
    values = seen.value[channel] if seen.mask is None else seen.value[channel][seen.mask]
    if not values.size:
        return 0.0
    values = values.astype(np.float64)
    with np.errstate(over="ignore"):
        mean = float(values.mean())
    return mean if math.isfinite(mean) else float((values / values.size).sum())


def _sigma(array: Array, axis: int | None, mask: Any, transforms: tuple[Transform, ...]) -> Any:
    """1, or a map of what transforms leave where there is little signal; of channels its root mean square."""
    if all(t.deviation(1.0) is None for t in transforms):
        return 1.0
    own = 0 if axis is None else axis % array.ndim
    count = 1 if axis is None else array.shape[own]
    squares: Any = 0.0
    for c in range(count):
        channel = array if axis is None else array[(slice(None),) * own + (c,)]
        given = (channel,) if mask is None else (channel, mask)
        squares = squares + _squares(transforms[c if len(transforms) > 1 else 0], *map(to_numpy, given))
    return namespace(array).asarray(((squares / count) ** 0.5).astype(np.float32))


def _squares(transform: Transform, channel: Any, mask: Any = None) -> Any:
    """Of the deviation at each pixel of a grid, by the mean around it."""
    valid = np.isfinite(channel) if mask is None else np.isfinite(channel) & mask
    means = box_means(*(as_channels(each, None)[0] for each in (channel, valid)))
    return (transform.deviation(means) ** 2).reshape(channel.shape)


def _guide(
    guide: Array, image: Array, axis: int | None, transforms: tuple[Transform, ...], sigma: float | None
) -> dict[str, Any]:
    """A guide in the same units."""
    if sigma not in (None, 0):
        raise InvalidValueError(
            Parameter("guide_sigma"),
            " is 0 or left out where the noise has a model, which holds for the guide",
        )
    own = axis if guide.ndim == image.ndim else -1
    if len(transforms) > 1 and (guide.ndim != image.ndim or guide.shape[axis or 0] != image.shape[axis or 0]):
        raise InvalidValueError(
            "a guide must have the image's channels where the noise has parameters for each of them"
        )
    return {"guide": _each(_forward, transforms, own, _floating(guide), guide)}


def _forward(transform: Transform, values: Array) -> Array:
    with np.errstate(invalid="ignore", over="ignore"):  # of NaN, which stays, and of fill values
        return transform.forward(values.astype(_floating(values)), namespace(values))


def _floating(array: Array) -> np.dtype[Any]:
    """The type that the transformed image has."""
    return np.dtype(np.float64 if dtype_name(array) == "float64" else np.float32)


def _each(
    function: Callable[..., Array],
    transforms: Sequence[Transform],
    axis: int | None,
    dtype: Any,
    *arrays: Array,
) -> Array:
    """A function of one transform and arrays, for every channel its own."""
    if len(transforms) == 1:
        return function(transforms[0], *arrays)
    result = namespace(arrays[0]).empty(arrays[0].shape, dtype=dtype)
    apart = [as_channels(a, axis) for a in (result, *arrays)]
    for c, transform in enumerate(transforms):
        apart[0][c] = function(transform, *(a[c] for a in apart[1:]))
    return result


def _warn_of_rounding(model: NoiseModel, seen: Inputs) -> None:
    """Integers that count few: what is averaged lies between them."""
    if seen.value.dtype.kind == "f" or not model.kind.startswith("poisson"):
        return
    for c in range(seen.value.shape[0]):
        own = model.of_channel(c)
        gain, offset, sigma = (float(v or 0) for v in (own.gain, own.offset, own.sigma))  # type: ignore[arg-type]
        deviation = (max(gain * (_mean(seen, c) - offset), 0.0) + sigma**2) ** 0.5
        if deviation < _FEW:
            warn(
                f"the image holds integers whose noise is {deviation:.2g} on average: rounding the result to "
                "integers loses much of what the filter wins; pass image.astype('float32')"
            )
            return
