"""``nlmeans denoise``."""

from __future__ import annotations

from typing import Any

import click

from ..environment import Environment
from ..formats.reading import FORMATS
from ..options import (
    FILTER,
    MESSAGES,
    OUTPUT,
    WORK,
    Axis,
    FilterOptions,
    MessageOptions,
    OutputOptions,
    SectionedCommand,
    companion_options,
    film_options,
    limit_options,
    limits_of,
    message_options,
    option,
    parameter_options,
    picture_options,
    running_options,
)

EPILOG = """\b
Examples:
  nlmeans denoise photo.png                        writes photo.denoised.png
  nlmeans denoise noisy.tif -o clean.tif --sigma 4%
  nlmeans denoise *.jpg -o clean                   into a folder
  nlmeans denoise -r scans -o 'clean/{stem}{ext}'  a folder, by a template
  nlmeans denoise photo.png --dry-run              what would be done
  nlmeans denoise - < in.png > out.png             in a pipe
  nlmeans denoise big.zarr -o clean.zarr           larger than memory
"""
FORMAT_NAMES = [name.lower() for name, known in FORMATS.items() if known.writer]


@click.command("denoise", cls=SectionedCommand, epilog=EPILOG, no_args_is_help=True)
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@option(
    OUTPUT,
    "-o",
    "--output",
    metavar="PATH",
    help="File, folder, template with {stem} {ext} {dir}, or - for standard output. "
    "Default: NAME.denoised.EXT beside the input.",
)
@option(OUTPUT, "-r", "--recursive", is_flag=True, help="Take the pictures in folders and the folders below.")
@option(OUTPUT, "--overwrite", is_flag=True, help="Replace outputs that exist, even the input itself.")
@option(OUTPUT, "--skip-existing", is_flag=True, help="Leave out inputs whose output exists.")
@option(
    OUTPUT, "--dry-run", is_flag=True, help="Say what would be done, the time and the memory; write nothing."
)
@option(
    OUTPUT, "--format", "format_name", type=click.Choice(FORMAT_NAMES), help="Default: by the output's name."
)
@option(
    OUTPUT,
    "--quality",
    type=click.IntRange(1, 100),
    help="Of JPEG and lossy WebP. Default: as the input, or finer where the file does not become larger.",
)
@option(
    OUTPUT,
    "--dtype",
    type=click.Choice(["same", "float32"]),
    default="same",
    help="Type of the results; float32 is not rounded (TIFF, NPY, NIfTI, EXR, PFM).",
)
@option(OUTPUT, "--strip", is_flag=True, help="Leave out metadata; colour profile and orientation stay.")
@option(
    OUTPUT,
    "--method-noise",
    metavar="FILE",
    help="Write what was removed: exact as .tif or .npy, else visible.",
)
@option(OUTPUT, "--side-by-side", metavar="FILE", help="Write noisy, denoised and removed in one picture.")
@option(
    WORK,
    "--part",
    metavar="I/N",
    help="Of a store, do the I-th of N parts only, which may run at the same time, on any machines.",
)
@option(
    WORK,
    "--scheduler",
    metavar="ADDRESS",
    help="Share blocks of a store, or files, on a Dask cluster: tcp://host:8786, or local[4] for 4 processes "
    "here.",
)
@option(
    WORK,
    "--block",
    type=click.IntRange(16, 65536),
    metavar="SIDE",
    help="Of a store, pixels along each side of what is one task, rounded up to whole shards. Default: 1024, "
    "in volumes 128.",
)
@option(OUTPUT, "--no-pyramid", is_flag=True, help="Of an OME-Zarr image write the full resolution only.")
@option(
    OUTPUT,
    "--uncertainty",
    metavar="FILE",
    help="Write the standard error of each pixel, in the units of the picture, as .tif or .npy.",
)
@option(
    MESSAGES,
    "--explain",
    is_flag=True,
    help="Say how noisy each picture is, how good the result should be, and what was removed.",
)
@parameter_options
@option(
    FILTER,
    "--tune",
    is_flag=True,
    help="Find the strength of each picture by the error that is expected of it, in 3 times the time.",
)
@companion_options
@picture_options
@option(
    FILTER,
    "--volume",
    is_flag=True,
    help="The pages of a TIFF file are the planes of a volume, or of one for each channel and time point.",
)
@option(
    FILTER,
    "--axis",
    type=Axis(),
    metavar="AXIS",
    help="Denoise each place along it by itself: t, z or c of a TIFF or OME-Zarr image, whose other pages "
    "are then planes of volumes; or the number of an axis of a bare array.",
)
@option(
    FILTER,
    "--share",
    type=click.Choice(["settings"]),
    help="Find noise level, radii and strength once for all pictures of a file. Default: for each by itself.",
)
@film_options
@running_options
@message_options
@limit_options
@click.pass_obj
def command(environment: Environment, /, **options: Any) -> int:
    """Remove noise from pictures: PNG, JPEG, TIFF, WebP, BMP, NPY, PGM, PPM, PFM, HDR and EXR; scans as
    NIfTI (.nii, .nii.gz), each volume by itself; signals as CSV, each column by itself.

    JPEG 2000, QOI, SGI, SPE and TGA are read too, and become TIFF where no output is named.

    An input is never written over, nor any other file, unless --overwrite says so.
    Noise level, radii and strength are found for each picture where they are not given.
    """
    from ..batch import Batch
    from ..job import Job
    from ..outcome import Report
    from ..stores import request as stores
    from ..stores.run import StoreRun

    limits = limits_of(options)
    report = Report(environment, MessageOptions.of(options))
    if stores.concerns(options):
        return StoreRun(environment, report, options).run()
    stores.check_absent(options)
    job = Job.of(FilterOptions.of(options), limits, environment.binary_in)
    output, scheduler = OutputOptions.of(options), options["scheduler"]
    return Batch(environment, limits, options["inputs"], output, report, job, scheduler).run()
