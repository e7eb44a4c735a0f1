"""Names: of inputs as they occur, of outputs by rule, folder or template."""

from __future__ import annotations

import os
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from nlmeans.cli.files import naming
from nlmeans.cli.status import UsageError

from ..faults import files
from ..faults.streams import Ran

STRANGE = {
    "spaces": "a photo of  the sea",
    "leading dash": "-o",
    "leading dot": ".hidden",
    "braces": "a{stem}b{}{0}{dir}",
    "percent": "100%s%d",
    "quotes": 'it\'s "so"',
    "newline": "a\nb",
    "escape": "a\x1b[31mb",
    "tab and bell": "a\tb\x07",
    "composed": unicodedata.normalize("NFC", "Jörg é"),
    "decomposed": unicodedata.normalize("NFD", "Jörg é"),
    "Chinese": "图像",
    "emoji": "🌊",
    "right to left": "\u202eabc",
    "no UTF-8": os.fsdecode(b"a\xff\xfeb"),
    "dots": "a.b.c..",
    "glob": "a*?[x]",
    "backslash": "a\\b",
    "dollar": "$HOME",
    "long": "x" * 240,
    "tilde": "~",
    "colon": "C:",
    "address-like": "http:",
}


@pytest.mark.parametrize("name", STRANGE)
def test_strange_names_work(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stem = STRANGE[name]
    data = files.npy(files.samples("f4"))
    Path(f"{stem}.npy").write_bytes(data)
    ran = Ran("denoise", "--json", *files.QUICK, "--", f"{stem}.npy")
    assert ran.code == 0, ran.err
    assert np.load(f"{stem}.denoised.npy").shape == files.SHAPE
    assert ran.lines[0]["output"] == f"{stem}.denoised.npy"
    assert all(c.isprintable() or c == "\n" for c in ran.err)
    assert ran.err.count("\n") == 1
    ran = Ran("denoise", *files.QUICK, "-o", "out/{stem}-clean{ext}", "--", f"{stem}.npy")
    assert ran.code == 0, ran.err
    assert Path("out", f"{stem}-clean.npy").exists()


def test_words_within_a_file_cannot_play_tricks_on_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(files.png(files.samples("u1"), (b"tEXt", b"\x1b]0;owned\x07\0x")))
    ran = Ran("denoise", path, "-o", tmp_path / "a.bmp", *files.QUICK)
    assert "owned" in ran.err, "the text is lost in BMP, which is said"
    assert all(c.isprintable() or c == "\n" for c in ran.err)


def test_a_result_whose_name_would_be_too_long_is_refused(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 250 + ".npy")
    path.write_bytes(files.npy(files.samples("f4")))
    ran = Ran("denoise", path, *files.QUICK)
    assert ran.code == 1
    assert "too long" in ran.err


@pytest.mark.parametrize("name", ["", " ", "nowhere.png", "no/where.png", "a\0b.png"])
def test_names_of_nothing_are_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = Ran("denoise", name, *files.QUICK)
    assert ran.code == 1
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    ("inputs", "output", "expected"),
    [
        (["a.png"], None, ["a.denoised.png"]),
        (["d/a.png"], None, ["d/a.denoised.png"]),
        (["a.PNG"], None, ["a.denoised.PNG"]),
        (["a.b.tif"], None, ["a.b.denoised.tif"]),
        (["a.png"], "b.tif", ["b.tif"]),
        (["a.png"], "out/", ["out/a.png"]),
        (["a.png"], "out", ["out/a.png"]),
        (["a.png", "d/b.jpg"], "out", ["out/a.png", "out/b.jpg"]),
        (["d/a.png"], "{dir}/clean/{stem}{ext}", ["d/clean/a.png"]),
        (["a.png"], "{stem}.tif", ["a.tif"]),
        (["a.png"], "{1}{stem}{ext}", ["{1}a.png"]),
        (["-"], None, ["-"]),
        (["a.png"], "-", ["-"]),
        (["-"], "out/", ["out/stdin"]),
        (["scan"], None, ["scan.denoised"]),
        (["scan.raw"], "out/", ["out/scan"]),
    ],
)
def test_outputs_are_named_by_rule(inputs: list[str], output: str | None, expected: list[str]) -> None:
    assert [t.output for t in naming.plan(inputs, output, recursive=False)] == expected


