"""Python started in a checkout, with the package installed elsewhere, or nowhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BESIDE = ("cli", "kernels", "benchmarks")


def copied(source: Path, target: Path) -> None:
    """A folder of sources, without what was compiled."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.pyd", "results"))


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A checkout, and a folder in which the same is installed with its compiled part."""
    checkout, site = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("site")
    for name in ("nlmeans", *BESIDE):
        copied(ROOT / name, checkout / name)
    copied(ROOT / "nlmeans", site / "nlmeans")
    for name in BESIDE:
        copied(ROOT / name, site / "nlmeans" / name)
    for built in (ROOT / "nlmeans").glob("_cpu.*[do]"):
        shutil.copy(built, site / "nlmeans")
    return checkout, site


def python(folder: Path, *arguments: str, path: tuple[Path, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Python in a folder, which sees this environment's packages but not how nlmeans is installed there."""
    around = os.environ | {
        "PYTHONPATH": os.pathsep.join((*map(str, path), sysconfig.get_path("purelib"))),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(
        [sys.executable, "-S", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=around,
        timeout=120,
    )


@pytest.mark.parametrize("part", ["cli", "benchmarks", "kernels"])
def test_a_part_that_the_checkout_hides_is_missed_with_the_reason(
    part: str, places: tuple[Path, Path]
) -> None:
    checkout, site = places
    ran = python(checkout, "-c", f"import nlmeans.{part}", path=(site,))
    last = ran.stderr.splitlines()[-1]
    assert last.startswith("ModuleNotFoundError: Python started in")
    assert str(checkout) in last
    assert str(site) in last
    assert "pip install -e ." in last


@pytest.mark.parametrize("module", ["nlmeans", "nlmeans.cli", "nlmeans.benchmarks"])
def test_programs_started_in_the_checkout_say_it_in_one_line(module: str, places: tuple[Path, Path]) -> None:
    checkout, site = places
    ran = python(checkout, "-m", module, "info", path=(site,))
    assert ran.returncode != 0
    assert len(ran.stderr.splitlines()) == 1
    assert "start it elsewhere" in ran.stderr


def test_the_slow_backend_of_a_checkout_says_what_hides_the_fast_one(places: tuple[Path, Path]) -> None:
    checkout, site = places
    if not any((site / "nlmeans").glob("_cpu.*[do]")):
        pytest.skip("the extension is not built")
    code = "import numpy, nlmeans; nlmeans.denoise(numpy.eye(8), sigma=1.0)"
    said = python(checkout, "-c", code, path=(site,)).stderr
    assert "SlowBackendWarning" in said
    assert f"why: Python started in {checkout} imports the sources there" in said
    assert "C compiler" not in said
    assert "C compiler" in python(checkout, "-c", code).stderr  # nothing is installed anywhere


def test_without_an_installed_package_a_checkout_says_how_to_install(places: tuple[Path, Path]) -> None:
    ran = python(places[0], "-c", "import nlmeans.cli")
    assert "nlmeans.cli is not a part of a checkout; install it with: pip install -e ." in ran.stderr


def test_elsewhere_the_installed_package_runs_as_a_module(places: tuple[Path, Path], tmp_path: Path) -> None:
    ran = python(tmp_path, "-m", "nlmeans", "info", path=(places[1],))
    assert ran.returncode == 0, ran.stderr
    assert "reference" in ran.stdout
    code = "import nlmeans.cli, sys; print(any('MissingParts' in str(f) for f in sys.meta_path))"
    assert python(tmp_path, "-c", code, path=(places[1],)).stdout == "False\n"


def test_other_modules_are_missed_as_ever(places: tuple[Path, Path]) -> None:
    ran = python(places[0], "-c", "import nlmeans.nothing", path=(places[1],))
    assert "No module named 'nlmeans.nothing'" in ran.stderr
