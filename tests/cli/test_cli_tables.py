"""CSV: columns are signals; time, words, comments and the form of the table stay as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import nlmeans

from ..faults.streams import Ran

QUICK = ("--sigma", "0.1", "--patch-radius", "2", "--search-radius", "8")
N = 120


def beats(seed: int = 0) -> np.ndarray:
    """A pulse that repeats, with noise, to three decimals."""
    t = np.arange(N) % 30
    return np.round(np.exp(-(((t - 12) / 2) ** 2)) + np.random.default_rng(seed).normal(0, 0.1, N), 3)


def expected(values: np.ndarray) -> np.ndarray:
    return nlmeans.denoise(values, sigma=0.1, patch_radius=2, search_radius=8)


def table(path: Path, *lines: str, end: str = "\n") -> Path:
    path.write_bytes((end.join(lines) + end).encode())
    return path


def cells(path: Path, separator: str) -> list[list[str]]:
    return [line.split(separator) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(("separator", "comma"), [(",", False), (";", True), ("\t", False), ("\t", True)])
def test_columns_are_signals_and_the_rest_stays(separator: str, comma: bool, tmp_path: Path) -> None:
    first, second = beats(0), beats(1)
    rows = [f"{n / 500:.3f}|{a:.3f}|lead|{b:.3f}" for n, (a, b) in enumerate(zip(first, second, strict=True))]
    body = [row.replace(".", "," if comma else ".").replace("|", separator) for row in rows]
    names = separator.join(["time", "I", "of", "II"])
    path = table(tmp_path / "ecg.csv", "# made here", names, *body, end="\r\n")
    ran = Ran("denoise", path, *QUICK)
    assert ran.code == 0
    assert "column 1 only rises" in ran.err
    out = tmp_path / "ecg.denoised.csv"
    assert out.read_bytes().startswith(f"# made here\r\n{names}\r\n".encode())
    after = cells(out, separator)[2:]
    before = [row.split(separator) for row in body]
    assert [row[0] for row in after] == [row[0] for row in before]
    assert {row[2] for row in after} == {"lead"}
    for column, values in ((1, first), (3, second)):
        got = np.array([float(row[column].replace(",", ".")) for row in after])
        np.testing.assert_allclose(got, expected(values), atol=0.51e-5)  # two more decimals
        assert np.abs(got - values).max() > 0.05


def test_one_column_without_a_name_and_numbers_with_exponents(tmp_path: Path) -> None:
    values = beats() * 1e-6
    path = table(tmp_path / "a.csv", *(f"{v:.6e}" for v in values))
    assert Ran("denoise", path, "--sigma", "1e-7", *QUICK[2:]).code == 0
    got = np.loadtxt(tmp_path / "a.denoised.csv")
    np.testing.assert_allclose(got, expected(values * 1e6) * 1e-6, rtol=0, atol=1e-12)


def test_missing_numbers_are_refused_or_kept(tmp_path: Path) -> None:
    texts = [f"{n},{v:.3f}" for n, v in enumerate(beats())]
    texts[40], texts[41] = "40,", "41,NA"
    path = table(tmp_path / "a.csv", "n,v", *texts)
    ran = Ran("denoise", path, *QUICK)
    assert ran.code != 0
    assert "--nan keep" in ran.err
    assert Ran("denoise", path, *QUICK, "--nan", "keep").code == 0
    after = cells(tmp_path / "a.denoised.csv", ",")
    assert [after[41][1], after[42][1]] == ["", "NA"]
    assert np.isfinite([float(row[1]) for row in after[1:41]]).all()


def test_arrays_of_one_axis_become_tables_and_pictures_do_not(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", beats())
    assert Ran("denoise", tmp_path / "a.npy", *QUICK, "-o", tmp_path / "a.csv").code == 0
    np.testing.assert_allclose(np.loadtxt(tmp_path / "a.csv"), expected(beats()), rtol=1e-8)
    np.save(tmp_path / "b.npy", np.zeros((9, 9)))
    ran = Ran("denoise", tmp_path / "b.npy", "-o", tmp_path / "b.csv")
    assert ran.code != 0
    assert "signals as columns" in ran.err


REFUSED = {
    "words": (["hello, world 12", "and, more"], "no table of numbers"),
    "ragged": (["1,2.5", "2,3.5,4", "3,1.5"], "line 2 has 3 columns"),
    "quoted": (['"1","2.5"', '"2","3.5"'], "without quotes"),
    "decimals or columns": (["0,125", "0,250", "0,125"], "between columns or before decimals"),
    "one line": (["1,2,3"], "no table of numbers"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_the_reason(case: str, tmp_path: Path) -> None:
    lines, words = REFUSED[case]
    ran = Ran("denoise", table(tmp_path / "a.csv", *lines), *QUICK)
    assert ran.code != 0
    assert words in ran.err
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]
