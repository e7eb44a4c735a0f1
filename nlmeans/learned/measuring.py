"""Attention of a learned block: rows for named queries, GCNet's measurement, and the random block to compare.

The measurement is that of :mod:`nlmeans.attention.independence`, which takes NL-means itself too.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch

from nlmeans.attention.independence import Independence, Queries, chosen_queries, measured
from nlmeans.attention.statistics import Floats, relative
from nlmeans.attention.statistics import self_weight as own_weight
from nlmeans.errors import InvalidTypeError, InvalidValueError
from nlmeans.learned.arithmetic.tools import Tensor
from nlmeans.learned.block import NonLocal1d, NonLocal2d, NonLocal3d, NonLocalBlock
from nlmeans.learned.files import load_weights
from nlmeans.learned.settings import BlockSettings, plain_names
from nlmeans.learned.weights_file import Path, opened

_BLOCKS = {1: NonLocal1d, 2: NonLocal2d, 3: NonLocal3d}
_AT_ONCE = 2**26  # bytes of the rows that are asked of a block in one call


def attention_rows(block: NonLocalBlock, x: Tensor, queries: Sequence[Sequence[int]]) -> Floats:
    """The attention maps of named queries, without those of the others.

    Parameters
    ----------
    block : NonLocal1d, NonLocal2d or NonLocal3d
        Any mode; on the whole grid or in a window.
    x : Tensor, shape (B, C, *grid)
        The features it sees.
    queries : sequence of sequence of int
        n positions, each one index per grid axis.

    Returns
    -------
    array of float64, shape (B, n, *keys), or (B, heads, n, *keys) with heads
        A row's sum is 1 where `normalisation` is "softmax".

    Raises
    ------
    InvalidValueError, InvalidTypeError
        For positions outside of the grid, and as the block.

    Notes
    -----
    Time O(n K D) for K keys, memory O(n K): never N x N.  Queries go through the block in chunks.

    Examples
    --------
    >>> block = NonLocal2d(4)
    >>> attention_rows(block, torch.randn(1, 4, 6, 5), [(0, 0), (5, 4)]).shape
    (1, 2, 6, 5)
    """
    _check_block(block)
    row = x.element_size() * x[:, 0].numel() if isinstance(x, torch.Tensor) and x.ndim > 1 else 1
    step = max(1, _AT_ONCE // max(1, row))
    with torch.no_grad():
        parts = [
            block.attention(x, queries[n : n + step]).double().cpu() for n in range(0, len(queries), step)
        ]
        parts = parts or [block.attention(x, []).double()]
        rows = parts[0] if len(parts) == 1 else torch.cat(parts, -1 - block.axes)
    return np.asarray(rows.numpy())


def measure_block(
    block: NonLocalBlock,
    x: Tensor,
    *,
    unmasked: bool = False,
    queries: int = 1024,
    seed: int = 0,
) -> Independence:
    """GCNet's measurement of query-independence for a block, the mean over a batch.

    Parameters
    ----------
    block : NonLocal1d, NonLocal2d or NonLocal3d
        In the state it is measured in; gradients are not taken.
    x : Tensor, shape (B, C, *grid)
        The features it sees, B >= 1.
    unmasked : bool
        Measure a windowed block as if it had no window.
    queries : int
        How many random positions of each grid are compared; all, where these are fewer.
    seed : int
        Of their choice.

    Returns
    -------
    Independence
        Input x_i, output ``z_i - x_i``, and rows: by position on the whole grid; in a window by offset, of
        the queries whose window is whole.  The output's distance is NaN for a block that adds nothing.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        As the block; where no query has a whole window; for an empty batch.

    Notes
    -----
    Distances are over all pairs of the queries, in closed form; Jensen-Shannon is sampled.  Dot products
    and concatenation have rows that are no distributions: cosine only.  With heads a row is their mean.

    References
    ----------
    Y. Cao, J. Xu, S. Lin, F. Wei, H. Hu, "GCNet: non-local networks meet squeeze-excitation networks
    and beyond", ICCV Workshops 2019, doi:10.1109/ICCVW.2019.00246.

    Examples
    --------
    >>> features = torch.randn(1, 8, 12, 12)
    >>> found = measure_block(random_block(NonLocal2d(8), seed=1), features)
    >>> found.attention < found.input
    True
    """
    _check_block(block)
    if unmasked:
        block = without_window(block)
    radius = block.settings.radii(block.axes)
    with torch.no_grad():
        z = block(x)
        added = z - x if block.settings.residual else z
    if not len(x):
        raise InvalidValueError("x must hold at least one image, got an empty batch")
    grid = tuple(x.shape[2:])
    if radius is not None:
        radius = tuple(min(r, n - 1) for r, n in zip(radius, grid, strict=True))
    at = chosen_queries(grid, queries, inside=radius, seed=seed)
    return Independence.mean([_one(block, x[b : b + 1], added[b], at, radius, seed) for b in range(len(x))])


def _one(
    block: NonLocalBlock, x: Tensor, added: Tensor, at: Queries, radius: tuple[int, ...] | None, seed: int
) -> Independence:
    """The measurement of one image (1, C, *grid)."""
    index = tuple(torch.from_numpy(at).unbind(1))
    inputs, outputs = (t[:, *index].T.double().cpu().numpy() for t in (x[0], added))

    def rows_of(queries: Queries) -> Floats:
        rows = attention_rows(block, x, queries.tolist())[0]
        rows = rows if block.settings.heads == 1 else rows.mean(0)
        rows = rows if radius is None else relative(rows, queries, radius)
        return rows.reshape(len(rows), -1)

    keys = int(np.prod(x.shape[2:])) if radius is None else int(np.prod([2 * r + 1 for r in radius]))
    own = None
    if block.settings.sub_sample is False:

        def own(rows: Floats, queries: Queries) -> Floats:
            if radius is not None:
                return np.asarray(rows[:, keys // 2])
            return own_weight(rows.reshape(len(rows), *x.shape[2:]), queries)

    return measured(
        rows_of,
        at,
        inputs,
        outputs,
        frame="position" if radius is None else "offset",
        own=own,
        keys=keys if own is not None else None,
        seed=seed,
    )


def without_window(block: NonLocalBlock) -> NonLocalBlock:
    """The same block, with the same parameters, on the whole grid."""
    _check_block(block)
    other = copy.copy(block)
    other.settings = replace(block.settings, window=None)
    return other


def random_block(block: NonLocalBlock, *, seed: int = 0) -> NonLocalBlock:
    """A block of the same kind and sizes with random weights: the null case of learning nothing.

    W_z is random too, since a block that adds 0 has no output to measure.  The global random state is left
    as it was.
    """
    _check_block(block)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        other: NonLocalBlock = type(block)(
            block.in_channels,
            block.inter_channels,
            guide_channels=block.guide_channels,
            zero_init=False,
            max_memory=block.max_memory,
            check_finite=block.check_finite,
            **asdict(block.settings),
        )
    like = next(block.parameters())
    other.to(like.device, like.dtype).train(block.training)
    return other


def read_block(path: Path, *, prefix: str = "") -> NonLocalBlock:
    """A block from a safetensors file alone: its kind and sizes are those of the weights.

    Parameters
    ----------
    path : path
        What :func:`nlmeans.learned.save_weights` wrote, or weights in mmcv's layout, taken as
        embedded Gaussian without scale.
    prefix : str
        What stands before the names, for a block inside of a model.

    Returns
    -------
    NonLocal1d, NonLocal2d or NonLocal3d
        In evaluation mode.

    Raises
    ------
    InvalidValueError
        For a file that holds no block; nothing in it is run.
    """
    arrays, stored = opened(path)
    names = plain_names(arrays, prefix)
    weight = names.get("g.conv.weight")
    if weight is None or weight.ndim - 2 not in _BLOCKS or 0 in weight.shape:
        raise InvalidValueError(
            f'the file holds no non-local block: a weight "{prefix}g.conv.weight" with one to three grid '
            f"axes is needed, got the names {', '.join(sorted(arrays)[:4]) or 'none'}"
        )
    settings = BlockSettings() if stored is None else BlockSettings.from_json(stored)
    block: NonLocalBlock = _BLOCKS[weight.ndim - 2](
        int(weight.shape[1]),
        int(weight.shape[0]),
        guide_channels=None if "theta.conv.weight" not in names else int(names["theta.conv.weight"].shape[1]),
        norm="batch" if "conv_out.bn.running_var" in names else None,
        **asdict(settings),
    )
    load_weights(block, arrays, prefix=prefix)
    block.eval()
    return block


def _check_block(block: Any) -> None:
    if not isinstance(block, NonLocalBlock):
        raise InvalidTypeError(f"a block of nlmeans.learned is needed, got {type(block).__name__}")
