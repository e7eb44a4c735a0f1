"""The oracle against what can be worked out by hand; a judge that is not judged proves nothing."""

from __future__ import annotations

from math import exp
from typing import Any

import numpy as np
import pytest

from ..oracle import oracle, oracle_weights

FLOOR = 2.0**-20
SIGNAL = np.array([0.0, 1.0, 3.0])
PIXEL: dict[str, Any] = {"sigma": 0, "h": 1, "patch_radius": 0, "search_radius": 1, "aggregate": "pixel"}


def close(got: np.ndarray, expected: Any) -> None:
    np.testing.assert_allclose(got, expected, rtol=1e-14, atol=1e-14)


def test_three_samples_by_hand() -> None:
    a, b = exp(-1), exp(-4)
    expected = [a / (1 + a), (1 + 3 * b) / (1 + a + b), (3 + b) / (1 + b)]
    close(oracle(SIGNAL, center="one", **PIXEL), expected)


def test_patches_are_reflected_with_the_edge_sample_repeated() -> None:
    # patches (0, 0, 1), (0, 1, 3), (1, 3, 3)
    a = exp(-5 / 3)
    expected = [a / (1 + a), (1 + 3 * a) / (1 + 2 * a), (3 + a) / (1 + a)]
    close(oracle(SIGNAL, center="one", **{**PIXEL, "patch_radius": 1}), expected)


def test_reflection_of_a_patch_far_wider_than_the_signal() -> None:
    # radius 2 on two samples: (1, 0, 0, 1, 1) and (0, 0, 1, 1, 0)
    w = exp(-3 / 5)
    close(oracle([0.0, 1.0], center="one", **{**PIXEL, "patch_radius": 2}), [w / (1 + w), 1 / (1 + w)])


def test_gaussian_taps_have_standard_deviation_half_the_radius() -> None:
    # patches (0, 0, 1) and (0, 1, 1) differ in the middle alone; radius 1, deviation 1/2: exp(-2)
    w = exp(-1 / (1 + 2 * exp(-2)))
    got = oracle([0.0, 1.0], center="one", patch="gaussian", **{**PIXEL, "patch_radius": 1})
    close(got, [w / (1 + w), 1 / (1 + w)])


def test_noise_is_subtracted_twice_from_the_distance() -> None:
    got = oracle(SIGNAL, center="one", **{**PIXEL, "sigma": 1})
    b = exp(-2)  # 4 - 2; and 1 - 2 counts as 0
    close(got, [1 / 2, (1 + 3 * b) / (2 + b), (3 + b) / (1 + b)])


def test_strength_is_a_multiple_of_sigma() -> None:
    by_k = oracle(SIGNAL, k=1.5, **{n: v for n, v in PIXEL.items() if n not in {"h", "sigma"}}, sigma=0.5)
    close(by_k, oracle(SIGNAL, **{**PIXEL, "sigma": 0.5, "h": 0.75}))


def test_centre_rules_by_hand() -> None:
    a = exp(-1)
    first = {rule: oracle(SIGNAL, center=rule, **PIXEL)[0] for rule in ("max", "one", "zero")}
    close(first["max"], 1 / 2)
    close(first["one"], a / (1 + a))
    close(first["zero"], a / (FLOOR + a))


@pytest.mark.parametrize("center", ["max", "zero"])
def test_the_floor_decides_where_all_other_weights_vanish(center: str) -> None:
    got = oracle([0.0, 1.0], center=center, **{**PIXEL, "h": 0.25})
    w = exp(-16)
    close(got, [w / (FLOOR + w), FLOOR / (FLOOR + w)])
    assert w < FLOOR  # else the row tests nothing


def test_a_single_pixel_is_its_own_average() -> None:
    for center in ("max", "one", "zero"):
        for aggregate in ("pixel", "patch"):
            close(oracle([[7.0]], center=center, **{**PIXEL, "aggregate": aggregate}), [[7.0]])


