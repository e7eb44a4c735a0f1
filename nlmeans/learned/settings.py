"""What a non-local block computes, apart from its weights: the words that torch and NumPy share."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, TypedDict

from nlmeans.arrays import Array
from nlmeans.errors import InvalidTypeError, InvalidValueError, shown
from nlmeans.operation.nonlocal_mean import Normalisation
from nlmeans.operation.similarity import Concatenation, DotProduct, Euclidean, Gaussian, Similarity
from nlmeans.parameters import integer, number, one_of

Mode = Literal["gaussian", "embedded_gaussian", "dot_product", "concatenation", "euclidean"]
MODES = ("gaussian", "embedded_gaussian", "dot_product", "concatenation", "euclidean")
SCALED = ("gaussian", "embedded_gaussian", "dot_product")  # modes with a factor before q . k
EXPONENTIAL = ("gaussian", "embedded_gaussian", "euclidean")
UNIT_BANDWIDTH = math.sqrt(0.1)  # exp(-|q - k|^2 / h^2) = exp(20 (cos - 1)) on the sphere: starts sharp
LEAST_LOG_BANDWIDTH = math.log(1e-15)  # below, distances over h^2 leave the range of float32


class SettingNames(TypedDict, total=False):
    """The keyword arguments that say what a block computes; see :class:`BlockSettings`."""

    mode: str
    normalisation: str | None
    scale: str | float
    window: int | tuple[int, ...] | None
    sub_sample: bool | int | tuple[int, ...]
    pool_position: str
    tied: bool
    unit_length: bool
    residual: bool
    heads: int


@dataclass(frozen=True)
class BlockSettings:
    """What a non-local block computes, apart from its weights and sizes.

    Parameters
    ----------
    mode : {"gaussian", "embedded_gaussian", "dot_product", "concatenation", "euclidean"}
        The similarity f of a query theta(x) and a key phi(x); "gaussian" compares x itself.
    normalisation : {"softmax", "count"}, optional
        Divide by the sum of f or by the number of keys.  Default: "softmax" for the modes with an
        exponential, "count" (the only choice) for "dot_product" and "concatenation".
    scale : {"paper", "sqrt"} or float
        Factor of ``q . k``: 1, ``D ** -0.5`` for D features, or this number.  The three modes with
        a product only.  Other libraries differ here: mmcv's default is "sqrt" for "embedded_gaussian".
    window : int or tuple of int, optional
        Search radius, one or one per grid axis, cut at the edges.  Default: the whole grid.
    sub_sample : bool, int or tuple of int
        Max-pool keys and values by these factors; True is 2 along every axis but the first of three.
    pool_position : {"after", "before"}
        Pool phi(x) and g(x), as in the paper's figure, or x before them, as in the authors' code.
    tied : bool
        One embedding for queries and keys.
    unit_length : bool
        Divide the compared features by their length.
    residual : bool
        Add the input to the result.
    heads : int
        Parts of the features that are compared and averaged apart, D / heads features each, and joined
        before W_z.  "sqrt" and `unit_length` go by a head's features; "concatenation" has a weight and
        "euclidean" a bandwidth for each head.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        For unknown words and combinations that are not defined.

    Examples
    --------
    >>> BlockSettings(mode="dot_product").divisor
    'count'
    """

    mode: str = "embedded_gaussian"
    normalisation: str | None = None
    scale: str | float = "paper"
    window: int | tuple[int, ...] | None = None
    sub_sample: bool | int | tuple[int, ...] = False
    pool_position: str = "after"
    tied: bool = False
    unit_length: bool = False
    residual: bool = True
    heads: int = 1

    def __post_init__(self) -> None:
        one_of("mode", self.mode, MODES)
        one_of("pool_position", self.pool_position, ("after", "before"))
        for name in ("tied", "unit_length", "residual"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidTypeError(f"{name} must be True or False, got {shown(getattr(self, name))}")
        set_ = object.__setattr__
        self._check_normalisation()
        set_(self, "scale", self._scale())
        set_(self, "window", _each("window", self.window, 0))
        if not isinstance(self.sub_sample, bool):
            set_(self, "sub_sample", _each("sub_sample", self.sub_sample, 1))
        integer("heads", self.heads, 1)
        if self.tied and self.mode == "gaussian":
            raise InvalidValueError('mode="gaussian" has no embedding to tie; leave tied out')
        if self.window is not None and self.sub_sample is not False:
            raise InvalidValueError("a window needs keys on the grid of the queries; leave sub_sample out")

    def _check_normalisation(self) -> None:
        if self.normalisation is None:
            return
        one_of("normalisation", self.normalisation, ("softmax", "count"))
        if self.normalisation == "softmax" and self.mode not in EXPONENTIAL:
            raise InvalidValueError(f'mode="{self.mode}" is no exponential: its normalisation is "count"')

    @property
    def divisor(self) -> Normalisation:
        """The normalisation, also where it is left to the mode."""
        softmax = self.mode in EXPONENTIAL and self.normalisation != "count"
        return "softmax" if softmax else "count"

    def _scale(self) -> str | float:
        if not isinstance(self.scale, str):
            scale: str | float = number("scale", self.scale)
        else:
            one_of("scale", self.scale, ("paper", "sqrt"))
            scale = self.scale
        if scale != "paper" and self.mode not in SCALED:
            raise InvalidValueError(f'scale belongs to {", ".join(SCALED)}; mode="{self.mode}" has none')
        return scale

    def factor(self, features: int) -> float:
        """The factor of q . k for this many features."""
        named = {"paper": 1.0, "sqrt": features**-0.5}
        return named[self.scale] if isinstance(self.scale, str) else float(self.scale)

    def radii(self, axes: int) -> tuple[int, ...] | None:
        """The window's radius along each of so many grid axes."""
        return None if self.window is None else per_grid_axis("window", self.window, axes)

    def pooling(self, axes: int) -> tuple[int, ...] | None:
        """The factor of pooling along each of so many grid axes."""
        if self.sub_sample is False:
            return None
        if self.sub_sample is True:
            return (1, 2, 2) if axes == 3 else (2,) * axes
        return per_grid_axis("sub_sample", self.sub_sample, axes)

    def similarity(self, features: int, *, weight: Array = None, h: Array = 1.0) -> Similarity:
        """The core's similarity for this mode: `weight` of "concatenation", `h` of "euclidean".

        Both of all heads alike: see :meth:`head_factors`.
        """
        if self.mode == "euclidean":
            return Euclidean(h=h)
        if self.mode == "concatenation":
            return Concatenation(weight)
        kind = DotProduct if self.mode == "dot_product" else Gaussian
        return kind(self.factor(features))

    def check_heads(self, inner: int, compared: int) -> None:
        """Refuse widths, of the embeddings and of what is compared, that the heads do not divide."""
        for name, width in (("inter_channels", inner), ("the channels compared", compared)):
            if width % self.heads:
                raise InvalidValueError(f"{name} must be a multiple of heads={self.heads}, got {width}")

    def head_factors(self, weight: Array, h: Array) -> tuple[Array, Array]:
        """Factors of each head's queries and keys: of its own bandwidth, or its weights of "concatenation".

        With them the similarity is that of weights of 1, or of h = 1, for all heads.
        """
        if self.heads == 1 or self.mode not in ("euclidean", "concatenation"):
            return None, None
        if self.mode == "euclidean":
            factor = 1 / h[:, None]
            return factor, factor
        width = weight.shape[-1] // 2
        return weight[:, :width], weight[:, width:]

    def bandwidth(self, features: int) -> float:
        """h of "euclidean" to start from: sharp on the sphere, else the slope of scale="sqrt"."""
        return UNIT_BANDWIDTH if self.unit_length else math.sqrt(2.0) * features**0.25

    def to_json(self) -> str:
        """The settings as one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> BlockSettings:
        """Read what :meth:`to_json` wrote; anything else is an InvalidValueError."""
        try:
            read = json.loads(text)
        except ValueError as error:
            raise InvalidValueError(f"block settings must be a JSON object: {error}") from None
        names = {f.name for f in fields(cls)}
        if not isinstance(read, dict) or not set(read) <= names:
            raise InvalidValueError(f"block settings must be a JSON object with some of {sorted(names)}")
        values: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in read.items()}
        return cls(**values)


def plain_name(name: str) -> str:
    """A weight's name as in blocks without pooling; with it, others put phi and g into a sequence."""
    for module in ("phi", "g"):
        if name.startswith(f"{module}.0."):
            return name.replace(".0.", ".", 1)
    return name


