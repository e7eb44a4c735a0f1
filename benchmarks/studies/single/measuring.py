"""What is learned from the one picture alone, against NL-Ridge and the models of noise, in one JSON.

    python -m nlmeans.benchmarks.studies.single.measuring --kodak DIR [--noise NAME ...] [--networks SECONDS]

"curve" is the product's; "strength too" learns how strong the noise is as well, which it must not.  Networks
need PyTorch and take this processor time for each of six pictures.  Set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import json
import time
import warnings
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from nlmeans import NoiseModel, denoise, estimate_sigma, noise_curve
from nlmeans.judging import curve

from ... import RESULTS
from ...machine import machine
from ...scripts import parser_of, write_json
from .cases import NOISES, Image, like_the_noise, pictures, psnr

COMMITTED = RESULTS / "single_picture.json"


def ridge(noisy: Image, noise: Any, **more: Any) -> Image:
    return np.asarray(denoise(noisy, method="nlridge", noise=noise, workers=1, **more))


def measured(noisy: Image) -> NoiseModel | str:
    """The points of `noise_curve` as they are, no model fitted."""
    found = noise_curve(noisy)
    points = sorted(dict(zip(found.levels, found.variances, strict=True)).items())
    least = 1e-3 * max((v for _, v in points), default=0.0)
    if len(points) < 2 or not least:
        return "gaussian"
    deviations = tuple(float(max(v, least)) ** 0.5 for _, v in points)
    return NoiseModel("curve", levels=tuple(level for level, _ in points), deviations=deviations)


def strength_too(noisy: Image) -> NoiseModel:
    """The same search, but for the strength, which is as hidden pixels would have it."""
    sigma = estimate_sigma(noisy)

    class Search(curve._Search):
        def _levelled(self, levels: Any, log_deviation: Any) -> Any:
            return log_deviation

    search = Search([noisy], 1)
    low, high = np.quantile(curve._smooth(noisy), curve._ENDS)
    levels = np.linspace(low, high, curve._KNOTS)
    best, least = np.full(curve._KNOTS, np.log(sigma)), np.inf
    for step in curve._STEPS:
        for move in (np.ones(curve._KNOTS), *np.eye(curve._KNOTS)):
            for sign in (0, 1, -1):
                found = search._error(levels, best + sign * step * move)
                if found < least:
                    best, least = best + sign * step * move, found
    return NoiseModel("curve", levels=tuple(levels.tolist()), deviations=tuple(np.exp(best).tolist()))


def rows(noise: str, kodak: Path, ways: tuple[str, ...]) -> list[dict[str, Any]]:
    """Of each picture the PSNR in dB of each way, and the processor seconds that learning takes."""
    result = []
    for seed, (name, picture) in enumerate(pictures(kodak).items()):
        clean, noisy = NOISES[noise](picture, np.random.default_rng(seed))
        row: dict[str, Any] = {"picture": name, "noisy": psnr(clean, noisy)}
        for way in ways:
            own = {"measured": measured, "strength too": strength_too}.get(way)
            start = time.process_time()
            row[way] = psnr(clean, ridge(noisy, way if own is None else own(noisy)))
            if way == "curve":
                row["seconds"] = round(time.process_time() - start, 2)
        result.append(row)
    return result


def of_networks(noise: str, kodak: Path, seconds: float, count: int = 6) -> list[dict[str, Any]]:
    """Of each picture the PSNR of a network that it trained for so long, and for a third of that."""
    import torch

    from .networks import diagonals, recorrupted, trained

    torch.set_num_threads(1)
    result = []
    for seed, (name, picture) in list(enumerate(pictures(kodak).items()))[:count]:
        clean, noisy = NOISES[noise](picture, np.random.default_rng(seed))
        pairs = recorrupted(_drawn(noisy)) if noise.startswith("blurred") else diagonals
        found = trained(noisy, pairs, (seconds / 3, seconds))
        row = {f"{s:.0f} s": psnr(clean, a) for s, a in found.items()}
        result.append({"picture": name, **row, "gaussian": psnr(clean, ridge(noisy, "gaussian"))})
    return result


def _drawn(noisy: Image) -> Any:
    """Noise of the covariance that the picture's seems to have."""
    import torch

    make = like_the_noise(noisy)

    def draw(generator: Any) -> Any:
        white = torch.randn(*noisy.shape, generator=generator).numpy()
        return torch.tensor(make(white) / 255, dtype=torch.float32)[None, None]

    return draw


def mean(rows: list[dict[str, Any]]) -> dict[str, float]:
    names = [n for n, v in rows[0].items() if not isinstance(v, str)]
    return {n: round(float(np.mean([row[n] for row in rows])), 2) for n in names}


def main() -> None:
    """From the command line; what is in the file already stays."""
    parser = parser_of(__doc__)
    parser.add_argument("--kodak", type=Path, required=True)
    parser.add_argument("--noise", nargs="*", default=list(NOISES), choices=list(NOISES))
    parser.add_argument("--ways", nargs="*", default=["gaussian", "auto", "measured", "curve"])
    parser.add_argument("--networks", type=float)
    parser.add_argument("--pictures", type=int, default=6, help="how many of the six networks are trained on")
    parser.add_argument("--out", type=Path, default=COMMITTED)
    given = parser.parse_args()
    whole = json.loads(given.out.read_text(encoding="utf-8")) if given.out.exists() else {}
    whole |= {"machine": machine(), "date": date.today().isoformat()}
    for noise in given.noise:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if given.networks:
                found, part = of_networks(noise, given.kodak, given.networks, given.pictures), "networks"
            else:
                found, part = rows(noise, given.kodak, tuple(given.ways)), " and ".join(given.ways)
        whole.setdefault(part, {})[noise] = {"mean": mean(found), "pictures": found}
        write_json(given.out, whole)
        print(noise, mean(found), flush=True)


if __name__ == "__main__":
    main()
