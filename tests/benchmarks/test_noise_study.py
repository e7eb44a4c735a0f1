"""The study of kinds of noise: noise is what its model says, and what is committed holds what is promised."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from nlmeans.benchmarks.studies.noise import cases, gains, measuring


@pytest.mark.parametrize("name", [n for n, noise in cases.NOISES.items() if noise.model])
def test_noise_has_the_variance_of_its_model(name: str) -> None:
    noise = cases.NOISES[name]
    clean = np.full((400, 400), 120.0) * noise.scale
    model, noisy = noise.model, noise.add(clean, np.random.default_rng(0))
    assert model is not None
    mean = clean[0, 0]
    expected = {
        "gaussian": (model.sigma or 0) ** 2,
        "speckle": mean**2 / (model.looks or 1),
        "poisson": (model.gain or 0) * mean,
        "poisson-gaussian": (model.gain or 0) * mean + (model.sigma or 0) ** 2,
    }[model.kind]
    assert noisy.mean() == pytest.approx(mean, rel=0.02)
    assert noisy.var() == pytest.approx(expected, rel=0.03)


def test_an_interpreter_of_another_version_is_asked(tmp_path: Path) -> None:
    import sys

    flat = np.full((12, 12), 7.0, np.float32)
    assert np.array_equal(gains._by(sys.executable, {"flat": flat})["flat"], flat)


def test_what_is_committed_holds_what_is_promised() -> None:
    found = json.loads(measuring.COMMITTED.read_text())
    assert found["told"]["right_part"] >= 0.95
    assert found["told"]["mean_relative_error"] <= 0.08
    for group in found["psnr"].values():
        for row in group.values():
            assert abs(row["auto"] - row["model given"]) <= 0.2
    photographs, camera = (found["psnr"][name] for name in ("six photographs", "camera"))
    for peak, more in ((1, 0.0), (5, 2.2), (30, 2.6)):
        row = photographs[f"poisson peak {peak}"]
        assert row["auto"] >= row["default before"] + more
    assert camera["poisson peak 30"]["auto"] >= camera["poisson peak 30"]["default before"] + 10
    assert photographs["speckle 4"]["auto"] >= photographs["speckle 4"]["default before"] + 7
    for row in found["rician"].values():
        assert abs(row["sigma estimated"]["bias"]) <= 0.3
    assert found["seconds"]["more"] <= 0.1
    assert all(row["worst"] >= 0 for row in found["auto_on_white_noise"].values())
