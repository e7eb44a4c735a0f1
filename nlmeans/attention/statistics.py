"""Statistics of attention rows: how far they differ, how wide they spread, how much is for the query itself.

A row has the weight of every key for one query: the weights of NL-means, or the attention map of a learned
block.  :mod:`nlmeans.attention.independence` and :mod:`nlmeans.learned.measuring` measure filters and
blocks by them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nlmeans.errors import InvalidValueError

Floats = NDArray[np.float64]
_LEAST_LENGTH = 1e-30  # shorter vectors have no direction
_SUM_TOLERANCE = 1e-3  # of rows that are distributions, in single precision
CHUNK = 2**26  # bytes of rows at once


# --- single statistics -------------------------------------------------------------------------


def cosine_distance(vectors: ArrayLike, *, distinct: bool = False) -> float:
    """The mean of ``(1 - cos(v_i, v_j)) / 2`` over all ordered pairs of vectors.

    Parameters
    ----------
    vectors : array, shape (n, D)
        Vectors of length 0 have no direction and are left out.
    distinct : bool
        Leave out the pairs of a vector with itself, whose distance is 0.

    Returns
    -------
    float
        0 where all point the same way, about 0.5 where directions are random, at most 1; NaN where
        no pair is left.

    Notes
    -----
    With unit vectors u the mean is ``(1 - |mean u|^2) / 2``: time and memory O(n D), without pairs.

    References
    ----------
    Y. Cao, J. Xu, S. Lin, F. Wei, H. Hu, "GCNet: non-local networks meet squeeze-excitation networks
    and beyond", ICCV Workshops 2019, doi:10.1109/ICCVW.2019.00246.

    Examples
    --------
    >>> cosine_distance([[1.0, 0.0], [2.0, 0.0], [-3.0, 0.0]], distinct=True).__round__(3)
    0.667
    """
    directions = Directions()
    directions.add(as_table(vectors))
    return directions.distance(distinct=distinct)


def jensen_shannon(rows: ArrayLike, *, pairs: int = 4096, seed: int = 0) -> float:
    """The mean Jensen-Shannon divergence of random pairs of different rows, in nats.

    Parameters
    ----------
    rows : array, shape (n, K)
        Distributions: numbers >= 0, of sum 1 each.
    pairs : int
        How many pairs are drawn; all there are, where these are fewer.
    seed : int
        Of the draw.

    Returns
    -------
    float
        From 0 for equal rows to ln 2 for rows without a common key; NaN for a single row.

    Raises
    ------
    InvalidValueError
        For rows that are no distributions.

    Notes
    -----
    Time O(pairs K), memory O(n K).

    Examples
    --------
    >>> jensen_shannon([[1.0, 0.0], [0.0, 1.0]]).__round__(4)
    0.6931
    """
    table = _distributions(rows)
    count = len(table)
    if count < 2:
        return math.nan
    if pairs >= count * (count - 1) // 2:
        first, second = np.triu_indices(count, 1)
    else:
        random = np.random.default_rng(seed)
        first = random.integers(count, size=pairs)
        second = (first + random.integers(1, count, size=pairs)) % count
    own = entropy(table)
    step = max(1, CHUNK // (8 * table.shape[1]))
    total = 0.0
    for start in range(0, len(first), step):
        i, j = first[start : start + step], second[start : start + step]
        total += float((entropy((table[i] + table[j]) / 2) - (own[i] + own[j]) / 2).sum())
    return max(total / len(first), 0.0)


def entropy(rows: ArrayLike) -> Floats:
    """The entropy of each row in nats; its exponential, the perplexity, is how many keys the weight is
    spread over.

    Examples
    --------
    >>> np.exp(entropy([[0.25, 0.25, 0.25, 0.25], [1.0, 0.0, 0.0, 0.0]])).round(6)
    array([4., 1.])
    """
    table = as_table(rows)
    logs = np.log(np.where(table > 0, table, 1.0))
    return np.asarray(0.0 - (table * logs).sum(-1))


def mutual_information(rows: ArrayLike) -> float:
    """The information of a query about the key, in nats: the mean divergence of the rows from their mean.

    The Jensen-Shannon divergence of all rows at once, up to ln n where that of pairs ends at ln 2.

    Examples
    --------
    >>> mutual_information(np.eye(4)).__round__(4) == round(math.log(4), 4)
    True
    """
    table = _distributions(rows)
    return max(float(entropy(table.mean(0, keepdims=True))[0] - entropy(table).mean()), 0.0)


def self_weight(rows: ArrayLike, queries: ArrayLike) -> Floats:
    """The weight for the query itself in each of (n, *grid) rows, queries (n, axes)."""
    table, at = np.asarray(rows, np.float64), np.asarray(queries, np.int64)
    return np.asarray(table[np.arange(len(at)), *at.T])


def relative(rows: ArrayLike, queries: ArrayLike, radius: Sequence[int]) -> Floats:
    """Rows by the offset of the key from the query, in place of its position.

    The rows of a windowed operator have supports that move with the query, so that they differ even
    where every query weighs its window alike; by offset, those are equal.

    Parameters
    ----------
    rows : array, shape (n, *grid)
        Attention maps.
    queries : array of int, shape (n, axes)
        Their positions.
    radius : sequence of int
        Of the window, for each axis.

    Returns
    -------
    array, shape (n, 2 R + 1, ...)
        0 outside of the grid.
    """
    table, at = np.asarray(rows, np.float64), np.asarray(queries, np.int64)
    margins = [(0, 0), *((r, r) for r in radius)]
    padded = np.pad(table, margins)
    cut = [
        padded[n][tuple(slice(i, i + 2 * r + 1) for i, r in zip(query, radius, strict=True))]
        for n, query in enumerate(at.tolist())
    ]
    return np.stack(cut) if cut else np.zeros((0, *(2 * r + 1 for r in radius)))


# --- helpers -----------------------------------------------------------------------------------


class Directions:
    """The sum of unit vectors that come in chunks."""

    def __init__(self) -> None:
        self.total: Floats | float = 0.0
        self.count = 0

    def add(self, vectors: Floats) -> None:
        largest = np.abs(vectors).max(-1, keepdims=True, initial=0.0)
        kept = largest[:, 0] > _LEAST_LENGTH
        scaled = vectors[kept] / largest[kept]  # squares neither vanish nor overflow
        self.total = self.total + (scaled / np.linalg.norm(scaled, axis=-1, keepdims=True)).sum(0)
        self.count += int(kept.sum())

    def distance(self, *, distinct: bool = False) -> float:
        """The mean cosine distance of all pairs."""
        if self.count < (2 if distinct else 1):
            return math.nan
        mean = (1 - float(np.square(self.total / self.count).sum())) / 2
        return max(mean, 0.0) * (self.count / (self.count - 1) if distinct else 1.0)


def as_table(rows: ArrayLike) -> Floats:
    """Rows as (n, K) in float64."""
    table = np.asarray(rows, np.float64)
    if table.ndim < 2:
        raise InvalidValueError(f"rows must be (n, K), got shape {table.shape}")
    return np.asarray(table.reshape(len(table), math.prod(table.shape[1:])))


def are_distributions(table: Floats) -> bool:
    """Whether every row has numbers >= 0 of sum 1."""
    return bool((table >= 0).all() and (np.abs(table.sum(-1) - 1) < _SUM_TOLERANCE).all())


def _distributions(rows: ArrayLike) -> Floats:
    table = as_table(rows)
    if not are_distributions(table):
        raise InvalidValueError(
            "rows must be distributions, numbers >= 0 of sum 1; those of dot products and of "
            "concatenation are not: compare them by cosine_distance"
        )
    return table
