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
from nlmeans.errors import InvalidTypeError, InvalidValueError

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


class Similarity(Protocol):
    """How alike a query and a key are: the log of f where `exponential`, else f itself."""

    exponential: ClassVar[bool]

    def along(self, query: Array, key: Array, xp: Any, at: Region) -> Array:
        """Element by element: (..., D) and (..., D) give (...)."""

    def between(self, query: Array, key: Array, xp: Any, at: Region) -> Array:
        """Every query with every key: (N, D) and (M, D) give (N, M)."""


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
        squared = xp.sum(query**2, axis=-1)[:, None] + xp.sum(key**2, axis=-1)[None, :]
        distance = xp.clip(squared - 2 * (query @ key.T), 0, None)
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
        return (query @ key.T) * self.scale


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
        a, b = self._halves(query, key)
        return xp.clip(a + b, 0, None)

    def between(self, query: Array, key: Array, xp: Any, at: Region) -> Array:
        a, b = self._halves(query, key)
        return xp.clip(a[:, None] + b[None, :], 0, None)

    def _halves(self, query: Array, key: Array) -> tuple[Array, Array]:
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
    chosen = _resolve(similarity)
    rule = _Rule(chosen, _normalisation(chosen, normalisation), _center(chosen, center, normalisation))
    grid_axes = 1 if window is None else len(window)
    _check_arrays(query, key, value, vote, grid_axes, window is not None or center is not None)
    xp = namespace(query, key, value)
    if query.ndim == grid_axes + 1:
        return _one(query, key, value, vote, rule, window, memory_limit, xp)
    inner = [query, key, value] if vote is None else [query, key, value, vote]
    each = [
        nonlocal_mean(
            *(x[b, ...] for x in inner[:3]),
            similarity=chosen,
            normalisation=normalisation,
            window=window,
            center=center,
            vote=None if vote is None else vote[b, ...],
            memory_limit=memory_limit,
        )
        for b in range(query.shape[0])
    ]
    return xp.stack(each)
