"""The core against loops over positions, for every library, similarity and normalisation."""

from __future__ import annotations

import importlib
import itertools
import math
import subprocess
import sys

import numpy as np
import pytest

import nlmeans
from nlmeans import nonlocal_mean
from nlmeans.operation.similarity import Concatenation, DotProduct, Euclidean, Gaussian

RNG = np.random.default_rng(20)
WEIGHT = RNG.normal(size=6)
SIMILARITIES = {
    "euclidean": (
        Euclidean(h=1.3, sigma=0.4),
        lambda q, k: math.exp(-max(((q - k) ** 2).sum() - 0.32, 0) / 1.69),
    ),
    "gaussian": (Gaussian(scale=0.5), lambda q, k: math.exp(0.5 * (q @ k))),
    "dot_product": (DotProduct(), lambda q, k: q @ k),
    "concatenation": (Concatenation(WEIGHT), lambda q, k: max(WEIGHT @ np.concatenate([q, k]), 0)),
}
LIBRARIES = ["numpy", "array_api_strict", "torch"]


def by_loops(query, key, value, f, *, softmax, window=None, center=None, mask=None):
    """The definition, one position at a time."""
    grid = query.shape[:-1]
    result = np.zeros((*grid, value.shape[-1]))
    for i in np.ndindex(*grid):
        f_of = {}
        for j in np.ndindex(*key.shape[:-1]):
            near = window is None or all(abs(a - b) <= r for a, b, r in zip(i, j, window, strict=True))
            if near and (mask is None or mask[j]):
                f_of[j] = f(query[i], key[j])
        if center is not None and i in f_of:
            others = max((w for j, w in f_of.items() if j != i), default=0.0)
            f_of[i] = max({"max": others, "one": 1.0, "zero": 0.0}[center], 2.0**-20)
        divisor = sum(f_of.values()) if softmax else len(f_of)
        if f_of:
            result[i] = sum(w * value[j] for j, w in f_of.items()) / divisor
    return result


def library(name):
    return pytest.importorskip(name)


def moved(similarity, xp):
    """The same similarity with its arrays in another library."""
    return Concatenation(xp.asarray(WEIGHT)) if isinstance(similarity, Concatenation) else similarity


