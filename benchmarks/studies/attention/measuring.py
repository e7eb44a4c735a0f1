"""What trained networks are worth on the test pictures, and what their blocks attend to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch

from nlmeans.attention.independence import Independence, measure
from nlmeans.learned.measuring import measure_block, random_block

from ...problems import psnr
from .training import Network, Pictures, Schedule, Tensor

WINDOW = 10  # positions, at half the resolution: 21 x 21 keys, about as many as in training
_CROP = 64  # pixels of the crops in which attention is measured: 32 x 32 positions


def quality(network: Network, pictures: Pictures, schedule: Schedule) -> dict[str, Any]:
    """PSNR of each picture; and with every row made uniform, and with the blocks left out."""
    result: dict[str, Any] = {"psnr": psnrs(network, pictures, schedule)}
    if network.blocks:
        with _changed(network, uniform=True):
            result["psnr_uniform"] = psnrs(network, pictures, schedule)
        with _changed(network, weight=0.0):
            result["psnr_without"] = psnrs(network, pictures, schedule)
    return result


def attended(network: Network, pictures: Pictures, schedule: Schedule) -> list[dict[str, Any]]:
    """The measurement of every block on central crops: on the whole grid, in a window, and at random."""
    noisy = torch.cat([_noisy(_central(p, _CROP), schedule, n) for n, p in enumerate(pictures)])
    with torch.no_grad():
        seen = network.seen(noisy)
    found = []
    for block, features in zip(network.blocks.values(), seen, strict=True):
        row: dict[str, Any] = {"whole": measure_block(block, features).to_dict()}
        row["factor"] = None if block.log_h is None else float(2 / block.log_h.detach().exp() ** 2)
        row["random"] = measure_block(random_block(block, seed=1), features).to_dict()
        settings = block.settings
        block.settings = replace(settings, window=_window(features))
        row["window"] = measure_block(block, features).to_dict()
        block.settings = settings
        found.append(row)
    return found


def classical(pictures: Pictures, schedule: Schedule) -> dict[str, Any]:
    """The measurement of NL-means itself on the same noisy crops."""
    crops = [_noisy(_central(p, _CROP), schedule, n)[0, 0].numpy() for n, p in enumerate(pictures)]
    each = [measure(crop, queries=256, sigma=schedule.sigma) for crop in crops]
    whole = [replace(one, queries=256, keys=0) for one in each]  # keys differ where radii were chosen so
    return asdict(Independence.mean(whole)) | {"keys": sorted({one.keys for one in each})}


def _window(features: Tensor) -> int:
    """The window of the evaluation, smaller in small pictures so that some queries have it whole."""
    return min(WINDOW, (int(min(features.shape[2:])) - 1) // 3)


def psnrs(network: Network, pictures: Pictures, schedule: Schedule) -> list[float]:
    """PSNR in dB, results clipped to [0, 1]; blocks look through windows."""
    found = []
    with torch.no_grad(), _changed(network, window=WINDOW):
        for n, picture in enumerate(pictures):
            found.append(psnr(picture, network(_noisy(picture, schedule, n))[0, 0].numpy()))
    return found


@contextmanager
def _changed(
    network: Network, *, window: int | None = None, uniform: bool = False, weight: float = 1.0
) -> Iterator[None]:
    """The network with other blocks: in a window, with equal weights for all keys, or with W_z scaled."""
    blocks = list(network.blocks.values())
    kept = [(b, b.settings, {n: p.clone() for n, p in b.state_dict().items()}) for b in blocks]
    try:
        for block, settings, _ in kept:
            if window is not None:
                block.settings = replace(settings, window=window)
            with torch.no_grad():
                if uniform and block.log_h is not None:
                    block.log_h.fill_(20.0)  # h = e^20: no distance counts
                elif uniform:
                    for parameter in block.theta.parameters():
                        parameter.zero_()
                for parameter in block.conv_out.parameters():
                    parameter *= weight
        yield
    finally:
        for block, settings, state in kept:
            block.settings = settings
            block.load_state_dict(state)


def _noisy(picture: Any, schedule: Schedule, number: int) -> Tensor:
    """(1, 1, H, W) with the noise of this picture, the same for every network."""
    noise = np.random.default_rng([7, number]).standard_normal(picture.shape, np.float32)
    return torch.from_numpy(picture + noise * np.float32(schedule.sigma))[None, None]


def _central(picture: Any, side: int) -> Any:
    """The middle of a picture, of even sides."""
    cut = [slice((n - m) // 2, (n - m) // 2 + m) for n in picture.shape for m in [min(side, n - n % 2)]]
    return np.ascontiguousarray(picture[tuple(cut)])


def central(pictures: Pictures, side: int) -> Pictures:
    """The middle of every picture."""
    return [_central(p, side) for p in pictures]
