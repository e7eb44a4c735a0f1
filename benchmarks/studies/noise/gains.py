"""What a model of the noise wins: over the default, now and before, and over a map of sigma."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

import nlmeans
from nlmeans import NoiseModel

from ...problems import psnr
from .cases import NOISES, Image, Noise, phantom, photographs

_NOISES = (
    "poisson peak 5",
    "poisson peak 30",
    "poisson-gaussian peak 10, sigma 1",
    "poisson-gaussian peak 30, sigma 3",
    "speckle 4",
    "speckle 1",
)
_RADIUS = 4  # of the mean that a map of sigma is made from
_BEFORE = """
import sys, warnings, numpy, nlmeans
warnings.simplefilter("ignore")
with numpy.load(sys.argv[1]) as given:
    numpy.savez(sys.argv[2], **{name: nlmeans.denoise(given[name]) for name in given.files})
"""


def gains(kodak: Path, before: str | None) -> dict[str, Any]:
    """Of each noise the mean PSNR of six photographs, and of one with dark flat areas."""
    from skimage import data

    peak1 = Noise(NoiseModel("poisson", gain=1.0), 1 / 255, lambda c, rng: rng.poisson(c).astype(float))
    noises = {"poisson peak 1": peak1, **{name: NOISES[name] for name in _NOISES}}
    groups = {
        "six photographs": photographs(kodak, 256),
        "camera": {"camera": data.camera()[:256, :256].astype(np.float64)},
    }
    return {
        group: {name: _mean(pictures, noise, before) for name, noise in noises.items()}
        for group, pictures in groups.items()
    }


def _mean(pictures: dict[str, Image], noise: Noise, before: str | None) -> dict[str, float]:
    found: dict[str, list[float]] = defaultdict(list)
    noisy = {
        name: noise.add(clean * noise.scale, np.random.default_rng(n)).astype(np.float32)
        for n, (name, clean) in enumerate(pictures.items())
    }
    old = _by(before, noisy) if before else {}
    for name, clean in pictures.items():
        results = _results(noisy[name], noise.model)
        if name in old:
            results["default before"] = old[name]
        for way, result in results.items():
            found[way].append(psnr(clean / 255, result / noise.scale / 255))
    return {way: round(statistics.mean(each), 3) for way, each in found.items()}


def _results(noisy: Image, model: NoiseModel | None) -> dict[str, Image]:
    assert model is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            "noisy": noisy,
            "default": nlmeans.denoise(noisy, workers=1),
            "model given": nlmeans.denoise(noisy, noise=model, workers=1),
            "model named": nlmeans.denoise(noisy, noise=model.kind, workers=1),
            "auto": nlmeans.denoise(noisy, noise="auto", workers=1),
            "map of sigma": nlmeans.denoise(noisy, sigma=_map(noisy, model), workers=1),
            "nlridge, model given": nlmeans.denoise(noisy, noise=model, method="nlridge", workers=1),
        }


def _map(noisy: Image, model: NoiseModel) -> Image:
    """Sigma by the model at the mean around each pixel."""
    side = 2 * _RADIUS + 1
    padded = np.pad(noisy.astype(np.float64), _RADIUS, mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side))
    mean = windows.mean(axis=(2, 3))
    if model.kind == "speckle":
        variance = mean**2 / float(model.looks)  # type: ignore[arg-type]
    else:
        variance = float(model.gain) * mean + float(model.sigma or 0) ** 2  # type: ignore[arg-type]
    least = 0.3 / side**2 * float(noisy.mean())  # where the mean is 0 by chance
    return np.asarray(np.sqrt(np.maximum(variance, least)), np.float32)


def _by(python: str, noisy: dict[str, Image]) -> dict[str, Image]:
    """The default of another installation."""
    with tempfile.TemporaryDirectory() as folder:
        given, result = Path(folder, "given.npz"), Path(folder, "result.npz")
        np.savez(given, **noisy)  # type: ignore[arg-type]
        subprocess.run([python, "-c", _BEFORE, str(given), str(result)], check=True, cwd=folder)
        with np.load(result) as found:
            return {name: found[name] for name in found.files}


def rician() -> dict[str, Any]:
    """Bias of the background's mean in per cent of the range, and PSNR of the phantom."""
    clean, background = phantom()
    rows: dict[str, Any] = {}
    for percent in (3.0, 6.0, 9.0):
        rng = np.random.default_rng(0)
        noisy = np.hypot(*(part + rng.normal(0, percent, clean.shape) for part in (clean, 0 * clean)))
        noisy = noisy.astype(np.float32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = {
                "noisy": noisy,
                "default": nlmeans.denoise(noisy),
                "sigma given": nlmeans.denoise(noisy, noise=NoiseModel("rician", sigma=percent)),
                "sigma estimated": nlmeans.denoise(noisy, noise="rician"),
                "nlridge, sigma given": nlmeans.denoise(
                    noisy, noise=NoiseModel("rician", sigma=percent), method="nlridge"
                ),
            }
        rows[f"{percent:g} %"] = {
            way: {
                "bias": round(float(result[background].mean()), 3),
                "psnr": round(psnr(clean / 100, result / 100), 2),
            }
            for way, result in results.items()
        }
        found = nlmeans.suggest(noisy, noise="rician").noise
        assert found is not None
        rows[f"{percent:g} %"]["sigma found"] = round(float(found.sigma), 3)  # type: ignore[arg-type]
    return rows
