"""The CUDA kernels as machine code: they compile for every architecture, without spills, and cheaply.

No GPU is needed.  ``NLMEANS_CUDA_KEYS=all`` compiles every key for every architecture.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlmeans.backends import cuda_plan
from nlmeans.backends.cuda_plan import Launch
from nlmeans.backends.cuda_shape import Depth, Device, Problem

counter: Any = import_module("nlmeans.benchmarks.counted.count_instructions")
machine_code: Any = import_module("nlmeans.benchmarks.counted.machine_code")

ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120")
EVERYTHING = os.environ.get("NLMEANS_CUDA_KEYS") == "all"


@pytest.fixture(scope="module", autouse=True)
def _tools() -> None:
    try:
        machine_code.compile_kernel("reduce.cu", (), "sm_90")
        machine_code.nvdisasm()
    except machine_code.ToolMissingError as error:
        pytest.skip(f"{error}, or nlmeans[cuda-test]")


def problem(patch: int = 3, gaussian: bool = False, **kinds: Any) -> Problem:
    taps = np.ones(2 * patch + 1)
    if gaussian:
        taps[patch] = 2
    taps /= taps.sum()
    sizes: dict[str, Any] = {"channels": 1, "values": 1, "bias": 8.0, "radius": (10, 10)} | kinds
    return Problem(1080, 1920, taps=(taps, taps), **sizes)


def device(architecture: str) -> Device:
    return Device(capability=int(architecture.removeprefix("sm_")))


def launch_of(kernel: str, architecture: str, **kinds: Any) -> tuple[Launch, str]:
    plan = getattr(cuda_plan, kernel)(problem(**kinds), device(architecture))
    return plan.launches[0], architecture


def deep(planes: int) -> dict[str, Any]:
    """A volume with so many planes in a patch."""
    return {"patch": 1, "radius": (3, 3), "depth": Depth(96, 0, 96, 3, (1 / planes,) * planes)}


FILM: dict[str, Any] = {"radius": (5, 5), "depth": Depth(5, 2, 1, 2)}


def every_key(architecture: str) -> Iterator[tuple[Launch, str]]:
    """Every key that the defaults of `denoise` lead to, and one of each other kind."""
    for radius in ((7, 7), (10, 10)):
        for patch in (1, 2, 3, 4):
            for planes in (1, 3):
                sizes = {"patch": patch, "radius": radius, "channels": planes, "values": planes}
                yield launch_of("accumulate", architecture, peak=True, **sizes)
                yield launch_of("accumulate", architecture, peak=True, **(sizes | {"values": 0}))
                yield launch_of("aggregate", architecture, **sizes)
    others: tuple[dict[str, Any], ...] = (
        {"bias": 0.0},
        {"bias": None, "scale": None},
        {"gaussian": True},
        {"gaussian": True, "channels": 3, "values": 3},
        {"patch": 0},
        {"channels": 2, "values": 4},
        *({"values": values} | deep(planes) for planes in (1, 3, 5) for values in (1, 3)),
        FILM,
    )
    for kinds in others:
        yield launch_of("accumulate", architecture, **kinds)
        yield launch_of("aggregate", architecture, **kinds)


def some_keys() -> list[tuple[Launch, str]]:
    """All keys on all architectures, or the dearest ones spread over them."""
    if EVERYTHING:
        keys = {(k.kernel, k.options, a): (k, a) for name in ARCHITECTURES for k, a in every_key(name)}
        return list(keys.values())
    return [
        *(launch_of("accumulate", a, peak=True) for a in ("sm_75", "sm_80", "sm_90", "sm_120")),
        *(launch_of("accumulate", "sm_90", peak=True, values=0, patch=patch) for patch in (2, 3)),
        *(launch_of("accumulate", a, peak=True, patch=1, radius=(7, 7)) for a in ("sm_86", "sm_100")),
        *(launch_of("aggregate", a) for a in ("sm_75", "sm_90")),
        launch_of("accumulate", "sm_90", peak=True, channels=3, values=3),
        *(launch_of("accumulate", a, peak=True, **deep(3)) for a in ("sm_75", "sm_120")),
        launch_of("aggregate", "sm_90", **deep(5)),
        launch_of("accumulate", "sm_90", peak=True, values=0, **FILM),
        launch_of("aggregate", "sm_80", **FILM),
    ]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_small_kernels_compile_for_every_architecture(architecture: str) -> None:
    large = ("-DINDEX=long long", "-DCHANNELS=3", "-DVALUES=3")
    for source, options in (("reduce.cu", ()), ("readable.cu", ()), ("readable.cu", large)):
        assert machine_code.compile_kernel(source, options, architecture)


@pytest.mark.parametrize(
    ("launch", "architecture"), some_keys(), ids=lambda x: x if isinstance(x, str) else x.kernel
)
def test_register_kernels_compile_and_keep_to_their_registers(launch: Launch, architecture: str) -> None:
    code = machine_code.disassemble(
        machine_code.compile_kernel(launch.source, launch.options, architecture), launch.kernel
    )
    assert code.instructions
    assert code.spills == 0
    blocks = int(next(o for o in launch.options if o.startswith("-DBLOCKS=")).split("=")[1])
    threads = 32 * launch.block[1]
    assert -(-code.registers // 8) * 8 * threads * blocks <= 65536


@pytest.mark.parametrize("what", ["bare: no bias, no peak", "default, first pass: bias and peak, no values"])
def test_issue_slots_of_the_default_setting_stay_within_the_goal(what: str) -> None:
    kernel, asked = next((kernel, p) for name, kernel, p in counter.cases() if name == what)
    counted = counter.count(getattr(cuda_plan, kernel)(asked, Device()).launches[0], "sm_90")
    assert counted.slots <= {"bare": 16, "default": 19}[re.split(r"\W", what)[0]]
    # The loops were found: per useful pair one exponential, and the halo's share.
    assert counted.kinds["mufu"] == pytest.approx(32 / 30, rel=1e-3)
    assert counted.spills == 0


def test_a_warning_of_the_compiler_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_plan, "source", lambda name: "__global__ void kernel() { int unused; }")
    with pytest.raises(machine_code.CompileError, match="never referenced"):
        machine_code.compile_kernel("reduce.cu", (), "sm_90")


def test_a_refused_kernel_says_which_and_why() -> None:
    with pytest.raises(machine_code.CompileError, match=r"(?s)accumulate\.cu -DPATCH_Y=one.*undefined"):
        machine_code.compile_kernel("accumulate.cu", ("-DPATCH_Y=one",), "sm_90")


def test_files_compile_alone_with_nvcc(tmp_path: Path) -> None:
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("no nvcc on the PATH")
    for name in ("reduce", "readable", "accumulate"):
        target = tmp_path / f"{name}.cu"
        target.write_text(cuda_plan.source(f"{name}.cu"))
        done = subprocess.run(
            [
                nvcc,
                "-std=c++17",
                "-arch=sm_90",
                "-cubin",
                "-Xptxas",
                "-v",
                "-o",
                str(tmp_path / name),
                str(target),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        spilled = re.findall(r"(\d+) bytes spill (?:stores|loads)", done.stderr)
        assert spilled
        assert set(spilled) == {"0"}
