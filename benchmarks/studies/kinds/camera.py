"""From light to file: a camera or a scanner of film, step by step, with noise and without.

The truth of a picture is the difference of the two files.  Every step is what is usual: photons and the
noise of reading (or the grain of film), colour filters and their bilinear interpolation, a tone curve,
a light denoising, sharpening, another size, JPEG.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]
Random = np.random.Generator


@dataclass(frozen=True)
class Camera:
    """What is done on the way; noise of 0 is none."""

    photons: float  # of a white pixel; inf: no shot noise
    reading: float  # standard deviation of the noise of reading, in photons
    grain: float  # of film, standard deviation in the middle tones, of 255
    grain_size: float  # standard deviation of the blur of the grain, pixels
    bayer: bool
    contrast: float  # of an S-shaped tone curve; 0 is none
    smoothing: float  # range of the in-camera filter, of 255; 0 is none
    sharpening: float  # part of the difference to a blurred copy that is added
    scale: float
    quality: int  # of JPEG

    @classmethod
    def drawn(cls, rng: Random, *, film: bool) -> Camera:
        """Any that is usual."""
        return cls(
            photons=float("inf") if film else float(np.exp(rng.uniform(np.log(25), np.log(900)))),
            reading=0.0 if film else float(rng.uniform(0, 4)),
            grain=float(rng.uniform(8, 30)) if film else 0.0,
            grain_size=float(rng.uniform(0.4, 1.3)),
            bayer=not film,
            contrast=float(rng.choice([0.0, 0.3, 0.6])),
            smoothing=float(rng.choice([0.0, 0.0, 8.0, 16.0])),
            sharpening=float(rng.choice([0.0, 0.4, 0.8])),
            scale=float(rng.choice([0.4, 0.5, 0.7, 1.0, 1.0, 1.4, 2.0])),
            quality=int(rng.choice([60, 70, 75, 80, 85, 90, 95])),
        )

    def picture(self, light: Floats, rng: Random | None) -> Bytes:
        """The file of a scene (H, W, 3) in 0 to 1, linear in light; without noise where `rng` is None."""
        if self.bayer:
            light = demosaiced(self._exposed(light, rng))
        values = 255 * np.clip(light, 0, 1) ** (1 / 2.2)
        if not self.bayer:
            values = self._grainy(values, rng)
        values += self.contrast * 20 * np.sin((values / 255 - 0.5) * 2 * np.pi)
        if self.smoothing:
            values = (values + bilateral(values, self.smoothing)) / 2
        if self.sharpening:
            values = values + self.sharpening * (values - gaussian(values, 1.2))
        values = resized(np.clip(values, 0, 255), self.scale)
        return jpeg(np.clip(np.rint(values), 0, 255).astype(np.uint8), self.quality)

    def _exposed(self, light: Floats, rng: Random | None) -> Floats:
        if rng is None:
            return light
        counts = rng.poisson(np.clip(light, 0, 1) * self.photons) + rng.normal(0, self.reading, light.shape)
        return counts / self.photons

    def _grainy(self, values: Floats, rng: Random | None) -> Floats:
        if rng is None:
            return values
        grain = gaussian(rng.normal(0, 1, (*values.shape[:2], 1)), self.grain_size)
        middle = 2 * np.sqrt(np.clip(values / 255 * (1 - values / 255), 0.01, 1))
        return np.asarray(values + self.grain * middle * grain / grain.std())


def demosaiced(light: Floats) -> Floats:
    """Through the colour filters RGGB, then interpolated bilinearly."""
    height, width, _ = light.shape
    y, x = np.mgrid[:height, :width]
    colour = np.where((y + x) % 2 == 1, 1, np.where(y % 2 == 0, 0, 2))
    kernel = np.array([0.5, 1, 0.5])
    result = np.empty_like(light)
    for c in range(3):
        seen = (colour == c).astype(np.float64)
        value, weight = light[..., c] * seen, seen
        for axis in (0, 1):
            value, weight = (convolved(v, kernel, axis) for v in (value, weight))
        if c == 1:  # of green the four neighbours alone, and a pixel's own value
            own = light[..., 1] * seen
            value = sum(np.roll(np.pad(own, 1, "reflect"), s, a)[1:-1, 1:-1] for a in (0, 1) for s in (1, -1))
            weight = sum(
                np.roll(np.pad(seen, 1, "reflect"), s, a)[1:-1, 1:-1] for a in (0, 1) for s in (1, -1)
            )
        result[..., c] = np.where(seen > 0, light[..., c], value / np.maximum(weight, 1e-9))
    return result


def convolved(values: Floats, kernel: Floats, axis: int) -> Floats:
    """Along one axis, reflected at the ends."""
    radius = len(kernel) // 2
    padding = [(radius, radius) if a == axis else (0, 0) for a in range(values.ndim)]
    padded = np.pad(values, padding, "reflect")
    n = values.shape[axis]
    return np.asarray(sum(k * padded.take(np.arange(i, i + n), axis) for i, k in enumerate(kernel)))


def gaussian(values: Floats, width: float) -> Floats:
    """Blurred along both axes."""
    offsets = np.arange(-int(3 * width + 1), int(3 * width + 1) + 1)
    kernel = np.exp(-(offsets**2) / (2 * width**2))
    for axis in (0, 1):
        values = convolved(values, kernel / kernel.sum(), axis)
    return values


def bilateral(values: Floats, spread: float) -> Floats:
    """The mean over 5 x 5 pixels of like values."""
    total, weights = np.zeros_like(values), np.zeros_like(values)
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            other = np.roll(values, (dy, dx), (0, 1))
            weight = np.exp(-((other - values) ** 2) / (2 * spread**2))
            total += weight * other
            weights += weight
    return total / weights


def resized(values: Floats, scale: float) -> Floats:
    """By cubic interpolation that averages where it reduces."""
    if scale == 1:
        return values
    size = (round(values.shape[1] * scale), round(values.shape[0] * scale))
    planes = [
        np.asarray(Image.fromarray(values[..., c].astype(np.float32)).resize(size, Image.Resampling.BICUBIC))
        for c in range(values.shape[-1])
    ]
    return np.stack(planes, axis=-1).astype(np.float64)


def jpeg(values: Bytes, quality: int) -> Bytes:
    """Stored and read again."""
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))
