"""What was removed from a picture, measured: its histogram and its spectrum; and the noise by brightness."""

from __future__ import annotations

import math
from typing import Any

from ..formats.picture import Array
from . import pictures as views
from .words import model_words, number, one_sigma

_BINS = 80
_PIECE = 64  # pixels a side of the pieces whose spectra are averaged


def single_sigma(sigma: Any, difference: Array) -> float:
    """One sigma for all channels together, that the removed noise is compared with."""
    import numpy as np

    sigma = one_sigma(sigma)
    if not sigma:
        finite = difference[np.isfinite(difference)]
        sigma = float(finite.std()) if finite.size else 0.0
    return float(sigma) or 1.0


def clipped(colour: Array) -> float:
    """The share of the samples that are the smallest or largest of their type."""
    import numpy as np

    if colour.dtype.kind not in "iu" or not colour.size:
        return 0.0
    limits = np.iinfo(colour.dtype)
    return float(((colour == limits.min) | (colour == limits.max)).mean())


def histogram(difference: Array, sigma: float, *, whole: bool, clipped: float = 0.0) -> dict[str, Any]:
    """How often each removed amount occurs, beside the bell of noise of this sigma."""
    import numpy as np

    finite = difference[np.isfinite(difference)] / sigma
    step = 8 / _BINS
    if whole:  # bars of as many whole units each, or they would stand like a comb
        step = max(1, round(step * sigma)) / sigma
    count = 2 * math.floor(4 / step) + 1
    start = -count * step / 2
    if whole and round(step * sigma) % 2 == 0:
        start -= 0.5 / sigma  # between two whole units: on one of them rounding would decide where it counts
    counts, _ = np.histogram(finite, bins=count, range=(start, start + count * step))
    density = counts / max(1, finite.size) / step
    at = np.linspace(-4, 4, 81)
    bell = np.exp(-(at**2) / 2) / math.sqrt(2 * math.pi)
    mean, deviation = (float(v) for v in (finite.mean(), finite.std())) if finite.size else (0.0, 0.0)
    return {
        "bars": {"start": start, "step": step, "heights": [round(float(v), 4) for v in density]},
        "bell": [[round(float(a), 2), round(float(b), 4)] for a, b in zip(at, bell, strict=True)],
        "caption": f"In units of the noise level {sigma:.3g}: mean {mean:+.2g}, deviation {deviation:.2f}; "
        "dashed: noise of that level"
        + (f"; {100 * clipped:.2g} % of the values are clipped, which cuts their noise" * (clipped > 0.01)),
    }


def spectra(difference: Array, sigma: float) -> tuple[Array, list[list[float]]]:
    """The spectrum of the removed noise as a picture, and by frequency in decibels of white noise."""
    import numpy as np

    plane = np.nan_to_num(difference, posinf=0.0, neginf=0.0).astype(np.float64)
    planes = [plane] if plane.ndim == 2 else list(np.moveaxis(plane, -1, 0))
    piece = min(_PIECE, *planes[0].shape)
    window = np.outer(np.hanning(piece + 2)[1:-1], np.hanning(piece + 2)[1:-1])
    power, count = np.zeros((piece, piece)), 0
    for p in planes:
        for y in range(0, p.shape[0] - piece + 1, max(1, piece // 2)):
            for x in range(0, p.shape[1] - piece + 1, max(1, piece // 2)):
                power += np.abs(np.fft.fft2(p[y : y + piece, x : x + piece] * window)) ** 2
                count += 1
    power /= max(1, count) * float((window**2).sum()) * sigma**2
    decibels = 10 * np.log10(np.maximum(np.fft.fftshift(power), 1e-6))
    frequency = np.fft.fftshift(np.fft.fftfreq(piece))
    radius = np.hypot(frequency[:, None], frequency[None, :])
    radial = []
    for low in np.arange(0, 0.5, 1 / 64):
        ring = (radius >= low) & (radius < low + 1 / 64)
        if ring.any():
            value = 10 * math.log10(max(float(np.fft.fftshift(power)[ring].mean()), 1e-3))
            radial.append([round(float(low) + 1 / 128, 4), round(min(value, 10.0), 2)])
    return views.eight_bits((decibels + 30) * (255 / 40)), radial


def noise_curve(colour: Array, mask: Array | None, channel_axis: int | None) -> dict[str, Any] | None:
    """The variance of the noise at each brightness, of each channel, and its model; None without any.

    About 10 ms for each channel.
    """
    import numpy as np

    import nlmeans

    found: Any = nlmeans.noise_curve(colour, channel_axis=channel_axis, mask=mask)
    curves = [curve for curve in (found if isinstance(found, tuple) else (found,)) if curve.levels]
    if not curves:
        return None
    channels = []
    for curve in curves:
        at = np.linspace(curve.levels[0], curve.levels[-1], 65)
        model = _variance(curve.model, at)
        channels.append({"points": _pairs(curve.levels, curve.variances), "line": _pairs(at, model)})
    across = _ends([v for curve in curves for v in curve.levels])
    highest = 1.1 * max(v for one in channels for _, v in (*one["points"], *one["line"])) or 1.0
    return {
        "channels": channels,
        "x": [*across, *across],
        "y": [0.0, highest, 0.0, highest / 2.2, highest / 1.1],
        "labels": [[number(v) for v in across], [number(highest * f) for f in (0.0, 1 / 2.2, 1 / 1.1)]],
        "caption": _told(curves),
    }


def _variance(model: Any, mean: Array) -> Array:
    """Of the noise of a model; of one without parameters nothing is drawn."""
    import numpy as np

    if model.missing:
        return np.full(mean.shape, np.nan)
    if model.kind == "speckle":
        return mean**2 / model.looks
    shot = (model.gain or 0.0) * (mean - (model.offset or 0.0))
    return np.maximum(shot, 0.0) + (model.sigma or 0.0) ** 2


def _pairs(across: Any, up: Any) -> list[list[float]]:
    import numpy as np

    return [[float(f"{a:.6g}"), float(f"{b:.6g}")] for a, b in zip(across, up, strict=True) if np.isfinite(b)]


def _ends(values: list[float]) -> tuple[float, float]:
    """The least and the greatest, apart."""
    low, high = min(values), max(values)
    return (low, high) if low < high else (low - 1.0, high + 1.0)


def _told(curves: list[Any]) -> str:
    """The model of each channel in words; of channels that have the same kind it stands once."""
    each = [
        "no kind that can be told"
        if curve.model.missing
        else model_words(curve.model)
        + (" (not sure)" if curve.kind == "cannot tell" else f" ({100 * curve.confidence:.0f} %)")
        for curve in curves
    ]
    return f"Dots: measured in flat places; lines: the likeliest model, {'; '.join(dict.fromkeys(each))}"
