"""Tables of radii and strengths by the noise, and what they say for a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nlmeans.parameters import per_axis

Radius = int | tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """Best settings up to one sigma: k per patch radius 1, 2, 3, ... of a picture, or one for all."""

    upto: float  # sigma / data range
    patch_radius: int
    search_radius: int
    k: tuple[float, ...]
    fade: float  # k falls with the search radius R as (7 / R)^fade: more partners, stricter
    aggregate: str = "patch"
    mixing: float | None = None  # of a second pass: the pilot's part of what is compared

    def strength(self, samples: int, shifts: int) -> float:
        """k for a patch of so many samples and a window of so many shifts."""
        radius = min(max((math.sqrt(samples) - 1) / 2, 1.0), len(self.k))
        search = min(max((math.sqrt(shifts) - 1) / 2, 2.0), 30.0)
        below = min(int(radius), len(self.k) - 1)
        k = self.k[below - 1] + (radius - below) * (self.k[below] - self.k[below - 1])
        return round(k * math.pow(7 / search, self.fade), 3)


# Found by benchmarks/studies/tune.py, see benchmarks/results/tune.json; first: doi:10.5201/ipol.2011.bcm_nlm
USUAL_K = 0.5
FIRST = {
    "pixel": (
        Row(0.028, 4, 5, (0.588, 0.554, 0.546, 0.547, 0.552), 0.07, "pixel"),
        Row(0.043, 1, 7, (0.831, 0.635, 0.573, 0.548, 0.531), 0.16, "pixel"),
        Row(0.054, 1, 5, (0.870, 0.664, 0.587, 0.549, 0.526), 0.20, "pixel"),
        Row(0.063, 1, 5, (0.899, 0.685, 0.606, 0.561, 0.533), 0.23, "pixel"),
        Row(0.072, 2, 5, (0.929, 0.689, 0.605, 0.559, 0.528), 0.25, "pixel"),
        Row(0.083, 2, 7, (0.988, 0.696, 0.600, 0.548, 0.515), 0.29, "pixel"),
        Row(0.095, 3, 7, (1.084, 0.721, 0.599, 0.539, 0.503), 0.33, "pixel"),
        Row(0.105, 4, 7, (1.250, 0.815, 0.640, 0.557, 0.509), 0.40, "pixel"),
        Row(math.inf, 5, 7, (1.300, 0.976, 0.742, 0.626, 0.562), 0.50, "pixel"),
    ),
    "patch": (
        Row(0.028, 3, 6, (0.649, 0.567, 0.548, 0.542, 0.541), 0.09),
        Row(0.043, 3, 6, (0.711, 0.539, 0.503, 0.486, 0.478), 0.13),
        Row(0.059, 4, 6, (0.756, 0.544, 0.485, 0.459, 0.447), 0.17),
        Row(0.074, 4, 6, (0.841, 0.568, 0.481, 0.444, 0.420), 0.26),
        Row(0.083, 5, 6, (0.925, 0.603, 0.498, 0.450, 0.419), 0.35),
        Row(0.095, 5, 6, (1.059, 0.720, 0.571, 0.496, 0.451), 0.40),
        Row(math.inf, 5, 6, (1.300, 0.900, 0.714, 0.584, 0.508), 0.45),
    ),
}
LIGHT = math.sqrt(3)  # data range of a luminance over that of its channels: it is their sum over sqrt 3

_WEAK_DIFFERENCES = (
    Row(0.030, 3, 4, (0.60,), 0.0),
    Row(0.078, 4, 4, (0.53,), 0.0),
)
_DIFFERENCES = (
    Row(0.078, 3, 7, (0.60,), 0.0, "pixel"),
    Row(0.120, 3, 7, (0.60,), 0.0, "pixel"),
    Row(0.170, 3, 7, (0.65,), 0.0, "pixel"),
    Row(math.inf, 3, 8, (0.65,), 0.0, "pixel"),
)
#: Of the two differences of colours, by the aggregation of the luminance: patches pay where noise is weak.
DIFFERENCES = {"pixel": _DIFFERENCES, "patch": (*_WEAK_DIFFERENCES, *_DIFFERENCES[1:])}

#: Of a second pass; its k is in units of the noise of what it compares, (1 - mixing) sigma.
SECOND = (
    Row(0.030, 1, 8, (1.71,), 0.0, "patch", 0.65),
    Row(0.050, 1, 8, (1.92,), 0.0, "patch", 0.70),
    Row(0.068, 1, 8, (2.20,), 0.0, "patch", 0.75),
    Row(0.110, 1, 8, (2.45,), 0.0, "patch", 0.80),
    Row(0.165, 1, 8, (2.55,), 0.0, "patch", 0.82),
    Row(0.240, 1, 8, (3.00,), 0.0, "patch", 0.88),
    Row(math.inf, 1, 8, (3.50,), 0.0, "patch", 0.92),
)


@dataclass(frozen=True)
class Choice:
    """Radii as given or from a row, and the k that suits them."""

    row: Row
    relative: float  # sigma / data range
    patch_radius: Radius
    search_radius: Radius | Literal["image"]
    k: float

    @classmethod
    def of(
        cls,
        rows: Sequence[Row],
        relative: float,
        grid: tuple[int, ...],
        patch_radius: Radius | None = None,
        search_radius: Radius | Literal["image"] | None = None,
    ) -> Choice:
        """For noise of so much of the data range, on a grid of this shape."""
        row = next((r for r in rows if relative <= r.upto), rows[-1])
        patch = _patch_radius(row, len(grid)) if patch_radius is None else patch_radius
        search = _search_radius(row, len(grid)) if search_radius is None else search_radius
        radii = per_axis("patch_radius", patch, len(grid))
        reach = (
            (max(grid),) * len(grid) if search == "image" else per_axis("search_radius", search, len(grid))
        )
        samples = math.prod(2 * min(r, n - 1) + 1 for r, n in zip(radii, grid, strict=True))
        shifts = math.prod(2 * min(r, n - 1) + 1 for r, n in zip(reach, grid, strict=True))
        return cls(row, relative, patch, search, row.strength(samples, shifts))


def _patch_radius(row: Row, axes: int) -> int:
    """Radius of a patch with about as many samples as the row's; twice the radius in a signal."""
    if axes < 3:
        return row.patch_radius * (3 - axes)
    return max(1, round((math.pow(2 * row.patch_radius + 1, 2 / 3) - 1) / 2))


def _search_radius(row: Row, axes: int) -> int:
    """Radius of a window with about as many shifts as the row's; a fifth of them in a signal."""
    return {1: 20, 2: row.search_radius, 3: 3}[axes]