def norm_hint(names: Iterable[str], prefix: str, own: str | None) -> str | None:
    """What to say where weights have a norm after W_z and the block has not, or the other way round."""
    below = [n.removeprefix(prefix) for n in names if n.startswith(prefix)]
    theirs = next((n.split(".")[0] for n in below if not n.startswith("conv.")), None)
    if not below or theirs == own:
        return None
    if theirs is None:
        return "these weights have no norm after W_z: build the block with norm=None"
    built = 'norm="batch"' if theirs == "bn" else "the norm they were trained with, norm=callable"
    return f'these weights have a norm after W_z, "{theirs}": build the block with {built}'


def plain_names(arrays: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The weights below a prefix, by their plain names."""
    return {plain_name(n.removeprefix(prefix)): a for n, a in arrays.items() if n.startswith(prefix)}


def per_grid_axis(name: str, value: int | tuple[int, ...], axes: int) -> tuple[int, ...]:
    """One number for each grid axis."""
    if isinstance(value, int):
        return (value,) * axes
    if len(value) != axes:
        raise InvalidValueError(f"{name} must have {axes} numbers, one per grid axis, got {shown(value)}")
    return value


def _each(name: str, value: object, least: int) -> int | tuple[int, ...] | None:
    if value is None and name == "window":
        return None
    if isinstance(value, tuple | list):
        return tuple(integer(name, v, least) for v in value)
    return integer(name, value, least)
