"""Training of the network: pieces of pictures with fresh noise and their pilots, and the steps.

No files are read or written here: pictures come as arrays, and what must survive goes out as arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from nlmeans import formula
from nlmeans.arrays import Array
from nlmeans.denoising import denoise
from nlmeans.learned.network import Denoiser

SIDE, MARGIN = 160, 16  # of a piece, and what is not used of it: there the pilot has its own edge
_GREATEST_SCALE = 2.0  # pieces are of squares up to so many times larger: pictures at many sizes
_LEAST_DETAIL = 3.0  # mean difference of neighbours, of 255: most pieces below it are left out
_KEPT_FLAT = 0.15  # of those


@dataclass(frozen=True)
class Recipe:
    """How it is trained."""

    steps: int = 30000  # in all; the last part of them with a falling rate
    falling: float = 0.35  # that part
    rate: float = 1e-3  # the highest; 2e-3 killed rectifiers (learned.md 5)
    warm: int = 400  # steps in which the rate rises
    batch: int = 16
    crop: int = 64
    pieces: int = 3000  # held at once
    first: int = 500  # before the first step
    fresh: float = 0.3  # new ones per step
    colours: float = 0.5  # of the squares; each makes a luminance and two differences
    patterns: float = 0.05  # of the squares: generated, not of a picture
    sigmas: tuple[float, float] = (4.0, 80.0)  # of 255, as likely in every octave
    averaging: float = 0.999  # of the weights
    bend: float = 1.0  # of the loss, from square to absolute value; in units of sigma
    evening: float = 0.8  # power of sigma: squares in units of it are smaller the stronger the noise
    half: bool = True  # bfloat16

    def rate_at(self, step: int) -> float:
        """The step's learning rate."""
        left = (self.steps - step) / max(1.0, self.steps * self.falling)
        return self.rate * min(1.0, (step + 1) / self.warm) * min(1.0, max(left, 0.01))


@dataclass(frozen=True, eq=False)
class Piece:
    """Noise of standard deviation 1, a pilot and clean values, (n, n) each, and sigma."""

    noise: Array
    pilot: Array
    clean: Array
    sigma: float
    guide: Piece | None = None  # of a difference of colours: the luminance

    def noisy_and_pilot(self, at: tuple[slice, slice]) -> list[Array]:
        """Of a part of it, float32."""
        noise, pilot, clean = (a[at].astype(np.float32) for a in (self.noise, self.pilot, self.clean))
        return [clean + noise * np.float32(self.sigma), pilot]


@dataclass
class Pieces:
    """Pieces of pictures with noise and pilot; the oldest give way to new ones."""

    pictures: Sequence[Array]  # (H, W, 3) uint8, at least SIDE high and wide
    recipe: Recipe
    rng: np.random.Generator
    pattern: Callable[[np.random.Generator, int], Array] | None = None  # (3, n, n), from 0 to 1
    held: list[Piece] = field(default_factory=list)
    at: int = 0

    def add(self) -> int:
        """A grey piece more, or the three of a square in colours; how many they are."""
        colours = bool(self.rng.random() < self.recipe.colours)
        clean = self._clean(colours)
        low, high = self.recipe.sigmas
        sigma = math.exp(self.rng.uniform(math.log(low), math.log(high))) / 255
        noise = self.rng.standard_normal(clean.shape, dtype=np.float32) * np.float32(sigma)
        noisy = clean + noise
        inner, parts = slice(MARGIN, -MARGIN), (noise / sigma, pilot_of(noisy, sigma), clean)
        parts = tuple(components(a)[:, inner, inner].astype(np.float16) for a in parts)
        guide = None
        for planes in zip(*parts, strict=True):
            piece = Piece(*planes, sigma, guide)
            guide = guide or piece
            self._hold(piece)
        return len(clean)

    def _hold(self, piece: Piece) -> None:
        """In the place of the oldest, where there is no more."""
        if len(self.held) < self.recipe.pieces:
            self.held.append(piece)
        else:
            self.held[self.at % len(self.held)] = piece
        self.at += 1

    def _clean(self, colours: bool) -> Array:
        """A square (1 or 3, n, n): the colours or some mixture of them, of some size and contrast."""
        if self.pattern is not None and self.rng.random() < self.recipe.patterns:
            return self._mixed(self.pattern(self.rng, SIDE), colours)
        while True:
            picture = self.pictures[int(self.rng.integers(len(self.pictures)))]
            most = min(_GREATEST_SCALE, min(picture.shape[:2]) / SIDE)
            square = self._square(picture, self.rng.uniform(1, most), colours)
            grey = square.mean(axis=0)
            detail = sum(float(np.abs(np.diff(grey, axis=a)).mean()) for a in (0, 1)) / 2
            if detail * 255 > _LEAST_DETAIL or self.rng.random() < _KEPT_FLAT:
                return square

    def _square(self, picture: Array, scale: float, colours: bool) -> Array:
        """A square of the picture, made smaller, as values from 0 to 1."""
        side = round(SIDE * scale)
        y, x = (self.rng.integers(n - side + 1) for n in picture.shape[:2])
        values = np.moveaxis(picture[y : y + side, x : x + side].astype(np.float32) / 255, -1, 0)
        values = self._mixed(values, colours)
        return smaller(values, SIDE) ** np.float32(math.exp(self.rng.uniform(-0.4, 0.4)))

    def _mixed(self, values: Array, colours: bool) -> Array:
        """The colours as they are, or some mixture of them."""
        if colours:
            return values
        mixture = self.rng.dirichlet((2.0, 2.0, 2.0)).astype(np.float32)
        return np.tensordot(mixture, values, 1)[None]

    def batch(self) -> tuple[Any, ...]:
        """Noisy, pilot, clean (B, 1, n, n), sigma (B, 1, 1, 1), guide (B, 2, n, n), 0 where there is none."""
        side, parts, sigmas = self.recipe.crop, [], []
        for _ in range(self.recipe.batch):
            piece = self.held[self.rng.integers(len(self.held))]
            y, x = (int(first) for first in self.rng.integers(piece.clean.shape[0] - side + 1, size=2))
            turn, flip = self.rng.integers(4), self.rng.integers(2)
            at = slice(y, y + side), slice(x, x + side)
            planes = [*piece.noisy_and_pilot(at), piece.clean[at].astype(np.float32)]
            none = [np.zeros((side, side), np.float32)] * 2
            planes += none if piece.guide is None else piece.guide.noisy_and_pilot(at)
            parts.append(np.rot90(np.stack(planes), int(turn), (1, 2))[:, :, :: 1 - 2 * int(flip)])
            sigmas.append(piece.sigma)
        all_ = torch.from_numpy(np.stack(parts))
        sigma = torch.tensor(sigmas, dtype=torch.float32)[:, None, None, None]
        return all_[:, :1], all_[:, 1:2], all_[:, 2:3], sigma, all_[:, 3:]


