"""From sigma to the other settings: what `denoise` uses for whatever the caller leaves out."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

from nlmeans.choosing import table
from nlmeans.choosing.channels import color_and_noise
from nlmeans.choosing.doubts import doubt
from nlmeans.choosing.given import Given
from nlmeans.choosing.spacing import spaced
from nlmeans.choosing.stronger import stronger
from nlmeans.choosing.table import Choice
from nlmeans.errors import InvalidValueError, Parameter
from nlmeans.inputs import Inputs
from nlmeans.levels import Levels
from nlmeans.noise.strength import Noise, root_mean_square
from nlmeans.parameters import BY_GROUPS, Parameters, Settings

# The tables are from pictures whose noise reaches beyond black and white; in 8 bits it cannot.  So much of
# sigma stands for that at each end: 0.43 dB at sigma 30 in colour, benchmarks/results/clipped.json.
TAIL = 3.0
_SAMPLE = 2**16  # pixels of a channel of which the ends are counted
# An end that is not clipped has few pixels: of 2^16 values of a Gaussian 15 lie above 3.5 sigma.
_LEAST, _PART = 16, 0.001


@dataclass(frozen=True, eq=False)
class Chosen:
    """All that is chosen once for an image, apart from its data.

    What was chosen for one frame or for a whole serves others of the same kind: the next frame, a chunk.
    """

    parameters: Parameters
    noise: Noise
    levels: tuple[Levels, Levels]  # of the image, and of what is compared
    sigma: Any = None  # of the noise, where `noise` holds more or less of it, to smooth more or less

    def of_channel(self, c: int) -> Chosen:
        """That of one channel by itself."""
        own, compared = (levels.of_channel(c) for levels in self.levels)
        return self._part(slice(c, c + 1), (own, compared), self.parameters)

    def of_luminance(self) -> Chosen:
        """That of the luminance of three colours."""
        return self._part(slice(0, 1), self._levels_of_components(1), self.parameters)

    def of_differences(self) -> Chosen:
        """That of the two differences of colours, which are filtered together."""
        parameters = self.parameters.differences or self.parameters
        return self._part(slice(1, 3), self._levels_of_components(2), parameters)

    def of_components(self) -> Chosen:
        """That of luminance and differences, for a method that takes them together and knows them apart."""
        return replace(self, levels=self._levels_of_components(3))

    def of_second(self) -> Chosen:
        """That of a second pass; the noise of what it compares is what the pilot leaves of it."""
        parameters = self.parameters.second or self.parameters
        rest = 1 - (parameters.mixing or 0.0)
        return replace(
            self,
            parameters=parameters,
            noise=Noise(self.noise.scaled(rest), parameters.h, parameters.k or 0.0),
        )

    def stronger(self, light: float, differences: float) -> Chosen:
        """With every strength multiplied; that of differences of colours, where they are apart, by its own.

        It is sigma for methods by groups, which have no k.
        """
        if light == 1 == differences:
            return self
        parameters, noise = stronger(self.parameters, light, differences), self.noise
        if parameters.method == "nlmeans":
            noise = replace(noise, h=parameters.h, k=parameters.k or 0.0)
        elif parameters.sigma is None:
            noise = replace(noise, sigma=noise.scaled(light))
        else:
            sigma = parameters.sigma
            noise = replace(noise, sigma=sigma if isinstance(sigma, tuple) else (sigma,))
        return replace(self, noise=noise, parameters=parameters)

    def _levels_of_components(self, channels: int) -> tuple[Levels, Levels]:
        own, compared = (levels.of_differences(channels) for levels in self.levels)
        return own, compared

    def _part(self, channels: slice, levels: tuple[Levels, Levels], parameters: Parameters) -> Chosen:
        noise = replace(self.noise.of_channels(channels), h=parameters.h, k=parameters.k or 0.0)
        return Chosen(parameters, noise, levels)


def choose(inputs: Inputs, settings: Settings, *, maps: bool = True) -> Chosen:
    """The settings given, and a choice for those left out; where sigma is, a map of it if `maps`.

    A map fits its own grid only.
    """
    if settings.get("noise") not in (None, "gaussian"):
        raise InvalidValueError(
            Parameter("noise"),
            " other than gaussian is for `denoise` and `suggest` of an array: leave it out",
        )
    if settings.get("repeats") not in (None, 1):
        raise InvalidValueError(
            Parameter("repeats"), " is for `denoise` and `suggest` of an array: leave it out"
        )
    given, levels = Given.of(inputs, settings), levels_of(inputs)
    color, sigma, stretch = color_and_noise(inputs, given, levels, maps=maps)
    noise = Noise(sigma, given.h, given.k or 0.0, given.correction)
    if given.sigma is not None or given.patch_radius is not None:
        doubt(inputs, given, noise, levels[1])
    if given.method in BY_GROUPS:
        measured, noise = noise.sigma, replace(noise, sigma=_stretched(noise, stretch))
        known: dict[str, Any] = {
            "method": given.method,
            "sigma": _sigma_of(noise),
            "color": color,
            "blend": settings.get("blend", 0.0),
            "impulses": settings.get("impulses", "keep"),
        }
        plain = Chosen(Parameters(**known), noise, levels, measured)
        return plain.stronger(*given.strength)
    clipped, light = clipped_ends(inputs), color == "luminance"
    relative = _relative(inputs, color, noise, levels[1], clipped)
    # by the range as it is: of grey pictures in 8 bits the second pass gains 0.25 dB at sigma 7.5 already
    pays = _relative(inputs, color, noise, levels[1], 0) > _pays(light)
    passes = given.passes or (2 if given.free and pays else 1)
    rows = (table.LUMINANCE if light else table.FIRST)[given.aggregate]
    first = Choice.of(rows, relative, inputs.grid, given.patch_radius, given.search_radius, pilot=passes == 2)
    if given.k is None and given.h is None:
        noise = replace(noise, k=round(first.k * _stretch(color, stretch), 3))
    rules = {f.name: v for f in fields(Parameters) if (v := settings.get(f.name)) is not None}
    chosen: dict[str, Any] = {
        "patch_radius": first.patch_radius,
        "search_radius": first.search_radius,
        "sigma": _sigma_of(noise),
        "h": given.h,
        "k": noise.k if given.h is None or given.k is not None else None,
        "color": color,
        "passes": passes,
    }
    if light:
        others = index(noise.of_channels(slice(1, 3)).rms_sigma, levels[1].data_range, clipped)
        choice = Choice.of(table.DIFFERENCES[given.aggregate], others, inputs.grid)
        stretched = replace(choice, k=round(choice.k * min(stretch[-2:]), 3))
        chosen["differences"] = _part(given.differences, stretched, first, given, noise)
    if passes == 2:
        rows = table.SECOND_OF_LUMINANCE if light else table.SECOND
        choice = Choice.of(rows, relative, inputs.grid)
        stretched = replace(choice, k=round(choice.k * _stretch(color, stretch), 3))
        chosen["second"] = _part(given.second, stretched, first, given, noise)
    parameters = spaced(Parameters(**{**rules, **chosen}), given)
    return Chosen(parameters, noise, levels).stronger(*given.strength)


def _stretch(color: str, each: tuple[float, ...]) -> float:
    """By what k grows in the first pass, of the luminance or of all channels."""
    return each[0] if color == "luminance" else min(each)


def _stretched(noise: Noise, stretch: tuple[float, ...]) -> Any:
    """Sigma for NL-Ridge, which has no k: larger where neighbours share noise.

    Where the table's k grows 1.6 times, for noise of blur 1, sigma times 1.6 gains 0.6 dB (train400).
    """
    if noise.is_map or len(stretch) != len(noise.sigma):
        return noise.scaled(min(stretch))
    return tuple(more * sigma for more, sigma in zip(stretch, noise.sigma, strict=True))


def _sigma_of(noise: Noise) -> float | tuple[float, ...] | None:
    """One, one per channel, or None for a map."""
    if not isinstance(noise.sigma, tuple):
        return None
    return noise.sigma[0] if len(noise.sigma) == 1 else noise.sigma


def levels_of(inputs: Inputs) -> tuple[Levels, Levels]:
    """Those of the image and of what is compared: one object for both without a guide."""
    value, feature = inputs.value, inputs.feature
    own = Levels.of(inputs.value_ends, value.dtype, value.shape[0])
    return own, own if feature is value else Levels.of(inputs.feature_ends, feature.dtype, feature.shape[0])


def _relative(inputs: Inputs, color: str, noise: Noise, levels: Levels, clipped: int) -> float:
    """Sigma of what the first pass compares, of all channels or of the luminance, over the data range."""
    if color == "luminance":
        noise = noise.of_channels(slice(0, 1))
    sigma = noise.rms_sigma or (noise.h or 0.0) / table.USUAL_K  # from h alone, at the usual k
    relative = index(sigma, levels.data_range, clipped)
    if color == "separate" and not noise.is_map:
        return _relative_of_channels(inputs, noise.sigma, relative, clipped)
    return relative


def index(sigma: float, data_range: float, clipped: int) -> float:
    """Sigma over the range, which noise makes wider at each end where it is not clipped."""
    relative = sigma / (data_range or 1.0)
    return relative / (1 + clipped * TAIL * relative)


def clipped_ends(inputs: Inputs) -> int:
    """At how many ends of the range of what is compared, 0 to 2, many pixels have one value."""
    if inputs.feature_ends is None:
        return 0
    shape = inputs.feature.shape[1:]
    axes = max(1, sum(n > 1 for n in shape))
    step = max(1, math.ceil(math.pow(math.prod(shape) / _SAMPLE, 1 / axes)))
    at = tuple(slice(None, None, step if n > step else 1) for n in shape)
    values = inputs.feature[(slice(None), *at)]
    if inputs.mask is not None:
        values = values[:, inputs.mask[at]]
    least = max(_LEAST, _PART * values.size)
    low, high = inputs.feature_ends
    return sum(int((values == end).sum()) >= least for end in (min(low), max(high)))


def _pays(light: bool) -> float:
    return table.PAYS_FOR_LUMINANCE if light else table.PAYS


def _relative_of_channels(inputs: Inputs, sigma: tuple[float, ...], otherwise: float, clipped: int) -> float:
    """The root mean square of sigma / data range over channels, which may be in different units."""
    if inputs.value_ends is None:
        return otherwise
    ranges = [high - low for low, high in zip(*inputs.value_ends, strict=True)]
    every = sigma if len(sigma) == len(ranges) else sigma * len(ranges)
    found = [index(s, r, clipped) for s, r in zip(every, ranges, strict=True) if r > 0]
    return root_mean_square(found) if found and any(found) else otherwise


def _part(own: Parameters | None, choice: Choice, first: Choice, given: Given, noise: Noise) -> Parameters:
    """Another part than the first: as given, or chosen, with a given strength scaled as the tables' are."""
    if own is not None:
        return own
    row, part = choice.row, 1 - (choice.row.mixing or 0.0)
    strength: dict[str, Any] = {"k": choice.k}
    if given.h is not None:  # in the units of the image; k is in those of the noise that is left
        sigma = None if noise.is_map else part * noise.sigma[0]
        strength = {"h": given.h * part * choice.k / first.k, "sigma": sigma}
    elif given.k is not None:
        strength = {"k": choice.k * (given.k / first.k)}
    return Parameters(
        patch_radius=choice.patch_radius,
        search_radius=choice.search_radius,
        aggregate=row.aggregate,  # type: ignore[arg-type]
        mixing=row.mixing,
        **strength,
        **given.rules,
    )
