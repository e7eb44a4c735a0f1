"""Non-local means denoising for signals, images and volumes, and the operation underneath it.

Public names are loaded when they are first used, so that importing the package is quick.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from nlmeans.denoising import denoise as denoise
    from nlmeans.errors import BackendUnavailableError as BackendUnavailableError
    from nlmeans.errors import InvalidTypeError as InvalidTypeError
    from nlmeans.errors import InvalidValueError as InvalidValueError
    from nlmeans.errors import MemoryLimitError as MemoryLimitError
    from nlmeans.errors import NLMeansError as NLMeansError
    from nlmeans.judging.info import Info as Info
    from nlmeans.judging.suggesting import suggest as suggest
    from nlmeans.judging.uncertainty import uncertainty as uncertainty
    from nlmeans.learned.numpy_block import nonlocal_block as nonlocal_block
    from nlmeans.methods.pixel_weights import weights as weights
    from nlmeans.noise.estimate import estimate_sigma as estimate_sigma
    from nlmeans.noise.noise_curve import NoiseCurve as NoiseCurve
    from nlmeans.noise.noise_curve import noise_curve as noise_curve
    from nlmeans.noise_models.model import NoiseModel as NoiseModel
    from nlmeans.notebook.comparison import show as show
    from nlmeans.operation.nonlocal_mean import nonlocal_mean as nonlocal_mean
    from nlmeans.parameters import Parameters as Parameters
    from nlmeans.video.frames import denoise_frames as denoise_frames

_HOME = {
    "denoise": "denoising",
    "denoise_frames": "video.frames",
    "show": "notebook.comparison",
    "suggest": "judging.suggesting",
    "weights": "methods.pixel_weights",
    "BackendUnavailableError": "errors",
    "InvalidTypeError": "errors",
    "InvalidValueError": "errors",
    "MemoryLimitError": "errors",
    "NLMeansError": "errors",
    "estimate_sigma": "noise.estimate",
    "uncertainty": "judging.uncertainty",
    "Info": "judging.info",
    "noise_curve": "noise.noise_curve",
    "NoiseCurve": "noise.noise_curve",
    "NoiseModel": "noise_models.model",
    "Parameters": "parameters",
    "nonlocal_block": "learned.numpy_block",
    "nonlocal_mean": "operation.nonlocal_mean",
}
_PACKAGES = ("compat", "learned")  # that people reach by ``nlmeans.compat`` without a second import
__all__ = [*sorted(_HOME), "__version__"]


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return import_module(f"nlmeans.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'nlmeans' has no attribute {name!r}")
    return getattr(import_module(f"nlmeans.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__


if not os.path.isdir(os.path.join(__path__[0], "cli")):  # these are the sources, not what was installed
    sys.meta_path.append(import_module("nlmeans.checkout").MissingParts)
