"""Radii that are equally long along axes whose samples lie apart by different lengths."""

from __future__ import annotations

import math
from dataclasses import replace

from nlmeans.choosing.given import Given
from nlmeans.parameters import Parameters


def spaced(parameters: Parameters, given: Given) -> Parameters:
    """The same with chosen radii by `spacing`, in every part: of as many samples, and equally long."""
    if given.spacing is None:
        return parameters
    own = _by_length(parameters, given.spacing, given.patch_radius is None, given.search_radius is None)
    differences, second = (
        part if part is None or wanted is not None else _by_length(part, given.spacing, True, True)
        for part, wanted in ((own.differences, given.differences), (own.second, given.second))
    )
    return replace(own, differences=differences, second=second)


def _by_length(p: Parameters, spacing: tuple[float, ...], patch: bool, search: bool) -> Parameters:
    mean = math.exp(sum(map(math.log, spacing)) / len(spacing))
    if patch and isinstance(p.patch_radius, int):  # where 0, that axis is no part of the patch
        p = replace(p, patch_radius=tuple(round(p.patch_radius * mean / s) for s in spacing))
    if search and isinstance(p.search_radius, int):  # the next sample stays in the window
        p = replace(p, search_radius=tuple(max(1, round(p.search_radius * mean / s)) for s in spacing))
    return p
