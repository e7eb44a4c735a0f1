"""What is done to one block, in whatever process: read it with its halo, filter, write whole shards."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from nlmeans.parameters import Settings

from ..formats.picture import Array
from .plan import Axes, Plan, each
from .source import Source
from .target import Target

_MOST_IMAGES = 4  # of many that are looked at where something is to be chosen for all


@dataclass(frozen=True)
class View:
    """One image of a source, to be sliced: an index along each of its other axes."""

    source: Source
    axes: Axes
    index: Mapping[int, int]
    dtype: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """Without the other axes."""
        return tuple(n for a, n in enumerate(self.source.array().shape) if a not in self.index)

    @property
    def ndim(self) -> int:
        """Axes of the image."""
        return len(self.shape)

    def __getitem__(self, region: Sequence[slice]) -> Array:
        rest = iter(region)
        shape = self.source.array().shape
        full = tuple(self.index[a] if a in self.index else next(rest) for a in range(len(shape)))
        return self.source.read(full).astype(self.dtype, copy=False)

    @property
    def channel_axis(self) -> int | None:
        """Of the image."""
        if self.axes.channel is None:
            return None
        return self.axes.channel - sum(a < self.axes.channel for a in self.index)


@dataclass(frozen=True)
class StoreJob:
    """A source, a target, and what lies between; it can be sent to other processes."""

    source: Source
    target: Target
    axes: Axes
    plan: Plan
    works: Mapping[int, Any]  # a Work for every index of the axis that has its own; -1 where there is none
    dtype: str

    def __call__(self, number: int) -> list[str]:
        """One block; returns what the library warned of.  What is there already stays."""
        import numpy as np

        region = self.plan.region(number)
        if self.target.has(region):
            return []
        result = np.empty([s.stop - s.start for s in region], self.dtype)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for index in each(region, self.axes.loops):
                at = tuple(index[a] - s.start if a in index else slice(None) for a, s in enumerate(region))
                result[at] = self._image(index, region)
        self.target.write(region, result)
        return sorted({" ".join(str(w.message).split()) for w in caught})

    def _image(self, index: Mapping[int, int], region: Sequence[slice]) -> Array:
        """One image's part of a block."""
        from nlmeans.sampling import at

        view = View(self.source, self.axes, index, self.dtype)
        work = self.works[-1 if self.axes.apart is None else index[self.axes.apart]]
        seen, inner = work.seen([region[a] for a in self.axes.grid])
        pixels = view[at(seen, work.axes, view.ndim)]
        return work(pixels, tuple(s.start for s in seen), {})[at(inner, work.axes, view.ndim)]


def chosen_for(
    source: Source, axes: Axes, dtype: str, settings: Settings, running: dict[str, Any]
) -> list[Any]:
    """What is chosen for each index that has its own, as JSON: parameters, and the ends that were seen."""
    from nlmeans.chunked.work import Work

    found = []
    for key in _keys(source, axes):
        first, *more = _some_images(source, axes, dtype, key)
        work = Work.of(first, _own(settings, first, key), *more, backend=running.get("backend", "auto"))
        found.append({"parameters": work.chosen.parameters.to_dict(), "ends": work.ends[0]})
    return found


def works_of(
    source: Source, axes: Axes, dtype: str, settings: Settings, running: dict[str, Any], chosen: list[Any]
) -> dict[int, Any]:
    """The work for each index that has its own, from what was chosen: nothing is read."""
    from nlmeans import Parameters
    from nlmeans.chunked.work import Work

    works = {}
    for key, each_chosen in zip(_keys(source, axes), chosen, strict=True):
        view = _some_images(source, axes, dtype, key)[0]
        parameters = Parameters.from_dict(each_chosen["parameters"]).to_dict()
        own = {**_own(settings, view, key), **parameters}
        own.pop("strength", None)  # what was chosen is as strong already
        works[key] = Work.of(view, cast(Settings, own), seen=each_chosen["ends"], **running)
    return works


def _keys(source: Source, axes: Axes) -> list[int]:
    return [-1] if axes.apart is None else list(range(source.array().shape[axes.apart]))


def _own(settings: Settings, view: View, key: int) -> Settings:
    """Settings of one image: its channel axis, and of a sigma for each channel its own."""
    own: dict[str, Any] = dict(settings)
    sigma = own.get("sigma")
    if isinstance(sigma, tuple) and 0 <= key < len(sigma):
        own["sigma"] = sigma[key]
    if view.channel_axis is not None:
        own["channel_axis"] = view.channel_axis
    return cast(Settings, own)


def _some_images(source: Source, axes: Axes, dtype: str, key: int) -> list[View]:
    """A few images, evenly spread over the axes that are not theirs."""
    shape = source.array().shape
    every = [slice(key, key + 1) if a == axes.apart else slice(0, n) for a, n in enumerate(shape)]
    count = 1
    for a in axes.loops:
        count *= every[a].stop - every[a].start
    places = {count * (2 * n + 1) // (2 * _MOST_IMAGES) for n in range(_MOST_IMAGES)}
    chosen = [index for n, index in enumerate(each(every, axes.loops)) if n in places]
    return [View(source, axes, index, dtype) for index in chosen]
