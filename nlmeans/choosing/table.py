"""Tables of radii and strengths by the noise, and what they say for a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
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


# Found by benchmarks/studies/tables/tune.py, see benchmarks/results/tune.json; first:
# doi:10.5201/ipol.2011.bcm_nlm
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

# Found by benchmarks/studies/tables/tune_parts.py, see benchmarks/results/tune_parts.json.  A limit is the
# middle of the indices of two sigmas there.
_LIGHT = (
    Row(0.0135, 2, 6, (0.66, 0.594, 0.547, 0.518, 0.507), 0.07),
    Row(0.0245, 2, 6, (0.66, 0.631, 0.630, 0.637, 0.642), 0.05),
    Row(0.0375, 2, 6, (0.66, 0.610, 0.597, 0.596, 0.597), 0.08),
    Row(0.051, 2, 6, (0.66, 0.575, 0.556, 0.550, 0.547), 0.09),
    Row(0.065, 3, 6, (0.72, 0.557, 0.512, 0.496, 0.486), 0.16),
    Row(0.0755, 4, 6, (0.80, 0.550, 0.493, 0.470, 0.460), 0.20),
    Row(0.087, 5, 6, (0.88, 0.533, 0.472, 0.443, 0.425), 0.29),
    Row(math.inf, 5, 6, (0.95, 0.522, 0.451, 0.418, 0.397), 0.35),
)
LUMINANCE = {
    "pixel": tuple(replace(row, upto=row.upto * math.sqrt(3)) for row in FIRST["pixel"]),
    "patch": _LIGHT,
}
_DIFFERENCES = (
    Row(0.0245, 2, 5, (0.70,), 0.0, "pixel"),
    Row(0.0375, 3, 5, (0.64,), 0.0, "pixel"),
    Row(0.051, 3, 8, (0.54,), 0.0, "pixel"),
    Row(0.065, 3, 8, (0.545,), 0.0, "pixel"),
    Row(0.0755, 3, 8, (0.56,), 0.0, "pixel"),
    Row(0.087, 4, 8, (0.54,), 0.0, "pixel"),
    Row(math.inf, 4, 8, (0.675,), 0.0, "pixel"),
)
#: Of the two differences of colours, by the aggregation of the luminance: where noise is weak patches pay.
DIFFERENCES = {
    "pixel": _DIFFERENCES,
    "patch": (
        Row(0.0245, 3, 4, (0.595,), 0.0),
        Row(0.0375, 4, 4, (0.546,), 0.0),
        Row(0.051, 4, 4, (0.538,), 0.0),
        *_DIFFERENCES[3:],
    ),
}

#: Of a second pass, of all channels and of a luminance; k is in units of the noise of what is compared,
#: (1 - mixing) sigma.
SECOND = (
    Row(0.0155, 1, 8, (1.57,), 0.0, "patch", 0.60),
    Row(0.0285, 1, 8, (1.60,), 0.0, "patch", 0.62),
    Row(0.043, 1, 8, (1.92,), 0.0, "patch", 0.70),
    Row(0.056, 1, 8, (2.20,), 0.0, "patch", 0.75),
    Row(0.072, 1, 8, (2.45,), 0.0, "patch", 0.80),
    Row(0.084, 1, 8, (2.60,), 0.0, "patch", 0.83),
    Row(0.097, 1, 10, (3.20,), 0.0, "patch", 0.90),
    Row(math.inf, 1, 10, (3.70,), 0.0, "patch", 0.93),
)
SECOND_OF_LUMINANCE = (
    Row(0.0245, 1, 8, (1.60,), 0.0, "patch", 0.62),
    Row(0.0375, 1, 8, (1.80,), 0.0, "patch", 0.65),
    Row(0.051, 1, 8, (2.30,), 0.0, "patch", 0.75),
    Row(0.065, 1, 8, (3.30,), 0.0, "patch", 0.84),
    Row(0.0755, 1, 8, (3.60,), 0.0, "patch", 0.87),
    Row(0.087, 1, 10, (3.90,), 0.0, "patch", 0.90),
    Row(math.inf, 1, 10, (4.20,), 0.0, "patch", 0.93),
)
#: sigma / data range from which a second pass gains 0.3 dB, or 0.2 of a luminance, which is half of the work.
PAYS, PAYS_FOR_LUMINANCE = 0.0285, 0.0245
_PILOT = 1  # patches of a first of two passes are so much wider: 0.03 to 0.05 dB more at sigma 10 to 50


@dataclass(frozen=True)
class Choice:
    """Radii as given or from a row, and the k that suits them."""

    row: Row
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
        *,
        pilot: bool = False,
    ) -> Choice:
        """For noise of so much of the data range, on a grid of this shape; or for the first of two passes."""
        row = next((r for r in rows if relative <= r.upto), rows[-1])
        if pilot:
            row = replace(row, patch_radius=min(row.patch_radius + _PILOT, 5))
        patch = _patch_radius(row, len(grid)) if patch_radius is None else patch_radius
        search = _search_radius(row, len(grid)) if search_radius is None else search_radius
        radii = per_axis("patch_radius", patch, len(grid))
        reach = (
            (max(grid),) * len(grid) if search == "image" else per_axis("search_radius", search, len(grid))
        )
        samples = math.prod(2 * min(r, n - 1) + 1 for r, n in zip(radii, grid, strict=True))
        shifts = math.prod(2 * min(r, n - 1) + 1 for r, n in zip(reach, grid, strict=True))
        return cls(row, patch, search, row.strength(samples, shifts))


def _patch_radius(row: Row, axes: int) -> int:
    """Radius of a patch with about as many samples as the row's; twice the radius in a signal."""
    if axes < 3:
        return row.patch_radius * (3 - axes)
    return max(1, round((math.pow(2 * row.patch_radius + 1, 2 / 3) - 1) / 2))


def _search_radius(row: Row, axes: int) -> int:
    """Radius of a window with about as many shifts as the row's; a fifth of them in a signal."""
    return {1: 20, 2: row.search_radius, 3: 3}[axes]
