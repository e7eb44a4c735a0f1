"""The cosine transform of windows, and quantiles of the energy that noise has in it."""

from __future__ import annotations

import math

import numpy as np

from nlmeans.noise.patches import Floats


def cosine_transform(windows: Floats, *, inverse: bool = False) -> Floats:
    """Orthonormal cosine transform along all axes but the first, or its inverse."""
    for axis, n in enumerate(windows.shape[1:], start=1):
        k = np.arange(n)
        cosines = np.cos(np.pi * np.outer(k + 0.5, k) / n) * math.sqrt(2 / n)
        cosines[:, 0] /= math.sqrt(2)
        windows = np.moveaxis(np.moveaxis(windows, axis, -1) @ (cosines.T if inverse else cosines), -1, axis)
    return windows


def chi_square(probability: float, freedom: float) -> float:
    """Quantile of a mean square of normal values (Wilson and Hilferty 1931)."""
    deviate = {0.02: -2.0537, 0.1: -1.2816, 0.25: -0.6745}[probability]
    spread = 2 / (9 * freedom)
    return (1 - spread + deviate * math.sqrt(spread)) ** 3
