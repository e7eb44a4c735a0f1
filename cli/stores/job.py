"""What is done to one block, in whatever process: read it with its halo, filter, write whole shards."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, cast

from nlmeans.parameters import Settings

from ..formats.picture import Array
from .plan import Axes, Plan, each
from .source import Source
from .target import Target
from .view import Companion, Valid, View

Key = tuple[int, ...]  #: of images with settings of their own: an index along each axis of these
_MOST_IMAGES = 4  # of many that are looked at where something is to be chosen for all


@dataclass(frozen=True)
class Images:
    """All images of a source, with what goes with them."""

    source: Source
    axes: Axes
    dtype: str
    companions: tuple[Companion, ...] = ()

    def view(self, index: Mapping[int, int]) -> View:
        """One of them."""
        return View(self.source, self.axes, index, self.dtype)

    def beside(self, index: Mapping[int, int]) -> dict[str, Any]:
        """What goes with one of them, by the library's names, to be sliced."""
        found: dict[str, Any] = {c.setting: c.view(index) for c in self.companions}
        layout = self.view(index).layout
        if "mask" in found or layout.apart or layout.nodata is not None:
            found["mask"] = Valid(self.view(index), found.get("mask"))
        return found

    @property
    def keys(self) -> list[Key]:
        """The places, along the axes whose images have settings of their own, that have some."""
        return list(product(*(range(self.source.shape[a]) for a in self.axes.apart)))

    def key(self, index: Mapping[int, int]) -> Key:
        """The one of an image."""
        return tuple(index[a] for a in self.axes.apart)

    def settings(self, settings: Settings, index: Mapping[int, int]) -> Settings:
        """Those of one image: what goes with it, its channel axis, of a sigma for each channel its own."""
        own: dict[str, Any] = {**settings, **self.beside(index)}
        view, sigma, channels = self.view(index), own.get("sigma"), self.axes.channels
        if isinstance(sigma, tuple) and channels in self.axes.apart and index[channels] < len(sigma):
            own["sigma"] = sigma[index[channels]]
        if view.channel_axis is not None:
            own["channel_axis"] = view.channel_axis
        if view.color is not None and "guide" not in own:
            own.setdefault("color", view.color)
        return cast(Settings, own)

    def with_settings(self, settings: Settings, key: Key) -> list[tuple[View, Settings]]:
        """A few images of a key, and the settings of each."""
        return [(self.view(index), self.settings(settings, index)) for index in self.some(key)]

    def some(self, key: Key) -> list[Mapping[int, int]]:
        """A few images of a key, evenly spread over the other axes."""
        own = dict(zip(self.axes.apart, key, strict=True))
        every = [slice(own[a], own[a] + 1) if a in own else slice(0, n) for a, n in self._sizes]
        count = 1
        for a in self.axes.loops:
            count *= every[a].stop - every[a].start
        places = {count * (2 * n + 1) // (2 * _MOST_IMAGES) for n in range(_MOST_IMAGES)}
        return [index for n, index in enumerate(each(every, self.axes.loops)) if n in places]

    @property
    def _sizes(self) -> list[tuple[int, int]]:
        return list(enumerate(self.source.shape))


@dataclass(frozen=True)
class StoreJob:
    """A source, a target, and what lies between; it can be sent to other processes."""

    images: Images
    target: Target
    plan: Plan
    works: Mapping[Key, Any]  # a Work for every key

    def __call__(self, number: int) -> list[str]:
        """One block; returns what the library warned of.  What is there already stays."""
        import numpy as np

        region, axes = self.plan.region(number), self.images.axes
        if self.target.has(region):
            return []
        result = np.empty([s.stop - s.start for s in region], self.images.dtype)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for index in each(region, axes.loops):
                at = tuple(index[a] - s.start if a in index else slice(None) for a, s in enumerate(region))
                result[at] = self._image(index, region)
        self.target.write(region, result)
        return sorted({" ".join(str(w.message).split()) for w in caught})

    def _image(self, index: Mapping[int, int], region: Sequence[slice]) -> Array:
        """One image's part of a block."""
        from nlmeans.sampling import at

        axes, view = self.images.axes, self.images.view(index)
        work = self.works[self.images.key(index)]
        seen, inner = work.seen([region[a] for a in axes.grid])
        samples = view.samples(seen)
        split = view.split(samples)
        given = {c.setting: c.view(index) for c in self.images.companions}
        beside = {name: a[at(seen, work.beside[name], a.ndim)] for name, a in given.items()}
        if "mask" in work.beside:
            beside["mask"] = Valid.of(split.mask, beside.get("mask"), seen)
        clean = work(split.colour, tuple(s.start for s in seen), beside)
        return view.stored(samples[tuple(inner)], clean[tuple(inner)])


def chosen_for(images: Images, settings: Settings, running: dict[str, Any], *, tune: bool) -> list[Any]:
    """What is chosen for each key, as JSON: parameters, and what else was read off it."""
    from nlmeans.chunked.work import Work, sampled
    from nlmeans.judging.suggesting import tuned

    found = []
    for key in images.keys:
        every = images.with_settings(settings, key)
        work = Work.of(*every[0], *every[1:], backend=running.get("backend", "auto"))
        parameters, more = work.parameters, {}
        if tune:
            some, their = sampled(*every[0], *every[1:])
            as_it_is: Any = {**their, "repeats": 1}
            parameters, more["tuned"] = tuned(some, as_it_is)
            parameters = replace(parameters, repeats=None)
        found.append({"parameters": parameters.to_dict(), "known": work.known.to_json(), **more})
    return found


def explained(
    images: Images, settings: Settings, running: dict[str, Any], chosen: list[Any], *, tune: bool
) -> list[Any]:
    """What is known of the results, nlmeans.Info, for each key: of the regions that are looked at."""
    import nlmeans
    from nlmeans.chunked.work import sampled

    found = []
    for key, each_chosen in zip(images.keys, chosen, strict=True):
        every = images.with_settings(settings, key)
        some, their = sampled(*every[0], *every[1:])
        own = _settled(their, each_chosen) if tune else their  # else sigma is estimated, and how surely
        more: dict[str, Any] = {**running, "repeats": 1, "return_info": True}
        found.append(nlmeans.denoise(some, **{**own, **more})[1])
    return found


def works_of(
    images: Images, settings: Settings, running: dict[str, Any], chosen: list[Any]
) -> dict[Key, Any]:
    """The work for each key, from what was chosen: nothing is read."""
    from nlmeans.chunked.work import Known, Work

    works = {}
    for key, each_chosen in zip(images.keys, chosen, strict=True):
        index = images.some(key)[0]
        own = _settled(images.settings(settings, index), each_chosen)
        known = Known.from_json(each_chosen["known"])
        works[key] = Work.of(images.view(index), own, known=known, **running)
    return works


def _settled(settings: Settings, chosen: dict[str, Any]) -> Settings:
    """The settings once parameters are chosen."""
    from nlmeans import Parameters

    parameters = Parameters.from_dict(chosen["parameters"]).to_dict()
    own: dict[str, Any] = {**settings, "noise": None, **parameters}
    if parameters["method"] == "nlmeans" or parameters.get("sigma") is not None:
        own.pop("strength", None)  # what was chosen is as strong already; else it multiplies the map
    return cast(Settings, own)
