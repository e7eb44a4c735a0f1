"""The figures this package holds itself to: one thread, 1024^2 float32 grey, r = 3, R = 10 unless said.

Unless said, calls are ``sigma=0, center="one", aggregate="pixel"``: what the rivals compute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..problems import NOISE, edge, square
from .cpu_plan import DEFAULT, Choice
from .turns import Contestant, Effort, Log, Row, measure


@dataclass
class Target:
    """A ratio or size, what it must reach, and what was measured."""

    what: str
    unit: str
    must: float
    goal: float
    higher_is_better: bool
    measured: float | None
    spread: tuple[float, float] | None = None  # of the ratio from turn to turn: quartiles
    how: str = ""

    @property
    def verdict(self) -> str:
        """In a word."""
        if self.measured is None:
            return "not measured"
        sign = 1 if self.higher_is_better else -1
        for word, limit in (("goal", self.goal), ("must", self.must)):
            if sign * self.measured >= sign * limit:
                return word
        return "missed"

    def to_dict(self) -> dict[str, Any]:
        """A JSON form."""
        return asdict(self) | {"verdict": self.verdict}


Measured = tuple[list[Target], list[Row]]

_PLAIN = Contestant("nlmeans", "nlmeans")


def _ratio(over: Row, under: Row, kind: str = "cpu") -> tuple[float | None, tuple[float, float] | None]:
    """Median over the turns of one's time over the other's; the fastest turns where it is wall time."""
    above, below = np.array(getattr(over, kind)), np.array(getattr(under, kind))
    both = min(len(above), len(below))
    if both == 0 or over.reason or under.reason:
        return None, None
    ratios = above[:both] / below[:both]
    low, high = np.quantile(ratios, [0.25, 0.75])
    middle = float(above.min() / below.min()) if kind == "wall" else float(np.median(ratios))
    return round(middle, 3), (round(float(low), 3), round(float(high), 3))


def _against_rivals(choice: Choice, effort: Effort, log: Log, side: int) -> Measured:
    """Speed: the rivals' processor time over ours, on their task."""
    limits = (
        ("vs-nlm-ispc", "float32", 2.5, 3.8),
        ("OpenCV", "uint8", 3.5, 6.0),
        ("scikit-image", "float32", 14.0, 22.0),
    )
    wanted = [x for x in limits if choice.rivals is None or x[0] in choice.rivals]
    others = [Contestant(rival, rival, dtype) for rival, dtype, *_ in wanted]
    rows = measure("targets", [(square(side), c) for c in (_PLAIN, *others)], effort, log)
    targets = []
    for (rival, dtype, must, goal), row in zip(wanted, rows[1:], strict=True):
        bits = "" if dtype == "float32" else ", 8-bit there"
        targets.append(
            Target(
                f"speed against {rival} ({dtype})",
                "x",
                must,
                goal,
                True,
                *_ratio(row, rows[0]),
                f"processor time, median of turns{bits}" if not row.reason else row.reason,
            )
        )
    return targets, rows


def _own_costs(choice: Choice, effort: Effort, log: Log, side: int) -> Measured:
    """What options cost: each against the same call without them."""
    variants: dict[str, dict[str, Any]] = {
        "default": DEFAULT,
        "default, pixel": DEFAULT | {"aggregate": "pixel"},
        "plain": {},
        "corrected": {"sigma": NOISE, "center": "max"},
        "Gaussian": {"patch": "gaussian"},
    }
    entries = [(square(side), Contestant(f"nlmeans, {n}", "nlmeans", options=o)) for n, o in variants.items()]
    entries.append((square(side, channels=3), Contestant("nlmeans, RGB", "nlmeans")))
    radii = (1, 2, 4)
    entries += [(square(side, patch_radius=r), Contestant(f"nlmeans, r={r}", "nlmeans")) for r in radii]
    entries.append((square(side), Contestant("nlmeans, two threads", "nlmeans", threads=2)))
    rows = measure("targets", entries, effort, log)
    default, default_pixel, plain, corrected, gaussian, colour, r1, r2, r4, two = rows
    how = "processor time, median of turns"
    by_radius = [r for r in (r1, r2, plain, r4) if r.cpu]
    slowest, fastest = (f(by_radius, key=lambda r: r.cpu_seconds) for f in (max, min))
    ratios = (
        ("default call against the same with pixel aggregation", 2.6, 2.0, default, default_pixel),
        ("noise correction and centre rule max on, against off", 1.15, 1.05, corrected, plain),
        ("r = 1, 2, 3, 4: the slowest against the fastest", 1.3, 1.1, slowest, fastest),
        ("RGB against grey", 2.2, 1.8, colour, plain),
        ("Gaussian taps against box", 2.2, 1.7, gaussian, plain),
    )
    targets = [Target(w, "x the time", m, g, False, *_ratio(a, b), how) for w, m, g, a, b in ratios]
    wall = _ratio(plain, two, "wall")
    how = f"wall time, fastest of {len(two.wall)} turns each; quartiles of single turns"
    targets.insert(2, Target("two threads against one", "x", 1.8, 1.95, True, *wall, how))
    return targets, rows


