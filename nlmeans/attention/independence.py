"""Do queries attend to different things? GCNet's measurement, for any rows and for NL-means itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nlmeans.arrays import Array
from nlmeans.attention.statistics import (
    CHUNK,
    Directions,
    Floats,
    are_distributions,
    as_table,
    cosine_distance,
    entropy,
    jensen_shannon,
)
from nlmeans.errors import InvalidValueError, Parameter
from nlmeans.methods.pixel_weights import PixelWeights
from nlmeans.parameters import Settings

Queries = NDArray[np.int64]  # (n, axes)


@dataclass(frozen=True)
class Independence:
    """How much attention depends on the query: mean distances over pairs of queries, and the rows' shape.

    Attributes
    ----------
    queries, keys : int
        How many rows were compared, and how many numbers each has.
    frame : {"position", "offset"}
        Whether rows were compared by the key's position or by its offset from the query.
    input, output, attention : float
        Mean cosine distances, 0 to 1, of what the queries see, what they get, and their rows: GCNet's
        three.  A collapsed block has an input that differs and an output and attention that do not.
    jensen_shannon, mutual_information : float, optional
        Of the rows, in nats; None where rows are no distributions.
    perplexity : float, optional
        The exponential of the mean entropy: how many keys a query spreads its weight over.
    self_weight : float, optional
        A query's weight for itself; None where keys are not on the grid of the queries.
    """

    queries: int
    keys: int
    frame: str
    input: float
    output: float
    attention: float
    jensen_shannon: float | None = None
    mutual_information: float | None = None
    perplexity: float | None = None
    self_weight: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON: what is not a number is None."""
        return {n: None if isinstance(v, float) and math.isnan(v) else v for n, v in asdict(self).items()}

    @staticmethod
    def mean(each: Sequence[Independence]) -> Independence:
        """The mean over images of the same kind."""
        if not each:
            raise InvalidValueError("the mean needs at least one measurement")
        first = each[0]
        values: dict[str, Any] = {"queries": first.queries, "keys": first.keys, "frame": first.frame}
        for name in [f.name for f in fields(Independence) if f.name not in values]:
            numbers = [getattr(one, name) for one in each]
            values[name] = None if None in numbers else float(np.mean(numbers))
        return Independence(**values)


