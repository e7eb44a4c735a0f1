"""From the noise level to the settings: what `denoise` uses for whatever the caller leaves out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, Unpack

import numpy as np

from nlmeans.arrays import Array, check_image, enter, library, to_numpy
from nlmeans.errors import InvalidValueError
from nlmeans.inputs import Inputs
from nlmeans.parameters import Parameters, number, one_of
from nlmeans.preparation import Levels, Noise


@dataclass(frozen=True)
class Row:
    """Best settings up to one noise level: k per patch radius 1, 2, 3, ... of a picture."""

    upto: float  # sigma / span
    patch_radius: int
    search_radius: int
    k: tuple[float, ...]


# Found by benchmarks/tune.py; start: the published table of doi:10.5201/ipol.2011.bcm_nlm
_TABLE = {
    "pixel": (
        Row(0.045, 1, 7, (0.60, 0.55, 0.55, 0.50, 0.50)),
        Row(0.080, 2, 7, (0.55, 0.50, 0.50, 0.45, 0.45)),
        Row(0.150, 3, 7, (0.50, 0.45, 0.45, 0.40, 0.40)),
        Row(math.inf, 4, 7, (0.50, 0.45, 0.45, 0.40, 0.40)),
    ),
    "patch": (
        Row(0.075, 2, 7, (0.60, 0.60, 0.55, 0.50, 0.50)),
        Row(0.150, 3, 7, (0.55, 0.55, 0.50, 0.45, 0.45)),
        Row(math.inf, 4, 7, (0.50, 0.50, 0.45, 0.45, 0.45)),
    ),
}


class Settings(TypedDict, total=False):
    """The parameters of `denoise` that say what is computed, for functions that take them too."""

    sigma: Any
    h: float | None
    k: float | None
    patch_radius: int | tuple[int, ...] | None
    search_radius: int | tuple[int, ...] | Literal["image"] | None
    channel_axis: int | None
    patch: str
    center: str
    aggregate: str
    guide: Any
    guide_sigma: float | None
    mask: Any
    nan: str


def suggest(image: Array, **settings: Unpack[Settings]) -> Parameters:
    """What `denoise` would use: the settings given, and its choices for those left out.

    Parameters
    ----------
    image : array
        As for `denoise`.
    **settings
        Any of `denoise`'s parameters from `sigma` to `nan`.

    Returns
    -------
    Parameters
        ``denoise(image, **suggest(image).to_dict())`` is ``denoise(image)``.

    Examples
    --------
    >>> import numpy as np
    >>> suggest(np.zeros((8, 8)), sigma=1.0, patch_radius=1, search_radius=3).patch_radius
    1
    """
    return settled(image, **settings)[1]


def settled(
    image: Array,
    *,
    sigma: object = None,
    h: float | None = None,
    k: float | None = None,
    patch_radius: int | tuple[int, ...] | None = None,
    search_radius: int | tuple[int, ...] | str | None = None,
    channel_axis: int | None = None,
    patch: str = "box",
    center: str = "max",
    aggregate: str = "patch",
    guide: Array | None = None,
    guide_sigma: float | None = None,
    mask: Array | None = None,
    nan: str = "raise",
) -> tuple[Inputs, Parameters, Noise]:
    """The inputs checked, all parameters with those left out chosen, and the noise."""
    inputs = Inputs.checked(image, channel_axis, guide, mask, nan)
    one_of("aggregate", aggregate, tuple(_TABLE))
    given_k = None if k is None else number("k", k)
    given_h = None if h is None else number("h", h)
    if guide_sigma is not None:
        guide_sigma = number("guide_sigma", guide_sigma)
        if not inputs.guided:
            raise InvalidValueError("guide_sigma is the noise of a guide: give guide too, or leave it out")
    noise = _sigma(inputs, sigma, guide_sigma, given_h)
    levels = Levels.of(inputs.feature, inputs.vote)
    typical = noise_level(noise)
    strength = typical if typical or given_h is None else given_h / 0.5  # h alone: as if k were 0.5
    chosen = suggested(inputs.grid, strength / (levels.span or 1.0), aggregate, patch_radius, search_radius)
    parameters = Parameters(
        patch_radius=chosen[0],
        search_radius=chosen[1],  # type: ignore[arg-type]
        sigma=None if not isinstance(noise, tuple) else noise[0] if len(noise) == 1 else noise,
        h=given_h,
        k=chosen[2] if given_k is None and given_h is None else given_k,
        patch=patch,  # type: ignore[arg-type]
        center=center,  # type: ignore[arg-type]
        aggregate=aggregate,  # type: ignore[arg-type]
    )
    parameters.patch_radii(len(inputs.grid))
    parameters.search_radii(inputs.grid)
    return inputs, parameters, Noise(noise, parameters.h, parameters.k or 0.0, guide_sigma)


def noise_level(sigma: tuple[float, ...] | Array) -> float:
    """The root mean square of several sigmas: of channels, or of a map."""
    if isinstance(sigma, tuple):
        return math.sqrt(sum(s * s for s in sigma) / len(sigma))
    return math.sqrt(float((sigma.astype(np.float64) ** 2).mean()))


def _sigma(
    inputs: Inputs, sigma: object, guide_sigma: float | None, h: float | None
) -> tuple[float, ...] | Array:
    """One sigma, one per channel, or a map (Z, Y, X); estimated where nothing is given."""
    if sigma is None and guide_sigma is not None:
        if guide_sigma == 0 and h is None:
            raise InvalidValueError("guide_sigma=0 says nothing of the strength: give h, or sigma too")
        return (guide_sigma,)
    if sigma is None:
        return (_estimated(inputs),)
    if isinstance(sigma, tuple | list) or (library(sigma) and getattr(sigma, "ndim", None)):
        return _many_sigmas(inputs, sigma)
    return (number("sigma", sigma),)


def _many_sigmas(inputs: Inputs, sigma: Array) -> tuple[float, ...] | Array:
    """A sequence of one value per channel, or an array of the grid's shape."""
    channels = inputs.feature.shape[0]
    is_map = library(sigma) is not None and tuple(sigma.shape) == inputs.grid
    if is_map:
        check_image(sigma, "sigma")
        sigma = enter(sigma)
        if not bool(np.isfinite(sigma).all()) or bool((sigma < 0).any()):
            raise InvalidValueError("a sigma map must be finite and >= 0 everywhere")
        return sigma.reshape((1,) * (3 - sigma.ndim) + sigma.shape)
    if getattr(sigma, "ndim", 1) != 1 or len(sigma) != channels:
        got = tuple(sigma.shape) if library(sigma) else f"{len(sigma)} values"
        raise InvalidValueError(
            f"sigma must be a number, one per channel ({channels}) or a map of the grid {inputs.grid}, "
            f"got {got}"
        )
    each = tuple(number("sigma", s) for s in sigma)
    if any(each) and not all(each):
        raise InvalidValueError(f"sigma per channel must be > 0 in every channel, or 0 in all, got {each}")
    return each if any(each) else (0.0,)


