"""The window kernel's contract: what every backend is given, and what it gives back.

A backend is a module with the names of :class:`Backend`.  It sees planes (2-D arrays)
and weights; it knows no dimension, colour, file or policy.

Words: a *pair* here is one query plane against one key plane; ``i`` is a query pixel,
``s = (dy, dx)`` a shift of the search window and ``j = i + s`` a candidate of the key plane.

    S(i, s) = sum_c sum_o a(o) (query_c(i + o) - key_c(j + o))^2        a(o) = taps_y(oy) taps_x(ox)
    w(i, s) = 2^-max(scale_i S(i, s) - bias_i, 0) * vote_j              j inside the plane, else 0

What is averaged are differences ``value_j - own_value_i`` to the query pixel's own value: where both are the
same nothing is added, not even a rounding error, and what all values have in common enters nowhere.

Samples ``i + o`` and ``j + o`` outside a plane are its symmetric reflection (the index folded
modulo 2n, so that any patch radius works on any size).  Where ``query is key`` and the planes
are the same, the shift (0, 0) is the pixel itself and is left to the caller: ``own`` is then True.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

Array = Any  #: a NumPy or CuPy array


@dataclass(frozen=True, eq=False)
class PlanePair:
    """One plane against another: the input of both entries."""

    query: Array  # (C, H, W) features of the pixels to denoise; scale S is an exponent of 2
    key: Array  # (C, H, W) features of the candidates; the same object as `query` within a plane
    value: Array  # (V, H, W) of the key plane, finite; V = 0 where only weights are asked for
    own_value: Array  # (V, H, W) of the query plane, finite; the same object as `value` within a plane
    vote: Array  # (H, W) 1 where a candidate may be averaged, else 0, of the key plane
    radius: tuple[int, int]  # search radius (Ry, Rx), each >= 0, any size
    taps: tuple[Array, Array]  # (2 ry + 1,), (2 rx + 1,): weights of the patch per axis, sum 1; NumPy
    bias: float | Array  # >= 0, exponents this small count as 0; a number or (H, W) per query
    scale: float | Array  # >= 0, multiplies S; a number or (H, W) per query
    own: bool  # True within one plane: the shift (0, 0) is skipped by `accumulate`

    @property
    def patch_radius(self) -> tuple[int, int]:
        return len(self.taps[0]) // 2, len(self.taps[1]) // 2


@dataclass(frozen=True, eq=False)
class Slab:
    """Planes of a volume, each against all planes of its search window: the input of both slab entries.

    Shifts are (dz, dy, dx) and patches are deep in z: ``S(i, s) = sum_oz a(oz) S_oz(i, s)``, where S_oz
    compares plane ``z + oz`` with plane ``z + dz + oz``, reflected by index at the ends.  Weights are spread
    in their plane.
    """

    feature: Array  # (C, Z, H, W) what is compared
    value: Array  # (V, Z, H, W) finite; V = 0 where only weights are asked for
    vote: Array  # (Z, H, W) 1 where a candidate may be averaged, else 0
    radius: tuple[int, int, int]  # search radius (Rz, Ry, Rx), each >= 0, any size
    taps: tuple[Array, Array, Array]  # (2 rz + 1,), (2 ry + 1,), (2 rx + 1,), each of sum 1; NumPy
    bias: float | Array  # a number or (Z, H, W) per query
    scale: float | Array  # a number or (Z, H, W) per query
    planes: tuple[int, int]  # first, last + 1 of those to denoise: sums are (V, n, H, W) and (n, H, W)

    @property
    def patch_radius(self) -> tuple[int, int, int]:
        z, y, x = (len(t) // 2 for t in self.taps)
        return z, y, x


@dataclass(eq=False)
class Sums:
    """What an entry gives back, in the floating type of the planes."""

    numerator: Array  # (V, H, W)   sum_s w (value_j - own_value_i)
    denominator: Array  # (H, W)    sum_s w
    peak: Array | None = None  # (H, W)    max_s w, when asked; 0 where there is no candidate
    token: Any = None  # what this backend's `aggregate` wants to have back of this pair, if anything


@dataclass(frozen=True)
class Run:
    """How to work, never what: no field changes a result beyond rounding."""

    workers: int = 1
    tick: Callable[[float], None] | None = None  # fraction of this call done since the last; may raise

    def part(self, fraction: float) -> Run:
        """The run of a call that is this fraction of the work."""
        tick = self.tick
        return Run(self.workers, None if tick is None else lambda done: tick(fraction * done))


class Backend(Protocol):
    """The names a backend module must have."""

    def can_run(self, request: Request) -> str | None:
        """None when it can, else the reason and what to install.  Never raises or allocates."""

    def works_in(self, dtype: str) -> str:
        """The floating type it works in for images of this type: "float32" or "float64"."""

    def namespace(self) -> Any:
        """The array library whose arrays it takes: ``numpy`` or ``cupy``."""

    def memory(self) -> DeviceMemory | None:
        """Its own memory, on a device; None where it works in the processor's."""

    def accumulate(self, pair: PlanePair, run: Run, *, peak: bool = False) -> Sums:
        """Sums over the search window, without the pixel itself when ``pair.own``."""

    def aggregate(
        self, pair: PlanePair, run: Run, normaliser: Array, center: Array | None, token: Any = None
    ) -> Sums:
        """Sums over the search window with every weight spread over the patch of its pixel.

        ``p(i, s) = w(i, s) normaliser_i`` and, when ``pair.own``, ``p(i, 0) = center_i normaliser_i``
        (else the shift (0, 0) is as any other and ``center`` is None);
        ``B_s(x) = sum_o a(o) p(x - o, s)`` over patch centres inside the plane;
        numerator and denominator are the sums over s of ``B_s(x) vote(x + s)`` times
        ``value(x + s) - own_value(x)`` and 1.

        Where all vote, the denominator is ``sum_o a(o) P(x - o)`` with ``P_i = sum_s p(i, s)``: a backend
        that knows P need not sum the denominator up again, and one that does sum it needs no `token`.  The
        token is None where this pair holds the whole search window of its query plane (``own`` is then True):
        P is 1 where a pixel is valid and 0 elsewhere, which is ``pair.vote``.  Otherwise it is the
        `Sums.token` that `accumulate` gave for the same query, key, vote, bias and scale, unchanged.
        """


