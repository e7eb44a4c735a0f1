"""The non-local mean over the whole grid: positions (B, N, D), keys (B, M, D), values (B, M, V).

With a mask `valid` (B, M) only those keys take part; the values of the others are 0 already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import pad

from nlmeans.learned.arithmetic.tools import (
    CHUNK,
    Tensor,
    as_product,
    attention,
    centered,
    fused,
    recomputed,
    weighted,
)
from nlmeans.operation.nonlocal_mean import Task
from nlmeans.operation.similarity import Concatenation, Euclidean

_COPIES = 6  # tensors of the size of one chunk's weights that are alive at once, backward included


Route = Callable[[Tensor, Tensor, Tensor, Tensor | None, Task], Tensor]


def route(task: Task) -> Route:
    """The function that takes this mean in the least memory."""
    if fused(task):
        return _fused
    if isinstance(task.similarity, Concatenation):
        return _sorted
    return _chunked if task.similarity.exponential else _reassociated


def _fused(query: Tensor, key: Tensor, value: Tensor, valid: Tensor | None, task: Task) -> Tensor:
    """Softmax by the fused attention."""
    query, key, bias = as_product(query, key, valid, task.similarity)
    if bias is not None:
        query, key = torch.cat([query, torch.ones_like(query[..., :1])], -1), torch.cat([key, bias], -1)
    return attention(query, key, value, None)


def _reassociated(query: Tensor, key: Tensor, value: Tensor, valid: Tensor | None, task: Task) -> Tensor:
    """``(q k^T) v = q (k^T v)``: no weight is ever formed."""
    both = key.mT @ (value / _count(key, valid))
    return (query * task.similarity.scale) @ both  # type: ignore[attr-defined]


def _count(key: Tensor, valid: Tensor | None) -> Any:
    """How many keys take part, at least 1; the values of the others are 0."""
    if valid is None:
        return key.shape[1]
    return valid.sum(1).clamp(min=1)[:, None, None]


def _sorted(query: Tensor, key: Tensor, value: Tensor, valid: Tensor | None, task: Task) -> Tensor:
    """``sum_j relu(a_i + b_j) v_j = a_i sum v_j + sum b_j v_j`` over the j with ``b_j > -a_i``.

    Those are a prefix of the keys in falling order of b.  Sums in float64: the two nearly cancel.
    """
    a, b = (t.double() for t in task.similarity.halves(query, key))  # type: ignore[attr-defined]
    b, order = b.sort(dim=1, descending=True)
    v = value.double().gather(1, order[..., None].expand_as(value))
    first = pad(torch.cat([v, b[..., None] * v], -1).cumsum(1), (0, 0, 1, 0))
    count = torch.searchsorted(-b.detach(), a.detach())  # of -b_j < a_i
    taken = first.gather(1, count[..., None].expand(-1, -1, first.shape[-1]))
    plain, weighted = taken.chunk(2, -1)
    return ((a[..., None] * plain + weighted) / _count(key, valid)).to(value.dtype)


def _chunked(query: Tensor, key: Tensor, value: Tensor, valid: Tensor | None, task: Task) -> Tensor:
    """Any similarity, some queries at a time; their weights are computed again for the gradient."""
    if isinstance(task.similarity, Euclidean):
        query, key = centered(query, key)
    index = torch.arange(key.shape[1], device=key.device)
    mask = None if valid is None else valid[:, None]

    def chunk(start: int, query: Tensor) -> Tensor:
        itself = None
        if task.center is not None:
            itself = index[start : start + query.shape[1], None] == index
        return weighted(query, key, value, mask, itself, task)

    row = key.shape[0] * max(1, key.shape[1]) * key.element_size() * _COPIES
    step = max(1, CHUNK // max(1, row))
    parts = query.split(step, 1)
    return torch.cat([recomputed(chunk, n * step, part) for n, part in enumerate(parts)], 1)
