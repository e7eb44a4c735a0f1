"""What positions attend to: statistics of rows of weights, of the filter and of learned blocks alike."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from nlmeans.errors import warn


def __getattr__(name: str) -> Any:
    """The statistics by their old place, until version 0.3."""
    if name.startswith("_"):
        raise AttributeError(f"module 'nlmeans.attention' has no attribute {name!r}")
    found = getattr(import_module("nlmeans.attention.statistics"), name)
    warn(
        f"nlmeans.attention.{name} is in nlmeans.attention.statistics now; "
        "the old name goes with version 0.3",
        category=DeprecationWarning,
    )
    return found
