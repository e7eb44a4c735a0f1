"""NL-means as a non-local block: the same class, with nothing learned in it."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from nlmeans.errors import InvalidTypeError, InvalidValueError
from nlmeans.learned.arithmetic.patches import PatchEmbedding
from nlmeans.learned.arithmetic.tools import Tensor
from nlmeans.parameters import Parameters


class Unchanged(nn.Module):  # type: ignore[misc]
    """In place of W_z: (B, *grid, C) to (B, C, *grid)."""

    def forward(self, features: Tensor, _: torch.dtype) -> Tensor:
        return features.movedim(-1, 1)


def classical(block_class: Any, parameters: Parameters, channels: int) -> Any:
    """The block that is this filter."""
    if not isinstance(parameters, Parameters):
        raise InvalidTypeError(f"parameters must be nlmeans.Parameters, got {type(parameters).__name__}")
    p, axes = parameters, block_class.axes
    if p.method != "nlmeans":
        raise InvalidValueError(f'a block is NL-means: give method="nlmeans", got "{p.method}"')
    if p.aggregate != "pixel":
        raise InvalidValueError(
            'a block averages pixels: give aggregate="pixel", or use nlmeans.learned.NLMeans for patches'
        )
    if not p.is_one_filter:
        raise InvalidValueError(
            'a block compares channels jointly, once: give color="joint", passes=1 and blend=0, got '
            f"color={p.color!r}, passes={p.passes} and blend={p.blend}"
        )
    if p.sigma is None or not p.strength:
        raise InvalidValueError(
            f"a block needs one sigma, or one per channel, and h > 0, got sigma={p.sigma} and h={p.strength}"
        )
    each = p.sigma if isinstance(p.sigma, tuple) else (1.0,)
    if len(each) not in (1, channels):
        raise InvalidValueError(f"sigma has {len(each)} values for {channels} channels")
    if 0 in each:
        raise InvalidValueError(f"sigma per channel must be > 0 in every channel, got {each}")
    block = block_class(
        channels,
        mode="euclidean",
        tied=True,
        residual=False,
        window=None if p.search_radius == "image" else p.search_radius,
        zero_init=False,
    )
    block.theta = PatchEmbedding(channels, p.patch_radii(axes), p.patch, each)
    block.g, block.conv_out = nn.Identity(), Unchanged()
    block.log_h = nn.Parameter(torch.tensor(math.log(p.strength), dtype=torch.float64), requires_grad=False)
    block.sigma = 1.0 if isinstance(p.sigma, tuple) else p.sigma
    block.center = p.center
    return block
