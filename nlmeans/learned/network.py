"""A small network that corrects the result of NL-Ridge: residual units at half resolution.

Everything that enters is divided by sigma, so that the noise is 1 and the unit of the image does not matter.
The non-local part of the work is NL-Ridge's; what the network adds is what was learned about photographs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.functional import avg_pool2d, leaky_relu, pad, pixel_shuffle, pixel_unshuffle

from nlmeans.learned.block import NonLocal2d

_SLOPE = 0.1  # of the rectifiers below 0: none of them can die (learned.md 5)
_AROUND = 4  # radius, at half resolution, of the mean that is taken off the pilot


class Unit(nn.Module):  # type: ignore[misc]
    """``x + conv(rectified conv(x))``; an identity at construction."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Any) -> Any:
        """The unit of (B, C, H, W)."""
        return x + self.second(leaky_relu(self.first(x), _SLOPE))


class Denoiser(nn.Module):  # type: ignore[misc]
    """The change of a pilot that brings it nearer to the clean image.

    Parameters
    ----------
    channels, units : int
        Width, and number of residual units.
    blocks : tuple of int
        After which units, counted from 1, a non-local block follows.
    window : int
        Side of the blocks' window, at half resolution.
    """

    def __init__(
        self, channels: int = 48, units: int = 6, blocks: tuple[int, ...] = (), window: int = 11
    ) -> None:
        super().__init__()
        self.head = nn.Conv2d(16, channels, 3, padding=1)
        self.units = nn.ModuleList(Unit(channels) for _ in range(units))
        self.blocks = nn.ModuleDict(
            {
                str(after): NonLocal2d(
                    channels,
                    16,
                    mode="euclidean",
                    tied=True,
                    unit_length=True,
                    learn_bandwidth=True,
                    window=window,
                    check_finite=False,
                )
                for after in blocks
            }
        )
        self.tail = nn.Conv2d(channels, 4, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)
        self.settings = {"channels": channels, "units": units, "blocks": tuple(blocks), "window": window}

    @property
    def reach(self) -> int:
        """How far a pixel's result looks, in pixels of the image."""
        convolutions = 2 + 2 * len(self.units)
        blocks = len(self.blocks) * (self.settings["window"] // 2)  # type: ignore[operator]
        return int(2 * (convolutions + blocks + _AROUND) + 1)

    def forward(self, noisy: Any, pilot: Any, sigma: Any, guide: Any = None) -> Any:
        """The change of the pilot.

        Parameters
        ----------
        noisy, pilot : Tensor, shape (B, 1, H, W)
            The image and what another method made of it.
        sigma : Tensor, shape (B, 1, 1, 1) or (B, 1, H, W)
            The noise, > 0 or 0 where nothing is to be changed.
        guide : Tensor, shape (B, 2, H, W), optional
            Of differences of colours: the luminance, noisy and its pilot; 0 says that there is none.

        Returns
        -------
        Tensor, shape (B, 1, H, W)
            What has to be added to the pilot.
        """
        height, width = noisy.shape[-2:]
        sigma = sigma.expand(noisy.shape)
        noise = _unit(sigma)
        own = _inputs(noisy, pilot, noise)
        led = torch.zeros_like(own) if guide is None else _inputs(guide[:, :1], guide[:, 1:], noise)
        x = self.head(torch.cat([own, led], 1))
        for at, unit in enumerate(self.units, 1):
            x = unit(x)
            if str(at) in self.blocks:
                x = self.blocks[str(at)](x)
        change = pixel_shuffle(self.tail(x).float(), 2)[..., :height, :width]
        return change * torch.minimum(sigma, noise)


def _unit(sigma: Any) -> Any:
    """What values are divided by, as in :mod:`nlmeans.network.arithmetic`: the noise around, or 1."""
    even = sigma.amin((1, 2, 3), keepdim=True) == sigma.amax((1, 2, 3), keepdim=True)
    around = pixel_unshuffle(_even(sigma.square()), 2)
    height, width = sigma.shape[-2:]
    unit = _mean(around).sqrt().repeat_interleave(2, 2).repeat_interleave(2, 3)[..., :height, :width]
    unit = torch.where(even, sigma, unit)
    return torch.where(unit > 0, unit, 1.0)


def _inputs(noisy: Any, pilot: Any, noise: Any) -> Any:
    """What is seen of an image and its pilot, in units of the noise: (B, 8, H / 2, W / 2)."""
    residue, seen, unit = (pixel_unshuffle(_even(p), 2) for p in (noisy - pilot, pilot, noise))
    return torch.cat([residue / unit, torch.asinh((seen - _mean(seen)) / unit)], 1)


def _even(planes: Any) -> Any:
    """With a last row and column repeated where their number is odd."""
    height, width = planes.shape[-2:]
    return pad(planes, (0, width % 2, 0, height % 2), mode="replicate")


def _mean(halves: Any) -> Any:
    """Of all pixels around, at half resolution."""
    return avg_pool2d(halves.mean(1, keepdim=True), 2 * _AROUND + 1, 1, _AROUND, count_include_pad=False)
