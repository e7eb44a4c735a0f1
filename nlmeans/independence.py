"""The old name of :mod:`nlmeans.attention.independence`; it goes with version 0.3."""

from nlmeans.attention.independence import Independence, chosen_queries, measure, measured
from nlmeans.errors import warn

__all__ = ["Independence", "chosen_queries", "measure", "measured"]
warn(
    "nlmeans.independence is called nlmeans.attention.independence now; the old name goes with version 0.3",
    category=DeprecationWarning,
)
