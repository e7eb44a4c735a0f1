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
    if progress is not None:
        raise InvalidValueError(
            Parameter("progress"),
            " is not possible with a Dask array, which is computed later: "
            "use dask.diagnostics.ProgressBar or distributed.progress",
        )
    threads = 1 if workers is None else workers
    work = Work.of(image, settings, backend=backend, workers=threads, memory_limit=memory_limit)
    return _Graph.of(image, settings, work).array(image)


@dataclass(frozen=True)
class _Block:
    """Where a chunk lies in the arrays that its task is given."""

    seen: tuple[Index, ...]  # of each array's chunks, taken together: with the halo
    core: Index  # of the result for these: the chunk itself
    origin: tuple[int, ...]  # of what is seen, in the grid


def _run(work: Work, block: _Block, parts: list[Any]) -> Array:
    """One chunk of the result."""
    image, *others = (_region(part, seen) for part, seen in zip(parts, block.seen, strict=True))
    return work(image, block.origin, dict(zip(work.beside, others, strict=True)))[block.core]


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


@dataclass(frozen=True, eq=False)
class _Graph:
    """The tasks for one Dask array."""

    work: Work
    arrays: tuple[Any, ...]  # the image, its channels in one chunk, and what goes with it in like chunks
    axes: tuple[tuple[int, ...], ...]  # of each of them that are the grid
    bounds: tuple[Any, ...]  # where chunks begin, along the grid

    @classmethod
    def of(cls, image: Any, settings: Settings, work: Work) -> _Graph:
        """With all arrays in chunks that fit each other."""
        given: dict[str, Any] = dict(settings)
        chunks = [image.chunks[a] for a in work.axes]
        arrays = [_in_chunks(image, work.axes, chunks)]
        arrays += [_in_chunks(given[name], own, chunks) for name, own in work.beside.items()]
        axes = (work.axes, *work.beside.values())
        return cls(work, tuple(arrays), axes, tuple(np.cumsum((0, *sizes)) for sizes in chunks))

    def array(self, image: Any) -> Any:
        """The array of all results, in the chunks of the image."""
        import dask.array as da
        from dask.base import tokenize
        from dask.highlevelgraph import HighLevelGraph

        name = "denoise-" + tokenize(self.work, *self.arrays)
        ndim = image.ndim
        graph = {}
        for block in np.ndindex(*(len(b) - 1 for b in self.bounds)):
            index = [0] * ndim
            for a, n in zip(self.work.axes, block, strict=True):
                index[a] = n
            graph[(name, *index)] = self._task(block, ndim)
        layers = HighLevelGraph.from_collections(name, graph, dependencies=self.arrays)
        first = self.arrays[0]
        found = da.Array(layers, name, chunks=first.chunks, dtype=image.dtype, meta=image._meta)
        return found.rechunk(image.chunks)

    def _task(self, block: tuple[int, ...], ndim: int) -> tuple[Any, ...]:
        """Of one chunk: what is called, and with which chunks of every array."""
        core = [slice(int(b[n]), int(b[n + 1])) for b, n in zip(self.bounds, block, strict=True)]
        seen, inner = self.work.seen(core)
        near, cut = [], []
        for begins, part in zip(self.bounds, seen, strict=True):
            first = int(np.searchsorted(begins, part.start, "right")) - 1
            near.append(range(first, int(np.searchsorted(begins, part.stop, "left"))))
            start = int(begins[first])
            cut.append(slice(part.start - start, part.stop - start))
        parts, where = [], []
        for array, axes in zip(self.arrays, self.axes, strict=True):
            ranges = [range(1)] * array.ndim
            whole = [slice(0, n) for n in array.shape]
            for a, chunks, part in zip(axes, near, cut, strict=True):
                ranges[a], whole[a] = chunks, part
            parts.append(_nested((array.name,), ranges))
            where.append(tuple(whole))
        place = _Block(tuple(where), at(inner, self.work.axes, ndim), tuple(s.start for s in seen))
        return _run, self.work, place, parts


def _in_chunks(array: Any, axes: tuple[int, ...], chunks: Sequence[tuple[int, ...]]) -> Any:
    """An array in these chunks along the grid, in one along its other axes."""
    import dask.array as da

    wanted: list[Any] = [(n,) for n in array.shape]
    for a, sizes in zip(axes, chunks, strict=True):
        wanted[a] = sizes
    if is_chunked(array):
        return array.rechunk(tuple(wanted))
    return da.from_array(array, chunks=tuple(wanted))


def _nested(key: tuple[Any, ...], ranges: Sequence[range]) -> Any:
    """Keys of chunks as nested lists, as `_region` takes them."""
    if not ranges:
        return key
    return [_nested((*key, n), ranges[1:]) for n in ranges[0]]
