"""Dask arrays: what is chosen is chosen once, then every chunk is one task that reads its own halo.

A task takes the chunks that its halo touches as they are: with n chunks the graph has n tasks besides those
of the image, where slicing and joining the halos apart would need some thirty for each (measured on volumes).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nlmeans.arrays import Array, grid_axes, namespace, on_device_of
from nlmeans.choosing import Chosen, choose, levels_of
from nlmeans.errors import InvalidValueError, Parameter
from nlmeans.inputs import Part, check
from nlmeans.levels import Ends
from nlmeans.methods.composition import method_for
from nlmeans.parameters import Settings
from nlmeans.running import Running, in_tiles
from nlmeans.sampling import is_of_grid, sample


def denoise_chunked(
    image: Any, settings: Settings, backend: str, workers: int | None, memory_limit: int | None
) -> Any:
    """The lazy result for a Dask array, with the same chunks: see `nlmeans.denoise`."""
    plan = Plan.of(image, settings, backend, 1 if workers is None else workers, memory_limit)
    return plan.result()


@dataclass(frozen=True)
class _Place:
    """Where a block lies."""

    cut: tuple[slice, ...]  # its part, with its halo, of the chunks that are handed over
    core: tuple[slice, ...]  # what it computes, of that part
    origin: tuple[int, ...]  # of that part in the whole grid
    grid: tuple[int, ...]
    axes: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class _Job:
    """What is done to every block; it goes to the workers."""

    chosen: Chosen
    ends: tuple[Ends | None, Ends | None]  # of the image, and of what is compared, as far as they were seen
    settings: Settings
    backend: str
    workers: int
    memory_limit: int | None

    def __call__(self, place: _Place, names: tuple[str, ...], parts: list[Any]) -> Array:
        """One block of the result."""
        image, *others = (_joined(part) for part in parts)
        with on_device_of(image):
            beside = {n: _cut(array, place, image.ndim) for n, array in zip(names, others, strict=True)}
            settings: Any = {**self.settings, **beside}
            inputs = check(image[place.cut], settings, Part(place.origin, place.grid, self.ends))
            chosen = self.chosen if self.ends[0] else replace(self.chosen, levels=levels_of(inputs))
            if chosen.noise.is_map:
                noise = replace(chosen.noise, sigma=beside["sigma"].reshape(inputs.value.shape[1:]))
                chosen = replace(chosen, noise=noise)
            method = method_for(chosen, inputs, self.backend)
            running = Running.checked(self.workers, None, self.memory_limit)
            clean = in_tiles(inputs, method, running) if inputs.value_ends else inputs.value
            result: Array = inputs.restored(clean)[place.core]
            return result

    def __dask_tokenize__(self) -> Any:
        chosen = self.chosen
        parts = (chosen.parameters.to_json(), chosen.levels, self.ends, sorted(self.settings), self.backend)
        return tuple(map(repr, parts))


def _says_all(settings: Settings, image: Any) -> bool:
    """Whether the settings are complete, so that nothing of the image has to be seen."""
    axis, color = settings.get("channel_axis"), settings.get("color")
    grey = axis is None or image.shape[axis] == 1
    parts = color in ("joint", "separate") or (
        color == "luminance" and settings.get("differences") is not None
    )
    passes = settings.get("passes") in (None, 1) or settings.get("second") is not None
    known = all(settings.get(name) is not None for name in ("sigma", "patch_radius", "search_radius"))
    strength = settings.get("k") is not None or settings.get("h") is not None
    return known and strength and passes and (grey or parts)


def _stand_in(image: Any, settings: Settings) -> tuple[Array, Settings]:
    """One pixel of the image's kind, for settings that need no more to be checked."""
    axes = grid_axes(image, settings.get("channel_axis"))

    def pixel(array: Any) -> Array:
        channels = array.ndim > len(axes)
        shape = [1 if a in axes or not channels else array.shape[a] for a in range(array.ndim)]
        return np.ones_like(getattr(array, "_meta", array), shape=shape)

    others = {n: pixel(a) for n, a in settings.items() if is_of_grid(n, a, len(axes))}
    return pixel(image), {**settings, **others}  # type: ignore[typeddict-item]


def _joined(part: Any, axis: int = 0) -> Array:
    """Chunks in nested lists as one array; one chunk as it is."""
    if not isinstance(part, list):
        return part
    each = [_joined(piece, axis + 1) for piece in part]
    return each[0] if len(each) == 1 else namespace(each[0]).concatenate(each, axis=axis)


def _cut(array: Array, place: _Place, ndim: int) -> Array:
    """A block of an array that goes with the image: of the grid, or with channels of its own."""
    cut = tuple(place.cut[a] for a in place.axes)
    if array.ndim == ndim:
        cut = tuple(s if a in place.axes else slice(None) for a, s in enumerate(place.cut))
    return array[cut]


