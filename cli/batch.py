"""Denoising many files: each is one outcome, and one that fails does not stop the others."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

from .environment import Environment, printable
from .files import naming, writing
from .files.sides import Sides
from .film.container import is_animated, is_film
from .formats.convert import in_type
from .formats.limits import Limits
from .formats.metadata import stripped
from .formats.picture import Array, Picture, Saving
from .formats.reading import FORMATS, opened, writer_of, written_as
from .job import Job, Result
from .options import MessageOptions, OutputOptions
from .outcome import Outcome, Report
from .progress import Progress
from .slow import tell_if_slow
from .status import ExistsError, ExitStatus, UsageError, status_of
from .stores import cluster
from .views.words import number, one_sigma, tuned_words


@dataclass
class Batch:
    """One run of ``nlmeans denoise``."""

    environment: Environment
    limits: Limits
    inputs: Sequence[str]
    options: OutputOptions
    report: Report
    job: Job
    scheduler: str | None = None  # of a Dask cluster
    swept: set[Path] = field(default_factory=set)
    written: set[tuple[int, int]] = field(default_factory=set)  # (device, inode) of this run's outputs
    renamed: dict[tuple[Path, Path], dict[str, str]] = field(default_factory=dict)  # by folders
    _planned_tasks: list[naming.Task] = field(default_factory=list)

    def run(self) -> ExitStatus:
        """Do all tasks."""
        began = time.monotonic()
        tasks = self._planned_tasks = self._tasks()
        if self.scheduler:
            self._on_cluster(self.scheduler, tasks)
            self.report.sum_up(time.monotonic() - began)
            return self.report.exit_status()
        with Progress(self.environment, shown=not self.report.options.quiet) as progress:
            for number, task in enumerate(tasks, 1):
                count = f"[{number}/{len(tasks)}] " if len(tasks) > 1 else ""
                progress.start(f"{count}{printable(task.input)}")
                if number == 1:
                    tell_if_slow(self.environment, self.job, progress)
                try:
                    outcome = self._one(task, progress)
                except Exception as error:
                    progress.clear()
                    if isinstance(error, BrokenPipeError):
                        raise
                    self.report.failed(task.input, error, task.output)
                    if status_of(error) is ExitStatus.UNAVAILABLE:
                        return ExitStatus.UNAVAILABLE  # it would be the same for every other file
                else:
                    progress.clear()
                    self.report.add(outcome)
        if len(tasks) > 1:
            self.report.sum_up(time.monotonic() - began)
        return self.report.exit_status()

    def only(self, task: naming.Task, progress: Progress) -> Outcome:
        """One file alone, with somebody's own progress; an error is raised."""
        self._planned_tasks = [task]
        return self._one(task, progress)

    def _on_cluster(self, scheduler: str, tasks: list[naming.Task]) -> None:
        """Every file as one task; outcomes come in the order in which they are done."""
        cluster.check(scheduler)
        if any("-" in (task.input, task.output) for task in tasks):
            raise UsageError("--scheduler takes files: standard input and output are not on a cluster")
        one = _OneFile(self.limits, self.options, self.job, self.report.options.show_traceback, os.getcwd())

        def failed(task: naming.Task, error: Exception) -> None:
            progress.clear()
            self.report.failed(task.input, error, task.output)

        def done(task: naming.Task, outcome: Outcome) -> None:
            progress.clear()
            self.report.add(outcome)
            progress(len(self.report.outcomes) / len(tasks))

        with (
            Progress(self.environment, shown=not self.report.options.quiet) as progress,
            cluster.client_of(scheduler, self.report) as client,
        ):
            progress.start(f"{len(tasks)} files")
            tick = self.environment.check_stopped
            cluster.run(client, one, tasks, done, failed, tick, most_killed=None)

    def _tasks(self) -> list[naming.Task]:
        """What is to be done, once it is sure that the options fit together."""
        if self.options.overwrite and self.options.skip_existing:
            raise UsageError("--overwrite and --skip-existing contradict each other")
        name = self.options.format_name
        tasks = naming.plan(
            self.inputs,
            self.options.output,
            recursive=self.options.recursive,
            format_name={f.lower(): f for f in FORMATS}[name] if name else None,
        )
        if not tasks:
            raise UsageError("there are no pictures in what was given")
        for option, side in (
            ("method_noise", self.options.method_noise),
            ("uncertainty", self.options.uncertainty),
            ("side_by_side", self.options.side_by_side),
        ):
            naming.check_side(side, option, tasks)
        if any(t.output == "-" for t in tasks) and not self.options.dry_run:
            if self.environment.out_closed:
                raise UsageError("standard output is closed; name a file with -o")
            if self.environment.is_terminal(self.environment.binary_out):
                raise UsageError("standard output is a terminal; redirect it to a file, or name one with -o")
            if self.report.options.as_json:
                raise UsageError(
                    "--json and a picture cannot both go to standard output; name a file with -o"
                )
        return tasks

    def _one(self, task: naming.Task, progress: Progress) -> Outcome:
        """Denoise one file."""
        began = time.monotonic()
        film = is_film(task.input, self.environment.binary_in)
        if film and task.open_ended:
            task = task.closed(naming.FILM)
        if not task.open_ended and (skipped := self._checked(task)):
            return skipped
        if film or task.format == naming.FILM:
            return self._film(task, progress, film)
        with opened(task.input, self.limits, self.environment.binary_in) as picture:
            if self.options.strip:
                picture = stripped(picture)
            if task.open_ended:
                task = task.closed(picture.format)
                if skipped := self._checked(task):
                    return skipped
            format_name = task.format or written_as(picture.format)
            picture = self.job.taken(picture)
            like = picture if self.job.options.dtype == "same" else in_type(picture, self.job.options.dtype)
            picture.warnings = like.warnings
            writer = writer_of(format_name, like.pages)
            sides = Sides.of(task, self.options, picture, format_name)
            progress.size(sum(page.pixels for page in picture.pages) / 1e6)
            if self.options.dry_run:
                return self._planned(task, format_name, picture)
            facts: list[dict[str, Any]] = []
            pages = self._pages(picture, progress, facts, sides)
            lost = self._written(task, writer, pages, like)
            sides.write(self._replacing)
            sides.write_record(task.input, facts, self._replacing)
            warnings = picture.warnings + self.job.taken_warnings() + lost + naming.left_beside(task)
        seconds = round(time.monotonic() - began, 3)
        details = {"format": format_name, "seconds": seconds, "pages": facts, **sides.outputs()}
        message = f"{printable(task.input)} -> {printable(task.output)}  {_summary(facts)}, {seconds:.1f} s"
        message += f"; {sides.note}" if sides.note else ""
        return Outcome(
            task.input, "written", task.output, message=message, warnings=warnings, details=details
        )

    def _film(self, task: naming.Task, progress: Progress, film: bool) -> Outcome:
        """Denoise a film, which becomes one."""
        from .film.run import FilmTask

        if not film:
            raise UsageError(f"{task.output} would be a film, and the input is a picture; name a picture")
        allowed = (naming.FILM, "", "PNG", "WebP") if is_animated(task.input) else (naming.FILM, "")
        if task.format not in allowed or (task.output == "-" and task.format):
            raise UsageError(f"{task.output} would be a picture; the input is a film: name .mp4 or .mkv")
        given = (self.job, self.options, self.environment, self._replacing)
        return FilmTask(task, progress, *given).run()

    def _checked(self, task: naming.Task) -> Outcome | None:
        """Refuse an output that is in the way; an outcome where it is to be skipped."""
        if task.output == "-":
            return None
        target = Path(task.output)
        naming.check_not_input(task, overwrite=self.options.overwrite)
        if self.options.skip_existing and target.exists():
            message = f"{printable(task.output)} exists, skipped"
            return Outcome(task.input, "skipped", task.output, message=message)
        remedy = "give --overwrite to replace it or --skip-existing to keep it"
        writing.check_target(target, overwrite=self.options.overwrite, remedy=remedy)
        return None

    def _planned(self, task: naming.Task, format_name: str, picture: Picture) -> Outcome:
        """What would be done, without doing it."""
        from .preview import preview

        plan = preview(self.job, picture)
        warnings = picture.warnings + self.job.taken_warnings()
        message = f"{printable(task.input)} -> {printable(task.output)}  {plan.words}"
        details = {"format": format_name, **plan.details}
        return Outcome(
            task.input, "planned", task.output, message=message, warnings=warnings, details=details
        )

    def _pages(
        self, picture: Picture, progress: Progress, facts: list[dict[str, Any]], sides: Sides
    ) -> Iterator[Array]:
        """Every page denoised, one at a time; its facts and the pictures beside it are collected."""
        said, explained = "", None  # of a volume all planes have the same
        for result in self.job.results(picture, progress):
            facts.append(facts_of(result))
            sides.add(result)
            chosen = f"{result.layout.words}: {result.parameters.to_json()}"
            if self.report.options.verbose and chosen != said:
                progress.clear()
                self.report.detail(chosen)
            if result.info is not None and result.info != explained:
                progress.clear()
                for line in result.info.words():
                    self.report.tell(f"  {line}")
            said, explained = chosen, result.info
            yield result.clean

    def _written(self, task: naming.Task, writer: Any, pages: Iterator[Array], picture: Picture) -> list[str]:
        """Store the pages; returns warnings."""
        name = "" if task.output == "-" else Path(task.output).name
        saving = Saving(self.options.quality, name=name, renamed=self._renamed(task))
        if task.output == "-":
            from io import BytesIO

            memory = BytesIO()  # a format may go back to fill in lengths, which a pipe cannot
            lost: list[str] = writer(memory, pages, picture, saving)
            self.environment.write_all(memory.getbuffer())
            return lost
        with self._replacing(Path(task.output)) as file:
            lost = writer(file, pages, picture, saving)
        return lost

    def _renamed(self, task: naming.Task) -> dict[str, str]:
        """What the files beside this input are called beside its output."""
        if not self.renamed:
            for each in (task for task in self._planned_tasks if task.output != "-"):
                self.renamed.setdefault(_folders(each), {})[Path(each.input).name] = Path(each.output).name
        return self.renamed.get(_folders(task), {})

    def _replacing(self, target: Path) -> Any:
        """A new file in place of the target; never in place of what this run has written."""
        if target.parent not in self.swept:
            naming.make_folder(target.parent)
            writing.sweep(target.parent)
            self.swept.add(target.parent)
        if target.exists() and writing.identity(target) in self.written:
            raise ExistsError(f"{target} was written by this run already, from another input")
        return writing.replacing(target, overwrite=self.options.overwrite, remember=self.written.add)


