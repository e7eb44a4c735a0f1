"""From the samples of a file to what the library takes, and back: colours, alpha, and the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .options import in_units
from .picture import Array, Layout

Settings = dict[str, Any]  #: keyword arguments of `nlmeans.suggest`


@dataclass(frozen=True)
class Split:
    """One page as the library takes it."""

    colour: Array  # (H, W) or (H, W, 3), or a bare array
    mask: Array | None  # False where the page is fully transparent
    channel_axis: int | None

    @classmethod
    def of(cls, page: Array, layout: Layout, channel_axis: int | None) -> Split:
        """Colours apart from alpha and further channels; transparent pixels do not vote."""
        if layout.colours == 0:
            return cls(page, None, channel_axis)
        if layout.samples == 1:
            return cls(page, None, None)
        colour = page[..., :3] if layout.colours == 3 else page[..., 0]
        mask = page[..., layout.colours] != 0 if layout.alpha else None
        if mask is not None and mask.all():
            mask = None
        return cls(colour, mask, -1 if layout.colours == 3 else None)


def merged(page: Array, colour: Array, layout: Layout) -> Array:
    """The page with new colours; alpha and further channels as they were."""
    if layout.samples == 1 or layout.colours == 0:
        return colour
    result = page.copy()
    if layout.colours == 3:
        result[..., :3] = colour
    else:
        result[..., 0] = colour
    return result


def settings_for(layout: Layout, split: Split, options: Settings) -> Settings:
    """The library's keywords for this page: noise levels in its units, its channels, its mask."""
    settings = dict(options)
    settings["sigma"] = in_units(options.get("sigma"), layout.dtype)
    settings["channel_axis"] = split.channel_axis
    if split.mask is not None:
        given = settings.get("mask")
        settings["mask"] = split.mask if given is None else split.mask & given
    return {name: value for name, value in settings.items() if value is not None}
