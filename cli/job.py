"""What is done to the pixels of a picture: the one place where the library is called to denoise."""

from __future__ import annotations

import contextlib
import warnings as python_warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

from nlmeans.errors import AxesWarning, NLMeansWarning, RoundingWarning, SlowBackendWarning
from nlmeans.parameters import BY_GROUPS, Settings, refuse_other_methods

from . import companions
from .formats.convert import converted
from .formats.grouping import groups
from .formats.limits import Limits
from .formats.metadata import orientation, upright
from .formats.picture import Array, Layout, Picture, data, page_of, valued
from .options import FilterOptions, Levels, in_units
from .outcome import in_options
from .progress import Part, Progress
from .status import UnreadableError, UsageError

# settings that are right or wrong for an image only
_OF_AN_IMAGE = ("nan", "impulses", "color", "passes", "strength", "spacing", "noise", "repeats")
_NO_NOISE = 1e-3  # sigma of integers: rounding to them alone makes 0.29
_LARGE_PATCH = 10  # radius; twice the largest of the table in nlmeans/choosing.py


@dataclass(frozen=True)
class Split:
    """Pixels as the library takes them: all that is data, apart from transparency."""

    colour: Array  # (..., H, W) or (..., H, W, channels), or a bare array
    mask: Array | None  # False where a pixel is fully transparent, or declared to have no value
    channel_axis: int | None
    color: str | None = None  # how channels are filtered, unless the file says that they are grey or RGB

    @classmethod
    def of(cls, samples: Array, layout: Layout, channel_axis: int | None) -> Split:
        """Take a page, or a stack of them, apart."""
        if layout.colours == 0:
            return cls(samples, None, channel_axis, None if channel_axis is None else "joint")
        colour = data(samples, layout)
        mask = None
        if layout.apart:
            mask = samples[..., layout.apart[0]] != 0
        if layout.nodata is not None:
            known = valued(colour, layout)
            known = known if len(layout.data) == 1 else known.all(axis=-1)
            mask = known if mask is None else mask & known
        if mask is not None and mask.all():
            mask = None
        channels = len(layout.data)
        color = "separate" if channels > layout.colours else None  # RGB: as the library chooses
        return cls(colour, mask, -1 if channels > 1 else None, color)


def merged(samples: Array, colour: Array, layout: Layout) -> Array:
    """The samples with new colours; transparency as it was, and no pixel without value that had one."""
    import numpy as np

    if layout.colours == 0:
        return colour
    if layout.nodata is not None:
        colour = np.where(valued(colour, layout), colour, data(samples, layout))
    if layout.samples == 1:
        return colour
    result = samples.copy()
    places = layout.data
    result[..., places[0] if len(places) == 1 else list(places)] = colour
    return result


@dataclass(frozen=True)
class Result:
    """One page before and after."""

    layout: Layout
    noisy: Array
    clean: Array
    parameters: Any  # nlmeans.Parameters
    pictures: tuple[Any, ...] = ()  # those of each picture along --axis of a bare array
    info: Any = None  # nlmeans.Info, where it is asked for
    impulses: int | None = None  # pixels that were replaced, where that is asked for
    tuned: float | None = None  # times the strength of the table, where it is tuned
    uncertainty: Array | None = None  # standard error of each pixel, where that is asked for


@dataclass(frozen=True)
class Denoised:
    """Colours without noise, by which parameters, and of `Result` what comes with them."""

    colour: Array
    parameters: Any
    info: Any = None
    impulses: int | None = None
    tuned: float | None = None


