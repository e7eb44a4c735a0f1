"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nlmeans.parameters import METHODS, Settings

from .formats.limits import Limits
from .status import UsageError

if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:  # older releases of click have it without a parameter
    _ParamType = click.ParamType

Command = TypeVar("Command", bound=Callable[..., Any])
_T = TypeVar("_T")
Levels = (
    tuple[tuple[float, bool], ...] | None
)  #: noise levels and whether they are per cent, as `Level` reads

OUTPUT, FILTER, WORK, MESSAGES = "Output", "Filter", "Work", "Messages"
FILMS = "Films"
LIMITS = "Limits, held against a file's header"
DAILY = "Most used"  # the heading of these, in this order, where a command has many options
_DAILY = (
    "output",
    "strength",
    "method",
    "sigma",
    "noise",
    "blend",
    "recursive",
    "overwrite",
    "dry_run",
    "side_by_side",
    "as_json",
    "quiet",
)
_MANY = 16
SECTIONS = (OUTPUT, FILTER, FILMS, WORK, MESSAGES, LIMITS)  # of a command's help, after what is its own
_RUNNING = ("backend", "workers", "memory_limit")
_PER_PICTURE = {
    "sigma",
    "channel_axis",
    "guide",
    "guide_sigma",
    "mask",
}  # settings that depend on the picture
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


