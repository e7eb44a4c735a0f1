"""Frames as planes of samples, and planes as frames, without the padding of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..formats.picture import Array
from ..status import UnreadableError

_TAGS = ("color_range", "colorspace", "color_primaries", "color_trc")
_SEMIPLANAR = {"nv12": "yuv420p", "nv21": "yuv420p", "nv16": "yuv422p", "nv24": "yuv444p"}
_PACKED = {"yuyv422": "yuv422p", "uyvy422": "yuv422p", "rgb24": "gbrp", "bgr24": "gbrp", "pal8": "gbrap"}
_PACKED |= {name: "gbrap" for name in ("rgba", "bgra", "argb", "abgr")}
_PACKED |= {name: "gbrp" for name in ("0rgb", "rgb0", "bgr0", "0bgr")}
COLOURS = (1, 2)  #: the planes U and V
PLANAR = _SEMIPLANAR | _PACKED  #: formats whose samples are only laid out otherwise -> the one with planes


@dataclass(frozen=True)
class Form:
    """How the samples of a film lie in planes."""

    name: str  # of FFmpeg's pixel format
    bits: int
    groups: tuple[tuple[int, ...], ...]  # planes that are denoised together: Y; U and V; or G, B and R
    source: str  # the same samples as the film has them

    @classmethod
    def of(cls, form: Any) -> Form:
        """Of PyAV's format; what has no planes of whole samples is refused."""
        name = PLANAR.get(form.name, form.name)
        if name.startswith(("p010", "p016")):
            name = "yuv420p16le"
        depth = 8 if name != form.name and form.name in PLANAR else form.components[0].bits
        if name.startswith("yuv"):
            groups: tuple[tuple[int, ...], ...] = ((0,), COLOURS)
        elif name.startswith("gbr"):
            groups = ((0, 1, 2),)
        elif name.startswith("gray"):
            groups = ((0,),)
        else:
            raise UnreadableError(f"its frames are {form.name}; YUV, RGB and grey frames can be denoised")
        if "f32" in name or name.endswith("be"):
            raise UnreadableError(f"its frames are {form.name}, which is not supported")
        return cls(name, depth, groups, form.name)

    @property
    def alike(self) -> tuple[str, ...]:
        """The formats that hold the same samples: with planes, as in the film, as in PNG, FFV1, WebP."""
        packed = {"gbrp": ("rgb24", "bgr0", "bgra"), "gbrap": ("rgba", "bgra")}
        return self.name, self.source, *packed.get(self.name, ())

    def bytes(self, width: int, height: int) -> int:
        """Of a frame without padding."""
        import av

        frame = av.VideoFrame(width, height, self.name)
        return sum(p.width * p.height for p in frame.planes) * (1 if self.bits == 8 else 2)


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame: its planes, and what else is known of it."""

    planes: list[Array]
    pts: int | None
    time_base: Any
    tags: dict[str, Any]

    @classmethod
    def of(cls, frame: Any, form: Form) -> Frame:
        """Take a frame of PyAV apart; its memory is not kept."""
        import numpy as np

        if frame.format.name != form.name:
            frame = frame.reformat(format=form.name)
        dtype = np.uint8 if form.bits == 8 else np.uint16
        planes = []
        for plane in frame.planes:
            rows = np.frombuffer(plane, dtype).reshape(plane.height, -1)
            planes.append(rows[:, : plane.width].copy())
        tags = {name: getattr(frame, name) for name in _TAGS}
        return cls(planes, frame.pts, frame.time_base, tags)

    def group(self, planes: tuple[int, ...]) -> Array:
        """Planes of one size as (H, W), or (H, W, planes)."""
        import numpy as np

        found = [self.planes[n] for n in planes]
        return found[0] if len(found) == 1 else np.stack(found, axis=-1)

    def with_groups(self, form: Form, groups: list[Array]) -> Any:
        """A frame of PyAV with other samples in the groups; transparency stays."""
        import av
        import numpy as np

        planes = list(self.planes)
        for places, samples in zip(form.groups, groups, strict=True):
            for n, place in enumerate(places):
                planes[place] = samples if samples.ndim == 2 else samples[..., n]
        height, width = self.planes[0].shape
        frame = av.VideoFrame(width, height, form.name)
        for target, samples in zip(frame.planes, planes, strict=True):
            rows = np.zeros((target.height, target.line_size // samples.itemsize), samples.dtype)
            rows[:, : target.width] = samples
            target.update(rows.tobytes())
        frame.pts, frame.time_base = self.pts, self.time_base
        for name, value in self.tags.items():
            setattr(frame, name, value)
        return frame
