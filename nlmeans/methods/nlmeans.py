"""NL-means as a method: features as exponents of 2, pairs of planes to a backend, centre and division.

This is the one driver of every backend and dimension: a signal is a picture of height 1, a volume
is pairs of planes, and a patch deep in z is the neighbouring planes stacked as channels.  A backend that
has the entries for slabs does all planes of a tile in one call, or a frame of a film with those around it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np

from nlmeans import backends, formula
from nlmeans.arrays import namespace
from nlmeans.backends.contract import Array, Backend, PlanePair, Run, Slab, Sums
from nlmeans.choosing import Chosen
from nlmeans.inputs import Inputs
from nlmeans.methods import Method
from nlmeans.methods.slab import patches_of_slab, pixels_of_slab
from nlmeans.noise.strength import Noise
from nlmeans.parameters import Parameters
from nlmeans.tiling import Cost, Tile

# What keeps every intermediate number finite.  float32 ends at 3e38, float64 at 1.8e308.
_GREATEST_BIAS = {"float32": 1e37, "float64": 1e300}  # beyond any scaled distance, with room to subtract
_GREATEST_SCALE = 1e30  # beyond, features are scaled instead, by its root, so that no scale overflows
_LEAST_STRENGTH = {
    "float32": 1e-12,
    "float64": 1e-100,
}  # h of the data range: (1 / h)^2 stays below both ends
_GREATEST_STRENGTH = 1e150  # in units of the levels: its square fits float64, and weights are 1 long before
_LEAST_PART = 1e-18  # of the largest sigma in a map: its square, a factor of float32, is 1e36 at most
_STRIP = 64  # rows worked on at a time outside the kernels, so that they stay in the processor's cache


@dataclass(frozen=True)
class Geometry:
    """Radii along (Z, Y, X) and the rules of one filter."""

    patch_radius: tuple[int, int, int]
    search_radius: tuple[int, int, int]
    patch: str
    center: str
    aggregate: str

    @classmethod
    def of(cls, parameters: Parameters, grid: tuple[int, ...]) -> Geometry:
        """The radii of a grid of one to three axes, with 0 along the axes it lacks."""
        missing = (0,) * (3 - len(grid))
        p = parameters
        return cls(
            (*missing, *p.patch_radii(len(grid))),  # type: ignore[arg-type]
            (*missing, *p.search_radii(grid)),  # type: ignore[arg-type]
            p.patch,
            p.center,
            p.aggregate,
        )

    @property
    def halo(self) -> tuple[int, int, int]:
        """How far a pixel's result looks along (Z, Y, X); patches are aggregated in plane only."""
        times = (1, 2, 2) if self.aggregate == "patch" else (1, 1, 1)
        (z, y, x) = (b + t * r for b, t, r in zip(self.search_radius, times, self.patch_radius, strict=True))
        return z, y, x

    def taps(self, dtype: Any) -> tuple[Array, Array, Array]:
        """Weights of a patch along (Z, Y, X)."""
        z, y, x = (formula.taps(r, self.patch, dtype) for r in self.patch_radius)
        return z, y, x

    @property
    def is_deep(self) -> bool:
        """Whether planes have to do with each other."""
        return self.search_radius[0] > 0 or self.patch_radius[0] > 0

    @property
    def calls(self) -> int:
        """Kernel calls for one plane, at most."""
        return (2 * self.search_radius[0] + 1) * (2 if self.aggregate == "patch" else 1)


