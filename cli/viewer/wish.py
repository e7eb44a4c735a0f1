"""What the page asks for, checked: it is a page in a browser, and may ask for anything."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

from nlmeans.parameters import METHODS

from ..options import FilterOptions
from ..status import UsageError

STRONGEST = 10.0


@dataclass(frozen=True)
class Wish:
    """How to denoise, in the words of the page's controls."""

    method: str = "nlmeans"
    strength: float = 1.0  # of all, or of the luminance
    differences: float = 1.0  # of the differences of colours, where these are filtered apart
    blend: float = 0.0
    sigma: float | None = None  # in the units of the file; None: as the command line has it, or estimated

    @classmethod
    def of(cls, told: Any) -> Wish:
        """From JSON: all of its fields, and nothing else."""
        names = {f.name for f in fields(cls)}
        if not isinstance(told, dict) or set(told) != names:
            raise UsageError(f"settings have {', '.join(sorted(names))}")
        if told["method"] not in METHODS:
            raise UsageError(f"the method is one of {', '.join(METHODS)}")
        sigma = told["sigma"]
        return cls(
            told["method"],
            number(told["strength"], 0, STRONGEST),
            number(told["differences"], 0, STRONGEST),
            number(told["blend"], 0, 1),
            None if sigma is None else number(sigma, 0, 1e30),
        )

    @property
    def of_base(self) -> Wish:
        """The part of it that decides what is estimated; the rest is applied to that."""
        return Wish(self.method, sigma=self.sigma)

    def applied(self, base: Any) -> Any:
        """Parameters with the strengths and the fraction that are asked for."""
        from nlmeans.choosing.stronger import stronger

        return replace(stronger(base, self.strength, self.differences), blend=self.blend)

    @property
    def factors(self) -> float | tuple[float, float]:
        """The strength as the library and the command line take it."""
        return self.strength if self.differences == self.strength else (self.strength, self.differences)

    def within(self, options: FilterOptions, *, whole: bool) -> FilterOptions:
        """A command line's options with what is wished; the strengths too, or without these."""
        settings: dict[str, Any] = dict(options.settings)
        for name in ("method", "strength", "blend"):
            settings.pop(name, None)
        if self.method != "nlmeans":
            settings["method"] = self.method
        if whole and self.factors != 1:
            settings["strength"] = self.factors
        if whole and self.blend:
            settings["blend"] = self.blend
        if self.sigma is None:
            return replace(options, settings=settings)  # type: ignore[arg-type]
        return replace(options, settings=settings, sigma=((self.sigma, False),), sigma_map=None)  # type: ignore[arg-type]


def number(value: Any, least: float, most: float) -> float:
    """A number in a range."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError("a setting is no number")
    if not least <= value <= most:
        raise UsageError(f"a setting is {value:g}, and must be from {least:g} to {most:g}")
    return float(value)


def whole(value: Any, least: int, most: int) -> int:
    """A whole number in a range."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise UsageError(f"a position is no whole number from {least} to {most}")
    return value
