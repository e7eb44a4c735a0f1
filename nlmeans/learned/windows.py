"""The non-local mean in a window."""

from __future__ import annotations
from typing import Any
from nlmeans.similarity import Task, nonlocal_mean


def windowed(query: Any, key: Any, value: Any, task: Task) -> Any:
    """By the core."""
    return nonlocal_mean(
        query,
        key,
        value,
        similarity=task.similarity,
        normalisation="softmax" if task.softmax else "count",
        window=task.window,
        center=task.center,
    )
