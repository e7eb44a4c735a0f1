"""The command line as a whole: commands, options, exit codes, JSON lines."""

from __future__ import annotations

import gc
import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import tifffile
from nlmeans.cli.program import COMMANDS
from nlmeans.cli.program import nlmeans as group
from nlmeans.cli.status import ExitStatus
from nlmeans.cli.views.words import number

import nlmeans
from nlmeans.errors import Parameter

from ..faults import files, kit
from ..faults.streams import Ran

QUICK = files.QUICK
RADII = ("--patch-radius", "1", "--search-radius", "2")


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    """A grey 8-bit picture."""
    path = tmp_path / "noisy.png"
    path.write_bytes(files.png(files.samples("u1", 1, (24, 32))))
    return path


def commands() -> list[click.Command]:
    context = click.Context(group)
    names = group.list_commands(context)
    return [command for name in names if (command := group.get_command(context, name))]


# --- denoise ------------------------------------------------------------------------------------


def test_denoising_writes_a_new_file_beside_the_input(noisy: Path) -> None:
    before = noisy.read_bytes()
    ran = Ran("denoise", noisy)
    assert ran.code == 0, ran.err
    result = files.decoded(noisy.with_name("noisy.denoised.png"))
    assert result.shape == (24, 32)
    assert result.std() < 0.7 * files.decoded(noisy).std()
    assert noisy.read_bytes() == before
    assert sorted(p.name for p in noisy.parent.iterdir()) == ["noisy.denoised.png", "noisy.png"]


def test_the_result_is_the_librarys(noisy: Path) -> None:
    assert Ran("denoise", noisy, "--sigma", "20", "--search-radius", "3").code == 0
    expected = nlmeans.denoise(files.decoded(noisy), sigma=20, search_radius=3)
    assert np.array_equal(files.decoded(noisy.with_name("noisy.denoised.png")), expected)