def test_patch_aggregation_by_hand() -> None:
    # both patches cover both samples; shift +1 exists for the first centre only, -1 for the second
    w = exp(-1 / 3)
    got = oracle([0.0, 1.0], center="one", **{**PIXEL, "patch_radius": 1, "aggregate": "patch"})
    close(got, [w / (2 + w), 2 / (2 + w)])


def test_patch_aggregation_normalises_the_weights_of_every_patch() -> None:
    # three samples 0, 1, 3 with flat taps of radius 1, window radius 1, weights a = exp(-5/3)
    a = exp(-5 / 3)
    end, middle = 1 / (1 + a), 1 / (1 + 2 * a)
    stay = [end + middle, end + middle + end, middle + end]
    right = [a * end + a * middle, a * end + a * middle]  # to samples 1 and 2
    left = [a * middle + a * end, a * middle + a * end]  # to samples 0 and 1
    expected = [
        right[0] * 1 / (stay[0] + right[0]),
        (stay[1] + 3 * right[1]) / (stay[1] + right[1] + left[0]),
        (3 * stay[2] + left[1]) / (stay[2] + left[1]),
    ]
    got = oracle(SIGNAL, center="one", **{**PIXEL, "patch_radius": 1, "aggregate": "patch"})
    close(got, expected)


def test_patch_aggregation_of_single_sample_patches_is_pixel_aggregation() -> None:
    image = np.random.default_rng(1).random((4, 5))
    close(oracle(image, **{**PIXEL, "aggregate": "patch"}), oracle(image, **PIXEL))


def test_a_constant_is_returned() -> None:
    for aggregate in ("pixel", "patch"):
        got = oracle(np.full((3, 4), 0.3), **{**PIXEL, "patch_radius": 1, "aggregate": aggregate})
        close(got, np.full((3, 4), 0.3))


def test_a_huge_strength_gives_the_mean_of_the_real_window() -> None:
    image = np.random.default_rng(2).random((4, 5))
    got = oracle(image, **{**PIXEL, "h": 1e12, "patch_radius": 1})
    for y, x in np.ndindex(image.shape):
        close(got[y, x], image[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].mean())


def test_a_checkerboard_of_two_levels() -> None:
    board = np.indices((4, 6)).sum(axis=0) % 2 * 1.0
    got = oracle(board, center="one", **{**PIXEL, "search_radius": 6})
    w = exp(-1)  # 12 samples of each level, whole board in every window
    close(got, np.where(board == 1, 1 / (1 + w), w / (1 + w)))


def test_strength_zero_returns_the_input() -> None:
    image = np.random.default_rng(3).random((3, 3))
    assert (oracle(image, **{**PIXEL, "h": 0}) == image).all()


def test_channels_share_one_weight_from_their_mean_distance() -> None:
    image = np.array([[0.0, 1.0], [0.0, 3.0]])  # two channels first, two samples
    got = oracle(image, center="one", channel_axis=0, **PIXEL)
    w = exp(-(1 + 9) / 2)
    close(got, [[w / (1 + w), 1 / (1 + w)], [3 * w / (1 + w), 3 / (1 + w)]])


def test_sigma_of_each_channel_scales_its_differences() -> None:
    image = np.array([[0.0, 1.0], [0.0, 3.0]])
    options = {**PIXEL, "h": None, "k": 2.0, "sigma": [0.5, 1.0], "channel_axis": 0}
    w = exp(-((4 + 9) / 2 - 2) / 4)
    close(
        oracle(image, center="one", **options), [[w / (1 + w), 1 / (1 + w)], [3 * w / (1 + w), 3 / (1 + w)]]
    )


