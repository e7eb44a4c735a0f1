"""The learned non-local block, NL-means as a differentiable layer and as a transform; these need PyTorch.

Names are loaded when they are first used: a trained block runs without PyTorch, see `nonlocal_block`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nlmeans.learned.missing import MissingTorchError

if TYPE_CHECKING:
    from nlmeans.learned.block import NonLocal1d as NonLocal1d
    from nlmeans.learned.block import NonLocal2d as NonLocal2d
    from nlmeans.learned.block import NonLocal3d as NonLocal3d
    from nlmeans.learned.files import load_weights as load_weights
    from nlmeans.learned.files import save_weights as save_weights
    from nlmeans.learned.layer import NLMeans as NLMeans
    from nlmeans.learned.measuring import attention_rows as attention_rows
    from nlmeans.learned.measuring import measure_block as measure_block
    from nlmeans.learned.measuring import random_block as random_block
    from nlmeans.learned.measuring import read_block as read_block
    from nlmeans.learned.transform import Denoise as Denoise

_HOME = {
    "Denoise": "transform",
    "NLMeans": "layer",
    "NonLocal1d": "block",
    "NonLocal2d": "block",
    "NonLocal3d": "block",
    "attention_rows": "measuring",
    "load_weights": "files",
    "measure_block": "measuring",
    "random_block": "measuring",
    "read_block": "measuring",
    "save_weights": "files",
}
__all__ = ["MissingTorchError", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'nlmeans.learned' has no attribute {name!r}")
    try:
        return getattr(import_module(f"nlmeans.learned.{_HOME[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingTorchError() from None


def __dir__() -> list[str]:
    return __all__
