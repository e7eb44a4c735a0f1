"""A model of the noise: its kind, and its parameters as far as they are known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

from nlmeans.errors import InvalidTypeError, InvalidValueError, Parameter, shown

Numbers = float | tuple[float, ...]  #: one for all channels, or one per channel
Curves = tuple[float, ...] | tuple[tuple[float, ...], ...]  #: the points of one curve, or of one per channel

#: The parameters of each kind.
KINDS = {
    "gaussian": ("sigma",),
    "poisson": ("gain", "offset"),
    "poisson-gaussian": ("gain", "offset", "sigma"),
    "rician": ("sigma",),
    "speckle": ("looks",),
    "curve": ("levels", "deviations"),
}
_POINTS = KINDS["curve"]
NOISE_WORDS = (*KINDS, "auto")  # what may be asked for: "auto" is chosen for an image


@dataclass(frozen=True)
class NoiseModel:
    """How the variance of the noise depends on the clean value: frozen, hashable, with a dictionary form.

    Parameters
    ----------
    kind : {"gaussian", "poisson", "poisson-gaussian", "rician", "speckle", "curve"}
        "gaussian": variance ``sigma^2`` everywhere.  "poisson": counted photons, values are ``offset + gain
        count``, variance ``gain (mean - offset)``.  "poisson-gaussian": the same with the noise of a
        sensor's electronics added, variance ``gain (mean - offset) + sigma^2``.  "rician": the magnitude of
        complex values (MRI) whose real and imaginary parts have noise `sigma`.  "speckle": intensities of
        radar or ultrasound, gamma distributed around the clean value, variance ``mean^2 / looks``.
        "curve": standard deviations at some levels; between them their logarithm is linear, beyond constant.
    gain : float or tuple of float, optional
        Units of the image per count, > 0; one, or one per channel as all others.  Default: estimated.
    offset : float or tuple of float, optional
        The value of no light at all, in units of the image.  Default: 0, or where `gain` is estimated the
        value at which the fitted variance vanishes, if that is above 0.
    sigma : float or tuple of float, optional
        Standard deviation in units of the image: of gaussian and rician noise, or of what is added to
        counts; >= 0.  Default: estimated.
    looks : float or tuple of float, optional
        Independent intensities that each value is the mean of, > 0.  Default: estimated.
    levels, deviations : tuple of float, or tuple of such tuples, optional
        Clean values, rising, and the standard deviation of the noise there, > 0, equally many; of all
        channels, or of each.  Default: learned from the image, see docs/noise.md.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        For another kind, numbers outside of these ranges, or a parameter that the kind does not have.

    Examples
    --------
    >>> NoiseModel("poisson", gain=2.0).to_dict()
    {'kind': 'poisson', 'gain': 2.0}
    """

    kind: str
    gain: Numbers | None = None
    offset: Numbers | None = None
    sigma: Numbers | None = None
    looks: Numbers | None = None
    levels: Curves | None = None
    deviations: Curves | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.kind, str) or self.kind not in KINDS:
            raise InvalidValueError(
                f"kind of noise must be one of {', '.join(KINDS)}, got {shown(self.kind)}"
            )
        for name in self._names:
            if (value := getattr(self, name)) is None:
                continue
            if name not in KINDS[self.kind]:
                raise InvalidValueError(
                    f"{name} is no parameter of {self.kind} noise, which has {' and '.join(KINDS[self.kind])}"
                )
            object.__setattr__(self, name, (_curves if name in _POINTS else _numbers)(name, value))
        _ = self.channels  # refuses tuples of different lengths
        self._check_points()

    def _check_points(self) -> None:
        """A curve's levels rise, and have a deviation each."""
        if self.levels is None and self.deviations is None:
            return
        each = [_of_channels(v) for v in (self.levels, self.deviations)]
        as_many = [len(v) for v in each[0]] == [len(v) for v in each[1]]
        rising = all(a < b for levels in each[0] for a, b in pairwise(levels))
        if not as_many or not rising or not each[0][0]:
            raise InvalidValueError(
                "a curve of noise has levels that rise and as many deviations, got "
                f"{shown(self.levels)} and {shown(self.deviations)}"
            )

    @classmethod
    def of(cls, noise: object) -> NoiseModel | None:
        """From what `denoise` takes: a model, a word or a dictionary; None for "auto"."""
        if isinstance(noise, cls):
            return noise
        if isinstance(noise, Mapping):
            names = [f.name for f in fields(cls)]
            if not {"kind"} <= set(noise) <= set(names):
                raise InvalidValueError(
                    f"a model has a kind and some of {', '.join(names[1:])}, got {shown(dict(noise))}"
                )
            values: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in noise.items()}
            return cls(**values)
        if not isinstance(noise, str):
            raise InvalidTypeError(Parameter("noise"), f" must be a word or a NoiseModel, got {shown(noise)}")
        if noise not in NOISE_WORDS:
            raise InvalidValueError(
                Parameter("noise"), f" must be one of {', '.join(NOISE_WORDS)}, got {shown(noise)}"
            )
        return None if noise == "auto" else cls(noise)

    @property
    def _names(self) -> list[str]:
        return [f.name for f in fields(self)[1:]]

    @property
    def channels(self) -> int | None:
        """For how many channels it has parameters; None: the same for any number."""
        counts = {len(getattr(self, n)) for n in self._names if self._is_per_channel(n)}
        if len(counts) > 1:
            raise InvalidValueError(
                f"parameters of noise per channel must be equally many, got {sorted(counts)}"
            )
        return counts.pop() if counts else None

    @property
    def missing(self) -> tuple[str, ...]:
        """The parameters that are to be estimated."""
        return tuple(n for n in KINDS[self.kind] if n != "offset" and getattr(self, n) is None)

    def of_channel(self, channel: int) -> NoiseModel:
        """That of one channel."""
        each = {n: getattr(self, n) for n in self._names}
        own = {n: v[channel] if self._is_per_channel(n) else v for n, v in each.items()}
        return NoiseModel(self.kind, **own)

    def _is_per_channel(self, name: str) -> bool:
        """Whether a parameter is one per channel: a tuple, of points a tuple of tuples."""
        value = getattr(self, name)
        return isinstance(value, tuple) and (name not in _POINTS or isinstance(value[0], tuple))

    def to_dict(self) -> dict[str, Any]:
        """The kind and what is set, as :meth:`of` takes it."""
        return {f.name: v for f in fields(self) if (v := getattr(self, f.name)) is not None}


