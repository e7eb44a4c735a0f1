"""The settings that were given, checked as far as they do not depend on the noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nlmeans.choosing import table
from nlmeans.errors import InvalidValueError, Parameter
from nlmeans.inputs import Inputs
from nlmeans.parameters import (
    BY_GROUPS,
    COLOR_WORDS,
    METHODS,
    Parameters,
    Settings,
    integer,
    nested,
    number,
    one_of,
    patch_radius_of,
    refuse_other_methods,
    search_radius_of,
    spacing_of,
)


@dataclass(frozen=True, eq=False)
class Given:
    """What `choose` starts from; None where nothing was given."""

    method: str
    sigma: Any
    h: float | None
    k: float | None
    strength: tuple[float, float]  # of all or of the luminance, and of the differences of colours
    correction: float | None  # sigma of a guide
    patch_radius: Any
    search_radius: Any
    spacing: tuple[float, ...] | None
    aggregate: str
    color: str  # "auto" where it depends on the image
    passes: int | None
    free: bool  # strength and radii are left to the tables, so that a second pass may be too
    differences: Parameters | None
    second: Parameters | None
    rules: dict[str, Any]  # that every part shares

    @classmethod
    def of(cls, inputs: Inputs, settings: Settings) -> Given:
        """From the parameters of a call."""
        method = settings.get("method", Parameters.method)
        one_of("method", method, METHODS)
        if method in BY_GROUPS:
            refuse_other_methods(settings)
            if len(inputs.grid) == 1:
                raise InvalidValueError(
                    f"{method} is for images and volumes, got a signal: give ", Parameter('method="nlmeans"')
                )
        asked = settings.get("aggregate")
        aggregate = Parameters.aggregate if asked is None else asked
        one_of("aggregate", aggregate, tuple(table.FIRST))
        k, h, correction = (
            None if settings.get(name) is None else number(name, settings.get(name))
            for name in ("k", "h", "guide_sigma")
        )
        if correction is not None and inputs.feature is inputs.value:
            raise InvalidValueError(
                Parameter("guide_sigma"), " is the noise of a guide: give guide too, or leave it out"
            )
        patch_radius, search_radius = settings.get("patch_radius"), settings.get("search_radius")
        free = (
            len(inputs.grid) == 2
            and aggregate == "patch"
            and inputs.feature is inputs.value
            and all(settings.get(name) is None for name in ("h", "k", "patch_radius", "search_radius"))
        )
        spacing = settings.get("spacing")
        differences = nested("differences", settings.get("differences"))
        second = nested("second", settings.get("second"))
        return cls(
            method,
            settings.get("sigma"),
            h,
            k,
            strengths(settings.get("strength", 1.0)),
            correction,
            None if patch_radius is None else patch_radius_of(patch_radius),
            None if search_radius is None else search_radius_of(search_radius),
            None if spacing is None else spacing_of(spacing, len(inputs.grid)),
            aggregate,
            _color(inputs, settings.get("color"), differences),
            _passes(inputs, settings.get("passes"), second),
            free,
            differences,
            second,
            {name: given for name in ("patch", "center") if (given := settings.get(name)) is not None},
        )


def strengths(value: object) -> tuple[float, float]:
    """One factor for all, or one for the luminance and one for the differences of colours."""
    if not isinstance(value, tuple | list):
        one = number("strength", value)
        return one, one
    if len(value) != 2:
        raise InvalidValueError(
            Parameter("strength"),
            " must be one number, or one for the luminance and one for the differences of colours, got "
            f"{len(value)}",
        )
    return number("strength", value[0]), number("strength", value[1])


def _color(inputs: Inputs, color: object, differences: Parameters | None) -> str:
    """How channels are compared: as it was given, as it must be, or "auto"."""
    channels, guided = inputs.value.shape[0], inputs.feature is not inputs.value
    if color is not None:
        one_of("color", color, COLOR_WORDS)
    if color == "luminance" and channels not in (1, 3):
        raise InvalidValueError(
            Parameter('color="luminance"'), f" is for the three channels of a colour picture, got {channels}"
        )
    if guided and channels > 1 and color in ("luminance", "separate"):
        raise InvalidValueError(
            "a guide is compared as a whole: give ", Parameter('color="joint"'), " or no guide"
        )
    if differences is not None:
        if color not in (None, "auto", "luminance") or channels != 3 or guided:
            raise InvalidValueError(
                Parameter("differences"), " belong to ", Parameter('color="luminance"'), ": leave them out"
            )
        return "luminance"
    if guided or channels == 1:
        return "separate" if color == "separate" else "joint"
    return "auto" if color is None else str(color)


def _passes(inputs: Inputs, passes: object, second: Parameters | None) -> int | None:
    """One pass or two, where that was given."""
    count = None if passes is None else integer("passes", passes, 1, 2)
    if inputs.feature is not inputs.value and (count == 2 or second is not None):
        raise InvalidValueError(
            "a guide takes the place of a first pass: give ", Parameter("passes=1"), " or no guide"
        )
    if second is not None and count == 1:
        raise InvalidValueError(
            Parameter("second"), " describes a second pass: give ", Parameter("passes=2"), " or leave it out"
        )
    return count or (None if second is None else 2)
