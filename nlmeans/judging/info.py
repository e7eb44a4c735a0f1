"""What `denoise` says of its own result where that is asked for: noise, expected error, what was removed."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from nlmeans.choosing import Chosen
from nlmeans.inputs import Inputs
from nlmeans.judging.removed import Removed, removed_is
from nlmeans.judging.sigma import is_shared, uncertainty_of_sigma
from nlmeans.judging.trial import Trial, noise_of, part_of, regions, trial, with_margin
from nlmeans.judging.verdict import verdict_of
from nlmeans.noise_models.model import NoiseModel
from nlmeans.parameters import BY_GROUPS, Parameters
from nlmeans.running import apply

_SEED = 20081200  # of the noise that is added once more: the same image gets the same numbers


@dataclass(frozen=True)
class Info:
    """What is known of a result without a clean image.

    Parameters
    ----------
    parameters : Parameters
        The settings used, given or chosen.
    noise : dict
        Its kind, and what describes it: ``{"kind": "gaussian", "sigma": 12.1}``; sigma is the root mean
        square over channels or over a map, in the units of the image.  Of another model its parameters; then
        the expected error is in units of the noise, and there is no PSNR.
    sigma_error : float or None
        Standard error of sigma, in the same units; None where it was given.
    impulses : int
        Pixels that were taken for impulses and replaced.
    averaged : float or None
        Pixels that a pixel of the result is worth: the variance of the noise over that of the result, which
        is ``1 / sum p^2`` where normalised weights p do not depend on the noise.  None without noise.
    mse, mse_error : float or None
        Expected mean squared error of the result, bias included, and its standard error.
    psnr, psnr_error : float or None
        The same in dB, for `peak`.
    peak : float
        255 for 8 bits without sign, else the data range.
    removed : Removed
        What was taken away: its strength, whether neighbours are alike, and whether it follows structure.
    verdict : str
        One of "noise", "structure", "noise is left", "nothing", "unknown".
    advice : str
        The verdict in a sentence, with what to do.
    pixels : int
        How many pixels all but sigma was read from: regions of what is large.

    Notes
    -----
    The expected error is Stein's estimate by Monte Carlo (see `nlmeans.judging.trial`), from regions that are
    denoised twice more; for noise that is independent from pixel to pixel.
    """

    parameters: Parameters
    noise: dict[str, Any]
    sigma_error: float | None
    impulses: int
    averaged: float | None
    mse: float | None
    mse_error: float | None
    psnr: float | None
    psnr_error: float | None
    peak: float
    removed: Removed
    verdict: str
    advice: str
    pixels: int

    def of(self, model: NoiseModel) -> Info:
        """The same for an image that a model of its noise made one of white noise of sigma 1.

        Squared errors are then in units of the noise, and no PSNR of the image itself.
        """
        if model.kind == "gaussian":
            return self
        parameters = replace(self.parameters, noise=model)
        noise = model.to_dict()
        return replace(self, parameters=parameters, noise=noise, psnr=None, psnr_error=None)

    def repeated(self, times: tuple[int, ...]) -> Info:
        """The same for an image in which each pixel stands so many times; all is of its own pixels."""
        return replace(self, parameters=replace(self.parameters, repeats=times))

    @property
    def passes(self) -> int:
        """How often the image was filtered: 1 or 2; NL-Ridge has two steps."""
        return 2 if self.parameters.method in BY_GROUPS else self.parameters.passes

    def to_dict(self) -> dict[str, Any]:
        """All of it, in numbers, words, lists and dictionaries that JSON has."""
        return {
            **{name: value for name, value in self.__dict__.items() if name not in ("parameters", "removed")},
            "parameters": self.parameters.to_dict(),
            "passes": self.passes,
            "removed": asdict(self.removed),
        }

    def to_json(self) -> str:
        """The same as one line of JSON."""
        return json.dumps(self.to_dict(), allow_nan=False)

    def _repr_html_(self) -> str:
        """The lines for people, and all of it in a table, for notebooks."""
        from html import escape

        from nlmeans.notebook.tables import table

        lines = "".join(f"<p>{escape(line)}</p>" for line in self.words())
        return lines + table("All that is known", self.to_dict())

    def __str__(self) -> str:
        """In lines for people, as print shows it."""
        return "\n".join(self.words())

    def words(self) -> list[str]:
        """The same in lines for people."""
        return [line for line in (self._noise(), self._averaged(), self._error(), self.advice) if line]

    def _noise(self) -> str:
        if self.noise["kind"] != "gaussian":
            given = {n: v for n, v in self.noise.items() if n != "kind"}
            return f"noise: {self.noise['kind']}, {_shown(given)}"
        if not self.noise["sigma"]:
            return "noise: none"
        error = "" if self.sigma_error is None else f" +- {self.sigma_error:.2g}"
        found = f"; {self.impulses} impulses replaced" if self.impulses else ""
        return f"noise: {self.noise['kind']}, sigma {self.noise['sigma']:.3g}{error}{found}"

    def _averaged(self) -> str:
        if self.averaged is None:
            return ""
        return f"each pixel is worth {self.averaged:.3g} averaged ones"

    def _error(self) -> str:
        if self.psnr is None or self.psnr_error is None or self.mse is None:
            return ""
        rms = math.sqrt(self.mse)
        return (
            f"expected error: {rms:.3g} root mean square, PSNR {self.psnr:.1f} +- {self.psnr_error:.1f} dB "
            f"for a peak of {self.peak:.4g}"
        )


def _shown(values: dict[str, Any]) -> str:
    """Numbers by their names, in three digits; those of channels apart."""

    def words(value: Any) -> str:
        if not isinstance(value, tuple):
            return f"{value:.3g}"
        return (" | " if isinstance(value[0], tuple) else " ").join(words(v) for v in value)

    return ", ".join(f"{n} {words(v)}" for n, v in values.items())


def info_of(
    inputs: Inputs,
    chosen: Chosen,
    backend: str = "auto",
    workers: int | None = None,
    memory_limit: int | None = None,
    *,
    sigma_given: bool = False,
) -> Info:
    """What is known of the result of inputs with what was chosen: regions of it are denoised twice more."""
    rng = np.random.default_rng(_SEED)
    sigma = noise_of(inputs, chosen)
    run = partial(_apply, backend=backend, workers=workers, memory_limit=memory_limit)
    trials = []
    for at in regions(inputs):
        seen, inner = with_margin(inputs, at)
        part, own = part_of(inputs, chosen, seen)
        level = sigma if isinstance(sigma, tuple) else sigma[seen]
        if part.voters is None or part.voters[inner].any():
            trials.append(trial(part, own, level, run, rng).within(inner))
    level = _mean(trials, "variance") ** 0.5
    spread = None if sigma_given else level * uncertainty_of_sigma(inputs) if level else 0.0
    removed = removed_is(
        [t.removed for t in trials], [t.clean for t in trials], [t.valid for t in trials], level
    )
    averaged, mse, mse_error = _errors(trials, level, spread or 0.0)
    eight_bits = inputs.value.dtype == np.uint8
    peak = 255.0 if eight_bits else chosen.levels[0].data_range
    usable = mse is not None and mse > 0 and peak > 0
    error = None if mse is None or mse_error is None else (mse, mse_error)
    verdict, advice = verdict_of(
        removed, averaged, error, level, chosen.parameters, partial(is_shared, inputs)
    )
    return Info(
        parameters=chosen.parameters,
        noise={"kind": "gaussian", "sigma": level},
        sigma_error=spread,
        impulses=0 if inputs.impulses is None else int(inputs.impulses.sum()),
        averaged=averaged,
        mse=mse,
        mse_error=mse_error,
        psnr=10 * math.log10(peak**2 / mse) if usable else None,  # type: ignore[operator]
        psnr_error=10 / math.log(10) * mse_error / mse if usable else None,  # type: ignore[operator]
        peak=peak,
        removed=removed,
        verdict=verdict,
        advice=advice,
        pixels=sum(int(t.valid.sum()) for t in trials),
    )


def _apply(inputs: Inputs, chosen: Chosen, **running: Any) -> Any:
    return apply(chosen, inputs, running["backend"], running["workers"], None, running["memory_limit"])


def _mean(trials: list[Trial], name: str) -> float:
    """Of an array of all trials, over their valid pixels."""
    count = sum(int(t.valid.sum()) for t in trials)
    return sum(t.mean(getattr(t, name)) * int(t.valid.sum()) for t in trials) / count if count else 0.0


def _errors(
    trials: list[Trial], sigma: float, spread: float
) -> tuple[float | None, float | None, float | None]:
    """Averaged pixels, expected squared error and its standard error; None where there is no noise.

    With n numbers the estimate varies by ``2 sigma^4 / n`` for the power of the noise that the image happens
    to have, ``4 sigma^2 mse / n`` for its product with what is left, and ``4 sigma^2 var / n`` for the noise
    that is added.  Sigma enters it as ``-sigma^2 + 2 sigma^2 div``.
    """
    if not sigma or not trials:
        return None, None, None
    variance = sigma**2
    left = _mean(trials, "response_square")
    risk = _mean(trials, "risk")
    freedom = _mean(trials, "product") / variance
    n = sum(int(t.valid.sum()) * len(t.noisy) for t in trials)
    chance = (2 * variance**2 + 4 * variance * max(risk, 0.0) + 4 * variance * left) / n
    error = math.hypot(math.sqrt(chance), 2 * sigma * spread * abs(1 - 2 * freedom))
    return variance / left if left else None, max(risk, error / 2), error
