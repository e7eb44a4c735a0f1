"""Features before and after the mean: lengths, pooling, heads and masks, for arrays of any library.

Positions first, features last.  The learned block and :func:`nlmeans.nonlocal_block` share these lines.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nlmeans.arrays import Array
from nlmeans.errors import InvalidValueError
from nlmeans.learned.settings import BlockSettings

_LEAST_SQUARE = 1e-12  # under the root of a length: a feature of zeros has a gradient too


@dataclass(frozen=True, eq=False)
class Embedding:
    """The learned parts of a block, for features that stand last."""

    theta: Callable[[Array], Array]
    phi: Callable[[Array], Array]  # theta itself, where the two are one
    g: Callable[[Array], Array]
    of_query: Array | None = None  # what the heads' queries and keys are multiplied by
    of_key: Array | None = None


def check_guide(guide: Array, x: Array) -> None:
    """Refuse a guide (B, G, *grid) on another batch or grid than x."""
    if (guide.shape[0], *guide.shape[2:]) != (x.shape[0], *x.shape[2:]):
        raise InvalidValueError(
            f"guide must have the batch and the grid of x, got {tuple(guide.shape)} for {tuple(x.shape)}"
        )


def check_mask(mask: Array, x: Array) -> None:
    """Refuse a mask that is on another grid than x (B, C, *grid), or for another batch."""
    batch, grid = x.shape[0], tuple(x.shape[2:])
    if tuple(mask.shape) not in (grid, (1, *grid), (batch, *grid)):
        raise InvalidValueError(
            f"mask must have the grid {grid} of x, or that for each of {batch}, got shape {tuple(mask.shape)}"
        )


def unchanged(features: Array) -> Array:
    """In the place of theta and phi where features are compared as they are."""
    return features


def embedded(
    x: Array, compared: Array, valid: Array | None, by: Embedding, settings: BlockSettings, xp: Any
) -> tuple[Array, Array, Array, Array | None]:
    """Queries, keys and values of (B, *grid, C) with heads in the batch, and which keys take part."""
    factors, heads = settings.pooling(x.ndim - 2), settings.heads
    before = settings.pool_position == "before"

    def pooled(features: Array, here: bool) -> Array:
        return _valid_pool(features, valid, factors, xp) if factors and here else features

    query = by.theta(compared)
    shared = by.phi is by.theta and not (factors and before)
    key = pooled(query if shared else by.phi(pooled(compared, before)), not before)
    value = pooled(by.g(pooled(x, before)), not before)
    same = key is query and by.of_query is by.of_key
    query = _in_heads(query, heads, xp, settings.unit_length, by.of_query)
    key = query if same else _in_heads(key, heads, xp, settings.unit_length, by.of_key)
    if valid is not None:
        valid = _for_heads(pooled_mask(valid, factors, xp), heads, xp)
    return query, key, _in_heads(value, heads, xp), valid


def _unit(features: Array, xp: Any) -> Array:
    """Features divided by their length."""
    return features / xp.sqrt(xp.sum(features**2, axis=-1, keepdims=True) + _LEAST_SQUARE)


def _max_pool(features: Array, factors: tuple[int, ...], xp: Any) -> Array:
    """(B, *grid, D) to the largest of each cell; a rest that fills no cell is left out."""
    grid = tuple(features.shape[1:-1])
    if any(n < f for n, f in zip(grid, factors, strict=True)):
        raise InvalidValueError(
            f"sub_sample {factors} needs a grid of at least as many positions, got {grid}; "
            "leave it out, or give 1 for that axis"
        )
    for axis, factor in enumerate(factors, start=1):
        cells = features.shape[axis] // factor
        kept = features[(slice(None),) * axis + (slice(0, cells * factor),)]
        shape = (*kept.shape[:axis], cells, factor, *kept.shape[axis + 1 :])
        features = xp.max(xp.reshape(kept, shape), axis=axis + 1)
    return features


def _valid_pool(features: Array, valid: Array | None, factors: tuple[int, ...], xp: Any) -> Array:
    """The same over the valid positions of each cell; 0 in a cell that has none."""
    if valid is None:
        return _max_pool(features, factors, xp)
    least = xp.full_like(features, -math.inf)
    pooled = _max_pool(xp.where(valid[..., None], features, least), factors, xp)
    return xp.where(pooled == -math.inf, xp.zeros_like(pooled), pooled)


def pooled_mask(valid: Array, factors: tuple[int, ...] | None, xp: Any) -> Array:
    """Whether a key, a position or a cell, has a valid one."""
    if factors is None:
        return valid
    counts = xp.astype(valid[..., None], xp.float32)
    return _max_pool(counts, factors, xp)[..., 0] > 0


def _in_heads(
    features: Array, heads: int, xp: Any, unit_length: bool = False, factor: Array | None = None
) -> Array:
    """(B, *grid, heads D) to (B heads, *grid, D); each head's features in unit length, times its factor."""
    batch, *grid, width = features.shape
    apart = xp.reshape(features, (batch, *grid, heads, width // heads)) if heads > 1 else features
    if unit_length:
        apart = _unit(apart, xp)
    if heads == 1:
        return apart
    if factor is not None:
        apart = apart * factor
    return xp.reshape(xp.moveaxis(apart, -2, 1), (batch * heads, *grid, width // heads))


def joined_heads(means: Array, heads: int, xp: Any) -> Array:
    """(B heads, *grid, V) to (B, *grid, heads V)."""
    if heads == 1:
        return means
    batch, *grid, width = means.shape
    apart = xp.moveaxis(xp.reshape(means, (batch // heads, heads, *grid, width)), 1, -2)
    return xp.reshape(apart, (batch // heads, *grid, heads * width))


def _for_heads(valid: Array, heads: int, xp: Any) -> Array:
    """A mask (B, *keys) for the heads in the batch: (B heads, *keys)."""
    if heads == 1:
        return valid
    each = xp.stack([valid] * heads, axis=1)
    return xp.reshape(each, (valid.shape[0] * heads, *valid.shape[1:]))


def filled(key: Array, valid: Array, xp: Any) -> Array:
    """Keys (B, *keys, D) with the mean of the valid ones in the place of the others.

    They take no part; so they do not decide the digits of those that do either.
    """
    axes = tuple(range(1, key.ndim - 1))
    valid = valid[..., None]
    count = xp.sum(xp.astype(valid, key.dtype), axis=axes, keepdims=True)
    total = xp.sum(xp.where(valid, key, xp.zeros_like(key)), axis=axes, keepdims=True)
    return xp.where(valid, key, total / xp.clip(count, 1, None))
