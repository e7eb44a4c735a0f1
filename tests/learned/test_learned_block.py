"""The learned block against loops over positions, and what holds for every non-local block."""

from __future__ import annotations

import copy
import importlib
import itertools
import math
import subprocess
import sys

import numpy as np
import pytest

import nlmeans

pytestmark = pytest.mark.usefixtures("one_torch_thread")
torch = pytest.importorskip("torch")
pytest.importorskip("torch")
learned = importlib.import_module("nlmeans.learned")
BLOCKS = {1: learned.NonLocal1d, 2: learned.NonLocal2d, 3: learned.NonLocal3d}
MODES = ("gaussian", "embedded_gaussian", "dot_product", "concatenation", "euclidean")


def built(axes, channels=4, **settings):
    return BLOCKS[axes](channels, **({"zero_init": False} | settings)).double()


def by_loops(block, x, window=None, unit=False):
    """The definition, one query and one key at a time, from the block's own weights."""
    state = {n: w.numpy() for n, w in block.state_dict().items()}
    mode, batch, grid = block.settings.mode, len(x), x.shape[2:]

    def linear(name, v):
        weight = state[f"{name}.conv.weight"].reshape(-1, len(v))
        return weight @ v + state[f"{name}.conv.bias"]

    def f(q, k):
        if mode == "euclidean":
            return math.exp(-((q - k) ** 2).sum() / math.exp(state["log_h"]) ** 2)
        if mode == "concatenation":
            return max(state["concat_project.conv.weight"].ravel() @ np.concatenate([q, k]), 0)
        return q @ k if mode == "dot_product" else math.exp(q @ k)

    z = np.zeros_like(x)
    for b, i in itertools.product(range(batch), np.ndindex(*grid)):
        top, total, count = 0.0, 0.0, 0
        for j in np.ndindex(*grid):
            if window is None or all(abs(a - c) <= window for a, c in zip(i, j, strict=True)):
                q, k = x[b, :, *i], x[b, :, *j]
                if mode != "gaussian":
                    q, k = linear("theta", q), linear("theta" if block.settings.tied else "phi", k)
                if unit:
                    q, k = q / np.linalg.norm(q), k / np.linalg.norm(k)
                weight = f(q, k)
                top = top + weight * linear("g", x[b, :, *j])
                total, count = total + weight, count + 1
        y = top / (total if mode in ("gaussian", "embedded_gaussian", "euclidean") else count)
        z[b, :, *i] = x[b, :, *i] + linear("conv_out", y)
    return z


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("window", [None, 1])
@pytest.mark.parametrize(
    "shape", [(1, 4, 7), (2, 4, 3, 5), (1, 4, 2, 3, 3), (2, 1, 5), (1, 4, 1), (1, 4, 1, 1)]
)
def test_every_mode_matches_the_loops(mode, window, shape):
    block = built(len(shape) - 2, shape[1], mode=mode, window=window)
    x = torch.randn(shape, dtype=torch.double)
    np.testing.assert_allclose(block(x).detach(), by_loops(block, x.numpy(), window), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("window", [None, 1])
def test_a_tied_embedding_of_unit_length_matches_the_loops(window):
    block = built(2, mode="euclidean", tied=True, unit_length=True, bandwidth=0.7, window=window)
    assert block.phi is None
    x = torch.randn(2, 4, 3, 5, dtype=torch.double)
    expected = by_loops(block, x.numpy(), window, unit=True)
    np.testing.assert_allclose(block(x).detach(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mode", MODES)
def test_the_layout_in_memory_does_not_matter(mode):
    block = built(2, mode=mode, window=None)
    x = torch.randn(2, 4, 6, 5, dtype=torch.double)
    expected = block(x)
    for other in (
        x.to(memory_format=torch.channels_last),
        x.mT.contiguous().mT,
        x.repeat(1, 1, 1, 2)[..., :5],
    ):
        torch.testing.assert_close(block(other), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("window", [None, 1])
def test_an_empty_batch_gives_an_empty_batch(mode, window):
    assert built(2, mode=mode, window=window)(torch.randn(0, 4, 3, 3).double()).shape == (0, 4, 3, 3)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("norm", [None, "batch", lambda c: torch.nn.GroupNorm(2, c), torch.nn.InstanceNorm2d])
def test_a_new_block_is_an_identity_in_training_and_evaluation(mode, norm):
    block = learned.NonLocal2d(4, mode=mode, norm=norm)
    x = 3 * torch.randn(2, 4, 5, 6)
    assert torch.equal(block.train()(x), x)
    assert torch.equal(block.eval()(x), x)
    changed = learned.NonLocal2d(4, mode=mode, norm=norm, zero_init=False)
    assert not torch.equal(changed(x), x)


@pytest.mark.parametrize("norm", [None, "batch"])
def test_the_first_step_moves_only_what_starts_at_zero_and_the_second_moves_all(norm):
    block = learned.NonLocal2d(4, norm=norm, mode="euclidean", learn_bandwidth=True)
    optimizer = torch.optim.SGD(block.parameters(), 0.1)
    x, target = torch.randn(2, 4, 5, 6), torch.randn(2, 4, 5, 6)
    last = "conv_out.conv." if norm is None else "conv_out.bn."
    for step in (1, 2):
        optimizer.zero_grad()
        (block(x) - target).square().sum().backward()
        moved = {n for n, p in block.named_parameters() if bool((p.grad != 0).any())}
        everything = {n for n, _ in block.named_parameters()}
        assert moved == ({n for n in everything if n.startswith(last)} if step == 1 else everything)
        optimizer.step()


def shuffled(x, order):
    return x.flatten(2)[..., order].reshape(x.shape)


@pytest.mark.parametrize("mode", MODES)
def test_the_whole_grid_does_not_know_an_order_of_positions(mode):
    block = built(2, mode=mode)
    x, order = torch.randn(1, 4, 4, 6).double(), torch.randperm(24)
    torch.testing.assert_close(block(shuffled(x, order)), shuffled(block(x), order), rtol=1e-12, atol=1e-12)


def test_pooled_keys_do_know_an_order_of_positions():
    block, order = built(2, sub_sample=True), torch.randperm(24)
    x = torch.randn(1, 4, 4, 6).double()
    assert not torch.allclose(block(shuffled(x, order)), shuffled(block(x), order), atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_a_window_moves_with_the_image(mode):
    block = built(2, mode=mode, window=2)
    x = torch.randn(1, 4, 20, 21).double()
    moved = block(x.roll((3, 1), (2, 3)))[..., 5:-2, 3:-2]
    torch.testing.assert_close(moved, block(x)[..., 2:-5, 2:-3], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_a_tile_with_a_halo_of_the_window_is_a_piece_of_the_whole(mode):
    block = built(2, mode=mode, window=(2, 3))
    x = torch.randn(1, 4, 30, 31).double()
    tile = block(x[..., 7:25, 4:28])[..., 2:-2, 3:-3]
    torch.testing.assert_close(tile, block(x)[..., 9:23, 7:25], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_the_smallest_and_the_largest_window(mode):
    x = torch.randn(1, 4, 5, 6).double()
    whole, large = built(2, mode=mode), built(2, mode=mode, window=(4, 7))
    large.load_state_dict(whole.state_dict())
    torch.testing.assert_close(large(x), whole(x), rtol=1e-12, atol=1e-12)
    if mode in ("gaussian", "embedded_gaussian", "euclidean"):
        one = built(2, mode=mode, window=0, residual=False)
        last = x.movedim(1, -1)
        expected = one.conv_out(one.g(last), x.dtype)
        torch.testing.assert_close(one(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("settings", [{}, {"window": 1}, {"sub_sample": True}, {"sub_sample": (1, 3)}])
def test_the_maps_are_what_the_values_are_averaged_with(mode, settings):
    block = built(2, mode=mode, **settings)
    x = torch.randn(2, 4, 5, 6).double()
    z, maps = block(x, return_attention=True)
    value = block.embedded(x)[2]
    assert maps.shape[2:] == value.shape[1:-1]
    mean = (maps.flatten(2) @ value.flatten(1, -2)).unflatten(1, (5, 6))
    torch.testing.assert_close(x + block.conv_out(mean, x.dtype), z, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(block(x), z)
    some = block.attention(x, [(0, 0), (4, 5), (2, 1)])
    torch.testing.assert_close(some, maps[:, [0, 29, 13]], rtol=1e-12, atol=1e-14)
    if mode in ("gaussian", "embedded_gaussian", "euclidean"):
        torch.testing.assert_close(maps.flatten(2).sum(-1), torch.ones(2, 30).double())


@pytest.mark.parametrize("mode", ["gaussian", "embedded_gaussian", "euclidean"])
def test_a_constant_input_gives_the_value_of_the_constant(mode):
    block = built(3, mode=mode, residual=False)
    x = torch.ones(1, 4, 2, 3, 4).double() * torch.arange(4.0).reshape(1, 4, 1, 1, 1)
    torch.testing.assert_close(block(x), block(x[..., :1, :1, :1]).expand_as(x), rtol=1e-12, atol=1e-12)


def test_the_scale_is_what_was_asked_for():
    x = torch.randn(1, 8, 5, 5).double()
    blocks = [built(2, 8, scale=s, inter_channels=4) for s in ("paper", "sqrt", 0.5, 1.0)]
    for block in blocks[1:]:
        block.load_state_dict(blocks[0].state_dict())
    paper, root, half, one = (b(x) for b in blocks)
    torch.testing.assert_close(root, half)
    torch.testing.assert_close(paper, one)
    assert not torch.allclose(paper, root, atol=1e-4)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("window", [None, 1])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_large_features_in_half_precision_stay_finite(mode, window, dtype):
    block = learned.NonLocal2d(64, mode=mode, window=window, zero_init=False)
    x = 300 + 1000 * torch.rand(1, 64, 5, 5)
    ours = block.to(dtype)(x.to(dtype))
    assert ours.dtype == dtype
    assert bool(torch.isfinite(ours).all())


@pytest.mark.parametrize("mode", MODES)
def test_lower_precision_is_close_to_double(mode):
    block = built(2, 8, mode=mode)
    x = torch.randn(1, 8, 9, 9).double()
    exact = block(x)
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 5e-2), (torch.float16, 1e-2)):
        got = copy.deepcopy(block).to(dtype)(x.to(dtype)).double()
        assert float((got - exact).detach().abs().max()) < tolerance * float(x.abs().max())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(block.float()(x.float()).double(), exact, rtol=1e-4, atol=1e-5)


def test_a_far_offset_costs_the_euclidean_mode_no_digits():
    block = learned.NonLocal1d(2, 2, mode="euclidean", zero_init=False, residual=False)
    with torch.no_grad():
        block.theta.conv.weight.copy_(torch.eye(2)[..., None])
        block.phi.load_state_dict(block.theta.state_dict())
    x = torch.randn(1, 2, 50)
    maps = [block.attention(x + far, [(7,)]) for far in (0.0, 1000.0)]
    torch.testing.assert_close(maps[1], maps[0], rtol=0, atol=1e-3)


X = torch.zeros(1, 4, 5, 6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "cosine"}, "mode must be one of gaussian, embedded_gaussian"),
        ({"normalisation": "softmax", "mode": "dot_product"}, "is no exponential"),
        ({"scale": "none"}, "scale must be one of paper, sqrt"),
        ({"scale": 2.0, "mode": "euclidean"}, "scale belongs to"),
        ({"scale": float("nan")}, "finite number"),
        ({"window": -1}, "window must be an integer"),
        ({"window": (1, 1, 1)}, "window must have 2 numbers"),
        ({"window": 2, "sub_sample": True}, "leave sub_sample out"),
        ({"sub_sample": 0}, "sub_sample must be an integer"),
        ({"pool_position": "behind"}, "pool_position must be one of"),
        ({"tied": True, "mode": "gaussian"}, "no embedding to tie"),
        ({"tied": 1}, "tied must be True or False"),
        ({"bandwidth": 1.0}, 'belong to mode="euclidean"'),
        ({"bandwidth": 0.0, "mode": "euclidean"}, "bandwidth must be > 0"),
        ({"norm": "layer"}, "norm must be"),
        ({"inter_channels": 0}, "inter_channels must be an integer"),
        ({"in_channels": 2.5}, "in_channels must be an integer"),
    ],
)
def test_settings_that_make_no_block_are_refused_when_it_is_built(settings, message):
    with pytest.raises(nlmeans.NLMeansError, match=message):
        learned.NonLocal2d(**({"in_channels": 4} | settings))


@pytest.mark.parametrize(
    ("settings", "x", "message"),
    [
        ({}, X[0], "takes \\(batch, channels, 2 grid axes\\)"),
        ({}, X[:, :3], "must have 4 channels, got 3"),
        ({}, X[..., :0], "at least one position"),
        ({}, X.int(), "floating type"),
        ({}, X.numpy(), "must be a torch tensor"),
        ({}, X.index_fill(3, torch.tensor([2]), float("nan")), "20 values that are not finite, the first at"),
        ({"sub_sample": True}, X[..., :1], "needs a grid of at least as many positions"),
        ({"max_memory": 2**20}, X, "30 positions with 30 keys each need about [0-9]+ bytes"),
    ],
)
def test_features_that_do_not_fit_are_refused(settings, x, message):
    with pytest.raises(nlmeans.NLMeansError, match=message):
        learned.NonLocal2d(4, **settings)(x)


def test_a_map_too_large_is_refused_before_it_is_allocated():
    block = learned.NonLocal2d(4)
    x = torch.zeros(1, 4, 1080, 1920)
    with pytest.raises(nlmeans.MemoryLimitError, match=r"2073600 positions .* need about 6\d{13} bytes"):
        block(x, return_attention=True)


@pytest.mark.parametrize("queries", [[(5, 0)], [(0,)], [(0, -1)], [(0, 1.5)], "ab", [7]])
def test_queries_outside_of_the_grid_are_refused(queries):
    with pytest.raises(nlmeans.NLMeansError):
        learned.NonLocal2d(4).attention(X, queries)


def test_without_torch_one_sentence_says_what_to_install():
    code = """
import sys
sys.modules["torch"] = None
import nlmeans
try:
    from nlmeans.learned import NonLocal2d
except nlmeans.NLMeansError as error:
    assert isinstance(error, ImportError)
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "the learned block needs PyTorch: install it with pip install 'nlmeans[torch]'\n"
