"""A film as a file: what it is, its streams, and the frames of its picture stream one after the other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, BinaryIO

from ..formats.reading import source
from ..status import UnreadableError, UnwritableError
from .animation import is_animation
from .planes import Form, Frame

_SIGNATURES = (
    rb"....ftyp(?!hei[cxms]|hev[cxms]|mif1|msf1|avi[fs]|crx )",
    rb"....(moov|mdat|wide)", rb"\x1aE\xdf\xa3", rb"RIFF....AVI ", rb"YUV4MPEG2 ",
    rb"FLV\x01", rb"\0\0\x01\xba", rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", rb"OggS",
    rb"G.{187}G.{187}G",
)  # fmt: skip
_SHORT = 0.1  # seconds by which a film may be shorter than its header says, which rounds
_MUXERS = {
    "encoder", "major_brand", "minor_version", "compatible_brands", "duration", "handler_name", "vendor_id",
}  # fmt: skip
_X265_LEAST = 64  # x265 4.2 writes where it must not on narrower ones (2026-11-30, memory checks of glibc)
_UNEVEN = "the times of frames, which are not even"
_LATE = 0.6  # parts of a frame's time by which even times may differ from rounded ones
_HDR = ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL", "DYNAMIC_HDR_PLUS", "DOVI_METADATA")


def is_film(name: str, piped: BinaryIO) -> bool:
    """Whether a file, or what is piped in, begins like a film."""
    if name == "-":
        peek: Any = getattr(piped, "peek", None)
        return peek is not None and peek(10)[:10] == b"YUV4MPEG2 "
    with source(name, piped) as (file, _):
        start = file.read(400)
        return any(re.match(pattern, start, re.DOTALL) for pattern in _SIGNATURES) or is_animation(file)


def is_animated(name: str) -> bool:
    """Whether a file is an animated picture."""
    if name == "-":
        return False
    with source(name, BytesIO()) as (file, _):
        return is_animation(file)


def package() -> Any:
    """PyAV, or what to install."""
    try:
        import av
    except ImportError:
        raise UnreadableError("films need the package av: pip install 'nlmeans[video]'") from None
    return av


@contextmanager
def messages() -> Iterator[list[str]]:
    """What FFmpeg says of damage meanwhile, instead of printing it."""
    av = package()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture(local=False) as told:
            found: list[str] = []
            yield found
            found += [f"{name}: {text.strip()}" for level, name, text in told if level <= av.logging.ERROR]
    finally:
        av.logging.set_level(None)


@dataclass
class Film:
    """An open film."""

    container: Any
    picture: Any  # the stream of frames
    form: Form
    codec: str
    frames: int | None  # as far as the header says
    warnings: list[str] = field(default_factory=list)
    waiting: list[Any] = field(default_factory=list)  # packets of other streams, before there is an output
    copy: Callable[[Any], None] | None = None  # what becomes of them then
    rotation: float = 0  # degrees by which players turn it

    @classmethod
    def of(cls, container: Any) -> Film:
        """Find the picture stream; a file without one is refused."""
        pictures = [s for s in container.streams.video if not _is_cover(s)]
        if not pictures:
            what = "only sound" if container.streams.audio else "no picture stream"
            raise UnreadableError(f"it has {what}; there is nothing to denoise")
        picture = pictures[0]
        context = picture.codec_context
        if not context.pix_fmt or not context.width:
            raise UnreadableError(f"its picture stream cannot be decoded ({context.name})")
        picture.thread_type = "AUTO"
        film = cls(container, picture, Form.of(context.format), context.name, _expected(picture))
        if len(pictures) > 1:
            film.warnings.append(f"it has {len(pictures)} picture streams: the first is denoised")
        return film

    def decoded(self) -> Iterator[Frame]:
        """Every frame in the order in which they are shown; other streams are copied on the way."""
        import av

        last, seen, corrupt, count = 0.0, 0.0, 0, 0
        size = (self.picture.codec_context.width, self.picture.codec_context.height)
        demuxed = self.container.demux()
        while True:
            try:
                packet = next(demuxed, None)
                if packet is None:
                    break
                ours = packet.stream.index == self.picture.index
                found = packet.decode() if ours else ()
            except (av.error.FFmpegError, EOFError) as error:
                raise UnreadableError(f"it is damaged {last:.2f} s after its start ({error})") from error
            if packet.pts is not None and packet.time_base:
                seen = max(seen, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            corrupt += ours and packet.is_corrupt
            if not ours and packet.dts is not None:
                (self.copy or self.waiting.append)(packet)
            for frame in found:
                if count == 0:
                    self._look_at(frame)
                if (frame.width, frame.height) != size:
                    raise UnreadableError(
                        f"its frames are {size[0]} x {size[1]}, after {frame.time or last:.2f} s "
                        f"{frame.width} x {frame.height}: cut it there first"
                    )
                count, last = count + 1, frame.time or last
                yield Frame.of(frame, self.form)
        self._say_what_is_missing(count, corrupt, seen)

    def _look_at(self, frame: Any) -> None:
        """What only a frame tells."""
        self.rotation = frame.rotation
        if frame.interlaced_frame:
            raise UnreadableError("its frames are interlaced; deinterlace it first, as with FFmpeg's bwdif")
        found = {getattr(data.type, "name", "") for data in frame.side_data}
        if found & set(_HDR):
            self.warnings.append("data about HDR mastering is left out")

    def _say_what_is_missing(self, count: int, corrupt: int, seen: float) -> None:
        if count == 0:
            raise UnreadableError("it has no frame that can be decoded")
        if corrupt:
            self.warnings.append(f"{corrupt} of its frames are damaged or cut")
        declared = (self.container.duration or 0) / 1e6 + (self.container.start_time or 0) / 1e6
        if seen < declared - _SHORT:
            self.warnings.append(f"it ends at {seen:.2f} s, its header says {declared:.2f} s: it may be cut")


def _is_cover(stream: Any) -> bool:
    """Whether a picture stream is one still picture, as of an album."""
    return "attached_pic" in str(stream.disposition).lower()


def _expected(stream: Any) -> int | None:
    """How many frames there should be."""
    if stream.frames:
        return int(stream.frames)
    seconds = None
    if stream.duration and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
    elif stream.container.duration:
        seconds = stream.container.duration / 1e6
    return int(seconds * float(stream.average_rate)) if seconds and stream.average_rate else None


@dataclass
class Output:
    """A film that is being written."""

    container: Any
    stream: Any
    left_out: list[str]
    even: bool  # every frame is shown as long as the others, whatever the source says
    count: int = 0
    _began: float = 0.0

    @classmethod
    def like(cls, film: Film, container: Any, encoding: Any) -> Output:
        """The streams of a film, its picture encoded anew, the others copied as they are."""
        import av

        old = film.picture
        known = {f.name for f in av.Codec(encoding.encoder, "w").video_formats or ()}
        stored = next((n for n in film.form.alike if not known or n in known), None)
        if stored is None:
            raise UnwritableError(
                f"{encoding.encoder} has no {film.form.source} frames; give --codec ffv1 and a .mkv output"
            )
        if encoding.encoder == "libx265" and film.picture.codec_context.width < _X265_LEAST:
            raise UnwritableError(
                f"x265 takes frames of {_X265_LEAST} pixels width or more; give --codec h264"
            )
        new = container.add_stream(encoding.encoder, rate=old.average_rate or 25, options=encoding.options)
        context = old.codec_context
        new.width, new.height, new.pix_fmt = context.width, context.height, stored
        if old.sample_aspect_ratio:
            new.sample_aspect_ratio = old.sample_aspect_ratio
        plain = encoding.container == "yuv4mpegpipe"
        if not plain:
            new.codec_context.time_base = old.time_base  # as fine as the source: frame rates may vary
        for name in ("color_range", "colorspace", "color_primaries", "color_trc"):
            setattr(new.codec_context, name, getattr(context, name))
        encoding.apply(new)
        output = cls(container, new, [], plain)
        if plain:
            output.left_out += ["all but the picture"] if len(film.container.streams) > 1 else []
            return output
        if film.rotation:
            new.set_display_rotation(film.rotation)
        new.metadata.update(_plain(old.metadata))
        new.disposition = old.disposition
        copies = {s.index: output._copied(s, film) for s in film.container.streams if s.index != old.index}
        container.metadata.update(_plain(film.container.metadata))
        container.set_chapters(film.container.chapters())

        def copy(packet: Any) -> None:
            if (stream := copies.get(packet.stream.index)) is not None:
                packet.stream = stream
                container.mux(packet)

        film.copy = copy
        for packet in film.waiting:
            copy(packet)
        film.waiting.clear()
        return output

    def _copied(self, stream: Any, film: Film) -> Any:
        """A stream of the output for one of the source; None, and that is said, where there cannot be one."""
        try:
            new = self.container.add_stream_from_template(stream)
        except (ValueError, OSError, AttributeError, NotImplementedError):
            name = getattr(stream.codec_context, "name", None) if stream.codec_context else None
            self.left_out.append(f"{stream.type} stream {stream.index} ({name or 'unknown codec'})")
            return None
        new.metadata.update(_plain(stream.metadata))
        new.disposition = stream.disposition
        return new

    def encode(self, frame: Any) -> None:
        """Add a frame; None ends the stream."""
        if self.even and frame is not None:
            rate = self.stream.codec_context.framerate
            if self.count == 0:
                self._began = frame.time or 0.0
            late = (frame.time or 0.0) - self._began - self.count / float(rate)
            if abs(late) > _LATE / float(rate) and _UNEVEN not in self.left_out:
                self.left_out.append(_UNEVEN)
            frame.pts, frame.time_base = self.count, 1 / rate
        if frame is not None and frame.format.name != self.stream.pix_fmt:
            frame = frame.reformat(format=self.stream.pix_fmt)
        self.count += 1
        self.container.mux(self.stream.encode(frame))


def _plain(metadata: Any) -> dict[str, str]:
    """Metadata without what a muxer writes by itself."""
    return {k: v for k, v in metadata.items() if k.lower() not in _MUXERS and not k.startswith("DURATION")}
