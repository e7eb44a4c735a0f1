"""The slab entries in C, held against the reference, where a volume is pairs of planes."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

import numpy as np
import pytest

from nlmeans.backends import bands, cpu, reference
from nlmeans.backends.bands import Band
from nlmeans.backends.contract import PlanePair, Run, Slab, Sums
from nlmeans.formula import reflected, taps

pytestmark = pytest.mark.usefixtures("kernel_on_threads")


def case(seed, shape=None):
    """A slab in float64, and normaliser and centre of its planes: anything the contract allows."""
    rng = np.random.default_rng(seed)
    any_shape = tuple(int(rng.choice(n)) for n in ([1, 2, 5, 17, 36], [1, 2, 9, 40], [1, 3, 17, 70]))
    shape = shape or any_shape
    channels, values = int(rng.choice([1, 2, 3])), int(rng.choice([0, 1, 2, 3]))
    radius = tuple(int(r) for r in rng.choice([0, 1, 2, 4], 3))
    patch = tuple(int(r) for r in rng.choice([0, 1, 2, 3], 3))
    kind = str(rng.choice(["box", "gaussian"]))
    first = int(rng.integers(shape[0]))
    slab = Slab(
        feature=rng.random((channels, *shape)) * 3,
        value=rng.normal(size=(values, *shape)),
        vote=(rng.random(shape) > rng.choice([0.0, 0.3])).astype(float),
        radius=radius,
        taps=tuple(taps(r, kind, np.float64) for r in patch),
        bias=rng.random(shape) * 2 if rng.random() < 0.3 else 0.7,
        scale=rng.random(shape) * 2 if rng.random() < 0.3 else 1.3,
        planes=(first, int(rng.integers(first, shape[0])) + 1),
    )
    planes = (slab.planes[1] - first, *shape[1:])
    return slab, rng.random(planes), rng.random(planes)


def single(array):
    return np.asarray(array, np.float32) if np.ndim(array) else array


def rounded(slab):
    arrays = {name: single(getattr(slab, name)) for name in ("feature", "value", "vote", "bias", "scale")}
    return replace(slab, taps=tuple(map(single, slab.taps)), **arrays)


def stacked(slab, z):
    """The planes of a patch around z, reflected by index at the ends, as channels."""
    radius, depth = slab.patch_radius[0], slab.vote.shape[0]
    planes = [reflected(z + o, depth) for o in range(-radius, radius + 1)]
    each = [slab.feature[:, p] * np.sqrt(a) for p, a in zip(planes, slab.taps[0], strict=True)]
    return np.concatenate(each)


def pairs(slab, z):
    """Plane z against every plane of its search window."""
    query = stacked(slab, z)
    bias, scale = (x[z] if np.ndim(x) else x for x in (slab.bias, slab.scale))
    reach, depth = slab.radius[0], slab.vote.shape[0]
    for other in range(max(0, z - reach), min(depth, z + reach + 1)):
        own = other == z
        key, own_value = query if own else stacked(slab, other), slab.value[:, z]
        value = own_value if own else slab.value[:, other]
        yield PlanePair(
            query, key, value, own_value, slab.vote[other], slab.radius[1:], slab.taps[1:], bias, scale, own
        )


def together(a, b):
    peak = None if a.peak is None else np.maximum(a.peak, b.peak)
    return Sums(a.numerator + b.numerator, a.denominator + b.denominator, peak)


def planes_of(slab, sums_of_plane):
    """One plane after the other, stacked."""
    each = [reduce(together, sums_of_plane(z, pairs(slab, z))) for z in range(*slab.planes)]
    peak = None if each[0].peak is None else np.stack([s.peak for s in each])
    return Sums(np.stack([s.numerator for s in each], 1), np.stack([s.denominator for s in each]), peak)


def accumulated(slab, peak):
    return planes_of(slab, lambda z, each: (reference.accumulate(p, Run(), peak=peak) for p in each))


def aggregated(slab, normaliser, center):
    def of(z, each):
        n, c = normaliser[z - slab.planes[0]], center[z - slab.planes[0]]
        return (reference.aggregate(p, Run(), n, c if p.own else None) for p in each)

    return planes_of(slab, of)


def assert_close(got, expected, allowed=8e-6):
    """Equal in units of the largest sum of weights: a weight is good to 3e-6, values differ by sqrt(2)."""
    largest = max(float(expected.denominator.max()), 1e-3)
    for name in ("numerator", "denominator", "peak"):
        a, b = getattr(got, name), getattr(expected, name)
        assert (a is None) == (b is None)
        if a is not None:
            unit = largest * np.sqrt(2) if name == "numerator" else largest
            np.testing.assert_allclose(a, b, rtol=0, atol=allowed * unit, err_msg=name)


@pytest.mark.parametrize("seed", range(60))
def test_accumulate_slab_matches_the_reference(seed):
    slab, _, _ = case(seed)
    assert_close(
        cpu.accumulate_slab(rounded(slab), Run(2), peak=seed % 2 == 0), accumulated(slab, seed % 2 == 0)
    )


@pytest.mark.parametrize("seed", range(100, 160))
def test_aggregate_slab_matches_the_reference(seed):
    """The normaliser belongs to the slab's weights: the kernel knows what they sum to."""
    slab, _, center = case(seed)
    first = accumulated(slab, False)
    normaliser = slab.vote[slice(*slab.planes)] / (first.denominator + center)
    assert_close(
        cpu.aggregate_slab(rounded(slab), Run(2), single(normaliser), single(center)),
        aggregated(slab, normaliser, center),
    )


