"""The network without PyTorch: against loops, what it keeps, and its file."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from nlmeans.backends.contract import Run
from nlmeans.errors import BackendUnavailableError, InvalidValueError
from nlmeans.network import weights
from nlmeans.network.arithmetic import AROUND, SLOPE, Network


def random_arrays(channels: int = 4, units: int = 2, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    layers = {"head": (channels, 16), "tail": (4, channels)}
    layers |= {f"units.{u}.{w}": (channels, channels) for u in range(units) for w in ("first", "second")}
    arrays = {f"{n}.weight": rng.normal(0, 0.2, (*shape, 3, 3)) for n, shape in layers.items()}
    arrays |= {f"{n}.bias": rng.normal(0, 0.2, shape[0]) for n, shape in layers.items()}
    return {name: a.astype(np.float32) for name, a in arrays.items()}


def seen(noisy: np.ndarray, pilot: np.ndarray, sigma: float) -> list[np.ndarray]:
    """The eight planes of an image and its pilot, in float64."""
    height, width = noisy.shape
    planes = [(noisy - pilot) / sigma, pilot / sigma]
    planes = [np.pad(p.astype(float), ((0, height % 2), (0, width % 2)), mode="edge") for p in planes]
    cells = [[p[y::2, x::2] for y in (0, 1) for x in (0, 1)] for p in planes]
    mean = sum(cells[1]) / 4
    around = np.empty_like(mean)
    for y, x in np.ndindex(mean.shape):
        near = mean[max(0, y - AROUND) : y + AROUND + 1, max(0, x - AROUND) : x + AROUND + 1]
        around[y, x] = near.mean()
    return [*cells[0], *(np.arcsinh(c - around) for c in cells[1])]


def by_loops(
    arrays: dict[str, np.ndarray], pair: tuple[np.ndarray, ...], sigma: float, guide: tuple[np.ndarray, ...]
) -> np.ndarray:
    """The same from the definition, in float64, one position and tap after another."""
    own = seen(*pair, sigma)
    first = np.stack(own + (seen(*guide, sigma) if guide else [0 * plane for plane in own]))

    def convolved(layer: str, x: np.ndarray) -> np.ndarray:
        weight, bias = arrays[f"{layer}.weight"].astype(float), arrays[f"{layer}.bias"].astype(float)
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
        result = np.empty((len(weight), *x.shape[1:]))
        for y, at in np.ndindex(x.shape[1:]):
            result[:, y, at] = np.einsum("oiyx,iyx->o", weight, padded[:, y : y + 3, at : at + 3]) + bias
        return result

    x = convolved("head", first)
    for unit in range(sum(name.endswith(".first.bias") for name in arrays)):
        inner = convolved(f"units.{unit}.first", x)
        x = x + convolved(f"units.{unit}.second", np.where(inner > 0, inner, SLOPE * inner))
    tail = convolved("tail", x)
    result = np.empty((2 * x.shape[1], 2 * x.shape[2]))
    for at in range(4):
        result[at // 2 :: 2, at % 2 :: 2] = tail[at]
    height, width = pair[0].shape
    return result[:height, :width] * sigma


def pair(shape: tuple[int, int], seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    pilot = rng.normal(size=shape).astype(np.float32)
    return pilot + rng.normal(0, 0.3, shape).astype(np.float32), pilot


@pytest.mark.parametrize("shape", [(22, 30), (9, 13), (1, 1), (1, 6), (5, 2)])
@pytest.mark.parametrize("guided", [False, True])
def test_it_is_what_its_definition_says(shape: tuple[int, int], guided: bool) -> None:
    arrays, (noisy, pilot) = random_arrays(), pair(shape)
    guide = pair(shape, 2) if guided else ()
    expected = by_loops(arrays, (noisy, pilot), 0.3, guide)
    change = Network(arrays, turned=False).change(noisy, pilot, 0.3, Run(), guide or None)
    np.testing.assert_allclose(change, expected, atol=2e-6, rtol=1e-6)


def test_turned_by_half_it_gives_the_same_turned_by_half() -> None:
    network, pairs = Network(random_arrays()), (pair((22, 30)), pair((22, 30), 2))
    once = Network(network.weights, turned=False)
    turned = tuple((noisy[::-1, ::-1], pilot[::-1, ::-1]) for noisy, pilot in pairs)
    change = network.change(*pairs[0], 0.3, Run(), pairs[1])
    back = once.change(*turned[0], 0.3, Run(), turned[1])[::-1, ::-1]
    mean = (once.change(*pairs[0], 0.3, Run(), pairs[1]) + back) / 2
    np.testing.assert_allclose(change, mean, atol=1e-6)
    np.testing.assert_allclose(
        network.change(*turned[0], 0.3, Run(), turned[1])[::-1, ::-1], change, atol=1e-6
    )


def test_same_bits_for_every_number_of_threads_and_all_is_told() -> None:
    network, (noisy, pilot) = Network(random_arrays()), pair((70, 50))
    told: list[float] = []
    one = network.change(noisy, pilot, 0.3, Run(1, told.append))
    assert sum(told) == pytest.approx(1)
    for workers in (2, 5):
        np.testing.assert_array_equal(network.change(noisy, pilot, 0.3, Run(workers)), one)


def test_it_looks_as_far_as_it_says_and_no_farther() -> None:
    network, (noisy, pilot) = Network(random_arrays()), pair((121, 8))
    before = network.change(noisy, pilot, 0.3, Run())
    pilot[60] += 1
    changed = np.flatnonzero(np.abs(network.change(noisy, pilot, 0.3, Run()) - before).max(axis=1))
    assert 60 - network.reach <= changed.min() <= 60 - network.reach + 2
    assert 60 + network.reach - 2 <= changed.max() <= 60 + network.reach


def test_the_unit_of_the_image_does_not_matter() -> None:
    network, (noisy, pilot) = Network(random_arrays()), pair((30, 20))
    change = network.change(noisy, pilot, 0.3, Run())
    np.testing.assert_allclose(network.change(64 * noisy, 64 * pilot, 19.2, Run()) / 64, change, atol=1e-6)


def test_a_map_of_sigma_is_that_of_each_pixel() -> None:
    network, (noisy, pilot) = Network(random_arrays()), pair((16, 200))
    sigma = np.where(np.arange(200) < 100, 0.3, 0.0) * np.ones((16, 1))
    change = network.change(noisy, pilot, sigma, Run())
    whole = network.change(noisy, pilot, 0.3, Run())
    np.testing.assert_array_equal(change[:, 100:], 0)
    np.testing.assert_array_equal(change[:, : 100 - network.reach], whole[:, : 100 - network.reach])


# --- the file --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"tail.bias": None}, '"tail.bias" is missing'),
        ({"more": np.zeros(3)}, '"more" has shape (3,)'),
        ({"units.1.first.weight": np.zeros((4, 3, 3, 3))}, '"units.1.first.weight" has shape (4, 3, 3, 3)'),
        ({"head.bias": None}, '"head.bias" is missing'),
    ],
)
def test_other_weights_are_refused_by_name(change: dict[str, np.ndarray | None], told: str) -> None:
    arrays = {n: a for n, a in (random_arrays() | change).items() if a is not None}
    with pytest.raises(InvalidValueError, match=re.escape(told)):
        weights.network_of(arrays)


def test_a_file_that_is_missing_or_another_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for held, told in ((None, "comes with the package"), (b"other", "is not the file that came with")):
        path = tmp_path / "denoiser.safetensors"
        monkeypatch.setattr(weights, "SHIPPED", path)
        if held:
            path.write_bytes(held)
        weights.shipped.cache_clear()
        with pytest.raises(BackendUnavailableError, match=told):
            weights.shipped()
    weights.shipped.cache_clear()


def test_the_package_has_a_small_network_that_the_library_reads_alike() -> None:
    held = weights.SHIPPED.read_bytes()
    assert len(held) < 10**6
    load = pytest.importorskip("safetensors.numpy").load
    arrays, told = load(held), {np.dtype(np.float16), np.dtype(np.int8)}
    assert {array.dtype for array in arrays.values()} == told
    light, differences = weights.shipped()
    for name, array in light.weights.items():
        np.testing.assert_array_equal(array, arrays[name].astype(np.float32))
    for name, array in differences.weights.items():
        expected = arrays[weights.DIFFERENCES + name].astype(np.float32)
        if name.endswith(".weight"):
            scale = arrays[weights.DIFFERENCES + name.replace(".weight", ".scale")].astype(np.float32)
            expected = expected * scale[:, None, None, None]
        np.testing.assert_array_equal(array, expected)
