"""Every example of the README is run as it stands there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
from skimage import data

README = Path(__file__).parent.parent / "README.md"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the files that the examples speak of."""
    monkeypatch.chdir(tmp_path)
    clean = data.camera()[96:160, 192:272]
    noisy = np.clip(clean + np.random.default_rng(0).normal(0, 20, clean.shape), 0, 255).astype(np.uint8)
    np.save("noisy.npy", noisy)
    imageio.imwrite("original.png", clean)
    imageio.imwrite("noisy.png", noisy)
    return tmp_path


def test_the_python_examples_run_one_after_another(folder):
    names: dict[str, object] = {}
    assert len(blocks("python")) >= 5
    for block in blocks("python"):
        if "nlmeans.learned" in block and find_spec("torch") is None:
            continue  # of an extra that is not installed
        exec(compile(block, "README.md", "exec"), names)
    original = imageio.imread("original.png").astype(float)

    def error(image):
        return np.mean((np.asarray(image, dtype=float) - original) ** 2)

    assert error(names["clean"]) < 0.5 * error(names["noisy"])


def test_the_shell_examples_run_one_after_another(folder):
    commands = [line[2:] for block in blocks("console") for line in block.splitlines() if line[:2] == "$ "]
    assert len(commands) >= 5
    for command in commands:
        name, *arguments = shlex.split(command)
        assert name == "nlmeans"
        done = subprocess.run(
            [sys.executable, "-m", "nlmeans.cli", *arguments], capture_output=True, text=True
        )
        assert done.returncode == 0, command + "\n" + done.stderr
    for made in ("clean.png", "clean2.png", "look.png", "weights.png", "report.html", "maps.png"):
        assert (folder / made).stat().st_size > 100, made
