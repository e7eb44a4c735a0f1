"""What is asked of a run into a store: the image and what goes with it, the settings, what is written."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any, cast

from nlmeans import __version__
from nlmeans.parameters import BY_GROUPS, Settings

from ..environment import available_memory
from ..files import naming
from ..formats.limits import Limits
from ..job import check
from ..options import FilterOptions, OutputOptions, in_units, limits_of
from ..status import UsageError
from . import cluster, export, ome, pyramid
from .job import Images
from .look import page_bytes, source_of
from .plan import Axes
from .source import Source, is_store, needed
from .view import Companion

_STORE = ".zarr"
_COMPANIONS = ("mask", "guide", "sigma_map")
_NOT_HERE = (
    *("convert", "method_noise", "side_by_side", "format_name", "quality", "strip", "recursive"),
    "uncertainty",
)
_OF_BLOCKS = ("part", "block", "no_pyramid")
_IN_MEMORY = 4  # times the bytes of a page: before, after, and what is written; 2.4 measured, with 8 bits


def concerns(options: dict[str, Any]) -> bool:
    """Whether an image is done by blocks: into or from a store, or a file, by an option or by its size."""
    inputs, output = options["inputs"], (options["output"] or "").rstrip("/")
    if any(is_store(name) for name in inputs) or output.endswith(_STORE):
        return True
    if len(inputs) != 1 or not (output or inputs[0]).lower().endswith(export.ENDINGS):
        return False
    if any(_is_given(options, name) for name in _NOT_HERE):
        return False
    return any(options.get(name) for name in _OF_BLOCKS) or _too_large(inputs[0])


def check_absent(options: dict[str, Any]) -> None:
    """Refuse the options of stores where there is none."""
    for name in _OF_BLOCKS:
        if options.get(name):
            raise UsageError(
                f"--{name.replace('_', '-')} is for images that are done by blocks: name one output, a store "
                "or a TIFF file, as in -o clean.zarr"
            )


def _is_given(options: dict[str, Any], name: str) -> bool:
    return options.get(name) is not None and options[name] is not False  # an axis may be 0


def _too_large(path: str) -> bool:
    """Whether the pages of a TIFF or NPY file do not fit into memory, and blocks are possible."""
    free = available_memory()
    return free is not None and _IN_MEMORY * page_bytes(path) > free and bool(find_spec("zarr"))


@dataclass
class Request:
    """One source, one target, and the options of the command."""

    filter: FilterOptions
    output: OutputOptions
    given: dict[str, Any]  # all options
    warnings: dict[str, None] = field(default_factory=dict)

    @classmethod
    def of(cls, options: dict[str, Any]) -> Request:
        """From the options, once it is sure that they fit together."""
        made = cls(FilterOptions.of(options), OutputOptions.of(options), options)
        if made.output.output is None and not is_store(options["inputs"][0]):
            (task,) = naming.plan(options["inputs"], None, recursive=False, format_name=None)
            made.output = replace(made.output, output=task.output)
        made._check()
        return made

    @property
    def path(self) -> str:
        """Of what is made in the end."""
        return str(self.output.output).rstrip("/")

    @property
    def to_tiff(self) -> bool:
        """Whether that is a file."""
        return not self.path.endswith(_STORE)

    @property
    def store(self) -> str:
        """Of the store that is written, for a file until that is whole."""
        return self.path + _STORE if self.to_tiff else self.path

    @property
    def limits(self) -> Limits:
        """Held against headers."""
        return limits_of(self.given)

    def _check(self) -> None:
        """Refuse what a store cannot do, before anything is read."""
        if len(self.given["inputs"]) > 1:
            raise UsageError("by blocks one image is done: give one input")
        if self.to_tiff and not self.path.lower().endswith(export.ENDINGS):
            raise UsageError("name a store or a TIFF file that is written, as in -o clean.zarr")
        for name in _NOT_HERE:
            if _is_given(self.given, name):
                option = "--" + name.removesuffix("_name").replace("_", "-")
                raise UsageError(f"{option} is not possible with a store")
        if self.given.get("repeats") not in (None, 1, (1,)):
            raise UsageError("--repeats is not possible with a store")
        if self.part and self.given.get("scheduler"):
            raise UsageError("--part and --scheduler are two ways to share the work: give one of them")
        if self.part and self.output.overwrite:
            raise UsageError("--overwrite would remove what the other parts write: leave it out, or --part")
        needed("zarr")
        check(self.filter)
        if self.given.get("scheduler"):
            cluster.check(self.given["scheduler"])

    @property
    def part(self) -> tuple[int, int] | None:
        """Which part of how many."""
        text = self.given.get("part")
        if text is None:
            return None
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        part, parts = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= part <= parts:
            raise UsageError(f"--part {text}: give which part of how many, as in 3/16")
        return part, parts

    def images(self) -> Images:
        """What is denoised, and what goes with it."""
        source = source_of(os.path.abspath(self.given["inputs"][0]), self.limits)  # for workers elsewhere
        self.warnings |= dict.fromkeys(source.warnings)
        dtype = source.array().dtype.str if self.filter.dtype == "same" else self.filter.dtype
        of = self.filter
        axes = Axes.of(source.axes, len(source.shape), of.channel_axis, of.volume, of.axis, of.share)
        given = ((option, getattr(self.filter, option)) for option in _COMPANIONS)
        beside = tuple(Companion.of(o, path, self.limits, source, axes) for o, path in given if path)
        if self.to_tiff and len(axes.grid) < 2:
            raise UsageError("a TIFF file has rows and columns; name a store, as in -o clean.zarr")
        return Images(source, axes, dtype, beside)

    def arrays(self, source: Source) -> tuple[str, ...]:
        """The names of the resolutions that are written; what is left out is said."""
        possible, names = len(pyramid.factors(source)), tuple(map(str, range(len(source.arrays))))
        if self.to_tiff:
            possible = min(possible, export.levels_kept(source))
        elif source.kind == "zarr":
            names = source.arrays
        elif not ome.fits(source):
            possible, names = 0, ("",)
        if source.carried and not self.to_tiff:
            self.warnings[f"Zarr output leaves out: {', '.join(source.carried)}"] = None
        if self.given.get("no_pyramid"):
            return names[:1]
        left = len(source.arrays) - 1 - possible
        if left:
            what = "resolutions are" if left > 1 else "resolution is"
            self.warnings[f"{left} lower {what} left out"] = None
        return names[: 1 + possible]

    def settings(self, images: Images) -> Settings:
        """The library's, in the units of the pixels."""
        import numpy as np

        settings: dict[str, Any] = dict(self.filter.settings)
        length = images.source.scale.volume
        names = [images.source.axes[a] for a in images.axes.grid] if images.source.axes else []
        if length and sorted(names) == ["x", "y", "z"] and settings.get("method") not in BY_GROUPS:
            of = dict(zip("zyx", length, strict=True))
            settings.setdefault("spacing", tuple(of[name] for name in names))
        for name in ("sigma", "guide_sigma"):
            level = in_units(getattr(self.filter, name), np.dtype(images.dtype).str)
            if level is not None:
                settings[name] = level
        return cast(Settings, settings)

    def asked(self, images: Images, settings: Settings) -> dict[str, Any]:
        """All that the result depends on, as JSON."""
        options = {name: value for name, value in settings.items() if value is not None}
        options |= {
            "dtype": images.dtype,
            "volume": self.filter.volume,
            "channel_axis": self.filter.channel_axis,
            "axis": self.filter.axis,
            "share": self.filter.share,
            "tune": self.filter.tune,
            "pyramid": not self.given.get("no_pyramid"),
        }
        beside: dict[str, Any] = dict.fromkeys(_COMPANIONS)
        beside |= {c.option: c.source.fingerprint() for c in images.companions}
        return {"version": __version__, "source": images.source.fingerprint(), **beside, "options": options}

    def missing(self, images: Images) -> None:
        """A chunk that is not stored is legal, and read as the fill value: that is said."""
        named = {"its": images.source}
        named |= {f"the --{c.option.replace('_', '-')}'s": c.source for c in images.companions}
        for whose, source in named.items():
            missing, every = source.missing()
            if missing:
                fill = source.array().fill_value
                words = f"{missing} of {whose} {every} chunks are not stored; they are read as {fill}"
                self.warnings[words] = None
