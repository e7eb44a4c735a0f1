"""A TIFF file from a store that is complete: page by page and tile by tile, as the source was stored."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from ..files import writing
from ..formats.convert import in_type
from ..formats.limits import Limits
from ..formats.picture import Array, Picture, Saving
from ..formats.tiff import write as tiff
from ..formats.tiff.pieces import BUFFER, TILE, Pieces, in_tiles
from ..formats.tiff.storage import Storage
from .job import Images
from .look import picture_of
from .ome import fits as ome_fits
from .source import Source
from .target import Target

ENDINGS = (".tif", ".tiff", ".btf")
_CLASSIC = 2**32 - 2**25  # bytes that a TIFF without 64-bit offsets can hold
_OME_TYPES = {"i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8"}


def write(
    output: Path, overwrite: bool, images: Images, target: Target, limits: Limits, tick: Callable[[], None]
) -> list[str]:
    """The file in one step, once it is whole; returns warnings."""
    source, warnings = images.source, list[str]()
    with writing.replacing(output, overwrite=overwrite) as file:
        if source.kind == "tiff":
            like = _like(source, images.dtype, limits, warnings)
            pages = _pages(images, target, like.encoding, tick)
            warnings += tiff.write(file, pages, like, Saving(name=output.name))
        else:
            _write_stack(file, images, target, tick)
    return list(dict.fromkeys(warnings))


def levels_kept(source: Source) -> int:
    """How many of the lower resolutions a page has room for: of planes, as many as the page's own."""
    flat = [a for a, name in enumerate(source.axes) if name not in ("y", "x")]
    full = source.shape
    for level in range(1, len(source.arrays)):
        if any(source.array(level).shape[a] != full[a] for a in flat):
            return level - 1
    return len(source.arrays) - 1


def _like(source: Source, dtype: str, limits: Limits, warnings: list[str]) -> Picture:
    """How the source is stored, and what its pages carry, for every plane of the image."""
    import numpy as np

    picture = picture_of(source.path, limits)
    planes = len(picture.encoding["places"])
    stored: list[Storage] = [in_tiles(s.writable(warnings), warnings) for s in picture.encoding["pages"]]
    stored *= planes // len(stored)  # ImageJ stores many planes behind one page
    size = math.prod(source.shape) * np.dtype(dtype).itemsize
    big = bool(picture.encoding["big"]) or size > _CLASSIC
    like = replace(picture, encoding={**picture.encoding, "pages": stored, "big": big})
    same = np.dtype(dtype).str[1:] == like.pages[0].dtype[1:]
    return like if same else in_type(like, np.dtype(dtype).name)


def _pages(
    images: Images, target: Target, encoding: dict[str, Any], tick: Callable[[], None]
) -> Iterator[Pieces]:
    """Every page in the order of the source's file."""
    import numpy as np

    source, dtype = images.source, np.dtype(images.dtype)
    order = tuple(source.axes.index(name) for name in "yxs" if name in source.axes)
    outside = tuple(a for a in range(len(source.axes)) if a not in order)
    shape = tuple(source.shape[a] for a in outside)
    levels = range(1, len(target.arrays))
    for n, place in enumerate(encoding["places"]):
        index = map(int, np.unravel_index(place, shape)) if shape else ()
        fixed = dict(zip(outside, index, strict=True))
        full, *lower = (_piece(target.array(m), fixed, order, dtype, tick) for m in (0, *levels))
        if n:  # of the others the source's say nothing
            yield replace(full, lower=tuple(lower) if encoding["within"] else ())
            continue
        lower = [
            replace(each, texts=texts, subfile=kind)
            for each, (texts, kind) in zip(lower, encoding["lower"], strict=False)
        ]
        made = dict(zip(levels, lower, strict=True))
        behind = (made.get(each) if isinstance(each, int) else each for each in encoding["behind"])
        follow = tuple(each for each in behind if each is not None)
        yield replace(full, lower=tuple(lower) if encoding["within"] else (), behind=follow)


def _piece(
    array: Any, fixed: dict[int, int], order: tuple[int, ...], dtype: Any, tick: Callable[[], None]
) -> Pieces:
    """A page by its regions: rows, columns and samples are the axes in `order`."""
    import numpy as np

    rest = [a for a in range(array.ndim) if a not in fixed]

    def read(rows: slice, columns: slice) -> Array:
        tick()
        where: dict[int, Any] = {order[0]: rows, order[1]: columns, **fixed}
        part = np.asarray(array[tuple(where.get(a, slice(None)) for a in range(array.ndim))])
        return part.transpose([rest.index(a) for a in order])

    return Pieces(tuple(int(array.shape[a]) for a in order), dtype, read)


def _write_stack(file: BinaryIO, images: Images, target: Target, tick: Callable[[], None]) -> None:
    """What was no TIFF: OME-TIFF where its axes have names for that, else as tifffile describes an array."""
    import numpy as np
    import tifffile

    source, axes, dtype = images.source, images.axes, np.dtype(images.dtype)
    channel = () if axes.channel is None else (axes.channel,)
    named = {"y", "x"} <= set(source.axes)
    plane = tuple(source.axes.index(name) for name in "yx") if named else axes.grid[-2:]
    order = (*plane, *channel)
    outside = tuple(a for a in range(len(source.shape)) if a not in order)
    ome = not channel and ome_fits(source) and dtype.str[1:] in _OME_TYPES
    options: dict[str, Any] = {"tile": TILE, "compression": "zlib", "predictor": True, "buffersize": BUFFER}
    options["photometric"] = "rgb" if channel and source.shape[channel[0]] in (3, 4) else "minisblack"
    if channel:
        options["planarconfig"] = "contig"
    arrays = [target.array(level) for level in range(len(target.arrays))]
    big = math.prod(source.shape) * dtype.itemsize > _CLASSIC
    with tifffile.TiffWriter(file, bigtiff=big, ome=ome) as writer:
        for level, array in enumerate(arrays):
            shape = tuple(int(array.shape[a]) for a in (*outside, *order))
            planes = (dict(zip(outside, i, strict=True)) for i in np.ndindex(shape[: len(outside)]))
            pages = (_piece(array, fixed, order, dtype, tick) for fixed in planes)
            tiles = chain.from_iterable(page.tiles(Storage(tile=TILE)) for page in pages)
            more: dict[str, Any] = {"subfiletype": 1} if level else {"subifds": len(arrays) - 1 or None}
            if ome and not level:
                more["metadata"] = _ome(source, (*outside, *order))
            writer.write(tiles, shape=shape, dtype=dtype, **options, **more)


def _ome(source: Source, order: tuple[int, ...]) -> dict[str, Any]:
    """tifffile's words for axes, sizes of pixels and names of channels."""
    scale = source.scale
    found: dict[str, Any] = {"axes": "".join(source.axes[a] for a in order).upper()}
    for name, size in (("X", scale.x), ("Y", scale.y), ("Z", scale.z)):
        if size:
            found |= {f"PhysicalSize{name}": size, f"PhysicalSize{name}Unit": "µm"}
    if scale.t:
        found |= {"TimeIncrement": scale.t, "TimeIncrementUnit": "s"}
    if scale.channels:
        found["Channel"] = {"Name": list(scale.channels)}
    return found
