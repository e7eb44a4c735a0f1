"""From sigma to the other settings: what `denoise` uses for whatever the caller leaves out."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Unpack

import numpy as np

from nlmeans.arrays import Array, as_numpy_or_cupy, check_image, library
from nlmeans.errors import InvalidValueError, Parameter
from nlmeans.inputs import Inputs, check
from nlmeans.levels import Levels
from nlmeans.noise.estimate import estimates
from nlmeans.noise.strength import Noise, root_mean_square
from nlmeans.parameters import (
    COLORS,
    Parameters,
    Settings,
    number,
    one_of,
    patch_radius_of,
    per_axis,
    search_radius_of,
)


@dataclass(frozen=True)
class Row:
    """Best settings up to one sigma: k per patch radius 1, 2, 3, ... of a picture."""

    upto: float  # sigma / data range
    patch_radius: int
    search_radius: int
    k: tuple[float, ...]
    fade: float  # k falls with the search radius R as (7 / R)^fade: more partners, stricter

    def strength(self, samples: int, shifts: int) -> float:
        """k for a patch of so many samples and a window of so many shifts."""
        radius = min(max((math.sqrt(samples) - 1) / 2, 1.0), len(self.k))
        search = min(max((math.sqrt(shifts) - 1) / 2, 2.0), 30.0)
        below = min(int(radius), len(self.k) - 1)
        k = self.k[below - 1] + (radius - below) * (self.k[below] - self.k[below - 1])
        return round(k * math.pow(7 / search, self.fade), 3)


# Found by benchmarks/studies/tune.py, see benchmarks/results/tune.json; first: doi:10.5201/ipol.2011.bcm_nlm
_USUAL_K = 0.5
_TABLE = {
    "pixel": (
        Row(0.028, 4, 5, (0.588, 0.554, 0.546, 0.547, 0.552), 0.07),
        Row(0.043, 1, 7, (0.831, 0.635, 0.573, 0.548, 0.531), 0.16),
        Row(0.054, 1, 5, (0.870, 0.664, 0.587, 0.549, 0.526), 0.20),
        Row(0.063, 1, 5, (0.899, 0.685, 0.606, 0.561, 0.533), 0.23),
        Row(0.072, 2, 5, (0.929, 0.689, 0.605, 0.559, 0.528), 0.25),
        Row(0.083, 2, 7, (0.988, 0.696, 0.600, 0.548, 0.515), 0.29),
        Row(0.095, 3, 7, (1.084, 0.721, 0.599, 0.539, 0.503), 0.33),
        Row(0.105, 4, 7, (1.250, 0.815, 0.640, 0.557, 0.509), 0.40),
        Row(math.inf, 5, 7, (1.300, 0.976, 0.742, 0.626, 0.562), 0.50),
    ),
    "patch": (
        Row(0.028, 3, 6, (0.649, 0.567, 0.548, 0.542, 0.541), 0.09),
        Row(0.043, 3, 6, (0.711, 0.539, 0.503, 0.486, 0.478), 0.13),
        Row(0.059, 4, 6, (0.756, 0.544, 0.485, 0.459, 0.447), 0.17),
        Row(0.074, 4, 6, (0.841, 0.568, 0.481, 0.444, 0.420), 0.26),
        Row(0.083, 5, 6, (0.925, 0.603, 0.498, 0.450, 0.419), 0.35),
        Row(0.095, 5, 6, (1.059, 0.720, 0.571, 0.496, 0.451), 0.40),
        Row(math.inf, 5, 6, (1.300, 0.900, 0.714, 0.584, 0.508), 0.45),
    ),
}


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
    return choose(check(image, settings), settings).parameters


@dataclass(frozen=True, eq=False)
class Chosen:
    """All that is chosen once for an image, apart from its data.

    What was chosen for one frame or for a whole serves others of the same kind: the next frame, a chunk.
    """

    parameters: Parameters
    noise: Noise
    levels: tuple[Levels, Levels]  # of the image, and of what is compared


def choose(inputs: Inputs, settings: Settings) -> Chosen:
    """The settings given, and a choice for those left out."""
    aggregate = settings.get("aggregate", Parameters.aggregate)
    one_of("aggregate", aggregate, tuple(_TABLE))
    k, h, correction = (
        None if settings.get(name) is None else number(name, settings.get(name))
        for name in ("k", "h", "guide_sigma")
    )
    if correction is not None and inputs.feature is inputs.value:
        raise InvalidValueError(
            Parameter("guide_sigma"), " is the noise of a guide: give guide too, or leave it out"
        )
    color = settings.get("color", Parameters.color)
    one_of("color", color, COLORS)
    separate = color == "separate" and inputs.value.shape[0] > 1
    if separate and inputs.feature is not inputs.value:
        raise InvalidValueError(
            "a guide is compared as a whole: give ", Parameter('color="joint"'), " or no guide"
        )
    sigma = _sigma(inputs, settings.get("sigma"), correction, h, separate)
    noise = Noise(sigma, h, k or 0.0, correction)
    levels = _levels(inputs)
    choice = _Choice.of(inputs, levels[1], noise, settings)
    if k is None and h is None:
        noise = replace(noise, k=choice.k)
    chosen: dict[str, Any] = {
        "patch_radius": choice.patch_radius,
        "search_radius": choice.search_radius,
        "sigma": None if noise.is_map else noise.sigma[0] if len(noise.sigma) == 1 else noise.sigma,
        "h": h,
        "k": noise.k if h is None or k is not None else None,
    }
    rules = {f.name: settings[f.name] for f in fields(Parameters) if f.name in settings}  # type: ignore[literal-required]
    return Chosen(Parameters(**{**rules, **chosen}), noise, levels)


def _levels(inputs: Inputs) -> tuple[Levels, Levels]:
    """Those of the image and of what is compared: one object for both without a guide."""
    value, feature = inputs.value, inputs.feature
    own = Levels.of(inputs.value_ends, value.dtype, value.shape[0])
    return own, own if feature is value else Levels.of(inputs.feature_ends, feature.dtype, feature.shape[0])


def _sigma(
    inputs: Inputs, sigma: object, guide_sigma: float | None, h: float | None, separate: bool
) -> tuple[float, ...] | Array:
    """One sigma, one per channel, or a map (Z, Y, X); estimated where nothing is given."""
    if sigma is None and guide_sigma is not None:
        if guide_sigma == 0 and h is None:
            raise InvalidValueError(
                Parameter("guide_sigma=0"), " does not set the strength: give h, or sigma too"
            )
        return (guide_sigma,)
    if sigma is None:
        each = tuple(estimates(inputs.feature, inputs.mask))
        return each if separate and h is None else (root_mean_square(each),)
    if isinstance(sigma, tuple | list) or (library(sigma) and getattr(sigma, "ndim", None)):
        return _many_sigmas(inputs, sigma, separate)
    return (number("sigma", sigma),)


def _many_sigmas(inputs: Inputs, sigma: Array, separate: bool) -> tuple[float, ...] | Array:
    """A sequence of one value per channel, or an array of the grid's shape."""
    channels = inputs.feature.shape[0]
    is_map = library(sigma) is not None and tuple(sigma.shape) == inputs.grid
    if is_map:
        check_image(sigma, "sigma")
        sigma = as_numpy_or_cupy(sigma)
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
    if any(each) and not all(each) and not separate:
        raise InvalidValueError(f"sigma per channel must be > 0 in every channel, or 0 in all, got {each}")
    return each if any(each) else (0.0,)


