"""Attention maps of a picture: those of NL-means, or of a learned block from a file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..environment import printable
from ..formats.picture import Array, Layout
from ..outcome import one_line
from ..status import UnreadableError, UsageError
from .words import noise_words

_OF_THE_FILTER = ("sigma", "h", "k", "patch_radius", "search_radius", "guide", "sigma_map", "mask")


@dataclass(frozen=True)
class Attention:
    """The maps of the named queries, and what is measured over many."""

    maps: Array  # (n, rows, columns) of the keys
    queries: list[tuple[int, int]]  # (y, x) on the grid of the queries
    grid: tuple[int, ...]  # of the queries
    radius: tuple[int, ...] | None  # of the window
    kind: str
    details: dict[str, Any]
    independence: Any  # nlmeans.attention.independence.Independence, or None
    reason: str = ""  # why nothing could be measured

    def rows(self) -> list[dict[str, Any]]:
        """The numbers of each map."""
        import numpy as np

        from nlmeans.attention.statistics import are_distributions, entropy

        found = []
        for weights, (y, x) in zip(self.maps, self.queries, strict=True):
            flat = weights.reshape(1, -1)
            row: dict[str, Any] = {
                "keys": weights.size if self.radius is None else int(np.count_nonzero(weights))
            }
            if are_distributions(flat):
                ordered = np.sort(flat[0])[::-1]
                row["keys_of_90_percent"] = int(np.searchsorted(np.cumsum(ordered), 0.9)) + 1
                row["perplexity"] = math.exp(float(entropy(flat)[0]))
            row["self_weight"] = float(weights[y, x]) if weights.shape == self.grid else None
            found.append(row)
        return found

    def between(self) -> dict[str, Any] | None:
        """How far the named maps differ: by offset in a window, else by position."""
        from nlmeans.attention.statistics import are_distributions, cosine_distance, jensen_shannon, relative

        if len(self.maps) < 2:
            return None
        flat = self.maps.reshape(len(self.maps), -1)
        distributions = are_distributions(flat)
        if self.radius is not None:
            flat = relative(self.maps, self.queries, self.radius).reshape(len(self.maps), -1)
        return {
            "frame": "position" if self.radius is None else "offset",
            "attention": cosine_distance(flat, distinct=True),
            "jensen_shannon": jensen_shannon(flat) if distributions else None,
        }


def of_filter(job: Any, split: Any, layout: Layout, at: list[tuple[int, int]], count: int) -> Attention:
    """The weights of NL-means, for the pixels (y, x)."""
    import numpy as np

    from nlmeans.attention.independence import measure
    from nlmeans.errors import InvalidValueError
    from nlmeans.methods.pixel_weights import PixelWeights

    chosen = job.first_pass(job.suggested(split, layout))
    settings = job.with_chosen(split, layout, chosen)
    if chosen.color == "separate":  # one map for a pixel: channels together, each in units of its noise
        settings["color"] = "joint"
    weights = PixelWeights(split.colour, **settings)
    maps = np.zeros((len(at), *weights.grid))
    for whole, query in zip(maps, at, strict=True):
        window, inside = weights.window(query)
        whole[window] = inside
    independence, reason = None, ""
    try:
        independence = measure(split.colour, queries=count, **settings) if count else None
    except InvalidValueError as error:
        reason = one_line(error)
    details = {"similarity": "NL-means", "parameters": chosen.to_dict()}
    radius = tuple(min(r, n - 1) for r, n in zip(weights.search_radius, weights.grid, strict=True))
    kind = f"NL-means, {noise_words(chosen.sigma)}"
    return Attention(maps, at, weights.grid, radius, kind, details, independence, reason)


def of_block(
    options: dict[str, Any], split: Any, layout: Layout, at: list[tuple[int, int]], count: int
) -> Attention:
    """The attention of a learned block, for the pixels (y, x)."""
    for name in _OF_THE_FILTER:
        if options.get(name) is not None:
            raise UsageError(
                f"--{name.replace('_', '-')} is of NL-means: leave it out with --weights, or --weights out"
            )
    from nlmeans.errors import InvalidValueError
    from nlmeans.learned import attention_rows, measure_block, read_block  # says what to install

    block = read_block(options["weights"], prefix=options["prefix"])
    if block.axes != 2:
        raise UsageError(
            f"the block in {printable(options['weights'])} is for {block.axes} grid axes, not two"
        )
    x, side = _features(options, split, layout, block.in_channels)
    sizes = tuple(zip(x.shape[2:], layout.shape[:2], strict=True))
    queries = [(_position(q[0], *sizes[0], side), _position(q[1], *sizes[1], side)) for q in at]
    independence, reason = None, ""
    try:
        independence = measure_block(block, x, queries=count) if count else None
    except InvalidValueError as error:
        reason = one_line(error)
    grid = tuple(x.shape[2:])
    radius = block.settings.radii(2)
    if radius is not None:
        radius = tuple(min(r, n - 1) for r, n in zip(radius, grid, strict=True))
    settings = block.settings
    details = {"similarity": settings.mode, "block": str(settings)}
    rows = attention_rows(block, x, queries)[0]
    kind = f"{settings.mode.replace('_', ' ')} block on {x.shape[2]} x {x.shape[3]} positions"
    return Attention(rows, queries, grid, radius, kind, details, independence, reason)


def _position(pixel: int, positions: int, pixels: int, side: int | None) -> int:
    """Of a pixel among the block's positions: the nearest whole square of pixels, or in proportion."""
    return pixel * positions // pixels if side is None else min(pixel // side, positions - 1)


