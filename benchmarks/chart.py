"""The plot, as SVG written by hand: bars of speed, and lines of time against the size of the picture."""

from __future__ import annotations

import math
from collections.abc import Callable
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
_LETTER = 7  # pixels wide, about


def chart(result: dict[str, Any]) -> str:
    """Both panels."""
    rows = [r for r in result["rows"] if r["group"] == "sizes" and r["threads"] == 1 and r["cpu"]]
    sides = sorted({r["problem"]["shape"][0] for r in rows}, key=lambda side: abs(side - 1024))
    bars = [r for r in rows if r["problem"]["shape"][0] == sides[0]] if sides else []
    top = 40 + _LINE * len(bars)
    height = top + 340
    return sheet([*_bars(bars), *_lines(rows, top + 20, height - 50)], height)


def text(x: float, y: float, words: str, anchor: str = "start", colour: str = "#222") -> str:
    """Words at a place."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'


def _bars(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return [text(20, 20, "speed: not measured")]
    side = rows[0]["problem"]["shape"][0]
    title = f"Million pixels a second of one thread, {side} x {side} grey, patches 7 x 7, window 21 x 21"
    largest = max(r["mpixel_per_cpu_s"] for r in rows)
    parts = [text(20, 20, title)]
    for number, row in enumerate(sorted(rows, key=lambda r: -r["mpixel_per_cpu_s"])):
        y = 34 + _LINE * number
        width = (_WIDTH - _LEFT - 80) * row["mpixel_per_cpu_s"] / largest
        colour = _COLOURS.get(row["rival"], "#444")
        parts.append(text(_LEFT - 8, y + 14, row["contestant"], "end"))
        parts.append(f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_LINE - 6}" fill="{colour}"/>')
        parts.append(text(_LEFT + width + 6, y + 14, f"{row['mpixel_per_cpu_s']:.2f}"))
    return parts


def _lines(rows: list[dict[str, Any]], top: float, bottom: float) -> list[str]:
    """Seconds of processor time for a picture against its side."""
    if len({r["problem"]["shape"][0] for r in rows}) < 2:
        return []
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        lines.setdefault(row["contestant"], []).append((row["problem"]["shape"][0], row["cpu_median"]))
    colours = {r["contestant"]: _COLOURS.get(r["rival"], "#444") for r in rows}
    title = "Processor time for a picture, one thread, against its size"
    return panel(title, "side of the picture, pixels", "seconds", lines, top, bottom, colours)


def _labels(ends: list[tuple[float, float, str, str]]) -> list[str]:
    """Names at the ends of the lines, moved apart where they would overlap."""
    parts, last = [], -math.inf
    for y, x, name, colour in sorted(ends):
        last = max(y, last + 14)
        parts.append(text(x + 6, last + 4, name, colour=colour))
    return parts


# --- any curves ------------------------------------------------------------------------------

_PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f")


HEIGHT = 380  # of one panel


def curves(title: str, across: str, up: str, lines: dict[str, list[tuple[float, float]]]) -> str:
    """A picture of one log-log panel; names that end in "ceiling" are dashed and grey."""
    return sheet(panel(title, across, up, lines, 24, HEIGHT - 50), HEIGHT)


def scatter(title: str, across: str, up: str, dots: dict[str, list[tuple[float, float]]]) -> str:
    """A picture of one log-log panel of dots, with the line on which both are equal."""
    points = [point for some in dots.values() for point in some]
    bottom, left, right = 560.0, 80.0, float(_WIDTH - 250)
    both = [value for point in points for value in point]
    horizontal, vertical = _scale(both, left, right), _scale(both, bottom, 48)
    parts = [text(20, 24, title), text((left + right) / 2, bottom + 34, across, "middle")]
    parts += [text(20, 40, up, colour="#666")]
    for value in _ticks(both):
        x, y = horizontal(value), vertical(value)
        parts.append(f'<line x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts += [text(left - 6, y + 4, f"{value:g}", "end"), text(x, bottom + 18, f"{value:g}", "middle")]
    parts.append(
        f'<line x1="{left}" x2="{right}" y1="{bottom}" y2="48" stroke="#999" stroke-dasharray="5 3"/>'
    )
    for number, (name, some) in enumerate(dots.items()):
        colour = _PALETTE[number % len(_PALETTE)]
        look = f'fill="{colour}"' if number < len(_PALETTE) else f'fill="none" stroke="{colour}"'
        places = [(right + 16, 64 + 20 * number), *((horizontal(x), vertical(y)) for x, y in some)]
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" {look}/>' for x, y in places]
        parts.append(text(right + 26, 68 + 20 * number, name))
    return sheet(parts, round(bottom) + 50)


def gains(rows: dict[str, dict[str, dict[str, float]]]) -> str:
    """Gain in dB against processor time, a panel for each kind of picture: filters by kind and name."""
    parts, height = [], 360
    for number, (kind, found) in enumerate(rows.items()):
        top, bottom, left, right = height * number + 24.0, height * (number + 1.0) - 56, 80.0, _WIDTH - 40.0
        horizontal = _scale([row["seconds"] for row in found.values()], left, right - 150)
        low = math.floor(min(row["gain"] for row in found.values()))
        high = math.ceil(max(row["gain"] for row in found.values()))
        parts += [text(20, top, f"{kind}: dB won from noise, against seconds per megapixel of one processor")]
        for level in range(low, high + 1):
            y = bottom + (level - low) / max(high - low, 1) * (top + 24 - bottom)
            parts.append(f'<line x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
            parts.append(text(left - 6, y + 4, f"{level}", "end"))
        for value in _ticks([row["seconds"] for row in found.values()]):
            parts.append(text(horizontal(value), bottom + 18, f"{value:g}", "middle"))
        step = (top + 24 - bottom) / max(high - low, 1)
        dots = {n: (horizontal(r["seconds"]), bottom + (r["gain"] - low) * step) for n, r in found.items()}
        for name, (x, y) in dots.items():
            colour = _COLOURS["nlmeans"] if name.startswith("nlmeans") else "#777"
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
            taken = any(
                0 < other - x < _LETTER * len(name) and abs(up - y) < 9 for other, up in dots.values()
            )
            parts.append(text(x + (-7 if taken else 7), y + 4, name, "end" if taken else "start", colour))
    return sheet(parts, height * len(rows))


def sheet(parts: list[str], height: int) -> str:
    """Elements as a picture."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="13">'
    )
    return "\n".join([head, f'<rect width="{_WIDTH}" height="{height}" fill="white"/>', *parts, "</svg>\n"])


