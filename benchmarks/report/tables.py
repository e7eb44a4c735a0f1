"""Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

NOT_MEASURED = "not measured"


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """The first column is text, the others are figures."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *lines))


def seconds(value: float) -> str:
    """Three significant digits."""
    return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"
