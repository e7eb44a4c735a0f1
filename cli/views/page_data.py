"""What the report page shows, computed once and written into it as JSON."""

from __future__ import annotations

import base64
import shlex
import time
from dataclasses import fields
from typing import Any

from nlmeans.parameters import BY_GROUPS

from ..environment import printable
from ..formats.picture import Array, Layout, Picture
from ..formats.picture import data as data_of
from ..job import Job, Split, merged
from ..progress import Progress
from . import method_noise
from . import pictures as views
from .page import page_of, png
from .words import noise_option, one_sigma, verdict_words, words

LARGEST = (1600, 1200)  # pixels of the picture on the page; of larger ones the middle is shown
GRID = 12  # marked pixels along the longer side
STRIP = 384  # pixels of the pieces that show other strengths, each way
FACTORS = (0.5, 0.7, 1.0, 1.4, 2.0)
_WIDEST = 30  # radius of the surroundings that are shown of a pixel


def page(job: Job, picture: Picture, name: str, number: int, progress: Progress) -> tuple[str, list[str]]:
    """The report page, whole, and the warnings that stand on it."""
    data = collected(job, picture, name, number, progress)
    return page_of(data)[0], data["warnings"]


def collected(job: Job, picture: Picture, name: str, number: int, progress: Progress) -> dict[str, Any]:
    """What the page shows."""
    job, layout, samples = job.upright_page(picture, number)
    progress.size(layout.pixels / 1e6)
    split = Split.of(samples, layout, job.options.channel_axis)
    began = time.perf_counter()
    colour, chosen, info = job.explained(split, layout, progress.part(0, 0.6))
    seconds = time.perf_counter() - began
    clean = merged(samples, colour, layout)
    top, left, height, width = middle(layout.shape[:2], LARGEST)
    window = (slice(top, top + height), slice(left, left + width))
    limits = views.shown_range(samples, layout)
    removed, pictures = removal(samples, clean, layout, chosen, info)
    marked = marked_weights(job, split, layout, chosen, (top, left, height, width), progress)
    warnings = picture.warnings + job.taken_warnings()
    data = {
        "warnings": warnings,
        "title": printable(name),
        "summary": f"{words(layout, chosen, split.colour)}; denoised in {seconds:.2f} s",
        "width": width,
        "height": height,
        "offset": [left, top],
        "cropped": ""
        if (height, width) == tuple(layout.shape[:2])
        else f"The middle {width} x {height} pixels.",
        "images": {
            "noisy": png(views.shown(samples, layout, limits)[window]),
            "clean": png(views.shown(clean, layout, limits)[window]),
            "removed": png(pictures["removed"][window]),
            "spectrum": png(pictures["spectrum"]),
        },
        **removed,
        "curve": method_noise.noise_curve(split.colour, split.mask, split.channel_axis),
        "weights": marked,
        "marked": min(
            range(len(marked)),
            key=lambda n: abs(marked[n]["x"] - width / 2) + abs(marked[n]["y"] - height / 2),
            default=0,
        ),
        "strip": strip(job, samples, layout, chosen, limits),
        "piece": piece_within((top, left, height, width)),
        "table": table(chosen, layout, picture.format),
        "command": command(name, chosen),
    }
    progress(1.0)
    return data


def removal(
    noisy: Array, clean: Array, layout: Layout, chosen: Any, info: Any
) -> tuple[dict[str, Any], dict[str, Array]]:
    """What was removed, in words and numbers, and as pictures."""
    difference = views.removed(noisy, clean, layout)
    seen, gain = views.removed_view(views.seen(difference, layout))
    sigma = method_noise.single_sigma(chosen.sigma if chosen.noise is None else None, difference)
    spectrum, radial = method_noise.spectra(difference, sigma)
    share = method_noise.clipped(data_of(noisy, layout))
    return {
        "removed": {
            "caption": f"Mid-grey is zero, {gain:.3g} grey levels are one unit",
            "verdict": verdict_words(info),
            "known": info.words()[:-1],
        },
        "histogram": method_noise.histogram(difference, sigma, whole=layout.kind != "f", clipped=share),
        "radial": radial,
    }, {"removed": seen, "spectrum": spectrum}


def middle(shape: tuple[int, ...], largest: tuple[int, int]) -> tuple[int, int, int, int]:
    """(top, left, height, width) of the piece in the middle that is shown."""
    width, height = min(shape[1], largest[0]), min(shape[0], largest[1])
    return (shape[0] - height) // 2, (shape[1] - width) // 2, height, width