def joined(models: list[NoiseModel]) -> NoiseModel:
    """The models of channels, all of one kind, as one; of a single channel that itself."""
    if len(models) == 1:
        return models[0]
    names = KINDS[models[0].kind]
    each: dict[str, Any] = {name: tuple(getattr(model, name) for model in models) for name in names}
    return NoiseModel(models[0].kind, **{name: v for name, v in each.items() if None not in v})


def _of_channels(points: Curves | None) -> tuple[tuple[float, ...], ...]:
    """Those of each channel; one of all."""
    if not points:
        return ((),)
    return points if isinstance(points[0], tuple) else (points,)


def _curves(name: str, value: object) -> Curves:
    """The points of one curve, or of one for each channel."""
    if not isinstance(value, tuple | list) or not value:
        raise InvalidTypeError(
            f"{name} of noise must be numbers, or such for each channel, got {shown(value)}"
        )
    if all(isinstance(v, tuple | list) for v in value):
        return tuple(tuple(_number(name, one) for one in each) for each in value)
    return tuple(_number(name, v) for v in value)


def _numbers(name: str, value: object) -> Numbers:
    """One finite number in the range of the parameter, or a tuple of them."""
    if isinstance(value, tuple | list):
        return tuple(_number(name, v) for v in value)
    return _number(name, value)


def _number(name: str, value: Any) -> float:
    axes: int = getattr(value, "ndim", 0)
    if isinstance(value, bool) or not hasattr(value, "__float__") or axes:
        raise InvalidTypeError(f"{name} of noise must be a number or a tuple of them, got {shown(value)}")
    result = float(value)
    low = -math.inf if name in ("offset", "levels") else 0.0
    if not math.isfinite(result) or result < low or (result == 0 and name in ("gain", "looks", "deviations")):
        allowed = {"offset": "finite", "levels": "finite", "sigma": "finite and >= 0"}.get(
            name, "finite and > 0"
        )
        raise InvalidValueError(f"{name} of noise must be {allowed}, got {shown(value)}")
    return result
