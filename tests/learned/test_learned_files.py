"""Weights of the block: mmcv's layout, safetensors files, and the same block without torch."""

from __future__ import annotations

import importlib
import json
import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest

import nlmeans
from nlmeans import nonlocal_block

pytestmark = pytest.mark.usefixtures("one_torch_thread")
torch = pytest.importorskip("torch")
pytest.importorskip("torch")
learned = importlib.import_module("nlmeans.learned")
safetensors = pytest.importorskip("safetensors.torch")
BLOCKS = {1: learned.NonLocal1d, 2: learned.NonLocal2d, 3: learned.NonLocal3d}
MODES = ("gaussian", "embedded_gaussian", "dot_product", "concatenation", "euclidean")


def as_in_mmcv(state, mode, x, sub_sample, scaled):
    """The formula of mmcv's block, written with N x N matrices from its state dict."""
    functional, batch, pooled = torch.nn.functional, len(x), sub_sample
    of = {n.replace(".0.", "."): w for n, w in state.items()}

    def conv(name):
        return functional.conv2d(x, of[f"{name}.conv.weight"], of.get(f"{name}.conv.bias"))

    def pool(features):
        return functional.max_pool2d(features, 2) if pooled else features

    g = pool(conv("g")).flatten(2).mT
    theta = (x if mode == "gaussian" else conv("theta")).flatten(2).mT
    phi = pool(x if mode == "gaussian" else conv("phi")).flatten(2)
    if mode == "concatenation":
        n, m = theta.shape[1], phi.shape[2]
        pairs = torch.cat(
            [theta.mT[..., None].expand(-1, -1, -1, m), phi[..., None, :].expand(-1, -1, n, -1)], 1
        )
        f = functional.conv2d(pairs, of["concat_project.conv.weight"]).relu()[:, 0] / m
    else:
        f = theta @ phi
        f = (
            f / phi.shape[2]
            if mode == "dot_product"
            else (f / (theta.shape[-1] ** 0.5 if scaled else 1)).softmax(-1)
        )
    y = (f @ g).mT.reshape(batch, -1, *x.shape[2:])
    z = functional.conv2d(y, of["conv_out.conv.weight"], of.get("conv_out.conv.bias"))
    if "conv_out.bn.weight" in of:
        parts = (of[f"conv_out.bn.{p}"] for p in ("running_mean", "running_var", "weight", "bias"))
        z = functional.batch_norm(z, *parts)
    return x + z


def mmcv_state(mode, sub_sample, norm):
    """A state dict by the names and shapes of mmcv's NonLocal2d(8)."""
    shapes = {"g": (4, 8), "theta": (4, 8), "phi": (4, 8)}
    state = {}
    for name in ("g",) if mode == "gaussian" else shapes:
        inside = f"{name}.0" if sub_sample and name != "theta" else name
        state[f"{inside}.conv.weight"] = torch.randn(4, 8, 1, 1).double()
        state[f"{inside}.conv.bias"] = torch.randn(4).double()
    state["conv_out.conv.weight"] = torch.randn(8, 4, 1, 1).double()
    if norm:
        for part in ("weight", "bias", "running_mean"):
            state[f"conv_out.bn.{part}"] = torch.randn(8).double()
        state["conv_out.bn.running_var"] = 0.5 + torch.rand(8).double()
        state["conv_out.bn.num_batches_tracked"] = torch.tensor(3)
    else:
        state["conv_out.conv.bias"] = torch.randn(8).double()
    if mode == "concatenation":
        state["concat_project.conv.weight"] = torch.randn(1, 8, 1, 1).double()
    return state


