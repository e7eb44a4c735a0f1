"""The 1 x 1 convolutions of a block, in the layout of state dicts that other libraries share."""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
from torch import nn
from torch.nn.functional import linear

from nlmeans.errors import InvalidTypeError, InvalidValueError, shown

Tensor: TypeAlias = torch.Tensor
_CONVOLUTION = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_BATCH_NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


class Projection(nn.Module):  # type: ignore[misc]
    """A 1 x 1 convolution of features that stand last: (..., C) to (..., D), in the input's type."""

    def __init__(self, channels: int, to: int, axes: int, *, bias: bool = True) -> None:
        super().__init__()
        self.conv = _CONVOLUTION[axes](channels, to, 1, bias=bias)

    def forward(self, features: Tensor) -> Tensor:
        return applied(self.conv, features)


class Output(nn.Module):  # type: ignore[misc]
    """W_z and the norm behind it: (B, *grid, D) to (B, C, *grid)."""

    def __init__(self, channels: int, to: int, axes: int, norm: Any) -> None:
        super().__init__()
        self.conv = _CONVOLUTION[axes](channels, to, 1, bias=norm is None)
        self.norm_name: str | None = None
        if norm == "batch":
            self.norm_name, layer = "bn", _BATCH_NORM[axes](to)
        elif norm is not None:
            if not callable(norm):
                raise InvalidValueError(f'norm must be "batch", a callable or None, got {shown(norm)}')
            self.norm_name, layer = "norm", norm(to)
            if not isinstance(layer, nn.Module):
                raise InvalidTypeError(f"norm(channels) must be a module, got {shown(layer)}")
        if self.norm_name is not None:
            self.add_module(self.norm_name, layer)

    def forward(self, features: Tensor, dtype: torch.dtype) -> Tensor:
        result = applied(self.conv, features).movedim(-1, 1)
        if self.norm_name is None:
            return result
        return getattr(self, self.norm_name)(saturated(result, dtype)).to(result.dtype)

    def make_zero(self) -> None:
        """Let the result be 0 whatever comes, through the norm where it has weights."""
        layer = self.conv if self.norm_name is None else getattr(self, self.norm_name)
        if getattr(layer, "weight", None) is None:
            layer = self.conv
        for parameter in (layer.weight, getattr(layer, "bias", None)):
            if parameter is not None:
                nn.init.zeros_(parameter)


def applied(conv: nn.Module, features: Tensor) -> Tensor:
    """The convolution at every position; half weights are widened to the features' type."""
    bias = None if conv.bias is None else conv.bias.to(features.dtype)
    return linear(features, conv.weight.flatten(1).to(features.dtype), bias)


def saturated(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Values in a type, what exceeds it as its largest number."""
    if values.dtype == dtype:
        return values
    limits = torch.finfo(dtype)
    return values.clamp(limits.min, limits.max).to(dtype)
