"""``nlmeans denoise``."""

from __future__ import annotations

from typing import Any

import click

from .environment import Environment
from .options import limit_options, message_options, parameter_options, running_options, taken_limits

EPILOG = """\b
Examples:
  nlmeans denoise photo.png                       writes photo.denoised.png
  nlmeans denoise noisy.tif -o clean.tif --sigma 4%
  nlmeans denoise *.jpg -o clean                  into a folder
  nlmeans denoise -r scans -o 'clean/{stem}{ext}'
  nlmeans denoise - < in.png > out.png
"""


@click.command("denoise", epilog=EPILOG, no_args_is_help=True)
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "-o",
    "--output",
    metavar="PATH",
    help="File, folder, template with {stem} {ext} {dir}, or - for standard output. "
    "Default: NAME.denoised.EXT beside the input.",
)
@click.option("-r", "--recursive", is_flag=True, help="Take the pictures in folders and the folders below.")
@click.option(
    "--overwrite", is_flag=True, help="Replace outputs that exist, the input too if it is named as output."
)
@click.option("--skip-existing", is_flag=True, help="Leave out inputs whose output exists.")
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["png", "jpeg", "tiff", "webp", "bmp", "npy"]),
    help="Format of the output. Default: by its name.",
)
@click.option("--strip", is_flag=True, help="Leave out metadata; colour profile and orientation stay.")
@click.option(
    "--quality", type=click.IntRange(1, 100), help="Of JPEG and lossy WebP output. Default: as the input."
)
@parameter_options
@running_options
@message_options
@limit_options
@click.pass_obj
def command(environment: Environment, /, **options: Any) -> int:
    """Remove noise from pictures: PNG, JPEG, TIFF, WebP, BMP and NPY.

    Nothing is ever written over an input, nor over any file unless --overwrite says so.
    Noise level, radii and strength are chosen by the picture where they are not given.
    """
    from .batch import Batch

    limits = taken_limits(options)
    return Batch.of(environment, limits, options).run()
