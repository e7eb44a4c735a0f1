"""Batches: pictures of one array that have nothing to do with each other, and what is chosen once for all."""

from __future__ import annotations

from dataclasses import replace
from statistics import median
from typing import Any

from nlmeans.arrays import Array, as_numpy_or_cupy, check_image, library
from nlmeans.choosing import Chosen, choose
from nlmeans.choosing.given import strengths
from nlmeans.choosing.modelled import with_model
from nlmeans.errors import InvalidTypeError, InvalidValueError, Parameter, shown
from nlmeans.inputs import check
from nlmeans.noise.impulses import without_impulses
from nlmeans.noise.stabilised import is_modelled, model_of_all, stabilised
from nlmeans.noise.strength import root_mean_square
from nlmeans.noise_models.model import NoiseModel
from nlmeans.parameters import Parameters, Settings, one_of

_PER_PICTURE = ("mask", "guide", "sigma")  # arrays that may be one for each picture
_SHARED = ("settings",)


class Batch:
    """The pictures of an array, and the settings of each: views without the batch axis."""

    def __init__(self, image: Array, axis: int, channel_axis: int | None, settings: Settings) -> None:
        self.axis, self._shape, self._channel_axis = axis, tuple(image.shape), channel_axis
        image = as_numpy_or_cupy(image)
        plain = {n: _plain(settings.get(n)) for n in _PER_PICTURE}
        self.pictures = [_at(image, axis, i) for i in range(self._shape[axis])]
        self.settings = [self._settings_of(i, {**settings, **plain}) for i in range(self._shape[axis])]
        self.sigma_of_each = library(plain["sigma"]) is not None and plain["sigma"].ndim > 0

    @classmethod
    def of(cls, image: Array, batch_axis: object, settings: Settings) -> Batch:
        """From the arguments of a call, checked."""
        check_image(image)
        axis = _axis("batch_axis", batch_axis, image.ndim)
        given = settings.get("channel_axis")
        channels = None if given is None else _axis("channel_axis", given, image.ndim)
        if axis == channels:
            raise InvalidValueError(
                Parameter("batch_axis"),
                " and ",
                Parameter("channel_axis"),
                f" must differ, got {axis} for both",
            )
        return cls(image, axis, channels, settings)

    def chosen_once(self) -> Parameters:
        """Sigma as the root mean square over pictures, or one model; all else as for the first with it."""
        each = self.settings
        if is_modelled(each[0]):  # type: ignore[arg-type]
            model = model_of_all(self.pictures, each)  # type: ignore[arg-type]
            if model.kind != "gaussian":
                return self._with(model)
            each = [{**own, "noise": "gaussian", "sigma": model.sigma} for own in each]
        known = dict(each[0])
        if known.get("sigma") is None and known.get("h") is None:
            plain = [{**own, "strength": 1.0} for own in each]
            alone = [_chosen(p, s) for p, s in zip(self.pictures, plain, strict=True)]
            known |= {"sigma": _shared_sigma(alone), "color": alone[0].parameters.color}
            more = _stretch(self.pictures, plain, alone)
            first, others = (s * more for s in strengths(known.get("strength", 1.0)))
            known["strength"] = first if first == others else (first, others)
        chosen = _chosen(self.pictures[0], known).parameters
        return replace(chosen, sigma=None) if self.sigma_of_each else chosen

    def _with(self, model: NoiseModel) -> Parameters:
        """With one model of the noise of all, the rest as for the first picture with it."""
        own: Any = {**self.settings[0], "noise": model}
        first = stabilised(self.pictures[0], own)
        assert first is not None
        return with_model(_chosen(first.image, first.settings).parameters, model, own)

    def with_shared(self, share: str) -> list[dict[str, Any]]:
        """The settings of each picture once these are chosen for all."""
        one_of("share", share, _SHARED)
        chosen = self.chosen_once()
        known = {"noise": "gaussian", **chosen.to_dict()}
        if self.settings[0].get("sigma") is not None:
            known.pop("sigma", None)
        if chosen.method == "nlmeans" or "sigma" in known:  # which hold the strength
            known["strength"] = 1.0
        return [{**own, **known} for own in self.settings]

    def _settings_of(self, i: int, settings: dict[str, Any]) -> dict[str, Any]:
        """Those of one picture: without the batch axis, with its own part of what is one for each."""
        own = dict(settings)
        if self._channel_axis is not None:
            own["channel_axis"] = self._channel_axis - (self._channel_axis > self.axis)
        for name in _PER_PICTURE:
            array = own.get(name)
            if array is not None and library(array) is not None and array.ndim:
                own[name] = self._part(name, array, i)
        return own

    def _part(self, name: str, array: Array, i: int) -> Array:
        """A picture's part of an array that has the batch axis; else the array, which all share."""
        count = self._shape[self.axis]
        if name == "sigma" and array.ndim == 1:
            if len(array) != count:
                raise InvalidValueError(
                    "an array of sigma with ",
                    Parameter("batch_axis"),
                    f" must have one value for each of {count} pictures, got {len(array)}",
                )
            return float(array[i])
        shape = tuple(array.shape)
        if shape == self._shape or (len(shape) == len(self._shape) and name == "guide"):
            return _at(array, self.axis, i)
        without = tuple(n for a, n in enumerate(self._shape) if a != self._channel_axis)
        if self._channel_axis is not None and shape == without:
            return _at(array, self.axis - (self._channel_axis < self.axis), i)
        return array


