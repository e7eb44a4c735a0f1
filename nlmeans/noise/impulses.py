"""Impulses: single pixels that have nothing to do with what is around them, as hot and dead pixels, salt and
pepper.

A pixel is one where it is far from the median of the 24 around it, in units of their spread and of the noise,
while its own neighbours are not raised with it: those of a star are, by the lens, and those at the end of a
line or in the corner of an edge.  Where many impulses have the smallest or the largest value of a channel, as
salt and pepper have, pixels with that value need not lie alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlmeans.arrays import namespace, to_numpy
from nlmeans.errors import InvalidValueError, Parameter
from nlmeans.inputs import Inputs
from nlmeans.levels import ends, ends_without_outliers
from nlmeans.parameters import IMPULSES, Settings, one_of

Plane = NDArray[np.float64]  #: (Y, X)
Bools = NDArray[np.bool_]

_FAR = 6.0  # standard deviations from the median around: of normal noise one pixel in 5e8
_FAR_EXTREME = 3.0  # of what has the value of salt or pepper already
_RAISED = 0.15  # of its height: mean of the next four around a star of 1.3 pixels at half its height
_BESIDE = 0.5  # of its height: a neighbour of the same kind
_FAR_SCATTERED = 2.0  # the same, where such pixels lie as if thrown
_MANY = 0.002  # of the pixels
_PILED = 3  # times as many as within one sigma of it: noise that is clipped leaves as many at most
_EXTREMES = 0.05  # of the pixels with the extreme value must be impulses, and at least
_FEW = 8
_FLAT = 0.02  # of the data range: the least spread, where much is exactly flat
_STEPS = 16  # of integers: where they count so few things one more is no impulse
_NORMAL = 1.4826  # standard deviation over median magnitude of normal noise


#: How far around a pixel it depends on the image whether it is an impulse, and what fills it: 2 by the median
#: of the 24 around, 2 by what of these is an impulse, 2 more by the other extreme, and 4 for filling from the
#: outside in, which is farther only where more than 81 pixels lie together.
REACH = 10


@dataclass(frozen=True)
class Rule:
    """What tells the impulses of a channel, measured once for the whole of it."""

    ends: tuple[float, float]  # smallest and largest valid value
    least: float  # spread of the pixels around one, at least: the noise
    far: tuple[float | None, float | None]  # for pixels of these values, in spreads; None: as all others

    @classmethod
    def from_json(cls, read: Mapping[str, Any]) -> Rule:
        """From its fields, with lists for tuples."""
        return cls(tuple(read["ends"]), read["least"], tuple(read["far"]))

    def of(self, plane: Plane, valid: Bools | None, alone: Bools | None = None) -> Bools:
        """Those of a plane or a part of one: what lies `alone`, then what has an extreme value."""
        padded, signal = _padded(plane, valid), plane.shape[0] == 1
        result = np.zeros(plane.shape, bool) if alone is None else alone
        if alone is None:
            result[_alone(padded, _candidates(padded, signal, _FAR * self.least), signal, self.least)] = True
        for extreme, far in zip(self.ends, self.far, strict=True):
            if far is not None:
                same = plane == extreme if valid is None else (plane == extreme) & valid
                result |= _extremes(padded, same, result, signal, far, self.least)
        return result


Rules = tuple[Rule | None, ...]  #: of each channel; None where nothing is an impulse

_counts: ContextVar[list[int] | None] = ContextVar("counts", default=None)


@contextmanager
def counted() -> Iterator[list[int]]:
    """How many pixels are replaced inside, a number for each image that has some."""
    counts: list[int] = []
    token = _counts.set(counts)
    try:
        yield counts
    finally:
        _counts.reset(token)


def without_impulses(inputs: Inputs, settings: Settings, rules: Rules | None = None) -> Inputs:
    """The same with impulses filled in, which are no part of any average then, where that is asked for.

    Of a part of an image the `rules` are those of the whole.
    """
    word = settings.get("impulses", "keep")
    one_of("impulses", word, IMPULSES)
    if word == "keep" or inputs.value_ends is None:
        return inputs
    if inputs.impulses is not None:
        raise InvalidValueError(Parameter("impulses"), " are replaced already")
    xp = namespace(inputs.value)
    value, valid = _value_and_valid(inputs)
    found = impulses(value, valid, rules)
    if not found.any():
        return inputs
    if (counts := _counts.get()) is not None:
        counts.append(int(found.any(axis=0).sum()))
    filled = _filled(value, found, valid)
    if filled.shape != inputs.value.shape:
        filled, found = filled.swapaxes(2, 3), found.swapaxes(2, 3)
    filled = xp.asarray(filled)
    known = ends_without_outliers(filled, inputs.mask, ends(filled, inputs.mask) or inputs.value_ends)
    same = inputs.feature is inputs.value
    return replace(
        inputs,
        value=filled,
        feature=filled if same else inputs.feature,
        value_ends=known,
        feature_ends=known if same else inputs.feature_ends,
        impulses=xp.asarray(found.any(axis=0)),
    )


def impulses(channels: NDArray[Any], valid: Bools | None, rules: Rules | None = None) -> Bools:
    """Which samples (C, Z, Y, X) are impulses; each plane is looked at by itself."""
    result = np.zeros(channels.shape, bool)
    for c, channel in enumerate(channels):
        rule, alone = _measured(channel, valid) if rules is None else (rules[c], None)
        if rule is not None:
            result[c] = _of_planes(rule, channel, valid, alone)
    return result


def rules_of(inputs: Inputs) -> Rules:
    """By what the impulses of each channel are told."""
    value, valid = _value_and_valid(inputs)
    return tuple(_measured(channel, valid)[0] for channel in value)


def _value_and_valid(inputs: Inputs) -> tuple[NDArray[Any], Bools | None]:
    """Channels (C, Z, Y, X) and which of their pixels are valid; a single column becomes a row."""
    value, valid = to_numpy(inputs.value), None if inputs.mask is None else to_numpy(inputs.mask)
    if value.shape[3] == 1 < value.shape[2]:
        return value.swapaxes(2, 3), None if valid is None else valid.swapaxes(1, 2)
    return value, valid


def _of_planes(rule: Rule, channel: NDArray[Any], valid: Bools | None, alone: Bools | None) -> Bools:
    """The impulses of a channel; those that lie `alone` may be known."""
    result = np.zeros(channel.shape, bool)
    for z, plane in enumerate(channel):
        own = None if valid is None else valid[z]
        if own is None or own.any():
            result[z] = rule.of(plane.astype(np.float64), own, None if alone is None else alone[z])
    return result


def _measured(channel: NDArray[Any], valid: Bools | None) -> tuple[Rule | None, Bools | None]:
    """The rule of a channel (Z, Y, X), and the impulses that lie alone."""
    inside = channel if valid is None else channel[valid]
    low, high = (float(inside.min()), float(inside.max())) if inside.size else (0.0, 0.0)
    if high == low or (channel.dtype.kind in "iu" and high - low < _STEPS):
        return None, None
    rows = channel.reshape(-1, channel.shape[-1]).astype(np.float64)  # of all planes, below each other
    known = None if valid is None else valid.reshape(rows.shape)
    least = max(_noise(rows, _between(rows, known, (low, high))), 1e-9 * (high - low))
    alone = _of_planes(Rule((low, high), least, (None, None)), channel, valid, None)
    far = [_far(rows, known, extreme, alone.reshape(rows.shape), least) for extreme in (low, high)]
    return Rule((low, high), least, (far[0], far[1])), alone


def _far(rows: Plane, valid: Bools | None, extreme: float, alone: Bools, least: float) -> float | None:
    """How far from those around it a pixel of an extreme value is an impulse, where many of them are."""
    same = rows == extreme if valid is None else (rows == extreme) & valid
    count = int(same.sum())
    beside = int((np.abs(rows - extreme) <= least).sum()) - count
    if _scattered(same) and count > _PILED * beside:
        return _FAR_SCATTERED
    return _FAR_EXTREME if int((same & alone).sum()) >= max(_FEW, _EXTREMES * count) else None


def _between(plane: Plane, valid: Bools | None, limits: tuple[float, float]) -> Bools | None:
    """Valid pixels but for those with an extreme value, if enough are left."""
    inside = (plane > limits[0]) & (plane < limits[1])
    inside = inside if valid is None else inside & valid
    return inside if 4 * inside.sum() > inside.size else valid


def _scattered(same: Bools) -> bool:
    """Whether pixels with one value are many, and beside each other no more often than by chance."""
    part = float(same.mean())
    beside = float((same[:, 1:] & same[:, :-1]).sum()) / max(float(same[:, 1:].sum()), 1.0)
    return part > _MANY and beside < 1.5 * part + 0.02


def _padded(plane: Plane, valid: Bools | None) -> Plane:
    """With two pixels around it, mirrored; NaN where a pixel is invalid."""
    known = plane if valid is None else np.where(valid, plane, np.nan)
    return np.pad(known, [(2, 2) if n > 1 else (0, 0) for n in plane.shape], mode="symmetric")


def _noise(plane: Plane, valid: Bools | None) -> float:
    """Roughly the standard deviation of the noise, or the least that counts: by differences along rows."""
    if plane.shape[1] < 3:
        return float(np.ptp(plane if valid is None else plane[valid]))
    with np.errstate(invalid="ignore"):  # of infinite pixels, which are not valid
        second = plane[:, 1:-1] - (plane[:, :-2] + plane[:, 2:]) / 2
    if valid is not None:
        second = second[valid[:, 1:-1] & valid[:, :-2] & valid[:, 2:]]
    if not second.size:
        return float(np.ptp(plane[valid]))
    noise = _NORMAL * float(np.median(np.abs(second))) / np.sqrt(1.5)
    inside = plane if valid is None else plane[valid]
    low, high = np.percentile(inside, (1, 99))
    return noise or _FLAT * float(high - low or np.ptp(inside))


def _at(padded: Plane, dy: int, dx: int, signal: bool) -> Plane:
    """Every pixel's neighbour."""
    up = 0 if signal else 2
    height, width = padded.shape[0] - 2 * up, padded.shape[1] - 4
    return padded[up + dy : up + dy + height, 2 + dx : 2 + dx + width]


