"""A film from file to file: decoded, its planes denoised, encoded; all within bounded memory."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Container, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import chain, tee
from operator import methodcaller
from pathlib import Path
from typing import Any, BinaryIO

from ..environment import Environment, printable
from ..files.naming import Task, parts
from ..formats.reading import FILMS, source
from ..job import Job
from ..options import FilterOptions, OutputOptions, in_units
from ..outcome import Outcome
from ..progress import Progress
from ..status import UnreadableError, UsageError
from .container import Film, Output, messages, package
from .encoding import Encoding
from .planes import COLOURS, Form, Frame
from .webp import read_by_ffmpeg

_OF_PICTURES = (
    "guide",
    "sigma_map",
    "mask",
    "channel_axis",
    "volume",
    "axis",
    "share",
    "convert",
    "explain",
    "tune",
    "uncertainty",
)  # options
_ANIMATIONS = {".png": "apng", ".webp": "webp"}  # where an animated picture becomes one


@dataclass
class FilmTask:
    """One film, and how it becomes another."""

    task: Task
    progress: Progress
    job: Job
    options: OutputOptions
    environment: Environment
    replacing: Callable[[Path], AbstractContextManager[BinaryIO]]

    def run(self) -> Outcome:
        """Denoise the film."""
        began = time.monotonic()
        self._check()
        package()
        kind = _container_of(self.task.output)
        with messages() as told, self._source() as (file, reading), opened_film(file, **reading) as film:
            film.warnings += _cut_within_a_frame(file, film)
            encoding = Encoding.of(film.codec, kind, self.options.codec, self.options.crf)
            size = film.picture.codec_context.width * film.picture.codec_context.height / 1e6
            self.progress.size(size * (film.frames or 1))
            count, left_out = self._through(film, encoding)
        warnings = film.warnings + told_once(self.job.taken_warnings())
        if told:
            warnings.append(
                f"FFmpeg met damage {len(told)} times, and may have filled it in; first {told[0]}"
            )
        warnings += [f"{kind} output leaves out: {', '.join(left_out)}"] if left_out else []
        seconds = time.monotonic() - began
        message = (
            f"{printable(self.task.input)} -> {printable(self.task.output)}  {count} frames, "
            f"{encoding.words}, {seconds:.1f} s"
        )
        details = {"format": kind, "frames": count, "codec": encoding.words, "seconds": round(seconds, 3)}
        return Outcome(
            self.task.input, "written", self.task.output, message=message, warnings=warnings, details=details
        )

    def _check(self) -> None:
        """Refuse options of pictures."""
        refuse_options_of_pictures(self.job.options)
        if self.options.method_noise or self.options.side_by_side:
            raise UsageError("--method-noise and --side-by-side are for pictures, this is a film")

    @contextmanager
    def _source(self) -> Iterator[tuple[Any, dict[str, str]]]:
        """What PyAV reads: only y4m comes through a pipe."""
        piped = self.environment.binary_in
        if self.task.input == "-":
            yield piped, {"format": "yuv4mpegpipe"}
            return
        with source(self.task.input, piped) as (file, _):
            yield file, {}

    def _through(self, film: Film, encoding: Encoding) -> tuple[int, list[str]]:
        """Every frame through the filter into the output; returns their number, and what was left out."""
        if self.task.output == "-":
            return self._written(film, encoding, self.environment.binary_out)
        with self.replacing(Path(self.task.output)) as file:
            return self._written(film, encoding, file)

    def _written(self, film: Film, encoding: Encoding, file: BinaryIO) -> tuple[int, list[str]]:
        av = package()
        frames = film.decoded()
        first = next(frames)  # which tells how the film is turned; a film without one is refused there
        count = 0
        options = {"strict": "-1"}  # y4m of more than 8 bits is not in its first description
        if encoding.container == "apng":
            options["plays"] = "0"  # again and again, as animations mostly do: the reader does not say
        if encoding.container == "webp":
            options["loop"] = "0"
        with av.open(_Sink(file), "w", format=encoding.container, options=options) as container:
            output = Output.like(film, container, encoding)
            for frame, groups in denoised(chain([first], frames), film.form, self.job):
                output.encode(frame.with_groups(film.form, groups))
                count += 1
                self.progress(min(1.0, count / film.frames) if film.frames else 0.0)
            output.encode(None)
        return count, output.left_out


def refuse_options_of_pictures(given: FilterOptions) -> None:
    """What a film cannot be denoised with."""
    for name in _OF_PICTURES:
        if getattr(given, name) is not None and getattr(given, name) is not False:
            alone = "; --temporal-radius 0 denoises each frame by itself" if name == "axis" else ""
            raise UsageError(f"--{name.replace('_', '-')} is for pictures, this is a film{alone}")
    if given.dtype != "same":
        raise UsageError("--dtype is for pictures: a film keeps its bits")


def _container_of(output: str) -> str:
    """What FFmpeg calls the container of an output; films by the name of a picture are animations."""
    suffix = parts(output)[1].lower()
    return "yuv4mpegpipe" if output == "-" else _ANIMATIONS.get(suffix) or FILMS[suffix]


@contextmanager
def opened_film(file: Any, **reading: str) -> Iterator[Film]:
    """A film as PyAV has it."""
    av = package()
    with read_by_ffmpeg(file) as (readable, left):
        try:
            container = av.open(readable, "r", **reading)
        except (av.error.FFmpegError, EOFError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UnreadableError(f"it is damaged, or no film that can be read ({reason})") from error
        with container:
            film = Film.of(container)
            film.warnings += left
            yield film


def _cut_within_a_frame(file: Any, film: Film) -> list[str]:
    """A warning for y4m, whose reader says nothing where the last frame is not whole."""
    if film.container.format.name != "yuv4mpegpipe" or not file.seekable():
        return []
    place = file.tell()
    file.seek(0)
    header = len(file.readline(1000))
    size = file.seek(0, 2) - header
    file.seek(place)
    frame = len(b"FRAME\n") + film.form.bytes(film.picture.width, film.picture.height)
    return [f"its last {size % frame:,} bytes are no whole frame, and are left out"] if size % frame else []


class _Sink:
    """What PyAV writes to: an error of the disk comes out as it is."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.name = ""
        self.write = file.write
        if file.seekable():
            self.seek, self.tell = file.seek, file.tell


