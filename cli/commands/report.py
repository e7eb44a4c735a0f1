"""``nlmeans report``: a page to look at, in one file that loads nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..environment import Environment, printable
from ..files import naming, writing
from ..options import (
    MESSAGES,
    OUTPUT,
    FilterOptions,
    SectionedCommand,
    few_message_options,
    limit_options,
    limits_of,
    option,
    parameter_options,
    picture_options,
    running_options,
    temporal_option,
)
from ..status import UsageError

EPILOG = """\b
Examples:
  nlmeans report photo.png -o report.html
  nlmeans report clip.mp4                          writes clip.report.html
"""


@click.command("report", cls=SectionedCommand, epilog=EPILOG, no_args_is_help=True)
@click.argument("name", metavar="IMAGE|FILM")
@option(OUTPUT, "-o", "--output", metavar="FILE", help="Default: NAME.report.html beside the input.")
@click.option("--page", default=1, type=click.IntRange(1), metavar="N", help="Page of a TIFF file, from 1.")
@option(OUTPUT, "--overwrite", is_flag=True, help="Replace the page if it exists.")
@parameter_options
@picture_options
@temporal_option
@running_options
@limit_options
@option(MESSAGES, "-q", "--quiet", is_flag=True, help="Say nothing but warnings and errors.")
@few_message_options
@click.pass_obj
def command(environment: Environment, /, **options: Any) -> None:
    """Make a page to look at: before and after, what was removed, and why.

    One HTML file with a slider between before and after, the removed noise with its histogram and
    spectrum, the weights of the pixels that you click on, and other strengths.  Of a film the first, middle
    and last frame of its first scenes, at most four.
    """
    from ..film.container import is_film
    from ..formats.reading import opened
    from ..job import Job
    from ..outcome import Report
    from ..progress import Progress
    from ..slow import tell_if_slow
    from ..views.page_data import page

    limits = limits_of(options)
    job = Job.of(FilterOptions.of(options), limits, environment.binary_in)
    output = options["output"] or naming.beside(options["name"], ".report.html")
    if not output.lower().endswith((".html", ".htm")):
        raise UsageError(f"the output {printable(output)} must end in .html")
    target = Path(output)
    writing.check_target(target, overwrite=options["overwrite"])
    with Progress(environment, shown=not options["quiet"]) as progress:
        progress.start(printable(options["name"]))
        tell_if_slow(environment, job, progress)
        if is_film(options["name"], environment.binary_in):
            from ..film.page import film_page

            html, warnings = film_page(job, options["name"], environment, progress)
        else:
            with opened(options["name"], limits, environment.binary_in) as picture:
                html, warnings = page(job, picture, options["name"], options["page"], progress)
    naming.make_folder(target.parent)
    with writing.replacing(target, overwrite=options["overwrite"]) as file:
        file.write(html.encode())
    for warning in warnings:
        Report(environment).warn(f"{printable(options['name'])}: {warning}")
    if not options["quiet"]:
        print(f"{printable(output)}: open it in a browser", file=environment.err)
