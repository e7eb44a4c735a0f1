"""Quality against time: some rows are measured anew, and all others stay as they are in the record."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imageio.v3 import imwrite
from nlmeans.benchmarks import commands
from nlmeans.benchmarks.problems import Problem
from nlmeans.benchmarks.studies import methods, tradeoff


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Two grey pictures and two of colours."""
    found = {"grey": tmp_path / "grey", "kodak": tmp_path / "kodak"}
    for kind, folder in found.items():
        folder.mkdir()
        for name in (13, 15):
            clean = Problem("", (40, 48), channels=3 if kind == "kodak" else 1, seed=name).clean()
            imwrite(folder / f"kodim{name}.png", np.rint(255 * clean).astype(np.uint8))
    return found


def run(path: Path, folders: dict[str, Path], *words: str) -> dict[str, Any]:
    """The record after a run."""
    named = ["--set12", str(folders["grey"]), "--kodak", str(folders["kodak"]), "--json", str(path)]
    assert commands.main(["methods", *named, *words]) == 0
    record: dict[str, Any] = json.loads(path.read_text())
    return record


def test_methods_that_are_named_are_measured_anew(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(methods, "find_spec", lambda _: None)  # BM3D takes minutes
    path = tmp_path / "methods.json"
    before = run(path, folders, "--only", "one pass", "two passes")["methods"]["set12"]
    assert set(before) == {"one pass", "one pass, few", "two passes", "two passes, few"}
    assert before["one pass"]["25"]["psnr"] > 22  # of the noise: 20.2
    spoiled = json.loads(path.read_text())
    for row in spoiled["methods"]["set12"].values():
        row["25"]["psnr"] = 0
    path.write_text(json.dumps(spoiled))
    after = run(path, folders, "--only", "one pass")["methods"]["set12"]
    assert after["one pass"]["25"]["psnr"] == before["one pass"]["25"]["psnr"]
    assert after["two passes"]["25"]["psnr"] == 0
    assert set(after["one pass"]["measured"]) == {"cpu", "time", "load_average"}


def test_a_record_of_other_pictures_is_not_mixed_in(folders: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "methods.json"
    run(path, folders, "--only", "one pass")
    next(folders["grey"].iterdir()).unlink()
    with pytest.raises(SystemExit, match="other pictures"):
        run(path, folders, "--only", "one pass")


def test_filters_that_are_named_are_drawn_with_the_others(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tradeoff.json"
    words = ["tradeoff", "--grey", str(folders["grey"]), "--kodak", str(folders["kodak"]), "--out", str(path)]
    for name in ("nlmeans, pixels", "nlmeans, one pass"):
        monkeypatch.setattr(sys, "argv", [*words, "--only", name])
        tradeoff.main()
    rows = json.loads(path.read_text())["rows"]
    assert set(rows["grey"]) == set(rows["colour"]) == {"nlmeans, pixels", "nlmeans, one pass"}
    drawn = path.with_suffix(".svg").read_text()
    assert "nlmeans, pixels" in drawn
    assert "nlmeans, one pass" in drawn
