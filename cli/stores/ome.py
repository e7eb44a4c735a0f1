"""What OME-Zarr says of an image: axes, sizes of pixels, resolutions, names of channels."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from ..formats.tiff.scale import Scale
from .source import Source

_ORDER = "tczyx"  # in which OME-Zarr has the axes that it knows
_KINDS = {"t": "time", "c": "channel"}
_UNITS = {"time": "second", "space": "micrometer"}
#: Micrometres and seconds of the units that are common, by OME-Zarr's names.
_FACTORS = {
    **{"picometer": 1e-6, "angstrom": 1e-4, "nanometer": 1e-3, "micrometer": 1.0, "millimeter": 1e3},
    **{"centimeter": 1e4, "meter": 1e6, "inch": 25_400.0, "millisecond": 1e-3, "second": 1.0, "minute": 60.0},
}


def fits(source: Source) -> bool:
    """Whether OME-Zarr has a place for each axis: colours that stand pixel by pixel have none."""
    places = [_ORDER.find(name) for name in source.axes]
    return {"y", "x"} <= set(source.axes) and places == sorted(set(places)) and places[0] >= 0


def ordered(names: str) -> tuple[str, ...]:
    """Axes in the order that OME-Zarr asks for, where it knows them all: ImageJ has t, z, c."""
    known = set(names) <= set(_ORDER) and len(set(names)) == len(names)
    return tuple(sorted(names, key=_ORDER.find) if known else names)


def scale_of(attributes: Mapping[str, Any], names: Sequence[str]) -> Scale:
    """How large the pixels of the full resolution are; units that are not known count as micrometres."""
    described = attributes.get("ome", attributes)
    image = described["multiscales"][0]
    channels = (described.get("omero") or {}).get("channels") or ()
    labels = tuple(str(c.get("label") or "") for c in channels if isinstance(c, dict))
    units = [axis.get("unit") if isinstance(axis, dict) else None for axis in image.get("axes", ())]
    sizes = [1.0] * len(names)
    found = False
    for place in (image, image["datasets"][0]):
        for each in place.get("coordinateTransformations") or ():
            factors = each.get("scale") if isinstance(each, dict) else None
            if isinstance(factors, list) and len(factors) == len(sizes):
                sizes, found = [s * float(f) for s, f in zip(sizes, factors, strict=True)], True
    if not any(units) and set(sizes) == {1.0}:
        found = False  # which says nothing
    labels = labels if all(labels) else ()
    if not found or len(units) != len(sizes):
        return Scale(channels=labels)
    each_unit = zip(sizes, units, strict=True)
    known = dict(zip(names, (s * _FACTORS.get(unit or "", 1.0) for s, unit in each_unit), strict=True))
    z, y, x = (known.get(a) or None for a in "zyx")
    seconds = known["t"] if "t" in names and units[names.index("t")] else None
    return Scale(z, y, x, seconds, labels)


def attributes(source: Source, levels: int) -> dict[str, Any]:
    """Of the store that is written: those of the source, or for TIFF what its descriptions say."""
    if source.kind == "zarr":
        found: dict[str, Any] = json.loads(source.attributes)
        _keep_levels(found.get("ome", found), levels)
        return found
    text: dict[str, Any] = json.loads(source.attributes)
    return {"ome": _described(source, levels), **text} if source.kind == "tiff" and fits(source) else text


def _keep_levels(described: dict[str, Any], levels: int) -> None:
    """Resolutions that were not made are not named."""
    for image in described.get("multiscales", [])[:1]:
        image["datasets"] = image["datasets"][:levels]
    if "multiscales" in described:
        described["multiscales"] = described["multiscales"][:1]


def _described(source: Source, levels: int) -> dict[str, Any]:
    scale = source.scale
    sizes = {"t": scale.t, "c": None, "z": scale.z, "y": scale.y, "x": scale.x}
    axes = []
    for name in source.axes:
        kind = _KINDS.get(name, "space")
        unit = {"unit": _UNITS[kind]} if sizes[name] else {}
        axes.append({"name": name, "type": kind, **unit})
    full = source.shape
    datasets = []
    for level in range(levels):
        shape = tuple(source.array(level).shape)
        factors = [round(a / b) for a, b in zip(full, shape, strict=True)]
        each = [(sizes[n] or 1.0) * f for n, f in zip(source.axes, factors, strict=True)]
        datasets.append({"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": each}]})
    name = os.path.basename(source.path)
    found: dict[str, Any] = {"version": "0.5"}
    found["multiscales"] = [{"name": name, "axes": axes, "datasets": datasets}]
    if scale.channels:
        found["omero"] = {"channels": [{"label": label} for label in scale.channels]}
    return found
