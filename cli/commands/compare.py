"""``nlmeans compare``: how far pictures are from a clean one."""

from __future__ import annotations

import math
from typing import Any

import click

from ..environment import Environment, printable
from ..formats.picture import Array, Layout, data, plain
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
    floating point: the range of the clean picture), and the shift of the mean in the file's units.
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
                    print(f"{printable(name)}{label}: {_words(page)}", file=environment.out)
            report.add(Outcome(name, "measured", details={"clean": clean, "pages": pages}))
    return report.exit_status()


def measures(
    layout: Layout, clean: Array, test: Array, test_layout: Layout, *, nan: str = "raise"
) -> dict[str, Any]:
    """PSNR, SSIM and the shift of the mean; None for what is infinite or cannot be computed.

    With ``nan="keep"`` over the pixels that are finite in both; SSIM then only where all are.
    """
    import numpy as np

    if test_layout.words != layout.words:
        raise UsageError(f"it is {test_layout.words}; the clean picture is {layout.words}")
    meanings = {(each.full_scale, each.white_is_zero) for each in (layout, test_layout)}
    pairs = [(clean, layout), (test, test_layout)]
    if len(meanings) > 1:  # as both are shown
        pairs = [(plain(*pair), pair[1]) for pair in pairs]
    a, b = (data(*pair).astype(np.float64) for pair in pairs)
    finite = np.isfinite(a) & np.isfinite(b)
    whole = a, b
    left_out = int(finite.size - np.count_nonzero(finite))
    if left_out:
        if nan != "keep":
            raise UsageError("NaN or infinity cannot be compared; --nan keep leaves such pixels out")
        a, b = a[finite], b[finite]
        if not a.size:
            raise UsageError("there is no pixel that is finite in both pictures")
    own = layout.full_scale if len(meanings) == 1 else None
    full = in_units(((100.0, True),), layout.dtype, own)
    peak = float(full) if layout.kind != "f" else float(a.max() - a.min())  # type: ignore[arg-type]
    error = float(np.mean((a - b) ** 2))
    psnr = 10 * math.log10(peak**2 / error) if error > 0 and peak > 0 else None
    return {
        "psnr": psnr,
        "ssim": None if left_out else _ssim(*whole, peak, a.ndim == 3 and bool(layout.colours)),
        "mean_shift": float(b.mean() - a.mean()),
        "identical": error == 0,
        "left_out": left_out,
    }


def _ssim(a: Array, b: Array, peak: float, colour: bool) -> float | None:
    """The structural similarity with the window of its authors; None without scikit-image."""
    try:
        from skimage.metrics import structural_similarity
    except ImportError:
        return None
    if peak <= 0 or min(a.shape[:2]) < 11:  # the window has 11 x 11 pixels
        return None
    similarity = structural_similarity(
        a,
        b,
        data_range=peak,
        channel_axis=-1 if colour else None,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return float(similarity)


def _words(page: dict[str, Any]) -> str:
    left_out = f"; {page['left_out']:,} values without a number are left out" if page["left_out"] else ""
    if page["identical"]:
        return f"identical{left_out}"
    psnr = "undefined" if page["psnr"] is None else f"{page['psnr']:.2f} dB"
    ssim = "not computed (scikit-image is missing)" if not _has_ssim() else "undefined"
    ssim = ssim if page["ssim"] is None else f"{page['ssim']:.4f}"
    return f"PSNR {psnr}, SSIM {ssim}, mean shift {page['mean_shift']:+.3g}{left_out}"


def _has_ssim() -> bool:
    from importlib.util import find_spec

    return find_spec("skimage") is not None
