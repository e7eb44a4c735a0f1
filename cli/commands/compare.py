"""``nlmeans compare``: how far pictures are from a clean one."""

from __future__ import annotations

import math
from typing import Any

import click

from ..environment import Environment
from ..formats.picture import Array, Layout, data, plain, valued
from ..options import (
    FILTER,
    MessageOptions,
    SectionedCommand,
    in_units,
    limit_options,
    limits_of,
    message_options,
    option,
)
from ..outcome import Outcome, Report
from ..ssim import ssim
from ..status import UsageError

EPILOG = """\b
Example:
  nlmeans compare clean.png noisy.png noisy.denoised.png
"""


@click.command("compare", cls=SectionedCommand, epilog=EPILOG, no_args_is_help=True)
@click.argument("clean", metavar="CLEAN")
@click.argument("tests", nargs=-1, required=True, metavar="TEST...")
@option(
    FILTER,
    "--nan",
    type=click.Choice(["raise", "keep"]),
    default="raise",
    help="Refuse pictures with NaN or infinity, or leave out pixels that are so in either picture.",
)
@message_options
@limit_options
@click.pass_obj
def command(environment: Environment, /, clean: str, tests: tuple[str, ...], **options: Any) -> int:
    """Tell how far pictures are from a clean one.

    PSNR in decibels and SSIM (1 is equal), both for the full scale of the file's type (for
    floating point and 32 or 64 bits: the range of the clean picture), and the shift of the mean in
    the file's units. Pixels that a file declares to have no value (GDAL_NODATA) are left out.
    """
    from ..formats.reading import opened

    limits = limits_of(options)
    report = Report(environment, MessageOptions.of(options))
    with opened(clean, limits, environment.binary_in) as picture:
        references = [(layout, picture.decode(n)) for n, layout in enumerate(picture.pages)]
    for name in tests:
        try:
            with opened(name, limits, environment.binary_in) as picture:
                if len(picture.pages) != len(references):
                    raise UsageError(
                        f"it has {len(picture.pages)} pages, the clean picture {len(references)}"
                    )
                pages = [
                    measures(*reference, picture.decode(n), picture.pages[n], nan=options["nan"])
                    for n, reference in enumerate(references)
                ]
        except Exception as error:
            if isinstance(error, BrokenPipeError):
                raise
            report.failed(name, error)
        else:
            if not report.options.as_json:
                for number, page in enumerate(pages, 1):
                    label = f" page {number}" if len(pages) > 1 else ""
                    report.facts(name, _words(page), page=label, names=tests)
            report.add(Outcome(name, "measured", details={"clean": clean, "pages": pages}))
    return report.exit_status()


def measures(
    layout: Layout, clean: Array, test: Array, test_layout: Layout, *, nan: str = "raise"
) -> dict[str, Any]:
    """PSNR, SSIM and the shift of the mean; None for what is infinite or cannot be computed.

    Over the samples that have a value in both: those that a file declares to have none are left out, with
    ``nan="keep"`` also those that are not finite.  SSIM is then over the windows that lack none.
    """
    import numpy as np

    if test_layout.words != layout.words:
        raise UsageError(f"it is {test_layout.words}; the clean picture is {layout.words}")
    meanings = {(each.full_scale, each.white_is_zero) for each in (layout, test_layout)}
    pairs = [(clean, layout), (test, test_layout)]
    known = np.logical_and(*(valued(data(*pair), pair[1]) for pair in pairs))
    if len(meanings) > 1:  # as both are shown
        pairs = [(plain(*pair), pair[1]) for pair in pairs]
    a, b = (data(*pair).astype(np.float64) for pair in pairs)
    finite = np.isfinite(a) & np.isfinite(b)
    if nan != "keep" and not finite[known].all():
        raise UsageError("NaN or infinity cannot be compared; --nan keep leaves such pixels out")
    used = known & finite
    if not used.any():
        raise UsageError("there is no pixel that has a finite value in both pictures")
    own = layout.full_scale if len(meanings) == 1 else None
    full = in_units(((100.0, True),), layout.dtype, own)
    colour = a.ndim == 3 and bool(layout.colours)
    with np.errstate(over="ignore", invalid="ignore"):
        unscaled = layout.kind == "f" or layout.bits > 16
        peak = float(np.ptp(a[used])) if unscaled else float(full)  # type: ignore[arg-type]
        error = float(np.mean(((a[used] - b[used]) / (peak or 1.0)) ** 2))
        shift = float(b[used].mean() - a[used].mean())
    measurable = 0 < peak < math.inf and error < math.inf
    return {
        "psnr": -10 * math.log10(error) if measurable and error > 0 else None,
        "ssim": ssim(a, b, peak, used, colour=colour) if measurable else None,
        "mean_shift": shift if math.isfinite(shift) else None,
        "identical": bool(np.array_equal(a[used], b[used])),
        "left_out": int(used.size - np.count_nonzero(used)),
    }


def _words(page: dict[str, Any]) -> list[str]:
    left_out = ""
    if page["left_out"]:
        left_out = f"; {page['left_out']:,} values without a number (NaN, GDAL_NODATA) are left out"
    if page["identical"]:
        return [f"identical{left_out}"]
    psnr, found, shift = (
        "undefined" if page[name] is None else f"{page[name]:{form}}{unit}"
        for name, form, unit in (("psnr", ".2f", " dB"), ("ssim", ".4f", ""), ("mean_shift", "+.3g", ""))
    )
    return [f"PSNR {psnr},", f"SSIM {found},", f"mean shift {shift}{left_out}"]
