"""The estimate and the one call on kinds of input that people have: text, drawings, cameras, files."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
import skimage.data
from nlmeans.benchmarks.studies.kinds import graphics
from nlmeans.benchmarks.studies.kinds.camera import Camera, gaussian, jpeg
from PIL import Image

from nlmeans import denoise, estimate_sigma, suggest
from nlmeans.noise.estimate import Found, chosen_of

Picture = np.ndarray


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def psnr(clean: Picture, result: Picture) -> float:
    return float(10 * np.log10(255**2 / max(np.mean((result.astype(float) - clean) ** 2), 1e-9)))


def as_bytes(image: Picture) -> Picture:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def quiet(call, *arguments, **options):
    """Without the warning that two estimates disagree."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "two estimates", UserWarning)
        return call(*arguments, **options)


# Scans


@pytest.mark.parametrize("paper", [208, 230, 243, 255])
@pytest.mark.parametrize("sigma", [6.0, 12.0, 18.0])
def test_a_noisy_page_keeps_its_letters(paper: int, sigma: float) -> None:
    page = graphics.page(rng(int(sigma)), paper, 20, (256, 256))
    noisy = as_bytes(page + rng(paper).normal(0, sigma, page.shape))
    assert estimate_sigma(noisy) == pytest.approx(sigma, rel=0.2)
    assert psnr(page, denoise(noisy)) > psnr(page, noisy)


# What holds no noise


@pytest.mark.parametrize("kind", [k for k in graphics.KINDS if k != "icon"])
@pytest.mark.parametrize("seed", range(4))
def test_a_clean_drawing_is_left_as_it_is(kind: str, seed: int) -> None:
    drawing = graphics.KINDS[kind](rng(seed))
    assert estimate_sigma(drawing) <= 0.01 * 255
    assert psnr(drawing, denoise(drawing)) > 45


@pytest.mark.parametrize("side", [12, 16, 24])
def test_an_icon_has_no_noise(side: int) -> None:
    y, x = np.indices((side, side))
    icon = np.full((side, side, 3), 255, np.uint8)
    icon[(y - side // 2) ** 2 + (x - side // 2) ** 2 < side**2 // 9] = (200, 30, 60)
    icon[abs(y - x) < 2] = (0, 90, 180)
    assert estimate_sigma(icon, channel_axis=-1) == 0


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        *((name, 45) for name in ("camera", "clock", "brick", "page", "text", "gravel", "grass")),
        ("moon", 43),  # it holds even grain of 1.6, and coins of 3
        ("coins", 42),
    ],
)
def test_a_clean_photograph_is_left_as_it_is(name: str, kept: float) -> None:
    clean = getattr(skimage.data, name)()[:256, :256]
    assert psnr(clean, quiet(denoise, clean)) > kept


def test_what_repeats_is_no_noise() -> None:
    y, x = np.mgrid[-128:128, -128:128]
    star = ((np.sin(12 * np.arctan2(y, x)) > 0) ^ (np.hypot(y, x) % 40 > 20)) * 200 + 30
    star = np.asarray(Image.fromarray(star.astype(np.uint8)).resize((128, 128), Image.Resampling.LANCZOS))
    assert psnr(star, quiet(denoise, star)) > 45


# Noise behind JPEG, and from cameras


@pytest.mark.parametrize(("sigma", "quality"), [(10, 80), (15, 70), (25, 50)])
def test_noise_is_found_behind_the_quantisation_of_jpeg(sigma: float, quality: int) -> None:
    clean = skimage.data.camera()[:256, :256]
    noisy = jpeg(as_bytes(clean + rng().normal(0, sigma, clean.shape)), quality)
    truth = np.std(noisy - clean.astype(float))
    assert quiet(estimate_sigma, noisy) == pytest.approx(truth, rel=0.35)
    best = max(psnr(clean, denoise(noisy, sigma=truth * f)) for f in (0.7, 1.0, 1.4))
    assert psnr(clean, quiet(denoise, noisy)) > best - 1


def camera(**changes: float) -> Camera:
    usual = {
        "photons": 150.0,
        "reading": 2.0,
        "grain": 0.0,
        "grain_size": 1.0,
        "bayer": True,
        "contrast": 0.3,
    }
    later = {"smoothing": 0.0, "sharpening": 0.4, "scale": 1.0, "quality": 85}
    return Camera(**{**usual, **later, **changes})


@pytest.mark.parametrize(
    "made",
    [
        camera(),
        camera(scale=0.5),
        camera(scale=2.0, quality=75),
        camera(photons=np.inf, grain=20, bayer=False),
        camera(photons=np.inf, grain=20, bayer=False, scale=0.5),
    ],
)
def test_the_noise_of_a_camera_is_found_and_mostly_removed(made: Camera) -> None:
    light = (skimage.data.astronaut()[:256, :256] / 255) ** 2.2
    clean, noisy = (made.picture(light, r) for r in (None, rng()))
    truth = np.sqrt(np.mean((noisy.astype(float) - clean) ** 2))
    with pytest.warns(UserWarning, match="two estimates"):
        assert 0.5 < estimate_sigma(noisy, channel_axis=-1) / truth < 1.5
    assert psnr(clean, quiet(denoise, noisy, channel_axis=-1)) > psnr(clean, noisy) + 1


