"""The non-local mean of torch features in bounded memory: which route computes it, and the routes.

Every route equals :func:`nlmeans.nonlocal_mean` (the tests hold each against it); they differ in
memory.  None builds the N x N weights:

=====================  ========================================  =====================
similarity             route on the whole grid                   time, memory
=====================  ========================================  =====================
exponential, softmax   `scaled_dot_product_attention`            O(N^2 d), O(N d)
dot product            ``q (k^T v)``                             O(N d^2), O(N d)
concatenation          sort, prefix sums, binary search          O(N log N), O(N d)
any other              chunks of queries, recomputed backward    O(N^2 d), O(N d)
=====================  ========================================  =====================

Windows are in :mod:`nlmeans.learned.arithmetic.windows`.  A mask of keys changes neither; heads stand in
the batch.
"""

from __future__ import annotations

import math

import torch
from array_api_compat import torch as xp

from nlmeans.errors import MemoryLimitError
from nlmeans.learned.arithmetic.features import filled
from nlmeans.learned.arithmetic.tools import CHUNK, Tensor
from nlmeans.learned.arithmetic.whole import route
from nlmeans.learned.arithmetic.windows import windowed
from nlmeans.operation.nonlocal_mean import Task
from nlmeans.operation.similarity import Concatenation

MEMORY_LIMIT = 2**32  # bytes of everything that is alive at once


def attend(query: Tensor, key: Tensor, value: Tensor, task: Task, valid: Tensor | None = None) -> Tensor:
    """The non-local mean of (B, *grid, D), (B, *keys, D) and (B, *keys, V): (B, *grid, V).

    Only keys that are `valid`, (B, *keys) of bool, take part; a query without any gives 0.
    """
    if valid is not None:
        key, value = filled(key, valid, xp), torch.where(valid[..., None], value, 0)
    if not query.shape[0]:  # an empty batch, which the gradient passes through all the same
        nothing: Tensor = 0 * (query.sum() + key.sum() + value.sum())
        return nothing.expand(*query.shape[:-1], value.shape[-1])
    grid, keys = tuple(query.shape[1:-1]), tuple(key.shape[1:-1])
    if task.window is not None and any(r < n - 1 for r, n in zip(task.window, keys, strict=True)):
        check_memory(query, key, value, task)
        return windowed(query, key, value, valid, task)
    check_memory(query, key, value, task)
    flat = [t.flatten(1, -2) for t in (query, key, value)]
    valid = None if valid is None else valid.flatten(1)
    return route(task)(flat[0], flat[1], flat[2], valid, task).unflatten(1, grid)


def check_memory(query: Tensor, key: Tensor, value: Tensor, task: Task) -> None:
    """Refuse before anything is allocated what would not fit the task's limit."""
    positions, keys = (math.prod(t.shape[1:-1]) for t in (query, key))
    width = max(query.shape[-1] + 1, value.shape[-1])
    size = query.element_size()
    tensors = 8 if not isinstance(task.similarity, Concatenation) else 8 * (8 // size)
    needed = query.shape[0] * (positions + keys) * width * size * tensors // 2 + CHUNK
    refuse_beyond(needed, task.memory_limit, query.shape[0], positions, keys)


def refuse_beyond(
    needed: int,
    limit: int,
    batch: int,
    positions: int,
    keys: int,
    advice: str = "use sub_sample, a smaller map",
) -> None:
    """Raise where `needed` bytes are more than the limit."""
    if needed > limit:
        raise MemoryLimitError(
            f"{batch} x {positions} positions with {keys} keys each need about {needed} bytes, more than "
            f"max_memory={limit}; {advice}, or give a larger max_memory"
        )
