"""Blocks to and from safetensors files; pickles are refused, and a wrong file changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from nlmeans.errors import InvalidTypeError, InvalidValueError
from nlmeans.learned.block import NonLocalBlock
from nlmeans.learned.settings import BlockSettings, norm_hint, plain_names
from nlmeans.learned.weights_file import Path, opened, write


def save_weights(block: NonLocalBlock, path: Path) -> None:
    """Write a block's weights and settings as a safetensors file, for both libraries to read.

    Parameters
    ----------
    block : NonLocal1d, NonLocal2d or NonLocal3d
        Half weights are written as they are, bfloat16 as float32, which holds them exactly.
    path : str or path
        The file to write.
    """
    if not isinstance(block, NonLocalBlock):
        raise InvalidTypeError(f"a block of nlmeans.learned is needed, got {type(block).__name__}")
    arrays = {}
    for name, tensor in block.state_dict().items():
        wide = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
        arrays[name] = wide.detach().cpu().numpy()
    write(path, arrays, block.settings.to_json())


def load_weights(block: NonLocalBlock, weights: Path | Mapping[str, Any], *, prefix: str = "") -> None:
    """Load a safetensors file, or a state dict, into a block: all of it or nothing.

    Parameters
    ----------
    block : NonLocal1d, NonLocal2d or NonLocal3d
        The block; nothing in it changes where an error is raised.
    weights : path or mapping of str to array
        In the layout of this block or of mmcv's.
    prefix : str
        What stands before the names, for a block inside of a model.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        For a file that is no whole safetensors file, for missing and unknown names, shapes that do not
        fit, values that are not finite, and settings in the file that are not the block's.
    """
    arrays, stored = opened(weights)
    if stored is not None:
        _check_settings(BlockSettings.from_json(stored), block.settings)
    wanted = block.state_dict()
    given = plain_names(arrays, prefix)
    differing = sorted(set(wanted) ^ set(given))
    if differing:
        hint = norm_hint(given, "conv_out.", block.conv_out.norm_name)
        raise InvalidValueError(
            f"weights must have the names {', '.join(sorted(wanted))}; missing or unknown: "
            f"{', '.join(differing[:4])}" + (f"; {hint}" if hint else "")
        )
    tensors = {name: _fitting(name, given[name], wanted[name]) for name in wanted}
    block.load_state_dict(tensors)


def _check_settings(stored: BlockSettings, own: BlockSettings) -> None:
    """Refuse a file of a block that computes something else."""
    if replace(stored, normalisation=stored.divisor) != replace(own, normalisation=own.divisor):
        raise InvalidValueError(f"the file holds a block with {stored}, this one has {own}")


def _fitting(name: str, array: Any, like: torch.Tensor) -> torch.Tensor:
    """The array as the weight it becomes: a number can be finite and yet too large for its type."""
    try:
        tensor = torch.as_tensor(array)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidTypeError(f'weight "{name}" must be an array of numbers: {error}') from None
    if tensor.is_complex():
        raise InvalidTypeError(f'weight "{name}" must be real, got {tensor.dtype}')
    if tensor.shape != like.shape:
        raise InvalidValueError(
            f'weight "{name}" must have shape {tuple(like.shape)}, got {tuple(tensor.shape)}'
        )
    tensor = tensor.to(like.dtype)
    if not bool(torch.isfinite(tensor).all()):
        raise InvalidValueError(f'weight "{name}" holds values that are not finite in {like.dtype}')
    return tensor
