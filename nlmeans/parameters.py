"""The settings of one NL-means filter, checked once: below this nothing checks them again."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypedDict, cast

from nlmeans.errors import InvalidTypeError, InvalidValueError, Parameter, shown
from nlmeans.noise_models.model import NoiseModel

Patch = Literal["box", "gaussian"]
Center = Literal["max", "one", "zero"]
Aggregate = Literal["patch", "pixel"]
Color = Literal["joint", "luminance", "separate"]
MethodName = Literal["nlmeans", "nlridge", "learned"]
Impulses = Literal["keep", "replace"]

PATCHES = ("box", "gaussian")
CENTERS = ("max", "one", "zero")
AGGREGATES = ("patch", "pixel")
COLORS = ("joint", "luminance", "separate")
COLOR_WORDS = ("auto", *COLORS)  # what may be asked for: "auto" is chosen for an image
METHODS = ("nlmeans", "nlridge", "learned")
BY_GROUPS = ("nlridge", "learned")  # NL-Ridge, and what corrects its result: they share its settings
IMPULSES = ("keep", "replace")
#: Settings of NL-means, which NL-Ridge does not have: it has tables of its own.
OF_NLMEANS = (
    "h",
    "k",
    "patch_radius",
    "search_radius",
    "spacing",
    "patch",
    "center",
    "aggregate",
    "passes",
    "differences",
    "second",
    "mixing",
    "guide",
    "guide_sigma",
)
#: Settings of every method.
OF_EVERY_METHOD = ("sigma", "noise", "color", "strength", "blend", "mask", "nan", "impulses", "repeats")
MAX_PATCH_RADIUS = 255  # patches are padded by reflection: larger ones would cost memory, not help
MAX_SEARCH_RADIUS = 2**31 - 1  # cut at the picture's edge anyway


class Settings(TypedDict, total=False):
    """The parameters of `denoise` that say what is computed; other functions take them too."""

    method: str
    noise: Any
    sigma: Any
    h: float | None
    k: float | None
    patch_radius: int | tuple[int, ...] | None
    search_radius: int | tuple[int, ...] | Literal["image"] | None
    channel_axis: int | None
    spacing: tuple[float, ...] | None
    patch: str | None
    center: str | None
    aggregate: str | None
    color: str | None
    passes: int | None
    differences: Parameters | Mapping[str, Any] | None
    second: Parameters | Mapping[str, Any] | None
    strength: float | tuple[float, float]
    blend: float
    guide: Any
    guide_sigma: float | None
    mask: Any
    nan: str
    impulses: str
    repeats: int | tuple[int, ...] | None


def settings_among(given: Mapping[str, Any]) -> Settings:
    """Those of the parameters of a call that are settings."""
    return cast(Settings, {name: given[name] for name in Settings.__annotations__ if name in given})


def check_names(settings: Settings) -> None:
    """Refuse a keyword that is no setting, as Python does."""
    for name in settings:
        if name not in Settings.__annotations__:
            raise TypeError(f"got an unexpected keyword argument {name!r}")


@dataclass(frozen=True)
class Parameters:
    """What is computed, apart from the image: frozen, hashable, with a JSON form.

    NL-means has all of these, the others `method`, `noise`, `sigma`, `color`, `blend` and `impulses`.

    Parameters
    ----------
    patch_radius : int or tuple of int
        Radius r of the compared patches, one number or one per grid axis, >= 0; a patch has
        ``2 r + 1`` samples along an axis.
    search_radius : int or tuple of int or "image"
        Radius R of the search window, likewise; "image" is the whole picture.
    sigma : float or tuple of float, optional
        Standard deviation of the noise in the units of the image, >= 0; a tuple has one value per
        channel, or with ``color="luminance"`` one for the luminance and for each difference.  None: it is
        a map, given with the image, or that of the parameters that these are a part of.
    h : float, optional
        Filtering strength in the units of the image, >= 0.  Give either `h` or `k`.
    k : float, optional
        Filtering strength in units of sigma, >= 0: ``h = k sigma``.
    patch : {"box", "gaussian"}
        Equal weights in the patch, or a Gaussian of standard deviation ``r / 2``.
    center : {"max", "one", "zero"}
        A pixel's weight for itself: the largest of the others, 1, or 0, but at least 2^-20.
    aggregate : {"patch", "pixel"}
        Every patch estimates all of its pixels, or only its centre.
    color : {"joint", "luminance", "separate"}
        One weight for all channels, from their joint distance; or the luminance of three colours by itself,
        which the other parameters describe, and their differences by `differences`; or each channel by
        itself.
    passes : {1, 2}
        Whether a second pass, described by `second`, is guided by the result of the first.
    differences : Parameters or dict, optional
        The filter of the differences of colours, where there is one.
    second : Parameters or dict, optional
        The filter of the second pass, where there is one; its `h` is in the units of the image, its `k` in
        units of the noise that its guide holds, ``(1 - mixing) sigma``.
    blend : float
        How much of the image is mixed into the result, in [0, 1].
    mixing : float, optional
        Of a second pass, and of nothing else: its guide is ``mixing pilot + (1 - mixing) image``, in [0, 1].
    method : {"nlmeans", "nlridge", "learned"}
        What turns the noisy image into a clean one.
    noise : NoiseModel, optional
        A model of the noise, all of whose parameters are known.  `sigma` is then that of the image in
        units of its noise: 1, with NL-Ridge times the strength asked for.  Default: white noise of `sigma`.
    impulses : {"keep", "replace"}
        Whether single pixels that have nothing to do with what is around them are replaced first.
    repeats : tuple of int, optional
        Along each grid axis, how many times each pixel stands in the image, which is filtered without these
        copies.  Default: as it is.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        For every value outside of the ranges above.

    Examples
    --------
    >>> p = Parameters(patch_radius=2, search_radius=7, sigma=10.0, k=0.5)
    >>> p.strength
    5.0
    >>> Parameters.from_json(p.to_json()) == p
    True
    """

    patch_radius: int | tuple[int, ...] | None = None
    search_radius: int | tuple[int, ...] | Literal["image"] | None = None
    sigma: float | tuple[float, ...] | None = None
    h: float | None = None
    k: float | None = None
    patch: Patch = "box"
    center: Center = "max"
    aggregate: Aggregate = "patch"
    color: Color = "joint"
    passes: int = 1
    differences: Parameters | None = None
    second: Parameters | None = None
    blend: float = 0.0
    mixing: float | None = None
    method: MethodName = "nlmeans"
    noise: NoiseModel | None = None
    impulses: Impulses = "keep"
    repeats: int | tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        one_of("method", self.method, METHODS)
        one_of("impulses", self.impulses, IMPULSES)
        self._check_noise()
        if self.method in BY_GROUPS:
            self._check_nlridge()
            return
        missing = [name for name in ("patch_radius", "search_radius") if getattr(self, name) is None]
        if missing:
            raise InvalidValueError(f"parameters lack {', '.join(missing)}")
        checked: dict[str, object] = {
            "patch_radius": patch_radius_of(self.patch_radius),
            "search_radius": search_radius_of(self.search_radius),
            "sigma": _sigma(self.sigma),
            "h": None if self.h is None else number("h", self.h),
            "k": None if self.k is None else number("k", self.k),
            "passes": integer("passes", self.passes, 1, 2),
            "differences": nested("differences", self.differences),
            "second": nested("second", self.second),
            "blend": number("blend", self.blend),
            "mixing": None if self.mixing is None else number("mixing", self.mixing),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        allowed = {"patch": PATCHES, "center": CENTERS, "aggregate": AGGREGATES, "color": COLORS}
        for name, words in allowed.items():
            one_of(name, getattr(self, name), words)
        if (self.h is None) == (self.k is None):
            raise InvalidValueError(
                "give either ", Parameter("h"), " or ", Parameter("k"), f", got h={self.h!r} and k={self.k!r}"
            )
        self._check_parts()
        if self.sigma is None and self.h is not None:
            raise InvalidValueError(
                Parameter("h"),
                " cannot be combined with a sigma map, where h = k sigma; give ",
                Parameter("k"),
                " instead",
            )
        if isinstance(self.sigma, tuple) and self.h is not None:
            raise InvalidValueError(
                Parameter("h"),
                " cannot be combined with one sigma per channel: each channel is divided by its own; give ",
                Parameter("k"),
                " instead",
            )

    def _check_noise(self) -> None:
        """A model is complete, and sigma 1 with it."""
        given: object = self.noise
        model = None if given is None or given == "gaussian" else NoiseModel.of(given)
        object.__setattr__(self, "noise", model)
        if model is None:
            return
        if model.missing or self.h is not None:
            raise InvalidValueError(
                Parameter("noise"),
                f" must be a model that lacks nothing, and k given in place of h; it lacks {model.missing}, "
                f"and h is {self.h}",
            )
        if self.sigma is None or self.method == "nlmeans":
            object.__setattr__(self, "sigma", 1.0)

    def _check_nlridge(self) -> None:
        """Sigma, colour and what is mixed back are there, and nothing else."""
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        refuse_other_methods({n: v for n, v in given.items() if v != getattr(Parameters, n)})
        one_of("color", self.color, COLORS)
        object.__setattr__(self, "sigma", _sigma(self.sigma))
        object.__setattr__(self, "blend", number("blend", self.blend))
        self._check_fractions()

    def _check_parts(self) -> None:
        """Parts are there where they are needed, and have no parts of their own."""
        needs = {"differences": self.color == "luminance", "second": self.passes == 2}
        for name, needed in needs.items():
            part = getattr(self, name)
            if (part is not None) != needed:
                whole = 'color="luminance"' if name == "differences" else "passes=2"
                raise InvalidValueError(
                    Parameter(name), " goes with ", Parameter(whole), ": give both or neither"
                )
            if part is not None and not part.is_one_filter:
                raise InvalidValueError(
                    Parameter(name), " is one filter: its color must be joint, its passes 1, its blend 0"
                )
        if self.second is not None and self.second.mixing is None:
            raise InvalidValueError(
                Parameter("second"), " must have mixing, the part of the pilot in what it compares"
            )
        self._check_fractions()

    def _check_fractions(self) -> None:
        for name in ("mixing", "blend"):
            if (getattr(self, name) or 0.0) > 1:
                raise InvalidValueError(Parameter(name), f" must be in [0, 1], got {getattr(self, name)}")

    @property
    def is_one_filter(self) -> bool:
        """Whether all channels are compared at once, in one pass, and no part of the image is mixed back."""
        return self.color == "joint" and self.passes == 1 and self.blend == 0

    @property
    def strength(self) -> float | None:
        """h in the units of the image; k where sigma is per channel; None with a sigma map or NL-Ridge."""
        if self.h is not None or self.sigma is None:
            return self.h
        if self.k is None:
            return None
        return self.k if isinstance(self.sigma, tuple) else self.k * self.sigma

    def patch_radii(self, axes: int) -> tuple[int, ...]:
        """The patch radius of each of `axes` grid axes."""
        return per_axis("patch_radius", self.patch_radius or 0, axes)

    def search_radii(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The search radius of each axis of a grid of this shape, never beyond its end."""
        if self.search_radius == "image":
            return tuple(n - 1 for n in shape)
        wanted = per_axis("search_radius", self.search_radius or 0, len(shape))
        return tuple(min(r, n - 1) for r, n in zip(wanted, shape, strict=True))

    def to_dict(self) -> dict[str, Any]:
        """The fields that are set, by the names `denoise` takes: ``denoise(image, **p.to_dict())``."""
        names = [f.name for f in fields(self)]
        if self.method in BY_GROUPS:
            names = [n for n in names if n not in OF_NLMEANS]
        values = {name: getattr(self, name) for name in names}
        return {
            name: value.to_dict() if isinstance(value, Parameters | NoiseModel) else value
            for name, value in values.items()
            if value is not None
            and not (name == "sigma" and self.noise is not None)
            and (name != "impulses" or value != "keep")
        } | ({"strength": self._strength} if self.noise is not None and self.method in BY_GROUPS else {})

    @property
    def _strength(self) -> Any:
        """Sigma in units of the noise as `denoise` takes it: of all, or of luminance and differences."""
        return self.sigma[:2] if isinstance(self.sigma, tuple) else self.sigma

    def to_json(self) -> str:
        """The same as one line of JSON."""
        return json.dumps(self.to_dict())

    def _repr_html_(self) -> str:
        """The fields that are set as a table, for notebooks."""
        from nlmeans.notebook.tables import table

        return table("Parameters of nlmeans.denoise", self.to_dict())

    @classmethod
    def from_dict(cls, read: Mapping[str, Any]) -> Parameters:
        """What :meth:`to_dict` made; lists, as JSON has them, are taken as tuples.

        Raises
        ------
        InvalidValueError
            For unknown or missing names.
        """
        names = [f.name for f in fields(cls)]
        if read.get("method") in BY_GROUPS and read.get("noise") is not None and "strength" in read:
            strength = read["strength"]
            sigma = (*strength, strength[-1]) if isinstance(strength, tuple | list) else strength
            read = {"sigma": sigma, **{n: v for n, v in read.items() if n != "strength"}}
        if not set(read) <= set(names):
            raise InvalidValueError(f"parameters must be a JSON object with some of {', '.join(names)}")
        values: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in read.items()}
        return cls(**values)

    @classmethod
    def from_json(cls, text: str) -> Parameters:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        InvalidValueError
            For text that is no JSON object, or has unknown or missing names.
        """
        try:
            read = json.loads(text)
        except ValueError as error:
            raise InvalidValueError(f"parameters must be a JSON object: {error}") from None
        return cls.from_dict(read if isinstance(read, dict) else {"": read})


def refuse_other_methods(given: Mapping[str, Any]) -> None:
    """Refuse settings of NL-means where the method is another."""
    for name in OF_NLMEANS:
        if given.get(name) is not None:
            raise InvalidValueError(
                Parameter(name),
                " belongs to NL-means: leave it out, or give ",
                Parameter('method="nlmeans"'),
                "; other methods take ",
                *(part for n in OF_EVERY_METHOD[:-1] for part in (Parameter(n), ", ")),
                "and ",
                Parameter(OF_EVERY_METHOD[-1]),
            )


def nested(name: str, value: object) -> Parameters | None:
    """Parameters of a part: as such, or as the dictionary that `Parameters.to_dict` makes of them."""
    if value is None or isinstance(value, Parameters):
        return value
    if not isinstance(value, Mapping):
        raise InvalidTypeError(Parameter(name), f" must be Parameters or a dictionary, got {shown(value)}")
    return Parameters.from_dict(value)


def number(name: str, value: object) -> float:
    """A finite number >= 0 as a float."""
    scalar = getattr(value, "ndim", 0) == 0 and hasattr(value, "__float__")
    kind = getattr(getattr(value, "dtype", None), "kind", "f")
    if isinstance(value, bool) or not scalar or kind not in "iuf":
        raise InvalidTypeError(Parameter(name), f" must be a number, got {shown(value)}")
    try:
        result = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise InvalidValueError(
            Parameter(name), f" must be a finite number >= 0, got {shown(value)}"
        ) from None
    if not math.isfinite(result) or result < 0:
        raise InvalidValueError(Parameter(name), f" must be a finite number >= 0, got {shown(value)}")
    return result


def one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Refuse a word that is not among the allowed."""
    if not isinstance(value, str):
        raise InvalidTypeError(Parameter(name), f" must be one of {', '.join(allowed)}, got {shown(value)}")
    if value not in allowed:
        raise InvalidValueError(Parameter(name), f" must be one of {', '.join(allowed)}, got {shown(value)}")


