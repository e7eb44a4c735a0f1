"""One picture of the page: decoded once, its parameters chosen once, its pieces denoised when asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from ..formats.limits import Limits
from ..formats.picture import Array, Layout, Picture, data
from ..formats.reading import opened
from ..job import Job, Split, merged
from ..views import page_data
from ..views import pictures as views
from ..views.page import png
from ..views.words import noise_words, words
from .wish import Wish
from .work import Watched

OVERVIEW = 1600  # pixels of the longer side of what lies under the pieces
_SEEN = 1 << 20  # samples at most of which the range that is shown is found
_KNOWN = 512  # pixels a side, which are denoised three times more: 0.15 s
_AROUND = 96  # pixels: more than NL-Ridge looks at from one, which looks farthest (85)
_CACHED = 8  # methods and noise levels whose parameters are kept


@dataclass
class Piece:
    """A part of the picture before and after."""

    region: tuple[slice, slice]
    wish: Wish
    noisy: Array
    clean: Array
    layout: Layout
    chosen: Any  # nlmeans.Parameters


@dataclass
class Opened:
    """A page of a picture, as it is shown."""

    name: str
    format_name: str
    job: Job
    layout: Layout
    samples: Array
    split: Split
    limits: tuple[float, float]  # what is shown black and white
    warnings: list[str]
    ends: Any = None  # of the values, as the library takes them
    bases: dict[Wish, Any] = field(default_factory=dict)
    notes: dict[Wish, list[str]] = field(default_factory=dict)  # warnings that came with them
    maps: dict[Wish, Any] = field(default_factory=dict)  # of sigma, where the library makes one
    whole: tuple[Wish, Array] | None = None  # the last result of all of it
    last: Piece | None = None

    @classmethod
    def of(cls, job: Job, name: str, page: int, limits: Limits, piped: Any) -> Opened:
        """Read it; the file is closed again."""
        with opened(name, limits, piped) as picture:
            own, layout, samples = job.upright_page(picture, page)
        return cls._of(own, layout, samples, name, picture)

    @classmethod
    def _of(cls, job: Job, layout: Layout, samples: Array, name: str, picture: Picture) -> Opened:
        import numpy as np

        from nlmeans.inputs import check

        split = Split.of(samples, layout, job.options.channel_axis)
        step = max(1, int(np.sqrt(samples.size / _SEEN)))
        range_ = views.shown_range(samples[::step, ::step], layout)
        warnings = [*picture.warnings, *job.taken_warnings()]
        if len(picture.pages) > 1:
            warnings.append(f"this is one of {len(picture.pages)} pages; Save denoises all of them")
        with job.collecting_warnings():
            inputs = check(split.colour, job.settings_for(split, layout))
        return cls(
            name,
            picture.format,
            job,
            layout,
            samples,
            split,
            range_,
            warnings,
            (inputs.value_ends, inputs.feature_ends),
        )

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.layout.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.layout.shape[1])

    def region(self, left: int, top: int, width: int, height: int) -> tuple[slice, slice]:
        """A part of it, cut at its edges."""
        rows = slice(min(top, self.height - 1), min(top + height, self.height))
        columns = slice(min(left, self.width - 1), min(left + width, self.width))
        return rows, columns

    # --- parameters ---

    def job_for(self, wish: Wish) -> Job:
        """The command line's job with the method and the noise level of a wish."""
        return self.job.with_options(wish.within(self.job.options, whole=False))

    def base(self, wish: Wish) -> Any:
        """The parameters that the picture gets at strength 1: estimated once."""
        key = wish.of_base
        if key not in self.bases:
            job = self.job_for(key)
            if len(self.bases) >= _CACHED:
                for kept in (self.bases, self.notes, self.maps):
                    kept.clear()
            chosen = job.suggested(self.split, self.layout)
            self.notes[key] = job.taken_warnings()
            if chosen.sigma is None and job.sigma_map is None:
                self.maps[key] = self._map(job)
            self.bases[key] = chosen
        return self.bases[key]

    def _map(self, job: Job) -> Array:
        """Sigma of each pixel, where the library finds that it depends on brightness."""
        from nlmeans.choosing import choose
        from nlmeans.inputs import check

        settings = job.settings_for(self.split, self.layout)
        with job.collecting_warnings():
            return choose(check(self.split.colour, settings), settings).noise.sigma[0]

    def chosen(self, wish: Wish) -> Any:
        """The parameters for a wish."""
        return wish.applied(self.base(wish))

    # --- pixels ---

    def piece(self, region: tuple[slice, slice], wish: Wish, tick: Callable[[float], None]) -> Piece:
        """A part of the picture, denoised as it is within the whole."""
        chosen = self.chosen(wish)
        noisy = self.samples[region]
        layout = replace(self.layout, shape=noisy.shape)
        if self.whole and self.whole[0] == wish:
            clean = self.whole[1][region]
        else:
            clean = merged(noisy, self._denoised(region, wish, chosen, tick), layout)
        self.last = Piece(region, wish, noisy, clean, layout, chosen)
        return self.last

    def _denoised(
        self, region: tuple[slice, slice], wish: Wish, chosen: Any, tick: Callable[[float], None]
    ) -> Array:
        from nlmeans.chunked.work import Known, Work

        job = self.job_for(wish)
        if chosen.noise is not None:
            return self._by_itself(region, job, chosen, tick)
        settings: dict[str, Any] = dict(job.with_chosen(self.split, self.layout, chosen))
        if (sigma := self.maps.get(wish.of_base)) is not None:
            settings["sigma"] = sigma
        running = {"workers": None, **job.options.running}
        with job.collecting_warnings():
            work = Work.of(self.split.colour, settings, known=Known(self.ends), **running)  # type: ignore[arg-type]
            seen, inner = work.seen(region)
            beside = {name: settings[name][tuple(seen)] for name in work.beside}
            origin = tuple(s.start for s in seen)
            part = work(self.split.colour[tuple(seen)], origin, beside, progress=tick)
        return part[tuple(inner)]

    def _by_itself(
        self, region: tuple[slice, slice], job: Job, chosen: Any, tick: Callable[[float], None]
    ) -> Array:
        """A part with what is around it, as a picture of its own: of noise that has another model."""
        wide = (slice(max(0, s.start - _AROUND), s.stop + _AROUND) for s in region)
        rows, columns = wide
        samples = self.samples[rows, columns]
        layout = replace(self.layout, shape=samples.shape)
        split = Split.of(samples, layout, job.options.channel_axis)
        progress = Watched(tick, lambda: False)
        colour, _ = job.of_part((rows, columns)).denoised(split, layout, progress, chosen)
        inner = tuple(
            slice(s.start - w.start, s.stop - w.start) for s, w in zip(region, (rows, columns), strict=True)
        )
        return colour[inner]

    def all_of(self, wish: Wish, progress: Any) -> None:
        """Denoise all of it, and keep the result."""
        job, chosen = self.job_for(wish), self.chosen(wish)
        if (sigma := self.maps.get(wish.of_base)) is not None:
            job.sigma_map = sigma
        colour, _ = job.denoised(self.split, self.layout, progress, chosen)
        self.whole = wish, merged(self.samples, colour, self.layout)

    # --- what the page shows ---

    def seen(self, samples: Array) -> Array:
        """Samples as they are shown."""
        return views.shown(samples, self.layout, self.limits)

    def removed(self, noisy: Array, clean: Array) -> Array:
        """What was removed, around mid-grey."""
        layout = replace(self.layout, shape=noisy.shape)
        return views.removed_view(views.seen(views.removed(noisy, clean, layout), layout))[0]

    def overview(self, side: str, wish: Wish) -> Array:
        """All of it, coarser where it is large: noisy, or as far as it is there, clean or removed."""
        step = max(1, -(-max(self.width, self.height) // OVERVIEW))
        if side == "noisy" or self.whole is None or self.whole[0] != wish:
            return coarser(self.seen(self.samples), step)
        if side == "clean":
            return coarser(self.seen(self.whole[1]), step)
        return coarser(self.removed(self.samples, self.whole[1]), step)

    def facts(self, piece: Piece) -> dict[str, Any]:
        """What is said of a piece beside its pictures."""
        chosen = piece.chosen
        return {
            "summary": words(self.layout, chosen, data(piece.noisy, piece.layout)),
            "sigma": noise_words(self.base(piece.wish).sigma).removeprefix("sigma "),
            "apart": chosen.color == "luminance",
            "warnings": self.notes.get(piece.wish.of_base, []),
            "table": page_data.table(chosen, self.layout, self.format_name),
        }

    def removal(self, piece: Piece, tick: Callable[[float], None]) -> dict[str, Any]:
        """What was removed from a piece, measured; what is known of the result is of its middle."""
        height, width = piece.layout.shape[:2]
        top, left, down, across = page_data.middle((height, width), (_KNOWN, _KNOWN))
        rows, columns = (
            slice(s.start + first, s.start + first + size)
            for s, first, size in zip(piece.region, (top, left), (down, across), strict=True)
        )
        samples = self.samples[rows, columns]
        layout = replace(self.layout, shape=samples.shape)
        job = self.job_for(piece.wish).of_part((rows, columns))
        if (sigma := self.maps.get(piece.wish.of_base)) is not None:
            job.sigma_map = sigma[rows, columns]
        split = Split.of(samples, layout, job.options.channel_axis)
        _, _, info = job.explained(split, layout, Watched(tick, lambda: False), piece.chosen)
        found, seen = page_data.removal(piece.noisy, piece.clean, piece.layout, piece.chosen, info)
        if piece.wish.sigma is None and job.options.sigma is None:
            told = found["removed"]
            whole = " (of the whole picture)"
            told["known"] = [line + whole * line.startswith("noise: gaussian") for line in told["known"]]
        return {**found, "images": {name: png(page, 1) for name, page in seen.items()}}

    def weights(self, piece: Piece, x: int, y: int) -> dict[str, Any]:
        """The weights of one pixel of a piece, as far as they lie in it."""
        job = self.job_for(piece.wish).of_part(piece.region)
        split = Split.of(piece.noisy, piece.layout, job.options.channel_axis)
        height, width = piece.layout.shape[:2]
        at = min(y, height - 1), min(x, width - 1)
        weights, _ = job.weights(split, piece.layout, at, piece.chosen)
        return page_data.marked_pixel(weights, at)


def coarser(page: Array, step: int) -> Array:
    """An 8-bit picture with so many pixels each way averaged to one, as a browser shows it smaller."""
    if step == 1:
        return page
    import numpy as np
    from PIL import Image

    return np.asarray(Image.fromarray(np.ascontiguousarray(page)).reduce(step))
