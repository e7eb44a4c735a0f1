"""The one operation, the non-local mean, and the similarities it can be taken with."""

from __future__ import annotations

from nlmeans.operation.nonlocal_mean import nonlocal_mean
from nlmeans.operation.similarity import Concatenation, DotProduct, Euclidean, Gaussian, Similarity

__all__ = ["Concatenation", "DotProduct", "Euclidean", "Gaussian", "Similarity", "nonlocal_mean"]
