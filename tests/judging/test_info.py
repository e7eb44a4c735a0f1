"""What is said of a result without a clean image, against the clean image."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from nlmeans import Info, InvalidValueError, denoise
from nlmeans.choosing import Chosen, choose
from nlmeans.inputs import Inputs, check
from nlmeans.judging import info as info_module
from nlmeans.judging.removed import removed_is
from nlmeans.judging.trial import Trial, noise_of, part_of, regions, trial


def picture(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Smooth shapes with edges, from 0 to about 200."""
    rng = np.random.default_rng(seed)
    waves = ndimage.gaussian_filter(rng.normal(size=shape), 12) * 12
    result: np.ndarray = 100 + 60 * np.sign(waves) * (np.abs(waves) > 0.2) + 40 * waves
    return result


def noisy(clean: np.ndarray, sigma: float, seed: int = 1) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, sigma, clean.shape)
    return np.asarray(clean + noise, np.float32)


def trial_of(image: np.ndarray, run: Any, **settings: Any) -> Trial:
    """All of an image by a filter of one's own."""
    inputs = check(image, settings)  # type: ignore[arg-type]
    chosen = choose(inputs, settings)  # type: ignore[arg-type]
    part, own = part_of(inputs, chosen, regions(inputs)[0])
    return trial(part, own, noise_of(inputs, chosen), run, np.random.default_rng(5))


def box_mean(inputs: Inputs, _: Chosen) -> np.ndarray:
    result: np.ndarray = ndimage.uniform_filter(inputs.value, (1, 1, 3, 3), mode="wrap")
    return result


def test_a_linear_filter_has_the_response_and_the_error_of_its_weights() -> None:
    clean, sigma = picture((256, 256)), 10.0
    found = trial_of(noisy(clean, sigma), box_mean, sigma=sigma)
    # nine equal weights: divergence and sum of squares are 1/9 of each number
    assert found.mean(found.product) == pytest.approx(sigma**2 / 9, rel=0.03)
    assert found.mean(found.response_square) == pytest.approx(sigma**2 / 9, rel=0.02)
    true = float(((found.clean[0, 0] - clean) ** 2).mean())
    assert found.mean(found.risk) == pytest.approx(true, abs=3 * np.sqrt(2 / clean.size) * sigma**2)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((200, 220), {}),
        ((200, 220), {"passes": 2}),
        ((200, 220), {"method": "nlridge"}),
        ((150, 140, 3), {"channel_axis": -1, "color": "luminance"}),
        ((150, 140, 2), {"channel_axis": -1, "sigma": (12.0, 12.0)}),
        ((20, 60, 50), {"color": "joint"}),
        ((20_000,), {}),
    ],
)
def test_the_expected_error_is_the_error_within_its_own(
    shape: tuple[int, ...], options: dict[str, Any]
) -> None:
    clean = picture(shape)
    image = noisy(clean, 12)
    result, info = denoise(image, **{"sigma": 12.0, **options}, return_info=True)
    true = float(((result - clean) ** 2).mean())
    assert abs(info.mse - true) < 3 * info.mse_error
    assert info.mse_error < 1.1 * true
    assert info.psnr == pytest.approx(10 * np.log10(info.peak**2 / info.mse))
    assert info.sigma_error is None
    np.testing.assert_array_equal(result, denoise(image, **{"sigma": 12.0, **options}))


def test_sigma_is_within_its_error_and_part_of_that_of_the_result() -> None:
    clean = picture((300, 300))
    _, info = denoise(noisy(clean, 12), return_info=True)
    _, given = denoise(noisy(clean, 12), sigma=12.0, return_info=True)
    assert abs(info.noise["sigma"] - 12) < 3 * info.sigma_error < 1.5
    assert info.mse_error > given.mse_error


def test_averaged_pixels_are_those_of_the_variance() -> None:
    """Where the picture is flat the result varies as the mean of so many pixels."""
    flat = np.full((200, 200), 50.0)
    results = [denoise(noisy(flat, 5, seed), sigma=5.0) for seed in range(4)]
    _, info = denoise(noisy(flat, 5), sigma=5.0, return_info=True)
    assert info.averaged == pytest.approx(25 / float(np.mean([r.var() for r in results])), rel=0.25)


