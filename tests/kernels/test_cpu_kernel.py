"""The window kernel in C, held against the reference where both are given planes."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nlmeans.backends import bands, cpu, reference
from nlmeans.backends.bands import Band
from nlmeans.backends.contract import PlanePair, Run, Sums
from nlmeans.formula import taps

pytestmark = pytest.mark.usefixtures("kernel_on_threads")


def case(seed, *, far=False, shape=None):
    """A pair of planes in float64 and float32, normaliser and centre: anything the contract allows.

    `far`: distances of hundreds, which planes of bias and scale bring back to where weights are.
    """
    rng = np.random.default_rng(seed)
    channels, values = int(rng.choice([1, 2, 3, 4, 5])), int(rng.choice([0, 1, 2, 3, 4]))
    any_shape = (int(rng.choice([1, 2, 9, 30, 70, 131])), int(rng.choice([1, 2, 17, 64, 270])))
    shape = shape or any_shape
    radius = tuple(int(r) for r in rng.choice([0, 1, 2, 5, 9], 2))
    patch = tuple(int(r) for r in rng.choice([0, 1, 2, 3, 4, 6], 2))
    own, kind = bool(rng.random() < 0.6), str(rng.choice(["box", "gaussian"]))
    query = rng.random((channels, *shape)) * 3
    key = query if own else rng.random((channels, *shape)) * 3
    value = rng.normal(size=(values, *shape))
    own_value = value if own else rng.normal(size=(values, *shape))
    vote = (rng.random(shape) > rng.choice([0.0, 0.3])).astype(float)
    bias = rng.random(shape) * 2 if rng.random() < 0.4 else float(rng.choice([0.0, 0.7]))
    scale = rng.random(shape) * 2 if rng.random() < 0.4 else float(rng.choice([1.0, 1.3]))
    normaliser, centre = rng.random(shape), rng.random(shape) if own else None
    if far:
        query, key = query * 8, query * 8 if own else key * 8
        bias, scale = rng.random(shape) * 200, rng.random(shape) * 0.2

    def pair(dtype):
        def of(x):
            return x if np.ndim(x) == 0 else np.asarray(x, dtype)

        q = of(query)
        weights = tuple(taps(r, kind, dtype) for r in patch)
        k = q if own else of(key)
        v = of(value)
        o = v if own else of(own_value)
        return PlanePair(q, k, v, o, of(vote), radius, weights, of(bias), of(scale), own)

    return pair(np.float64), pair(np.float32), normaliser, centre


def assert_close(got, expected, allowed=8e-6):
    """Equal in units of the largest sum of weights: a weight is good to 3e-6, values differ by sqrt(2)."""
    largest = max(float(expected.denominator.max()), 1e-3)
    for name in ("numerator", "denominator", "peak"):
        a, b = getattr(got, name), getattr(expected, name)
        assert (a is None) == (b is None)
        if a is not None:
            unit = largest * np.sqrt(2) if name == "numerator" else largest
            np.testing.assert_allclose(a, b, rtol=0, atol=allowed * unit, err_msg=name)


def planes(sums):
    return [a for a in (sums.numerator, sums.denominator, sums.peak) if a is not None]


def single(array):
    return None if array is None else array.astype(np.float32)


def check_both_entries(seed, allowed=8e-6, **kind):
    exact, rounded, normaliser, centre = case(seed, **kind)
    peak = seed % 2 == 0
    first = cpu.accumulate(rounded, Run(2), peak=peak)
    assert_close(first, reference.accumulate(exact, Run(), peak=peak), allowed)
    assert_close(
        cpu.aggregate(rounded, Run(2), single(normaliser), single(centre), first.token),
        reference.aggregate(exact, Run(), normaliser, centre),
        allowed,
    )


@pytest.mark.parametrize("seed", range(120))
def test_both_entries_match_the_reference(seed):
    check_both_entries(seed)


@pytest.mark.parametrize("seed", range(700, 712))
def test_both_entries_match_the_reference_where_planes_bring_far_distances_back(seed):
    check_both_entries(seed, 5e-5, far=True)  # an exponent of 100 is good to 1e-7 of it


@pytest.mark.parametrize("seed", range(800, 806))
def test_both_entries_match_the_reference_on_wide_planes(seed):
    check_both_entries(seed, shape=(5, 4200))  # where aggregate takes the widest vectors


@pytest.mark.parametrize("seed", [s for s in range(900, 940) if case(s)[0].own])
def test_a_whole_window_needs_no_token(seed):
    exact, rounded, _, centre = case(seed)
    sums = reference.accumulate(exact, Run())
    normaliser = exact.vote / (sums.denominator + centre)  # a pixel that is not valid has no weights
    expected = reference.aggregate(exact, Run(), normaliser, centre)
    for token in (None, cpu.accumulate(rounded, Run(2)).token):
        assert_close(cpu.aggregate(rounded, Run(2), single(normaliser), single(centre), token), expected)


@pytest.mark.parametrize("seed", range(3))
def test_the_pairs_of_a_volume_with_their_tokens_match_the_reference(seed):
    rng = np.random.default_rng(seed)
    volume, votes = rng.random((3, 40, 70)), (rng.random((3, 40, 70)) > 0.1).astype(float)
    box = taps(2, "box", np.float64)

    def average(dtype, backend):
        images, valid = volume.astype(dtype), votes.astype(dtype)
        query = 3 * images[1:2]
        pairs = [
            PlanePair(
                query=query,
                key=query if z == 1 else 3 * images[z : z + 1],
                value=images[z : z + 1],
                own_value=images[1:2],
                vote=valid[z],
                radius=(3, 4),
                taps=(box.astype(dtype),) * 2,
                bias=0.5,
                scale=1.0,
                own=z == 1,
            )
            for z in range(3)
        ]
        firsts = [backend.accumulate(pair, Run(2)) for pair in pairs]
        centre = np.full_like(valid[1], 0.5)
        normaliser = valid[1] / sum((first.denominator for first in firsts), start=centre)
        each = [
            backend.aggregate(pair, Run(2), normaliser, centre if pair.own else None, first.token)
            for pair, first in zip(pairs, firsts, strict=True)
        ]
        return sum(s.numerator for s in each), sum(s.denominator for s in each)

    for got, expected in zip(average(np.float32, cpu), average(np.float64, reference), strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=8e-6)


def test_a_sharp_edge_does_not_disturb_the_weights_behind_it():
    rng = np.random.default_rng(0)
    image = np.repeat(rng.random((1, 60, 80)) < 0.5, 1, axis=0) + rng.normal(0, 0.01, (1, 60, 80))
    feature = image * np.sqrt(np.log2(np.e)) / 0.005  # sigma is 1 % of the span, h half of it

    def average(dtype, backend):
        q, v = feature.astype(dtype), image.astype(dtype)
        vote = np.ones(image.shape[1:], dtype)
        box = (taps(3, "box", dtype),) * 2
        sums = backend.accumulate(PlanePair(q, q, v, v, vote, (10, 10), box, 5.77, 1.0, True), Run())
        return sums.numerator / (sums.denominator + 1)

    error = np.abs(average(np.float32, cpu) - average(np.float64, reference)).max()
    assert error < 1e-5 * np.ptp(image)


@pytest.mark.parametrize("seed", range(1000, 1040))
def test_equal_values_add_nothing_to_a_numerator(seed):
    """Whatever they are, whatever the weights: not even a rounding error."""
    _, pair, normaliser, centre = case(seed)
    value = pair.value.copy()
    value[...] = np.float32([0.1, -1e30, 7, 0.3])[: len(value), None, None]
    pair = replace(pair, value=value, own_value=value if pair.own else value.copy())
    for backend in (cpu, reference):
        first = backend.accumulate(pair, Run(2))
        second = backend.aggregate(pair, Run(2), single(normaliser), single(centre), first.token)
        assert not np.any(first.numerator)
        assert not np.any(second.numerator)


@pytest.mark.parametrize("seed", range(6))
def test_every_number_of_workers_and_every_run_gives_the_same_bits(seed, monkeypatch):
    _, pair, normaliser, centre = case(seed + 500)

    def bits(workers):
        first = cpu.accumulate(pair, Run(workers), peak=True)
        second = cpu.aggregate(pair, Run(workers), single(normaliser), single(centre), first.token)
        return [a.tobytes() for a in (*planes(first), *planes(second))]

    expected = bits(1)
    for workers in (1, 2, 3, 8, 64):
        assert bits(workers) == expected
    monkeypatch.setattr(bands, "ThreadPoolExecutor", None)  # what is small needs none for one worker
    monkeypatch.setattr(bands, "_ALONE", 2**62)
    assert bits(1) == expected
    monkeypatch.setattr(bands, "_WORTH_THREADS", 2**62)  # and what is tiny none at all
    assert bits(2) == expected


@pytest.mark.parametrize("isa", ["avx512", "avx2", "baseline"])
def test_every_instruction_set_matches_the_reference(isa):
    if isa not in cpu._kernel.isas():
        pytest.skip(f"this processor has no {isa}")
    chosen = "test_both_entries_match_the_reference or test_a_sharp_edge"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", chosen],
        env=os.environ | {"NLMEANS_ISA": isa},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:]


@pytest.mark.parametrize("seed", range(20))
def test_what_is_in_the_scratch_memory_has_no_part_in_the_result(monkeypatch, seed):
    _, pair, normaliser, centre = case(seed + 600)

    def left_over(number):
        return np.random.default_rng(number).random(2**21, np.float32).tobytes()

    def bits(scratch):
        monkeypatch.setattr(bands, "bytearray", lambda *n: bytearray(*n or (scratch,)), raising=False)
        first = cpu.accumulate(pair, Run(1), peak=True)
        second = cpu.aggregate(pair, Run(1), single(normaliser), single(centre), first.token)
        return [a.tobytes() for a in (*planes(first), *planes(second))]

    assert bits(left_over(1)) == bits(left_over(2)) == bits(b"\xff" * 2**23)  # the last are NaN


def test_an_unknown_instruction_set_is_a_reason():
    code = "from nlmeans.backends import describe; print(dict(describe())['cpu'])"
    environment = os.environ | {"NLMEANS_ISA": "altivec"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert "NLMEANS_ISA='altivec'" in done.stdout


def test_what_progress_raises_stops_the_threads():
    q = np.random.default_rng(0).random((1, 600, 300)).astype(np.float32)
    box = (taps(2, "box", np.float32),) * 2
    pair = PlanePair(q, q, q, q, np.ones(q.shape[1:], np.float32), (10, 10), box, 0.0, 1.0, True)

    def stop(share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cpu.accumulate(pair, Run(2, stop))
    for thread in threading.enumerate():
        if thread.name.startswith("nlmeans"):
            thread.join(5)
            assert not thread.is_alive()


def test_an_interrupt_while_waiting_ends_the_call_and_every_thread():
    code = """
