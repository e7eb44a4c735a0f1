"""Does attention collapse, and what is a non-local block worth? A seeded study on a small denoiser.

The same network is trained without a block, with the plain embedded-Gaussian block, with the
similarity of NL-means (tied, of unit length, starting sharp), and with these three apart.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import nlmeans

from ...machine import circumstances, machine
from .measuring import attended, central, classical, quality
from .training import Network, Pictures, Schedule, Variant, built, train

Tell = Callable[[str], None]
MAIN = {
    "no block": Variant(blocks=False),
    "embedded Gaussian": Variant(),
    "NL-means similarity": Variant(tied=True, unit=True, sharp=True),
}
APART = {
    "tied": Variant(tied=True),
    "unit length": Variant(unit=True),
    "sharp": Variant(sharp=True),
    "tied, unit length": Variant(tied=True, unit=True),
    "tied, sharp": Variant(tied=True, sharp=True),
    "unit length, sharp": Variant(unit=True, sharp=True),
}
FURTHER = {"squared distance, tied, sharp": Variant(tied=True, sharp=True, distance=True)}
VARIANTS = MAIN | APART | FURTHER
_TRAINING = ("astronaut", "chelsea", "coffee", "rocket", "gravel", "grass", "coins", "moon")
_TEST = ("camera", "brick")
_AT = [(30, 52), (16, 84), (48, 87)]  # rows and columns of the drawn queries: hair, sky, an edge
_TEST_SIDE = 256  # pixels of the central crops that are denoised
KEY = "nlmeans.attention_study"  # of a checkpoint's metadata


@dataclass(frozen=True)
class Order:
    """What is trained, on what, and for how long at most."""

    training: Pictures
    test: dict[str, Any]  # pictures by name
    command: str = ""
    schedule: Schedule = field(default_factory=Schedule)
    seeds: int = 3
    apart_seeds: int = 2
    time_limit: float = 2100.0  # seconds of processor time, after which no training is started
    folder: Path | None = None  # of checkpoints, for a run to go on after a stop

    def runs(self) -> list[tuple[str, int]]:
        """Name and seed in the order of their importance."""
        first = [(name, seed) for seed in range(self.seeds) for name in MAIN]
        return first + [(name, seed) for seed in range(self.apart_seeds) for name in APART | FURTHER]


def trained(order: Order, name: str, seed: int, tell: Tell) -> tuple[Network, dict[str, Any]]:
    """A trained network and the course of its training, from a checkpoint where there is one."""
    variant, schedule = VARIANTS[name], order.schedule
    network = built(schedule, variant, seed)
    plan = json.dumps({"schedule": schedule.to_dict(), "pictures": len(order.training), "seed": seed})
    path = None if order.folder is None else order.folder / f"{name.replace(', ', '+')}-{seed}.safetensors"
    if path is not None and path.exists():
        with safe_open(path, framework="pt") as file:
            stored = json.loads(file.metadata()[KEY])
            if stored["plan"] == plan:
                network.load_state_dict({n: file.get_tensor(n) for n in file.keys()})  # noqa: SIM118
                return network, stored["course"]
    course = train(
        network, variant, order.training, schedule, seed, lambda line: tell(f"{name}, {seed}: {line}")
    )
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = json.dumps({"plan": plan, "course": course})
        save_file({n: w.contiguous() for n, w in network.state_dict().items()}, path, metadata={KEY: kept})
    return network, course


def record(order: Order, tell: Tell) -> dict[str, Any]:
    """The whole study as JSON; one thread, so that the sums are those of every run."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    began, start = circumstances(), time.process_time()
    rows, left_out = [], []
    try:
        for name, seed in order.runs():
            if time.process_time() - start > order.time_limit:
                left_out.append([name, seed])
                continue
            rows.append(_row(order, name, seed, tell))
            tell(f"{name}, {seed}: {np.mean(rows[-1]['psnr']):.2f} dB")
        null = classical(list(order.test.values()), order.schedule)
    finally:
        torch.set_num_threads(threads)
    return {
        "command": order.command,
        "machine": machine(),
        "started": began,
        "ended": circumstances(),
        "versions": {"nlmeans": nlmeans.__version__, "torch": torch.__version__, "numpy": np.__version__},
        "schedule": order.schedule.to_dict(),
        "training_pictures": len(order.training),
        "test_pictures": {name: list(picture.shape) for name, picture in order.test.items()},
        "rows": rows,
        "left_out": left_out,
        "classical": null,
    }


