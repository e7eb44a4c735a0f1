"""The race of volumes: programs in processes of their own take turns; one that is missing has its reason."""

from __future__ import annotations

import numpy as np
from nlmeans.benchmarks.race import volumes


def test_programs_take_turns_and_a_missing_one_is_named() -> None:
    ours, other, missing = volumes.race(12, ["nlmeans", "scikit-image", "nobody"], 1, 2, 10.0)
    assert (ours["name"], ours["calls"], ours["cpu_ratio"]) == ("nlmeans", 2, 1.0)
    assert other["calls"] == 2
    assert other["wall"] > 0
    assert "not installed" in missing["reason"]


def test_the_cube_is_a_ball_with_noise() -> None:
    cube = volumes.cube(16)
    assert (cube.shape, cube.dtype) == ((16, 16, 16), np.float32)
    assert cube[8, 8, 8] > cube[0].mean() + 50
