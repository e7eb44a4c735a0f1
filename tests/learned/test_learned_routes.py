"""Every way the learned block takes its mean: equal to the core, gradients too, and in linear memory."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from nlmeans import nonlocal_mean
from nlmeans.operation.nonlocal_mean import Task
from nlmeans.operation.similarity import Concatenation, DotProduct, Euclidean, Gaussian

pytestmark = pytest.mark.usefixtures("one_torch_thread")
torch = pytest.importorskip("torch")
pytest.importorskip("torch")
learned = importlib.import_module("nlmeans.learned")
attend = importlib.import_module("nlmeans.learned.arithmetic.routes").attend
BLOCKS = {1: learned.NonLocal1d, 2: learned.NonLocal2d, 3: learned.NonLocal3d}
MODES = ("gaussian", "embedded_gaussian", "dot_product", "concatenation", "euclidean")
ROUTES = {
    "gaussian": (Gaussian(0.3), "softmax", None),
    "gaussian count": (Gaussian(0.3), "count", None),
    "euclidean": (Euclidean(1.3), "softmax", None),
    "euclidean count": (Euclidean(1.3), "count", None),
    "euclidean clamped": (Euclidean(1.3, 0.4), "softmax", None),
    "euclidean max": (Euclidean(1.3, 0.4), "softmax", "max"),
    "euclidean zero": (Euclidean(1.3), "softmax", "zero"),
    "dot product": (DotProduct(0.7), "count", None),
    "concatenation": (Concatenation(torch.linspace(-1, 1, 6, dtype=torch.double)), "count", None),
}
GRIDS = {(40,): (3,), (11, 13): (2, 3), (10, 9): (0, 4), (6, 5): (9, 1), (5, 4, 6): (1, 2, 3)}


@pytest.fixture(params=[2**26, 50_000], ids=["at once", "in pieces"])
def chunk(request, monkeypatch):
    """The bytes a piece of the work may take; the small number makes many pieces."""
    for module in ("whole", "windows"):
        monkeypatch.setattr(f"nlmeans.learned.arithmetic.{module}.CHUNK", request.param)
    return request.param


def both(name, grid, window, dtype=torch.double):
    """Result and gradients of the block's evaluation, and of the core's dense one."""
    similarity, normalisation, center = ROUTES[name]
    if isinstance(similarity, Concatenation):
        similarity = Concatenation(similarity.weight.to(dtype))
    inputs = [torch.randn(2, *grid, d, dtype=dtype, requires_grad=True) for d in (3, 3, 2)]
    cotangent = torch.randn(2, *grid, 2, dtype=dtype)
    task = Task.of(similarity, normalisation, window, center, 2**30)
    core = {"similarity": similarity, "normalisation": normalisation, "window": window, "center": center}
    wide = inputs if window is not None else [a.flatten(1, -2) for a in inputs]
    for mean in (attend(*inputs, task), nonlocal_mean(*wide, **core).reshape(cotangent.shape)):
        yield mean, torch.autograd.grad(mean, inputs, cotangent)


@pytest.mark.parametrize("name", ROUTES)
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("windowed", [True, False])
def test_every_route_equals_the_core_with_its_gradients(name, grid, windowed, chunk):
    ours, core = both(name, grid, GRIDS[grid] if windowed else None)
    torch.testing.assert_close(ours, core, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ROUTES)
@pytest.mark.parametrize("window", [(3, 2), None])
def test_float32_loses_no_more_than_its_own_digits(name, window):
    ours, core = both(name, (19, 23), window, torch.float32)
    torch.testing.assert_close(ours, core, rtol=1e-5, atol=2e-5)


def test_a_narrow_prefix_is_cut_where_the_sum_is_zero_exactly():
    """Keys with b = -a weigh nothing from either side."""
    a = torch.tensor([[[1.0, 0.0], [0.0, 0.0], [-1.0, 0.0]]], dtype=torch.double)
    value = torch.ones(1, 3, 1, dtype=torch.double)
    weight = torch.tensor([1.0, 0.0, 1.0, 0.0], dtype=torch.double)
    got = attend(a, a, value, Task.of(Concatenation(weight), "count", None, None, 2**30))
    assert got.flatten().tolist() == [1.0, 1 / 3, 0.0]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("grid", [(5,), (3, 4), (2, 3, 2)])
@pytest.mark.parametrize("window", [None, 1])
def test_gradients_of_input_and_weights_are_those_of_differences(mode, grid, window):
    settings = {"learn_bandwidth": True} if mode == "euclidean" else {}
    block = BLOCKS[len(grid)](3, mode=mode, window=window, zero_init=False, **settings).double()
    x = torch.randn(2, 3, *grid, dtype=torch.double, requires_grad=True)
    trained = (x, *block.parameters())
    assert torch.autograd.gradcheck(lambda x, *_: block(x), trained, fast_mode=True)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("window", [None, 1])
def test_second_derivatives_exist_on_the_mathematical_route(mode, window):
    from torch.nn.attention import SDPBackend, sdpa_kernel

    block = learned.NonLocal2d(3, mode=mode, window=window, zero_init=False, unit_length=True).double()
    x = torch.randn(1, 3, 3, 4, dtype=torch.double, requires_grad=True)
    with sdpa_kernel(SDPBackend.MATH):
        assert torch.autograd.gradgradcheck(block, (x,), fast_mode=True)


def test_memory_is_linear_in_the_positions():
    """N = 16384: one float32 matrix of N x N would be 1024 MiB, and a gradient needs three; 5184: 100."""
    code = """
import resource, torch
from nlmeans import Parameters
from nlmeans.learned import NLMeans, NonLocal2d
torch.set_num_threads(1)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

def used(module, channels, length):
    x = torch.randn(1, channels, 8, 8, requires_grad=True)
    module(x).square().sum().backward()
    x = torch.randn(1, channels, length, length, requires_grad=True)
    before = peak()
    module(x).square().sum().backward()
    return peak() - before

for mode, length in (("dot_product", 128), ("concatenation", 128), ("gaussian", 72), ("euclidean", 72)):
    print(mode, used(NonLocal2d(8, mode=mode), 8, length))
print("embedded_gaussian", used(NonLocal2d(8), 8, 128))
print("window", used(NonLocal2d(8, window=5), 8, 128))
print("window, any", used(NonLocal2d(8, mode="dot_product", window=3), 8, 128))
parameters = Parameters(patch_radius=1, search_radius=7, sigma=0.1, k=1.0, aggregate="pixel")
print("filter", used(NLMeans(parameters, learn_h=True), 1, 160))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    peaks = {name: float(p) for name, p in (line.rsplit(" ", 1) for line in done.stdout.splitlines())}
    assert len(peaks) == 8
    dense = [peaks.pop(name) for name in ("window, any", "filter")]  # pieces of 64 MiB, by weights
    assert max(dense) < 220, dense
    assert max(peaks.values()) < 60, peaks
