"""Batches: pictures of one array that have nothing to do with each other, each denoised alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nlmeans.arrays import Array, in_library_of, namespace, on_device_of
from nlmeans.choosing.batches import Batch, refuse_others
from nlmeans.parameters import Settings


def denoise_each(
    image: Array,
    batch_axis: object,
    share: str | None,
    settings: Settings,
    denoise: Callable[..., Array],
    progress: Callable[[float], None] | None,
) -> Array:
    """Every picture along an axis by `denoise`, which takes a picture and the settings of one."""
    refuse_others(image)
    with on_device_of(image):
        batch = Batch.of(image, batch_axis, settings)
        each: list[Any] = batch.settings if share is None else batch.with_shared(share)
        done = []
        for i, (picture, own) in enumerate(zip(batch.pictures, each, strict=True)):
            done.append(denoise(picture, own, progress=_part_of(progress, i, len(each))))
        infos = [one[1] for one in done if isinstance(one, tuple)]
        results = [one[0] for one in done] if infos else done
        stacked = in_library_of(namespace(*results).stack(results, axis=batch.axis), image)
        return (stacked, infos) if infos else stacked


def _part_of(progress: Callable[[float], None] | None, i: int, count: int) -> Callable[[float], None] | None:
    if progress is None:
        return None
    return lambda done: progress((i + done) / count)
