"""The race of volumes and films: programs take turns, each in its process; a missing one has its reason."""

from __future__ import annotations

import json
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nlmeans.benchmarks.problems import NOISE, Problem, frames
from nlmeans.benchmarks.race import stacks
from nlmeans.benchmarks.race.turns import PYTHON_VARIABLE


def raced(words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """The rows of a run from the command line."""
    path = tmp_path / "rows.json"
    monkeypatch.setattr(sys, "argv", ["stacks", *words, "--json", str(path)])
    stacks.main()
    rows: list[dict[str, Any]] = json.loads(path.read_text())
    return rows


def test_volumes_take_turns_and_a_missing_program_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = ["volumes", "--side", "20", "--repeats", "2", "--rivals", "scikit-image", "ANTsPy"]
    ours, other, missing = raced(words, monkeypatch, tmp_path)
    assert (ours["calls"], ours["cpu_ratio"], other["calls"]) == (2, 1.0, 2)
    assert other["wall"] > 0
    assert ours["psnr"] > 28 > 22.2  # of the noise
    assert other["psnr"] > 25  # another border
    assert "No module named 'ants'" in missing["reason"]


def test_films_are_timed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(PYTHON_VARIABLE, raising=False)
    words = ["films", "--size", "48x32", "--frames", "3", "--repeats", "1"]
    ours, missing = raced(words, monkeypatch, tmp_path)
    assert ours["cpu"] > 0
    assert ours["psnr"] > 23
    assert "VapourSynth" in missing["reason"]
    _, failed = raced([*words, "--vapoursynth", sys.executable], monkeypatch, tmp_path)
    assert "No module named 'vapoursynth'" in failed["reason"]


def test_the_cube_is_a_ball_with_noise() -> None:
    problem = stacks.volume(32)
    noisy = problem.noisy()
    assert (noisy.shape, noisy.dtype, problem.pixels) == ((32, 32, 32), np.float32, 32**3)
    assert noisy[16, 16, 16] > noisy[0].mean() + 0.2
    assert np.std(noisy - problem.clean()) == pytest.approx(NOISE, rel=0.02)


def test_a_film_moves_to_the_left_and_is_the_same_frame_by_frame() -> None:
    film = stacks.film(40, 30, 3)
    clean, noisy = film.clean(), film.noisy()
    assert (noisy.shape, noisy.dtype) == ((3, 30, 40), np.float32)
    np.testing.assert_array_equal(clean[1, :, :-2], clean[0, :, 2:])
    np.testing.assert_array_equal(clean[0], Problem("", (30, 40)).clean())
    np.testing.assert_array_equal(film.with_dtype("uint8").noisy(), list(islice(frames((30, 40)), 3)))
    assert np.std(noisy[2] - clean[2]) == pytest.approx(NOISE, rel=0.05)
