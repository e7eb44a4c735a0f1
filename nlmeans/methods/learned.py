"""NL-Ridge, and a small trained network that corrects its result."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nlmeans.arrays import Array, namespace, to_numpy
from nlmeans.backends.contract import Run
from nlmeans.choosing import Chosen
from nlmeans.inputs import Inputs
from nlmeans.methods import Parts
from nlmeans.methods.nlridge import NLRidge
from nlmeans.network.weights import Networks, shipped
from nlmeans.noise.strength import Noise
from nlmeans.tiling import Cost, Tile

_SHARE = 0.4  # of the time: the pilot's
_GREATEST = 0.5  # of the data range: no noise is stronger, and the network saw none like it


@dataclass(frozen=True, eq=False, kw_only=True)
class Learned(Parts):
    """The change of NL-Ridge, the pilot, plus what the network adds to it.

    The network corrects channels one by one.  Of three colours these are the luminance and the differences;
    of the differences another one does, which sees the luminance too.
    """

    networks: Networks
    noise: Noise
    lead: bool = False  # the first channel is the luminance of the others

    @classmethod
    def of(cls, chosen: Chosen, inputs: Inputs, backend: str, *, lead: bool = False) -> Learned:
        """For one image; the pilot runs on a backend, the network on the processor."""
        networks, pilot = shipped(), NLRidge.of(chosen, inputs, backend, lead=lead)
        z, y, x = pilot.halo
        own = Cost(pilot.cost.tile, max(pilot.cost.plane, networks.light.bytes_a_pixel))
        reach = max(network.reach for network in networks)
        return cls.made_of(
            (replace(pilot, cost=own),),
            levels=pilot.levels,
            arrays=2 * len(pilot.levels[0].offset),
            halo=(z, y + reach, x + reach),
            networks=networks,
            noise=pilot.noise,
            lead=lead,
        )

    def run(
        self, tile: Tile, origin: tuple[int, ...], whole_shape: tuple[int, ...], planes: range, run: Run
    ) -> Array:
        """The change of the pilot, corrected."""
        first = self.parts[0].run(tile, origin, whole_shape, planes, run.part(_SHARE))
        change, values, vote = (to_numpy(a) for a in (first, tile.feature, tile.vote))
        part = run.part((1 - _SHARE) / (len(planes) * len(change)))
        for at, z in enumerate(planes):
            guide = None
            for c in range(len(change)):
                pilot = values[c, z] + change[c, at]
                pair = np.where(vote[z] > 0, values[c, z], pilot), pilot
                change[c, at] += self.correction(*pair, self._sigma(tile, c, z), origin[1:], part, guide)
                guide = pair if self.lead and c == 0 else guide
        return namespace(first).asarray(change)

    def correction(
        self,
        noisy: Array,
        pilot: Array,
        sigma: Array,
        origin: tuple[int, ...],
        run: Run,
        guide: tuple[Array, Array] | None = None,
    ) -> Array:
        """What the network adds: it takes pixels in pairs, which begin at even places of the whole image."""
        result = np.zeros_like(noisy)
        even = tuple(slice(first % 2, None) for first in origin)
        led = None if guide is None else (guide[0][even], guide[1][even])
        network = self.networks.light if guide is None else self.networks.differences
        if result[even].size:
            result[even] = network.change(noisy[even], pilot[even], sigma[even], run, led)
        return result

    def _sigma(self, tile: Tile, c: int, z: int) -> Array:
        """The noise of a channel's plane, in the unit of the tile."""
        levels, sigma = self.levels[0], self.noise.sigma
        if tile.sigma is not None:
            sigma = to_numpy(tile.sigma)[z] / levels.unit
        else:
            sigma = np.float32(sigma[c % len(sigma)] / levels.unit)
        most = _GREATEST * levels.data_range / levels.unit
        return np.broadcast_to(np.minimum(sigma, most), tile.feature.shape[2:])