@pytest.mark.parametrize("method", ["nlmeans", "nlridge", "learned"])
def test_verdicts_follow_the_strength(method: str) -> None:
    clean = picture((200, 200)) + 15 * np.sin(np.arange(200) / 1.5)
    found = {
        s: denoise(noisy(clean, 15), sigma=15.0, strength=s, method=method, return_info=True)[1]
        for s in (0.4, 3.0)
    }
    assert (found[0.4].verdict, found[3.0].verdict) == ("noise is left", "structure")
    word = "k" if method == "nlmeans" else "strength"
    assert found[3.0].advice == f"structure was removed: lower {word}"
    assert denoise(noisy(clean, 15), sigma=15.0, return_info=True)[1].verdict == "noise"


def test_noise_that_neighbours_share_is_told() -> None:
    shared = 20 * ndimage.gaussian_filter(np.random.default_rng(2).normal(size=(200, 200)), 1)
    _, info = denoise(100 + shared, sigma=6.0, return_info=True)
    assert info.removed.autocorrelation > 0.5
    assert "they share" in info.advice


@pytest.mark.parametrize("method", ["nlridge", "learned"])
def test_methods_by_groups_take_no_shared_noise_for_structure(method: str) -> None:
    """They follow it, so that what they removed is not even: the estimate of the noise says what it is."""
    clean, rng = picture((200, 200)), np.random.default_rng(3)
    shared = ndimage.gaussian_filter(rng.normal(size=clean.shape), 0.7)

    def told(noise: np.ndarray, strength: float) -> tuple[str, str]:
        image = clean + 15 * noise / noise.std()
        info = denoise(image, sigma=15.0, method=method, strength=strength, return_info=True)[1]
        return info.verdict, info.advice

    verdict, advice = told(shared, 1.0)
    assert verdict == "noise"
    assert "share" in advice
    assert told(shared, 0.75)[0] == "noise"
    assert told(shared, 0.5)[0] == "noise is left"
    assert told(shared, 4.0)[0] == "structure"
    assert told(rng.normal(size=clean.shape), 4.0)[0] == "structure"


def test_whiteness_of_noise_and_of_blur() -> None:
    noise = np.random.default_rng(0).normal(0, 3, (1, 1, 256, 256))
    clean = picture((256, 256))[None, None]
    valid = [np.ones((1, 256, 256), bool)]
    white = removed_is([noise], [clean], valid, 3.0)
    assert white.strength == pytest.approx(1, abs=0.01)
    assert abs(white.autocorrelation) < 4 * white.tolerance
    assert abs(white.structure) < 0.12  # 1024 blocks: 1 / 32 by chance
    blurred = removed_is([clean - ndimage.gaussian_filter(clean, (0, 0, 2, 2)) + noise], [clean], valid, 3.0)
    assert blurred.autocorrelation > 0.2
    assert blurred.structure > 0.2


def test_info_is_json_and_words() -> None:
    image = np.clip(noisy(picture((90, 90, 3)), 12), 0, 255).astype(np.uint8)
    _, info = denoise(image, channel_axis=-1, return_info=True)
    assert isinstance(info, Info)
    read = json.loads(info.to_json())
    assert read == json.loads(json.dumps(info.to_dict()))
    assert read["parameters"] == json.loads(info.parameters.to_json())
    assert (read["peak"], read["passes"]) == (255.0, info.passes)
    assert read["noise"]["kind"] == "gaussian"
    lines = info.words()
    assert str(info).splitlines() == lines  # print shows no wall of fields
    assert lines[0].startswith("noise: gaussian, sigma 1")
    assert f"PSNR {info.psnr:.1f} +- " in lines[2]
    assert lines[-1] == info.advice


def test_it_costs_nothing_where_it_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> Info:
        raise AssertionError

    monkeypatch.setattr(info_module, "info_of", never)
    denoise(picture((40, 40)))
    with pytest.raises(AssertionError):
        denoise(picture((40, 40)), return_info=True)


