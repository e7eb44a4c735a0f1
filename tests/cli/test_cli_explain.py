"""What the command line says of a result where it is asked to explain it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from nlmeans.cli.views.words import tuned_words

from nlmeans.noise import impulses

from ..faults import files
from ..faults.streams import Ran


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    """A square on a ramp, with noise."""
    ramp = 40 + np.add.outer(np.arange(90.0), np.arange(80.0)) / 3
    ramp[30:60, 20:60] += 80
    path = tmp_path / "noisy.png"
    image = np.rint(ramp + np.random.default_rng(0).normal(0, 8, ramp.shape))
    path.write_bytes(files.png(image.clip(0, 255).astype("u1")))
    return path


def test_explain_says_it_in_words_and_json_in_numbers(noisy: Path) -> None:
    ran = Ran("denoise", noisy, "--explain", "--json")
    (page,) = json.loads(ran.out)["pages"]
    info = page["info"]
    assert 6 < info["noise"]["sigma"] < 10
    assert info["sigma_error"] > 0
    lines = ran.err.splitlines()
    assert lines[0].startswith(f"  noise: gaussian, sigma {info['noise']['sigma']:.3g} +- ")
    assert lines[-2] == f"  {info['advice']}"
    assert "each pixel is worth" in ran.err


def test_a_given_sigma_has_no_uncertainty_and_quiet_says_nothing(noisy: Path) -> None:
    assert "sigma 8\n" in Ran("denoise", noisy, "--explain", "--sigma", 8).err  # exact, as it is given
    ran = Ran("denoise", noisy, "--explain", "--sigma", 8, "--overwrite", "--quiet", "--json")
    assert ran.err == ""
    assert json.loads(ran.out)["pages"][0]["info"]["sigma_error"] is None


def test_without_it_nothing_is_explained(noisy: Path) -> None:
    ran = Ran("denoise", noisy, "--json")
    assert "info" not in json.loads(ran.out)["pages"][0]
    assert "worth" not in ran.err


def test_impulses_are_counted(noisy: Path, tmp_path: Path) -> None:
    image = np.full((60, 60), 100.0) + np.random.default_rng(1).normal(0, 3, (60, 60))
    image[[10, 20, 30, 40], [11, 31, 17, 50]] = 250
    hot = tmp_path / "hot.png"
    hot.write_bytes(files.png(np.rint(image).astype("u1")))
    ran = Ran("denoise", hot, "--impulses", "replace", "--json")
    assert json.loads(ran.out)["pages"][0]["impulses"] == 4
    assert ", 4 impulses replaced, " in ran.err
    assert "impulses replaced" not in Ran("denoise", noisy, "--json").err


@pytest.mark.parametrize("how", [("--volume",), ("--axis", "0")])
def test_impulses_of_a_stack_are_counted_once(how: tuple[str, ...], tmp_path: Path) -> None:
    image = np.random.default_rng(1).normal(100, 3, (3, 60, 60))
    image[1, [10, 20, 30, 40], [11, 31, 17, 50]] = 250
    stack = tmp_path / ("hot.tif" if how[0] == "--volume" else "hot.npy")
    levels = np.rint(image).astype("u1")
    if stack.suffix == ".npy":
        np.save(stack, levels)
    else:
        tifffile.imwrite(stack, levels, photometric="minisblack")
    ran = Ran("denoise", stack, *how, "--impulses", "replace")
    assert ", 4 impulses replaced, " in ran.err, ran.err


@pytest.mark.parametrize("more", [(), ("--noise", "poisson"), ("--tune",), ("--explain",)])
def test_impulses_are_looked_for_as_often_as_settings_are_chosen(
    more: tuple[str, ...], noisy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once by `suggest` and once by `denoise`: to count them they are not looked for again."""
    calls, look = [], impulses.impulses
    monkeypatch.setattr(impulses, "impulses", lambda *given: (calls.append(1), look(*given))[1])
    ran = Ran("denoise", noisy, "--impulses", "replace", *more)
    assert ran.code == 0, ran.err
    assert len(calls) == 2


