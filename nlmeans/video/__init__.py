"""Films: frames denoised over space and time."""

from __future__ import annotations

from nlmeans.video.frames import denoise_frames

__all__ = ["denoise_frames"]
