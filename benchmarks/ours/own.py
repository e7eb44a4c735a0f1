"""This package on one picture: the kernel alone, the whole call, and whether the result is right."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from typing import Any

import numpy as np

import nlmeans
from nlmeans import backends
from nlmeans.backends.contract import Backend, PlanePair, Request, Run
from nlmeans.errors import BackendUnavailableError, NLMeansError
from nlmeans.formula import LOG2_E, taps

from ..counted.ceilings import device_of, exponential_seconds, plans_of, problem_of, seconds_at_least
from ..counted.count_instructions import Gpu
from ..device import DeviceClock, HostClock, clock_under_load, repeated, spread
from ..machine import processors
from ..problems import Image, Problem, psnr

Tell = Callable[[str, float], None]  # a label, and the fraction done
_CORE = 48  # pixels a side of the crop that is compared with the reference
_TOLERANCE = 1e-5  # of the data range
_LEAST_DATA_RANGE = 0.45  # of the generated pictures; theirs is 0.49 to 0.7
_K = 0.5  # strength in units of the noise; the kernel's time does not depend on it


@dataclass(frozen=True)
class Setting:
    """A picture and how it is filtered.

    ``aggregate="pixel"`` is the bare filter, as most others have it (no noise correction, centre rule
    "one"); ``"patch"`` is the default call (correction, centre rule "max", patch aggregation).
    """

    problem: Problem
    aggregate: str
    patch: str = "box"

    @property
    def corrected(self) -> bool:
        return self.aggregate == "patch"

    @property
    def halo(self) -> int:
        """How far from a pixel its result depends on the picture."""
        return self.problem.search_radius + (2 if self.corrected else 1) * self.problem.patch_radius

    def options(self) -> dict[str, Any]:
        """Of `nlmeans.denoise`, in the units of the picture."""
        unit = 255.0 if self.problem.dtype == "uint8" else 1.0
        found: dict[str, Any] = {
            "sigma": self.problem.noise * unit if self.corrected else 0.0,
            "patch_radius": self.problem.patch_radius,
            "search_radius": self.problem.search_radius,
            "patch": self.patch,
            "center": "max" if self.corrected else "one",
            "aggregate": self.aggregate,
            "channel_axis": -1 if self.problem.channels > 1 else None,
            "color": "joint" if self.problem.channels > 1 else None,
        }
        return found if self.corrected else found | {"h": self.problem.h * unit}


@dataclass
class Measured:
    """One setting on one backend; times in seconds, None or empty where there is none."""

    picture: str
    backend: str
    workers: int
    setting: dict[str, Any]
    call: str = ""
    kernel: list[float] = field(default_factory=list)  # the kernel alone, on planes that are there
    device: list[float] = field(default_factory=list)  # the call on arrays of the device
    whole: list[float] = field(default_factory=list)  # the call on NumPy arrays, transfers included
    overhead: float | None = None  # of the host for one kernel call on a tiny picture
    clock: str | None = None  # of the GPU while it worked on the kernel
    first: float | None = None  # of the first call in this process
    psnr: float | None = None  # dB against the clean picture
    difference: float | None = None  # largest from the float64 reference on a crop, of the data range
    ceiling: float | None = None  # seconds the counted instructions need at least, on this GPU
    exponential: float | None = None  # seconds one exponential a pair needs at least
    reason: str | None = None  # why there is nothing

    @property
    def pixels(self) -> int:
        rows, columns = self.setting["shape"]
        return int(rows * columns)

    @property
    def pairs(self) -> int:
        """(pixel, shift) pairs of one pass."""
        return self.pixels * int(2 * self.setting["search_radius"] + 1) ** 2

    @property
    def wrong(self) -> bool:
        """Whether the result is farther from the reference than any backend may be."""
        rounding = 0.51 / 255 / _LEAST_DATA_RANGE if self.setting["dtype"] == "uint8" else 0.0
        return self.difference is not None and not self.difference <= _TOLERANCE + rounding

    def to_dict(self) -> dict[str, Any]:
        """A JSON form, with what follows from the times."""
        found = asdict(self) | {"wrong": self.wrong}
        for name in ("kernel", "device", "whole"):
            spent = getattr(self, name)
            found[name] = [round(s, 9) for s in spent]
            if spent:
                middle = statistics.median(spent)
                found[f"{name}_median"] = round(middle, 9)
                found[f"{name}_spread"] = round(spread(spent), 4)
                found[f"{name}_mpixel_s"] = round(self.pixels / middle / 1e6, 4)
        if self.kernel:
            middle = statistics.median(self.kernel)
            found["kernel_gpair_s"] = round(self.pairs / middle / 1e9, 5)
            for name in ("ceiling", "exponential"):
                least = getattr(self, name)
                found[f"share_of_{name}"] = None if least is None else round(least / middle, 4)
        return found


def measure(setting: Setting, backend: str, seconds: float, tell: Tell, gpu: Gpu | None = None) -> Measured:
    """Everything about one setting; a failure is a row with the reason."""
    problem = setting.problem
    shown = problem.to_dict() | {"aggregate": setting.aggregate, "patch": setting.patch}
    row = Measured(problem.name, backend, processors(), shown)
    try:
        _measure(row, setting, backend, seconds, tell)
    except (NLMeansError, MemoryError, RuntimeError) as error:
        row.reason = " ".join((str(error) or type(error).__name__).split())
    if gpu is not None:
        sizes = (problem.patch_radius, problem.search_radius, problem.channels, setting.patch)
        height, width = problem.shape
        asked = problem_of((height, width), *sizes, corrected=setting.corrected)
        device = device_of(int(gpu.architecture.removeprefix("sm_")), gpu.multiprocessors)
        row.ceiling = seconds_at_least(plans_of(asked, device, aggregates=setting.corrected), gpu, asked)
        row.exponential = exponential_seconds(gpu, asked, 2 if setting.corrected else 1)
    return row


def _measure(row: Measured, setting: Setting, backend: str, seconds: float, tell: Tell) -> None:
    engine = backends.load(backend)
    missing = engine.can_run(Request("numpy", setting.problem.dtype, row.pixels, 1))
    if missing:
        raise BackendUnavailableError(missing)
    pictures = _pictures(setting.problem)
    options = setting.options()
    if setting.corrected:  # the strength of the whole picture, for the crop of the reference too
        options["k"] = nlmeans.suggest(pictures[0], **_choosing(options)).k
    options |= {"backend": backend}
    row.call = (
        f"nlmeans.denoise(image, {', '.join(f'{n}={v!r}' for n, v in options.items() if v is not None)})"
    )

    def whole(image: Image) -> Callable[[], Any]:
        return lambda: nlmeans.denoise(image, **options)

    began = time.perf_counter()
    result = whole(pictures[0])()
    row.first = round(time.perf_counter() - began, 4)
    row.psnr, row.difference = _checked(setting, result, options)
    on_gpu = engine.namespace() is not np
    parts = ["kernel", "device", "whole"] if on_gpu else ["kernel", "whole"]
    for number, part in enumerate(parts):
        clock: Any = HostClock()
        if part == "kernel":
            calls = [kernel_call(setting, image, engine, row.workers) for image in pictures]
            clock = DeviceClock(engine.namespace()) if on_gpu else clock
        elif part == "device":
            calls = [_finished(whole(engine.namespace().asarray(image)), engine) for image in pictures]
        else:
            calls = [whole(image) for image in pictures]
        for fraction, spent in repeated(calls, clock, seconds):
            setattr(row, part, spent)
            tell(f"{row.picture} {setting.aggregate}: {part}", (number + fraction) / len(parts))
        if on_gpu and part == "kernel":
            row.clock = clock_under_load(engine.namespace(), calls[0], min(row.kernel))
    if on_gpu:
        row.overhead = _overhead(setting, engine)


def _pictures(problem: Problem) -> list[Image]:
    """Noisy pictures that differ in every pixel; fewer of the largest."""
    first = problem.noisy()
    return [np.roll(first, 17 * n, axis=(0, 1)) for n in range(4 if problem.pixels < 2**24 else 2)]


def kernel_call(
    setting: Setting, image: Image, engine: Backend, workers: int, *, peak: bool = False
) -> Callable[[], Any]:
    """The kernel alone on planes in the backend's memory: one pass, or two with patch aggregation."""
    pair = _pair(setting, image, engine.namespace())
    run = Run(workers)
    if not setting.corrected:
        return lambda: engine.accumulate(pair, run, peak=peak)
    weights = replace(
        pair, value=pair.value[:0], own_value=pair.value[:0]
    )  # values are averaged in the second pass only
    sums = engine.accumulate(weights, run, peak=True)
    center = sums.peak
    normaliser = 1 / (sums.denominator + center)

    def both() -> Any:
        engine.accumulate(weights, run, peak=True)
        return engine.aggregate(pair, run, normaliser, center)

    return both


