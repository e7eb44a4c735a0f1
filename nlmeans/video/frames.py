"""A window of frames that slides along a film: they are aligned, and averaged over time."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterable, Iterator
from dataclasses import replace
from typing import Unpack

from nlmeans.arrays import Array, library, namespace, on_device_of, to_numpy
from nlmeans.errors import InvalidValueError, Parameter
from nlmeans.formula import reflected
from nlmeans.parameters import Settings, check_names, integer
from nlmeans.running import Running
from nlmeans.tiling import Tile
from nlmeans.video.motion import overlap
from nlmeans.video.scenes import Film, Frame, Match, Scene, match

_NOT_FOR_FRAMES = ("guide", "guide_sigma", "mask", "nan", "impulses", "spacing")


def denoise_frames(
    frames: Iterable[Array],
    *,
    temporal_radius: int = 2,
    backend: str = "auto",
    workers: int | None = None,
    **settings: Unpack[Settings],
) -> Iterator[Array]:
    """Remove noise from a film by non-local means over space and time.

    Every pixel becomes the average of pixels with like neighbourhoods in its own frame and in those up to
    `temporal_radius` before and after it.  A frame is sought where the picture as a whole has moved to, and
    it is left out where it does not show the same: cuts, flashes and fades do not mix.  A change of light
    that noise hides is taken off.

    Parameters
    ----------
    frames : iterable of array
        Frames (H, W), or with a channel axis, NumPy, CuPy or torch, all of one library, shape and type; read
        one after the other, never more than ``2 temporal_radius + 1`` at a time.
    temporal_radius : int
        Frames before and after that are searched, 0 to 16.
    backend, workers
        As for `denoise`.
    **settings
        `sigma`, `h`, `k`, `patch_radius`, `search_radius` (both within a frame), `channel_axis`, `patch`,
        `center`, `aggregate`, `color`, `noise` and `passes` of `denoise`.  What is left out is chosen by the
        first frame of each scene, what a model of the noise lacks too; `passes` is 1.

    Yields
    ------
    array
        The frames in their order, each of the library, shape and type it came in.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        For frames that differ in shape or type, and as `denoise`.

    Notes
    -----
    Time is that of `denoise` times about ``4 temporal_radius + 1``; memory is that of the frames of one
    window, whatever the length of the film.  Shifts of whole frames come from phase correlation (Kuglin and
    Hines 1975).  NL-means over space and time: A. Buades, B. Coll, J.-M. Morel, "Nonlocal image and movie
    denoising", Int. J. Computer Vision 76 (2008), doi:10.1007/s11263-007-0052-1.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> film = (rng.normal(0, 1, (16, 16)) for _ in range(3))
    >>> [frame.shape for frame in denoise_frames(film, sigma=1.0)]
    [(16, 16), (16, 16), (16, 16)]
    """
    done = denoise_some(
        frames, None, temporal_radius=temporal_radius, backend=backend, workers=workers, **settings
    )
    return (frame for frame in done if frame is not None)


def denoise_some(
    frames: Iterable[Array],
    wanted: Container[int] | None,
    *,
    temporal_radius: int,
    backend: str = "auto",
    workers: int | None = None,
    **settings: Unpack[Settings],
) -> Iterator[Array | None]:
    """The frames whose numbers are wanted, from 0, as `denoise_frames` makes them; None for the others.

    None is wanted: all of them.  The others are looked at, which is what settings and cuts are found by.
    """
    film = _film(temporal_radius, backend, settings)
    return _slide(iter(frames), film, wanted, Running.checked(workers, None, None))


def scenes(
    frames: Iterable[Array], *, temporal_radius: int, backend: str = "auto", **settings: Unpack[Settings]
) -> Iterator[Scene]:
    """The scene of each frame: one object for all frames of a scene."""
    film = _film(temporal_radius, backend, settings)
    return (film.frame(image).scene for image in frames)


def _film(temporal_radius: int, backend: str, settings: Settings) -> Film:
    """With settings that frames have."""
    check_names(settings)
    radius = integer("temporal_radius", temporal_radius, 0, 16)
    for name in _NOT_FOR_FRAMES:
        if settings.get(name) is not None:
            raise InvalidValueError(Parameter(name), " is not for frames: use denoise, or leave it out")
    if settings.get("method", "nlmeans") != "nlmeans":
        raise InvalidValueError("frames are denoised by ", Parameter('method="nlmeans"'), ": leave it out")
    # a first pass of every frame in every window costs five times as much
    return Film(radius, backend, {**settings, "passes": settings.get("passes") or 1})


def _slide(
    images: Iterator[Array], film: Film, wanted: Container[int] | None, running: Running
) -> Iterator[Array | None]:
    radius = film.radius
    window: deque[Frame] = deque(maxlen=2 * radius + 1)
    at = 0  # of the next frame to finish, in the window

    def finished() -> Array | None:
        return _finished(window, at, running) if wanted is None or window[at].number in wanted else None

    for image in images:
        if len(window) == 2 * radius + 1:
            at -= 1
        window.append(film.frame(image))
        if len(window) - at > radius:
            yield finished()
            at += 1
    while at < len(window):
        yield finished()
        at += 1
        if at > radius:
            window.popleft()
            at -= 1


def _finished(window: deque[Frame], at: int, running: Running) -> Array:
    """One frame of the window without its noise."""
    here = window[at]
    inputs, method = here.inputs, here.scene.method
    if method.changes_nothing or inputs.value_ends is None:
        return _restored(here, inputs.value.copy())
    tiles: list[Tile] = []
    center = 0
    with on_device_of(inputs.image):
        for i, there in enumerate(window):
            if i == at:
                center = len(tiles)
                tiles.append(here.tile)
            elif (found := match(here, there)) is not None:
                tiles.append(_moved(there.tile, found))
        stack = _stack(tiles)
        planes = range(center, center + 1)
        change = method.run(stack, (0, 0, 0), stack.vote.shape, planes, running.part(1.0))
        clean = method.levels[0].changed(here.tile.pixels, change)
        return _restored(here, to_numpy(clean) if library(inputs.value) == "numpy" else clean)


def _restored(frame: Frame, values: Array) -> Array:
    """The values in the units and the shape of the frame as it came."""
    result = frame.inputs.restored(values)
    return result if frame.white is None else frame.white.restored(result)


def _stack(tiles: list[Tile]) -> Tile:
    """Frames as the planes of one tile."""
    xp = namespace(tiles[0].value)
    value = xp.concatenate([t.value for t in tiles], axis=1)
    every = [t.sigma for t in tiles if t.sigma is not None]
    sigma = xp.concatenate(every) if every else None
    return Tile(tiles[0].pixels, value, value, xp.concatenate([t.vote for t in tiles]), sigma)


def _moved(tile: Tile, match: Match) -> Tile:
    """What lies at x + shift, at x, in the same light: outside the frame its mirror image, without a vote."""
    value, shift, xp = tile.value, match.shift, namespace(tile.value)
    if match.light:  # or a slow fade would pull the frames of a window towards each other
        value = value + value.dtype.type(match.light)
        tile = replace(tile, value=value, feature=value)
    if shift == (0, 0):
        return tile
    rows, columns = (reflected(xp.arange(n) + s, n) for n, s in zip(tile.vote.shape[1:], shift, strict=True))
    value = xp.take(xp.take(value, rows, axis=2), columns, axis=3)
    vote = xp.zeros_like(tile.vote)
    here, there = overlap(vote.shape[1:], shift)
    vote[:, *here] = tile.vote[:, *there]
    return replace(tile, value=value, feature=value, vote=vote)
