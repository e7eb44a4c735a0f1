"""How channels are compared, and the noise of what is compared: given, or measured once."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from nlmeans import formula
from nlmeans.arrays import Array, as_numpy_or_cupy, check_image, dtype_name, library, namespace, to_numpy
from nlmeans.choosing.given import Given
from nlmeans.errors import InvalidValueError, Parameter
from nlmeans.inputs import Inputs
from nlmeans.levels import Levels
from nlmeans.noise.curve import Curve, map_of
from nlmeans.noise.estimate import Estimates, Found, chosen_of, estimates, of_channel, of_photons, stored_of
from nlmeans.noise.strength import root_mean_square
from nlmeans.parameters import number

# Of sigma: a mean of 2 x 2 takes half; doubling both axes by a triangle leaves 5/8 of it.  Six photographs
# with noise of 10 to 25, then JPEG of quality 80 to 95 in 4:2:0, gain 0.2 to 1.1 dB (2026-11-30).
_HALVED = 0.3
# White noise of 2.5 to 25 on the same six: differences are found within 3 %, the luminance is 0 to 37 % too
# large by texture, which costs up to 0.14 dB.
_ALIKE, _TEXTURE = 0.1, 0.6
_ROWS = 64  # at a time, which stay in the cache: of 12 megapixels 0.2 s instead of 0.8 (2026-11-30)
_GREATEST = 1e100  # in units of the image: far beyond any use, and its square is finite

Sigma = tuple[float, ...] | Array  # one, one for each of what is compared, or a map (Z, Y, X)


def color_and_noise(
    inputs: Inputs, given: Given, levels: tuple[Levels, Levels], *, maps: bool
) -> tuple[str, Sigma, tuple[float, ...]]:
    """ "joint", "luminance" or "separate"; sigma of what is then compared; and the stretch of k for each.

    An estimate may become a map of sigma if `maps`.
    """
    sigma = _given_sigma(inputs, given)
    color, found = given.color, sigma
    if color == "auto":
        color, found = _automatic(inputs, sigma, levels[0])
    elif sigma is None:
        both = _both_of_components(inputs, levels[0]) if color == "luminance" else None
        found = chosen_of(both) if both else estimates(inputs.feature, inputs.voters)
    assert found is not None
    if isinstance(found, Estimates):
        if found.curves and maps and given.h is None and (color != "separate" or len(found.curves) == 1):
            return color, _map(inputs, found.curves), found.stretch
        return color, _checked(given, color, sigma, found.sigma), found.stretch
    return color, _checked(given, color, sigma, found), (1.0,)


def _checked(given: Given, color: str, sigma: Sigma | None, found: Sigma) -> Sigma:
    """One sigma where one serves all; some of several may not be 0."""
    if not isinstance(found, tuple):
        return found
    if color == "joint" and sigma is None and len(found) > 1:
        return (root_mean_square(found),)
    if sigma is None and given.h is not None:
        return (root_mean_square(found),)
    if color == "joint" and any(found) and not all(found):
        raise InvalidValueError(f"sigma per channel must be > 0 in every channel, or 0 in all, got {found}")
    return found if any(found) else (0.0,)


def _map(inputs: Inputs, curves: tuple[Curve, ...]) -> Array:
    """Sigma of each pixel, from the brightness of its channels."""
    valid = None if inputs.voters is None else to_numpy(inputs.voters)
    sigma = map_of(curves, to_numpy(inputs.feature), valid)
    return namespace(inputs.feature).asarray(sigma.astype(np.float32))


def _given_sigma(inputs: Inputs, given: Given) -> Sigma | None:
    """As it was given: one, one per channel, or a map; None where it is to be estimated."""
    sigma = given.sigma
    if sigma is None and given.correction is not None:
        if given.correction == 0 and given.h is None:
            raise InvalidValueError(
                Parameter("guide_sigma=0"), " does not set the strength: give h, or sigma too"
            )
        return (given.correction,)
    if sigma is None:
        return None
    if isinstance(sigma, tuple | list) or (library(sigma) and getattr(sigma, "ndim", None)):
        return _many_sigmas(inputs, sigma)
    return (number("sigma", sigma),)


def _many_sigmas(inputs: Inputs, sigma: Array) -> Sigma:
    """A sequence of one value per channel, or an array of the grid's shape."""
    channels = inputs.feature.shape[0]
    is_map = library(sigma) is not None and tuple(sigma.shape) == inputs.grid
    if is_map:
        check_image(sigma, "sigma")
        sigma = as_numpy_or_cupy(sigma)
        if not bool(np.isfinite(sigma).all()) or bool((sigma < 0).any()):
            raise InvalidValueError("a map of ", Parameter("sigma"), " must be finite and >= 0 everywhere")
        return sigma.reshape((1,) * (3 - sigma.ndim) + sigma.shape)
    if getattr(sigma, "ndim", 1) != 1 or len(sigma) != channels:
        got = tuple(sigma.shape) if library(sigma) else f"{len(sigma)} values"
        raise InvalidValueError(
            Parameter("sigma"),
            f" must be a number, one per channel ({channels}) or a map of the grid {inputs.grid}, got {got}",
        )
    return tuple(number("sigma", s) for s in sigma)


