"""The groups of NL-Ridge: NumPy against loops and the conditions of the optimum, C against NumPy."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from nlmeans.backends import cpu as cpu_backend
from nlmeans.backends.contract import Request, Run
from nlmeans.backends.groups import LEAST_RISK, Grid, cpu, reference

NO_CPU = cpu_backend.can_run(Request("numpy", "float32", 64, 1)) is not None
needs_cpu = pytest.mark.skipif(NO_CPU, reason="the extension is not built")
FAR = np.float32([np.finfo(np.float32).max])
ISAS = [] if NO_CPU else cpu_backend.kernel().isas()


def grid(shape: tuple[int, int], patch: tuple[int, int], step: int) -> Grid:
    rows, cols = (
        np.unique(np.append(np.arange(0, n - p + 1, step), n - p)).astype(np.int32)
        for n, p in zip(shape, patch, strict=True)
    )
    return Grid(shape, patch, rows, cols)


def patch_at(planes: np.ndarray, y: int, x: int, patch: tuple[int, int]) -> np.ndarray:
    return planes[:, y : y + patch[0], x : x + patch[1]].reshape(-1).astype(float)


def nearest_by_loops(
    g: Grid, feature: np.ndarray, barred: Any, radius: tuple[int, int], farthest: np.ndarray, k: int
) -> np.ndarray:
    height, width = (n - p + 1 for n, p in zip(g.shape, g.patch, strict=True))
    result = np.full((len(g.rows), len(g.cols), k), -1)
    for a, y in enumerate(g.rows):
        for b, x in enumerate(g.cols):
            own = patch_at(feature, y, x, g.patch)
            found = []
            for v in range(max(0, y - radius[0]), min(height, y + radius[0] + 1)):
                for u in range(max(0, x - radius[1]), min(width, x + radius[1] + 1)):
                    if (v, u) != (y, x) and (barred is None or barred[v, u] == 0):
                        distance = ((patch_at(feature, v, u, g.patch) - own) ** 2).sum()
                        if distance <= np.broadcast_to(farthest, g.shape)[y, x]:
                            found.append((distance, v * g.shape[1] + u))
            near = sorted(place for _, place in sorted(found)[: k - 1])
            result[a, b, : len(near) + 1] = [y * g.shape[1] + x, *near]
    return result


def optimal(noisy: np.ndarray, basis: np.ndarray, d: np.ndarray, ridge: float) -> np.ndarray:
    """T of least risk whose columns sum to 1, by Lagrange: columns of patches (n, k).

    The risk of column j is |B t - b_j|^2 + ridge t'D t, and in the first step, where B holds the noise,
    that plus twice what the noise of b_j has in it, (1 - ridge) D_j t_j.
    """
    k = len(d)
    gram = basis.T @ basis
    left = np.block([[gram + ridge * np.diag(d), np.ones((k, 1))], [np.ones((1, k)), np.zeros((1, 1))]])
    right = np.vstack([gram - (1 - ridge) * np.diag(d), np.ones((1, k))])
    return np.linalg.solve(left, right)[:k]


def combine_by_loops(
    g: Grid,
    noisy: np.ndarray,
    basis: np.ndarray,
    variance: np.ndarray,
    ridge: float,
    weighted: bool,
    partners: Any,
) -> tuple[np.ndarray, np.ndarray]:
    numerator, weights = np.zeros(noisy.shape), np.zeros(g.shape)
    for group in partners.reshape(-1, partners.shape[2]):
        at = [divmod(int(p), g.shape[1]) for p in group if p >= 0]
        y, x = (np.stack([patch_at(planes, *p, g.patch) for p in at], axis=1) for planes in (noisy, basis))
        d = np.array([float(np.broadcast_to(variance, g.shape)[p]) for p in at])
        t = optimal(y, x, d, ridge)
        for j, (v, u) in enumerate(at):
            weight = max(t[j, j], LEAST_RISK) ** -2 if weighted else 1.0
            change = (y @ t[:, j] - y[:, j]).reshape(len(noisy), *g.patch)
            numerator[:, v : v + g.patch[0], u : u + g.patch[1]] += weight * change
            weights[v : v + g.patch[0], u : u + g.patch[1]] += weight
    return numerator, weights


def case(seed: int, small: bool = False) -> dict[str, Any]:
    """Anything the contract allows."""
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in (rng.choice([2, 5, 9, 14], 2) if small else rng.choice([3, 20, 41, 70], 2)))
    patch = tuple(int(min(n, rng.choice([1, 3, 4, 7, 8, 9, 11]))) for n in shape)
    channels = int(rng.choice([1, 2, 3, 4]))
    ramp = np.add.outer(np.arange(shape[0]), np.sin(np.arange(shape[1]) / 3) * 9) / 20
    noisy = (ramp + rng.normal(0, 0.2, (channels, *shape))).astype(np.float32)
    noisy[:, : shape[0] // 2, : shape[1] // 3] += 2.0
    pilot = (noisy * 0.7 + rng.normal(0, 0.02, noisy.shape)).astype(np.float32)
    samples = channels * patch[0] * patch[1]
    variance = np.array([samples * 0.04]) if rng.random() < 0.5 else samples * rng.uniform(0.001, 0.1, shape)
    barred = None if rng.random() < 0.6 else np.where(rng.random(shape) < 0.4, np.inf, 0).astype(np.float32)
    return {
        "grid": grid(shape, patch, int(rng.choice([1, 2, 4, 5]))),
        "noisy": noisy,
        "pilot": pilot,
        "variance": variance.astype(np.float32),
        "barred": barred,
        "radius": tuple(int(r) for r in rng.choice([1, 2, 5] if small else [0, 3, 8, 20], 2)),
        "farthest": [FAR, FAR, np.float32([samples * 0.3]), rng.random(shape).astype(np.float32) * samples][
            rng.integers(4)
        ],
        "k": int(rng.choice([1, 2, 5, 9])) if small else int(rng.choice([1, 4, 16, 17, 33, 66])),
        "ridge": float(rng.choice([1.0, 0.1])),
        "weighted": bool(rng.random() < 0.7),
    }


@pytest.mark.parametrize("seed", range(12))
def test_partners_are_the_nearest(seed: int) -> None:
    c = case(seed, small=True)
    asked = c["grid"], c["noisy"], c["barred"], c["radius"], c["farthest"], c["k"]
    np.testing.assert_array_equal(reference.nearest(*asked, Run()), nearest_by_loops(*asked))


@cache
def combined(seed: int) -> tuple[tuple[Any, ...], tuple[np.ndarray, np.ndarray]]:
    """What is asked of a case, with its partners, and the answer of the reference."""
    c = case(seed)
    partners = reference.nearest(
        c["grid"], c["pilot"], c["barred"], c["radius"], c["farthest"], c["k"], Run()
    )
    asked = c["grid"], c["noisy"], c["pilot"], c["variance"], c["ridge"], c["weighted"], partners
    return asked, reference.combine(*asked, Run())


@pytest.mark.parametrize("seed", range(12))
def test_combinations_are_the_best(seed: int) -> None:
    c = case(seed, small=True)
    partners = reference.nearest(
        c["grid"], c["pilot"], c["barred"], c["radius"], c["farthest"], c["k"], Run()
    )
    asked = c["grid"], c["noisy"], c["pilot"], c["variance"], c["ridge"], c["weighted"], partners
    for own, exact in zip(reference.combine(*asked, Run()), combine_by_loops(*asked), strict=True):
        np.testing.assert_allclose(own, exact, rtol=1e-7, atol=1e-7)


def test_the_first_step_has_the_least_estimated_risk() -> None:
    """Stein's estimate |YT - Y|^2 + 2 tr(D T) rises whichever way T turns, its columns still summing to 1."""
    rng = np.random.default_rng(0)
    y, d = rng.normal(size=(30, 5)), np.full(5, 0.7)
    change, weights = reference.combinations(y.T, y.T, d, 0.0, False)
    t = np.linalg.lstsq(y, y + change.T, rcond=None)[0]
    np.testing.assert_allclose(t.sum(axis=0), 1)
    np.testing.assert_array_equal(weights, 1)

    def risk(t: np.ndarray) -> float:
        return float(((y @ t - y) ** 2).sum() + 2 * (d[:, None] * t).diagonal().sum())

    for _ in range(20):
        turn = rng.normal(size=(5, 5))
        turn -= turn.mean(axis=0)
        assert risk(t + 0.01 * turn) > risk(t)


