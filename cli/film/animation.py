"""Animated pictures, GIF, PNG and WebP: films, told from still ones by their blocks."""

from __future__ import annotations

from typing import BinaryIO

_GIF, _PNG = (b"GIF87a", b"GIF89a"), b"\x89PNG\r\n\x1a\n"
_EXTENSION, _IMAGE, _TABLE = 0x21, 0x2C, 0x80


def is_animation(file: BinaryIO) -> bool:
    """Whether a file is a GIF of several frames, or a PNG or WebP that says so before its pixels."""
    file.seek(0)
    start = file.read(13)
    if start[:6] in _GIF and len(start) == 13:
        _skip_table(file, start[10])
        return _has_two_frames(file)
    if start[:8] == _PNG:
        file.seek(len(_PNG))
        return _controls_animation(file)
    return is_animated_webp(file)


def is_animated_webp(file: BinaryIO) -> bool:
    """Whether a file is a WebP whose first chunk says so."""
    file.seek(0)
    start = file.read(21)
    return start[:4] == b"RIFF" and start[8:16] == b"WEBPVP8X" and len(start) == 21 and bool(start[20] & 2)


def size_of_webp(file: BinaryIO) -> tuple[int, int]:
    """Width and height of such a file."""
    file.seek(24)
    size = file.read(6).ljust(6, b"\0")
    return int.from_bytes(size[:3], "little") + 1, int.from_bytes(size[3:], "little") + 1


def _has_two_frames(file: BinaryIO) -> bool:
    """Of the blocks of a GIF file."""
    frames = 0
    while head := file.read(1):
        if head[0] == _IMAGE:
            frames += 1
            place = file.read(9)
            if frames == 2 or len(place) < 9:
                return frames == 2
            _skip_table(file, place[8])
        elif head[0] != _EXTENSION:
            return False
        file.seek(1, 1)  # the kind of an extension, or how pixels are packed
        while (size := file.read(1)) and size[0]:
            file.seek(size[0], 1)
    return False


def _skip_table(file: BinaryIO, flags: int) -> None:
    """Go behind a table of colours, where the flags say that there is one."""
    if flags & _TABLE:
        file.seek(3 * 2 ** ((flags & 7) + 1), 1)


def _controls_animation(file: BinaryIO) -> bool:
    """Whether a chunk acTL stands before the pixels of a PNG file."""
    while len(head := file.read(8)) == 8:
        if head[4:] in (b"acTL", b"IDAT", b"IEND"):
            return head[4:] == b"acTL"
        file.seek(int.from_bytes(head[:4], "big") + 4, 1)
    return False
