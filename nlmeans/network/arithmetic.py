"""What the network computes, in NumPy: 3 x 3 convolutions at half resolution as products of matrices.

A block of rows is gathered with its neighbours, nine times the channels, and multiplied at once: 60 to 100
GFLOP/s a core, and no start-up of PyTorch, which takes longer than a picture of 512 x 512 pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from threadpoolctl import threadpool_limits

from nlmeans.arrays import Array
from nlmeans.backends.contract import Run

SLOPE = 0.1  # of the rectifiers below 0
AROUND = 4  # radius, at half resolution, of the mean that is taken off the pilot, and of that of the noise
_INPUTS = 8  # channels of an image and its pilot: 4 pixels of each
_ROWS = 4  # of a block: with its neighbours it stays in the cache; 4 and 16 take the same time


@dataclass(frozen=True, eq=False)
class Network:
    """Weights by their names: ``head``, ``units.N.first``, ``units.N.second``, ``tail``.

    The result is the mean of what the network gives for the image and for the image turned by half:
    0.02 to 0.03 dB better on the photographs held back, in twice the time.
    """

    weights: Mapping[str, Array]
    turned: bool = True  # also by half; else the network once

    @cached_property
    def layers(self) -> dict[str, tuple[Array, Array]]:
        """Each convolution as a matrix (9 inputs, outputs), its bias; `alone`: the head without a guide."""
        names = [n.removesuffix(".weight") for n in self.weights if n.endswith(".weight")]
        each = {n: (self.weights[f"{n}.weight"], _float(self.weights[f"{n}.bias"])) for n in names}
        each["alone"] = (each["head"][0][:, :_INPUTS], each["head"][1])
        return {n: (_matrix(weight), bias) for n, (weight, bias) in each.items()}

    @property
    def units(self) -> int:
        """How many residual units."""
        return sum(name.endswith(".first") for name in self.layers)

    @property
    def channels(self) -> int:
        """Width of the units."""
        return len(self.layers["head"][1])

    @property
    def reach(self) -> int:
        """How far a pixel's result looks, in pixels of the image."""
        return 2 * (2 + 2 * self.units + AROUND) + 1

    @property
    def bytes_a_pixel(self) -> int:
        """Of memory: three arrays of the units' width at a quarter of the pixels, and planes."""
        return 4 * (3 * self.channels // 4 + 24)

    def change(
        self,
        noisy: Array,
        pilot: Array,
        sigma: Array | float,
        run: Run,
        guide: tuple[Array, Array] | None = None,
    ) -> Array:
        """What brings the pilot nearer to the clean image.

        Parameters
        ----------
        noisy, pilot : array, shape (H, W)
            The image, and what another method made of it.
        sigma : float, or array of shape (H, W)
            The noise; where it is 0 the change is 0.
        run : Run
            Threads, and who is told.
        guide : two arrays, shape (H, W), optional
            Of a difference of colours: the luminance, noisy and its pilot.

        Returns
        -------
        array of float32, shape (H, W)
            In the unit of the image.  O(H W channels^2 units) time.
        """
        height, width = noisy.shape
        sigma = np.broadcast_to(np.asarray(sigma, np.float32), noisy.shape)
        unit = _unit(sigma)
        pairs = [(noisy, pilot)] if guide is None else [(noisy, pilot), guide]
        inputs = np.concatenate([_inputs(*pair, unit) for pair in pairs], axis=-1)
        with _one_thread_each(), ThreadPoolExecutor(run.workers) as pool:
            if self.turned:
                run = run.part(0.5)
                x = self._units(inputs, pool, run)
                x = (x + _by_half(self._units(_by_half(inputs), pool, run))) / 2
            else:
                x = self._units(inputs, pool, run)
        return _whole(x)[:height, :width] * np.minimum(sigma, unit)

    def _units(self, inputs: Array, pool: ThreadPoolExecutor, run: Run) -> Array:
        """All layers; each adds to what it is given in place where that is not needed again."""
        share = run.part(1 / (2 + 2 * self.units))
        x = self._convolved("head" if inputs.shape[-1] > _INPUTS else "alone", inputs, pool, share)
        for at in range(self.units):
            inner = self._convolved(f"units.{at}.first", x, pool, share)
            np.maximum(inner, SLOPE * inner, out=inner)
            x += self._convolved(f"units.{at}.second", inner, pool, share)
        return self._convolved("tail", x, pool, share)

    def _convolved(self, layer: str, x: Array, pool: ThreadPoolExecutor, run: Run) -> Array:
        """One convolution of (H, W, inputs); zeros stand around the grid."""
        matrix, bias = self.layers[layer]
        height, width, channels = x.shape
        result = np.empty((height, width, len(bias)), np.float32)
        padded = np.zeros((height + 2, width + 2, channels), np.float32)
        padded[1:-1, 1:-1] = x

        def block(first: int) -> None:
            rows = min(_ROWS, height - first)
            near = np.empty((rows, width, 9 * channels), np.float32)
            own = result[first : first + rows]
            for tap in range(9):
                y, left = first + tap // 3, tap % 3
                near[..., tap * channels : (tap + 1) * channels] = padded[y : y + rows, left : left + width]
            np.matmul(near.reshape(rows * width, -1), matrix, out=own.reshape(rows * width, -1))
            own += bias

        for _ in pool.map(block, range(0, height, _ROWS)):
            pass
        if run.tick is not None:
            run.tick(1.0)
        return result


def _one_thread_each() -> AbstractContextManager[object]:
    """Products of matrices take one thread each: the blocks have threads already."""
    limits: AbstractContextManager[object] = threadpool_limits(1, "blas")
    return limits


def _matrix(weight: Array) -> Array:
    """(outputs, inputs, 3, 3) as (9 inputs, outputs), in the order in which a block gathers them."""
    outputs = len(weight)
    return np.ascontiguousarray(_float(weight).transpose(2, 3, 1, 0).reshape(-1, outputs))


def _float(array: Array) -> Array:
    return np.asarray(array, dtype=np.float32)


def _unit(sigma: Array) -> Array:
    """What values are divided by: the root mean square of the noise around, 1 where there is none.

    Of each pixel's own noise a map with edges, or with places that have next to none, would give the image
    edges that it has not.
    """
    if np.ptp(sigma) == 0:
        return np.where(sigma > 0, sigma, np.float32(1))
    variance = _around((_halves(sigma).astype(np.float64) ** 2).mean(axis=-1), AROUND)
    unit = _whole(np.broadcast_to(_float(np.sqrt(variance))[..., None], (*variance.shape, 4)))
    unit = unit[: sigma.shape[0], : sigma.shape[1]]
    return np.where(unit > 0, unit, np.float32(1))


def _inputs(noisy: Array, pilot: Array, unit: Array) -> Array:
    """What is seen of an image and its pilot, in units of the noise: (H / 2, W / 2, 8)."""
    residue, seen, unit = (_halves(_float(plane)) for plane in (noisy - pilot, pilot, unit))
    mean = _around(seen.mean(axis=-1), AROUND)[..., None]
    return np.concatenate([residue / unit, np.arcsinh((seen - mean) / unit)], axis=-1)


def _by_half(x: Array) -> Array:
    """Turned by half: the grid, and the four pixels in each of its places."""
    height, width, channels = x.shape
    return x[::-1, ::-1].reshape(height, width, channels // 4, 4)[..., ::-1].reshape(x.shape)


def _halves(plane: Array) -> Array:
    """Four pixels as channels: (H, W) to (H / 2, W / 2, 4); an odd edge is repeated."""
    height, width = (n + n % 2 for n in plane.shape)
    even = np.pad(plane, [(0, n % 2) for n in plane.shape], mode="edge")
    return (
        even.reshape(height // 2, 2, width // 2, 2).transpose(0, 2, 1, 3).reshape(height // 2, width // 2, 4)
    )


def _whole(halves: Array) -> Array:
    """The way back."""
    height, width, _ = halves.shape
    return halves.reshape(height, width, 2, 2).transpose(0, 2, 1, 3).reshape(2 * height, 2 * width)


def _around(plane: Array, radius: int) -> Array:
    """The mean of the pixels in a square window that are there."""
    result = plane.astype(np.float64)
    for axis in (0, 1):
        n = result.shape[axis]
        low, high = np.maximum(np.arange(n) - radius, 0), np.minimum(np.arange(n) + radius + 1, n)
        sums = np.concatenate([np.zeros_like(result.take([0], axis)), result.cumsum(axis)], axis)
        count = (high - low).reshape([-1 if a == axis else 1 for a in (0, 1)])
        result = (sums.take(high, axis) - sums.take(low, axis)) / count
    return _float(result)