def test_equal_patches_become_their_mean() -> None:
    """k noisy copies of one patch, whose pilot says so: T = 1 1'/k, and noise falls by the root of k."""
    rng = np.random.default_rng(1)
    copies = rng.normal(size=(8, 25))
    change, _ = reference.combinations(copies, np.ones((8, 25)), np.full(8, 25.0), 1.0, True)
    np.testing.assert_allclose(copies + change, np.broadcast_to(copies.mean(axis=0), (8, 25)))


@needs_cpu
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("seed", range(30))
def test_c_finds_the_same_partners(seed: int, isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the k-th and the next distance differ, as they do with noise."""
    monkeypatch.setenv("NLMEANS_ISA", isa)
    c = case(seed)
    asked = c["grid"], c["noisy"], c["barred"], c["radius"], c["farthest"], c["k"], Run(2)
    np.testing.assert_array_equal(cpu.nearest(*asked), reference.nearest(*asked))


@needs_cpu
@pytest.mark.parametrize("isa", ISAS)
def test_equally_far_patches_are_taken_by_position(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NLMEANS_ISA", isa)
    stripes = np.tile(np.float32([0, 0, 0, 1]), (1, 40, 12))
    for planes in (stripes, np.zeros_like(stripes)):
        for k, far in ((2, FAR), (7, FAR), (40, FAR), (66, np.float32([10]))):  # 10: two columns differ
            asked = grid((40, 48), (5, 4), 3), planes, None, (7, 9), far, k, Run()
            np.testing.assert_array_equal(cpu.nearest(*asked), reference.nearest(*asked))


@needs_cpu
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("seed", range(30))
def test_c_combines_as_numpy_does(seed: int, isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Partners handed in: 1e-5 of the data range."""
    monkeypatch.setenv("NLMEANS_ISA", isa)
    asked, (exact, weight) = combined(seed)
    noisy, (own, own_weight) = asked[1], cpu.combine(*asked, Run(2))
    there = np.maximum(weight, 1e-9)  # some pixels have no patch
    np.testing.assert_allclose(own_weight, weight, rtol=1e-3)
    np.testing.assert_allclose(own / there, exact / there, atol=1e-5 * np.ptp(noisy))


@needs_cpu
@pytest.mark.parametrize("isa", ISAS)
def test_c_does_the_first_step_as_numpy_does(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NLMEANS_ISA", isa)
    g, noisy = grid((41, 70), (7, 7), 4), np.random.default_rng(2).normal(size=(1, 41, 70)).astype(np.float32)
    partners = reference.nearest(g, noisy, None, (9, 9), FAR, 17, Run())
    asked = g, noisy, noisy, np.float32([49.0]), 1e-4, False, partners
    (own, own_weight), (exact, weight) = (each.combine(*asked, Run()) for each in (cpu, reference))
    np.testing.assert_array_equal(own_weight, weight)
    np.testing.assert_allclose(own / weight, exact / weight, atol=1e-5 * np.ptp(noisy))


@needs_cpu
def test_c_gives_the_same_bits_for_every_number_of_threads() -> None:
    noisy = np.random.default_rng(3).normal(size=(2, 90, 75)).astype(np.float32)
    g = grid((90, 75), (7, 7), 3)
    found = [cpu.nearest(g, noisy, None, (9, 9), FAR, 20, Run(n)) for n in (1, 2, 5)]
    asked = g, noisy, noisy * np.float32(0.5), np.float32([98.0]), 1.0, True, found[0]
    sums = [cpu.combine(*asked, Run(n)) for n in (1, 2, 5)]
    for n in (1, 2):
        np.testing.assert_array_equal(found[n], found[0])
        np.testing.assert_array_equal(sums[n][0], sums[0][0])
        np.testing.assert_array_equal(sums[n][1], sums[0][1])


@needs_cpu
def test_an_interrupt_ends_the_threads_and_progress_adds_up() -> None:
    noisy = np.random.default_rng(3).normal(size=(1, 90, 75)).astype(np.float32)
    g, told = grid((90, 75), (7, 7), 1), []

    def interrupt(done: float) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cpu.nearest(g, noisy, None, (9, 9), FAR, 20, Run(2, interrupt))
    for each in (cpu, reference):
        told.clear()
        each.nearest(grid((90, 75), (7, 7), 9), noisy, None, (3, 3), FAR, 4, Run(2, told.append))
        assert sum(told) == pytest.approx(1)


@needs_cpu
@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"shape": (90, 76)}, "planes of 90 rows"),
        ({"patch": (91, 7)}, "fit the picture"),
        ({"rows": np.int32([0, 84])}, "ascending, each in"),
        ({"cols": np.int32([5, 5])}, "ascending"),
        ({"at_hand": (0, 3)}, "rows at hand"),
        ({"sums": (1, 90)}, "patches within the picture and the rows of sums"),
        ({"sums": (0, 91)}, "rows of sums"),
        ({"partners": np.int32([[[0]], [[90 * 75]]])}, "patches within"),
        ({"partners": np.int32([[[0, 70]], [[0, 0]]])}, "patches within"),
        ({"partners": np.int32([[[-1]], [[0]]])}, "patches within"),
        ({"partners": np.int32([0])}, "as many places"),
        ({"votes": np.zeros((90, 75), np.float32)}, "votes must"),
        ({"variance": np.zeros((90, 75), np.float32)}, "one number or a plane"),
        ({"noisy": np.zeros((1, 90, 107))}, "type 'f'"),
    ],
)
def test_the_kernel_refuses_what_would_leave_its_arrays(changes: dict[str, Any], error: str) -> None:
    planes = np.zeros((1, 90, 107), np.float32)
    known: dict[str, Any] = {
        "shape": (90, 75),
        "patch": (7, 7),
        "rows": np.int32([0, 40]),
        "cols": np.int32([0]),
        "partners": np.int32([[[0]], [[3000]]]),
        "noisy": planes,
        "basis": planes,
        "variance": np.float32([1.0]),
        "ridge": 1.0,
        "weighted": True,
        "at_hand": (0, 2),
        "stop": bytearray(1),
        "scratch": bytearray(),
        "sums": (0, 90),
        "numerator": planes.copy(),
        "votes": np.zeros((90, 107), np.float32),
    }
    entry = cpu_backend.kernel().combine
    good = type("Good", (), known)
    entry("baseline", good, good)
    bad = type("Bad", (), known | {"scratch": bytearray()} | changes)
    with pytest.raises((ValueError, TypeError), match=error):
        entry("baseline", bad, bad)
