"""The learned non-local block and NL-means as a differentiable layer; needs PyTorch."""

from __future__ import annotations

from nlmeans.learned.missing import MissingTorchError

try:
    from nlmeans.learned.block import NonLocal1d, NonLocal2d, NonLocal3d
    from nlmeans.learned.files import load_weights, save_weights
    from nlmeans.learned.layer import NLMeans
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise MissingTorchError() from None

__all__ = [
    "MissingTorchError",
    "NLMeans",
    "NonLocal1d",
    "NonLocal2d",
    "NonLocal3d",
    "load_weights",
    "save_weights",
]
