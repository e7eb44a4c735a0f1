"""``nlmeans weights``: the weights of one pixel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from . import naming, writing
from .environment import Environment, printable
from .options import (
    OUTPUT,
    SectionedCommand,
    few_message_options,
    limit_options,
    option,
    parameter_options,
    picture_options,
    taken_limits,
)
from .picture import Array, Layout, Picture, Saving
from .status import UsageError

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
    each: the largest is white, none is black. The weights sum to 1.
    """
    from .job import Job, Split
    from .reading import opened
    from .views import pixel_weights, shown, shown_range

    limits = taken_limits(options)
    x, y = position(options["at"])
    job = Job.of(options, limits, environment.binary_in)
    task = naming.Task(
        options["name"], options["output"] or naming.beside(options["name"], ".weights.png"), ""
    )
    task = naming.Task(task.input, task.output, naming.format_by_name(task.output))
    naming.check_not_input(task, overwrite=False)
    target = Path(task.output)
    writing.check_target(target, overwrite=options["overwrite"])
    with opened(options["name"], limits, environment.binary_in) as picture:
        layout, samples = page_of(picture, options["page"])
        if not (0 <= x < layout.shape[1] and 0 <= y < layout.shape[0]):
            raise UsageError(f"--at {x},{y} lies outside of the picture, which is {layout.words}")
        split = Split.of(samples, layout, job.channel_axis)
        weights, chosen = weights_of(job, split, layout, (y, x))
        page = weights
        if task.format not in ("TIFF", "NPY"):
            page = pixel_weights(shown(samples, layout, shown_range(samples, layout)), weights, (y, x))
    save(target, task.format, page, overwrite=options["overwrite"])
    print(f"{printable(task.output)}: {_words(weights, (x, y), chosen)}", file=environment.err)


def weights_of(
    job: Any, split: Any, layout: Layout, at: tuple[int, int], chosen: Any = None
) -> tuple[Array, Any]:
    """The normalised weights of one pixel, and the parameters used."""
    import nlmeans

    chosen = chosen or job.suggested(split, layout)
    settings = {**job.settings_for(split, layout), **chosen.to_dict()}
    return nlmeans.weights(split.colour, at, **settings), chosen


def save(target: Path, format_name: str, page: Array, *, overwrite: bool) -> None:
    """Write one page that comes from no input file."""
    from .reading import writer_of

    layout = Layout(page.shape, page.dtype.str, 3 if page.ndim == 3 else 1)
    writer = writer_of(format_name, [layout])
    naming.make_folder(target.parent)
    with writing.replacing(target, overwrite=overwrite) as file:
        writer(file, iter([page]), Picture("", [layout], lambda _: page), Saving())


def position(text: str) -> tuple[int, int]:
    """Column and row, as they are typed."""
    try:
        x, y = (int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--at {text} is no pixel: give column and row as in 120,80") from None
    return x, y


def page_of(picture: Picture, number: int) -> tuple[Layout, Array]:
    """One page of a picture, which must have rows and columns."""
    if number > len(picture.pages):
        raise UsageError(f"--page {number} is beyond the last of {len(picture.pages)} pages")
    layout = picture.pages[number - 1]
    if layout.colours == 0 and len(layout.shape) != 2:
        raise UsageError(f"this needs a picture with rows and columns, not {layout.words}")
    return layout, picture.decode(number - 1)


def noise_words(sigma: float | tuple[float, ...] | None) -> str:
    """The noise that was given or estimated; of channels, or in a map."""
    if sigma is None:
        return "sigma from a map"
    return f"sigma {', '.join(f'{s:.3g}' for s in (sigma if isinstance(sigma, tuple) else (sigma,)))}"


def _words(weights: Array, at: tuple[int, int], chosen: Any) -> str:
    import numpy as np

    ordered = np.sort(weights, axis=None)[::-1]
    most = int(np.searchsorted(np.cumsum(ordered), 0.9)) + 1
    own = weights[at[1], at[0]]
    return (
        f"{most} of {np.count_nonzero(weights)} pixels have 90 % of the weight for ({at[0]}, {at[1]}), "
        f"which itself has {100 * own:.3g} %; {noise_words(chosen.sigma)}"
    )
