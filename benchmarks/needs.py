"""The packages that measuring needs, and what for: one line for each that is not there.

Standard library only, so that it can be asked where nothing is installed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec


@dataclass(frozen=True)
class Need:
    """A module, what to install for it, and what it is for."""

    module: str
    install: str
    purpose: str

    @property
    def line(self) -> str:
        """What is said where it is missing."""
        return f"{self.module} is missing: {self.purpose}; pip install {self.install}"


ALWAYS = (Need("numpy", "numpy", "pictures and results are its arrays"),)

ON_A_GPU = (
    Need("cupy", "cupy-cuda13x (cupy-cuda12x for a CUDA 12 driver)", "it compiles and launches the kernels"),
    Need("array_api_compat", "array-api-compat", "nlmeans.denoise calls CuPy's functions by its names"),
)

#: Without these there are fewer rows, and each says so itself.
RIVALS = (
    Need("torch", "torch", "the rival written with torch is not measured"),
    Need("bm3d_cupy", "bm3d-cupy", "the rival bm3d-cupy is not measured"),
    Need("cv2", "opencv-python-headless", "the rival OpenCV, on the processor, is not measured"),
    Need("skimage", "scikit-image", "the rival scikit-image, on the processor, is not measured"),
)


def absent(needs: Iterable[Need]) -> list[str]:
    """A line for each that cannot be imported; none is imported for this."""
    return [need.line for need in needs if not _there(need.module)]


def _there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ValueError:  # imported already, by hand: a module without a specification
        return True
