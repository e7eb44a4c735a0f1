"""The race of films: what is measured of this package alone; the other program is not installed here."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from nlmeans.benchmarks.race import films


def test_a_film_is_timed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["films", "--size", "48x32", "--frames", "3", "--turns", "1"])
    films.main()
    row = json.loads(capsys.readouterr().out)
    assert row["nlmeans"]["cpu"] > 0
    assert "cpu_ratio" not in row


def test_a_program_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["films", "--size", "32x32", "--frames", "1", "--turns", "1", "--vapoursynth"]
    monkeypatch.setattr(sys, "argv", [*words, f"{sys.executable} -S"])
    with pytest.raises(SystemExit, match="No module named"):
        films.main()


def test_the_film_moves_to_the_left() -> None:
    made = films.film(40, 30, 3)
    assert (made.shape, made.dtype) == ((3, 30, 40), np.float32)
    assert np.abs(made[1, :, :-2] - made[0, :, 2:]).mean() < 1.3 * films.NOISE
