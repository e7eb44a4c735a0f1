"""``nlmeans attention``: what some pixels look at, and whether all look at the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..environment import Environment, printable
from ..files import naming, writing
from ..formats.picture import Array, Layout
from ..options import (
    OUTPUT,
    FilterOptions,
    MessageOptions,
    SectionedCommand,
    limit_options,
    limits_of,
    message_options,
    option,
    parameter_options,
    picture_options,
    position,
)
from ..status import UsageError

_MOST = 16  # maps in one picture
EPILOG = """\b
Examples:
  nlmeans attention photo.png --at 120,80 --at 40,200
  nlmeans attention photo.png --at 120,80 --weights block.safetensors
  nlmeans attention photo.png --at 120,80 -o maps.npy --json
"""


@click.command("attention", cls=SectionedCommand, epilog=EPILOG, no_args_is_help=True)
@click.argument("name", metavar="IMAGE")
@click.option("--at", required=True, multiple=True, metavar="X,Y", help="A query: column and row, from 0.")
@click.option(
    "--weights",
    metavar="FILE",
    help="Of a learned block (.safetensors; needs PyTorch) in place of NL-means. It sees the pixels in "
    "[0, 1], in squares of as many as it has channels.",
)
@click.option("--prefix", default="", metavar="TEXT", help="What stands before the block's names in FILE.")
@click.option(
    "--features",
    metavar="FILE",
    help="What the block sees instead: floats (channels, rows, columns) as .npy.",
)
@click.option(
    "--queries",
    default=256,
    type=click.IntRange(0, 65536),
    show_default=True,
    metavar="N",
    help="Pixels to measure query-independence over; 0 leaves it out.",
)
@click.option("--page", default=1, type=click.IntRange(1), metavar="N", help="Page of a TIFF file, from 1.")
@option(
    OUTPUT, "-o", "--output", metavar="FILE", help="Default: NAME.attention.png. The maps themselves as .npy."
)
@option(OUTPUT, "--overwrite", is_flag=True, help="Replace the output if it exists.")
@parameter_options
@picture_options
@message_options
@limit_options
@click.pass_obj
def command(environment: Environment, /, **options: Any) -> int:
    """Show what some pixels look at, and measure whether all look at the same.

    The picture shows where the queries are, and beside it each one's map over the darkened
    picture: white most, black not at all. The measure is GCNet's: mean cosine distances of pairs of
    pixels: of their features, of their averages, and of their maps. Maps that hardly differ where the
    input does have collapsed: the average is the same for all. A picture that its camera marked as
    turned is taken upright: --at counts in it as it is shown.
    """
    from ..files.sides import save_page
    from ..formats.reading import opened
    from ..job import Job, Split
    from ..outcome import Outcome, Report
    from ..views.pictures import attention_maps, shown, shown_range

    limits = limits_of(options)
    report = Report(environment, MessageOptions.of(options))
    at = _queries(options)
    name = options["name"]
    job = Job.of(FilterOptions.of(options), limits, environment.binary_in)
    task = naming.Task(name, options["output"] or naming.beside(name, ".attention.png"), "")
    task = naming.Task(task.input, task.output, naming.format_by_name(task.output))
    naming.check_not_input(task, overwrite=False)
    target = Path(task.output)
    writing.check_target(target, overwrite=options["overwrite"])
    with opened(name, limits, environment.binary_in) as picture:
        job, layout, samples = job.upright_page(picture, options["page"])
        _check_inside(at, layout)
        found = _attention(options, job, Split.of(samples, layout, job.options.channel_axis), layout, at)
        page: Array = found.maps
        if task.format != "NPY":
            page = attention_maps(shown(samples, layout, shown_range(samples, layout)), found.maps, at)
        warnings = picture.warnings + job.taken_warnings()
    save_page(target, task.format, page, overwrite=options["overwrite"])
    rows, between = found.rows(), found.between()
    lines = [f"{printable(task.output)}: {found.kind}", *_lines(at, rows, between)]
    details: dict[str, Any] = {
        **found.details,
        "queries": [{"at": [x, y], **row} for (y, x), row in zip(at, rows, strict=True)],
        "between": between,
        "independence": None if found.independence is None else found.independence.to_dict(),
    }
    if found.reason:
        warnings.append(f"query-independence was not measured: {found.reason}")
    elif found.independence is not None:
        lines.append(_measured(found.independence))
    report.add(Outcome(name, "written", task.output, 0, "\n".join(lines), warnings, details))  # type: ignore[arg-type]
    return report.exit_status()


def _attention(options: dict[str, Any], job: Any, split: Any, layout: Layout, at: Any) -> Any:
    """Of the block in a file, else of NL-means."""
    from ..views.attention_maps import of_block, of_filter

    if options["weights"] is not None:
        return of_block(options, split, layout, at, options["queries"])
    if options["features"] is not None or options["prefix"]:
        raise UsageError("--features and --prefix belong to a learned block: give --weights too")
    return of_filter(job, split, layout, at, options["queries"])


def _queries(options: dict[str, Any]) -> list[tuple[int, int]]:
    """The pixels as (y, x)."""
    if len(options["at"]) > _MOST:
        raise UsageError(f"--at was given {len(options['at'])} times; {_MOST} maps fit into one picture")
    return [(y, x) for x, y in map(position, options["at"])]


def _check_inside(at: list[tuple[int, int]], layout: Layout) -> None:
    for y, x in at:
        if not (0 <= x < layout.shape[1] and 0 <= y < layout.shape[0]):
            raise UsageError(f"--at {x},{y} lies outside of the picture, which is {layout.words}")


def _lines(
    at: list[tuple[int, int]], rows: list[dict[str, Any]], between: dict[str, Any] | None
) -> list[str]:
    """One line for each map, and one for how they differ."""
    lines = []
    for (y, x), row in zip(at, rows, strict=True):
        parts = []
        if "perplexity" in row:
            parts.append(f"{row['keys_of_90_percent']} of {row['keys']} positions hold 90 %")
            parts.append(f"perplexity {row['perplexity']:.1f}")
        if row["self_weight"] is not None:
            parts.append(f"itself {100 * row['self_weight']:.3g} %")
        lines.append(f"({x}, {y}): {', '.join(parts) or 'weights of any sign'}")
    if between is not None:
        lines.append(f"these maps, by {between['frame']}: {_distances(between, ('attention',))}")
    return lines


def _measured(found: Any) -> str:
    measures = found.to_dict()
    return f"over {found.queries} queries: {_distances(measures, ('input', 'output', 'attention'))}" + (
        "" if found.perplexity is None else f", perplexity {found.perplexity:.1f} of {found.keys}"
    )


def _distances(measures: dict[str, Any], names: tuple[str, ...]) -> str:
    parts = [f"{name} {measures[name]:.3f}" for name in names if measures[name] is not None]
    if measures["jensen_shannon"] is not None:
        parts.append(f"Jensen-Shannon {measures['jensen_shannon']:.3f}")
    return f"cosine distances: {', '.join(parts)}"
