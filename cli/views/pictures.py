"""Pictures for people to look at: 8 bits, a fixed range, the removed noise made visible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..formats.picture import Array, Layout, data

GAP = 8  # pixels between pictures that stand side by side
_LEAST_FRAME = 5  # pixels a side
BAND = 24  # pixels above them for their names
_VISIBLE = 3.0  # the removed noise goes from black to white over this many times its deviation, each way


def shown_range(samples: Array, layout: Layout) -> tuple[float, float]:
    """What becomes black and white: all of 8 bits, else nearly all of what occurs."""
    import numpy as np

    if layout.dtype == "|u1":
        return 0.0, 255.0
    finite = colours(samples, layout).astype(np.float64)
    finite = finite[np.isfinite(finite)]
    if not finite.size:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(finite, (0.1, 99.9)))
    return low, high if high > low else low + 1.0


def colours(samples: Array, layout: Layout) -> Array:
    """(H, W) or (H, W, 3) without alpha and further channels: what is seen."""
    if layout.colours == 0 or layout.samples == 1:
        return samples
    return samples[..., :3] if layout.colours == 3 else samples[..., 0]


def seen(difference: Array, layout: Layout) -> Array:
    """Of the removed noise of all channels what is seen, lighter where the picture became darker."""
    bands = len(layout.data) > layout.colours > 0
    visible = (difference[..., :3] if layout.colours == 3 else difference[..., 0]) if bands else difference
    return -visible if layout.white_is_zero else visible


def shown(samples: Array, layout: Layout, limits: tuple[float, float]) -> Array:
    """A page as 8 bits; transparent pixels over white."""
    import numpy as np

    low, high = limits
    if layout.dtype == "|u1" and limits == (0.0, 255.0) and not (layout.white_is_zero or layout.alpha):
        return colours(samples, layout)
    scaled = (colours(samples, layout).astype(np.float32) - low) * (255 / (high - low))
    if layout.white_is_zero:
        scaled = 255 - scaled
    if layout.alpha:
        full = np.float32(2**layout.bits - 1 if layout.kind == "u" else 1)
        cover = samples[..., layout.apart[0]].astype(np.float32) / full
        cover = cover[..., None] if layout.colours == 3 else cover
        scaled = scaled * cover + 255 * (1 - cover)
    return eight_bits(scaled)


def eight_bits(scaled: Array) -> Array:
    """Rounded and clipped; what is no number is black."""
    import numpy as np

    return np.rint(np.clip(np.nan_to_num(scaled, nan=0.0, posinf=255.0, neginf=0.0), 0, 255)).astype(np.uint8)


def removed(noisy: Array, clean: Array, layout: Layout) -> Array:
    """What was taken away, signed, as float32 without alpha."""
    import numpy as np

    with np.errstate(invalid="ignore"):  # infinity, kept as it is
        return np.subtract(data(noisy, layout), data(clean, layout), dtype=np.float32)


def removed_view(difference: Array) -> tuple[Array, float]:
    """The removed noise around mid-grey, and how many grey levels one unit is."""
    import numpy as np

    finite = difference[np.isfinite(difference)]
    deviation = float(np.sqrt(np.mean(np.square(finite, dtype=np.float64)))) if finite.size else 0.0
    gain = 127.5 / (_VISIBLE * deviation) if deviation > 0 else 1.0
    return eight_bits(127.5 + difference * np.float32(gain)), gain


def coloured(fraction: Array) -> Array:
    """0 to 1 as RGB from black over red and yellow to white, (H, W, 3) float32."""
    import numpy as np

    return np.stack([np.clip(3 * fraction - n, 0, 1) for n in range(3)], axis=-1) * np.float32(255)


def pixel_weights(picture: Array, weights: Array, at: tuple[int, int], size: int = 480) -> Array:
    """The surroundings of a pixel, enlarged, and beside them the weight of each.

    `picture` is 8-bit (H, W) or (H, W, 3), `weights` (H, W), `at` is (y, x).  A weight
    is shown by its square root, from black over red and yellow to white, so that small ones are seen.
    """
    window = surroundings([weights], [at])
    around = _rgb(picture[window])
    factor = max(1, size // max(around.shape[:2]))
    here = (at[0] - window[0].start, at[1] - window[1].start)
    parts = [_framed(_enlarged(p, factor), [here], factor) for p in (around, heat(weights[window]))]
    return labelled(parts, [f"around ({at[1]}, {at[0]})", f"weights, white: {_percent(weights)}"])


def attention_maps(
    picture: Array, maps: Sequence[Array], at: Sequence[tuple[int, int]], size: int = 480
) -> Array:
    """The picture with its queries framed, and beside it each query's map over the darkened picture.

    `picture` is 8-bit (H, W) or (H, W, 3), `at` its pixels (y, x).  A map has the picture's size or
    is coarser; what no map reaches is cut off, and of maps far from each other each is enlarged alone.
    """
    picture = _rgb(picture)
    full = [spread(weights, picture.shape[:2]) for weights in maps]
    window = surroundings(full, at)
    parts, names = [_seen_through(picture, None, window, at, (size, size))], ["queries"]
    for weights, query in zip(full, at, strict=False):
        own = surroundings([weights], [query])
        near = 2 * max(s.stop - s.start for s in own) > max(s.stop - s.start for s in window)
        parts.append(_seen_through(picture, weights, window if near else own, [query], parts[0].shape[:2]))
        names.append(f"({query[1]}, {query[0]}), white: {_percent(weights)}")
    return labelled(parts, names)


def _seen_through(
    picture: Array,
    weights: Array | None,
    window: tuple[slice, ...],
    at: Sequence[tuple[int, int]],
    room: tuple[int, ...],
) -> Array:
    """A part of a picture, darkened but for what has weight, as large as fits, with frames around pixels."""
    around = picture[window]
    factor = max(1, min(n // m for n, m in zip(room, around.shape, strict=False)))
    if weights is not None:  # black adds nothing
        around = eight_bits(255 - (255 - 0.5 * around) * (255.0 - heat(weights[window])) / 255)
    here = [(y - window[0].start, x - window[1].start) for y, x in at]
    return _framed(_enlarged(around, factor), here, factor)


def _percent(weights: Array) -> str:
    """The largest weight, which is white."""
    return f"{100 * float(weights.max()):.2g} %"


def spread(weights: Array, shape: tuple[int, ...]) -> Array:
    """A map of a coarser grid, at the size of the picture."""
    import numpy as np

    if weights.shape == shape:
        return weights
    y, x = (np.arange(n) * m // n for n, m in zip(shape, weights.shape, strict=True))
    return weights[y[:, None], x[None, :]]


def heat(weights: Array) -> Array:
    """Weights by their square roots, the largest white, as 8-bit RGB."""
    import numpy as np

    return eight_bits(
        coloured(np.sqrt(np.clip(weights, 0, None) / max(weights.max(), 1e-300)).astype(np.float32))
    )


def surroundings(maps: Sequence[Array], at: Sequence[tuple[int, int]]) -> tuple[slice, ...]:
    """The rows and columns in which any weight is, with a margin."""
    import numpy as np

    margin = 4
    found = [np.nonzero(weights) for weights in maps]
    window = []
    for axis, n in enumerate(maps[0].shape):
        places = np.concatenate([*(f[axis] for f in found), [a[axis] for a in at]])
        window.append(slice(max(0, int(places.min()) - margin), min(n, int(places.max()) + margin + 1)))
    return tuple(window)


def labelled(parts: Sequence[Array], names: Sequence[str]) -> Array:
    """Pictures with gaps between them, each with its name above, as far as there is room."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    font: Any = ImageFont.load_default(14)
    height = BAND + max(part.shape[0] for part in parts)
    columns = []
    for part, name in zip(parts, names, strict=True):
        band = Image.new("RGB", (part.shape[1], height), "white")
        ImageDraw.Draw(band).text((4, 3), name, fill="black", font=font)
        column = np.array(band)
        column[BAND : BAND + part.shape[0]] = _rgb(part)
        columns += [np.full((height, GAP, 3), 255, np.uint8), column]
    return np.concatenate(columns[1:], axis=1)


