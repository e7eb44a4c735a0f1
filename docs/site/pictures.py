"""The pictures of the site, drawn when it is built: from pictures of scikit-image and from generated ones.

``draw(folder)`` writes one PNG for each function in `PICTURES`, named after it: panels side by side, most of
them noisy, denoised, removed (mid-grey is zero).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage
from skimage import data, transform

import nlmeans

Floats = NDArray[np.float64]
GAP = 6  # white pixels between panels


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def crop(picture: Any, top: int, left: int, side: int = 256) -> Any:
    return picture[top : top + side, left : left + side]


def bytes_of(picture: Any) -> NDArray[np.uint8]:
    return np.rint(np.clip(picture, 0, 255)).astype(np.uint8)


def noisy(picture: Any, sigma: float, seed: int = 0) -> NDArray[np.uint8]:
    """White noise, as a file of 8 bits holds it."""
    return bytes_of(picture + rng(seed).normal(0, sigma, picture.shape))


def removed(before: Any, after: Any, gain: float = 3.0) -> Floats:
    return 128 + gain * (np.asarray(before, float) - np.asarray(after, float))


def strip(*panels: Any) -> Image.Image:
    """Panels side by side, as RGB."""
    each = [bytes_of(p if p.ndim == 3 else np.repeat(p[..., None], 3, axis=2)) for p in panels]
    height = max(p.shape[0] for p in each)
    gap = np.full((height, GAP, 3), 255, np.uint8)
    row: list[Any] = []
    for panel in each:
        below = np.full((height - panel.shape[0], panel.shape[1], 3), 255, np.uint8)
        row += [np.concatenate([panel, below]), gap]
    return Image.fromarray(np.concatenate(row[:-1], axis=1))


def trio(before: Any, after: Any) -> Image.Image:
    return strip(before, after, removed(before, after))


@cache
def camera() -> Any:
    return crop(data.camera(), 60, 120)


@cache
def astronaut() -> Any:
    return crop(data.astronaut(), 0, 130)


# --- what it does -----------------------------------------------------------------------------


def photograph() -> Image.Image:
    before = noisy(camera(), 20)
    return trio(before, nlmeans.denoise(before))


def colour() -> Image.Image:
    before = noisy(astronaut(), 25)
    return trio(before, nlmeans.denoise(before, channel_axis=-1))


def strong_noise() -> Image.Image:
    before = noisy(crop(data.chelsea(), 20, 90), 50)
    return trio(before, nlmeans.denoise(before, channel_axis=-1))


def methods() -> Image.Image:
    """One pass, two passes, NL-Ridge."""
    before = noisy(crop(data.camera(), 80, 180, 192), 30)
    return strip(
        before,
        nlmeans.denoise(before, passes=1),
        nlmeans.denoise(before, passes=2),
        nlmeans.denoise(before, method="nlridge"),
    )


def strength() -> Image.Image:
    before = noisy(crop(data.astronaut(), 0, 150, 192), 25)
    factors = (0.6, 1.0, 1.6)
    return strip(before, *(nlmeans.denoise(before, channel_axis=-1, strength=f) for f in factors))


def blend() -> Image.Image:
    before = noisy(crop(data.coffee(), 60, 150, 192), 20)
    parts = (0.0, 0.25, 0.5)
    return strip(before, *(nlmeans.denoise(before, channel_axis=-1, blend=b) for b in parts))


def weights() -> Image.Image:
    """A noisy picture, and the weights of two of its pixels."""
    before = noisy(crop(data.brick(), 100, 100, 128), 10)
    panels = [np.repeat(np.repeat(before, 2, 0), 2, 1)]
    for at in ((64, 62), (40, 80)):
        own = nlmeans.weights(before, at, search_radius=40, sigma=10.0)
        shown = 255 * np.sqrt(own / own.max())
        panels.append(np.repeat(np.repeat(shown, 2, 0), 2, 1))
    return strip(*panels)


# --- kinds of noise ---------------------------------------------------------------------------


def white_noise() -> Image.Image:
    before = noisy(crop(data.brick(), 100, 100), 20)
    return trio(before, nlmeans.denoise(before))


def photons() -> Image.Image:
    """Counts of photons: the noise grows with the light."""
    light = crop(data.coins(), 40, 60).astype(float)
    light = 1 + 60 * light / light.max()
    counts = rng().poisson(light).astype(np.float32)
    with warnings.catch_warnings():  # that the noise grows is what it warns of
        warnings.simplefilter("ignore")
        after = nlmeans.denoise(counts)
    told = nlmeans.denoise(counts, noise="poisson")
    scale = 255 / np.percentile(counts, 99.9)
    return strip(counts * scale, after * scale, told * scale)


def rician() -> Image.Image:
    """Magnitudes, as of MRI: noise that is shifted where it is dark."""
    clean = 180 * transform.resize(data.shepp_logan_phantom(), (256, 256))
    real, imaginary = (rng(n).normal(0, 25, clean.shape) for n in range(2))
    before = np.hypot(clean + real, imaginary)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = nlmeans.denoise(before)
    return strip(before, plain, nlmeans.denoise(before, noise={"kind": "rician", "sigma": 25.0}))


def speckle() -> Image.Image:
    """Intensities of radar: noise in proportion, four looks."""
    before = camera() * rng().gamma(4, 1 / 4, (256, 256))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = nlmeans.denoise(before)
    return strip(before, plain, nlmeans.denoise(before, noise={"kind": "speckle", "looks": 4.0}))


def shared_noise() -> Image.Image:
    """Noise that neighbours share, as after a camera's own processing or enlarging."""
    grain = ndimage.gaussian_filter(rng().normal(0, 60, (256, 256)), 0.9)
    before = bytes_of(crop(data.camera(), 60, 120) + grain)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return trio(before, nlmeans.denoise(before))


