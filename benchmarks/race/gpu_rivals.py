"""The programs that are compared on a GPU, for the processes of `rivals`: it finds them by name here.

It stands alone like `rivals`: what runs in another interpreter imports nothing of this package.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from itertools import islice
from typing import Any

import numpy as np

from .rivals import Image, Job, Setting, vapoursynth_filter

_SECONDS = 0.3  # of calls in one turn, so that the device's clock is up
_TOGETHER = 8  # frames asked for at a time: as a player does, so that transfers and work overlap


class Marks:
    """A GPU's own clock; CuPy's and torch's events differ in names only."""

    def __init__(self, record: Callable[[], Any], milliseconds: Callable[[Any, Any], float]) -> None:
        self.record = record
        self._milliseconds = milliseconds

    def seconds(self, first: Any, last: Any) -> float:
        """Between two marks, when the device is past both."""
        last.synchronize()
        return float(self._milliseconds(first, last)) / 1000


class Steady(Job):
    """Calls one after another for a while; a turn is their median.

    `function(n)` is the n-th call.  It returns when its result is there, or, with marks, when it is
    queued: then some calls are queued before the first is waited for, so that the device is not idle.
    """

    def __init__(
        self,
        call: str,
        function: Callable[[int], Any],
        *,
        versions: str,
        pictures: int = 1,
        marks: Marks | None = None,
        result: Callable[[], Image] | None = None,
    ) -> None:
        super().__init__(call, lambda: _on_host(function(0)), versions=versions, pictures=pictures)
        self._calls = function
        self._marks = marks
        self._result = result

    def run(self) -> dict[str, float]:
        """Medians for one picture; memory is not looked at."""
        walls: list[float] = []
        cpus: list[float] = []
        devices: list[float] = []
        began, number = time.perf_counter(), 0
        while not walls or (time.perf_counter() - began < _SECONDS and number < 500):
            queued = min(_TOGETHER, 1 + number) if self._marks else 1
            wall, cpu = time.perf_counter(), time.process_time()
            devices += self._some(number, queued)
            walls.append((time.perf_counter() - wall) / queued)
            cpus.append((time.process_time() - cpu) / queued)
            number += queued
        self.result = self._result() if self._result else self.function()
        answer = {"wall": statistics.median(walls), "cpu": statistics.median(cpus)}
        if devices:
            answer["device"] = statistics.median(devices)
        return {name: spent / self.pictures for name, spent in answer.items()} | {"peak": 0}

    def _some(self, number: int, count: int) -> list[float]:
        """Calls in a row, and what the device says of each."""
        if self._marks is None:
            for n in range(count):
                self._calls(number + n)
            return []
        pairs = []
        for n in range(count):
            first = self._marks.record()
            self._calls(number + n)
            pairs.append((first, self._marks.record()))
        return [self._marks.seconds(*pair) for pair in pairs]


def _on_host(array: Any) -> Image:
    return np.asarray(array.get() if hasattr(array, "get") else array)


def _cupy_marks(cupy: Any) -> Marks:
    def record() -> Any:
        event = cupy.cuda.Event()
        event.record()
        return event

    return Marks(record, cupy.cuda.get_elapsed_time)


def _torch_marks(torch: Any) -> Marks:
    def record() -> Any:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    return Marks(record, lambda first, last: first.elapsed_time(last))


# --- this package ----------------------------------------------------------------------------


