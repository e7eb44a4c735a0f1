"""Some frames of a film before and after, to look at: where scenes begin, in their middle, where they end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..environment import Environment
from ..formats.picture import Array
from ..formats.reading import source
from ..job import Job
from ..progress import Progress
from ..status import UsageError
from .container import Film, messages
from .planes import Form, Frame
from .run import denoised, opened_film, refuse_options_of_pictures, settings_of, told_once

SCENES = 4
_FRAMES = 1500  # among which scenes are sought: a minute at 25 a second
_SEEKING = 0.3  # of the time: frames are prepared and compared, as for the result, but not averaged


@dataclass
class Stretch:
    """The frames of a scene, and what was chosen for them."""

    first: int
    last: int
    parameters: Any  # nlmeans.Parameters

    @property
    def shown(self) -> list[int]:
        """Where it begins, its middle, where it ends."""
        return sorted({self.first, (self.first + self.last) // 2, self.last})


@dataclass(frozen=True)
class Sight:
    """A frame before and after, as 8-bit RGB for people and as the samples that were denoised first."""

    number: int
    scene: int  # from 1
    seconds: float
    pictures: tuple[Array, Array]
    samples: tuple[Array, Array]  # Y, or green, blue and red


@dataclass(frozen=True)
class Looked:
    """What was found of a film."""

    words: str  # "h264, 1280 x 720"
    scenes: list[Stretch]
    sights: list[Sight]
    frames: int  # that were looked at
    whole: bool  # whether that is all of the film, and all of its scenes
    warnings: list[str]


def look(name: str, job: Job, environment: Environment, progress: Progress) -> Looked:
    """The film is read twice: for its scenes, and as far as the last frame that is shown."""
    refuse_options_of_pictures(job.options)
    if name == "-":
        raise UsageError("a film is read twice for a report: name a file")
    with messages(), _film(name, environment) as film:
        scenes, whole = _scenes(film, job, progress)
        context, warnings = film.picture.codec_context, film.warnings
        words = f"{film.codec}, {context.width} x {context.height}"
    with messages(), _film(name, environment) as film:
        sights = list(_sights(film, job, scenes, progress))
    warnings += told_once(job.taken_warnings())
    return Looked(words, scenes, sights, scenes[-1].last + 1, whole, warnings)


@contextmanager
def _film(name: str, environment: Environment) -> Iterator[Film]:
    with source(name, environment.binary_in) as (file, _), opened_film(file) as film:
        film.copy = lambda packet: None  # sound is not shown
        yield film


def _scenes(film: Film, job: Job, progress: Progress) -> tuple[list[Stretch], bool]:
    """The first scenes, and whether there are no others."""
    from nlmeans.video.frames import scenes

    settings = settings_of(film.form, job)[0]
    settings.pop("workers", None)
    planes = (frame.group(film.form.groups[0]) for frame in film.decoded())
    found: list[Stretch] = []
    before: Any = None
    with job.collecting_warnings():
        for number, scene in enumerate(scenes(planes, **settings)):
            if number == _FRAMES or (scene is not before and len(found) == SCENES):
                return found, False
            if scene is not before:
                found.append(Stretch(number, number, scene.chosen.parameters))
            found[-1].last, before = number, scene
            progress(_SEEKING * min(1.0, number / min(film.frames or _FRAMES, _FRAMES)))
    return found, True


def _sights(film: Film, job: Job, scenes: list[Stretch], progress: Progress) -> Iterator[Sight]:
    wanted = {number: n + 1 for n, scene in enumerate(scenes) for number in scene.shown}
    numbers, last = sorted(wanted), max(wanted)
    groups = film.form.groups
    frames = _as_far_as(film.decoded(), last + job.options.temporal_radius)
    for number, (frame, clean) in zip(numbers, denoised(frames, film.form, job, wanted), strict=True):
        noisy = [frame.group(places) for places in groups]
        seconds = float(frame.pts * frame.time_base) if frame.pts is not None and frame.time_base else 0.0
        pictures = tuple(_turned(_rgb(frame, film.form, each), film.rotation) for each in (noisy, clean))
        samples = tuple(_turned(each[0], film.rotation) for each in (noisy, clean))
        yield Sight(number, wanted[number], seconds, pictures, samples)
        progress(_SEEKING + (1 - _SEEKING) * (number + 1) / (last + 1))


def _as_far_as(frames: Iterator[Frame], last: int) -> Iterator[Frame]:
    for number, frame in enumerate(frames):
        yield frame
        if number == last:
            return


def _rgb(frame: Frame, form: Form, groups: list[Array]) -> Array:
    """As it is shown."""
    return frame.with_groups(form, groups).to_ndarray(format="rgb24")


def _turned(picture: Array, degrees: float) -> Array:
    """As players turn it, by quarters."""
    import numpy as np

    return np.rot90(picture, round(degrees / 90))
