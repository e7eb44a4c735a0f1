"""Frames, each prepared once, and what is chosen once for the frames between two cuts."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from nlmeans.arrays import Array, as_numpy_or_cupy, check_image, dtype_name, library, on_device_of, to_numpy
from nlmeans.choosing import Chosen, choose
from nlmeans.errors import InvalidValueError
from nlmeans.inputs import Inputs, check
from nlmeans.methods import Method
from nlmeans.methods.composition import method_for
from nlmeans.noise.stabilised import Stabilised, Stabiliser, stabiliser
from nlmeans.parameters import Parameters, Settings
from nlmeans.tiling import Tile
from nlmeans.video.motion import Gate, Look, Shift, shift_between

# k of five frames over that of one, by sigma / data range: benchmarks/studies/film.py, kodim01, 05, 09 and 11
# in grey, pans of 0 and 12, sigma 10, 17, 25, 35 and 50
_NOISE = (0.038, 0.056, 0.070, 0.082, 0.093)
_FACTOR = (1.15, 1.10, 0.98, 0.76, 0.56)


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame near [-1, 1], prepared once."""

    inputs: Inputs
    white: Stabilised | None  # where the noise has a model: what leads the result back
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
    stabiliser: Stabiliser | None  # where the noise has a model
    chosen: Chosen


class Film:
    """What the frames have in common, and the settings of the scene at hand."""

    def __init__(self, radius: int, backend: str, settings: Settings) -> None:
        self.radius, self.backend, self.settings = radius, backend, settings
        self.kind: tuple[tuple[int, ...], str, str | None] | None = None  # of the first frame
        self.last: Frame | None = None

    def frame(self, image: Array) -> Frame:
        """The next frame, with the settings of its scene."""
        check_image(image, "a frame")
        with on_device_of(image):
            return self._frame(image)

    def _frame(self, image: Array) -> Frame:
        inputs = self._inputs(image)
        if len(inputs.grid) != 2:
            raise InvalidValueError(f"a frame must have two axes besides the channel axis, got {inputs.grid}")
        self._check_same(image)
        before = self.last
        frame = self._prepared(inputs, self._scene(inputs) if before is None else before.scene)
        if before is not None:
            frame = replace(frame, number=before.number + 1)
            if match(before, frame) is None:
                frame = self._of_next_scene(frame, inputs)
        self.last = frame
        return frame

    def _inputs(self, image: Array) -> Inputs:
        return check(image, {"channel_axis": self.settings.get("channel_axis"), "nan": "raise"})

    def _check_same(self, image: Array) -> None:
        kind = (tuple(image.shape), dtype_name(image), library(image))
        self.kind = self.kind or kind
        if kind != self.kind:
            now, first = (" ".join(map(str, k)) for k in (kind, self.kind))
            raise InvalidValueError(f"frames must be of one shape and type, got {now} after {first}")

    def _of_next_scene(self, frame: Frame, inputs: Inputs) -> Frame:
        """The first frame after a cut; where the noise has another model, in units of that."""
        scene = self._scene(inputs, frame.scene)
        if scene.stabiliser == frame.scene.stabiliser:
            return replace(frame, scene=scene)
        return replace(self._prepared(inputs, scene), number=frame.number, matches=frame.matches)

    def _white(
        self, inputs: Inputs, stabiliser: Stabiliser | None
    ) -> tuple[Stabilised | None, Inputs, Settings]:
        """A frame in units of its noise, and the settings for it; as it is where the noise is white."""
        if stabiliser is None:
            return None, inputs, self.settings
        white = stabiliser.of(inputs.image, self.settings)
        known: Any = white.settings
        return white, inputs if white.image is inputs.image else self._inputs(white.image), known

    def _scene(self, inputs: Inputs, before: Scene | None = None) -> Scene:
        """Radii of a picture, and the strength that suits a window of frames."""
        found = stabiliser(inputs.image, self.settings)
        _, inputs, settings = self._white(inputs, found)
        still = choose(inputs, settings, maps=False)
        n = 2 * self.radius + 1
        relative = still.noise.rms_sigma / (still.levels[1].data_range or 1.0)
        five = float(np.interp(relative, _NOISE, _FACTOR))
        factor = 1.0 if settings.get("k") is not None else math.pow(five, math.log(n, 5))
        parameters = _over_time(still.parameters, self.radius, inputs.grid, factor)
        noise = replace(still.noise, k=still.noise.k * factor)
        same = before is not None and before.stabiliser == found
        levels = before.chosen.levels if before is not None and same else still.levels  # of the first frame
        chosen = Chosen(parameters, noise, levels)
        method = method_for(chosen, replace(inputs, grid=(n, *inputs.grid)), self.backend)
        unit = chosen.levels[0].unit
        channels = inputs.value.shape[0]
        gate = Gate(noise.rms_sigma / unit / math.sqrt(channels), still.levels[0].data_range / unit)
        return Scene(method, gate, found, chosen)

    def _prepared(self, inputs: Inputs, scene: Scene) -> Frame:
        method = scene.method
        white, inputs, settings = self._white(inputs, scene.stabiliser)
        everywhere = tuple(slice(0, n) for n in inputs.value.shape[1:])
        sigma = settings.get("sigma") if method.sigma_map is not None else None
        sigma = (
            None
            if sigma is None
            else method.library.asarray(as_numpy_or_cupy(sigma).reshape(inputs.value.shape[1:]))
        )
        tile = inputs.tile(everywhere, method.levels, method.dtype, method.library, sigma)
        look = to_numpy(tile.value.mean(axis=0)[0])  # motion is sought by the processor
        return Frame(inputs, white, tile, Look(look.astype(np.float32, copy=False)), scene)


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


def match(here: Frame, there: Frame) -> Match | None:
    """Where `there` shows what `here` shows; None where it does not.  A pair is looked at once.

    Frames in units of different noise are never averaged.
    """
    if there.scene.stabiliser != here.scene.stabiliser:
        return None
    if there.number not in here.matches:
        shift = shift_between(here.look, there.look)
        light = here.scene.gate.light(here.look, there.look, shift)
        found = None if light is None else Match(shift, light)
        here.matches[there.number] = found
        there.matches[here.number] = found and -found
    return here.matches[there.number]
