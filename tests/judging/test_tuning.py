"""The strength of least expected error, against that of least error."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from nlmeans import InvalidValueError, denoise, suggest
from nlmeans.inputs import check
from nlmeans.judging import sigma, tuning


def smooth(shape: tuple[int, ...] = (220, 220), seed: int = 0) -> np.ndarray:
    """A picture unlike photographs: it holds nothing finer than some thirty pixels."""
    rng = np.random.default_rng(seed)
    result: np.ndarray = 100 + 900 * ndimage.gaussian_filter(rng.normal(size=shape), 10)
    return result


def noisy(clean: np.ndarray, sigma: float = 10) -> np.ndarray:
    return np.asarray(clean + np.random.default_rng(9).normal(0, sigma, clean.shape), np.float32)


def error(image: np.ndarray, clean: np.ndarray, **options: Any) -> float:
    return float(((denoise(image, **options) - clean) ** 2).mean())


@pytest.mark.parametrize("method", ["nlmeans", "nlridge"])
def test_it_is_near_the_best_of_a_grid(method: str) -> None:
    clean = smooth()
    image = noisy(clean)
    given: dict[str, Any] = {"sigma": 10.0, "method": method}
    grid = [error(image, clean, **given, strength=s) for s in (0.5, 0.7, 1, 1.4, 2, 2.8)]
    tuned = error(image, clean, **suggest(image, by="sure", **given).to_dict())
    assert tuned < 1.12 * min(grid)
    assert tuned <= grid[2]


def test_it_finds_more_than_the_table_where_that_is_wrong() -> None:
    clean = smooth()
    image = noisy(clean)
    assert suggest(image, by="sure", sigma=10.0).k > 1.15 * suggest(image, sigma=10.0).k
    spotted = clean + 60 * (np.random.default_rng(1).random(clean.shape) < 0.2)
    assert suggest(noisy(spotted), by="sure", sigma=10.0, k=1.5).k < 1.2


@pytest.mark.parametrize("method", ["nlmeans", "nlridge"])
def test_the_table_is_kept_where_neighbours_share_the_noise(method: str) -> None:
    """Their noise is not counted as error, so that the weakest filter seems to be the best."""
    blurred = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=(220, 220)), 0.8)
    image = smooth() + 10 * blurred / blurred.std()
    given: dict[str, Any] = {"sigma": 10.0, "method": method}
    with pytest.warns(UserWarning, match="neighbouring pixels share the noise"):
        found = suggest(image, by="sure", **given)
    assert found == suggest(image, **given)


def test_the_better_method_is_taken() -> None:
    y, x = np.mgrid[:200, :200]
    clean = 100 + 60 * np.sin(x / 1.7 + y / 3)  # stripes, which linear combinations keep
    image = noisy(clean, 20)
    found = suggest(image, by="sure", sigma=20.0, method=("nlmeans", "nlridge"))
    errors = {m: error(image, clean, sigma=20.0, method=m) for m in ("nlmeans", "nlridge")}
    assert found.method == min(errors, key=errors.__getitem__)
    assert found.method == "nlridge"


def test_the_same_image_gets_the_same_settings() -> None:
    image = noisy(smooth((150, 150)))
    assert suggest(image, by="sure") == suggest(image, by="sure")


def test_a_budget_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """After it no further strength is tried."""
    image, tried = noisy(smooth((150, 150))), []
    original = tuning.Tuning._try
    monkeypatch.setattr(
        tuning.Tuning, "_try", lambda self, method, step: tried.append(step) or original(self, method, step)
    )
    clock = iter([0.0] * 2 + [100.0] * 50)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    suggest(image, by="sure", budget=5.0, sigma=10.0)
    assert tried == [0, 1]


@pytest.mark.parametrize(
    ("image", "options"),
    [
        (np.ones((1, 1)), {}),
        (np.full((40, 40), 7, np.uint8), {}),
        (np.arange(30.0), {}),
        (np.full((20, 20), np.nan), {"nan": "keep"}),
        (np.where(np.eye(64) > 0, -np.inf, noisy(smooth((64, 64)))), {"nan": "keep"}),
        (noisy(smooth((64, 64))), {"h": 0.0}),
        (noisy(smooth((64, 64))), {"sigma": np.full((64, 64), 10.0)}),
        (noisy(smooth((64, 64))), {"sigma": np.full((64, 64), 10.0), "method": "nlridge"}),
        (noisy(smooth((64, 64))).astype(np.uint8), {"impulses": "replace"}),
        (noisy(smooth((12, 40, 40))), {}),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_odd_images_have_settings(image: np.ndarray, options: dict[str, Any]) -> None:
    found = suggest(image, by="sure", **options)
    again = {k: v for k, v in options.items() if k in ("nan", "sigma")} | found.to_dict()
    assert denoise(image, **again).shape == image.shape


def test_other_words_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="by must be one of table, sure"):
        suggest(np.ones((9, 9)), by="risk")
    with pytest.raises(InvalidValueError, match='budget is a number of seconds > 0 for by="sure"'):
        suggest(np.ones((9, 9)), budget=3.0)


def test_it_costs_less_than_three_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pixels that are filtered, by one thread for each region, and how often noise is estimated."""
    clean = smooth((512, 512))
    image, pixels, workers, shared = noisy(clean), [], [], []
    apply, of_channel = tuning.apply, sigma.of_channel

    def counted(chosen: Any, inputs: Any, **running: Any) -> Any:
        pixels.append(inputs.value[0].size)
        workers.append(running["workers"])
        return apply(chosen, inputs, **running)

    def told(*given: Any, **options: Any) -> Any:
        shared.append(options["shared"])
        return of_channel(*given, **options)

    monkeypatch.setattr(tuning, "apply", counted)
    monkeypatch.setattr(sigma, "of_channel", told)
    suggest(image, by="sure")
    assert sum(pixels) < 2 * image.size
    assert set(workers) == {1}
    assert shared == [False] * len(shared)
    assert len(shared) <= 4


def test_sigma_is_not_measured_again_where_nothing_hangs_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that is not surely worse than another strength stays without it."""
    calls: list[int] = []
    monkeypatch.setattr(tuning, "uncertainty_of_sigma", lambda inputs: calls.append(1) or 0.01)
    search = tuning.Tuning(check(noisy(smooth((150, 150))), {}), {}, None)
    one = tuning.Tried("nlmeans", 0, np.array([4.0, 4.2, 4.1, 4.3]), 10.0)
    near = tuning.Tried("nlmeans", 1, one.blocks - 0.3, 5.0)  # a hundredth of sigma is 0.1 in it
    assert search._sure({0: one}, near) is near
    assert calls == [1]
    far = tuning.Tried("nlmeans", 1, one.blocks - 0.3, -5.0)
    assert search._sure({0: one}, far) is one
    assert calls == [1]
