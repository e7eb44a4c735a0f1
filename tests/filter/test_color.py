"""``color="separate"``: each channel by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nlmeans
from nlmeans import Parameters, denoise, suggest

from ..conftest import allowed_error

RNG = np.random.default_rng(5)


def drawn(seed: int = 0) -> np.ndarray:
    """Three channels in [0, 1] that show different things, channels last: 96 x 96 x 3."""
    rng = np.random.default_rng(seed)
    return np.stack([np.kron(rng.random((96 // n, 96 // n)), np.ones((n, n))) for n in (12, 16, 24)], axis=-1)


def bands(dtype: Any = np.float32) -> np.ndarray:
    """The same in different units, each with its own noise."""
    clean = drawn() * (1, 100, 4000)
    return (clean + np.random.default_rng(1).normal(size=clean.shape) * (0.05, 5, 200)).astype(dtype)


FIXED: dict[str, Any] = {"patch_radius": 1, "search_radius": 4, "k": 0.6}


@pytest.mark.parametrize("aggregate", ["patch", "pixel"])
def test_each_channel_is_what_it_is_alone(aggregate: str, backend: str) -> None:
    image = bands()
    options = {**FIXED, "aggregate": aggregate, "backend": backend}
    together = denoise(image, channel_axis=-1, color="separate", sigma=(0.05, 5.0, 200.0), **options)
    for c, sigma in enumerate((0.05, 5.0, 200.0)):
        alone = denoise(np.ascontiguousarray(image[..., c]), sigma=sigma, **options)
        limit = 2e-6 * np.ptp(image[..., c]) + 4 * np.spacing(np.abs(image).max())
        assert np.abs(together[..., c] - alone).max() <= limit


def test_the_noise_of_each_channel_is_estimated() -> None:
    chosen = suggest(bands(), channel_axis=-1, color="separate")
    assert chosen.color == "separate"
    np.testing.assert_allclose(chosen.sigma, (0.05, 5, 200), rtol=0.15)  # type: ignore[arg-type]
    image = bands()
    found = suggest(image, channel_axis=-1, color="separate").to_dict()
    np.testing.assert_array_equal(
        denoise(image, channel_axis=-1, **found), denoise(image, channel_axis=-1, color="separate")
    )
    assert (
        Parameters.from_json(suggest(image, channel_axis=-1, color="separate").to_json()).color == "separate"
    )


def test_unrelated_bands_gain_by_being_apart() -> None:
    clean = drawn(3)
    noisy = clean + np.random.default_rng(9).normal(0, 0.1, clean.shape)
    error = {
        c: np.mean((denoise(noisy, sigma=0.1, channel_axis=-1, color=c) - clean) ** 2)
        for c in ("joint", "separate")
    }
    assert error["separate"] < 0.8 * error["joint"]


def test_a_clean_channel_comes_back_as_it_is(backend: str) -> None:
    image = bands()
    image[..., 1] = np.round(image[..., 1])
    result = denoise(
        image, channel_axis=-1, color="separate", sigma=(0.05, 0.0, 200.0), backend=backend, **FIXED
    )
    limit = allowed_error(image[..., 1], backend) + 2 * np.spacing(np.float32(np.abs(image).max()))
    assert np.abs(result[..., 1] - image[..., 1]).max() <= limit
    assert np.abs(result[..., 2] - image[..., 2]).max() > 10


@pytest.mark.parametrize("memory_limit", [None, 2**19])
def test_masks_holes_maps_and_tiles(memory_limit: int | None, backend: str) -> None:
    image = bands()
    image[3, 4, 1] = np.nan
    mask = RNG.random(image.shape[:2]) > 0.1
    sigma = np.full(image.shape[:2], 5.0)
    options = {**FIXED, "backend": backend, "nan": "keep", "mask": mask, "sigma": sigma}
    result = denoise(image, channel_axis=-1, color="separate", memory_limit=memory_limit, **options)
    np.testing.assert_array_equal(result[~mask], image[~mask])
    valid = mask & np.isfinite(image).all(-1)
    options["mask"] = valid
    alone = denoise(np.where(valid, image[..., 1], 0), **options)
    limit = 2e-6 * 200 + 4 * np.spacing(np.float32(4000))
    assert np.abs(result[..., 1] - alone)[valid].max() <= limit


def test_what_does_not_go_with_it_is_refused() -> None:
    image = bands()
    with pytest.raises(nlmeans.InvalidValueError, match='give color="joint" or no guide'):
        denoise(image, channel_axis=-1, color="separate", guide=image)
    with pytest.raises(nlmeans.InvalidValueError, match="one of auto, joint, luminance, separate"):
        denoise(image, channel_axis=-1, color="apart")
    with pytest.raises(nlmeans.InvalidValueError, match="weights of its own"):
        nlmeans.weights(image, (3, 3), channel_axis=-1, color="separate")
    with pytest.raises(nlmeans.InvalidValueError, match=r"component must be an integer in \[0, 2\]"):
        nlmeans.weights(image, (3, 3), channel_axis=-1, color="separate", component=3)
    with pytest.raises(nlmeans.InvalidValueError, match="component is for"):
        nlmeans.weights(image, (3, 3), channel_axis=-1, color="joint", component=1)


def test_the_weights_of_one_channel_are_those_it_is_averaged_with() -> None:
    image = bands(np.float64)
    options: dict[str, Any] = {**FIXED, "sigma": (0.05, 5.0, 200.0), "channel_axis": -1, "color": "separate"}
    result = denoise(image, aggregate="pixel", backend="reference", **options)
    for c in range(3):
        weights = nlmeans.weights(image, (40, 50), component=c, **options)
        assert (weights * image[..., c]).sum() == pytest.approx(result[40, 50, c], rel=1e-9)


def test_one_channel_is_the_same_either_way() -> None:
    image = bands()[..., :1]
    for color in ("joint", "separate"):
        result = denoise(image, channel_axis=-1, color=color)
        np.testing.assert_array_equal(result[..., 0], denoise(np.ascontiguousarray(image[..., 0])))
