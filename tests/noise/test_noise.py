"""The estimate of sigma: against noise that is known, and where plain estimators go wrong."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import skimage.data

from nlmeans import InvalidTypeError, InvalidValueError, estimate_sigma
from nlmeans.noise.patches import Patches
from nlmeans.noise.shared import shared_noise

Image = np.ndarray


def noise(shape: tuple[int, ...], sigma: float = 1.0, seed: int = 0) -> Image:
    return np.random.default_rng(seed).normal(0, sigma, shape)


def smooth(shape: tuple[int, ...]) -> Image:
    """Slopes and slow waves, 0 to about 200."""
    axes = np.meshgrid(*(np.linspace(0, 1, n) for n in shape), indexing="ij")
    return 100 + 60 * axes[-1] + sum(20 * np.sin(9 * a + i) for i, a in enumerate(axes))


def blurred(image: Image, width: float) -> Image:
    """Noise that neighbours share: a periodic Gaussian filter, strength as before."""
    for axis, n in enumerate(image.shape):
        response = np.exp(-2 * (np.pi * width * np.fft.fftfreq(n)) ** 2)
        shape = [n if a == axis else 1 for a in range(image.ndim)]
        image = np.fft.ifft(np.fft.fft(image, axis=axis) * response.reshape(shape), axis=axis).real
    return image / image.std()


# Noise of known strength


@pytest.mark.parametrize(
    ("shape", "error"),
    [
        ((8192,), 0.06),
        ((600,), 0.2),
        ((256, 256), 0.03),
        ((40, 700), 0.04),
        ((33, 29), 0.15),
        ((7, 6), 0.6),
        ((24, 48, 64), 0.03),
        ((64, 5, 64), 0.04),
    ],
)
@pytest.mark.parametrize("sigma", [0.01, 20.0])
def test_pure_noise_has_its_sigma(shape: tuple[int, ...], error: float, sigma: float) -> None:
    assert estimate_sigma(noise(shape, sigma)) == pytest.approx(sigma, rel=error)


def test_the_estimate_of_white_noise_has_no_bias() -> None:
    estimates = [estimate_sigma(noise((64, 64), seed=seed)) for seed in range(30)]
    assert np.mean(estimates) == pytest.approx(1, abs=0.015)


def test_a_small_image_is_enough() -> None:
    estimates = [estimate_sigma(smooth((14, 13)) + noise((14, 13), 5, seed)) for seed in range(30)]
    assert np.mean(estimates) == pytest.approx(5, rel=0.08)


@pytest.mark.parametrize("shape", [(4096,), (200, 180), (12, 80, 90)])
@pytest.mark.parametrize("sigma", [1.0, 10.0])
def test_slopes_and_slow_waves_are_no_noise(shape: tuple[int, ...], sigma: float) -> None:
    image = smooth(shape) + noise(shape, sigma)
    assert estimate_sigma(image) == pytest.approx(sigma, rel=0.08 if len(shape) == 1 else 0.04)


@pytest.mark.parametrize("name", ["camera", "coins", "page", "clock", "brick"])
@pytest.mark.parametrize("sigma", [10.0, 25.0])
def test_the_noise_of_photographs_is_found(name: str, sigma: float) -> None:
    clean = getattr(skimage.data, name)().astype(np.float64)
    assert estimate_sigma(clean + noise(clean.shape, sigma)) == pytest.approx(sigma, rel=0.05)


def test_the_estimate_scales_with_the_image_and_ignores_a_constant() -> None:
    image = smooth((90, 80)) + noise((90, 80), 5)
    sigma = estimate_sigma(image)
    assert estimate_sigma(1024 * image) == 1024 * sigma
    assert estimate_sigma(image / 255 + 7) == pytest.approx(sigma / 255, rel=1e-9)
    assert estimate_sigma(-image) == pytest.approx(sigma, rel=1e-9)


@pytest.mark.parametrize("factor", [1e-310, 1e-160, 1e160, 1e300])
def test_no_scale_is_too_small_or_too_large(factor: float) -> None:
    image = noise((48, 48))
    assert estimate_sigma(image * factor) / factor == pytest.approx(estimate_sigma(image), rel=1e-6)


def test_the_same_image_gives_the_same_bits_in_any_layout() -> None:
    image = noise((130, 120)).astype(np.float32)
    expected = estimate_sigma(image)
    frozen = image.copy()
    frozen.flags.writeable = False
    for other in (frozen, np.asfortranarray(image), image[::-1][::-1], image.astype(">f4")):
        assert estimate_sigma(other) == expected
    np.testing.assert_array_equal(frozen, image)


# Channels


def test_the_sigma_of_colours_is_the_root_mean_square_of_the_channels() -> None:
    sigmas = (4.0, 8.0, 16.0)
    planes = [smooth((150, 140)) + noise((150, 140), s, i) for i, s in enumerate(sigmas)]
    each = estimate_sigma(np.stack(planes, axis=-1), channel_axis=-1, per_channel=True)
    assert each == tuple(estimate_sigma(plane) for plane in planes)
    assert each == pytest.approx(sigmas, rel=0.05)
    for axis in (0, 1, 2):
        together = estimate_sigma(np.stack(planes, axis=axis), channel_axis=axis)
        assert together == pytest.approx(np.sqrt(np.mean(np.square(each))), rel=1e-12)


def test_an_image_without_channels_has_one_of_them() -> None:
    image = noise((50, 50))
    assert estimate_sigma(image, per_channel=True) == (estimate_sigma(image),)


# Clipping, rounding, and what holds no noise


@pytest.mark.parametrize("sigma", [0.1, 0.2, 0.3])
def test_clipped_noise_is_not_underestimated(sigma: float) -> None:
    image = np.clip(smooth((256, 256)) / 200 + noise((256, 256), sigma), 0, 1)
    assert estimate_sigma(image) == pytest.approx(sigma, rel=0.08)


@pytest.mark.parametrize(("sigma", "error"), [(0.5, 0.15), (0.7, 0.15)])
def test_noise_that_is_clipped_everywhere_is_still_found(sigma: float, error: float) -> None:
    images = [np.clip(smooth((256, 256)) / 200 + noise((256, 256), sigma, i), 0, 1) for i in range(6)]
    assert np.mean([estimate_sigma(image) for image in images]) == pytest.approx(sigma, rel=error)


def test_clipped_noise_on_a_photograph_of_8_bits_is_not_underestimated() -> None:
    camera = skimage.data.camera()
    image = np.clip(np.rint(camera + noise(camera.shape, 51)), 0, 255).astype(np.uint8)
    assert estimate_sigma(image) == pytest.approx(51, rel=0.05)


@pytest.mark.parametrize("sigma", [0.7, 2.0, 5.0])
def test_rounding_is_part_of_the_noise(sigma: float) -> None:
    image = np.rint(smooth((200, 200)) + noise((200, 200), sigma)).astype(np.uint8)
    assert estimate_sigma(image) == pytest.approx(np.hypot(sigma, 12**-0.5), rel=0.05)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "float16", "float32", "float64"])
def test_every_type_gives_its_units(dtype: str) -> None:
    image = (30 + noise((128, 128), 6)).astype(dtype)
    assert estimate_sigma(image) == pytest.approx(6, rel=0.05)


def test_16_bits_are_taken_as_they_are() -> None:
    image = np.rint(200 * smooth((128, 128)) + noise((128, 128), 900)).astype(np.uint16)
    assert estimate_sigma(image) == pytest.approx(900, rel=0.05)


@pytest.mark.parametrize("value", [0.0, 255.0, 40.0, 130.0])
def test_a_border_without_noise_is_left_out(value: float) -> None:
    image = np.full((300, 300), value)
    image[40:200, 50:220] = smooth((160, 170)) + noise((160, 170), 10)
    assert estimate_sigma(image) == pytest.approx(10, rel=0.06)


def test_a_spot_of_noise_in_a_constant_image_does_not_make_it_noisy() -> None:
    image = np.full((400, 400), 130.0)
    image[100:120, 200:220] += noise((20, 20), 10)
    assert estimate_sigma(image) == 0


def drawings() -> dict[str, Image]:
    y, x = np.mgrid[:128, :128]
    return {
        "constant": np.full((64, 64), 3.7),
        "slope": 0.3 * x + 0.2 * y,
        "slope of 8 bits": (x // 2 + y // 3).astype(np.uint8),
        "disc": 200.0 * ((y - 64) ** 2 + (x - 64) ** 2 < 1600),
        "single pixels": 255.0 * ((x + y) % 2),
        "stripes": 1.0 * (x % 3),
        "waves": np.sin(y / 9) * np.cos(x / 7),
        "constant signal": np.ones(500),
        "constant volume": np.full((9, 9, 9), 2, np.int16),
    }


@pytest.mark.parametrize("name", drawings())
def test_what_has_no_noise_has_none(name: str) -> None:
    image = drawings()[name]
    assert estimate_sigma(image) <= 2e-4 * np.ptp(image)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_rounding_of_floating_types_is_no_noise(dtype: str) -> None:
    y, x = np.mgrid[:128, :128]
    assert estimate_sigma((np.sin(x / 20) + y / 7).astype(dtype)) == 0
    assert estimate_sigma((0.3 * x + 0.2 * y).astype(dtype)) == 0


@pytest.mark.parametrize("shape", [(1,), (2,), (9,), (1, 1), (2, 2), (1, 1, 1), (2, 1, 5)])
def test_of_too_few_pixels_nothing_is_said(shape: tuple[int, ...]) -> None:
    assert estimate_sigma(noise(shape), channel_axis=None if len(shape) < 3 else 1) == 0


# Noise that neighbours share


@pytest.mark.parametrize("width", [0.5, 0.7, 1.0, 1.5])
def test_noise_that_neighbours_share_is_found_with_a_warning(width: float) -> None:
    shape = (256, 256)
    image = smooth(shape) + 15 * blurred(noise(shape), width)
    with pytest.warns(UserWarning, match="two estimates of sigma disagree") as caught:
        sigma = estimate_sigma(image)
    assert sigma == pytest.approx(15, rel=0.15)
    assert f"{sigma:.4g}" in str(caught[0].message)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("seed", range(3))
def test_noise_that_neighbours_share_a_little_is_estimated_without_a_warning(seed: int) -> None:
    image = smooth((256, 256)) + 15 * blurred(noise((256, 256), 1, seed), 0.28)
    assert 10 < estimate_sigma(image) < 15


def test_noise_that_neighbours_share_is_found_in_signals_and_volumes() -> None:
    for image in (
        blurred(noise((16384,)), 1.0),
        np.stack([blurred(noise((64, 64), 1, i), 1) for i in range(20)]),
    ):
        with pytest.warns(UserWarning, match="two estimates"):
            assert estimate_sigma(image) == pytest.approx(1, rel=0.2)


def test_the_warning_comes_once_for_all_channels() -> None:
    planes = [blurred(noise((128, 128), 1, i), 1) for i in range(3)]
    with pytest.warns(UserWarning, match="two estimates") as caught:
        estimate_sigma(np.stack(planes), channel_axis=0)
    assert len(caught) == 1


@pytest.mark.parametrize("sigma", [2.0, 10.0])
def test_patterns_in_white_noise_are_not_taken_for_shared_noise(sigma: float) -> None:
    y, x = np.mgrid[:256, :256]
    waves = np.sin(x / 2), np.sin(x), np.sin(x / 1.5) * np.sin(y / 1.2), np.sin(x / 3 + y / 5)
    boxes = (x // 8 + y // 8) % 2, (x // 3 + y // 3) % 2
    for pattern in (*(200 * p for p in (*waves, *boxes)), 5.0 * x + y, 20 * np.sin(x * y / 900)):
        assert estimate_sigma(pattern + noise((256, 256), sigma)) == pytest.approx(sigma, rel=0.2)


@pytest.mark.parametrize(("name", "sigma", "most"), [("gravel", 3, 4), ("gravel", 12, 13), ("grass", 6, 8.5)])
def test_fine_texture_in_white_noise_is_not_taken_for_shared_noise(
    name: str, sigma: float, most: float
) -> None:
    clean = getattr(skimage.data, name)()[:200, :200]
    assert sigma < estimate_sigma(clean + noise(clean.shape, sigma)) < most


# Pixels that do not count


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_pixels_that_do_not_count_are_left_out(bad: float) -> None:
    image = smooth((150, 150)) + noise((150, 150), 5)
    holes = np.random.default_rng(1).random(image.shape) < 0.02
    holes[100:, :60] = True
    image[holes] = bad
    mask = None if not np.isfinite(bad) else ~holes
    assert estimate_sigma(image, mask=mask) == pytest.approx(5, rel=0.06)


def test_what_is_masked_changes_no_bit() -> None:
    image = noise((100, 90), 5)
    mask = np.ones(image.shape, np.bool_)
    mask[30:60, 20:70] = False
    other = np.where(mask, image, 1e6)
    assert estimate_sigma(image, mask=mask) == estimate_sigma(other, mask=mask)
    assert estimate_sigma(np.where(mask, image, np.nan)) == estimate_sigma(image, mask=mask)


def test_a_pixel_with_one_bad_channel_is_left_out_of_all() -> None:
    image = noise((80, 80, 2), 5)
    image[10:40, :, 0] = np.nan
    image[10:40, :, 1] = 1e6
    assert estimate_sigma(image, channel_axis=-1) == pytest.approx(5, rel=0.1)


def test_a_mask_of_a_small_part_suffices() -> None:
    image = np.where(noise((1200, 1200)) > 0, 1000.0, 0)
    mask = np.zeros(image.shape, np.bool_)
    mask[700:760, 300:360] = True
    image[mask] = (noise((60, 60), 5) + 100 * (np.arange(60) // 2 % 2)).ravel()
    assert estimate_sigma(image, mask=mask) == pytest.approx(5, rel=0.15)


def test_scattered_valid_pixels_still_tell() -> None:
    image = noise((80, 80), 5)
    mask = np.random.default_rng(2).random(image.shape) < 0.5
    assert estimate_sigma(image, mask=mask) == pytest.approx(5, rel=0.4)


def test_of_no_valid_pixel_nothing_is_said() -> None:
    image = noise((30, 30))
    assert estimate_sigma(image, mask=np.zeros(image.shape, np.bool_)) == 0
    assert estimate_sigma(np.full((30, 30), np.nan)) == 0


# What is refused


@pytest.mark.parametrize(
    ("image", "keywords", "error", "says"),
    [
        ([[1.0, 2.0]], {}, InvalidTypeError, "list"),
        (np.ones((9, 9), complex), {}, InvalidTypeError, "complex128"),
        (np.ones((9, 9), bool), {}, InvalidTypeError, "bool"),
        (np.ones((9, 9), object), {}, InvalidTypeError, "object"),
        (np.ones((9, 9), np.int64), {}, InvalidTypeError, "int64"),
        (np.ones((0, 9)), {}, InvalidValueError, r"\(0, 9\)"),
        (np.float64(1.0), {}, InvalidTypeError, "float64"),
        (np.ones((9, 9, 9, 9)), {}, InvalidValueError, "1 to 3 grid axes"),
        (np.ones((9, 9)), {"channel_axis": 2}, InvalidValueError, "channel_axis"),
        (np.ones((9, 9)), {"channel_axis": True}, InvalidTypeError, "channel_axis"),
        (np.ones(9), {"channel_axis": 0}, InvalidValueError, "1 to 3 grid axes"),
        (np.ones((9, 9)), {"mask": np.ones((9, 8), bool)}, InvalidValueError, r"mask .*\(9, 8\)"),
        (np.ones((9, 9)), {"mask": np.ones((9, 9))}, InvalidTypeError, "mask .*float64"),
        (np.ones((9, 9)), {"mask": [[True] * 9] * 9}, InvalidTypeError, "mask .*list"),
        (np.ones((9, 9)), {"per_channel": 1}, InvalidTypeError, "per_channel .*1"),
    ],
)
def test_what_is_refused_and_why(image: Any, keywords: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        estimate_sigma(image, **keywords)


def test_an_image_that_may_be_colour_is_questioned() -> None:
    with pytest.warns(UserWarning, match="channel_axis=-1"):
        estimate_sigma(noise((40, 40, 3)))


def test_no_other_warning_comes() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for shape in ((1,), (5,), (40,), (3, 3), (20, 30), (6, 7, 8)):
            for image in (np.zeros(shape), noise(shape), np.full(shape, np.nan)):
                assert estimate_sigma(image) >= 0


def test_a_little_more_than_white_noise_is_rather_texture() -> None:
    """Where sigma of shared noise is less than twice that of white noise the odds are 20 times lower."""
    channel = smooth((256, 256))[None] + 15 * blurred(noise((256, 256)), 0.6)[None]
    fine, coarse = (Patches.of(channel, None, 1.0, {1: side, 2: side}, 1_000) for side in (8, 16))
    any_white = shared_noise(fine, coarse, 1.0, None)
    assert any_white is not None
    near, far = (shared_noise(fine, coarse, any_white.sigma**2 / ratio, None) for ratio in (3.95, 4.05))
    assert near is not None
    assert far is not None
    assert far.evidence - near.evidence == pytest.approx(3, abs=0.1)
