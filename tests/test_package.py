"""What an installed wheel holds, and what the tree promises of itself."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import nlmeans

ROOT = Path(__file__).parent.parent
FOLDERS = {
    "nlmeans": "nlmeans",
    "kernels": "nlmeans/kernels",
    "cli": "nlmeans/cli",
    "benchmarks": "nlmeans/benchmarks",
}


def sources():
    """The modules, stubs and kernels of the tree by their place in the wheel."""
    for folder, inside in FOLDERS.items():
        for path in (ROOT / folder).rglob("*"):
            shipped = path.name in ("py.typed", "denoiser.safetensors")
            if shipped or path.suffix in (".py", ".pyi", ".cu", ".cuh", ".html", ".css", ".js", ".yaml"):
                yield f"{inside}/{path.relative_to(ROOT / folder).as_posix()}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from the source distribution as an installer would."""
    out = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return zipfile.ZipFile(next(out.glob("*.whl")))


def test_the_wheel_built_from_the_sdist_holds_every_module(wheel):
    names = set(wheel.namelist())
    missing = sorted(set(sources()) - names)
    assert missing == []
    assert len(names) > 30


def test_packages_are_there_without_an_import_of_their_own():
    code = "import nlmeans; print(nlmeans.compat.denoise_nl_means.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/", check=True)
    assert done.stdout == "denoise_nl_means\n"


def test_the_wheel_holds_the_counts_that_bench_reads(wheel):
    assert "nlmeans/benchmarks/results/cuda_ceilings.json" in wheel.namelist()


def test_the_wheel_installs_nothing_under_another_top_level_name(wheel):
    top = {name.split("/")[0] for name in wheel.namelist()}
    assert top == {"nlmeans", f"nlmeans-{nlmeans.__version__}.dist-info"}


def test_the_wheel_is_fast_and_right_where_there_is_no_compiler(wheel, tmp_path):
    """As a release tries each wheel: the check has only the wheel's own files, and no program on its PATH."""
    wheel.extractall(tmp_path)
    if not any(name.startswith("nlmeans/_cpu") for name in wheel.namelist()):
        pytest.skip("the extension is not built")
    done = subprocess.run(
        [sys.executable, "-P", str(ROOT / ".ci" / "wheel_check.py"), str(ROOT)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
    )
    assert done.returncode == 0, done.stderr
    assert f"nlmeans {nlmeans.__version__} from {tmp_path}" in done.stdout


def test_one_version_everywhere():
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text("utf-8"), re.MULTILINE)
    told = re.search(r"^## (\S+?)(,|$)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert cited[1] == told[1] == nlmeans.__version__


def test_a_release_tries_every_wheel_and_the_sdist_by_the_same_check():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["cibuildwheel"]
    assert "wheel_check.py" in settings["test-command"]
    workflow = (ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8")
    assert "cibuildwheel" in workflow
    assert "wheel_check.py" in workflow
    assert "id-token: write" in workflow
    assert "secrets." not in workflow


def test_the_library_never_imports_the_command_line_or_the_kernels_statically():
    offending = []
    for path in set((ROOT / "nlmeans").rglob("*.py")) - {ROOT / "nlmeans" / "__main__.py"}:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            offending += [
                f"{path}: {n}" for n in names if re.match(r"nlmeans\.(cli|kernels|benchmarks)\b", n)
            ]
    assert offending == []


def test_every_public_name_is_there_and_documented():
    for name in nlmeans.__all__:
        value = getattr(nlmeans, name)
        assert name == "__version__" or (value.__doc__ and len(value.__doc__) > 20), name
