"""The properties that a GPU reports, and clocks for its work."""

from __future__ import annotations

import contextlib
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from nlmeans import backends
from nlmeans.backends.contract import Request

from .counted.ceilings import gpu_of
from .counted.count_instructions import Gpu

_ASKED = ("driver_version", "clocks.sm", "clocks.max.sm", "clocks.mem", "power.limit", "temperature.gpu")


def missing() -> str | None:
    """Why there is no GPU to measure on, in one line; None where there is one."""
    return backends.load("cuda").can_run(Request("cupy", "float32", 1, 1))


def facts(cupy: Any) -> dict[str, Any]:
    """The device the next array would be on, with the clocks as they are."""
    number = cupy.cuda.runtime.getDevice()
    about = cupy.cuda.runtime.getDeviceProperties(number)
    name = about["name"].decode() if isinstance(about["name"], bytes) else str(about["name"])
    found = cupy.cuda.Device(number)
    attributes = found.attributes
    told = management(number)
    kilohertz = attributes.get("ClockRate") or 1e3 * float(told.get("clocks.max.sm", "nan").split()[0])
    return {
        "name": name,
        "capability": int(found.compute_capability),
        "multiprocessors": attributes["MultiProcessorCount"],
        "gigahertz": round(kilohertz / 1e6, 3),
        "memory_bytes": int(about["totalGlobalMem"]),
        "driver_cuda": cupy.cuda.runtime.driverGetVersion(),
        "runtime_cuda": cupy.cuda.runtime.runtimeGetVersion(),
        "cupy": cupy.__version__,
        "as_found": told,
    }


def management(number: int) -> dict[str, str]:
    """Driver, clocks and power as nvidia-smi tells them; nothing where it is not."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return {}
    words = [program, f"--query-gpu={','.join(_ASKED)}", "--format=csv,noheader", f"--id={number}"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        told = subprocess.run(words, capture_output=True, text=True, timeout=20, check=True).stdout
        return dict(zip(_ASKED, (cell.strip() for cell in told.split(",")), strict=False))
    return {}


def gpu(found: dict[str, Any]) -> Gpu:
    """For ceilings: at the highest clock that the device names."""
    return gpu_of(found["name"], found["capability"], found["multiprocessors"], found["gigahertz"])


def clock_under_load(cupy: Any, call: Callable[[], object], seconds: float) -> str | None:
    """The clock that nvidia-smi reports while the device works on this call, which takes so long."""
    for _ in range(min(2000, max(1, int(1.0 / max(seconds, 1e-6))))):
        call()
    told = management(cupy.cuda.runtime.getDevice()).get("clocks.sm")
    cupy.cuda.get_current_stream().synchronize()
    return told


# --- clocks ----------------------------------------------------------------------------------


class Clock(Protocol):
    """Measures calls."""

    def each(self, calls: Sequence[Callable[[], object]]) -> list[float]:
        """Seconds of each call."""


class HostClock:
    """Wall time, for calls that return when all is done."""

    def each(self, calls: Sequence[Callable[[], object]]) -> list[float]:
        spent = []
        for call in calls:
            began = time.perf_counter()
            call()
            spent.append(time.perf_counter() - began)
        return spent


class DeviceClock:
    """The device's own events around each call: what the host does meanwhile is not in it."""

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy

    def each(self, calls: Sequence[Callable[[], object]]) -> list[float]:
        cuda = self._cupy.cuda
        events = [(cuda.Event(), cuda.Event()) for _ in calls]
        for (first, last), call in zip(events, calls, strict=True):
            first.record()
            call()
            last.record()
        cuda.get_current_stream().synchronize()
        return [cuda.get_elapsed_time(first, last) / 1000 for first, last in events]


def repeated(
    calls: Sequence[Callable[[], object]], clock: Clock, seconds: float, most: int = 200
) -> Iterator[tuple[float, list[float]]]:
    """The calls in turn, after one round to warm up, until the time is spent: (fraction, seconds so far).

    Each call has data of its own, so that nothing is answered from a cache.
    """
    once = max(clock.each(calls))
    spent: list[float] = []
    began = time.monotonic()
    batch = max(1, min(20, int(0.1 / max(once, 1e-7))))
    while True:
        spent += clock.each([calls[(len(spent) + n) % len(calls)] for n in range(batch)])
        gone = time.monotonic() - began
        done = len(spent) >= most or (gone >= seconds and len(spent) >= 3)
        fraction = 1.0 if done else min(0.99, max(gone / max(seconds, 1e-9), len(spent) / most))
        yield fraction, spent
        if done:
            return


def spread(spent: Sequence[float]) -> float:
    """Half the distance of the quartiles over the median."""
    if len(spent) < 3:
        return 0.0
    low, middle, high = statistics.quantiles(spent, n=4, method="inclusive")
    return (high - low) / 2 / middle if middle else 0.0
