"""Volumes: planes in one call, held against the reference where a volume is pairs of planes; voxel sizes."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from nlmeans import InvalidTypeError, InvalidValueError, backends, denoise, suggest

SHAPE = (17, 13, 11)
needs_the_extension = pytest.mark.skipif(
    backends.load("cpu").can_run(backends.Request("numpy", "float32", 64, 1)) is not None,
    reason="the extension is not built",
)
RULES = list(product(("pixel", "patch"), ("max", "one", "zero"), ("box", "gaussian")))


def noisy(sigma: float = 0.2, seed: int = 0) -> np.ndarray:
    """Waves and sharp edges, range 3."""
    z, y, x = np.mgrid[tuple(map(slice, SHAPE))]
    clean = np.sin(x / 3) + 0.5 * np.cos(y * z / 40) + ((x + y + z) % 17 < 8)
    return clean + np.random.default_rng(seed).normal(0, sigma, SHAPE)


def both(image: np.ndarray, **settings: Any) -> tuple[np.ndarray, np.ndarray]:
    """By the C backend, and by the reference in float64."""
    if image.dtype != float:
        return tuple(denoise(image, backend=b, **settings).astype(float) for b in ("cpu", "reference"))  # type: ignore[return-value]
    single = image.astype(np.float32)
    exact = denoise(single.astype(float), backend="reference", **settings)
    return denoise(single, backend="cpu", **settings), exact


@needs_the_extension
@pytest.mark.parametrize(("aggregate", "center", "patch"), RULES)
@pytest.mark.parametrize("sigma", [0.03, 0.2])  # 1 % of the range: edges are the hard case
def test_volumes_match_the_reference(sigma: float, aggregate: str, center: str, patch: str) -> None:
    radii: dict[str, Any] = {"patch_radius": (1, 2, 1), "search_radius": (2, 3, 2)}
    rules: dict[str, Any] = {"aggregate": aggregate, "center": center, "patch": patch}
    got, expected = both(noisy(sigma), sigma=sigma, **radii, **rules)
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-6 * 3)


def holes() -> np.ndarray:
    return np.random.default_rng(1).random(SHAPE) > 0.1


def with_nan(image: np.ndarray) -> np.ndarray:
    return np.where(np.random.default_rng(2).random(SHAPE) < 0.03, np.nan, image)


def with_outlier(image: np.ndarray) -> np.ndarray:
    image = image.copy()
    image[4, 5, 6] = 1e4
    return image


CASES: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
    "mask": (noisy(), {"mask": holes()}),
    "nan": (with_nan(noisy()), {"nan": "keep"}),
    "sigma map": (noisy(), {"sigma": 0.1 + 0.2 * np.random.default_rng(3).random(SHAPE)}),
    "outlier": (with_outlier(noisy()), {}),
    "channels": (np.stack([noisy(), noisy(seed=1)], 1), {"channel_axis": 1}),
    "separate": (np.stack([noisy(), noisy(seed=1)], -1), {"channel_axis": -1, "color": "separate"}),
    "guide": (noisy(), {"guide": noisy(0.05, 1).astype(np.float32), "guide_sigma": 0.05}),
    "no depth": (noisy(), {"patch_radius": (0, 1, 1), "search_radius": (1, 2, 2)}),
    "no search along z": (noisy(), {"patch_radius": (2, 1, 1), "search_radius": (0, 2, 2)}),
    "window deeper than it": (noisy()[:5], {"patch_radius": 1, "search_radius": (9, 2, 2)}),
    "patch deeper than it": (noisy()[:4], {"patch_radius": (5, 1, 1), "search_radius": 2}),
}


@needs_the_extension
@pytest.mark.parametrize("aggregate", ["pixel", "patch"])
@pytest.mark.parametrize("name", CASES)
def test_hard_volumes_match_the_reference(name: str, aggregate: str) -> None:
    image, more = CASES[name]
    settings = {"sigma": 0.2, "patch_radius": 1, "search_radius": 2, "aggregate": aggregate} | more
    if image.ndim == 4:
        settings["patch_radius"] = (1, 1, 1)
    if "guide" in settings and image.dtype == float:
        settings["h"] = 0.1
    got, expected = both(image, **settings)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * 3, equal_nan=True)


@needs_the_extension
@pytest.mark.parametrize("aggregate", ["pixel", "patch"])
@pytest.mark.parametrize(("kind", "allowed"), [(np.uint8, 0.001), (np.uint16, 0.02)])
def test_integer_volumes_match_the_reference(kind: type, allowed: float, aggregate: str) -> None:
    scale = np.iinfo(kind).max / 6
    image = np.clip((noisy() + 2) * scale, 0, np.iinfo(kind).max).astype(kind)
    got, expected = both(image, sigma=0.2 * scale, patch_radius=1, search_radius=2, aggregate=aggregate)
    assert np.abs(got - expected).max() <= 1
    assert (got != expected).mean() <= allowed


@pytest.mark.parametrize("aggregate", ["pixel", "patch"])
def test_tiles_along_z_agree_with_the_whole(aggregate: str) -> None:
    image = noisy().astype(np.float32)
    settings: dict[str, Any] = {
        "sigma": 0.2,
        "patch_radius": 1,
        "search_radius": 2,
        "aggregate": aggregate,
        "backend": "auto",
    }
    whole = denoise(image, **settings)
    for limit in (200_000, 100_000):
        np.testing.assert_allclose(denoise(image, memory_limit=limit, **settings), whole, rtol=0, atol=6e-6)


def test_spacing_makes_radii_equally_long() -> None:
    volume = noisy()
    same = suggest(volume, sigma=0.2)
    assert suggest(volume, sigma=0.2, spacing=(2, 2, 2)).patch_radius == (same.patch_radius,) * 3
    thick = suggest(volume, sigma=0.2, spacing=(4, 1, 1.0))
    mean = 4 ** (1 / 3)
    assert thick.patch_radius == tuple(round(same.patch_radius * mean / s) for s in (4, 1, 1))  # type: ignore[operator]
    assert thick.search_radius == (1, 5, 5)
    given = suggest(volume, sigma=0.2, spacing=(4, 1, 1), patch_radius=2, search_radius=(1, 2, 3))
    assert (given.patch_radius, given.search_radius) == (2, (1, 2, 3))
    assert (
        denoise(volume, sigma=0.2, spacing=(4, 1, 1)).tobytes()
        == denoise(volume, **thick.to_dict()).tobytes()
    )


@pytest.mark.parametrize("spacing", [(1, 2), (1, 1, 0), (1, 1, -1.0), (1, 1, np.inf), 3.0, "1,1,1"])
def test_a_wrong_spacing_is_refused(spacing: Any) -> None:
    with pytest.raises((InvalidValueError, InvalidTypeError), match="spacing"):
        denoise(noisy(), sigma=0.2, spacing=spacing)