@dataclass
class Job:
    """The filter that the options describe, for any number of pictures."""

    options: FilterOptions
    guide: Array | None = None
    mask: Array | None = None
    sigma_map: Array | None = None
    warnings: list[str] = field(default_factory=list)  # the library's, since they were last taken
    turns: dict[str, int] = field(default_factory=dict)  # orientations of what goes with the pictures
    told_slow: bool = False  # whether this run has said that it is slow, and why

    @classmethod
    def of(cls, options: FilterOptions, limits: Limits, piped: BinaryIO) -> Job:
        """Check the options against each other and read the files that they name."""
        check(options)
        job = cls(options, warnings=_doubts(options))
        job.guide, job.turns["guide"] = companions.read("guide", options.guide, limits, piped)
        job.sigma_map, job.turns["sigma-map"] = companions.read("sigma-map", options.sigma_map, limits, piped)
        job.mask, job.turns["mask"] = companions.read_mask(options.mask, limits, piped)
        return job

    def with_options(self, options: FilterOptions) -> Job:
        """The same with other options, checked, and with the files that were read for it."""
        check(options)
        sigma_map = self.sigma_map if options.sigma_map else None
        return replace(self, options=options, sigma_map=sigma_map, warnings=[])

    def of_part(self, region: tuple[slice, slice]) -> Job:
        """This job for a part of a page: with that part of all that goes with the page."""
        beside = {name: getattr(self, name) for name in ("mask", "guide", "sigma_map")}
        parts = {name: a[region] for name, a in beside.items() if a is not None}
        return replace(self, **parts, warnings=self.warnings)

    def taken(self, picture: Picture) -> Picture:
        """The picture in a type that the filter takes, once it is sure that what goes with it fits."""
        for option, companion in (("mask", self.mask), ("guide", self.guide), ("sigma-map", self.sigma_map)):
            turn = self.turns.get(option, 1)
            self.warnings += companions.check_place(option, companion, turn, picture)
        return converted(picture, self.options.convert)

    def upright_page(self, picture: Picture, number: int) -> tuple[Job, Layout, Array]:
        """One page as it is shown, and this job for it: with all that goes with the page turned alike."""
        taken = self.taken(picture)
        self.warnings += taken.warnings[len(picture.warnings) :]
        layout, samples = page_of(taken, number)
        turn = orientation(picture, number - 1)
        if turn == 1:
            return self, layout, samples
        beside = {name: getattr(self, name) for name in ("mask", "guide", "sigma_map")}
        turned = {name: upright(a, turn) for name, a in beside.items() if a is not None}
        samples = upright(samples, turn)
        return replace(self, **turned), replace(layout, shape=samples.shape), samples

    def results(self, picture: Picture, progress: Progress) -> Iterator[Result]:
        """Every page before and after, in order."""
        together = self.groups(picture)
        chosen = self._chosen_once(picture, together)
        found: dict[int, Result] = {}
        done = 0
        for n, pages in enumerate(together):
            part = progress.part(n / len(together), 1 / len(together))
            found |= dict(zip(pages, self._group(picture, pages, part, chosen), strict=True))
            while done in found:
                yield found.pop(done)
                done += 1

    def _batch(self, split: Split, layout: Layout) -> Any:
        """The pictures along an axis of a bare array, and the settings of each."""
        from nlmeans.choosing.batches import Batch

        return Batch.of(split.colour, self.options.axis, self.settings_for(split, layout))

    def first_of(self, split: Split, layout: Layout) -> Split:
        """The first of the pictures of a bare array, where it has some along an axis."""
        if not isinstance(self.options.axis, int):
            return split
        batch = self._batch(split, layout)
        return replace(split, colour=batch.pictures[0], channel_axis=batch.settings[0].get("channel_axis"))

    def groups(self, picture: Picture) -> list[list[int]]:
        """The pages of each picture or volume that is denoised by itself."""
        return groups(picture, volume=self.options.volume, axis=self.options.axis)

    def _group(self, picture: Picture, pages: list[int], part: Part, chosen: Any) -> Iterator[Result]:
        """The results of one page, or of the planes of one volume."""
        samples, layout = self._stacked(picture, pages)
        split = Split.of(samples, layout, self.options.channel_axis if len(pages) == 1 else None)
        if isinstance(self.options.axis, int):
            yield self._along_axis(samples, split, layout, part)
            return
        settings = self.settings_for(split, layout)
        done = self._denoised(split.colour, settings, layout, part, chosen)
        clean, replaced = merged(samples, done.colour, layout), done.impulses
        error = self._uncertainty(split.colour, _with_chosen(settings, done.parameters))
        more: dict[str, Any] = {"info": done.info, "impulses": replaced, "tuned": done.tuned}
        one = Result(layout, samples, clean, done.parameters, **more, uncertainty=error)
        if len(pages) == 1:
            yield one
            return
        for z, (before, after) in enumerate(zip(samples, clean, strict=True)):
            own = None if error is None else error[z]
            yield replace(one, noisy=before, clean=after, uncertainty=own, impulses=replaced)
            replaced = 0 if replaced else replaced  # they are told of once

    def _stacked(self, picture: Picture, pages: list[int]) -> tuple[Array, Layout]:
        """The samples of one page, or of several along a new first axis."""
        import numpy as np

        layout = picture.pages[pages[0]]
        if any(picture.pages[page] != layout for page in pages):
            raise UnreadableError("its pages differ in size or type, so they are no volume")
        if len(pages) > 1:
            layout = replace(layout, spacing=picture.spacing)
        samples = [picture.decode(page) for page in pages]
        return self._in_type(np.stack(samples) if len(pages) > 1 else samples[0], layout), layout

    def _chosen_once(self, picture: Picture, together: list[list[int]]) -> Any:
        """The parameters that all pictures of a file share, where they are to; None: each has its own."""
        import numpy as np

        import nlmeans

        if self.options.share is None or isinstance(self.options.axis, int):
            return None
        if self.options.tune:
            raise UsageError("--tune finds a strength for each picture, --share one for all: leave one out")
        layout = picture.pages[0]
        if layout.colours == 0 and len(together) == 1:
            raise UsageError("--share settings: name the axis of its pictures too, as in --axis 0")
        if any(picture.pages[page] != layout for pages in together for page in pages):
            raise UnreadableError("its pages differ in size or type, and cannot share settings")
        if len({len(pages) for pages in together}) > 1:
            raise UnreadableError("its volumes differ in their number of planes, and cannot share settings")
        stack = np.stack([self._stacked(picture, pages)[0] for pages in together])
        split = Split.of(stack, layout, None)
        settings = self.settings_for(split, layout)
        if layout.colours == 0 and self.options.channel_axis is not None:
            settings["channel_axis"] = self.options.channel_axis % (stack.ndim - 1) + 1
        with self.collecting_warnings():
            chosen = nlmeans.suggest(split.colour, batch_axis=0, share=self.options.share, **settings)
        return self._settled(chosen, layout)

    def _along_axis(self, samples: Array, split: Split, layout: Layout, progress: Part) -> Result:
        """Every picture along an axis of a bare array by itself."""
        import numpy as np

        if self.options.explain or self.options.tune or self.options.uncertainty:
            raise UsageError("--explain, --tune and --uncertainty are for one picture: leave out --axis")
        batch = self._batch(split, layout)
        with self.collecting_warnings():
            shared = self._settled(batch.chosen_once(), layout) if self.options.share else None
        found = []
        for n, (one, own) in enumerate(zip(batch.pictures, batch.settings, strict=True)):
            part = progress.part(n / len(batch.pictures), 1 / len(batch.pictures))
            found.append(self._denoised(one, own, layout, part, shared))
        counts = [done.impulses for done in found if done.impulses is not None]
        clean = np.stack([done.colour for done in found], axis=batch.axis)
        each = tuple(done.parameters for done in found)
        return Result(layout, samples, clean, each[0], each, impulses=sum(counts) if counts else None)

    def _in_type(self, samples: Array, layout: Layout) -> Array:
        """Samples in the type of the results, which the library returns in the type that it gets.

        Where integers count few things, rounding the results would lose most of what was won.
        """
        from nlmeans.choosing.doubts import FEW_STEPS

        if self.options.dtype != "same":
            return samples.astype(self.options.dtype)
        if samples.dtype.kind in "iu" and 0 < (steps := _range(samples, layout)) <= FEW_STEPS:
            self.warnings.append(
                f"its values differ by {steps} at most, and the results are rounded to whole numbers; "
                "--dtype float32, with a .tif or .npy output, keeps what is between them"
            )
        return samples

    def suggested(self, split: Split, layout: Layout) -> Any:
        """The parameters that this picture gets."""
        import nlmeans

        colour, settings = split.colour, self.settings_for(split, layout)
        with self.collecting_warnings():
            if isinstance(self.options.axis, int):
                batch = self._batch(split, layout)
                if self.options.share:
                    return self._settled(batch.chosen_once(), layout)
                colour, settings = batch.pictures[0], batch.settings[0]
            return self._settled(nlmeans.suggest(colour, **settings), layout)

    def weights(
        self, split: Split, layout: Layout, at: tuple[int, int], chosen: Any = None
    ) -> tuple[Array, Any]:
        """The normalised weights of one pixel, and the parameters used; of channels apart, the first's."""
        import nlmeans

        chosen = self.first_pass(chosen or self.suggested(split, layout))
        settings = self.with_chosen(split, layout, chosen)
        component = None
        if chosen.color == "separate" and split.channel_axis is not None:
            component, count = 0, split.colour.shape[split.channel_axis]
            self.warnings.append(
                f"each of the {count} channels has weights of its own: these are of the first"
            )
        with self.collecting_warnings():
            return nlmeans.weights(split.colour, at, component=component, **settings), chosen

    def first_pass(self, chosen: Any) -> Any:
        """The parameters of one pass: weights are shown of the first, which compares the picture itself."""
        return replace(chosen, passes=1, second=None, blend=0.0)

    def with_chosen(self, split: Split, layout: Layout, chosen: Any) -> Settings:
        """The library's keywords once parameters are chosen; a factor of the strength is in these."""
        return _with_chosen(self.settings_for(split, layout), chosen)

    def denoised(
        self, split: Split, layout: Layout, progress: Progress | Part, chosen: Any = None
    ) -> tuple[Array, Any]:
        """The colours without noise, and the parameters used: those that are `chosen` already, or its own."""
        settings = self.settings_for(split, layout)
        done = self._denoised(split.colour, settings, layout, progress, chosen)
        return done.colour, done.parameters

    def explained(
        self, split: Split, layout: Layout, progress: Progress | Part, chosen: Any = None
    ) -> tuple[Array, Any, Any]:
        """The same, and what is known of the result: nlmeans.Info."""
        settings = self.settings_for(split, layout)
        own = replace(self, options=replace(self.options, explain=True))  # with the same list of warnings
        done = own._denoised(split.colour, settings, layout, progress, chosen)
        return done.colour, done.parameters, done.info

    def _denoised(
        self, colour: Array, settings: Settings, layout: Layout, progress: Progress | Part, chosen: Any
    ) -> Denoised:
        """The same, with what is known of the result where that is asked for."""
        import nlmeans
        from nlmeans.judging.suggesting import tuned
        from nlmeans.noise.impulses import counted

        explain, known, found, times = self.options.explain, settings, chosen, None
        with self.collecting_warnings():
            if chosen is None and self.options.tune:
                found, times = tuned(colour, settings)
            elif chosen is None:
                found = nlmeans.suggest(colour, **settings)
        own = chosen or self._settled(found, layout)
        if chosen or not explain or times or own != found:
            known = _with_chosen(settings, own)  # else sigma is estimated, and its uncertainty told
        with self.collecting_warnings(), progress.environment.stopped_at_progress(), counted() as counts:
            running = {**self.options.running, "progress": progress}
            result = nlmeans.denoise(colour, **known, **running, return_info=explain)
        clean, info = result if explain else (result, None)
        replaced = sum(counts) if settings.get("impulses", "keep") != "keep" else None
        return Denoised(clean, own, info, replaced, times)

    def _uncertainty(self, colour: Array, settings: Settings) -> Array | None:
        """The standard error of each pixel, where that is asked for."""
        if not self.options.uncertainty:
            return None
        import nlmeans

        with self.collecting_warnings():
            return nlmeans.uncertainty(colour, **settings, **self.options.running)

    def _settled(self, chosen: Any, layout: Layout) -> Any:
        """The parameters, with no noise where what was estimated is the rounding of the estimate."""
        given = self.options.sigma is not None or self.sigma_map is not None
        if given or layout.kind == "f" or chosen.sigma is None:
            return chosen
        each = chosen.sigma if isinstance(chosen.sigma, tuple) else (chosen.sigma,)
        kept = tuple(s if s > _NO_NOISE else 0.0 for s in each)
        return chosen if kept == each else replace(chosen, sigma=kept if any(kept) else 0.0)

    def settings_for(self, split: Split, layout: Layout) -> Settings:
        """The library's keywords for one picture: levels in its units, its channels, its mask."""
        mask = self.mask
        if split.mask is not None:
            fits = mask is not None and mask.shape == split.mask.shape[-mask.ndim :]
            mask = split.mask & mask if fits else split.mask if mask is None else mask  # which is refused
        sigma = self.sigma_map if self.sigma_map is not None else self._in_units(self.options.sigma, layout)
        guide_sigma = self._in_units(self.options.guide_sigma, layout)
        self._doubt_per_cent(split, layout)
        more = {"sigma": sigma, "guide": self.guide, "guide_sigma": guide_sigma, "mask": mask}
        more["channel_axis"] = split.channel_axis
        if self.guide is None and "color" not in self.options.settings:  # a guide's weights serve all
            more["color"] = split.color
        if "spacing" not in self.options.settings and self.options.settings.get("method") not in BY_GROUPS:
            more["spacing"] = layout.spacing
        given = {name: value for name, value in more.items() if value is not None}
        return {**self.options.settings, **given}  # type: ignore[typeddict-item]

    def _doubt_per_cent(self, split: Split, layout: Layout) -> None:
        """Warn where per cent of full scale, which is 1 for floating point, hardly is what was meant."""
        import numpy as np

        levels = (self.options.sigma or ()) + (self.options.guide_sigma or ())
        if layout.kind == "f" and any(percent for _, percent in levels):
            used = np.abs(split.colour[np.isfinite(split.colour) & valued(split.colour, layout)])
            if used.size and (half := float(np.median(used))) > 1:
                self.warnings.append(
                    f"full scale of floating point is 1, and half of its values are beyond {half:.3g}: give "
                    "the noise level in the file's units"
                )

    @staticmethod
    def _in_units(level: Levels, layout: Layout) -> float | tuple[float, ...] | None:
        if layout.converted and any(percent for _, percent in level or ()):
            raise UsageError(
                f"no number of {layout.converted} is full light, so that % means nothing: give the noise "
                "level in the file's units"
            )
        return in_units(level, layout.dtype, layout.full_scale)

    def taken_warnings(self) -> list[str]:
        """What the library has warned of since this was last asked."""
        taken, self.warnings = list(dict.fromkeys(self.warnings)), []
        return taken

    @contextlib.contextmanager
    def collecting_warnings(self) -> Iterator[None]:
        """Keep the warnings that the library gives, with options in place of parameters."""
        with python_warnings.catch_warnings(record=True) as caught:
            python_warnings.simplefilter("always")
            yield
        for each in caught:
            if issubclass(each.category, AxesWarning) and (
                self.options.volume or self.options.axis is not None
            ):
                continue  # the options say what the axes are
            if issubclass(each.category, RoundingWarning):
                continue  # `_in_type` says it, with the option that helps
            if issubclass(each.category, SlowBackendWarning):
                if self.told_slow:
                    continue
                self.told_slow = True
            message = each.message
            text = in_options(message) if isinstance(message, NLMeansWarning) else str(message)
            self.warnings.append(" ".join(text.split()))


