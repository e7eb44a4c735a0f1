"""Which pages of a file are denoised together: each by itself, or as the planes of volumes."""

from __future__ import annotations

from ..status import UsageError
from .picture import Picture

Axis = (
    int | str | None
)  #: along which a file has pictures of their own: a number of a bare array, or a letter


def groups(picture: Picture, *, volume: bool, axis: Axis) -> list[list[int]]:
    """The pages of each picture or volume, in order of z."""
    pages = len(picture.pages)
    bare = picture.pages[0].colours == 0 and picture.format == "NPY"
    if isinstance(axis, str) and bare:
        raise UsageError(
            f"--axis {axis}: the axes of this array have no names; give a number, as in --axis 0"
        )
    if isinstance(axis, int) and not bare:
        raise UsageError(f"--axis {axis} is for bare arrays; name an axis of this file: t, z or c")
    if pages == 1 or not (volume or axis is not None):
        return [[page] for page in range(pages)]
    if picture.volumes:
        return [list(found) for found in picture.volumes(axis if isinstance(axis, str) else None)]
    if axis not in (None, "t"):
        raise UsageError(f"--axis {axis}: its pages follow each other along t")
    return [[page] for page in range(pages)] if axis else [list(range(pages))]
