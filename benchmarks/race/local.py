"""Filters that look at neighbours only, beside NL-means, which was invented to do better.

Each is tuned by its own best strength on the same noisy picture, which favours all of them alike.

    Gaussian          linear smoothing
    bilateral         C. Tomasi, R. Manduchi 1998, doi:10.1109/ICCV.1998.710815
    total variation   L. Rudin, S. Osher, E. Fatemi 1992, doi:10.1016/0167-2789(92)90242-F, solved as
                      A. Chambolle 2004, doi:10.1023/B:JMIV.0000011325.36760.1e
    anisotropic       P. Perona, J. Malik 1990, doi:10.1109/34.56205
    diffusion
    NL-means          A. Buades, B. Coll, J.-M. Morel 2005, doi:10.1109/CVPR.2005.38
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from ..problems import NOISE, Image, psnr
from .turns import Log

Filter = Callable[..., Image]


def camera(noise: float = NOISE, seed: int = 0) -> tuple[Image, Image]:
    """scikit-image's picture of a cameraman, clean and with noise, in [0, 1]."""
    from skimage.data import camera as picture

    clean = picture() / 255.0
    spoiled = clean + np.random.default_rng(seed).normal(0, noise, clean.shape)
    return clean, (np.clip(np.rint(spoiled * 255), 0, 255) / 255).astype(np.float32)


def gaussian(image: Image, *, sigma: float) -> Image:
    """Linear smoothing."""
    from skimage.filters import gaussian as smooth

    return np.asarray(smooth(image, sigma=sigma, mode="reflect"))


def bilateral(image: Image, *, sigma_color: float, sigma_space: float) -> Image:
    """Weights by distance in place and in grey level of single pixels."""
    import cv2  # type: ignore[import-not-found, import-untyped, unused-ignore]

    return np.asarray(cv2.bilateralFilter(image, -1, sigma_color, sigma_space))


def total_variation(image: Image, *, weight: float) -> Image:
    """The picture of least total variation that is near enough."""
    from skimage.restoration import denoise_tv_chambolle

    return np.asarray(denoise_tv_chambolle(image, weight=weight, eps=1e-4, max_num_iter=200))


def perona_malik(image: Image, *, edge: float, steps: int, rate: float = 0.2) -> Image:
    """Diffusion that stops at edges: conductance 1 / (1 + (difference / edge)^2)."""
    u = image.astype(np.float64)
    for _ in range(steps):
        change = np.zeros_like(u)
        for axis in (0, 1):
            flow = np.diff(u, axis=axis)
            flow /= 1 + (flow / edge) ** 2
            change += np.diff(flow, axis=axis, prepend=0, append=0)
        u += rate * change
    return u


def nonlocal_means(image: Image, *, k: float) -> Image:
    """This package, told the noise; radii from its table."""
    from nlmeans import denoise

    return np.asarray(denoise(image, sigma=NOISE, k=k, backend="auto"))


FILTERS: dict[str, tuple[Filter, dict[str, Sequence[float]], str]] = {
    "Gaussian": (
        gaussian,
        {"sigma": (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4)},
        "skimage.filters.gaussian",
    ),
    "bilateral": (
        bilateral,
        {"sigma_color": (0.1, 0.15, 0.2, 0.25, 0.3, 0.4), "sigma_space": (1.0, 1.5, 2.0, 3.0)},
        "cv2.bilateralFilter",
    ),
    "total variation": (
        total_variation,
        {"weight": (0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1, 0.12)},
        "skimage.restoration.denoise_tv_chambolle(eps=1e-4, max_num_iter=200)",
    ),
    "anisotropic diffusion": (
        perona_malik,
        {"edge": (0.03, 0.05, 0.07, 0.09, 0.12), "steps": (5, 10, 15, 20, 30, 45)},
        "benchmarks.local.perona_malik(rate=0.2)",
    ),
    "NL-means": (
        nonlocal_means,
        {"k": (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)},
        "nlmeans.denoise(sigma=20/255)",
    ),
}


def _settings(grid: dict[str, Sequence[float]]) -> Iterator[dict[str, Any]]:
    for values in product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def compare(clean: Image, noisy: Image, log: Log) -> list[dict[str, Any]]:
    """A row for each filter: its best setting, its PSNR and its processor time there."""
    rows: list[dict[str, Any]] = []
    for name, (function, grid, call) in FILTERS.items():
        row: dict[str, Any] = {"filter": name, "call": call, "tried": {n: list(v) for n, v in grid.items()}}
        try:
            scores = [(psnr(clean, function(noisy, **s)), s) for s in _settings(grid)]
        except ImportError as error:
            rows.append(row | {"reason": f"not installed: {error}"})
            continue
        best, setting = max(scores, key=lambda score: score[0])
        started = time.process_time()
        function(noisy, **setting)
        spent = time.process_time() - started
        rows.append(row | {"setting": setting, "psnr": round(best, 2), "cpu": round(spent, 4)})
        log(f"{name:24}{best:6.2f} dB  {setting}")
    return rows
