"""NL-Ridge as a method: groups of like patches, each replaced by its best linear combinations, in two steps.

The formulas are in :mod:`nlmeans.backends.groups`.  The first step makes the combinations from the noisy patches
themselves; it keeps texture that averages lose, and noise.  NL-means keeps less of either.  The mean of both is the
pilot of the second step, whose combinations are those that would be best if the pilot were the truth.

Images and volumes are worked on plane by plane.  Values are divided by sigma first, so that the noise is 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


import numpy as np

from nlmeans import backends
from nlmeans.arrays import Array
from nlmeans.backends import groups
from nlmeans.backends.contract import Run
from nlmeans.backends.groups import FIRST_RIDGE, Grid, Groups
from nlmeans.choosing import Chosen
from nlmeans.inputs import Inputs
from nlmeans.methods import Method
from nlmeans.methods.nlmeans import Geometry, NLMeans
from nlmeans.noise.strength import Noise
from nlmeans.tiling import Cost, Tile

_LEAST_SIGMA, _GREATEST_SIGMA = 1e-9, 1e9  # of the data range: squares of what is divided by it fit float32
_LEAST_VARIANCE = 1e-6  # of the largest in a map: no matrix is singular where there is no noise
_FILLED = 8.0  # variance of a pixel that was filled in, in that of the noise: patches with many count less
_SHARES = (0.3, 0.2, 0.5)  # of the time: the pilot by NL-means, the first step, the second


@dataclass(frozen=True)
class Step:
    """How one step finds and takes its patches."""

    patch: int  # samples of a patch along an axis
    partners: int  # patches of a group, the reference among them
    radius: int  # of the window in which they are sought
    stride: int  # pixels from one reference to the next

    def reach(self) -> int:
        """How far from a pixel its change looks: to a patch on it, its reference, that one's partners."""
        return 2 * self.radius + self.patch - 1


@dataclass(frozen=True)
class Row:
    """The settings up to one sigma."""

    upto: float  # sigma / data range
    first: Step
    second: Step
    mix: float  # part of the first step in the pilot; the rest is NL-means


_TABLE = (
    Row(0.078, Step(7, 17, 12, 4), Step(7, 65, 15, 5), 0.5),
    Row(math.inf, Step(7, 17, 12, 4), Step(7, 65, 15, 5), 0.5),
)


