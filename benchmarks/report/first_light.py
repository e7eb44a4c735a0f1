"""What a first look at a GPU found besides times: whether the answers are right, and what was left out."""

from __future__ import annotations

from typing import Any

from .tables import table

Result = dict[str, Any]


def sections(result: Result) -> list[str]:
    """Headings and tables, for what of it there is."""
    parts: list[str] = []
    if result.get("checks"):
        parts += ["## Against the reference", _verdict(result["checks"]), _checks(result["checks"])]
    if result.get("sanitizer"):
        parts += ["## Under the checker of memory", _sanitizer(result["sanitizer"])]
    if result.get("parts"):
        parts += ["## What the time was enough for", _parts(result["parts"])]
    return parts


def _verdict(checks: list[dict[str, Any]]) -> str:
    right = sum(bool(row["ok"]) for row in checks)
    seen = [row["largest"] / row["allowed"] for row in checks if row["largest"] is not None]
    worst = f"; the largest difference is {100 * max(seen):.0f} % of what is allowed" if seen else ""
    return f"{right} of {len(checks)} calls agree with the float64 reference{worst}."


def _checks(checks: list[dict[str, Any]]) -> str:
    lines = []
    for row in checks:
        shown = [row["what"].replace("|", "\\|"), row["arrays"]]
        if row["largest"] is None:
            lines.append([*shown, row["reason"] or "", "", "no"])
            continue
        figures = [f"{row['largest']:.2g}", f"{row['allowed']:.2g}"]
        lines.append([*shown, *figures, "yes" if row["ok"] else f"NO {row['reason'] or ''}".strip()])
    return table(["call", "arrays", "off by, data ranges", "allowed", "right"], lines)


def _sanitizer(rows: list[dict[str, Any]]) -> str:
    lines = [
        [row["tool"], row["finds"], row["reason"] or f"{row['faults']} in {row['calls']} calls"]
        for row in rows
    ]
    return table(["tool", "finds", "found"], lines)


def _parts(rows: list[dict[str, Any]]) -> str:
    lines = [[r["part"], r["asks"], str(r["rows"]), f"{r['seconds']:.0f}", r["reason"] or ""] for r in rows]
    return table(["part", "asks", "rows", "seconds", "why not all"], lines)
