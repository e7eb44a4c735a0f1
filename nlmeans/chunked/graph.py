"""Dask arrays: every chunk of the result is one task that reads its own halo.

A task takes the chunks that its halo touches as they are: with n chunks the graph has n tasks besides those
of the image, where slicing and joining the halos apart needs some thirty for each (`map_overlap`: measured
on a volume of 2048^3 in chunks of 64^3, 961,656 in place of 32,768).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nlmeans.arrays import Array, is_chunked, namespace
from nlmeans.chunked.work import Work
from nlmeans.errors import InvalidValueError, Parameter
from nlmeans.parameters import Settings
from nlmeans.sampling import at

Index = tuple[slice, ...]


def denoise_chunked(
    image: Any,
    settings: Settings,
    backend: str,
    workers: int | None,
    progress: object,
    memory_limit: int | None,
) -> Any:
    """The lazy result for a Dask array, with the same chunks: see `nlmeans.denoise`."""
    import dask.array as da
    from dask.base import tokenize
    from dask.highlevelgraph import HighLevelGraph

    if progress is not None:
        raise InvalidValueError(
            Parameter("progress"),
            " is not possible with a Dask array, which is computed later: "
            "use dask.diagnostics.ProgressBar or distributed.progress",
        )
    threads = 1 if workers is None else workers
    work = Work.of(image, settings, backend=backend, workers=threads, memory_limit=memory_limit)
    given: dict[str, Any] = dict(settings)
    chunks = [image.chunks[a] for a in work.axes]
    arrays = [_in_chunks(image, work.axes, chunks)]
    arrays += [_in_chunks(given[name], own, chunks) for name, own in work.beside.items()]
    task = _Task(work, tuple(a.shape for a in arrays), (work.axes, *work.beside.values()))
    name = "denoise-" + tokenize(work, *arrays)
    graph = HighLevelGraph.from_collections(name, _graph(task, arrays, name), dependencies=arrays)
    result = da.Array(graph, name, chunks=arrays[0].chunks, dtype=image.dtype, meta=image._meta)
    return result.rechunk(image.chunks)


Row = tuple[int, int, int]  #: of a chunk along an axis: where it begins and ends, and its first neighbour


@dataclass(frozen=True, eq=False)
class _Task:
    """What all tasks share; what is theirs alone is small, for there may be millions of them."""

    work: Work
    shapes: tuple[tuple[int, ...], ...]  # of the image and what goes with it
    axes: tuple[tuple[int, ...], ...]  # of each of them that are the grid

    def __call__(self, rows: tuple[Row, ...], parts: list[Any]) -> Array:
        """One chunk of the result, from the chunks that it and its halo touch."""
        seen, inner = self.work.seen([slice(first, last) for first, last, _ in rows])
        cut = [slice(s.start - start, s.stop - start) for s, (_, _, start) in zip(seen, rows, strict=True)]
        image, *others = (
            _region(part, _whole(shape, axes, cut))
            for part, shape, axes in zip(parts, self.shapes, self.axes, strict=True)
        )
        beside = dict(zip(self.work.beside, others, strict=True))
        result = self.work(image, tuple(s.start for s in seen), beside)
        return result[at(inner, self.work.axes, result.ndim)]


def _whole(shape: tuple[int, ...], axes: tuple[int, ...], cut: Sequence[slice]) -> Index:
    """A region of the grid, and all of the other axes."""
    index = [slice(0, n) for n in shape]
    for a, part in zip(axes, cut, strict=True):
        index[a] = part
    return tuple(index)


def _region(part: Any, seen: Index, axis: int = 0) -> Array:
    """A region of chunks in nested lists, as one array: no more of them is copied."""
    if not isinstance(part, list):
        return part[seen]
    pieces, first = [], 0
    for piece in part:
        n = _length(piece, axis)
        low, high = max(seen[axis].start - first, 0), min(seen[axis].stop - first, n)
        pieces.append(_region(piece, (*seen[:axis], slice(low, high), *seen[axis + 1 :]), axis + 1))
        first += n
    return pieces[0] if len(pieces) == 1 else namespace(pieces[0]).concatenate(pieces, axis=axis)


def _length(part: Any, axis: int) -> int:
    while isinstance(part, list):
        part = part[0]
    return int(part.shape[axis])


def _graph(task: _Task, arrays: Sequence[Any], name: str) -> dict[Any, Any]:
    """The tasks: of every chunk its rows, and the keys of the chunks that it is given, in nested lists."""
    grid = [arrays[0].chunks[a] for a in task.axes[0]]
    along = [_rows(sizes, reach) for sizes, reach in zip(grid, task.work.halo, strict=True)]
    keys: dict[Any, Any] = {}  # one tuple for each, which all tasks share
    graph = {}
    for block in np.ndindex(*map(len, grid)):
        rows = tuple(each[n][0] for each, n in zip(along, block, strict=True))
        near = [each[n][1] for each, n in zip(along, block, strict=True)]
        parts = []
        for array, axes in zip(arrays, task.axes, strict=True):
            ranges = [range(1)] * array.ndim
            for a, chunks in zip(axes, near, strict=True):
                ranges[a] = chunks
            parts.append(_nested((array.name,), ranges, keys))
        index = [0] * arrays[0].ndim
        for a, n in zip(task.axes[0], block, strict=True):
            index[a] = n
        graph[(name, *index)] = (task, rows, parts)
    return graph


def _rows(sizes: Sequence[int], reach: int) -> list[tuple[Row, range]]:
    """Of every chunk along an axis: where it is, and which chunks it looks at."""
    begins = np.cumsum((0, *sizes))
    first, last = begins[:-1], begins[1:]
    low = np.searchsorted(begins, np.maximum(first - reach, 0), "right") - 1
    high = np.searchsorted(begins, np.minimum(last + reach, begins[-1]), "left")
    found = zip(first.tolist(), last.tolist(), begins[low].tolist(), low.tolist(), high.tolist(), strict=True)
    return [((a, b, start), range(near, far)) for a, b, start, near, far in found]


def _in_chunks(array: Any, axes: tuple[int, ...], chunks: Sequence[tuple[int, ...]]) -> Any:
    """An array in these chunks along the grid, in one along its other axes."""
    import dask.array as da

    wanted: list[Any] = [(n,) for n in array.shape]
    for a, sizes in zip(axes, chunks, strict=True):
        wanted[a] = sizes
    if is_chunked(array):
        return array.rechunk(tuple(wanted))
    return da.from_array(array, chunks=tuple(wanted))


def _nested(key: tuple[Any, ...], ranges: Sequence[range], keys: dict[Any, Any]) -> Any:
    """Keys of chunks as nested lists, as `_region` takes them."""
    if not ranges:
        return keys.setdefault(key, key)
    return [_nested((*key, n), ranges[1:], keys) for n in ranges[0]]
