"""What "today" means in plans: quality, estimates of sigma and costs of the calls as they are, in one JSON.

    python -m nlmeans.benchmarks baseline --set12 DIR --kodak DIR --train DIR

Protocol: the pictures of a group in the order of their names, float64 in 0 to 255; white Gaussian noise
from one ``default_rng(0)`` over all of them, begun anew for every sigma, neither clipped nor rounded;
results clipped to 0 to 255 for PSNR.  Times (`baseline_times`) need none of the pictures.
"""

from __future__ import annotations

import hashlib
import statistics
import subprocess
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

import nlmeans

from .. import RESULTS, ROOT
from ..machine import circumstances, machine
from ..ours import own
from ..problems import Image, psnr
from ..race.turns import Log
from .baseline_times import times

COMMITTED = RESULTS / "baseline.json"
SIGMAS = (15, 25, 50)
CALLS: dict[str, Callable[[float], dict[str, Any]]] = {
    "default": lambda sigma: {"sigma": sigma},
    "estimated": lambda sigma: {},
    "pixel": lambda sigma: {"sigma": sigma, "aggregate": "pixel"},
}
_PACKAGES = ("imageio", "pillow", "scikit-image", "opencv-python-headless")
_MEASURED = ("nlmeans", "kernels", "cli")  # the folders whose commit matters


@dataclass(frozen=True)
class Group:
    """Pictures of a folder, and which of them have a mean of their own."""

    sigmas: tuple[int, ...]  # of the noise under which it is estimated; 0 is the picture as it is
    parts: dict[str, Callable[[int, str], bool]]  # by number and name of a picture
    listed: int = 12  # so many, the first, are listed one by one, and their sigma is estimated
    channel_axis: int | None = None
    step: int = 1  # 10: every tenth picture alone


_FEW = (0, 2, 5, 15, 25, 50)
GROUPS = {
    "set12": Group((0, 2, 5, 10, 15, 25, 35, 50, 75), {}),
    "kodak12": Group(
        _FEW,
        {"kodim01-11": lambda _, name: name <= "kodim11", "kodim13-23": lambda _, name: name > "kodim11"},
        channel_axis=-1,
    ),
    "train400": Group(_FEW, {"first 40": lambda number, _: number < 40}, listed=40),
    "train400, every tenth": Group(_FEW, {}, listed=40, step=10),
}


@dataclass(frozen=True)
class Pictures:
    """The pictures of one folder, float64 in 0 to 255, in the order of their names."""

    group: Group
    names: list[str]
    clean: list[Image]

    def noisy(self, sigma: float, most: int | None = None) -> list[Image]:
        """The first `most`, each with its part of one stream of noise."""
        rng = np.random.default_rng(0)
        return [p + rng.normal(0, sigma, p.shape) if sigma else p for p in self.clean[:most]]

    def to_dict(self) -> dict[str, Any]:
        """Which pictures they are, by name and by content."""
        digest = hashlib.sha256()
        for name, picture in zip(self.names, self.clean, strict=True):
            digest.update(f"{name} {picture.shape}".encode())
            digest.update(picture.astype(np.uint8).tobytes())
        return {
            "pictures": len(self.names),
            "pixels": sum(p.shape[0] * p.shape[1] for p in self.clean),
            "sha256": digest.hexdigest(),
            "listed": self.names[: self.group.listed],
        }


def read(group: Group, folder: Path, *, quick: bool = False) -> Pictures:
    """The PNG files of a folder; the first and the last where it is only to see that all works."""
    from imageio.v3 import imread

    paths = sorted(folder.glob("*.png"))[:: group.step]
    if not paths:
        raise SystemExit(f"{folder} holds no PNG file: it must hold the pictures to measure on")
    paths = [paths[0], paths[-1]] if quick else paths
    return Pictures(group, [p.stem for p in paths], [imread(p).astype(np.float64) for p in paths])


def quality(pictures: Pictures, log: Log = lambda _: None) -> dict[str, Any]:
    """PSNR in dB of every call at every sigma: means, and the listed pictures one by one."""
    found: dict[str, Any] = {}
    for name, options in CALLS.items():
        for sigma in SIGMAS:
            scores = [
                psnr(clean / 255, _denoised(noisy, pictures.group, options(sigma)) / 255)
                for clean, noisy in zip(pictures.clean, pictures.noisy(sigma), strict=True)
            ]
            row = {"means": _means(scores, pictures), "pictures": _rounded(scores[: pictures.group.listed])}
            found.setdefault(name, {})[str(sigma)] = row
            log(f"  {name}, sigma {sigma}: {row['means']}")
    return found


