"""A window of frames that slides along a film: each is prepared once, aligned, and averaged over time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Unpack

import numpy as np

from nlmeans.arrays import (
    Array,
    check_image,
    dtype_name,
    library,
    namespace,
    on_device_of,
    to_numpy,
)
from nlmeans.choosing import Chosen, choose
from nlmeans.errors import InvalidValueError, Parameter
from nlmeans.formula import reflected
from nlmeans.inputs import Inputs, check
from nlmeans.levels import Levels
from nlmeans.methods import Method
from nlmeans.methods.composition import method_for
from nlmeans.parameters import Parameters, Settings, check_names, integer
from nlmeans.running import Running
from nlmeans.tiling import Tile
from nlmeans.video.motion import Gate, Look, Shift, overlap, shift_between

# k of five frames over that of one, by sigma / data range: benchmarks/studies/film.py, kodim01, 05, 09 and 11
# in grey, pans of 0 and 12, sigma 10, 17, 25, 35 and 50
_NOISE = (0.038, 0.056, 0.070, 0.082, 0.093)
_FACTOR = (1.15, 1.10, 0.98, 0.76, 0.56)
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
        `center`, `aggregate`, `color` and `passes` of `denoise`.  What is left out is chosen by the first
        frame of each scene; `passes` is 1.

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
    check_names(settings)
    radius = integer("temporal_radius", temporal_radius, 0, 16)
    for name in _NOT_FOR_FRAMES:
        if settings.get(name) is not None:
            raise InvalidValueError(Parameter(name), " is not for frames: use denoise, or leave it out")
    if settings.get("method", "nlmeans") != "nlmeans":
        raise InvalidValueError("frames are denoised by ", Parameter('method="nlmeans"'), ": leave it out")
    running = Running.checked(workers, None, None)
    passes = (
        settings.get("passes") or 1
    )  # a first pass of every frame in every window costs five times as much
    return _slide(iter(frames), radius, backend, running, {**settings, "passes": passes})


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame near [-1, 1], prepared once."""

    inputs: Inputs
    tile: Tile
    look: Look
    scene: Scene
    matches: dict[int, Match | None] = field(default_factory=dict)  # with frames by their number, once known
    number: int = 0


@dataclass(frozen=True)
class Match:
    """Where another frame shows the same, and how much has to be added to it for the same light."""

    shift: Shift
    light: float

    def __neg__(self) -> Match:
        return Match((-self.shift[0], -self.shift[1]), -self.light)


@dataclass(frozen=True, eq=False)
class Scene:
    """What is chosen once for the frames between two cuts."""

    method: Method  # for a window of frames
    gate: Gate


class _Film:
    """What the frames have in common, and the settings of the scene at hand."""

    def __init__(self, radius: int, backend: str, settings: Settings) -> None:
        self.radius, self.backend, self.settings = radius, backend, settings
        self.kind: tuple[tuple[int, ...], str, str | None] | None = None  # of the first frame
        self.levels: tuple[Levels, Levels] | None = None  # of the first frame
        self.last: Frame | None = None

    def frame(self, image: Array) -> Frame:
        """The next frame, with the settings of its scene."""
        check_image(image, "a frame")
        with on_device_of(image):
            return self._frame(image)

    def _frame(self, image: Array) -> Frame:
        inputs = check(image, {"channel_axis": self.settings.get("channel_axis"), "nan": "raise"})
        if len(inputs.grid) != 2:
            raise InvalidValueError(f"a frame must have two axes besides the channel axis, got {inputs.grid}")
        self._check_same(image)
        before = self.last
        frame = self._prepared(inputs, self._scene(inputs) if before is None else before.scene)
        if before is not None:
            frame = replace(frame, number=before.number + 1)
            if _match(before, frame) is None:
                frame = replace(frame, scene=self._scene(inputs))
        self.last = frame
        return frame

    def _check_same(self, image: Array) -> None:
        kind = (tuple(image.shape), dtype_name(image), library(image))
        self.kind = self.kind or kind
        if kind != self.kind:
            now, first = (" ".join(map(str, k)) for k in (kind, self.kind))
            raise InvalidValueError(f"frames must be of one shape and type, got {now} after {first}")

    def _scene(self, inputs: Inputs) -> Scene:
        """Radii of a picture, and the strength that suits a window of frames."""
        still = choose(inputs, self.settings, maps=False)
        n = 2 * self.radius + 1
        relative = still.noise.rms_sigma / (still.levels[1].data_range or 1.0)
        five = float(np.interp(relative, _NOISE, _FACTOR))
        factor = 1.0 if self.settings.get("k") is not None else math.pow(five, math.log(n, 5))
        parameters = _over_time(still.parameters, self.radius, inputs.grid, factor)
        noise = replace(still.noise, k=still.noise.k * factor)
        self.levels = self.levels or still.levels
        chosen = Chosen(parameters, noise, self.levels)
        method = method_for(chosen, replace(inputs, grid=(n, *inputs.grid)), self.backend)
        unit = chosen.levels[0].unit
        channels = inputs.value.shape[0]
        gate = Gate(noise.rms_sigma / unit / math.sqrt(channels), still.levels[0].data_range / unit)
        return Scene(method, gate)

    def _prepared(self, inputs: Inputs, scene: Scene) -> Frame:
        method = scene.method
        everywhere = tuple(slice(0, n) for n in inputs.value.shape[1:])
        tile = inputs.tile(everywhere, method.levels, method.dtype, method.library)
        look = to_numpy(tile.value.mean(axis=0)[0])  # motion is sought by the processor
        return Frame(inputs, tile, Look(look.astype(np.float32, copy=False)), scene)