import signal, threading, time, numpy as np, nlmeans
def running():  # a thread that an interrupt kept from starting is listed too, and never alive
    return sum(thread.is_alive() for thread in threading.enumerate()) - 1
image = np.random.default_rng(0).random((2400, 1200), dtype=np.float32)
for n in range(12):
    signal.setitimer(signal.ITIMER_REAL, 0.01 + 0.01 * n)
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        nlmeans.denoise(image, sigma=0.1, k=0.5, patch_radius=2, search_radius=10, backend="cpu", workers=2)
        print("ended")
    except KeyboardInterrupt:
        print("interrupted")
deadline = time.monotonic() + 10
while running() and time.monotonic() < deadline:
    time.sleep(0.01)
print(running())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    *outcomes, threads = done.stdout.split()
    assert outcomes.count("interrupted") >= 6
    assert threads == "0"


def test_without_the_extension_the_reason_is_given_and_the_reference_is_used():
    code = """
import sys, warnings
sys.modules["nlmeans._cpu"] = None
import numpy as np, nlmeans
from nlmeans.backends import describe
print(dict(describe())["cpu"])
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    nlmeans.denoise(np.eye(8), sigma=1.0)
print([str(w.message) for w in said if "reference backend" in str(w.message)] != [])
try:
    nlmeans.denoise(np.eye(8), sigma=1.0, backend="cpu")
except nlmeans.BackendUnavailableError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert "install a C compiler" in lines[0]
    assert lines[1] == "True"
    assert 'backend="cpu" cannot run' in lines[2]


SOURCES = Path(__file__).parents[2] / "kernels" / "cpu"
needs_gcc = pytest.mark.skipif(
    shutil.which("gcc") is None or not SOURCES.exists() or not sys.platform.startswith("linux"),
    reason="there is no gcc, or no source tree",
)


def compiled(folder, options, **instead):
    """The extension built apart with these options; `instead` gives the text of some of its files."""
    objects = []
    for source in sorted(SOURCES.glob("*.c")):
        if source.stem in instead:
            source = folder / source.name
            source.write_text(instead[source.stem], encoding="utf-8")
        objects.append(str(folder / f"{source.stem}.o"))
        own = options if not source.stem.startswith("avx") else []  # never called here
        places = ["-I", str(SOURCES), "-I", sysconfig.get_path("include")]
        build = ["gcc", "-c", "-fPIC", "-std=c11", *own, *places, "-o", objects[-1], str(source)]
        subprocess.run(build, capture_output=True, check=True)
    module = folder / "_cpu.so"
    subprocess.run(["gcc", "-shared", *options, "-o", str(module), *objects, "-lm"], check=True)
    return module


def checked_with(module, seeds, **environment):
    """Runs cases of the matrix in a process whose extension is `module`, and its baseline in use."""
    code = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("nlmeans._cpu", {str(module)!r})
sys.modules["nlmeans._cpu"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_cpu_kernel as tests
assert tests.cpu._kernel is module
for seed in {seeds!r}:
    tests.test_both_entries_match_the_reference(seed)
import test_slab_kernel as slabs
for seed in {seeds!r}[::4]:
    slabs.test_accumulate_slab_matches_the_reference(seed)
    slabs.test_aggregate_slab_matches_the_reference(seed)
tests.test_a_sharp_edge_does_not_disturb_the_weights_behind_it()
print("clean")
"""
    told = os.environ | {"NLMEANS_ISA": "baseline"} | environment
    done = subprocess.run([sys.executable, "-c", code], env=told, capture_output=True, text=True)
    assert done.stdout.strip() == "clean", done.stderr[-3000:]


