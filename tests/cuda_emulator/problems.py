"""Generated calls of the window kernel, and how far an answer is from the float64 reference."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nlmeans.backends import reference
from nlmeans.backends.contract import PlanePair, Run, Sums

CENTRE_FLOOR = 2.0**-20


@dataclass(frozen=True)
class Case:
    """Sizes and kinds of one call."""

    height: int = 21
    width: int = 37
    channels: int = 1
    values: int = 1
    radius: tuple[int, int] = (2, 2)
    patch: tuple[int, int] = (3, 3)
    taps: str = "box"  # "gaussian"
    bias: str = "number"  # "none", "plane"
    scale: str = "one"  # "number", "plane"
    own: bool = True
    votes: str = "all"  # "some", "none"
    picture: str = "noise"  # "edge": 0 and 1 with noise of 1 %
    peak: bool = True
    seed: int = 0

    def __str__(self) -> str:
        other = Case()
        told = [f"{k}={v}" for k, v in vars(self).items() if v != getattr(other, k)]
        return ",".join(told).replace(" ", "") or "default"


def _taps(radius: int, kind: str) -> np.ndarray:
    offsets = np.arange(-radius, radius + 1)
    weights = np.ones(2 * radius + 1)
    if kind == "gaussian" and radius:
        weights = np.exp(-2 * (offsets / radius) ** 2)
    return np.float32(weights / weights.sum())


def pair_of(case: Case) -> PlanePair:
    """Planes that are random enough for every mistake to show."""
    rng = np.random.default_rng(case.seed)
    shape = (case.height, case.width)

    def planes(count: int) -> np.ndarray:
        noise = rng.normal(size=(count, *shape))
        if case.picture == "noise":
            return noise
        step = (np.indices(shape).sum(0) > sum(shape) / 2).astype(float)
        return step + 0.01 * noise

    # h = 0.6 sigma on the edge; noise of unit variance has S of a few units at this scale.
    strength = 1.5 if case.picture == "noise" else np.sqrt(np.log2(np.e)) / 0.006
    query = np.float32(strength / np.sqrt(case.channels) * planes(case.channels))
    key = query if case.own else np.float32(query + 0.3 * rng.normal(size=query.shape))
    value = np.float32(planes(case.values))
    own_value = value if case.own else np.float32(planes(case.values))
    vote = {"all": np.ones(shape), "some": rng.random(shape) < 0.8, "none": np.zeros(shape)}[case.votes]
    bias: Any = {"none": 0.0, "number": 3.0, "plane": np.float32(5 * rng.random(shape))}[case.bias]
    if case.picture == "edge" and case.bias == "number":
        bias = 2 / 0.6**2 * float(np.log2(np.e))
    scale: Any = {"one": 1.0, "number": 0.7, "plane": np.float32(0.5 + rng.random(shape))}[case.scale]
    taps = (_taps(case.patch[0], case.taps), _taps(case.patch[1], case.taps))
    return PlanePair(query, key, value, own_value, np.float32(vote), case.radius, taps, bias, scale, case.own)


def weights_of_centre(case: Case) -> tuple[np.ndarray, np.ndarray | None]:
    """A normaliser, and the centre's weight, as `aggregate` is given them."""
    rng = np.random.default_rng(case.seed + 1)
    shape = (case.height, case.width)
    normaliser = np.float32((0.5 + rng.random(shape)) / (0.3 * np.prod([2 * r + 1 for r in case.radius])))
    return normaliser, np.float32(0.2 + rng.random(shape)) if case.own else None


def in_double(pair: PlanePair) -> PlanePair:
    """The same numbers in float64."""

    def wide(x: Any) -> Any:
        return np.float64(x) if isinstance(x, np.ndarray) else x

    query, value = wide(pair.query), wide(pair.value)
    return replace(
        pair,
        query=query,
        key=query if pair.key is pair.query else wide(pair.key),
        value=value,
        own_value=value if pair.own_value is pair.value else wide(pair.own_value),
        vote=wide(pair.vote),
        taps=(wide(pair.taps[0]), wide(pair.taps[1])),
        bias=wide(pair.bias),
        scale=wide(pair.scale),
    )


def exact_accumulate(case: Case) -> Sums:
    pair = in_double(pair_of(case))
    return reference.accumulate(pair, Run(), peak=case.peak)


def exact_aggregate(case: Case) -> Sums:
    normaliser, centre = weights_of_centre(case)
    exact = np.float64(normaliser)
    wide = None if centre is None else np.float64(centre)
    return reference.aggregate(in_double(pair_of(case)), Run(), exact, wide)


def picture_error(case: Case, got: Sums, expected: Sums) -> float:
    """Largest difference of the change of a picture in spans, with the least weight a centre may have."""
    value = np.float64(pair_of(case).value)
    span = np.ptp(value) or 1.0

    def picture(sums: Sums) -> Any:
        weight = np.float64(sums.denominator) + CENTRE_FLOOR
        with np.errstate(invalid="ignore"):  # of a planted bug
            return np.float64(sums.numerator) / weight

    return float(np.max(np.abs(picture(got) - picture(expected)))) / span


def weight_error(got: Sums, expected: Sums) -> float:
    """Largest relative difference of the sums of weights and of the peak."""
    worst = 0.0
    for name in ("denominator", "peak"):
        mine, theirs = getattr(got, name), getattr(expected, name)
        assert (mine is None) == (theirs is None), f"{name} was not as asked"
        if theirs is not None:
            error = np.max(np.abs(mine - theirs) / (theirs + CENTRE_FLOOR))
            worst = float(np.maximum(worst, error))  # a NaN stays one, which `max` would not see
    return worst