@dataclass(frozen=True, eq=False)
class Plan:
    """One Dask array, what was chosen for it, and how its chunks are worked on."""

    image: Any
    arrays: dict[str, Any]  # settings that are arrays of the grid, in chunks like the image's
    axes: tuple[int, ...]  # of the grid
    halo: tuple[int, ...]  # along these
    job: _Job

    @classmethod
    def of(cls, image: Any, settings: Settings, backend: str, workers: int, memory_limit: int | None) -> Plan:
        """Check, and choose what is not given; this computes regions unless all is given."""
        if settings.get("search_radius") == "image":
            raise InvalidValueError(
                Parameter('search_radius="image"'), " is not possible in chunks; give a number"
            )
        Running.checked(workers, None, memory_limit)
        axes = tuple(grid_axes(image, settings.get("channel_axis")))
        given = _says_all(settings, image)
        some, their = _stand_in(image, settings) if given else sample(image, settings)
        inputs = check(some, their)
        chosen = choose(inputs, their)
        whole = replace(inputs, grid=tuple(image.shape[a] for a in axes))
        method = method_for(chosen, whole, backend)
        may_have_holes = settings.get("mask") is not None or settings.get("nan") == "keep"
        holes = method.patch_radius if may_have_holes else (0, 0, 0)
        halo = tuple(h + r for h, r in zip(method.halo, holes, strict=True))[3 - len(axes) :]
        arrays = {name: array for name, array in settings.items() if is_of_grid(name, array, len(axes))}
        rest: Any = {name: value for name, value in settings.items() if name not in arrays}
        ends = (None, None) if given else (inputs.value_ends, inputs.feature_ends)
        job = _Job(chosen, ends, rest, backend, workers, memory_limit)
        return cls(image, arrays, axes, halo, job)

    def result(self) -> Any:
        """The array of all chunks' results."""
        import dask.array as da
        from dask.base import tokenize
        from dask.highlevelgraph import HighLevelGraph

        image = self.image.rechunk({a: -1 for a in range(self.image.ndim) if a not in self.axes})
        beside = {name: self._like(array, image) for name, array in self.arrays.items()}
        name = "denoise-" + tokenize(image, self.job, *beside.values())
        bounds = [np.cumsum((0, *sizes)) for sizes in image.chunks]
        graph = {}
        for block in np.ndindex(image.numblocks):
            near, cut, core, origin = self._around(block, bounds)
            parts = [_nested((image.name,), near)]
            for array in beside.values():
                own = [near[a] for a in self.axes]
                if array.ndim == image.ndim:  # a guide, whose channels are its own
                    own = [r if a in self.axes else range(1) for a, r in enumerate(near)]
                parts.append(_nested((array.name,), own))
            place = _Place(cut, core, origin, tuple(image.shape[a] for a in self.axes), self.axes)
            graph[(name, *block)] = (self.job, place, tuple(beside), parts)
        high = HighLevelGraph.from_collections(name, graph, dependencies=[image, *beside.values()])
        found = da.Array(high, name, chunks=image.chunks, dtype=image.dtype, meta=image._meta)
        return found.rechunk(self.image.chunks)

    def _like(self, array: Any, image: Any) -> Any:
        """An array of the grid in the image's chunks."""
        import dask.array as da

        chunks = image.chunks if array.ndim == image.ndim else tuple(image.chunks[a] for a in self.axes)
        if array.ndim == image.ndim and len(self.axes) < image.ndim:  # channels of a guide are its own
            chunks = tuple(c if a in self.axes else (array.shape[a],) for a, c in enumerate(chunks))
        if not isinstance(array, da.Array):
            return da.from_array(array, chunks=chunks)
        return array.rechunk(chunks)

    def _around(
        self, block: tuple[int, ...], bounds: list[Any]
    ) -> tuple[list[range], tuple[slice, ...], tuple[slice, ...], tuple[int, ...]]:
        """The chunks that a block's halo touches, its part of their union, its core in that, and its origin."""
        near, cut, core, origin = [], [], [], []
        for axis, number in enumerate(block):
            at = bounds[axis]
            first, last, end = int(at[number]), int(at[number + 1]), int(at[-1])
            reach = self.halo[self.axes.index(axis)] if axis in self.axes else 0
            low, high = max(0, first - reach), min(end, last + reach)
            chunks = range(int(np.searchsorted(at, low, "right")) - 1, int(np.searchsorted(at, high, "left")))
            start = int(at[chunks.start])
            near.append(chunks)
            cut.append(slice(low - start, high - start))
            core.append(slice(first - low, last - low))
            if axis in self.axes:
                origin.append(low)
        return near, tuple(cut), tuple(core), tuple(origin)


def _nested(key: tuple[Any, ...], ranges: Sequence[range]) -> Any:
    """Keys of chunks as nested lists, as joining takes them."""
    if not ranges:
        return key
    return [_nested((*key, n), ranges[1:]) for n in ranges[0]]
