"""``nlmeans denoise`` into a store: begun or gone on with, in parts or on a cluster, and finished once."""

from __future__ import annotations

import os
import re
import shutil
import time
from dataclasses import dataclass, field
from typing import Any, cast

from nlmeans import __version__
from nlmeans.parameters import Settings

from ..environment import Environment, printable
from ..job import check
from ..options import FilterOptions, OutputOptions, in_units, limits_of
from ..outcome import Outcome, Report
from ..progress import Progress
from ..status import CommandError, ExistsError, ExitStatus, UnreadableError, UnwritableError, UsageError
from ..views.words import number, one_sigma
from . import cluster, ome, pyramid
from .job import Images, StoreJob, chosen_for, works_of
from .look import source_of
from .plan import Axes, Plan
from .record import Record
from .source import Source, forget, is_store, needed
from .target import Target
from .view import Companion

_COMPANIONS = ("mask", "guide", "sigma_map")
_NOT_HERE = (*("convert", "method_noise", "side_by_side", "format_name", "quality", "strip", "recursive"),)


def concerns(inputs: tuple[str, ...], output: str | None) -> bool:
    """Whether a store is read or written."""
    return any(is_store(name) for name in inputs) or bool(output and output.rstrip("/").endswith(".zarr"))


def check_absent(options: dict[str, Any]) -> None:
    """Refuse the options of stores where there is none."""
    for name in ("part", "block", "no_pyramid"):
        if options.get(name):
            raise UsageError(
                f"--{name.replace('_', '-')} is for stores: name one that is written, as in -o clean.zarr"
            )


