"""The groups of NL-Ridge in plain array operations: the specification; see :mod:`nlmeans.backends.groups`.

Works in float64 whatever the planes are, with the arrays of the library they come from: NumPy's, or CuPy's on
a GPU.  Nothing is added to one place twice at a time, so that the same bits come every time there too.
Time O(references (window C n + n k^2 + k^3)).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from nlmeans.arrays import Array, namespace
from nlmeans.backends.contract import Run
from nlmeans.backends.groups import LEAST_RISK, Grid, spread

_TOGETHER = (
    2**21
)  # distances, or samples of groups, that are worked on at a time: 16 MB of each array of them


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
    xp, (ry, rx), (py, px) = namespace(feature), radius, grid.patch
    wide = _in_margin(feature.astype(np.float64), radius, 0.0, xp)
    open_ = xp.zeros(grid.shape) if barred is None else barred.astype(np.float64)
    starts = open_[: grid.shape[0] - py + 1, : grid.shape[1] - px + 1]
    after = ((0, py - 1), (0, px - 1))
    closed = _in_margin(xp.pad(starts, after, constant_values=np.inf), radius, np.inf, xp)
    bounds = xp.broadcast_to(xp.asarray(farthest).astype(np.float64), grid.shape)
    window = (2 * ry + 1, 2 * rx + 1)
    partners = xp.full((len(grid.rows), len(grid.cols), k), -1, dtype=np.int32)
    for rows in _bands(len(grid.rows), len(grid.cols) * window[0] * window[1]):
        y, x = (xp.asarray(p) for p in _places(grid, rows))
        around = _windows(wide, y, x, (window[0] + py - 1, window[1] + px - 1), xp)
        d = _windows(closed, y, x, window, xp)
        for oy, ox in np.ndindex(py, px):
            own = around[..., ry + oy, rx + ox][..., None, None]
            d += ((around[..., oy : oy + window[0], ox : ox + window[1]] - own) ** 2).sum(axis=0)
        d[:, ry, rx] = np.inf
        d = d.reshape(len(y), -1)
        near = xp.argsort(d, axis=1, kind="stable")[:, : k - 1]
        far = xp.take_along_axis(d, near, axis=1) > bounds[y, x][:, None]
        near = xp.sort(xp.where(far, d.shape[1], near), axis=1)  # by position
        places = (y[:, None] + near // window[1] - ry) * grid.shape[1] + x[:, None] + near % window[1] - rx
        band = partners[rows].reshape(len(y), k)
        band[:, 0] = y * grid.shape[1] + x
        band[:, 1 : near.shape[1] + 1] = xp.where(near == d.shape[1], -1, places)
        if run.tick is not None:
            run.tick((rows.stop - rows.start) / len(grid.rows))
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
    xp, (height, width), (py, px) = namespace(noisy), grid.shape, grid.patch
    own = noisy.astype(np.float64)
    better = own if basis is noisy else basis.astype(np.float64)
    variances = xp.broadcast_to(xp.asarray(variance).astype(np.float64), grid.shape)
    nowhere = height * width  # one more place, for partners that are not there
    numerator, votes = xp.zeros((len(own), nowhere + 1)), xp.zeros(nowhere + 1)
    for rows, cols in _apart(grid, partners, len(own) * py * px, xp):
        group = partners[rows][:, cols].reshape(-1, partners.shape[2])
        there = group >= 0
        first = xp.where(there, group, 0)
        v, u = first // width, first % width
        y, x = (_patches(planes, v, u, grid.patch, xp) for planes in (own, better))
        change, weight = combinations(y, x, variances[v, u], ridge, weighted, there)
        weight = xp.where(there, weight, 0.0)
        change = (change * weight[..., None]).reshape(*group.shape, len(own), py, px)
        votes[xp.where(there, group, nowhere)] += weight
        for oy, ox in np.ndindex(py, px):
            at = xp.where(there, group + (oy * width + ox), nowhere)
            for c in range(len(own)):
                numerator[c][at] += change[..., c, oy, ox]
        if run.tick is not None:
            run.tick(len(rows) * len(cols) / (len(grid.rows) * len(grid.cols)))
    return numerator[:, :-1].reshape(noisy.shape), spread(votes[:-1].reshape(grid.shape), grid.patch)


def combinations(
    noisy: Array, basis: Array, d: Array, ridge: float, weighted: bool, there: Array | None = None
) -> tuple[Array, Array]:
    """The changes (.., k, n) and weights (.., k) of the patches of groups, of those that are `there`."""
    xp, k = namespace(noisy), noisy.shape[-2]
    if k == 1:
        return xp.zeros_like(noisy), xp.ones_like(d)
    others = xp.ones(d[..., 1:].shape) if there is None else there[..., 1:].astype(np.float64)
    e, x = ((y[..., 1:, :] - y[..., :1, :]) * others[..., None] for y in (noisy, basis))
    both, eye = others[..., :, None] * others[..., None, :], xp.eye(k - 1)
    noise = eye * d[..., 1:, None] + d[..., :1, None]
    q = x @ xp.swapaxes(x, -1, -2) + ridge * noise * both + eye * (1 - others)[..., None]
    inverse = xp.linalg.inv(q) * both
    g = inverse @ e
    own = d[..., :1, None] * g.sum(axis=-2, keepdims=True)
    change = xp.concatenate([own, -d[..., 1:, None] * g], axis=-2)
    if not weighted:
        return change, xp.ones_like(d)
    p = xp.concatenate([inverse.sum(axis=(-2, -1))[..., None], (inverse * eye).sum(axis=-1)], axis=-1)
    return change, xp.maximum(1 - d * p, LEAST_RISK) ** -2


def _in_margin(planes: Array, radius: tuple[int, int], value: float, xp: Any) -> Array:
    """Planes with so many rows and columns of a value around them."""
    around = ((0, 0),) * (planes.ndim - 2) + tuple((r, r) for r in radius)
    return xp.pad(planes, around, constant_values=value)


def _bands(count: int, each: int) -> Iterator[slice]:
    """Rows of references that are worked on together, by what each row needs."""
    step = max(1, _TOGETHER // each)
    return (slice(a, min(a + step, count)) for a in range(0, count, step))


def _places(grid: Grid, rows: slice) -> tuple[Array, Array]:
    """(n,) the first pixels of the references in some rows, row after row."""
    y, x = np.meshgrid(grid.rows[rows], grid.cols, indexing="ij")
    return y.reshape(-1), x.reshape(-1)


def _windows(planes: Array, y: Array, x: Array, shape: tuple[int, int], xp: Any) -> Array:
    """(.., n, rows, columns) of each plane what lies from each place on."""
    rows, cols = (start[:, None] + xp.arange(n) for start, n in zip((y, x), shape, strict=True))
    return planes[..., rows[:, :, None], cols[:, None, :]]


def _patches(planes: Array, v: Array, u: Array, patch: tuple[int, int], xp: Any) -> Array:
    """(groups, k, n) the samples of patches by their first pixels."""
    found = _windows(planes, v.reshape(-1), u.reshape(-1), patch, xp)
    return xp.moveaxis(found, 0, 1).reshape(*v.shape, -1)


def _apart(grid: Grid, partners: Array, samples: int, xp: Any) -> Iterator[tuple[list[int], list[int]]]:
    """Rows and columns of references no two of which have a partner in common, in parts."""
    if partners.size == 0:
        return
    places = xp.where(partners >= 0, partners, partners[..., :1])
    width, rows_of, cols_of = grid.shape[1], xp.asarray(grid.rows), xp.asarray(grid.cols)
    reaches = [
        int(abs(places // width - rows_of[:, None, None]).max()),
        int(abs(places % width - cols_of[:, None]).max()),
    ]
    every = [_separated(s, r) for s, r in zip((grid.rows, grid.cols), reaches, strict=True)]
    for rows in every[0]:
        for cols in every[1]:
            step = max(1, _TOGETHER // (len(cols) * partners.shape[2] * samples))
            yield from ((rows[a : a + step], cols) for a in range(0, len(rows), step))


def _separated(starts: Array, reach: int) -> list[list[int]]:
    """Numbers of places, ascending, in lists within which no two are at most twice the reach apart."""
    found: list[list[int]] = []
    for n, start in enumerate(starts):
        after = (each for each in found if start - starts[each[-1]] > 2 * reach)
        if (last := next(after, None)) is None:
            found.append([n])
        else:
            last.append(n)
    return found
