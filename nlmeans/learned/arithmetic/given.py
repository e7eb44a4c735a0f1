"""What a block is given: features, a guide and a mask, checked."""

from __future__ import annotations

from typing import Any

import torch

from nlmeans.errors import InvalidTypeError, InvalidValueError
from nlmeans.learned.arithmetic.features import check_mask
from nlmeans.learned.arithmetic.tools import Tensor


def check_features(x: object, axes: int, channels: int, *, name: str, kind: str, finite: bool) -> None:
    """Refuse what is not (B, channels, *grid), and NaN and infinity where `finite`."""
    if not isinstance(x, torch.Tensor):
        raise InvalidTypeError(f"{name} must be a torch tensor, got {type(x).__name__}; use torch.as_tensor")
    if not x.is_floating_point():
        raise InvalidTypeError(f"{name} must be of a floating type, got {x.dtype}; use {name}.float()")
    if x.ndim != axes + 2:
        raise InvalidValueError(
            f"{kind} takes (batch, channels, {axes} grid axes), got {name} of shape {tuple(x.shape)}"
        )
    if x.shape[1] != channels:
        raise InvalidValueError(f"{name} must have {channels} channels, got {x.shape[1]}")
    if 0 in x.shape[1:]:
        raise InvalidValueError(f"{name} must have at least one position, got shape {tuple(x.shape)}")
    if finite and not x.is_meta and not torch.compiler.is_compiling():
        _check_finite(x, name)


def _check_finite(x: Tensor, name: str) -> None:
    finite = torch.isfinite(x)
    if not bool(finite.all()):
        count, first = int((~finite).sum()), (~finite).nonzero()[0].tolist()
        raise InvalidValueError(
            f"{name} holds {count} values that are not finite, the first at {first}; "
            "find where they arise, or build the block with check_finite=False"
        )


def checked_mask(mask: Any, x: Tensor) -> Tensor | None:
    """A mask as (B, *grid) of bool."""
    if mask is None:
        return None
    if not isinstance(mask, torch.Tensor) or mask.dtype != torch.bool:
        got = mask.dtype if isinstance(mask, torch.Tensor) else type(mask).__name__
        raise InvalidTypeError(f"mask must be a torch tensor of bool, True where a key takes part, got {got}")
    check_mask(mask, x)
    return mask.expand(x.shape[0], *x.shape[2:])
