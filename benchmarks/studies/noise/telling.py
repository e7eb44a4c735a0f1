"""Is the kind of noise told, how well are its parameters, and is "auto" safe where the noise is white?"""

from __future__ import annotations

import statistics
import time
import warnings
import zlib
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

import nlmeans

from ...problems import psnr
from .cases import NOISES, Image, grey, twelve


def told(train: Path, kodak: Path) -> dict[str, Any]:
    """Of twelve pictures with every noise: what is told, and how far off each parameter is."""
    every = twelve(train, kodak)
    kinds: dict[str, dict[str, str]] = defaultdict(dict)
    errors: dict[str, list[float]] = defaultdict(list)
    right = 0
    for name, noise in NOISES.items():
        true = noise.model
        for picture, clean in every.items():
            curve = nlmeans.noise_curve(noise.add(clean * noise.scale, _rng(name, picture)))
            kinds[name][picture] = curve.kind
            if true is None:  # nothing is to be told: white noise of some level, or nothing
                right += curve.kind in ("gaussian", "cannot tell")
                continue
            right += curve.kind == true.kind
            for parameter, value in true.to_dict().items():
                found = getattr(curve.model, parameter)
                if parameter != "kind" and curve.kind == true.kind and found is not None:
                    errors[f"{name}: {parameter}"].append(abs(found / value - 1))
    count = len(every) * len(NOISES)
    means = {name: round(statistics.mean(each), 4) for name, each in errors.items()}
    rounded = [
        m for name, m in means.items() if name not in ("poisson peak 5: gain", "poisson peak 30: gain")
    ]
    return {
        "right": right,
        "of": count,
        "right_part": round(right / count, 4),
        "kinds": kinds,
        "relative_error": means,
        "mean_relative_error": round(statistics.mean(rounded), 4),
        "note": "counts of gain 1 are recognised as such: peak 5 and 30 are no part of the mean",
    }


def white(train: Path, every: int = 20) -> dict[str, Any]:
    """ "auto" less the default in dB, on pictures of the 400 with white noise, and as they are."""
    found: dict[str, list[float]] = defaultdict(list)
    kinds: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for path in sorted(train.glob("*.png"))[::every]:
        clean = grey(path)
        for sigma in (5, 15, 25, 50):
            noisy = clean + _rng(sigma, path.name).normal(0, sigma, clean.shape)
            noisy = noisy.astype(np.float32)
            kinds[f"sigma {sigma}"][nlmeans.noise_curve(noisy).kind] += 1
            found[f"sigma {sigma}"].append(_gain(noisy, clean))
        noisy = clean.astype(np.float32)
        kinds["clean"][nlmeans.noise_curve(noisy).kind] += 1
        found["clean"].append(_difference(noisy))
    return {
        name: {
            "mean": round(statistics.mean(each), 4),
            "worst": round(max(each) if name == "clean" else min(each), 3),
            "told": dict(kinds[name]),
        }
        for name, each in found.items()
    }


def seconds(runs: int = 9) -> dict[str, float]:
    """Time of the processor for white noise of 25 in 512 x 512, the default and "auto" by turns."""
    from skimage import data

    noisy = data.camera() + np.random.default_rng(0).normal(0, 25, (512, 512))
    noisy = noisy.astype(np.float32)
    taken: dict[str, list[float]] = {"default": [], "auto": []}
    for _ in range(runs):
        for name, options in (("default", {}), ("auto", {"noise": "auto"})):
            began = time.process_time()
            nlmeans.denoise(noisy, workers=1, **options)  # type: ignore[arg-type]
            taken[name].append(time.process_time() - began)
    middle = {name: statistics.median(each) for name, each in taken.items()}
    return {
        **{n: round(s, 4) for n, s in middle.items()},
        "more": round(middle["auto"] / middle["default"] - 1, 4),
    }


def _gain(noisy: Image, clean: Image) -> float:
    default, auto = _both(noisy)
    return psnr(clean / 255, auto / 255) - psnr(clean / 255, default / 255)


def _difference(clean: Image) -> float:
    """Root mean square of the change that "auto" makes of what has no noise, less that of the default."""
    default, auto = (float(np.sqrt(np.mean((each - clean) ** 2))) for each in _both(clean))
    return auto - default


def _both(noisy: Image) -> tuple[Image, Image]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nlmeans.denoise(noisy, workers=1), nlmeans.denoise(noisy, noise="auto", workers=1)


def _rng(*of: object) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(repr(of).encode()))