def _next(signal: bool) -> list[tuple[int, int]]:
    """The neighbours that share a side."""
    return [(0, -1), (0, 1)] if signal else [(-1, 0), (0, -1), (0, 1), (1, 0)]


def _near(radius: int, signal: bool) -> list[tuple[int, int]]:
    """All neighbours in a box."""
    rows = range(1) if signal else range(-radius, radius + 1)
    return [o for o in product(rows, range(-radius, radius + 1)) if o != (0, 0)]


def _candidates(padded: Plane, signal: bool, least: float) -> Any:
    """Indices of pixels that are farther from the mean of the next than noise brings them."""
    around = _next(signal)
    mean = sum(_at(padded, *o, signal) for o in around) / len(around)
    with np.errstate(invalid="ignore"):
        own = _at(padded, 0, 0, signal)
        far = ~(np.abs(own - mean) <= (1 - _RAISED) * least) & np.isfinite(own)
    return np.nonzero(far)


def _gathered(padded: Plane, at: Any, offsets: list[tuple[int, int]], signal: bool) -> Plane:
    """Neighbours of some pixels: (pixels, neighbours)."""
    y, x = at[0] + (0 if signal else 2), at[1] + 2
    return np.stack([padded[y + dy, x + dx] for dy, dx in offsets], axis=1)


