"""NL-Ridge with CuPy's arrays: the reference's own operations, against the reference with NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nlmeans
from nlmeans import backends
from nlmeans.backends.contract import Request

from ..cupy_stand_in import Array, FakeCuPy

pytestmark = pytest.mark.usefixtures("fresh_cuda")

SETTINGS: dict[str, Any] = {"method": "nlridge"}


def noisy(shape: tuple[int, ...], seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return (np.indices(shape)[:2].sum(0) % 16 * 6 + 60 + rng.normal(0, 10, shape)).astype(np.float32)


CASES: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "grey": ((36, 41), {"sigma": 10.0}),
    "colour": ((30, 28, 3), {"sigma": 10.0, "channel_axis": -1, "color": "luminance"}),
    "joint": ((30, 28, 2), {"sigma": (10.0, 8.0), "channel_axis": -1, "color": "joint"}),
    "a channel without noise": ((30, 28, 2), {"sigma": (10.0, 0.0), "channel_axis": -1, "color": "separate"}),
    "planes": ((2, 24, 26), {"sigma": 10.0}),
    "narrow": ((5, 40), {"sigma": 10.0}),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", ["numpy", "cupy"])
def test_it_does_what_the_reference_does(fake: FakeCuPy, name: str, kind: str) -> None:
    shape, more = CASES[name]
    image = noisy(shape)
    got = nlmeans.denoise(
        fake.asarray(image) if kind == "cupy" else image, backend="cuda", **SETTINGS, **more
    )
    assert isinstance(got, Array if kind == "cupy" else np.ndarray)
    expected = nlmeans.denoise(image.astype(np.float64), backend="reference", **SETTINGS, **more)
    found = got.get() if isinstance(got, Array) else got
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.ptp(image))


@pytest.mark.parametrize("kind", ["numpy", "cupy"])
def test_holes_and_maps(fake: FakeCuPy, kind: str) -> None:
    image, rng = noisy((34, 38)), np.random.default_rng(1)
    mask = rng.random(image.shape) > 0.1
    image[5, 7] = np.nan
    sigma = np.where(np.arange(38) < 19, 8.0, 12.0) * np.ones(image.shape)
    given: dict[str, Any] = {"mask": mask, "sigma": sigma}
    there = {n: fake.asarray(a) for n, a in given.items()} if kind == "cupy" else given
    picture = fake.asarray(image) if kind == "cupy" else image
    got = nlmeans.denoise(picture, backend="cuda", nan="keep", **SETTINGS, **there)
    expected = nlmeans.denoise(image.astype(np.float64), backend="reference", nan="keep", **SETTINGS, **given)
    found = got.get() if isinstance(got, Array) else got
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.nanmax(image))


def test_in_tiles_it_is_the_same(fake: FakeCuPy) -> None:
    image = noisy((150, 40))
    settings: dict[str, Any] = {**SETTINGS, "sigma": 10.0, "backend": "cuda"}
    whole = nlmeans.denoise(image, **settings)
    in_parts = nlmeans.denoise(image, **settings, memory_limit=900_000)
    np.testing.assert_allclose(in_parts, whole, atol=1e-5 * np.ptp(image))


def test_auto_leaves_arrays_where_they_are(fake: FakeCuPy) -> None:
    """On a GPU it was not timed: arrays of NumPy stay with the processor, where that can."""
    numpy, cupy = (Request(library, "float32", 4096, 1, "nlridge") for library in ("numpy", "cupy"))
    if backends.load("cpu").can_run(numpy) is None:
        assert backends.choose("auto", numpy) is backends.load("cpu")
    assert backends.choose("auto", cupy) is backends.load("cuda")
    assert backends.choose("auto", Request("numpy", "float32", 4096, 1)) is backends.load("cuda")
