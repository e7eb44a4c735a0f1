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
from nlmeans.methods.references import Part, Place, Stride, grid_of
from nlmeans.noise.strength import Noise
from nlmeans.tiling import Cost, Tile

_LEAST_SIGMA, _GREATEST_SIGMA = 1e-9, 1e9  # of the data range: squares of what is divided by it fit float32
_SHARES = (0.25, 0.15, 0.6)  # of the time: the first step, NL-means, the second step


@dataclass(frozen=True)
class Step:
    """How one step finds and takes its patches."""

    patch: int  # samples of a patch along an axis
    partners: int  # patches of a group, the reference among them
    radius: int  # of the window in which they are sought
    stride: int  # pixels from one reference to the next

    @property
    def reach(self) -> int:
        """How far from a pixel its change looks: to a patch on it, its reference, and that one's partners."""
        return 2 * self.radius + self.patch - 1


# Found on every twentieth picture of train400, sigma 5 to 75 of 255: this one setting is within 0.03 dB of
# the best of each sigma.  NL-means guided by the first step is as good here as two passes of its own.
_FIRST = Step(patch=7, partners=17, radius=18, stride=4)
_SECOND = Step(patch=7, partners=65, radius=15, stride=4)
_FARTHEST = 64.0**2  # of partners, mean square over the variance: more takes digits and gives nothing
_MIX = 0.5  # part of the first step in the pilot; the rest is NL-means
_MEANS = Geometry((0, 1, 1), (0, 5, 5), "box", "max", "patch")
_NOISY = 0.15  # part of the noisy image in the guide of NL-means; the rest is the first step
_K = 0.5  # of NL-means


@dataclass(frozen=True, eq=False, kw_only=True)
class NLRidge(Method):
    """The two steps, and NL-means between them."""

    noise: Noise
    backend: Backend
    groups: Groups
    separate: bool = False  # each channel by itself
    lead: bool = False  # partners are found by the first channel, then each channel is combined by itself

    @classmethod
    def of(cls, chosen: Chosen, inputs: Inputs, backend: str) -> NLRidge:
        """For one image on a backend."""
        engine = backends.choose(backend, replace(inputs.request, method="nlridge"))
        dtype = engine.works_in(inputs.request.dtype)
        noise, channels = chosen.noise, inputs.value.shape[0]
        reach = _FIRST.reach + _SECOND.reach
        size = np.dtype(dtype).itemsize
        return cls(
            levels=chosen.levels,
            halo=(0, _MEANS.halo[1] + reach, _MEANS.halo[2] + reach),
            # a tile's arrays; a plane's, with its partners
            cost=Cost(
                size * (2 * channels + 2),
                size * (12 * channels + 8) + 4 * _SECOND.partners // _SECOND.stride**2,
            ),
            patch_radius=(0, 1, 1),
            sigma_map=noise.sigma if noise.is_map else None,
            dtype=dtype,
            library=engine.namespace(),
            memory=engine.memory(),
            noise=noise,
            backend=engine,
            groups=groups.of(engine),
            separate=chosen.parameters.color == "separate" and channels > 1,
        )

    def run(
        self, tile: Tile, origin: tuple[int, ...], whole_shape: tuple[int, ...], planes: range, run: Run
    ) -> Array:
        """The change; references lie on the grid of the whole image, wherever the tile begins."""
        place, part = Place(origin[1:], whole_shape[1:]), run.part(1 / len(planes))
        return np.stack([self._plane(tile, z, place, part) for z in planes], axis=1)

    def _plane(self, tile: Tile, z: int, place: Place, run: Run) -> Array:
        """The change of one plane; channels without noise stay as they are."""
        values = tile.feature[:, z]  # holes are filled
        units = self._units(len(values))
        noisy = [c for c, unit in enumerate(units) if unit > 0]
        together = [[c] for c in noisy] if self.separate else [noisy] if noisy else []
        result = np.zeros_like(values)
        for channels in together:
            unit = units[channels, None, None]
            # of a sigma map the unit is the largest
            variance = None if tile.sigma is None else (tile.sigma[z] / self.noise.largest) ** 2
            part = Part.of(values[channels] / unit, variance, tile.vote[z], place)
            change = self._two_steps(part, run.part(1 / len(together)))
            result[channels] = change * (unit if variance is None else unit * (variance > 0))
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
        first = self._step(_FIRST, part, part.values, shares[0])
        by_means = self._means(part, part.values + (1 - _NOISY) * first, shares[1])
        pilot = part.values + _MIX * first + (1 - _MIX) * by_means
        return self._step(_SECOND, part, pilot, shares[2])

    def _step(self, step: Step, part: Part, basis: Array, run: Run) -> Array:
        """The change by one step: groups that are alike in the basis, and their combinations."""
        values = part.values
        grid = grid_of(Stride(step.patch, step.stride), values.shape[1:], part.place)
        first, lead = basis is values, basis[:1] if self.lead else basis
        together = [values[c : c + 1] for c in range(len(values))] if self.lead else [values]
        samples = math.prod(grid.patch) * len(together[0])
        # noise cannot be told from more patches than a third of the samples
        partners = min(step.partners, 1 + samples // 3) if first else step.partners
        farthest = _FARTHEST * part.variances(grid.patch, len(lead))
        barred, radius = part.barred(grid.patch), (step.radius, step.radius)
        found = self.groups.nearest(grid, lead, barred, radius, farthest, partners, run.part(0.3))
        each = run.part(0.7 / len(together))
        variance = part.variances(grid.patch, len(together[0]))
        ridge, changes = FIRST_RIDGE if first else 1.0, []
        for c, own in enumerate(together):
            better = own if first else basis[c : c + len(own)]
            sums, weights = self.groups.combine(grid, own, better, variance, ridge, not first, found, each)
            changes.append(sums / np.where(weights > 0, weights, 1))
        return np.concatenate(changes).astype(values.dtype, copy=False)

    def _means(self, part: Part, guide: Array, run: Run) -> Array:
        """The change by NL-means with the guide; its noise is that of its noisy part."""
        strength = formula.feature_factor(_K, len(guide)) ** 2
        scale = strength if part.variance is None else (strength / part.variance)[None].astype(guide.dtype)
        exponents = Exponents(
            guide[:, None].astype(part.values.dtype),
            part.values[:, None],
            part.vote[None],
            scale,
            formula.bias(_NOISY / _K),
        )
        return plane_of_patches(exponents, 0, _MEANS, self.backend, run.part(0.5), np)
