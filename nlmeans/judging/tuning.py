"""The strength, and the method, with the least expected squared error on some regions of an image."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from nlmeans.choosing import Chosen, choose
from nlmeans.errors import warn
from nlmeans.inputs import Inputs
from nlmeans.judging.sigma import LEAST, is_shared, uncertainty_of_sigma
from nlmeans.judging.trial import Trial, noise_of, part_of, regions, trial
from nlmeans.parameters import BY_GROUPS, Parameters, Settings
from nlmeans.running import apply

_SHARE = 0.13  # of the pixels: with two runs for each of some four strengths one run of all
_FACTOR = math.sqrt(2)  # from one strength to the next
_NO_STEP = 0.15  # factors: a strength so near to one that was tried is not tried
_FARTHEST = 3  # factors from where the search begins
_SIDE = 16  # of the blocks by whose differences it is judged how sure a difference is
_SURE = 2.0  # standard errors by which another strength must be better than the table's
_SEED = 20081200


@dataclass(frozen=True, eq=False)
class Tried:
    """What is expected of one strength."""

    method: str
    step: float  # factors
    blocks: NDArray[np.float64]  # expected squared error of blocks
    response: float  # 2 sigma^2 div, by which sigma enters it

    @property
    def risk(self) -> float:
        return float(self.blocks.mean())


class Tuning:
    """The search for one image."""

    def __init__(self, inputs: Inputs, settings: Settings, budget: float | None) -> None:
        method: Any = settings.get("method", Parameters.method)
        self._methods = [method] if isinstance(method, str) else list(method)
        self._inputs, self._known = inputs, settings
        self._end = math.inf if budget is None else time.monotonic() + budget
        self._table = {m: choose(inputs, cast(Settings, {**settings, "method": m})) for m in self._methods}
        self._sigma = noise_of(inputs, self._table[self._methods[0]])
        self._regions = regions(inputs, _SHARE)

    def best(self) -> tuple[Parameters, float]:
        """Those of the strength and method of least expected error; how many times the table's that is."""
        first = self._table[self._methods[0]]
        if not np.any(np.asarray(self._sigma)) or _does_nothing(first):
            return first.parameters, 1.0
        if is_shared(self._inputs):
            # else 0.4 to 1.1 dB are lost on average: 7 pictures of train400, noise blurred by 0.7 and 1.2
            warn("neighbouring pixels share the noise, which hides the error: the table's strength is kept")
            return first.parameters, 1.0
        found = [self._of_method(method) for method in self._methods]
        least = min(found, key=lambda tried: tried.risk)
        return self._with(least.method, least.step).parameters, _times(least.step)

    def _of_method(self, method: str) -> Tried:
        """The best strength of a method: down the slope from the table's, then between the three least."""
        tried = {0: self._try(method, 0)}
        if self._table[method].parameters.sigma is None and method in BY_GROUPS:
            return tried[0]  # parameters have no place for the strength of a map
        for side in (1, -1):
            at = side
            while abs(at) <= _FARTHEST and time.monotonic() < self._end:
                tried[at] = self._try(method, at)
                if tried[at].risk >= tried[at - side].risk:
                    break
                at += side
            if side in tried and tried[side].risk < tried[0].risk:
                break  # it is lower on this side
        return self._sure(tried, self._between(tried))

    def _between(self, tried: Mapping[int, Tried]) -> Tried:
        """The least of those tried, and of the parabola through it and its neighbours."""
        at = min(tried, key=lambda step: tried[step].risk)
        least = tried[at]
        if at - 1 not in tried or at + 1 not in tried or time.monotonic() >= self._end:
            return least
        low, high = tried[at - 1].risk, tried[at + 1].risk
        curve = low + high - 2 * least.risk
        shift = (low - high) / (2 * curve) if curve > 0 else 0.0
        if abs(shift) < _NO_STEP:
            return least
        return min(least, self._try(least.method, at + shift), key=lambda one: one.risk)

    def _sure(self, tried: Mapping[int, Tried], least: Tried) -> Tried:
        """The best, or the table's where it is not surely better than that."""
        table = tried[0]
        gains = table.blocks - least.blocks
        chance = float(gains.std()) / math.sqrt(max(gains.size - 1, 1))
        from_sigma = 2 * abs(table.response - least.response)

        def sure(unsure: float) -> bool:
            return float(gains.mean()) > _SURE * math.hypot(chance, unsure * from_sigma)

        if self._known.get("sigma") is not None:
            return least if sure(0.0) else table
        if not sure(LEAST):  # then there is no need to measure it
            return table
        return least if sure(uncertainty_of_sigma(self._inputs)) else table

    def _with(self, method: str, step: float) -> Chosen:
        """The table's settings, a number of factors stronger."""
        return self._table[method].stronger(_times(step), _times(step))

    def _try(self, method: str, step: float) -> Tried:
        """Every region with this strength, and the same noise."""
        chosen = self._with(method, step)
        blocks, response, count = [], 0.0, 0
        with ThreadPoolExecutor(len(self._regions), thread_name_prefix="nlmeans") as pool:
            trials = list(pool.map(partial(self._of_region, chosen), range(len(self._regions))))
        for found in trials:
            blocks.append(_of_blocks(np.where(found.valid, found.risk, np.nan).mean(axis=0)))
            pixels = int(found.valid.sum())
            response += 2 * found.mean(found.product) * pixels if pixels else 0.0
            count += pixels
        every = np.concatenate(blocks)
        return Tried(method, step, every[np.isfinite(every)], response / max(count, 1))

    def _of_region(self, chosen: Chosen, number: int) -> Trial:
        """One region, on one thread: starting more for so few pixels takes as long as filtering them."""
        at, rng = self._regions[number], np.random.default_rng((_SEED, number))
        part, own = part_of(self._inputs, chosen, at)
        level = self._sigma if isinstance(self._sigma, tuple) else self._sigma[at]
        return trial(part, own, level, lambda i, c: apply(c, i, workers=1), rng)


def _times(step: float) -> float:
    return float(round(_FACTOR**step, 4))


def _does_nothing(chosen: Chosen) -> bool:
    if chosen.parameters.method in BY_GROUPS:
        return chosen.noise.largest == 0
    return chosen.noise.changes_nothing


def _of_blocks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means over blocks along (Y, X) of (Z, Y, X), or runs of a signal; NaN where a pixel is invalid."""
    height, width = values.shape[1:]
    high = min(_SIDE, height)
    wide = min(_SIDE if height > 1 else _SIDE**2, width)
    rows, columns = height // high, width // wide
    cut = values[:, : rows * high, : columns * wide]
    result: NDArray[np.float64] = cut.reshape(-1, rows, high, columns, wide).mean(axis=(2, 4)).ravel()
    return result
