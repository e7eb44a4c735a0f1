"""What is in a file or store that is read by regions: Zarr and OME-Zarr, NPY by memory map, TIFF."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from dataclasses import replace
from operator import itemgetter
from typing import Any

from ..formats.limits import Limits
from ..formats.npy import SIGNATURE
from ..formats.picture import Picture
from ..formats.tiff.pieces import Pieces
from ..status import UnreadableError, reason_of
from . import ome
from .source import Source, is_store, needed

#: Codecs that read numbers and run nothing: that of pickles, for one, is none of them.
_CODECS = {
    *("bytes", "endian", "transpose", "sharding_indexed", "crc32c", "crc32", "adler32", "fletcher32"),
    *("blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd", "shuffle", "bitround", "delta"),
    *("fixedscaleoffset", "packbits", "quantize"),
}
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ANY = 2**62  # pixels are never all in memory
_DESCRIPTION = 270
_KEPT = {"resolution", "TIFF tag 270"}  # in a Zarr store too: of 270, ImageDescription, the text
#: Series that tifffile finds beside a slide's picture; what they are called says what they are.
_OF_SLIDES = ("label", "macro", "thumbnail", "overview", "map")


def source_of(path: str, limits: Limits, *, mask: bool = False) -> Source:
    """Look at what a path names; as a mask it may hold bool."""
    if is_store(path):
        return _zarr(path, mask)
    try:
        with open(path, "rb") as file:
            start = file.read(8)
    except OSError as error:
        raise UnreadableError(f"it cannot be opened: {error.strerror}") from None
    if start.startswith(SIGNATURE):
        return Source(path, "npy", modified=os.stat(path).st_mtime_ns)
    if start[:4] in _TIFF:
        return _tiff(path, limits)
    raise UnreadableError("by regions Zarr stores, TIFF and NPY files can be read; this is none of them")


def _zarr(path: str, mask: bool) -> Source:
    """An array, or the full resolution of an OME-Zarr image with the lower ones."""
    zarr = needed("zarr")
    try:
        node = zarr.open(path, mode="r")
        attributes = dict(node.attrs)
    except Exception as error:
        raise UnreadableError(f"it is no Zarr store that can be read ({reason_of(error)})") from None
    if isinstance(node, zarr.Array):
        names = getattr(node.metadata, "dimension_names", None) or ()
        axes = tuple(names) if names and all(names) else ()
        return _checked(Source(path, "zarr", ("",), axes, json.dumps(attributes)), node, mask)
    images = attributes.get("ome", attributes).get("multiscales")
    if not images:
        inside = ", ".join(sorted(name for name, _ in node.members())[:8]) or "nothing"
        raise UnreadableError(
            f"it is a group without an OME-Zarr image (it holds {inside}); name one in it, as in {path}/0"
        )
    first = images[0]
    axes = tuple(a["name"] if isinstance(a, dict) else a for a in first.get("axes", ()))
    levels = tuple(d["path"] for d in first["datasets"])
    if any(os.path.isabs(p) or ".." in p.split("/") for p in levels):
        raise UnreadableError("it names a resolution outside of itself")
    source = Source(path, "zarr", levels, axes, json.dumps(attributes), scale=ome.scale_of(attributes, axes))
    others = sorted({name for name, _ in node.members()} - {level.split("/")[0] for level in levels})
    left = (f"left out: {', '.join(others)}",) if others else ()
    return _checked(replace(source, warnings=left), source.array(), mask)


def _checked(source: Source, array: Any, mask: bool) -> Source:
    """The source, if its names of axes fit, and nothing but known codecs is asked to read it."""
    if source.axes and len(source.axes) != len(array.shape):
        raise UnreadableError(f"it names {len(source.axes)} axes, and has {len(array.shape)}")
    if array.dtype.kind not in ("iufb" if mask else "iuf"):
        raise UnreadableError(f"it holds {array.dtype}; pixels are integers or floating-point numbers")
    for level in range(len(source.arrays)):
        unknown = sorted(set(_codecs(source.array(level).metadata.to_dict())) - _CODECS)
        if unknown:
            raise UnreadableError(f"it is stored with {', '.join(unknown)}, which this program does not run")
    return source


def _codecs(described: Any) -> Iterator[str]:
    """The names of all codecs in the description of an array, also of those within others."""
    if not isinstance(described, dict):
        return
    every = [described.get("compressor"), *(described.get("filters") or ()), *(described.get("codecs") or ())]
    for codec in filter(None, every):
        known = codec if isinstance(codec, dict) else codec.to_dict() if hasattr(codec, "to_dict") else {}
        known = known or codec.get_config()  # of numcodecs
        yield str(known.get("name") or known.get("id")).removeprefix("numcodecs.")
        inside = known.get("configuration") or {}
        yield from _codecs(inside)
        yield from _codecs({"codecs": inside.get("index_codecs")})


def _tiff(path: str, limits: Limits) -> Source:
    """The one image of a TIFF file, or the picture of a slide without its label, with lower resolutions."""
    from tifffile import TiffFile

    needed("zarr")
    try:
        with TiffFile(path) as file:
            image, *others = file.series
            axes, levels = image.axes, len(image.levels)
            text = image.keyframe.description
            sizes = [series.shape for series in file.series]
            beside = [series.name for series in others]
            files = {page.parent.filehandle.path for page in image.pages if page is not None}
            whole = all(page is not None for page in image.pages)
    except Exception as error:
        raise UnreadableError(f"it is damaged, or no TIFF that can be read ({error})") from None
    slide = all(any(word in name.lower() for word in _OF_SLIDES) for name in beside)
    if others and not slide:
        listed = ", ".join(" x ".join(map(str, shape)) for shape in sizes[:4])
        raise UnreadableError(
            f"its pages are {len(sizes)} images of different sizes or types ({listed}), and a store holds "
            "one: give each page a file of its own"
        )
    if not whole or len(files) > 1:
        raise UnreadableError(
            "it is one of a set of files with one description (OME); join them to one first"
        )
    picture = picture_of(path, limits)
    if any(layout != picture.pages[0] for layout in picture.pages):
        raise UnreadableError("its pages differ in what their samples are; give each page a file of its own")
    warnings = [*picture.warnings, *([f"not denoised: {', '.join(beside)}"] if beside else [])]
    return Source(
        path,
        "tiff",
        tuple(map(str, range(levels))),
        ome.ordered(axes.lower()),
        json.dumps({"ImageDescription": text} if text else {}),
        os.stat(path).st_mtime_ns,
        layout=picture.pages[0],
        scale=picture.encoding["scale"],
        carried=tuple(sorted({item.name for item in picture.metadata} - _KEPT)),
        warnings=tuple(warnings),
    )


def picture_of(path: str, limits: Limits) -> Picture:
    """The pages of a TIFF's image: what their pixels are and what else they carry.

    With the place of each among the images of the source, whose axes may have another order.
    """
    import numpy as np
    from tifffile import TiffFile

    from ..formats.tiff.read import open_stack

    with TiffFile(path) as tiff:
        full, *lower = tiff.series[0].levels
        pages = [page for page in full.pages if page is not None]
        stack = {name.lower(): n for n, name in zip(full.shape, full.axes, strict=True) if name not in "YXS"}
        wanted = [name for name in ome.ordered(full.axes.lower()) if name in stack]
        numbers = np.arange(math.prod(stack.values())).reshape([stack[name] for name in wanted])
        numbers = numbers.transpose([wanted.index(name) for name in stack]).ravel()
        within = bool(lower) and len(lower[0].keyframe.treeindex) > 1
        behind: list[tuple[int, Any]] = [(s.keyframe.index, _copied(s.keyframe)) for s in tiff.series[1:]]
        kinds = [(_descriptions(level.keyframe), int(level.keyframe.subfiletype)) for level in lower]
        if not within:
            behind += [(level.keyframe.index, n) for n, level in enumerate(lower, start=1)]
    # in the order of the file, in which other descriptions may count them, and not of the axes
    order = sorted(range(len(pages)), key=lambda n: pages[n].index)
    by_region = replace(limits, pixels=_ANY, expansion=_ANY)
    with open(path, "rb") as file:
        size = os.path.getsize(path)
        picture = open_stack(file, size, by_region, [pages[n].offset for n in order])
    places = [int(n) for n in (numbers[order] if len(order) == len(numbers) else numbers)]
    follow = [each for _, each in sorted(behind, key=itemgetter(0))]
    more = {"places": places, "within": within, "behind": follow, "lower": kinds}
    return replace(picture, encoding={**picture.encoding, **more})


def _copied(page: Any) -> Pieces:
    """A small page that is kept as it is."""
    pixels = page.asarray()
    if page.axes.startswith("S"):
        pixels = pixels.transpose(1, 2, 0)

    def read(rows: slice, columns: slice) -> Any:
        return pixels[rows, columns]

    return Pieces(pixels.shape, pixels.dtype, read, texts=_descriptions(page), subfile=int(page.subfiletype))


def _descriptions(page: Any) -> tuple[bytes, ...]:
    """All of a page, of which there may be two."""
    return tuple(str(tag.value).encode() for tag in page.tags if tag.code == _DESCRIPTION)


def page_bytes(path: str) -> int:
    """Bytes of the pixels of the first page of a TIFF file, or of an NPY file; 0 for anything else."""
    import numpy as np
    from tifffile import TiffFile

    try:
        with open(path, "rb") as file:
            start = file.read(8)
        if start.startswith(SIGNATURE):
            return int(np.load(path, mmap_mode="r", allow_pickle=False).nbytes)
        if start[:4] not in _TIFF:
            return 0
        with TiffFile(path) as tiff:
            page = tiff.pages.first
            return int(math.prod(page.shape)) * max(1, page.bitspersample // 8)
    except Exception:
        return 0  # which is said where it is read
