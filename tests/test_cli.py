"""The command line as a whole: what goes in, what comes out, and the exit code."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from nlmeans.cli.environment import Environment
from nlmeans.cli.main import run


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def environment(*, terminal: bool = False, given: bytes = b"", **variables: str) -> Environment:
    """Streams that a test can read."""
    text = Terminal if terminal else io.StringIO
    return Environment(text(), text(), io.BytesIO(given), io.BytesIO(), variables)


def test_denoising_writes_a_new_file_beside_the_input(tmp_path: Path) -> None:
    noisy = np.random.default_rng(0).normal(0.5, 0.1, (24, 20))
    np.save(tmp_path / "a.npy", noisy)
    assert run(["denoise", str(tmp_path / "a.npy"), "--sigma", "0.1"], environment()) == 0
    result = np.load(tmp_path / "a.denoised.npy")
    assert result.shape == noisy.shape
    assert result.std() < 0.7 * noisy.std()
    assert np.array_equal(np.load(tmp_path / "a.npy"), noisy)


def test_the_input_is_never_the_output(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((8, 8)))
    before = path.read_bytes()
    around = environment()
    assert run(["denoise", str(path), "-o", str(path)], around) == 3
    assert "is the input itself" in around.err.getvalue()  # type: ignore[attr-defined]
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "arguments", [["denoise", "--sigma", "x", "a.npy"], ["denoisee"], ["denoise", "--sigm", "1"]]
)
def test_wrong_usage_ends_with_2_and_one_line(arguments: list[str]) -> None:
    around = environment()
    assert run(arguments, around) == 2
    assert around.err.getvalue().count("\n") == 1  # type: ignore[attr-defined]
