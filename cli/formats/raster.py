"""JPEG, WebP and BMP: 8-bit formats whose pixels Pillow decodes and encodes.

What stands around the pixels is walked by :mod:`segments` and put back as it stood.
"""

from __future__ import annotations

import contextlib
import math
import struct
import warnings as python_warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO

from ..status import UnreadableError
from . import segments
from .limits import Limits
from .metadata import dots_per_inch, exif_of, lost, split
from .picture import Array, Item, Layout, Picture, Saving

DEFAULT_QUALITY = 95  # of a JPEG or WebP that comes from another format
_BMP_V4 = 108  # bytes of the header
_BMP_LARGEST = 2**32 - 2**10  # bytes, of which its header counts 32 bits
# What is denoised takes fewer bytes than what was noisy.  While there are no more than the input had, the
# steps of its tables are divided by this, and each pixel keeps its own colours: finest first, and by how much
# the number grows at least.  Of photographs with noise of 5 to 25 and quality 60 to 92 it gives back 0.3 dB
# of the 0.7 that the input's own tables cost (kodim01, 05 and 09, 2026-11-30).
_FINER = ((4, True, 1.3), (4, False, 1.3), (2, True, 1.15), (2, False, 1.15))
_PORTABLE = ("icc", "exif", "xmp", "orientation")
_REFUSED_MODES = {
    "P": "it has a palette, and averaging palette numbers means nothing; convert it to RGB first",
    "CMYK": "it is separated into inks (CMYK); convert it to RGB first",
}
_LAYOUTS = {"1": (1, False), "L": (1, False), "RGB": (3, False), "RGBA": (3, True)}


def open_jpeg(file: BinaryIO, size: int, limits: Limits) -> Picture:
    """Describe a JPEG file; its markers are walked first."""
    pieces = segments.walk_jpeg(file, size, limits)
    if pieces.scans > segments.MOST_SCANS:
        raise UnreadableError(f"it has more than {segments.MOST_SCANS} scans; a real picture has about ten")
    picture = _open("JPEG", file, size, limits, pieces.items)
    picture.warnings += pieces.warnings
    if picture.encoding:
        picture.encoding["coded"] = pieces.coded
    return picture


def open_webp(file: BinaryIO, size: int, limits: Limits) -> Picture:
    """Describe a WebP file; its chunks are walked first."""
    pieces = segments.walk_webp(file, size, limits)
    if pieces.animated:
        raise UnreadableError(
            "it is an animation, which only 'nlmeans denoise' and 'nlmeans report' take, and from a file"
        )
    picture = _open("WebP", file, size, limits, pieces.items)
    picture.warnings += pieces.warnings
    picture.encoding["lossless"] = pieces.lossless
    return picture


def open_bmp(file: BinaryIO, size: int, limits: Limits) -> Picture:
    """Describe a BMP file; its header is read first."""
    pieces = segments.walk_bmp(file, size, limits)
    picture = _open("BMP", file, size, limits, pieces.items)
    picture.warnings += pieces.warnings
    return picture


def open_bmp_mask(file: BinaryIO, size: int, limits: Limits) -> Picture:
    """The same, with a palette too, whose colours are then the pixels."""
    pieces = segments.walk_bmp(file, size, limits)
    return _open("BMP", file, size, limits, pieces.items, converted={"P": "RGB"})


def _open(
    format_name: str,
    file: BinaryIO,
    size: int,
    limits: Limits,
    items: list[Item],
    converted: Mapping[str, str] | None = None,
) -> Picture:
    from PIL import Image

    file.seek(0)
    with _own_limits():
        image = Image.open(file, formats=[format_name.upper()])
    limits.check_pixels(*image.size)
    mode = (converted or {}).get(image.mode, image.mode)
    if mode not in _LAYOUTS:
        raise UnreadableError(_REFUSED_MODES.get(mode, f"its colours ({mode}) are not supported"))
    colours, alpha = _LAYOUTS[mode]
    shape = image.size[::-1] if colours == 1 else (*image.size[::-1], colours + alpha)
    layout = Layout(shape, "|b1" if mode == "1" else "|u1", colours, alpha)
    if format_name != "BMP":
        limits.check_expansion(image.size[0] * image.size[1] * (colours + alpha), size)
    encoding = _jpeg_encoding(image) if format_name == "JPEG" else {}

    def decode(_: int) -> Array:
        import numpy as np

        with _own_limits():
            image.load()
        return np.asarray(image if image.mode == mode else image.convert(mode))

    return Picture(format_name, [layout], decode, items, [], encoding)


def refusal(name: str, layout: Layout, count: int) -> str | None:
    """Why this format cannot hold pages like this; None when it can."""
    layout = layout.as_picture
    if count != 1:
        return f"{name} holds one picture, not {count}"
    if layout.dtype != "|u1":
        return f"{name} holds 8-bit pixels, this is {layout.words}; name a .png, .tif or .npy output"
    if name == "BMP" and 4 * math.prod(layout.shape[:2]) > _BMP_LARGEST:
        return f"BMP holds at most 4 GiB, this is {layout.words}; name a .png or .tif output"
    allowed = [(1, False), (3, False)] + ([] if name == "JPEG" else [(3, True)])
    if layout.extra or layout.colours == 0 or (layout.colours, layout.alpha) not in allowed:
        return f"{name} cannot hold {layout.words}; name a .png or .tif output"
    return None


