"""The one operation of this package: the non-local mean, for NumPy, CuPy and torch arrays alike.

    y_i = ( sum over j in W(i) of f(q_i, k_j) v_j ) / C_i

NL-means calls it with patches, the learned block with embedded features; the window kernels
restate :func:`euclidean` for planes.  No array library is imported here: the namespace comes from
the arrays themselves, and nothing is written into an array, so torch can differentiate all of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar, Literal, Protocol

from nlmeans.arrays import namespace
from nlmeans.errors import InvalidTypeError, InvalidValueError, shown

Array = Any  #: a NumPy, CuPy or torch array
Region = tuple[slice, ...]
Center = Literal["max", "one", "zero"]
Normalisation = Literal["softmax", "count"]

CENTRE_FLOOR = 2.0**-20  #: least weight of a pixel for itself: defines the case where all others vanish
_COPIES = 5  # arrays of the size of one block's logits that are alive at once


# --- the formulas ----------------------------------------------------------------------------


def euclidean(distance: Array, bias: Array | float, xp: Any) -> Array:
    """Log weight of a scaled squared distance: ``-max(distance - bias, 0)``.

    The base of the logarithm is the caller's: e in this module, 2 in the window kernels.
    """
    return -xp.clip(distance - bias, 0, None)


def shifts(radius: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """The offsets of a window, in the one order that every implementation visits them."""
    return product(*(range(-r, r + 1) for r in radius))


class Similarity(Protocol):
    """How alike a query and a key are: the log of f where `exponential`, else f itself."""

    exponential: ClassVar[bool]

    def along(self, query: Array, key: Array, xp: Any, at: Region) -> Array:
        """Element by element: (..., D) and (..., D) give (...)."""

    def between(self, query: Array, key: Array, xp: Any, at: Region) -> Array:
        """Every query with every key: (..., N, D) and (..., M, D) give (..., N, M)."""


@dataclass(frozen=True, eq=False)
class Euclidean:
    """``f = exp(-max(|q - k|^2 - 2 sigma^2, 0) / h^2)``, the similarity of NL-means.

    `h` > 0 and `sigma` >= 0 are in the units of the features: numbers, or arrays of the query grid.
    Features are best centred: `between` expands the square and loses digits far from zero.
    """

    h: Any = 1.0
    sigma: Any = 0.0
    exponential: ClassVar[bool] = True

    def along(self, query: Array, key: Array, xp: Any, at: Region) -> Array:
        return self._log_weight(xp.sum((query - key) ** 2, axis=-1), xp, at)

    def between(self, query: Array, key: Array, xp: Any, at: Region) -> Array:
        squared = xp.sum(query**2, axis=-1)[..., :, None] + xp.sum(key**2, axis=-1)[..., None, :]
        distance = xp.clip(squared - 2 * (query @ xp.matrix_transpose(key)), 0, None)
        return self._log_weight(distance, xp, (*at, None))

    def _log_weight(self, distance: Array, xp: Any, at: tuple[slice | None, ...]) -> Array:
        h, sigma = (x[at] if getattr(x, "ndim", 0) else x for x in (self.h, self.sigma))
        return euclidean(distance / h**2, 2 * sigma**2 / h**2, xp)


@dataclass(frozen=True, eq=False)
class DotProduct:
    """``f = scale q . k``."""

    scale: Any = 1.0
    exponential: ClassVar[bool] = False

    def along(self, query: Array, key: Array, xp: Any, at: Region) -> Array:
        return xp.sum(query * key, axis=-1) * self.scale

    def between(self, query: Array, key: Array, xp: Any, at: Region) -> Array:
        return (query @ xp.matrix_transpose(key)) * self.scale


@dataclass(frozen=True, eq=False)
class Gaussian(DotProduct):
    """``f = exp(scale q . k)``; "embedded" says only that the caller has embedded q and k."""

    exponential: ClassVar[bool] = True


@dataclass(frozen=True, eq=False)
class Concatenation:
    """``f = relu(w . [q, k])`` with `weight` of shape (2 D,)."""

    weight: Any
    exponential: ClassVar[bool] = False

    def along(self, query: Array, key: Array, xp: Any, at: Region) -> Array:
        a, b = self.halves(query, key)
        return xp.clip(a + b, 0, None)

    def between(self, query: Array, key: Array, xp: Any, at: Region) -> Array:
        a, b = self.halves(query, key)
        return xp.clip(a[..., :, None] + b[..., None, :], 0, None)

    def halves(self, query: Array, key: Array) -> tuple[Array, Array]:
        """The two terms of w . [q, k]: a number per query, a number per key."""
        d = query.shape[-1]
        return query @ self.weight[:d], key @ self.weight[d:]


_BY_NAME: dict[str, Callable[[], Similarity]] = {
    "euclidean": Euclidean,
    "gaussian": Gaussian,
    "embedded_gaussian": Gaussian,
    "dot_product": DotProduct,
}


# --- the operation ---------------------------------------------------------------------------


def nonlocal_mean(
    query: Array,
    key: Array,
    value: Array,
    *,
    similarity: str | Similarity = "euclidean",
    normalisation: Normalisation | None = None,
    window: tuple[int, ...] | None = None,
    center: Center | None = None,
    vote: Array | None = None,
    memory_limit: int = 2**25,
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
        Divide by the sum of f, or by the number of voting candidates.  Default: "softmax" where f
        is an exponential, else "count".  "softmax" is refused where f is not an exponential.
    window : tuple of int, optional
        Search radius for each grid axis, cut at the edges; the tuple's length says how many axes
        the grid has.  Default None: one axis of positions, every key is a candidate.
    center : {"max", "one", "zero"}, optional
        Weight of a position for itself in place of f: the largest of the others, 1 or 0, but at
        least 2^-20.  "euclidean" with softmax only, query and key on the same grid.
    vote : array, shape (..., *grid) or (..., M), optional
        Nonzero where a candidate may be averaged.  Default: everywhere.
    memory_limit : int
        Bytes for intermediate arrays; at least one position is worked on at a time.

    Returns
    -------
    array, shape (..., *grid, V)
        Of the same library and type.  A position without any voting candidate gives 0.

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
    xp = namespace(query, key, value)
    task = Task.of(similarity, normalisation, window, center, memory_limit)
    _check(query, key, value, vote, task)
    return _batched(query, key, value, vote, task, xp)


def nonlocal_weights(
    query: Array,
    key: Array,
    *,
    itself: Array,
    similarity: Euclidean,
    center: Center,
    vote: Array | None = None,
) -> Array:
    """The normalised weights of a few queries, rows that sum to 1: (N, D), (M, D) give (N, M).

    `itself` (N,) says which key each query is.  Memory O(N M D): distances are taken directly.
    """
    xp = namespace(query, key)
    task = Task(similarity, True, None, center, 0)
    logits = similarity.along(query[:, None, :], key[None, :, :], xp, ())
    own = itself[:, None] == xp.arange(key.shape[0])[None, :]
    f, total = normalised(logits, None if vote is None else vote[None, :], own, task, xp, axis=-1)
    return divided(f, total[:, None], xp)


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
        chosen = _resolved(similarity)
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


def _batched(query: Array, key: Array, value: Array, vote: Array | None, task: Task, xp: Any) -> Array:
    """One batch entry after another: leading axes are peeled off until the grid is left."""
    if query.ndim == task.grid_axes + 1:
        mean = _whole if task.window is None else _windowed
        return mean(query, key, value, vote, task, xp)
    if not query.shape[0]:  # an empty batch, of which nothing can be stacked
        return xp.zeros((*query.shape[:-1], value.shape[-1]), dtype=value.dtype, device=value.device)
    return xp.stack(
        [
            _batched(
                query[b, ...], key[b, ...], value[b, ...], None if vote is None else vote[b, ...], task, xp
            )
            for b in range(query.shape[0])
        ]
    )


def _whole(query: Array, key: Array, value: Array, vote: Array | None, task: Task, xp: Any) -> Array:
    """Every key is a candidate of every query: (N, D), (M, D), (M, V) give (N, V)."""
    if isinstance(task.similarity, Euclidean):
        middle = xp.mean(key, axis=0)  # distances do not change; digits are kept
        query, key = query - middle, key - middle
    candidates = key.shape[0]
    voting = None if vote is None else xp.astype(vote, xp.bool)[None, :]
    index = xp.arange(candidates)

    def block(at: Region) -> Array:
        logits = task.similarity.between(query[at[0], :], key, xp, at)
        itself = None if task.center is None else index[at[0]][:, None] == index[None, :]
        f, total = normalised(logits, voting, itself, task, xp, axis=-1)
        return divided(f @ value, total[:, None], xp)

    return _blockwise(block, query.shape[:1], candidates, query, task.memory_limit, xp)


def _windowed(query: Array, key: Array, value: Array, vote: Array | None, task: Task, xp: Any) -> Array:
    """Candidates are the positions at most a radius away, cut at the edges of the grid."""
    grid = query.shape[:-1]
    radius = tuple(min(r, max(n - 1, 0)) for r, n in zip(task.window or (), grid, strict=True))
    if vote is None:
        vote = xp.ones_like(query[..., 0])
    key, value = _margin(key, radius, xp), _margin(value, radius, xp)
    voting = _margin(xp.astype(vote, xp.bool), radius, xp)
    offsets = list(shifts(radius))
    own = offsets.index((0,) * len(grid))

    def block(at: Region) -> Array:
        around = [
            tuple(slice(a.start + r + d, a.stop + r + d) for a, r, d in zip(at, radius, shift, strict=True))
            for shift in offsets
        ]
        logits = xp.stack([task.similarity.along(query[*at, :], key[*c, :], xp, at) for c in around])
        votes = xp.stack([voting[c] for c in around])
        itself = None
        if task.center is not None:
            itself = xp.reshape(xp.arange(len(offsets)) == own, (-1,) + (1,) * len(grid))
        f, total = normalised(logits, votes, itself, task, xp, axis=0)
        summed = sum(f[n, ...][..., None] * value[*c, :] for n, c in enumerate(around))
        return divided(summed, total[..., None], xp)

    return _blockwise(block, grid, len(offsets), query, task.memory_limit, xp)


def normalised(
    logits: Array, votes: Array | None, itself: Array | None, task: Task, xp: Any, axis: int
) -> tuple[Array, Array]:
    """f of every candidate and the sum (or count) it is divided by, along `axis`."""
    if not task.softmax:
        f = xp.exp(logits) if task.similarity.exponential else logits
        if votes is None:
            return f, xp.sum(xp.ones_like(logits), axis=axis)
        return xp.where(votes, f, xp.zeros_like(f)), xp.sum(xp.astype(votes, logits.dtype), axis=axis)
    if votes is not None:
        logits = xp.where(votes, logits, xp.full_like(logits, -math.inf))
    if itself is not None:
        logits = _centred(logits, itself, task.center, xp, axis)
    highest = xp.max(logits, axis=axis, keepdims=True)
    highest = xp.where(highest == -math.inf, xp.zeros_like(highest), highest)
    f = xp.exp(logits - highest)
    return f, xp.sum(f, axis=axis)


def _centred(logits: Array, itself: Array, center: Center | None, xp: Any, axis: int) -> Array:
    """Log weights with the pixel's own replaced: the rule, but at least the floor."""
    floor = math.log(CENTRE_FLOOR)
    voting = logits > -math.inf
    if center == "max":
        others = xp.where(itself, xp.full_like(logits, -math.inf), logits)
        own = xp.clip(xp.max(others, axis=axis, keepdims=True), floor, None)
    else:
        own = 0.0 if center == "one" else floor
    return xp.where(xp.logical_and(itself, voting), own + xp.zeros_like(logits), logits)


