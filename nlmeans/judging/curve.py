"""How the noise depends on brightness, learned from the image itself by hiding pixels from the filter.

A transform makes the noise equally strong everywhere, NL-Ridge denoises, the inverse leads back.  Which
transform is the right one is told by pixels that the filter does not see: each is replaced by the mean of its
neighbours, and the better the noise is known, the nearer to the pixel itself comes what the filter says.  The
filter stays as it is; learned are the logarithms of the deviation at a few levels.

Only the shape of the curve is learned so.  What is hidden is texture too, which asks for more averaging than
pixels that are seen: with the strength learned as well, noise of 3 of 255 on photographs was taken for 6 to
13.  So the strength is that of the transformed image, by `estimate_sigma` (benchmarks/studies/single).

References
----------
S. Herbreteau, M. Unser, "Self-calibrated variance-stabilizing transformations for real-world image
denoising", 2024, doi:10.48550/arXiv.2407.17399.  J. Batson, L. Royer, "Noise2Self: blind denoising by
self-supervision", ICML 2019, doi:10.48550/arXiv.1901.11365.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlmeans.arrays import to_numpy
from nlmeans.choosing import choose
from nlmeans.errors import warn
from nlmeans.inputs import Inputs, check
from nlmeans.judging.sigma import is_shared
from nlmeans.noise.estimate import both_estimates
from nlmeans.noise.patches import power_of_two
from nlmeans.noise_models.model import NoiseModel, joined
from nlmeans.noise_models.transforms import Curve
from nlmeans.parameters import Settings
from nlmeans.running import apply

Plane = NDArray[np.float64]

_KNOTS = 6
_ENDS = (0.01, 0.99)  # quantiles of the smoothed image between which the levels are
_CELL = 4  # side of the squares whose means are the smoothed image
_PERIOD = 4  # of the grid of pixels that are hidden at a time
_HIDDEN = ((0, 0), (1, 2), (2, 1), (3, 3))  # four of the 16 such grids, one in each row and column
_STEPS = (0.5, 0.25, 0.12)  # of the logarithm of the deviation
_SIDE, _TILES = 128, 4  # of an image that is larger: tiles of so many pixels a side
_LEAST_SIDE = 32
_WEAK = 0.015  # of the range of brightness, as in `noise_curve`: below, no model changes anything
_SQUARED = 1e-100, 1e100  # values whose squares are numbers, with room


def learned_curve(seen: Inputs, workers: int | None = None) -> NoiseModel | None:
    """The curve of each channel; None where none can be learned.

    White noise where it is too weak to matter, or where neighbours share it: they tell a hidden pixel's.
    """
    if is_shared(seen):
        warn("neighbouring pixels share noise, so no curve of it is learned: it is taken for equally strong")
        return NoiseModel("gaussian")
    models = []
    for c in range(seen.value.shape[0]):
        channel = to_numpy(seen.value[c]).astype(np.float64)
        valid = np.isfinite(channel) if seen.voters is None else to_numpy(seen.voters) & np.isfinite(channel)
        largest = float(np.max(np.abs(channel[valid]), initial=0.0))
        unit = 1.0 if _SQUARED[0] < largest < _SQUARED[1] else power_of_two(largest)
        tiles = _tiles(channel / unit, valid)
        if not tiles:
            return None
        found = _Search(tiles, workers).best()
        if found is None:
            return NoiseModel("gaussian")
        models.append(found if unit == 1 else _in_units_of(unit, found))
    if any(model.kind == "gaussian" for model in models):
        return NoiseModel("gaussian")
    return joined(models)


def _in_units_of(unit: float, model: NoiseModel) -> NoiseModel:
    """A curve found in a unit; white noise where its deviations are no numbers in smaller ones."""
    levels, deviations = (unit * np.array(points) for points in (model.levels, model.deviations))
    if deviations.min() < np.finfo(np.float64).tiny:
        return NoiseModel("gaussian")
    return NoiseModel("curve", levels=tuple(levels.tolist()), deviations=tuple(deviations.tolist()))


def _tiles(channel: Plane, valid: NDArray[np.bool_]) -> list[Plane]:
    """The planes of a small image (Z, Y, X), else tiles from dark to bright; all of whose pixels count."""
    sides = [min(n, _SIDE) for n in channel.shape[1:]]
    if channel[0].size <= _TILES * _SIDE**2:
        sides = list(channel.shape[1:])
    if min(sides) < _LEAST_SIDE:
        return []
    found = [
        plane[y : y + sides[0], x : x + sides[1]]
        for plane, usable in zip(channel, valid, strict=True)
        for y in range(0, plane.shape[0] - sides[0] + 1, sides[0])
        for x in range(0, plane.shape[1] - sides[1] + 1, sides[1])
        if usable[y : y + sides[0], x : x + sides[1]].all()
    ]
    most = max(1, _TILES * _SIDE**2 // (sides[0] * sides[1]))
    found = sorted(found, key=lambda tile: float(tile.mean()))
    chosen: Any = np.unique(np.linspace(0, len(found) - 1, most).round().astype(int)) if found else []
    return [found[n] for n in chosen]


@dataclass(frozen=True, eq=False)
class _Search:
    """From the same noise everywhere to the curve that foretells hidden pixels best."""

    tiles: list[Plane]
    workers: int | None

    def best(self) -> NoiseModel | None:
        """By steps along each direction, which are halved; None where the noise is weak or none."""
        smooth = np.concatenate([_smooth(tile).ravel() for tile in self.tiles])
        low, high = np.quantile(smooth, _ENDS)
        if not high > low:
            return None
        levels = np.linspace(low, high, _KNOTS)
        best = self._levelled(levels, np.full(_KNOTS, np.log((high - low) / 16)))
        if best is None or float(np.exp(best[0])) < _WEAK * (high - low):
            return None
        least = self._error(levels, best)
        for step in _STEPS:
            for move in _directions():
                for sign in (1, -1):
                    other = self._levelled(levels, best + sign * step * move)
                    found = np.inf if other is None else self._error(levels, other)
                    if other is not None and found < least:
                        best, least = other, found
                        break
        return NoiseModel("curve", levels=tuple(levels.tolist()), deviations=tuple(np.exp(best).tolist()))

    def _levelled(self, levels: Plane, log_deviation: Plane) -> Plane | None:
        """The curve as strong as the noise is after its transform; None where none is found."""
        transform = _transform(levels, log_deviation)
        squares = [
            both_estimates(transform.forward(t, np)[None, None], None)[0].white ** 2 for t in self.tiles
        ]
        level = float(np.mean(squares)) ** 0.5
        return log_deviation + np.log(level) if level > 0 else None

    def _error(self, levels: Plane, log_deviation: Plane) -> float:
        """Mean squared difference of hidden pixels and what the filter says of them."""
        transform = _transform(levels, log_deviation)
        return float(np.mean([_hidden_error(tile, transform, self.workers) for tile in self.tiles]))


def _transform(levels: Plane, log_deviation: Plane) -> Curve:
    return Curve(tuple(levels.tolist()), tuple(np.exp(log_deviation).tolist()))


def _directions() -> list[Plane]:
    """A slope, a bend, and each level alone."""
    at = np.linspace(-1, 1, _KNOTS)
    return [at, 1 - 2 * np.abs(at), *np.eye(_KNOTS)]


def _smooth(plane: Plane) -> Plane:
    """Means of squares."""
    rows, columns = (n // _CELL * _CELL for n in plane.shape)
    cells = plane[:rows, :columns].reshape(rows // _CELL, _CELL, columns // _CELL, _CELL)
    result: Plane = cells.mean((1, 3))
    return result


def _hidden_error(plane: Plane, transform: Curve, workers: int | None) -> float:
    """Of the pixels that are not seen and what the filter says of them."""
    around = np.pad(plane, 1, mode="reflect")
    mean = (around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:]) / 4
    errors = []
    for y, x in _HIDDEN:
        at = (slice(y, None, _PERIOD), slice(x, None, _PERIOD))
        given = plane.copy()
        given[at] = mean[at]
        clean = transform.inverse(_ridge(transform.forward(given, np), workers), np)
        errors.append(float(np.mean((clean[at] - plane[at]) ** 2)))
    return float(np.mean(errors))


def _ridge(plane: Plane, workers: int | None) -> Any:
    """NL-Ridge for noise of 1."""
    settings: Settings = {"method": "nlridge", "sigma": 1.0}
    inputs = check(plane.astype(np.float32), settings)
    return inputs.restored(apply(choose(inputs, settings), inputs, workers=workers)).astype(np.float64)
