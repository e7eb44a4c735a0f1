"""How alike a query and a key are: the similarities of the one operation.

No array library is imported here: the namespace comes from the arrays themselves, and nothing is
written into an array, so torch can differentiate all of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from nlmeans.errors import InvalidTypeError, InvalidValueError, shown
from nlmeans.formula import log_weight

Array = Any  #: a NumPy, CuPy or torch array
Region = tuple[slice, ...]


class Similarity(Protocol):
    """How alike a query and a key are: the log of f where `exponential`, else f itself."""

    exponential: ClassVar[bool]

    def along(self, query: Array, key: Array, xp: Any, at: Region) -> Array:
        """Element by element: (..., D) and (..., D) give (...)."""

    def between(self, query: Array, key: Array, xp: Any, at: Region) -> Array:
        """Every query with every key: (..., N, D) and (..., M, D) give (..., N, M)."""


@dataclass(frozen=True, eq=False)
class Euclidean:
    """``f = exp(-max(|q - k|^2 - 2 sigma^2, 0) / h^2)``, the similarity of NL-means.

    `h` > 0 and `sigma` >= 0 are in the units of the features: numbers, or arrays of the query grid.
    Features are best centred: `between` expands the square and loses digits far from zero.
    """

    h: Any = 1.0
    sigma: Any = 0.0
    exponential: ClassVar[bool] = True

    def along(self, query: Array, key: Array, xp: Any, at: Region) -> Array:
        return self._log_weight(xp.sum((query - key) ** 2, axis=-1), xp, at)

    def between(self, query: Array, key: Array, xp: Any, at: Region) -> Array:
        squared = xp.sum(query**2, axis=-1)[..., :, None] + xp.sum(key**2, axis=-1)[..., None, :]
        distance = xp.clip(squared - 2 * (query @ xp.matrix_transpose(key)), 0, None)
        return self._log_weight(distance, xp, (*at, None))

    def _log_weight(self, distance: Array, xp: Any, at: tuple[slice | None, ...]) -> Array:
        h, sigma = (x[at] if getattr(x, "ndim", 0) else x for x in (self.h, self.sigma))
        return log_weight(distance / h**2, 2 * sigma**2 / h**2, xp)


@dataclass(frozen=True, eq=False)
class DotProduct:
    """``f = scale q . k``."""

    scale: Any = 1.0
    exponential: ClassVar[bool] = False

    def along(self, query: Array, key: Array, xp: Any, at: Region) -> Array:
        return xp.sum(query * key, axis=-1) * self.scale

    def between(self, query: Array, key: Array, xp: Any, at: Region) -> Array:
        return (query @ xp.matrix_transpose(key)) * self.scale


@dataclass(frozen=True, eq=False)
class Gaussian(DotProduct):
    """``f = exp(scale q . k)``; "embedded" says only that the caller has embedded q and k."""

    exponential: ClassVar[bool] = True


@dataclass(frozen=True, eq=False)
class Concatenation:
    """``f = relu(w . [q, k])`` with `weight` of shape (2 D,)."""

    weight: Any
    exponential: ClassVar[bool] = False

    def along(self, query: Array, key: Array, xp: Any, at: Region) -> Array:
        a, b = self.halves(query, key)
        return xp.clip(a + b, 0, None)

    def between(self, query: Array, key: Array, xp: Any, at: Region) -> Array:
        a, b = self.halves(query, key)
        return xp.clip(a[..., :, None] + b[..., None, :], 0, None)

    def halves(self, query: Array, key: Array) -> tuple[Array, Array]:
        """The two terms of w . [q, k]: a number per query, a number per key."""
        d = query.shape[-1]
        return query @ self.weight[:d], key @ self.weight[d:]


_BY_NAME: dict[str, Callable[[], Similarity]] = {
    "euclidean": Euclidean,
    "gaussian": Gaussian,
    "embedded_gaussian": Gaussian,
    "dot_product": DotProduct,
}


def resolved(similarity: object) -> Similarity:
    """A similarity by its name, or as it came, checked."""
    if isinstance(similarity, str):
        if similarity not in _BY_NAME:
            raise InvalidValueError(
                f"similarity must be one of {', '.join(_BY_NAME)} or an instance such as "
                f"Concatenation(weight), got {shown(similarity)}"
            )
        return _BY_NAME[similarity]()
    if not all(hasattr(similarity, name) for name in ("exponential", "along", "between")):
        raise InvalidTypeError(f"similarity must be a name or a Similarity, got {shown(similarity)}")
    return similarity  # type: ignore[return-value]
