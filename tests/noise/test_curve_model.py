"""Noise by a curve: the model, and the transform and its inverse against quadrature."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import nlmeans
from nlmeans.errors import InvalidTypeError, InvalidValueError
from nlmeans.noise_models.transforms import Anscombe, Curve, transform_of

Model = nlmeans.NoiseModel
LEVELS, DEVIATIONS = (10.0, 60.0, 120.0, 200.0), (4.0, 12.0, 9.0, 20.0)


def deviation(values: Any) -> Any:
    return np.exp(np.interp(values, LEVELS, np.log(DEVIATIONS)))


def test_the_transform_is_the_integral_of_one_over_the_deviation() -> None:
    transform = Curve(LEVELS, DEVIATIONS)
    z = np.linspace(-100, 400, 4001)
    f = transform.forward(z, np)
    slope = np.diff(f) / np.diff(z)
    np.testing.assert_allclose(slope, 1 / deviation((z[1:] + z[:-1]) / 2), rtol=1e-2)
    assert transform.forward(z.astype(np.float32), np).dtype == np.float32


def test_the_inverse_of_the_mean_is_the_clean_value() -> None:
    """Against the expectation under normal noise, on a grid of its own."""
    transform, nodes = Curve(LEVELS, DEVIATIONS), np.linspace(-7, 7, 1401)
    normal = np.exp(-(nodes**2) / 2) / np.exp(-(nodes**2) / 2).sum()
    for clean in (-40.0, 5.0, 30.0, 90.0, 150.0, 220.0, 330.0):
        mean = transform.forward(clean + deviation(clean) * nodes, np) @ normal
        assert transform.inverse(np.array([mean]), np)[0] == pytest.approx(clean, abs=0.02 * deviation(clean))


def test_one_level_is_white_noise() -> None:
    transform, z = Curve((50.0,), (5.0,)), np.linspace(-1000, 1000, 9)
    there = transform.forward(z, np)
    np.testing.assert_allclose(np.diff(there), np.diff(z) / 5, rtol=1e-12)
    np.testing.assert_allclose(transform.inverse(there, np), z, atol=1e-6)


def test_the_curve_of_counts_is_nearly_anscombe_s() -> None:
    levels = np.linspace(20, 200, 60)
    curve = Curve(tuple(levels), tuple(np.sqrt(levels)))
    z = np.linspace(30, 190, 50)
    ours, theirs = curve.forward(z, np), Anscombe(1.0).forward(z, np)
    np.testing.assert_allclose(ours - ours[0], theirs - theirs[0], atol=0.1)


def test_a_model_knows_its_channels_and_survives_json() -> None:
    one = Model("curve", levels=LEVELS, deviations=DEVIATIONS)
    assert one.channels is None
    assert not one.missing
    assert Model("curve").missing == ("levels", "deviations")
    two = Model("curve", levels=(LEVELS, (0.0, 1.0)), deviations=(DEVIATIONS, (2.0, 3.0)))
    assert two.channels == 2
    assert two.of_channel(0) == one
    assert two.of_channel(1) == Model("curve", levels=(0.0, 1.0), deviations=(2.0, 3.0))
    for model in (one, two):
        assert Model.of(json.loads(json.dumps(model.to_dict()))) == model
        assert hash(model)
    assert isinstance(transform_of(one, 0.0), Curve)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"levels": LEVELS}, "levels that rise and as many deviations"),
        ({"levels": (3.0, 3.0), "deviations": (1.0, 1.0)}, "levels that rise"),
        ({"levels": (1.0, 2.0), "deviations": (1.0,)}, "as many deviations"),
        ({"levels": (1.0, 2.0), "deviations": (1.0, 0.0)}, "deviations of noise must be finite and > 0"),
        ({"levels": (1.0, float("nan")), "deviations": (1.0, 1.0)}, "levels of noise must be finite"),
        ({"levels": 3.0, "deviations": (1.0,)}, "levels of noise must be numbers"),
        ({"levels": (LEVELS, LEVELS), "deviations": DEVIATIONS}, "as many deviations"),
        ({"sigma": 3.0}, "sigma is no parameter of curve noise"),
    ],
)
def test_what_is_no_curve_is_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises((InvalidValueError, InvalidTypeError), match=message):
        Model("curve", **parameters)


def test_a_known_curve_is_used_in_every_method_and_per_channel() -> None:
    rng = np.random.default_rng(0)
    clean = np.repeat(np.repeat(rng.uniform(0, 200, (8, 8)), 10, 0), 10, 1)
    noisy = clean + deviation(clean) * rng.standard_normal(clean.shape)
    model = Model("curve", levels=LEVELS, deviations=DEVIATIONS)

    def error(result: Any) -> float:
        return float(np.mean((result - clean) ** 2))

    for method in ("nlmeans", "nlridge", "learned"):
        known = error(nlmeans.denoise(noisy, method=method, noise=model))
        assert known < 0.9 * error(nlmeans.denoise(noisy, method=method, sigma=float(np.std(noisy - clean))))
    stacked = np.stack([noisy, noisy / 2])
    halves = tuple(tuple(v / n for v in LEVELS) for n in (1, 2))
    of_both = Model(
        "curve", levels=halves, deviations=tuple(tuple(v / n for v in DEVIATIONS) for n in (1, 2))
    )
    result = nlmeans.denoise(stacked, noise=of_both, channel_axis=0, color="separate")
    np.testing.assert_allclose(result[0], 2 * result[1], atol=1e-3)
    np.testing.assert_allclose(result[0], nlmeans.denoise(noisy, noise=model), atol=1e-3)