def ours(image: Image, setting: Setting, threads: int) -> Job:
    """This package: `place` is "kernel", "device" (arrays there) or "host" (NumPy in and out).

    `batch` small pictures are the planes of one volume with radii of 0 across them; `deep`, with the same
    radii along all axes; `film`, frames with noise of their own, and its temporal radius.
    """
    import nlmeans
    from nlmeans import backends
    from nlmeans.backends.contract import Request

    asked = dict(setting.get("options", {}))
    place, batch, backend = asked.pop("place"), asked.pop("batch", 1), asked.pop("backend", "cuda")
    deep, film = asked.pop("deep", False), asked.pop("film", None)
    engine = backends.load(backend)
    missing = engine.can_run(Request("numpy", str(image.dtype), image.size, 1))
    if missing:
        raise RuntimeError(missing)
    radii: dict[str, Any] = {n: setting[n] for n in ("patch_radius", "search_radius")}
    pictures: list[Any] = [np.roll(image, 17 * n, axis=(0, 1)) for n in range(4)]
    if film is not None:
        pictures = [_frames(image, setting, batch)]
    elif batch > 1:
        pictures = [np.stack([np.roll(p, 5 * n, axis=(0, 1)) for n in range(batch)]) for p in pictures[:2]]
        radii = radii if deep else {name: (0, r, r) for name, r in radii.items()}
    unit = 255.0 if image.dtype == np.uint8 else 1.0
    options: dict[str, Any] = {
        "sigma": 0.0,
        "h": setting["h"],
        **radii,
        "center": "max",
        "aggregate": "pixel",
        "channel_axis": -1 if image.ndim == 3 else None,
        "color": "joint" if image.ndim == 3 else None,  # as the others
        "backend": backend,
    } | asked
    options |= {n: options[n] * unit for n in ("sigma", "h") if options.get(n) is not None}
    options = {name: value for name, value in options.items() if value is not None}
    told = f"nlmeans.denoise(image, {', '.join(f'{n}={v!r}' for n, v in options.items())})"
    if film is not None:
        told = told.replace("denoise(image", f"denoise_frames(frames, temporal_radius={film}")
    versions = f"nlmeans {nlmeans.__version__}"
    on_gpu = engine.namespace() is not np
    marks = _cupy_marks(engine.namespace()) if on_gpu and place != "host" else None

    def denoised(picture: Any) -> Any:
        if film is not None:
            frames = nlmeans.denoise_frames(picture, temporal_radius=film, workers=threads, **options)
            return list(frames)
        return nlmeans.denoise(picture, workers=threads, **options)

    if place == "kernel":
        calls = _kernels(pictures, setting, options, engine, threads)
        return Steady(
            f"the kernel of {told}",
            lambda n: calls[n % len(calls)](),
            versions=versions,
            pictures=batch,
            marks=marks,
            result=lambda: np.asarray(denoised(image)),
        )
    there = pictures
    if place == "device":
        up = engine.namespace().asarray
        there = [up(p) if film is None else [up(f) for f in p] for p in pictures]
    return Steady(
        f"{told}, {'arrays on the device' if place == 'device' else 'NumPy arrays'}, {batch} at a time",
        lambda n: denoised(there[n % len(there)]),
        versions=versions,
        pictures=batch,
        marks=marks,
        result=lambda: _on_host(denoised(there[0]) if batch == 1 else denoised(there[0])[0]),
    )


def _frames(image: Image, setting: Setting, count: int) -> list[Image]:
    """The picture, and what a pan makes of it, with noise of the same strength."""
    from nlmeans.benchmarks.problems import frames

    levels = frames(image.shape[:2], image.shape[2] if image.ndim == 3 else 1, setting["noise"])
    others = list(islice(levels, count))[1:]
    if image.dtype != np.uint8:
        others = [(other / np.float32(255)).astype(image.dtype) for other in others]
    return [image, *others]


def _kernels(
    pictures: list[Image], setting: Setting, options: dict[str, Any], engine: Any, threads: int
) -> list[Callable[[], Any]]:
    """The kernel's calls for pictures that are there."""
    from nlmeans.benchmarks import problems
    from nlmeans.benchmarks.ours import own

    colours = pictures[0].shape[2] if pictures[0].ndim == 3 else 1
    problem = problems.Problem(
        "",
        pictures[0].shape[:2],
        colours,
        str(pictures[0].dtype),
        setting["patch_radius"],
        setting["search_radius"],
        h=setting["h"],
    )
    chosen = own.Setting(problem, options["aggregate"], options.get("patch", "box"))
    peak = options["center"] == "max"
    return [own.kernel_call(chosen, picture, engine, threads, peak=peak) for picture in pictures]


# --- others ----------------------------------------------------------------------------------


def vs_nlm_cuda(image: Image, setting: Setting, threads: int) -> Job:
    """vs-nlm-cuda, as a plugin of VapourSynth."""
    missing = (
        "its plugin did not load: it needs a VapourSynth up to release 78, vapoursynth-nlm-cuda and a driver"
    )
    return vapoursynth_filter(
        "nlm_cuda", "NLMeans", "vs-nlm-cuda", missing, image, setting, threads, _TOGETHER, num_streams=4
    )


def vszipcu(image: Image, setting: Setting, threads: int) -> Job:
    """vszipcu, as a plugin of VapourSynth."""
    missing = "its plugin did not load: it needs vapoursynth-vszipcu and an NVIDIA driver"
    return vapoursynth_filter(
        "vszipcu", "NLMeans", "vszipcu", missing, image, setting, threads, _TOGETHER, num_streams=4
    )


def knlmeanscl(image: Image, setting: Setting, threads: int) -> Job:
    """KNLMeansCL, as a plugin of VapourSynth, on the first OpenCL GPU."""
    missing = "its plugin did not load: it needs vapoursynth-knlmeanscl and OpenCL"
    return vapoursynth_filter(
        "knlm", "KNLMeansCL", "KNLMeansCL", missing, image, setting, threads, _TOGETHER, device_type="gpu"
    )


