"""Attention maps: the weights of the keys' values for a query, of named queries or of all."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from array_api_compat import torch as xp

from nlmeans.errors import InvalidTypeError, InvalidValueError, shown
from nlmeans.learned.arithmetic.features import filled
from nlmeans.learned.arithmetic.routes import refuse_beyond
from nlmeans.learned.arithmetic.tools import Tensor, centered, weights
from nlmeans.operation.nonlocal_mean import Task, divided
from nlmeans.operation.similarity import Euclidean
from nlmeans.parameters import integer


def named_rows(
    query: Tensor, key: Tensor, valid: Tensor | None, queries: Sequence[Sequence[int]], task: Task
) -> Tensor:
    """The maps of n positions: (B, n, *keys)."""
    grid = tuple(query.shape[1:-1])
    if not isinstance(queries, Sequence) or isinstance(queries, str):
        raise InvalidTypeError(f"queries must be a sequence of positions, got {shown(queries)}")
    at = [_position(q, grid) for q in queries]
    index = torch.tensor(at, dtype=torch.long, device=query.device).reshape(len(at), len(grid))
    return _rows(query, key, valid, index, task)


def all_rows(query: Tensor, key: Tensor, valid: Tensor | None, task: Task) -> Tensor:
    """The maps of every position: (B, N, *keys)."""
    return _rows(query, key, valid, _positions(tuple(query.shape[1:-1]), query.device), task)


def check_rows(query: Tensor, key: Tensor, rows: int, task: Task) -> None:
    """Refuse more maps than the limit holds, before any is made."""
    batch, keys = query.shape[0], math.prod(key.shape[1:-1])
    needed = 4 * batch * rows * keys * query.element_size()
    refuse_beyond(needed, task.memory_limit, batch, rows, keys, "name fewer queries")


def _position(at: Sequence[int], grid: tuple[int, ...]) -> list[int]:
    if not isinstance(at, tuple | list) or len(at) != len(grid):
        raise InvalidValueError(f"a query must have {len(grid)} indices, one per grid axis, got {shown(at)}")
    return [integer("queries", i, 0, n - 1) for i, n in zip(at, grid, strict=True)]


def _positions(grid: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.cartesian_prod(*(torch.arange(n, device=device) for n in grid)).reshape(-1, len(grid))


def _rows(query: Tensor, key: Tensor, valid: Tensor | None, at: Tensor, task: Task) -> Tensor:
    """The maps of the positions `at` (n, axes), by the core's formula."""
    keys = tuple(key.shape[1:-1])
    check_rows(query, key, at.shape[0], task)
    key = key if valid is None else filled(key, valid, xp)
    chosen, flat = query[:, *at.unbind(1)], key.flatten(1, -2)
    if isinstance(task.similarity, Euclidean):
        chosen, flat = centered(chosen, flat)
    mask = itself = None
    if task.window is not None or task.center is not None:
        apart = (at[:, None] - _positions(keys, key.device)[None]).abs()
        itself = (apart == 0).all(-1) if task.center is not None else None
        if task.window is not None:
            mask = (apart <= torch.tensor(task.window, device=key.device)).all(-1)
    if valid is not None:
        counts = valid.flatten(1)[:, None]
        mask = counts if mask is None else mask & counts
    f, total = weights(chosen, flat, mask, itself, task)
    return divided(f, total[..., None], xp).unflatten(-1, keys)
