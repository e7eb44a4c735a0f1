"""What is done to every part of an image that is not read as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from nlmeans.arrays import Array, on_device_of
from nlmeans.choosing import Chosen, choose, levels_of
from nlmeans.choosing.given import strengths
from nlmeans.inputs import Part, check, warn_of_volume
from nlmeans.levels import Ends
from nlmeans.methods.composition import method_for
from nlmeans.parameters import BY_GROUPS, Settings
from nlmeans.running import Progress, Running, in_tiles
from nlmeans.sampling import along_grid, check_sliced, sample


@dataclass(frozen=True, eq=False)
class Work:
    """What was chosen for an image, and how its parts are worked on; it can be sent to other processes."""

    chosen: Chosen
    ends: tuple[Ends | None, Ends | None]  # of the image, and of what is compared, as far as they were seen
    settings: Settings  # without those in `beside`
    beside: dict[str, tuple[int, ...]]  # settings with a value for every pixel, and their axes of the grid
    axes: tuple[int, ...]  # of the image that are its grid
    grid: tuple[int, ...]
    halo: tuple[int, ...]  # along the grid
    backend: str
    workers: int | None
    memory_limit: int | None

    @classmethod
    def of(
        cls,
        image: Any,
        settings: Settings,
        *more: tuple[Any, Settings],
        backend: str = "auto",
        workers: int | None = 1,
        memory_limit: int | None = None,
        seen: tuple[Ends | None, Ends | None] | None = None,
    ) -> Work:
        """Check, and choose what is not given; regions of the image are read unless all is given.

        What is chosen holds for `more` images of the same kind, whose regions are read too, each with the
        arrays that go with it.  With `seen`, the ends of an earlier choice, and all settings it is made again
        without reading anything.
        """
        Running.checked(workers, None, memory_limit)
        axes = check_sliced(image, settings)
        warn_of_volume(image, settings)
        beside = along_grid(image, settings)
        given = says_all(image, settings)
        some, their = _stand_in(image, settings, beside) if given else sample(image, settings)
        if more and not given:
            some, their = _together([(some, their), *(sample(*other) for other in more)], axes, beside)
        grid = tuple(image.shape[a] for a in axes)
        inputs = check(some, their, Part((0,) * len(grid), grid, (None, None)))
        if given:
            known = seen or (None, None)
            inputs = replace(
                inputs,
                value_ends=known[0] or inputs.value_ends,
                feature_ends=known[1] or inputs.feature_ends,
            )
        chosen = choose(inputs, their, maps="sigma" in beside)
        method = method_for(chosen, replace(inputs, grid=grid), backend)
        # an invalid pixel is filled from the box around it, so that what looks at it looks as much farther
        has_holes = settings.get("mask") is not None or settings.get("nan") == "keep"
        reach = (h + r * has_holes for h, r in zip(method.halo, method.patch_radius, strict=True))
        return cls(
            chosen,
            known if given else (inputs.value_ends, inputs.feature_ends),
            cast(Settings, {name: value for name, value in settings.items() if name not in beside}),
            beside,
            axes,
            grid,
            tuple(reach)[3 - len(axes) :],
            backend,
            workers,
            memory_limit,
        )

    def __call__(
        self,
        part: Array,
        origin: tuple[int, ...],
        beside: Mapping[str, Array],
        progress: Progress | None = None,
    ) -> Array:
        """The result for a part of the image that begins at `origin`; right where its halo is in it too."""
        with on_device_of(part):
            settings = cast(Settings, {**self.settings, **beside})
            inputs = check(part, settings, Part(origin, self.grid, self.ends))
            chosen = self.chosen if self.ends[0] else replace(self.chosen, levels=levels_of(inputs))
            if chosen.noise.is_map:
                sigma = beside["sigma"].reshape(inputs.value.shape[1:])
                if chosen.parameters.method in BY_GROUPS:
                    sigma = sigma * strengths(settings.get("strength", 1.0))[0]
                chosen = replace(chosen, noise=replace(chosen.noise, sigma=sigma))
            method = method_for(chosen, inputs, self.backend)
            running = Running.checked(self.workers, progress, self.memory_limit)
            nothing = inputs.value_ends is None or method.changes_nothing
            result: Array = inputs.restored(
                inputs.value.copy() if nothing else in_tiles(inputs, method, running)
            )
            return result

    def seen(self, core: Sequence[slice]) -> tuple[list[slice], list[slice]]:
        """A region of the grid with its halo, and where the region lies in that."""
        seen = [
            slice(max(0, s.start - h), min(n, s.stop + h))
            for s, h, n in zip(core, self.halo, self.grid, strict=True)
        ]
        inner = [slice(s.start - a.start, s.stop - a.start) for s, a in zip(core, seen, strict=True)]
        return seen, inner

    def __dask_tokenize__(self) -> Any:
        """What decides the result, for the names of tasks."""
        noise = self.chosen.noise
        sigma = "a map" if noise.is_map else noise.sigma
        settings = sorted((name, repr(value)) for name, value in self.settings.items())
        parameters = self.chosen.parameters.to_json()
        return (
            parameters,
            sigma,
            repr(noise.correction),
            repr(self.chosen.levels),
            self.ends,
            settings,
            self.backend,
        )


def _together(
    every: Sequence[tuple[Array, Settings]], axes: Sequence[int], beside: Mapping[str, tuple[int, ...]]
) -> tuple[Array, Settings]:
    """Samples of several images as one, joined along the first axis of the grid."""
    settings: dict[str, Any] = dict(every[0][1])
    for name, own in beside.items():
        settings[name] = np.concatenate([each[name] for _, each in every], axis=own[0])  # type: ignore[literal-required]
    return np.concatenate([some for some, _ in every], axis=axes[0]), cast(Settings, settings)


def says_all(image: Any, settings: Settings) -> bool:
    """Whether the settings are complete, so that nothing of the image has to be seen."""

    def given(*names: str) -> bool:
        return any(settings.get(name) is not None for name in names)

    channel_axis, color = settings.get("channel_axis"), settings.get("color")
    one_channel = channel_axis is None or image.shape[channel_axis] == 1
    colors = (
        color in ("joint", "separate") or given("guide") or (color == "luminance" and given("differences"))
    )
    passes = settings.get("passes") in (None, 1) or given("second")
    radii = given("patch_radius") and given("search_radius")
    if settings.get("method") in BY_GROUPS:
        return given("sigma") and (one_channel or (color is not None and color != "auto"))
    return radii and given("sigma", "guide_sigma") and given("k", "h") and passes and (one_channel or colors)


def _stand_in(image: Any, settings: Settings, beside: dict[str, tuple[int, ...]]) -> tuple[Array, Settings]:
    """One pixel of the image's kind, for settings that need no more to be checked."""
    axes = check_sliced(image, settings)

    def pixel(array: Any, own: Sequence[int]) -> Array:
        shape = [1 if a in own else n for a, n in enumerate(array.shape)]
        kind = getattr(array, "_meta", None)
        return np.ones(shape, array.dtype) if kind is None else np.ones_like(kind, shape=shape)

    given: dict[str, Any] = dict(settings)
    others = {name: pixel(given[name], own) for name, own in beside.items()}
    return pixel(image, axes), cast(Settings, {**given, **others})