@dataclass(frozen=True, eq=False)
class Exponents:
    """A tile whose patch distances are exponents of 2."""

    feature: Array  # (C, Z, Y, X) what is compared; may be `value` itself
    value: Array  # (V, Z, Y, X) whose differences are averaged
    vote: Array  # (Z, Y, X) 1 where a pixel may be averaged, else 0
    scale: float | Array  # makes the patch distance an exponent of 2; or (Z, Y, X), per query pixel
    bias: float | Array  # exponents up to this count as 0: 2 sigma^2 in their unit; or (Z, Y, X)

    def at(self, index: Any) -> tuple[Any, Any]:
        """Scale and bias of a plane or pixel: its part of an array, or the number for all."""
        scale, bias = (x if isinstance(x, float) else x[index] for x in (self.scale, self.bias))
        return scale, bias

    def slab(self, geometry: Geometry, planes: range) -> Slab:
        """Some planes against their windows, for a backend that does all of them in one call."""
        return Slab(
            feature=self.feature,
            value=self.value,
            vote=self.vote,
            radius=geometry.search_radius,
            taps=geometry.taps(self.value.dtype),
            bias=self.bias,
            scale=self.scale,
            planes=(planes.start, planes.stop),
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class NLMeans(Method):
    """The classical filter."""

    noise: Noise
    geometry: Geometry
    backend: Backend

    @classmethod
    def of(cls, chosen: Chosen, inputs: Inputs, backend: str, dtype: str | None = None) -> NLMeans:
        """For one image on a backend; `dtype` in place of the type that the backend works in for it."""
        geometry = Geometry.of(chosen.parameters, inputs.grid)
        engine = backends.choose(backend, inputs.request)
        dtype = dtype or engine.works_in(inputs.request.dtype)
        size = np.dtype(dtype).itemsize
        values, features = (len(levels.offset) for levels in chosen.levels)
        least_planes = _least_planes(engine) if geometry.is_deep else 0
        return cls(
            levels=chosen.levels,
            halo=geometry.halo,
            # a tile's arrays and its vote plane; a plane's sums, the kernel's scratch; those of a slab
            cost=Cost(
                size * (values + features + 2),
                size * (3 * values + 2 * features + 8),
                size * (2 * values + features + 6) if least_planes else 0,
                2 * geometry.halo[0] + max(least_planes - 1, 0),
            ),
            patch_radius=geometry.patch_radius,
            sigma_map=None if isinstance(chosen.noise.sigma, tuple) else chosen.noise.sigma,
            dtype=dtype,
            library=engine.namespace(),
            memory=engine.memory(),
            changes_nothing=chosen.noise.changes_nothing,
            noise=chosen.noise,
            geometry=geometry,
            backend=engine,
        )

    def run(
        self, tile: Tile, origin: tuple[int, ...], whole_shape: tuple[int, ...], planes: range, run: Run
    ) -> Array:
        """The change; a pixel's depends on its window alone, wherever the tile begins."""
        xp = namespace(tile.value)
        if self.changes_nothing:
            return xp.zeros_like(tile.value[:, planes.start : planes.stop])
        exponents = self.exponents(tile)
        if self._by_slabs(planes):
            slab = exponents.slab(self.geometry, planes)
            slab_of = patches_of_slab if self.geometry.aggregate == "patch" else pixels_of_slab
            return slab_of(slab, self.geometry.center, self.backend, run)  # type: ignore[arg-type]
        plane = plane_of_patches if self.geometry.aggregate == "patch" else _plane
        part = run.part(1 / (len(planes) * self.geometry.calls))
        results = [plane(exponents, z, self.geometry, self.backend, part, xp) for z in planes]
        return results[0][:, None] if len(results) == 1 else xp.stack(results, axis=1)

    def _by_slabs(self, planes: range) -> bool:
        """Whether the backend does several planes in one call, and that pays."""
        least = _least_planes(self.backend)
        return self.geometry.is_deep and 0 < least <= len(planes)

    def exponents(self, tile: Tile) -> Exponents:
        """The tile with features, scale and bias from h and sigma: see :mod:`nlmeans.formula`."""
        noise, levels = self.noise, self.levels[1]
        channels = len(levels.offset)
        least = _LEAST_STRENGTH[self.dtype] * (levels.data_range / levels.unit or 1.0)
        each = [min(max(s / levels.unit, least), _GREATEST_STRENGTH) for s in noise.strengths]
        ratio = noise.corrected_ratio(each[0] * levels.unit)
        bias = min(formula.bias(ratio), _GREATEST_BIAS[self.dtype])
        factors = [formula.feature_factor(h, channels) for h in each]
        scale, feature = factors[0] ** 2, tile.feature
        one_array = feature is tile.value and len(each) == 1 and tile.sigma is None
        if one_array and scale < _GREATEST_SCALE:
            return Exponents(feature, tile.value, tile.vote, scale, bias)
        xp = self.library
        feature = feature * xp.asarray(factors, dtype=self.dtype).reshape(-1, 1, 1, 1)
        if tile.sigma is None:
            return Exponents(feature, tile.value, tile.vote, 1.0, bias)
        # features are scaled for the largest sigma, h = k sigma: scale = (largest / sigma)^2
        part = tile.sigma.astype(np.float64) / noise.largest
        scales = xp.maximum(part, max(least / each[0], _LEAST_PART)) ** -2
        biases: float | Array = bias
        if noise.correction is not None:  # the same correction everywhere, in units of a varying h
            biases = xp.minimum(bias * scales, _GREATEST_BIAS[self.dtype]).astype(self.dtype)
        return Exponents(feature, tile.value, tile.vote, scales.astype(self.dtype), biases)


def _least_planes(backend: Backend) -> int:
    """From how many planes on it does them better in one call; 0 where it has no entry for slabs."""
    return getattr(backend, "LEAST_PLANES", 0)


# --- one plane -------------------------------------------------------------------------------


def _plane(tile: Exponents, z: int, geometry: Geometry, backend: Backend, run: Run, xp: Any) -> Array:
    """The change of one plane: sums over the window, the centre rule, then one division.

    A pixel differs from itself by nothing: its own weight counts in the denominator only.
    """
    own = _sums(
        backend.accumulate(p, run, peak=geometry.center == "max") for p in _pairs(tile, z, geometry, xp)
    )
    result, total = own.numerator, own.denominator
    for rows in _strips(tile, xp):
        # what may not be averaged has no part in its own value either, which may be a filling
        total[rows] += _center([own.peak], rows, geometry.center, xp) * tile.vote[z, rows]
        total[rows][total[rows] <= 0] = 1
        result[:, rows] /= total[rows]
    return result


def plane_of_patches(
    tile: Exponents, z: int, geometry: Geometry, backend: Backend, run: Run, xp: Any
) -> Array:
    """The same where patches estimate all of their pixels: sums of their weights, then of differences."""
    firsts = [
        backend.accumulate(_without_values(p), run, peak=geometry.center == "max")
        for p in _pairs(tile, z, geometry, xp)
    ]
    known = firsts[0]  # its arrays are used again for the result
    center = xp.empty_like(known.denominator) if known.peak is None else known.peak
    normaliser = known.denominator if len(firsts) == 1 else xp.empty_like(known.denominator)
    for rows in _strips(tile, xp):
        center[rows] = _center([s.peak for s in firsts], rows, geometry.center, xp)
        total = reduce(xp.add, [s.denominator[rows] for s in firsts], center[rows])
        xp.divide(
            tile.vote[z, rows], total, out=normaliser[rows]
        )  # patches of invalid pixels estimate nothing

    whole = len(firsts) == 1  # one pair holds the whole window
    tokens = [None if whole else first.token for first in firsts]
    both = _sums(
        backend.aggregate(p, run, normaliser, center if p.own else None, token)
        for p, token in zip(_pairs(tile, z, geometry, xp), tokens, strict=True)
    )
    result = both.numerator
    for rows in _strips(tile, xp):
        formula.divide(result[:, rows], both.denominator[rows], tile.vote[z, rows])
    return result


def _without_values(pair: PlanePair) -> PlanePair:
    """For the weights alone."""
    none = pair.value[:0]
    return replace(pair, value=none, own_value=none)


def _strips(tile: Exponents, xp: Any) -> Iterator[slice]:
    """Rows to work on at a time outside the kernels: on a processor what fits its caches, else all."""
    height = tile.vote.shape[1]
    step = _STRIP if xp is np else height
    return (slice(first, first + step) for first in range(0, height, step))


def _center(peaks: list[Array | None], rows: slice, rule: str, xp: Any) -> Array | float:
    """A pixel's weight for itself, in some rows; its largest weight is that of all pairs."""
    known = [peak[rows] for peak in peaks if peak is not None]
    return formula.center(rule, reduce(xp.maximum, known) if known else 0.0, xp)


def _pairs(tile: Exponents, z: int, geometry: Geometry, xp: Any) -> Iterator[PlanePair]:
    """Plane z against every plane of its search window."""
    depth = tile.vote.shape[0]
    reach = geometry.search_radius
    _, down, along = geometry.taps(tile.value.dtype)
    query = _stacked(tile.feature, z, geometry, xp)
    scale, bias = tile.at(z)
    own_value = tile.value[:, z]
    for other in range(max(0, z - reach[0]), min(depth, z + reach[0] + 1)):
        yield PlanePair(
            query=query,
            key=query if other == z else _stacked(tile.feature, other, geometry, xp),
            value=own_value if other == z else tile.value[:, other],
            own_value=own_value,
            vote=tile.vote[other],
            radius=reach[1:],
            taps=(down, along),
            bias=bias,
            scale=scale,
            own=other == z,
        )


def _stacked(feature: Array, z: int, geometry: Geometry, xp: Any) -> Array:
    """The planes of a patch around z, reflected by index at the ends, as channels."""
    depth = feature.shape[1]
    radius = geometry.patch_radius[0]
    if radius == 0:
        return feature[:, z]
    weights = np.sqrt(formula.taps(radius, geometry.patch, np.float64))
    planes = [
        feature[:, formula.reflected(z + o, depth)] * float(w)
        for o, w in zip(range(-radius, radius + 1), weights, strict=True)
    ]
    return xp.concatenate(planes, axis=0)


def _sums(each: Iterator[Sums]) -> Sums:
    """The sums of several planes together, in order."""
    total = next(each)
    for more in each:
        total.numerator += more.numerator
        total.denominator += more.denominator
        if total.peak is not None and more.peak is not None:
            total.peak = namespace(total.peak).maximum(total.peak, more.peak)
    return total
