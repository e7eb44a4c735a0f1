"""What is done to every part of an image that is not read as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

import numpy as np

from nlmeans.arrays import Array, on_device_of
from nlmeans.choosing import Chosen, choose, levels_of
from nlmeans.choosing.given import strengths
from nlmeans.choosing.modelled import with_model
from nlmeans.inputs import Part, check, warn_of_volume
from nlmeans.levels import Ends
from nlmeans.methods.composition import method_for
from nlmeans.noise.impulses import REACH, Rule, Rules, rules_of, without_impulses
from nlmeans.noise.stabilised import Stabilised, Stabiliser, is_modelled, stabiliser
from nlmeans.noise_models.model import NoiseModel
from nlmeans.parameters import BY_GROUPS, Parameters, Settings
from nlmeans.running import Progress, Running, in_tiles
from nlmeans.sampling import along_grid, check_sliced, sample


@dataclass(frozen=True)
class Known:
    """What was read off an image once, besides the settings, and all of its parts need."""

    ends: tuple[Ends | None, Ends | None] = (None, None)  # of the image, and of what is compared
    white: Stabiliser | None = None  # where its noise has a model
    impulses: Rules | None = None  # by what they are told, where they are replaced

    def to_json(self) -> dict[str, Any]:
        """In lists, numbers and words."""
        rules = self.impulses and [None if rule is None else asdict(rule) for rule in self.impulses]
        return {
            "ends": self.ends,
            "white": None if self.white is None else self.white.to_json(),
            "impulses": rules,
        }

    @classmethod
    def from_json(cls, read: Mapping[str, Any]) -> Known:
        """What :meth:`to_json` made."""
        white, rules = read["white"], read["impulses"]
        return cls(
            tuple(read["ends"]),
            None if white is None else Stabiliser.from_json(white),
            None if rules is None else tuple(None if r is None else Rule.from_json(r) for r in rules),
        )


@dataclass(frozen=True, eq=False)
class Work:
    """What was chosen for an image, and how its parts are worked on; it can be sent to other processes."""

    chosen: Chosen
    known: Known
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
        known: Known | None = None,
    ) -> Work:
        """Check, and choose what is not given; regions of the image are read unless all is given.

        What is chosen holds for `more` images of the same kind, whose regions are read too, each with the
        arrays that go with it.  With what is `known` by an earlier choice, and all settings, it is made again
        without reading anything.
        """
        Running.checked(workers, None, memory_limit)
        axes = check_sliced(image, settings)
        warn_of_volume(image, settings)
        beside = along_grid(image, settings)
        given = known is not None or says_all(image, settings)
        some, their = _stand_in(image, settings, beside) if given else sampled(image, settings, *more)
        white = known.white if known else stabiliser(some, their, stand_in=given)
        if white is not None:
            stable = white.of(some, their)
            some, their = stable.image, cast(Settings, stable.settings)
            if not white.transforms:
                settings, white = cast(Settings, {**settings, **_white(stable)}), None
        grid = tuple(image.shape[a] for a in axes)
        inputs = check(some, their, Part((0,) * len(grid), grid, (None, None)))
        rules = known.impulses if known else None
        if not given and their.get("impulses", "keep") != "keep":
            rules = rules_of(inputs)
            inputs = without_impulses(inputs, their, rules)
        ends = (None, None) if given else (inputs.value_ends, inputs.feature_ends)
        found = known or Known(ends, white, rules)
        if known:
            inputs = replace(
                inputs,
                value_ends=known.ends[0] or inputs.value_ends,
                feature_ends=known.ends[1] or inputs.feature_ends,
            )
        chosen = choose(inputs, their, maps="sigma" in beside or bool(white and white.reach))
        method = method_for(chosen, replace(inputs, grid=grid), backend)
        # an invalid pixel is filled from the box around it, so that what looks at it looks as much farther
        has_holes = settings.get("mask") is not None or settings.get("nan") == "keep"
        filled = tuple(max(r, 1) * has_holes for r in method.patch_radius)  # see levels.filled
        around = (white.reach if white else 0,) * 3
        impulses = (0, REACH, REACH) if rules else (0, 0, 0)
        reach = tuple(map(sum, zip(method.halo, filled, around, impulses, strict=True)))
        return cls(
            chosen,
            found,
            cast(Settings, {name: value for name, value in settings.items() if name not in beside}),
            beside,
            axes,
            grid,
            reach[3 - len(axes) :],
            backend,
            workers,
            memory_limit,
        )

    @property
    def parameters(self) -> Parameters:
        """As `suggest` gives them."""
        own, white = self.chosen.parameters, self.known.white
        return own if white is None else with_model(own, white.model, self.settings)

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
            if self.known.white is None:
                return self._filtered(part, origin, settings, progress)
            stable = self.known.white.of(part, settings)
            clean = self._filtered(stable.image, origin, cast(Settings, stable.settings), progress)
            return stable.restored(clean)

    def _filtered(
        self, part: Array, origin: tuple[int, ...], settings: Settings, progress: Progress | None
    ) -> Array:
        """The result for a part whose noise is white."""
        ends = self.known.ends
        inputs = check(part, settings, Part(origin, self.grid, ends))
        inputs = without_impulses(inputs, settings, self.known.impulses)
        chosen = self.chosen if ends[0] else replace(self.chosen, levels=levels_of(inputs))
        if chosen.noise.is_map:
            sigma = settings["sigma"].reshape(inputs.value.shape[1:])
            if chosen.parameters.method in BY_GROUPS:
                sigma = sigma * strengths(settings.get("strength", 1.0))[0]
            chosen = replace(chosen, noise=replace(chosen.noise, sigma=sigma))
        method = method_for(chosen, inputs, self.backend)
        running = Running.checked(self.workers, progress, self.memory_limit)
        nothing = inputs.value_ends is None or method.changes_nothing
        return inputs.restored(inputs.value.copy() if nothing else in_tiles(inputs, method, running))

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
            repr(self.known),
            settings,
            self.backend,
        )


def sampled(image: Any, settings: Settings, *more: tuple[Any, Settings]) -> tuple[Array, Settings]:
    """Regions of an image, and of more of the same kind, as one image, and the settings for it."""
    some, their = sample(image, settings)
    if not more:
        return some, their
    every = [(some, their), *(sample(*other) for other in more)]
    return _together(every, check_sliced(image, settings), along_grid(image, settings))


def _white(stable: Stabilised) -> dict[str, Any]:
    """The settings that say that the noise is white after all."""
    return {"noise": "gaussian", "sigma": stable.settings["sigma"]}


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
    if settings.get("impulses", "keep") != "keep":
        return False  # what is one is told by the noise, and by how many there are
    modelled = is_modelled(settings)
    if modelled and not _says_noise(settings["noise"]):
        return False
    if settings.get("method") in BY_GROUPS:
        return (given("sigma") or modelled) and (one_channel or (color is not None and color != "auto"))
    level = given("sigma", "guide_sigma") or modelled
    return radii and level and given("k", "h") and passes and (one_channel or colors)


def _says_noise(noise: object) -> bool:
    """Whether a model lacks nothing; under speckle the darkest value is of the image."""
    model = NoiseModel.of(noise)
    return model is not None and model.kind != "speckle" and not model.missing


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
