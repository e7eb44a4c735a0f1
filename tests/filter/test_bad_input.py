"""What is refused, and how: one line of our own that says what came and what is allowed."""

from __future__ import annotations

import math
import random
import re
import reprlib
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nlmeans
from nlmeans import (
    BackendUnavailableError,
    InvalidTypeError,
    InvalidValueError,
    MemoryLimitError,
    NLMeansError,
    denoise,
    weights,
)
from nlmeans.parameters import BY_GROUPS, OF_NLMEANS

from ..conftest import TOLERANCE

GREY = np.random.default_rng(0).random((7, 6)).astype(np.float32)
COLOUR = np.random.default_rng(1).random((7, 6, 3)).astype(np.float32)
FIXED: dict[str, Any] = {"sigma": 0.1, "k": 0.7, "patch_radius": 1, "search_radius": 1}
NAN, INF = math.nan, math.inf
VALUE, TYPE = InvalidValueError, InvalidTypeError


def with_nan(image: np.ndarray, at: tuple[int, ...], value: float = NAN) -> np.ndarray:
    image = image.copy()
    image[at] = value
    return image


class Odd:
    """An object that is no number and no array."""

    def __repr__(self) -> str:
        return "<odd>"


# Each row: what is wrong, the class of the error, and what its message must say (regular expressions):
# the parameter, what came, what is allowed.

NUMBERS: list[tuple[Any, type[NLMeansError], str]] = [
    (-1.0, InvalidValueError, r"-1\.0"),
    (-1e-300, InvalidValueError, r"-1e-300"),
    (NAN, InvalidValueError, r"nan"),
    (INF, InvalidValueError, r"inf"),
    (-INF, InvalidValueError, r"-inf"),
    (10**400, InvalidValueError, r"1000000"),
    ("0.1", InvalidTypeError, r"'0\.1'"),
    (True, InvalidTypeError, r"True"),
    (np.True_, InvalidTypeError, r"True"),
    (1j, InvalidTypeError, r"1j"),
    (b"1", InvalidTypeError, r"b'1'"),
    ({}, InvalidTypeError, r"\{\}"),
    (Odd(), InvalidTypeError, r"<odd>"),
]
RADII: list[tuple[Any, type[NLMeansError], str]] = [
    (-1, InvalidValueError, r"-1"),
    ((1, -2), InvalidValueError, r"-2"),
    (2**63, InvalidValueError, str(2**63)),
    (-(2**63), InvalidValueError, str(-(2**63))),
    ((), InvalidValueError, r"\(\)"),
    ((1, 2, 3), InvalidValueError, r"\(1, 2, 3\)"),
    ((1,), InvalidValueError, r"\(1,\)"),
    ((1, 1, 1, 1), InvalidValueError, r"\(1, 1, 1, 1\)"),
    (1.0, InvalidTypeError, r"1\.0"),
    (NAN, InvalidTypeError, r"nan"),
    ((1, 1.5), InvalidTypeError, r"1\.5"),
    ("3", InvalidTypeError, r"'3'"),
    ("whole", InvalidTypeError, r"'whole'"),
    (True, InvalidTypeError, r"True"),
    ((True, 1), InvalidTypeError, r"True"),
    (np.True_, InvalidTypeError, r"True"),
    (((1, 1), 1), InvalidTypeError, r"\(1, 1\)"),
    ({1: 1}, InvalidTypeError, r"\{1: 1\}"),
    (Odd(), InvalidTypeError, r"<odd>"),
]
A_NUMBER = r"number"
A_RADIUS = r"integer|radii|radius"


