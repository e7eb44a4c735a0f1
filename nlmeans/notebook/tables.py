"""Settings as a table of HTML."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

MEANING = {
    "sigma_error": "standard error of sigma, where it was measured",
    "averaged": "pixels that a pixel of the result is worth",
    "mse": "expected mean squared error",
    "psnr": "expected PSNR, dB",
    "verdict": "what was removed",
    "sigma": "standard deviation of the noise, in the units of the image",
    "h": "filtering strength, in the units of the image",
    "k": "filtering strength, in units of sigma",
    "patch_radius": "of the patches that are compared",
    "search_radius": "of the window in which they are sought",
    "color": "how channels are compared",
    "differences": "the filter of the differences of colours",
    "second": "the filter of the second pass",
    "blend": "part of the image in the result",
    "mixing": "part of the first result in what the second pass compares",
}


def table(title: str, values: Mapping[str, Any]) -> str:
    """A table of names, values and what they mean; a mapping within is a table within."""
    rows = "".join(_row(name, value) for name, value in values.items())
    caption = f'<caption style="text-align:left;font-weight:bold">{escape(title)}</caption>'
    return f"<table>{caption}<tbody>{rows}</tbody></table>"


def _row(name: str, value: object) -> str:
    meaning = escape(MEANING.get(name, ""))
    if isinstance(value, Mapping):
        shown = f"<details><summary>{len(value)} settings</summary>{table(name, value)}</details>"
    else:
        shown = f"<code>{escape(_text(value))}</code>"
    left = "text-align:left"
    return (
        f'<tr><th scope="row" style="{left}">{escape(name)}</th><td style="{left}">{shown}</td>'
        f'<td style="{left}">{meaning}</td></tr>'
    )


def _text(value: object) -> str:
    """A value with six digits, whatever it is."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, tuple | list):
        return ", ".join(map(_text, value))
    return str(value)