def write_jpeg(file: BinaryIO, pages: Iterable[Array], like: Picture, saving: Saving) -> list[str]:
    """Store as JPEG with the tables of the input or finer ones, or at a quality; returns warnings."""
    native, taken, left = _metadata(like, "JPEG", (*_PORTABLE, "resolution"))
    options: dict[str, Any] = {"quality": saving.quality or DEFAULT_QUALITY, "optimize": True}
    warnings, (page,) = [], pages
    if like.format == "JPEG" and saving.quality is None and "qtables" not in like.encoding:
        options["subsampling"] = 0
        warnings.append(
            f"its pixels were stored without loss, and are not at JPEG quality {DEFAULT_QUALITY}; a .png or "
            ".tif output keeps them"
        )
    elif like.format == "JPEG" and saving.quality is None:
        options = like.encoding
    elif saving.quality is None or saving.quality >= DEFAULT_QUALITY:
        options["subsampling"] = 0
    encoded = _like_coded(page, **options) if "coded" in options else _encoded([page], "JPEG", **options)
    file.write(segments.jpeg_with(encoded, native, taken, keep_density="resolution" not in taken))
    return lost(left, "JPEG") + warnings


def _like_coded(page: Array, *, coded: int, **encoding: Any) -> bytes:
    """As the input was, or finer in no more bytes."""
    usual = _encoded([page], "JPEG", **encoding)
    for divisor, whole, growth in _FINER:
        if growth * len(usual) > coded or (whole and not encoding.get("subsampling")):
            continue
        tables = {n: [-(-step // divisor) for step in t] for n, t in encoding["qtables"].items()}
        more = {"qtables": tables} | ({"subsampling": 0} if whole else {})
        if len(finer := _encoded([page], "JPEG", **{**encoding, **more})) <= coded:
            return finer
    return usual


def write_webp(file: BinaryIO, pages: Iterable[Array], like: Picture, saving: Saving) -> list[str]:
    """Store as WebP, lossless where the input was; returns warnings."""
    native, taken, left = _metadata(like, "WebP", _PORTABLE)
    lossless = like.encoding.get("lossless", like.format != "JPEG") and saving.quality is None
    options: dict[str, Any] = {
        "lossless": lossless,
        "quality": saving.quality or DEFAULT_QUALITY,
        "exact": True,
    }
    by_kind = taken | {i.kind: i for i in native}
    known = {"icc_profile": by_kind.get("icc"), "xmp": by_kind.get("xmp")}
    options |= {name: item.content for name, item in known.items() if item is not None}
    exif = exif_of(by_kind)
    if exif is not None:
        options["exif"] = exif
    file.write(_encoded(pages, "WEBP", **options))
    return lost(left, "WebP")


def write_bmp(file: BinaryIO, pages: Iterable[Array], like: Picture, saving: Saving) -> list[str]:
    """Store as BMP, which keeps the resolution; returns warnings."""
    _, taken, left = _metadata(like, "BMP", ("resolution",))
    dpi = dots_per_inch(taken["resolution"].content) if "resolution" in taken else None
    (page,) = pages
    if page.ndim == 3 and page.shape[2] == 4:
        file.write(_bmp_with_alpha(page, dpi))
    else:
        file.write(_encoded([page], "BMP", **({"dpi": dpi} if dpi else {})))
    return lost(left, "BMP")


def _bmp_with_alpha(page: Array, dpi: tuple[float, float] | None) -> bytes:
    """A BMP file whose header, the fourth version's, has a mask for alpha, which Pillow's has not."""
    import numpy as np

    height, width = page.shape[:2]
    rows = np.ascontiguousarray(page[::-1, :, [2, 1, 0, 3]]).tobytes()
    metre = [round(d / 0.0254) for d in dpi or (0, 0)]
    start = 14 + _BMP_V4
    parts = [
        struct.pack("<2sIHHI", b"BM", start + len(rows), 0, 0, start),
        struct.pack("<IiiHHIIiiII", _BMP_V4, width, height, 1, 32, 3, len(rows), *metre, 0, 0),
        struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000),
        b"BGRs".ljust(52, b"\0"),  # sRGB, without end points and gamma
        rows,
    ]
    return b"".join(parts)


def _encoded(pages: Iterable[Array], name: str, **options: Any) -> bytes:
    from io import BytesIO

    import numpy as np
    from PIL import Image

    (page,) = pages
    memory = BytesIO()
    Image.fromarray(np.ascontiguousarray(page)).save(memory, name, **options)
    return memory.getvalue()


def _metadata(
    like: Picture, name: str, kinds: tuple[str, ...]
) -> tuple[list[Item], dict[str, Item], list[Item]]:
    """Items to write as they stood, items to write anew, items that are lost."""
    native = [i for i in like.metadata if i.raw is not None and like.format == name]
    taken, left = split([i for i in like.metadata if i not in native], kinds)
    return native, taken, left


def _jpeg_encoding(image: Any) -> dict[str, Any]:
    """The tables and subsampling of a JPEG file, to write another like it."""
    from PIL import JpegImagePlugin

    if not image.quantization:
        return {}  # lossless JPEG
    encoding: dict[str, Any] = {"qtables": image.quantization, "optimize": True}
    subsampling = JpegImagePlugin.get_sampling(image)
    if image.mode == "RGB":
        encoding["subsampling"] = max(subsampling, 0)  # -1: one Pillow has no name for; 0 loses nothing
    if image.info.get("progressive"):
        encoding["progressive"] = True
    return encoding


@contextlib.contextmanager
def _own_limits() -> Iterator[None]:
    """Pillow's own pixel limit steps aside for ours: opening reads a header, no pixels."""
    from PIL import Image

    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with python_warnings.catch_warnings():
            python_warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before
