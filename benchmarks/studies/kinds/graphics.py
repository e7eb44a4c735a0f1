"""Drawn pictures: text, screens, maps, icons, cartoons and charts, of 8 bits and without noise."""

from __future__ import annotations

import string

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Bytes = NDArray[np.uint8]
Random = np.random.Generator
_LETTERS = np.array(list(string.ascii_letters + string.digits + "     .,;-"))


def words(rng: Random, length: int) -> str:
    """So many letters and spaces."""
    return "".join(rng.choice(_LETTERS, length))


def page(rng: Random, paper: int = 255, ink: int = 0, size: tuple[int, int] = (224, 224)) -> Bytes:
    """Lines of text, some larger, with margins."""
    image = Image.new("L", size, paper)
    draw = ImageDraw.Draw(image)
    y, left = int(rng.integers(4, 30)), int(rng.integers(4, 30))
    last = size[1] - int(rng.integers(0, 60))
    body = int(rng.integers(10, 19))
    while y < last:
        points = body + (8 if rng.random() < 0.15 else 0)
        if rng.random() < 0.85:
            line = words(rng, int((size[0] - 2 * left) / (0.5 * points)))
            draw.text((left, y), line, fill=ink, font=ImageFont.load_default(points))
        y += int(1.35 * points)
    return np.asarray(image)


def screen(rng: Random) -> Bytes:
    """Windows, buttons, lists and labels."""
    image = Image.new("L", (240, 200), int(rng.integers(20, 255)))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(3, 9))):
        x, y = int(rng.integers(0, 180)), int(rng.integers(0, 150))
        w, h = int(rng.integers(30, 160)), int(rng.integers(14, 120))
        shade = int(rng.integers(0, 256))
        draw.rectangle((x, y, x + w, y + h), fill=shade, outline=int(rng.integers(0, 256)))
        dark = 0 if shade > 128 else 255
        for row in range(int(rng.integers(0, 6))):
            draw.text(
                (x + 4, y + 3 + 13 * row), words(rng, w // 8), fill=dark, font=ImageFont.load_default(10)
            )
    return np.asarray(image)


def plan(rng: Random) -> Bytes:
    """A map: areas, roads, contour lines and names."""
    image = Image.new("L", (224, 224), int(rng.integers(200, 256)))
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        corners = [tuple(int(v) for v in rng.integers(0, 224, 2)) for _ in range(5)]
        draw.polygon(corners, fill=int(rng.integers(150, 256)))
    for _ in range(int(rng.integers(4, 30))):
        point = rng.integers(0, 224, 2).astype(float)
        line = [tuple(point)]
        for _ in range(40):
            point = point + rng.normal(0, 9, 2)
            line.append(tuple(point))
        draw.line(line, fill=int(rng.integers(0, 140)), width=int(rng.integers(1, 4)))
    for _ in range(6):
        left, top = (int(v) for v in rng.integers(0, 190, 2))
        draw.text((left, top), words(rng, 8), fill=0, font=ImageFont.load_default(11))
    return np.asarray(image)


def icon(rng: Random) -> Bytes:
    """A small picture of few colours, in grey or as (H, W, 3)."""
    side, colours = int(rng.choice([12, 16, 24, 32, 48, 64])), rng.integers(0, 256, (5, 3))
    image = Image.new("RGB", (side, side), tuple(int(c) for c in colours[0]))
    draw = ImageDraw.Draw(image)
    for colour in colours[1:]:
        x, y = rng.integers(0, side, 2)
        w, h = rng.integers(side // 6 + 1, side // 2 + 1, 2)
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape((x - w // 2, y - h // 2, x + w // 2, y + h // 2), fill=tuple(int(c) for c in colour))
    return np.asarray(image if rng.random() < 0.7 else image.convert("L"))


def cartoon(rng: Random) -> Bytes:
    """Filled shapes with dark outlines, drawn four times too large and reduced: soft edges."""
    image = Image.new("L", (800, 720), int(rng.integers(120, 256)))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(6, 25))):
        x, y = rng.integers(0, 800), rng.integers(0, 720)
        w, h = rng.integers(40, 300, 2)
        box = (x - w // 2, y - h // 2, x + w // 2, y + h // 2)
        shade = int(rng.integers(30, 256))
        (draw.ellipse if rng.random() < 0.6 else draw.rectangle)(box, fill=shade, outline=10, width=10)
    method = Image.Resampling.LANCZOS if rng.random() < 0.5 else Image.Resampling.BOX
    return np.asarray(image.resize((200, 180), method))


def chart(rng: Random) -> Bytes:
    """Axes, curves, bars and numbers; lines at twice the size, reduced, half of the time."""
    scale = int(rng.integers(1, 3))
    image = Image.new("L", (220 * scale, 200 * scale), 255)
    draw = ImageDraw.Draw(image)
    draw.line((20 * scale, 8 * scale, 20 * scale, 180 * scale, 212 * scale, 180 * scale), fill=0, width=scale)
    for tick in range(8):
        draw.text(
            ((22 + 24 * tick) * scale, 183 * scale),
            str(rng.integers(0, 99)),
            fill=0,
            font=ImageFont.load_default(9 * scale),
        )
    if rng.random() < 0.5:
        for bar in range(8):
            top = int(rng.integers(20, 170))
            box = (
                (25 + 22 * bar) * scale,
                top * scale,
                (40 + 22 * bar) * scale,
                180 * scale,
            )
            draw.rectangle(box, fill=int(rng.integers(40, 220)))
    for _ in range(int(rng.integers(1, 5))):
        heights = 90 + np.cumsum(rng.normal(0, 6, 48))
        points = [((22 + 4 * n) * scale, float(h) * scale) for n, h in enumerate(heights)]
        draw.line(points, fill=int(rng.integers(0, 160)), width=scale)
    return np.asarray(image.resize((220, 200), Image.Resampling.LANCZOS))


KINDS = {"text": page, "screen": screen, "map": plan, "icon": icon, "cartoon": cartoon, "chart": chart}
