"""The bench of kinds of input: the same pictures from the same seeds, each with its truth."""

from __future__ import annotations

import json

import numpy as np
import pytest
from imageio.v3 import imwrite
from nlmeans.benchmarks.__main__ import main
from nlmeans.benchmarks.problems import Problem
from nlmeans.benchmarks.report import cpu as report
from nlmeans.benchmarks.studies.kinds import cases, measuring
from nlmeans.benchmarks.studies.kinds.camera import Camera, bilateral, demosaiced, gaussian


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Generated pictures in place of photographs."""
    found = tmp_path_factory.mktemp("train")
    for seed in range(4):
        clean = Problem("", (180, 180), seed=seed).clean()
        imwrite(found / f"test_{seed:03}.png", np.rint(255 * clean).astype(np.uint8))
    return found


def test_the_same_seeds_give_the_same_pictures_with_their_truth(folder):
    first, again = (list(cases.cases(folder, every=40)) for _ in range(2))
    assert {case.group for case in first} == set(cases.GROUPS)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.noisy, b.noisy)
        assert a.clean.shape == a.noisy.shape
        if a.sigma == 0:
            np.testing.assert_array_equal(a.clean, a.noisy)
    truth = {c.group: c.sigma / np.std(c.noisy.astype(float) - c.clean) for c in first if c.sigma}
    for group in ("white", "shared", "Poisson"):
        assert truth[group] == pytest.approx(1, rel=0.05)
    assert sum(count for count, _ in cases.GROUPS.values()) >= 400
    assert cases.GROUPS["camera and film"][0] >= 100


def test_the_command_writes_rows_summary_and_plot(folder, tmp_path, monkeypatch, capsys):
    few = {name: (1, cases.GROUPS[name][1]) for name in ("clean graphics", "white", "Poisson")}
    monkeypatch.setattr(cases, "GROUPS", few)
    monkeypatch.setattr(measuring, "GROUPS", few)
    path = tmp_path / "kinds.json"
    assert main(["kinds", "--train", str(folder), "--json", str(path)]) == 0
    result = json.loads(path.read_text(encoding="utf-8"))
    assert [row["group"] for row in result["rows"]] == list(few)
    white = result["rows"][1]
    assert 0.5 < white["estimate"] / white["sigma"] < 2
    assert white["best_db"] >= white["input_db"]
    assert path.with_suffix(".svg").read_text(encoding="utf-8").count("<circle") == 2 + 2  # dots, legend
    assert "white: pictures 1" in capsys.readouterr().out
    known = measuring.best_of(path)
    assert known[white["digest"]] == (white["best_db"], white["best_sigma"])


def test_what_is_committed_has_all_kinds():
    committed = report.read(measuring.COMMITTED)
    assert {row["group"] for row in committed["rows"]} == set(cases.GROUPS)
    assert len(committed["rows"]) == sum(count for count, _ in cases.GROUPS.values())


def test_the_steps_of_the_camera():
    grey = np.full((12, 14, 3), 0.25)
    np.testing.assert_allclose(demosaiced(grey), grey)
    noise = np.random.default_rng(0).normal(0, 1, (64, 64, 1))
    green = demosaiced(np.concatenate([noise] * 3, axis=-1))[..., 1]
    y, x = np.mgrid[:64, :64]
    seen = (y + x) % 2 == 1
    np.testing.assert_array_equal(green[seen], noise[..., 0][seen])
    inner = ~seen & (y > 0) & (y < 63) & (x > 0) & (x < 63)
    four = sum(np.roll(noise[..., 0], s, a) for a in (0, 1) for s in (1, -1)) / 4
    np.testing.assert_allclose(green[inner], four[inner])
    assert gaussian(noise, 1.5).std() == pytest.approx(1 / (2 * 1.5 * np.sqrt(np.pi)), rel=0.1)
    steps = np.where(x < 32, 0.0, 200.0)[..., None]
    np.testing.assert_allclose(bilateral(steps, 8.0)[:, 4:28], steps[:, 4:28])
    plain = Camera(float("inf"), 0, 0, 1, True, 0, 0, 0, 1, 95)
    file = plain.picture(np.full((32, 32, 3), 0.5**2.2), None)
    assert file.dtype == np.uint8
    assert abs(int(file[5, 5, 0]) - 128) <= 1