def text_scan() -> Image.Image:
    """A scan whose paper is clipped at white."""
    page = crop(data.page(), 0, 60, 190).astype(float)
    before = noisy(np.clip(1.5 * page, 0, 262), 14)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return trio(before, nlmeans.denoise(before))


def uneven_noise() -> Image.Image:
    """Noise that grows from left to right, with a map of sigma."""
    level = np.broadcast_to(np.linspace(2, 45, 256), (256, 256))
    before = bytes_of(camera() + level * rng().normal(size=(256, 256)))
    return trio(before, nlmeans.denoise(before, sigma=level))


def impulses() -> Image.Image:
    """Salt and pepper, which averages cannot mend, and the same replaced."""
    clean, hit = camera(), rng().random((256, 256))
    before = np.where(hit < 0.02, 0, np.where(hit > 0.98, 255, noisy(clean, 8))).astype(np.uint8)
    with warnings.catch_warnings():  # it names the impulses
        warnings.simplefilter("ignore")
        plain = nlmeans.denoise(before)
    return strip(before, plain, nlmeans.denoise(before, impulses="replace"))


# --- kinds of data ----------------------------------------------------------------------------


def holes() -> Image.Image:
    """Pixels without a value: they are neither used nor changed."""
    before = noisy(camera(), 20).astype(np.float32)
    before[100:130, 60:200] = np.nan
    after = nlmeans.denoise(before, nan="keep")
    shown = [np.repeat(p[..., None], 3, 2) for p in (before, after)]
    for panel in shown:
        panel[np.isnan(before)] = (200, 60, 60)
    return strip(*shown)


def guide() -> Image.Image:
    """A dark, noisy picture guided by a clean one of the same scene."""
    flash = crop(data.coffee(), 60, 150).mean(axis=2)
    before = noisy(0.3 * flash + 20, 25)
    plain = nlmeans.denoise(before, sigma=25.0)
    guided = nlmeans.denoise(before, guide=flash, guide_sigma=0.0, sigma=25.0, k=0.6)
    return strip(flash, before, plain, guided)