@pytest.mark.parametrize("name", SIMILARITIES)
@pytest.mark.parametrize("xp_name", LIBRARIES)
@pytest.mark.parametrize(("grid", "window"), [((7,), (2,)), ((4, 5), (1, 2)), ((2, 3, 4), (1, 0, 5))])
def test_a_window_matches_the_loops(name, xp_name, grid, window):
    xp = library(xp_name)
    similarity, f = SIMILARITIES[name]
    query, key, value = (RNG.normal(size=(*grid, d)) for d in (3, 3, 2))
    mask = RNG.random(grid) > 0.3
    for normalisation in ("softmax", "count") if similarity.exponential else ("count",):
        got = nonlocal_mean(
            *(xp.asarray(a) for a in (query, key, value)),
            similarity=moved(similarity, xp),
            normalisation=normalisation,
            window=window,
            mask=xp.asarray(mask),
            memory_limit=2000,
        )
        expected = by_loops(
            query, key, value, f, softmax=normalisation == "softmax", window=window, mask=mask
        )
        np.testing.assert_allclose(np.asarray(got), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", SIMILARITIES)
@pytest.mark.parametrize("xp_name", LIBRARIES)
def test_the_whole_grid_matches_the_loops(name, xp_name):
    xp = library(xp_name)
    similarity, f = SIMILARITIES[name]
    query, key, value = RNG.normal(size=(9, 3)), RNG.normal(size=(6, 3)), RNG.normal(size=(6, 2))
    mask = np.array([1, 1, 0, 1, 0, 1], dtype=bool)
    got = nonlocal_mean(
        *(xp.asarray(a) for a in (query, key, value)),
        similarity=moved(similarity, xp),
        mask=xp.asarray(mask),
        memory_limit=500,
    )
    expected = by_loops(query, key, value, f, softmax=similarity.exponential, mask=mask)
    np.testing.assert_allclose(np.asarray(got), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("center", ["max", "one", "zero"])
@pytest.mark.parametrize("h", [2.0, 0.05])
def test_centre_rules_match_the_loops_also_where_all_other_weights_vanish(center, h):
    x = RNG.normal(size=(4, 5, 3))

    def f(q, k):
        return math.exp(-((q - k) ** 2).sum() / h**2)

    for window in ((2, 1), (9, 9)):
        got = nonlocal_mean(x, x, x, similarity=Euclidean(h=h), window=window, center=center)
        expected = by_loops(x, x, x, f, softmax=True, window=window, center=center)
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)
    flat = x.reshape(20, 3)
    whole = nonlocal_mean(flat, flat, flat, similarity=Euclidean(h=h), center=center)
    np.testing.assert_allclose(whole, expected.reshape(20, 3), rtol=1e-9, atol=1e-9)


def test_h_and_sigma_may_be_maps_of_the_query_grid():
    x = RNG.normal(size=(3, 4, 2))
    h, sigma = RNG.random((3, 4)) + 0.5, RNG.random((3, 4))
    got = nonlocal_mean(x, x, x, similarity=Euclidean(h=h, sigma=sigma), window=(1, 1), memory_limit=1)
    for i in np.ndindex(3, 4):
        one = nonlocal_mean(
            x, x, x, similarity=Euclidean(h=float(h[i]), sigma=float(sigma[i])), window=(1, 1)
        )
        np.testing.assert_allclose(got[i], one[i], rtol=1e-12)
    flat = [a.reshape(12, *a.shape[2:]) for a in (x, h, sigma)]
    whole = nonlocal_mean(*[flat[0]] * 3, similarity=Euclidean(h=flat[1], sigma=flat[2]), memory_limit=1)
    large = nonlocal_mean(x, x, x, similarity=Euclidean(h=h, sigma=sigma), window=(9, 9))
    np.testing.assert_allclose(whole, large.reshape(12, 2), rtol=1e-9)


def test_leading_axes_are_a_batch():
    x = RNG.normal(size=(2, 3, 4, 5, 2))
    mask = RNG.random((2, 3, 4, 5)) > 0.5
    got = nonlocal_mean(x, x, x, window=(1, 1), mask=mask)
    for b in itertools.product(range(2), range(3)):
        np.testing.assert_array_equal(got[b], nonlocal_mean(x[b], x[b], x[b], window=(1, 1), mask=mask[b]))


@pytest.mark.parametrize("xp_name", LIBRARIES)
@pytest.mark.parametrize("window", [None, (1,)])
def test_an_empty_batch_gives_an_empty_result(xp_name, window):
    xp = library(xp_name)
    x, v = xp.zeros((2, 0, 5, 3), dtype=xp.float32), xp.zeros((2, 0, 5, 2), dtype=xp.float32)
    got = nonlocal_mean(x, x, v, window=window)
    assert tuple(got.shape) == (2, 0, 5, 2)
    assert got.dtype == xp.float32


def test_a_window_beyond_the_grid_makes_no_shift_that_reaches_nothing():
    x = RNG.normal(size=(3, 2, 2))
    beyond = nonlocal_mean(x, x, x, window=(10**6, 10**6))  # as shifts, more than memory holds
    np.testing.assert_array_equal(beyond, nonlocal_mean(x, x, x, window=(2, 1)))


def test_softmax_is_stable_for_large_logits():
    x = np.array([[1e4, 0.0], [0.0, 1e4]], dtype=np.float32)
    np.testing.assert_array_equal(nonlocal_mean(x, x, x, similarity="gaussian"), x)


def test_far_keys_still_give_the_nearest_value():
    query, key = np.array([[0.0]]), np.array([[1e3], [2e3]])
    np.testing.assert_array_equal(nonlocal_mean(query, key, key), [[1e3]])


def test_a_position_without_candidates_gives_zero():
    x = RNG.normal(size=(3, 2))
    mask = np.array([0, 0, 0])
    for similarity in ("euclidean", "dot_product"):
        np.testing.assert_array_equal(nonlocal_mean(x, x, x, similarity=similarity, mask=mask), 0)
        np.testing.assert_array_equal(
            nonlocal_mean(x, x, x, similarity=similarity, mask=mask, window=(1,)), 0
        )


def test_torch_differentiates_it():
    torch = library("torch")
    x = torch.tensor(RNG.normal(size=(3, 3, 2)), requires_grad=True)

    def windowed(x):
        return nonlocal_mean(x, x, x, similarity=Euclidean(h=0.9, sigma=0.1), window=(1, 1), center="max")

    assert torch.autograd.gradcheck(windowed, (x,))


def test_memory_stays_under_the_limit_on_a_whole_grid():
    code = """
import resource, numpy as np, nlmeans
x = np.random.default_rng(0).normal(size=(16384, 32)).astype(np.float32)
nlmeans.nonlocal_mean(x[:99], x[:99], x[:99])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
nlmeans.nonlocal_mean(x[:2048], x, x)  # memory of one block; time of an eighth
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) <= 64


def test_the_core_imports_no_array_library():
    code = "import sys, nlmeans.operation; print(sorted({'numpy', 'torch', 'cupy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


X = np.zeros((4, 5, 2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"similarity": "cosine"}, "similarity must be one of"),
        ({"similarity": 3}, "similarity must be a name"),
        ({"normalisation": "sum"}, "normalisation must be"),
        ({"similarity": "dot_product", "normalisation": "softmax"}, "is no exponential"),
        ({"center": "mean"}, "center must be"),
        ({"similarity": "gaussian", "center": "max"}, "center is defined"),
        ({"window": 3}, "window must be a tuple"),
        ({"window": (1, -1)}, "integers >= 0"),
        ({"window": (1, True)}, "integers >= 0"),
        ({"window": (1, 1, 1)}, "3 grid axes"),
        ({"window": (1, 1), "mask": np.ones((5, 4))}, "mask must have the grid"),
        ({"window": (1, 1), "key": np.zeros((4, 5, 3))}, "same number of features"),
        ({"window": (1, 1), "value": np.zeros((5, 4, 2))}, "share their leading and grid axes"),
        ({"query": [[1.0]]}, "arrays of one library"),
    ],
)
def test_bad_arguments_are_refused_with_a_reason(arguments, message):
    arrays = {"query": X, "key": X, "value": X} | {
        k: v for k, v in arguments.items() if k in ("query", "key", "value")
    }
    options = {k: v for k, v in arguments.items() if k not in arrays}
    with pytest.raises(nlmeans.NLMeansError, match=message):
        nonlocal_mean(*arrays.values(), **options)


@pytest.mark.parametrize(
    "module",
    [
        "operation.nonlocal_mean",
        "parameters",
        "denoising",
        "methods.pixel_weights",
        "judging.suggesting",
        "judging.uncertainty",
        "noise.noise_curve",
        "noise_models.model",
        "noise.estimate",
        "notebook.comparison",
        "compat.translation",
        "compat.scikit_image",
    ],
)
def test_examples_in_docstrings_hold(module):
    import doctest

    found = doctest.testmod(importlib.import_module(f"nlmeans.{module}"))
    assert found.attempted > 0
    assert found.failed == 0


def test_the_old_name_of_the_mask_still_works_and_says_so():
    x = np.linspace(0.0, 1.0, 7)[:, None]
    valid = np.array([1, 0, 1, 1, 0, 1, 1])
    with pytest.warns(DeprecationWarning, match="vote is called mask") as caught:
        old = nonlocal_mean(x, x, x, vote=valid)
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(old, nonlocal_mean(x, x, x, mask=valid))
    with pytest.raises(nlmeans.InvalidValueError, match="old name"):
        nonlocal_mean(x, x, x, vote=valid, mask=valid)


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("nlmeans.similarity", "nlmeans.operation", "Euclidean"),
        ("nlmeans.independence", "nlmeans.attention.independence", "measure"),
        ("nlmeans.attention", "nlmeans.attention.statistics", "entropy"),
        ("nlmeans.learned.attention", "nlmeans.learned.measuring", "read_block"),
    ],
)
def test_old_places_still_lead_to_the_new_ones_and_say_so(old, new, name):
    if "learned" in old:
        pytest.importorskip("torch")
    if old != "nlmeans.attention":  # a package, which says so for each name
        sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match="now"):
        found = getattr(importlib.import_module(old), name)
    assert found is getattr(importlib.import_module(new), name)
