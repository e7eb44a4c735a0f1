"""The picture of ``nlmeans demo``: drawn, so that no file of it is needed.

Rays from a camera meet a chequered floor, a wall of bricks, two balls and a card with a text: smooth
shading, sharp edges, repeated texture, fine lines and letters, which filters treat differently.
"""

from __future__ import annotations

from typing import Any

from ..formats.picture import Array

SHAPE = (384, 512)
FINER = 2  # rays along each side of a pixel
TEXT = ("Non-local means", "every pixel becomes", "the average of those", "whose surroundings", "look alike.")
_LIGHT = (-0.45, 0.75, -0.5)  # where it comes from
_BALLS = (((-0.95, 0.62, 3.6), 0.62), ((0.15, 0.36, 2.75), 0.36))  # centre and radius
_WALL = 5.0  # distance
_CARD = (0.55, 1.95, 0.0, 1.25, 3.9)  # left, right, bottom, top, distance


def scene() -> Array:
    """The picture, (384, 512) of 8 bits."""
    import numpy as np

    height, width = (FINER * n for n in SHAPE)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    ray = np.stack([(x - width / 2) / width * 1.25, 0.02 - (y - height / 2) / width * 1.25, np.ones_like(x)])
    ray /= np.sqrt((ray**2).sum(0))
    camera = np.array([0.1, 0.85, 0.0], np.float32)[:, None, None]

    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.where(ray[1] < 0, -camera[1] / ray[1], np.inf)
        place = camera + distance * ray
        shade = _floor(place)
        wall = (_WALL - camera[2]) / ray[2]
        place = camera + wall * ray
        shade, distance = _nearer(shade, distance, _bricks(place), wall)
        card = (_CARD[4] - camera[2]) / ray[2]
        place = camera + card * ray
        inside = (place[0] > _CARD[0]) & (place[0] < _CARD[1]) & (place[1] > _CARD[2]) & (place[1] < _CARD[3])
        shade, distance = _nearer(shade, distance, _card(place), np.where(inside, card, np.inf))
        for number, (centre, radius) in enumerate(_BALLS):
            found, met = _ball(camera, ray, centre, radius, number)
            shade, distance = _nearer(shade, distance, found, met)
    fine = np.clip(shade, 0, 1) ** (1 / 2.2)
    pixels = fine.reshape(SHAPE[0], FINER, SHAPE[1], FINER).mean((1, 3))
    return np.rint(20 + 215 * pixels).astype(np.uint8)


def _nearer(shade: Array, distance: Array, other: Array, its: Array) -> tuple[Array, Array]:
    """What is seen, where two things lie behind each other."""
    import numpy as np

    front = (its > 0) & (its < distance)
    return np.where(front, other, shade), np.where(front, its, distance)


def _floor(place: Array) -> Array:
    """Chequered, darker far away and under the balls."""
    import numpy as np

    tiles = (np.floor(2.2 * place[0]) + np.floor(2.2 * place[2])) % 2
    grain = 0.03 * np.sin(60 * place[0] + 3 * np.sin(9 * place[2]))
    return (0.16 + 0.42 * tiles + grain) * _in_light(place)


def _bricks(place: Array) -> Array:
    """Rows of bricks with light joints, each of its own grey."""
    import numpy as np

    row = np.floor(place[1] / 0.22)
    along = place[0] / 0.55 + 0.5 * (row % 2)
    joint = ((place[1] / 0.22) % 1 < 0.12) | (along % 1 < 0.05)
    own = np.sin(12.9898 * np.floor(along) + 78.233 * row) * 43758.5453 % 1
    return np.where(joint, 0.5, 0.17 + 0.12 * own) * (1.05 - 0.16 * np.abs(place[0] + 1)) * _in_light(place)


def _card(place: Array) -> Array:
    """White, with the text on it."""
    import numpy as np

    page = _page()
    left, right, bottom, top, _ = _CARD
    column = (place[0] - left) / (right - left) * page.shape[1]
    row = (top - place[1]) / (top - bottom) * page.shape[0]
    column, row = (
        np.clip(np.nan_to_num(v), 0, n - 1).astype(np.intp)
        for v, n in ((column, page.shape[1]), (row, page.shape[0]))
    )
    return np.asarray(page[row, column] * _in_light(place))


def _page() -> Array:
    """The card's letters and lines, flat, from 0 to 1."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    page = Image.new("L", (560, 500), 225)
    draw = ImageDraw.Draw(page)
    for n, line in enumerate(TEXT):
        draw.text((36, 30 + 62 * n), line, fill=20, font=ImageFont.load_default(50 if n == 0 else 44))
    for n in range(14):  # lines that come ever closer
        left = 80 + 2.6 * n * (26 - n) / 1.6
        draw.rectangle((left, 370, left + 12 - 0.7 * n, 460), fill=30)
    return np.asarray(page, np.float32) / 255


def _ball(camera: Array, ray: Array, centre: Any, radius: float, number: int) -> tuple[Array, Array]:
    """A ball's shade, and where rays meet it; the first is plain, the second striped."""
    import numpy as np

    to = np.asarray(centre, np.float32)[:, None, None] - camera
    along = (to * ray).sum(0)
    apart = radius**2 - ((to**2).sum(0) - along**2)
    met = np.where(apart > 0, along - np.sqrt(np.maximum(apart, 0)), np.inf)
    normal = np.where(apart > 0, (met * ray - to) / radius, 0)
    light = _direction()
    facing = np.clip((normal * light).sum(0), 0, None)
    mirrored = 2 * (normal * light).sum(0) * normal - light
    shine = np.clip(-(mirrored * ray).sum(0), 0, None) ** 40
    stripes = np.where(np.sin(16 * (normal[1] + 0.35 * normal[0])) > 0, 0.75, 0.2)
    matter = stripes if number else 0.55
    return matter * (0.1 + 0.9 * facing) + 0.5 * shine, met


def _in_light(place: Array) -> Array:
    """From 0.35 in the shadow of a ball to 1, with a soft border."""
    import numpy as np

    light = _direction()
    result = np.ones(place.shape[1:], np.float32)
    for centre, radius in _BALLS:
        to = np.asarray(centre, np.float32)[:, None, None] - place
        along = (to * light).sum(0)
        miss = np.sqrt(np.maximum((to**2).sum(0) - along**2, 0)) / radius
        soft = np.clip((miss - 0.8) / 0.4, 0, 1)
        result = np.minimum(result, np.where(along > 0, 0.35 + 0.65 * soft, 1))
    return result


def _direction() -> Array:
    import numpy as np

    light = np.asarray(_LIGHT, np.float32)
    return (light / np.sqrt((light**2).sum()))[:, None, None]