@needs_gcc
def test_the_c_code_is_clean_under_address_and_undefined_behaviour_sanitizers(tmp_path):
    options = ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    runtime = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    module = compiled(tmp_path, options)
    checked_with(module, range(200, 240), LD_PRELOAD=runtime, ASAN_OPTIONS="detect_leaks=0")


@needs_gcc
def test_one_lane_is_right(tmp_path):
    """The text that compilers without vector types get."""
    headers = ("accumulate", "aggregate", "combine", "nearest", "slab")
    one = "#define LANES 1\n" + "".join(f'#include "{name}.h"\n' for name in headers)
    checked_with(compiled(tmp_path, ["-O2"], baseline=one), range(400, 430))


@needs_gcc
def test_sixteen_lanes_are_right_on_a_processor_without_them(tmp_path):
    """The text of the AVX-512 version with its three intrinsics in plain C."""
    sixteen = """
#include <math.h>
#include <string.h>
#include "isa.h"
#undef __x86_64__ /* no registers of this width to hold a value in */
typedef float __m512 __attribute__((vector_size(64)));
typedef int __m512i __attribute__((vector_size(64)));
#define EACH(type, name, result)            \
    static inline type name(type a, type b) \
    {                                       \
        for (int l = 0; l < 16; l++)        \
            a[l] = result;                  \
        return a;                           \
    }
EACH(__m512i, _mm512_max_epi32, a[l] > b[l] ? a[l] : b[l])
EACH(__m512, _mm512_scalef_ps, scalbnf(a[l], (int)fmaxf(floorf(b[l]), -1000)))
EACH(__m512, rounded, rintf(a[l]))
#define _mm512_roundscale_ps(a, how) rounded(a, a)
#define LANES 16
#include "accumulate.h"
#include "aggregate.h"
#include "slab.h"
/* the entries for groups have intrinsics of their own, and are no part of this test */
size_t nearest_scratch_baseline(const struct search *search) { return search ? 0 : 0; }
size_t combine_scratch_baseline(const struct group *group) { return group ? 0 : 0; }
void nearest_baseline(const struct search *s, char *scratch, const volatile unsigned char *stop)
{
    (void)s, (void)scratch, (void)stop;
}
void combine_baseline(const struct group *g, char *scratch, const volatile unsigned char *stop)
{
    (void)g, (void)scratch, (void)stop;
}
"""
    checked_with(compiled(tmp_path, ["-O2"], baseline=sixteen), range(300, 360))


