"""How large a pixel is, as the descriptions of OME and ImageJ say, and what channels are called."""

from __future__ import annotations

import html
import math
import re
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from .describe import is_ome

#: Micrometres of a unit of length, by how OME and ImageJ write it.
_MICROMETRES = {
    **dict.fromkeys(("", "um", "µm", "μm", "micron", "microns", "micrometer", "micrometre"), 1.0),
    **{"nm": 1e-3, "nanometer": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6, "pm": 1e-6, "Å": 1e-4},
    **{"in": 25_400.0, "inch": 25_400.0, "millimeter": 1e3},
}
_SECONDS = {"": 1.0, "s": 1.0, "sec": 1.0, "second": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0}
_PIXELS = re.compile(r"<(?:\w+:)?Pixels\b([^<>]*)>")
_CHANNEL = re.compile(r"<(?:\w+:)?Channel\b([^<>]*)>")


@dataclass(frozen=True)
class Scale:
    """Micrometres of a pixel along z, y and x, and seconds between times; None: it is not said."""

    z: float | None = None
    y: float | None = None
    x: float | None = None
    t: float | None = None
    channels: tuple[str, ...] = ()  # what they are called

    @property
    def volume(self) -> tuple[float, float, float] | None:
        """Along (z, y, x), where all three are said and radii should follow them."""
        if self.z is None or self.y is None or self.x is None:
            return None
        return (self.z, self.y, self.x)


def scale(description: bytes, resolution: tuple[Any, ...] | None) -> Scale:
    """From ImageDescription, and x, y and unit of a TIFF's resolution."""
    text = description.rstrip(b"\0").decode("utf-8", "replace")
    if is_ome(description):
        return _of_ome(text)
    if text.startswith("ImageJ="):
        return _of_imagej(text, resolution)
    return _plain(resolution)


def _of_ome(text: str) -> Scale:
    pixels = _PIXELS.search(text)
    if not pixels:
        return Scale()
    each = {a: _length(pixels[1], a) for a in "XYZ"}
    unit = _attribute(pixels[1], "TimeIncrementUnit")
    seconds = _number(_attribute(pixels[1], "TimeIncrement"))
    t = None if seconds is None or unit not in _SECONDS else seconds * _SECONDS[unit]
    names = tuple(_attribute(own, "Name") for own in _CHANNEL.findall(text))
    return Scale(each["Z"], each["Y"], each["X"], t, names if all(names) else ())


def _length(attributes: str, axis: str) -> float | None:
    size = _number(_attribute(attributes, f"PhysicalSize{axis}"))
    factor = _MICROMETRES.get(_attribute(attributes, f"PhysicalSize{axis}Unit"))
    return None if size is None or factor is None else size * factor


def _attribute(element: str, name: str) -> str:
    found = re.search(rf"\b{name}\s*=\s*[\"']([^\"'<>]{{0,200}})[\"']", element)
    return html.unescape(found[1]).strip() if found else ""


def _of_imagej(text: str, resolution: tuple[Any, ...] | None) -> Scale:
    """Sizes are in one unit; the numbers of x and y are in the tags of the resolution."""
    said = dict(re.findall(r"^(\w+)=(.{0,200})$", text.replace("\0", ""), re.MULTILINE))
    unit = said.get("unit", "").strip().replace("\\u00B5", "µ")
    factor = _MICROMETRES.get(unit) if unit else None
    z = _number(said.get("spacing", ""))
    if resolution is None or z is None:
        return replace(_lengths(resolution, factor), t=_number(said.get("finterval", "")))
    found = _lengths(resolution, factor or 1.0)  # without a unit they are right beside each other
    return replace(found, z=z * (factor or 1.0), t=_number(said.get("finterval", "")))


def _plain(resolution: tuple[Any, ...] | None) -> Scale:
    """By the tags alone: 72 and 96 an inch are what programs write that do not know."""
    if resolution is None or resolution[2] not in ("cm", "inch") or resolution[0] in (72, 96):
        return Scale()
    return _lengths(resolution, _MICROMETRES[resolution[2]])


def _lengths(resolution: tuple[Any, ...] | None, factor: float | None) -> Scale:
    if resolution is None or factor is None or not all(resolution[:2]):
        return Scale()
    x, y = (float(factor / Fraction(n)) for n in resolution[:2])
    return Scale(y=y, x=x) if min(x, y) > 0 else Scale()


def _number(text: str) -> float | None:
    """A size: finite, and not 0."""
    try:
        value = abs(float(text))
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None
