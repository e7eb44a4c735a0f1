"""Other programs' parameters: against definitions by loops, and the programs where they are installed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from nlmeans import InvalidTypeError, InvalidValueError, denoise
from nlmeans.compat import Translation, translate
from nlmeans.compat.translation import TOOLS


def picture(shape: tuple[int, ...] = (40, 44)) -> np.ndarray:
    y = np.arange(shape[0], dtype=float)[:, None] + np.zeros(shape[1])
    clean = 100 + 30 * np.sin(y / 5) + 40 * (np.arange(shape[1]) > 20)
    return np.rint(clean + np.random.default_rng(0).normal(0, 10, shape[:2])).clip(0, 255)


def mean_by_loops(image: np.ndarray, patch: int, search: int, exponent: Any) -> np.ndarray:
    """Averages by weights exp(-exponent(squared differences of patches)), the centre's 1; inner pixels."""
    r, big = patch // 2, search // 2
    edge = r + big
    result = image.copy()
    for y in range(edge, image.shape[0] - edge):
        for x in range(edge, image.shape[1] - edge):
            own = image[y - r : y + r + 1, x - r : x + r + 1]
            total = weight = 0.0
            for b in range(y - big, y + big + 1):
                for a in range(x - big, x + big + 1):
                    other = image[b - r : b + r + 1, a - r : a + r + 1]
                    w = math.exp(-exponent((own - other) ** 2))
                    total, weight = total + w * image[b, a], weight + w
            result[y, x] = total / weight
    return result[edge:-edge, edge:-edge]


def test_ffmpeg_sums_over_the_patch() -> None:
    image = picture((26, 28))
    ours = denoise(image, **translate("ffmpeg", s=4, p=5, r=9).settings)
    expected = mean_by_loops(image, 5, 9, lambda square: square.sum() / (10 * 4) ** 2)
    np.testing.assert_allclose(ours[6:-6, 6:-6], expected, atol=1e-3)


def test_opencv_averages_over_the_patch() -> None:
    image = picture((26, 28))
    ours = denoise(image, **translate("opencv", h=12, templateWindowSize=5, searchWindowSize=9).settings)
    expected = mean_by_loops(image, 5, 9, lambda square: square.mean() / 12**2)
    np.testing.assert_allclose(ours[6:-6, 6:-6], expected, atol=1e-3)


def test_opencv_itself() -> None:
    cv2 = pytest.importorskip("cv2")
    image = picture((80, 90)).astype(np.uint8)
    theirs = cv2.fastNlMeansDenoising(image, None, 15.0, 5, 15).astype(float)
    found = translate("opencv", h=15, templateWindowSize=5, searchWindowSize=15)
    ours = denoise(image, **found.settings).astype(float)
    inner = (slice(8, -8), slice(8, -8))
    assert float(np.sqrt(((ours - theirs)[inner] ** 2).mean())) < 0.8
    assert float(np.sqrt(((image - theirs)[inner] ** 2).mean())) > 5


@pytest.mark.parametrize(("fast", "least"), [(True, 0.25), (False, 0.04)])
def test_skimage_itself(fast: bool, least: float) -> None:
    theirs_by = pytest.importorskip("skimage.restoration").denoise_nl_means
    image = picture((80, 90)) / 255
    options = {"patch_size": 5, "patch_distance": 6, "h": 0.03, "sigma": 0.04, "fast_mode": fast}
    theirs = theirs_by(image, **options)
    ours = denoise(image, **translate("skimage", **options).settings)
    inner = (slice(8, -8), slice(8, -8))
    removed = float(np.sqrt(((image - theirs)[inner] ** 2).mean()))
    assert float(np.sqrt(((ours - theirs)[inner] ** 2).mean())) < least * removed


def test_fast_mode_of_skimage_has_a_larger_strength() -> None:
    slow, fast, deep = (
        translate("skimage", patch_size=3, h=0.1, fast_mode=f, axes=a).settings["h"]
        for f, a in ((False, 2), (True, 2), (True, 3))
    )
    assert (slow, fast, deep) == pytest.approx((0.1, 0.15, 0.1 * 1.5**1.5))


def test_dipy_ties_the_strength_to_sigma_and_swaps_radii() -> None:
    given = {"sigma": 8.0, "patch_radius": 1, "block_radius": 3}
    classic = translate("dipy", **given, rician=False)
    blockwise = translate("dipy", **given, method="blockwise")
    assert [classic.settings[n] for n in ("h", "patch_radius", "search_radius")] == [8.4, 1, 3]
    assert [blockwise.settings[n] for n in ("h", "patch_radius", "search_radius")] == [8.0, 3, 1]
    assert any('"kind": "rician"' in note for note in blockwise.notes)


def test_dipy_itself() -> None:
    theirs_by = pytest.importorskip("dipy.denoise.nlmeans").nlmeans
    rng = np.random.default_rng(0)
    volume = 1000 + np.add.outer(np.arange(20.0), np.add.outer(np.arange(24.0), np.arange(24.0)))
    volume += rng.normal(0, 8, volume.shape)
    given = {"sigma": 8.0, "patch_radius": 1, "block_radius": 3, "rician": False}
    theirs = theirs_by(volume, **given, method="classic")
    ours = denoise(volume, **translate("dipy", **given).settings)
    inner = (slice(5, -5),) * 3
    removed = float((volume - theirs)[inner].std())
    assert float(np.sqrt(((ours - theirs)[inner] ** 2).mean())) < 0.25 * removed


def test_strengths_go_with_full_scale() -> None:
    for tool in ("opencv", "knlmeanscl", "ffmpeg"):
        plain, deep = (translate(tool, full_scale=f).settings["h"] for f in (None, 65535))
        assert deep == pytest.approx(257 * plain)
    assert translate("skimage", full_scale=255, h=0.1, fast_mode=False).settings["h"] == pytest.approx(25.5)


@pytest.mark.parametrize("tool", TOOLS)
def test_every_tool_has_defaults_that_denoise_takes(tool: str) -> None:
    found = translate(tool)
    assert isinstance(found, Translation)
    assert found.notes
    assert set(found.formulas) <= set(found.settings)
    axis = found.settings.get("channel_axis")
    shape = {"opencv-colored": (12, 12, 3), "dipy": (6, 12, 12)}.get(tool, (12, 12))
    image = np.random.default_rng(0).normal(100, 3, shape)
    assert denoise(image, **found.settings).shape == shape, axis
    scope: dict[str, Any] = {"nlmeans": __import__("nlmeans"), "image": image}
    np.testing.assert_allclose(eval(found.call(), scope), denoise(image, **found.settings), rtol=1e-5)


def test_what_a_tool_does_not_have_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="tool must be one of opencv, "):
        translate("gimp")
    with pytest.raises(InvalidValueError, match="ffmpeg has no parameter 'h'; it has s, p, r"):
        translate("ffmpeg", h=3)
    with pytest.raises(InvalidTypeError, match="s must be a number"):
        translate("ffmpeg", s="strong")
    with pytest.raises(InvalidValueError, match="full_scale is > 0"):
        translate("dipy", full_scale=255)
