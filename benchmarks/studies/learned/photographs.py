"""The photographs that the network is trained on, where they come from, and their terms.

All of those trained on are CC0 or CC BY: anyone may use what is made of them for anything.  Those held back,
by which checkpoints are chosen, may be used by anyone too, some under copyleft: nothing of them is in the
weights.  The Debian packages are fetched with ``apt-get download`` and unpacked with ``dpkg -x``; the
wheels of scikit-learn and scikit-image are unpacked too.  They are sought below one folder by their names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_WIDEST = 2000  # pixels: larger photographs are reduced to it, and all JPEG by 2 at least: no artefacts
HELD_SIDE = 192  # of the piece of a photograph that is held back
_TRIES = 30  # pieces of which the one with most detail is taken


@dataclass(frozen=True)
class Source:
    """Photographs of one package under one licence."""

    package: str  # and its release
    licence: str
    authors: str
    names: tuple[str, ...]  # parts of paths, which end with them


TRAINED = (
    Source(
        "budgie-backgrounds 3.0-1 (Debian 13)",
        "CC0 1.0",
        "Budgie Desktop developers and contributors",
        tuple(
            f"backgrounds/budgie/{name}.jpg"
            for name in (
                "abstract-spiral",
                "beacon-street-sunset",
                "blue-periwinkle",
                "canyon-wren",
                "casa-mila",
                "extreme-desert-hike",
                "high-trestle-trail",
                "lake-sherburne",
                "oakland-zoo-otters",
                "ocean-waves",
                "perched-osprey",
                "piazza-gae-aulenti",
                "roman-colosseum",
                "singaporean-cityscape",
                "tea-gardens",
            )
        ),
    ),
    Source(
        "lomiri-wallpapers-16.04 20.04.0-2 (Debian 12)",
        "CC BY 4.0",
        "Aitzol Berasategi, Trevor Freespace, Jakub Mede",
        (
            "aitzgorri_by_Aitzol_Berasategi.jpg",
            "friends_by_Aitzol_Berasategi.jpg",
            "life_by_Aitzol_Berasategi.jpg",
            "picosdeeuropa_by_Aitzol_Berasategi.jpg",
            "sunset_by_Aitzol_Berasategi.jpg",
            "Picture_0B_by_freespace.jpg",
            "Picture_1A_by_freespace.jpg",
            "Wine_by_Jakkub_Mede.jpg",
        ),
    ),
    Source(
        "lomiri-wallpapers-16.04 20.04.0-2 (Debian 12)",
        "CC0 1.0",
        "Clemens Engelhardt",
        ("seeding_by_Clements_Engelhardt.jpg",),
    ),
    Source(
        "scikit-learn 1.9.1 (PyPI)",
        "CC BY 2.0",
        "danielbuechele, vultilion (Flickr)",
        ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
    ),
    Source(
        "scikit-image (PyPI)",
        "CC0 1.0",
        "CC0Textures, Linolafett",
        ("skimage/data/brick.png", "skimage/data/grass.png", "skimage/data/gravel.png"),
    ),
)
HELD_BACK = (
    Source(
        "lomiri-wallpapers-16.04 and -20.04 20.04.0-2 (Debian 12)",
        "CC BY-SA 3.0 and 4.0",
        "Sander Klootwijk, Bolly, Peter Nerlich, Lukas Baubkus",
        (
            "Bridge_by_Sander_Klootwijk.jpg",
            "Dragonfly_by_Bolly.jpg",
            "greentock_by_Peter_Nerlich.jpg",
            "Kleiber_by_Lukas_Baubkus.jpg",
        ),
    ),
    Source(
        "plasma-workspace-wallpapers 6.3.4-1 (Debian 13)",
        "LGPL 3",
        "Maciej Wiklo, Risto Saukonpää, Dmitri Popov, Ian Hex, Martin Klapetek",
        tuple(
            f"wallpapers/{name}/contents/images/2560x{1600 if name == 'ColorfulCups' else 1440}.jpg"
            for name in ("BytheWater", "ColdRipple", "ColorfulCups", "EveningGlow", "FallenLeaf", "Path")
        ),
    ),
    Source(
        "mate-backgrounds 1.26.0-1 (Debian 12)",
        "GPL 2 or later",
        "those of its file AUTHORS",
        tuple(
            f"backgrounds/mate/nature/{name}.jpg"
            for name in (
                "Blinds",
                "Dune",
                "FreshFlower",
                "Garden",
                "GreenMeadow",
                "LadyBird",
                "RainDrops",
                "TwoWings",
                "Wood",
                "YellowFlower",
            )
        ),
    ),
)


def pictures(folder: Path) -> list[NDArray[np.uint8]]:
    """Those trained on, (H, W, 3)."""
    return [_reduced(path) for path in _found(folder, TRAINED)]


def held_back(folder: Path) -> NDArray[np.float32]:
    """A square (3, n, n) of each that is held back, from 0 to 1: of some places the one with most detail."""
    rng = np.random.default_rng(5)
    return np.stack([_most_detail(_reduced(path), rng) for path in _found(folder, HELD_BACK)])


def _most_detail(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    grey = np.asarray(Image.fromarray(picture).convert("L"), np.float32)
    corners = zip(*(rng.integers(0, n - HELD_SIDE + 1, _TRIES) for n in grey.shape), strict=True)
    places = [(slice(y, y + HELD_SIDE), slice(x, x + HELD_SIDE)) for y, x in corners]
    best = max(places, key=lambda at: sum(float(np.abs(np.diff(grey[at], axis=a)).mean()) for a in (0, 1)))
    return np.moveaxis(picture[best].astype(np.float32), -1, 0) / np.float32(255)


def _found(folder: Path, sources: tuple[Source, ...]) -> Iterator[Path]:
    """The files of the sources below a folder; an error names the package of one that is not there."""
    everything = [path for path in sorted(folder.rglob("*")) if path.suffix in (".jpg", ".png")]
    for source in sources:
        for name in source.names:
            there = [path for path in everything if path.as_posix().endswith(f"/{name}")]
            if not there:
                raise FileNotFoundError(f"{name} of {source.package} is not below {folder}; unpack it there")
            yield there[0]


def _reduced(path: Path) -> NDArray[np.uint8]:
    """As colours, smaller."""
    picture = Image.open(path).convert("RGB")
    if path.suffix == ".png":
        return np.asarray(picture)
    factor = max(2.0, picture.width / _WIDEST)
    size = (int(picture.width / factor), int(picture.height / factor))
    return np.asarray(picture.resize(size, Image.Resampling.LANCZOS))