def _with_chosen(settings: Settings, chosen: Any) -> Settings:
    """The library's keywords once parameters are chosen, which hold a factor of the strength."""
    known: dict[str, Any] = {name: value for name, value in settings.items() if name != "noise"}
    if chosen.method == "nlmeans" or chosen.sigma is not None:  # else it multiplies the map
        known.pop("strength", None)
    known |= chosen.to_dict()
    return known  # type: ignore[return-value]


def _range(samples: Array, layout: Layout) -> int:
    """Between the smallest and the largest value that is one."""
    colour = data(samples, layout)
    if layout.nodata is not None:
        colour = colour[valued(colour, layout)]
    return int(colour.max()) - int(colour.min()) if colour.size else 0


def _doubts(options: FilterOptions) -> list[str]:
    """Settings that are possible and hardly meant."""
    radius = options.settings.get("patch_radius")
    largest = max(radius) if isinstance(radius, tuple) else radius
    if largest is None or largest <= _LARGE_PATCH:
        return []
    side = 2 * largest + 1
    return [
        f"--patch-radius {largest} compares patches of {side} x {side} pixels, of which hardly any is like "
        "another: 1 to 5 are usual"
    ]


def check(options: FilterOptions) -> None:
    """Refuse settings that are wrong for every picture, before any is opened."""
    import nlmeans

    if options.volume and options.axis is not None:
        raise UsageError(
            f"--axis {options.axis} makes volumes of the other pages by itself: leave out --volume"
        )
    if options.sigma_map and (options.sigma is not None or "h" in options.settings):
        raise UsageError("--sigma-map takes the place of --sigma, and h is then k times it: give --k alone")
    white = options.settings.get("noise", "gaussian") == "gaussian"
    if not white and (options.sigma is not None or options.sigma_map or "h" in options.settings):
        raise UsageError(
            "--sigma, --sigma-map and --h are levels of white noise, and --noise is another: leave one out; "
            "--strength and --k make the filter stronger or weaker"
        )
    if options.guide and options.settings.get("passes") == 2:
        raise UsageError("--guide takes the place of a first pass: leave out --passes 2, or the guide")
    if options.guide_sigma is not None and not options.guide:
        raise UsageError("--guide-sigma is the noise of a guide; give --guide too")
    given = {name: value for name, value in options.settings.items() if name not in _OF_AN_IMAGE}
    stand_in: dict[str, Any] = {"sigma": 1.0}
    if options.sigma is not None and len(options.sigma) > 1:
        stand_in["sigma"] = (1.0,) * len(options.sigma)
    if given.get("method") not in BY_GROUPS:
        stand_in |= {"patch_radius": 1, "search_radius": 1}
        if "h" not in given and "k" not in given:
            stand_in["k"] = 1.0
    try:
        if given.get("method") in BY_GROUPS:
            refuse_other_methods(options.settings)
        nlmeans.Parameters(**{**stand_in, **given})
    except nlmeans.NLMeansError as error:
        raise UsageError(in_options(error)) from error
    wanted = options.running.get("backend", "auto")
    if wanted != "auto":
        from nlmeans import backends

        reason = dict(backends.describe()).get(wanted)
        if reason is not None:
            raise nlmeans.BackendUnavailableError(f"the backend {wanted} cannot run here: {reason}")