@dataclass
class StoreRun:
    """One source, one store."""

    environment: Environment
    report: Report
    filter: FilterOptions
    output: OutputOptions
    given: dict[str, Any]  # all options of the command
    warnings: dict[str, None] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, environment: Environment, report: Report, options: dict[str, Any]) -> StoreRun:
        """From the options of the command."""
        return cls(environment, report, FilterOptions.of(options), OutputOptions.of(options), options)

    def run(self) -> ExitStatus:
        """Do it, and say what became of it."""
        name = self.given["inputs"][0]
        try:
            self._check()
            outcome = self._one(name, str(self.output.output))
        except Exception as error:
            self.report.failed(name, error, self.output.output)
        else:
            self.report.add(outcome)
        finally:
            forget()
        return self.report.exit_status()

    def _check(self) -> None:
        """Refuse what a store cannot do, before anything is read."""
        output = self.output.output or ""
        if len(self.given["inputs"]) > 1:
            raise UsageError("into a store goes one image: give one input")
        if not output.rstrip("/").endswith(".zarr"):
            raise UsageError("name the store that is written, as in -o clean.zarr")
        for name in _NOT_HERE:
            if self.given.get(name):
                option = "--" + name.removesuffix("_name").replace("_", "-")
                raise UsageError(f"{option} is not possible with a store")
        if self._part and self.given.get("scheduler"):
            raise UsageError("--part and --scheduler are two ways to share the work: give one of them")
        if self._part and self.output.overwrite:
            raise UsageError("--overwrite would remove what the other parts write: leave it out, or --part")
        needed("zarr")
        check(self.filter)
        if self.given.get("scheduler"):
            cluster.check(self.given["scheduler"])

    @property
    def _part(self) -> tuple[int, int] | None:
        """Which part of how many."""
        text = self.given.get("part")
        if text is None:
            return None
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        part, parts = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= part <= parts:
            raise UsageError(f"--part {text}: give which part of how many, as in 3/16")
        return part, parts

    def _one(self, name: str, output: str) -> Outcome:
        began = time.monotonic()
        images = self._images(name)
        _check_apart(output, name, *(c.source.path for c in images.companions))
        source, axes = images.source, images.axes
        settings = self._settings(images)
        asked = self._asked(images, settings)
        record = Record.read(output)
        if record and not self.output.overwrite:
            if record.complete and self.output.skip_existing:
                return Outcome(name, "skipped", output, message=f"{printable(output)} is complete, skipped")
            record.check(asked)
            if record.complete:
                raise ExistsError(f"{output} is complete; give --overwrite to make it anew")
        self._missing(images)
        if self.output.dry_run:
            return self._planned(name, output, images, settings)
        record = self._begun(output, record, asked, lambda: self._chosen(images, settings))
        target = Target(output, source, self._arrays(source), images.dtype)
        target.make(axes.grid)
        works = works_of(images, settings, self.filter.running, record.data["chosen"])
        plan = Plan.of(source.shape, target.unit(), axes, self.given.get("block"))
        job = StoreJob(images, target, plan, works)
        count = self._blocks(job)
        finished = self._finished(job, record)
        sigma = [one_sigma(c["parameters"].get("sigma")) for c in record.data["chosen"]]
        words = ", ".join(number(s) for s in sigma if s is not None)
        seconds = round(time.monotonic() - began, 3)
        state = "" if finished else ", not complete: other parts are missing"
        blocks = f"{count} of {len(plan)} blocks, {seconds:.1f} s{state}"
        return Outcome(
            name,
            "written",
            output,
            message=f"{printable(name)} -> {printable(output)}  sigma {words}, {blocks}",
            warnings=list(self.warnings),
            details={
                "format": "Zarr",
                "seconds": seconds,
                "blocks": len(plan),
                "done": count,
                "complete": finished,
                "chosen": [c["parameters"] for c in record.data["chosen"]],
            },
        )

    def _images(self, name: str) -> Images:
        """What is denoised, and what goes with it."""
        limits = limits_of(self.given)
        source = source_of(name, limits)
        self.warnings |= dict.fromkeys(source.warnings)
        shape = source.shape
        dtype = source.array().dtype.str if self.filter.dtype == "same" else self.filter.dtype
        axes = Axes.of(source.axes, len(shape), self.filter.channel_axis, self.filter.volume)
        given = ((option, getattr(self.filter, option)) for option in _COMPANIONS)
        beside = tuple(Companion.of(o, path, limits, source, axes) for o, path in given if path)
        return Images(source, axes, dtype, beside)

    def _arrays(self, source: Source) -> tuple[str, ...]:
        """The names of the resolutions that are written."""
        levels = 1 + (0 if self.given.get("no_pyramid") else len(pyramid.factors(source)))
        kept = source.kind == "zarr" or ome.fits(source)
        left = len(source.arrays) - (levels if kept else 1)
        if left and not self.given.get("no_pyramid"):
            what = "resolutions are" if left > 1 else "resolution is"
            self.warnings[f"{left} lower {what} left out"] = None
        if source.carried:
            self.warnings[f"Zarr output leaves out: {', '.join(source.carried)}"] = None
        return source.arrays[:levels] if kept else ("",)

    def _settings(self, images: Images) -> Settings:
        """The library's, in the units of the pixels."""
        settings: dict[str, Any] = dict(self.filter.settings)
        length = images.source.scale.volume
        if length and len(images.axes.grid) == 3 and settings.get("method") != "nlridge":
            of = dict(zip("zyx", length, strict=True))
            settings.setdefault("spacing", tuple(of[images.source.axes[a]] for a in images.axes.grid))
        for name in ("sigma", "guide_sigma"):
            level = in_units(getattr(self.filter, name), _dtype_of(images.dtype))
            if level is not None:
                settings[name] = level
        return cast(Settings, settings)

    def _asked(self, images: Images, settings: Settings) -> dict[str, Any]:
        """All that the result depends on, as JSON."""
        options = {name: value for name, value in settings.items() if value is not None}
        options |= {
            "dtype": images.dtype,
            "volume": self.filter.volume,
            "channel_axis": self.filter.channel_axis,
            "pyramid": not self.given.get("no_pyramid"),
        }
        beside: dict[str, Any] = dict.fromkeys(_COMPANIONS)
        beside |= {c.option: c.source.fingerprint() for c in images.companions}
        return {"version": __version__, "source": images.source.fingerprint(), **beside, "options": options}

    def _missing(self, images: Images) -> None:
        """A chunk that is not stored is legal, and read as the fill value: that is said."""
        named = {"its": images.source}
        named |= {f"the --{c.option.replace('_', '-')}'s": c.source for c in images.companions}
        for whose, source in named.items():
            missing, every = source.missing()
            if missing:
                fill = source.array().fill_value
                words = f"{missing} of {whose} {every} chunks are not stored; they are read as {fill}"
                self.warnings[words] = None

    def _begun(self, output: str, record: Record | None, asked: dict[str, Any], choose: Any) -> Record:
        """The record of the run that this one goes on with, or a new one."""
        if record and self.output.overwrite:
            shutil.rmtree(output, ignore_errors=True)
            os.unlink(record.path)
            record = None
        if record is None:
            if os.path.lexists(output):
                raise ExistsError(
                    f"{output} exists, and no {Record.beside(output)} says that this program made it: "
                    "name another output, or remove it"
                )
            record = Record.begin(output, asked, choose)
            record.check(asked)  # another part may have been quicker
        return record

    def _chosen(self, images: Images, settings: Settings) -> list[Any]:
        import warnings

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            chosen = chosen_for(images, settings, self.filter.running)
        self.warnings |= dict.fromkeys(" ".join(str(w.message).split()) for w in caught)
        return chosen

    def _planned(self, name: str, output: str, images: Images, settings: Settings) -> Outcome:
        """What would be done."""
        chosen = self._chosen(images, settings)
        parameters = [c["parameters"] for c in chosen]
        shape = " x ".join(map(str, images.source.shape))
        message = f"{printable(name)} -> {printable(output)}  {shape} {images.dtype}, {parameters[0]}"
        details = {"format": "Zarr", "chosen": parameters}
        return Outcome(
            name, "planned", output, message=message, warnings=list(self.warnings), details=details
        )

    def _blocks(self, job: StoreJob) -> int:
        """Do what is not there yet of this part; returns how many blocks that were."""
        part = self._part
        mine = range(len(job.plan)) if part is None else job.plan.part(*part)
        todo = [n for n in mine if not job.target.has(job.plan.region(n))]
        if len(todo) < len(mine):
            self.report.tell(f"{len(mine) - len(todo)} of {len(mine)} blocks are there already")
        done = 0
        with Progress(self.environment, shown=not self.report.options.quiet) as progress:
            progress.start(printable(self.given["inputs"][0]))
            pixels = 1.0
            for s in job.plan.shape:
                pixels *= s
            progress.size(pixels / 1e6 * len(todo) / max(1, len(job.plan)))

            def finished(number: int, warnings: list[str]) -> None:
                nonlocal done
                done += 1
                self.warnings |= dict.fromkeys(warnings)
                progress(done / len(todo))

            def failed(number: int, error: Exception) -> None:
                at = ", ".join(f"{s.start}:{s.stop}" for s in job.plan.region(number))
                self.failures.append(f"block {number} [{at}]: {_words(error)}")

            if self.given.get("scheduler") and todo:
                with cluster.client_of(self.given["scheduler"], self.report) as client:
                    cluster.run(client, job, todo, finished, failed, self.environment.check_stopped)
            else:
                for n in todo:
                    try:
                        finished(n, job(n))
                    except UnreadableError as error:
                        failed(n, error)
        if self.failures:
            raise CommandError(
                f"{len(self.failures)} of {len(todo)} blocks failed, the first: {self.failures[0]}; the "
                "store is not complete, and the same command goes on with what is missing"
            )
        return len(todo)

    def _finished(self, job: StoreJob, record: Record) -> bool:
        """Lower resolutions, names and the mark, once every block is there."""
        if not all(job.target.has(job.plan.region(n)) for n in range(len(job.plan))):
            return False
        for level, each in enumerate(
            pyramid.factors(job.images.source)[: len(job.target.arrays) - 1], start=1
        ):
            pyramid.make(job.target, level, each, job.images.axes)
        job.target.finish(
            {"version": __version__, "parameters": [c["parameters"] for c in record.data["chosen"]]}
        )
        record.finish()
        return True


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, CommandError) else f"{type(error).__name__}: {error}"


def _dtype_of(dtype: str) -> str:
    import numpy as np

    return np.dtype(dtype).str


def _check_apart(output: str, *names: str) -> None:
    """Refuse a store that is its own source, or lies in it, or the other way round."""
    target = os.path.realpath(output)
    for name in names:
        source = os.path.realpath(name)
        if source == target or source.startswith(target + os.sep) or target.startswith(source + os.sep):
            raise ExistsError(f"{output} and {name} are one, or one lies in the other; name another output")
    if os.path.exists(output) and not os.path.isdir(output):
        raise ExistsError(f"{output} is no store; name another output")
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise UnwritableError(f"the folder {folder} cannot be made: {error.strerror}") from None
