"""What an installed wheel must do where there is no compiler: ``python .ci/wheel_check.py [CHECKOUT]``.

The compiled backend is there and gives what the reference gives, and the command makes a first picture. With
the checkout's folder named, the package must not come from there.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import nlmeans
from nlmeans import backends


def main(checkout: str | None = None) -> None:
    here = Path(nlmeans.__file__).resolve()
    assert checkout is None or not here.is_relative_to(Path(checkout).resolve()), f"{here} is no wheel's"
    reason = dict(backends.describe())["cpu"]
    assert reason is None, reason
    rng = np.random.default_rng(0)
    image = np.add.outer(np.arange(64.0), np.arange(70.0)) + rng.normal(0, 10, (64, 70))
    for options in ({}, {"method": "nlridge"}, {"aggregate": "pixel", "sigma": 10.0}):
        fast, exact = (nlmeans.denoise(image, backend=name, **options) for name in ("cpu", "reference"))
        assert np.abs(fast - exact).max() < 1e-5 * np.ptp(image), options
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "nlmeans", "demo", folder], check=True, cwd=folder)
        assert Path(folder, "denoised.png").stat().st_size > 1000
    print(f"nlmeans {nlmeans.__version__} from {here.parent}: fast and right")


if __name__ == "__main__":
    main(*sys.argv[1:2])