class SlabBackend(Backend, Protocol):
    """A backend that has both entries for slabs; with others a volume is pairs of planes."""

    LEAST_PLANES: int  # of a slab that is less work than pairs

    def accumulate_slab(self, slab: Slab, run: Run, *, peak: bool = False) -> Sums:
        """`accumulate` for planes of a volume, over the whole window, without the pixels themselves."""

    def aggregate_slab(self, slab: Slab, run: Run, normaliser: Array, center: Array) -> Sums:
        """`aggregate` for the same; normaliser and center are (n, H, W), of the planes to denoise."""


class Transfers(Protocol):
    """Tiles on their way to a device and back, while it works on others.

    A context: when it ends well everything is down and was put; else all that moves is waited for.
    """

    def __enter__(self) -> Transfers: ...

    def __exit__(self, *raised: object) -> None: ...

    def up(self, part: Array) -> Array:
        """The NumPy array's values on the device, for work that is queued from now on."""

    def down(self, result: Array, put: Callable[[Array], None]) -> None:
        """Hand the result to `put` as a NumPy array, now or later; what `up` brought for it may go then."""


class DeviceMemory(Protocol):
    """The memory of a device that a backend works on."""

    def limit(self) -> int:
        """Bytes that work may take now."""

    def ran_out(self, error: BaseException) -> bool:
        """Whether this error means that the memory is full, and nothing else."""

    def release(self) -> None:
        """Give back what is kept for later."""

    def transfers(self) -> Transfers:
        """A new set, for one image."""


@dataclass(frozen=True)
class Request:
    """What is about to run, as far as a backend's ability depends on it."""

    array_library: str  # "numpy", "cupy" or "torch"
    dtype: str
    pixels: int
    channels: int
    method: str = "nlmeans"
