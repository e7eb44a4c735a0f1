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
from ..options import FilterOptions, OutputOptions, in_units
from ..outcome import Outcome, Report
from ..progress import Progress
from ..status import CommandError, ExistsError, ExitStatus, UnreadableError, UnwritableError, UsageError
from ..views.words import number, one_sigma
from . import cluster, pyramid
from .job import StoreJob, chosen_for, works_of
from .plan import Axes, Plan
from .record import Record
from .source import Source, forget, is_store, needed
from .target import Target

_NOT_YET = ("sigma_map", "guide", "mask", "convert")
_NOT_HERE = ("method_noise", "side_by_side", "format_name", "quality", "strip", "recursive", "axis", "share")


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
        for name in (*_NOT_YET, *_NOT_HERE):
            if self.given.get(name) is not None and self.given.get(name) is not False:
                option = "--" + name.removesuffix("_name").replace("_", "-")
                raise UsageError(f"{option} is not possible with a store; the library takes Dask arrays")
        if self._part and self.given.get("scheduler"):
            raise UsageError("--part and --scheduler are two ways to share the work: give one of them")
        if self._part and self.output.overwrite:
            raise UsageError("--overwrite would remove what the other parts write: leave it out, or --part")
        needed("zarr")
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
        source = Source.of(name)
        _check_apart(name, output)
        array = source.array()
        dtype = array.dtype.str if self.filter.dtype == "same" else self.filter.dtype
        axes = Axes.of(source.axes, len(array.shape), self.filter.channel_axis, self.filter.volume)
        settings = self._settings(source, axes, dtype)
        asked = self._asked(source, settings, dtype)
        record = Record.read(output)
        if record and not self.output.overwrite:
            if record.complete and self.output.skip_existing:
                return Outcome(name, "skipped", output, message=f"{printable(output)} is complete, skipped")
            record.check(asked)
            if record.complete:
                raise ExistsError(f"{output} is complete; give --overwrite to make it anew")
        self._missing(source)
        if self.output.dry_run:
            return self._planned(name, output, source, axes, dtype, settings)
        record = self._begun(output, record, asked, lambda: self._chosen(source, axes, dtype, settings))
        levels = 1 + (0 if self.given.get("no_pyramid") else len(pyramid.factors(source)))
        target = Target(output, source, levels, dtype)
        target.make(axes.grid)
        works = works_of(source, axes, dtype, settings, self.filter.running, record.data["chosen"])
        plan = Plan.of(array.shape, target.unit(), axes, self.given.get("block"))
        job = StoreJob(source, target, axes, plan, works, dtype)
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

    def _settings(self, source: Source, axes: Axes, dtype: str) -> Settings:
        """The library's, in the units of the pixels."""
        settings: dict[str, Any] = dict(self.filter.settings)
        sigma = in_units(self.filter.sigma, _dtype_of(dtype))
        if sigma is not None:
            settings["sigma"] = sigma
        colours = source.axes and axes.channel is not None and source.axes[axes.channel] == "s"
        if axes.channel is not None and not colours:
            settings.setdefault("color", "joint")
        return cast(Settings, settings)

    def _asked(self, source: Source, settings: Settings, dtype: str) -> dict[str, Any]:
        """All that the result depends on, as JSON."""
        options = {name: value for name, value in settings.items() if value is not None}
        options |= {
            "dtype": dtype,
            "volume": self.filter.volume,
            "channel_axis": self.filter.channel_axis,
            "pyramid": not self.given.get("no_pyramid"),
        }
        return {"version": __version__, "source": source.fingerprint(), "options": options}

    def _missing(self, source: Source) -> None:
        """A chunk that is not stored is legal, and read as the fill value: that is said."""
        missing, every = source.missing()
        if missing:
            fill = source.array().fill_value
            self.warnings[f"{missing} of its {every} chunks are not stored; they are read as {fill}"] = None

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

    def _chosen(self, source: Source, axes: Axes, dtype: str, settings: Settings) -> list[Any]:
        import warnings

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            chosen = chosen_for(source, axes, dtype, settings, self.filter.running)
        self.warnings |= dict.fromkeys(" ".join(str(w.message).split()) for w in caught)
        return chosen

    def _planned(
        self, name: str, output: str, source: Source, axes: Axes, dtype: str, settings: Settings
    ) -> Outcome:
        """What would be done."""
        chosen = self._chosen(source, axes, dtype, settings)
        parameters = [c["parameters"] for c in chosen]
        shape = " x ".join(map(str, source.array().shape))
        message = f"{printable(name)} -> {printable(output)}  {shape} {dtype}, {parameters[0]}"
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
        for level, each in enumerate(pyramid.factors(job.source)[: job.target.levels - 1], start=1):
            pyramid.make(job.target, level, each, job.axes)
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


def _check_apart(name: str, output: str) -> None:
    """Refuse a store that is its own source, or lies in it, or the other way round."""
    source, target = os.path.realpath(name), os.path.realpath(output)
    for inner, outer in ((source, target), (target, source)):
        if inner == outer or inner.startswith(outer + os.sep):
            raise ExistsError(f"{output} is the input itself, or one lies in the other; name another output")
    if os.path.exists(output) and not os.path.isdir(output):
        raise ExistsError(f"{output} is no store; name another output")
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise UnwritableError(f"the folder {folder} cannot be made: {error.strerror}") from None