def rows() -> list[Any]:
    table: list[
        tuple[str, dict[str, Any], type[NLMeansError] | tuple[type[NLMeansError], ...], list[str]]
    ] = []
    for name in ("sigma", "h", "k"):
        for value, error, came in NUMBERS:
            given_ = {"h": value, "k": None} if name == "h" else {name: value}
            table.append((f"{name}={value!r:.30}", given_, error, [name, came, A_NUMBER]))
    for value, error, came in NUMBERS:
        given_ = {"guide": GREY, "guide_sigma": value}
        table.append((f"guide_sigma={value!r:.30}", given_, error, ["guide_sigma", came, A_NUMBER]))
    for name in ("patch_radius", "search_radius"):
        for value, error, came in RADII:
            table.append((f"{name}={value!r}", {name: value}, error, [name, came, A_RADIUS]))
    for name, allowed, wrong in (
        ("method", ["nlmeans", "nlridge", "learned"], "bm3d"),
        ("patch", ["box", "gaussian"], "disc"),
        ("center", ["max", "one", "zero"], "centre"),
        ("aggregate", ["patch", "pixel"], "pixels"),
        ("nan", ["raise", "keep"], "skip"),
        ("backend", ["auto", "reference", "cpu"], "gpu"),
    ):
        table.append((f"{name}={wrong!r}", {name: wrong}, InvalidValueError, [name, repr(wrong), *allowed]))
        table.append((f"{name}=''", {name: ""}, InvalidValueError, [name, "''", *allowed]))
        for value in (None, 1, True, ["x"], Odd()):
            if value is None and name in ("patch", "center", "aggregate"):
                continue  # by default
            came = re.escape(repr(value))
            table.append((f"{name}={value!r}", {name: value}, InvalidTypeError, [name, came, *allowed]))
    for name, least in (("workers", 1), ("memory_limit", 1)):
        for value in (0, -1, -(2**63)):
            table.append(
                (f"{name}={value!r}", {name: value}, InvalidValueError, [name, str(value), str(least)])
            )
        for value in (1.5, "2", True, NAN, Odd()):
            came = re.escape(repr(value))
            table.append((f"{name}={value!r}", {name: value}, InvalidTypeError, [name, came, r"integer"]))
    table.append(
        ("memory_limit=1", {"memory_limit": 1}, MemoryLimitError, ["memory_limit", r"\b1\b", r"at least \d+"])
    )
    for value in (3, "tick", True, [print]):
        came = re.escape(repr(value)[:8])
        table.append(
            (
                f"progress={value!r}",
                {"progress": value},
                InvalidTypeError,
                ["progress", came, r"callable|function"],
            )
        )
    return [pytest.param(*row[1:], id=row[0]) for row in table]


def refused(error: Any, says: list[str], call: Any, *args: Any, **kwargs: Any) -> None:
    """The call raises that error with one line that says all that."""
    with pytest.raises(error) as caught:
        call(*args, **kwargs)
    message = str(caught.value)
    assert isinstance(caught.value, NLMeansError)
    assert "\n" not in message
    assert 10 < len(message) < 500
    for pattern in says:
        assert re.search(pattern, message), f"{message!r} does not say {pattern!r}"


@pytest.mark.parametrize(("wrong", "error", "says"), rows())
def test_a_bad_parameter_is_named_with_what_came_and_what_is_allowed(
    wrong: dict[str, Any], error: Any, says: list[str]
) -> None:
    refused(error, says, denoise, GREY, **{**FIXED, **wrong})


@pytest.mark.parametrize(("wrong", "error", "says"), rows())
def test_weights_refuses_what_denoise_refuses(wrong: dict[str, Any], error: Any, says: list[str]) -> None:
    if set(wrong) & {"backend", "workers", "progress", "memory_limit"}:
        pytest.skip("not a parameter of weights")
    refused(error, says, weights, GREY, (1, 1), **{**FIXED, **wrong})


