"""What the noise of an image is like: how sure an estimate of sigma is, and whether neighbours share it."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from nlmeans.arrays import to_numpy
from nlmeans.inputs import Inputs
from nlmeans.noise.estimate import both_estimates, of_channel

# What parts do not tell, because texture is taken for noise in all of them alike: assumed, not measured
LEAST = 0.01
# Independent values per pixel: of noise that was blurred 0.23 to 0.52, of counts behind tone curves, which
# the estimate takes for shared here and there, 0.91 to 1 (kodim01 to 11 and a part of skimage's camera).
_FREE = 0.75


def is_shared(inputs: Inputs) -> bool:
    """Whether the estimate tells noise that neighbouring pixels share from texture, in some channel."""
    found = both_estimates(inputs.value, inputs.voters)
    return any(f.used(f.evidence, f.span) > f.white and f.freedom < _FREE for f in found)


def uncertainty_of_sigma(inputs: Inputs) -> float:
    """Standard error of an estimated sigma, as a part of it: from four parts of the image, and their mean."""
    feature, valid = to_numpy(inputs.feature), None if inputs.voters is None else to_numpy(inputs.voters)
    grey = feature.astype(np.float64).mean(axis=0, keepdims=True)
    found = []
    for part in _quarters(grey.shape[1:]):
        mask = None if valid is None else valid[part]
        if mask is None or mask.any():
            found.append(of_channel(grey[(0, *part)], mask, None, shared=False).white)
    mean = sum(found) / max(len(found), 1)
    if len(found) < 2 or not mean:
        return 1.0
    spread = math.sqrt(sum((f - mean) ** 2 for f in found) / (len(found) - 1))
    return min(math.hypot(LEAST, spread / mean / math.sqrt(len(found))), 1.0)


def _quarters(shape: tuple[int, ...]) -> list[tuple[slice, ...]]:
    """Halves along the two longest axes, which make four; of a signal four runs."""
    longest = sorted(range(3), key=lambda a: shape[a])[1:]
    cuts = {longest[1]: 4} if shape[longest[0]] == 1 else dict.fromkeys(longest, 2)
    parts: list[tuple[slice, ...]] = [()]
    for axis, n in enumerate(shape):
        count = cuts.get(axis, 1)
        edges = [round(i * n / count) for i in range(count + 1)]
        pieces = [slice(a, b) for a, b in pairwise(edges) if b > a]
        parts = [(*part, piece) for part in parts for piece in pieces]
    return parts
