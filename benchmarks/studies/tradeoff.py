"""Quality against time: how many dB each filter wins from noise, and for how many seconds of a processor.

    python -m nlmeans.benchmarks.studies.tradeoff --grey FOLDER --kodak FOLDER [--every N] [--out FILE]
        [--only NAME ...]

Grey pictures, and squares of 256 pixels from the middle of kodim13 to kodim23, with white noise of 25 of 255.
Rivals get the strength that is best on these very pictures; nlmeans and BM3D are told the noise.  Times are
those of one process, all of its threads counted: set OMP_NUM_THREADS=1.  Writes an SVG beside the JSON.
With `--only` those filters alone are measured, on the same pictures as before, and the other rows of the JSON
stay as they are.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from imageio.v3 import imread
from numpy.typing import NDArray

import nlmeans

from ..chart import gains
from ..machine import machine, measured
from ..scripts import parser_of, write_json

SIGMA = 25.0
_SIDE = 256
Image = NDArray[Any]
Filter = Callable[[Image, float], Image]  # a picture of 0 to 255, and a strength


def ours(**options: Any) -> Filter:
    """This package, told the noise."""

    def run(image: Image, _: float) -> Image:
        axis = -1 if image.ndim == 3 else None
        return np.asarray(nlmeans.denoise(image, sigma=SIGMA, channel_axis=axis, workers=1, **options))

    return run


def rivals() -> dict[str, tuple[Filter, Iterable[float]]]:
    """Other filters, and the strengths that are tried."""
    import cv2  # type: ignore[import-not-found, import-untyped, unused-ignore]
    from bm3d import bm3d, bm3d_rgb  # type: ignore[import-not-found, import-untyped, unused-ignore]
    from skimage import restoration

    cv2.setNumThreads(1)

    def axis(image: Image) -> int | None:
        return -1 if image.ndim == 3 else None

    def opencv(image: Image, h: float) -> Image:
        levels = np.clip(np.rint(image), 0, 255).astype(np.uint8)
        if image.ndim == 3:
            return np.asarray(cv2.fastNlMeansDenoisingColored(levels, None, h, h, 7, 21))
        return np.asarray(cv2.fastNlMeansDenoising(levels, None, h, 7, 21))

    def skimage_nlm(image: Image, h: float) -> Image:
        options = {"patch_size": 7, "patch_distance": 10, "fast_mode": True, "sigma": SIGMA}
        found = restoration.denoise_nl_means(image, h=h, channel_axis=axis(image), **options)
        return np.asarray(found)

    def variation(image: Image, weight: float) -> Image:
        found = restoration.denoise_tv_chambolle(image, weight=weight, channel_axis=axis(image))
        return np.asarray(found)

    def bilateral(image: Image, width: float) -> Image:
        return np.asarray(cv2.bilateralFilter(image.astype(np.float32), -1, width, 2.0))

    def wavelet(image: Image, _: float) -> Image:
        found = restoration.denoise_wavelet(
            image / 255,
            sigma=SIGMA / 255,
            channel_axis=axis(image),
            method="BayesShrink",
            convert2ycbcr=False,
        )
        return np.asarray(found) * 255

    def block_matching(image: Image, _: float) -> Image:
        return np.asarray((bm3d_rgb if image.ndim == 3 else bm3d)(image / 255, SIGMA / 255)) * 255

    return {
        "OpenCV": (opencv, (5.0, 8.0, 12.0, 18.0, 24.0, 30.0)),
        "scikit-image NL-means": (skimage_nlm, (8.0, 12.0, 16.0, 20.0)),
        "total variation": (variation, (7.0, 10.0, 15.0, 20.0, 25.0)),
        "bilateral": (bilateral, (40.0, 60.0, 80.0, 110.0, 150.0, 200.0)),
        "wavelet": (wavelet, (1.0,)),
        "BM3D": (block_matching, (1.0,)),
    }


OURS: dict[str, tuple[Filter, Iterable[float]]] = {
    "nlmeans, pixels": (ours(aggregate="pixel"), (1.0,)),
    "nlmeans, one pass": (ours(passes=1), (1.0,)),
    "nlmeans, default": (ours(), (1.0,)),
    "nlmeans, nlridge": (ours(method="nlridge"), (1.0,)),
    "nlmeans, learned": (ours(method="learned"), (1.0,)),
}


def filters(only: Sequence[str]) -> dict[str, tuple[Filter, Iterable[float]]]:
    """All of them, or some."""
    every = OURS if only and set(only) <= set(OURS) else OURS | rivals()
    return {name: every[name] for name in only or every}


def psnr(clean: Image, result: Image) -> float:
    """In dB, for a range of 255; clipped."""
    return float(-10 * np.log10(np.mean((np.clip(result, 0, 255) - clean) ** 2) / 255**2))


def race(pictures: list[Image], run: Filter, strengths: Iterable[float]) -> dict[str, Any]:
    """Of the best strength: dB above the noisy pictures, and seconds per megapixel."""
    rng = np.random.default_rng(0)
    noisy = [p + rng.normal(0, SIGMA, p.shape) for p in pictures]
    before = np.mean([psnr(p, n) for p, n in zip(pictures, noisy, strict=True)])
    pixels = sum(p.shape[0] * p.shape[1] for p in pictures)
    run(noisy[0][:64, :64].copy(), SIGMA)  # what is loaded at first
    best: dict[str, float] = {}
    for strength in strengths:
        began = time.process_time()
        results = [run(n, strength) for n in noisy]
        seconds = time.process_time() - began
        gain = float(np.mean([psnr(p, r) for p, r in zip(pictures, results, strict=True)]) - before)
        if not best or gain > best["gain"]:
            best = {"gain": round(gain, 3), "seconds": round(1e6 * seconds / pixels, 4), "strength": strength}
    return best


def main() -> None:
    """Print a line for each filter, and write the JSON and the picture."""
    parser = parser_of(__doc__)
    parser.add_argument("--grey", type=Path, required=True)
    parser.add_argument("--kodak", type=Path, required=True)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take each N-th picture only")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", nargs="+", default=(), metavar="NAME", help="measure these filters alone")
    options = parser.parse_args()
    grey = [imread(f).astype(np.float64) for f in sorted(options.grey.glob("*.png"))]
    colour = []
    for name in sorted(options.kodak.glob("kodim*.png")):
        if int(name.stem[5:]) > 11:
            picture = imread(name).astype(np.float64)
            top, left = ((n - _SIDE) // 2 for n in picture.shape[:2])
            colour.append(picture[top : top + _SIDE, left : left + _SIDE])
    result: dict[str, Any] = {
        "date": str(date.today()),
        "sigma": SIGMA,
        "every": options.every,
        "machine": machine(),
        "rows": {"grey": {}, "colour": {}},
    }
    if options.only and options.out and options.out.exists():
        result = json.loads(options.out.read_text())
    for kind, every in (("grey", grey), ("colour", colour)):
        pictures = every[:: result["every"]]
        for name, (run, strengths) in filters(options.only).items():
            found = result["rows"][kind][name] = race(pictures, run, strengths) | {"measured": measured()}
            print(kind, name, found, flush=True)
    if options.out:
        write_json(options.out, result)
        options.out.with_suffix(".svg").write_text(gains(result["rows"]))


if __name__ == "__main__":
    main()