def _pair(setting: Setting, image: Image, xp: Any) -> PlanePair:
    """A grey or colour picture as the contract wants it."""
    problem = setting.problem
    unit = 255.0 if problem.dtype == "uint8" else 1.0
    planes = np.moveaxis(image, -1, 0) if image.ndim == 3 else image[None]
    value = xp.asarray(np.ascontiguousarray(planes, np.float32) / np.float32(unit) - np.float32(0.5))
    h = _K * problem.noise if setting.corrected else problem.h
    feature = value * np.float32(math.sqrt(LOG2_E / len(planes)) / h)
    weights = taps(problem.patch_radius, setting.patch, np.float32)
    return PlanePair(
        query=feature,
        key=feature,
        value=value,
        own_value=value,
        vote=xp.ones(problem.shape, dtype=np.float32),
        radius=(problem.search_radius, problem.search_radius),
        taps=(weights, weights),
        bias=2 * LOG2_E / _K**2 if setting.corrected else 0.0,
        scale=1.0,
        own=True,
    )


def _finished(call: Callable[[], Any], engine: Backend) -> Callable[[], None]:
    """The call until the device is done with it."""
    stream = engine.namespace().cuda.get_current_stream()

    def run() -> None:
        call()
        stream.synchronize()

    return run


def _overhead(setting: Setting, engine: Backend) -> float:
    """What the host spends on one pass of a picture so small that the device hardly works."""
    tiny = Problem("tiny", (32, 32), patch_radius=setting.problem.patch_radius, search_radius=3)
    call = kernel_call(Setting(tiny, "pixel"), tiny.noisy(), engine, 1)
    call()
    return round(statistics.median(HostClock().each([call] * 200)), 7)