@pytest.mark.parametrize("mode", MODES[:4])
@pytest.mark.parametrize("sub_sample", [False, True])
@pytest.mark.parametrize("norm", [None, "batch"])
def test_weights_of_mmcv_load_and_give_its_result(mode, sub_sample, norm):
    state = mmcv_state(mode, sub_sample, norm)
    scaled = mode == "embedded_gaussian"  # mmcv's default, for this mode alone
    settings = {"mode": mode, "sub_sample": sub_sample, "scale": "sqrt" if scaled else "paper"}
    block = learned.NonLocal2d(8, norm=norm, **settings).double().eval()
    x = torch.randn(2, 8, 7, 6).double()
    expected = as_in_mmcv(state, mode, x, sub_sample, scaled)
    block.load_state_dict(state)
    torch.testing.assert_close(block(x), expected, rtol=1e-10, atol=1e-10)
    inside = {f"backbone.nl.{n}": w for n, w in state.items()} | {"other": torch.ones(1)}
    again = learned.NonLocal2d(8, norm=norm, **settings).double().eval()
    learned.load_weights(again, inside, prefix="backbone.nl.")
    torch.testing.assert_close(again(x), expected, rtol=1e-10, atol=1e-10)
    arrays = {n: w.numpy() for n, w in inside.items()}
    got = nonlocal_block(x.numpy(), arrays, prefix="backbone.nl.", **settings)
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("mode", MODES)
def test_pooling_before_and_after_the_embedding_differ_as_they_say(mode):
    x = torch.randn(1, 4, 6, 7).double()
    before = learned.NonLocal2d(4, mode=mode, sub_sample=(2, 3), pool_position="before", zero_init=False)
    after = learned.NonLocal2d(4, mode=mode, sub_sample=(2, 3), zero_init=False)
    after.load_state_dict(before.state_dict())
    before, after = before.double(), after.double()
    pool = torch.nn.MaxPool2d((2, 3))
    torch.testing.assert_close(
        before.embedded(x)[2].movedim(-1, 1), before.g(pool(x).movedim(1, -1)).movedim(-1, 1)
    )
    torch.testing.assert_close(
        after.embedded(x)[2].movedim(-1, 1), pool(after.g(x.movedim(1, -1)).movedim(-1, 1))
    )
    assert not torch.allclose(before(x), after(x), atol=1e-6)


SETTINGS = [
    {},
    {"window": 1},
    {"window": (0,) * 3},
    {"sub_sample": True},
    {"sub_sample": True, "pool_position": "before"},
    {"unit_length": True, "residual": False},
    {"norm": "batch"},
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("settings", SETTINGS)
def test_the_block_without_torch_equals_the_block_with_it(mode, axes, settings, tmp_path):
    settings = {n: v[:axes] if isinstance(v, tuple) else v for n, v in settings.items()}
    block = BLOCKS[axes](6, mode=mode, tied=mode == "euclidean", zero_init=False, **settings)
    x = torch.randn(2, 6, *(5, 4, 3)[:axes])
    block(x)  # in training, so that a norm has seen something
    block.eval()
    path = tmp_path / "block.safetensors"
    learned.save_weights(block, path)
    got = nonlocal_block(x.numpy(), path)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, block(x).detach(), rtol=0, atol=1e-5)
    wide = nonlocal_block(x.double().numpy(), path)
    np.testing.assert_allclose(wide, block.double()(x.double()).detach(), rtol=1e-10, atol=1e-10)
    again = BLOCKS[axes](6, mode=mode, tied=mode == "euclidean", **settings).eval()
    learned.load_weights(again, path)
    assert all(torch.equal(a, b.float()) for a, b in zip(again.parameters(), block.parameters(), strict=True))


def test_half_features_without_torch_stay_finite():
    block = learned.NonLocal2d(8, mode="dot_product", zero_init=False)
    arrays = {n: w.numpy() for n, w in block.state_dict().items()}
    x = np.full((1, 8, 4, 4), 6e4, np.float16)
    got = nonlocal_block(x, arrays, mode="dot_product")
    assert got.dtype == np.float16
    assert np.isfinite(got).all()