def integer(name: str, value: object, least: int, most: int = 2**31 - 1) -> int:
    """An integer in [least, most]; NumPy's integers too, never a bool or a float."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or getattr(value, "ndim", None):
        raise InvalidTypeError(Parameter(name), f" must be an integer >= {least}, got {shown(value)}")
    try:
        result = int(value.__index__())
    except TypeError:
        raise InvalidTypeError(
            Parameter(name), f" must be an integer >= {least}, got {shown(value)}"
        ) from None
    if not least <= result <= most:
        raise InvalidValueError(
            Parameter(name), f" must be an integer in [{least}, {most}], got {shown(result)}"
        )
    return result


def spacing_of(value: object, axes: int) -> tuple[float, ...]:
    """The distance of neighbouring samples along each grid axis, > 0."""
    if not isinstance(value, tuple | list) or len(value) != axes:
        raise InvalidValueError(
            Parameter("spacing"), f" must have {axes} numbers, one per grid axis, got {shown(value)}"
        )
    each = tuple(number("spacing", v) for v in value)
    if not all(each):
        raise InvalidValueError(Parameter("spacing"), f" must be > 0 along every axis, got {shown(value)}")
    return each


def patch_radius_of(value: object) -> int | tuple[int, ...]:
    """A patch radius, checked."""
    return _radius("patch_radius", value, MAX_PATCH_RADIUS)


def search_radius_of(value: object) -> int | tuple[int, ...] | Literal["image"]:
    """A search radius, checked."""
    if isinstance(value, str) and value == "image":
        return "image"
    return _radius("search_radius", value, MAX_SEARCH_RADIUS, ' or "image"')


def per_axis(name: str, value: int | tuple[int, ...], axes: int) -> tuple[int, ...]:
    """One radius for each grid axis."""
    if isinstance(value, int):
        return (value,) * axes
    if len(value) != axes:
        raise InvalidValueError(
            Parameter(name), f" must have {axes} radii, one per grid axis, got {shown(value)}"
        )
    return value


def _radius(name: str, value: object, most: int, extra: str = "") -> int | tuple[int, ...]:
    if isinstance(value, str):
        raise InvalidTypeError(
            Parameter(name), f" must be an integer or a tuple of integers{extra}, got {shown(value)}"
        )
    if isinstance(value, tuple | list):
        if not 1 <= len(value) <= 3:
            raise InvalidValueError(
                Parameter(name), f" must have one radius per grid axis (1 to 3), got {shown(value)}"
            )
        return tuple(integer(name, v, 0, most) for v in value)
    return integer(name, value, 0, most)


def _sigma(value: object) -> float | tuple[float, ...] | None:
    if value is None:
        return None
    if isinstance(value, tuple | list):
        if not value:
            raise InvalidValueError(
                Parameter("sigma"), " must have one value per channel, got an empty sequence"
            )
        return tuple(number("sigma", v) for v in value)
    return number("sigma", value)
