"""`nlmeans bench`: figures that were measured, results that were checked, ceilings that were counted."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from nlmeans.benchmarks import chart, device
from nlmeans.benchmarks.counted import ceilings
from nlmeans.benchmarks.ours import bench, own
from nlmeans.benchmarks.ours.own import Measured, Setting
from nlmeans.benchmarks.problems import Problem

from nlmeans import backends

from ..faults.streams import Ran

QUICK = ("--device", "cpu", "--size", "32", "--search-radius", "2", "--patch-radius", "1", "--seconds", "0")
NO_GPU = device.missing()
needs_no_gpu = pytest.mark.skipif(NO_GPU is None, reason="a GPU is here")

H100 = {"name": "NVIDIA H100", "capability": 90, "multiprocessors": 132, "gigahertz": 1.98}


@pytest.fixture(autouse=True)
def _slow_backend_is_fine(recwarn: pytest.WarningsRecorder) -> None:
    """Without a compiler the reference is measured."""


# --- the command --------------------------------------------------------------------------------


def test_the_table_the_json_and_the_plot_tell_the_same(tmp_path: Any) -> None:
    files = ("--json", tmp_path / "b.json", "--plot", tmp_path / "b.svg")
    ran = Ran("bench", *QUICK, *files)
    assert ran.code == 0, ran.err
    found = json.loads((tmp_path / "b.json").read_text())
    assert [r["setting"]["aggregate"] for r in found["rows"]] == ["pixel", "patch"]
    for row in found["rows"]:
        assert len(row["kernel"]) >= 3 <= len(row["whole"])
        assert row["kernel_mpixel_s"] == pytest.approx(32**2 / row["kernel_median"] / 1e6, rel=1e-3)
        assert row["kernel_gpair_s"] == pytest.approx(25 * row["kernel_mpixel_s"] / 1e3, rel=1e-2)
        assert f"{row['kernel_mpixel_s']:.4g}" in ran.out
        assert f"{row['psnr']:.2f}" in ran.out
        assert 0 < row["difference"] < 1e-5
        assert row["ceiling"] is None
        assert "search_radius=2" in row["call"]
    assert found["command"].startswith("nlmeans bench --device=cpu")
    assert found["started"]["time"]
    assert found["machine"]["processors"] >= 1
    words = [e.text for e in ElementTree.parse(tmp_path / "b.svg").iter() if e.tag.endswith("text")]
    assert {"pixel, kernel", "patch, NumPy in and out"} <= set(words)


@needs_no_gpu
def test_without_a_gpu_it_says_why_in_one_line_and_measures_the_processor() -> None:
    ran = Ran("bench", "--aggregate", "pixel", *QUICK[2:])
    assert ran.code == 0
    assert [line for line in ran.err.splitlines() if "no GPU" in line] == [
        f"no GPU: {NO_GPU}; measuring the processor"
    ]
    assert "of ceiling" not in ran.out
    assert "no GPU" not in Ran("bench", "--aggregate", "pixel", *QUICK).err  # it was asked for


@needs_no_gpu
def test_a_gpu_that_was_asked_for_and_is_not_there_is_an_error() -> None:
    ran = Ran("bench", "--device", "cuda", *QUICK[2:])
    assert ran.code == 4
    assert str(NO_GPU) in ran.err
    assert ran.out == ""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--size", "12"], "'12' is no size"),
        (["--size", "1080p,huge"], "'huge' is no size"),
        (["--plot", "speed.png"], "must end in .svg"),
        (["--json", "a.svg", "--plot", "a.svg"], "different files"),
        (["--json", "a.svg", "--plot", "b/../a.svg"], "different files"),
        (["--json", "-"], "standard output has the table"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_measured(options: list[str], words: str) -> None:
    ran = Ran("bench", *options)
    assert ran.code == 2
    assert words in ran.err


def test_a_result_that_exists_is_not_replaced(tmp_path: Any) -> None:
    path = tmp_path / "b.json"
    path.write_text("mine")
    assert Ran("bench", *QUICK, "--json", path).code == 3
    assert path.read_text() == "mine"
    assert Ran("bench", *QUICK, "--aggregate", "pixel", "--json", path, "--overwrite").code == 0


def test_progress_is_shown_on_a_terminal_and_the_table_has_bars() -> None:
    ran = Ran("bench", *QUICK, err_terminal=True)
    assert "32² grey patch: whole" in ran.err
    assert "█" in ran.out


def test_colour_and_eight_bits_are_measured_too() -> None:
    ran = Ran("bench", *QUICK, "--channels", "3", "--dtype", "uint8", "--patch", "gaussian")
    assert ran.code == 0, ran.out
    assert "32² RGB" in ran.out


# --- a wrong kernel cannot look fast ------------------------------------------------------------


def test_a_wrong_kernel_is_shown_as_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    name, _ = bench.chosen("cpu")
    engine = backends.load(name)
    original = engine.accumulate

    def spoiled(*arguments: Any, **options: Any) -> Any:
        sums = original(*arguments, **options)
        sums.denominator[20] *= 1.01
        return sums

    monkeypatch.setattr(engine, "accumulate", spoiled)
    ran = Ran("bench", *QUICK, "--aggregate", "pixel")
    assert ran.code == 1
    assert "WRONG" in ran.out


def test_the_crop_of_the_reference_gets_the_strength_of_the_whole_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    called: list[tuple[Any, dict[str, Any]]] = []
    denoise = own.nlmeans.denoise

    def noted(image: Any, **options: Any) -> Any:
        called.append((image.shape, options))
        return denoise(image, **options)

    monkeypatch.setattr(own.nlmeans, "denoise", noted)
    problem = Problem("x", (80, 80), patch_radius=1, search_radius=2)
    row = own.measure(Setting(problem, "patch"), "reference", 0, lambda *_: None)
    assert not row.wrong
    assert {shape for shape, _ in called} == {(80, 80), (56, 56)}
    assert len({options["k"] for _, options in called}) == 1


def test_rounding_to_eight_bits_is_not_wrong_and_a_level_is() -> None:
    row = Measured("x", "cpu", 1, Problem("x", (32, 32), dtype="uint8").to_dict())
    row.difference = 0.5 / 255 / 0.6
    assert not row.wrong
    row.difference = 1.5 / 255 / 0.6
    assert row.wrong
    row.difference = float("nan")
    assert row.wrong


def test_a_failure_is_a_row_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(own.nlmeans, "denoise", full)
    row = own.measure(Setting(Problem("x", (32, 32)), "pixel"), "reference", 0, lambda *_: None)
    assert row.reason == "no room"
    result = {"rows": [row.to_dict()], "backend": "cpu"}
    assert "not measured: no room" in bench.table(result | _around())


# --- ceilings -----------------------------------------------------------------------------------


def _around() -> dict[str, Any]:
    busy = {"load_average": [0.1, 0.1, 0.1]}
    computer = {"cpu": "X", "processors": 2}
    return {"versions": {"nlmeans": "1"}, "device": None, "machine": computer, "started": busy, "ended": busy}


def test_ceilings_are_those_that_were_counted_for_the_h100() -> None:
    gpu = replace(device.gpu(H100), gigahertz=1.755)
    counts = json.loads((ceilings.KEPT.parent / "cuda_counts.json").read_text())
    expected = {r["options"]: r["ceiling_gigapixels"] for r in counts["rows"]}
    for corrected in (False, True):
        asked = ceilings.problem_of((2048, 2048), corrected=corrected)
        (plan,) = ceilings.plans_of(asked, ceilings.device_of(90), aggregates=False)
        rate = ceilings.gigapixels(asked, ceilings.seconds_at_least([plan], gpu, asked))
        assert rate == pytest.approx(expected[" ".join(plan.launches[0].options)], rel=0.01)


def test_two_passes_take_the_time_of_both_and_the_exponential_allows_more() -> None:
    gpu = device.gpu(H100)
    asked = ceilings.problem_of((1080, 1920), corrected=True)
    plans = ceilings.plans_of(asked, ceilings.device_of(90), aggregates=True)
    both = ceilings.seconds_at_least(plans, gpu, asked)
    one, two = (ceilings.seconds_at_least([plan], gpu, asked) for plan in plans)
    assert both is not None
    assert both == pytest.approx(one + two)
    limit = ceilings.exponential_seconds(gpu, asked, 2)
    assert limit == pytest.approx(2 * 1080 * 1920 * 441 / (16 * 132 * 1.98e9))
    assert limit < both


def test_an_architecture_newer_than_all_takes_the_newest_counts_and_an_unknown_kernel_none() -> None:
    asked = ceilings.problem_of((1080, 1920), corrected=False)
    for capability, known in ((121, True), (70, False)):
        gpu = device.gpu(H100 | {"capability": capability})
        plans = ceilings.plans_of(asked, ceilings.device_of(max(capability, 75)), aggregates=False)
        assert (ceilings.seconds_at_least(plans, gpu, asked) is not None) == known
    large = ceilings.problem_of((1080, 1920), 5, corrected=False)  # the readable kernel, not counted
    plans = ceilings.plans_of(large, ceilings.device_of(90), aggregates=False)
    assert ceilings.seconds_at_least(plans, device.gpu(H100), large) is None


def test_every_setting_of_the_benchmarks_is_counted_without_spills() -> None:
    kept = json.loads(ceilings.KEPT.read_text())
    assert {r["architecture"] for r in kept["rows"]} == {75, 80, 86, 90, 100, 120}
    for problem in ceilings._wanted():
        for capability in (75, 80, 86, 90, 100, 120):
            gpu = device.gpu(H100 | {"capability": capability})
            plans = ceilings.plans_of(problem, ceilings.device_of(capability), aggregates=problem.peak)
            if all(p.launches[0].source != "readable.cu" for p in plans):
                assert ceilings.seconds_at_least(plans, gpu, problem) is not None


def test_rates_are_fractions_of_the_counted_ceiling() -> None:
    setting = {"aggregate": "pixel", "patch": "box"}
    row = Measured("x", "cuda", 1, Problem("x", (1000, 1000)).to_dict() | setting)
    row.kernel, row.whole, row.device = [0.002, 0.001, 0.004], [0.01], [0.003]
    row.psnr, row.difference, row.ceiling, row.exponential = 28.0, 1e-7, 0.0005, 0.00025
    found = row.to_dict()
    assert found["kernel_mpixel_s"] == 500
    assert found["share_of_ceiling"] == 0.25
    assert found["share_of_exponential"] == 0.125
    facts = H100 | {"as_found": {"clocks.sm": "1755 MHz"}, "cupy": "14"}
    told = bench.table({"rows": [found], "backend": "cuda"} | _around() | {"device": facts})
    assert "25 %" in told
    assert "12 %" in told
    assert "1755 MHz as found" in told


def test_the_device_is_described_by_what_it_says_of_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = SimpleNamespace(attributes={"MultiProcessorCount": 132}, compute_capability="90")
    runtime = SimpleNamespace(
        getDevice=lambda: 1,
        getDeviceProperties=lambda number: {"name": b"H100", "totalGlobalMem": 8},
        driverGetVersion=lambda: 13000,
        runtimeGetVersion=lambda: 13000,
    )
    cuda = SimpleNamespace(runtime=runtime, Device=lambda number: answers)
    answer = "580.1, 345 MHz, 1980 MHz, 2619 MHz, 700.00 W, 31"
    monkeypatch.setattr(device.shutil, "which", lambda name: name)
    monkeypatch.setattr(
        device.subprocess,
        "run",
        lambda words, **_: SimpleNamespace(stdout=answer if "--id=1" in words else ""),
    )
    found = device.facts(SimpleNamespace(cuda=cuda, __version__="14.2"))
    assert found["gigahertz"] == 1.98  # which newer drivers do not tell as an attribute
    assert found["as_found"]["driver_version"] == "580.1"
    assert found["as_found"]["clocks.sm"] == "345 MHz"
    answers.attributes["ClockRate"] = 1_755_000
    gpu = device.gpu(device.facts(SimpleNamespace(cuda=cuda, __version__="14.2")))
    assert (gpu.architecture, gpu.multiprocessors, gpu.gigahertz) == ("sm_90", 132, 1.755)


# --- clocks -------------------------------------------------------------------------------------


def test_the_devices_events_are_around_each_call_and_read_when_all_is_done() -> None:
    log: list[str] = []

    class Event:
        def __init__(self) -> None:
            self.at = 0

        def record(self) -> None:
            log.append("event")
            self.at = len(log)

    stream = SimpleNamespace(synchronize=lambda: log.append("wait"))

    def elapsed(first: Event, last: Event) -> float:
        assert log[-1] == "wait"
        return 1000.0 * (last.at - first.at)

    cuda = SimpleNamespace(Event=Event, get_current_stream=lambda: stream, get_elapsed_time=elapsed)
    spent = device.DeviceClock(SimpleNamespace(cuda=cuda)).each([lambda: log.append("call")] * 2)
    assert log == ["event", "call", "event"] * 2 + ["wait"]
    assert spent == [2.0, 2.0]


def test_calls_take_turns_after_one_round_to_warm_up() -> None:
    called: list[int] = []
    calls = [lambda n=n: called.append(n) for n in range(3)]
    *_, (fraction, spent) = device.repeated(calls, device.HostClock(), seconds=0.0)
    assert fraction == 1.0
    assert called[:7] == [0, 1, 2, 0, 1, 2, 0]
    assert len(called) == len(spent) + 3 >= 6


def test_bars_and_spread() -> None:
    assert bench.bar(1.0, width=4) == "████"
    assert bench.bar(0.5 + 1 / 32, width=4) == "██▏"
    assert bench.bar(0.0, width=4) == "▏"
    assert bench.bar(0.5, width=4, plain=True) == "##"
    assert device.spread([1.0, 1.0, 1.0, 1.0, 100.0]) == 0.0
    assert device.spread([1.0, 2.0, 3.0]) == pytest.approx(0.25)


def test_curves_are_xml_with_a_tick_or_two_and_say_when_there_is_nothing() -> None:
    made = chart.curves("t", "x", "y", {"a": [(1, 2), (100, 300)], "a, ceiling": [(1, 400)]})
    words = [e.text for e in ElementTree.fromstring(made).iter() if e.tag.endswith("text")]
    assert {"a", "a, ceiling", "10", "100"} <= set(words)
    assert "not measured" in chart.curves("t", "x", "y", {})


def test_pictures_of_one_setting_differ_everywhere() -> None:
    pictures = own._pictures(Problem("x", (64, 64)))
    assert len(pictures) == 4
    assert all(np.mean(a == b) < 0.05 for a, b in pairwise(pictures))