def test_the_strength_grows_where_neighbours_share_their_noise() -> None:
    white = rng().normal(0, 10, (256, 256))
    shared = gaussian(white[..., None], 1.2)[..., 0]
    shared *= 10 / shared.std()
    image = 100 + 0.2 * np.arange(256) + shared
    found = quiet(suggest, image)
    assert found.k > 1.5 * suggest(image, sigma=found.sigma).k
    assert suggest(100 + white).k == suggest(100 + white, sigma=10.0).k
    np.testing.assert_array_equal(quiet(denoise, image), denoise(image, **found.to_dict()))


def test_what_would_be_removed_most_of_decides() -> None:
    """A colour difference with a little shared noise does not make the luminance's texture noise."""
    found = [Found(0.6, 11.3, -6.2, span=100.0), Found(0.45, 2.0, -1.0), Found(0.42, 1.2, 1.0)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert chosen_of(found).sigma == (0.6, 0.45, 1.2)
        assert chosen_of([replace(found[0], evidence=3.0), *found[1:]]).sigma == (11.3, 2.0, 1.2)


def test_a_clean_photograph_from_jpeg_is_kept() -> None:
    picture = skimage.data.chelsea()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert psnr(picture, denoise(picture, channel_axis=-1)) > 45


def test_a_clean_photograph_in_colour_has_no_bands() -> None:
    """Its differences, stored at half the resolution, have some that cannot be seen."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "two estimates", UserWarning)
        suggest(skimage.data.chelsea(), channel_axis=-1)


def test_weak_noise_that_neighbours_share_is_told_from_even_texture() -> None:
    """Blurred noise of 3 on bricks: its properties at half the size say that it is noise."""
    noise = np.random.default_rng(1).normal(0, 1, (256, 256))
    for axis in (0, 1):
        noise = (np.roll(noise, 1, axis) + 2 * noise + np.roll(noise, -1, axis)) / 4
    noise *= 3 / noise.std()
    for top, left in ((0, 0), (0, 256), (256, 0), (256, 256)):
        noisy = skimage.data.brick()[top : top + 256, left : left + 256] + noise
        with pytest.warns(UserWarning, match="two estimates"):
            assert estimate_sigma(noisy) == pytest.approx(3, rel=0.25)  # 1.7 to 2.1 without them


def test_what_harms_more_needs_more_evidence() -> None:
    weak, strong = (Found(0.5, sigma, 0.8, span=250.0) for sigma in (4.0, 20.0))
    with pytest.warns(UserWarning, match="two estimates"):
        assert [chosen_of([found]).sigma[0] for found in (weak, strong)] == [4.0, 0.02 * 250]
    with pytest.warns(UserWarning, match="two estimates"):
        assert chosen_of([replace(strong, evidence=0.1)]).sigma == (0.02 * 250,)
    assert chosen_of([replace(strong, evidence=-0.8)]).sigma == (0.5,)
    with pytest.warns(UserWarning, match="two estimates"):
        assert chosen_of([replace(strong, evidence=-0.3)]).sigma == (0.007 * 250,)
    with pytest.warns(UserWarning, match="two estimates"):
        assert chosen_of([replace(strong, evidence=1.45)]).sigma[0] == pytest.approx(math.sqrt(5 * 20))
    with pytest.warns(UserWarning, match="two estimates"):
        assert chosen_of([replace(strong, evidence=1.45, stored=True)]).sigma == (20.0,)
    with pytest.warns(UserWarning, match="two estimates"):
        assert chosen_of([replace(strong, evidence=2.0)]).sigma == (20.0,)


def test_between_two_near_estimates_is_their_middle() -> None:
    """Behind JPEG where odds are about even; of far ones only so much above the smaller."""
    near, far = (Found(5.0, sigma, 0.3, span=200.0, stored=True) for sigma in (10.0, 60.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert chosen_of([near]).sigma[0] == pytest.approx(math.sqrt(5 * 10))
        assert chosen_of([far]).sigma[0] == pytest.approx(math.sqrt(5 * 15))
        assert chosen_of([replace(near, evidence=-0.1)]).sigma == (5.0,)
        assert chosen_of([replace(near, stored=False)]).sigma == (5.0,)


def test_k_follows_odds_and_level() -> None:
    """Of noise that neighbours share; up to three times that of white noise, and never where it is white."""
    some = Found(1.0, 10.0, 3.0, freedom=0.4, span=200.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        usual, doubtful, sure, strong, nearly_white = (
            chosen_of([replace(some, **other)]).stretch[0]
            for other in (
                {},
                {"evidence": 2.0},
                {"evidence": 4.0},
                {"shared": 20.0},
                {"evidence": 4.0, "freedom": 0.8, "shared": 20.0},
            )
        )
        assert usual == pytest.approx(1.25)
        assert doubtful == pytest.approx(1.25 * math.exp(-0.2))
        assert sure == pytest.approx(1.25 * math.exp(0.2))
        assert strong == pytest.approx(1.25 * 2**0.2)
        assert nearly_white == pytest.approx(1.16 * 2**0.1)
        assert chosen_of([replace(some, evidence=9.0, freedom=0.15)]).stretch == (3.0,)
        assert chosen_of([replace(some, evidence=9.0, freedom=1.0)]).stretch == (1.0,)