def test_a_sigma_map_is_that_of_the_pixel_to_denoise() -> None:
    options = {**PIXEL, "h": None, "k": 2.0, "sigma": np.array([0.5, 0.25, 0.0])}
    first, second = exp(-(1 - 0.5) / 1), exp(-(1 - 0.125) / 0.25)
    third = exp(-(4 - 0.125) / 0.25)
    got = oracle(SIGNAL, center="one", **options)
    close(got, [first / (1 + first), (1 + 3 * third) / (1 + second + third), 3.0])


def test_a_clean_guide_chooses_and_the_image_is_averaged() -> None:
    image, guide = np.array([1.0, 2.0, 9.0, 5.0]), np.array([0.0, 0.0, 100.0, 100.0])
    got = oracle(image, guide=guide, guide_sigma=0, **{**PIXEL, "sigma": 9, "search_radius": 3})
    close(got, [1.5, 1.5, 7, 7])


def test_a_guide_of_several_channels_is_compared_by_their_mean() -> None:
    guide = np.array([[0.0, 0.0], [1.0, 3.0]])  # two samples, channels last
    w = exp(-5)
    close(oracle([0.0, 1.0], guide=guide, center="one", **PIXEL), [w / (1 + w), 1 / (1 + w)])


def test_masked_pixels_come_back_and_have_no_vote() -> None:
    image = np.array([0.0, 50.0, 1.0])
    mask = np.array([True, False, True])
    got = oracle(image, mask=mask, center="one", **{**PIXEL, "search_radius": 2})
    w = exp(-1)
    close(got, [w / (1 + w), 50, 1 / (1 + w)])


def test_masked_pixels_are_compared_as_the_mean_of_their_valid_neighbours() -> None:
    image = np.array([0.0, np.nan, 1.0])  # becomes 0, 1/2, 1: patches (0, 0, 1/2) and (1/2, 1, 1)
    got = oracle(image, center="one", **{**PIXEL, "patch_radius": 1, "search_radius": 2})
    w = exp(-(1 / 4 + 1 + 1 / 4) / 3)
    close(got, [w / (1 + w), np.nan, 1 / (1 + w)])


def test_patches_centred_on_masked_pixels_estimate_nothing() -> None:
    image = np.array([0.0, np.nan, 1.0])
    options = {**PIXEL, "patch_radius": 1, "search_radius": 2, "aggregate": "patch"}
    # the patches of samples 0 and 2 do not reach each other: each pixel hears its own patch alone
    expected = oracle(image, center="one", **{**options, "aggregate": "pixel"})
    close(oracle(image, center="one", **options), expected)


def test_a_volume_compares_deep_patches_and_aggregates_in_its_plane() -> None:
    volume = np.random.default_rng(4).random((3, 4, 1))
    deep = {**PIXEL, "patch_radius": (1, 0, 0)}
    close(oracle(volume, **{**deep, "aggregate": "patch"}), oracle(volume, **deep))
    assert np.abs(oracle(volume, **deep) - oracle(volume, **PIXEL)).max() > 1e-3
    flat = oracle(volume, **{**PIXEL, "patch_radius": (0, 1, 0)})
    assert (
        np.abs(oracle(volume, **{**PIXEL, "patch_radius": (0, 1, 0), "aggregate": "patch"}) - flat).max()
        > 1e-3
    )


def test_axes_are_alike_but_for_their_radii() -> None:
    image = np.random.default_rng(5).random((4, 3))
    options = {**PIXEL, "aggregate": "patch"}
    a = oracle(image, **{**options, "patch_radius": (1, 2), "search_radius": (2, 1)})
    b = oracle(image.T, **{**options, "patch_radius": (2, 1), "search_radius": (1, 2)})
    close(a, b.T)


def test_the_weight_map_gives_the_pixel_average() -> None:
    image = np.random.default_rng(6).random((4, 3))
    options = {**PIXEL, "patch_radius": 1}
    picture = oracle_weights(image, (1, 2), **options)
    close(picture.sum(), 1.0)
    close((picture * image).sum(), oracle(image, **options)[1, 2])
