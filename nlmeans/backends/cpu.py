"""The window kernel in C (``kernels/cpu``), on every core: bands of rows, one thread each.

The contract is in :mod:`nlmeans.backends.contract`.  Within one plane each pair of pixels is weighed
once and used for both (S(i, j) = S(j, i)): a band then also has sums for the rows below it, its
*spill*.  Bands do not depend on the number of workers, and spills are added from the topmost down,
so the same bits come back for any number of workers.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import Any, TypeVar

import numpy as np

from nlmeans.backends.bands import Band, Bands
from nlmeans.backends.contract import Array, PlanePair, Request, Run, Slab, Sums
from nlmeans.checkout import hiding
from nlmeans.errors import InvalidTypeError

_BAND = 64  # rows: measured flat from 32 to 128; fewer waste work at the seams, more idle threads
LEAST_PLANES = 6  # of a slab: of 256 x 256 pixels 5 take 1.3 and 8 take 0.7 times the time of pairs
_SLAB_BAND = 16  # rows of all planes of a slab: measured flat from 16 to 32; fewer are less memory
# Range of values, which is about 1 without outliers, beyond which the rounding of sums that are kept up to
# date, 6e-8 of it, could show: an outlier of 1e4 leaves 4e-5, so 64 leave 3e-7 (96 x 96 pixels, 2026-11-30).
_FAR = 64.0
_REMEDY = "install a C compiler, then nlmeans again"

_kernel: Any
_missing: str | None = None
try:
    _kernel = import_module("nlmeans._cpu")
except ImportError as error:
    _missing = str(error)


def can_run(request: Request) -> str | None:
    """Wherever the extension was built and the arrays are NumPy's."""
    if _missing is not None:
        # *.pyd or *.so, not *.pyi
        return hiding("_cpu.*[do]") or f"the compiled part of nlmeans is missing ({_missing}); {_REMEDY}"
    if request.array_library != "numpy":
        return f"it works on NumPy arrays, not {request.array_library}; convert the image first"
    try:
        isa()
    except ValueError as error:
        return str(error)
    return None


def works_in(dtype: str) -> str:
    """float32, whatever the image's type."""
    return "float32"


def namespace() -> Any:
    """NumPy."""
    return np


def memory() -> None:
    """None of its own."""


def kernel() -> Any:
    """The compiled module; `can_run` says where there is none."""
    return _kernel


def isa() -> str:
    """The instruction set in use: the best, or the one that NLMEANS_ISA names."""
    runs = _kernel.isas()
    asked = os.environ.get("NLMEANS_ISA", "")
    if asked and asked not in runs:
        raise ValueError(
            f"NLMEANS_ISA={asked!r} is not what this processor runs; use one of {', '.join(runs)}"
        )
    return asked or str(runs[0])


def accumulate(pair: PlanePair, run: Run, *, peak: bool = False) -> Sums:
    """Weighted sums over the search window; see the contract.  Their denominators are the token."""
    pair = _for_the_kernel(pair)
    sums = _empty(pair, peak)
    sums.token = sums.denominator
    _bands(partial(_kernel.accumulate, isa(), pair, sums), pair, sums, reach=0).run(run)
    return sums


def aggregate(pair: PlanePair, run: Run, normaliser: Array, center: Array | None, token: Any = None) -> Sums:
    """The same sums with every weight spread over its patch; see the contract.

    Where all vote, the denominator is the spread of what each pixel's normalised weights sum to, known from
    the pair's denominators: the kernel need not sum it up again.
    """
    pair = _for_the_kernel(pair)
    weight_sum = pair.vote  # the whole window: 1 where a pixel is valid
    if token is not None:
        weight_sum = (token + center if pair.own else token) * normaliser
    normalised = _Normalised.of(normaliser, center, weight_sum, pair.value)
    sums = _empty(pair)
    entry = partial(_kernel.aggregate, isa(), pair, normalised, sums)
    _bands(entry, pair, sums, reach=pair.patch_radius[0]).run(run)
    return sums


def accumulate_slab(slab: Slab, run: Run, *, peak: bool = False) -> Sums:
    """Weighted sums over the search window of the slab's planes; see the contract."""
    slab = _for_the_kernel(slab)
    sums = _empty(slab, peak)
    _slab_bands(partial(_kernel.accumulate_slab, isa(), slab, sums), slab, sums, reach=0).run(run)
    return sums