def _row(order: Order, name: str, seed: int, tell: Tell) -> dict[str, Any]:
    """One network: how it was trained, what it is worth, what it attends to."""
    network, course = trained(order, name, seed, tell)
    pictures = list(order.test.values())
    return {
        "name": name,
        "seed": seed,
        "variant": asdict(VARIANTS[name]),
        "parameters": sum(p.numel() for p in network.parameters()),
        **course,
        **quality(network, pictures, order.schedule),
        "blocks": attended(network, pictures, order.schedule),
    }


# --- pictures ------------------------------------------------------------------------------------


def order_of(
    train_folder: Path | None,
    test_folder: Path | None,
    *,
    quick: bool = False,
    seeds: int = 3,
    time_limit: float = 2100.0,
    checkpoints: Path | None = None,
    command: str = "",
) -> Order:
    """The study on the pictures of two folders, or on scikit-image's; or a small one in seconds."""
    training = list(_pictures(train_folder, _TRAINING[-3:] if quick else _TRAINING).values())
    names = _pictures(test_folder, _TEST)
    side = 32 if quick else _TEST_SIDE
    test = dict(zip(names, central(list(names.values()), side), strict=True))
    if not quick:
        return Order(training, test, command, Schedule(), seeds, min(2, seeds), time_limit, checkpoints)
    small = Schedule(steps=6, batch=2, crop=16, channels=8, width=4)
    few = dict(list(test.items())[:2])
    return Order(training, few, command, small, 1, 1, time_limit, checkpoints)


def _pictures(folder: Path | None, otherwise: tuple[str, ...]) -> dict[str, Any]:
    """Grey pictures in [0, 1] by name, float32."""
    from imageio.v3 import imread
    from skimage import color, data

    if folder is None:
        loaded = {name: getattr(data, name)() for name in otherwise}
    else:
        paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".png", ".tif", ".tiff", ".bmp"))
        if not paths:
            raise SystemExit(f"{folder} holds no picture: PNG, TIFF or BMP files are needed")
        loaded = {path.stem: imread(path) for path in paths}
    found = {}
    for name, pixels in loaded.items():
        full = np.iinfo(pixels.dtype).max if pixels.dtype.kind in "iu" else 1
        grey = pixels / full
        found[name] = np.asarray(color.rgb2gray(grey[..., :3]) if grey.ndim == 3 else grey, np.float32)
    return found


def draw(order: Order, path: Path) -> None:
    """The maps of the second block for two queries of a noisy photograph, of each main kind."""
    from imageio.v3 import imwrite
    from nlmeans.cli.views.pictures import attention_maps
    from skimage import data

    from nlmeans.learned.measuring import attention_rows

    clean = data.camera()[64:160, 180:276].astype(np.float32) / 255
    noise = np.random.default_rng(0).standard_normal(clean.shape, np.float32)
    noisy = torch.from_numpy(clean + noise * np.float32(order.schedule.sigma))[None, None]
    shown = np.rint(255 * np.clip(noisy[0, 0].numpy(), 0, 1)).astype(np.uint8)
    sheets = []
    for name in [n for n in MAIN if MAIN[n].blocks]:
        network, _ = trained(order, name, 0, lambda _: None)
        with torch.no_grad():
            features = network.seen(noisy)[-1]
        rows = attention_rows(list(network.blocks.values())[-1], features, [(y // 2, x // 2) for y, x in _AT])
        sheets.append(attention_maps(shown, list(rows[0]), _AT, size=288))
    gap = np.full((8, sheets[0].shape[1], 3), 255, np.uint8)
    imwrite(path, np.concatenate([sheets[0], gap, sheets[1]]))