def test_the_block_runs_where_torch_is_missing(tmp_path):
    block = learned.NonLocal2d(4, zero_init=False)
    learned.save_weights(block, tmp_path / "w.safetensors")
    x = torch.randn(1, 4, 5, 5)
    np.save(tmp_path / "x.npy", x)
    code = """
import sys
sys.modules["torch"] = None
import numpy as np, nlmeans
np.save("y.npy", nlmeans.nonlocal_block(np.load("x.npy"), "w.safetensors"))
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), block(x).detach(), atol=1e-5)


# --- files that are not what they say --------------------------------------------------------


def container(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(shape, offsets, dtype="F32"):
    return {"g.conv.weight": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


BROKEN = {
    "empty": b"",
    "no header": b"\1\0\0\0\0\0\0\0",
    "a header of 2^60 bytes": struct.pack("<Q", 2**60) + b"{}",
    "no JSON": container(b"{hello}"),
    "a shape of a terabyte": container(tensor([2**20, 2**18], [0, 16]), bytes(16)),
    "offsets beyond the end": container(tensor([2**28], [0, 2**30]), bytes(16)),
    "a shape of less than there is": container(tensor([2], [0, 16]), bytes(16)),
    "numbers of an unknown type": container(tensor([16], [0, 16], "F4K"), bytes(16)),
    "numbers of 8 bits": container(tensor([16], [0, 16], "I8"), bytes(16)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused_and_changes_nothing(name, tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(BROKEN[name])
    assert_refused(path, "no whole safetensors file|must be float16, float32 or float64")


@pytest.mark.parametrize("cut", [1, 4, 100])
def test_a_truncated_file_is_refused_and_changes_nothing(cut, tmp_path):
    path = tmp_path / "weights"
    learned.save_weights(learned.NonLocal2d(4), path)
    path.write_bytes(path.read_bytes()[:-cut])
    assert_refused(path, "no whole safetensors file")


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("kind", ["pickle", "torch.save"])
def test_a_pickle_is_refused_without_running_it(kind, tmp_path):
    path, sprung = tmp_path / "weights", tmp_path / "sprung"
    if kind == "pickle":
        path.write_bytes(pickle.dumps({"g.conv.weight": Trap(str(sprung))}))
    else:
        torch.save({"g.conv.weight": Trap(str(sprung))}, path)
    assert_refused(path, "is a pickle, which can run code")
    assert not sprung.exists()


def assert_refused(path, message):
    """Both readers refuse the file, and the block is as it was."""
    block = learned.NonLocal2d(4, zero_init=False)
    before = {n: w.clone() for n, w in block.state_dict().items()}
    with pytest.raises(nlmeans.InvalidValueError, match=message):
        learned.load_weights(block, path)
    with pytest.raises(nlmeans.InvalidValueError, match=message):
        nonlocal_block(np.zeros((1, 4, 3, 3), np.float32), path)
    assert all(torch.equal(w, before[n]) for n, w in block.state_dict().items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("phi.conv.weight"), "phi.conv.weight"),
        (lambda s: s.update({"more": torch.ones(1)}), "more"),
        (lambda s: s.update({"theta.conv.weight": torch.ones(2, 5, 1, 1)}), "theta.conv.weight.*got.*5"),
        (lambda s: s.update({"conv_out.conv.bias": torch.ones(2)}), "conv_out.conv.bias"),
        (lambda s: s.update({"conv_out.conv.bias": torch.full((4,), float("nan"))}), "not finite"),
    ],
)
def test_weights_that_do_not_fit_are_refused_and_none_is_loaded(change, message, tmp_path):
    state = learned.NonLocal2d(4).state_dict()
    change(state)
    path = tmp_path / "weights"
    safetensors.save_file(state, path)
    assert_refused(path, message)


def test_a_file_of_another_mode_is_refused(tmp_path):
    path = tmp_path / "weights"
    learned.save_weights(learned.NonLocal2d(4, mode="dot_product"), path)
    with pytest.raises(nlmeans.InvalidValueError, match="the file holds a block with"):
        learned.load_weights(learned.NonLocal2d(4), path)


@pytest.mark.parametrize(
    ("kind", "weight", "message"),
    [
        ("float32", torch.full((2, 4, 1, 1), 1e300, dtype=torch.float64), "not finite in torch.float32"),
        ("float16", torch.full((2, 4, 1, 1), 7e4), "not finite in torch.float16"),
        ("float32", torch.ones(2, 4, 1, 1, dtype=torch.complex64), "must be real"),
        ("float32", np.ones((2, 4, 1, 1)).astype(np.dtype(float).newbyteorder()), "must be an array"),
        ("float32", None, "must be an array of numbers"),
    ],
)
def test_weights_that_the_block_cannot_hold_are_refused_and_none_is_loaded(kind, weight, message):
    block = learned.NonLocal2d(4, zero_init=False).to(getattr(torch, kind))
    before = {n: w.clone() for n, w in block.state_dict().items()}
    state = {n: torch.zeros_like(w) for n, w in before.items()}
    with pytest.raises(nlmeans.NLMeansError, match=message):
        learned.load_weights(block, {**state, "phi.conv.weight": weight})
    assert all(torch.equal(w, before[n]) for n, w in block.state_dict().items())


@pytest.mark.parametrize("settings", [{}, {"window": 1}, {"sub_sample": True}])
def test_an_empty_batch_gives_an_empty_one_with_and_without_torch(settings):
    block = learned.NonLocal2d(4, **settings)
    state = {n: w.numpy() for n, w in block.state_dict().items()}
    got = nonlocal_block(np.zeros((0, 4, 5, 6), np.float32), state, **settings)
    assert got.shape == block(torch.zeros(0, 4, 5, 6)).shape == (0, 4, 5, 6)


W = {f"{n}.conv.weight": np.ones((1, 1, 1, 1), np.float32) for n in ("g", "theta", "phi", "conv_out")}
X = np.ones((1, 1, 3, 3), np.float32)


@pytest.mark.parametrize(
    ("x", "weights", "settings", "message"),
    [
        (X[0, 0], W, {}, "one to three grid axes"),
        (X.astype(int), W, {}, "must be float16, float32 or float64"),
        (X.tolist(), W, {}, "NumPy or CuPy array, got list"),
        (X / np.float32("nan"), W, {}, "9 values that are not finite"),
        (X.repeat(2, axis=1), W, {}, '"g.conv.weight" must be 1 x 2'),
        (X[:, :, :1], W, {"sub_sample": 2}, "needs a grid"),
        (X, W, {"mode": "cosine"}, "mode must be one of"),
        (X, W, {"window": (1,)}, "window must have 2 numbers"),
        (X, W, {"mode": "euclidean"}, '"log_h"'),
        (X, {}, {}, "give prefix"),
        (X, 3, {}, "a path or a mapping"),
    ],
)
def test_bad_calls_without_torch_are_refused(x, weights, settings, message):
    with pytest.raises(nlmeans.NLMeansError, match=message):
        nonlocal_block(x, weights, **settings)


def test_pooling_left_to_the_block_keeps_the_first_of_three_axes():
    block = learned.NonLocal3d(4, sub_sample=True)
    assert block.embedded(torch.zeros(1, 4, 4, 6, 8))[1].shape == (1, 4, 3, 4, 2)
    assert learned.NonLocal1d(4, sub_sample=True).embedded(torch.zeros(1, 4, 7))[1].shape == (1, 3, 2)


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "block.safetensors"
    learned.save_weights(learned.NonLocal2d(4), path)
    before = path.read_bytes()

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space"):
        learned.save_weights(learned.NonLocal2d(6), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(FileNotFoundError):
        learned.save_weights(learned.NonLocal2d(4), tmp_path / "none" / "block.safetensors")


def test_a_folder_is_no_weights_file(tmp_path):
    with pytest.raises(nlmeans.InvalidValueError, match="is a folder"):
        learned.load_weights(learned.NonLocal2d(4), tmp_path)


@pytest.mark.parametrize("window", [None, 1])
def test_a_bandwidth_near_zero_stays_finite_with_torch_and_without(tmp_path, window):
    block = learned.NonLocal2d(4, mode="euclidean", bandwidth=1e-30, window=window, zero_init=False)
    x = torch.randn(1, 4, 5, 5)
    result = block(x).detach().numpy()
    assert np.isfinite(result).all()
    learned.save_weights(block, tmp_path / "block.safetensors")
    np.testing.assert_allclose(nonlocal_block(x.numpy(), tmp_path / "block.safetensors"), result, atol=1e-5)


def test_files_of_version_0_1_are_read_with_their_settings(tmp_path):
    """The key of a file's metadata is part of the format: files written once are read for ever."""
    from nlmeans.learned.weights_file import SETTINGS_KEY

    block = learned.NonLocal2d(4, mode="dot_product")
    learned.save_weights(block, tmp_path / "w.safetensors")
    assert SETTINGS_KEY == "nlmeans.block"
    assert b'"nlmeans.block"' in (tmp_path / "w.safetensors").read_bytes()