@dataclass(frozen=True)
class _Choice:
    """Radii as given or chosen, and the k that suits them."""

    patch_radius: int | tuple[int, ...]
    search_radius: int | tuple[int, ...] | Literal["image"]
    k: float

    @classmethod
    def of(cls, inputs: Inputs, levels: Levels, noise: Noise, settings: Settings) -> _Choice:
        grid = inputs.grid
        rows = _TABLE[settings.get("aggregate", Parameters.aggregate)]
        patch_radius, search_radius = settings.get("patch_radius"), settings.get("search_radius")
        sigma = noise.rms_sigma or (noise.h or 0.0) / _USUAL_K  # from h alone, at the usual k
        relative = sigma / (levels.data_range or 1.0)
        if settings.get("color") == "separate" and isinstance(noise.sigma, tuple):
            relative = _relative_of_channels(inputs, noise.sigma, relative)
        row = next((r for r in rows if relative <= r.upto), rows[-1])
        patch = _patch_radius(row, len(grid)) if patch_radius is None else patch_radius_of(patch_radius)
        search = _search_radius(row, len(grid)) if search_radius is None else search_radius_of(search_radius)
        radii = per_axis("patch_radius", patch, len(grid))
        reach = (
            (max(grid),) * len(grid) if search == "image" else per_axis("search_radius", search, len(grid))
        )
        samples = math.prod(2 * min(r, n - 1) + 1 for r, n in zip(radii, grid, strict=True))
        shifts = math.prod(2 * min(r, n - 1) + 1 for r, n in zip(reach, grid, strict=True))
        return cls(patch, search, row.strength(samples, shifts))


def _relative_of_channels(inputs: Inputs, sigma: tuple[float, ...], otherwise: float) -> float:
    """The root mean square of sigma / data range over channels, which may be in different units."""
    if inputs.value_ends is None:
        return otherwise
    ranges = [high - low for low, high in zip(*inputs.value_ends, strict=True)]
    every = sigma if len(sigma) == len(ranges) else sigma * len(ranges)
    found = [s / r for s, r in zip(every, ranges, strict=True) if r > 0]
    return root_mean_square(found) if found and any(found) else otherwise


def _patch_radius(row: Row, axes: int) -> int:
    """Radius of a patch with about as many samples as the row's; twice the radius in a signal."""
    if axes < 3:
        return row.patch_radius * (3 - axes)
    return max(1, round((math.pow(2 * row.patch_radius + 1, 2 / 3) - 1) / 2))


def _search_radius(row: Row, axes: int) -> int:
    """Radius of a window with about as many shifts as the row's; a fifth of them in a signal."""
    return {1: 20, 2: row.search_radius, 3: 3}[axes]
