"""The programs that are compared, each run in a process of its own.

    python rivals.py          serves one program: JSON lines on standard input, answers on standard output

It stands alone (standard library and NumPy), because a rival may need an interpreter of its own in
which nlmeans is not installed.  A process of its own also gives every program its own peak memory and
its own settings of threads.  Its working folder is for its files.  Requests:

    {"do": "load", "rival": NAME, "image": FILE.npy, "setting": {...}, "threads": N}   prepare, not timed
    {"do": "run"}                                                                      one timed call
    {"do": "save", "path": FILE.npy}                                                   the last result

Nothing here contains code of a rival; the GPL ones are used as installed, from outside.
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[Any]
_STATUS = Path("/proc/self/status")
Setting = dict[str, Any]  # patch_radius, search_radius, h, noise, options


class Job:
    """A prepared call inside this process."""

    def __init__(self, call: str, function: Callable[[], Image], *, versions: str, pictures: int = 1) -> None:
        self.call = call
        self.versions = versions
        self.function = function
        self.pictures = pictures  # that one call of `function` denoises, side by side
        self.result: Image | None = None

    def run(self) -> dict[str, float]:
        """Seconds of wall and processor time for each picture, and bytes beyond those held before."""
        _forget_peak()
        before = _memory("VmRSS")
        wall, cpu = time.perf_counter(), time.process_time()
        self.result = self.function()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        peak = _memory("VmHWM") - before
        return {"wall": wall / self.pictures, "cpu": cpu / self.pictures, "peak": peak}

    def save(self, path: str) -> None:
        """The last result, as floating point in [0, 1]."""
        assert self.result is not None
        scale = 255.0 if self.result.dtype == np.uint8 else 1.0
        np.save(path, self.result.astype(np.float32) / scale)


def _memory(name: str) -> int:
    """Bytes, from the kernel's account of this process; VmHWM is the largest VmRSS so far."""
    status = _STATUS.read_text(encoding="ascii") if _STATUS.exists() else ""
    found = re.search(rf"{name}:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


def _forget_peak() -> None:
    """Start a new VmHWM."""
    if _STATUS.exists():
        _STATUS.with_name("clear_refs").write_text("5", encoding="ascii")


def ours(image: Image, setting: Setting, threads: int) -> Job:
    """This package."""
    import nlmeans
    from nlmeans.backends import cpu
    from nlmeans.backends.contract import Request

    missing = cpu.can_run(Request("numpy", "float32", image.size, 1))
    if missing:
        raise RuntimeError(missing)
    options: dict[str, Any] = {
        "sigma": 0.0,
        "h": setting["h"],
        "patch_radius": setting["patch_radius"],
        "search_radius": setting["search_radius"],
        "center": "one",
        "aggregate": "pixel",
        "channel_axis": -1 if image.ndim == 3 else None,
        "color": "joint" if image.ndim == 3 else None,  # as the others
        "backend": "cpu",
    } | setting.get("options", {})
    if image.dtype == np.uint8:
        options |= {n: options[n] * 255 for n in ("sigma", "h") if options.get(n) is not None}
    options = {name: value for name, value in options.items() if value is not None}
    nlmeans.denoise(image[:64, :64].copy(), workers=threads, **options)  # imports are not its memory
    return Job(
        f"nlmeans.denoise(image, {told(options)}, workers={threads})",
        lambda: nlmeans.denoise(image, workers=threads, **options),
        versions=f"nlmeans {nlmeans.__version__} ({cpu.isa()})",
    )


def skimage(image: Image, setting: Setting, threads: int) -> Job:
    """scikit-image's fast mode: one thread; its patch is one sample narrower than it says."""
    from importlib.metadata import version

    from skimage.restoration import denoise_nl_means

    if threads > 1:
        raise RuntimeError("it has one thread: see there")
    options = {
        "patch_size": 2 * setting["patch_radius"] + 1,
        "patch_distance": setting["search_radius"],
        "h": setting["h"],
        "fast_mode": True,
        "sigma": 0.0,
        "channel_axis": -1 if image.ndim == 3 else None,
    } | setting.get("options", {})
    denoise_nl_means(image[:32, :32], **options)
    return Job(
        f"skimage.restoration.denoise_nl_means(image, {told(options)})",
        lambda: np.asarray(denoise_nl_means(image, **options)),
        versions=f"scikit-image {version('scikit-image')}",
    )


def opencv(image: Image, setting: Setting, threads: int) -> Job:
    """OpenCV's fastNlMeansDenoising: 8 bits, integer arithmetic, weights below 0.001 are 0."""
    import cv2  # type: ignore[import-not-found, import-untyped, unused-ignore]

    if image.dtype != np.uint8:
        raise RuntimeError("8-bit pictures only")
    cv2.setNumThreads(threads)
    options = {
        "h": setting["h"] * 255,
        "templateWindowSize": 2 * setting["patch_radius"] + 1,
        "searchWindowSize": 2 * setting["search_radius"] + 1,
    }
    cv2.fastNlMeansDenoising(image[:64, :64].copy(), None, **options)
    return Job(
        f"cv2.setNumThreads({threads}); cv2.fastNlMeansDenoising(image, None, {told(options)})",
        lambda: np.asarray(cv2.fastNlMeansDenoising(image, None, **options)),
        versions=f"OpenCV {cv2.__version__}",
    )


def vapoursynth(image: Image, setting: Setting, threads: int) -> Job:
    """vs-nlm-ispc: a thread for each frame, so that many frames are asked for at once."""
    missing = "its plugin is not installed: pip install vapoursynth-nlm-ispc"
    return vapoursynth_filter("nlm_ispc", "NLMeans", "vs-nlm-ispc", missing, image, setting, threads, threads)


def vapoursynth_filter(
    plugin: str,
    function: str,
    name: str,
    missing: str,
    image: Image,
    setting: Setting,
    threads: int,
    together: int,
    *,
    film: bool = False,
    **more: Any,
) -> Job:
    """A filter with KNLMeansCL's parameters, asked for so many frames at a time: of a picture, or a film."""
    import vapoursynth as vs  # type: ignore[import-not-found, import-untyped, unused-ignore]

    core = vs.core
    if not hasattr(core, plugin):
        raise RuntimeError(missing)
    core.num_threads = threads
    every = image[:, None] if film else np.moveaxis(image.reshape(*image.shape[:2], -1), -1, 0)[None]
    _, colours, height, width = every.shape  # planes of frames
    kinds = {(1, "u"): vs.GRAY8, (1, "f"): vs.GRAYS, (3, "u"): vs.RGB24, (3, "f"): vs.RGBS}
    if (colours, image.dtype.kind) not in kinds:
        raise RuntimeError("grey and RGB only")
    kind = kinds[colours, image.dtype.kind]
    options = {
        "d": 0,
        "a": setting["search_radius"],
        "s": setting["patch_radius"],
        "h": setting["h"] * 255,
        "channels": "RGB" if colours == 3 else "Y",
        "wmode": 0,
        "wref": 1.0,
    } | more
    blank = core.std.BlankClip(width=width, height=height, format=kind, length=10**6)
    filled = []
    for planes in every:
        filled.append(blank.get_frame(0).copy())
        for number, plane in enumerate(planes):
            np.copyto(np.asarray(filled[-1][number]), plane)
    clip = core.std.ModifyFrame(blank, blank, lambda n, f: filled[n % len(filled)])
    result = getattr(getattr(core, plugin), function)(clip, **options)
    asked = iter(range(0, 10**6, together))  # never the same frame, which may be kept

    def run() -> Image:
        first = next(asked)
        frames = [f.result() for f in [result.get_frame_async(first + n) for n in range(together)]]
        done = np.array([[np.asarray(f[c]) for c in range(colours)] for f in frames[: len(every)]])
        return done if film else np.moveaxis(done[0], 0, -1)

    version = getattr(core, plugin).version
    return Job(
        f"core.num_threads = {threads}; core.{plugin}.{function}(clip, {told(options)}) in "
        f"{kind.name if hasattr(kind, 'name') else kind}, {together} frame(s) at a time",
        lambda: run().reshape(image.shape),
        versions=f"VapourSynth R{vs.__version__.release_major}, {name} {version.major}.{version.minor}",
        pictures=together,
    )


def vszip(image: Image, setting: Setting, threads: int) -> Job:
    """vszip's CPU NLMeans, announced in its documentation: is it in the wheel that is installed?"""
    import vapoursynth as vs  # type: ignore[import-not-found, import-untyped, unused-ignore]

    if not hasattr(vs.core, "vszip"):
        raise RuntimeError("its plugin is not installed: pip install vapoursynth-vszip")
    version = vs.core.vszip.version
    if not hasattr(vs.core.vszip, "NLMeans"):
        raise RuntimeError(f"the released wheel {version.major}.{version.minor} has no NLMeans")
    raise RuntimeError(f"wheel {version.major}.{version.minor} has an NLMeans that is not adapted here yet")


class _FFmpeg(Job):
    """A process for each call; the filter is timed between two of FFmpeg's own `bench` filters."""

    def __init__(
        self, call: str, command: Callable[[str], list[str]], result: Callable[[], Image], **kinds: Any
    ):
        super().__init__(call, result, **kinds)
        self.command = command
        self.idle = min((self._spent(command("null")) for _ in range(3)), key=lambda spent: spent["cpu"])

    def run(self) -> dict[str, float]:
        """What the process took beyond one that passes the picture on."""
        spent = self._spent(self.command(self.call))
        self.result = self.function()
        return {n: spent[n] - self.idle[n] if n != "wall" else spent[n] for n in spent}

    @staticmethod
    def _spent(command: list[str]) -> dict[str, float]:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        timed = re.findall(r"\bt:([0-9.]+)", done.stderr)
        if done.returncode or not timed:
            raise RuntimeError(done.stderr.strip()[-300:] or "it reported no time")
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return {"wall": float(timed[-1]), "cpu": cpu, "peak": after.ru_maxrss * 1024}


def ffmpeg(image: Image, setting: Setting, threads: int) -> Job:
    """FFmpeg's nlmeans: 8 bits; planes apart; the patch distance is a sum, so s grows with the patch."""
    import imageio_ffmpeg  # type: ignore[import-not-found, import-untyped, unused-ignore]

    if image.dtype != np.uint8:
        raise RuntimeError("8-bit pictures only")
    size = 2 * setting["patch_radius"] + 1
    strength = size * setting["h"] * 255 / 10  # its h is 10 s, over the sum of the patch
    if not 1 <= strength <= 30:
        raise RuntimeError(f"its strength s = {strength:.3g} would be outside of 1 to 30")
    # `s` with all its digits: rounding it would be another strength
    asked = f"nlmeans=s={strength!r}:p={size}:r={2 * setting['search_radius'] + 1}"
    folder = Path.cwd()
    kind = "gbrp" if image.ndim == 3 else "gray"
    planes = np.moveaxis(image[..., [1, 2, 0]], -1, 0) if image.ndim == 3 else image
    np.ascontiguousarray(planes).tofile(folder / "in.raw")
    program = imageio_ffmpeg.get_ffmpeg_exe()
    raw = ["-f", "rawvideo", "-pix_fmt", kind]
    source = [*raw, "-s", f"{image.shape[1]}x{image.shape[0]}", "-i", str(folder / "in.raw")]
    common = [program, "-y", "-nostdin", "-hide_banner", "-threads", "1", "-filter_threads", str(threads)]

    def command(wanted: str) -> list[str]:
        graph = f"bench=start,{asked if wanted != 'null' else 'null'},bench=stop"
        return [*common, *source, "-vf", graph, "-frames:v", "1", *raw, str(folder / "out.raw")]

    def result() -> Image:
        values = np.fromfile(folder / "out.raw", np.uint8).reshape(planes.shape)
        return np.moveaxis(values, 0, -1)[..., [2, 0, 1]] if image.ndim == 3 else values

    version = subprocess.run([program, "-version"], capture_output=True, text=True).stdout.split()[2]
    call = f"ffmpeg -filter_threads {threads} -pix_fmt {kind} -vf {asked}"
    return _FFmpeg(call, command, result, versions=f"FFmpeg {version}")


class _Command(Job):
    """A whole process, from its start to its end."""

    def run(self) -> dict[str, float]:
        """Everything the process took."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        wall = time.perf_counter()
        self.result = self.function()
        wall = time.perf_counter() - wall
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return {"wall": wall, "cpu": cpu, "peak": after.ru_maxrss * 1024}


def command(image: Image, setting: Setting, threads: int) -> Job:
    """`nlmeans denoise` of a PNG, from the start of the process to its end."""
    from imageio.v3 import imread, imwrite

    import nlmeans

    folder = Path.cwd()
    imwrite(folder / "in.png", image)
    words = [sys.executable, "-m", "nlmeans.cli", "denoise", str(folder / "in.png")]
    words += ["-o", str(folder / "out.png"), "--overwrite", "--quiet"]

    def run() -> Image:
        subprocess.run(words, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        return np.asarray(imread(folder / "out.png"))

    shown = "nlmeans denoise in.png -o out.png --overwrite --quiet"
    return _Command(shown, run, versions=f"nlmeans {nlmeans.__version__}")


RIVALS: dict[str, Callable[[Image, Setting, int], Job]] = {
    "nlmeans": ours,
    "scikit-image": skimage,
    "OpenCV": opencv,
    "FFmpeg": ffmpeg,
    "vs-nlm-ispc": vapoursynth,
    "vszip": vszip,
    "nlmeans command": command,
}


def told(options: dict[str, Any]) -> str:
    """As they are written in a call."""
    return ", ".join(f"{n}={round(v, 6) if isinstance(v, float) else v!r}" for n, v in options.items())


def _adapter(name: str) -> Callable[[Image, Setting, int], Job]:
    """Of a program; those that want a GPU, and those for volumes and films, are in files beside this one."""
    if name in RIVALS:
        return RIVALS[name]
    if not __package__:  # run alone: a package of these two files, without the others
        package = ModuleType("contest")
        package.__path__ = [str(Path(__file__).parent)]
        sys.modules["contest"] = package
    others: dict[str, Callable[[Image, Setting, int], Job]] = {}
    for file in (".gpu_rivals", ".stack_rivals"):
        others |= import_module(file, __package__ or "contest").RIVALS
    return others[name]


def _answer(request: dict[str, Any], job: Job | None) -> tuple[dict[str, Any], Job | None]:
    if request["do"] == "load":
        image = np.load(request["image"])
        job = _adapter(request["rival"])(image, request["setting"], request["threads"])
        return {"call": job.call, "versions": job.versions}, job
    assert job is not None, "load first"
    if request["do"] == "run":
        return job.run(), job
    job.save(request["path"])
    return {}, job


def serve() -> None:
    """Answer each request with one line; what fails is answered with the reason."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # a rival that prints must not disturb the answers
    job: Job | None = None
    for line in sys.stdin:
        try:
            answer, job = _answer(json.loads(line), job)
        except ImportError as error:
            answer = {"reason": f"not installed: {error}"}
        except Exception as error:
            answer = {"reason": f"{type(error).__name__}: {error}" if not str(error) else str(error)}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    serve()
