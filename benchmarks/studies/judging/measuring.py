"""What `Info`, `suggest(by="sure")` and `uncertainty` say, against what a clean picture says.

    python -m nlmeans.benchmarks.studies.judging.measuring --set12 DIR --kodak DIR --train DIR

Thresholds and the factor of the map were found on train400 and kodim01 to 11; Set12 and kodim13 to 23 only
report.  White noise, known sigma where nothing else is said.  `benchmarks/results/judging.json`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import nlmeans

from ... import RESULTS
from ...machine import circumstances, machine, measured
from ...scripts import parser_of, write_json

COMMITTED = RESULTS / "judging.json"
METHODS: dict[str, dict[str, Any]] = {
    "one pass": {"passes": 1},
    "two passes": {"passes": 2},
    "nlridge": {"method": "nlridge"},
    "learned": {"method": "learned"},
}
STRENGTHS = (0.4, 0.6, 0.8, 1.0, 1.25, 1.6, 2.5)
NEAR = 0.15  # dB from the best strength: what a verdict of "noise" may be

Picture = NDArray[np.float32]


def read(folder: Path, names: str, *, grey: bool, side: int | None = None) -> dict[str, Picture]:
    """Pictures by their names, cut out of the middle."""
    from PIL import Image

    found = {}
    for path in sorted(folder.glob(names)):
        image = Image.open(path)
        array = np.asarray(image.convert("L") if grey else image).astype(np.float32)
        if side is not None:
            top, left = ((n - min(side, n)) // 2 for n in array.shape[:2])
            array = array[top : top + side, left : left + side]
        found[path.stem] = array
    return found


def noisy(clean: Picture, sigma: float, seed: int) -> Picture:
    """White noise of this strength."""
    return (clean + np.random.default_rng(seed).normal(0, sigma, clean.shape)).astype(np.float32)


def shared(clean: Picture, sigma: float, seed: int, blur: float) -> Picture:
    """Noise of this strength that is blurred."""
    from skimage.filters import gaussian

    noise = gaussian(np.random.default_rng(seed).normal(0, 1, clean.shape), blur)
    image: Picture = (clean + sigma * noise / noise.std()).astype(np.float32)
    return image


def axis_of(clean: Picture) -> dict[str, Any]:
    return {"channel_axis": -1} if clean.ndim == 3 else {}


def decibels(mse: float) -> float:
    return float(10 * np.log10(255**2 / mse))


def errors(pictures: dict[str, Picture], sigmas: tuple[float, ...]) -> Iterator[tuple[str, dict[str, float]]]:
    """Expected over true mean squared error, less 1: mean and root mean square, for each method."""
    for name, options in METHODS.items():
        found, scores = [], []
        for seed, clean in enumerate(pictures.values()):
            for sigma in sigmas:
                image = noisy(clean, sigma, seed)
                given = {"sigma": sigma, **options, **axis_of(clean)}
                result, info = nlmeans.denoise(image, **given, workers=1, return_info=True)
                true = float(((result - clean) ** 2).mean())
                found.append(info.mse / true - 1)
                scores.append((info.mse - true) / info.mse_error)
        yield (
            name,
            {
                "mean": float(np.mean(found)),
                "root_mean_square": float(np.sqrt(np.mean(np.square(found)))),
                "worst": float(np.max(np.abs(found))),
                "in_units_of_its_own_error": float(np.sqrt(np.mean(np.square(scores)))),
            },
        )


def coverage(pictures: dict[str, Picture], sigmas: tuple[float, ...], seeds: int) -> dict[str, Any]:
    """Part of the pixels whose error is within the map: of all, and of the quarters by the map's height."""
    rows: dict[str, Any] = {}
    for name in ("one pass", "nlridge"):
        options, parts, quarters = METHODS[name], [], []
        for clean in pictures.values():
            for sigma in sigmas:
                for seed in range(seeds):
                    image = noisy(clean, sigma, seed)
                    given = {"sigma": sigma, **options, **axis_of(clean), "workers": 1}
                    error = nlmeans.uncertainty(image, **given)
                    within = np.abs(nlmeans.denoise(image, **given) - clean) <= error
                    at = np.digitize(error, np.percentile(error, (25, 50, 75)))
                    parts.append(float(within.mean()))
                    quarters.append([float(within[at == q].mean()) for q in range(4)])
        rows[name] = {
            "mean": float(np.mean(parts)),
            "least": min(parts),
            "most": max(parts),
            "quarters": np.mean(quarters, axis=0).tolist(),
        }
    return rows


