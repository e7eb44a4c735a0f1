"""NL-means as a layer and as a block: both equal the filter, which proves the shared core."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import nlmeans
from nlmeans import Parameters, denoise

pytestmark = pytest.mark.usefixtures("one_torch_thread")
torch = pytest.importorskip("torch")
pytest.importorskip("torch")
learned = importlib.import_module("nlmeans.learned")
BLOCKS = {1: learned.NonLocal1d, 2: learned.NonLocal2d, 3: learned.NonLocal3d}
RNG = np.random.default_rng(7)


def filtered(image, parameters, **more):
    """What `denoise` makes of (C, *grid) in float64."""
    return denoise(image, channel_axis=0, backend="reference", **parameters.to_dict(), **more)


GRIDS = [((50,), 2, 6), ((15, 17), (2, 1), 4), ((15, 17), 1, "image"), ((5, 7, 6), 1, (1, 2, 3))]


@pytest.mark.parametrize("center", ["max", "one", "zero"])
@pytest.mark.parametrize("patch", ["box", "gaussian"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("grid", "patch_radius", "search_radius"), GRIDS)
def test_the_block_with_patches_and_the_layer_are_the_filter(
    grid, patch_radius, search_radius, channels, patch, center
):
    image = RNG.random((channels, *grid))
    x = torch.tensor(image)[None]
    strengths = [{"sigma": 0.1, "k": 0.7}, {"sigma": 0.0, "h": 0.1}]
    if channels == 3:
        strengths.append({"sigma": (0.1, 0.2, 0.3), "k": 0.7})
    for strength in strengths:
        rules = {"patch": patch, "center": center, "aggregate": "pixel"} | strength
        parameters = Parameters(patch_radius, search_radius, **rules)
        expected = filtered(image, parameters)
        block = BLOCKS[len(grid)].from_parameters(parameters, channels)
        for module in (block, learned.NLMeans(parameters)):
            np.testing.assert_allclose(module(x)[0].detach(), expected, rtol=0, atol=1e-10)
            np.testing.assert_allclose(module(x.float())[0].detach(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("grid", "patch_radius", "search_radius"), GRIDS)
def test_the_layer_aggregates_patches_too(grid, patch_radius, search_radius):
    image = RNG.random((2, *grid))
    parameters = Parameters(patch_radius, search_radius, sigma=0.2, k=0.6)
    got = learned.NLMeans(parameters)(torch.tensor(image)[None])[0].detach()
    np.testing.assert_allclose(got, filtered(image, parameters), rtol=0, atol=1e-10)


@pytest.mark.parametrize("aggregate", ["pixel", "patch"])
def test_a_guide_and_maps_are_those_of_the_filter(aggregate, monkeypatch):
    monkeypatch.setattr("nlmeans.learned.arithmetic.filtering.CHUNK", 100_000)  # many regions
    image, guide = RNG.random((1, 13, 14)), RNG.random((1, 13, 14))
    sigma = 0.1 + 0.2 * RNG.random((13, 14))
    x, g = torch.tensor(image)[None], torch.tensor(guide)[None]
    known = Parameters(1, 3, sigma=0.2, k=0.8, aggregate=aggregate)
    layer = learned.NLMeans(known)
    expected = filtered(image, known, guide=guide)
    np.testing.assert_allclose(layer(x, g)[0].detach(), expected, rtol=0, atol=1e-10)
    of_map = denoise(image, channel_axis=0, sigma=sigma, k=0.8, patch_radius=1, search_radius=3,
                     aggregate=aggregate, backend="reference")  # fmt: skip
    unknown = learned.NLMeans(Parameters(1, 3, k=0.8, aggregate=aggregate))
    for module in (layer, unknown):
        got = module(x, sigma=torch.tensor(sigma))[0].detach()
        np.testing.assert_allclose(got, of_map, rtol=0, atol=1e-10)


@pytest.mark.parametrize("aggregate", ["pixel", "patch"])
@pytest.mark.parametrize("center", ["max", "one", "zero"])
@pytest.mark.parametrize("grid", [(7,), (4, 5), (2, 3, 3)])
def test_gradients_of_image_guide_h_and_sigma_are_those_of_differences(grid, center, aggregate):
    generator = torch.Generator().manual_seed(len(grid))
    layer = learned.NLMeans(Parameters(1, 2, sigma=0.1, h=0.6, center=center, aggregate=aggregate))
    image, guide = (torch.rand(2, 1, *grid, generator=generator).double() for _ in range(2))
    h, sigma = torch.full(grid, 0.6).double(), torch.tensor(0.05).double()
    inputs = [t.requires_grad_() for t in (image, guide, h, sigma)]
    assert torch.autograd.gradcheck(
        lambda i, g, h, s: layer(i, g, h=h, sigma=s), inputs, fast_mode=True, eps=1e-7
    )


def test_the_learned_strength_and_noise_get_a_gradient():
    layer = learned.NLMeans(Parameters(1, 2, sigma=(0.1, 0.2), k=0.6), learn_h=True, learn_sigma=True)
    layer(torch.rand(1, 2, 6, 6)).square().sum().backward()
    assert bool((layer.log_h.grad != 0).all())
    assert bool((layer.sigma.grad != 0).all())


def test_regions_and_recomputation_change_nothing(monkeypatch):
    layer = learned.NLMeans(Parameters(1, 3, sigma=0.1, k=0.9), learn_h=True)
    results = []
    for chunk in (2**26, 30_000):
        monkeypatch.setattr("nlmeans.learned.arithmetic.filtering.CHUNK", chunk)
        x = torch.rand(2, 1, 14, 15, generator=torch.Generator().manual_seed(3)).double().requires_grad_()
        y = layer(x)
        results.append((y, *torch.autograd.grad(y.square().sum(), (x, layer.log_h))))
    torch.testing.assert_close(results[1], results[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("center", ["max", "one", "zero"])
def test_a_constant_image_has_finite_gradients(center):
    """Every distance is 0: a root of it would have an infinite slope."""
    layer = learned.NLMeans(Parameters(1, 2, sigma=0.0, h=0.1, center=center), learn_h=True)
    x = torch.ones(1, 1, 6, 6, requires_grad=True)
    layer(x).sum().backward()
    assert bool(torch.isfinite(x.grad).all())
    assert bool(torch.isfinite(layer.log_h.grad))


def test_no_strength_keeps_the_image_and_a_great_one_takes_the_mean_of_the_window():
    x = torch.rand(1, 1, 7, 8).double()
    weak = learned.NLMeans(Parameters(1, 2, sigma=0.0, h=1e-6, aggregate="pixel"))
    torch.testing.assert_close(weak(x), x, rtol=1e-9, atol=1e-9)
    great = learned.NLMeans(Parameters(1, 7, sigma=0.0, h=1e6, aggregate="pixel"))
    torch.testing.assert_close(great(x), x.mean().expand_as(x), rtol=1e-9, atol=1e-9)


X = torch.rand(1, 2, 5, 6)
USUAL = Parameters(1, 2, sigma=0.1, k=0.5)


@pytest.mark.parametrize(
    ("arguments", "named", "message"),
    [
        ((X.int(),), {}, "float32 or float64 tensor"),
        ((X.half(),), {}, "float32 or float64 tensor"),
        ((X.numpy(),), {}, "got ndarray"),
        ((X[0, 0],), {}, "one to three grid axes"),
        ((X[:0],), {}, "none empty"),
        ((X.log(), X / 0), {}, "guide holds 60 values that are not finite"),
        ((X, X[..., :5]), {}, "guide must have the batch and grid"),
        ((X,), {"h": 0.0}, "h must be finite and > 0"),
        ((X,), {"sigma": -1.0}, "sigma must be finite and >= 0"),
        ((X,), {"sigma": torch.ones(4, 6)}, "a map of the grid"),
        ((X,), {"h": 1e-30}, r"h\^2 and sigma\^2 / h\^2 must be in the range of torch.float32"),
        ((X,), {"h": 1e30}, "must be in the range"),
        ((X,), {"h": 1e-20, "sigma": 1.0}, "must be in the range"),
    ],
)
def test_bad_calls_of_the_layer_are_refused(arguments, named, message):
    with pytest.raises(nlmeans.NLMeansError, match=message):
        learned.NLMeans(USUAL)(*arguments, **named)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (USUAL, 'give aggregate="pixel"'),
        (Parameters(1, 2, k=0.5, aggregate="pixel"), "needs one sigma"),
        (Parameters(1, 2, sigma=0.1, h=0.0, aggregate="pixel"), "h > 0"),
        (Parameters(1, 2, sigma=(0.1, 0.2, 0.3), k=0.5, aggregate="pixel"), "3 values for 2 channels"),
        (Parameters(1, 2, sigma=(0.1, 0.0), k=0.5, aggregate="pixel"), "> 0 in every channel"),
        ({"sigma": 0.1}, "must be nlmeans.Parameters"),
    ],
)
def test_filters_that_are_no_block_are_refused(parameters, message):
    with pytest.raises(nlmeans.NLMeansError, match=message):
        learned.NonLocal2d.from_parameters(parameters, 2)
    if parameters is not USUAL and not getattr(parameters, "strength", 1):
        with pytest.raises(nlmeans.NLMeansError, match=r"strength must be > 0|needs"):
            learned.NLMeans(Parameters(1, 2, sigma=0.1, h=0.0))


def test_a_channel_without_noise_is_refused_by_the_layer_as_by_the_filter():
    parameters = Parameters(1, 2, sigma=(0.1, 0.0), k=0.5)
    with pytest.raises(nlmeans.InvalidValueError, match="> 0 in every channel"):
        learned.NLMeans(parameters)
    with pytest.raises(nlmeans.InvalidValueError, match="> 0 in every channel"):
        denoise(X[0].numpy(), channel_axis=0, **parameters.to_dict())


def test_the_examples_hold():
    import doctest
    from importlib import import_module

    for name in (
        "learned.block",
        "learned.layer",
        "learned.numpy_block",
        "learned.settings",
        "learned.transform",
    ):
        found = doctest.testmod(import_module(f"nlmeans.{name}"))
        assert found.attempted > 0
        assert found.failed == 0
