"""Colour: methods made of other methods, one for each part of the channels.

The parts know nothing of it: each is given a tile of its own channels, and gives back their change.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from nlmeans import formula
from nlmeans.arrays import namespace
from nlmeans.backends.contract import Array, Run
from nlmeans.levels import Levels
from nlmeans.methods import Method, Parts
from nlmeans.tiling import Tile


@dataclass(frozen=True, eq=False, kw_only=True)
class Luminance(Parts):
    """Luminance by one method, the two differences of colours together by another.

    The transform is orthonormal (`formula.opponent`), so that white noise keeps its sigma, and what is
    transformed back is the change: where no component changes the channels do not.
    """

    @classmethod
    def of(cls, levels: tuple[Levels, Levels], luminance: Method, differences: Method) -> Luminance:
        """For an image of three channels with these levels."""
        return cls.made_of((luminance, differences), levels=levels, arrays=3 + 3 + 3)

    def run(
        self, tile: Tile, origin: tuple[int, ...], whole_shape: tuple[int, ...], planes: range, run: Run
    ) -> Array:
        """The change of red, green and blue."""
        xp, part = namespace(tile.value), run.part(1 / 2)
        each = zip(self.parts, luminance_and_differences(tile), strict=True)
        changes = [method.run(piece, origin, whole_shape, planes, part) for method, piece in each]
        return formula.from_opponent([*changes[0], *changes[1]], xp)


@dataclass(frozen=True, eq=False, kw_only=True)
class Components(Parts):
    """Luminance and the two differences of colours by one method, which knows them apart."""

    @classmethod
    def of(cls, levels: tuple[Levels, Levels], method: Method) -> Components:
        """For an image of three channels with these levels."""
        return cls.made_of((method,), levels=levels, arrays=3 + 3 + 3)

    def run(
        self, tile: Tile, origin: tuple[int, ...], whole_shape: tuple[int, ...], planes: range, run: Run
    ) -> Array:
        """The change of red, green and blue."""
        xp = namespace(tile.value)
        value = formula.opponent(tile.value, xp)
        feature = value if tile.feature is tile.value else formula.opponent(tile.feature, xp)
        components = _channels(tile, value, feature, slice(0, 3))
        return formula.from_opponent(self.parts[0].run(components, origin, whole_shape, planes, run), xp)


@dataclass(frozen=True, eq=False, kw_only=True)
class Separate(Parts):
    """Each channel by a method of its own."""

    @classmethod
    def of(cls, levels: tuple[Levels, Levels], channels: tuple[Method, ...]) -> Separate:
        """For an image with these levels, from the method of each channel."""
        return cls.made_of(channels, levels=levels, arrays=len(channels))

    def run(
        self, tile: Tile, origin: tuple[int, ...], whole_shape: tuple[int, ...], planes: range, run: Run
    ) -> Array:
        """The change of every channel."""
        part = run.part(1 / len(self.parts))
        changes = [
            method.run(channel(tile, c), origin, whole_shape, planes, part)
            for c, method in enumerate(self.parts)
        ]
        return namespace(tile.value).concatenate(changes)


def luminance_and_differences(tile: Tile) -> tuple[Tile, Tile]:
    """The tile of one component, and that of the other two."""
    xp = namespace(tile.value)
    value = formula.opponent(tile.value, xp)
    feature = value if tile.feature is tile.value else formula.opponent(tile.feature, xp)
    return _channels(tile, value, feature, slice(0, 1)), _channels(tile, value, feature, slice(1, 3))


def channel(tile: Tile, c: int) -> Tile:
    """The tile of one channel."""
    return _channels(tile, tile.value, tile.feature, slice(c, c + 1))


def _channels(tile: Tile, value: Array, feature: Array, at: slice) -> Tile:
    """Some channels; features that are the values stay so."""
    some = value[at]
    return replace(tile, value=some, feature=some if feature is value else feature[at])
