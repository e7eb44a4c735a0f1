"""The one operation of this package: the non-local mean, for NumPy, CuPy and torch arrays alike.

    y_i = ( sum over j in W(i) of f(q_i, k_j) v_j ) / C_i

NL-means is this with patches for q and k, the learned block with embedded features; the window kernels
restate it for planes.  No array library is imported here: the namespace comes from the arrays
themselves, and nothing is written into an array, so torch can differentiate all of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from nlmeans.arrays import namespace
from nlmeans.errors import InvalidTypeError, InvalidValueError, shown, warn
from nlmeans.formula import log_center, shifts
from nlmeans.operation.similarity import Array, Euclidean, Region, Similarity, resolved
from nlmeans.tiling import by_halves

Center = Literal["max", "one", "zero"]
Normalisation = Literal["softmax", "count"]

_COPIES = 5  # arrays of the size of one part's logits that are alive at once


def nonlocal_mean(
    query: Array,
    key: Array,
    value: Array,
    *,
    similarity: str | Similarity = "euclidean",
    normalisation: Normalisation | None = None,
    window: tuple[int, ...] | None = None,
    center: Center | None = None,
    mask: Array | None = None,
    memory_limit: int = 2**25,
    vote: Array | None = None,
) -> Array:
    """Average the values of similar positions: the non-local mean.

    Parameters
    ----------
    query : array, shape (..., *grid, D)
        Features of the positions to estimate; float32 or float64, of NumPy, CuPy or torch.
    key : array, shape (..., *grid, D), or (..., M, D) without a window
        Features of the candidates.
    value : array, shape (..., *grid, V), or (..., M, V) without a window
        What is averaged.
    similarity : {"euclidean", "gaussian", "embedded_gaussian", "dot_product"} or Similarity
        A name takes its defaults; `Euclidean(h, sigma)`, `Gaussian(scale)`, `DotProduct(scale)` and
        `Concatenation(weight)` carry parameters.
    normalisation : {"softmax", "count"}, optional
        Divide by the sum of f, or by the number of valid candidates.  Default: "softmax" where f
        is an exponential, else "count".  "softmax" is refused where f is not an exponential.
    window : tuple of int, optional
        Search radius for each grid axis, cut at the edges; the tuple's length says how many axes
        the grid has.  Default None: one axis of positions, every key is a candidate.
    center : {"max", "one", "zero"}, optional
        Weight of a position for itself in place of f: the largest of the others, 1 or 0, but at
        least 2^-20.  "euclidean" with softmax only, query and key on the same grid.
    mask : array, shape (..., *grid) or (..., M), optional
        True (or nonzero) where a candidate is valid, so that it may be averaged.  Default: everywhere.
    memory_limit : int
        Bytes for intermediate arrays; at least one position is worked on at a time.
    vote : array, optional
        The name of `mask` until version 0.1; it goes with version 0.3.

    Returns
    -------
    array, shape (..., *grid, V)
        Of the same library and type.  A position without any valid candidate gives 0.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        For shapes that do not fit, unknown names and combinations that are not defined.

    Notes
    -----
    Time O(N K (D + V)) for N positions of K candidates each.  Memory O(N (D + V)) plus
    `memory_limit`: the N x K weights never exist at once.  Softmax subtracts the largest logit first.

    References
    ----------
    A. Buades, B. Coll, J.-M. Morel, "A non-local algorithm for image denoising", CVPR 2005,
    doi:10.1109/CVPR.2005.38.  X. Wang, R. Girshick, A. Gupta, K. He, "Non-local neural networks",
    CVPR 2018, doi:10.1109/CVPR.2018.00813.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[0.0], [0.1], [5.0]])
    >>> nonlocal_mean(x, x, x).round(3).ravel()
    array([0.05, 0.05, 5.  ])
    """
    if vote is not None:
        if mask is not None:
            raise InvalidValueError("give mask alone: vote is its old name")
        warn("vote is called mask now; the old name goes with version 0.3", category=DeprecationWarning)
        mask = vote
    xp = namespace(query, key, value)
    task = Task.of(similarity, normalisation, window, center, memory_limit)
    _check(query, key, value, mask, task)
    return _batched(query, key, value, mask, task, xp)


@dataclass(frozen=True, eq=False)
class Task:
    """How one non-local mean is taken, names resolved."""

    similarity: Similarity
    softmax: bool
    window: tuple[int, ...] | None
    center: Center | None
    memory_limit: int

    @staticmethod
    def of(
        similarity: object, normalisation: object, window: object, center: object, memory_limit: int
    ) -> Task:
        chosen = resolved(similarity)
        if normalisation not in (None, "softmax", "count"):
            raise InvalidValueError(f'normalisation must be "softmax" or "count", got {shown(normalisation)}')
        softmax = chosen.exponential if normalisation is None else normalisation == "softmax"
        if softmax and not chosen.exponential:
            raise InvalidValueError(
                f'{type(chosen).__name__} is no exponential: use normalisation="count", '
                'or similarity="gaussian" for the exponential of the dot product'
            )
        if center not in (None, "max", "one", "zero"):
            raise InvalidValueError(f'center must be "max", "one", "zero" or None, got {shown(center)}')
        if center is not None and not (softmax and isinstance(chosen, Euclidean)):
            raise InvalidValueError(
                'center is defined for similarity="euclidean" with normalisation="softmax"; leave it out'
            )
        return Task(chosen, softmax, _radii(window), center, memory_limit)

    @property
    def grid_axes(self) -> int:
        return 1 if self.window is None else len(self.window)


def _batched(query: Array, key: Array, value: Array, mask: Array | None, task: Task, xp: Any) -> Array:
    """One batch entry after another: leading axes are peeled off until the grid is left."""
    if query.ndim == task.grid_axes + 1:
        mean = _whole if task.window is None else _windowed
        return mean(query, key, value, mask, task, xp)
    if not query.shape[0]:  # an empty batch, of which nothing can be stacked
        return xp.zeros((*query.shape[:-1], value.shape[-1]), dtype=value.dtype, device=value.device)
    return xp.stack(
        [
            _batched(
                query[b, ...], key[b, ...], value[b, ...], None if mask is None else mask[b, ...], task, xp
            )
            for b in range(query.shape[0])
        ]
    )


def _whole(query: Array, key: Array, value: Array, mask: Array | None, task: Task, xp: Any) -> Array:
    """Every key is a candidate of every query: (N, D), (M, D), (M, V) give (N, V)."""
    if isinstance(task.similarity, Euclidean):
        middle = xp.mean(key, axis=0)  # distances do not change; digits are kept
        query, key = query - middle, key - middle
    candidates = key.shape[0]
    valid = None if mask is None else xp.astype(mask, xp.bool)[None, :]
    index = xp.arange(candidates)

    def part(at: Region) -> Array:
        logits = task.similarity.between(query[at[0], :], key, xp, at)
        itself = None if task.center is None else index[at[0]][:, None] == index[None, :]
        f, total = normalised(logits, valid, itself, task, xp, axis=-1)
        return divided(f @ value, total[:, None], xp)

    return _in_parts(part, query.shape[:1], candidates, query, task.memory_limit, xp)


def _windowed(query: Array, key: Array, value: Array, mask: Array | None, task: Task, xp: Any) -> Array:
    """Candidates are the positions at most a radius away, cut at the edges of the grid."""
    grid = query.shape[:-1]
    radius = tuple(min(r, max(n - 1, 0)) for r, n in zip(task.window or (), grid, strict=True))
    if mask is None:
        mask = xp.ones_like(query[..., 0])
    key, value = _margin(key, radius, xp), _margin(value, radius, xp)
    valid = _margin(xp.astype(mask, xp.bool), radius, xp)
    offsets = list(shifts(radius))
    own = offsets.index((0,) * len(grid))

    def part(at: Region) -> Array:
        around = [
            tuple(slice(a.start + r + d, a.stop + r + d) for a, r, d in zip(at, radius, shift, strict=True))
            for shift in offsets
        ]
        logits = xp.stack([task.similarity.along(query[*at, :], key[*c, :], xp, at) for c in around])
        allowed = xp.stack([valid[c] for c in around])
        itself = None
        if task.center is not None:
            itself = xp.reshape(xp.arange(len(offsets)) == own, (-1,) + (1,) * len(grid))
        f, total = normalised(logits, allowed, itself, task, xp, axis=0)
        summed = sum(f[n, ...][..., None] * value[*c, :] for n, c in enumerate(around))
        return divided(summed, total[..., None], xp)

    return _in_parts(part, grid, len(offsets), query, task.memory_limit, xp)


def normalised(
    logits: Array, allowed: Array | None, itself: Array | None, task: Task, xp: Any, axis: int
) -> tuple[Array, Array]:
    """f of every candidate and the sum (or count) it is divided by, along `axis`."""
    if not task.softmax:
        f = xp.exp(logits) if task.similarity.exponential else logits
        if allowed is None:
            return f, xp.sum(xp.ones_like(logits), axis=axis)
        return xp.where(allowed, f, xp.zeros_like(f)), xp.sum(xp.astype(allowed, logits.dtype), axis=axis)
    if allowed is not None:
        logits = xp.where(allowed, logits, xp.full_like(logits, -math.inf))
    if itself is not None:
        logits = _centered(logits, itself, task.center, xp, axis)
    highest = xp.max(logits, axis=axis, keepdims=True)
    highest = xp.where(highest == -math.inf, xp.zeros_like(highest), highest)
    f = xp.exp(logits - highest)
    return f, xp.sum(f, axis=axis)


def _centered(logits: Array, itself: Array, center: Center | None, xp: Any, axis: int) -> Array:
    """Log weights with the pixel's own replaced: the rule, but at least the floor."""
    valid = logits > -math.inf
    largest: Array = 0.0
    if center == "max":
        others = xp.where(itself, xp.full_like(logits, -math.inf), logits)
        largest = xp.max(others, axis=axis, keepdims=True)
    own = log_center(center or "one", largest, xp)
    return xp.where(xp.logical_and(itself, valid), own + xp.zeros_like(logits), logits)