def aggregate_slab(slab: Slab, run: Run, normaliser: Array, center: Array) -> Sums:
    """The same sums with every weight spread over its patch, in its plane; see the contract."""
    slab = _for_the_kernel(slab)
    normalised = _Normalised.of(normaliser, center, slab.vote[slice(*slab.planes)], slab.value)
    sums = _empty(slab)
    entry = partial(_kernel.aggregate_slab, isa(), slab, normalised, sums)
    _slab_bands(entry, slab, sums, reach=slab.patch_radius[1]).run(run)
    return sums


# --- what the kernel is given: the structs of kernels/cpu/contract.h --------------------------


@dataclass(frozen=True, eq=False)
class _Normalised:
    """What makes p(i, s) = w(i, s) normaliser_i of a weight."""

    normaliser: Array  # (H, W)
    center: Array | None  # (H, W) the weight of the pixel itself, within one plane
    weight_sum: Array  # (H, W) sum_s p(i, s)
    anew: bool = False  # no sum of weights is kept up to date from pixel to pixel

    @classmethod
    def of(cls, normaliser: Array, center: Array | None, weight_sum: Array, value: Array) -> _Normalised:
        """As the kernel reads them."""
        return cls(
            normaliser=_float32("normaliser", normaliser),
            center=None if center is None else _float32("center", center),
            weight_sum=_float32("weight_sum", weight_sum),
            anew=value.size > 0 and float(value.max()) - float(value.min()) > _FAR,
        )


_Planes = TypeVar("_Planes", PlanePair, Slab)
_ARRAYS = ("query", "key", "value", "own_value", "feature", "vote", "bias", "scale")


def _for_the_kernel(given: _Planes) -> _Planes:
    """The pair or slab with each array as the kernel reads it; numbers become arrays of one item."""
    done: dict[int, Array] = {}  # by identity: what is one array stays one
    changes: dict[str, Any] = {"taps": tuple(_float32("taps", t) for t in given.taps)}
    for name in _ARRAYS:
        if hasattr(given, name):
            array = getattr(given, name)
            if id(array) not in done:
                done[id(array)] = _float32(name, array)
            changes[name] = done[id(array)]
    return replace(given, **changes)


def _float32(name: str, array: Any) -> Array:
    """In one piece of memory; other types would be silently rounded, so they are refused."""
    if np.ndim(array) and array.dtype != np.float32:
        raise InvalidTypeError(f"{name} must be float32 here, got {array.dtype}; convert it first.")
    return np.ascontiguousarray(array, dtype=np.float32)


def _empty(given: PlanePair | Slab, peak: bool = False) -> Sums:
    """Sums of a pair (V, H, W), or of a slab's planes (V, n, H, W)."""
    value, vote = given.value, given.vote
    if isinstance(given, Slab):
        planes = slice(*given.planes)
        value, vote = value[:, planes], vote[planes]
    one = [np.empty(vote.shape, np.float32) for _ in range(1 + peak)]
    return Sums(np.empty(value.shape, np.float32), *one)


# --- bands -----------------------------------------------------------------------------------


def _bands(entry: Callable[[Band], None], pair: PlanePair, sums: Sums, reach: int) -> Bands:
    """Bands of a pair; within one plane a weight serves candidates below its pixel."""
    return Bands(
        entry,
        [x for x in (*sums.numerator, sums.denominator, sums.peak) if x is not None],
        (reach, pair.radius[0] + reach),
        height=_BAND,
        pairs=len(pair.query) * _pairs(pair.radius, pair.vote.shape),
        largest=sums.peak,
    )


def _slab_bands(entry: Callable[[Band], None], slab: Slab, sums: Sums, reach: int) -> Bands:
    """Bands of all planes of a slab; between planes a weight serves candidates above its pixel as well."""
    volumes = [x for x in (*sums.numerator, sums.denominator, sums.peak) if x is not None]
    planes = [x.swapaxes(0, 1) for x in volumes]  # rows first
    return Bands(
        entry,
        planes,
        (slab.radius[1] + reach,) * 2,
        height=_SLAB_BAND,
        pairs=len(slab.feature) * _pairs(slab.radius, slab.vote.shape),
        largest=None if sums.peak is None else planes[-1],
    )


def _pairs(radius: tuple[int, ...], shape: tuple[int, ...]) -> int:
    """Pairs of a pixel and a shift, whose weights are the work."""
    window = (min(2 * r + 1, n) for r, n in zip(radius, shape, strict=True))
    return math.prod(window) * math.prod(shape)
