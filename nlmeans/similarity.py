"""The old name of :mod:`nlmeans.operation`; it goes with version 0.3."""

from nlmeans.errors import warn
from nlmeans.operation import Concatenation, DotProduct, Euclidean, Gaussian, Similarity, nonlocal_mean

__all__ = ["Concatenation", "DotProduct", "Euclidean", "Gaussian", "Similarity", "nonlocal_mean"]
warn(
    "nlmeans.similarity is called nlmeans.operation now; the old name goes with version 0.3",
    category=DeprecationWarning,
)
