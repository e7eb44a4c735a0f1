"""``passes=2``: a second pass that compares patches of the first result, mixed with the image."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from skimage import data

import nlmeans
from nlmeans import InvalidTypeError, InvalidValueError, Parameters, denoise, suggest
from nlmeans.backends.contract import Run
from nlmeans.choosing import clipped_ends
from nlmeans.compat import denoise_nl_means
from nlmeans.inputs import check
from nlmeans.levels import Levels
from nlmeans.methods import Method
from nlmeans.methods.passes import TwoPasses
from nlmeans.tiling import Cost, Tile

from ..conftest import allowed_error

SECOND: dict[str, Any] = {"patch_radius": 1, "search_radius": 3, "k": 2.5, "mixing": 0.8}
FIXED: dict[str, Any] = {"patch_radius": 2, "search_radius": 3, "k": 0.5, "passes": 2, "second": SECOND}
ONE = {name: FIXED[name] for name in ("patch_radius", "search_radius", "k")}


def noisy(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Blocks of two levels and a ramp with noise of 0.1."""
    clean = (np.indices(shape) // 7).sum(axis=0) % 2 + 0.3 * np.indices(shape)[-1] / shape[-1]
    return clean + np.random.default_rng(seed).normal(0, 0.1, shape)


def by_hand(image: np.ndarray, sigma: Any, backend: str, **more: Any) -> np.ndarray:
    """The second pass as a filter with a guide, whose noise is what the pilot leaves of it."""
    pilot = denoise(image, sigma=sigma, backend=backend, **ONE, **more)
    guide = 0.8 * pilot + 0.2 * image
    second = {"patch_radius": 1, "search_radius": 3, "k": 2.5}
    return denoise(image, guide=guide, sigma=0.2 * sigma, backend=backend, **second, **more)


@pytest.mark.parametrize("aggregate", ["patch", "pixel"])
@pytest.mark.parametrize("shape", [(60,), (40, 45), (7, 20, 21)], ids=str)
def test_the_second_pass_is_a_filter_guided_by_the_first(
    shape: tuple[int, ...], aggregate: str, backend: str
) -> None:
    image = noisy(shape)
    second = {**SECOND, "aggregate": aggregate}
    got = denoise(image, sigma=0.1, aggregate=aggregate, backend=backend, **{**FIXED, "second": second})
    expected = by_hand(image, 0.1, backend, aggregate=aggregate)
    assert np.abs(got - expected).max() <= 2 * allowed_error(image, backend)
    assert np.abs(got - denoise(image, sigma=0.1, aggregate=aggregate, **ONE)).max() > 0.01


def test_a_sigma_map_goes_through_both(backend: str) -> None:
    image = noisy((40, 45))
    sigma = np.linspace(0.05, 0.3, image.size).reshape(image.shape)
    got = denoise(image, sigma=sigma, backend=backend, **FIXED)
    assert np.abs(got - by_hand(image, sigma, backend)).max() <= 2 * allowed_error(image, backend)


def test_colours_are_compared_together_in_both_or_apart_in_both(backend: str) -> None:
    image = noisy((30, 35, 2))
    options: dict[str, Any] = {"channel_axis": -1, "color": "joint"}
    got = denoise(image, sigma=0.1, backend=backend, **options, **FIXED)
    assert np.abs(got - by_hand(image, 0.1, backend, **options)).max() <= 2 * allowed_error(image, backend)
    got = denoise(image, sigma=(0.1, 0.2), channel_axis=-1, color="separate", backend=backend, **FIXED)
    for c, sigma in enumerate((0.1, 0.2)):
        alone = by_hand(np.ascontiguousarray(image[..., c]), sigma, backend)
        assert np.abs(got[..., c] - alone).max() <= 2 * allowed_error(image, backend)


def test_the_luminance_has_two_passes_and_the_differences_one(backend: str) -> None:
    image = noisy((30, 35, 3))
    differences = {"patch_radius": 1, "search_radius": 2, "k": 0.6}
    options: dict[str, Any] = {"color": "luminance", "differences": differences}
    got = denoise(image, sigma=0.1, channel_axis=-1, backend=backend, **options, **FIXED)
    light = by_hand(image.sum(axis=-1) / np.sqrt(3), 0.1, backend)
    assert np.abs(got.sum(axis=-1) / np.sqrt(3) - light).max() <= 4 * allowed_error(image, backend)
    apart = np.stack([image[..., 0] - image[..., 2], image @ [1, -2, 1] / np.sqrt(3)], -1) / np.sqrt(2)
    apart = denoise(apart, sigma=0.1, channel_axis=-1, backend=backend, **differences)
    ends = (got[..., 0] - got[..., 2]) / np.sqrt(2)
    assert np.abs(ends - apart[..., 0]).max() <= 4 * allowed_error(image, backend)


# --- tiles, threads, invalid pixels ----------------------------------------------------------

KINDS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "picture": ((150, 140), {}),
    "volume": ((9, 70, 66), {}),
    "colours": ((150, 140, 3), {"channel_axis": -1, "color": "luminance"}),
    "separate": ((130, 140, 2), {"channel_axis": -1, "color": "separate"}),
}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_tiles_are_as_the_whole_and_threads_change_no_bit(kind: str, masked: bool, fast_backend: str) -> None:
    shape, options = KINDS[kind]
    image = noisy(shape).astype(np.float32)
    options = {"sigma": 0.1, "passes": 2, "backend": fast_backend, "memory_limit": 2**20, **options}
    if masked:
        grid = shape[:2] if "channel_axis" in options else shape
        options["mask"] = np.random.default_rng(1).random(grid) > 0.2
    tiled = denoise(image, **options)
    whole = denoise(image, **{**options, "memory_limit": 2**30})
    assert np.abs(tiled - whole).max() <= 2e-6 * np.ptp(image)
    if masked:
        np.testing.assert_array_equal(whole[~options["mask"]], image[~options["mask"]])
        spoiled = image.copy()
        spoiled[~options["mask"]] = 0.3
        again = denoise(spoiled, **{**options, "memory_limit": 2**30})
        np.testing.assert_array_equal(again[options["mask"]], whole[options["mask"]])
    np.testing.assert_array_equal(whole, denoise(image, **{**options, "memory_limit": 2**30, "workers": 3}))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float16", "float64"])