def _memory(choice: Choice, effort: Effort, log: Log, side: int) -> Measured:
    """Bytes held during a call beyond the input, the result included."""
    once = Effort(repeats=0, patience=effort.patience)
    calls: tuple[tuple[str, dict[str, Any]], ...] = (("nlmeans", {}), ("nlmeans, default call", DEFAULT))
    workers = max(choice.threads)
    entries = [(square(side), Contestant(n, "nlmeans", threads=workers, options=o)) for n, o in calls]
    rows = measure("targets", entries, once, log)
    targets = []
    for row in rows:
        size = 4 * row.pixels
        over = None if row.peak is None else round(row.peak / size, 2)
        must = 6 + round(64e6 / size, 2)
        what = f"peak memory over the input, {side}^2, {row.contestant}, {workers} threads"
        how = "largest resident size during the call less that before it; 6 inputs + 64 MB allowed"
        targets.append(Target(what, "inputs", must, 4.0, False, over, None, how))
    return targets, rows


def _command(choice: Choice, effort: Effort, log: Log, side: int) -> Measured:
    """The whole process, from the shell's view."""
    contestant = Contestant("nlmeans denoise", "nlmeans command", "uint8", threads=max(choice.threads))
    rows = measure("targets", [(square(side), contestant)], effort, log)
    seconds = round(rows[0].wall_seconds, 3) if rows[0].wall else None
    around = (
        tuple(round(float(q), 3) for q in np.quantile(rows[0].wall, [0.25, 0.75])) if rows[0].wall else None
    )
    best = f", fastest {min(rows[0].wall):.3f} s" if rows[0].wall else ""
    how = f"wall time of the process, median of {len(rows[0].wall)}{best}"
    what = f"nlmeans denoise of a {side}^2 grey PNG, default call, whole process"
    return [Target(what, "s", 0.7, 0.4, False, seconds, around, how)], rows  # type: ignore[arg-type]


def _accuracy(choice: Choice, effort: Effort, log: Log, side: int) -> Measured:
    """Largest difference from the float64 reference, of the picture's data range."""
    from nlmeans import denoise

    pictures = (
        ("an ordinary picture", square(min(side, 128)).noisy().astype(np.float64), NOISE, 2e-6),
        ("a sharp edge, sigma 1 % of it", edge(), 0.01, 1e-5),
    )
    targets = []
    for name, image, sigma, limit in pictures:
        exact = denoise(image, sigma=sigma, backend="reference")
        worst = np.abs(denoise(image.astype(np.float32), sigma=sigma, backend="cpu") - exact).max()
        error = float(f"{worst / np.ptp(image):.2g}")
        how = f"default call on {image.shape[0]} x {image.shape[1]} float32"
        what = f"difference from the float64 reference, {name}"
        targets.append(Target(what, "of the data range", limit, limit, False, error, None, how))
    return targets, []


_PARTS: tuple[tuple[Callable[[Choice, Effort, Log, int], Measured], int], ...] = (
    (_against_rivals, 1024),
    (_own_costs, 1024),
    (_command, 512),
    (_accuracy, 128),
    (_memory, 4096),
)


def targets(choice: Choice, effort: Effort, log: Log, *, largest: int = 4096) -> Measured:
    """All of them, with the rows they come from; no picture wider than `largest`."""
    found: list[Target] = []
    rows: list[Row] = []
    for part, side in _PARTS:
        new_targets, new_rows = part(choice, effort, log, min(side, largest))
        found += new_targets
        rows += new_rows
    return found, rows
