"""The programs that are compared on volumes and films, for the processes of `rivals`: it finds them by name.

It stands alone like `rivals`: what runs in another interpreter imports nothing of this package.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np

from .rivals import Image, Job, Setting, told, vapoursynth_filter


def _volume(name: str, function: Callable[..., Any], image: Image, options: dict[str, Any], of: str) -> Job:
    """A call that was made once, with a corner, so that what is loaded then is not its time."""
    function(np.ascontiguousarray(image[:16, :16, :16]), **options)
    call = f"{name}(volume, {told(options)})"
    return Job(call, lambda: np.asarray(function(image, **options)), versions=f"{of} {version(of)}")


def dipy(image: Image, setting: Setting, threads: int) -> Job:
    """DIPY's, for brains."""
    from dipy.denoise.nlmeans import nlmeans  # type: ignore[import-not-found, import-untyped, unused-ignore]

    options = {
        "sigma": setting["h"],
        "patch_radius": setting["patch_radius"],
        "block_radius": setting["search_radius"],
        "rician": False,
        "method": "classic",
        "num_threads": threads,
    }
    return _volume("dipy.denoise.nlmeans.nlmeans", nlmeans, image, options, "dipy")


def ants(image: Image, setting: Setting, threads: int) -> Job:
    """ANTsPy's: it weights by statistics of its own."""
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = str(threads)
    import ants  # type: ignore[import-not-found, import-untyped, unused-ignore]

    def denoised(volume: Image, **options: Any) -> Image:
        return np.asarray(ants.denoise_image(ants.from_numpy(volume), **options).numpy())

    options = {"p": setting["patch_radius"], "r": setting["search_radius"], "noise_model": "Gaussian"}
    return _volume("ants.denoise_image", denoised, image, options, "antspyx")


def our_film(image: Image, setting: Setting, threads: int) -> Job:
    """This package, which looks for motion and cuts too."""
    import nlmeans

    options: dict[str, Any] = {
        "temporal_radius": setting["options"]["temporal_radius"],
        "patch_radius": setting["patch_radius"],
        "search_radius": setting["search_radius"],
        "sigma": setting["noise"],
        "h": setting["h"],
        "aggregate": "pixel",
        "center": "max",
        "workers": threads,
        "backend": "cpu",
    }
    list(nlmeans.denoise_frames(list(image[:3]), **options))
    return Job(
        f"nlmeans.denoise_frames(frames, {told(options)})",
        lambda: np.stack(list(nlmeans.denoise_frames(list(image), **options))),
        versions=f"nlmeans {nlmeans.__version__}",
        pictures=len(image),
    )


def vapoursynth_film(image: Image, setting: Setting, threads: int) -> Job:
    """vs-nlm-ispc with frames before and after."""
    missing = "its plugin is not installed: pip install vapoursynth-nlm-ispc"
    radius = setting["options"]["temporal_radius"]
    names = ("nlm_ispc", "NLMeans", "vs-nlm-ispc", missing)
    return vapoursynth_filter(*names, image, setting, threads, len(image), film=True, d=radius)


RIVALS: dict[str, Callable[[Image, Setting, int], Job]] = {
    "DIPY": dipy,
    "ANTsPy": ants,
    "nlmeans, film": our_film,
    "vs-nlm-ispc, film": vapoursynth_film,
}
