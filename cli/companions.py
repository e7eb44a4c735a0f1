"""Pictures that go with the input: its mask, its guide, its map of noise levels."""

from __future__ import annotations

from typing import BinaryIO

from .formats.limits import Limits
from .formats.metadata import LYING, orientation
from .formats.picture import Array, Layout, Picture, data
from .formats.reading import described, opened, source
from .status import CommandError, UnreadableError, UsageError

#: Pixels as they are stored, and their orientation of 1 to 8.
Turned = tuple[Array | None, int]


def read(option: str, name: str | None, limits: Limits, piped: BinaryIO) -> Turned:
    """All that is data of the one picture in the file that an option names, if it names one."""
    if not name:
        return None, 1
    try:
        with opened(name, limits, piped) as picture:
            samples, layout = _only_page(picture)
            if option == "sigma-map" and len(layout.data) > 1:
                raise UsageError(
                    f"it is {layout.words}, and one noise level is of all samples: give a grey one"
                )
            return data(samples, layout), orientation(picture)
    except CommandError as error:
        raise type(error)(f"--{option} {name}: {error}") from error


def read_mask(name: str | None, limits: Limits, piped: BinaryIO) -> Turned:
    """True where a mask is not black, as (H, W), or as it is for a bare array.

    Masks are seldom stored as pictures are: 1 bit, bool, a palette, black and white as RGB.  Of numbers
    0 is black, also in TIFF whose pages say that 0 is white, since programs that store bool there mean
    True by 1.  Of a palette it is the colour that counts, not its number.
    """
    if not name:
        return None, 1
    try:
        with source(name, piped) as (file, size):
            picture = described(file, size, limits, mask=True)
            samples, layout = _only_page(picture)
            colours = _seen(samples, layout)
    except CommandError as error:
        raise type(error)(f"--mask {name}: {error}") from error
    valid: Array = colours != 0
    if layout.colours == 3 or (layout.colours == 0 and layout.as_picture.colours == 3):
        valid = valid[..., :3].any(axis=-1)
    return valid, orientation(picture)


def check_place(option: str, companion: Array | None, turn: int, picture: Picture) -> list[str]:
    """Refuse a companion that lies otherwise than the picture, and say what orientations do to it.

    A warning where it could lie so or so: it fits as the picture is stored, and it would as it is shown.
    """
    layout = picture.pages[0].as_picture
    if companion is None or not layout.colours:
        return []
    turned = orientation(picture)
    if turn not in (1, turned):
        raise UsageError(
            f"--{option} has the orientation {turn}, the picture {turned}: turn the pixels of both upright "
            "first (for instance: magick in.jpg -auto-orient out.png)"
        )
    height, width = layout.shape[:2]
    if companion.shape[:2] == (height, width) and turn != turned and (height == width or turned not in LYING):
        return [
            f"it is shown turned, by its orientation ({turned}), and --{option} has none: it is taken to lie "
            "as the picture is stored"
        ]
    if companion.shape[:2] == (height, width):
        return []
    if companion.shape[:2] != (width, height):
        size = " x ".join(map(str, companion.shape[1::-1]))
        raise UsageError(f"--{option} is {size} (columns x rows), the picture is {width} x {height}")
    across = f"--{option} is {height} x {width} (columns x rows), the picture is stored as {width} x {height}"
    if turned in LYING:
        raise UsageError(
            f"{across} and is only shown upright, by its orientation ({turned}): make the {option} of the "
            "stored picture, or turn the pixels first (for instance: magick in.jpg -auto-orient out.png)"
        )
    raise UsageError(
        f"{across}: they lie across each other; turn the {option} (or the picture) by 90 degrees"
    )


def _only_page(picture: Picture) -> tuple[Array, Layout]:
    if len(picture.pages) > 1:
        raise UnreadableError(f"it has {len(picture.pages)} pages")
    return picture.decode(0), picture.pages[0]


def _seen(samples: Array, layout: Layout) -> Array:
    if layout.colours == 0 or layout.samples == 1:
        return samples
    return samples[..., :3] if layout.colours == 3 else samples[..., 0]