def _denoised(noisy: Image, group: Group, options: dict[str, Any]) -> Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that two estimates disagree: `estimates` counts
        return np.asarray(nlmeans.denoise(noisy, channel_axis=group.channel_axis, **options))


def _means(scores: list[float], pictures: Pictures) -> dict[str, float | None]:
    """Over all pictures, and over each part."""
    chosen = {"all": scores}
    for part, within in pictures.group.parts.items():
        chosen[part] = [s for n, s in enumerate(scores) if within(n, pictures.names[n])]
    return {part: round(statistics.fmean(some), 3) if some else None for part, some in chosen.items()}


def estimates(pictures: Pictures, log: Log = lambda _: None) -> dict[str, Any]:
    """Sigma as it is estimated, over what it is; for sigma 0 as it is estimated.

    ``mean_error`` and ``worst_error`` are of the magnitudes of ratio less 1, or for sigma 0 of the
    estimates; ``warned`` counts the pictures whose two estimates disagree.
    """
    found: dict[str, Any] = {}
    for sigma in pictures.group.sigmas:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            axis, some = pictures.group.channel_axis, pictures.noisy(sigma, pictures.group.listed)
            values = np.array([nlmeans.estimate_sigma(noisy, channel_axis=axis) for noisy in some])
        ratios = values / sigma if sigma else values
        errors = np.abs(ratios - 1) if sigma else values
        found[str(sigma)] = {
            "mean_error": round(float(errors.mean()), 4),
            "worst_error": round(float(errors.max()), 4),
            "warned": len(warned),
            "pictures": _rounded(ratios),
        }
        log(f"  estimate, sigma {sigma}: mean error {errors.mean():.4f}, worst {errors.max():.4f}")
    return found


def _rounded(values: Iterable[float]) -> list[float]:
    return [round(float(v), 3) for v in values]


def baseline(folders: dict[str, Path], log: Log, *, quick: bool = False) -> dict[str, Any]:
    """Measure everything.

    Parameters
    ----------
    folders : dict
        Where the pictures of each of `GROUPS` are, by the first word; no path is in the result.
    quick : bool
        Two pictures of each folder, small ones for times, and few turns: does it all work?
    """
    result: dict[str, Any] = {
        "what": "the calls as they were at this commit: quality, estimates of sigma, and costs",
        "units": {
            "quality": "dB; pictures of 0 to 255, float64, noise not clipped, results clipped",
            "estimates": "estimate over sigma; for sigma 0 the estimate, of 255 levels",
            "times": "seconds of one thread's processor time; of a process, all of its own",
        },
        "calls": {
            "default": "denoise(noisy, sigma=sigma)",
            "estimated": "denoise(noisy)",
            "pixel": 'denoise(noisy, sigma=sigma, aggregate="pixel")',
            "kodak12": "channel_axis=-1 in all",
        },
        "command": "python -m nlmeans.benchmarks baseline --set12 DIR --kodak DIR --train DIR"
        + " --quick" * quick,
        "commit": commit(ROOT),
        "versions": own.versions("cpu") | {name: _version(name) for name in _PACKAGES},
        "machine": machine(),
        "started": circumstances(),
        "data": {},
        "quality": {},
        "estimates": {},
    }
    for name, group in GROUPS.items():
        log(name)
        pictures = read(group, folders[name.split(",")[0]], quick=quick)
        result["data"][name] = pictures.to_dict()
        result["quality"][name] = quality(pictures, log)
        result["estimates"][name] = estimates(pictures, log)
    log("times")
    result["times"] = times(log, quick=quick)
    result["ended"] = circumstances()
    return result


def commit(root: Path) -> str | None:
    """The last that changed what is measured, and whether there are changes since; None outside of git."""

    def told(*words: str) -> str:
        git = ["git", "-C", str(root), *words, "--", *_MEASURED]
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()

    try:
        last, changed = told("log", "-1", "--format=%H"), told("status", "--porcelain")
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{last} and changes" if last and changed else last or None


def _version(package: str) -> str | None:
    """Of an installed package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def summary(result: dict[str, Any]) -> str:
    """A few lines: the means, the errors of the estimates, the ratios of times."""
    lines = []
    for name, calls in result["quality"].items():
        for call, rows in calls.items():
            shown = (f"sigma {s}: {row['means']['all']:.2f} dB" for s, row in rows.items())
            lines.append(f"{name}, {call}: {', '.join(shown)}")
    for name, rows in result["estimates"].items():
        shown = (f"{s}: {row['mean_error']:.3f} ({row['worst_error']:.3f})" for s, row in rows.items())
        lines.append(f"{name}, mean (worst) error of the estimate: {', '.join(shown)}")
    lines += [f"{name}: {row['ratio']}" for name, row in result["times"]["ratios"].items()]
    return "\n".join(lines)
