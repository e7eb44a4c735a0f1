"""Pages, parameters and noise in words."""

from __future__ import annotations

from typing import Any

from ..formats.picture import Layout
from ..options import in_units


def words(layout: Layout, chosen: Any) -> str:
    """A page and its parameters for people."""
    full = in_units(((100.0, True),), layout.dtype, layout.full_scale)
    if isinstance(chosen.sigma, float) and isinstance(full, float):
        noise = f"sigma {chosen.sigma:.3g} ({100 * chosen.sigma / full:.2g} % of full scale)"
    else:
        noise = f"sigma {', '.join(f'{s:.3g}' for s in chosen.sigma)}"
    single = isinstance(chosen.strength, float) and not isinstance(chosen.sigma, tuple)
    strength = f"h {chosen.strength:.3g}" if single else f"k {chosen.k:.3g}"
    radii = f"patch radius {chosen.patch_radius}, search radius {chosen.search_radius}"
    return f"{layout.words}; {noise}; {radii}, {strength}"


def noise_words(sigma: float | tuple[float, ...] | None) -> str:
    """The noise that was given or estimated; of channels, or in a map."""
    if sigma is None:
        return "sigma from a map"
    return f"sigma {', '.join(f'{s:.3g}' for s in (sigma if isinstance(sigma, tuple) else (sigma,)))}"