def torch_unfold(image: Image, setting: Setting, threads: int) -> Job:
    """What one writes with torch, on its GPU: rows of shifts unfolded, patches by pooling."""
    import torch

    device = setting.get("options", {}).get("torch_device", "cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("torch sees no GPU")
    pictures = [
        torch.from_numpy(np.ascontiguousarray(np.roll(image, 17 * n, axis=(0, 1)))).to(device)
        for n in range(4)
    ]
    patch, search = setting["patch_radius"], setting["search_radius"]
    unit = 255.0 if image.dtype == np.uint8 else 1.0

    def result() -> Image:
        found = torch_filter(pictures[0], patch, search, setting["h"] * unit)
        return np.asarray(found.cpu().numpy())

    return Steady(
        f"rows of shifts by Tensor.unfold, avg_pool2d and exp, on {device}, patch radius {patch}, "
        f"search radius {search}",
        lambda n: torch_filter(pictures[n % 4], patch, search, setting["h"] * unit),
        versions=f"torch {torch.__version__}",
        marks=_torch_marks(torch) if device == "cuda" else None,
        result=result,
    )


def torch_filter(image: Any, patch: int, search: int, h: float) -> Any:
    """The bare filter of (H, W) or (H, W, C), centre rule "max", in float32; the image's type out."""
    import torch
    from torch.nn.functional import avg_pool2d

    planes = image.float()[None] if image.ndim == 2 else image.float().movedim(-1, 0)
    height, width = planes.shape[-2:]
    reach, size = patch + search, 2 * search + 1

    def folded(n: int) -> Any:
        index = torch.arange(-reach, n + reach, device=image.device) % (2 * n)
        return torch.minimum(index, 2 * n - 1 - index)

    around = planes[:, folded(height)][:, :, folded(width)]
    rows, columns = (torch.arange(-search, n + search, device=image.device) for n in (height, width))
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
    query = around[:, search : search + height + 2 * patch, search : search + width + 2 * patch]
    total = torch.zeros((height, width), device=image.device)
    peak = torch.full_like(total, 2.0**-20)
    summed = torch.zeros_like(planes)
    for dy in range(size):
        line = around[:, dy : dy + height + 2 * patch].unfold(
            2, width + 2 * patch, 1
        )  # C, rows, shifts, columns
        squared = ((line - query[:, :, None]) ** 2).mean(0).transpose(0, 1)  # shifts, rows, columns
        distance = avg_pool2d(squared, 2 * patch + 1, stride=1) if patch else squared
        valid = inside[dy : dy + height].unfold(1, width, 1).transpose(0, 1)
        weight = torch.exp(-distance / h**2) * valid
        if dy == search:
            weight[search] = 0  # the pixel itself
        peak = torch.maximum(peak, weight.amax(0))
        total += weight.sum(0)
        centers = line[:, patch : patch + height, :, patch : patch + width].transpose(1, 2)
        summed += (weight * centers).sum(1)
    found = (summed + peak * planes) / (total + peak)
    found = found[0] if image.ndim == 2 else found.movedim(0, -1)
    return found.round().clamp(0, 255).to(image.dtype) if image.dtype == torch.uint8 else found


def bm3d_cupy(image: Image, setting: Setting, threads: int) -> Job:
    """bm3d-cupy, another filter: better and slower; it is told the noise."""
    import bm3d_cupy as bm3d  # type: ignore[import-not-found, import-untyped, unused-ignore]
    import cupy

    if image.dtype == np.uint8:
        raise RuntimeError("floating point only")
    pictures = [cupy.asarray(np.roll(image, 17 * n, axis=(0, 1))) for n in range(4)]
    sigma = cupy.asarray(setting["noise"], dtype=cupy.float32)
    return Steady(
        f"bm3d_cupy.bm3d_gpu(image, {setting['noise']:.4g})",
        lambda n: bm3d.bm3d_gpu(pictures[n % 4], sigma),
        versions=f"bm3d-cupy {version('bm3d-cupy')}, CuPy {cupy.__version__}",
        marks=_cupy_marks(cupy),
        result=lambda: _on_host(bm3d.bm3d_gpu(pictures[0], sigma)),
    )


RIVALS: dict[str, Callable[[Image, Setting, int], Job]] = {
    "nlmeans on the GPU": ours,
    "vs-nlm-cuda": vs_nlm_cuda,
    "vszipcu": vszipcu,
    "KNLMeansCL": knlmeanscl,
    "torch unfold": torch_unfold,
    "bm3d-cupy": bm3d_cupy,
}
