"""What the report page shows of a film: some frames of its first scenes, before and after."""

from __future__ import annotations

import shlex
from typing import Any

from ..environment import Environment, printable
from ..formats.picture import Array
from ..job import Job
from ..progress import Progress
from ..views import method_noise
from ..views import pictures as views
from ..views.page import page_of, png
from ..views.page_data import middle, table_of
from ..views.spelling import spelled_options
from ..views.words import model_words, noise_words, radii_words
from .looking import Looked, Sight, look

_LARGEST = (960, 640)  # pixels of a frame on the page, which holds up to twelve of them; else their middle


def film_page(job: Job, name: str, environment: Environment, progress: Progress) -> tuple[str, list[str]]:
    """The page, whole, and the warnings that stand on it."""
    found = look(name, job, environment, progress)
    return page_of(_data(job, found, name))[0], found.warnings


def _data(job: Job, found: Looked, name: str) -> dict[str, Any]:
    shape = found.sights[0].pictures[0].shape
    piece = middle(shape[:2], _LARGEST)
    height, width = piece[2:]
    whole = (height, width) == shape[:2]
    return {
        "film": True,
        "warnings": found.warnings,
        "title": printable(name),
        "summary": _summary(found),
        "width": width,
        "height": height,
        "cropped": "" if whole else f"The middle {width} x {height} pixels.",
        "frames": [_shown(sight, piece) for sight in found.sights],
        "table": [
            ["film", found.words],
            ["frames before and after", str(job.options.temporal_radius)],
            *([f"scene {n}", _scene(scene)] for n, scene in enumerate(found.scenes, 1)),
            *table_of(found.scenes[0].parameters),
        ],
        "command": _command(job, name),
    }


def _summary(found: Looked) -> str:
    several = f"{len(found.scenes)} scenes" if len(found.scenes) > 1 else "one scene"
    looked = "all" if found.whole else "the first"
    return (
        f"{found.words}; {looked} {found.frames} frames, {several}; the first, middle and last frame of each"
    )


def _scene(scene: Any) -> str:
    p = scene.parameters
    noise = noise_words(p.sigma) if p.noise is None else model_words(p.noise)
    strength = f"k {p.k:.3g}" if p.k is not None else f"h {p.h:.3g}"
    return f"frames {scene.first} to {scene.last}; {noise}; {radii_words(p.to_dict())}, {strength}"


def _shown(sight: Sight, piece: tuple[int, int, int, int]) -> dict[str, Any]:
    """A frame, with what was removed of it, of its brightness or of all of its colours."""
    top, left, height, width = piece
    window = (slice(top, top + height), slice(left, left + width))
    noisy, clean = sight.samples
    difference = _difference(noisy, clean)
    sigma = method_noise.single_sigma(None, difference)
    removed, gain = views.removed_view(difference)
    spectrum, radial = method_noise.spectra(difference, sigma)
    share = method_noise.clipped(noisy)
    axis = None if noisy.ndim == 2 else -1
    what = "brightness" if noisy.ndim == 2 else "colours"
    return {
        "caption": f"Scene {sight.scene}, frame {sight.number}, {sight.seconds:.2f} s",
        "images": {
            "noisy": png(sight.pictures[0][window]),
            "clean": png(sight.pictures[1][window]),
            "removed": png(removed[window]),
            "spectrum": png(spectrum),
        },
        "removed": {
            "caption": f"Of the {what}. Mid-grey is zero, {gain:.3g} grey levels are one unit",
            "verdict": f"Of frame {sight.number} {sigma:.3g} was removed, root mean square.",
            "known": [],
        },
        "histogram": method_noise.histogram(difference, sigma, whole=True, clipped=share),
        "radial": radial,
        "curve": method_noise.noise_curve(noisy, None, axis),
    }


def _difference(noisy: Array, clean: Array) -> Array:
    """What was taken away; of planes green, blue, red in the order in which colours are shown."""
    import numpy as np

    difference = np.subtract(noisy, clean, dtype=np.float32)
    return difference if difference.ndim == 2 else difference[..., [2, 0, 1]]


def _command(job: Job, name: str) -> str:
    """The command line that denoises the film so."""
    radius = job.options.temporal_radius
    more = {"temporal_radius": None if radius == 2 else radius}
    return shlex.join(["nlmeans", "denoise", printable(name), *spelled_options(job.options, more)])
