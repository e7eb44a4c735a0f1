"""What denoising would do to a picture, how long it would take, and how much memory: without doing it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from .formats.picture import Array, Layout, Picture
from .job import Job, Split
from .progress import duration
from .views.words import number, one_sigma, radii_words

SAMPLE = 160  # pixels along each side of the piece that is timed
_PROGRAM = 75e6  # bytes of the interpreter with NumPy and the codecs (2026-11-23, as is the next)
_USED = 0.55  # part of the memory limit that tiles really take, which are halved until they fit
_LIBRARY_LIMIT = 3 * 2**26  # the library's own default for its work


@dataclass(frozen=True)
class Plan:
    """The forecast for one picture."""

    seconds: float
    memory: float  # bytes at the peak, the program itself included
    pages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def words(self) -> str:
        """For people."""
        first = self.pages[0]["parameters"]
        sigma = one_sigma(first.get("sigma"))
        noise = "" if sigma is None else f"sigma {number(sigma)}, "
        pages = f"{len(self.pages)} pages, " if len(self.pages) > 1 else ""
        radii = radii_words(first)
        return f"{pages}{noise}{radii}, about {_words(self.seconds)}, {self.memory / 1e6:.0f} MB"

    @property
    def details(self) -> dict[str, Any]:
        """For the JSON line."""
        return {"seconds": round(self.seconds, 2), "memory": round(self.memory), "pages": self.pages}


def _words(seconds: float) -> str:
    return f"{max(1, round(seconds))} s" if seconds < 60 else f"{duration(seconds)} min"


def preview(job: Job, picture: Picture) -> Plan:
    """Read the picture, choose its parameters, and time a small piece of it."""
    first = picture.pages[0]
    samples = picture.decode(0)
    split = Split.of(samples, first, job.options.channel_axis)
    chosen = job.suggested(split, first)
    seconds = _seconds(job, job.first_of(split, first), first, chosen)
    total = sum(page.pixels for page in picture.pages)
    each = {"parameters": chosen.to_dict()}
    pages = [{"shape": list(p.shape), "dtype": p.dtype, **each} for p in picture.pages]
    return Plan(seconds * total, memory_needed(job, picture), pages)


def memory_needed(job: Job, picture: Picture) -> float:
    """Bytes at the peak: the program, a page in and out, and what the library works with."""
    together = max(map(len, job.groups(picture)))
    largest = max(picture.pages, key=lambda page: page.pixels)
    pixels = largest.pixels * together
    channels = max(len(largest.data), 1)
    stored = pixels * max(largest.samples, 1) * largest.bits / 8
    copies = 2 if picture.format == "NPY" else 3  # before, after, and encoded
    planes = 4.0 * pixels * (3 * channels + 4)
    work = min(planes, _USED * float(job.options.running.get("memory_limit", _LIBRARY_LIMIT)))
    return _PROGRAM + copies * stored + work


def _seconds(job: Job, split: Split, layout: Layout, chosen: Any) -> float:
    """Seconds per pixel, from a piece of the middle."""
    import nlmeans

    piece, axes = _middle(split.colour, split.channel_axis)
    settings = {**chosen.to_dict(), "nan": "keep"}
    if "sigma" not in settings:
        settings["sigma"] = float(job.sigma_map.mean()) if job.sigma_map is not None else 0.0
    if split.channel_axis is not None:
        settings["channel_axis"] = split.channel_axis
    running = {name: value for name, value in job.options.running.items() if name != "memory_limit"}
    with job.collecting_warnings():
        nlmeans.denoise(piece, **settings, **running)  # the first call loads the kernel
        began = time.perf_counter()
        nlmeans.denoise(piece, **settings, **running)
        return (time.perf_counter() - began) / axes


def _middle(colour: Array, channel_axis: int | None) -> tuple[Array, int]:
    """A piece of at most SAMPLE along each grid axis, and how many pixels it has."""
    channel = None if channel_axis is None else channel_axis % colour.ndim
    cut, pixels = [], 1
    for axis, n in enumerate(colour.shape):
        if axis == channel:
            cut.append(slice(None))
            continue
        length = min(n, SAMPLE if colour.ndim - (channel is not None) < 3 else SAMPLE // 4)
        cut.append(slice((n - length) // 2, (n - length) // 2 + length))
        pixels *= length
    return colour[tuple(cut)], pixels
