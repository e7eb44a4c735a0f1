"""The filter as a transform: like `denoise` for each picture, whatever the axes before it and the type."""

from __future__ import annotations

import copy
import importlib
import pickle

import numpy as np
import pytest

import nlmeans

pytestmark = pytest.mark.usefixtures("one_torch_thread")
torch = pytest.importorskip("torch")
learned = importlib.import_module("nlmeans.learned")
QUICK = {"patch_radius": 1, "search_radius": 2, "k": 0.6}
RNG = np.random.default_rng(3)


def noisy(*shape: int) -> np.ndarray:
    ramp = np.add.outer(np.linspace(0, 0.5, shape[-2]), np.linspace(0, 0.4, shape[-1]))
    return (ramp + RNG.normal(0, 0.1, shape)).astype(np.float32)


@pytest.mark.parametrize(
    "shape", [(1, 12, 15), (3, 12, 15), (4, 1, 12, 15), (2, 3, 12, 15), (2, 2, 3, 9, 11)]
)
def test_every_picture_is_denoised_alone(shape: tuple[int, ...]) -> None:
    given = noisy(*shape)
    step = learned.Denoise(sigma=0.1, **QUICK)
    got = step(torch.from_numpy(given))
    assert (got.shape, got.dtype, got.requires_grad) == (shape, torch.float32, False)
    for each, clean in zip(given.reshape(-1, *shape[-3:]), got.reshape(-1, *shape[-3:]), strict=True):
        alone = nlmeans.denoise(each, channel_axis=0, sigma=0.1, **QUICK)
        np.testing.assert_array_equal(clean.numpy(), alone)
        assert np.abs(alone - each).max() > 0.01


@pytest.mark.parametrize("dtype", ["uint8", "float16", "bfloat16", "float64"])
def test_the_type_stays(dtype: str) -> None:
    given = torch.from_numpy(noisy(3, 12, 15) * 100 + 50).to(getattr(torch, dtype))
    got = learned.Denoise(sigma=10.0, **QUICK)(given)
    assert got.dtype == given.dtype
    assert got.float().std() < given.float().std()


class Labelled(torch.Tensor):
    """As torchvision's tv_tensors are: a subclass without data of its own."""


def test_subclasses_and_what_comes_along_stay() -> None:
    given = torch.from_numpy(noisy(1, 12, 15)).as_subclass(Labelled)
    label = object()
    got, kept = learned.Denoise(sigma=0.1, **QUICK)(given, label)
    assert type(got) is Labelled
    assert kept is label


def test_it_is_a_module_among_others() -> None:
    """In a sequence, copied, pickled for the workers of a DataLoader."""
    x = torch.from_numpy(noisy(2, 1, 12, 15))
    step = learned.Denoise(sigma=0.1, **QUICK)
    steps = torch.nn.Sequential(torch.nn.Identity(), pickle.loads(pickle.dumps(copy.deepcopy(step))))  # noqa: S301
    assert torch.equal(steps(x), step(x))
    assert not list(step.parameters())
    assert "sigma=0.1" in repr(step)


def test_the_noise_of_each_picture_is_its_own() -> None:
    pictures = np.stack([noisy(1, 64, 64), 4 * noisy(1, 64, 64)])
    got = learned.Denoise()(torch.from_numpy(pictures))
    for each, clean in zip(pictures, got, strict=True):
        np.testing.assert_array_equal(clean.numpy(), nlmeans.denoise(each, channel_axis=0))


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        (np.zeros((3, 8, 8)), TypeError, "ToImage"),
        (torch.zeros(8, 8), ValueError, "(..., C, H, W)"),
        (torch.zeros(0, 3, 8, 8), ValueError, "(0, 3, 8, 8)"),
        (torch.zeros(3, 8, 8, requires_grad=True), ValueError, "NLMeans"),
        (torch.zeros(3, 8, 8, dtype=torch.int64), TypeError, "int64"),
    ],
)
def test_what_is_no_picture_is_refused(given: object, error: type[Exception], says: str) -> None:
    with pytest.raises(error) as caught:
        learned.Denoise(sigma=0.1)(given)
    assert says in str(caught.value)
    assert isinstance(caught.value, nlmeans.NLMeansError)


def test_settings_that_belong_to_one_picture_are_refused() -> None:
    with pytest.raises(nlmeans.InvalidValueError, match="channel_axis"):
        learned.Denoise(channel_axis=0)
    with pytest.raises(TypeError, match="sgima"):
        learned.Denoise(sgima=3)
