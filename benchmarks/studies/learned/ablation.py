"""What non-local blocks are worth in the trunk alone, without NL-Ridge, on Set12 and on exact patterns.

``python -m nlmeans.benchmarks.studies.learned.ablation --train DIR --set12 DIR --checkpoints DIR``

The trunk is that of the study of attention, as are its training and its seeds: with the pilot the patterns
would be found by NL-Ridge, and the blocks would be left little to do.  Networks are kept in the folder of
checkpoints, by which a run goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ... import RESULTS
from ...machine import circumstances, machine
from ...scripts import write_json
from ..attention.measuring import attended, central, psnrs
from ..attention.study import Order, order_of, trained
from .patterns import KINDS

COMMITTED = RESULTS / "ablation.json"
BARE, BLOCKS = "no block", "NL-means similarity"
_SIDE = 128  # of a pattern, and of the middle of a picture
_EACH = 2  # patterns of a kind


def periodic_set() -> dict[str, Any]:
    """Generated patterns that repeat exactly, grey, from 0 to 1, by name; no seed of training gives them."""
    rng = np.random.default_rng(12)
    found = {}
    for kind in [kind for kind in dict.fromkeys(KINDS) if kind.__name__ != "text"]:
        for number in range(_EACH):
            plane = np.clip(kind(rng, _SIDE), 0, 1)
            found[f"{kind.__name__} {number}"] = (0.1 + 0.8 * plane).astype(np.float32)
    return found


def measure(order: Order, tell: Any) -> dict[str, Any]:
    """PSNR of both sets for both networks of each seed, and what the blocks attend to on Set12."""
    torch.set_num_threads(1)
    middles = dict(zip(order.test, central(list(order.test.values()), _SIDE), strict=True))
    began, sets = circumstances(), {"set12": middles, "periodic": periodic_set()}
    rows = []
    for seed in range(order.seeds):
        for name in (BARE, BLOCKS):
            network, course = trained(order, name, seed, tell)
            row = {"name": name, "seed": seed, **course}
            for of, pictures in sets.items():
                row[of] = psnrs(network, list(pictures.values()), order.schedule)
            row["attended"] = attended(network, list(middles.values()), order.schedule)
            rows.append(row)
            tell(f"{name}, {seed}: " + ", ".join(f"{of} {np.mean(row[of]):.2f}" for of in sets) + " dB")
    return {
        "command": "python -m nlmeans.benchmarks.studies.learned.ablation",
        "machine": machine(),
        "started": began,
        "ended": circumstances(),
        "schedule": order.schedule.to_dict(),
        "pictures": {of: list(pictures) for of, pictures in sets.items()},
        "rows": rows,
        "gains": {of: gains(rows, of) for of in sets},
    }


def gains(rows: list[dict[str, Any]], of: str) -> list[float]:
    """By how many dB the blocks are better on a set, one number for each seed."""
    mean = {(row["name"], row["seed"]): float(np.mean(row[of])) for row in rows}
    return [round(mean[BLOCKS, seed] - mean[BARE, seed], 3) for name, seed in mean if name == BARE]


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    for name in ("train", "set12", "checkpoints"):
        parser.add_argument(f"--{name}", type=Path, metavar="DIR")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=500, help="of each network, default %(default)s")
    parser.add_argument("--quick", action="store_true", help="tiny networks: does it all work?")
    parser.add_argument("--json", type=Path, metavar="FILE", help=f"default {COMMITTED.name}, not if quick")
    given = parser.parse_args(arguments)
    order = order_of(
        given.train, given.set12, quick=given.quick, seeds=given.seeds, checkpoints=given.checkpoints
    )
    if not given.quick:
        order = replace(order, schedule=replace(order.schedule, steps=given.steps))
    result = measure(order, lambda line: print(line, file=sys.stderr, flush=True))
    target = given.json or (None if given.quick else COMMITTED)
    if target:
        write_json(target, result)
    print(json.dumps(result["gains"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