IMAGES: list[tuple[str, Any, type[NLMeansError], list[str]]] = [
    ("a list", [[1.0, 2.0]], InvalidTypeError, ["image", "list", "NumPy"]),
    ("None", None, InvalidTypeError, ["image", "NoneType", "NumPy"]),
    ("a number", 3.0, InvalidTypeError, ["image", "float", "NumPy"]),
    ("a name", "noisy.png", InvalidTypeError, ["image", "str", "NumPy"]),
    ("bytes", b"123", InvalidTypeError, ["image", "bytes", "NumPy"]),
    ("an object", Odd(), InvalidTypeError, ["image", "Odd", "NumPy"]),
    ("a NumPy number", np.float32(3), InvalidTypeError, ["image", "float32"]),
    ("an array of no axis", np.array(3.0), InvalidValueError, ["image", r"\(\)", r"1 to 3"]),
    (
        "an array of four axes",
        np.ones((2, 2, 2, 5)),
        InvalidValueError,
        ["image", "4", r"1 to 3", r"\(2, 2, 2, 5\)"],
    ),
    ("an array of 33 axes", np.ones((1,) * 33), InvalidValueError, ["image", "33", r"1 to 3"]),
    ("an empty array", np.ones((0,)), InvalidValueError, ["image", r"\(0,\)", "at least one"]),
    ("an empty axis", np.ones((4, 0, 3)), InvalidValueError, ["image", r"\(4, 0, 3\)", "at least one"]),
    ("bools", np.ones((4, 4), bool), InvalidTypeError, ["image", "bool", "uint8.*float64"]),
    ("complex", np.ones((4, 4), complex), InvalidTypeError, ["image", "complex128", "uint8.*float64"]),
    ("objects", np.full((4, 4), None), InvalidTypeError, ["image", "object", "uint8.*float64"]),
    ("int64", np.ones((4, 4), np.int64), InvalidTypeError, ["image", "int64", "uint8.*float64"]),
    ("text", np.full((4, 4), "a"), InvalidTypeError, ["image", "str", "uint8.*float64"]),
    ("dates", np.zeros((4, 4), "M8[s]"), InvalidTypeError, ["image", "datetime64", "uint8.*float64"]),
    ("records", np.zeros((4, 4), [("a", "f4")]), InvalidTypeError, ["image", "uint8.*float64"]),
    (
        "one NaN",
        with_nan(GREY, (2, 5)),
        InvalidValueError,
        ["image", r"\b1\b", r"\(2, 5\)", "finite", "keep"],
    ),
    (
        "one inf",
        with_nan(GREY, (6, 0), INF),
        InvalidValueError,
        ["image", r"\b1\b", r"\(6, 0\)", "finite", "keep"],
    ),
    (
        "only NaN",
        np.full((4, 4), NAN),
        InvalidValueError,
        ["image", r"\b16\b", r"\(0, 0\)", "finite", "keep"],
    ),
]


@pytest.mark.parametrize(
    ("image", "error", "says"), [row[1:] for row in IMAGES], ids=[row[0] for row in IMAGES]
)
def test_what_is_no_image_is_refused(image: Any, error: Any, says: list[str]) -> None:
    refused(error, says, denoise, image, **FIXED)
    refused(error, says, denoise, image)
    refused(error, says, weights, image, (1, 1), **FIXED)


@pytest.mark.parametrize(
    ("name", "image", "error"), [row[:3] for row in IMAGES], ids=[row[0] for row in IMAGES]
)
def test_the_noise_of_no_image_is_not_estimated(name: str, image: Any, error: Any) -> None:
    if name in {"one NaN", "one inf", "only NaN"}:  # pixels that are not finite are left out
        assert 0 <= nlmeans.estimate_sigma(image) < 1
    else:
        refused(error, ["image"], nlmeans.estimate_sigma, image)


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
@pytest.mark.parametrize("name", ["image", "mask", "guide", "sigma"])
def test_matrices_are_refused_or_taken_for_arrays(name: str) -> None:
    plain = {"image": GREY, "mask": GREY > 0.2, "guide": GREY, "sigma": GREY}[name]
    options = {name: np.asmatrix(plain)} if name != "image" else {}
    image = np.asmatrix(GREY) if name == "image" else GREY
    finite_or_refused(image, {**FIXED, **options})


def test_masked_arrays_are_refused_with_the_way_out() -> None:
    hidden = np.ma.array(GREY, mask=GREY > 0.5)
    refused(InvalidTypeError, ["image", "masked array", r"mask=~image\.mask"], denoise, hidden, **FIXED)


def test_tensors_that_are_no_plain_memory_are_refused_or_resolved() -> None:
    torch = pytest.importorskip("torch")
    plain = torch.from_numpy(GREY)
    twisted = torch.complex(plain, -plain).conj().imag  # a view with its sign still to be applied
    for tensor in (plain.to_sparse(), plain.to("meta"), plain.clone().requires_grad_(), plain.bfloat16()):
        refused(NLMeansError, [], denoise, tensor, **FIXED)
    np.testing.assert_array_equal(np.asarray(denoise(twisted, **FIXED)), denoise(GREY, **FIXED))


