"""``nlmeans demo``: pictures to begin with."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from ..environment import Environment, printable
from ..files import naming, writing
from ..formats.picture import Array
from ..options import OUTPUT, FilterOptions, SectionedCommand, few_message_options, option

NAMES = ("original.png", "noisy.png", "noisy.npy", "denoised.png")
NOISE = 20.0  # of 255
EPILOG = """\b
Examples:
  nlmeans demo                  into this folder
  nlmeans demo trial
"""


@click.command("demo", cls=SectionedCommand, epilog=EPILOG)
@click.argument("folder", default=".", metavar="[FOLDER]")
@option(OUTPUT, "--overwrite", is_flag=True, help="Replace files that exist.")
@few_message_options
@click.pass_obj
def command(environment: Environment, /, **options: Any) -> None:
    """Write a picture, the same with noise, and the noisy one denoised, to try things with.

    The files are original.png, noisy.png, noisy.npy (the same as noisy.png) and denoised.png, which is
    what 'nlmeans denoise noisy.png' makes. FOLDER is made if there is none; the default is this one.
    """
    from ..files.sides import save_page
    from ..formats.picture import Layout
    from ..job import Job, Split
    from ..progress import Progress
    from ..slow import tell_if_slow

    targets = [Path(options["folder"], name) for name in NAMES]
    for target in targets:
        writing.check_target(target, overwrite=options["overwrite"])
    job = Job(FilterOptions.of({}))
    original, noisy = _before()
    layout = Layout(noisy.shape, noisy.dtype.str)
    with Progress(environment, shown=True) as progress:
        progress.start("denoising")
        tell_if_slow(environment, job, progress)
        progress.size(layout.pixels / 1e6)
        denoised, _ = job.denoised(Split.of(noisy, layout, None), layout, progress)
    naming.make_folder(targets[0].parent)
    for target, page in zip(targets, (original, noisy, noisy, denoised), strict=True):
        save_page(target, naming.format_by_name(target.name), page, overwrite=options["overwrite"])
    names = [printable(str(target)) for target in targets]
    print(
        f"wrote {', '.join(names[:-1])} and {names[-1]}\n"
        f"to compare them: {shlex.join(['nlmeans', 'compare', names[0], names[1], names[-1]])}",
        file=environment.err,
    )


def _before() -> tuple[Array, Array]:
    """The drawn picture, and the same with noise."""
    import numpy as np

    from ..views.scene import scene

    original = scene()
    noise = np.random.default_rng(0).normal(0, NOISE, original.shape)
    return original, np.rint(np.clip(original + noise, 0, 255)).astype(np.uint8)
