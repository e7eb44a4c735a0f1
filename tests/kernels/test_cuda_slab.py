"""Volumes and films on the CUDA kernels under the emulator: one launch for all planes, as the reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nlmeans.backends import cuda, cuda_plan
from nlmeans.backends.contract import Run
from nlmeans.backends.cuda_shape import Device
from nlmeans.formula import taps

from ..cuda_emulator.emulator import COMPILER, Emulator, EmulatorError
from .test_cuda_emulator import ONE_WAVE
from .test_slab_kernel import accumulated, aggregated, assert_close, case, rounded, single

pytestmark = pytest.mark.skipif(COMPILER is None, reason="the emulator needs g++ on the PATH")

SMALL = Device(multiprocessors=1, shared_per_block=64 * 1024, shared_per_multiprocessor=65 * 1024)
SHAPES = [(5, 9, 30), (1, 7, 12), (2, 5, 121), (7, 3, 1), (4, 18, 20)]


def of(seed, **changes):
    """A case that is quick under the emulator, and normaliser and centre of its planes."""
    slab, _, _ = case(seed, SHAPES[seed % len(SHAPES)])
    slab = replace(slab, **{"radius": tuple(min(r, 2) for r in slab.radius)} | changes)
    known = accumulated(slab, False).denominator
    center = np.random.default_rng(seed).random(known.shape)
    return slab, slab.vote[slice(*slab.planes)] / (known + center), center


def accumulate(slab, emulator, peak=True):
    return cuda.accumulate_on(emulator, rounded(slab), Run(), peak=peak)


def aggregate(slab, emulator, normaliser, center):
    return cuda.aggregate_on(emulator, rounded(slab), Run(), single(normaliser), single(center))


def check(slab, normaliser, center, emulator, peak=True):
    assert_close(accumulate(slab, emulator, peak), accumulated(slab, peak))
    assert_close(aggregate(slab, emulator, normaliser, center), aggregated(slab, normaliser, center))


@pytest.mark.parametrize("seed", range(10))
def test_slabs_match_the_reference(seed):
    """Of each entry one launch, and what `aggregate` adds of the pixels themselves.

    Seed 8 has 21 planes in a patch, more than the second pass has shared memory for.
    """
    emulator = Emulator(ONE_WAVE)
    check(*of(seed), emulator, peak=seed % 3 > 0)
    kernels = [launch.kernel for launch in emulator.launched if launch.kernel != "reduce"]
    assert kernels == ["accumulate", *["aggregate"] * (seed != 8), "weigh", "spread"]


def test_little_shared_memory_makes_small_chunks():
    emulator = Emulator(SMALL)
    check(*of(1), emulator)
    assert emulator.launched[0].kernel == "accumulate"
    assert emulator.launched[0].shared_bytes <= SMALL.shared_per_block


def test_a_window_in_slices_is_put_together():
    emulator = Emulator(Device(multiprocessors=4))
    check(*of(0, radius=(2, 1, 2)), emulator)
    assert emulator.launched[0].grid[2] > 1


@pytest.mark.parametrize("patch", [(5, 1, 1), (1, 5, 0)])
def test_patch_radii_above_four_take_the_readable_kernels(patch):
    each = tuple(taps(r, "gaussian", np.float64) for r in patch)
    emulator = Emulator(ONE_WAVE)
    check(*of(3, taps=each, radius=(1, 1, 2)), emulator)
    assert {launch.source for launch in emulator.launched} == {"readable.cu"}


def test_more_values_than_fit_the_registers():
    slab, normaliser, center = of(5)
    slab = replace(slab, value=np.random.default_rng(0).normal(size=(6, *slab.vote.shape)))
    check(slab, normaliser, center, Emulator(ONE_WAVE))


def test_one_plane_of_many_is_what_it_is_among_all():
    """A film: one plane is denoised with those around it."""
    slab, _, _ = case(4, (5, 8, 20))
    slab = replace(slab, radius=(2, 1, 2), planes=(0, 5))
    whole = accumulate(slab, Emulator(ONE_WAVE))
    for z in (0, 2, 4):
        one = accumulate(replace(slab, planes=(z, z + 1)), Emulator(ONE_WAVE))
        np.testing.assert_allclose(one.denominator[0], whole.denominator[z], rtol=1e-6)
        np.testing.assert_allclose(one.numerator[:, 0], whole.numerator[:, z], rtol=0, atol=1e-5)


def bits(sums):
    return [a.tobytes() for a in (sums.numerator, sums.denominator, sums.peak) if a is not None]


def test_same_bits_for_every_order_of_threads_and_every_poison():
    slab, normaliser, center = of(5)
    first, *others = (Emulator(seed=s, fill=f) for s, f in ((0, 0xFF), (1, 0x7F), (2, 0)))
    expected = bits(accumulate(slab, first)), bits(aggregate(slab, first, normaliser, center))
    for emulator in others:
        assert bits(accumulate(slab, emulator)) == expected[0]
        assert bits(aggregate(slab, emulator, normaliser, center)) == expected[1]


@pytest.mark.parametrize("build", ["address", "thread"])
def test_sanitizers_find_nothing(build):
    slab, normaliser, center = of(5)
    emulator = Emulator(SMALL, build=build, seed=1)
    accumulate(slab, emulator)
    aggregate(slab, emulator, normaliser, center)


def test_equal_values_add_nothing_to_a_numerator():
    slab, normaliser, center = of(5)
    value = np.full_like(slab.value, np.float32(0.1))
    slab = replace(slab, value=value)
    assert len(value)
    assert not np.any(accumulate(slab, Emulator(ONE_WAVE)).numerator)
    assert not np.any(aggregate(slab, Emulator(ONE_WAVE), normaliser, center).numerator)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("reflect(z + c % PLANES - PLANES / 2, window.depth)", "z"),
        ("window.gain * window.roots_z[c % PLANES]", "window.gain"),
        ("c / PLANES * window.depth :", "c / PLANES :"),
        ("|| z >= window.depth))", "))"),
        ("chunk.dz == 0 && window.own", "window.own"),
        ("line / window.chunks_y - window.radius_z", "line / window.chunks_y"),
        ("here.result * plane_size(window)", "0"),
        ("window.first_plane + result", "result"),
        ("value = plane_of(value, z, window);", ""),
        ("vote = plane_of(vote, z, window);", ""),
    ],
)
def test_planted_bugs_are_caught(before, after):
    """A test of the tests, as in test_cuda_planted_bugs."""
    slab, _, _ = case(3, (4, 6, 7))
    rng = np.random.default_rng(0)
    slab = replace(
        slab,
        feature=rng.random((2, 4, 6, 7)) * 3,
        value=rng.normal(size=(1, 4, 6, 7)),
        vote=(rng.random((4, 6, 7)) > 0.3).astype(float),
        bias=0.7,
        radius=(1, 1, 2),
        taps=tuple(taps(r, "gaussian", np.float64) for r in (1, 1, 1)),
        planes=(1, 4),
    )
    emulator = Emulator(ONE_WAVE, change=lambda name, text: text.replace(before, after))
    assert before in cuda_plan.source("accumulate.cu")
    with pytest.raises((AssertionError, EmulatorError)):
        assert_close(accumulate(slab, emulator), accumulated(slab, True))