def test_results_are_rounded_once(dtype: str, backend: str) -> None:
    image = np.clip(noisy((30, 31, 3)) * 90 + 60, 0, 255).astype(dtype)
    options: dict[str, Any] = {"sigma": 9.0, "passes": 2, "channel_axis": -1, "backend": backend}
    exact = denoise(image.astype(np.float64), **{**options, "backend": "reference"})
    got = denoise(image, **options)
    assert got.dtype == image.dtype
    step = 0.5 if np.dtype(dtype).kind in "iu" else float(np.spacing(np.dtype(dtype).type(255)))
    assert np.abs(got - exact).max() <= 1.001 * step + allowed_error(image, backend)


# --- what is chosen --------------------------------------------------------------------------

COMBINATIONS = list(
    itertools.product(
        (None, "auto", "luminance", "joint", "separate"), (None, 1, 2), ("none", "one", "each", "map")
    )
)


@pytest.mark.parametrize(("color", "passes", "kind"), COMBINATIONS)
def test_what_is_suggested_gives_the_same_bits(color: str | None, passes: int | None, kind: str) -> None:
    image = noisy((40, 41, 3)).astype(np.float32)
    sigma = {"none": None, "one": 0.1, "each": (0.1, 0.08, 0.12), "map": np.full((40, 41), 0.1)}[kind]
    options: dict[str, Any] = {"color": color, "passes": passes, "channel_axis": -1, "sigma": sigma}
    found = suggest(image, **options)
    assert Parameters.from_json(found.to_json()) == found
    again = {"channel_axis": -1, **found.to_dict()}
    if kind == "map":
        again["sigma"] = sigma
    np.testing.assert_array_equal(denoise(image, **again), denoise(image, **options))
    assert suggest(image, **again) == found