def pilot_of(noisy: Array, sigma: float) -> Array:
    """What the method gives the network: colours as luminance and differences, grouped by the luminance."""
    if len(noisy) == 1:
        return denoise(noisy[0], method="nlridge", sigma=sigma, workers=1, backend="cpu")[None]
    return denoise(
        noisy,
        method="nlridge",
        sigma=sigma,
        channel_axis=0,
        color="luminance",
        workers=1,
        backend="cpu",
    )


def components(channels: Array) -> Array:
    """Luminance and differences of three channels (3, ...); one channel as it is."""
    return channels if len(channels) == 1 else formula.opponent(channels, np)


def smaller(grey: Array, side: int) -> Array:
    """Squares of `side` samples, each the mean of what it covers; the sums of parts of a pixel are exact."""
    n = grey.shape[-1]
    edges = np.linspace(0, n, side + 1)
    low = np.maximum(np.arange(n)[None, :], edges[:-1, None])
    high = np.minimum(np.arange(1, n + 1)[None, :], edges[1:, None])
    cover = (np.maximum(high - low, 0) * (side / n)).astype(np.float32)
    return cover @ grey @ cover.T


class Trainer:
    """The network, its average, and the steps."""

    def __init__(self, network: Denoiser, pieces: Pieces, recipe: Recipe) -> None:
        self.network = network.to(memory_format=torch.channels_last)
        self.pieces, self.recipe, self.step, self.owed = pieces, recipe, 0, 0.0
        self.average = {name: t.detach().clone() for name, t in network.state_dict().items()}
        self.adam = torch.optim.Adam(network.parameters(), betas=(0.9, 0.99))
        self.since = 0  # steps since the start of this process: Adam's averages begin anew

    def advance(self) -> float:
        """One step; its loss."""
        while len(self.pieces.held) < self.recipe.first:
            self.pieces.add()
        self.owed += self.recipe.fresh
        while self.owed >= 1:
            self.owed -= self.pieces.add()
        rate = self.recipe.rate_at(self.step) * min(1.0, (self.since + 1) / self.recipe.warm)
        for group in self.adam.param_groups:
            group["lr"] = rate
        loss = self._loss(*self.pieces.batch())
        self.adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 0.5)
        self.adam.step()
        self._averaged()
        self.step += 1
        self.since += 1
        return float(loss.detach())

    def _loss(self, noisy: Any, pilot: Any, clean: Any, sigma: Any, guide: Any) -> Any:
        """Of the change in units of sigma, for every strength of noise alike."""
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.recipe.half):
            change = self.network(noisy, pilot, sigma, guide)
        error = (change.float() - (clean - pilot)) / sigma
        bend = self.recipe.bend
        each = torch.sqrt(error**2 + bend**2) - bend
        return (each * (sigma * (255 / 25)) ** self.recipe.evening).mean()

    def _averaged(self) -> None:
        """The average follows, faster at first."""
        keep = min(self.recipe.averaging, (1 + self.step) / (10 + self.step))
        for name, value in self.network.state_dict().items():
            self.average[name].lerp_(value, 1 - keep)

    def averaged(self) -> Denoiser:
        """The network with averaged weights."""
        network = Denoiser(**self.network.settings)
        network.load_state_dict(self.average)
        network.eval()
        return network

    def restore(self, state: dict[str, Any], step: int, average: dict[str, Any] | None = None) -> None:
        """Weights go on from there."""
        self.network.load_state_dict(state)
        for name, value in (average or state).items():
            self.average[name].copy_(value)
        self.step = step