def _over_time(p: Parameters, radius: int, grid: tuple[int, ...], factor: float) -> Parameters:
    """The same for a window of frames: patches lie in one frame, k is multiplied."""
    differences, second = (
        None if part is None else _over_time(part, radius, grid, factor) for part in (p.differences, p.second)
    )
    return replace(
        p,
        patch_radius=(0, *p.patch_radii(2)),
        search_radius=(radius, *p.search_radii(grid)),
        k=None if p.k is None else p.k * factor,
        differences=differences,
        second=second,
    )


def _match(here: Frame, there: Frame) -> Match | None:
    """Where `there` shows what `here` shows; None where it does not.  A pair is looked at once."""
    if there.number not in here.matches:
        shift = shift_between(here.look, there.look)
        light = here.scene.gate.light(here.look, there.look, shift)
        match = None if light is None else Match(shift, light)
        here.matches[there.number] = match
        there.matches[here.number] = match and -match
    return here.matches[there.number]


def _slide(
    images: Iterator[Array], radius: int, backend: str, running: Running, settings: Settings
) -> Iterator[Array]:
    film = _Film(radius, backend, settings)
    window: deque[Frame] = deque(maxlen=2 * radius + 1)
    at = 0  # of the next frame to finish, in the window
    for image in images:
        if len(window) == 2 * radius + 1:
            at -= 1
        window.append(film.frame(image))
        if len(window) - at > radius:
            yield _finished(window, at, running)
            at += 1
    while at < len(window):
        yield _finished(window, at, running)
        at += 1
        if at > radius:
            window.popleft()
            at -= 1


def _finished(window: deque[Frame], at: int, running: Running) -> Array:
    """One frame of the window without its noise."""
    here = window[at]
    inputs, method = here.inputs, here.scene.method
    if method.changes_nothing or inputs.value_ends is None:
        return inputs.restored(inputs.value.copy())
    tiles: list[Tile] = []
    center = 0
    with on_device_of(inputs.image):
        for i, there in enumerate(window):
            if i == at:
                center = len(tiles)
                tiles.append(here.tile)
            elif (match := _match(here, there)) is not None:
                tiles.append(_moved(there.tile, match))
        stack = _stack(tiles)
        planes = range(center, center + 1)
        change = method.run(stack, (0, 0, 0), stack.vote.shape, planes, running.part(1.0))
        clean = method.levels[0].changed(here.tile.pixels, change)
        return inputs.restored(to_numpy(clean) if library(inputs.image) == "numpy" else clean)


def _stack(tiles: list[Tile]) -> Tile:
    """Frames as the planes of one tile."""
    xp = namespace(tiles[0].value)
    value = xp.concatenate([t.value for t in tiles], axis=1)
    return Tile(tiles[0].pixels, value, value, xp.concatenate([t.vote for t in tiles]), None)


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
