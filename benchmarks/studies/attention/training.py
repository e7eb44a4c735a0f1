"""A small denoising network with room for two non-local blocks, and its seeded training."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from nlmeans.learned import NonLocal2d
from nlmeans.learned.network import Unit

Tensor: TypeAlias = torch.Tensor
Pictures: TypeAlias = list[NDArray[np.float32]]  # grey, in [0, 1]
_SHARPEST = 20.0  # the factor of the cosine that a sharp start has


@dataclass(frozen=True)
class Variant:
    """One kind of block: which of three things it has, and how sharply it starts.

    Parameters
    ----------
    tied : bool
        One embedding for queries and keys.
    unit : bool
        Embeddings of length 1, so that the similarity is a cosine, with a learned factor.
    sharp : bool
        Scaled at the start so that logits spread as those of a cosine times 20 do; else as those of
        the plain block.
    blocks : bool
        False: the network without any block.
    distance : bool
        Compare by the squared distance, without unit length, in place of the product.
    """

    tied: bool = False
    unit: bool = False
    sharp: bool = False
    blocks: bool = True
    distance: bool = False

    def settings(self) -> dict[str, Any]:
        """The block's keyword arguments."""
        if self.unit or self.distance:
            return {
                "mode": "euclidean",
                "tied": self.tied,
                "unit_length": self.unit,
                "learn_bandwidth": True,
            }
        return {"mode": "embedded_gaussian", "tied": self.tied}


@dataclass(frozen=True)
class Schedule:
    """How long and on what one network is trained."""

    steps: int = 1300
    batch: int = 8
    crop: int = 40  # pixels: 20 x 20 positions, as many as the window of the evaluation has
    peak_rate: float = 2e-3
    clip: float = 0.5
    channels: int = 32
    units: int = 5
    width: int = 16  # of the embeddings
    sigma: float = 25 / 255

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Network(nn.Module):  # type: ignore[misc]
    """Residual units at half the resolution, a block after the second and the fourth."""

    def __init__(self, schedule: Schedule, variant: Variant) -> None:
        super().__init__()
        wide = schedule.channels
        self.head = nn.Conv2d(4, wide, 3, padding=1)
        self.units = nn.ModuleList(Unit(wide) for _ in range(schedule.units))
        self.tail = nn.Conv2d(wide, 4, 3, padding=1)
        after = (1, 3) if variant.blocks else ()
        self.blocks = nn.ModuleDict(
            {
                str(n): NonLocal2d(wide, schedule.width, check_finite=False, **variant.settings())
                for n in after
            }
        )

    def forward(self, noisy: Tensor) -> Tensor:
        """The denoised pictures (B, 1, H, W), of even sides."""
        features = self.features(noisy)
        for n in range(len(self.units)):
            features = self._blocked(self.units[n](features), n)
        return noisy - pixel_shuffle(self.tail(features), 2)

    def features(self, noisy: Tensor) -> Tensor:
        """What the first unit sees."""
        return self.head(pixel_unshuffle(noisy, 2))

    def seen(self, noisy: Tensor) -> list[Tensor]:
        """The features every block sees."""
        found, features = [], self.features(noisy)
        for n, unit in enumerate(self.units):
            features = unit(features)
            if str(n) in self.blocks:
                found.append(features)
            features = self._blocked(features, n)
        return found

    def _blocked(self, features: Tensor, number: int) -> Tensor:
        return self.blocks[str(number)](features) if str(number) in self.blocks else features


def built(schedule: Schedule, variant: Variant, seed: int) -> Network:
    """A network before training: of one seed, all variants share the weights outside of the blocks."""
    torch.manual_seed(seed)
    network = Network(schedule, Variant(blocks=False))
    whole = Network(schedule, variant)
    whole.load_state_dict(
        network.state_dict() | {n: w for n, w in whole.state_dict().items() if "blocks" in n}
    )
    return whole


# --- how sharply attention starts --------------------------------------------------------------


def sharpen(network: Network, variant: Variant, schedule: Schedule, noisy: Tensor, seed: int) -> None:
    """Scale the embeddings, or the bandwidth, until the logits of the first batch spread as they should."""
    if not variant.blocks:
        return
    model = Variant(tied=True, unit=True) if variant.sharp else Variant()
    wanted = [_spread(b, x) for b, x in _pairs(built(schedule, model, seed), noisy)]
    for (block, x), target in zip(_pairs(network, noisy), wanted, strict=True):
        factor = target / _spread(block, x)
        with torch.no_grad():
            if block.log_h is not None:
                block.log_h -= math.log(factor) / 2  # logits go with 1 / h^2
                continue
            for projection in filter(None, (block.theta, block.phi)):
                for parameter in projection.parameters():
                    parameter *= math.sqrt(factor)


def _pairs(network: Network, noisy: Tensor) -> list[tuple[Any, Tensor]]:
    with torch.no_grad():
        return list(zip(network.blocks.values(), network.seen(noisy), strict=True))


def _spread(block: Any, x: Tensor) -> float:
    """The mean standard deviation of a query's logits."""
    with torch.no_grad():
        query, key, _ = (t.flatten(1, -2) for t in block.embedded(x))
        if block.log_h is None:
            logits = query @ key.mT
        else:
            logits = -torch.cdist(query, key).square() / float(block.log_h.exp()) ** 2
        return float(logits.std(-1).mean())


# --- training ----------------------------------------------------------------------------------


def batches(pictures: Pictures, schedule: Schedule, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Noisy and clean crops (B, 1, S, S), turned and mirrored, without end; the same for every variant."""
    random = np.random.default_rng([seed, 1])
    side = schedule.crop
    while True:
        crops = []
        for _ in range(schedule.batch):
            picture = pictures[random.integers(len(pictures))]
            y, x = (random.integers(n - side + 1) for n in picture.shape)
            crop = np.rot90(picture[y : y + side, x : x + side], int(random.integers(4)))
            crops.append(crop[:, ::-1] if random.integers(2) else crop)
        clean = np.stack(crops)[:, None]
        noise = random.standard_normal(clean.shape, np.float32) * np.float32(schedule.sigma)
        yield torch.from_numpy(clean + noise), torch.from_numpy(clean.copy())


def train(
    network: Network,
    variant: Variant,
    pictures: Pictures,
    schedule: Schedule,
    seed: int,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Train in place; returns the processor time and the course of the loss."""
    source = batches(pictures, schedule, seed)
    sharpen(network, variant, schedule, next(source)[0], seed)
    optimizer = torch.optim.Adam(network.parameters(), schedule.peak_rate)
    course = torch.optim.lr_scheduler.OneCycleLR(optimizer, schedule.peak_rate, total_steps=schedule.steps)
    start, losses, mean = time.process_time(), [], 0.0
    every = max(1, schedule.steps // 10)
    for step in range(1, schedule.steps + 1):
        noisy, clean = next(source)
        optimizer.zero_grad()
        loss = (network(noisy) - clean).square().mean()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), schedule.clip)
        optimizer.step()
        course.step()
        mean += float(loss.detach()) / every
        if step % every == 0:
            losses.append(mean)
            tell(f"step {step} of {schedule.steps}: {-10 * math.log10(mean):.2f} dB")
            mean = 0.0
    return {"cpu_seconds": time.process_time() - start, "losses": losses}
