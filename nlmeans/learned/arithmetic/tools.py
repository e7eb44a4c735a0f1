"""What the routes share: weights and means by the core, fused attention, and recomputation for gradients."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from array_api_compat import torch as xp
from torch.nn.functional import pad, scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint

from nlmeans.operation.nonlocal_mean import Task, divided, normalised
from nlmeans.operation.similarity import Euclidean, Gaussian

Tensor: TypeAlias = torch.Tensor
CHUNK = 2**26  # bytes of intermediate tensors of one chunk
FAR = -1e30  # log weight of a key that takes no part: 0 after the softmax, and finite times 0 is 0


def fused(task: Task) -> bool:
    """Whether the weights are the softmax of a plain product, which the fused attention takes."""
    if not task.softmax or task.center is not None:
        return False
    similarity = task.similarity
    unclamped = isinstance(similarity, Euclidean) and isinstance(similarity.sigma, float | int)
    return isinstance(similarity, Gaussian) or (unclamped and similarity.sigma == 0)  # type: ignore[attr-defined]


def as_product(
    query: Tensor, key: Tensor, valid: Tensor | None, similarity: Any
) -> tuple[Tensor, Tensor, Tensor | None]:
    """q', k' and a bias (..., 1) per key with ``q' . k' + bias`` the log of f, up to a constant per query.

    The constant, ``-|q|^2 / h^2`` of the euclidean form, cancels in the softmax.  Features are
    centred first, which changes no distance and keeps the digits.  Keys that are not `valid` (...) are far.
    """
    query, key, bias = _as_product(query, key, similarity)
    if valid is not None:
        near = torch.zeros_like(key[..., :1]) if bias is None else bias
        bias = torch.where(valid[..., None], near, FAR)
    return query, key, bias


def _as_product(query: Tensor, key: Tensor, similarity: Any) -> tuple[Tensor, Tensor, Tensor | None]:
    if not isinstance(similarity, Euclidean):
        return query * similarity.scale, key, None
    query, key = centered(query, key)
    square = similarity.h**2
    return query * (2 / square), key, -(key**2).sum(-1, keepdim=True) / square


def centered(query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """Features (B, *, D) less the mean of the keys: no distance changes, and none loses digits."""
    middle = key.detach().mean(tuple(range(1, key.ndim - 1)), keepdim=True)
    return query - middle.reshape(len(middle), *(1,) * (query.ndim - 2), key.shape[-1]), key - middle


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Fused attention of (B, N, D), (B, M, D), (B, M, V).

    Equal widths and features that lie side by side in memory: otherwise it silently takes N x M.
    """
    width = 8 * math.ceil(max(query.shape[-1], value.shape[-1]) / 8)
    q, k, v = (pad(t, (0, width - t.shape[-1])).unsqueeze(1).contiguous() for t in (query, key, value))
    result: Tensor = scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0)
    return result.squeeze(1)[..., : value.shape[-1]]


def weighted(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, itself: Tensor | None, task: Task
) -> Tensor:
    """The definition, by the core: (..., N, D), (..., M, D), (..., M, V) give (..., N, V)."""
    f, total = weights(query, key, mask, itself, task)
    return divided(f @ value, total[..., None], xp)


def weights(
    query: Tensor, key: Tensor, mask: Tensor | None, itself: Tensor | None, task: Task
) -> tuple[Tensor, Tensor]:
    """f of every query and key, and what it is divided by."""
    logits = task.similarity.between(query, key, xp, ())
    return normalised(logits, mask, itself, task, xp, axis=-1)


def recomputed(function: Callable[..., Tensor], *arguments: Any) -> Tensor:
    """A call whose intermediate tensors are not kept for the gradient but computed again."""
    if not torch.is_grad_enabled():
        return function(*arguments)
    return checkpoint(function, *arguments, use_reentrant=False, preserve_rng_state=False)
