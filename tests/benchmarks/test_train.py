"""The command that trains: it finds its pictures, goes on where it was, and writes the package's file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")
pytest.importorskip("safetensors")

from nlmeans.benchmarks.studies.learned import ablation, patterns, photographs, training

from nlmeans.learned.training import Recipe
from nlmeans.network.weights import arrays_in, networks_of

RECIPE = Recipe(steps=3, batch=2, crop=32, pieces=2, first=2, fresh=0.0, half=False)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two photographs to train on, one held back."""
    for role, names in (("TRAINED", ("a.jpg", "b.png")), ("HELD_BACK", ("c.jpg",))):
        monkeypatch.setattr(photographs, role, (photographs.Source("a package", "CC0", "us", names),))
        for name in names:
            (tmp_path / role).mkdir(exist_ok=True)
            noise = np.random.default_rng(0).integers(0, 255, (400, 440, 3), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / role / name)
    return tmp_path


def test_it_goes_on_where_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_CHECKED_EVERY", 2)
    checkpoint, target, told = folder / "train" / "c.safetensors", folder / "d.safetensors", []
    order = training.Order(folder, checkpoint, checkpoint, recipe=RECIPE, export=target)
    assert training.train(order, told.append)["steps"] == 3
    assert told[0].startswith("2: loss")
    whole = training.train(
        training.Order(folder, checkpoint, recipe=Recipe(**{**vars(RECIPE), "steps": 5})), print
    )
    assert whole["steps"] == 5
    assert [step for step, *_ in whole["gains"]] == [2, 4]
    assert {len(line) for line in whole["gains"]} == {1 + 2 * 3}  # grey and colour, three sigmas
    assert checkpoint.stat().st_size < 2e6
    light, differences = networks_of(arrays_in(target.read_bytes()))
    assert light.channels == differences.channels == 48
    for name, weight in light.weights.items():  # the same, but for its 8 bits
        np.testing.assert_allclose(
            differences.weights[name], weight, atol=1e-6 + 0.006 * np.abs(weight).max()
        )


def test_a_missing_picture_is_named_with_its_package(folder: Path) -> None:
    (folder / "TRAINED" / "b.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"b\.png of a package is not below"):
        photographs.pictures(folder)


def test_all_that_is_trained_on_is_free_for_anything() -> None:
    assert {s.licence for s in photographs.TRAINED} <= {"CC0 1.0", "CC BY 4.0", "CC BY 2.0"}
    assert sum(len(s.names) for s in photographs.HELD_BACK) == 20
    names = [n for s in (*photographs.TRAINED, *photographs.HELD_BACK) for n in s.names]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("kind", dict.fromkeys(patterns.KINDS))
def test_patterns_vary_within_0_and_1(kind: Any) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        plane = kind(rng, 160)
        assert plane.shape == (160, 160)
        assert np.ptp(np.clip(plane, 0, 1)) > 0.5


def test_a_pattern_is_in_two_colours() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        values = patterns.pattern(rng, 64)
        assert values.shape == (3, 64, 64)
        assert 0 <= values.min() <= values.max() <= 1
        spread = np.linalg.svd(
            (values - values.mean(axis=(1, 2), keepdims=True)).reshape(3, -1), compute_uv=False
        )
        assert spread[1] < 1e-4 * spread[0]


@pytest.mark.usefixtures("one_torch_thread")
def test_the_ablation_compares_networks_of_one_seed(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    assert ablation.main(["--quick", "--json", str(target)]) == 0
    found = json.loads(target.read_text())
    bare, blocks = found["rows"]
    assert (bare["name"], blocks["name"]) == (ablation.BARE, ablation.BLOCKS)
    for of, gains in found["gains"].items():
        assert len(bare[of]) == len(found["pictures"][of])
        assert gains == [pytest.approx(np.mean(blocks[of]) - np.mean(bare[of]), abs=1e-3)]
    assert (len(bare["attended"]), len(blocks["attended"])) == (0, 2)


def test_eight_bits_are_half_a_step_of_each_output_away_at_most() -> None:
    weight = np.random.default_rng(0).normal(size=(4, 3, 3, 3))
    weight[1] *= 100
    found = training.eight_bits({"a.weight": weight, "a.bias": np.ones(4)})
    steps = np.abs(weight).max(axis=(1, 2, 3), keepdims=True) / 127
    back = found["a.weight"] * found["a.scale"].astype(float)[:, None, None, None]
    assert (np.abs(back - weight) <= 0.57 * steps).all()  # half, and the rounding of the scale
    assert found["a.bias"].dtype == np.float16