def test_two_passes_are_the_default_where_a_filter_is_left_to_the_tables_and_noise_is_strong() -> None:
    image, fine = noisy((40, 41)), noisy((40, 41)) + 10 * np.indices((40, 41))[1]
    assert suggest(image, sigma=0.1).passes == 2
    assert suggest(fine, sigma=0.1).passes == 1
    described: list[dict[str, Any]] = [{"k": 0.5}, {"h": 0.05}, {"patch_radius": 2}, {"search_radius": 3}]
    for one in (*described, {"aggregate": "pixel"}, {"guide": image}, {"passes": 1}):
        assert suggest(image, sigma=0.1, **one).passes == 1
    for other in (noisy((300,)), noisy((9, 20, 21))):
        assert suggest(other, sigma=0.1).passes == 1
    colour = np.stack([image] * 3, axis=-1)
    for color in ("luminance", "joint", "separate"):
        assert suggest(colour, sigma=0.1, channel_axis=-1, color=color).passes == 2
    assert nlmeans.weights(image, (3, 3), sigma=0.1).sum() == pytest.approx(1)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_of_clipped_noise_two_passes_are_better_than_one(dtype: str) -> None:
    """A range that noise cannot widen had the settings of much stronger noise, with which they were worse."""
    clean, unit = (
        data.astronaut()[60:220, 140:300].astype(float),
        {"uint8": 1, "uint16": 257}.get(dtype, 1 / 255),
    )
    image = np.clip(clean + np.random.default_rng(30).normal(0, 30, clean.shape), 0, 255) * unit
    image = (image if dtype == "float32" else np.rint(image)).astype(dtype)
    one, two = (denoise(image, sigma=27.0 * unit, channel_axis=-1, passes=n) / unit for n in (1, 2))
    assert np.std(two - clean) < 0.99 * np.std(one - clean)


def test_ends_with_few_pixels_are_not_taken_for_clipped() -> None:
    loose = np.random.default_rng(0).normal(128, 20, (200, 200))
    for image, ends in (
        (loose, 0),
        (loose.clip(None, 180), 1),
        (loose.clip(70, 180), 2),
        (np.rint(loose), 0),
    ):
        assert clipped_ends(check(image, {})) == ends
        mask = (image > image.min()) & (image < image.max())
        assert clipped_ends(check(image, {"mask": mask})) == 0
    assert clipped_ends(check(np.full((3, 3), np.nan), {"nan": "keep"})) == 0


@pytest.mark.parametrize(
    "given", [{"k": 0.3}, {"h": 0.03}, {"h": 0.03, "sigma": 0.0}, {"h": 0.0}, {"k": 0.0}]
)
def test_a_strength_scales_every_part_as_the_tables_do(given: dict[str, float]) -> None:
    image = noisy((30, 31, 3))
    options: dict[str, Any] = {"sigma": 0.1, "color": "luminance", "passes": 2, "channel_axis": -1}
    table, chosen = suggest(image, **options), suggest(image, **{**options, **given})
    assert table.differences is not None
    assert table.second is not None
    assert chosen.differences is not None
    assert chosen.second is not None
    assert table.k is not None
    assert table.second.k is not None
    if "sigma" in given:
        assert chosen.differences.sigma == chosen.second.sigma == 0.0
        return
    wanted = given.get("k", given.get("h", 0.0) / 0.1) / table.k
    own = {"differences": chosen.differences, "second": chosen.second}
    for name, noise in (("differences", 0.1), ("second", 0.1 * (1 - (table.second.mixing or 0)))):
        strength = own[name].strength if "h" in given else (own[name].k or 0.0) * noise
        expected = wanted * getattr(table, name).k * noise
        assert strength == pytest.approx(expected, rel=1e-12)
    np.testing.assert_array_equal(denoise(image, **options, h=0.0), image)