GRID, TURNED = r"\(7, 6\)", r"\(6, 7\)"
TYPES = "uint8.*float64"
TOGETHER: list[tuple[str, np.ndarray, dict[str, Any], Any, list[str]]] = [
    ("h and k", GREY, {"h": 0.1}, VALUE, [r"\bh\b", r"\bk\b", r"either|one of|not both"]),
    ("h and a map", GREY, {"h": 0.1, "k": None, "sigma": GREY}, VALUE, [r"\bh\b", "map", r"\bk\b"]),
    ("h and k and a map", GREY, {"h": 0.1, "sigma": GREY}, VALUE, [r"\bh\b"]),
    ("a map of another shape", GREY, {"sigma": GREY.T}, VALUE, ["sigma", TURNED, GRID]),
    ("a map of an image", COLOUR, {"sigma": COLOUR, "channel_axis": 2},
     VALUE, ["sigma", r"\(7, 6, 3\)", GRID]),
    ("a map with NaN", GREY, {"sigma": with_nan(GREY, (1, 2))}, VALUE, ["sigma", "finite"]),
    ("a map with inf", GREY, {"sigma": with_nan(GREY, (1, 2), INF)}, VALUE, ["sigma", "finite"]),
    ("a map below 0", GREY, {"sigma": with_nan(GREY, (1, 2), -0.1)}, VALUE, ["sigma", r">= 0|negative"]),
    ("a map of text", GREY, {"sigma": np.full((7, 6), "a")}, TYPE, ["sigma"]),
    ("a map of bools", GREY, {"sigma": np.ones((7, 6), bool)}, TYPE, ["sigma", "bool"]),
    ("a complex map", GREY, {"sigma": np.ones((7, 6), complex)}, TYPE, ["sigma", "complex"]),
    ("two sigmas of three channels", COLOUR, {"sigma": (0.1, 0.2), "channel_axis": 2},
     VALUE, ["sigma", r"\b3\b", r"\b2\b|0\.1"]),
    ("sigmas of no channel", GREY, {"sigma": [0.1, 0.2, 0.3]}, VALUE, ["sigma", r"\b3\b"]),
    ("no sigma at all", COLOUR, {"sigma": [], "channel_axis": 2}, VALUE, ["sigma"]),
    ("a sigma below 0", COLOUR, {"sigma": [0.1, -0.2, 0.3], "channel_axis": 2}, VALUE, ["sigma", r"-0\.2"]),
    ("a sigma of text", COLOUR, {"sigma": [0.1, "b", 0.3], "channel_axis": 2}, TYPE, ["sigma", "'b'"]),
    ("channel_axis beyond", GREY, {"channel_axis": 2}, VALUE, ["channel_axis", r"\b2\b", r"-2.*1"]),
    ("channel_axis before", GREY, {"channel_axis": -3}, VALUE, ["channel_axis", "-3", r"-2.*1"]),
    ("channel_axis 2**63", GREY, {"channel_axis": 2**63}, VALUE, ["channel_axis", str(2**63)]),
    ("channel_axis 1.0", GREY, {"channel_axis": 1.0}, TYPE, ["channel_axis", r"1\.0", "integer"]),
    ("channel_axis True", GREY, {"channel_axis": True}, TYPE, ["channel_axis", "True", "integer"]),
    ("channel_axis 'last'", GREY, {"channel_axis": "last"}, TYPE, ["channel_axis", "'last'", "integer"]),
    ("channel_axis of a signal", GREY[0], {"channel_axis": 0}, VALUE, ["1 to 3", r"channel_axis=0"]),
    ("a mask of another shape", GREY, {"mask": np.ones((6, 7), bool)}, VALUE, ["mask", TURNED, GRID]),
    ("a mask with channels", COLOUR, {"mask": np.ones((7, 6, 3), bool), "channel_axis": 2},
     VALUE, ["mask", r"\(7, 6, 3\)", GRID]),
    ("a mask of numbers", GREY, {"mask": np.ones((7, 6))}, TYPE, ["mask", "float64", "bool"]),
    ("a mask of lists", GREY, {"mask": [[True] * 6] * 7}, TYPE, ["mask", "list", "bool"]),
    ("a mask True", GREY, {"mask": True}, TYPE, ["mask", "bool"]),
    ("a guide of another shape", GREY, {"guide": GREY.T}, VALUE, ["guide", TURNED, GRID]),
    ("a guide of other pixels", COLOUR, {"guide": COLOUR[:6], "channel_axis": 2},
     VALUE, ["guide", r"\(6, 6, 3\)", GRID]),
    ("a guide of bools", GREY, {"guide": np.ones((7, 6), bool)}, TYPE, ["guide", "bool", TYPES]),
    ("a guide of complex", GREY, {"guide": GREY * 1j}, TYPE, ["guide", "complex64", TYPES]),
    ("a guide of lists", GREY, {"guide": GREY.tolist()}, TYPE, ["guide", "list"]),
    ("an empty guide", GREY, {"guide": np.ones((0, 6))}, VALUE, ["guide", r"\(0, 6\)"]),
    ("a guide with NaN", GREY, {"guide": with_nan(GREY, (3, 4))},
     VALUE, ["guide", r"\b1\b", r"\(3, 4\)", "finite"]),
    ("guide_sigma without a guide", GREY, {"guide_sigma": 0.1}, VALUE, ["guide_sigma", r"\bguide\b"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("image", "wrong", "error", "says"), [row[1:] for row in TOGETHER], ids=[row[0] for row in TOGETHER]
)
def test_what_does_not_go_together_is_refused(
    image: np.ndarray, wrong: dict[str, Any], error: Any, says: list[str]
) -> None:
    refused(error, says, denoise, image, **{**FIXED, **wrong})
    at = (1,) * (image.ndim - (1 if "channel_axis" in wrong and image.ndim == 3 else 0))
    refused(error, says, weights, image, at, **{**FIXED, **wrong})


def test_an_unknown_parameter_is_a_mistake_of_the_call() -> None:
    with pytest.raises(TypeError, match="sharpness"):
        denoise(GREY, sharpness=3)  # type: ignore[call-arg]


def test_parameters_are_named_not_counted() -> None:
    with pytest.raises(TypeError, match="positional"):
        denoise(GREY, 0.1)  # type: ignore[misc]


def test_an_explicit_backend_that_cannot_run_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    from nlmeans.backends import reference

    monkeypatch.setattr(reference, "can_run", lambda request: "it is out of order; mend it")
    refused(
        BackendUnavailableError,
        ["reference", "out of order; mend it"],
        denoise,
        GREY,
        backend="reference",
        **FIXED,
    )


def test_nan_under_a_mask_needs_no_other_permission() -> None:
    image, mask = with_nan(GREY, (3, 3)), np.ones(GREY.shape, bool)
    mask[3, 3] = False
    result = denoise(image, mask=mask, **FIXED)
    assert np.isnan(result[3, 3])
    assert np.isfinite(result[mask]).all()


@pytest.mark.parametrize(
    "value", [np.float32(0.1), np.float64(0.1), np.float16(0.1), np.uint8(1), np.array(0.1), 1, -0.0]
)
def test_numbers_of_any_library_are_numbers(value: Any) -> None:
    result = denoise(GREY, **{**FIXED, "sigma": value})
    np.testing.assert_array_equal(result, denoise(GREY, **{**FIXED, "sigma": float(value)}))


@pytest.mark.parametrize("value", [np.int8(1), np.uint64(1), np.array(1), [1, 1], (1, np.int16(1))])
def test_integers_of_any_library_are_radii(value: Any) -> None:
    result = denoise(GREY, **{**FIXED, "search_radius": value, "patch_radius": value})
    np.testing.assert_array_equal(result, denoise(GREY, **FIXED))


def test_a_window_far_beyond_the_image_is_the_whole_image() -> None:
    result = denoise(GREY, **{**FIXED, "search_radius": 2**31 - 1})
    np.testing.assert_array_equal(result, denoise(GREY, **{**FIXED, "search_radius": "image"}))


def test_every_error_is_also_the_builtin_that_fits() -> None:
    for error, builtin in (
        (InvalidValueError, ValueError),
        (InvalidTypeError, TypeError),
        (BackendUnavailableError, RuntimeError),
        (MemoryLimitError, MemoryError),
    ):
        assert issubclass(error, builtin)
        assert issubclass(error, NLMeansError)
    assert not issubclass(NLMeansError, ValueError | TypeError)


# Compatible signature


@pytest.mark.parametrize("size", [0, 2, 4, -1])
def test_even_and_empty_patches_are_refused_by_the_compatible_signature(size: int) -> None:
    compat = pytest.importorskip("nlmeans.compat")
    refused(
        (InvalidValueError, InvalidTypeError),
        ["patch_size", str(size)],
        compat.denoise_nl_means,
        GREY,
        patch_size=size,
    )


# Numbers at the ends of what a type can hold

SOFT_MAP = np.where(np.indices((7, 6))[0] < 3, 0.0, 0.2)
HIGH = GREY > 0.5
EXTREMES: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
    "a constant and the least sigma": (np.full((7, 6), 3, np.float32), {"sigma": 1e-45}),
    "a constant and the least strength": (
        np.full((7, 6), 3, np.float32),
        {"sigma": 0, "h": 1e-45, "k": None},
    ),
    "one pixel and the least sigma": (GREY[:1, :1], {"sigma": 1e-320}),
    "the least sigma": (GREY, {"sigma": 1e-320}),
    "a huge sigma and strength": (GREY, {"sigma": 1e300, "k": 1e300}),
    "a huge sigma and a small strength": (GREY, {"sigma": 1e300, "h": 1e-3, "k": None}),
    "a tiny k": (GREY, {"k": 1e-200}),
    "a huge k": (GREY, {"k": 1e300}),
    "a map of zeros": (GREY, {"sigma": np.zeros((7, 6))}),
    "a map with zeros": (GREY, {"sigma": SOFT_MAP}),
    "a map with tiny values": (GREY, {"sigma": SOFT_MAP + 1e-30}),
    "a map with huge values": (GREY, {"sigma": SOFT_MAP * 1e300}),
    "a map of half floats": (GREY, {"sigma": np.full((7, 6), 6e4, np.float16), "k": 3}),
    "a map of bytes": (GREY, {"sigma": np.full((7, 6), 200, np.uint8), "k": 3}),
    "a map and a tiny k": (GREY, {"sigma": SOFT_MAP, "k": 1e-30}),
    "a map and the least k": (GREY, {"sigma": SOFT_MAP, "k": 1e-200}),
    "a map and a huge k": (GREY, {"sigma": SOFT_MAP, "k": 1e200}),
    "channels of very unlike sigma": (COLOUR, {"sigma": (1e-30, 0.1, 1e30), "channel_axis": 2}),
    "a channel of the least sigma": (COLOUR, {"sigma": (1e-320, 0.1, 1), "channel_axis": 2}),
    "sigma per channel and the least k": (COLOUR, {"sigma": (0.1, 0.1, 1), "k": 1e-300, "channel_axis": 2}),
    "denormals": (GREY * np.float32(1e-44), {"sigma": 1e-45}),
    "all of float16": (np.where(HIGH, 65504, -65504).astype(np.float16), {"sigma": 1e3}),
    "all of float32": (np.where(HIGH, 3.4e38, -3.4e38).astype(np.float32), {"sigma": 1e37}),
    "all of float64": (np.where(HIGH, 1.7e308, -1.7e308), {"sigma": 1e307}),
    "beyond float32": (GREY.astype(np.float64) * 1e300, {"sigma": 1e299}),
    "a large offset": (1e12 + GREY.astype(np.float64), {}),
    "a guide beyond float32": (GREY, {"guide": GREY.astype(np.float64) * 1e300, "sigma": 1e299}),
    "a constant guide": (GREY, {"guide": np.zeros((7, 6)), "sigma": 0, "h": 1e-300, "k": None}),
    "a huge guide_sigma": (GREY, {"guide": GREY, "guide_sigma": 1e300}),
}


@pytest.mark.parametrize("name", EXTREMES)
def test_extreme_numbers_give_a_finite_result_and_no_warning(name: str, backend: str) -> None:
    image, special = EXTREMES[name]
    for aggregate in ("pixel", "patch"):
        result = denoise(image, backend=backend, aggregate=aggregate, **{**FIXED, **special})
        assert (result.shape, result.dtype) == (image.shape, image.dtype)
        assert np.isfinite(result).all()
        low, high = float(image.min()) / 4, float(image.max()) / 4  # the data range itself may overflow
        slack = TOLERANCE["hard"] * (high - low)
        assert low - slack <= result.min() / 4
        assert result.max() / 4 <= high + slack


# Anything at all

ANYTHING: list[Any] = [
    None, True, False, 0, 1, 2, -1, 3, 2**31, 2**31 - 1, 2**63, -(2**63), 10**400, 10**5000, 0.0, -0.0, 0.5,
    -0.5, 1.0, 1e-320, 1e-30, 1e30, 1e300, NAN, INF, -INF, 1j, "", "box", "pixel", "patch", "max", "one",
    "zero", "image", "auto", "keep", "gaussian", "reference", "cpu", "0", "\0", "x" * 500, b"box", (),
    (1,), (1, 1), (0, 2), (1, 1, 1), (1, -1), (0.1, 0.2, 0.3), (NAN, 1), [1, 1], [[1]], {}, {"a": 1},
    {1, 2}, set(), range(2), Odd(), Odd, print, lambda x: x, type, ..., np.float32(0.5), np.float64(NAN),
    np.int64(2), np.int8(-3), np.uint64(2**63), np.bool_(True), np.complex64(1), np.array(0.5),
    np.array(1), np.array([1, 1]), np.array([0.5]), np.array([]), np.zeros((7, 6)),
    np.ones((7, 6), bool), np.full((7, 6), NAN), np.full((7, 6), 0.2), np.ones((6, 7)),
    np.ones((7, 6, 3)), np.ones((7, 6), "f2"), np.full((7, 6), 6e4, "f2"), np.array("a"), np.array(None),
    np.datetime64("2020-01-01"), slice(None), memoryview(b"ab"), bytearray(b"1"), NotImplemented,
]  # fmt: skip
SENSIBLE: dict[str, list[Any]] = {
    "sigma": [None, 0, 0.1, 1e-12, np.full((7, 6), 0.1)],
    "h": [None, 0, 0.1, 1e-30, 1e30],
    "k": [None, 0, 0.7, 1e-30, 1e30],
    "patch_radius": [0, 1, (1, 2), None, 255],
    "search_radius": [0, 1, 2, (1, 3), "image", None],
    "channel_axis": [None, 0, 1, -1],
    "method": ["nlmeans", "nlridge", "learned"],
    "patch": ["box", "gaussian", None],
    "center": ["max", "one", "zero", None],
    "aggregate": ["pixel", "patch", None],
    "guide": [None, GREY, COLOUR],
    "guide_sigma": [None, 0, 0.1],
    "mask": [None, np.ones((7, 6), bool), np.zeros((7, 6), bool)],
    "nan": ["raise", "keep"],
    "backend": ["auto", "reference"],
    "workers": [None, 1, 2],
    "progress": [None],
    "memory_limit": [None, 2**20, 2**30],
}
PICTURES: list[Any] = [
    GREY, COLOUR, GREY[0], GREY[:1], GREY[:, :1], GREY[:1, :1], with_nan(GREY, (2, 2)),
    np.full((7, 6), NAN), GREY.astype("f8"), GREY.astype("f2"), (GREY * 255).astype("u1"),
    (GREY * 99).astype("i1"), (GREY * 65535).astype("u2"), GREY * np.float32(1e38),
    GREY * np.float32(1e-44), GREY.astype("f8") * 1e300, GREY[::-2, ::-1], GREY.astype(">f4"),
    np.zeros((7, 6), "f4"),
]  # fmt: skip


def finite_or_refused(image: Any, given_: dict[str, Any]) -> bool:
    """Whether there was a result; anything but a finite one or an error of our own fails."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*channel_axis|two estimates", category=UserWarning)
        try:
            result = denoise(image, **given_)
        except NLMeansError as error:
            result = str(error)
    if isinstance(result, str):
        assert 10 < len(result) < 1000
        assert "\n" not in result
        return False
    assert isinstance(result, np.ndarray)
    assert (result.shape, result.dtype) == (image.shape, image.dtype)
    assert np.isfinite(result[np.isfinite(image)]).all()
    return True


def random_call(rng: random.Random) -> tuple[Any, dict[str, Any]]:
    """A call with zero to three absurd parameters among sensible ones that go together."""
    picture = rng.choice(PICTURES) if rng.random() < 0.95 else rng.choice(ANYTHING)
    unlikely = {"h", "k", "guide_sigma", "channel_axis"}
    given_ = {
        n: rng.choice(values) for n, values in SENSIBLE.items() if n not in unlikely and rng.random() < 0.3
    }
    given_[rng.choice("hk")] = rng.choice([0.1, 0.7, 3])
    given_.setdefault("nan", "keep")
    given_.setdefault("search_radius", 1)
    if getattr(picture, "ndim", 0) == 3 or rng.random() < 0.1:
        given_["channel_axis"] = -1
    for name in rng.sample(list(SENSIBLE), rng.choice([0, 1, 1, 1, 2, 3])):
        given_[name] = rng.choice(ANYTHING + SENSIBLE[name])
    method = given_.get("method")
    if isinstance(method, str) and method in BY_GROUPS and rng.random() < 0.8:
        given_ = {n: value for n, value in given_.items() if n not in OF_NLMEANS}
    if callable(given_.get("progress")):
        del given_["progress"]  # what it raises is its own
    return picture, given_


@pytest.mark.filterwarnings("ignore:sigma is .*units of the image")
def test_two_thousand_odd_calls_give_a_finite_result_or_an_error_of_our_own() -> None:
    rng = random.Random(0)
    results = 0
    for number in range(2000):
        image, given_ = random_call(rng)
        try:
            results += finite_or_refused(image, given_)
        except Exception as error:
            raise AssertionError(f"call {number}: {reprlib.repr(given_)} of {reprlib.repr(image)}") from error
    assert 200 < results < 1800  # both ways are walked


@given(name=st.sampled_from(sorted(SENSIBLE)), value=st.data())
def test_any_object_for_any_parameter_gives_a_finite_result_or_an_error_of_our_own(
    name: str, value: st.DataObject
) -> None:
    scalar = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.complex_numbers(),
        st.text(max_size=9),
        st.binary(max_size=9),
    )
    anything = st.recursive(
        scalar, lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner), max_leaves=6
    )
    finite_or_refused(GREY, {**FIXED, "sigma": 0.1, name: value.draw(anything)})


@given(
    st.integers(0, 5).flatmap(lambda n: st.tuples(*[st.integers(0, 5)] * n)),
    st.sampled_from(["f2", "f4", "f8", "u1", "i2", "u2", ">f4", "?", "i8", "c8", "O", "S2", "M8[s]"]),
    st.sampled_from([None, *range(-5, 5)]),
)
def test_any_shape_and_type_gives_a_finite_result_or_an_error_of_our_own(
    shape: tuple[int, ...], dtype: str, channel_axis: int | None
) -> None:
    image = np.random.default_rng(0).integers(0, 99, shape).astype(dtype)
    finite_or_refused(image, {"channel_axis": channel_axis, "search_radius": 1})
    finite_or_refused(
        image, {"channel_axis": channel_axis, "sigma": 3, "k": 0.5, "patch_radius": 2, "search_radius": 2}
    )


def test_the_names_of_the_errors_are_public() -> None:
    for error in (
        NLMeansError,
        InvalidValueError,
        InvalidTypeError,
        BackendUnavailableError,
        MemoryLimitError,
    ):
        assert getattr(nlmeans, error.__name__) is error
