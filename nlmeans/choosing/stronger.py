"""More or less of what was chosen: every strength multiplied."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

from nlmeans.parameters import BY_GROUPS, Parameters

_Part = TypeVar("_Part", Parameters, Parameters | None)


def stronger(chosen: Parameters, light: float, differences: float) -> Parameters:
    """Parameters with their strengths multiplied; that of differences of colours, where apart, by its own.

    It is sigma for methods by groups, which have no k.
    """
    apart = chosen.color == "luminance" and light != differences
    if chosen.method in BY_GROUPS:
        sigma = chosen.sigma
        if sigma is None:  # a map
            return chosen
        if apart or isinstance(sigma, tuple):
            each = sigma if isinstance(sigma, tuple) else (sigma,) * 3
            by = (light, differences, differences) if apart else (light,) * len(each)
            return replace(chosen, sigma=tuple(s * f for s, f in zip(each, by, strict=True)))
        return replace(chosen, sigma=sigma * light)
    parts: dict[str, Any] = {
        "differences": _times(chosen.differences, differences),
        "second": _times(chosen.second, light),
    }
    return _times(replace(chosen, **parts), light)


def _times(part: _Part, by: float) -> _Part:
    """A filter with its strength multiplied."""
    if part is None:
        return part
    return replace(part, **{n: v * by for n in ("h", "k") if (v := getattr(part, n)) is not None})