def verdicts(
    pictures: dict[str, Picture], sigmas: tuple[float, ...], *, blur: float | None = None
) -> dict[str, Any]:
    """How often a verdict is what the best strength says; the wrong way round; "structure" where it is not.

    Of noise that is blurred by so many pixels sigma is estimated.
    """
    rows: dict[str, Any] = {}
    for name in ("one pass", "nlridge", "learned"):
        right = wrong = lowered = count = 0
        for seed, clean in enumerate(pictures.values()):
            for sigma in sigmas:
                image = noisy(clean, sigma, seed) if blur is None else shared(clean, sigma, seed, blur)
                known = {"sigma": sigma} if blur is None else {}
                tried = []
                for strength in STRENGTHS:
                    given = {**known, "strength": strength, **METHODS[name], "workers": 1}
                    result, info = nlmeans.denoise(image, **given, return_info=True)
                    tried.append((float(((result - clean) ** 2).mean()), info.verdict))
                best = int(np.argmin([mse for mse, _ in tried]))
                for n, (mse, verdict) in enumerate(tried):
                    near = decibels(tried[best][0]) - decibels(mse) < NEAR
                    true = "noise" if near else "structure" if n > best else "noise is left"
                    said = "noise is left" if verdict == "nothing" else verdict
                    right += said == true
                    wrong += {said, true} == {"structure", "noise is left"}
                    lowered += said == "structure" != true
                    count += 1
        rows[name] = {
            "right": right / count,
            "wrong_way_round": wrong / count,
            "structure_that_is_none": lowered / count,
            "count": count,
        }
    return rows


def tuning(pictures: dict[str, Picture], sigmas: tuple[float, ...], *, known: bool) -> dict[str, Any]:
    """dB that `suggest(by="sure")` and the table are below the grid's best; time in runs of the method."""
    rows: dict[str, Any] = {}
    for name in ("one pass", "nlridge"):
        lost, table, times = [], [], []
        for seed, clean in enumerate(pictures.values()):
            for sigma in sigmas:
                image = noisy(clean, sigma, seed)
                given: dict[str, Any] = {**METHODS[name], **({"sigma": sigma} if known else {})}
                seconds = [_seconds(partial(nlmeans.denoise, image, **given, workers=1)) for _ in range(3)]
                began = time.process_time()
                found = nlmeans.suggest(image, by="sure", **given)
                times.append((time.process_time() - began) / float(np.median(seconds)))
                grid = [_psnr(image, clean, **given, strength=s) for s in STRENGTHS]
                tuned = _psnr(image, clean, **found.to_dict())
                best = max(*grid, tuned)
                lost.append(best - tuned)
                table.append(best - grid[STRENGTHS.index(1.0)])
        rows[name] = {
            "lost": {"mean": float(np.mean(lost)), "most": max(lost)},
            "lost_by_the_table": {"mean": float(np.mean(table)), "most": max(table)},
            "time": {"median": float(np.median(times)), "most": max(times)},
        }
    return rows


def _seconds(call: Callable[[], object]) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


def _psnr(image: Picture, clean: Picture, **given: Any) -> float:
    return decibels(float(((nlmeans.denoise(image, **given, workers=1) - clean) ** 2).mean()))


def main() -> None:
    """Measure, and write the file after each part."""
    parser = parser_of(__doc__)
    for name in ("set12", "kodak", "train"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=COMMITTED)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", default="", metavar="START", help="parts whose names begin so; others stay")
    folders = parser.parse_args()
    done: dict[str, Any] = {"machine": machine(), "circumstances": circumstances(), "parts": {}}
    if folders.only and folders.out.exists():
        done = json.loads(folders.out.read_text(encoding="utf-8"))
    for name, part in _parts(folders).items():
        if name.startswith(folders.only):
            done["parts"][name] = part() | ({"measured": measured()} if folders.only else {})
            write_json(folders.out, done)
            print(name, json.dumps(done["parts"][name]), flush=True)


def _parts(folders: argparse.Namespace) -> dict[str, Callable[[], dict[str, Any]]]:
    """What is measured, by name."""
    tuned, held = "kodim0[159]*.png", "kodim[12][359].png"
    kodak, seeds, sigmas = folders.kodak, folders.seeds, (10.0, 25.0, 50.0)
    train = read(folders.train, "test_[0-3]?1.png", grey=True)
    few = dict(list(train.items())[::10])
    eight = few | dict(list(train.items())[3::10])
    grey = read(kodak, tuned, grey=True, side=256)
    small, large = read(folders.set12, "*.png", grey=True, side=192), _large(folders.set12)
    colour = read(kodak, tuned, grey=False)
    return {
        "coverage, train400": lambda: coverage(few, (10.0, 30.0), seeds),
        "coverage, kodim01 05 09 in grey": lambda: coverage(grey, (10.0, 30.0), seeds),
        "coverage, Set12": lambda: coverage(small, (25.0,), seeds),
        "coverage, kodim13 15 19 23 in grey": lambda: coverage(
            read(kodak, held, grey=True, side=256), (25.0,), seeds
        ),
        "tuning, kodim01 05 09 in grey": lambda: tuning(read(kodak, tuned, grey=True), sigmas, known=True),
        "tuning, Set12 of 512 x 512": lambda: tuning(large, (25.0,), known=True),
        "tuning, sigma estimated, Set12 of 512 x 512": lambda: tuning(large, (25.0,), known=False),
        "verdicts, train400": lambda: verdicts(eight, (10.0, 25.0)),
        "verdicts, train400, noise blurred by 0.9": lambda: verdicts(eight, (10.0, 20.0), blur=0.9),
        "errors, kodim01 05 09": lambda: dict(errors(colour, sigmas)),
        "errors, sigma 10 and 25, Set12 of 512 x 512": lambda: dict(errors(large, (10.0, 25.0))),
    }


def _large(folder: Path) -> dict[str, Picture]:
    return {name: p for name, p in read(folder, "*.png", grey=True).items() if min(p.shape) >= 512}


if __name__ == "__main__":
    main()
