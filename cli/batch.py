"""Denoising many files: each is one outcome, and one that fails does not stop the others."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import naming, writing
from .environment import Environment, printable
from .limits import Limits
from .metadata import stripped
from .picture import Array, Layout, Picture, Saving
from .pixels import Split, merged, settings_for
from .progress import Progress
from .reading import FORMATS, opened
from .report import Outcome, Report
from .status import UnwritableError, UsageError

PARAMETERS = ("sigma", "h", "k", "patch_radius", "search_radius", "patch", "center", "aggregate", "nan")
RUNNING = ("backend", "workers", "memory_limit")


@dataclass
class Batch:
    """One run of ``nlmeans denoise``."""

    environment: Environment
    limits: Limits
    options: dict[str, Any]
    report: Report
    swept: set[Path] = field(default_factory=set)

    @classmethod
    def of(cls, environment: Environment, limits: Limits, options: dict[str, Any]) -> Batch:
        """The batch that the options of the command say."""
        if options["overwrite"] and options["skip_existing"]:
            raise UsageError("--overwrite and --skip-existing contradict each other")
        report = Report(
            environment,
            json=options["as_json"],
            quiet=options["quiet"],
            verbose=options["verbose"],
            show_traceback=options["show_traceback"],
        )
        return cls(environment, limits, options, report)

    def run(self) -> int:
        """Do all tasks."""
        tasks = self._tasks()
        shown = not self.options["quiet"]
        with Progress(self.environment, shown=shown) as progress:
            for number, task in enumerate(tasks, 1):
                count = f"[{number}/{len(tasks)}] " if len(tasks) > 1 else ""
                progress.start(f"{count}{printable(task.input)}", 0.0)
                try:
                    outcome = self._one(task, progress)
                except Exception as error:
                    progress.clear()
                    if isinstance(error, BrokenPipeError):
                        raise
                    self.report.failed(task.input, error, task.output)
                else:
                    progress.clear()
                    self.report.add(outcome)
        return self.report.exit_status()

    def _tasks(self) -> list[naming.Task]:
        name = self.options["format_name"]
        by_lower = {f.lower(): f for f in FORMATS}
        tasks = naming.plan(
            self.options["inputs"],
            self.options["output"],
            recursive=self.options["recursive"],
            format_name=by_lower[name] if name else None,
        )
        if any(t.output == "-" for t in tasks):
            if self.environment.is_terminal(self.environment.binary_out):
                raise UsageError("standard output is a terminal; redirect it to a file, or name one with -o")
            if self.options["as_json"]:
                raise UsageError(
                    "--json and a picture cannot both go to standard output; name a file with -o"
                )
        if not tasks:
            raise UsageError("there are no pictures in what was given")
        return tasks

    def _one(self, task: naming.Task, progress: Progress) -> Outcome:
        """Denoise one file."""
        began = time.monotonic()
        if not task.open_ended and (skipped := self._checked(task)):
            return skipped
        with opened(task.input, self.limits, self.environment.binary_in) as picture:
            if self.options["strip"]:
                picture = stripped(picture)
            if task.open_ended:
                task = task.closed(picture.format)
                if skipped := self._checked(task):
                    return skipped
            format_name = task.format or picture.format
            writer = _writer(format_name, picture)
            facts: list[dict[str, Any]] = []
            pages = self._pages(picture, progress, facts)
            saving = Saving(quality=self.options["quality"])
            if task.output == "-":
                lost = self._to_pipe(writer, pages, picture, saving)
            else:
                target = Path(task.output)
                self._prepare_folder(target.parent)
                with writing.replacing(target, overwrite=self.options["overwrite"]) as file:
                    lost = writer(file, pages, picture, saving)
            warnings = picture.warnings + lost
        seconds = round(time.monotonic() - began, 3)
        details = {"format": format_name, "seconds": seconds, "pages": facts}
        message = f"{printable(task.input)} -> {printable(task.output)}  {_summary(facts)}, {seconds:.1f} s"
        return Outcome(
            task.input, "written", task.output, message=message, warnings=warnings, details=details
        )

    def _checked(self, task: naming.Task) -> Outcome | None:
        """Refuse an output that is in the way; an outcome where it is to be skipped."""
        if task.output == "-":
            return None
        target = Path(task.output)
        naming.check_not_input(task, overwrite=self.options["overwrite"])
        if self.options["skip_existing"] and target.exists():
            message = f"{printable(task.output)} exists, skipped"
            return Outcome(task.input, "skipped", task.output, message=message)
        writing.check_target(target, overwrite=self.options["overwrite"])
        return None

    def _pages(self, picture: Picture, progress: Progress, facts: list[dict[str, Any]]) -> Iterator[Array]:
        """Every page denoised, one at a time."""
        import nlmeans

        for number, layout in enumerate(picture.pages):
            page = picture.decode(number)
            split = Split.of(page, layout, self.options["channel_axis"])
            settings = settings_for(layout, split, {n: self.options[n] for n in PARAMETERS})
            chosen = nlmeans.suggest(split.colour, **settings)
            running = {n: self.options[n] for n in RUNNING if self.options[n] is not None}
            colour = nlmeans.denoise(
                split.colour, **{**settings, **chosen.to_dict()}, **running, progress=progress
            )
            facts.append(_facts(layout, chosen))
            yield merged(page, colour, layout)

    def _to_pipe(self, writer: Any, pages: Any, picture: Picture, saving: Saving) -> list[str]:
        from io import BytesIO

        memory = BytesIO()  # a format may go back to fill in lengths, which a pipe cannot
        lost: list[str] = writer(memory, pages, picture, saving)
        self.environment.binary_out.write(memory.getbuffer())
        self.environment.binary_out.flush()
        return lost

    def _prepare_folder(self, folder: Path) -> None:
        if folder not in self.swept:
            naming.make_folders([folder / "x"])
            writing.sweep(folder)
            self.swept.add(folder)


def _writer(format_name: str, picture: Picture) -> Any:
    """The function that writes a format, after it has been asked whether it can."""
    chosen = FORMATS[format_name]
    refuse = chosen.function("refusal")
    for layout in picture.pages:
        reason = refuse(format_name, layout, len(picture.pages))
        if reason:
            raise UnwritableError(reason)
    return chosen.function(chosen.writer)


def _facts(layout: Layout, chosen: Any) -> dict[str, Any]:
    return {"shape": list(layout.shape), "dtype": layout.dtype, "parameters": chosen.to_dict()}


def _summary(facts: list[dict[str, Any]]) -> str:
    """The chosen noise level of one page, or the range of several."""
    levels = [f["parameters"].get("sigma") for f in facts]
    plain = [s for s in levels if isinstance(s, float)]
    if not plain:
        return f"{len(facts)} pages" if len(facts) > 1 else "done"
    if len(facts) == 1:
        return f"sigma {plain[0]:.3g}"
    return f"{len(facts)} pages, sigma {min(plain):.3g} to {max(plain):.3g}"