def _volume() -> tuple[Floats, Floats]:
    z, y, x = np.mgrid[:24, :192, :192]
    clean = np.full((24, 192, 192), 40.0)
    random = rng(4)
    for _ in range(60):
        at, radius = random.uniform((0, 0, 0), (24, 192, 192)), random.uniform(4, 14)
        inside = (2 * (z - at[0])) ** 2 + (y - at[1]) ** 2 + (x - at[2]) ** 2 < radius**2
        clean[inside] = random.uniform(80, 210)
    return clean, clean + random.normal(0, 40, clean.shape)


def volume() -> Image.Image:
    """The middle plane: noisy, denoised by itself, and within its volume."""
    clean, before = _volume()
    alone = nlmeans.denoise(before[12], sigma=40.0)
    within = nlmeans.denoise(before, sigma=40.0, spacing=(2.0, 1.0, 1.0))[12]
    return strip(before[12], alone, within, clean[12])


def film() -> Image.Image:
    """The third of five frames of a moving picture: noisy, by itself, with its neighbours."""
    wide = data.camera().astype(float)
    frames = [wide[60:252, 120 + 3 * t : 312 + 3 * t] for t in range(5)]
    before = [noisy(frame, 30, seed=t) for t, frame in enumerate(frames)]
    alone = nlmeans.denoise(before[2], sigma=30.0)
    together = list(nlmeans.denoise_frames(before, sigma=30.0))[2]
    return strip(before[2], alone, together, frames[2])


def bands() -> Image.Image:
    """Two stains in two channels that show different things: compared together, and apart."""
    y, x = np.mgrid[:192, :192]
    random, clean = rng(2), np.full((192, 192, 2), 20.0)
    for c in range(2):
        for _ in range(25):
            at, radius = random.uniform(0, 192, 2), random.uniform(5, 14)
            clean[..., c][(y - at[0]) ** 2 + (x - at[1]) ** 2 < radius**2] = random.uniform(90, 220)
    before = clean + random.normal(0, 40, clean.shape)
    panels = [before, *(nlmeans.denoise(before, channel_axis=-1, color=c) for c in ("joint", "separate"))]
    return strip(*(np.dstack([p[..., 0], p[..., 1], 0.4 * p[..., 0]]) for p in panels))


def scan() -> Image.Image:
    """Microscopy in colour, noise of 18."""
    before = noisy(crop(data.immunohistochemistry(), 230, 100), 18)
    return trio(before, nlmeans.denoise(before, channel_axis=-1))


def stars() -> Image.Image:
    before = noisy(crop(data.hubble_deep_field(), 200, 300), 15)
    return trio(before, nlmeans.denoise(before, channel_axis=-1))


def signal() -> Image.Image:
    """Steps and waves, noise of 0.15: the signal as it came, and denoised."""
    t = np.linspace(0, 6, 800)
    clean = np.sin(2.2 * t) + np.where((t > 2) & (t < 4), 1.2, 0) + np.where(t > 5, -1.0, 0)
    before = clean + rng().normal(0, 0.15, t.size)
    return _plot([before, nlmeans.denoise(before)])


def _plot(lines: list[Floats]) -> Image.Image:
    image = Image.new("RGB", (800, 180 * len(lines)), "white")
    pen = ImageDraw.Draw(image)
    low, high = min(map(np.min, lines)), max(map(np.max, lines))
    for n, line in enumerate(lines):
        y = 180 * n + 170 - 160 * (line - low) / (high - low)
        pen.line(list(zip(range(len(line)), map(float, y), strict=True)), fill=(30, 70, 140), width=2)
    return image


PICTURES: tuple[Callable[[], Image.Image], ...] = (
    photograph,
    colour,
    strong_noise,
    methods,
    strength,
    blend,
    weights,
    white_noise,
    photons,
    rician,
    speckle,
    shared_noise,
    text_scan,
    uneven_noise,
    impulses,
    holes,
    guide,
    volume,
    film,
    bands,
    scan,
    stars,
    signal,
)
NAMES = tuple(f"{picture.__name__}.png" for picture in PICTURES)


def draw(folder: Path) -> None:
    """Write all pictures."""
    folder.mkdir(exist_ok=True)
    for name, picture in zip(NAMES, PICTURES, strict=True):
        picture().save(folder / name)
