"""Messages that say what to do: names with dashes, templates, long lines, what is no warning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from nlmeans.cli.status import reason_of

from ..faults import files
from ..faults.streams import Ran

QUICK = files.QUICK


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    (tmp_path / "in.png").write_bytes(files.png(files.samples("u1", 1, (24, 32))))
    return tmp_path / "in.png"


@pytest.mark.parametrize("command", ["denoise", "estimate", "weights", "report"])
def test_a_file_whose_name_begins_with_a_dash_is_told_of(command: str) -> None:
    ran = Ran(command, "-x.png", *(("--at", "1,1") if command == "weights" else ()))
    assert ran.code == 2
    assert "come behind --, as in -- -x.png" in ran.err


def test_other_wrong_options_are_told_as_before() -> None:
    ran = Ran("denoise", "in.png", "-x")
    assert ran.code == 2
    assert "behind" not in ran.err
    assert "behind" not in Ran("denoise", "in.png", "--sgima", "3", "--", "--sgima.png").err


@pytest.mark.parametrize("option", ["-o", "--side-by-side", "--method-noise"])
@pytest.mark.parametrize("field", ["{name}", "{stm}"])
def test_an_unknown_field_of_a_template_is_named(
    option: str, field: str, noisy: Path, tmp_path: Path
) -> None:
    """It became part of the name of one output; of several, there was talk of "the one name"."""
    for inputs in ([noisy], [noisy, noisy.with_name("b.png")]):
        ran = Ran("denoise", *inputs, option, tmp_path / f"{field}.tif", *QUICK)
        assert ran.code == 2
        assert f"the unknown field {field}; there are {{stem}}, {{ext}} and {{dir}}" in ran.err
    assert [p.name for p in tmp_path.iterdir()] == ["in.png"]


def test_a_folder_of_such_a_name_is_no_field(noisy: Path, tmp_path: Path) -> None:
    (tmp_path / "{name}").mkdir()
    ran = Ran("denoise", noisy, "-o", tmp_path / "{name}", *QUICK)
    assert ran.code == 0, ran.err
    assert (tmp_path / "{name}" / "in.png").exists()


def test_how_to_read_a_picture_is_no_warning(noisy: Path, tmp_path: Path) -> None:
    arguments = ("denoise", noisy, "-o", tmp_path / "out.png", "--method-noise", tmp_path / "m.png", *QUICK)
    ran = Ran(*arguments, "--json")
    assert (ran.code, ran.warnings, ran.lines[0]["warnings"]) == (0, [], [])
    assert "mid-grey is zero" in ran.lines[0]["message"]
    assert "mid-grey" not in Ran(*arguments, "--overwrite", "-q").err


@pytest.mark.parametrize("terminal", [True, False])
def test_long_messages_are_set_in_on_a_terminal(
    terminal: bool, noisy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    ran = Ran("denoise", noisy, "-o", tmp_path / "out.jpg", "--dtype", "float32", err_terminal=terminal)
    text = ran.err[ran.err.index("JPEG") :]
    assert ("\n    " in text) is terminal
    assert not terminal or max(len(line) for line in text.splitlines()[1:]) <= 60
    assert "name a .png, .tif or .npy output" in " ".join(text.split())


def test_no_noise_is_told_as_none(tmp_path: Path) -> None:
    """An 8-bit picture without any was told to have 6.52e-24."""
    picture = np.zeros((64, 127, 3), "u1")
    picture[..., 0] = 2 * np.arange(127)
    picture[..., 1] = 4 * np.arange(64)[:, None]
    picture[32:, :, 2] = 255
    (tmp_path / "in.png").write_bytes(files.png(picture))
    ran = Ran("estimate", tmp_path / "in.png", "--json")
    assert ran.lines[0]["pages"][0]["parameters"]["sigma"] == 0
    assert "sigma 0 " in Ran("estimate", tmp_path / "in.png").out
    ran = Ran("denoise", tmp_path / "in.png", "-o", tmp_path / "out.png")
    assert "sigma 0," in ran.err
    np.testing.assert_array_equal(files.decoded(tmp_path / "out.png"), picture)


# --- compare with pixels that are no numbers -----------------------------------------------------


def test_compare_leaves_out_what_is_no_number(tmp_path: Path) -> None:
    clean = np.random.default_rng(0).normal(100, 20, (32, 32)).astype("f4")
    noisy = clean + np.float32(2)
    noisy[3, 4], noisy[5, 6], clean[7, 8] = np.nan, np.inf, np.nan
    for name, array in (("clean", clean), ("noisy", noisy)):
        (tmp_path / f"{name}.npy").write_bytes(files.npy(array))
    names = (tmp_path / "clean.npy", tmp_path / "noisy.npy")
    ran = Ran("compare", *names)
    assert ran.code == 2
    assert "--nan keep" in ran.err
    ran = Ran("compare", *names, "--nan", "keep", "--json")
    (page,) = ran.lines[0]["pages"]
    assert (page["left_out"], page["identical"]) == (3, False)
    assert 0 < page["ssim"] < 1
    both = np.isfinite(clean) & np.isfinite(noisy)
    assert page["psnr"] == pytest.approx(20 * np.log10(np.ptp(clean[both]) / 2), abs=1e-3)
    assert page["mean_shift"] == pytest.approx(2, rel=1e-5)
    assert "3 values without a number" in Ran("compare", *names, "--nan", "keep").out


def test_compare_of_nothing_but_holes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "nan.npy").write_bytes(files.npy(np.full((9, 9), np.nan, "f4")))
    ran = Ran("compare", tmp_path / "nan.npy", tmp_path / "nan.npy", "--nan", "keep")
    assert ran.code == 2
    assert "no pixel" in ran.err


@pytest.mark.parametrize(
    "arguments", [["compare"], ["report"], ["weights", "--at", "1,1"], ["view", "--no-browser"]]
)
def test_an_error_that_ends_the_run_names_the_file(arguments: list[str], tmp_path: Path) -> None:
    """Of compare nobody knew which."""
    (tmp_path / "other.png").write_bytes(files.png(files.samples("u1"))[:99])
    for name, what in (("gone.png", "there is no such file"), ("other.png", "the file ends")):
        more = [tmp_path / "b.png"] if arguments == ["compare"] else []
        ran = Ran(*arguments, tmp_path / name, *more)
        assert ran.code == 1
        assert f"error: {tmp_path / name}: {what}" in ran.err
        if arguments[0] == "view":
            break  # damage is shown in the page


def test_the_reason_of_another_library_is_one_short_line() -> None:
    assert reason_of(ValueError("first\n  second" + " more" * 99)).startswith("first second more")
    assert len(reason_of(ValueError("first\n  second" + " more" * 99))) == 200
    assert reason_of(ValueError()) == "ValueError"
