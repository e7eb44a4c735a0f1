"""Measuring on a GPU, as far as it can be seen without one: plans, reasons, clocks, tables, plots."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ElementTree
from itertools import count
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from nlmeans.benchmarks import RESULTS, device
from nlmeans.benchmarks.__main__ import main
from nlmeans.benchmarks.problems import psnr, square
from nlmeans.benchmarks.race import gpu_record, gpu_rivals, rivals
from nlmeans.benchmarks.race import turns as run
from nlmeans.benchmarks.race.gpu_plan import (
    CONTESTANTS,
    GROUPS,
    HOST,
    HOST_BYTES,
    KERNEL,
    LARGE,
    OURS,
    QUICK,
    TORCH,
    WHOLE,
    GpuChoice,
    frame,
    large_frame,
    needs_gpu,
    on_processor,
)
from nlmeans.benchmarks.race.turns import Effort, Row
from nlmeans.benchmarks.report import cpu as report
from nlmeans.benchmarks.report import gpu as gpu_report

import nlmeans

COMMITTED = RESULTS / "gpu.json"
FACTS = {
    "name": "NVIDIA H100",
    "capability": 90,
    "multiprocessors": 132,
    "gigahertz": 1.755,
    "as_found": {"clocks.sm": "1700 MHz", "driver_version": "580.1"},
    "cupy": "14.2",
}


def row(contestant: Any, problem: Any, milliseconds: float, group: str = "rivals") -> Row:
    """A row as a run on a GPU would make it."""
    shown = problem.with_dtype(contestant.dtype).to_dict()
    made = Row(group, contestant.name, contestant.rival, 1, shown, "call()", "thing 1.0")
    made.wall, made.cpu, made.psnr = [milliseconds / 1000] * 3, [0.001] * 3, 27.5
    if contestant.rival == OURS and contestant.options["place"] != "host":
        made.device = [milliseconds / 1000] * 3
    return made


def result_of(*rows: Row, gpu: bool = True) -> dict[str, Any]:
    busy = {"time": "2026-11-23T10:00:00+00:00", "load_average": [0.5, 0.5, 0.5]}
    return {
        "command": "python -m nlmeans.benchmarks gpu",
        "device": FACTS if gpu else None,
        "no_gpu": None if gpu else "there is no NVIDIA driver",
        "machine": {"cpu": "X", "processors": 2},
        "started": busy,
        "ended": busy,
        "rows": [r.to_dict() for r in rows],
    }


# --- what is compared ---------------------------------------------------------------------------


@pytest.mark.parametrize("choice", [GpuChoice(), QUICK], ids=["whole", "quick"])
def test_every_comparison_has_one_picture_and_one_strength_for_all(choice: GpuChoice) -> None:
    for _, comparisons in GROUPS:
        for entries in comparisons(choice):
            assert len({problem for problem, _ in entries}) == 1
            assert all(c.rival in (*rivals.RIVALS, *gpu_rivals.RIVALS) for _, c in entries)


def test_the_sweeps_are_those_that_were_asked_for() -> None:
    found = [(g, p, c) for g, comparisons in GROUPS for e in comparisons(GpuChoice()) for p, c in e]
    shapes = {p.shape for g, p, _ in found if g == "sizes"}
    assert {min(shapes), max(shapes)} == {(256, 256), (8192, 8192)}
    searches = {p.search_radius for g, p, _ in found if g == "radii"}
    assert {min(searches), max(searches)} == {2, 17}
    assert {p.patch_radius for g, p, _ in found if g == "radii"} == {1, 2, 3, 4, 5}
    assert {p.channels for g, p, _ in found if g == "channels"} == {1, 2, 3, 4}
    assert {"batches", "tiles"} <= {g for g, _, _ in found}
    everyone = {c.rival for g, _, c in found if g == "rivals"}
    assert everyone == {*gpu_rivals.RIVALS, "nlmeans", "OpenCV", "scikit-image"}


def test_without_a_gpu_all_of_ours_have_a_stand_in_on_the_processor() -> None:
    for contestant in CONTESTANTS:
        if contestant.rival in (OURS, TORCH):
            stand_in = on_processor(contestant)
            assert not needs_gpu(stand_in) or stand_in.options["torch_device"] == "cpu"
            assert stand_in.name.endswith("; run on the processor")


# --- programs -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("channels", "dtype"), [(1, "float32"), (3, "float32"), (1, "uint8")])
def test_the_torch_implementation_computes_the_bare_filter(channels: int, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    image = square(24, channels=channels, dtype=dtype).noisy()[:, :17]
    unit = 255 if dtype == "uint8" else 1
    found = gpu_rivals.torch_filter(torch.from_numpy(image.copy()), 2, 4, 0.1 * unit).numpy()
    axis = -1 if channels > 1 else None
    options = {"sigma": 0, "h": 0.1 * unit, "patch_radius": 2, "search_radius": 4, "aggregate": "pixel"}
    exact = nlmeans.denoise(image, **options, channel_axis=axis, color="joint", backend="reference")
    assert found.dtype == image.dtype
    np.testing.assert_allclose(found, exact, atol=1e-5 if dtype == "float32" else 1)


@pytest.mark.parametrize("place", ["kernel", "host"])
@pytest.mark.parametrize(("dtype", "channels"), [("float32", 1), ("uint8", 3)])
def test_ours_gives_the_denoised_picture_wherever_it_is_timed(
    place: str, dtype: str, channels: int, tmp_path: Any
) -> None:
    if nlmeans.backends.load("cpu").can_run(nlmeans.backends.contract.Request("numpy", dtype, 1, 1)):
        pytest.skip("the C backend is not built")
    problem = square(32, search_radius=3, dtype=dtype, channels=channels)
    setting = {"patch_radius": 3, "search_radius": 3, "h": problem.h, "noise": problem.noise}
    setting["options"] = {"place": place, "backend": "cpu"}
    job = gpu_rivals.ours(problem.noisy(), setting, 1)
    job._calls(0)
    answer = job.run()
    job.save(str(tmp_path / "r.npy"))
    assert 0 < answer["wall"] < 1
    assert "device" not in answer
    assert psnr(problem.clean(), np.load(tmp_path / "r.npy")) > 25


def test_a_batch_is_many_pictures_in_one_call(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if nlmeans.backends.load("cpu").can_run(nlmeans.backends.contract.Request("numpy", "float32", 1, 1)):
        pytest.skip("the C backend is not built")
    monkeypatch.setattr(gpu_rivals, "_SECONDS", 0)
    problem = square(24, search_radius=2, patch_radius=1)
    setting = {"patch_radius": 1, "search_radius": 2, "h": problem.h, "noise": problem.noise}
    results = []
    for batch in (1, 4):
        setting["options"] = {"place": "host", "backend": "cpu", "batch": batch}
        job = gpu_rivals.ours(problem.noisy(), setting, 1)
        job.run()
        job.save(str(tmp_path / "r.npy"))
        results.append(np.load(tmp_path / "r.npy"))
    np.testing.assert_array_equal(*results)


def test_the_gpus_clock_is_read_when_some_calls_are_queued(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_rivals, "_SECONDS", 0.05)
    log: list[str] = []
    ticks = count()

    class Event:
        def record(self) -> None:
            self.at = next(ticks)
            log.append("mark")

        def synchronize(self) -> None:
            log.append("wait")

    cuda = SimpleNamespace(Event=Event, get_elapsed_time=lambda a, b: 1000.0 * (b.at - a.at))
    job = gpu_rivals.Steady(
        "call",
        lambda n: log.append("call"),
        versions="1",
        pictures=4,
        marks=gpu_rivals._cupy_marks(SimpleNamespace(cuda=cuda)),
        result=lambda: np.zeros(1),
    )
    assert job.run()["device"] == 0.25
    assert log[:4] == ["mark", "call", "mark", "wait"]
    assert log[4:14] == ["mark", "call", "mark"] * 2 + ["wait"] * 2 + ["mark", "call"]


def test_a_plugin_that_did_not_load_is_a_reason_and_one_that_did_is_asked_for_frames(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    core = SimpleNamespace()
    monkeypatch.setitem(sys.modules, "vapoursynth", SimpleNamespace(core=core))  # type: ignore[arg-type]
    image = np.zeros((4, 6), np.float32)
    for adapter, words in (
        (gpu_rivals.vs_nlm_cuda, "up to release 78"),
        (gpu_rivals.vszipcu, "NVIDIA driver"),
        (gpu_rivals.knlmeanscl, "OpenCL"),
    ):
        with pytest.raises(RuntimeError, match=words):
            adapter(image, {}, 1)

    vapoursynth: Any = ModuleType("vapoursynth")
    frames: list[int] = []

    class Clip:
        def get_frame(self, n: int) -> Any:
            return SimpleNamespace(copy=lambda: [np.zeros((4, 6), np.float32)])

        def get_frame_async(self, n: int) -> Any:
            frames.append(n)
            return SimpleNamespace(result=lambda: [np.full((4, 6), n)])

    asked: dict[str, Any] = {}

    def filtered(clip: Any, **options: Any) -> Clip:
        asked.update(options)
        return Clip()

    plugin = SimpleNamespace(NLMeans=filtered, version=SimpleNamespace(major=1, minor=2))
    core.std = SimpleNamespace(BlankClip=lambda **_: Clip(), ModifyFrame=lambda *_: Clip())
    core.vszipcu = plugin
    for name in ("GRAY8", "GRAYS", "RGB24", "RGBS"):
        setattr(vapoursynth, name, name)
    vapoursynth.core, vapoursynth.__version__ = core, SimpleNamespace(release_major=78)
    monkeypatch.setitem(sys.modules, "vapoursynth", vapoursynth)
    setting = {"search_radius": 10, "patch_radius": 3, "h": 20 / 255}
    job = gpu_rivals.vszipcu(image, setting, 2)
    job.run()
    job.run()
    assert asked["a"] == 10
    assert asked["s"] == 3
    assert asked["h"] == pytest.approx(20)
    assert frames == list(range(16))  # eight at a time, never one twice
    assert job.pictures == 8


def test_a_rival_that_needs_a_gpu_is_found_by_the_process_that_runs_alone() -> None:
    (found,) = run.measure("x", [(square(16), CONTESTANTS[-4])], Effort(repeats=0))
    assert found.rival == "bm3d-cupy"
    assert "not installed" in str(found.reason)


# --- a run without a GPU ------------------------------------------------------------------------


@pytest.fixture
def measured_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(group: str, entries: Any, effort: Effort, log: Any) -> list[Row]:
        return [row(c, p, 1.0, group) for p, c in entries]

    monkeypatch.setattr(gpu_record, "measure", measure)


@pytest.mark.usefixtures("measured_by_name")
def test_without_a_gpu_everything_runs_on_the_processor_and_gpu_rows_say_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(device, "missing", lambda: "there is no NVIDIA driver")
    said: list[str] = []
    found = gpu_record.record(gpu_record.GpuOrder(Effort()), said.append)
    assert "no NVIDIA driver" in said[0]
    assert found["device"] is None
    empty = [r for r in found["rows"] if r["reason"]]
    assert {r["rival"] for r in empty} == set(gpu_rivals.RIVALS)
    assert all(r["reason"] == "no GPU: there is no NVIDIA driver" for r in empty)
    ran = [r for r in found["rows"] if not r["reason"]]
    assert {r["group"] for r in ran} == {f"{g}, on the processor" for g, _ in GROUPS}
    assert {r["rival"] for r in ran} == {OURS, TORCH, "nlmeans", "OpenCV", "scikit-image"}


@pytest.mark.usefixtures("measured_by_name")
def test_the_time_limit_leaves_rows_that_say_so() -> None:
    found = gpu_record.record(gpu_record.GpuOrder(Effort(), ("batches",), time_limit=-1), lambda _: None)
    assert {r["reason"] for r in found["rows"]} == {"the run's -1 s were over"}


def test_what_ran_on_the_processor_fills_no_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = row(KERNEL, frame(GpuChoice()), 1.0)  # even if it had the name and the size
    found = result_of(stand_in, gpu=False)
    made = gpu_report.readme_tables(found)
    assert "|" not in made
    assert made.count("\n") == 0
    assert "Nothing has been measured on a GPU so far (none was at hand on 2026-11-23)" in made
    assert "[benchmarks/results/gpu.md](benchmarks/results/gpu.md)" in made
    whole = gpu_report.full_report(found)
    assert "counted ceiling for 4K" in whole
    assert "not measured |" not in whole
    assert gpu_report.full_report(result_of(gpu=True)) == whole  # a GPU that measured nothing says no more


def test_the_table_has_the_lines_and_columns_that_were_measured() -> None:
    rows = [row(KERNEL, frame(GpuChoice()), 1.0), row(HOST, large_frame(GpuChoice()), 5.0, LARGE)]
    lines = gpu_report.readme_tables(result_of(*rows)).splitlines()
    share = "of the counted ceiling"
    assert lines[0] == (
        f"| 1080p grey, patches 7², window 21² | Gpixel/s | time | frames/s | {share} | 4K | PSNR, dB |"
    )
    assert lines[2] == "| nlmeans, kernel only | 2.07 | 1 ms | 1000 | 54 % | not measured | 27.50 |"
    unknown = "not measured | not measured | not measured |"
    assert lines[3] == f"| nlmeans, NumPy in and out | {unknown}  | 5 ms | not measured |"
    assert lines[4] == ""


def test_the_command_runs_and_writes_a_result_from_which_tables_are_made(tmp_path: Any, capsys: Any) -> None:
    if device.missing() is None:
        pytest.skip("a GPU is here: the whole run takes minutes")
    path = tmp_path / "gpu.json"
    assert main(["gpu", "--quick", "--repeats", "1", "--only", "batches", "--json", str(path)]) == 0
    assert "no GPU" in capsys.readouterr().err
    found = json.loads(path.read_text())
    ran = [r for r in found["rows"] if not r["reason"] and r["psnr"] > 15]
    assert any("4 at a time" in r["contestant"] for r in ran)
    assert "Nothing has been measured on a GPU" in gpu_report.full_report(found)


# --- tables and plots ---------------------------------------------------------------------------


def test_cells_are_filled_by_the_gpus_clock_and_ceilings_by_the_counts() -> None:
    main_frame, favourite = frame(GpuChoice()), frame(GpuChoice(), patch=4, search=2)
    ours, theirs = row(KERNEL, main_frame, 1.0), row(CONTESTANTS[5], main_frame, 8.0)
    made = gpu_report.full_report(result_of(ours, theirs, row(KERNEL, favourite, 0.5)))
    line = next(text for text in made.splitlines() if text.startswith("| nlmeans, kernel only"))
    cells = [cell.strip() for cell in line.strip("|").split(" | ")]
    assert cells[1] == "2.07"  # 1080 x 1920 in a millisecond
    assert cells[2] == "1 ms"
    assert cells[4] == "54 %"  # of 3.85
    assert cells[5] == "0.5 ms"
    assert "| vszipcu | 0.259 | 8 ms | 125 |" in made
    assert "1700 MHz as found" in made


def test_targets_are_ratios_of_what_was_measured_in_one_run() -> None:
    main_frame = frame(GpuChoice())
    rows = [row(HOST, main_frame, 2.0), row(HOST_BYTES, main_frame, 1.25), row(KERNEL, main_frame, 1.0)]
    rows += [row(c, main_frame, 8.0) for c in CONTESTANTS if c.name == "vszipcu"]
    rows.append(row(KERNEL, square(4096), 8.0, "sizes"))
    made = gpu_report._targets(result_of(*rows))
    assert "against vszipcu, float32, transfers included in both | 4 x | at least 2 x | 3 x | goal" in made
    assert "against vs-nlm-cuda, float32, transfers included in both | not measured" in made
    assert (
        "against the kernel only | 1.25 x the time | at most 2.5 x the time | 1.5 x the time | goal" in made
    )
    assert "| 800 frames/s | at least 400 frames/s | 800 frames/s | goal" in made
    assert "4096² | 54.4 %" in made
    assert "not measured" not in gpu_report._targets(result_of(*rows)).split("4096²")[1].splitlines()[0]


def test_the_plots_have_measurements_and_the_ceiling_drawn_in() -> None:
    rows = [row(c, square(side), side**2 / 1e6, "sizes") for c in (KERNEL, WHOLE) for side in (256, 1024)]
    for found in (result_of(*rows), result_of(gpu=False)):
        made = gpu_report.plots(found)
        words = [e.text or "" for e in ElementTree.fromstring(made).iter() if e.tag.endswith("text")]
        assert words.count("kernel, counted ceiling") == 4
        assert (KERNEL.name in words) == bool(found["device"])


# --- what is committed --------------------------------------------------------------------------


def test_the_committed_tables_are_those_of_the_committed_result() -> None:
    made = report.outputs(RESULTS / "cpu.json")
    assert [p.name for p, text in made.items() if p.read_text(encoding="utf-8") != text] == []
    assert COMMITTED.with_suffix(".md") in made


def test_the_committed_result_says_where_it_comes_from() -> None:
    found = report.read(COMMITTED)
    assert found["command"].startswith("python -m nlmeans.benchmarks gpu")
    assert found["started"]["time"]
    assert (found["device"] is None) == (found["no_gpu"] is not None)
    for each in found["rows"]:
        assert each["reason"] or (each["call"] and each["versions"] and each["psnr"]), each
    if found["device"]:
        assert {"driver_version", "clocks.sm"} <= set(found["device"]["as_found"])
