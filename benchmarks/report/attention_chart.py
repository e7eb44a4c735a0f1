"""The attention study as bars: gains, and how far inputs, rows and outputs differ."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from ..chart import sheet, text
from .attention import NONE, Result, gains, measure, names_of

_LINE, _LEFT, _WIDTH = 22, 215, 860
_MEASURES = {"input": "#999999", "attention": "#0072b2", "output": "#d55e00"}


def plot(result: Result) -> str:
    """Gains of all kinds of block, and how far their inputs, rows and outputs differ."""
    names = [name for name in names_of(result) if name != NONE and gains(result, name)]
    top = 40 + _LINE * len(names) + 50
    parts = [text(20, 20, "Gain over the network without a block, dB; dots are seeds")]
    every = [gain for name in names for gain in gains(result, name)] or [1.0]
    low, high = min(0.0, *every), max(0.01, *every)
    parts += _bars(result, names, lambda g: _LEFT + (g - low) / (high - low) * (_WIDTH - _LEFT - 90))
    parts.append(text(20, top - 10, "Mean cosine distance of pairs of queries:"))
    for number, (name, colour) in enumerate(_MEASURES.items()):
        parts.append(f'<circle cx="{330 + 110 * number}" cy="{top - 14}" r="5" fill="{colour}"/>')
        parts.append(text(340 + 110 * number, top - 10, name))
    parts += _distances(result, names, top + 10)
    return sheet(parts, top + 10 + _LINE * len(names) + 40)


def _bars(result: Result, names: Sequence[str], across: Callable[[float], float]) -> list[str]:
    parts = []
    for number, name in enumerate(names):
        each, y = gains(result, name), 34 + _LINE * number
        start, end = sorted((across(0.0), across(statistics.fmean(each))))
        parts.append(text(_LEFT - 8, y + 13, name, "end"))
        parts.append(
            f'<rect x="{start:.1f}" y="{y}" width="{end - start:.1f}" height="{_LINE - 6}" fill="#56b4e9"/>'
        )
        parts += [f'<circle cx="{across(g):.1f}" cy="{y + 8}" r="3" fill="#222"/>' for g in each]
        parts.append(text(max(end, *map(across, each)) + 8, y + 13, f"{statistics.fmean(each):+.2f}"))
    return parts


def _distances(result: Result, names: Sequence[str], top: int) -> list[str]:
    right = _WIDTH - 60
    parts = []
    for tick in range(6):
        x = _LEFT + tick / 5 * (right - _LEFT)
        end = top + _LINE * len(names)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{end}" stroke="#ddd"/>')
        parts.append(text(x, end + 18, f"{tick / 10:g}", "middle"))
    for number, name in enumerate(names):
        y = top + _LINE * number + 12
        parts.append(text(_LEFT - 8, y + 4, name, "end"))
        for kind, colour in _MEASURES.items():
            value = measure(result, name, kind)
            if value is not None:
                x = _LEFT + 2 * value * (right - _LEFT)
                parts.append(f'<circle cx="{x:.1f}" cy="{y}" r="5" fill="{colour}" fill-opacity="0.85"/>')
    return parts