def _choosing(options: dict[str, Any]) -> dict[str, Any]:
    """What `suggest` is told of a call."""
    names = ("sigma", "patch_radius", "search_radius", "patch", "aggregate", "channel_axis", "color")
    return {name: options[name] for name in names}


def _checked(setting: Setting, result: Image, options: dict[str, Any]) -> tuple[float, float]:
    """PSNR, and the largest difference from the reference in the middle, where tiles would meet."""
    problem = setting.problem
    unit = 255.0 if problem.dtype == "uint8" else 1.0
    quality = psnr(problem.clean(), np.asarray(result, np.float64) / unit)
    low = [max(0, n // 2 - _CORE // 2) for n in problem.shape]
    high = [min(n, a + _CORE) for n, a in zip(problem.shape, low, strict=True)]
    seen = tuple(
        slice(max(0, a - setting.halo), min(n, b + setting.halo))
        for n, a, b in zip(problem.shape, low, high, strict=True)
    )
    image = problem.noisy()[seen].astype(np.float64)
    exact = nlmeans.denoise(image, **options | {"backend": "reference"})
    inner = tuple(slice(a - s.start, b - s.start) for a, b, s in zip(low, high, seen, strict=True))
    core = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    worst = np.abs(exact[inner] - np.asarray(result, np.float64)[core]).max()
    return round(quality, 2), float(f"{worst / unit / np.ptp(problem.clean()):.3g}")


def versions(backend: str) -> dict[str, str]:
    """Of what computes."""
    found = {"nlmeans": nlmeans.__version__, "numpy": np.__version__}
    if backend == "cpu":
        found["instructions"] = import_module("nlmeans.backends.cpu").isa()
    return found
