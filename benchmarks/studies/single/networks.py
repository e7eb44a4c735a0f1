"""A small network trained on the one noisy picture: zero-shot noise to noise, for a given time.

Y. Mansour, R. Heckel, "Zero-shot Noise2Noise: efficient image denoising without any data", CVPR 2023,
arXiv:2303.11253: two half-size pictures, the means of the two diagonals of every 2 x 2 pixels, have the same
content and independent noise; the network is trained to make one of the other.  That needs noise that is each
pixel's own.  Where neighbours share it, two pictures are made by adding noise of the same covariance:
``y + a m`` and ``y - m / a`` have independent noise (T. Pang et al., "Recorrupted-to-recorrupted", CVPR
2021), where the noise is normal and its covariance known: here it is estimated from the flattest squares.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import conv2d, mse_loss

from .cases import Image

WIDTH = 48
RATE, HALVED = 1e-3, 0.5  # of Adam, as in the paper; halved in the middle
Pairs = Callable[[Any, torch.Generator], tuple[Any, Any]]


def network() -> nn.Module:
    """What the paper has: 22,000 weights; it foretells the noise."""
    return nn.Sequential(
        nn.Conv2d(1, WIDTH, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(WIDTH, 1, 1),
    )


def diagonals(noisy: Any, _: torch.Generator) -> tuple[Any, Any]:
    """The means of both diagonals of every 2 x 2 pixels."""
    kernels = torch.tensor([[[[0.0, 0.5], [0.5, 0.0]]], [[[0.5, 0.0], [0.0, 0.5]]]])
    both = conv2d(noisy, kernels, stride=2)
    return both[:, :1], both[:, 1:]


def recorrupted(noise: Callable[[torch.Generator], Any], a: float = 0.5) -> Pairs:
    """The picture with more noise of the same kind, and with its opposite."""

    def pairs(noisy: Any, generator: torch.Generator) -> tuple[Any, Any]:
        more = noise(generator)
        return noisy + a * more, noisy - more / a

    return pairs


def trained(noisy: Image, pairs: Pairs, seconds: tuple[float, ...]) -> dict[float, Image]:
    """What the network gives after each of these processor times, and its steps by then."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    given = torch.tensor(noisy / 255, dtype=torch.float32)[None, None]
    model = network()
    adam = torch.optim.Adam(model.parameters(), lr=RATE)
    symmetric, results, spent = pairs is diagonals, {}, 0.0
    for until in sorted(seconds):
        while spent < until:
            start = time.process_time()
            if spent > max(seconds) / 2:
                adam.param_groups[0]["lr"] = RATE * HALVED
            first, second = pairs(given, generator)
            loss = _consistent(model, given, first, second) if symmetric else _foretold(model, first, second)
            adam.zero_grad()
            loss.backward()
            adam.step()
            spent += time.process_time() - start
        with torch.no_grad():
            clean = given - model(given)
        results[until] = 255 * clean[0, 0].numpy().astype(np.float64)
    return results


def _foretold(model: nn.Module, first: Any, second: Any) -> Any:
    return mse_loss(first - model(first), second)


def _consistent(model: nn.Module, given: Any, first: Any, second: Any) -> Any:
    """Each of the other, and denoised before it is halved as after: the paper's loss."""
    one, two = first - model(first), second - model(second)
    halved = diagonals(given - model(given), torch.Generator())
    residual = mse_loss(one, second) + mse_loss(two, first)
    return (residual + mse_loss(one, halved[0]) + mse_loss(two, halved[1])) / 2