def test_with_a_model_of_the_noise_errors_are_in_its_units() -> None:
    counts = np.random.default_rng(4).poisson(picture((120, 120)).clip(8) / 4).astype(np.float32)
    result, info = denoise(counts, noise="poisson", return_info=True)
    np.testing.assert_array_equal(result, denoise(counts, noise="poisson"))
    assert info.noise["kind"] == "poisson"
    assert info.noise["gain"] == pytest.approx(1, rel=0.2)
    assert info.psnr is None
    assert info.averaged > 2
    assert info.words()[0].startswith("noise: poisson")
    assert denoise(counts, **info.parameters.to_dict()) == pytest.approx(result)


def test_batches_have_one_for_each_picture() -> None:
    images = np.stack([noisy(picture((60, 60)), s) for s in (4, 16)])
    results, infos = denoise(images, batch_axis=0, return_info=True)
    assert results.shape == images.shape
    assert 2 * infos[0].noise["sigma"] < infos[1].noise["sigma"]


def test_an_image_of_pillow_comes_back_as_one() -> None:
    from PIL import Image

    image = Image.fromarray(np.clip(noisy(picture((50, 50)), 9), 0, 255).astype(np.uint8))
    result, info = denoise(image, return_info=True)
    assert isinstance(result, Image.Image)
    assert info.peak == 255


def test_a_dask_array_is_refused() -> None:
    da = pytest.importorskip("dask.array")
    with pytest.raises(InvalidValueError, match="return_info is not possible with a Dask array"):
        denoise(da.zeros((40, 40), chunks=20), return_info=True)


BAD: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
    "one pixel": (np.ones((1, 1)), {}),
    "tiny": (np.arange(9.0).reshape(3, 3), {}),
    "constant": (np.full((40, 40), 7, np.uint8), {}),
    "two values": ((np.random.default_rng(3).random((40, 40)) < 0.3).astype(np.uint8), {}),
    "saturated": (np.minimum(noisy(np.full((64, 64), 250.0), 9), 255).astype(np.uint8), {}),
    "nothing valid": (np.full((20, 20), np.nan), {"nan": "keep"}),
    "half NaN": (np.where(np.arange(64) % 2, np.nan, noisy(np.ones((64, 64)), 1)), {"nan": "keep"}),
    "half infinite": (np.where(np.arange(64) % 2, np.inf, noisy(np.ones((64, 64)), 1)), {"nan": "keep"}),
    "h alone": (noisy(picture((40, 40)), 5), {"h": 3.0}),
    "no strength": (noisy(picture((40, 40)), 5), {"h": 0.0}),
    "sigma 0": (noisy(picture((40, 40)), 5), {"sigma": 0.0, "h": 3.0}),
    "a map": (noisy(picture((64, 64)), 5), {"sigma": np.full((64, 64), 5.0)}),
    "a guide": (noisy(picture((64, 64)), 5), {"guide": noisy(picture((64, 64)), 3, 2), "guide_sigma": 3.0}),
    "huge": (1e30 * noisy(picture((64, 64)), 5).astype(np.float64), {}),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", BAD)
def test_bad_input_has_an_info_that_json_takes(name: str) -> None:
    image, options = BAD[name]
    result, info = denoise(image, **options, return_info=True)
    assert result.shape == image.shape
    assert replace(info) == info
    json.loads(info.to_json())
    assert info.words()


@pytest.mark.parametrize("unit", [1e-65, 1e65])
def test_errors_are_told_at_any_scale_whose_squares_are_numbers(unit: float) -> None:
    image = np.float64(noisy(picture((96, 96)), 10))
    (_, one), (_, other) = (denoise(scale * image, return_info=True) for scale in (1.0, unit))
    assert other.noise["sigma"] / unit == pytest.approx(one.noise["sigma"], rel=1e-3)
    assert other.psnr == pytest.approx(one.psnr, abs=0.05)


@pytest.mark.parametrize("unit", [1e-200, 1e160])
def test_errors_that_are_no_numbers_are_refused(unit: float) -> None:
    image = unit * np.float64(noisy(picture((96, 96)), 10))
    assert np.isfinite(denoise(image)).all()
    with pytest.raises(InvalidValueError, match="cannot be told in float64: divide the image"):
        denoise(image, return_info=True)
