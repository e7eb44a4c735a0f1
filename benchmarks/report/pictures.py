"""Two pictures to look at, made from scikit-image's cameraman: the local filters, and one result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..problems import Image, psnr
from ..race import local

_CROPS = ((90, 190), (150, 330), (300, 330))  # where crops begin: face, buildings, grass
_SIDE = 112
_ZOOM = 2
_LINE = 18  # pixels of a caption


def side_by_side(columns: list[tuple[str, list[Image]]], zoom: int) -> Any:
    """Captions over columns of pictures in [0, 1], as a Pillow picture."""
    from PIL import Image as Pillow
    from PIL import ImageDraw

    height, width = (zoom * n for n in columns[0][1][0].shape)
    down = len(columns[0][1])
    gap = 4
    sheet = Pillow.new("L", (len(columns) * (width + gap) - gap, _LINE + down * (height + gap) - gap), 255)
    draw = ImageDraw.Draw(sheet)
    for number, (caption, pictures) in enumerate(columns):
        left = number * (width + gap)
        draw.text((left + 2, 2), caption, fill=0)
        for row, picture in enumerate(pictures):
            levels = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
            tile = Pillow.fromarray(levels).resize((width, height), Pillow.Resampling.NEAREST)
            sheet.paste(tile, (left, _LINE + row * (height + gap)))
    return sheet


def local_filters(rows: list[dict[str, Any]], path: Path) -> None:
    """Crops of the noisy picture, of each filter at its best, and of the clean one."""
    clean, noisy = local.camera()
    results = [("clean", clean), (f"noisy  {psnr(clean, noisy):.1f} dB", noisy)]
    for row in rows:
        if "setting" in row:
            function = local.FILTERS[row["filter"]][0]
            results.append((f"{row['filter']}  {row['psnr']:.1f} dB", function(noisy, **row["setting"])))
    columns = [(caption, _crops(picture)) for caption, picture in results]
    side_by_side(columns, _ZOOM).save(path, optimize=True)


def one_result(path: Path) -> None:
    """Noisy, denoised by the call without parameters, and what was removed."""
    from nlmeans import denoise

    clean, noisy = local.camera()
    result = denoise(noisy)
    columns = [
        (f"noisy  {psnr(clean, noisy):.1f} dB", noisy),
        (f"nlmeans.denoise(noisy)  {psnr(clean, result):.1f} dB", result),
        ("what was removed, twice as strong", 0.5 + 2 * (noisy - result)),
    ]
    side_by_side([(caption, [picture[64:320, 96:416]]) for caption, picture in columns], 1).save(
        path, optimize=True
    )


def _crops(picture: Image) -> list[Image]:
    return [picture[top : top + _SIDE, left : left + _SIDE] for top, left in _CROPS]
