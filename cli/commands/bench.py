"""``nlmeans bench``: speed and accuracy on this machine."""

from __future__ import annotations

import json
import shlex
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from ..environment import Environment, printable
from ..files import naming, writing
from ..options import FILTER, MESSAGES, OUTPUT, SectionedCommand, few_message_options, option
from ..status import UsageError

EPILOG = """\b
Examples:
  nlmeans bench
  nlmeans bench --size 1080p,4k --json speed.json --plot speed.svg
  nlmeans bench --device cpu --size 512 --aggregate pixel
"""


@click.command("bench", cls=SectionedCommand, epilog=EPILOG)
@click.option(
    "--device",
    type=click.Choice(["auto", "cuda", "cpu"]),
    default="auto",
    help="What is measured: the GPU, or without one the processor.",
)
@click.option(
    "--size",
    metavar="SIZE,...",
    help="Sizes of the pictures: 1080p, 4k and the like, 512 or 720x1280 (rows x columns). "
    "Default: some that suit the device.",
)
@option(
    FILTER,
    "--patch-radius",
    help="Radius of the compared patches; 3 compares 7 x 7 pixels.",
    type=click.IntRange(0, 16),
    default=3,
    show_default=True,
    metavar="R",
)
@option(
    FILTER,
    "--search-radius",
    help="Radius of the window in which like patches are sought.",
    type=click.IntRange(1, 64),
    default=10,
    show_default=True,
    metavar="R",
)
@click.option(
    "--channels",
    help="Channels of the pictures, compared jointly.",
    type=click.IntRange(1, 16),
    default=1,
    show_default=True,
    metavar="N",
)
@click.option(
    "--dtype",
    help="Type of the pixels.",
    type=click.Choice(["float32", "uint8"]),
    default="float32",
    show_default=True,
)
@option(
    FILTER,
    "--patch",
    help="Weights within a patch.",
    type=click.Choice(["box", "gaussian"]),
    default="box",
    show_default=True,
)
@option(
    FILTER,
    "--aggregate",
    type=click.Choice(["pixel", "patch"]),
    help="The bare filter in one pass, or the default call in two. Default: both.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, 600),
    default=2.0,
    show_default=True,
    metavar="S",
    help="For each kind of time of each picture; at least three calls are made.",
)
@click.option("--json", "json_file", metavar="FILE", help="Write every figure there.")
@click.option("--plot", "plot_file", metavar="FILE", help="Draw rate against size there, as SVG.")
@option(OUTPUT, "--overwrite", is_flag=True, help="Replace these files if they exist.")
@option(MESSAGES, "-q", "--quiet", is_flag=True, help="Say nothing but the table, warnings and errors.")
@few_message_options
@click.pass_obj
def command(environment: Environment, /, **options: Any) -> int:
    """Measure speed and quality on this machine.

    Generated noisy pictures take turns; medians are printed, with their spread: the kernel alone,
    and the whole call from NumPy array to NumPy array. The result is held against the clean picture
    and, on a crop, against the reference, so that a wrong result does not count as a fast one. On a
    GPU the rates are also printed in per cent of what its counted instructions allow.
    """
    from nlmeans.benchmarks.ours import bench

    from ..progress import Progress

    files = _files(options)
    order = _order(options)
    _, reason = bench.chosen(order.device)
    if reason and not options["quiet"]:
        print(f"no GPU: {reason}; measuring the processor", file=environment.err, flush=True)
    with Progress(environment, shown=not options["quiet"]) as progress:

        def tell(label: str, fraction: float) -> None:
            if label != told[0]:
                told[0] = label
                progress.start(label)
            progress(fraction)

        told = [""]
        result = bench.record(order, tell)
    print(bench.table(result, plain=not _has(environment, "█±²µ")), file=environment.out, flush=True)
    made = {"json": json.dumps(result, indent=1, ensure_ascii=False) + "\n", "plot": bench.plot(result)}
    for kind, path in files.items():
        naming.make_folder(path.parent)
        with writing.replacing(path, overwrite=options["overwrite"]) as file:
            file.write(made[kind].encode())
    return 1 if any(row["reason"] or row["wrong"] for row in result["rows"]) else 0


def _order(options: dict[str, Any]) -> Any:
    """The options as the library's order; sizes are read here, so that a wrong one costs nothing."""
    from nlmeans.benchmarks.ours import bench

    sizes = None
    if options["size"] is not None:
        sizes = tuple(part.strip() for part in options["size"].split(","))
        for size in sizes:
            try:
                bench.shape_of(size)
            except ValueError:
                known = ", ".join(bench.NAMED)
                raise UsageError(
                    f"{printable(size)!r} is no size: give one of {known}, "
                    "or sides from 16 to 65536 as in 512 or 720x1280"
                ) from None
    names = ("device", "patch_radius", "search_radius", "channels", "dtype", "patch", "aggregate", "seconds")
    told = [f"--{n.replace('_', '-')}={options[n]}" for n in names if options[n] is not None]
    words = ["nlmeans", "bench", *told, *([f"--size={options['size']}"] if sizes else [])]
    return bench.Order(sizes=sizes, command=shlex.join(words), **{n: options[n] for n in names})


def _files(options: dict[str, Any]) -> dict[str, Path]:
    """Where results go, refused before anything is measured."""
    found = {kind: Path(options[f"{kind}_file"]) for kind in ("json", "plot") if options[f"{kind}_file"]}
    if "plot" in found and found["plot"].suffix.lower() != ".svg":
        raise UsageError(f"the plot {printable(str(found['plot']))} must end in .svg")
    for kind, path in found.items():
        if str(path) == "-":
            raise UsageError(f"--{kind} takes the name of a file: standard output has the table")
    if len({path.resolve() for path in found.values()}) < len(found):
        raise UsageError("--json and --plot must be different files")
    for path in found.values():
        writing.check_target(path, overwrite=options["overwrite"])
    return found


def _has(environment: Environment, signs: str) -> bool:
    """Whether the output's encoding has these signs."""
    with suppress(UnicodeEncodeError, LookupError):
        signs.encode(getattr(environment.out, "encoding", None) or "utf-8")
        return True
    return False
