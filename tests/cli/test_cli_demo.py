"""``nlmeans demo``: the files that examples read, complete or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from nlmeans.cli.commands.demo import NAMES, NOISE

from ..faults import files
from ..faults.streams import Ran


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "new" / "folder"
    ran = Ran("demo", folder)
    assert ran.code == 0, ran.err
    wrote, compare = ran.err.splitlines()
    assert all(str(folder / name) in wrote for name in NAMES)
    assert Ran(*compare.partition("nlmeans ")[2].split()).code == 0
    return folder


def test_the_noise_is_the_noise_and_most_of_it_goes(made: Path) -> None:
    original, noisy, array, denoised = (files.decoded(made / name).astype(float) for name in NAMES)
    assert np.array_equal(noisy, array)
    assert (noisy - original).std() == pytest.approx(NOISE, rel=0.05)
    assert (denoised - original).std() < 0.4 * NOISE


def test_the_picture_has_smooth_and_busy_places(made: Path) -> None:
    original = files.decoded(made / "original.png").astype(float)
    steps = np.abs(np.diff(original, axis=1))
    assert original.shape == (384, 512)
    assert original.max() - original.min() > 150
    assert (steps < 2).mean() > 0.5
    assert (steps > 30).mean() > 0.02


def test_the_denoised_file_is_what_denoise_makes(made: Path) -> None:
    assert Ran("denoise", made / "noisy.png").code == 0
    assert (made / "noisy.denoised.png").read_bytes() == (made / "denoised.png").read_bytes()


def test_a_second_run_makes_the_same_files_only_with_overwrite(made: Path, tmp_path: Path) -> None:
    assert Ran("demo", tmp_path).code == 0
    before = {name: (tmp_path / name).read_bytes() for name in NAMES}
    assert before == {name: (made / name).read_bytes() for name in NAMES}
    (tmp_path / "noisy.npy").write_bytes(b"mine")
    (tmp_path / "original.png").unlink()
    ran = Ran("demo", tmp_path)
    assert ran.code == 3
    assert "noisy.png exists; give --overwrite to replace it\n" in ran.err
    assert not (tmp_path / "original.png").exists()  # refused before anything was written
    assert (tmp_path / "noisy.npy").read_bytes() == b"mine"
    assert Ran("demo", tmp_path, "--overwrite").code == 0
    assert {name: (tmp_path / name).read_bytes() for name in NAMES} == before


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    ran = Ran("demo", tmp_path / "file")
    assert ran.code == 1
    assert ran.err.startswith("error: ")
    assert (tmp_path / "file").read_bytes() == b""