class SectionedOption(click.Option):
    """An option that says under which heading of the help it stands."""

    def __init__(self, *arguments: Any, section: str, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.section = section


def option(section: str, *names: str, **options: Any) -> Callable[[Any], Any]:
    """An option under a heading of the help."""
    return click.option(*names, cls=SectionedOption, section=section, **options)


class SectionedCommand(click.Command):
    """A command whose help lists its options by what they are about."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows: dict[str, list[tuple[str, str]]] = {title: [] for title in (DAILY, "Options", *SECTIONS)}
        options = {p.name: p for p in self.get_params(ctx) if isinstance(p, click.Option)}
        first = [name for name in _DAILY if name in options] if len(options) > _MANY else []
        for name in [*first, *(name for name in options if name not in first)]:
            if record := options[name].get_help_record(ctx):
                own = MESSAGES if "--help" in options[name].opts else "Options"
                rows[DAILY if name in first else getattr(options[name], "section", own)].append(record)
        for title, listed in rows.items():
            if listed:
                with formatter.section(title):
                    formatter.write_dl(listed)


class Radius(_ParamType):
    """ "3", "1,2,2" (one per axis), or "image" where that is allowed."""

    name = "radius"

    def __init__(self, *, whole_image: bool = False) -> None:
        self._whole_image = whole_image

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str) or (self._whole_image and value == "image"):
            return value
        try:
            radii = tuple(int(part) for part in value.split(","))
        except ValueError:
            extra = ", or the word image" if self._whole_image else ""
            self.fail(
                f"{value!r} is no radius: give an integer, or one per axis as in 1,2,2{extra}", param, ctx
            )
        if min(radii) < 0:
            self.fail(f"{value!r} is no radius: it must be >= 0", param, ctx)
        return radii[0] if len(radii) == 1 else radii


def _numbers(text: str) -> tuple[float, ...]:
    """Numbers with commas between them; one NaN where they are none."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        return (math.nan,)


class Spacing(_ParamType):
    """ "3,1,1": the distance of samples along each axis."""

    name = "spacing"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        each = _numbers(value)
        if not all(0 < number < math.inf for number in each):
            self.fail(f"{value!r} is no spacing: give a number > 0 per axis, as in 3,1,1", param, ctx)
        return each


class Axis(_ParamType):
    """ "t", an axis of a file with pages, or "0", one of a bare array."""

    name = "axis"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        if len(value) == 1 and value.isascii() and value.isalpha():
            return value.lower()
        try:
            return int(value)
        except ValueError:
            self.fail(
                f"{value!r} is no axis: give a letter as t, z or c, or the number of an array's", param, ctx
            )


class Factors(_ParamType):
    """ "1.3", or "1,1.5": of brightness, and of the differences of colours."""

    name = "factor"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        each = _numbers(value)
        if not 1 <= len(each) <= 2 or not all(0 <= number < math.inf for number in each):
            self.fail(
                f"{value!r} is no factor: give a number >= 0, or two, of brightness and of colour "
                "differences, as in 1,1.5",
                param,
                ctx,
            )
        return each if len(each) == 2 else each[0]


class Level(_ParamType):
    """A noise level: "12.5" in the file's units, "4%" of full scale, or one per channel."""

    name = "level"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        return tuple(self._one(part.strip(), value, param, ctx) for part in value.split(","))

    def _one(
        self, part: str, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, bool]:
        try:
            number = float(part.removesuffix("%"))
        except ValueError:
            number = math.nan
        if not math.isfinite(number) or number < 0:
            self.fail(
                f"{value!r} is no noise level: give a number >= 0 as in 12.5, or 4% of full scale", param, ctx
            )
        return number, part.endswith("%")


class Noise(_ParamType):
    """A kind of noise, or a model of it: "poisson", "poisson-gaussian:gain=1.5,sigma=3"."""

    name = "noise"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        from nlmeans.errors import NLMeansError
        from nlmeans.noise_models.model import NoiseModel

        kind, colon, given = value.partition(":")
        try:
            numbers = {n: float(v) for n, _, v in (p.partition("=") for p in given.split(",") if p)}
            model = NoiseModel.of({"kind": kind, **numbers} if numbers or colon else kind)
        except ValueError as error:
            hint = "" if isinstance(error, NLMeansError) else ", as in poisson-gaussian:gain=1.5,sigma=3"
            reason = str(error) if isinstance(error, NLMeansError) else "its parameters are numbers"
            self.fail(f"{value!r}: {reason}{hint}", param, ctx)
        return kind if not numbers or model is None else model.to_dict()


class Bytes(_ParamType):
    """A number of bytes: "500M", "2G"."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        text = str(value).strip().lower().removesuffix("b").removesuffix("i")
        number, unit = (text[:-1], text[-1]) if text and text[-1] in _UNITS else (text, "")
        try:
            amount = float(number) * _UNITS[unit]
        except ValueError:
            amount = math.nan
        if not math.isfinite(amount) or amount < 1:
            self.fail(f"{value!r} is no amount of memory: give bytes, or as in 500M or 2G", param, ctx)
        return int(amount)


def in_units(level: Levels, dtype: str, full_scale: float | None = None) -> float | tuple[float, ...] | None:
    """A noise level in the units of pixels of this type; full scale is 255 for 8 bits, 1 for floats."""
    if level is None:
        return None
    bits = 8 * int(dtype[2:])
    ranges = {"u": 2.0**bits - 1, "i": 2.0 ** (bits - 1) - 1, "f": 1.0, "b": 1.0}
    full = full_scale or ranges[dtype[1]]
    values = tuple(number * full / 100 if percent else number for number, percent in level)
    return values[0] if len(values) == 1 else values


def _stacked(*decorators: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """Several decorators as one, in the order in which they are to be listed in the help."""

    def apply(command: Command) -> Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return apply


parameter_options = _stacked(
    option(
        FILTER,
        "--method",
        type=click.Choice(METHODS),
        help="nlridge: 0.5 dB better than two passes of nlmeans, in 3 to 5 times the time. learned: "
        "nlridge, corrected by a network trained on photographs, in 5 to 7 times its time. Both take "
        "--sigma, --noise, --color, --strength, --blend, --mask, --nan, --impulses and --repeats, and no "
        "other option of the filter. Default: nlmeans.",
    ),
    option(
        FILTER,
        "--noise",
        type=Noise(),
        metavar="KIND",
        help="gaussian, poisson, poisson-gaussian, rician, speckle, auto: told by the picture, or curve: "
        "learned from the picture, for noise that none of these fits; takes some seconds. Parameters "
        "that are known follow: poisson:gain=2,offset=100, poisson-gaussian:gain=1.5,sigma=3, "
        "rician:sigma=4, speckle:looks=4. Default: gaussian, white.",
    ),
    option(
        FILTER,
        "--sigma",
        type=Level(),
        metavar="LEVEL",
        help="Noise level, in the file's units (12.5) or of full scale (4%); one per channel as 10,12,9; "
        "with --color luminance one for brightness and each colour difference. Default: estimated.",
    ),
    option(
        FILTER,
        "--h",
        type=float,
        metavar="NUMBER",
        help="Filtering strength in the file's units. Default: k times sigma.",
    ),
    option(
        FILTER,
        "--k",
        type=float,
        metavar="NUMBER",
        help="Filtering strength in units of sigma. Default: chosen by the noise.",
    ),
    option(
        FILTER,
        "--patch-radius",
        type=Radius(),
        metavar="R",
        help="Radius of the compared patches; 2 compares 5 x 5 pixels.",
    ),
    option(
        FILTER,
        "--search-radius",
        type=Radius(whole_image=True),
        metavar="R",
        help="Radius of the window in which like patches are sought, or 'image'.",
    ),
    option(
        FILTER,
        "--spacing",
        type=Spacing(),
        metavar="Z,Y,X",
        help="Distance of samples along each axis, as in 3,1,1: radii not given are equally long along all.",
    ),
    option(
        FILTER,
        "--patch",
        type=click.Choice(["box", "gaussian"]),
        help="Weights within a patch. Default: box.",
    ),
    option(
        FILTER,
        "--center",
        type=click.Choice(["max", "one", "zero"]),
        help="A pixel's weight for itself. Default: max.",
    ),
    option(
        FILTER,
        "--aggregate",
        type=click.Choice(["patch", "pixel"]),
        help="Every patch estimates all of its pixels (better), or its centre (faster). Default: patch.",
    ),
    option(
        FILTER,
        "--color",
        type=click.Choice(["auto", "luminance", "joint", "separate"]),
        help="Filter brightness and colour differences apart (RGB only), compare channels together, or "
        "denoise each by itself. Default: auto for RGB, joint for other channels, separate for bands.",
    ),
    option(
        FILTER,
        "--passes",
        type=click.Choice(["1", "2"]),
        callback=lambda _context, _option, value: None if value is None else int(value),
        help="2 filters once more, guided by the first result: better, in about twice the time. "
        "Default: 2 for strong noise, where strength and radii are left out.",
    ),
    option(
        FILTER,
        "--strength",
        type=Factors(),
        metavar="FACTOR",
        help="Multiplies the filtering strength, given or chosen: 1.3 smooths more, 0.7 less; 1,1.5 that of "
        "brightness and of colour differences. Default: 1.",
    ),
    option(
        FILTER,
        "--blend",
        type=click.FloatRange(0, 1),
        metavar="FRACTION",
        help="How much of the noisy picture is mixed back into the result, 0 to 1. Default: 0.",
    ),
    option(
        FILTER,
        "--repeats",
        type=Radius(),
        metavar="N",
        help="How many times each pixel stands in an enlarged picture, which is filtered without the copies; "
        "1 filters it as it is. Default: what is found.",
    ),
    option(
        FILTER,
        "--impulses",
        type=click.Choice(["keep", "replace"]),
        help="Keep hot and dead pixels, salt and pepper, or replace them by averages. Default: keep.",
    ),
    option(
        FILTER,
        "--nan",
        type=click.Choice(["raise", "keep"]),
        default="raise",
        help="Refuse pictures with NaN or infinity, or keep such pixels as they are.",
    ),
)

mask_option = option(
    FILTER,
    "--mask",
    metavar="FILE",
    help="A picture that is 0, or black, where pixels are neither used nor changed; 1 bit or bool too.",
)

companion_options = _stacked(  # pictures that go with the one that is denoised
    option(
        FILTER,
        "--sigma-map",
        metavar="FILE",
        help="The noise level of each pixel, a picture of the same size.",
    ),
    option(FILTER, "--guide", metavar="FILE", help="A picture whose patches are compared instead."),
    option(
        FILTER,
        "--guide-sigma",
        type=Level(),
        metavar="LEVEL",
        help="Noise level of the guide; 0 if it is clean.",
    ),
    mask_option,
)

picture_options = _stacked(
    option(
        FILTER,
        "--channel-axis",
        type=int,
        metavar="AXIS",
        help="Which axis of an NPY array holds colours.",
    ),
    option(
        FILTER,
        "--convert",
        is_flag=True,
        help="Take integers of 32 and 64 bits as float64, and bool as 0 and 255; else they are refused.",
    ),
)

temporal_option = option(
    FILMS,
    "--temporal-radius",
    type=click.IntRange(0, 16),
    default=2,
    metavar="N",
    help="Frames before and after that are searched too. Default: 2.",
)
film_options = _stacked(
    temporal_option,
    option(
        FILMS,
        "--codec",
        metavar="NAME",
        help="h264, hevc, av1, vp9, ffv1 (without loss), or an encoder of FFmpeg. Default: the source's.",
    ),
    option(
        FILMS,
        "--crf",
        type=click.IntRange(0, 63),
        metavar="N",
        help="Quality, less is finer. Default: so fine that no loss is seen.",
    ),
)

running_options = _stacked(
    option(
        WORK,
        "--backend",
        type=click.Choice(["auto", "cuda", "cpu", "reference"]),
        default="auto",
        help="What computes; 'nlmeans info' lists what can run here.",
    ),
    option(
        WORK,
        "--workers",
        type=click.IntRange(1, 1024),
        metavar="N",
        help="Threads. Default: all processors. The result does not depend on it.",
    ),
    option(
        WORK,
        "--memory-limit",
        type=Bytes(),
        metavar="BYTES",
        help="Memory for the work besides the picture itself, as in 500M; larger pictures are done in tiles.",
    ),
)

_traceback = option(
    MESSAGES, "--traceback", "show_traceback", is_flag=True, help="Show where in the program an error arose."
)
#: Of commands that say little.
few_message_options = _stacked(
    option(MESSAGES, "--no-color", is_flag=True, help="No colours in messages."), _traceback
)
message_options = _stacked(
    option(
        MESSAGES,
        "--json",
        "as_json",
        is_flag=True,
        help="One line of JSON for each input, on standard output.",
    ),
    option(MESSAGES, "-q", "--quiet", is_flag=True, help="Say nothing but warnings and errors."),
    option(MESSAGES, "-v", "--verbose", is_flag=True, help="Say what was chosen for each picture."),
    option(MESSAGES, "--no-color", is_flag=True, help="No colours, as with NO_COLOR or TERM=dumb."),
    _traceback,
)

limit_options = _stacked(
    option(
        LIMITS,
        "--max-pixels",
        type=click.IntRange(1),
        default=Limits.pixels,
        metavar="N",
        help="Refuse compressed pictures that declare more. Default: 178956970.",
    ),
    option(
        LIMITS,
        "--max-frames",
        type=click.IntRange(1),
        default=Limits.frames,
        metavar="N",
        help="Refuse files with more pages. Default: 32768.",
    ),
    option(
        LIMITS,
        "--max-metadata",
        type=Bytes(),
        default=Limits.metadata,
        metavar="BYTES",
        help="Refuse files with more metadata. Default: 64M.",
    ),
    option(
        LIMITS,
        "--max-expansion",
        type=click.IntRange(1),
        default=Limits.expansion,
        metavar="N",
        help="Refuse files that unpack to more than N times their size, and 256 MiB. Default: 1000.",
    ),
)


# --- what was given, with types --------------------------------------------------------------


@dataclass(frozen=True)
class FilterOptions:
    """What is computed: the library's settings, and the files that go with them."""

    settings: Settings  # those that do not depend on the picture
    running: dict[str, Any]  # backend, workers, memory_limit
    sigma: Levels = None
    guide_sigma: Levels = None
    sigma_map: str | None = None
    guide: str | None = None
    mask: str | None = None
    channel_axis: int | None = None
    volume: bool = False
    axis: int | str | None = None  # along which each picture is alone
    share: str | None = None  # what those have together
    convert: bool = False
    dtype: str = "same"  # of the results
    temporal_radius: int = 2  # of films
    explain: bool = False
    tune: bool = False
    uncertainty: str | None = None  # where it goes is for the outputs; here whether it is wanted

    @classmethod
    def of(cls, options: dict[str, Any]) -> FilterOptions:
        """From the options of a command, which may lack some."""
        plain = {name: options[name] for name in Settings.__annotations__ if options.get(name) is not None}
        settings = {name: value for name, value in plain.items() if name not in _PER_PICTURE}
        running = {name: options[name] for name in _RUNNING if options.get(name) is not None}
        return _of(cls, {**options, "settings": settings, "running": running})


@dataclass(frozen=True)
class OutputOptions:
    """Where results go, and in what form."""

    output: str | None = None
    overwrite: bool = False
    recursive: bool = False
    skip_existing: bool = False
    dry_run: bool = False
    format_name: str | None = None
    quality: int | None = None
    strip: bool = False
    method_noise: str | None = None
    uncertainty: str | None = None
    side_by_side: str | None = None
    codec: str | None = None  # of films, as the next
    crf: int | None = None

    @classmethod
    def of(cls, options: dict[str, Any]) -> OutputOptions:
        """From the options of a command, which may lack some."""
        return _of(cls, options)


@dataclass(frozen=True)
class MessageOptions:
    """What is said, and how."""

    as_json: bool = False
    quiet: bool = False
    verbose: bool = False
    show_traceback: bool = False

    @classmethod
    def of(cls, options: dict[str, Any]) -> MessageOptions:
        """From the options of a command, which may lack some."""
        return _of(cls, options)


def limits_of(options: dict[str, Any]) -> Limits:
    """The limits that the options set."""
    return Limits(**{name: options[f"max_{name}"] for name in ("pixels", "frames", "metadata", "expansion")})


def _of(kind: type[_T], options: dict[str, Any]) -> _T:
    """An instance of a dataclass from the options that have its fields' names."""
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: options[name] for name in names if name in options})


def position(text: str) -> tuple[int, int]:
    """Column and row, as they are typed."""
    try:
        x, y = (int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--at {text} is no pixel: give column and row as in 120,80") from None
    return x, y
