"""The plot, as SVG written by hand: bars of speed, and lines of time against the size of the picture."""

from __future__ import annotations

import math
from typing import Any
from xml.sax.saxutils import escape

_COLOURS = {
    "nlmeans": "#0072b2",
    "vs-nlm-ispc": "#d55e00",
    "OpenCV": "#009e73",
    "FFmpeg": "#cc79a7",
    "scikit-image": "#7f7f7f",
}
_LINE = 24
_LEFT = 190
_WIDTH = 860


def chart(result: dict[str, Any]) -> str:
    """Both panels."""
    rows = [r for r in result["rows"] if r["group"] == "sizes" and r["threads"] == 1 and r["cpu"]]
    sides = sorted({r["problem"]["shape"][0] for r in rows}, key=lambda side: abs(side - 1024))
    bars = [r for r in rows if r["problem"]["shape"][0] == sides[0]] if sides else []
    top = 40 + _LINE * len(bars)
    height = top + 300
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        *_bars(bars),
        *_lines(rows, top + 20, height - 40),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _text(x: float, y: float, words: str, anchor: str = "start", colour: str = "#222") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'


def _bars(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return [_text(20, 20, "speed: not measured")]
    side = rows[0]["problem"]["shape"][0]
    title = f"Million pixels a second of one thread, {side} x {side} grey, patches 7 x 7, window 21 x 21"
    largest = max(r["mpixel_per_cpu_s"] for r in rows)
    parts = [_text(20, 20, title)]
    for number, row in enumerate(sorted(rows, key=lambda r: -r["mpixel_per_cpu_s"])):
        y = 34 + _LINE * number
        width = (_WIDTH - _LEFT - 80) * row["mpixel_per_cpu_s"] / largest
        colour = _COLOURS.get(row["rival"], "#444")
        parts.append(_text(_LEFT - 8, y + 14, row["contestant"], "end"))
        parts.append(f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_LINE - 6}" fill="{colour}"/>')
        parts.append(_text(_LEFT + width + 6, y + 14, f"{row['mpixel_per_cpu_s']:.2f}"))
    return parts


def _lines(rows: list[dict[str, Any]], top: float, bottom: float) -> list[str]:
    """Log-log: seconds of processor time for a picture."""
    sides = sorted({r["problem"]["shape"][0] for r in rows})
    if len(sides) < 2:
        return []
    seconds = [r["cpu_median"] for r in rows]
    low, high = (f(math.log10(s)) for f, s in ((math.floor, min(seconds)), (math.ceil, max(seconds))))
    left, right = 70.0, float(_WIDTH - 190)

    def across(side: int) -> float:
        part = math.log2(side / sides[0]) / math.log2(sides[-1] / sides[0])
        return left + part * (right - left)

    def up(value: float) -> float:
        return bottom - (math.log10(value) - low) / max(high - low, 1) * (bottom - top - 20)

    parts = [_text(20, top, "Processor time for a picture, one thread, seconds, against its size")]
    for power in range(low, high + 1):
        y = up(10.0**power)
        parts.append(f'<line x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(_text(left - 6, y + 4, f"{10.0**power:g}", "end"))
    parts += [_text(across(side), bottom + 18, f"{side}²", "middle") for side in sides]
    ends = []
    for name in dict.fromkeys(r["contestant"] for r in rows):
        mine = sorted((r for r in rows if r["contestant"] == name), key=lambda r: r["problem"]["shape"][0])
        points = [(across(r["problem"]["shape"][0]), up(r["cpu_median"])) for r in mine]
        colour = _COLOURS.get(mine[0]["rival"], "#444")
        dashes = "" if ", " not in name else ' stroke-dasharray="5 3"'
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>')
        ends.append((points[-1][1], points[-1][0], name, colour))
    return parts + _labels(ends)


def _labels(ends: list[tuple[float, float, str, str]]) -> list[str]:
    """Names at the ends of the lines, moved apart where they would overlap."""
    parts, last = [], -math.inf
    for y, x, name, colour in sorted(ends):
        last = max(y, last + 14)
        parts.append(_text(x + 6, last + 4, name, colour=colour))
    return parts