def divided(numerator: Array, total: Array, xp: Any) -> Array:
    """The quotient, and 0 where nothing voted."""
    return numerator / xp.where(total == 0, xp.ones_like(total), total)


# --- blocks, margins, checks -----------------------------------------------------------------


def _blockwise(
    block: Callable[[Region], Array], grid: tuple[int, ...], candidates: int, like: Array, limit: int, xp: Any
) -> Array:
    """The results of blocks of the grid whose logits fit the limit, put together again."""
    itemsize = xp.finfo(like.dtype).bits // 8
    positions = max(1, limit // (_COPIES * itemsize * max(1, candidates)))

    def halved(at: Region) -> Array:
        sizes = [a.stop - a.start for a in at]
        axis = max(range(len(at)), key=sizes.__getitem__)
        if math.prod(sizes) <= positions or sizes[axis] <= 1:
            return block(at)
        middle = at[axis].start + sizes[axis] // 2
        first = (*at[:axis], slice(at[axis].start, middle), *at[axis + 1 :])
        second = (*at[:axis], slice(middle, at[axis].stop), *at[axis + 1 :])
        return xp.concat([halved(first), halved(second)], axis=axis)

    return halved(tuple(slice(0, n) for n in grid))


def _margin(array: Array, radius: tuple[int, ...], xp: Any) -> Array:
    """The array with zeros around its first axes."""
    for axis, r in enumerate(radius):
        shape = (*array.shape[:axis], r, *array.shape[axis + 1 :])
        zeros = xp.zeros(shape, dtype=array.dtype, device=array.device)
        array = xp.concat([zeros, array, zeros], axis=axis)
    return array


def _resolved(similarity: object) -> Similarity:
    if isinstance(similarity, str):
        if similarity not in _BY_NAME:
            raise InvalidValueError(
                f"similarity must be one of {', '.join(_BY_NAME)} or an instance such as "
                f"Concatenation(weight), got {shown(similarity)}"
            )
        return _BY_NAME[similarity]()
    if not all(hasattr(similarity, name) for name in ("exponential", "along", "between")):
        raise InvalidTypeError(f"similarity must be a name or a Similarity, got {shown(similarity)}")
    return similarity  # type: ignore[return-value]


def _radii(window: object) -> tuple[int, ...] | None:
    if window is None:
        return None
    if not isinstance(window, tuple) or not window:
        raise InvalidTypeError(f"window must be a tuple of one radius per grid axis, got {shown(window)}")
    if any(isinstance(r, bool) or not isinstance(r, int) or r < 0 for r in window):
        raise InvalidValueError(f"window must hold integers >= 0, got {shown(window)}")
    return window


def _check(query: Array, key: Array, value: Array, vote: Array | None, task: Task) -> None:
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
    if vote is not None and tuple(vote.shape) != tuple(key.shape[:-1]):
        raise InvalidValueError(f"vote must have the grid of the keys, got {tuple(vote.shape)} for {said}")
