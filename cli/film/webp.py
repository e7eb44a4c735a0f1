"""Animated WebP, which FFmpeg writes and does not read: its frames as a film without loss that it reads."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any, BinaryIO

from ..formats.limits import Limits
from ..formats.reading import one_error
from .animation import is_animated_webp, size_of_webp

_LEAST = 10  # ms of a frame: players take less for 100


@contextmanager
def read_by_ffmpeg(file: BinaryIO) -> Iterator[tuple[BinaryIO, list[str]]]:
    """The file, or a temporary one with the frames and times of an animated WebP; and what it leaves out."""
    if not (file.seekable() and is_animated_webp(file)):
        if file.seekable():
            file.seek(0)
        yield file, []
        return
    Limits().check_pixels(*size_of_webp(file))
    file.seek(0)
    with tempfile.TemporaryFile() as film:
        with one_error("WebP"):
            left = _convert(file, film)
        film.seek(0)
        yield film, [f"its {' and '.join(left)} is left out"] if left else []


def _convert(file: BinaryIO, film: BinaryIO) -> list[str]:
    """Every frame by Pillow, stored as FFV1; returns what a film does not hold."""
    import av
    import numpy as np
    from PIL import Image

    with Image.open(file, formats=["WEBP"]) as picture, av.open(film, "w", format="matroska") as container:
        stream: Any = container.add_stream("ffv1", rate=Fraction(1000, max(_LEAST, _duration(picture))))
        stream.width, stream.height = picture.size
        stream.pix_fmt = "bgra" if picture.mode == "RGBA" else "bgr0"
        stream.codec_context.time_base = Fraction(1, 1000)
        form, at = ("rgba" if picture.mode == "RGBA" else "rgb24"), 0
        for n in range(picture.n_frames):  # type: ignore[attr-defined]
            picture.seek(n)
            frame = av.VideoFrame.from_ndarray(np.asarray(picture), form)
            shown = max(_LEAST, _duration(picture))
            frame.pts, frame.time_base, frame.duration = at, Fraction(1, 1000), shown
            container.mux(stream.encode(frame))
            at += shown
        container.mux(stream.encode(None))
        return [word for name, word in _LEFT.items() if picture.info.get(name)]


_LEFT = {"icc_profile": "colour profile", "exif": "EXIF", "xmp": "XMP"}


def _duration(picture: Any) -> int:
    """How long the frame is shown, in ms."""
    picture.load()
    return int(picture.info.get("duration", 0))
