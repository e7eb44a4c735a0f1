"""``strength`` and ``blend``: more or less of what would be done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imageio.v3 import imread, imwrite
from nlmeans.cli import main

import nlmeans
from nlmeans import InvalidTypeError, InvalidValueError, Parameters, denoise, suggest

from ..conftest import allowed_error

OPTIONS: dict[str, Any] = {"sigma": 12.0, "channel_axis": -1}


def picture(dtype: Any = np.float32) -> np.ndarray:
    """Colours that differ little, with noise: 40 x 45 x 3 in 0 to 255."""
    light = (np.indices((40, 45)) // 8).sum(axis=0)[..., None] % 2 * 90.0 + 70
    image = light + np.array((10, 0, -10)) + np.random.default_rng(0).normal(0, 12, (40, 45, 3))
    return np.rint(image).clip(0, 255).astype(dtype) if np.dtype(dtype).kind == "u" else image.astype(dtype)


@pytest.mark.parametrize("given", [{}, {"k": 0.4}, {"h": 5.0}], ids=str)
@pytest.mark.parametrize("passes", [1, 2])
def test_a_strength_multiplies_that_of_every_part(passes: int, given: dict[str, float]) -> None:
    options = {**OPTIONS, "color": "luminance", "passes": passes, **given}
    plain, strong = (suggest(picture(), **options, strength=s) for s in (1.0, 1.5))
    parts = [(plain, strong), (plain.differences, strong.differences), (plain.second, strong.second)]
    for one, other in parts[: passes + 1]:
        assert one is not None
        assert other is not None
        for name in ("h", "k"):
            value = getattr(one, name)
            assert getattr(other, name) == (None if value is None else pytest.approx(1.5 * value))
    result = denoise(picture(), **options, strength=1.5)
    np.testing.assert_array_equal(result, denoise(picture(), channel_axis=-1, **strong.to_dict()))
    again = denoise(picture(), channel_axis=-1, strength=1.5, **plain.to_dict())
    assert np.abs(result - again).max() <= 1e-4
    assert np.abs(result - denoise(picture(), **options)).max() > 0.5


@pytest.mark.parametrize("options", [{"strength": 0.0}, {"blend": 1.0}], ids=str)
def test_nothing_of_it_returns_the_image(options: dict[str, float], backend: str) -> None:
    np.testing.assert_array_equal(denoise(picture(), **OPTIONS, **options, backend=backend), picture())


def test_the_image_is_mixed_back(backend: str) -> None:
    image = picture(np.float64)
    full = denoise(image, **OPTIONS, backend=backend)
    mixed = denoise(image, **OPTIONS, blend=0.25, backend=backend)
    assert np.abs(mixed - (0.75 * full + 0.25 * image)).max() <= allowed_error(image, backend)
    found = suggest(image, **OPTIONS, blend=0.25)
    assert Parameters.from_json(found.to_json()) == found
    again = denoise(image, channel_axis=-1, backend=backend, **found.to_dict())
    np.testing.assert_array_equal(again, mixed)


def test_mixtures_of_integers_are_rounded_once(backend: str) -> None:
    image = picture(np.uint8)
    exact = denoise(image.astype(np.float64), **OPTIONS, blend=0.3, backend="reference")
    got = denoise(image, **OPTIONS, blend=0.3, backend=backend)
    assert np.abs(got - exact).max() <= 0.5001


def test_what_is_no_strength_is_refused() -> None:
    for wrong, kind in (({"strength": -1.0}, InvalidValueError), ({"strength": "2"}, InvalidTypeError)):
        with pytest.raises(kind, match="strength must be"):
            denoise(picture(), **OPTIONS, **wrong)
    with pytest.raises(InvalidValueError, match=r"blend must be in \[0, 1\], got 1.5"):
        denoise(picture(), **OPTIONS, blend=1.5)
    with pytest.raises(InvalidValueError, match="weights are those of the filter alone: give blend=0"):
        nlmeans.weights(picture(), (3, 3), **OPTIONS, blend=0.5)
    with pytest.raises(InvalidValueError, match="differences is one filter"):
        denoise(
            picture(),
            **OPTIONS,
            differences={**{"patch_radius": 1, "search_radius": 1, "k": 1}, "blend": 0.5},
        )


def test_the_shell_has_them(tmp_path: Path) -> None:
    source, target = tmp_path / "noisy.png", tmp_path / "clean.png"
    imwrite(source, picture(np.uint8))
    words = [
        "denoise",
        str(source),
        "-o",
        str(target),
        "--sigma",
        "12",
        "--strength",
        "1.4",
        "--blend",
        "0.2",
    ]
    for more, options in (
        (["--passes", "2"], {"passes": 2}),
        (["--color", "joint", "--passes", "1", "--overwrite"], {"color": "joint", "passes": 1}),
    ):
        assert main([*words, *more]) == 0
        expected = denoise(picture(np.uint8), **OPTIONS, strength=1.4, blend=0.2, **options)
        np.testing.assert_array_equal(imread(target), expected)
    assert main([*words[:-1], "1.2"]) == 2


@pytest.mark.parametrize("method", ["nlmeans", "nlridge"])
def test_differences_of_colours_have_a_strength_of_their_own(method: str) -> None:
    options: Any = {"method": method, "color": "luminance", "channel_axis": -1, "sigma": 12.0}
    image = picture()

    def components(strength: Any) -> tuple[np.ndarray, np.ndarray]:
        change = (denoise(image, **options, strength=strength) - image).astype(np.float64)
        return change.sum(-1), np.stack([change[..., 0] - change[..., 2], change @ [1, -2, 1]])

    (light, other), (strong, weak) = components((1.5, 0.0)), components((1.5, 1.5))
    assert np.abs(light - strong).max() < 1e-3 * np.abs(strong).max()
    assert other.std() < 1e-3 * weak.std()
    assert np.abs(components((0.0, 1.0))[0]).max() < 1e-3, "no strength leaves the luminance alone"
    assert np.array_equal(denoise(image, **options, strength=(0.0, 0.0)), image)


def test_two_strengths_are_checked_and_one_of_them_is_for_all_where_there_are_no_differences() -> None:
    grey = picture()[..., 0]
    assert np.array_equal(
        denoise(grey, sigma=12.0, strength=(1.4, 9.0)), denoise(grey, sigma=12.0, strength=1.4)
    )
    for wrong in ((1.0, 2.0, 3.0), (1.0, -1.0), ()):
        with pytest.raises(InvalidValueError, match="strength"):
            denoise(grey, sigma=12.0, strength=wrong)  # type: ignore[arg-type]


# --- mistakes of units --------------------------------------------------------------------------


def unit_picture() -> np.ndarray:
    ramp = np.add.outer(np.linspace(0, 0.5, 40), np.linspace(0, 0.5, 40))
    return np.clip(ramp + np.random.default_rng(0).normal(0, 0.08, ramp.shape), 0, 1)


@pytest.mark.parametrize("sigma", [20.0, 20, (20.0, 18.0, 21.0)])
@pytest.mark.parametrize("method", ["nlmeans", "nlridge"])
def test_a_noise_level_beyond_the_image_is_doubted_once(sigma: Any, method: str) -> None:
    """Sigma of 255 given for an image from 0 to 1: the result was flat grey, without a word."""
    image = unit_picture()
    axis = -1 if isinstance(sigma, tuple) else None
    image = np.stack([image] * 3, axis=-1) if axis else image
    with pytest.warns(UserWarning, match="20.* times the data range") as told:
        denoise(image, sigma=sigma, method=method, channel_axis=axis)
    assert len(told) == 1


def test_a_noise_level_below_the_rounding_of_integers_is_doubted() -> None:
    image = np.rint(255 * unit_picture()).astype(np.uint8)
    with pytest.warns(UserWarning, match="rounding of integers") as told:
        denoise(image, sigma=0.08)
    assert len(told) == 1


def test_levels_that_may_be_right_are_not_doubted() -> None:
    image = unit_picture()
    bytes_ = np.rint(255 * image).astype(np.uint8)
    denoise(image, sigma=0.5)
    denoise(bytes_, sigma=120.0)
    denoise(bytes_, sigma=0.0, h=3.0)
    denoise(np.full((40, 40), 7, np.uint8), sigma=20.0)  # black frames and the like
    clean = np.repeat(np.arange(0, 200, 50, dtype=np.uint8), 400).reshape(40, 40)
    denoise(clean, **suggest(clean).to_dict())  # what was measured is no mistake


def test_patches_of_which_no_two_are_alike_are_doubted() -> None:
    with pytest.warns(UserWarning, match="patches of 201 samples hardly two") as told:
        denoise(unit_picture(), sigma=0.08, patch_radius=100)
    assert len(told) == 1
    denoise(unit_picture(), sigma=0.08, patch_radius=7)
