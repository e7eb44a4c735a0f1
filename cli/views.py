"""Pictures for people to look at: 8 bits, a fixed range, the removed noise made visible."""

from __future__ import annotations

from typing import Any

from .picture import Array, Layout

GAP = 8  # pixels between pictures that stand side by side
_BAND = 24  # pixels above them for their names
_VISIBLE = 3.0  # the removed noise spans black to white over this many times its deviation, each way


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
    """(H, W) or (H, W, 3) without alpha and further channels."""
    if layout.colours == 0 or layout.samples == 1:
        return samples
    return samples[..., :3] if layout.colours == 3 else samples[..., 0]


def shown(samples: Array, layout: Layout, limits: tuple[float, float]) -> Array:
    """A page as 8 bits; transparent pixels over white."""
    import numpy as np

    low, high = limits
    scaled = (colours(samples, layout).astype(np.float32) - low) * (255 / (high - low))
    if layout.alpha:
        full = np.float32(2**layout.bits - 1 if layout.kind == "u" else 1)
        cover = samples[..., layout.colours].astype(np.float32) / full
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
        return np.subtract(colours(noisy, layout), colours(clean, layout), dtype=np.float32)


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


def voters(picture: Array, share: Array, at: tuple[int, int], size: int = 480) -> Array:
    """The surroundings of a pixel, enlarged, and beside them how much each of them votes.

    `picture` is 8-bit (H, W) or (H, W, 3), `share` the weights (H, W), `at` is (y, x).  A weight
    is shown by its square root, from black over red and yellow to white, so that small ones are seen.
    """
    import numpy as np

    ys, xs = np.nonzero(share)
    margin = 4
    window = tuple(
        slice(max(0, min(int(i.min()), a) - margin), min(n, max(int(i.max()), a) + margin + 1))
        for i, a, n in zip((ys, xs), at, share.shape, strict=True)
    )
    around = picture[window] if picture.ndim == 3 else picture[window][..., None].repeat(3, axis=-1)
    heat = eight_bits(coloured(np.sqrt(share[window] / max(share.max(), 1e-300)).astype(np.float32)))
    factor = max(1, size // max(around.shape[:2]))
    parts = [_enlarged(p, factor, at[0] - window[0].start, at[1] - window[1].start) for p in (around, heat)]
    gap = np.full((parts[0].shape[0], GAP, 3), 255, np.uint8)
    return np.concatenate([parts[0], gap, parts[1]], axis=1)


def _enlarged(page: Array, factor: int, y: int, x: int) -> Array:
    """Every pixel as a square, and a frame around one."""
    large = page.repeat(factor, axis=0).repeat(factor, axis=1)
    edge = max(1, factor // 8)
    whole = large[y * factor : (y + 1) * factor, x * factor : (x + 1) * factor]
    inside = whole[edge : factor - edge, edge : factor - edge].copy()
    whole[...] = (0, 200, 255)
    whole[edge : factor - edge, edge : factor - edge] = inside
    return large


def side_by_side(noisy: Array, clean: Array, layout: Layout) -> Array:
    """Noisy, denoised and removed in one 8-bit RGB picture, each with its name above."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    limits = shown_range(noisy, layout)
    difference, gain = removed_view(removed(noisy, clean, layout))
    parts = [shown(noisy, layout, limits), shown(clean, layout, limits), difference]
    height, width = parts[0].shape[:2]
    canvas = np.full((height + _BAND, 3 * width + 2 * GAP, 3), 255, np.uint8)
    for n, part in enumerate(parts):
        left = n * (width + GAP)
        canvas[_BAND:, left : left + width] = part if part.ndim == 3 else part[..., None]
    image = Image.fromarray(canvas)
    font: Any = ImageFont.load_default(14)
    scale = gain * (limits[1] - limits[0]) / 255
    for n, name in enumerate(("noisy", "denoised", f"removed, {scale:.2g} x")):
        ImageDraw.Draw(image).text((n * (width + GAP) + 4, 3), name, fill=(0, 0, 0), font=font)
    return np.asarray(image)
