"""How a film is stored: the codec of the source, so fine that nothing is seen, or without loss."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..status import UnwritableError, UsageError

# The codec of a source -> its encoder, and the option for quality with a value at which no loss is seen:
# some 4 steps finer than what x264, x265, SVT-AV1 and libvpx use by themselves (23, 28, 35, 32).
_ENCODERS = {
    "h264": ("libx264", "crf", 16),
    "hevc": ("libx265", "crf", 18),
    "vp9": ("libvpx-vp9", "crf", 20),
    "vp8": ("libvpx", "crf", 8),
    "av1": ("libsvtav1", "crf", 20),
    "mpeg4": ("mpeg4", "qscale", 2),
    "mpeg2video": ("mpeg2video", "qscale", 2),
    "mpeg1video": ("mpeg1video", "qscale", 2),
    "mjpeg": ("mjpeg", "qscale", 2),
    "prores": ("prores_ks", "", 0),
    "dnxhd": ("dnxhd", "", 0),
}
LOSSLESS = {
    "ffv1", "rawvideo", "huffyuv", "ffvhuff", "utvideo", "png", "apng", "gif", "qtrle", "wrapped_avframe",
    "libwebp_anim",
}  # fmt: skip
_LOSSLESS_IN = {
    "apng": "apng",
    "webp": "libwebp_anim",
}  # what becomes of what is stored without loss, where it is not FFV1
_FALLBACK = {"webm": "vp9"}  # what a container holds where it does not hold the source's codec
_LAMBDA = 118  # FFmpeg's unit of quality for codecs with qscale


@dataclass(frozen=True)
class Encoding:
    """An encoder and its options."""

    encoder: str
    container: str
    options: dict[str, str] = field(default_factory=dict)
    qscale: int | None = None

    @property
    def words(self) -> str:
        """For people: "libx264, crf 16"."""
        more = [f"{name} {value}" for name, value in self.options.items() if name == "crf"]
        more += [f"quality {self.qscale}"] if self.qscale else []
        more += ["without loss"] if self.encoder in LOSSLESS else []
        return ", ".join([self.encoder, *more])

    @classmethod
    def of(cls, source: str, container: str, codec: str | None, crf: int | None) -> Encoding:
        """The user's choice, or the source's codec; what the container cannot hold is refused."""
        import av

        if container == "yuv4mpegpipe":
            if codec or crf is not None:
                raise UsageError("y4m is not compressed: leave out --codec and --crf")
            return cls("wrapped_avframe", container)
        lossless = _LOSSLESS_IN.get(container, "ffv1")
        named = codec or (source if source in _ENCODERS else lossless if source in LOSSLESS else "h264")
        known = _ENCODERS.get(named, (named, "", 0))
        if codec is None and container in _FALLBACK and not _holds(container, known[0]):
            known = _ENCODERS[_FALLBACK[container]]
        encoder, quality, usual = known
        try:
            av.Codec(encoder, "w")
        except Exception:
            raise UsageError(f"this FFmpeg has no encoder {encoder}; name another with --codec") from None
        if not _holds(container, encoder):
            raise UnwritableError(f"{container} cannot hold {encoder}; name a .mkv output or a --codec")
        if crf is not None and quality != "crf":
            raise UsageError(f"{encoder} has no --crf; leave it out, or give --codec h264")
        if quality == "qscale":
            return cls(encoder, container, {}, usual)
        options = {"crf": str(usual if crf is None else crf)} if quality else {}
        if encoder == "libx265":
            options["x265-params"] = "log-level=error"  # or it prints what it is
        if encoder == "libwebp_anim":
            options["lossless"] = "1"
        if encoder.startswith("libvpx"):
            options["b"] = "0"  # without it crf is a limit only
        return cls(encoder, container, options)

    def apply(self, stream: Any) -> None:
        """Set what a codec context wants to be told."""
        if self.qscale:
            context = stream.codec_context
            context.qscale = True
            context.global_quality = self.qscale * _LAMBDA
            context.qmin = context.qmax = self.qscale


def _holds(container: str, encoder: str) -> bool:
    import av

    output = av.open(_Nowhere(), "w", format=container)
    try:
        return av.Codec(encoder, "w").canonical_name in output.supported_codecs
    except Exception:
        return False
    finally:
        output.close()


class _Nowhere:
    """A file that keeps nothing, to ask a container what it holds."""

    name = ""

    def write(self, data: bytes) -> int:
        return len(data)
