"""The non-local mean in a window, cut at the edges: cells of queries against the keys around them.

The grid is cut into cells of t positions along an axis; the keys any of a cell's queries can reach
are the t + 2 r around the cell.  One mask, of the keys in each query's window, serves all cells, so the
work is dense products of (t^n, D) with ((t + 2 r)^n, D): more pairs than the window has, but no shift of
a tensor per pair.  Regions of cells follow one another under the memory limit, and what they computed is
computed again for the gradient: memory O(N (D + V)).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch.nn.functional import pad

from nlmeans.learned.arithmetic.tools import (
    CHUNK,
    FAR,
    Tensor,
    as_product,
    attention,
    centered,
    fused,
    recomputed,
    weighted,
)
from nlmeans.operation.nonlocal_mean import Task
from nlmeans.operation.similarity import Euclidean
from nlmeans.tiling import by_halves

Region = tuple[slice, ...]


def windowed(query: Tensor, key: Tensor, value: Tensor, valid: Tensor | None, task: Task) -> Tensor:
    """The mean of (B, *grid, D), (B, *grid, D), (B, *grid, V) in the task's window: (B, *grid, V).

    With a mask `valid` (B, *grid) only those keys take part; the values of the others are 0 already.
    """
    cells = _Cells(tuple(query.shape[1:-1]), task.window or ())
    ones = torch.ones_like(key[..., :1])
    if fused(task):
        query, key, bias = as_product(query, key, valid, task.similarity)
        bias = 0 * ones if bias is None else bias
        query, key = torch.cat([query, ones], -1), torch.cat([key, bias], -1)
        key, value = cells.margin(key, FAR), cells.margin(value)
        reach = cells.reach(key.device)

        def region(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            q, k, v = cells.split(query), cells.split_keys(key), cells.split_keys(value)
            return cells.join(attention(q, k, v, reach), query)

        pairs = 4 * (cells.seen / cells.queries) * (key.shape[-1] + value.shape[-1])
    else:
        if isinstance(task.similarity, Euclidean):
            query, key = centered(query, key)
        inside = ones if valid is None else valid[..., None].to(key.dtype)
        key, value = cells.margin(torch.cat([key, inside], -1)), cells.margin(value)
        reach = cells.reach(key.device)
        itself = cells.itself(key.device) if task.center is not None else None

        def region(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            q, k, v = cells.split(query), cells.split_keys(key), cells.split_keys(value)
            mask = reach & (k[..., -1] > 0)[:, None, :]
            return cells.join(weighted(q, k[..., :-1], v, mask, itself, task), query)

        pairs = 8.0 * cells.seen
    positions = max(cells.queries, int(CHUNK / (pairs * query.element_size())))
    return _by_regions(region, cells, query, key, value, positions)


def seen(valid: Tensor, radius: tuple[int, ...] | None) -> Tensor:
    """Whether a query has a valid key: (B, *grid) in a window, (B, 1, ..., 1) on the whole grid."""
    if radius is None:
        return valid.flatten(1).any(1).reshape(-1, *(1,) * (valid.ndim - 1))
    for axis, r in enumerate(radius, start=1):
        n = valid.shape[axis]
        count = torch.cat([torch.zeros_like(valid.narrow(axis, 0, 1), dtype=torch.long), valid.long()], axis)
        count, at = count.cumsum(axis), torch.arange(n, device=valid.device)
        ends = (at + r + 1).clamp(max=n), (at - r).clamp(min=0)
        valid = count.index_select(axis, ends[0]) > count.index_select(axis, ends[1])
    return valid


class _Cells:
    """A grid cut into cells, and the keys around each."""

    def __init__(self, grid: tuple[int, ...], radius: tuple[int, ...]) -> None:
        self.grid, self.axes = grid, len(grid)
        self.radius = tuple(min(r, n - 1) for r, n in zip(radius, grid, strict=True))
        self.side = tuple(_side(r, n, len(grid)) for r, n in zip(self.radius, grid, strict=True))
        self.around = tuple(t + 2 * r for t, r in zip(self.side, self.radius, strict=True))
        self.queries, self.seen = math.prod(self.side), math.prod(self.around)

    def margin(self, keys: Tensor, last: float = 0.0) -> Tensor:
        """Keys with zeros around the grid, filled up to whole cells; `last` is their last feature."""
        margins = [(r, r + -n % t) for n, r, t in zip(self.grid, self.radius, self.side, strict=True)]
        widths = [m for pair in reversed(margins) for m in pair]
        padded = pad(keys[..., :-1], (0, 0, *widths))
        return torch.cat([padded, pad(keys[..., -1:], (0, 0, *widths), value=last)], -1)

    def split(self, query: Tensor) -> Tensor:
        """(B, *region, D) to (cells, queries of a cell, D)."""
        missing = [-n % t for n, t in zip(query.shape[1:-1], self.side, strict=True)]
        query = pad(query, (0, 0, *(m for n in reversed(missing) for m in (0, n))))
        return self._gathered(query, self.side)

    def split_keys(self, keys: Tensor) -> Tensor:
        """(B, *region with margin, D) to (cells, keys around a cell, D)."""
        return self._gathered(keys, self.around)

    def _gathered(self, features: Tensor, size: tuple[int, ...]) -> Tensor:
        for axis, (n, t) in enumerate(zip(size, self.side, strict=True), start=1):
            features = features.unfold(axis, n, t)
        features = features.movedim(self.axes + 1, -1)  # (B, *cells, *size, D)
        return features.reshape(-1, math.prod(size), features.shape[-1])

    def join(self, means: Tensor, like: Tensor) -> Tensor:
        """(cells, queries of a cell, V) to (B, *region, V), the region being that of `like`."""
        region = tuple(like.shape[1:-1])
        counts = [-(-n // t) for n, t in zip(region, self.side, strict=True)]
        means = means.reshape(like.shape[0], *counts, *self.side, -1)
        order = [1 + a + s * self.axes for a in range(self.axes) for s in (0, 1)]
        means = means.permute(0, *order, means.ndim - 1)
        whole = means.reshape(like.shape[0], *(c * t for c, t in zip(counts, self.side, strict=True)), -1)
        return whole[:, *(slice(0, n) for n in region)]

    def reach(self, device: torch.device) -> Tensor:
        """Whether a query of a cell (rows) has a key (columns) in its window."""
        return self._all(lambda apart, r: apart.abs() <= r, device)

    def itself(self, device: torch.device) -> Tensor:
        """Whether a key is the query."""
        return self._all(lambda apart, _: apart == 0, device)

    def _all(self, holds: Callable[[Tensor, int], Tensor], device: torch.device) -> Tensor:
        result = torch.ones(1, 1, dtype=torch.bool, device=device)
        for n, t, r in zip(self.around, self.side, self.radius, strict=True):
            apart = torch.arange(n, device=device) - r - torch.arange(t, device=device)[:, None]
            result = torch.kron(result, holds(apart, r))
        return result


def _side(radius: int, length: int, axes: int) -> int:
    """Cells about as long as the radius: longer waste less on their margin, shorter less on their corners."""
    least, most = {1: (16, 128), 2: (8, 16), 3: (4, 8)}[axes]
    near = 1 << round(math.log2(max(1, radius)))
    return min(max(least, min(most, near)), length)


def _by_regions(
    region: Callable[[Tensor, Tensor, Tensor], Tensor],
    cells: _Cells,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    positions: int,
) -> Tensor:
    """Batch and grid halved, at the borders of cells, until a region has so few positions."""
    keep = query.numel() // query.shape[-1] <= positions

    def part(at: Region) -> Tensor:
        around = [
            slice(s.start, s.start + -(-(s.stop - s.start) // t) * t + 2 * r)
            for s, t, r in zip(at[1:], cells.side, cells.radius, strict=True)
        ]
        inputs = query[at], key[at[0], *around], value[at[0], *around]
        return region(*inputs) if keep else recomputed(region, *inputs)

    whole = tuple(slice(0, n) for n in query.shape[:-1])
    return by_halves(whole, positions, part, torch.cat, (1, *cells.side))