def marked_weights(
    job: Job,
    split: Split,
    layout: Layout,
    chosen: Any,
    piece: tuple[int, int, int, int],
    progress: Progress,
) -> list[dict[str, Any]]:
    """The weights of pixels on a grid; only NL-means has them."""
    if chosen.method in BY_GROUPS:
        return []
    top, left, height, width = piece
    step = max(1, max(height, width) // GRID)
    rows, columns = (range(min(step // 2, n - 1), n, step) for n in (height, width))
    places = [(y, x) for y in rows for x in columns]
    found = []
    for n, (y, x) in enumerate(places):
        weights, _ = job.weights(split, layout, (y + top, x + left), chosen)
        found.append(marked_pixel(weights[top : top + height, left : left + width], (y, x)))
        progress(0.6 + 0.3 * (n + 1) / len(places))
    return found


def marked_pixel(weights: Array, at: tuple[int, int]) -> dict[str, Any]:
    """The weights of a pixel within what is shown, in its surroundings: one byte a weight."""
    import numpy as np

    y, x = at
    down, across = (np.flatnonzero(weights.any(axis=a)) for a in (1, 0))
    bounds = []
    for used, i, n in ((down, y, weights.shape[0]), (across, x, weights.shape[1])):
        near = used[np.abs(used - i) <= _WIDEST]
        first, last = (int(near.min()), int(near.max())) if near.size else (i, i)
        bounds.append(slice(max(0, min(first, i) - 2), min(n, max(last, i) + 3)))
    part = weights[tuple(bounds)]
    scaled = np.rint(255 * np.sqrt(part / max(part.max(), 1e-300))).astype(np.uint8)
    ordered = np.sort(weights, axis=None)[::-1]
    most = int(np.searchsorted(np.cumsum(ordered), 0.9 * ordered.sum())) + 1
    return {
        "x": x,
        "y": y,
        "left": int(bounds[1].start),
        "top": int(bounds[0].start),
        "width": part.shape[1],
        "height": part.shape[0],
        "weights": base64.b64encode(scaled.tobytes()).decode(),
        "largest": round(float(part.max()), 5),
        "words": f"{most} of {np.count_nonzero(weights)} pixels have 90 % of the weight",
    }


def piece_within(shown: tuple[int, int, int, int]) -> dict[str, int]:
    """Where the pieces of `strip` lie in what is shown: both are the middle of the picture."""
    _, _, height, width = shown
    top, left, down, across = middle((height, width), (STRIP, STRIP))
    return {"left": left, "top": top, "width": across, "height": down}


def strip(
    job: Job, samples: Array, layout: Layout, chosen: Any, limits: tuple[float, float]
) -> list[dict[str, Any]]:
    """A piece of the picture, denoised with other strengths."""
    import nlmeans

    top, left, height, width = middle(layout.shape[:2], (STRIP, STRIP))
    margin = 40  # what its pixels look at
    rows = slice(max(0, top - margin), top + height + margin)
    columns = slice(max(0, left - margin), left + width + margin)
    wider = samples[rows, columns]
    split = Split.of(wider, layout, None)
    settings = {**chosen.to_dict(), "nan": "keep"}
    settings |= {
        n: v for n, v in (("mask", split.mask), ("channel_axis", split.channel_axis)) if v is not None
    }
    inner = (
        slice(top - rows.start, top - rows.start + height),
        slice(left - columns.start, left - columns.start + width),
    )
    found = []
    for factor in FACTORS:
        scaled = _stronger(settings, factor)
        with job.collecting_warnings():
            clean = merged(wider, nlmeans.denoise(split.colour, **scaled, **job.options.running), layout)
        name = next(n for n in _STRENGTHS if n in scaled)
        value = one_sigma(scaled[name]) or 0.0
        if name == "k" and isinstance(chosen.sigma, float) and chosen.noise is None:
            name, value = "h", value * chosen.sigma
        caption = f"{name} {value:.3g}" + (", chosen" if factor == 1 else f" ({factor:g} x)")
        image = png(views.shown(clean, layout, limits)[inner])
        found.append({"image": image, "caption": caption, "chosen": factor == 1})
    return found


_STRENGTHS = ("h", "k", "sigma")  # the first that there is is what a caption tells


def _times(factor: float, value: Any) -> Any:
    return tuple(factor * v for v in value) if isinstance(value, tuple) else factor * value


def _stronger(settings: dict[str, Any], factor: float) -> dict[str, Any]:
    """With a strength so many times as large, in every part."""
    scaled = ("sigma",) if settings.get("method") in BY_GROUPS else ("h", "k")
    return {
        name: _stronger(value, factor)
        if isinstance(value, dict) and name != "noise"
        else _times(factor, value)
        if name in scaled
        else value
        for name, value in settings.items()
    }


def table(chosen: Any, layout: Layout, format_name: str) -> list[list[str]]:
    """What was done, as rows of name and value."""
    return [["picture", f"{format_name}, {layout.words}"], *table_of(chosen)]


def table_of(chosen: Any) -> list[list[str]]:
    """Parameters as rows of name and value."""
    import nlmeans

    rows = [[name.replace("_", " "), _words(value)] for name, value in chosen.to_dict().items()]
    return [*rows, ["as JSON", chosen.to_json()], ["version", f"nlmeans {nlmeans.__version__}"]]


def _words(value: Any) -> str:
    """A value for people; the JSON below has all of its digits."""
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {_words(part)}" for name, part in value.items())
    if isinstance(value, tuple):
        return ", ".join(map(_words, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def command(name: str, chosen: Any) -> str:
    """The command line that does the same again."""
    parts = ["nlmeans", "denoise", printable(name)]
    defaults = {field.name: field.default for field in fields(chosen)}
    for option, value in chosen.to_dict().items():
        if option == "noise":
            value = noise_option(value)
        if value == defaults[option] or isinstance(value, dict):  # parts follow from the others
            continue
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        parts += ["--" + option.replace("_", "-"), text]
    return shlex.join(parts)