def divided(numerator: Array, total: Array, xp: Any) -> Array:
    """The quotient, and 0 where no candidate is valid."""
    return numerator / xp.where(total == 0, xp.ones_like(total), total)


# --- parts, margins, checks ------------------------------------------------------------------


def _in_parts(
    part: Callable[[Region], Array], grid: tuple[int, ...], candidates: int, like: Array, limit: int, xp: Any
) -> Array:
    """The results of parts of the grid whose logits fit the limit, put together again."""
    itemsize = xp.finfo(like.dtype).bits // 8
    positions = max(1, limit // (_COPIES * itemsize * max(1, candidates)))

    whole = tuple(slice(0, n) for n in grid)
    return by_halves(whole, positions, part, lambda parts, axis: xp.concat(parts, axis=axis))


def _margin(array: Array, radius: tuple[int, ...], xp: Any) -> Array:
    """The array with zeros around its first axes."""
    for axis, r in enumerate(radius):
        shape = (*array.shape[:axis], r, *array.shape[axis + 1 :])
        zeros = xp.zeros(shape, dtype=array.dtype, device=array.device)
        array = xp.concat([zeros, array, zeros], axis=axis)
    return array


def _radii(window: object) -> tuple[int, ...] | None:
    if window is None:
        return None
    if not isinstance(window, tuple) or not window:
        raise InvalidTypeError(f"window must be a tuple of one radius per grid axis, got {shown(window)}")
    if any(isinstance(r, bool) or not isinstance(r, int) or r < 0 for r in window):
        raise InvalidValueError(f"window must hold integers >= 0, got {shown(window)}")
    return window


def _check(query: Array, key: Array, value: Array, mask: Array | None, task: Task) -> None:
    """Shapes that fit each other; ranks that fit the window."""
    axes = task.grid_axes
    shapes = {"query": tuple(query.shape), "key": tuple(key.shape), "value": tuple(value.shape)}
    said = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
    if query.ndim < axes + 1 or not query.ndim == key.ndim == value.ndim:
        raise InvalidValueError(f"arrays (..., *grid, features) of {axes} grid axes are needed, got {said}")
    same_grid = task.window is not None or task.center is not None
    upto = query.ndim - 1 if same_grid else query.ndim - axes - 1
    if query.shape[:upto] != key.shape[:upto] or key.shape[:-1] != value.shape[:-1]:
        raise InvalidValueError(f"query, key and value must share their leading and grid axes, got {said}")
    if query.shape[-1] != key.shape[-1]:
        raise InvalidValueError(f"query and key must have the same number of features, got {said}")
    if mask is not None and tuple(mask.shape) != tuple(key.shape[:-1]):
        raise InvalidValueError(f"mask must have the grid of the keys, got {tuple(mask.shape)} for {said}")