def suggested(image: Array, batch_axis: object, share: str | None, settings: Settings) -> Parameters:
    """What is chosen once for the pictures of an array, where that is asked for."""
    if share is None:
        raise InvalidValueError(
            "each picture of a batch has settings of its own: give ",
            Parameter('share="settings"'),
            " too for one choice for all, or suggest those of one picture",
        )
    refuse_others(image)
    one_of("share", share, _SHARED)
    return Batch.of(image, batch_axis, settings).chosen_once()


def refuse_others(image: Array) -> None:
    """Batches are arrays whose parts are there."""
    check_image(image)
    if library(image) not in ("numpy", "cupy", "torch"):
        raise InvalidTypeError(Parameter("batch_axis"), " is for NumPy, CuPy and torch arrays")


def _chosen(picture: Array, settings: dict[str, Any]) -> Chosen:
    return choose(without_impulses(check(picture, settings), settings), settings)  # type: ignore[arg-type]


def _shared_sigma(alone: list[Chosen]) -> float | tuple[float, ...]:
    """The root mean square over pictures, of each component where all have the same."""
    each = [s for c in alone if isinstance(s := c.parameters.sigma, tuple)]
    if (
        len(each) == len(alone)
        and len({(c.parameters.color, len(s)) for c, s in zip(alone, each, strict=True)}) == 1
    ):
        return tuple(root_mean_square(list(component)) for component in zip(*each, strict=True))
    return root_mean_square([c.noise.rms_sigma for c in alone])


def _stretch(pictures: list[Array], settings: list[dict[str, Any]], alone: list[Chosen]) -> float:
    """By what k is larger than the table's, as it is where neighbours share noise: the median."""
    found = []
    for picture, own, chosen in zip(pictures, settings, alone, strict=True):
        sigma = chosen.parameters.sigma
        if sigma is None or not chosen.parameters.k or own.get("k") is not None:
            return 1.0  # a map, NL-Ridge, whose sigma has it, or given
        again = _chosen(picture, {**own, "sigma": sigma, "color": chosen.parameters.color})
        found.append(chosen.parameters.k / again.parameters.k if again.parameters.k else 1.0)
    return float(median(found))


def _plain(array: Any) -> Any:
    """A tensor as the array of NumPy or CuPy that the pictures are."""
    return as_numpy_or_cupy(array) if library(array) == "torch" else array


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
