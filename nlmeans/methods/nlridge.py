"""NL-Ridge as a method: groups of like patches, each replaced by its best linear combinations, in two steps.

The formulas are in :mod:`nlmeans.backends.groups`.  The first step makes the combinations from the noisy
patches themselves: it keeps texture that averages lose, and some noise.  NL-means, guided by it, keeps less
of either.  The mean of both is the pilot of the second step, whose combinations are those that would be best
if the pilot were the truth.

Images and volumes are worked on plane by plane.  Values are divided by sigma first, so that the noise is 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from nlmeans import backends, formula
from nlmeans.arrays import Array
from nlmeans.backends import groups
from nlmeans.backends.contract import Backend, Run
from nlmeans.backends.groups import FIRST_RIDGE, Groups
from nlmeans.choosing import Chosen
from nlmeans.inputs import Inputs
from nlmeans.methods import Method
from nlmeans.methods.nlmeans import Exponents, Geometry, plane_of_patches
from nlmeans.methods.references import Part, Place, Step, grid_of
from nlmeans.noise.strength import Noise
from nlmeans.tiling import Cost, Tile

_LEAST_SIGMA, _GREATEST_SIGMA = 1e-9, 1e9  # of the data range: squares of what is divided by it fit float32
_SHARES = (0.25, 0.15, 0.6)  # of the time: the first step, NL-means, the second step


# Found on every twentieth picture of train400, sigma 5 to 75 of 255: this one setting is within 0.03 dB of
# the best of each sigma.  NL-means guided by the first step is as good here as two passes of its own.
_FIRST = Step(patch=7, partners=17, radius=15, stride=4)
_SECOND = Step(patch=7, partners=65, radius=15, stride=4)
_FARTHEST = 64.0**2  # of partners, mean square over the variance: more takes digits and gives nothing
_MIX = 0.5  # part of the first step in the pilot; the rest is NL-means


@dataclass(frozen=True)
class Means:
    """NL-means for the pilot."""

    geometry: Geometry
    k: float
    noisy: float  # part of the noisy image in what is compared; the rest is the first step


_GUIDED = Means(Geometry((0, 1, 1), (0, 5, 5), "box", "max", "patch"), 0.5, 0.15)
# Of differences of colours NL-means alone is the better pilot, by 0.02 to 0.1 dB (kodim01 to 11).
_OF_DIFFERENCES = Means(Geometry((0, 3, 3), (0, 7, 7), "box", "max", "patch"), 0.6, 1.0)


@dataclass(frozen=True, eq=False, kw_only=True)
class NLRidge(Method):
    """The two steps, and NL-means between them."""

    noise: Noise
    backend: Backend
    groups: Groups
    lead: bool = False  # partners are found by the first channel, then each channel is combined by itself

    @classmethod
    def of(cls, chosen: Chosen, inputs: Inputs, backend: str, *, lead: bool = False) -> NLRidge:
        """For one image on a backend."""
        engine = backends.choose(backend, replace(inputs.request, method="nlridge"))
        dtype = engine.works_in(inputs.request.dtype)
        noise, channels = chosen.noise, len(chosen.levels[0].offset)
        reach = _FIRST.reach + _SECOND.reach
        halo = (_OF_DIFFERENCES if lead else _GUIDED).geometry.halo
        size = np.dtype(dtype).itemsize
        return cls(
            levels=chosen.levels,
            halo=(0, halo[1] + reach, halo[2] + reach),
            # a tile's arrays; a plane's, with its partners
            cost=Cost(
                size * (2 * channels + 2),
                size * (12 * channels + 8) + 4 * _SECOND.partners // _SECOND.stride**2,
            ),
            patch_radius=_GUIDED.geometry.patch_radius,
            sigma_map=noise.sigma if noise.is_map else None,
            dtype=dtype,
            library=engine.namespace(),
            memory=engine.memory(),
            noise=noise,
            backend=engine,
            groups=groups.of(engine),
            changes_nothing=noise.largest == 0,
            lead=lead,
        )

    def run(
        self, tile: Tile, origin: tuple[int, ...], whole_shape: tuple[int, ...], planes: range, run: Run
    ) -> Array:
        """The change; references lie on the grid of the whole image, wherever the tile begins."""
        place, part = Place(origin[1:], whole_shape[1:]), run.part(1 / len(planes))
        return self.library.stack([self._plane(tile, z, place, part) for z in planes], axis=1)

    def _plane(self, tile: Tile, z: int, place: Place, run: Run) -> Array:
        """The change of one plane; channels without noise stay as they are."""
        xp, values = self.library, tile.feature[:, z]  # holes are filled
        units = self._units(len(values))
        noisy = np.flatnonzero(units > 0)
        result = xp.zeros_like(values)
        if len(noisy):
            unit = xp.asarray(units[noisy, None, None])
            noisy = xp.asarray(noisy)
            # of a sigma map the unit is the largest
            variance = None if tile.sigma is None else (tile.sigma[z] / self.noise.largest) ** 2
            part = Part.of(values[noisy] / unit, variance, tile.vote[z], place)
            change = self._two_steps(part, run)
            result[noisy] = change * (unit if variance is None else unit * (variance > 0))
        return result

    def _units(self, channels: int) -> Array:
        """What the values of each channel are divided by, so that their noise is 1."""
        levels = self.levels[0]
        data_range = levels.data_range / levels.unit or 1.0
        least, most = _LEAST_SIGMA * data_range, _GREATEST_SIGMA * data_range
        each = (self.noise.largest,) if self.noise.is_map else self.noise.sigma
        units = [min(max(s / levels.unit, least), most) if s > 0 else 0.0 for s in each]
        return np.array(units * (channels // len(units)), dtype=self.dtype)

    def _two_steps(self, part: Part, run: Run) -> Array:
        """The change of values whose noise is 1."""
        shares = [run.part(share) for share in _SHARES]
        pilot = self._pilot(part, shares)
        found = self._partners(_SECOND, part, pilot[:1] if self.lead else pilot, shares[2].part(0.3))
        if not self.lead:
            return self._combined(_SECOND, part, pilot, found, shares[2].part(0.7))
        each = shares[2].part(0.7 / len(pilot))
        parts = [slice(c, c + 1) for c in range(len(pilot))]
        return self.library.concatenate(
            [self._combined(_SECOND, part.of_channels(c), pilot[c], found, each) for c in parts]
        )

    def _pilot(self, part: Part, runs: list[Run]) -> Array:
        """The first step and NL-means."""
        own = part.of_channels(slice(0, 1)) if self.lead else part
        found = self._partners(_FIRST, own, own.values, runs[0].part(0.5))
        first = self._combined(_FIRST, own, own.values, found, runs[0].part(0.5))
        differences = part.of_channels(slice(1, None))
        each = runs[1].part(1 / 2 if self.lead and len(differences.values) else 1)
        pilot = own.values + _MIX * first + (1 - _MIX) * self._means(_GUIDED, own, first, each)
        if not self.lead or not len(differences.values):
            return pilot
        by_means = self._means(_OF_DIFFERENCES, differences, None, each)
        return self.library.concatenate([pilot, differences.values + by_means])

    def _partners(self, step: Step, part: Part, feature: Array, run: Run) -> Array:
        """The groups of one step: patches that are alike in the feature."""
        grid = grid_of(step, part)
        samples, partners = len(feature) * math.prod(grid.patch), step.partners
        if step is _FIRST:  # noise cannot be told from more patches than a third of the samples
            partners = min(partners, 1 + samples // 3)
        farthest = _FARTHEST * part.variances(grid.patch, len(feature))
        radius = (step.radius, step.radius)
        return self.groups.nearest(grid, feature, part.barred(grid.patch), radius, farthest, partners, run)

    def _combined(self, step: Step, part: Part, basis: Array, found: Array, run: Run) -> Array:
        """The change by the combinations of groups, which are made for the basis."""
        first, values = basis is part.values, part.values
        grid = grid_of(step, part)
        variance, ridge = part.variances(grid.patch, len(values)), FIRST_RIDGE if first else 1.0
        sums, weights = self.groups.combine(grid, values, basis, variance, ridge, not first, found, run)
        return (sums / self.library.where(weights > 0, weights, 1)).astype(values.dtype, copy=False)

    def _means(self, means: Means, part: Part, first: Array | None, run: Run) -> Array:
        """The change by NL-means, guided by the first step; the guide's noise is that of its noisy part."""
        guide = part.values if first is None else part.values + (1 - means.noisy) * first
        strength = formula.feature_factor(means.k, len(guide)) ** 2
        scale: float | Array = strength
        if part.variance is not None:
            scale = (strength / part.variance)[None].astype(guide.dtype)
        bias = formula.bias(means.noisy / means.k)
        exponents = Exponents(guide[:, None], part.values[:, None], part.vote[None], scale, bias)
        return plane_of_patches(exponents, 0, means.geometry, self.backend, run.part(0.5), self.library)