def _features(options: dict[str, Any], split: Any, layout: Layout, channels: int) -> tuple[Any, int | None]:
    """What the block sees, (1, C, rows, columns): a file's, or the picture's pixels in squares of a side."""
    import numpy as np
    import torch
    from torch.nn.functional import pixel_unshuffle

    if options["features"] is not None:
        array = _read_features(options["features"])
        if array.shape[0] != channels:
            raise UsageError(f"the block takes {channels} channels, --features has {array.shape[0]}")
        return torch.from_numpy(np.array(array, np.float32))[None], None
    pixels = split.colour if split.channel_axis is not None else split.colour[..., None]
    step = math.isqrt(max(1, channels // pixels.shape[-1]))
    if step * step * pixels.shape[-1] != channels:
        raise UsageError(
            f"the block takes {channels} channels and the picture has {pixels.shape[-1]}, alone or in "
            "squares of 2 x 2, 3 x 3, ... pixels; give what the block sees within its network: "
            "--features FILE.npy"
        )
    rows, columns = (n // step * step for n in layout.shape[:2])
    if not rows or not columns:
        raise UsageError(f"the picture is smaller than the squares of {step} x {step} that the block takes")
    largest = 1.0 if layout.dtype[1] == "f" else float(np.iinfo(np.dtype(layout.dtype)).max)
    full = layout.full_scale or largest
    scaled = np.ascontiguousarray(np.moveaxis(pixels[:rows, :columns], -1, 0) / full, np.float32)
    return pixel_unshuffle(torch.from_numpy(scaled)[None], step), step


def _read_features(name: str) -> Array:
    """(C, rows, columns) from a .npy file; nothing in it is run."""
    import numpy as np

    with Path(name).open("rb") as file:
        if file.read(6) != b"\x93NUMPY":
            raise UnreadableError(f"{printable(name)} is no .npy file")
    try:
        array = np.load(Path(name), mmap_mode="r", allow_pickle=False)  # a header cannot ask for memory
    except (ValueError, EOFError, OverflowError) as error:
        raise UnreadableError(f"{printable(name)} is no whole .npy file of numbers: {error}") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or array.ndim != 3 or 0 in array.shape:
        got = getattr(array, "shape", type(array).__name__), getattr(array, "dtype", "")
        raise UsageError(f"--features must hold floats (channels, rows, columns), got {got[0]} {got[1]}")
    return array
