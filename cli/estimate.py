"""``nlmeans estimate``: how noisy pictures are, and what ``denoise`` would do."""

from __future__ import annotations

from typing import Any

import click

from .environment import Environment, printable
from .limits import Limits
from .options import limit_options, message_options, parameter_options, taken_limits
from .picture import Layout


@click.command("estimate", no_args_is_help=True)
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("-r", "--recursive", is_flag=True, help="Take the pictures in folders and the folders below.")
@parameter_options
@message_options
@limit_options
@click.pass_obj
def command(environment: Environment, /, **options: Any) -> int:
    """Tell how noisy pictures are, and what denoise would do to them.

    The noise level is the standard deviation of the noise in the file's own units.
    """
    from . import naming
    from .report import Report

    limits = taken_limits(options)
    report = Report(
        environment,
        json=options["as_json"],
        quiet=options["quiet"],
        verbose=options["verbose"],
        show_traceback=options["show_traceback"],
    )
    for _, name in naming.expand(options["inputs"], recursive=options["recursive"]):
        try:
            _one(name, environment, limits, options, report)
        except Exception as error:
            if isinstance(error, BrokenPipeError):
                raise
            report.failed(name, error)
    return report.exit_status()


def _one(name: str, environment: Environment, limits: Limits, options: dict[str, Any], report: Any) -> None:
    import nlmeans

    from .batch import PARAMETERS
    from .pixels import Split, settings_for
    from .reading import opened
    from .report import Outcome

    facts = []
    with opened(name, limits, environment.binary_in) as picture:
        for number, layout in enumerate(picture.pages):
            split = Split.of(picture.decode(number), layout, options["channel_axis"])
            settings = settings_for(layout, split, {n: options[n] for n in PARAMETERS})
            chosen = nlmeans.suggest(split.colour, **settings)
            facts.append({"shape": list(layout.shape), "dtype": layout.dtype, "parameters": chosen.to_dict()})
            if not options["as_json"]:
                page = f" page {number + 1}" if len(picture.pages) > 1 else ""
                print(f"{printable(name)}{page}: {_words(layout, chosen)}", file=environment.out, flush=True)
        report.add(Outcome(name, "measured", warnings=picture.warnings, details={"pages": facts}))


def _words(layout: Layout, chosen: Any) -> str:
    from .options import in_units

    full = in_units(((100.0, True),), layout.dtype)
    assert isinstance(full, float)
    sigma = chosen.sigma
    noise = (
        f"sigma {sigma:.3g} ({100 * sigma / full:.2g} % of full scale)"
        if isinstance(sigma, float)
        else f"sigma {sigma}"
    )
    strength = f"h {chosen.strength:.3g}" if isinstance(chosen.strength, float) else f"k {chosen.k}"
    radii = f"patch radius {chosen.patch_radius}, search radius {chosen.search_radius}"
    return f"{layout.words}; {noise}; {radii}, {strength}"
