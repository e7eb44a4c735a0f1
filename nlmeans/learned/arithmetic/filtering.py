"""The arithmetic of the differentiable filter: all shifts of a region at once, regions in turn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from array_api_compat import torch as xp
from torch.nn.functional import pad

from nlmeans.errors import InvalidValueError
from nlmeans.formula import log_weight, patch_sum, shifts
from nlmeans.learned.arithmetic.patches import patch_weights, reflected
from nlmeans.learned.arithmetic.tools import CHUNK, Tensor, recomputed
from nlmeans.operation.nonlocal_mean import Task, divided, normalised
from nlmeans.operation.similarity import Euclidean
from nlmeans.parameters import Parameters
from nlmeans.tiling import by_halves

Region = tuple[slice, ...]


@dataclass(frozen=True, eq=False)
class Strength:
    """h^2 and 2 sigma^2 of every query: numbers, or maps (B or 1, *grid)."""

    square: Tensor
    bias: Tensor

    @classmethod
    def of(cls, feature: Tensor, h: Tensor | float, sigma: Tensor | float) -> Strength:
        """From h and sigma as they came, checked."""
        both = []
        for name, given, strict in (("sigma", sigma, False), ("h", h, True)):
            value = torch.as_tensor(given, dtype=feature.dtype, device=feature.device)
            grid = tuple(feature.shape[2:])
            if tuple(value.shape) == grid and grid:
                value = value[None]
            if value.ndim and tuple(value.shape) not in ((1, *grid), (feature.shape[0], *grid)):
                raise InvalidValueError(
                    f"{name} must be a number or a map of the grid {grid}, got shape {tuple(value.shape)}"
                )
            low = float(value.detach().min())
            if not math.isfinite(float(value.detach().sum())) or low < 0 or (strict and low == 0):
                raise InvalidValueError(f"{name} must be finite and {'>' if strict else '>='} 0, got {low}")
            both.append(value)
        square, bias = both[1] ** 2, 2 * both[0] ** 2
        in_range = (square > 0).all() and torch.isfinite(square).all() and torch.isfinite(bias / square).all()
        if not bool(in_range):
            raise InvalidValueError(
                f"h^2 and sigma^2 / h^2 must be in the range of {feature.dtype}, got h^2 = "
                f"{float(square.detach().min())}; multiply image, h and sigma by one number, or use float64"
            )
        return cls(square, bias)


def filtered(image: Tensor, feature: Tensor, strength: Strength, parameters: Parameters) -> Tensor:
    """NL-means of (B, V, *grid), compared by (B, C, *grid)."""
    work = _Work(image, feature, strength, parameters)

    def part(at: Region) -> Tensor:
        return recomputed(work.region, at, *work.tensors) if work.large else work.region(at, *work.tensors)

    whole = tuple(slice(0, n) for n in (image.shape[0], *image.shape[2:]))
    # a region has no axis of channels, its result has
    return by_halves(whole, work.positions, part, lambda parts, axis: torch.cat(parts, axis + (axis > 0)))


class _Work:
    """What is the same for every region of one call."""

    def __init__(self, image: Tensor, feature: Tensor, strength: Strength, parameters: Parameters) -> None:
        p, grid = parameters, tuple(image.shape[2:])
        axes = len(grid)
        self.patch, self.search = p.patch_radii(axes), p.search_radii(grid)
        self.offsets = list(shifts(self.search))
        self.task = Task(Euclidean(), True, None, p.center, 0)
        self.spreads = p.aggregate == "patch"
        in_plane = [self.spreads and axis >= axes - 2 for axis in range(axes)]
        #: how far around a region patches are centred that estimate its pixels
        self.grown = tuple(r if plane else 0 for r, plane in zip(self.patch, in_plane, strict=True))
        self.taps = patch_weights(self.patch, p.patch)
        self.spread_taps = patch_weights(self.grown, p.patch)  # of B, along the axes of a plane
        reach = _added(self.grown, self.search)
        self.tensors = (
            _margin(image, self.search),
            _margin(reflected(feature, self.patch, 2), reach),
            _margin(torch.ones(grid, dtype=torch.bool, device=image.device), reach),
            *(m if m.ndim == 0 else _margin(m, self.grown, 1.0) for m in (strength.square, strength.bias)),
        )
        copies = feature.shape[1] + (10 if self.spreads else 6)
        self.positions = max(1, CHUNK // (len(self.offsets) * copies * image.element_size()))
        self.large = image.shape[0] * math.prod(grid) > self.positions

    def region(
        self, at: Region, image: Tensor, compared: Tensor, real: Tensor, square: Tensor, bias: Tensor
    ) -> Tensor:
        """The filtered values (B, V, *region)."""
        batch, *grid = at
        f, total = self._weights(at, compared, real, square, bias)
        if self.spreads:
            centers = _cut(real, grid, self.search, self.grown)  # a patch is centred on a real pixel
            f = patch_sum(divided(f, total, xp) * centers, self.spread_taps)
        numerator: Any = 0.0
        weight_sum: Any = 0.0
        for weight, shift in zip(f.unbind(0), self.offsets, strict=True):
            if self.spreads:
                weight = weight * _cut(real, grid, _added(self.grown, self.search, shift))
                weight_sum = weight_sum + weight
            numerator = numerator + weight[:, None] * _cut(image[batch], grid, _added(self.search, shift))
        return divided(numerator, (weight_sum if self.spreads else total)[:, None], xp)

    def _weights(
        self, at: Region, compared: Tensor, real: Tensor, square: Tensor, bias: Tensor
    ) -> tuple[Tensor, Tensor]:
        """f (shifts, B, *grown region) and its sum, by the core's formulas."""
        batch, *grid = at
        compared, margin = compared[batch], _added(self.grown, self.patch)
        own = _cut(compared, grid, self.search, margin)
        apart = [own - _cut(compared, grid, _added(self.search, s), margin) for s in self.offsets]
        one_channel = 1 / compared.shape[1]  # its part of the mean over channels
        distance = patch_sum(torch.stack([(d * d).sum(1) * one_channel for d in apart]), self.taps)
        square, bias = (
            m if m.ndim == 0 else _cut(m[batch if m.shape[0] > 1 else slice(0, 1)], grid, None, self.grown)
            for m in (square, bias)
        )
        logits = log_weight(distance / square, bias / square, xp)
        real = torch.stack([_cut(real, grid, _added(self.search, s), self.grown) for s in self.offsets])
        itself = torch.tensor([not any(s) for s in self.offsets], device=real.device)
        itself = itself.reshape(-1, *(1,) * (logits.ndim - 1))
        return normalised(logits, real[:, None], itself, self.task, xp, axis=0)


def _added(*each: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sum(axis) for axis in zip(*each, strict=True))


def _margin(tensor: Tensor, widths: tuple[int, ...], value: float = 0.0) -> Tensor:
    """The tensor with a margin along its last axes."""
    return pad(tensor, tuple(w for r in reversed(widths) for w in (r, r)), value=value)


def _cut(
    tensor: Tensor, grid: list[slice], offset: tuple[int, ...] | None, grown: tuple[int, ...] | None = None
) -> Tensor:
    """A region along the last axes, moved by an offset and grown on both sides."""
    none = (0,) * len(grid)
    each = zip(grid, offset or none, grown or none, strict=True)
    return tensor[..., *(slice(s.start + o, s.stop + o + 2 * g) for s, o, g in each)]
