"""NL-means of the planes of a volume, for a backend that does them in one call; see `methods.nlmeans`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from nlmeans import formula
from nlmeans.arrays import namespace
from nlmeans.backends.contract import Array, Run, Slab, SlabBackend, Sums


def pixels_of_slab(slab: Slab, center: str, backend: SlabBackend, run: Run) -> Array:
    """The change (V, n, Y, X): sums over the window, the centre rule, then one division."""
    sums, xp = backend.accumulate_slab(slab, run, peak=center == "max"), namespace(slab.value)
    votes = slab.vote[slice(*slab.planes)]
    for z in _parts(votes, xp):
        total = sums.denominator[z]
        total += _center(sums, z, center, xp) * votes[z]  # see `_plane`
        total[total <= 0] = 1
        change = sums.numerator[:, z]
        change /= total
    return sums.numerator


def patches_of_slab(slab: Slab, center: str, backend: SlabBackend, run: Run) -> Array:
    """The same where patches estimate all of their pixels."""
    half, xp = run.part(0.5), namespace(slab.value)
    first = backend.accumulate_slab(replace(slab, value=slab.value[:0]), half, peak=center == "max")
    normaliser, centers = first.denominator, xp.empty_like(first.denominator)
    votes = slab.vote[slice(*slab.planes)]
    for z in _parts(votes, xp):
        centers[z] = _center(first, z, center, xp)
        normaliser[z] += centers[z]
        xp.divide(votes[z], normaliser[z], out=normaliser[z])  # patches of invalid pixels estimate nothing
    both = backend.aggregate_slab(slab, half, normaliser, centers)
    for z in _parts(votes, xp):
        formula.divide(both.numerator[:, z], both.denominator[z], votes[z])
    return both.numerator


def _parts(planes: Array, xp: Any) -> Iterator[slice]:
    """Planes to work on at a time outside the kernels: on a processor one, so that it stays in the caches."""
    step = 1 if xp is np else len(planes)
    return (slice(z, z + step) for z in range(0, len(planes), step))


def _center(sums: Sums, z: slice, rule: str, xp: Any) -> Array | float:
    """The weights of some planes' pixels for themselves."""
    return formula.center(rule, 0.0 if sums.peak is None else sums.peak[z], xp)
