"""The sixteen properties of any NL-means filter, on examples that Hypothesis invents."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import nlmeans
from nlmeans import MemoryLimitError, Parameters, denoise

from ..conftest import TOLERANCE

#: Two results, each within its own tolerance of the exact one.  Values are of the order of 1.
NEAR = 4 * TOLERANCE["ordinary"]
RULES = st.fixed_dictionaries(
    {
        "patch": st.sampled_from(["box", "gaussian"]),
        "center": st.sampled_from(["max", "one", "zero"]),
        "aggregate": st.sampled_from(["pixel", "patch"]),
    }
)
few = settings(max_examples=max(10, settings.default.max_examples // 2))


@st.composite
def images(draw: st.DrawFn, dims: tuple[int, ...] = (1, 2, 3), channels: int | None = None) -> np.ndarray:
    """A float32 picture in [0, 1] of a few levels with noise, edges and flat parts."""
    ndim = draw(st.sampled_from(dims))
    shape = tuple(draw(st.integers(1, {1: 24, 2: 10, 3: 5}[ndim])) for _ in range(ndim))
    shape = shape if channels is None else (*shape, channels)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = rng.integers(0, draw(st.integers(1, 4)), shape) / 3
    noise = draw(st.sampled_from([0.0, 0.02, 0.1]))
    return (levels + rng.normal(0, noise, shape)).clip(0, 1).astype(np.float32)


@st.composite
def options(draw: st.DrawFn, ndim: int, **fixed: Any) -> dict[str, Any]:
    """Parameters of one filter for a picture with values in [0, 1]."""
    sigma = draw(st.sampled_from([0.0, 0.03, 0.1, 0.3]))
    by_h = draw(st.booleans()) or sigma == 0
    strength = draw(st.floats(0.05, 2))
    drawn = {
        "sigma": sigma,
        **({"h": 0.2 * strength} if by_h else {"k": strength}),
        "patch_radius": tuple(draw(st.integers(0, 2)) for _ in range(ndim)),
        "search_radius": tuple(draw(st.integers(0, 3 if ndim < 3 else 1)) for _ in range(ndim)),
        **draw(RULES),
    }
    return {**drawn, **fixed}


def volume_or_less(image: np.ndarray) -> bool:
    """Whether nobody would take the last axis for channels (which is a warning of its own)."""
    return image.ndim < 3 or image.shape[-1] > 4


def near(got: np.ndarray, expected: Any, tolerance: float = NEAR) -> None:
    np.testing.assert_allclose(
        np.asarray(got, np.float64), np.asarray(expected, np.float64), rtol=0, atol=tolerance
    )


def run(image: np.ndarray, backend: str, parameters: dict[str, Any], **more: Any) -> np.ndarray:
    return denoise(image, backend=backend, **{**parameters, **more})


@given(data=st.data())
def test_1_shape_and_type_are_kept(data: st.DataObject, backend: str) -> None:
    image = data.draw(images().filter(volume_or_less))
    dtype = data.draw(st.sampled_from(["int8", "uint8", "int16", "uint16", "float16", "float32", "float64"]))
    image = (image * 100).astype(dtype)
    result = run(image, backend, data.draw(options(image.ndim)))
    assert (result.shape, result.dtype) == (image.shape, image.dtype)
    assert np.isfinite(result).all()


@given(data=st.data())
def test_2_the_result_lies_between_the_least_and_the_largest_input(data: st.DataObject, backend: str) -> None:
    image = data.draw(images().filter(volume_or_less))
    result = run(image, backend, data.draw(options(image.ndim)))
    assert result.min() >= image.min() - NEAR
    assert result.max() <= image.max() + NEAR


@given(data=st.data(), value=st.floats(-(2.0**100), 2.0**100, width=32))
def test_3_constants_are_returned_exactly(data: st.DataObject, value: float, backend: str) -> None:
    image = np.full_like(data.draw(images().filter(volume_or_less)), value)
    result = run(image, backend, data.draw(options(image.ndim)))
    np.testing.assert_array_equal(result, image)


@given(data=st.data(), offset=st.sampled_from([-0.75, 1.0, 64.0, -4096.0]))
def test_4_adding_a_constant_adds_it(data: st.DataObject, offset: float, backend: str) -> None:
    shifted = data.draw(images().filter(volume_or_less)) + np.float32(offset)
    image = shifted - np.float32(offset)  # what is left after the rounding of the sum
    parameters = data.draw(options(image.ndim))
    ulp = float(np.finfo(np.float32).eps * abs(offset))
    near(run(shifted, backend, parameters) - offset, run(image, backend, parameters), NEAR + ulp)


@given(data=st.data(), factor=st.sampled_from([0.001, 0.5, 3.0, 255.0, 1e6]))
def test_5_image_sigma_and_strength_scale_together(data: st.DataObject, factor: float, backend: str) -> None:
    image = data.draw(images().filter(volume_or_less)).astype(np.float64)
    parameters = data.draw(options(image.ndim))
    scaled = {n: v * factor if n in {"sigma", "h"} else v for n, v in parameters.items()}
    near(run(image * factor, backend, scaled) / factor, run(image, backend, parameters))


@given(data=st.data())
def test_6_flips_and_transposes_commute(data: st.DataObject, backend: str) -> None:
    image = data.draw(images((1, 2)))
    parameters = data.draw(options(image.ndim))
    expected = run(image, backend, parameters)
    for axis in range(image.ndim):
        near(np.flip(run(np.flip(image, axis), backend, parameters), axis), expected)
    turned = {n: v[::-1] if isinstance(v, tuple) else v for n, v in parameters.items()}
    near(run(image.T, backend, turned).T, expected)


@given(data=st.data())
def test_6b_flips_of_volumes_and_transposes_in_their_planes_commute(
    data: st.DataObject, backend: str
) -> None:
    image = np.pad(data.draw(images((3,))), ((0, 0), (2, 2), (2, 2)), mode="wrap")  # no axis like channels
    parameters = data.draw(options(3))
    expected = run(image, backend, parameters)
    for axis in range(3):
        near(np.flip(run(np.flip(image, axis), backend, parameters), axis), expected)
    turned = {n: (v[0], v[2], v[1]) if isinstance(v, tuple) else v for n, v in parameters.items()}
    near(run(image.transpose(0, 2, 1), backend, turned).transpose(0, 2, 1), expected)


@given(data=st.data(), h=st.sampled_from([0.0, 1e-30, 1e-6, 1e-3]))
def test_7_a_vanishing_strength_without_noise_returns_the_input(
    data: st.DataObject, h: float, backend: str
) -> None:
    image = np.round(data.draw(images().filter(volume_or_less)) * 8) / 8  # samples are equal or far apart
    fixed = {"sigma": 0.0, "aggregate": "pixel"}
    parameters = data.draw(options(image.ndim, **fixed))
    parameters = {**{n: v for n, v in parameters.items() if n != "k"}, "h": h}
    near(run(image, backend, parameters), image)


@given(data=st.data(), center=st.sampled_from(["max", "one"]))
def test_8_an_endless_strength_returns_the_window_mean(
    data: st.DataObject, center: str, backend: str
) -> None:
    image = data.draw(images((2,)))
    parameters = data.draw(options(2, sigma=0.0, center=center, aggregate="pixel"))
    parameters = {**{n: v for n, v in parameters.items() if n != "k"}, "h": 1e9}
    down, along = parameters["search_radius"]
    expected = np.empty(image.shape)
    for y, x in np.ndindex(image.shape):
        window = image[max(0, y - down) : y + down + 1, max(0, x - along) : x + along + 1]
        expected[y, x] = window.mean(dtype=np.float64)
    near(run(image, backend, parameters), expected)


@given(data=st.data())
def test_9_permuting_channels_permutes_the_result(data: st.DataObject, backend: str) -> None:
    image = data.draw(images((1, 2), channels=3))
    parameters = data.draw(options(image.ndim - 1))
    order = data.draw(st.permutations(range(3)))
    joint = {"channel_axis": -1, "color": "joint"}
    expected = run(image, backend, parameters, **joint)[..., order]
    near(run(image[..., order], backend, parameters, **joint), expected)


@given(data=st.data(), axis=st.integers(0, 2))
def test_10_one_channel_repeated_three_times_is_grey(data: st.DataObject, axis: int, backend: str) -> None:
    image = data.draw(images((2,)))
    parameters = data.draw(options(2))
    colour = run(np.stack([image] * 3, axis), backend, parameters, channel_axis=axis, color="joint")
    for channel in np.moveaxis(colour, axis, 0):
        near(channel, run(image, backend, parameters))


@given(data=st.data())
def test_11_padding_by_a_mirror_changes_nothing_inside(data: st.DataObject, backend: str) -> None:
    image = data.draw(images((1, 2)))
    parameters = data.draw(options(image.ndim))
    reach = zip(parameters["search_radius"], parameters["patch_radius"], strict=True)
    # windows of the padded picture reach further, so only pixels whose windows were whole are equal
    cut = tuple(big + (r if parameters["aggregate"] == "patch" else 0) for big, r in reach)
    assume(all(n > 2 * c for n, c in zip(image.shape, cut, strict=True)))
    padded = run(np.pad(image, 3, mode="symmetric"), backend, parameters)
    inside = tuple(slice(c, n - c) for n, c in zip(image.shape, cut, strict=True))
    in_padded = tuple(slice(3 + c, 3 + n - c) for n, c in zip(image.shape, cut, strict=True))
    near(padded[in_padded], run(image, backend, parameters)[inside])


@given(data=st.data())
def test_12_the_input_may_be_read_only_and_of_any_strides_and_is_not_modified(
    data: st.DataObject, backend: str
) -> None:
    image = data.draw(images().filter(volume_or_less))
    parameters = data.draw(options(image.ndim))
    before, expected = image.copy(), run(image, backend, parameters)
    np.testing.assert_array_equal(image, before)
    holder = np.zeros(tuple(2 * n for n in image.shape), image.dtype)[
        tuple(slice(None, None, 2) for _ in image.shape)
    ]
    holder[...] = image
    turned = np.flip(np.ascontiguousarray(np.flip(image)))
    for view in (holder, turned, np.asfortranarray(image), image.astype(">f4")):
        view.flags.writeable = False
        near(run(view, backend, parameters), expected, 0)


@settings(max_examples=max(6, settings.default.max_examples // 4))
@given(data=st.data(), seed=st.integers(0, 2**32 - 1), shrink=st.integers(4, 14))
def test_13_tiles_are_the_whole(data: st.DataObject, seed: int, shrink: int, backend: str) -> None:
    image = np.random.default_rng(seed).random((140, 80), dtype=np.float32)
    parameters = data.draw(options(2))
    least = 2**22
    for _ in range(shrink):
        try:
            result = run(image, backend, parameters, memory_limit=least)
        except MemoryLimitError:
            break
        least //= 2
    near(result, run(image, backend, parameters))


@few
@given(data=st.data(), workers=st.integers(1, 8))
def test_14_the_number_of_workers_is_of_no_consequence(
    data: st.DataObject, workers: int, backend: str
) -> None:
    image = data.draw(images().filter(volume_or_less))
    parameters = data.draw(options(image.ndim))
    result = run(image, backend, parameters, workers=workers)
    np.testing.assert_array_equal(result, run(image, backend, parameters, workers=1))


@given(
    seed=st.integers(0, 2**32 - 1),
    factor=st.sampled_from([0.01, 2.0, 255.0]),
    offset=st.sampled_from([-100.0, 0.0, 1000.0]),
)
def test_15_the_noise_estimate_scales_with_the_noise_and_ignores_a_constant(
    seed: int, factor: float, offset: float
) -> None:
    noise = np.random.default_rng(seed).normal(0, 1, (48, 56))
    estimate = nlmeans.estimate_sigma(noise)
    assert 0.8 < estimate < 1.2
    np.testing.assert_allclose(nlmeans.estimate_sigma(factor * noise + offset), factor * estimate, rtol=1e-6)


@given(data=st.data())
def test_16_parameters_survive_json_and_pickle(data: st.DataObject) -> None:
    parameters = Parameters(**data.draw(st.integers(1, 3).flatmap(options)))
    for copy in (Parameters.from_json(parameters.to_json()), pickle.loads(pickle.dumps(parameters))):  # noqa: S301
        assert copy == parameters
        assert hash(copy) == hash(parameters)
