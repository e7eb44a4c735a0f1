"""The block as engineers use it: exported, compiled, on other devices and types, differentiated twice."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402

from nlmeans.errors import InvalidValueError  # noqa: E402
from nlmeans.learned import NonLocal1d, NonLocal2d, load_weights, save_weights  # noqa: E402

KINDS: dict[str, dict[str, Any]] = {
    "default": {},
    "window": {"mode": "euclidean", "window": 3, "tied": True, "unit_length": True},
    "dot product": {"mode": "dot_product"},
    "concatenation": {"mode": "concatenation"},
    "pooled": {"sub_sample": True, "norm": "batch"},
}


def block(kind: str, channels: int = 8) -> Any:
    torch.manual_seed(0)
    return NonLocal2d(channels, zero_init=False, **KINDS[kind]).eval()


def features(*shape: int, dtype: Any = None) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=dtype)


@pytest.mark.parametrize("kind", KINDS)
def test_a_block_is_exported_and_compiled_whole(kind: str) -> None:
    one, x = block(kind), features(2, 8, 12, 11)
    expected = one(x)
    torch.testing.assert_close(torch.export.export(one, (x,)).module()(x), expected)
    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(one, fullgraph=True, backend="eager")(x), expected)


@pytest.mark.filterwarnings("ignore")  # of the exporter's own calls
@pytest.mark.parametrize("kind", ["default", "window"])
def test_a_block_runs_in_onnxruntime(kind: str) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    one, x = block(kind), features(1, 8, 9, 10)
    program = torch.onnx.export(one, (x,), dynamo=True, verbose=False)
    session = runtime.InferenceSession(program.model_proto.SerializeToString())
    (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), one(x).detach(), atol=1e-5, rtol=1e-4)


def test_what_is_not_finite_is_refused_outside_of_a_trace() -> None:
    x = torch.full((1, 8, 4, 4), float("nan"))
    with pytest.raises(InvalidValueError, match="not finite"):
        block("default")(x)
    torch._dynamo.reset()
    assert torch.compile(block("default"), fullgraph=True, backend="eager")(x).isnan().any()


@pytest.mark.parametrize("kind", ["default", "window", "dot product"])
def test_meta_tensors_tell_shapes(kind: str) -> None:
    one = NonLocal2d(8, device="meta", **KINDS[kind])
    result = one(torch.empty(2, 8, 33, 20, device="meta"))
    assert (result.shape, result.device.type) == ((2, 8, 33, 20), "meta")


def test_device_and_dtype_are_those_of_the_weights() -> None:
    one = NonLocal1d(8, device="cpu", dtype=torch.float64)
    assert {p.dtype for p in one.parameters()} == {torch.float64}
    assert one(features(1, 8, 5, dtype=torch.float64)).dtype == torch.float64
    half = NonLocal2d(8, zero_init=False, dtype=torch.bfloat16)
    x = features(2, 8, 6, 6)
    result = half(x.bfloat16())
    assert result.dtype == torch.bfloat16
    torch.testing.assert_close(result.float(), half.float()(x), atol=0.05, rtol=0.05)


@pytest.mark.parametrize("kind", ["default", "window", "dot product"])
def test_a_gradient_of_a_gradient(kind: str) -> None:
    one = block(kind, 4).double()
    x = features(1, 4, 5, 4, dtype=torch.float64).requires_grad_()
    with sdpa_kernel(SDPBackend.MATH):
        assert torch.autograd.gradgradcheck(one, (x,))


@pytest.mark.parametrize(
    ("theirs", "ours", "hint"),
    [
        ("batch", None, 'have a norm after W_z, "bn": build the block with norm="batch"'),
        (None, "batch", "have no norm after W_z: build the block with norm=None"),
    ],
)
def test_weights_of_a_block_with_another_norm_say_which(
    theirs: str | None, ours: str | None, hint: str, tmp_path: Path
) -> None:
    other = NonLocal2d(8, norm=theirs)
    with pytest.raises(RuntimeError, match=re.escape(hint)):
        NonLocal2d(8, norm=ours).load_state_dict(other.state_dict())
    pytest.importorskip("safetensors")
    save_weights(other, tmp_path / "b.safetensors")
    with pytest.raises(InvalidValueError, match=re.escape(hint)):
        load_weights(NonLocal2d(8, norm=ours), tmp_path / "b.safetensors")
