"""Parameters of other programs in the words of this one, with the formula of each.

All of these average pixels in one pass, with ``exp(-d^2 / h^2)`` of a patch distance that they sum or average
each in its own way; ours is the mean of squared differences over the patch and the channels.  What was run
beside them is in "differs" of each tool, on a photograph with noise of 12 (2026-11-30): the difference is the
root mean square over the pixels 8 from the edge, where borders differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nlmeans.errors import InvalidTypeError, InvalidValueError, shown
from nlmeans.parameters import integer, number

_PIXELS = {"aggregate": "pixel", "passes": 1}  # what all of them do


@dataclass(frozen=True)
class Translation:
    """Settings of `denoise` that do what another program's parameters do.

    Parameters
    ----------
    settings : dict
        For `denoise`: ``denoise(image, **translation.settings)``.
    formulas : dict of str
        How each setting follows from the other program's parameters.
    notes : tuple of str
        What stays different, and how near the results were where both were run.
    """

    settings: dict[str, Any]
    formulas: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def call(self) -> str:
        """As a call in Python."""
        given = ", ".join(f"{name}={_short(value)!r}" for name, value in self.settings.items())
        return f"nlmeans.denoise(image, {given})"

    def command(self) -> str:
        """As options of the command line, which has no differences of colours of its own."""
        given = {n: v for n, v in self.settings.items() if not isinstance(v, dict) and n != "channel_axis"}
        return " ".join(f"--{name.replace('_', '-')} {_short(value)}" for name, value in given.items())


def translate(tool: str, *, full_scale: float | None = None, **parameters: Any) -> Translation:
    """Another program's parameters as settings of `denoise`.

    Parameters
    ----------
    tool : {"opencv", "opencv-colored", "skimage", "knlmeanscl", "ffmpeg", "dipy", "itk"}
        ``cv2.fastNlMeansDenoising`` and ``fastNlMeansDenoisingColored``,
        ``skimage.restoration.denoise_nl_means``, KNLMeansCL and its family, FFmpeg's filter ``nlmeans``,
        ``dipy.denoise.nlmeans.nlmeans``, ITK's ``PatchBasedDenoisingImageFilter``.
    full_scale : float, optional
        The value of white in the image, > 0.  Strengths of OpenCV, KNLMeansCL and FFmpeg are for 255, those
        of scikit-image for 1.  Default: these, so that no strength is scaled.
    **parameters
        By the other program's names; what is left out has its defaults.

    Returns
    -------
    Translation
        Settings, formulas and notes.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        For another tool, a parameter it does not have, and values it does not take.

    Examples
    --------
    >>> translate("ffmpeg", s=3, p=7, r=15).settings["h"]
    4.285714285714286
    """
    if not isinstance(tool, str) or tool not in TOOLS:
        raise InvalidValueError(f"tool must be one of {', '.join(TOOLS)}, got {shown(tool)}")
    known, translated, white = TOOLS[tool]
    for name in parameters:
        if name not in known:
            raise InvalidValueError(f"{tool} has no parameter {name!r}; it has {', '.join(known)}")
    scale = 1.0
    if full_scale is not None:
        if white is None or number("full_scale", full_scale) == 0:
            raise InvalidValueError("full_scale is > 0, and for tools whose strengths have a scale")
        scale = full_scale / white
    return translated({**known, **parameters}, scale)


def _opencv(p: Mapping[str, Any], scale: float) -> Translation:
    template, search = (_odd(name, p[name]) for name in ("templateWindowSize", "searchWindowSize"))
    h, norm = number("h", p["h"]), str(p["normType"]).upper()
    if norm not in ("L1", "L2"):
        raise InvalidValueError(f"normType must be L1 or L2, got {shown(p['normType'])}")
    notes = ["differs from OpenCV 5.0 by 0.3 to 0.4 of 255, which is the rounding to 8 bits of both"]
    formula = "h"
    if norm == "L1":
        h, formula = h * math.sqrt(math.pi / 2), "h sqrt(pi / 2): a mean of magnitudes in place of squares"
        notes = ["near for normal noise alone, where magnitudes are sqrt(2 / pi) of sigma; not checked"]
    settings = {"sigma": 0.0, "h": h * scale, "center": "one", **_radii(template, search), **_PIXELS}
    return Translation(
        {**settings, "color": "joint"},
        {
            "h": formula + _scaled(scale),
            "patch_radius": "templateWindowSize // 2",
            "search_radius": "searchWindowSize // 2",
            "sigma": "0: distances are not corrected for noise",
        },
        tuple(notes),
    )


def _opencv_colored(p: Mapping[str, Any], scale: float) -> Translation:
    grey = _opencv(
        {**{n: p[n] for n in ("h", "templateWindowSize", "searchWindowSize")}, "normType": "L2"}, 1
    )
    differences = number("hColor", p["hColor"]) * math.sqrt(2) * scale
    radii = {name: grey.settings[name] for name in ("patch_radius", "search_radius")}
    settings = {**grey.settings, "h": grey.settings["h"] * math.sqrt(3) * scale, "color": "luminance"}
    settings["differences"] = {"h": differences, "sigma": 0.0, "center": "one", "aggregate": "pixel", **radii}
    return Translation(
        {**settings, "channel_axis": -1},
        grey.formulas
        | {
            "h": "h sqrt 3: the luminance is (R + G + B) / sqrt 3" + _scaled(scale),
            "differences": "hColor sqrt 2: they are (R - B) / sqrt 2 and its like" + _scaled(scale),
        },
        ("OpenCV compares in 8-bit Lab, whose steps are uneven in RGB: strengths are rough; not checked",),
    )


def _skimage(p: Mapping[str, Any], scale: float) -> Translation:
    size, fast = integer("patch_size", p["patch_size"], 1), bool(p["fast_mode"])
    size += 1 - size % 2
    axes = integer("axes", p["axes"], 1, 3)
    part = ((size - 1) / size) ** (axes / 2) if fast and size > 1 else 1.0
    sigma, h = (number(name, p[name]) * scale / part for name in ("sigma", "h"))
    formula = " (s / (s - 1))^(axes / 2): fast_mode compares one sample less along each axis" if fast else ""
    note = "differs from scikit-image 0.26 by 0.001 of a range of 1"
    if fast:
        note = (
            "differs from scikit-image 0.26 by 0.013 of a range of 1 where 0.06 is removed; its smaller "
            "patches are half a pixel off, and its exponential up to 4 %"
        )
    settings = {"sigma": sigma, "h": h, "center": "one", "patch": "box" if fast else "gaussian"}
    settings |= {
        "patch_radius": size // 2,
        "search_radius": integer("patch_distance", p["patch_distance"], 0),
    }
    return Translation(
        {**settings, **_PIXELS, "color": "joint"},
        {
            "h": "h" + formula + _scaled(scale),
            "sigma": "sigma" + formula + _scaled(scale),
            "patch_radius": "patch_size // 2",
            "search_radius": "patch_distance",
        },
        (note, "nlmeans.compat.denoise_nl_means takes these parameters as they are"),
    )


def _knlmeanscl(p: Mapping[str, Any], scale: float) -> Translation:
    wref = number("wref", p["wref"])
    settings = {"sigma": 0.0, "h": number("h", p["h"]) * scale, "center": "max" if wref > 0 else "zero"}
    settings |= {"patch_radius": integer("s", p["s"], 0), "search_radius": integer("a", p["a"], 0)}
    notes = ["it needs OpenCL and VapourSynth, and was not run: the scale of h is that of its documentation"]
    if integer("d", p["d"], 0):
        notes.append(f"for d={p['d']}: nlmeans.denoise_frames(frames, temporal_radius={p['d']})")
    if wref not in (0, 1):
        notes.append(f"wref={wref:g} times the largest weight is 1 times here")
    return Translation(
        {**settings, **_PIXELS, "color": "joint"},
        {
            "h": "h, on a scale of 255 whatever the depth" + _scaled(scale),
            "patch_radius": "s",
            "search_radius": "a",
            "center": "wref times the largest weight of the others",
        },
        tuple(notes),
    )


def _ffmpeg(p: Mapping[str, Any], scale: float) -> Translation:
    patch, research = _odd("p", p["p"]), _odd("r", p["r"])
    settings = {"sigma": 0.0, "h": 10 * number("s", p["s"]) / patch * scale, "center": "one"}
    return Translation(
        {**settings, **_radii(patch, research), **_PIXELS, "color": "separate"},
        {
            "h": "10 s / p: squared differences are summed over p x p pixels, not averaged" + _scaled(scale),
            "patch_radius": "p // 2",
            "search_radius": "r // 2",
        },
        (
            "differs from FFmpeg 9.0 by 0.46 of 255 on one plane (s=5, p=5, r=11): it cuts off, others round",
            "planes of YUV are filtered apart there; channels are here",
        ),
    )


def _dipy(p: Mapping[str, Any], scale: float) -> Translation:
    sigma, method = number("sigma", p["sigma"]), str(p["method"])
    if method not in ("classic", "blockwise"):
        raise InvalidValueError(f"method must be classic or blockwise, got {method!r}")
    patch, block = (integer(name, p[name], 0) for name in ("patch_radius", "block_radius"))
    settings: dict[str, Any] = {"sigma": 0.0, "center": "one", "passes": 1}
    if method == "classic":
        settings |= {"h": 1.05 * sigma, "patch_radius": patch, "search_radius": block, "aggregate": "pixel"}
        formulas = {"patch_radius": "patch_radius", "search_radius": "block_radius"}
        formulas["h"] = "1.05 sigma: measured, 1.1 where sigma is small and 0.9 where it is large"
        notes = [
            "differs from DIPY 1.12 by 0.5 to 0.8 where noise of 8 is removed; it averages squares: is biased"
        ]
    else:
        settings |= {"h": sigma, "patch_radius": block, "search_radius": patch, "aggregate": "patch"}
        formulas = {
            "patch_radius": "block_radius",
            "search_radius": "patch_radius: it has them the other way",
        }
        formulas["h"] = "sigma"
        notes = ["differs from DIPY 1.12 by 1.5 where noise of 8 is removed; it leaves out unlike blocks"]
    if p["rician"]:
        notes.append(
            f'rician=True: leave sigma and h out and give noise={{"kind": "rician", "sigma": {sigma}}}'
        )
    return Translation(settings, formulas, tuple(notes))


def _itk(p: Mapping[str, Any], scale: float) -> Translation:
    return Translation(
        {"patch_radius": integer("PatchRadius", p["PatchRadius"], 0)},
        {"patch_radius": "PatchRadius"},
        (
            "KernelBandwidthSigma has no counterpart: the filter moves pixels a step towards the mean of "
            "sampled patches, iteration by iteration; none of our strengths came near it",
            "strength and search are left to the tables; for NoiseModel RICIAN or POISSON give noise=",
        ),
    )


def _radii(patch: int, search: int) -> dict[str, int]:
    return {"patch_radius": patch // 2, "search_radius": search // 2}


def _odd(name: str, value: Any) -> int:
    """The size of a window; even ones are taken one larger, as these programs do."""
    if isinstance(value, str):
        raise InvalidTypeError(f"{name} must be a number, got {shown(value)}")
    size = integer(name, value, 1)
    return size + 1 - size % 2


def _scaled(scale: float) -> str:
    return "" if scale == 1 else f", times {scale:.4g} for this full scale"


def _short(value: Any) -> Any:
    """Numbers in six digits."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


