"""What was chosen for an image in units of its noise, as the parameters of the image itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nlmeans.choosing.given import strengths
from nlmeans.noise_models.model import NoiseModel
from nlmeans.parameters import BY_GROUPS, Parameters, Settings, number


def with_model(chosen: Parameters, model: NoiseModel, settings: Settings) -> Parameters:
    """With the model in place of sigma, and blended in the units of the image."""
    if model.kind == "gaussian":
        return chosen
    first, others = strengths(settings.get("strength", 1.0)) if chosen.method in BY_GROUPS else (1.0, 1.0)
    sigma: Any = chosen.sigma  # in units of the noise; None: a map of it
    if sigma is None:
        sigma = first if first == others else (first, others, others)
    return replace(chosen, noise=model, sigma=sigma, blend=number("blend", settings.get("blend", 0.0)))