def test_colours_are_compared_jointly(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    pixels = files.samples("u1", 3)
    path.write_bytes(files.png(pixels))
    assert (
        Ran("denoise", path, "--sigma", "20,25,30", "--patch-radius", "1", "--search-radius", "2").code == 0
    )
    expected = nlmeans.denoise(pixels, sigma=(20, 25, 30), patch_radius=1, search_radius=2, channel_axis=-1)
    assert np.array_equal(files.decoded(tmp_path / "a.denoised.png"), expected)


@pytest.mark.parametrize(
    ("options", "keywords"),
    [
        (["--h", "5"], {"h": 5}),
        (["--k", "0.3"], {"k": 0.3}),
        (["--patch-radius", "1,2"], {"patch_radius": (1, 2)}),
        (["--search-radius", "image"], {"search_radius": "image"}),
        (["--patch", "gaussian"], {"patch": "gaussian"}),
        (["--center", "one"], {"center": "one"}),
        (["--aggregate", "pixel"], {"aggregate": "pixel"}),
        (["--backend", "reference"], {"backend": "reference"}),
        (["--workers", "1"], {}),
        (["--memory-limit", "50M"], {}),
    ],
)
def test_every_parameter_reaches_the_library(
    options: list[str], keywords: dict[str, Any], noisy: Path
) -> None:
    base = {"sigma": 25.0, "patch_radius": 1, "search_radius": 2}
    assert (
        Ran("denoise", noisy, "--sigma", "25", "--patch-radius", "1", "--search-radius", "2", *options).code
        == 0
    )
    expected = nlmeans.denoise(files.decoded(noisy), **{**base, **keywords})
    assert np.array_equal(files.decoded(noisy.with_name("noisy.denoised.png")), expected)


def test_a_sigma_map_in_colour_is_refused_by_its_option(noisy: Path, tmp_path: Path) -> None:
    (tmp_path / "map.png").write_bytes(files.png(files.samples("u1", 3, (24, 32))))
    ran = Ran("denoise", noisy, "--sigma-map", tmp_path / "map.png")
    assert ran.code == 2
    assert "map.png: it is" in ran.err
    assert "one noise level is of all samples" in ran.err


def test_guide_mask_and_sigma_map_are_read_from_files(noisy: Path) -> None:
    image = files.decoded(noisy)
    folder = noisy.parent
    mask = np.zeros(image.shape, "u1")
    mask[:, 8:] = 255
    guide = np.tile(np.arange(32, dtype="f4"), (24, 1))
    levels = np.full(image.shape, 20.0, "f4")
    (folder / "mask.png").write_bytes(files.png(mask))
    np.save(folder / "guide.npy", guide)
    (folder / "levels.tif").write_bytes(files.tiff(levels))
    result = folder / "noisy.denoised.png"
    base = {"patch_radius": 1, "search_radius": 2}
    for options, keywords in (
        (["--sigma", "20", "--mask", folder / "mask.png"], {"sigma": 20, "mask": mask != 0}),
        (
            ["--h", "2", "--guide", folder / "guide.npy", "--guide-sigma", "0"],
            {"h": 2, "guide": guide, "guide_sigma": 0},
        ),
        (["--sigma-map", folder / "levels.tif", "--k", "0.5"], {"sigma": levels, "k": 0.5}),
    ):
        assert (ran := Ran("denoise", noisy, *options, *RADII, "--overwrite")).code == 0, ran.err
        assert np.array_equal(files.decoded(result), nlmeans.denoise(image, **base, **keywords))


def test_what_was_removed_can_be_written(noisy: Path) -> None:
    folder = noisy.parent
    ran = Ran(
        "denoise",
        noisy,
        *QUICK,
        "--method-noise",
        folder / "{stem}.removed.tif",
        "--side-by-side",
        folder / "both.png",
        "--json",
    )
    assert ran.code == 0, ran.err
    difference = tifffile.imread(folder / "noisy.removed.tif")
    result = files.decoded(folder / "noisy.denoised.png")
    assert difference.dtype == "f4"
    assert np.array_equal(difference, files.decoded(noisy).astype("f4") - result)
    assert files.decoded(folder / "both.png").shape == (24 + 24, 3 * 32 + 2 * 8, 3)
    assert ran.lines[0]["method_noise"] == str(folder / "noisy.removed.tif")
    ran = Ran("denoise", noisy, *QUICK, "--method-noise", folder / "seen.png", "-o", folder / "again.png")
    assert "mid-grey is zero" in ran.err
    assert abs(float(files.decoded(folder / "seen.png").mean()) - 127.5) < 2


def test_sides_are_refused_before_the_work(noisy: Path) -> None:
    taken = noisy.parent / "taken.png"
    taken.write_bytes(b"dear")
    ran = Ran("denoise", noisy, *QUICK, "--side-by-side", taken)
    assert ran.code == 3
    assert taken.read_bytes() == b"dear"
    assert not noisy.with_name("noisy.denoised.png").exists()
    ran = Ran("denoise", noisy, noisy.with_name("b.png"), "--method-noise", "x.tif")
    assert ran.code == 2
    assert "{stem}" in ran.err


@pytest.mark.parametrize("suffix", ["png", "tif", "npy"])
def test_a_dry_run_tells_and_writes_nothing(suffix: str, tmp_path: Path) -> None:
    make = {"png": files.png, "tif": files.tiff, "npy": files.npy}[suffix]
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(make(files.samples("u2", 1, (40, 40))))
    ran = Ran("denoise", path, "--dry-run", "--json", "-o", tmp_path / "out" / f"b.{suffix}")
    assert ran.code == 0, ran.err
    (line,) = ran.lines
    assert line["status"] == "planned"
    assert line["output"] == str(tmp_path / "out" / f"b.{suffix}")
    assert line["seconds"] >= 0
    assert line["memory"] > 1e6
    assert line["pages"][0]["parameters"]["search_radius"] > 0
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_one_failing_file_does_not_stop_the_others(noisy: Path) -> None:
    broken = noisy.with_name("broken.png")
    broken.write_bytes(noisy.read_bytes()[:50])
    last = noisy.with_name("last.npy")
    np.save(last, files.samples("f4"))
    ran = Ran("denoise", noisy, broken, "missing.png", last, *QUICK, "--json")
    assert ran.code == 1
    assert [line["status"] for line in ran.lines] == ["written", "failed", "failed", "written"]


def test_nan_is_refused_with_its_place_and_can_be_kept(tmp_path: Path) -> None:
    image = files.samples("f4")
    image[2, 3] = np.nan
    np.save(tmp_path / "a.npy", image)
    ran = Ran("denoise", tmp_path / "a.npy", *QUICK)
    assert ran.code == 1
    assert "(2, 3)" in ran.err
    assert "--nan keep" in ran.err
    assert Ran("denoise", tmp_path / "a.npy", *QUICK, "--nan", "keep").code == 0
    assert np.isnan(np.load(tmp_path / "a.denoised.npy")).sum() == 1


# --- exit codes ---------------------------------------------------------------------------------


def test_exit_codes_are_what_is_documented() -> None:
    assert {s.name: int(s) for s in ExitStatus} == {
        "DONE": 0,
        "FAILED": 1,
        "USAGE": 2,
        "EXISTS": 3,
        "UNAVAILABLE": 4,
        "LIMIT": 5,
        "INTERRUPTED": 130,
        "PIPE_CLOSED": 141,
        "TERMINATED": 143,
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--sigma", "x"], "no noise level"),
        (["--sigma", "-3"], "no noise level"),
        (["--sigma", "nan"], "no noise level"),
        (["--sigma", "4%,x"], "no noise level"),
        (["--sigma-map", "x.npy", "--sigma", "3"], "takes the place"),
        (["--h", "x"], "not a valid float"),
        (["--h", "-1"], "h must be a finite number >= 0"),
        (["--h", "inf"], "h must be a finite number >= 0"),
        (["--h", "1", "--k", "1"], "either --h or --k"),
        (["--sigma", "3,4,5", "--h", "1"], "h cannot be combined"),
        (["--patch-radius", "-1"], "must be >= 0"),
        (["--patch-radius", "image"], "no radius"),
        (["--patch-radius", "1.5"], "no radius"),
        (["--patch-radius", "300"], "--patch-radius must be an integer in [0, 255]"),
        (["--search-radius", "1,2,3,4"], "one radius per grid axis"),
        (["--search-radius", "x"], "word image"),
        (["--memory-limit", "much"], "no amount of memory"),
        (["--memory-limit", "0"], "no amount of memory"),
        (["--memory-limit", "-1G"], "no amount of memory"),
        (["--workers", "0"], "range"),
        (["--guide-sigma", "3"], "--guide too"),
        (["--overwrite", "--skip-existing"], "contradict"),
        (["--sigm", "3"], "--sigma"),
        (["--quality", "101"], "range"),
        (["--backend", "gpu"], "cuda"),
        (["--mask", "http://x/y.png"], "never opened"),
    ],
)
def test_wrong_usage_ends_with_2_and_one_line(arguments: list[str], words: str, noisy: Path) -> None:
    ran = Ran("denoise", noisy, *arguments)
    assert ran.code == 2
    assert words in ran.err, ran.err
    assert ran.err.count("\n") == 1
    assert [p.name for p in noisy.parent.iterdir()] == [noisy.name]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["denoisee"], "did you mean denoise?"),
        (["estmate"], "did you mean estimate?"),
        (["photo.png"], "nlmeans denoise photo.png"),
        (["zzz"], "there are denoise"),
        (["--verion"], "--version"),
        (["completion", "tcsh"], "bash"),
        (["weights", "a.png"], "--at"),
    ],
)
def test_misspelt_words_are_answered_with_the_right_one(arguments: list[str], words: str) -> None:
    ran = Ran(*arguments)
    assert ran.code == 2
    assert words in ran.err
    assert ran.err.count("\n") == 1