def _of_white_noise(settings: dict[str, Any]) -> dict[str, Any]:
    """For U and V: a model says how noise grows with brightness, which these do not hold."""
    return {n: value for n, value in settings.items() if n != "noise"}


def settings_of(form: Form, job: Job) -> list[dict[str, Any]]:
    """The library's keywords for the planes of each group: Y by itself, U and V at their own size."""
    options = job.options
    settings: dict[str, Any] = {n: value for n, value in options.settings.items() if n != "nan"}
    settings |= {n: value for n, value in options.running.items() if n != "memory_limit"}
    settings["temporal_radius"] = options.temporal_radius
    level = in_units(options.sigma, "|u1" if form.bits == 8 else "<u2", 2.0**form.bits - 1)
    if level is not None and isinstance(level, tuple):
        raise UsageError("--sigma of a film is one number")
    if level is not None:
        settings["sigma"] = level
    return [
        {
            **(_of_white_noise(settings) if places == COLOURS else settings),
            "channel_axis": -1 if len(places) > 1 else None,
        }
        for places in form.groups
    ]


def told_once(warnings: list[str]) -> list[str]:
    """Of those that begin alike up to a number, as each scene and plane gives them, the first."""
    kinds: dict[str, list[str]] = {}
    for each in warnings:
        kinds.setdefault(re.split(r"\d", each, maxsplit=1)[0], []).append(each)
    more = " (and {} more like it, of other scenes or planes)".format
    return [first + (more(len(rest)) if rest else "") for first, *rest in kinds.values()]


def denoised(
    frames: Iterator[Frame], form: Form, job: Job, wanted: Container[int] | None = None
) -> Iterator[tuple[Frame, list[Any]]]:
    """Each frame, or those whose numbers are wanted, with its planes denoised."""
    from nlmeans.video.frames import denoise_some

    own, *others = tee(frames, 1 + len(form.groups))
    results = [
        denoise_some(map(methodcaller("group", places), each), wanted, **settings)
        for places, each, settings in zip(form.groups, others, settings_of(form, job), strict=True)
    ]
    for frame in own:
        with job.collecting_warnings():
            groups = [next(result) for result in results]
        if groups[0] is not None:
            yield frame, groups
