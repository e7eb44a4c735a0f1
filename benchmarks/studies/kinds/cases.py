"""The pictures of the bench, by seed: kinds of picture times kinds of noise, each with its truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from . import graphics, textures
from .camera import Camera, demosaiced, gaussian, jpeg

Floats = NDArray[np.float64]
Random = np.random.Generator
_SIGMAS = (1.0, 2.0, 5.0, 10.0, 15.0, 25.0, 50.0)
# the three photographs that were taken for noise most at ada1cfc are among the clean ones
_CLEAN = ("006", "012", "026")


@dataclass(frozen=True, eq=False)
class Case:
    """A picture as it comes, what it should be, and how strong its noise is."""

    group: str
    name: str
    clean: NDArray[Any]
    noisy: NDArray[Any]
    sigma: float  # of the noise; 0 is none
    told: dict[str, Any] = field(default_factory=dict)  # how it was made

    @property
    def channel_axis(self) -> int | None:
        return -1 if self.noisy.ndim == 3 else None


@dataclass(frozen=True)
class Natural:
    """Photographs, by seed."""

    paths: tuple[Path, ...]

    def __call__(self, number: int) -> Floats:
        return self.named(self.paths[number % len(self.paths)])

    def named(self, path: Path) -> Floats:
        return np.asarray(Image.open(path).convert("L"), dtype=np.float64)

    def scene(self, rng: Random) -> Floats:
        """Four of them side by side as light (H, W, 3), with colours that change slowly."""
        four = [self(int(n)) for n in rng.integers(0, len(self.paths), 4)]
        height, width = (min(p.shape[a] for p in four) // 2 * 2 for a in (0, 1))
        four = [p[:height, :width] for p in four]
        grey = np.block([[four[0], four[1]], [four[2], four[3]]])
        corners = rng.uniform(0.75, 1.0, (2, 2, 3)).astype(np.float32)
        tint = np.stack(
            [
                np.asarray(
                    Image.fromarray(corners[..., c]).resize(grey.shape[::-1], Image.Resampling.BILINEAR)
                )
                for c in range(3)
            ],
            axis=-1,
        )
        return np.asarray((grey[..., None] * tint / 255) ** 2.2)


def cases(folder: Path, *, every: int = 1) -> Iterator[Case]:
    """All of them, or every so-manyth of each group."""
    paths = tuple(sorted(folder.glob("*.png")))
    if not paths:
        raise SystemExit(f"{folder} holds no PNG file: it must hold the photographs to measure on")
    natural = Natural(paths)
    for number, (group, (count, make)) in enumerate(GROUPS.items()):
        for n in range(0, count, every):
            yield make(natural, np.random.default_rng([number, n]), n, group)


def _bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    rounded: NDArray[np.uint8] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return rounded


def _drawing(rng: Random, n: int) -> tuple[str, NDArray[np.uint8]]:
    kind = list(graphics.KINDS)[n % len(graphics.KINDS)]
    return kind, graphics.KINDS[kind](rng)


def _texture(rng: Random, n: int) -> tuple[str, Floats]:
    kind = list(textures.KINDS)[n % len(textures.KINDS)]
    return kind, textures.KINDS[kind](rng)


def clean_graphics(_: Natural, rng: Random, n: int, group: str) -> Case:
    kind, picture = _drawing(rng, n)
    return Case(group, kind, picture, picture, 0.0)


def noisy_graphics(_: Natural, rng: Random, n: int, group: str) -> Case:
    """Without text pages, which have their own group; clipped to 8 bits."""
    kind, picture = _drawing(rng, 1 + n % 5 if n % 5 != 2 else 4)
    sigma = float(rng.uniform(5, 25))
    noisy = _bytes(picture + rng.normal(0, sigma, picture.shape))
    return Case(group, kind, picture, noisy, sigma)


def scans(_: Natural, rng: Random, n: int, group: str) -> Case:
    paper, sigma = (int(rng.integers(200, 256)), 255)[n % 2], float(rng.uniform(5, 20))
    picture = graphics.page(rng, paper, int(rng.integers(0, 60)))
    noisy = _bytes(picture + rng.normal(0, sigma, picture.shape))
    return Case(group, "text", picture, noisy, sigma, {"paper": paper})


def clean_photographs(natural: Natural, _: Random, n: int, group: str) -> Case:
    path = natural.paths[(37 * n) % len(natural.paths)]
    if n < len(_CLEAN):
        path = next((p for p in natural.paths if p.stem.endswith(_CLEAN[n])), path)
    picture = _bytes(natural.named(path))
    return Case(group, path.stem, picture, picture, 0.0)


def clean_files(natural: Natural, rng: Random, n: int, group: str) -> Case:
    """Photographs without noise, stored as JPEG."""
    quality = int(rng.choice([50, 60, 70, 80, 90, 95]))
    picture = jpeg(_bytes(natural(n * 53 + 5)), quality)
    return Case(group, "photograph", picture, picture, 0.0, {"quality": quality})


def clean_textures(_: Natural, rng: Random, n: int, group: str) -> Case:
    kind, picture = _texture(rng, n)
    return Case(group, kind, _bytes(picture), _bytes(picture), 0.0)


def white(natural: Natural, rng: Random, n: int, group: str) -> Case:
    sigma, picture = _SIGMAS[n % len(_SIGMAS)], natural(n * 29 + 1)
    return Case(group, "photograph", picture, picture + rng.normal(0, sigma, picture.shape), sigma)


def clipped(natural: Natural, rng: Random, n: int, group: str) -> Case:
    """Bright or dark photographs, their noise clipped to 8 bits."""
    sigma, gain = float(rng.uniform(5, 50)), float(rng.choice([0.5, 1.0, 1.6]))
    picture = np.clip(natural(n * 31 + 2) * gain - (60 if gain < 1 else 0), 0, 255)
    noisy = _bytes(picture + rng.normal(0, sigma, picture.shape))
    return Case(group, "photograph", picture, noisy, sigma, {"gain": gain})


def noisy_textures(_: Natural, rng: Random, n: int, group: str) -> Case:
    kind, picture = _texture(rng, n)
    sigma = float((2.0, 5.0, 10.0, 20.0)[n % 4])
    return Case(group, kind, picture, picture + rng.normal(0, sigma, picture.shape), sigma)


def files(natural: Natural, rng: Random, n: int, group: str) -> Case:
    """White noise, then JPEG; what is left of the noise is the difference to the clean JPEG's source."""
    sigma, quality = float((5, 10, 15, 25)[n % 4]), int((50, 60, 70, 75, 80, 85, 90, 95)[n // 4 % 8])
    picture = natural(n * 41 + 3)
    noisy = jpeg(_bytes(picture + rng.normal(0, sigma, picture.shape)), quality)
    told = {"sigma": sigma, "quality": quality}
    return Case(group, "photograph", picture, noisy, _rms(noisy, picture), told)


def shared(natural: Natural, rng: Random, n: int, group: str) -> Case:
    """Noise blurred by (1, 2, 1) / 4, enlarged twice, or through colour filters: not clipped."""
    sigma, picture = float((5, 15, 25)[n // 3 % 3]), natural(n * 43 + 4)
    height, width = (side // 2 * 2 for side in picture.shape)
    picture = picture[:height, :width]
    kind = ("blurred", "enlarged", "demosaiced")[n % 3]
    if kind == "demosaiced":
        noise = demosaiced(rng.normal(0, sigma, (height, width, 1)) + np.zeros(3)).mean(axis=-1)
    elif kind == "enlarged":
        small = rng.normal(0, sigma, (height // 2, width // 2)).astype(np.float32)
        noise = np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BILINEAR))
    else:
        noise = rng.normal(0, sigma, picture.shape)
        for axis in (0, 1):
            noise = (np.roll(noise, 1, axis) + 2 * noise + np.roll(noise, -1, axis)) / 4
        noise *= sigma / noise.std()
    return Case(group, kind, picture, picture + noise, float(noise.std()))


def bayer_files(natural: Natural, rng: Random, n: int, group: str) -> Case:
    """White noise on the sensor, bilinear interpolation, JPEG."""
    sigma, quality = float((5, 10, 20)[n % 3]), int(rng.choice([60, 75, 85, 95]))
    scene = 255 * natural.scene(rng)[90:270, 90:270] ** (1 / 2.2)
    pair = (jpeg(_bytes(demosaiced(s)), quality) for s in (scene, scene + rng.normal(0, sigma, scene.shape)))
    clean, noisy = pair
    return Case(group, "photograph", clean, noisy, _rms(noisy, clean), {"sigma": sigma, "quality": quality})


def cameras(natural: Natural, rng: Random, n: int, group: str) -> Case:
    """The simulated pipeline; half of them grey, a third from film."""
    film = n % 3 == 2
    while True:
        camera, scene = Camera.drawn(rng, film=film), natural.scene(rng)
        exposure = float(rng.uniform(0.3, 1.0))
        seed = int(rng.integers(1 << 31))
        clean, noisy = (camera.picture(scene * exposure, r) for r in (None, np.random.default_rng(seed)))
        clean, noisy = (p[: min(256, p.shape[0]), : min(256, p.shape[1])] for p in (clean, noisy))
        if n % 2:
            clean, noisy = (np.asarray(Image.fromarray(p).convert("L")) for p in (clean, noisy))
        if 2 <= _rms(noisy, clean) <= 40:  # less is not to be seen, more is no picture
            break
    told = {name: round(v, 3) for name, v in vars(camera).items() if v not in (float("inf"),)}
    return Case(group, "film" if film else "camera", clean, noisy, _rms(noisy, clean), told)


def clean_cameras(natural: Natural, rng: Random, n: int, group: str) -> Case:
    """What the pipeline makes of a scene without noise."""
    camera = Camera.drawn(rng, film=n % 3 == 2)
    clean = camera.picture(natural.scene(rng), None)[:256, :256]
    clean = clean if n % 2 else np.asarray(Image.fromarray(clean).convert("L"))
    return Case(group, "camera", clean, clean, 0.0, {"scale": camera.scale, "quality": camera.quality})


def counted(natural: Natural, rng: Random, n: int, group: str) -> Case:
    """Photons counted, in units of 255 / peak."""
    peak, picture = float((10, 30, 60, 100, 200)[n % 5]), natural(n * 47 + 6)
    noisy = rng.poisson(picture / 255 * peak) * (255 / peak)
    return Case(group, "photograph", picture, noisy, _rms(noisy, picture), {"peak": peak})


def repeated(natural: Natural, rng: Random, n: int, group: str) -> Case:
    """Every pixel twice along both axes."""
    sigma, picture = float((5, 10, 20)[n % 3]), natural(n * 59 + 7)[:100, :100]
    pair = (np.kron(p, np.ones((2, 2))) for p in (picture, picture + rng.normal(0, sigma, picture.shape)))
    clean, noisy = pair
    return Case(group, "photograph", clean, _bytes(noisy), sigma)


def banded(natural: Natural, rng: Random, n: int, group: str) -> Case:
    """Rows that are brighter or darker as a whole, and white noise."""
    sigma, rows, picture = float((3, 6, 12)[n % 3]), float((3, 6, 12)[n // 3 % 3]), natural(n * 61 + 8)
    noise = rng.normal(0, sigma, picture.shape) + rng.normal(0, rows, (picture.shape[0], 1))
    return Case(group, "photograph", picture, picture + noise, float(np.hypot(sigma, rows)))


def impulses(natural: Natural, rng: Random, n: int, group: str) -> Case:
    """Salt and pepper."""
    part, picture = float((0.01, 0.05, 0.1, 0.2)[n % 4]), natural(n * 67 + 9)
    noisy, hit = picture.copy(), rng.random(picture.shape) < part
    noisy[hit] = rng.choice([0.0, 255.0], int(hit.sum()))
    return Case(group, "photograph", picture, _bytes(noisy), _rms(noisy, picture), {"part": part})


def odd(natural: Natural, rng: Random, n: int, group: str) -> Case:
    """Input that no estimate suits; those that hold noise have it known."""
    picture, sigma = natural(n * 71 + 10), 15.0
    noise = rng.normal(0, sigma, picture.shape)
    if n % 8 == 0:
        small = picture[60:66, 60:67]
        return Case(group, "smaller than a patch", small, small, 0.0)
    if n % 8 == 1:
        constant = np.full((90, 90), float(rng.integers(0, 256)))
        return Case(group, "constant", constant, constant, 0.0)
    if n % 8 == 2:
        two = np.where(gaussian(rng.normal(0, 1, (128, 128, 1)), 2)[..., 0] > 0, 255, 0).astype(np.uint8)
        return Case(group, "two values", two, two, 0.0)
    if n % 8 == 3:
        bright = np.clip(picture * 3, 0, 255)
        return Case(group, "saturated", bright, _bytes(bright + noise), sigma)
    if n % 8 == 4:
        return Case(group, "all noise", np.full_like(picture, 128), 128 + noise, sigma)
    if n % 8 == 5:
        smooth = gaussian(picture[..., None], 1.5)[..., 0]
        return Case(group, "already denoised", _bytes(smooth), _bytes(smooth), 0.0)
    if n % 8 == 6:
        framed, clean = np.zeros_like(picture), np.zeros_like(picture)
        framed[40:140], clean[40:140] = (picture + noise)[40:140], picture[40:140]
        return Case(group, "black bars", clean, framed, sigma)
    half = picture.copy()
    half[:, 90:] += noise[:, 90:]
    return Case(group, "half noisy", picture, half, sigma)


def _rms(a: NDArray[Any], b: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean((a.astype(np.float64) - b) ** 2)))


GROUPS = {
    "clean graphics": (66, clean_graphics),
    "clean photographs": (60, clean_photographs),
    "clean JPEG": (24, clean_files),
    "clean textures": (20, clean_textures),
    "clean camera": (24, clean_cameras),
    "text scans": (30, scans),
    "noisy graphics": (20, noisy_graphics),
    "white": (70, white),
    "clipped": (24, clipped),
    "noisy textures": (20, noisy_textures),
    "JPEG": (64, files),
    "shared": (27, shared),
    "Bayer and JPEG": (12, bayer_files),
    "camera and film": (120, cameras),
    "Poisson": (10, counted),
    "repeated pixels": (6, repeated),
    "banding": (9, banded),
    "impulses": (4, impulses),
    "odd": (16, odd),
}
