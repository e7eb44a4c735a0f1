"""``nlmeans weights``: the weights of one pixel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..environment import Environment, printable
from ..files import naming, writing
from ..formats.picture import Array
from ..options import (
    OUTPUT,
    FilterOptions,
    SectionedCommand,
    few_message_options,
    limit_options,
    limits_of,
    option,
    parameter_options,
    picture_options,
    position,
)
from ..status import UsageError

EPILOG = """\b
Examples:
  nlmeans weights photo.png --at 120,80
  nlmeans weights photo.png --at 120,80 -o weights.npy
"""


@click.command("weights", cls=SectionedCommand, epilog=EPILOG, no_args_is_help=True)
@click.argument("name", metavar="IMAGE")
@click.option("--at", required=True, metavar="X,Y", help="The pixel: column and row, from 0.")
@click.option("--page", default=1, type=click.IntRange(1), metavar="N", help="Page of a TIFF file, from 1.")
@option(
    OUTPUT,
    "-o",
    "--output",
    metavar="FILE",
    help="Default: NAME.weights.png. The numbers as .npy or .tif.",
)
@option(OUTPUT, "--overwrite", is_flag=True, help="Replace the output if it exists.")
@parameter_options
@picture_options
@limit_options
@few_message_options
@click.pass_obj
def command(environment: Environment, /, **options: Any) -> None:
    """Show the weights of one pixel: how much each other counts in its average.

    The picture shows the surroundings of the pixel, which is framed, and beside them the weight of
    each: the largest is white, none is black. The weights sum to 1. Of two passes they are the first's, of
    colours the brightness's. A picture that its camera marked as turned is taken upright: --at counts in it
    as it is shown, the numbers lie as it is shown.
    """
    from ..files.sides import save_page
    from ..formats.reading import opened
    from ..job import Job, Split
    from ..outcome import Report
    from ..views.pictures import pixel_weights, shown, shown_range

    limits = limits_of(options)
    x, y = position(options["at"])
    job = Job.of(FilterOptions.of(options), limits, environment.binary_in)
    task = naming.Task(
        options["name"], options["output"] or naming.beside(options["name"], ".weights.png"), ""
    )
    task = naming.Task(task.input, task.output, naming.format_by_name(task.output))
    naming.check_not_input(task, overwrite=False)
    target = Path(task.output)
    writing.check_target(target, overwrite=options["overwrite"])
    with opened(options["name"], limits, environment.binary_in) as picture:
        job, layout, samples = job.upright_page(picture, options["page"])
        if not (0 <= x < layout.shape[1] and 0 <= y < layout.shape[0]):
            raise UsageError(f"--at {x},{y} lies outside of the picture, which is {layout.words}")
        split = Split.of(samples, layout, job.options.channel_axis)
        weights, chosen = job.weights(split, layout, (y, x))
        page = weights
        if task.format not in ("TIFF", "NPY"):
            page = pixel_weights(shown(samples, layout, shown_range(samples, layout)), weights, (y, x))
        warnings = picture.warnings + job.taken_warnings()
    save_page(target, task.format, page, overwrite=options["overwrite"])
    for warning in warnings:
        Report(environment).warn(f"{printable(options['name'])}: {warning}")
    print(f"{printable(task.output)}: {_words(weights, (x, y), chosen)}", file=environment.err)


def _words(weights: Array, at: tuple[int, int], chosen: Any) -> str:
    import numpy as np

    from ..views.words import noise_words

    ordered = np.sort(weights, axis=None)[::-1]
    most = int(np.searchsorted(np.cumsum(ordered), 0.9)) + 1
    own = weights[at[1], at[0]]
    return (
        f"{most} of {np.count_nonzero(weights)} pixels have 90 % of the weight for ({at[0]}, {at[1]}), "
        f"which itself has {100 * own:.3g} %; {noise_words(chosen.sigma)}"
    )