@dataclass(frozen=True)
class _OneFile:
    """What a worker of a cluster does: one file, with the same safe writing."""

    limits: Limits
    options: OutputOptions
    job: Job
    show_traceback: bool
    folder: str  # that names are meant in, whatever the worker's is

    def __call__(self, task: naming.Task) -> Outcome:
        """The outcome, also of a file that failed: it costs no other."""
        environment = Environment(StringIO(), StringIO(), BytesIO(), BytesIO())
        report = Report(environment, MessageOptions(quiet=True, show_traceback=self.show_traceback))
        there = replace(task, input=self._there(task.input), output=self._there(task.output))
        sides = ("method_noise", "uncertainty", "side_by_side")
        named: dict[str, Any] = {n: self._there(path) for n in sides if (path := getattr(self.options, n))}
        options = replace(self.options, **named)
        batch = Batch(environment, self.limits, [there.input], options, report, self.job)
        try:
            return self._as_named(batch.only(there, Progress(environment, shown=False)), task)
        except Exception as error:
            report.failed(there.input, error, there.output)
            return self._as_named(report.outcomes[-1], task)

    def _there(self, path: str) -> str:
        return os.path.join(self.folder, path)

    def _as_named(self, outcome: Outcome, task: naming.Task) -> Outcome:
        """With the names that were given."""

        def named(text: str) -> str:
            return text if os.path.isabs(task.output) else text.replace(self._there(""), "")

        return replace(
            outcome,
            input=task.input,
            output=named(outcome.output or "") or None,
            message=named(outcome.message),
            warnings=[named(text) for text in outcome.warnings],
            details={n: named(v) if isinstance(v, str) else v for n, v in outcome.details.items()},
        )