@dataclass(frozen=True, eq=False, kw_only=True)
class NLRidge(Method):
    """The two steps, and the pilot between them."""

    noise: Noise
    row: Row
    groups: Groups
    pilot: Method  # NL-means, whose tiles and levels are the same
    separate: bool = False  # each channel by itself
    lead: bool = False  # groups are found by the first channel, and each channel is combined by itself

    @classmethod
    def of(cls, chosen: Chosen, inputs: Inputs, backend: str) -> NLRidge:
        """For one image on a backend."""
        engine = backends.choose(backend, replace(inputs.request, method="nlridge"))
        noise, levels = chosen.noise, chosen.levels[0]
        relative = noise.rms_sigma / (levels.data_range or 1.0)
        row = next(r for r in _TABLE if relative <= r.upto)
        pilot = TwoPasses.of(chosen, inputs, backend)
        channels = inputs.value.shape[0]
        reach = row.first.reach() + row.second.reach()
        return cls(
            levels=chosen.levels,
            halo=(0, *(h + reach for h in pilot.halo[1:])),
            cost=Cost(pilot.cost.tile, pilot.cost.plane + 4 * (8 * channels + 8 + row.second.partners)),
            patch_radius=pilot.patch_radius,
            sigma_map=None if isinstance(noise.sigma, tuple) else noise.sigma,
            dtype=pilot.dtype,
            library=engine.namespace(),
            memory=engine.memory(),
            noise=noise,
            row=row,
            groups=groups.of(engine),
            pilot=pilot,
            separate=chosen.parameters.color == "separate" and channels > 1,
        )

    def run(
        self, tile: Tile, origin: tuple[int, ...], whole_shape: tuple[int, ...], planes: range, run: Run
    ) -> Array:
        """The change; references lie on the grid of the whole image, wherever the tile begins."""
        shares = [run.part(share) for share in _SHARES]
        by_means = self.pilot.run(tile, origin, whole_shape, planes, shares[0])
        each = [s.part(1 / len(planes)) for s in shares[1:]]
        place = origin[1:], whole_shape[1:]
        result = [self._plane(_plane_of(tile, z), by_means[:, i], place, each) for i, z in enumerate(planes)]
        return np.stack(result, axis=1)

    def _plane(self, plane: Plane, by_means: Array, place: Place, runs: list[Run]) -> Array:
        """The change of one plane; channels whose noise is 0 stay as they are."""
        channels = len(plane.values)
        units = self._units(channels)
        together = [[c] for c in range(channels)] if self.separate else [list(range(channels))]
        result = np.zeros_like(plane.values)
        for some in together:
            some = [c for c in some if units[c] > 0]
            if not some:
                continue
            unit = units[some, None, None]
            noise = _Scaled.of(plane, some, unit, None if self.sigma_map is None else self.noise.largest)
            parts = [r.part(1 / len(together)) for r in runs]
            change = self._two_steps(noise, by_means[some] / unit, place, parts)
            result[some] = change * unit
        return result

    def _two_steps(self, noisy: _Scaled, by_means: Array, place: Place, runs: list[Run]) -> Array:
        """The change of values whose noise is 1."""
        row, values = self.row, noisy.values
        first = self._step(row.first, noisy, values, place, runs[0])
        pilot = values + (row.mix * first + (1 - row.mix) * by_means).astype(values.dtype)
        return self._step(row.second, noisy, pilot, place, runs[1])

    def _step(self, step: Step, noisy: _Scaled, basis: Array, place: Place, run: Run) -> Array:
        """The change by one step: groups that are alike in the basis, and their combinations."""
        values = noisy.values
        grid = grid_of(step, values.shape[1:], place)
        channels = len(values)
        samples = math.prod(grid.patch) * (1 if self.lead else channels)
        first = basis is values
        # the first step cannot tell noise from more patches than a third of the samples
        partners = min(step.partners, 1 + samples // 3) if first else step.partners
        found = self.groups.nearest(
            grid, basis[:1] if self.lead else basis, noisy.barred(grid.patch), (step.radius,) * 2, partners, run.part(0.3)
        )
        ridge = FIRST_RIDGE if first else 1.0
        parts = [slice(c, c + 1) for c in range(channels)] if self.lead else [slice(None)]
        result = np.empty_like(values)
        for part in parts:
            own = values[part]
            variance = noisy.variances(grid.patch, len(own))
            numerator, weights = self.groups.combine(
                grid, own, own if first else basis[part], variance, ridge, not first, found, run.part(0.7 / len(parts))
            )
            result[part] = numerator / np.where(weights > 0, weights, 1)
        return result

    def _units(self, channels: int) -> Array:
        """What the values of each channel are divided by, so that their noise is 1 (or at most, with a map)."""
        levels = self.levels[0]
        each = (self.noise.largest,) if self.noise.is_map else self.noise.sigma
        least, most = (bound * (levels.data_range / levels.unit or 1.0) for bound in (_LEAST_SIGMA, _GREATEST_SIGMA))
        units = [0.0 if s == 0 else min(max(s / levels.unit, least), most) for s in each]
        return np.array(units * (channels // len(units)), dtype=self.dtype)


# --- one plane -------------------------------------------------------------------------------

Place = tuple[tuple[int, ...], tuple[int, ...]]  #: first pixel of the tile, and the shape of the whole


@dataclass(frozen=True, eq=False)
class Plane:
    """One plane of a tile."""

    values: Array  # (V, Y, X), holes filled
    vote: Array  # (Y, X)
    sigma: Array | None  # (Y, X)


@dataclass(frozen=True, eq=False)
class _Scaled:
    """Some channels of a plane in units of their noise."""

    values: Array  # (V, Y, X)
    variance: Array | None  # (Y, X) of the noise; None: 1 everywhere
    vote: Array | None  # (Y, X); None: all are valid

    @classmethod
    def of(cls, plane: Plane, channels: list[int], unit: Array, largest: float | None) -> _Scaled:
        """Divided by the units; `largest` of a sigma map is what the largest sigma is there."""
        holes = not bool(plane.vote.all())
        variance = None
        if plane.sigma is not None:
            variance = np.maximum((plane.sigma / largest) ** 2, _LEAST_VARIANCE)
        if holes:
            variance = np.where(plane.vote > 0, 1.0 if variance is None else variance, _FILLED)
        return cls(plane.values[channels] / unit, variance, plane.vote if holes else None)

    def variances(self, patch: tuple[int, int], channels: int) -> Array:
        """The variance of a patch's samples, summed: a number for all, or at the first pixel of each."""
        if self.variance is None:
            return np.array([channels * math.prod(patch)], self.values.dtype)
        return (channels * sums(self.variance, patch)).astype(self.values.dtype)

    def barred(self, patch: tuple[int, int]) -> Array | None:
        """Infinite where more than half of a patch was filled in: it is no partner."""
        if self.vote is None:
            return None
        valid = sums(self.vote, patch)
        return np.where(2 * valid < math.prod(patch), np.inf, 0).astype(self.values.dtype)


def _plane_of(tile: Tile, z: int) -> Plane:
    return Plane(tile.feature[:, z], tile.vote[z], None if tile.sigma is None else tile.sigma[z])


def sums(plane: Array, patch: tuple[int, int]) -> Array:
    """Sums over patches, at their first pixels; over what lies in the plane."""
    result = plane.astype(np.float64)
    for axis, size in enumerate(patch):
        total = np.zeros_like(result)
        length = plane.shape[axis]
        for o in range(size):
            to, source = [slice(None)] * 2, [slice(None)] * 2
            to[axis], source[axis] = slice(0, length - o), slice(o, None)
            total[tuple(to)] += result[tuple(source)]
        result = total
    return result


def grid_of(step: Step, shape: tuple[int, ...], place: Place) -> Grid:
    """The references in a tile: on multiples of the stride in the whole image, and at its ends."""
    patch = tuple(min(step.patch, whole) for whole in place[1])
    rows, cols = (
        _starts(n, p, step.stride, origin, whole) for n, p, origin, whole in zip(shape, patch, *place, strict=True)
    )
    return Grid((int(shape[0]), int(shape[1])), (patch[0], patch[1]), rows, cols)


def _starts(length: int, patch: int, stride: int, origin: int, whole: int) -> Array:
    """First pixels along an axis of a tile; the last patch that there is ends with the image."""
    absolute = np.append(np.arange(0, whole - patch, stride), whole - patch)
    here = absolute[(absolute >= origin) & (absolute <= origin + length - patch)] - origin
    return (here if len(here) else np.array([length - patch])).astype(np.int32)


# --- the pilot -------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, kw_only=True)
class TwoPasses(Method):
    """NL-means, and once more with small patches, guided by its own result; in plane."""

    first: NLMeans
    second: NLMeans
    noisy: float  # part of the noisy image in the guide

    @classmethod
    def of(cls, chosen: Chosen, inputs: Inputs, backend: str) -> TwoPasses:
        from nlmeans.choosing import _TABLE as rows

        noise = chosen.noise
        relative = noise.rms_sigma / (chosen.levels[0].data_range or 1.0)
        row = next((r for r in rows["patch"] if relative <= r.upto), rows["patch"][-1])
        request = replace(inputs, request=replace(inputs.request, method="nlridge"))
        plain = NLMeans.of(chosen, request, backend)
        r, big = row.patch_radius, row.search_radius
        first = replace(
            plain,
            noise=replace(noise, k=row.strength((2 * r + 1) ** 2, (2 * big + 1) ** 2)),
            geometry=Geometry((0, r, r), (0, big, big), "box", "max", "patch"),
        )
        mix, k = (0.2, 0.5) if relative < 0.15 else (0.0, 0.3)
        second = replace(
            plain,
            noise=replace(noise, k=k, correction=mix * noise.largest),
            geometry=Geometry((0, 1, 1), (0, 10, 10), "box", "max", "patch"),
        )
        halo = tuple(a + b for a, b in zip(first.geometry.halo, second.geometry.halo, strict=True))
        return cls(
            levels=plain.levels, halo=halo, cost=plain.cost, patch_radius=first.geometry.patch_radius,
            dtype=plain.dtype, library=plain.library, memory=plain.memory, first=first, second=second, noisy=mix,
        )  # fmt: skip

    def run(
        self, tile: Tile, origin: tuple[int, ...], whole_shape: tuple[int, ...], planes: range, run: Run
    ) -> Array:
        """The change by the second pass."""
        part = run.part(0.5)
        change = self.first.run(tile, origin, whole_shape, planes, part)
        guide = tile.feature.copy()
        guide[:, planes.start : planes.stop] += (1 - self.noisy) * change
        guided = replace(tile, feature=guide)
        return self.second.run(guided, origin, whole_shape, planes, part)


