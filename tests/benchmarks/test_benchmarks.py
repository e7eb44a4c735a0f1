"""The frame that measures: fair turns, figures that mean what they say, tables that were measured."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from nlmeans.benchmarks import RESULTS, ROOT
from nlmeans.benchmarks.__main__ import main
from nlmeans.benchmarks.chart import chart, gains
from nlmeans.benchmarks.problems import NOISE, Problem, psnr, square
from nlmeans.benchmarks.race import local, rivals, targets
from nlmeans.benchmarks.race import turns as run
from nlmeans.benchmarks.race.cpu_plan import CONTESTANTS, Choice, sizes
from nlmeans.benchmarks.race.cpu_record import Order, record
from nlmeans.benchmarks.race.turns import Contestant, Effort, Row, measure
from nlmeans.benchmarks.report import cpu as report

COMMITTED = RESULTS / "cpu.json"
README = ROOT / "README.md"


def row(name="nlmeans", *, group="sizes", side=1024, threads=1, cpu=(0.2, 0.1, 0.3), reason=None, **problem):
    """A row as a run would make it."""
    made = Row(group, name, name, threads, square(side, **problem).to_dict(), f"{name}(image)", f"{name} 1.0")
    made.cpu = made.wall = [] if reason else list(cpu)
    made.peak, made.psnr, made.reason = (None, None, reason) if reason else (4 * side * side, 28.5, None)
    return made


def result_of(*rows):
    """A result as a run would write it."""
    return {
        "command": "python -m nlmeans.benchmarks cpu",
        "machine": {
            "cpu": "X",
            "cpu_family": "1",
            "cpu_model": "2",
            "processors": 2,
            "vector_sets": ["avx2"],
        },
        "started": {"time": "2026-11-23T10:00:00+00:00", "load_average": [1.5, 1.0, 1.0]},
        "ended": {"time": "2026-11-23T10:20:00+00:00", "load_average": [1.0, 1.0, 1.0]},
        "rows": [r.to_dict() for r in rows],
        "targets": [
            targets.Target("speed", "x", 2.5, 3.8, True, 3.0, (2.9, 3.1), "how").to_dict(),
            targets.Target("memory", "inputs", 6.0, 4.0, False, None).to_dict(),
        ],
        "local": [{"filter": "Gaussian", "setting": {"sigma": 0.8}, "psnr": 27.25, "cpu": 0.01}],
    }


# --- problems --------------------------------------------------------------------------------


def test_a_problem_is_the_same_numbers_in_both_types_and_on_every_run():
    problem = square(48, channels=3)
    levels = problem.with_dtype("uint8").noisy()
    assert levels.shape == (48, 48, 3)
    np.testing.assert_array_equal(problem.noisy(), (levels / np.float32(255)).astype(np.float32))
    np.testing.assert_array_equal(problem.noisy(), Problem("same", (48, 48), channels=3).noisy())
    assert not np.array_equal(problem.noisy(), Problem("other", (48, 48), channels=3, seed=1).noisy())


def test_a_problem_has_the_noise_that_it_says_and_does_not_clip_it_away():
    problem = square(256)
    residue = problem.noisy() - problem.clean()
    assert np.std(residue) == pytest.approx(NOISE, rel=0.02)
    assert 0.1 < problem.clean().min() < problem.clean().max() < 0.9
    assert np.ptp(problem.clean()) > 0.4


def test_a_picture_wider_than_the_scene_continues_it_by_reflection():
    wide = Problem("wide", (40, 1100)).clean()
    np.testing.assert_array_equal(wide[:, 1024:], wide[:, 1023 : 1023 - 76 : -1])


# --- measuring -------------------------------------------------------------------------------


class Recorded:
    """A worker that notes the order of what it is asked, and takes as long as it is told."""

    asked: ClassVar[list[str]] = []
    seconds: ClassVar[dict[str, float]] = {}
    fails: ClassVar[set[str]] = set()

    def __init__(self, rival, folder, effort):
        folder.mkdir()
        self.rival = rival
        self.runs = 0

    def ask(self, **request):
        if request["do"] == "load":
            return {"call": "call", "versions": "1"}
        if request["do"] == "save":
            np.save(request["path"], np.zeros((32, 32)))
            return {}
        self.runs += 1
        self.asked.append(self.rival)
        if self.runs > 1 and self.rival in self.fails:
            raise run.RivalError("it fell over")
        return {"wall": self.seconds.get(self.rival, 0.001), "cpu": 0.001, "peak": 1000}

    def close(self):
        pass


@pytest.fixture
def recorded(monkeypatch):
    monkeypatch.setattr(run, "Worker", Recorded)
    for name, fresh in (("asked", []), ("seconds", {}), ("fails", set())):
        monkeypatch.setattr(Recorded, name, fresh)
    return Recorded


def entries(*names):
    return [(square(32), Contestant(name, name)) for name in names]


def test_contestants_take_turns_after_warming_up(recorded):
    rows = measure("sizes", entries("A", "B", "C"), Effort(repeats=2))
    assert recorded.asked == ["A", "B", "C"] + ["A", "B", "C"] * 2
    assert [len(r.cpu) for r in rows] == [2, 2, 2]


def test_a_slow_first_call_is_the_only_one(recorded):
    recorded.seconds["B"] = 30.0
    rows = measure("sizes", entries("A", "B"), Effort(repeats=3, once=15.0))
    assert recorded.asked == ["A", "B", "A", "A", "A"]
    assert rows[1].wall == [30.0]


def test_one_that_fails_in_the_middle_is_a_row_with_the_reason_and_the_others_go_on(recorded):
    recorded.fails.add("A")
    rows = measure("sizes", entries("A", "B"), Effort(repeats=3))
    assert rows[0].reason == "it fell over"
    assert len(rows[1].cpu) == 3


def test_this_package_is_measured_and_what_is_missing_is_a_row_with_the_reason(monkeypatch):
    monkeypatch.delenv(run.PYTHON_VARIABLE, raising=False)
    problem = square(48, search_radius=3)
    wanted = [Contestant(n, n) for n in ("nlmeans", "OpenCV", "vs-nlm-ispc", "vszip")]
    wanted.append(Contestant("nlmeans, 8 bits", "nlmeans", "uint8"))
    rows = measure("sizes", [(problem, c) for c in wanted], Effort(repeats=2))
    ours, float_opencv, ispc, vszip, bytes_of_ours = rows
    assert ours.psnr > psnr(problem.clean(), problem.noisy()) + 1
    assert bytes_of_ours.psnr == pytest.approx(ours.psnr, abs=0.1)
    assert len(ours.cpu) == len(ours.wall) == 2
    assert all(c > 0 for c in ours.cpu)
    assert "center='one', aggregate='pixel'" in ours.call
    assert "8-bit" in float_opencv.reason or "not installed" in float_opencv.reason
    assert run.PYTHON_VARIABLE in ispc.reason
    assert run.PYTHON_VARIABLE in vszip.reason


def test_a_rival_that_dies_or_hangs_is_a_reason(tmp_path, monkeypatch):
    program = tmp_path / "dies.py"
    monkeypatch.setattr(rivals, "__file__", str(program))
    for text, effort, reason in (
        ("raise SystemExit(3)", Effort(), "code 3"),
        ("import time; time.sleep(60)", Effort(patience=0.2), "stopped after 0.2 s"),
    ):
        program.write_text(text)
        (found,) = measure("sizes", entries("nlmeans"), effort)
        assert reason in found.reason


def test_peak_memory_is_what_a_call_holds_beyond_what_was_there():
    """In a process of its own, as when measuring: another's heap may have free memory that is used again."""
    code = """
import numpy as np
from nlmeans.benchmarks.race import rivals

def function():
    passing = np.ones(40_000_000, np.uint8)
    return passing[:1000].copy()

job = rivals.Job("call", function, versions="1")
print(job.run()["peak"])
job.function = lambda: np.zeros(10, np.float32)
print(job.run()["peak"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = map(float, done.stdout.split())
    assert 39e6 < first < 60e6
    assert second < 10e6  # an earlier peak is forgotten


def test_processor_time_is_not_wall_time():
    job = rivals.Job("call", lambda: time.sleep(0.2) or np.zeros(1), versions="1", pictures=2)
    spent = job.run()
    assert spent["wall"] >= 0.1  # of two pictures
    assert spent["cpu"] < 0.09


@pytest.mark.parametrize(("module", "name"), [("cv2", "OpenCV"), ("imageio_ffmpeg", "FFmpeg")])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_eight_bit_rival_does_the_same_job_at_the_same_strength(
    module, name, channels, tmp_path, monkeypatch
):
    pytest.importorskip(module)
    monkeypatch.chdir(tmp_path)
    problem = square(64, channels=channels, dtype="uint8", search_radius=5, patch_radius=2)
    setting = {"patch_radius": 2, "search_radius": 5, "h": problem.h}
    scores = {}
    for rival in ("nlmeans", name):
        job = rivals.RIVALS[rival](problem.noisy(), setting, 1)
        assert job.run()["wall"] > 0
        job.save(str(tmp_path / "result.npy"))
        scores[rival] = psnr(problem.clean(), np.load(tmp_path / "result.npy"))
    # FFmpeg weighs every colour alone
    assert scores[name] == pytest.approx(scores["nlmeans"], abs=0.5 if channels == 1 else 1.5)


# --- what is compared ------------------------------------------------------------------------


def test_every_comparison_has_one_picture_and_one_strength_for_all():
    for comparison in sizes(Choice(sizes=(64,), threads=(1, 2))):
        assert len({problem for problem, _ in comparison}) == 1
        assert [c.name for _, c in comparison] == [c.name for c in CONTESTANTS]


@pytest.mark.parametrize(
    ("measured", "higher", "word"),
    [
        (4.0, True, "goal"),
        (3.0, True, "must"),
        (1.0, True, "missed"),
        (None, True, "not measured"),
        (1.0, False, "goal"),
        (3.0, False, "must"),
        (4.0, False, "missed"),
    ],
)
def test_a_target_says_what_was_reached(measured, higher, word):
    must, goal = (2.5, 3.8) if higher else (3.8, 2.5)
    assert targets.Target("t", "x", must, goal, higher, measured).verdict == word


def test_a_ratio_is_the_median_over_turns_so_that_one_disturbed_turn_does_not_count():
    ratio, quartiles = targets._ratio(row(cpu=(2, 4, 100)), row(cpu=(1, 2, 2)))
    assert ratio == 2.0
    assert quartiles == (2.0, 26.0)
    assert targets._ratio(row(reason="missing"), row()) == (None, None)


def test_the_time_limit_leaves_rows_that_say_so():
    choice = Choice(sizes=(32,), threads=(1,), rivals=("nlmeans",))
    found = record(Order(choice, Effort(repeats=1), ("sizes",), time_limit=0.0), lambda _: None)
    assert {r["reason"] for r in found["rows"]} == {"the run's 0 s were over"}
    assert found["machine"]["processors"] >= 1


def test_the_command_writes_a_result_from_which_the_report_is_made(tmp_path, capsys):
    path = tmp_path / "cpu.json"
    words = ["cpu", "--only", "sizes", "--sizes", "32", "--threads", "1", "--rivals", "nlmeans"]
    assert main([*words, "--repeats", "1", "--json", str(path)]) == 0
    assert "dB" in capsys.readouterr().err
    found = json.loads(path.read_text())
    assert {r["threads"] for r in found["rows"]} == {1}
    assert all(r["cpu_median"] > 0 and r["peak"] is not None and r["call"] for r in found["rows"])
    assert "32²" in report.full_report(found)


# --- local filters ---------------------------------------------------------------------------


def test_diffusion_smooths_noise_keeps_the_mean_and_stops_at_an_edge():
    rng = np.random.default_rng(0)
    step = np.repeat([[0.0, 1.0]], 32, axis=0).repeat(16, axis=1)
    noisy = step + rng.normal(0, 0.02, step.shape)
    result = local.perona_malik(noisy, edge=0.05, steps=20)
    assert result.mean() == pytest.approx(noisy.mean(), abs=1e-12)
    assert np.std(result[:, :12]) < 0.3 * np.std(noisy[:, :12])
    assert (result[:, 16] - result[:, 15]).min() > 0.9


# --- tables ----------------------------------------------------------------------------------


def test_tables_show_medians_ratios_and_what_is_missing():
    rows = (row(), row(threads=2), row("OpenCV"), row("vszip", reason="no NLMeans"), row("FFmpeg", cpu=()))
    made = report.full_report(result_of(*rows))
    assert f"{1024**2 / 1e6 / 0.2:.2f}" in made
    assert "vszip: not measured (no NLMeans)" in made
    assert "| FFmpeg | not measured |" in made
    assert "3 (2.9 to 3.1) x | at least 2.5 | 3.8 | must" in made
    assert "| memory | not measured | at most 6 |" in made
    assert "nlmeans(image)" in made


def test_a_result_of_another_quality_is_marked():
    worse = row("OpenCV, 8 bits")
    worse.psnr = 25.0
    for made in (report.readme_tables, report.full_report):
        assert "25.00 (!)" in made(result_of(row(), worse))
        assert "(!)" not in made(result_of(row(), row("OpenCV, 8 bits")))


def test_a_machine_that_was_shared_is_said_to_have_been():
    for made in (report.readme_tables, report.full_report):
        found = result_of(row())
        assert "shared" not in made(found)
        found["ended"]["load_average"][0] = 5.0
        assert "shared (load average up to 5.0)" in made(found)


def test_the_table_of_the_readme_is_short_and_in_order():
    others = [row(name) for name in reversed(report.FRONT)]
    made = report.readme_tables(
        result_of(*others, row("nlmeans, center max"), row("vszip", reason="missing"))
    )
    names = [line.split(" | ")[0].removeprefix("| ") for line in made.splitlines() if line.startswith("| ")]
    assert names[2:] == list(report.FRONT.values())
    assert "speed" not in made  # a target of another kind is no comparison
    found = result_of(row())
    found["targets"][0] |= {"what": "speed against OpenCV (uint8)", "measured": 6.73}
    assert "6.7 times as fast as OpenCV (uint8)" in report.readme_tables(found)
    assert report.readme_tables(result_of()) == ""


def test_only_the_text_between_the_markers_is_replaced():
    text = "a\n<!-- cpu-table -->\nold\n<!-- /cpu-table -->\nb\n"
    new = report.filled(text, "cpu-table", r"new \1")
    assert new == "a\n<!-- cpu-table -->\nnew \\1\n<!-- /cpu-table -->\nb\n"
    assert report.filled(new, "cpu-table", r"new \1") == new
    assert report.filled("no markers", "cpu-table", "new") == "no markers"


def test_the_report_command_writes_and_checks(tmp_path, monkeypatch, capsys):
    path = tmp_path / "cpu.json"
    path.write_text(json.dumps(result_of(row(), row(side=512))))
    monkeypatch.setattr(report, "ROOT", tmp_path)
    (tmp_path / "README.md").write_text("<!-- cpu-table -->\n<!-- /cpu-table -->\n")
    assert main(["report", "--check", "--json", str(path)]) == 1
    assert main(["report", "--json", str(path)]) == 0
    assert main(["report", "--check", "--json", str(path)]) == 0
    (tmp_path / "README.md").write_text((tmp_path / "README.md").read_text().replace("28.50", "38.50"))
    assert main(["report", "--check", "--json", str(path)]) == 1
    assert "README.md differs" in capsys.readouterr().out


def test_the_plot_is_xml_with_everyone_in_it():
    made = chart(result_of(row(), row(side=512), row("OpenCV"), row("OpenCV", side=512)))
    words = [e.text for e in ElementTree.fromstring(made).iter() if e.tag.endswith("text")]
    assert words.count("OpenCV") == words.count("nlmeans") == 2  # a bar and a line each


# --- what is committed -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def committed():
    if not COMMITTED.exists():
        pytest.skip("no result is committed")
    return report.read(COMMITTED)


def test_tables_and_plot_are_those_of_the_committed_result(committed):
    made = report.outputs(COMMITTED)
    made.pop(README, None)
    assert [p.name for p, text in made.items() if p.read_text(encoding="utf-8") != text] == []


def test_the_readme_shows_the_committed_result(committed):
    text = README.read_text(encoding="utf-8") if README.exists() else ""
    if "<!-- cpu-table -->" not in text:
        pytest.skip("README.md has no markers")
    assert report.filled(text, "cpu-table", report.readme_tables(committed)) == text


def test_the_committed_result_says_where_it_comes_from_and_every_setting(committed):
    assert committed["machine"]["cpu"]
    assert committed["command"].startswith("python -m nlmeans.benchmarks cpu")
    for found in committed["rows"]:
        assert found["reason"] or (found["call"] and found["versions"] and found["psnr"]), found


def test_every_local_filter_was_tuned_inside_of_what_was_tried(committed):
    for found in committed["local"]:
        for name, value in found["setting"].items():
            assert min(found["tried"][name]) < value < max(found["tried"][name]), found


def test_the_pictures_are_there(committed):
    for name in ("local.png", "camera.png"):
        assert (Path(RESULTS) / name).stat().st_size > 10_000


def test_gains_are_drawn_against_time():
    """More dB is higher, more seconds farther right, and every filter is named in its panel."""
    found = {"nlmeans, default": {"gain": 9.2, "seconds": 0.3}, "other": {"gain": 7.1, "seconds": 2.0}}
    picture = ElementTree.fromstring(gains({"grey": found, "colour": found}))
    dots = [node for node in picture if node.tag.endswith("circle")]
    (x, y), (x_other, y_other), *second = [(float(d.get("cx")), float(d.get("cy"))) for d in dots]
    assert x < x_other
    assert y < y_other
    assert len(second) == 2
    assert second[0][1] > y_other
    words = [node.text for node in picture if node.tag.endswith("text")]
    assert words.count("nlmeans, default") == words.count("other") == 2