def _alone(padded: Plane, at: Any, signal: bool, least: float) -> Any:
    """Those of some pixels that are impulses by themselves."""
    if not len(at[0]):
        return at
    with np.errstate(invalid="ignore"):
        own = _gathered(padded, at, [(0, 0)], signal)[:, 0]
        around, height = _against(_gathered(padded, at, _near(2, signal), signal), own)
        spread = np.maximum(_NORMAL * _median(np.abs(around)), least)
        sign = np.sign(height)[:, None]
        middle = (own - height)[:, None]
        beside = sign * (_gathered(padded, at, _near(1, signal), signal) - middle)
        following = sign * (_gathered(padded, at, _next(signal), signal) - middle)
        high = np.abs(height)
        impulse = (
            (high > _FAR * spread) & (_most(beside) < _BESIDE * high) & (_mean(following) < _RAISED * high)
        )
    return tuple(index[impulse] for index in at)


def _against(around: Plane, own: Plane) -> tuple[Plane, Plane]:
    """Neighbours, and the pixel itself, less the neighbours' median."""
    middle = _median(around)
    return around - middle[:, None], own - middle


def _extremes(padded: Plane, same: Bools, known: Bools, signal: bool, far: float, least: float) -> Bools:
    """Of pixels with an extreme value those that are far from the neighbours without it."""
    up = 0 if signal else 2
    others = padded.copy()
    inner = others[up : padded.shape[0] - up, 2:-2]
    inner[same | known] = np.nan
    at = np.nonzero(same & ~known)
    result = np.zeros(same.shape, bool)
    if len(at[0]):
        own = _gathered(padded, at, [(0, 0)], signal)[:, 0]
        around, height = _against(_gathered(others, at, _near(2, signal), signal), own)
        spread = np.maximum(_NORMAL * _median(np.abs(around)), least)
        enough = np.isfinite(around).sum(axis=1) >= around.shape[1] // 4
        impulse = enough & (np.abs(height) > far * spread)
        result[tuple(index[impulse] for index in at)] = True
    return result


def _median(values: Plane) -> Plane:
    """Of each row, without what is NaN; NaN where nothing is left."""
    ordered = np.sort(values, axis=1)  # NaN last
    count = np.isfinite(ordered).sum(axis=1)
    rows = np.arange(len(ordered))
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, ordered.shape[1] - 1)
    median: Plane = (ordered[rows, low] + ordered[rows, high]) / 2
    return median


def _most(values: Plane) -> Plane:
    most: Plane = np.where(np.isfinite(values), values, -np.inf).max(axis=1)
    return most


def _mean(values: Plane) -> Plane:
    known = np.isfinite(values)
    mean: Plane = np.where(known, values, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return mean


def _filled(channels: NDArray[Any], found: Bools, valid: Bools | None) -> NDArray[Any]:
    """Impulses replaced by the median of the other pixels next to them, from the outside in."""
    result = channels.copy()
    for c, z in zip(*np.nonzero(found.any(axis=(2, 3))), strict=True):
        missing, signal = found[c, z].copy(), channels.shape[2] == 1
        known = ~missing if valid is None else ~missing & valid[z]
        plane = np.where(known, channels[c, z].astype(np.float64), np.nan)
        while missing.any():
            at = np.nonzero(missing)
            around = _gathered(_padded(plane, None), at, _near(1, signal), signal)
            middle = _median(around)
            done = np.isfinite(middle)
            if not done.any():
                break
            plane[tuple(index[done] for index in at)] = middle[done]
            missing[tuple(index[done] for index in at)] = False
        values = plane[found[c, z]]
        values = np.where(np.isfinite(values), values, channels[c, z][found[c, z]])
        result[c, z][found[c, z]] = np.rint(values) if channels.dtype.kind in "iu" else values
    return result
