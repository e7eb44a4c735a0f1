"""Runs the launches of a CUDA plan on the processor: g++ compiles the very same kernel text.

Three builds, since no single one sees everything: "plain" (poisoned memory, shuffled order),
"address" (with undefined behaviour) and "thread" (data races between fibers).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from nlmeans.backends import cuda_plan
from nlmeans.backends.cuda_shape import Device

HERE = Path(__file__).parent
COMPILER = shutil.which("g++")
_BUILDS = {
    "plain": ("-O1",),
    "address": ("-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"),
    "thread": ("-O1", "-g1", "-fsanitize=thread"),
}
_KERNEL_FLAGS = (
    "-Wall",
    "-Wextra",
    "-Wno-unknown-pragmas",
    "-Wno-maybe-uninitialized",
    "-ffp-contract=off",
)
_UNSET_LOCALS = "-ftrivial-auto-var-init=pattern"  # an unset local is the same nonsense every time


_KERNEL = re.compile(r'extern "C" __global__ void(?: __launch_bounds__\([^)]*\))?\s+(\w+)\(')


class EmulatorError(Exception):
    """The runtime or a sanitizer found a fault; the message is what it printed."""


class CompilerError(Exception):
    """The kernel text is no C++; the message is the compiler's."""


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="nlmeans-emulator-"))
    import atexit

    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def _runtime(build: str) -> tuple[Path, ...]:
    """Objects of the scheduler and the runner; never with -fsanitize=thread."""
    flags = {"plain": ("-O2",), "address": ("-O1", "-DEMULATOR_ASAN"), "thread": ("-O2", "-DEMULATOR_TSAN")}
    objects = []
    for name in ("runtime", "runner"):
        target = _folder() / f"{name}-{build}.o"
        _compile("-c", str(HERE / f"{name}.cpp"), "-o", str(target), *flags[build])
        objects.append(target)
    return tuple(objects)


@cache
def _program(text: str, kernels: tuple[str, ...], options: tuple[str, ...], build: str, clean: bool) -> Path:
    """An executable of the kernels in a source text; if `clean`, a warning is an error."""
    digest = hashlib.sha256(repr((text, options, build)).encode()).hexdigest()[:20]
    target = _folder() / digest
    stub = text + "\n" + "\n".join(f"EMULATE({kernel})" for kernel in kernels) + "\n"
    code = target.with_suffix(".cpp")
    code.write_text(stub)
    flags = (*_KERNEL_FLAGS, *["-Werror"] * clean, _UNSET_LOCALS, *_BUILDS[build], *options)
    _compile(
        *("-include", str(HERE / "cuda_emulator.h"), str(code), *map(str, _runtime(build))),
        *("-o", str(target), *flags),
    )
    return target


def _compile(*arguments: str) -> None:
    done = subprocess.run(
        [str(COMPILER), "-std=c++17", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise CompilerError(done.stderr[:2000])


@dataclass
class Emulator:
    """Stands in for CuPy: the executor of :mod:`nlmeans.backends.cuda` with NumPy arrays."""

    device: Device = field(default_factory=Device)
    build: str = "plain"
    seed: int = 0
    fill: int = 0xFF
    change: Callable[[str, str], str] = lambda name, text: text  # plants a bug in a source file
    launched: list[cuda_plan.Launch] = field(default_factory=list)

    def empty(self, shape: tuple[int, ...]) -> Any:
        """New memory holds nonsense."""
        return np.full(4 * int(np.prod(shape)), self.fill, np.uint8).view(np.float32).reshape(shape)

    def floats(self, numbers: Any) -> Any:
        return np.ascontiguousarray(numbers, np.float32)

    def launch(self, launch: cuda_plan.Launch, arguments: list[Any]) -> None:
        """Run it and put the results back into the arrays."""
        self.launched.append(launch)
        original = cuda_plan.source(launch.source)
        text = self.change(launch.source, original)
        kernels = tuple(_KERNEL.findall(text))
        program = _program(text, kernels, launch.options, self.build, text == original)
        buffers: list[Any] = []
        job = _job(launch, arguments, buffers)
        with tempfile.TemporaryDirectory(dir=_folder()) as folder:
            given, result = Path(folder) / "job", Path(folder) / "result"
            given.write_bytes(job)
            settings = {
                "EMULATOR_SEED": str(self.seed),
                "EMULATOR_FILL": str(self.fill),
                "TSAN_OPTIONS": "halt_on_error=1:exitcode=66",
            }
            done = subprocess.run(
                [program, given, result],
                capture_output=True,
                text=True,
                env=os.environ | settings,
                check=False,
            )
            if done.returncode:
                raise EmulatorError(f"exit {done.returncode}: {done.stderr[:4000]}")
            content = result.read_bytes()
        at = 0
        for buffer in buffers:
            buffer[...] = np.frombuffer(content, buffer.dtype, buffer.size, at).reshape(buffer.shape)
            at += buffer.nbytes


def _job(launch: cuda_plan.Launch, arguments: list[Any], buffers: list[Any]) -> bytes:
    """The runner's input; `buffers` gets each array once."""
    described = b""
    for argument in arguments:
        if argument is None:
            described += struct.pack("<q", -1)
        elif isinstance(argument, np.generic) or argument.dtype == cuda_plan.WINDOW:
            value = argument.tobytes()
            described += struct.pack("<qq", -2, len(value)) + value
        else:
            place = next((n for n, known in enumerate(buffers) if known is argument), len(buffers))
            if place == len(buffers):
                assert argument.flags.c_contiguous
                buffers.append(argument)
            described += struct.pack("<q", place)
    contents = b"".join(struct.pack("<q", b.nbytes) + b.tobytes() for b in buffers)
    name = launch.kernel.encode()
    numbers = (*launch.grid, *launch.block, launch.shared_bytes, len(arguments))
    return (
        struct.pack("<q", len(buffers))
        + contents
        + struct.pack("<q", len(name))
        + name
        + struct.pack("<8q", *numbers)
        + described
    )
