"""The groups of NL-Ridge in plain NumPy: the specification; see :mod:`nlmeans.backends.groups`.

Works in float64 whatever the planes are.  Time O(references (window C n + n k^2 + k^3)).
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from nlmeans.backends.contract import Array, Run
from nlmeans.backends.groups import LEAST_RISK, Grid


def nearest(
    grid: Grid,
    feature: Array,
    barred: Array | None,
    radius: tuple[int, int],
    farthest: Array,
    k: int,
    run: Run,
) -> Array:
    """The k nearest patches of each reference, itself first; see the contract."""
    patches = _patches(grid, feature)
    bounds = np.broadcast_to(farthest, grid.shape)
    height, width = patches.shape[:2]
    partners = np.full((len(grid.rows), len(grid.cols), k), -1, np.int32)
    for a, y in enumerate(grid.rows):
        for b, x in enumerate(grid.cols):
            y0, x0 = max(y - radius[0], 0), max(x - radius[1], 0)
            window = np.s_[y0 : min(y + radius[0] + 1, height), x0 : min(x + radius[1] + 1, width)]
            d = ((patches[window] - patches[y, x]) ** 2).sum(axis=2)
            if barred is not None:
                d += barred[window]
            d[y - y0, x - x0] = np.inf
            near = np.argsort(d, axis=None, kind="stable")[: k - 1]
            near = np.sort(near[d.reshape(-1)[near] <= bounds[y, x]])
            partners[a, b, 0] = y * grid.shape[1] + x
            v, u = np.divmod(near, d.shape[1])
            partners[a, b, 1 : len(near) + 1] = (v + y0) * grid.shape[1] + u + x0
        if run.tick is not None:
            run.tick(1 / len(grid.rows))
    return partners


def combine(
    grid: Grid,
    noisy: Array,
    basis: Array,
    variance: Array,
    ridge: float,
    weighted: bool,
    partners: Array,
    run: Run,
) -> tuple[Array, Array]:
    """The best combinations of each group, summed where its patches are; see the contract."""
    own = _patches(grid, noisy)
    better = own if basis is noisy else _patches(grid, basis)
    sums = np.zeros(noisy.shape), np.zeros(grid.shape)
    for row in partners:
        for group in row:
            at = np.divmod(group[group >= 0], grid.shape[1])
            d = np.broadcast_to(variance, grid.shape)[at].astype(np.float64)
            change, weight = combinations(own[at], better[at], d, ridge, weighted)
            _put_back(grid, sums, at, change * weight[:, None], weight)
        if run.tick is not None:
            run.tick(1 / len(partners))
    return sums


def combinations(noisy: Array, basis: Array, d: Array, ridge: float, weighted: bool) -> tuple[Array, Array]:
    """The changes (k, n) and weights (k,) of one group's patches."""
    e, x = noisy[1:] - noisy[0], basis[1:] - basis[0]
    q = x @ x.T + ridge * (np.diag(d[1:]) + d[0])
    inverse = np.linalg.inv(q)
    g = inverse @ e
    change = np.concatenate([d[0] * g.sum(axis=0)[None], -d[1:, None] * g])
    if not weighted:
        return change, np.ones(len(d))
    p = np.concatenate([[inverse.sum()], np.diag(inverse)])
    return change, np.maximum(1 - d * p, LEAST_RISK) ** -2


def _patches(grid: Grid, planes: Array) -> Array:
    """(y, x, n) the samples of the patch at each place."""
    views = sliding_window_view(planes.astype(np.float64), grid.patch, axis=(1, 2))
    return np.moveaxis(views, 0, 2).reshape(*views.shape[1:3], -1)


def _put_back(
    grid: Grid, sums: tuple[Array, Array], at: tuple[Array, Array], change: Array, weight: Array
) -> None:
    py, px = grid.patch
    for y, x, one, w in zip(*at, change.reshape(-1, len(sums[0]), py, px), weight, strict=True):
        sums[0][:, y : y + py, x : x + px] += one
        sums[1][y : y + py, x : x + px] += w
