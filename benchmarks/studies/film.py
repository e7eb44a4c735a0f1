"""What frames give each other: PSNR of a film over that of its frames denoised alone.

    python -m nlmeans.benchmarks.studies.film PICTURE ... [--sigma 25] [--pans 0,3,12,20] [--side 256]
        [--frames 5] [--radius 2] [--k 1.0] [--out FILE]

Each film is made of crops of a clean grey picture, every one so many columns further, with noise of its own
(default_rng(0) once for each film), values of 0 to 255, unclipped.  The middle frame is compared; `--k` gives
factors of the k of the table, by which the strength over time was tuned.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from imageio.v3 import imread

from nlmeans import denoise, denoise_frames, suggest

from ..problems import psnr
from ..scripts import parser_of, write_json


@dataclass(frozen=True)
class Film:
    """How films are made of pictures."""

    sigma: float
    side: int
    frames: int
    radius: int

    def of(self, picture: np.ndarray, pan: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Clean and noisy frames, in [0, 1]; the pan is about the middle of the picture."""
        rng = np.random.default_rng(0)
        height, width = picture.shape
        side, way = min(self.side, height), pan * (self.frames - 1)
        top, left = (height - side) // 2, (width - side - way) // 2
        if left < 0:
            raise SystemExit(
                f"a picture {width} wide has no room for {self.frames} frames, {pan} columns apart"
            )
        clean = [
            picture[top : top + side, left + pan * t : left + pan * t + side] / 255
            for t in range(self.frames)
        ]
        return clean, [(c + rng.normal(0, self.sigma / 255, c.shape)).astype(np.float32) for c in clean]

    def gains(self, picture: np.ndarray, pan: int, factors: list[float]) -> dict[str, float]:
        """PSNR of the middle frame alone, and how much more each factor of k gives it in the film."""
        clean, noisy = self.of(picture, pan)
        middle, sigma = self.frames // 2, self.sigma / 255
        alone = psnr(clean[middle], np.clip(denoise(noisy[middle], sigma=sigma), 0, 1))
        usual = suggest(noisy[middle], sigma=sigma).k or 0.0
        found = {"alone": round(alone, 2)}
        for factor in factors:
            k = {} if factor == 0 else {"k": usual * factor}
            frames = denoise_frames(noisy, temporal_radius=self.radius, sigma=sigma, **k)  # type: ignore[arg-type]
            result = next(f for i, f in enumerate(frames) if i == middle)
            found["table" if factor == 0 else f"k x {factor:g}"] = round(
                psnr(clean[middle], np.clip(result, 0, 1)) - alone, 2
            )
        return found


def measured(
    film: Film, pictures: list[Path], pans: list[int], factors: list[float]
) -> Iterator[dict[str, object]]:
    """A row for each picture and pan."""
    for path in pictures:
        picture = np.asarray(imread(path, mode="L"), np.float32)
        for pan in pans:
            yield {"picture": path.name, "pan": pan, **film.gains(picture, pan, factors)}


def main() -> None:
    """Measure from the command line."""
    parser = parser_of(__doc__)
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--sigma", type=float, default=25)
    parser.add_argument("--pans", default="0,3,12,20")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--frames", type=int, default=5)
    parser.add_argument("--radius", type=int, default=2)
    parser.add_argument("--k", default="0", help="factors of k; 0 is what the library chooses")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    film = Film(given.sigma, given.side, given.frames, given.radius)
    pans, factors = [int(p) for p in given.pans.split(",")], [float(k) for k in given.k.split(",")]
    rows = []
    for row in measured(film, given.pictures, pans, factors):
        rows.append(row)
        print(json.dumps(row), flush=True)
    if given.out is not None:
        write_json(given.out, rows)


if __name__ == "__main__":
    main()
