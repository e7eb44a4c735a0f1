"""What is written beside a result: the removed noise, before and after side by side, the record of a scan."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from ..environment import printable
from ..formats.metadata import orientation, upright
from ..formats.picture import Array, Layout, Picture, Saving
from ..formats.reading import writer_of
from ..job import Result
from ..options import OutputOptions
from ..status import UsageError
from ..views import pictures as views
from . import naming, writing

_SIGNED = ("TIFF", "NPY")  # formats that can hold the removed noise itself


@dataclass
class Sides:
    """What is asked for beside one result."""

    method_noise: naming.Task | None = None
    side_by_side: naming.Task | None = None
    uncertainty: naming.Task | None = None
    differences: list[Array] = field(default_factory=list)
    layouts: list[Layout] = field(default_factory=list)  # of the pages that they are of
    errors: list[Array] = field(default_factory=list)
    first: Result | None = None
    note: str = ""  # how to read what was written
    turn: int = 1  # the orientation: what is to be looked at is turned upright
    record: Path | None = None  # JSON beside a scan, as BIDS has it: how it was made

    @classmethod
    def of(cls, task: naming.Task, options: OutputOptions, picture: Picture, format_name: str) -> Sides:
        """The sides that the options name, refused here if they cannot be made."""
        sides = cls(
            naming.side(options.method_noise, task),
            naming.side(options.side_by_side, task),
            naming.side(options.uncertainty, task),
        )
        if format_name == "NIfTI" and task.output != "-":
            sides.record = Path(naming.beside(task.output, ".json"))
            writing.check_target(sides.record, overwrite=options.overwrite)
        sides.turn = orientation(picture)
        for side in (sides.method_noise, sides.side_by_side, sides.uncertainty):
            if side:
                writing.check_target(Path(side.output), overwrite=options.overwrite)
        if (
            (sides.method_noise or sides.side_by_side)
            and picture.pages[0].colours == 0
            and len(picture.pages[0].shape) != 2
        ):
            raise UsageError(
                "--method-noise and --side-by-side need pictures, this is a bare array with other axes"
            )
        if sides.method_noise and sides.method_noise.format not in _SIGNED and len(picture.pages) > 1:
            raise UsageError("--method-noise of several pages needs a .tif output")
        if sides.uncertainty and sides.uncertainty.format not in _SIGNED:
            raise UsageError("--uncertainty is in the units of the picture: name a .tif or .npy file")
        return sides

    def add(self, result: Result) -> None:
        """Take note of one page."""
        if self.method_noise:
            self.differences.append(views.removed(result.noisy, result.clean, result.layout))
            self.layouts.append(result.layout)
        if self.uncertainty and result.uncertainty is not None:
            self.errors.append(result.uncertainty)
        if self.side_by_side and self.first is None:
            self.first = result

    def write(self, replacing: Callable[[Path], AbstractContextManager[BinaryIO]]) -> None:
        """Write what was asked for."""
        if self.side_by_side and self.first is not None:
            first = self.first
            noisy, clean = (upright(samples, self.turn) for samples in (first.noisy, first.clean))
            page = views.side_by_side(noisy, clean, first.layout)
            _write(self.side_by_side.format, [page], replacing(Path(self.side_by_side.output)))
        if self.method_noise:
            pages = self.differences
            if self.method_noise.format not in _SIGNED:
                page, gain = views.removed_view(views.seen(pages[0], self.layouts[0]))
                self.note = (
                    f"{printable(self.method_noise.output)}: mid-grey is zero, "
                    f"{gain:.3g} grey levels are one unit"
                )
                pages = [upright(page, self.turn)]
            _write(self.method_noise.format, pages, replacing(Path(self.method_noise.output)))
        if self.uncertainty:
            _write(self.uncertainty.format, self.errors, replacing(Path(self.uncertainty.output)))

    def write_record(
        self, source: str, pages: Sequence[Any], replacing: Callable[[Path], AbstractContextManager[BinaryIO]]
    ) -> None:
        """Write how a scan was made: the version, and the parameters of each of its volumes."""
        from nlmeans import __version__

        if self.record is None:
            return
        facts = {
            "Sources": [Path(source).name],
            "GeneratedBy": [{"Name": "nlmeans", "Version": __version__}],
            "Volumes": list(pages),
        }
        with replacing(self.record) as file:
            file.write(json.dumps(facts, indent=2).encode() + b"\n")

    def outputs(self) -> dict[str, str]:
        """For the outcome: where the sides are."""
        names = ("method_noise", "side_by_side", "uncertainty")
        named = {name: getattr(self, name) for name in names}
        found = {name: task.output for name, task in named.items() if task}
        return found | ({"record": str(self.record)} if self.record else {})


def save_page(target: Path, format_name: str, page: Array, *, overwrite: bool) -> None:
    """Write one page into a file of its own, and the folder it lies in."""
    naming.make_folder(target.parent)
    _write(format_name, [page], writing.replacing(target, overwrite=overwrite))


def _write(format_name: str, pages: list[Array], replacing: AbstractContextManager[BinaryIO]) -> None:
    layouts = [_layout(p) for p in pages]
    writer = writer_of(format_name, layouts)
    with replacing as file:
        writer(file, iter(pages), Picture("", layouts, lambda n: pages[n]), Saving())


def _layout(page: Array) -> Layout:
    """Grey, RGB, or another number of channels."""
    samples = page.shape[2] if page.ndim == 3 else 1
    colours = 3 if samples == 3 else 1
    return Layout(page.shape, page.dtype.str, colours, extra=samples - colours)
