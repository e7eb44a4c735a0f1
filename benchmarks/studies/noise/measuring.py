"""All that is known about models of noise, in one JSON.

    python -m nlmeans.benchmarks.studies.noise.measuring --train DIR --kodak DIR [--before PYTHON]

`--before` is the interpreter of an older installation, whose default is measured too.  Set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from ... import RESULTS
from ...machine import machine
from ...scripts import parser_of, write_json
from .gains import gains, rician
from .telling import seconds, told, white

COMMITTED = RESULTS / "noise_models.json"


def measure(train: Path, kodak: Path, before: str | None, every: int = 20) -> dict[str, Any]:
    """Everything; `every` of the 400 pictures is the step for white noise."""
    return {
        "machine": machine(),
        "date": date.today().isoformat(),
        "told": told(train, kodak),
        "auto_on_white_noise": white(train, every),
        "seconds": seconds(),
        "psnr": gains(kodak, before),
        "rician": rician(),
    }


def main() -> None:
    """From the command line."""
    parser = parser_of(__doc__)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--kodak", type=Path, required=True)
    parser.add_argument("--before", help="an interpreter with another version")
    parser.add_argument("--out", type=Path, default=COMMITTED)
    given = parser.parse_args()
    result = measure(given.train, given.kodak, given.before)
    write_json(given.out, result)
    print(given.out)


if __name__ == "__main__":
    main()