def _rgb(picture: Array) -> Array:
    return picture if picture.ndim == 3 else picture[..., None].repeat(3, axis=-1)


def _enlarged(page: Array, factor: int) -> Array:
    """Every pixel as a square."""
    return page.repeat(factor, axis=0).repeat(factor, axis=1)


def _framed(large: Array, at: Sequence[tuple[int, int]], factor: int) -> Array:
    """Frames around some of the pixels, drawn in place; at least so large that they are seen."""
    edge, more = max(1, factor // 8), max(0, (_LEAST_FRAME - factor + 1) // 2)
    for y, x in at:
        rows, columns = (slice(max(0, i * factor - more), (i + 1) * factor + more) for i in (y, x))
        whole = large[rows, columns]
        inside = whole[edge : len(whole) - edge, edge : whole.shape[1] - edge].copy()
        whole[...] = (0, 200, 255)
        whole[edge : len(whole) - edge, edge : whole.shape[1] - edge] = inside
    return large


def side_by_side(noisy: Array, clean: Array, layout: Layout) -> Array:
    """Noisy, denoised and removed in one 8-bit RGB picture, each with its name above."""
    limits = shown_range(noisy, layout)
    difference, gain = removed_view(seen(removed(noisy, clean, layout), layout))
    parts = [shown(noisy, layout, limits), shown(clean, layout, limits), difference]
    scale = gain * (limits[1] - limits[0]) / 255
    return labelled(parts, ["noisy", "denoised", f"removed, {scale:.2g} x"])
