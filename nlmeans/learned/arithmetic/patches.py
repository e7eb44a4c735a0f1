"""Patches of torch features: reflection at the edges, and the fixed patch embedding."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from nlmeans import formula
from nlmeans.learned.arithmetic.tools import Tensor


def reflected(features: Tensor, radius: tuple[int, ...], first_axis: int) -> Tensor:
    """Symmetric reflection by the radius along consecutive axes, of any size."""
    for axis, r in enumerate(radius, start=first_axis):
        n = features.shape[axis]
        index = formula.reflected(torch.arange(-r, n + r, device=features.device), n)
        features = features.index_select(axis, index)
    return features


def patch_weights(radius: tuple[int, ...], patch: str) -> tuple[tuple[float, ...], ...]:
    """The weights of a patch along each axis; their products sum to 1."""
    return tuple(tuple(float(a) for a in formula.taps(r, patch, np.float64)) for r in radius)


class PatchEmbedding(nn.Module):  # type: ignore[misc]
    """The patch of every position as a vector: (B, *grid, C) to (B, *grid, C (2r+1)^n).

    Scaled so that the squared distance of two vectors is the patch distance of NL-means: by the root
    of the patch's weights and of 1 / C, and by 1 / sigma of each channel where they have their own.
    """

    def __init__(self, channels: int, radius: tuple[int, ...], patch: str, sigma: tuple[float, ...]) -> None:
        super().__init__()
        self.radius = radius
        root = torch.ones(1, dtype=torch.float64)
        for each in patch_weights(radius, patch):
            root = torch.kron(root, torch.tensor(each, dtype=torch.float64).sqrt())
        factor = torch.tensor([1 / (math.sqrt(channels) * s) for s in sigma], dtype=torch.float64)
        self.register_buffer("scale", factor.expand(channels)[:, None] * root, persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        axes = len(self.radius)
        patches = reflected(features, self.radius, 1)
        for axis, r in enumerate(self.radius, start=1):
            patches = patches.unfold(axis, 2 * r + 1, 1)
        patches = patches.flatten(-axes) * self.scale.to(features.dtype)  # (B, *grid, C, samples)
        return patches.flatten(-2)