def test_what_does_not_go_together_is_refused() -> None:
    image, colour = noisy((20, 21)), noisy((20, 21, 3))
    for wrong in ({"passes": 2}, {"second": SECOND}):
        with pytest.raises(InvalidValueError, match="a guide takes the place of a first pass"):
            denoise(image, guide=image, **wrong)
    with pytest.raises(InvalidValueError, match="second describes a second pass: give passes=2"):
        denoise(image, passes=1, second=SECOND)
    with pytest.raises(InvalidValueError, match="passes must be an integer in"):
        denoise(image, passes=3)
    with pytest.raises(InvalidTypeError, match="passes must be an integer"):
        denoise(image, passes="2")  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match="second must have mixing"):
        denoise(image, second={**ONE})
    with pytest.raises(InvalidValueError, match=r"mixing must be in \[0, 1\]"):
        denoise(image, second={**SECOND, "mixing": 1.5})
    with pytest.raises(InvalidTypeError, match="second must be Parameters or a dictionary"):
        denoise(image, second=3)  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match="second is one filter"):
        denoise(image, second={**SECOND, "passes": 2, "second": SECOND})
    with pytest.raises(InvalidValueError, match="differences belong to"):
        denoise(colour, channel_axis=-1, color="joint", differences=ONE)
    with pytest.raises(InvalidValueError, match="differences belong to"):
        denoise(image, differences=ONE)
    with pytest.raises(InvalidValueError, match="weights are those of one pass: give passes=1"):
        nlmeans.weights(image, (3, 3), passes=2)
    with pytest.raises(InvalidValueError, match="differences goes with"):
        Parameters(patch_radius=1, search_radius=1, sigma=1.0, k=0.5, color="luminance")


def test_other_doors_keep_one_pass_and_joint_channels() -> None:
    colour = noisy((24, 25, 3))
    own = {"patch_radius": 1, "search_radius": 3, "h": 0.1, "sigma": 0.1}
    joint = denoise(colour, channel_axis=-1, color="joint", passes=1, center="one", aggregate="pixel", **own)
    theirs = denoise_nl_means(colour, 3, 3, 0.1, sigma=0.1, channel_axis=-1)
    np.testing.assert_array_equal(theirs, joint)
    plain = Parameters(patch_radius=1, search_radius=3, h=0.1, sigma=0.1)
    assert (plain.color, plain.passes, plain.differences, plain.second) == ("joint", 1, None, None)


def test_the_second_method_is_told_where_its_tile_lies() -> None:
    """A method with a grid of its own depends on absolute positions; it sees the planes that it needs."""
    seen: list[Any] = []

    class Recorder(Method):
        def run(self, tile: Tile, origin: Any, whole_shape: Any, planes: range, run: Run) -> Any:
            seen.append((tile.value.shape[1], origin, whole_shape, planes))
            return np.zeros_like(tile.value[:, planes.start : planes.stop])

    levels = (Levels((0.0,), 1.0, 1.0),) * 2
    first, second = (
        Recorder(levels=levels, halo=(deep, 3, 3), cost=Cost(8, 8), patch_radius=(0, 1, 1)) for deep in (2, 1)
    )
    method = TwoPasses.of(first, second, 0.5)
    assert method.halo == (3, 6, 6)
    array = np.zeros((1, 9, 5, 6), np.float32)
    tile = Tile(array, array, array, array[0] + 1, None)
    change = method.run(tile, (10, 20, 30), (50, 60, 70), range(4, 6), Run())
    assert change.shape == (1, 2, 5, 6)
    assert seen == [
        (9, (10, 20, 30), (50, 60, 70), range(3, 7)),
        (4, (13, 20, 30), (50, 60, 70), range(1, 3)),
    ]
