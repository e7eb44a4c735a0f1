"""Heads, a guide and a mask in the block: against loops over positions, torch's own attention, the filter."""

from __future__ import annotations

import importlib
import itertools
import math
from typing import Any

import numpy as np
import pytest

import nlmeans
from nlmeans import Parameters, nonlocal_block

pytestmark = pytest.mark.usefixtures("one_torch_thread")
torch = pytest.importorskip("torch")
learned = importlib.import_module("nlmeans.learned")
BLOCKS = {1: learned.NonLocal1d, 2: learned.NonLocal2d, 3: learned.NonLocal3d}
MODES = ("gaussian", "embedded_gaussian", "dot_product", "concatenation", "euclidean")
EXPONENTIAL = ("gaussian", "embedded_gaussian", "euclidean")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def built(axes: int, channels: int = 4, **settings: Any) -> Any:
    """A block in float64; each head with a bandwidth of its own."""
    block = BLOCKS[axes](channels, **({"zero_init": False, "inter_channels": 4} | settings)).double()
    if block.log_h is not None and block.log_h.ndim:
        block.log_h.data += torch.linspace(-0.3, 0.4, len(block.log_h))
    return block


def random(*shape: int) -> Any:
    return torch.randn(*shape, dtype=torch.double)


def cells(grid: tuple[int, ...], factors: tuple[int, ...] | None) -> dict[tuple[int, ...], list[Any]]:
    """Positions of every key: one, or a cell's."""
    factors = factors or (1,) * len(grid)
    whole = [n // f for n, f in zip(grid, factors, strict=True)]
    return {
        key: list(itertools.product(*(range(k * f, k * f + f) for k, f in zip(key, factors, strict=True))))
        for key in np.ndindex(*whole)
    }


class Loops:
    """The definition, one head, query and key at a time, from the block's own weights."""

    def __init__(self, block: Any) -> None:
        self.block, self.mode, self.heads = block, block.settings.mode, block.settings.heads
        self.state = {n: w.detach().numpy() for n, w in block.state_dict().items()}

    def linear(self, name: str, v: Any) -> Any:
        weight = self.state[f"{name}.conv.weight"].reshape(-1, len(v))
        return weight @ v + self.state[f"{name}.conv.bias"]

    def embedding(self, name: str, v: Any) -> Any:
        if self.mode == "gaussian":
            return v
        return self.linear("theta" if self.block.settings.tied else name, v)

    def f(self, q: Any, k: Any, head: int) -> float:
        if self.block.settings.unit_length:
            q, k = q / np.linalg.norm(q), k / np.linalg.norm(k)
        if self.mode == "euclidean":
            h = math.exp(np.atleast_1d(self.state["log_h"])[head])
            return math.exp(-((q - k) ** 2).sum() / h**2)
        if self.mode == "concatenation":
            weight = self.state["concat_project.conv.weight"].reshape(self.heads, -1)[head]
            return max(float(weight @ np.concatenate([q, k])), 0.0)
        product = float(q @ k) * self.block.settings.factor(len(q))
        return product if self.mode == "dot_product" else math.exp(product)

    def __call__(self, x: Any, guide: Any = None, mask: Any = None) -> Any:
        x = x.numpy()
        guide = x if guide is None else guide.numpy()
        grid = x.shape[2:]
        mask = np.ones((len(x), *grid), bool) if mask is None else np.broadcast_to(mask, (len(x), *grid))
        settings, axes = self.block.settings, len(grid)
        radii, factors = settings.radii(axes), settings.pooling(axes)
        before = settings.pool_position == "before"
        z = x.copy() if settings.residual else np.zeros_like(x)
        for b in range(len(x)):
            keys: dict[tuple[int, ...], tuple[Any, Any]] = {}
            for at, members in cells(grid, factors).items():
                members = [m for m in members if mask[b, *m]]
                if members and before:
                    k, v = (np.max([a[b, :, *m] for m in members], 0) for a in (guide, x))
                    keys[at] = self.embedding("phi", k), self.linear("g", v)
                elif members:
                    k = np.max([self.embedding("phi", guide[b, :, *m]) for m in members], 0)
                    keys[at] = k, np.max([self.linear("g", x[b, :, *m]) for m in members], 0)
            for i in np.ndindex(*grid):
                reached = {
                    j: kv
                    for j, kv in keys.items()
                    if radii is None or all(abs(a - c) <= r for a, c, r in zip(i, j, radii, strict=True))
                }
                if reached:
                    y = self.mean(self.embedding("theta", guide[b, :, *i]), list(reached.values()))
                    z[b, :, *i] += self.linear("conv_out", y)
        return z

    def mean(self, query: Any, keys: list[tuple[Any, Any]]) -> Any:
        parts = []
        for head in range(self.heads):
            k, v = (np.split(np.array([kv[n] for kv in keys]), self.heads, 1)[head] for n in (0, 1))
            q = np.split(query, self.heads)[head]
            weights = np.array([self.f(q, one, head) for one in k])
            total = weights.sum() if self.mode in EXPONENTIAL else len(weights)
            parts.append(weights @ v / total)
        return np.concatenate(parts)


CASES = {
    "heads": ((2, 4, 3, 5), {"heads": 2}, False, None),
    "heads, each channel": ((1, 4, 7), {"heads": 4, "window": 2}, False, None),
    "guide": ((2, 4, 3, 4), {"guide_channels": 2}, True, None),
    "mask": ((2, 4, 4, 5), {}, False, "half"),
    "mask, window": ((2, 4, 6, 5), {"window": 1}, False, "left"),
    "mask, cells": ((1, 4, 5, 6), {"sub_sample": (2, 3)}, False, "left"),
    "mask, cells before": ((1, 4, 4, 6), {"sub_sample": 2, "pool_position": "before"}, False, "half"),
    "no key": ((2, 4, 5), {}, False, "none"),
    "all, sequence": ((2, 4, 9), {"heads": 2, "guide_channels": 2, "window": 2}, True, "left"),
    "all, image": ((2, 4, 5, 4), {"heads": 2, "guide_channels": 4, "unit_length": True}, True, "half"),
    "all, video": ((1, 4, 2, 4, 3), {"heads": 2, "guide_channels": 2, "window": 1}, True, "left"),
}


def masked(kind: str | None, shape: tuple[int, ...]) -> Any:
    """A mask: of one for all or of each; half of the positions, only some first ones, or none."""
    grid = shape[2:]
    if kind is None:
        return None
    if kind == "half":
        return torch.rand(shape[0], *grid, generator=torch.Generator().manual_seed(3)) < 0.5
    mask = torch.zeros(grid, dtype=torch.bool)
    if kind == "left":
        mask[..., :1] = True
    return mask


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CASES)
def test_every_mode_is_the_loops(mode: str, case: str) -> None:
    shape, settings, guided, kind = CASES[case]
    block = built(len(shape) - 2, mode=mode, **settings)
    x, mask = random(*shape), masked(kind, shape)
    guide = random(shape[0], block.guide_channels, *shape[2:]) if guided else None
    expected = Loops(block)(x, guide, mask)
    np.testing.assert_allclose(block(x, guide, mask).detach(), expected, rtol=1e-9, atol=1e-9)
    arrays = {n: w.numpy() for n, w in block.state_dict().items()}
    words = {n: v for n, v in settings.items() if n != "guide_channels"}
    plain = nonlocal_block(
        x.numpy(),
        arrays,
        mode=mode,
        guide=None if guide is None else guide.numpy(),
        mask=None if mask is None else mask.numpy(),
        **words,
    )
    np.testing.assert_allclose(plain, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("window", [None, 2])
def test_pieces_of_the_work_are_the_whole(mode: str, window: int | None, monkeypatch: Any) -> None:
    block = built(2, mode=mode, window=window, heads=2)
    x, guide = random(2, 4, 9, 11), random(2, 4, 9, 11)
    inputs = (x.requires_grad_(), guide.requires_grad_())
    mask = torch.rand(2, 9, 11) < 0.4
    results = []
    for chunk in (2**26, 20_000):
        for module in ("whole", "windows"):
            monkeypatch.setattr(f"nlmeans.learned.arithmetic.{module}.CHUNK", chunk)
        z = block(x, guide, mask)
        results.append((z, *torch.autograd.grad(z.square().sum(), inputs)))
    torch.testing.assert_close(results[1], results[0], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("heads", [1, 4])
def test_torch_s_multihead_attention_is_the_block(heads: int) -> None:
    """scale="sqrt", all positions, no residual: weights carried over."""
    block = built(2, 8, inter_channels=8, heads=heads, scale="sqrt", residual=False)
    theirs = torch.nn.MultiheadAttention(8, heads, batch_first=True).double()
    parts = [getattr(block, name).conv for name in ("theta", "phi", "g")]
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([p.weight.flatten(1) for p in parts]))
        theirs.in_proj_bias.copy_(torch.cat([p.bias for p in parts]))
        theirs.out_proj.weight.copy_(block.conv_out.conv.weight.flatten(1))
        theirs.out_proj.bias.copy_(block.conv_out.conv.bias)
    x, guide, mask = random(2, 8, 5, 6), random(2, 8, 5, 6), torch.rand(2, 5, 6) < 0.6
    flat, compared = (a.flatten(2).mT for a in (x, guide))
    out, rows = theirs(
        compared, compared, flat, key_padding_mask=~mask.flatten(1), average_attn_weights=False
    )
    z, maps = block(x, guide, mask, return_attention=True)
    torch.testing.assert_close(z.flatten(2).mT, out, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(maps.reshape(rows.shape), rows, rtol=1e-10, atol=1e-12)


def test_fused_attention_of_torch_is_the_mean_of_the_heads() -> None:
    block = built(1, 6, inter_channels=6, heads=3, scale="sqrt", residual=False)
    x = random(2, 6, 20)
    q, k, v = (getattr(block, n)(x.mT).reshape(2, 20, 3, 2).transpose(1, 2) for n in ("theta", "phi", "g"))
    mean = torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    torch.testing.assert_close(block(x), block.conv_out(mean, x.dtype), rtol=1e-10, atol=1e-10)


def test_a_guide_of_the_filter_as_a_block_is_the_filter_s() -> None:
    parameters = Parameters(1, 3, sigma=0.2, k=0.8, aggregate="pixel")
    image, guide = random(1, 1, 12, 13), random(1, 1, 12, 13)
    expected = nlmeans.denoise(
        image[0, 0].numpy(), guide=guide[0, 0].numpy(), backend="reference", **parameters.to_dict()
    )
    got = learned.NonLocal2d.from_parameters(parameters)(image, guide)[0, 0]
    np.testing.assert_allclose(got.detach(), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("window", [None, 1])
def test_maps_of_heads_and_masks_are_what_values_are_averaged_with(mode: str, window: int | None) -> None:
    block = built(2, mode=mode, heads=2, window=window, residual=False)
    x, guide, mask = random(2, 4, 4, 5), random(2, 4, 4, 5), torch.rand(2, 4, 5) < 0.5
    z, maps = block(x, guide, mask, return_attention=True)
    assert maps.shape == (2, 2, 20, 4, 5)
    assert not (maps * ~mask[:, None, None]).any()
    value = block.g(x.movedim(1, -1)).reshape(2, 20, 2, 2).transpose(1, 2)
    mean = (maps.flatten(3) @ value).transpose(1, 2).reshape(2, 4, 5, 4)
    reached = maps.flatten(3).any(-1).any(1).reshape(2, 1, 4, 5)
    if mode in EXPONENTIAL:
        torch.testing.assert_close(torch.where(reached, block.conv_out(mean, x.dtype), 0), z)
    some = block.attention(x, [(0, 0), (3, 4)], guide, mask)
    torch.testing.assert_close(some, maps[:, :, [0, 19]], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("window", [None, 2])
def test_a_value_outside_of_the_mask_changes_no_other(mode: str, window: int | None) -> None:
    block = built(2, mode=mode, window=window, heads=2).float()
    x = 1000 + torch.randn(1, 4, 8, 9)
    mask = torch.ones(8, 9, dtype=torch.bool)
    mask[3, 4] = False
    results = []
    for value in (0.0, 1e12):
        y = x.clone()
        y[0, :, 3, 4] = value
        z = block(y, None, mask)
        results.append(z[..., mask])
    torch.testing.assert_close(results[1], results[0], rtol=0, atol=0)


@pytest.mark.parametrize("norm", [None, "batch"])
def test_without_a_key_nothing_is_added(norm: str | None) -> None:
    x, none = torch.randn(2, 4, 6, 6), torch.zeros(6, 6, dtype=torch.bool)
    block = learned.NonLocal2d(4, norm=norm, zero_init=False)
    assert torch.equal(block(x, None, none), x)
    alone = learned.NonLocal2d(4, norm=norm, zero_init=False, residual=False, window=1)
    corner = none.clone()
    corner[0, 0] = True
    z = alone(x, None, corner)
    assert z[..., :2, :2].all()
    assert not z[..., 2:, :].any()
    assert not z[..., :, 2:].any()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("window", [None, 1])
def test_gradients_are_those_of_differences(mode: str, window: int | None) -> None:
    more = {"learn_bandwidth": True} if mode == "euclidean" else {}
    block = built(2, mode=mode, window=window, heads=2, guide_channels=2, **more)
    x, guide = random(2, 4, 3, 4).requires_grad_(), random(2, 2, 3, 4).requires_grad_()
    mask = torch.rand(2, 3, 4) < 0.6
    trained = (x, guide, *block.parameters())
    assert torch.autograd.gradcheck(lambda x, g, *_: block(x, g, mask), trained, fast_mode=True)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("window", [None, 1])
def test_gradients_have_gradients(mode: str, window: int | None) -> None:
    from torch.nn.attention import SDPBackend, sdpa_kernel

    block = built(1, mode=mode, window=window, heads=2)
    x, guide = random(1, 4, 5).requires_grad_(), random(1, 4, 5).requires_grad_()
    mask = torch.tensor([True, False, True, True, False])
    with sdpa_kernel(SDPBackend.MATH):
        assert torch.autograd.gradgradcheck(lambda x, g: block(x, g, mask), (x, guide), fast_mode=True)


TRACED = [
    ("embedded_gaussian", {}),
    ("euclidean", {"window": 2}),
    ("dot_product", {"sub_sample": True}),
    ("concatenation", {}),
]


@pytest.mark.parametrize(("mode", "settings"), TRACED)
def test_it_is_exported_and_compiled_whole(mode: str, settings: dict[str, Any]) -> None:
    block = built(2, mode=mode, heads=2, **settings).float().eval()
    given = (torch.randn(2, 4, 7, 6), torch.randn(2, 4, 7, 6), torch.rand(2, 7, 6) < 0.5)
    expected = block(*given)
    torch.testing.assert_close(torch.export.export(block, given).module()(*given), expected)
    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(block, fullgraph=True, backend="eager")(*given), expected)


@pytest.mark.filterwarnings("ignore")  # of the exporter's own calls
def test_it_runs_in_onnxruntime() -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    block = built(2, heads=2).float().eval()
    given = (torch.randn(1, 4, 7, 6), torch.randn(1, 4, 7, 6), torch.rand(1, 7, 6) < 0.5)
    program = torch.onnx.export(block, given, dynamo=True, verbose=False)
    session = runtime.InferenceSession(program.model_proto.SerializeToString())
    named = dict(zip([i.name for i in session.get_inputs()], [g.numpy() for g in given], strict=True))
    (found,) = session.run(None, named)
    torch.testing.assert_close(torch.from_numpy(found), block(*given).detach(), atol=1e-5, rtol=1e-4)


def test_one_head_is_the_block_as_it_was() -> None:
    """Names and shapes of the weights, and what they give."""
    for mode in MODES:
        one = learned.NonLocal2d(8, mode=mode)
        shapes = {n: tuple(w.shape) for n, w in one.state_dict().items()}
        assert shapes.get("log_h", ()) == ()
        assert shapes.get("concat_project.conv.weight", (1, 8, 1, 1)) == (1, 8, 1, 1)
    two = learned.NonLocal2d(8, mode="concatenation", heads=2).state_dict()
    assert two["concat_project.conv.weight"].shape == (2, 4, 1, 1)
    assert learned.NonLocal2d(8, mode="euclidean", heads=2).log_h.shape == (2,)


def test_files_keep_heads_and_the_guide_s_channels(tmp_path: Any) -> None:
    pytest.importorskip("safetensors")
    block = built(2, mode="euclidean", heads=2, guide_channels=3)
    learned.save_weights(block, tmp_path / "b.safetensors")
    x, guide = random(1, 4, 5, 5), random(1, 3, 5, 5)
    again = learned.read_block(tmp_path / "b.safetensors").double()
    torch.testing.assert_close(again(x, guide), block(x, guide), rtol=1e-6, atol=1e-6)
    plain = nonlocal_block(x.numpy(), tmp_path / "b.safetensors", guide=guide.numpy())
    np.testing.assert_allclose(plain, block(x, guide).detach(), atol=1e-9)
    with pytest.raises(nlmeans.NLMeansError, match="heads=2"):
        learned.load_weights(
            learned.NonLocal2d(4, 4, mode="euclidean", guide_channels=3), tmp_path / "b.safetensors"
        )


def test_the_measurement_takes_the_mean_of_the_heads() -> None:
    block = built(2, heads=2)
    x = random(1, 4, 6, 6)
    maps = block(x, return_attention=True)[1][0].mean(0).flatten(1).detach().numpy()
    found = learned.measure_block(block, x)
    unit = maps / np.linalg.norm(maps, axis=1, keepdims=True)
    np.testing.assert_allclose(found.attention, (1 - (unit.mean(0) ** 2).sum()) / 2, rtol=1e-9)
    rows = learned.attention_rows(block, x, [(0, 1)] * 3)
    assert rows.shape == (1, 2, 3, 6, 6)
    assert learned.random_block(built(2, heads=2, guide_channels=3)).guide_channels == 3


X, MASK = torch.zeros(2, 4, 5, 6), torch.ones(5, 6, dtype=torch.bool)


@pytest.mark.parametrize(
    ("settings", "given", "message"),
    [
        ({"heads": 3}, (X,), "inter_channels must be a multiple of heads=3, got 4"),
        ({"heads": 0}, (X,), "heads must be an integer"),
        ({"mode": "gaussian", "heads": 2, "guide_channels": 3}, (X,), "channels compared .* heads=2, got 3"),
        ({"guide_channels": 3}, (X,), r"compares a guide of 3 channels: call it as block\(x, guide\)"),
        ({"guide_channels": 3}, (X, X), "guide must have 3 channels, got 4"),
        ({}, (X, X[:1]), "guide must have the batch and the grid of x"),
        ({}, (X, X.int()), "guide must be of a floating type"),
        ({}, (X, X + math.nan), "guide holds 240 values that are not finite"),
        ({}, (X, None, MASK.float()), "mask must be a torch tensor of bool"),
        ({}, (X, None, MASK.numpy()), "mask must be a torch tensor of bool"),
        ({}, (X, None, MASK[None, None]), r"mask must have the grid \(5, 6\)"),
        ({}, (X, None, MASK[:, :5]), r"mask must have the grid \(5, 6\)"),
    ],
)
def test_what_does_not_fit_is_refused(settings: dict[str, Any], given: tuple[Any, ...], message: str) -> None:
    with pytest.raises(nlmeans.NLMeansError, match=message):
        learned.NonLocal2d(4, 4, **settings)(*given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"guide": X.numpy()[:1]}, "guide must have the batch and the grid of x"),
        ({"guide": [1]}, "guide must be a NumPy or CuPy array"),
        ({"mask": MASK.float().numpy()}, "mask must be an array of bool"),
        ({"mask": MASK.numpy()[:2]}, "mask must have the grid"),
        ({"heads": 3}, "multiple of heads=3"),
    ],
)
def test_what_does_not_fit_is_refused_without_torch(given: dict[str, Any], message: str) -> None:
    arrays = {n: w.numpy() for n, w in learned.NonLocal2d(4, 4).state_dict().items()}
    with pytest.raises(nlmeans.NLMeansError, match=message):
        nonlocal_block(X.numpy(), arrays, **given)
