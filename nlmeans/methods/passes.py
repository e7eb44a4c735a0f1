"""Methods after methods: a second is guided by the result of a first; some of the image is mixed back."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nlmeans.arrays import namespace
from nlmeans.backends.contract import Array, Run
from nlmeans.methods import Method, Parts
from nlmeans.tiling import Tile


@dataclass(frozen=True, eq=False, kw_only=True)
class TwoPasses(Parts):
    """The first result, the pilot, mixed with the image is what the second method compares.

    ``guide = mixing pilot + (1 - mixing) image`` holds noise of ``(1 - mixing) sigma`` where the pilot is
    taken as clean.  What is averaged is the image, so that the second result is no average of averages.
    """

    mixing: float

    @classmethod
    def of(cls, first: Method, second: Method, mixing: float) -> TwoPasses:
        """The second looks at results of the first: their halos add up."""
        z, y, x = (a + b for a, b in zip(first.halo, second.halo, strict=True))
        features = len(second.levels[1].offset)
        return cls.made_of(
            (first, second),
            levels=first.levels,
            arrays=2 * features,
            halo=(z, y, x),
            patch_radius=first.patch_radius,
            mixing=mixing,
        )

    def run(
        self, tile: Tile, origin: tuple[int, ...], whole_shape: tuple[int, ...], planes: range, run: Run
    ) -> Array:
        """The change by the second method; invalid pixels keep their filling in what it compares."""
        xp, half = namespace(tile.value), run.part(1 / 2)
        first, second = self.parts
        deep, depth = second.halo[0], tile.value.shape[1]
        near = range(max(0, planes.start - deep), min(depth, planes.stop + deep))
        guide = first.run(tile, origin, whole_shape, near, half)
        at = slice(near.start, near.stop)
        guide = xp.where(tile.vote[at] > 0, guide, 0)
        guide *= self.mixing
        guide += tile.feature[:, at]
        sigma = None if tile.sigma is None else tile.sigma[at] * (1 - self.mixing)
        seen = replace(
            tile,
            pixels=tile.pixels[:, at],
            value=tile.value[:, at],
            feature=guide,
            vote=tile.vote[at],
            sigma=sigma,
        )
        inner = range(planes.start - near.start, planes.stop - near.start)
        return second.run(seen, (origin[0] + near.start, *origin[1:]), whole_shape, inner, half)


@dataclass(frozen=True, eq=False, kw_only=True)
class Blended(Parts):
    """A part of the change only, which leaves so much of the image in the result."""

    kept: float

    @classmethod
    def of(cls, method: Method, kept: float) -> Blended:
        """With so much of the image, 0 to 1."""
        one = cls.made_of((method,), levels=method.levels, arrays=0, kept=kept)
        return replace(one, changes_nothing=one.changes_nothing or kept == 1)

    def run(
        self, tile: Tile, origin: tuple[int, ...], whole_shape: tuple[int, ...], planes: range, run: Run
    ) -> Array:
        """The part of the change."""
        change = self.parts[0].run(tile, origin, whole_shape, planes, run)
        change *= 1 - self.kept
        return change