def _estimated(inputs: Inputs) -> float:
    """The noise estimated from what is compared, once for the whole image."""
    from nlmeans.noise import estimate_sigma

    compared = to_numpy(inputs.feature).reshape(-1, *inputs.grid)
    mask = None if inputs.vote is None else to_numpy(inputs.vote).reshape(inputs.grid)
    return float(estimate_sigma(compared, channel_axis=0, mask=mask))


def suggested(
    grid: Sequence[int],
    level: float,
    aggregate: str,
    patch_radius: int | tuple[int, ...] | None,
    search_radius: int | tuple[int, ...] | str | None,
) -> tuple[int | tuple[int, ...], int | tuple[int, ...] | str, float]:
    """Patch radius, search radius and k for a noise `level` (sigma / span) on a grid."""
    row = next(r for r in _TABLE[aggregate] if level <= r.upto)
    if patch_radius is None:
        patch_radius = _patch_radius(row, len(grid))
    if search_radius is None:
        search_radius = {1: 40, 2: row.search_radius, 3: 3}[len(grid)]
    return patch_radius, search_radius, _k(row, patch_radius, grid)


def _patch_radius(row: Row, axes: int) -> int:
    """A radius whose patch has about as many samples as the row's."""
    samples = (2 * row.patch_radius + 1) ** 2
    return max(1, round((samples ** (1 / axes) - 1) / 2)) if axes == 3 else row.patch_radius * (3 - axes)


def _k(row: Row, patch_radius: int | tuple[int, ...], grid: Sequence[int]) -> float:
    """k of the picture's patch with about as many samples as this one."""
    radii = (patch_radius,) * len(grid) if isinstance(patch_radius, int) else patch_radius
    samples = math.prod(2 * min(r, n - 1) + 1 for r, n in zip(radii, grid, strict=True))
    index = round((math.sqrt(samples) - 1) / 2)
    return row.k[min(max(index, 1), len(row.k)) - 1]