def _folders(task: naming.Task) -> tuple[Path, Path]:
    """Of the input and of the output."""
    return Path(task.input).parent, Path(task.output).parent


def facts_of(result: Result) -> dict[str, Any]:
    """The facts about one page, for the JSON line."""
    facts = {
        "shape": list(result.layout.shape),
        "dtype": result.layout.dtype,
        "parameters": result.parameters.to_dict(),
    }
    more = {
        "pictures": [p.to_dict() for p in result.pictures] or None,
        "impulses": result.impulses,
        "tuned": result.tuned,
        "info": None if result.info is None else result.info.to_dict(),
    }
    return facts | {name: value for name, value in more.items() if value is not None}


def _summary(facts: list[dict[str, Any]]) -> str:
    """The chosen noise level of one page, or the range of several."""
    replaced = sum(f.get("impulses", 0) for f in facts)
    found = f"{replaced} impulses replaced" if any("impulses" in f for f in facts) else ""
    tuned = tuned_words([f["tuned"] for f in facts if "tuned" in f])
    return ", ".join(filter(None, (_noise_found(facts), tuned, found)))


def _noise_found(facts: list[dict[str, Any]]) -> str:
    each = [known for f in facts for known in f.get("pictures", [f["parameters"]])]
    levels = [one_sigma(known.get("sigma")) for known in each]
    what = "pages" if len(facts) > 1 else "pictures"
    plain = [s for s in levels if s is not None]
    if not plain:
        return f"{len(each)} {what}" if len(each) > 1 else "done"
    if len(each) == 1:
        return f"sigma {number(plain[0])}"
    words = list(dict.fromkeys((number(min(plain)), number(max(plain)))))
    return f"{len(each)} {what}, sigma {' to '.join(words)}"
