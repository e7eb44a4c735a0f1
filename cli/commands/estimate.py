"""``nlmeans estimate``: how noisy pictures are, and what ``denoise`` would do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..environment import Environment
from ..options import (
    OUTPUT,
    FilterOptions,
    MessageOptions,
    SectionedCommand,
    limit_options,
    limits_of,
    mask_option,
    message_options,
    option,
    parameter_options,
    picture_options,
)

if TYPE_CHECKING:
    from ..formats.limits import Limits
    from ..job import Job
    from ..outcome import Report

EPILOG = """\b
Examples:
  nlmeans estimate photo.png
  nlmeans estimate --json *.tif
"""


@click.command("estimate", cls=SectionedCommand, epilog=EPILOG, no_args_is_help=True)
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@option(OUTPUT, "-r", "--recursive", is_flag=True, help="Take the pictures in folders and the folders below.")
@parameter_options
@mask_option
@picture_options
@message_options
@limit_options
@click.pass_obj
def command(environment: Environment, /, **options: Any) -> int:
    """Tell how noisy pictures are, and what denoise would do to them.

    The noise level is the standard deviation of the noise in the file's own units.
    """
    from ..files import naming
    from ..job import Job
    from ..outcome import Report

    limits = limits_of(options)
    report = Report(environment, MessageOptions.of(options))
    job = Job.of(FilterOptions.of(options), limits, environment.binary_in)
    names = [name for _, name in naming.expand(options["inputs"], recursive=options["recursive"])]
    for name in names:
        try:
            _one(name, names, job, limits, report)
        except Exception as error:
            if isinstance(error, BrokenPipeError):
                raise
            report.failed(name, error)
    return report.exit_status()


def _one(name: str, names: list[str], job: Job, limits: Limits, report: Report) -> None:
    """Measure one file."""
    from ..formats.reading import opened
    from ..job import Split
    from ..outcome import Outcome
    from ..views.words import words

    facts = []
    with opened(name, limits, report.environment.binary_in) as picture:
        picture = job.taken(picture)
        for number, layout in enumerate(picture.pages):
            split = Split.of(picture.decode(number), layout, job.options.channel_axis)
            chosen = job.suggested(split, layout)
            facts.append({"shape": list(layout.shape), "dtype": layout.dtype, "parameters": chosen.to_dict()})
            if not report.options.as_json:
                page = f" page {number + 1}" if len(picture.pages) > 1 else ""
                *most, last = words(layout, chosen, split.colour).split("; ")
                report.facts(name, [*(f"{each};" for each in most), last], page=page, names=names)
        warnings = picture.warnings + job.taken_warnings()
    report.add(Outcome(name, "measured", warnings=warnings, details={"pages": facts}))