@pytest.mark.parametrize(
    ("inputs", "output", "word"),
    [
        (["a.png"], "b.gif", "'.gif'"),
        (["a.png"], "{stem}.exe", "'.exe'"),
        (["a.png", "b.png"], "c.png", "the one name c.png"),
        (["a.png", "b.png"], "-", "the one name -"),
        (["a/x.png", "b/x.png"], "out", "would both be written"),
        (["x.png", "./x.png"], "out", "would both be written"),
        (["a.png", "-"], "out", "one of several"),
    ],
)
def test_plans_that_cannot_be_are_refused(inputs: list[str], output: str, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        naming.plan(inputs, output, recursive=False)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder of pictures and of other things."""
    root = tmp_path / "scans"
    for name in ("b.png", "a.png", "sub/c.png", "sub/deep/d.npy"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = files.npy(files.samples("u1")) if name.endswith("npy") else files.png(files.samples("u1"))
        path.write_bytes(data)
    (root / "notes.txt").write_text("no picture")
    (root / ".hidden.png").write_bytes(b"")
    (root / ".git").mkdir()
    (root / ".git" / "x.png").write_bytes(b"")
    (root / "loop").symlink_to(root)
    return root


def test_folders_need_to_be_asked_for(tree: Path) -> None:
    ran = Ran("denoise", tree, *files.QUICK)
    assert ran.code == 2
    assert "--recursive" in ran.err


def test_a_folder_is_mirrored_in_another(tree: Path) -> None:
    out = tree.parent / "clean"
    ran = Ran("denoise", "-r", tree, "-o", out, *files.QUICK)
    assert ran.code == 0, ran.err
    made = sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file())
    assert made == ["a.png", "b.png", "sub/c.png", "sub/deep/d.npy"]


def test_a_second_run_over_a_folder_leaves_its_own_results_alone(tree: Path) -> None:
    assert Ran("denoise", "-r", tree, *files.QUICK).code == 0
    before = sorted(tree.rglob("*"))
    ran = Ran("denoise", "-r", tree, "--skip-existing", *files.QUICK, "--json")
    assert ran.code == 0, ran.err
    assert [line["status"] for line in ran.lines] == ["skipped"] * 4
    assert sorted(tree.rglob("*")) == before


def test_results_within_the_folder_of_inputs_are_no_inputs(tree: Path) -> None:
    for _ in range(2):
        ran = Ran("denoise", "-r", tree, "-o", tree / "clean", "--overwrite", *files.QUICK, "--json")
        assert ran.code == 0, ran.err
        assert len(ran.lines) == 4


def test_an_empty_folder_is_said(tmp_path: Path) -> None:
    ran = Ran("denoise", "-r", tmp_path)
    assert ran.code == 2
    assert "no pictures" in ran.err


@pytest.mark.skipif(sys.platform != "linux", reason="needs names that differ in case only")
def test_names_that_differ_in_case_are_two_files_where_the_system_says_so(tmp_path: Path) -> None:
    for name in ("a.npy", "A.npy"):
        (tmp_path / name).write_bytes(files.npy(files.samples("f4")))
    out = tmp_path / "out"
    assert Ran("denoise", tmp_path / "a.npy", tmp_path / "A.npy", "-o", out, *files.QUICK).code == 0
    assert sorted(p.name for p in out.iterdir()) == ["A.npy", "a.npy"]


def test_one_run_never_writes_over_its_own_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a system where `A` and `a` are one name: the second result must not take the first's place."""
    for name in ("a.npy", "b.npy"):
        (tmp_path / name).write_bytes(files.npy(files.samples("f4")))
    out = tmp_path / "out"
    monkeypatch.setattr(naming, "_check_distinct", lambda tasks: None)
    pair = [tmp_path / "a.npy", tmp_path / "b.npy"]
    ran = Ran("denoise", *pair, "-o", f"{out}/same{{ext}}", "--overwrite", "--json", *files.QUICK)
    assert ran.code == 1
    assert [line["status"] for line in ran.lines] == ["written", "failed"]
    assert ran.lines[1]["code"] == 3


def test_patterns_are_expanded_where_no_shell_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.npy", "b.npy"):
        (tmp_path / name).write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    assert [f for _, f in naming.expand(["*.npy"], recursive=False)] == ["*.npy"]
    monkeypatch.setattr(naming.os, "name", "nt")
    assert naming._unquoted("*.npy") == ["a.npy", "b.npy"]
    assert naming._unquoted("*.tif") == ["*.tif"]
