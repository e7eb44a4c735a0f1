"""The grid of JPEG and its steps, found in the pixels, and the noise before it."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
import skimage.data
from nlmeans.benchmarks.studies.kinds import graphics
from PIL import Image

from nlmeans import estimate_sigma
from nlmeans.noise import stored
from nlmeans.noise.stored import stored_noise

Picture = np.ndarray


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def as_bytes(image: Picture) -> Picture:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def jpeg(values: Picture, quality: int) -> tuple[Picture, Picture]:
    """Stored and read again, and the steps of the luminance as the file has them, row by row."""
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "JPEG", quality=quality)
    file = Image.open(buffer)
    return np.asarray(file), np.reshape(file.quantization[0], (8, 8))


def scene(shape: tuple[int, int] = (256, 256)) -> Picture:
    """Soft light and a few edges, without noise."""
    y, x = np.indices(shape)
    return 120 + 40 * np.sin(x / 37) * np.cos(y / 53) + 25.0 * ((x // 61 + y // 83) % 2)


def found(image: Picture) -> stored.Stored | None:
    planes = np.moveaxis(image.reshape(*image.shape[:2], -1), -1, 0)
    return stored_noise(planes[:, None], None)


# The grid


@pytest.mark.parametrize("quality", [60, 80, 92])
def test_the_steps_are_those_of_the_file(quality: int) -> None:
    image, steps = jpeg(as_bytes(scene() + rng().normal(0, 12, (256, 256))), quality)
    coefficients = stored._coefficients(image[None], (0, 0))
    assert coefficients is not None
    assert stored._hinted(coefficients)
    seen = stored._steps(coefficients)
    known = np.isfinite(seen)
    assert np.count_nonzero(known) >= 20
    np.testing.assert_array_equal(seen[known], steps[known])


@pytest.mark.parametrize("corner", [(0, 0), (3, 5), (7, 1)])
def test_the_grid_is_found_wherever_it_begins(corner: tuple[int, int]) -> None:
    image, _ = jpeg(as_bytes(scene() + rng().normal(0, 8, (256, 256))), 75)
    there = found(image[corner[0] :, corner[1] :])
    assert there is not None
    assert there.white == pytest.approx(8, rel=0.15)


def test_other_pictures_have_no_grid() -> None:
    white = rng().normal(0, 8, (256, 256))
    pictures = [as_bytes(scene() + white), scene() + white, graphics.page(rng(), 255, 20, (256, 256))]
    pictures += [skimage.data.binary_blobs(256).astype(np.uint8) * 255, np.full((256, 256), 7, np.uint8)]
    pictures += [as_bytes(scene((60, 60)))]  # too few blocks
    assert [found(p) for p in pictures] == [None] * len(pictures)


# The noise before


@pytest.mark.parametrize("ratio", [0.25, 0.5, 1.0, 3.0])
def test_what_rounding_to_steps_does_to_noise_is_undone(ratio: float) -> None:
    step = 12.0
    values = step * np.rint(rng().normal(0, ratio * step, 2_000_000) / step)
    before = stored._before(np.array([np.mean(values**2)]), np.array([step]))
    assert before[0] == pytest.approx(ratio * step, rel=0.01)


@pytest.mark.parametrize(("sigma", "quality"), [(12, 60), (15, 70), (25, 50)])
def test_white_noise_behind_jpeg_is_that_before_it(sigma: float, quality: int) -> None:
    """Also where most of it is rounded to 0."""
    clean = skimage.data.moon()[:256, :256]
    image, _ = jpeg(as_bytes(clean + rng().normal(0, sigma, clean.shape)), quality)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "two estimates", UserWarning)
        assert estimate_sigma(image) == pytest.approx(sigma, rel=0.12)


def test_the_luminance_of_colours_has_the_noise() -> None:
    clean = np.stack([scene(), 0.8 * scene(), 0.6 * scene()], axis=-1)
    noise = rng().normal(0, 10, (256, 256, 1))  # of all channels alike
    image, _ = jpeg(as_bytes(clean + noise), 80)
    there = found(image)
    assert there is not None
    assert there.white == pytest.approx(10, rel=0.1)


def test_texture_behind_jpeg_is_uneven_and_noise_is_even() -> None:
    clean = skimage.data.gravel()[:256, :256]
    texture, noise = (
        found(jpeg(as_bytes(image), 85)[0]) for image in (clean, scene() + rng().normal(0, 8, (256, 256)))
    )
    assert texture is not None
    assert noise is not None
    assert texture.properties["uneven"] > 0.3 > noise.properties["uneven"] + 0.1
    assert texture.properties["slope"] > 0.3 > noise.properties["slope"] + 0.1
    assert noise.white
    assert not texture.white
