"""``nlmeans demo``: pictures and a signal to begin with."""

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
SIGNAL = "ecg.csv"
NOISE = 20.0  # of 255
# Of a heartbeat of 0.8 s: (time, width, height) of its waves
_WAVES = (
    (0.16, 0.04, 0.15),
    (0.29, 0.012, -0.12),
    (0.32, 0.012, 1.0),
    (0.35, 0.012, -0.2),
    (0.56, 0.06, 0.3),
)
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

    The files are original.png, noisy.png, noisy.npy (the same as noisy.png), denoised.png, which is what
    'nlmeans denoise noisy.png' makes, and ecg.csv, a signal with noise. FOLDER is made if there is none; the
    default is this one.
    """
    from ..files.sides import save_page
    from ..formats.picture import Layout
    from ..job import Job, Split
    from ..progress import Progress
    from ..slow import tell_if_slow

    targets = [Path(options["folder"], name) for name in NAMES]
    signal = Path(options["folder"], SIGNAL)
    for target in (*targets, signal):
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
    with writing.replacing(signal, overwrite=options["overwrite"]) as file:
        file.write(_heartbeats().encode())
    names = [printable(str(target)) for target in targets]
    print(
        f"wrote {', '.join(names)} and {printable(str(signal))}\n"
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


def _heartbeats() -> str:
    """A table of time and millivolts: 10 s of an electrocardiogram with noise."""
    import numpy as np

    t = np.arange(0, 10, 0.004)
    beat = sum(height * np.exp(-(((t % 0.8 - at) / width) ** 2)) for at, width, height in _WAVES)
    noisy = beat + np.random.default_rng(0).normal(0, 0.05, t.size)
    rows = (f"{a:.3f},{b:.3f}" for a, b in zip(t, noisy, strict=True))
    return "\n".join(["seconds,millivolts", *rows, ""])