INSTRUCTION_SETS = {"one lane": ["-DLANES=1"], "baseline": []}
if platform.machine() in ("x86_64", "AMD64"):
    INSTRUCTION_SETS |= {
        "avx2": ["-DLANES=8", "-mavx2", "-mfma"],
        "avx512": ["-DLANES=16", *(f"-mavx512{part}" for part in ("f", "dq", "vl", "bw")), "-mfma"],
    }


@needs_gcc
@pytest.mark.parametrize("header", sorted(path.name for path in SOURCES.glob("*.h")))
@pytest.mark.parametrize("isa", INSTRUCTION_SETS)
def test_a_header_can_be_opened_alone(isa, header):
    warnings = [
        "-Wall",
        "-Wextra",
        "-Werror",
        "-Wno-unused-function",
    ]  # what a header defines is used elsewhere
    include = sysconfig.get_path("include")
    command = [
        "gcc",
        "-fsyntax-only",
        "-x",
        "c",
        "-std=c11",
        *warnings,
        *INSTRUCTION_SETS[isa],
        "-I",
        include,
        header,
    ]
    done = subprocess.run(command, cwd=SOURCES, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@needs_gcc
@pytest.mark.parametrize("source", sorted(path.name for path in SOURCES.glob("*.c")))
def test_the_c_code_compiles_without_a_warning(source):
    include = sysconfig.get_path("include")
    command = ["gcc", "-fsyntax-only", "-std=c11", "-Wall", "-Wextra", "-Werror", "-I", include, source]
    done = subprocess.run(command, cwd=SOURCES, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_arguments_that_would_reach_outside_an_array_are_refused():
    def refused(error, entry="accumulate", *, sums=None, band=None, normalised=None, **changed):
        pair = replace(cpu._for_the_kernel(a_pair()), **changed)
        sums = sums or cpu._empty(pair)
        spill = np.zeros((2, 5 if entry == "accumulate" else 6, 7), np.float32)
        band = band or Band((0, 4), spill, bytearray(1), bytearray())
        middle = () if entry == "accumulate" else (normalised or whole(),)
        with pytest.raises(error):
            getattr(cpu._kernel, entry)(cpu.isa(), pair, *middle, sums, band)

    def a_pair():
        plane = np.ones((1, 20, 7), np.float32)
        return PlanePair(
            plane, plane, plane, plane, plane[0], (5, 2), (taps(1, "box", np.float32),) * 2, 0.5, 1.0, True
        )

    def whole(**changed):
        return cpu._Normalised(**{"normaliser": small, "center": small, "weight_sum": small} | changed)

    small = np.ones((20, 7), np.float32)
    smaller = np.ones((19, 7), np.float32)
    refused(ValueError, key=np.ones((1, 19, 7), np.float32))
    refused(ValueError, value=np.ones((1, 20, 6), np.float32))
    refused(ValueError, own_value=np.ones((2, 20, 7), np.float32))
    refused(ValueError, own_value=np.ones((1, 20, 6), np.float32))
    refused(ValueError, query=small)
    refused(ValueError, vote=smaller)
    refused(ValueError, radius=(-1, 2))
    refused(TypeError, radius=[1, 2])
    refused(TypeError, radius=(1.5, 2))
    refused(ValueError, taps=(np.ones(2, np.float32),) * 2)
    refused(TypeError, taps=None)
    refused(ValueError, bias=smaller)
    refused(TypeError, scale=np.ones(1))
    refused(ValueError, sums=Sums(np.ones((1, 19, 7), np.float32), small))
    refused(ValueError, sums=Sums(np.ones((1, 20, 7), np.float32), smaller))
    refused(ValueError, sums=Sums(np.ones((1, 20, 7), np.float32), small, smaller))
    for rows in ((-1, 4), (4, 4), (0, 21)):
        refused(ValueError, band=Band(rows, np.zeros((2, 5, 7), np.float32), bytearray(1), bytearray()))
    refused(ValueError, band=Band((0, 4), np.zeros((2, 4, 7), np.float32), bytearray(1), bytearray()))
    refused(TypeError, band=Band((0, 4), np.zeros((2, 5, 7), np.float32), bytearray(1), b""))
    refused(AttributeError, band=object())
    for name in ("normaliser", "center", "weight_sum"):
        refused(ValueError, "aggregate", normalised=whole(**{name: smaller}))
    refused(TypeError, "aggregate", normalised=whole(center=None))
