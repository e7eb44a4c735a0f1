"""One value must never decide another's precision: fill values, hot pixels, declared or not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nlmeans
from nlmeans import denoise, levels, suggest
from nlmeans.levels import Levels, ends, ends_without_outliers

FIXED: dict[str, Any] = {"sigma": 20.0, "k": 0.5, "patch_radius": 1, "search_radius": 4}
HUGE = [
    *[("f4", m) for m in (1e4, -9999.0, 65535.0, 1e6, 1e8, 1e13, 1e30, -3.4e38)],
    *[("f8", m) for m in (1e6, -1e30, 1e300)],
    *[("u2", m) for m in (65535, 0)],
    ("i2", -32768),
]


def heights(dtype: str) -> np.ndarray:
    """Data of 700 with noise of 20."""
    values = np.random.default_rng(0).normal(700, 20, (64, 64))
    return (np.rint(values) if dtype[0] in "iu" else values).astype(dtype)


@pytest.mark.filterwarnings("ignore:.*times the data range:UserWarning")
@pytest.mark.parametrize(("dtype", "value"), HUGE)
@pytest.mark.parametrize("aggregate", ["patch", "pixel"])
def test_one_value_changes_nothing_outside_its_halo(
    dtype: str, value: float, aggregate: str, backend: str
) -> None:
    plain = heights(dtype)
    image = plain.copy()
    image[5, 5] = value
    options = {**FIXED, "aggregate": aggregate, "backend": backend}
    result, expected = denoise(image, **options), denoise(plain, **options)
    far = np.ones(image.shape, bool)
    far[: 5 + 4 + 3 + 1, : 5 + 4 + 3 + 1] = False  # search radius, two patches, and the filling of a hole
    change = np.abs(result.astype(float) - expected)[far].max()
    place = 1 if dtype[0] in "iu" else 2 * float(np.spacing(np.float32(740)))
    assert change <= 1e-6 * float(np.ptp(plain)) + place
    near = ~far
    near[5, 5] = False  # beside it there is one partner less, and where it lies in a patch no partner
    assert np.abs(result.astype(float) - plain)[near].max() < 6 * 20
    assert abs(float(result[5, 5]) - value) <= 1e-5 * abs(value)


@pytest.mark.filterwarnings("ignore:.*times the data range:UserWarning")
@pytest.mark.parametrize(("dtype", "value"), [h for h in HUGE if h[1]])  # 0 is 7 spreads away: no outlier
def test_one_value_changes_no_automatic_choice(dtype: str, value: float) -> None:
    image = heights(dtype)
    plain = suggest(image)
    image[5, 5] = value
    found = suggest(image)
    assert (found.patch_radius, found.search_radius, found.k) == (
        plain.patch_radius,
        plain.search_radius,
        plain.k,
    )
    assert found.sigma == pytest.approx(plain.sigma, rel=0.02)


def test_a_value_beyond_use_is_kept_and_said() -> None:
    image = heights("f4")
    image[5, 7] = 1e30
    with pytest.warns(
        UserWarning, match=r"1 pixels are more than 10,000 times .* first at row 5, column 7"
    ) as caught:
        result = denoise(image)
    assert caught[0].filename == __file__
    assert result[5, 7] == np.float32(1e30)
    assert np.abs(result - 700)[result < 1e20].max() < 60


def test_values_under_a_mask_are_not_spoken_of() -> None:
    image = heights("f4")
    image[5, 7] = 1e30
    mask = image < 1e20
    result = denoise(image, mask=mask)
    assert result[5, 7] == np.float32(1e30)


def test_many_fill_values_are_data_as_before() -> None:
    """A tenth of the picture is no outlier: its range is the picture's."""
    image = heights("f4")
    image[:20, :30] = -9999
    assert ends_without_outliers(image[None, None], None, ([-9999.0], [800.0])) == ([-9999.0], [800.0])


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 2), (1, 2, 2), (1, 1, 9), (1, 300, 2), (3, 4, 5)])
def test_small_and_constant_pictures_have_their_own_ends(shape: tuple[int, ...]) -> None:
    for image in (np.zeros((1, *shape)), np.arange(float(np.prod(shape))).reshape(1, *shape)):
        found = ends(image, None)
        assert found is not None
        assert ends_without_outliers(image, None, found) == found
        assert Levels.of(found, image.dtype, 1).data_range == float(np.ptp(image))


def test_an_outlier_in_a_guide_or_a_channel_is_one_too(backend: str) -> None:
    image = np.stack([heights("f4")] * 3, axis=-1)
    spoiled = image.copy()
    spoiled[5, 5, 1] = 1e7
    with pytest.warns(UserWarning, match="times the data range"):
        result = denoise(spoiled, channel_axis=-1, backend=backend, **FIXED)
    expected = denoise(image, channel_axis=-1, backend=backend, **FIXED)
    assert np.abs(result - expected)[20:].max() <= 4e-4
    with pytest.warns(UserWarning, match="times the data range"):
        result = denoise(image[..., 0], guide=spoiled[..., 1], backend=backend, **FIXED)
    expected = denoise(image[..., 0], guide=image[..., 1], backend=backend, **FIXED)
    assert np.abs(result - expected)[20:].max() <= 4e-4
    assert nlmeans.estimate_sigma(image[..., 0]) > 15


@pytest.mark.parametrize("shape", [(96, 96), (12, 40, 40)])
def test_far_values_leave_no_rounding_where_they_were(shape: tuple[int, ...]) -> None:
    """Sums of weights that are kept up to date along a row left 3e-5 of the range beside values of 1e4."""
    rng = np.random.default_rng(0)
    image = (np.indices(shape).sum(0) % 32 / 16 + rng.normal(0, 0.2, shape)).astype(np.float32)
    for _ in range(3):
        image[tuple(rng.integers(5, n - 5) for n in shape)] = 1e4
    settings: dict[str, Any] = {"sigma": 0.2, "k": 0.5, "patch_radius": 1, "search_radius": 3}
    got, exact = denoise(image, **settings), denoise(image.astype(float), backend="reference", **settings)
    near = image < 100
    np.testing.assert_allclose(got[near], exact[near], rtol=0, atol=2e-6)


@pytest.mark.parametrize("piece", [1, 100, 2**19])
@pytest.mark.parametrize("interleaved", [False, True])
def test_smallest_and_largest_are_found_in_every_piece(
    monkeypatch: pytest.MonkeyPatch, piece: int, interleaved: bool
) -> None:
    monkeypatch.setattr(levels, "_PIECE", piece)
    values = np.random.default_rng(0).normal(size=(3, 2, 13, 11)).astype(np.float32)
    if interleaved:
        values = np.moveaxis(np.ascontiguousarray(np.moveaxis(values, 0, -1)), -1, 0)
    found = ends(values, None)
    assert found == (values.min(axis=(1, 2, 3)).tolist(), values.max(axis=(1, 2, 3)).tolist())
    for place in ((0, 0, 0), (1, 12, 10), (0, 12, 3)):
        spoilt = values.copy() if not interleaved else np.moveaxis(np.moveaxis(values, 0, -1).copy(), -1, 0)
        spoilt[(1, *place)] = np.nan
        low, high = ends(spoilt, None)
        assert np.isnan([low[1], high[1]]).all()
        assert np.isfinite([low[0], high[2]]).all()
