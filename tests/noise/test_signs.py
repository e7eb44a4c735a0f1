"""Noise that is no white noise of one level: photons, copied pixels, impulses, banding, and bad input."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import skimage.data

from nlmeans import denoise, denoise_frames, estimate_sigma, suggest
from nlmeans.noise import signs
from nlmeans.noise.curve import Curve, curves_of_photons, map_of

Picture = np.ndarray


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def psnr(clean: Picture, result: Picture, peak: float = 255.0) -> float:
    return float(10 * np.log10(peak**2 / np.mean((result.astype(float) - clean) ** 2)))


def quiet(call, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return call(*arguments, **options)


# Photons


@pytest.mark.parametrize("peak", [10, 30, 100])
def test_photons_are_denoised_by_a_map_of_sigma(peak: int) -> None:
    clean = skimage.data.camera()[:256, :256] / 255 * peak
    counted = rng().poisson(clean).astype(np.float32)
    with pytest.warns(UserWarning, match="grows with brightness"):
        sigma = estimate_sigma(counted)
    assert sigma == pytest.approx(np.std(counted - clean), rel=0.1)
    gain = psnr(clean, quiet(denoise, counted), peak) - psnr(clean, counted, peak)
    assert gain > 8  # one sigma for all brightnesses: 0.2 to 0.4
    chosen = quiet(suggest, counted)
    assert chosen.sigma is None
    np.testing.assert_array_equal(quiet(denoise, counted), quiet(denoise, counted, **chosen.to_dict()))


@pytest.mark.parametrize("name", ["astronaut", "coffee"])
@pytest.mark.parametrize("peak", [30, 100])
def test_photons_of_colours_are_denoised_as_those_of_grey_pictures(name: str, peak: int) -> None:
    clean = getattr(skimage.data, name)()[100:356, 100:356]
    counted = rng().poisson(clean / 255 * peak) * (255 / peak)
    counted = np.clip(np.rint(counted), 0, 255).astype(np.uint8)
    with pytest.warns(UserWarning, match="grows with brightness"):
        result = denoise(counted, channel_axis=-1)
    known = quiet(denoise, counted, channel_axis=-1, noise={"kind": "poisson", "gain": 255 / peak})
    assert psnr(clean, result) > psnr(clean, known) - 0.3
    assert psnr(clean, result) > psnr(clean, counted) + 7  # one sigma, that of the dark parts: 0.1 to 3


def test_the_curves_of_channels_are_found_and_must_be_alike() -> None:
    ramp = np.tile(np.linspace(20, 220, 300), (200, 1))

    def counted(*gains: float) -> Picture:
        return np.stack([g * rng(n).poisson(ramp / g) for n, g in enumerate(gains)])[:, None]

    curves = curves_of_photons(counted(2.5, 2.5, 2.5), None)
    assert [c.slope for c in curves] == pytest.approx([2.5] * 3, rel=0.1)
    assert curves_of_photons(counted(2.5, 2.5, 5.0), None) == ()
    level = ramp + rng().normal(0, 10, (3, 1, *ramp.shape))
    assert curves_of_photons(level, None) == ()


def test_what_lacks_frequencies_is_not_taken_for_photons() -> None:
    """As demosaiced noise and many textures do; its variance over brightness is that of photons."""
    side = 256
    light, noise = np.tile(np.linspace(20, 220, side), (side, 1)), rng(3).normal(0, 1, (side, side))
    high = np.abs(np.fft.fftfreq(side)) > 0.25
    lacking = np.fft.ifft2(np.fft.fft2(noise) * ~np.outer(high, high)).real
    assert curves_of_photons((light + lacking * np.sqrt(2 * light))[None, None], None) == ()
    (curve,) = curves_of_photons((light + noise * np.sqrt(2 * light))[None, None], None)
    assert curve.slope == pytest.approx(2, rel=0.1)


def test_photons_of_nearly_one_light_need_no_curve() -> None:
    """Below 1.4 times the sigma in the brightest parts: a map would win next to nothing."""
    y, x = np.mgrid[:384, :384] / 768

    def counted(dark: float, bright: float) -> tuple[Curve, ...]:
        counts = rng(5).poisson(dark + (bright - dark) * (y + x)).astype(np.float64)
        return curves_of_photons(counts[None, None], None)

    assert len(counted(40, 180)) == 1
    assert counted(100, 180) == ()


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee", "rocket"])
def test_a_clean_photograph_in_colour_is_kept(name: str) -> None:
    clean = getattr(skimage.data, name)()
    assert psnr(clean, quiet(denoise, clean, channel_axis=-1)) > 45


def test_the_map_follows_the_local_mean_of_the_valid_pixels() -> None:
    curve = Curve(2.0, 5.0, (0.0, 100.0))
    image = rng().uniform(0, 100, (1, 20, 30))
    valid = rng(1).random(image.shape) < 0.7
    image[~valid] = np.nan
    found = map_of([curve, curve], np.stack([image, image]), valid)
    for y, x in ((0, 0), (10, 12), (19, 29), (3, 28)):
        box = image[0, max(0, y - 4) : y + 5, max(0, x - 4) : x + 5]
        assert found[0, y, x] == pytest.approx(np.sqrt(2 * np.nanmean(box) + 5))


@pytest.mark.parametrize("sigma", [5.0, 20.0])
def test_white_noise_is_not_taken_for_photons(sigma: float) -> None:
    for name in ("camera", "coins", "brick", "page", "moon", "clock"):
        clean = getattr(skimage.data, name)()[:256, :256]
        noisy = clean + rng().normal(0, sigma, clean.shape)
        with warnings.catch_warnings():
            warnings.filterwarnings("error", ".*grows with brightness")
            assert suggest(noisy).sigma is not None


# What the filter is not made for


@pytest.mark.parametrize("times", [(2, 2), (3, 3), (1, 2)])
def test_copied_pixels_are_named_and_their_sigma_is_found(times: tuple[int, int]) -> None:
    clean = skimage.data.camera()[:128, :128]
    small = np.clip(clean + rng().normal(0, 20, clean.shape), 0, 255).astype(np.uint8)
    with pytest.warns(UserWarning, match="neighbouring pixels are copies"):
        assert estimate_sigma(np.kron(small, np.ones(times, np.uint8))) == pytest.approx(20, rel=0.1)


@pytest.mark.parametrize("part", [0.02, 0.1, 0.2])
def test_impulses_are_named(part: float) -> None:
    noisy = skimage.data.camera()[200:400, 200:400].copy()
    hit = rng().random(noisy.shape) < part
    noisy[hit] = rng().choice([0, 255], int(hit.sum()))
    with pytest.warns(UserWarning, match='impulse noise .* impulses="replace"'):
        estimate_sigma(noisy)


@pytest.mark.parametrize("words", ["rows", "columns"])
def test_banding_is_named(words: str) -> None:
    clean = skimage.data.camera()[:200, :200]
    rows = clean + rng().normal(0, 5, clean.shape) + rng(1).normal(0, 6, (200, 1))
    with pytest.warns(UserWarning, match=f"^{words} seem to be brighter"):
        estimate_sigma(rows if words == "rows" else rows.T)


def test_white_noise_and_clean_pictures_have_no_such_sign() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for words in ("neighbouring pixels", "this looks like", "rows", "columns", "about"):
            warnings.filterwarnings("error", words)
        for name in ("camera", "coins", "brick", "page", "text", "moon", "grass", "gravel", "clock"):
            clean = getattr(skimage.data, name)()[:256, :256]
            for sigma in (0, 10, 40):
                estimate_sigma(np.clip(clean + rng().normal(0, sigma, clean.shape), 0, 255).astype(np.uint8))


# Bad input


def collage() -> Picture:
    half = skimage.data.camera()[:200, :200].astype(float)
    half[:, 100:] += rng().normal(0, 15, (200, 100))
    return half


@pytest.mark.parametrize(
    "image",
    [
        skimage.data.camera()[100:104, 100:105],
        np.full((90, 90), 128.0),
        np.where(rng().random((128, 128)) < 0.5, 0, 255).astype(np.uint8).repeat(4, 0).repeat(4, 1),
        np.clip(3.0 * skimage.data.camera()[:200, :200], 0, 255).astype(np.uint8),
        collage(),
    ],
    ids=["smaller than a patch", "constant", "two values", "saturated", "collage"],
)
def test_what_cannot_be_estimated_is_nearly_unchanged(image: Picture) -> None:
    result = quiet(denoise, image)
    assert np.sqrt(np.mean((result.astype(float) - image) ** 2)) < 0.01 * 255


@pytest.mark.parametrize("sigmas", [(0, 20), (5, 30)])
def test_a_collage_of_a_quiet_and_a_noisy_half_is_warned_of(sigmas: tuple[float, float]) -> None:
    picture = skimage.data.astronaut()[:256, :256].astype(float)
    picture[:, :128] += rng().normal(0, sigmas[0], (256, 128, 1)).repeat(3, 2)
    picture[:, 128:] += rng(1).normal(0, sigmas[1], (256, 128, 3))
    with pytest.warns(UserWarning, match=rf"% of the image has noise of {sigmas[1] / 10:.0f}\d"):
        estimate_sigma(picture[..., 0])
    with pytest.warns(UserWarning, match="denoise the parts apart"):
        estimate_sigma(picture, channel_axis=-1)


def test_a_frame_with_black_bars_has_the_noise_of_its_picture() -> None:
    frame = np.zeros((240, 240))
    frame[60:180] = skimage.data.camera()[60:180, :240] + rng().normal(0, 12, (120, 240))
    assert estimate_sigma(frame) == pytest.approx(12, rel=0.08)


def test_the_frames_of_a_film_of_photons_share_one_sigma() -> None:
    clean = skimage.data.camera()[:96, :96] / 255 * 30
    film = [rng(seed).poisson(clean).astype(np.float32) for seed in range(3)]
    results = quiet(list, denoise_frames(film))
    assert all(psnr(clean, r, 30) > psnr(clean, f, 30) for r, f in zip(results, film, strict=True))


def test_rows_that_differ_from_their_neighbours_all_alike_are_no_bands() -> None:
    """A regular pattern: its correlation cannot be computed, and must not be warned of."""
    y, x = np.mgrid[:60, :60]
    for period in (3, 5):
        pattern = ((x + y) % period == 0).astype(float)
        assert signs._bands(pattern) == 0
        assert signs._lag_one(np.full(9, 0.3)) == 0
    alternating = np.random.default_rng(0).normal(size=200)
    assert signs._lag_one(alternating) == pytest.approx(np.corrcoef(alternating[1:], alternating[:-1])[0, 1])