# --- by what the channels hold ---------------------------------------------------------------


def _automatic(inputs: Inputs, sigma: Sigma | None, levels: Levels) -> tuple[str, Sigma | Estimates]:
    """By the energies of colour differences, and whether channels vary at the same places."""
    from nlmeans.choosing import kinship

    count, mask, unit = inputs.value.shape[0], inputs.voters, levels.unit
    blocks, part = kinship.contrasts(inputs.value, mask, unit)
    ratio, found, both = math.inf, sigma, None
    if count == 3:
        both = None if sigma is not None else _both_of_components(inputs, levels)
        found = tuple(max(f.white, f.shared) for f in both) if both else _of_components(sigma)
        noise = _variances(found, count, part, unit)
        ratio = kinship.differences_over_luminance(formula.opponent(blocks, np), noise)
        if ratio < kinship.FEW:
            return "luminance", chosen_of(both) if both else found
    each = estimates(inputs.value, mask) if sigma is None else sigma
    independent = _variances(each.sigma if isinstance(each, Estimates) else each, count, part, unit)
    if kinship.kinship(blocks, independent) < kinship.APART:
        return "separate", each
    if ratio < kinship.MOST:
        return "luminance", chosen_of(both) if both else found
    return "joint", each


def _both_of_components(inputs: Inputs, levels: Levels) -> list[Found]:
    """What is found of the luminance and of each difference, as it bears on one another."""
    valid = None if inputs.voters is None else to_numpy(inputs.voters)
    light, *others = to_numpy(_components(inputs.value, levels))
    stored = stored_of(to_numpy(inputs.value), valid)
    if stored is not None:  # in the luminance of JPEG, which is about (R + G + B) / 3
        stored = stored.scaled(math.sqrt(3) / levels.unit)
    first = of_channel(light, valid, stored)
    if stored is None and (photons := of_photons(to_numpy(inputs.value), valid, [first])):
        return photons  # of components too, about
    # bands and copies are looked for in the luminance: colour stored at half the resolution shows both
    each = [replace(of_channel(other, valid, None), signs=()) for other in others]
    together = _together(first, *each)
    return [f.scaled(levels.unit) for f in together]


def _together(light: Found, *others: Found) -> list[Found]:
    """What was found of components, in the light of each other.

    Differences hold little texture.  Where both have about the same noise, somewhat less than was found in
    the luminance, that is taken for the noise of all, independent in channels, and the rest for texture.
    Differences whose noise is hardly found have at least what is left of it where colours are stored at half
    the resolution: neighbours share it there, and coding flattens it where it is weak.
    """
    found = [f.white for f in others]
    white = root_mean_square(found)
    alike = max(found) <= (1 + _ALIKE) * min(found) and not any(f.apart for f in others)
    if alike and _TEXTURE * light.white <= white <= light.white:
        return [Found(white)] * 3
    least = _HALVED * light.white
    return [light, *(replace(f, white=max(f.white, least)) if f.white > 0 else f for f in others)]


def _components(value: Array, levels: Levels) -> Array:
    """Luminance and differences of colours, in the unit of the levels."""
    xp = namespace(value)
    wide = "float64" if dtype_name(value) == "float64" else "float32"
    found = xp.empty(value.shape, dtype=wide)
    with np.errstate(invalid="ignore", over="ignore"):  # of invalid pixels
        for top in range(0, value.shape[2], _ROWS):
            rows = (slice(None), slice(None), slice(top, top + _ROWS))
            found[rows] = formula.opponent(
                [xp.ascontiguousarray(c) for c in levels.down(value[rows], wide)], xp
            )
    return found


def _of_components(sigma: Sigma) -> Sigma:
    """Of luminance and differences, from that of independent channels."""
    if not isinstance(sigma, tuple) or len(sigma) == 1:
        return sigma
    return tuple(math.hypot(*(s * w for s, w in zip(sigma, row, strict=True))) for row in formula.OPPONENT)


def _variances(sigma: Sigma, count: int, part: float, unit: float) -> list[float]:
    """A part of the variance of the noise of each of so many channels, in multiples of a unit."""
    if not isinstance(sigma, tuple):
        sigma = (float(to_numpy((sigma.astype(np.float64) ** 2).mean())) ** 0.5,)
    each = [part * min(s / unit, _GREATEST) ** 2 for s in sigma]
    return each if len(each) == count else each * count