def entries(slab, workers, center):
    """Every array of both entries."""
    first = cpu.accumulate_slab(slab, Run(workers), peak=True)
    normaliser = np.divide(slab.vote[slice(*slab.planes)], first.denominator + 1)
    second = cpu.aggregate_slab(slab, Run(workers), normaliser, single(center))
    return [*(first.numerator, first.denominator, first.peak), second.numerator, second.denominator]


@pytest.mark.parametrize("seed", range(200, 204))
def test_every_number_of_workers_gives_the_same_bits(seed):
    slab, _, center = case(seed, (9, 70, 40))
    expected = [a.tobytes() for a in entries(rounded(slab), 1, center)]
    for workers in (1, 2, 7):
        assert [a.tobytes() for a in entries(rounded(slab), workers, center)] == expected


@pytest.mark.parametrize("seed", range(300, 306))
def test_what_is_in_the_scratch_memory_has_no_part_in_the_result(monkeypatch, seed):
    slab, _, center = case(seed)

    def bits(scratch):
        monkeypatch.setattr(bands, "bytearray", lambda *n: bytearray(*n or (scratch,)), raising=False)
        return [a.tobytes() for a in entries(rounded(slab), 1, center)]

    assert bits(b"") == bits(b"\xff" * 2**24)  # the second is NaN


@pytest.mark.parametrize("seed", range(400, 410))
def test_planes_are_the_same_alone_and_together(seed):
    slab, _, _ = case(seed, (17, 12, 20))
    whole = cpu.accumulate_slab(replace(rounded(slab), planes=(0, 17)), Run(1), peak=True)
    part = cpu.accumulate_slab(replace(rounded(slab), planes=(5, 9)), Run(1), peak=True)
    for a, b in ((whole.numerator[:, 5:9], part.numerator), (whole.peak[5:9], part.peak)):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * max(float(whole.denominator.max()), 1e-3))


@pytest.mark.parametrize("seed", range(500, 510))
def test_equal_values_add_nothing_to_a_numerator(seed):
    slab, _, center = case(seed)
    value = np.zeros_like(slab.value, np.float32)
    value[...] = np.float32([0.1, -1e30, 7])[: len(value), None, None, None]
    first, *_, second, _ = entries(replace(rounded(slab), value=value), 2, center)
    assert not np.any(first)
    assert not np.any(second)


@pytest.mark.parametrize("isa", ["avx512", "avx2", "baseline"])
def test_every_instruction_set_matches_the_reference(isa, monkeypatch):
    if isa not in cpu._kernel.isas():
        pytest.skip(f"this processor has no {isa}")
    monkeypatch.setenv("NLMEANS_ISA", isa)
    for seed in range(600, 620):
        test_accumulate_slab_matches_the_reference(seed)
        test_aggregate_slab_matches_the_reference(seed)


def test_arguments_that_would_reach_outside_an_array_are_refused():
    volume = np.ones((1, 5, 20, 7), np.float32)
    small, smaller = volume[0, 1:4], volume[0, :2].copy()
    box = taps(1, "box", np.float32)
    good = Slab(volume, volume, volume[0], (1, 2, 2), (box, box, box), 0.5, 1.0, (1, 4))

    def refused(error, entry="accumulate_slab", *, band=None, normalised=None, **changed):
        slab = replace(cpu._for_the_kernel(good), **changed)
        spill = np.zeros((2, 2 if entry == "accumulate_slab" else 3, 3, 7), np.float32)
        band = band or Band((0, 4), spill, bytearray(1), bytearray())
        ones = {"normaliser": small, "center": small, "weight_sum": small} | (normalised or {})
        middle = () if entry == "accumulate_slab" else (cpu._Normalised(**ones),)
        with pytest.raises(error):
            getattr(cpu._kernel, entry)(cpu.isa(), slab, *middle, cpu._empty(good), band)

    refused(ValueError, value=np.ones((1, 5, 20, 6), np.float32))
    refused(ValueError, feature=volume[0])
    refused(ValueError, vote=smaller)
    refused(ValueError, radius=(-1, 2, 2))
    refused(TypeError, radius=(2, 2))
    refused(TypeError, taps=(box, box))
    refused(ValueError, taps=(box[:2], box, box))
    refused(ValueError, bias=smaller)
    for planes in ((-1, 4), (4, 4), (0, 6)):
        refused(ValueError, planes=planes)
    refused(ValueError, band=Band((0, 21), np.zeros((2, 2, 3, 7), np.float32), bytearray(1), bytearray()))
    refused(ValueError, band=Band((0, 4), np.zeros((2, 1, 3, 7), np.float32), bytearray(1), bytearray()))
    for name in ("normaliser", "center", "weight_sum"):
        refused(ValueError, "aggregate_slab", normalised={name: smaller})


def test_what_progress_raises_stops_the_threads():
    slab, _, _ = case(3, (9, 70, 40))

    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cpu.accumulate_slab(rounded(slab), Run(2, stop))
