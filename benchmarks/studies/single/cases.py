"""Pictures, and noise that neighbours share, that no model fits, or that some model fits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..noise.cases import KODIM, grey

Image = NDArray[Any]
Draw = Callable[[Image, np.random.Generator], tuple[Image, Image]]  # of 0 to 255: clean and noisy

SIDE = 256
_PEAK = 30.0  # counts at white
_GAMMA = 2.2
_WINDOW, _LAG = 24, 4


def pictures(kodak: Path) -> dict[str, Image]:
    """The middles of six pictures of Kodak's that parameters may be tuned on."""
    result = {}
    for name in KODIM:
        whole = grey(kodak / f"{name}.png")
        y, x = ((n - SIDE) // 2 for n in whole.shape)
        result[name] = whole[y : y + SIDE, x : x + SIDE]
    return result


def blurred(noise: Image, deviation: float) -> Image:
    """White noise (..., H, W) blurred by a Gaussian, of standard deviation 1 again."""
    fy, fx = (np.fft.fftfreq(n) for n in noise.shape[-2:])
    gain = np.exp(-2 * (np.pi * deviation) ** 2 * (fy[:, None] ** 2 + fx[None, :] ** 2))
    result: Image = np.fft.ifft2(np.fft.fft2(noise) * (gain / np.sqrt(np.mean(gain**2)))).real
    return result


def like_the_noise(noisy: Image) -> Callable[[Image], Image]:
    """Makes of white noise of 1 such as the picture has, by what varies in its flattest parts.

    The covariance up to `_LAG` pixels is that of the 5 % of squares in which least varies, less their planes.
    """
    windows = np.lib.stride_tricks.sliding_window_view(noisy, (_WINDOW, _WINDOW))[::8, ::8]
    windows = windows.reshape(-1, _WINDOW, _WINDOW)
    at = np.linspace(-1, 1, _WINDOW)
    planes = np.stack([np.ones((_WINDOW, _WINDOW)), np.add.outer(at, 0 * at), np.add.outer(0 * at, at)])
    basis = np.linalg.qr(planes.reshape(3, -1).T)[0]
    flat = windows.reshape(len(windows), -1)
    flat = flat - (flat @ basis) @ basis.T
    energy = flat.var(axis=1)
    rest = flat[energy <= np.quantile(energy, 0.05)].reshape(-1, _WINDOW, _WINDOW)
    power = np.abs(np.fft.fft2(rest, (2 * _WINDOW, 2 * _WINDOW))) ** 2
    covariance = np.fft.ifft2(power.mean(0)).real / _WINDOW**2
    whole = np.zeros(noisy.shape)
    for dy in range(-_LAG, _LAG + 1):
        for dx in range(-_LAG, _LAG + 1):
            taper = (1 - abs(dy) / (_LAG + 1)) * (1 - abs(dx) / (_LAG + 1))
            whole[dy, dx] = covariance[dy, dx] * taper**0.5
    gain = np.sqrt(np.maximum(np.fft.fft2(whole).real, 0))
    return lambda white: np.asarray(np.fft.ifft2(np.fft.fft2(white) * gain).real)


def _white(sigma: float, deviation: float = 0.0) -> Draw:
    def draw(clean: Image, rng: np.random.Generator) -> tuple[Image, Image]:
        return clean, clean + sigma * blurred(rng.standard_normal(clean.shape), deviation)

    return draw


def _photons(tone: Callable[[Image], Image], sigma: float = 0.0) -> Draw:
    """Counts of linear light, brought to 0 to 255 by a tone curve."""

    def draw(clean: Image, rng: np.random.Generator) -> tuple[Image, Image]:
        light = (clean / 255) if tone is _straight else (clean / 255) ** _GAMMA
        counts = rng.poisson(light * _PEAK) + sigma * rng.standard_normal(clean.shape)
        return 255 * tone(light), 255 * tone(counts / _PEAK)

    return draw


def _straight(light: Image) -> Image:
    return light


def _gamma(light: Image) -> Image:
    result: Image = np.maximum(light, 0) ** (1 / _GAMMA)
    return result


def _film(light: Image) -> Image:
    """A film's curve: steep in the middle, flat at both ends."""
    result: Image = light**1.5 / (light**1.5 + 0.3**1.5) * (1 + 0.3**1.5)
    return result


#: What is added or done to pictures of 0 to 255.
NOISES: dict[str, Draw] = {
    "white, 3": _white(3),
    "white, 10": _white(10),
    "white, 25": _white(25),
    "blurred by 0.7, 20": _white(20, 0.7),
    "blurred by 1.2, 20": _white(20, 1.2),
    "photons and sensor": _photons(_straight, sigma=1.0),
    "photons, gamma": _photons(_gamma),
    "photons, film curve": _photons(_film),
}


def psnr(clean: Image, found: Image) -> float:
    return float(10 * np.log10(255**2 / np.mean((clean - found) ** 2)))
