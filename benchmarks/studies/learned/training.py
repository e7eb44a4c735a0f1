"""Trains the network for so many minutes, from where it was left: ``python -m nlmeans.benchmarks train``."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nlmeans.learned.network import Denoiser
from nlmeans.learned.training import Pieces, Recipe, Trainer, components, pilot_of
from nlmeans.learned.weights_file import read, write
from nlmeans.network.weights import DIFFERENCES

from ... import RESULTS
from . import photographs
from .patterns import pattern

COMMITTED = RESULTS / "train" / "checkpoint.safetensors"
COMMITTED_DIFFERENCES = RESULTS / "train" / "differences.safetensors"
_SAVED_EVERY = 120.0  # seconds
_CHECKED_EVERY = 1000  # steps
_SIGMAS = (15, 25, 50)  # of the pictures held back
_GREY = np.array((0.299, 0.587, 0.114), np.float32)  # of red, green, blue (BT.601)
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Order:
    """What is asked for."""

    pictures: Path  # a folder with the unpacked packages
    checkpoint: Path = COMMITTED
    differences: Path = COMMITTED_DIFFERENCES  # of the network for them, which is exported with the other
    minutes: float = 60.0
    recipe: Recipe = Recipe()  # noqa: RUF009  (frozen) with the steps of all runs
    seed: int = 0
    export: Path | None = None


class Held:
    """The pictures held back, grey and in colours, with noise and pilot."""

    def __init__(self, clean: NDArray[np.float32]) -> None:
        grey = np.tensordot(clean, _GREY, ((1,), (0,)))[:, None]
        self.sets = [_with_pilots(c, sigma) for c in (grey, clean) for sigma in _SIGMAS]

    def gains(self, network: Denoiser) -> list[float]:
        """By how many dB the network is better than its pilot, grey at each sigma, then in colours."""
        return [round(float(np.mean([_gain(network, *one) for one in each])), 3) for each in self.sets]


def _with_pilots(pictures: NDArray[np.float32], sigma: int) -> list[tuple[Any, Any, Any, float]]:
    """Noisy, pilot and clean components, and sigma, of each picture (1 or 3, n, n)."""
    rng, level = np.random.default_rng(sigma), sigma / 255
    found = []
    for clean in pictures:
        noisy = clean + rng.normal(0, level, clean.shape).astype(np.float32)
        found.append((*(components(a) for a in (noisy, pilot_of(noisy, level), clean)), level))
    return found


def _gain(
    network: Denoiser,
    noisy: NDArray[np.float32],
    pilot: NDArray[np.float32],
    clean: NDArray[np.float32],
    sigma: float,
) -> float:
    """In dB; the transform is orthonormal, so that errors of components are those of channels."""
    planes = [torch.from_numpy(np.asarray(a, np.float32))[:, None] for a in (noisy, pilot)]
    guide = torch.cat(planes, 1)[:1].repeat(len(noisy), 1, 1, 1)
    guide[0] = 0  # the luminance has none
    with torch.no_grad():
        change = network(*planes, torch.full((len(noisy), 1, 1, 1), sigma), guide)[:, 0].numpy()
    before, after = (float(np.mean((a - clean) ** 2)) for a in (pilot, pilot + change))
    return 10 * math.log10(before / after)


def train(order: Order, tell: Tell) -> dict[str, Any]:
    """Goes on from the checkpoint, if there is one; saves it every other minute and at the end.

    Whenever it is ended, what is lost are the steps since the last checkpoint, which is always whole.
    """
    torch.set_num_threads(1)
    torch.manual_seed(order.seed)
    recipe, began, log = order.recipe, time.monotonic(), Log.of(order)
    rng = np.random.default_rng([order.seed, log.steps])
    trainer = Trainer(Denoiser(), Pieces(photographs.pictures(order.pictures), recipe, rng, pattern), recipe)
    if log.steps:
        trainer.restore(_weights(order.checkpoint), log.steps)
    held = Held(photographs.held_back(order.pictures))
    saved = time.monotonic()
    while trainer.step < recipe.steps and time.monotonic() - began < 60 * order.minutes:
        loss = trainer.advance()
        if trainer.step % _CHECKED_EVERY == 0:
            log.add(trainer.step, held.gains(trainer.averaged()))
            tell(f"{trainer.step}: loss {loss:.4f}, gains {log.gains[-1][1:]} dB at {_SIGMAS}, grey, colour")
        if time.monotonic() - saved > _SAVED_EVERY:
            save(trainer, log, order.checkpoint)
            saved = time.monotonic()
    save(trainer, log, order.checkpoint)
    if order.export:
        export(order.checkpoint, order.differences, order.export)
    return asdict(log)


@dataclass
class Log:
    """What a checkpoint says of itself: steps so far, seed, and gains on the pictures held back."""

    steps: int
    seed: int
    gains: list[list[float]]  # step, dB over the pilot at each sigma: grey, and later in colours

    @classmethod
    def of(cls, order: Order) -> Log:
        """From the checkpoint, or new."""
        if not order.checkpoint.exists():
            return cls(0, order.seed, [])
        return cls(**json.loads(read(order.checkpoint)[1] or "{}"))

    def add(self, step: int, gains: list[float]) -> None:
        """One more line."""
        self.gains.append([step, *gains])


def save(trainer: Trainer, log: Log, path: Path) -> None:
    """The averaged weights as float32, 1 MB; Adam's own averages begin anew at each start."""
    log.steps = trainer.step
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, {n: t.numpy() for n, t in trainer.average.items()}, json.dumps(asdict(log)))


def export(light: Path, differences: Path, target: Path) -> None:
    """The file that comes with the package: float16, and 8 bits of the network for the differences."""
    (arrays, told), (more, other) = read(light), read(differences)
    joined = {n: a.astype(np.float16) for n, a in arrays.items()}
    joined |= {DIFFERENCES + n: a for n, a in eight_bits(more).items()}
    steps = [json.loads(about or "{}").get("steps") for about in (told, other)]
    write(target, joined, json.dumps({"steps": steps}))


def eight_bits(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Weights as integers to 127 and a scale for each output; the rest as float16."""
    found: dict[str, NDArray[Any]] = {}
    for name, array in arrays.items():
        if not name.endswith(".weight"):
            found[name] = array.astype(np.float16)
            continue
        scale = (np.abs(array).max(axis=(1, 2, 3)) / 127).astype(np.float16)
        scale[scale == 0] = 1
        found[name] = np.clip(np.rint(array / scale[:, None, None, None]), -127, 127).astype(np.int8)
        found[name.replace(".weight", ".scale")] = scale
    return found


def _weights(path: Path) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array.copy()) for name, array in read(path)[0].items()}
