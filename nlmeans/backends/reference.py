"""The window kernel in plain NumPy: the specification that every other backend must match.

The contract is in :mod:`nlmeans.backends.contract`, the formulas are in :mod:`nlmeans.formula`;
``kernels/README.md`` tells which function of the C and CUDA kernels does which step of this one.
Works in the floating type of the planes, float32 or float64.  Time O(H W (2R+1)^2 (C + r)), extra
memory about eight planes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from nlmeans.backends.contract import Array, PlanePair, Request, Run, Sums
from nlmeans.formula import patch_sum, shifts, weight

Region = tuple[slice, ...]


def can_run(request: Request) -> str | None:
    """Wherever NumPy is: the arrays must be NumPy's."""
    if request.array_library != "numpy":
        return f"it works on NumPy arrays, not {request.array_library}; convert the image first"
    return None


def works_in(dtype: str) -> str:
    """float64 for float64 images, else float32."""
    return "float64" if dtype == "float64" else "float32"


def namespace() -> Any:
    """NumPy."""
    return np


def memory() -> None:
    """None of its own."""


def accumulate(pair: PlanePair, run: Run, *, peak: bool = False) -> Sums:
    """Weighted sums over the search window; see the contract."""
    sums = _zeros(pair)
    sums.peak = np.zeros_like(sums.denominator) if peak else None
    for i, j, w in _weights(pair, run):
        _add(sums, pair, i, j, w)
        if sums.peak is not None:
            sums.peak[i] = np.maximum(sums.peak[i], w)
    return sums


def aggregate(pair: PlanePair, run: Run, normaliser: Array, center: Array | None, token: Any = None) -> Sums:
    """The same sums with every weight spread over its patch; it needs no token."""
    sums = _zeros(pair)
    everywhere = (slice(None), slice(None))
    if pair.own:
        _add(sums, pair, everywhere, everywhere, _spread(center * normaliser, pair) * pair.vote)
    for i, j, w in _weights(pair, run):
        p = np.zeros_like(normaliser)
        p[i] = w * normaliser[i]
        _add(sums, pair, i, j, _spread(p, pair)[i] * pair.vote[j])
    return sums


def _weights(pair: PlanePair, run: Run) -> Iterator[tuple[Region, Region, Array]]:
    """For each shift: the query pixels i whose candidates j lie in the plane, and w(i, s)."""
    ry, rx = pair.patch_radius
    margin = ((0, 0), (ry, ry), (rx, rx))
    query = np.pad(pair.query, margin, mode="symmetric")
    key = query if pair.key is pair.query else np.pad(pair.key, margin, mode="symmetric")
    offsets = list(shifts(pair.radius))
    for shift in offsets:
        i, j = _overlap(pair.vote.shape, shift)
        if not (pair.own and shift == (0, 0)) and pair.vote[i].size:
            difference = query[:, *_with_margin(i, ry, rx)] - key[:, *_with_margin(j, ry, rx)]
            distance = patch_sum((difference**2).sum(axis=0), pair.taps)
            each: tuple[Any, Any] = (pair.bias, pair.scale)
            bias, scale = (x[i] if np.ndim(x) else x for x in each)
            yield i, j, weight(distance, scale, bias, np) * pair.vote[j]
        if run.tick is not None:
            run.tick(1 / len(offsets))


def _overlap(shape: tuple[int, ...], shift: tuple[int, ...]) -> tuple[Region, Region]:
    """The pixels i, and their candidates j = i + shift, that both lie in the plane."""
    i = tuple(slice(max(0, -s), max(0, n - max(0, s))) for n, s in zip(shape, shift, strict=True))
    j = tuple(slice(max(0, s), max(0, n + min(0, s))) for n, s in zip(shape, shift, strict=True))
    return i, j


def _with_margin(region: Region, ry: int, rx: int) -> Region:
    """A region of the plane, in the plane with margins, grown by the patch radius."""
    y, x = region
    return slice(y.start, y.stop + 2 * ry), slice(x.start, x.stop + 2 * rx)


def _spread(p: Array, pair: PlanePair) -> Array:
    """B(x) = sum_o a(o) p(x - o) over patch centres inside the plane; the taps are symmetric."""
    ry, rx = pair.patch_radius
    return patch_sum(np.pad(p, ((ry, ry), (rx, rx))), pair.taps)


def _zeros(pair: PlanePair) -> Sums:
    return Sums(np.zeros_like(pair.value), np.zeros_like(pair.vote))


def _add(sums: Sums, pair: PlanePair, i: Region, j: Region, w: Array) -> None:
    sums.numerator[:, *i] += w * (pair.value[:, *j] - pair.own_value[:, *i])
    sums.denominator[i] += w