def test_existing_outputs_end_with_3_and_are_kept(noisy: Path) -> None:
    target = noisy.with_name("noisy.denoised.png")
    target.write_bytes(b"dear")
    ran = Ran("denoise", noisy, *QUICK)
    assert ran.code == 3
    assert "--overwrite" in ran.err
    assert "--skip-existing" in ran.err
    assert Ran("denoise", noisy, *QUICK, "--skip-existing").code == 0
    assert target.read_bytes() == b"dear"
    assert Ran("denoise", noisy, *QUICK, "--overwrite").code == 0
    assert files.decoded(target).shape == (24, 32)


def test_a_batch_ends_with_1_if_some_were_written_and_with_the_common_code_if_none(noisy: Path) -> None:
    other = noisy.with_name("other.png")
    other.write_bytes(noisy.read_bytes())
    assert Ran("denoise", noisy, *QUICK).code == 0
    assert Ran("denoise", noisy, other, *QUICK).code == 1
    assert Ran("denoise", noisy, other, *QUICK).code == 3
    other.with_name("other.denoised.png").unlink()
    assert Ran("denoise", noisy, noisy.with_name("missing.png"), *QUICK).code == 1


def test_a_backend_that_cannot_run_ends_with_4(noisy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nlmeans import backends

    monkeypatch.setattr(backends, "describe", lambda: [("cuda", "no GPU is here"), ("cpu", None)])
    ran = Ran("denoise", noisy, noisy, "-o", noisy.parent / "out", "--backend", "cuda")
    assert ran.code == 4
    assert ran.err == "error: the backend cuda cannot run here: no GPU is here\n"


def test_a_backend_that_fails_later_stops_the_batch_with_4(noisy: Path) -> None:
    np.save(noisy.with_name("b.npy"), files.samples("f4"))

    def lost() -> None:
        raise nlmeans.BackendUnavailableError("the GPU is gone")

    with kit.during_denoising(lost):
        ran = Ran("denoise", noisy, noisy.with_name("b.npy"), *QUICK, "--json")
    assert ran.code == 4
    assert len(ran.lines) == 1


@pytest.mark.parametrize(
    "error", [MemoryError(), nlmeans.MemoryLimitError(Parameter("memory_limit"), " must be at least 9")]
)
def test_too_little_memory_ends_with_5(error: Exception, noisy: Path) -> None:
    def short() -> None:
        raise error

    with kit.during_denoising(short):
        ran = Ran("denoise", noisy, *QUICK)
    assert ran.code == 5
    assert "--memory-limit" in ran.err


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt, 130), (BrokenPipeError, 141)])
def test_stopping_has_codes_of_its_own(error: type[BaseException], code: int, noisy: Path) -> None:
    def stop() -> None:
        raise error

    with kit.during_denoising(stop):
        ran = Ran("denoise", noisy, noisy, "-o", "{dir}/x.png", *QUICK)
    assert ran.code == 2  # two inputs with one output: refused
    with kit.during_denoising(stop):
        ran = Ran("denoise", noisy, *QUICK)
    assert ran.code == code
    assert "Traceback" not in ran.err


