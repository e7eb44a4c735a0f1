"""Which comparisons are made on the processor, and by whom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from ..problems import NOISE, Problem, square
from .turns import Contestant

_LARGE = 2048  # pixels a side

Entries = list[tuple[Problem, Contestant]]

#: The call people make when they know the noise: sigma, patch aggregation, centre rule "max".
DEFAULT = {"sigma": NOISE, "h": None, "center": "max", "aggregate": "patch"}

CONTESTANTS = (
    Contestant("nlmeans", "nlmeans"),
    Contestant("nlmeans, 8 bits", "nlmeans", "uint8"),
    Contestant("nlmeans, default call", "nlmeans", options=DEFAULT),
    Contestant("nlmeans, center max", "nlmeans", options={"center": "max"}),  # as vs-nlm-ispc has it
    Contestant("vs-nlm-ispc", "vs-nlm-ispc"),
    Contestant("vs-nlm-ispc, 8 bits", "vs-nlm-ispc", "uint8"),
    Contestant("OpenCV, 8 bits", "OpenCV", "uint8"),
    Contestant("FFmpeg, 8 bits", "FFmpeg", "uint8"),
    Contestant("scikit-image, fast mode", "scikit-image"),
    Contestant("vszip", "vszip"),
)


@dataclass(frozen=True)
class Choice:
    """What of everything is measured."""

    sizes: Sequence[int] = (256, 512, 1024, 2048, 4096)
    search_radii: Sequence[int] = (5, 10, 17)
    patch_radii: Sequence[int] = (1, 2, 3, 4)
    channels: Sequence[int] = (1, 3)
    threads: Sequence[int] = (1, 2)
    radii_side: int = 512  # of the picture on which the radii are compared
    colour_side: int = 1024
    rivals: Sequence[str] | None = None  # None: all


def contestants(choice: Choice, threads: int = 1) -> list[Contestant]:
    """Those that were chosen, with so many threads."""
    chosen = (c for c in CONTESTANTS if choice.rivals is None or c.rival in choice.rivals)
    return [replace(c, threads=threads) for c in chosen]


def sizes(choice: Choice, *, large: bool = False) -> Iterator[Entries]:
    """Grey pictures of every size, the large ones apart: R = 10, r = 3."""
    for side in (s for s in choice.sizes if (s > _LARGE) == large):
        for threads in choice.threads:
            yield [(square(side), c) for c in contestants(choice, threads)]


def radii(choice: Choice) -> Iterator[Entries]:
    """Every pair of radii on a grey picture, one thread."""
    for search in choice.search_radii:
        for patch in choice.patch_radii:
            problem = square(choice.radii_side, search_radius=search, patch_radius=patch)
            yield [(problem, c) for c in contestants(choice)]


def colour(choice: Choice) -> Iterator[Entries]:
    """Grey and RGB, one thread: R = 10, r = 3."""
    for channels in choice.channels:
        yield [(square(choice.colour_side, channels=channels), c) for c in contestants(choice)]


#: The most telling first, since a time limit may cut the rest off.
GROUPS = (
    ("colour", colour),
    ("sizes", sizes),
    ("radii", radii),
    ("sizes", partial(sizes, large=True)),
)