def panel(
    title: str,
    across: str,
    up: str,
    lines: dict[str, list[tuple[float, float]]],
    top: float,
    bottom: float,
    colours: dict[str, str] | None = None,
) -> list[str]:
    """The elements of one log-log panel between two heights; with `colours`, variants are dashed."""
    points = [point for line in lines.values() for point in line if point[0] > 0 and point[1] > 0]
    if not points:
        return [text(20, top, f"{title}: not measured")]
    left, right = 80.0, float(_WIDTH - 250)
    horizontal = _scale([x for x, _ in points], left, right)
    vertical = _scale([y for _, y in points], bottom, top + 24)
    parts = [text(20, top, title), text((left + right) / 2, bottom + 34, across, "middle")]
    parts += [text(20, top + 16, up, colour="#666")]
    for value in _ticks([y for _, y in points]):
        y = vertical(value)
        parts.append(f'<line x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(text(left - 6, y + 4, f"{value:g}", "end"))
    parts += [
        text(horizontal(value), bottom + 18, f"{value:g}", "middle")
        for value in _ticks([x for x, _ in points])
    ]
    ends = []
    for number, (name, line) in enumerate(lines.items()):
        ceiling = name.endswith("ceiling")
        colour = "#999" if ceiling else (colours or {}).get(name, _PALETTE[number % len(_PALETTE)])
        dashes = ' stroke-dasharray="5 3"' if ceiling or (colours and ", " in name) else ""
        placed = [(horizontal(x), vertical(y)) for x, y in sorted(line)]
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in placed]
        ends.append((placed[-1][1], right, name, colour))
    return parts + _labels(ends)


def _scale(values: list[float], start: float, end: float) -> Callable[[float], float]:
    """Logarithms of a range with some room around it, on a line."""
    low, high = math.log10(min(values)) - 0.05, math.log10(max(values)) + 0.05
    return lambda value: start + (math.log10(value) - low) / (high - low) * (end - start)


def _ticks(values: list[float]) -> list[float]:
    """Round numbers within the range: 1, 2, 5 and their tens, or the ends where there are none."""
    low, high = min(values), max(values)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = [d * 10.0**power for power in powers for d in (1, 2, 5) if low <= d * 10.0**power <= high]
    return found if len(found) < 12 else [v for v in found if f"{v:e}".startswith("1")]