def test_tune_finds_another_strength(tmp_path: Path) -> None:
    x = np.arange(200.0)
    flat = 100 + 20 * np.sin(np.add.outer(x, x) / 40)
    path = tmp_path / "flat.png"
    path.write_bytes(
        files.png(np.rint(flat + np.random.default_rng(0).normal(0, 9, flat.shape)).astype("u1"))
    )
    table, tuned = (
        Ran("denoise", path, "--json", "--overwrite", "--sigma", 9, *m) for m in ((), ("--tune",))
    )
    (before,), (after,) = (json.loads(ran.out)["pages"] for ran in (table, tuned))
    factor = after["parameters"]["k"] / before["parameters"]["k"]
    assert factor > 1.1
    assert after["tuned"] == pytest.approx(factor, abs=1e-4)
    assert f"sigma 9, tuned to {factor:.3g} times the strength of the table, " in tuned.err
    assert "tuned" not in before
    assert "tuned" not in table.err


@pytest.mark.parametrize("method", ["nlmeans", "nlridge"])
def test_tune_says_that_the_table_is_kept(method: str, noisy: Path) -> None:
    ran = Ran("denoise", noisy, "--tune", "--method", method, "--sigma", 0, "--json")
    assert ", tuned: the strength of the table is kept, " in ran.err
    assert json.loads(ran.out)["pages"][0]["tuned"] == 1


def test_tune_and_share_contradict_each_other(tmp_path: Path) -> None:
    stack = tmp_path / "stack.tif"
    tifffile.imwrite(stack, np.zeros((2, 30, 30), "u1"), photometric="minisblack")
    ran = Ran("denoise", stack, "--tune", "--share", "settings")
    assert ran.code == 2
    assert "leave one out" in ran.err


def test_several_are_told_of_together() -> None:
    assert tuned_words([1.0, 1.41, 0.71]) == (
        "tuned to 0.71 to 1.41 times the strength of the table, kept for 1 of 3"
    )


def test_uncertainty_is_written_in_the_units_of_the_picture(noisy: Path) -> None:
    error = noisy.with_name("error.npy")
    ran = Ran("denoise", noisy, "--uncertainty", error, "--json")
    assert json.loads(ran.out)["uncertainty"] == str(error)
    found = np.load(error)
    assert (found.shape, found.dtype) == ((90, 80), np.float32)
    assert 0.5 < found.mean() < 8
    assert (
        "name a .tif or .npy file" in Ran("denoise", noisy, "--uncertainty", "error.png", "--overwrite").err
    )


def test_translate_says_options_formulas_and_notes() -> None:
    ran = Ran("translate", "--from", "ffmpeg", "s=3", "p=5", "r=9")
    first, second, *rest = ran.out.splitlines()
    assert first.startswith(
        "nlmeans denoise --sigma 0.0 --h 6.0 --center one --patch-radius 2 --search-radius 4"
    )
    assert second.startswith("nlmeans.denoise(image, sigma=0.0, h=6.0, ")
    assert rest[0].startswith("  h: 10 s / p")
    read = json.loads(Ran("translate", "--from", "skimage", "fast_mode=false", "h=0.2", "--json").out)
    assert read["settings"]["patch"] == "gaussian"
    assert "give NAME=VALUE" in Ran("translate", "--from", "ffmpeg", "s").err
    assert "ffmpeg has no parameter" in Ran("translate", "--from", "ffmpeg", "q=3").err


def test_translate_says_what_scale_a_command_is_for() -> None:
    """Its --h of 0.1 did nothing to a file of 8 bits."""
    asked = ["translate", "--from", "skimage", "h=0.1"]
    assert "for a file of 8 bits add --full-scale 255" in Ran(*asked).out
    assert "add --full-scale" not in Ran(*asked, "--full-scale", 255).out
