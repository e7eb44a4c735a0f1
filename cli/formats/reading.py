"""Reading pictures: what it is, whether it is within limits, and only then its pixels.

Formats are an allow-list, recognised by content and never by name; no address is ever opened.  Whatever a
decoder raises comes out as one error.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from io import BytesIO
from typing import Any, BinaryIO

from ..status import CommandError, LimitError, UnreadableError, UnwritableError, UsageError, reason_of
from . import refused
from .further.graphics import is_tga
from .limits import MEBI, Limits
from .picture import Array, Layout, Picture, Saving, plain

MAX_PIPED = 2048 * MEBI  # bytes taken from standard input


@dataclass(frozen=True)
class Format:
    """Where a format is implemented, and by what names its files go."""

    module: str
    opener: str
    writer: str
    suffixes: tuple[str, ...]
    mask_opener: str = ""  # where masks may be stored as pictures may not

    def function(self, name: str) -> Callable[..., Any]:
        """One of its functions, loaded now."""
        found: Callable[..., Any] = getattr(import_module(f".{self.module}", __package__), name)
        return found


FORMATS = {
    "PNG": Format("png", "open_picture", "write", (".png",), "open_mask"),
    "JPEG": Format("raster", "open_jpeg", "write_jpeg", (".jpg", ".jpeg", ".jpe")),
    "TIFF": Format("tiff.read", "open_picture", "write", (".tif", ".tiff", ".btf"), "open_mask"),
    "WebP": Format("raster", "open_webp", "write_webp", (".webp",)),
    "BMP": Format("raster", "open_bmp", "write_bmp", (".bmp",), "open_bmp_mask"),
    "NPY": Format("npy", "open_picture", "write", (".npy",)),
    "PGM": Format("further.netpbm", "open_picture", "write", (".pgm",)),
    "PPM": Format("further.netpbm", "open_picture", "write", (".ppm",)),
    "PNM": Format("further.netpbm", "open_picture", "write", (".pnm",)),
    "PFM": Format("further.netpbm", "open_floats", "write_floats", (".pfm",)),
    "HDR": Format("further.radiance", "open_picture", "write", (".hdr",)),
    "EXR": Format("further.exr", "open_picture", "write", (".exr",)),
    "NIfTI": Format("further.nifti", "open_picture", "write", (".nii", ".nii.gz")),
    "CSV": Format("further.table", "open_picture", "write", (".csv", ".tsv")),
    "SPE": Format("further.foreign", "open_spe", "", (".spe",)),
    "JPEG 2000": Format("further.jpeg2000", "open_picture", "", (".jp2", ".j2k", ".jpf", ".jpx")),
    "QOI": Format("further.foreign", "open_qoi", "", (".qoi",)),
    "SGI": Format("further.graphics", "open_sgi", "", (".sgi", ".rgb", ".bw")),
    "TGA": Format("further.graphics", "open_tga", "", (".tga",)),
}
READ_SUFFIXES = {suffix: name for name, f in FORMATS.items() for suffix in f.suffixes}
SUFFIXES = {suffix: name for suffix, name in READ_SUFFIXES.items() if FORMATS[name].writer}  # of outputs
READ_ONLY_TO = "TIFF"  # what results of pictures become in whose format nothing is written
READABLE = (
    "PNG, JPEG, TIFF, WebP, BMP, NPY, PGM, PPM, PFM, HDR, EXR, NIfTI, CSV, JPEG 2000, QOI, SGI, SPE and TGA"
)
#: Suffixes of films, and what FFmpeg calls the container.
FILMS = {
    ".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".avi": "avi",
    ".ts": "mpegts", ".y4m": "yuv4mpegpipe", ".apng": "apng",
}  # fmt: skip
_SIGNATURES = (
    (rb"\x89PNG\r\n\x1a\n", "PNG"),
    (rb"\xff\xd8\xff", "JPEG"),
    (rb"II[*+]\0|MM\0[*+]", "TIFF"),
    (rb"RIFF....WEBP", "WebP"),
    (rb"BM", "BMP"),
    (rb"\x93NUMPY", "NPY"),
    (rb"P[1245][\s#]", "PGM"),
    (rb"P[36][\s#]", "PPM"),
    (rb"P[Ff]\s", "PFM"),
    (rb"#\?(RADIANCE|RGBE)\s", "HDR"),
    (rb"\x76\x2f\x31\x01", "EXR"),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "JPEG 2000"),
    (rb"qoif", "QOI"),
    (rb"\x1f\x8b|\x5c\x01\0\0|\0\0\x01\x5c|\x1c\x02\0\0|\0\0\x02\x1c", "NIfTI"),  # sizes of its header
    (rb"\x01\xda[\0\1][\1\2]\0[\1-\3]", "SGI"),
)
_TABLE = rb"[^\0-\x08\x0e-\x1f\x7f]*[0-9#,;\t ][^\0-\x08\x0e-\x1f\x7f]*"  # text, with a number or a separator
_SPE_MAGIC = (4096, b"\x67\x45\x23\x01")  # far behind the start of the file


def written_as(name: str) -> str:
    """The format of the results of a picture."""
    return name if FORMATS[name].writer else READ_ONLY_TO


def writer_of(name: str, pages: Sequence[Layout]) -> Callable[..., list[str]]:
    """The function that writes a format, once it has been asked whether it can hold such pages.

    Formats that know one meaning of numbers get what looks the same in it.  What was written is looked at
    once more, as a reader will: by its first bytes.
    """
    chosen = FORMATS[name]
    refusal = chosen.function("refusal")
    for layout in pages:
        reason = refusal(name, layout, len(pages))
        if reason:
            raise UnwritableError(reason)
    write: Callable[..., list[str]] = chosen.function(chosen.writer)
    if name != "TIFF" and any(page.white_is_zero or page.full_scale for page in pages):
        write = _toned(write, name, pages)

    def checked(file: BinaryIO, *rest: Any) -> list[str]:
        warnings = write(file, *rest)
        if FORMATS[format_of(file)].module != chosen.module:
            raise UnwritableError(f"what was written is no {name}; nothing was kept")
        file.seek(0, os.SEEK_END)
        return warnings

    return checked


def _toned(write: Callable[..., list[str]], name: str, pages: Sequence[Layout]) -> Callable[..., list[str]]:
    """A writer of numbers of one meaning; bare arrays and floats stay as they are, and that is said."""
    largest = next((f", {p.full_scale} is full" for p in pages if p.full_scale), "")
    white = "0 is white" if pages[0].white_is_zero else "0 is black"

    def toned(file: BinaryIO, arrays: Iterable[Array], like: Picture, saving: Saving) -> list[str]:
        if name == "NPY" or pages[0].kind == "f":
            return [*write(file, arrays, like, saving), f"{name} output keeps the numbers: {white}{largest}"]
        return write(file, (plain(a, p) for a, p in zip(arrays, pages, strict=False)), like, saving)

    return toned


@contextmanager
def opened(name: str, limits: Limits, piped: BinaryIO) -> Iterator[Picture]:
    """An open picture; `-` is standard input."""
    with source(name, piped) as (file, size):
        yield described(file, size, limits)


@contextmanager
def source(name: str, piped: BinaryIO) -> Iterator[tuple[BinaryIO, int]]:
    """A file and its size, not yet looked at; errors on the way know its name."""
    try:
        with _source(name, piped) as found:
            yield found
    except CommandError as error:
        error.input = error.input or name
        raise


@contextmanager
def _source(name: str, piped: BinaryIO) -> Iterator[tuple[BinaryIO, int]]:
    if name == "-":
        data = piped.read(MAX_PIPED + 1)
        if len(data) > MAX_PIPED:
            raise LimitError(f"standard input holds more than {MAX_PIPED:,} bytes; save it to a file first")
        with BytesIO(data) as memory:
            yield memory, len(data)
        return
    with _regular_file(name) as file:
        yield file, os.fstat(file.fileno()).st_size


def _regular_file(name: str) -> BinaryIO:
    """A file opened for reading: never an address, a device, a pipe or a folder."""
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", name):
        raise UsageError("addresses are never opened; download the file first")
    try:
        # A named pipe or a device must not stop us before we know that it is one.
        file = open(name, "rb", opener=_at_once)  # noqa: SIM115 - the caller closes it
    except FileNotFoundError:
        raise UnreadableError("there is no such file") from None
    except (OSError, ValueError) as error:
        raise UnreadableError(f"it cannot be opened: {getattr(error, 'strerror', None) or error}") from None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise UnreadableError("it is not a regular file; use - to read from a pipe")
    return file


def _at_once(name: str, flags: int) -> int:
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))


def format_of(file: BinaryIO) -> str:
    """The format, by the first bytes."""
    file.seek(0)
    start = file.read(64)
    for pattern, name in _SIGNATURES:
        if re.match(pattern, start, re.DOTALL):
            return name
    file.seek(_SPE_MAGIC[0])
    if file.read(4) == _SPE_MAGIC[1]:
        return "SPE"
    refused.check(file, start)
    if re.fullmatch(_TABLE, start, re.DOTALL):
        return "CSV"
    if is_tga(start):
        return "TGA"
    what = "empty" if not start else "not a picture of a known format"
    raise UnreadableError(f"it is {what}; {READABLE} can be read")


def described(file: BinaryIO, size: int, limits: Limits, mask: bool = False) -> Picture:
    """The picture in an open file; as a mask it may also have a palette."""
    name = format_of(file)
    chosen = FORMATS[name]
    opener = (mask and chosen.mask_opener) or chosen.opener
    file.seek(0)
    with one_error(name):
        picture: Picture = chosen.function(opener)(file, size, limits)
    inner = picture.decode

    def decode(page: int) -> Array:
        with one_error(name):
            return inner(page)

    picture.decode = decode
    return picture


@contextmanager
def one_error(format_name: str) -> Iterator[None]:
    """Whatever a decoder raises, as one error that names the damaged format."""
    try:
        yield
    except (CommandError, MemoryError):
        raise
    except Exception as error:
        words = f"it is damaged, or no {format_name} that can be read ({reason_of(error)})"
        raise UnreadableError(words) from error
