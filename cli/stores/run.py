"""``nlmeans denoise`` by blocks: begun or gone on with, in parts or on a cluster, and finished once."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nlmeans import __version__
from nlmeans.parameters import Settings

from ..environment import Environment, printable
from ..files import writing
from ..outcome import Outcome, Report
from ..progress import Progress
from ..status import CommandError, ExistsError, ExitStatus, UnreadableError, UnwritableError
from ..views.words import number, one_sigma, tuned_words
from . import cluster, export, pyramid
from .job import Images, StoreJob, chosen_for, explained, works_of
from .plan import Plan
from .record import Record
from .request import Request
from .source import forget
from .target import Target


@dataclass
class StoreRun:
    """One source, one target."""

    environment: Environment
    report: Report
    options: dict[str, Any]  # of the command
    failures: list[str] = field(default_factory=list)

    def run(self) -> ExitStatus:
        """Do it, and say what became of it."""
        name = self.options["inputs"][0]
        try:
            self.request = Request.of(self.options)
            outcome = self._one(name)
        except Exception as error:
            self.report.failed(name, error, self.options["output"])
        else:
            self.report.add(outcome)
        finally:
            forget()
        return self.report.exit_status()

    def _one(self, name: str) -> Outcome:
        began = time.monotonic()
        request, output = self.request, self.request.path
        images = request.images()
        _check_apart(request.store, name, *(c.source.path for c in images.companions))
        settings = request.settings(images)
        asked = request.asked(images, settings)
        record = Record.read(request.store)
        if skipped := self._checked(name, record, asked):
            return skipped
        request.missing(images)
        arrays = request.arrays(images.source)
        if request.output.dry_run:
            return self._planned(name, images, settings)
        record = self._begun(record, asked, lambda: self._chosen(images, settings))
        target = Target(os.path.abspath(request.store), images.source, arrays, images.dtype)
        target.make(images.axes.grid)
        works = works_of(images, settings, request.filter.running, record.data["chosen"])
        plan = Plan.of(images.source.shape, target.unit(), images.axes, self.options.get("block"))
        job = StoreJob(images, target, plan, works)
        infos = self._explained(images, settings, record)
        count = self._blocks(job)
        finished = self._finished(job, record)
        sigma = [one_sigma(c["parameters"].get("sigma")) for c in record.data["chosen"]]
        words = ", ".join(number(s) for s in sigma if s is not None)
        words = f"sigma {words}" if words else ""
        times = [c["tuned"] for c in record.data["chosen"] if "tuned" in c]
        seconds = round(time.monotonic() - began, 3)
        state = "" if finished else ", not complete: other parts are missing"
        blocks = f"{count} of {len(plan)} blocks, {seconds:.1f} s{state}"
        words = ", ".join(filter(None, (words, tuned_words(times), blocks)))
        return Outcome(
            name,
            "written",
            output,
            message=f"{printable(name)} -> {printable(output)}  {words}",
            warnings=list(request.warnings),
            details={
                "format": self._format,
                "seconds": seconds,
                "blocks": len(plan),
                "done": count,
                "complete": finished,
                "chosen": [c["parameters"] for c in record.data["chosen"]],
                **({"tuned": times} if times else {}),
                **({"info": infos} if infos else {}),
            },
        )

    @property
    def _format(self) -> str:
        return "TIFF" if self.request.to_tiff else "Zarr"

    def _checked(self, name: str, record: Record | None, asked: dict[str, Any]) -> Outcome | None:
        """Refuse an output that is in the way; an outcome where it is to be skipped."""
        request, output = self.request, self.request.path
        if request.to_tiff:
            if request.output.skip_existing and os.path.exists(output):
                return Outcome(name, "skipped", output, message=f"{printable(output)} exists, skipped")
            if os.path.exists(output) and os.path.exists(name) and os.path.samefile(output, name):
                raise ExistsError(f"{output} is the input itself; name another output")
            writing.check_target(Path(output), overwrite=request.output.overwrite)
            if record and not request.output.overwrite:
                record.check(asked)
        elif record and not request.output.overwrite:
            if record.complete and request.output.skip_existing:
                return Outcome(name, "skipped", output, message=f"{printable(output)} is complete, skipped")
            record.check(asked)
            if record.complete:
                raise ExistsError(f"{output} is complete; give --overwrite to make it anew")
        return None

    def _begun(self, record: Record | None, asked: dict[str, Any], choose: Any) -> Record:
        """The record of the run that this one goes on with, or a new one."""
        store = self.request.store
        if record and self.request.output.overwrite and not (self.request.to_tiff and record.fits(asked)):
            shutil.rmtree(store, ignore_errors=True)
            os.unlink(record.path)
            record = None
        if record is None:
            if os.path.lexists(store):
                raise ExistsError(
                    f"{store} exists, and no {Record.beside(store)} says that this program made it: "
                    "name another output, or remove it"
                )
            record = Record.begin(store, asked, choose)
            record.check(asked)  # another part may have been quicker
        return record

    def _chosen(self, images: Images, settings: Settings) -> list[Any]:
        import warnings

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            own = self.request.filter
            chosen = chosen_for(images, settings, own.running, tune=own.tune)
        self.request.warnings |= dict.fromkeys(" ".join(str(w.message).split()) for w in caught)
        return chosen

    def _explained(self, images: Images, settings: Settings, record: Record) -> list[dict[str, Any]]:
        """Say what is known of the results, where that is asked for."""
        import warnings

        own = self.request.filter
        if not own.explain:
            return []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they were told when it was chosen
            infos = explained(images, settings, own.running, record.data["chosen"], tune=own.tune)
        for key, info in zip(images.keys, infos, strict=True):
            place = zip(images.axes.apart, key, strict=True)
            words = [f"{images.source.axes[a] if images.source.axes else 'place'} {n}" for a, n in place]
            if words:
                self.report.tell(f"{', '.join(words)}:")
            for line in info.words():
                self.report.tell(f"  {line}")
        return [info.to_dict() for info in infos]

    def _planned(self, name: str, images: Images, settings: Settings) -> Outcome:
        """What would be done."""
        chosen = self._chosen(images, settings)
        parameters = [c["parameters"] for c in chosen]
        shape, output = " x ".join(map(str, images.source.shape)), self.request.path
        message = f"{printable(name)} -> {printable(output)}  {shape} {images.dtype}, {parameters[0]}"
        details = {"format": self._format, "chosen": parameters}
        warnings = list(self.request.warnings)
        return Outcome(name, "planned", output, message=message, warnings=warnings, details=details)

    def _blocks(self, job: StoreJob) -> int:
        """Do what is not there yet of this part; returns how many blocks that were."""
        part = self.request.part
        mine = range(len(job.plan)) if part is None else job.plan.part(*part)
        todo = [n for n in mine if not job.target.has(job.plan.region(n))]
        if len(todo) < len(mine):
            self.report.tell(f"{len(mine) - len(todo)} of {len(mine)} blocks are there already")
        done = 0
        with Progress(self.environment, shown=not self.report.options.quiet) as progress:
            progress.start(printable(self.options["inputs"][0]))
            pixels = 1.0
            for s in job.plan.shape:
                pixels *= s
            progress.size(pixels / 1e6 * len(todo) / max(1, len(job.plan)))

            def finished(number: int, warnings: list[str]) -> None:
                nonlocal done
                done += 1
                self.request.warnings |= dict.fromkeys(warnings)
                progress(done / len(todo))

            def failed(number: int, error: Exception) -> None:
                at = ", ".join(f"{s.start}:{s.stop}" for s in job.plan.region(number))
                self.failures.append(f"block {number} [{at}]: {_words(error)}")

            if self.options.get("scheduler") and todo:
                with cluster.client_of(self.options["scheduler"], self.report) as client:
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
        """Lower resolutions, names and the mark, or the file, once every block is there."""
        if not all(job.target.has(job.plan.region(n)) for n in range(len(job.plan))):
            return False
        with record.alone() as alone:
            if not alone:
                return False  # another part finishes it
            for level, each in enumerate(pyramid.factors(job.images.source), start=1):
                if level < len(job.target.arrays):
                    pyramid.make(job.target, level, each, job.images.axes)
            if self.request.to_tiff:
                self._exported(job, record)
            else:
                chosen = [c["parameters"] for c in record.data["chosen"]]
                job.target.finish({"version": __version__, "parameters": chosen})
                record.finish()
        return True

    def _exported(self, job: StoreJob, record: Record) -> None:
        """The file, and nothing of the store that it was made of."""
        request = self.request
        self.report.tell(f"writing {printable(request.path)}")
        tick = self.environment.check_stopped
        output = Path(request.path), request.output.overwrite
        found = export.write(*output, job.images, job.target, request.limits, tick)
        request.warnings |= dict.fromkeys(found)
        shutil.rmtree(request.store, ignore_errors=True)
        os.unlink(record.path)


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, CommandError) else f"{type(error).__name__}: {error}"


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
