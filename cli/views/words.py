"""Pages, parameters, numbers and noise in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..formats.picture import Array, Layout, valued
from ..options import in_units


def number(value: float) -> str:
    """Three digits, without an exponent where people would not write one: as options take it."""
    rounded = float(f"{value:.3g}")
    return f"{rounded:.0f}" if 1000 <= abs(rounded) < 1e7 else f"{rounded:.3g}"


def words(layout: Layout, chosen: Any, colour: Array) -> str:
    """A page and its parameters for people; `colour` is what is denoised of it."""
    noise = noise_words(chosen.sigma) if chosen.noise is None else model_words(chosen.noise)
    sigma = one_sigma(chosen.sigma) if chosen.noise is None else None
    if sigma is not None:
        if layout.dtype == "|u1":
            full = in_units(((100.0, True),), layout.dtype, layout.full_scale)
            noise += f" ({100 * sigma / full:.2g} % of full scale)"  # type: ignore[operator]
        else:  # whose full scale is seldom used
            noise += _range(colour, layout)
    filter_ = radii_words(chosen.to_dict())
    if chosen.method == "nlmeans":
        single = isinstance(chosen.strength, float) and not isinstance(chosen.sigma, tuple)
        single = single and chosen.noise is None
        filter_ += ", " + (f"h {number(chosen.strength)}" if single else f"k {chosen.k:.3g}")
    how = [chosen.color] * (len(layout.data) > 1) + ["two passes"] * (chosen.passes == 2)
    if isinstance(chosen.repeats, tuple):
        how.append(f"each pixel is repeated {' x '.join(map(str, chosen.repeats))} times")
    return "; ".join([layout.words, noise, filter_, *([", ".join(how)] if how else [])])


def radii_words(parameters: dict[str, Any]) -> str:
    """The radii of NL-means, or what else it is."""
    other = {"nlridge": "NL-Ridge", "learned": "NL-Ridge and network"}.get(parameters.get("method", ""))
    if other:
        return other
    return f"patch radius {parameters['patch_radius']}, search radius {parameters['search_radius']}"


def one_sigma(sigma: float | tuple[float, ...] | None) -> float | None:
    """The root mean square over channels or components; None where it is a map."""
    return math.hypot(*sigma) / math.sqrt(len(sigma)) if isinstance(sigma, tuple) else sigma


def tuned_words(times: Sequence[float]) -> str:
    """What tuning has come to, for one picture or several."""
    others = [t for t in times if t != 1]
    if not times or not others:
        return "tuned: the strength of the table is kept" if times else ""
    words = list(dict.fromkeys((number(min(others)), number(max(others)))))
    kept = f", kept for {len(times) - len(others)} of {len(times)}" if len(others) < len(times) else ""
    return f"tuned to {' to '.join(words)} times the strength of the table{kept}"


def _range(colour: Array, layout: Layout) -> str:
    import numpy as np

    used = colour[np.isfinite(colour) & valued(colour, layout)]
    if not used.size:
        return ""
    low, high = float(used.min()), float(used.max())
    whole = layout.kind in "iu" and max(-low, high) < 1e7
    low_words, high_words = (f"{v:.0f}" if whole else number(v) for v in (low, high))
    return f" (values from {low_words} to {high_words})"


def model_words(model: Any) -> str:
    """A model of the noise and its parameters."""
    named = {n: v if isinstance(v, tuple) else (v,) for n, v in model.to_dict().items() if n != "kind"}
    each = (f"{name} {', '.join(number(v) for v in values)}" for name, values in named.items())
    return f"{model.kind} noise, {', '.join(each)}"


def noise_words(sigma: float | tuple[float, ...] | None) -> str:
    """The noise that was given or estimated; of channels, or in a map."""
    if sigma is None:
        return "sigma from a map"
    return f"sigma {', '.join(number(s) for s in (sigma if isinstance(sigma, tuple) else (sigma,)))}"


def noise_option(model: str | dict[str, Any]) -> str:
    """A model of noise as --noise takes it: its kind alone where channels have parameters of their own."""
    if isinstance(model, str):
        return model
    numbers = {name: value for name, value in model.items() if name != "kind"}
    if any(isinstance(value, tuple | list) for value in numbers.values()):
        return str(model["kind"])  # they are found again
    return ":".join([model["kind"], *([",".join(f"{n}={v}" for n, v in numbers.items())] if numbers else [])])


def verdict_words(info: Any) -> str:
    """What an `nlmeans.Info` says of what was removed, and what to do with the page's controls."""
    remedies = {
        "structure": "Structure was removed: a lower strength keeps it.",
        "noise is left": "Noise is left: raise the strength.",
    }
    advice: str = info.advice
    return remedies.get(info.verdict, f"{advice[:1].upper()}{advice[1:]}.")
