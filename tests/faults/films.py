"""Tiny films, made here by PyAV."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

SIZE = (80, 48)


def planes(form: str, number: int, size: tuple[int, int] = SIZE) -> list[np.ndarray]:
    """The planes of one frame: a pattern that moves, and noise."""
    import av

    frame = av.VideoFrame(*size, form)
    bits = frame.format.components[0].bits
    rng = np.random.default_rng(number)
    found = []
    for plane in frame.planes:
        width = plane.width if len(frame.planes) > 1 else plane.line_size // (1 + (bits > 8))
        y, x = np.mgrid[: plane.height, :width]
        pattern = 0.5 + 0.2 * np.sin((x + number) / 5) * np.cos(y / 6)
        noisy = (pattern + rng.normal(0, 0.03, pattern.shape)) * (2**bits - 1)
        found.append(np.rint(noisy.clip(0, 2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16))
    return found


def write(
    path: Path,
    codec: str = "ffv1",
    form: str = "yuv420p",
    frames: int = 7,
    *,
    times: list[int] | None = None,
    sound: bool = False,
    rotation: int = 0,
    sizes: dict[int, tuple[int, int]] | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """A film at 25 frames a second, or with the given times in ms."""
    import av

    with av.open(str(path), "w") as film:
        stream = film.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = *SIZE, form
        stream.codec_context.time_base = Fraction(1, 1000)
        for name, value in (("colorspace", 1), ("color_primaries", 1), ("color_trc", 1), ("color_range", 1)):
            setattr(stream.codec_context, name, value)
        if rotation:
            stream.set_display_rotation(rotation)
        film.metadata["title"] = "a film"
        audio = _sound(film) if sound else None
        for n in range(frames):
            frame = av.VideoFrame(*SIZE, form)
            for plane, samples in zip(frame.planes, planes(form, n), strict=True):
                row = np.zeros((plane.height, plane.line_size // samples.itemsize), samples.dtype)
                row[:, : samples.shape[1]] = samples
                plane.update(row.tobytes())
            frame.pts, frame.time_base = (times[n] if times else 40 * n), Fraction(1, 1000)
            film.mux(stream.encode(frame))
        film.mux(stream.encode())
        if audio is not None:
            _beep(film, audio)
    return path


def _sound(film: Any) -> Any:
    stream = film.add_stream("aac", rate=48000)
    stream.layout = "mono"
    stream.metadata["language"] = "deu"
    return stream


def _beep(film: Any, stream: Any) -> None:
    import av

    for n in range(12):
        frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        frame.planes[0].update((0.3 * np.sin(np.arange(1024) / 20)).astype("f4").tobytes())
        frame.sample_rate, frame.pts = 48000, 1024 * n
        film.mux(stream.encode(frame))
    film.mux(stream.encode())


def only_sound(path: Path) -> Path:
    """A file without pictures."""
    import av

    with av.open(str(path), "w") as film:
        _beep(film, _sound(film))
    return path


def read(path: Path) -> tuple[list[list[np.ndarray]], dict[str, Any]]:
    """The planes of every frame, and what else there is."""
    import av

    frames, facts = [], {}
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        facts["title"] = film.metadata.get("title")
        facts["streams"] = [(s.type, s.metadata.get("language")) for s in film.streams]
        facts["codec"], facts["form"] = stream.codec_context.name, stream.codec_context.pix_fmt
        facts["times"] = []
        for frame in film.decode(stream):
            dtype = np.uint8 if frame.format.components[0].bits == 8 else np.uint16
            rows = [np.frombuffer(p, dtype).reshape(p.height, -1)[:, : p.width] for p in frame.planes]
            frames.append([r.copy() for r in rows])
            facts["times"].append(round(1000 * frame.time))
            facts["rotation"] = frame.rotation
            facts["colours"] = (frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range)
    with av.open(str(path)) as film:
        others = (p for p in film.demux() if p.stream.type != "video" and p.dts is not None)
        facts["packets"] = [(p.stream.type, bytes(p)) for p in others]
    return frames, facts


def rgb(path: Path) -> list[np.ndarray]:
    """Every frame as (H, W, 3)."""
    import av

    with av.open(str(path)) as film:
        return [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
