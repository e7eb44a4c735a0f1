"""The figures that later work is compared with: what is committed can be measured again."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from imageio.v3 import imwrite
from nlmeans.benchmarks import ROOT
from nlmeans.benchmarks.__main__ import main
from nlmeans.benchmarks.problems import Problem
from nlmeans.benchmarks.report import cpu as report
from nlmeans.benchmarks.studies import baseline

from nlmeans import denoise

NAMES = {"set12": ("01", "02", "03"), "kodak": ("kodim01", "kodim13"), "train": ("test_001", "test_002")}


@pytest.fixture(scope="module")
def committed():
    return report.read(baseline.COMMITTED)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Generated pictures under the names of the real ones."""
    found = {}
    for group, names in NAMES.items():
        found[group] = tmp_path_factory.mktemp(group)
        for seed, name in enumerate(names):
            clean = Problem("", (40, 48), channels=3 if group == "kodak" else 1, seed=seed).clean()
            imwrite(found[group] / f"{name}.png", np.rint(255 * clean).astype(np.uint8))
    return found


def keys(found):
    """Of dictionaries in dictionaries."""
    return {name: keys(inner) for name, inner in found.items()} if isinstance(found, dict) else None


def test_the_command_measures_what_is_committed_and_tells_no_path(folders, tmp_path, committed, capsys):
    path = tmp_path / "baseline.json"
    words = [word for name, folder in folders.items() for word in (f"--{name}", str(folder))]
    assert main(["baseline", *words, "--quick", "--json", str(path)]) == 0
    assert "sigma 25" in capsys.readouterr().err
    text = path.read_text(encoding="utf-8")
    found = json.loads(text)
    assert keys(found) == keys(committed)
    for place in (tmp_path.parent, ROOT, sys.prefix):
        assert str(place) not in text
    assert found["data"]["set12"]["listed"] == ["01", "03"]
    assert "RGB over grey: " in baseline.summary(found)


def test_noise_is_one_stream_and_quality_and_estimates_are_those_of_the_calls(folders):
    pictures = baseline.read(baseline.GROUPS["set12"], folders["set12"])
    first, second, _ = pictures.noisy(25)
    noise = np.random.default_rng(0).normal(0, 25, (2, 40, 48))
    np.testing.assert_allclose([first, second] - noise, pictures.clean[:2], atol=1e-9)
    result = np.clip(denoise(pictures.clean[0] + noise[0], sigma=25), 0, 255)
    dB = 10 * np.log10(255**2 / np.mean((result - pictures.clean[0]) ** 2))
    row = baseline.quality(pictures)["default"]["25"]
    assert row["pictures"][0] == pytest.approx(dB, abs=1e-3)
    assert row["means"]["all"] == pytest.approx(np.mean(row["pictures"]), abs=1e-3)
    errors = baseline.estimates(pictures)["50"]
    assert errors["worst_error"] == pytest.approx(max(abs(r - 1) for r in errors["pictures"]), abs=1e-3)


def test_a_folder_without_pictures_is_an_error_that_names_it(tmp_path):
    with pytest.raises(SystemExit, match="holds no PNG file"):
        baseline.read(baseline.GROUPS["set12"], tmp_path)


def test_outside_of_git_there_is_no_commit(tmp_path):
    assert baseline.commit(tmp_path) is None


def test_the_committed_figures_are_those_of_the_commit_that_plans_call_today(committed):
    assert committed["commit"].startswith("ada1cfc")
    assert "changes" not in committed["commit"]
    assert "--quick" not in committed["command"]
    assert [d["pictures"] for d in committed["data"].values()] == [12, 12, 400, 40]