@pytest.fixture
def heard() -> Iterator[None]:
    """Ctrl-C is heard, also where the tests run in a shell's background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize(("kind", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_that_a_library_hides_still_stops_the_run(kind: str, code: int, noisy: Path) -> None:
    """As Python does with one that comes while a class is made."""
    np.save(noisy.with_name("b.npy"), files.samples("f4"))

    def hidden() -> None:
        try:
            signal.raise_signal(getattr(signal, kind))
        except BaseException:
            raise RuntimeError("Error calling __set_name__") from None

    with kit.during_denoising(hidden):
        ran = Ran("denoise", noisy, noisy.with_name("b.npy"), *QUICK)
    assert ran.code == code
    assert "nothing is half-written" in ran.err
    assert sorted(p.name for p in noisy.parent.iterdir()) == ["b.npy", "noisy.png"]


@pytest.mark.usefixtures("heard")
def test_a_second_signal_does_not_disturb_the_cleaning_up(noisy: Path) -> None:
    def impatient() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)

    with kit.during_denoising(impatient):
        assert Ran("denoise", noisy, *QUICK).code == 130
    assert [p.name for p in noisy.parent.iterdir()] == ["noisy.png"]


def test_a_mistake_of_ours_is_one_line_and_a_traceback_if_asked_for(noisy: Path) -> None:
    def mistake() -> None:
        raise ZeroDivisionError("division by zero")

    with kit.during_denoising(mistake):
        short, long = Ran("denoise", noisy, *QUICK), Ran("denoise", noisy, *QUICK, "--traceback")
    assert short.code == long.code == 1
    assert "unexpected ZeroDivisionError" in short.err
    assert "please report it" in short.err
    assert short.err.count("\n") == 1
    assert "Traceback" in long.err


# --- JSON lines ---------------------------------------------------------------------------------


def check_line(line: dict[str, Any]) -> None:
    """What every line promises."""
    assert line["schema"] == 1
    assert isinstance(line["input"], str)
    assert isinstance(line["output"], str | None)
    assert line["status"] in {"written", "measured", "planned", "skipped", "failed"}
    assert line["code"] in {int(s) for s in ExitStatus}
    assert (line["code"] != 0) is (line["status"] == "failed")
    assert isinstance(line["message"], str)
    assert all(isinstance(w, str) for w in line["warnings"])
    for page in line.get("pages", []):
        assert set(page) >= {"shape", "dtype", "parameters"} or "psnr" in page


def test_every_input_is_one_object_also_when_it_fails(noisy: Path) -> None:
    taken = noisy.with_name("taken.npy")
    np.save(taken, files.samples("f4"))
    taken.with_name("taken.denoised.npy").write_bytes(b"")
    inputs = [noisy, taken, noisy.with_name("missing.png"), noisy.with_name("no\udcff.png")]
    for command in ("denoise", "estimate"):
        ran = Ran(command, *inputs, *QUICK, "--json")
        assert len(ran.lines) == len(inputs)
        for line, path in zip(ran.lines, inputs, strict=True):
            check_line(line)
            assert line["input"] == str(path)
    codes = [line["code"] for line in Ran("denoise", *inputs, *QUICK, "--json", "--quiet").lines]
    assert codes == [3, 3, 1, 1]


def test_parameters_in_the_json_make_the_same_result(noisy: Path) -> None:
    (line,) = Ran("denoise", noisy, "--json").lines
    again = nlmeans.denoise(files.decoded(noisy), **line["pages"][0]["parameters"])
    assert np.array_equal(files.decoded(Path(line["output"])), again)


# --- the other commands -------------------------------------------------------------------------


def test_estimate_finds_the_noise(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(100, 12, (96, 96))
    (tmp_path / "a.tif").write_bytes(files.tiff(noise.astype("f4")))
    ran = Ran("estimate", tmp_path / "a.tif", "--json")
    check_line(ran.lines[0])
    assert ran.lines[0]["pages"][0]["parameters"]["sigma"] == pytest.approx(12, rel=0.1)
    assert (
        "sigma 12" in Ran("estimate", tmp_path / "a.tif").out
        or "sigma 11" in Ran("estimate", tmp_path / "a.tif").out
    )


def test_estimate_tells_every_page(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(files.tiff([files.samples("u2"), files.samples("u2", seed=1)]))
    told = Ran("estimate", tmp_path / "a.tif", *QUICK).out.splitlines()
    assert [" page 1: " in told[0], " page 2: " in told[1], len(told)] == [True, True, 2]


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_compare_measures_like_scikit_image(dtype: str, channels: int, tmp_path: Path) -> None:
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    clean, test = files.samples(dtype, channels, (20, 24)), files.samples(dtype, channels, (20, 24), seed=1)
    for name, pixels in (("clean", clean), ("test", test)):
        (tmp_path / f"{name}.png").write_bytes(files.png(pixels))
    ran = Ran("compare", tmp_path / "clean.png", tmp_path / "test.png", tmp_path / "clean.png", "--json")
    assert ran.code == 0, ran.err
    page, same = (line["pages"][0] for line in ran.lines)
    a, b = (x[..., :3].astype(float) if channels > 1 else x.astype(float) for x in (clean, test))
    full = np.iinfo(dtype).max
    assert page["psnr"] == pytest.approx(peak_signal_noise_ratio(a, b, data_range=full))
    similarity = structural_similarity(
        a,
        b,
        data_range=full,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=-1 if channels > 1 else None,
    )
    assert page["ssim"] == pytest.approx(similarity)
    assert page["mean_shift"] == pytest.approx(b.mean() - a.mean())
    assert same["identical"] is True
    assert same["psnr"] is None
    assert "identical" in Ran("compare", tmp_path / "clean.png", tmp_path / "clean.png").out


def test_compare_refuses_pictures_of_two_kinds(noisy: Path) -> None:
    other = noisy.with_name("other.png")
    other.write_bytes(files.png(files.samples("u2", 1, (24, 32))))
    ran = Ran("compare", noisy, other)
    assert ran.code == 2
    assert "16-bit" in ran.err


def test_weights_are_drawn_and_told(noisy: Path) -> None:
    ran = Ran("weights", noisy, "--at", "5,7", *QUICK)
    assert ran.code == 0, ran.err
    assert files.decoded(noisy.with_name("noisy.weights.png")).ndim == 3
    exact = noisy.with_name("weights.npy")
    assert Ran("weights", noisy, "--at", "5,7", *QUICK, "-o", exact).code == 0
    weights = np.load(exact)
    expected = nlmeans.weights(files.decoded(noisy), (7, 5), sigma=25.5, patch_radius=1, search_radius=2)
    assert np.allclose(weights, expected)
    assert weights.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("at", "words"), [("5", "no pixel"), ("a,b", "no pixel"), ("32,0", "outside"), ("0,-1", "outside")]
)
def test_weights_of_no_pixel_are_refused(at: str, words: str, noisy: Path) -> None:
    ran = Ran("weights", noisy, f"--at={at}")
    assert ran.code == 2
    assert words in ran.err


def test_info_lists_every_backend_and_its_reason() -> None:
    from nlmeans import backends

    told = Ran("info").out
    lines = json.loads(Ran("info", "--json").out)["backends"]
    assert [(line["name"], line["reason"]) for line in lines] == list(backends.describe())
    for name, reason in backends.describe():
        assert name in told
        assert reason is None or reason in told


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_commands_options_and_values(shell: str) -> None:
    script = Ran("completion", shell).out
    assert "_NLMEANS_COMPLETE" in script


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("nlmeans den", "denoise"),
        ("nlmeans denoise --sig", "--sigma"),
        ("nlmeans denoise --backend c", "cuda"),
    ],
)
def test_completion_answers(words: str, expected: str) -> None:
    variables = {
        "_NLMEANS_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    ran = subprocess.run(
        [sys.executable, "-m", "nlmeans.cli"],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    assert expected in ran.stdout


# --- help ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [c.name for c in commands()])
def test_help_says_everything(name: str) -> None:
    (command,) = (c for c in commands() if c.name == name)
    text = Ran(name, "-h").out
    assert text == Ran(name, "--help").out
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, f"{name} {option.name} is not explained"
            long = [o for o in option.opts if o.startswith("--")]
            assert long, f"{option.name} has only a short form"
            assert long[0] in text
    assert max(map(len, text.splitlines())) <= 80


def test_what_is_used_most_stands_first() -> None:
    """The daily options of denoise before the 40 others, each once, and the rest under headings."""
    text = Ran("denoise", "-h").out
    first, *others = re.split(r"\n(?=\w.*:\n  -)", text)[1:]
    assert first.startswith("Most used:")
    used = re.findall(r"^  (?:-\w, )?(--[\w-]+)", first, re.MULTILINE)
    assert used[:4] == ["--output", "--strength", "--method", "--sigma"]
    assert 8 <= len(used) <= 14
    rest = [re.findall(r"^  (?:-\w, )?(--[\w-]+)", other, re.MULTILINE) for other in others]
    assert [other.partition(":")[0] for other in others][:2] == ["Output", "Filter"]
    assert not set(used) & {name for names in rest for name in names}
    assert "Most used" not in Ran("demo", "-h").out


def test_no_argument_is_answered_with_help() -> None:
    for arguments in ([], ["denoise"], ["estimate"], ["weights"], ["compare"]):
        ran = Ran(*arguments)
        assert ran.code == 2
        assert "Usage:" in ran.err
    assert "Example" in Ran("denoise").err


@pytest.mark.parametrize(
    "name", [name for name in COMMANDS if name not in ("info", "demo", "bench", "completion", "translate")]
)
def test_a_command_alone_is_answered_shortly(name: str) -> None:
    """Its use, examples and where the options are listed; it was all of its help, 91 lines for denoise."""
    said = Ran(name).err
    assert said.startswith(f"Usage: nlmeans {name} ")
    assert f"'nlmeans {name} -h' lists the options" in said
    assert len(said.splitlines()) <= 16
    assert max(map(len, said.splitlines())) <= 80


def test_many_files_are_summed_up(tmp_path: Path) -> None:
    for n in range(3):
        (tmp_path / f"{n}.png").write_bytes(files.png(files.samples("u1", seed=n)))
    (tmp_path / "broken.png").write_bytes(b"GIF89a")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "1.png").write_bytes(b"")
    options = ("-o", tmp_path / "out", "--skip-existing", *QUICK)
    ran = Ran("denoise", *sorted(tmp_path.glob("*.png")), *options)
    assert ran.err.splitlines()[-1].startswith("2 written, 1 skipped, 1 failed of 4, ")
    assert Ran("denoise", *sorted(tmp_path.glob("*.png")), *options, "-q").err.count("\n") == 1
    assert "failed of" not in Ran("denoise", tmp_path / "broken.png").err


def test_help_is_a_word_too() -> None:
    assert Ran("help").out == Ran("--help").out != ""
    assert Ran("help", "estimate").out == Ran("estimate", "--help").out != ""


def test_the_beginning_of_a_name_is_enough(noisy: Path) -> None:
    whole = Ran("estimate", noisy)
    assert (whole.code, Ran("est", noisy).out) == (0, whole.out)
    assert "nlmeans estimate -h" in Ran("est", "--nothing", noisy).err
    ran = Ran("d", noisy)
    assert (ran.code, "'d' could be denoise or demo" in ran.err) == (2, True)


def test_huge_patches_are_warned_of(noisy: Path) -> None:
    for radius, warned in (("10", False), ("100", True), ("0,40", True)):
        ran = Ran(
            "denoise", noisy, "--patch-radius", radius, "--search-radius", "1", "--sigma", "9", "--overwrite"
        )
        assert ran.code == 0, ran.err
        assert ("1 to 5 are usual" in ran.err) is warned


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (3071.2, "3070"),
        (20.194, "20.2"),
        (0.001234, "0.00123"),
        (12345678, "1.23e+07"),
        (999.9, "1000"),
        (0, "0"),
    ],
)
def test_numbers_are_told_as_options_take_them(value: float, words: str) -> None:
    assert number(value) == words


def test_sixteen_bits_that_use_twelve_are_told_their_range(tmp_path: Path) -> None:
    """It was "sigma 3.07e+03 (0.0015 % of full scale)", for any type but 8 bits."""
    pixels = np.random.default_rng(0).normal(2000, 100, (64, 64)).astype("u2")
    pixels[0, 0], pixels[0, 1] = 12, 4012
    heights = np.full((64, 64), -9999, "f4")
    heights[8:] = np.random.default_rng(0).normal(700, 20, (56, 64))
    heights[9, 9], heights[9, 10] = 600, 820
    (tmp_path / "a.tif").write_bytes(files.tiff(pixels))
    (tmp_path / "b.tif").write_bytes(files.tiff(heights, extratags=[(42113, 2, None, "-9999", True)]))
    assert (
        "sigma 1200 (values from 12 to 4012);" in Ran("estimate", tmp_path / "a.tif", "--sigma", "1200").out
    )
    assert "sigma 20 (values from 600 to 820);" in Ran("estimate", tmp_path / "b.tif", "--sigma", "20").out
    assert "sigma 3070," in Ran("denoise", tmp_path / "a.tif", "--sigma", "3071").err


@pytest.mark.parametrize(("volume", "lines"), [((), 4), (("--volume",), 1)])
def test_what_was_chosen_is_told_once_for_a_volume(
    volume: tuple[str, ...], lines: int, tmp_path: Path
) -> None:
    pages = [files.samples("u1", 1, (24, 24), seed) // (1 + seed) for seed in range(4)]
    (tmp_path / "a.tif").write_bytes(files.tiff(pages))
    ran = Ran("denoise", tmp_path / "a.tif", "-v", *RADII, *volume)
    assert ran.code == 0, ran.err
    assert ran.err.count('"patch_radius"') == lines


# --- endurance ----------------------------------------------------------------------------------


def test_memory_and_handles_stay_as_they_are(tmp_path: Path) -> None:
    """Many pictures of all formats through one process."""
    for name, make in (
        ("a.png", lambda: files.png(files.samples("u2", 3, (32, 32)))),
        ("b.jpg", lambda: files.pillow(files.samples("u1", 3, (32, 32)), "JPEG")),
        ("c.tif", lambda: files.tiff(files.samples("u2", 1, (32, 32)))),
        ("d.webp", lambda: files.pillow(files.samples("u1", 3, (32, 32)), "WEBP", lossless=True)),
        ("e.npy", lambda: files.npy(files.samples("f4", 1, (32, 32)))),
    ):
        (tmp_path / name).write_bytes(make())

    def through(times: int) -> None:
        for _ in range(times):
            ran = Ran("denoise", "-r", tmp_path, "-o", tmp_path / "out", "--overwrite", *QUICK)
            assert ran.code == 0, ran.err

    def state() -> tuple[float, int]:
        gc.collect()
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
        return resident, len(os.listdir("/proc/self/fd"))

    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc")
    through(20)
    memory, handles = state()
    through(40)
    grown, left = state()
    assert left == handles
    assert grown < 1.05 * memory


@pytest.mark.parametrize("command", ["denoise", "compare", "attention"])
def test_use_without_arguments_has_no_holes(command: str) -> None:
    """The indentation of the source was in it."""
    text = Ran(command).err.partition("\n\n")[2].partition("\n\n")[0]
    assert text
    assert re.search(r"\S  +\S", text) is None