def measured(
    rows_of: Callable[[Queries], ArrayLike],
    queries: Queries,
    inputs: ArrayLike,
    outputs: ArrayLike,
    *,
    frame: str = "position",
    own: Callable[[Floats, Queries], Floats] | None = None,
    keys: int | None = None,
    pairs: int = 2048,
    seed: int = 0,
) -> Independence:
    """GCNet's measurement for any rows, which are asked for in chunks.

    Parameters
    ----------
    rows_of : callable
        Takes queries (n, axes), returns their rows (n, K).
    queries : array of int, shape (N, axes)
        Positions.
    inputs, outputs : array, shape (N, D)
        What each query sees and gets.
    frame : {"position", "offset"}
        Whether rows are by position or by offset; it is recorded in the result.
    own : callable, optional
        Takes rows and queries, returns each query's weight for itself.
    keys : int, optional
        K, to choose the chunks by.  Default: asked of one row.
    pairs, seed : int
        Of :func:`nlmeans.attention.statistics.jensen_shannon`, taken from up to 256 of the queries.

    Returns
    -------
    Independence

    Notes
    -----
    The cosine distances are those of all pairs, in closed form.  Memory O(K) per query of a chunk.
    """
    at = np.asarray(queries, np.int64)
    if not len(at):
        raise InvalidValueError("the measurement needs at least one query")
    keys = keys or as_table(rows_of(at[:1])).shape[1]
    directions, step = Directions(), max(1, CHUNK // (8 * keys))
    sums, entropies, itself, distributed = np.zeros(keys), 0.0, 0.0, True
    for start in range(0, len(at), step):
        chunk = at[start : start + step]
        rows = as_table(rows_of(chunk))
        directions.add(rows)
        distributed = distributed and are_distributions(rows)
        sums += rows.sum(0)
        entropies += float(entropy(np.maximum(rows, 0)).sum())
        itself += 0.0 if own is None else float(own(rows, chunk).sum())
    shape: dict[str, Any] = {}
    if distributed:
        sample = np.random.default_rng(seed).permutation(len(at))[:256]
        mixed = float(entropy(sums[None] / len(at))[0])
        shape = {
            "jensen_shannon": jensen_shannon(rows_of(at[sample]), pairs=pairs, seed=seed),
            "mutual_information": max(mixed - entropies / len(at), 0.0),
            "perplexity": math.exp(entropies / len(at)),
        }
    return Independence(
        len(at),
        keys,
        frame,
        cosine_distance(inputs),
        cosine_distance(outputs),
        directions.distance(),
        self_weight=None if own is None else itself / len(at),
        **shape,
    )


def chosen_queries(
    grid: Sequence[int], count: int, *, inside: Sequence[int] | None = None, seed: int = 0
) -> Queries:
    """All positions of a grid in order, or `count` random ones of them: (n, axes).

    With `inside`, those at least so far from the edges, whose windows are whole; an InvalidValueError
    where there are none.
    """
    margin = [0] * len(grid) if inside is None else list(inside)
    sides = [n - 2 * m for n, m in zip(grid, margin, strict=True)]
    if min(sides) < 1:
        raise InvalidValueError(
            f"no position of the grid {tuple(grid)} has a whole window of radius {tuple(margin)}; "
            "take a larger picture or a smaller window"
        )
    total = math.prod(sides)
    index = np.arange(total)
    if count < total:
        index = np.sort(np.random.default_rng(seed).choice(total, count, replace=False))
    inner = np.stack(np.unravel_index(index, sides), -1)
    return np.asarray(inner + np.asarray(margin), np.int64)


def measure(image: Array, *, queries: int = 256, seed: int = 0, **settings: Unpack[Settings]) -> Independence:
    """GCNet's measurement for NL-means itself: the null case of a similarity that is not learned.

    Parameters
    ----------
    image : array
        As for `denoise`.
    queries : int
        How many random pixels, of those whose search window is whole, are compared.
    seed : int
        Of their choice.
    **settings
        Any of `denoise`'s parameters from `sigma` to `nan`.

    Returns
    -------
    Independence
        Rows by offset.  The input of a pixel is its patch, the output the average of the patches in
        its window, both less the mean patch: without that, all would point one way.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        As `denoise`, and where no pixel has a whole window.

    Examples
    --------
    >>> image = np.random.default_rng(0).normal(size=(16, 16))
    >>> measure(image, sigma=1.0, patch_radius=1, search_radius=2).keys
    25
    """
    weights = PixelWeights(image, **settings)
    radius = tuple(min(r, n - 1) for r, n in zip(weights.search_radius, weights.grid, strict=True))
    at = chosen_queries(weights.grid, queries, inside=radius, seed=seed)
    if not weights.parameters.h and not weights.parameters.k:
        raise InvalidValueError("h = 0 compares nothing: there is no attention to measure")
    if weights.parameters.sigma == 0.0 and weights.parameters.h is None:
        kept = "no noise was found, so that each pixel is kept as it is and looks at nothing else; give "
        raise InvalidValueError(kept, Parameter("sigma"), " or ", Parameter("h"))
    keys = math.prod(2 * r + 1 for r in radius)
    row_of = {tuple(pixel): weights.window(pixel)[1].reshape(-1) for pixel in at.tolist()}
    pixels = [pixel for pixel, row in row_of.items() if len(row) == keys]  # an invalid one has 1
    if not pixels:
        raise InvalidValueError("none of the pixels is valid: there is no attention to measure")
    rows = np.stack([row_of[pixel] for pixel in pixels])
    patches = [weights.patches(pixel) for pixel in pixels]
    middle = keys // 2
    inputs = np.stack([patch[middle] for patch in patches])
    outputs = np.stack([row @ patch for row, patch in zip(rows, patches, strict=True)])
    index = {pixel: n for n, pixel in enumerate(pixels)}
    return measured(
        lambda chosen: rows[[index[tuple(query)] for query in chosen.tolist()]],
        np.asarray(pixels, np.int64),
        inputs - inputs.mean(0),
        outputs - inputs.mean(0),
        frame="offset",
        own=lambda rows, _: rows[:, middle],
        seed=seed,
    )