Defaults = dict[str, Any]
#: Of each tool its parameters with their defaults, what translates them, and the white of its strengths.
TOOLS: dict[str, tuple[Defaults, Callable[[Mapping[str, Any], float], Translation], float | None]] = {
    "opencv": ({"h": 3.0, "templateWindowSize": 7, "searchWindowSize": 21, "normType": "L2"}, _opencv, 255.0),
    "opencv-colored": (
        {"h": 3.0, "hColor": 3.0, "templateWindowSize": 7, "searchWindowSize": 21},
        _opencv_colored,
        255.0,
    ),
    "skimage": (
        {"patch_size": 7, "patch_distance": 11, "h": 0.1, "fast_mode": True, "sigma": 0.0, "axes": 2},
        _skimage,
        1.0,
    ),
    "knlmeanscl": ({"d": 1, "a": 2, "s": 4, "h": 1.2, "wref": 1.0}, _knlmeanscl, 255.0),
    "ffmpeg": ({"s": 1.0, "p": 7, "r": 15}, _ffmpeg, 255.0),
    "dipy": (
        {"sigma": 1.0, "patch_radius": 1, "block_radius": 5, "rician": True, "method": "classic"},
        _dipy,
        None,
    ),
    "itk": ({"PatchRadius": 4, "KernelBandwidthSigma": 400.0, "NoiseModel": "NOMODEL"}, _itk, None),
}
