"""Tables and the plot, written from the JSON alone, so that what is printed was measured.

    python -m nlmeans.benchmarks report [--check]

puts a short table into README.md between ``<!-- cpu-table -->`` and ``<!-- /cpu-table -->``, and writes
``cpu.md`` (every row) and ``cpu.svg`` beside the JSON; the same for ``gpu.json`` and ``attention.json``
beside it, by `gpu_report` and `attention_report`.  With --check nothing is written, and a difference is an
error.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .. import ROOT
from ..chart import chart
from . import attention as attention_report
from . import attention_chart
from . import gpu as gpu_report
from .tables import NOT_MEASURED, seconds, table

Result = dict[str, Any]
Row = dict[str, Any]

#: Who stands in README.md, and under which name.
FRONT = {
    "nlmeans": "nlmeans, pixel aggregation",
    "nlmeans, default call": "nlmeans, patch aggregation",
    "vs-nlm-ispc": "vs-nlm-ispc",
    "OpenCV, 8 bits": "OpenCV (8 bits)",
    "FFmpeg, 8 bits": "FFmpeg (8 bits)",
    "scikit-image, fast mode": "scikit-image, fast mode",
}


def read(path: Path) -> Result:
    """What a run wrote."""
    found: Result = json.loads(path.read_text(encoding="utf-8"))
    return found


def filled(text: str, name: str, content: str) -> str:
    """The text with this content between the markers of that name; unchanged where it has none."""
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    return pattern.sub(lambda m: f"{m[1]}{content}\n{m[2]}", text)


def outputs(path: Path, readme: Path | None = None) -> dict[Path, str]:
    """Every file that is made from the JSON, as it should be."""
    result = read(path)
    readme = readme or ROOT / "README.md"
    made = {path.with_suffix(".md"): full_report(result), path.with_suffix(".svg"): chart(result)}
    text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    text = filled(text, "cpu-table", readme_tables(result))
    on_gpu = path.with_name("gpu.json")
    if on_gpu.exists():
        found = read(on_gpu)
        made[on_gpu.with_suffix(".md")] = gpu_report.full_report(found)
        if gpu_report.measured(found):
            made[on_gpu.with_suffix(".svg")] = gpu_report.plots(found)
        text = filled(text, "gpu-table", gpu_report.readme_tables(found))
    study = path.with_name("attention.json")
    if study.exists():
        found = read(study)
        made[study.with_suffix(".md")] = attention_report.full_report(found)
        made[study.with_suffix(".svg")] = attention_chart.plot(found)
    if text:
        made[readme] = text
    return made


def write(path: Path) -> list[Path]:
    """Bring all of them up to date; those that changed."""
    changed = []
    for target, text in outputs(path).items():
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.write_text(text, encoding="utf-8")
            changed.append(target)
    return changed


def outdated(path: Path) -> list[Path]:
    """Those that differ from the JSON."""
    return [
        target
        for target, text in outputs(path).items()
        if not target.exists() or target.read_text(encoding="utf-8") != text
    ]


# --- finding and showing ---------------------------------------------------------------------


def select(result: Result, group: str, **wanted: Any) -> list[Row]:
    """Rows of a group whose problem, or own, fields are as wanted."""
    return [
        row
        for row in result["rows"]
        if row["group"] == group and all({**row["problem"], **row}.get(n) == v for n, v in wanted.items())
    ]


def _names(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(row["contestant"] for row in rows))


def _cell(rows: list[Row], show: Callable[[Row], str]) -> str:
    """One row's figure, or that there is none."""
    measured = [r for r in rows if not r["reason"] and r["cpu"]]
    return show(measured[0]) if measured else NOT_MEASURED


def _same_job(row: Row, ours: float) -> str:
    """PSNR, marked where it is so far below ours that the comparison of speeds means little."""
    return f"{row['psnr']:.2f}" + (" (!)" if row["psnr"] < ours - 1.0 else "")


# --- README ----------------------------------------------------------------------------------


def readme_tables(result: Result) -> str:
    """The short form: a few contestants, few figures, and where the others are."""
    side = _main_side(result)
    sizes = select(result, "sizes", shape=[side, side], threads=1)
    ours = next((r["psnr"] for r in sizes if r["psnr"] is not None), 0.0)
    lines = []
    for name, label in FRONT.items():
        grey = [r for r in sizes if r["contestant"] == name]
        if not grey or grey[0]["reason"]:
            continue
        colour = select(result, "colour", channels=3, threads=1, contestant=name)
        times = [_cell(rows, lambda r: seconds(r["cpu_median"])) for rows in (grey, colour)]
        lines.append([label, *times, _cell(grey, lambda r: _same_job(r, ours))])
    if not lines:
        return ""
    head = [f"{side}² pixels, one thread", "grey", "RGB", "PSNR of grey, dB"]
    problem = result["rows"][0]["problem"]
    note = (
        f"Processor time on {result['machine']['cpu']}, {result['started']['time'][:10]}. "
        f"Noise {problem['noise'] * 255:.0f} of 255, patches 7², window 21²; "
        f"h is {problem['h'] * 255:.0f} of 255 for all but patch aggregation, "
        "which is told the noise instead."
        f"{_shared(result)}{_speeds(result)} "
        "Settings, versions and all other figures: [cpu.md](benchmarks/results/cpu.md)."
    )
    return f"{table(head, lines)}\n\n{note}"


def _speeds(result: Result) -> str:
    """How many times as fast as others, each measured in turns with it."""
    before = "speed against "
    found = [
        f"{target['measured']:.1f} times as fast as {target['what'].removeprefix(before)}"
        for target in result.get("targets", [])
        if target["what"].startswith(before) and target["measured"] is not None
    ]
    words = ", ".join(found)
    return f" Measured in turns on the same type, pixel aggregation is {words}." if found else ""


def _everyone(result: Result) -> str:
    side = _main_side(result)
    rows = select(result, "sizes", shape=[side, side], threads=1)
    if not rows:
        return ""
    most = max(r["threads"] for r in select(result, "sizes"))
    ours = next((r["psnr"] for r in rows if r["psnr"] is not None), 0.0)
    lines = []
    for name in _names(rows):
        one = [r for r in rows if r["contestant"] == name]
        if one[0]["reason"]:
            continue
        many = select(result, "sizes", shape=[side, side], threads=most, contestant=name)
        colour = select(result, "colour", channels=3, threads=1, contestant=name)
        lines.append(
            [
                name,
                _cell(one, lambda r: f"{r['mpixel_per_cpu_s']:.2f}"),
                _cell(one, lambda r: seconds(r["cpu_median"])),
                _cell(many, lambda r: seconds(min(r["wall"]))),
                _cell(colour, lambda r: seconds(r["cpu_median"])),
                _cell(one, _memory),
                _cell(one, lambda r: _same_job(r, ours)),
            ]
        )
    head = [
        f"{side}² grey, patches 7², window 21²",
        "Mpixel per CPU second",
        "one thread, CPU time",
        f"{most} threads, wall time (fastest)",
        "RGB, one thread, CPU time",
        "peak memory over the input",
        "PSNR, dB",
    ]
    return table(head, lines)


def _main_side(result: Result) -> int:
    sides = sorted({r["problem"]["shape"][0] for r in select(result, "sizes")}, key=lambda s: abs(s - 1024))
    return sides[0] if sides else 1024


def _memory(row: Row) -> str:
    size = row["problem"]["shape"][0] * row["problem"]["shape"][1] * row["problem"]["channels"]
    size *= 4 if row["problem"]["dtype"] == "float32" else 1
    return f"{row['peak'] / size:.1f} x"


def _settings_line(result: Result) -> str:
    machine = result["machine"]
    problem = result["rows"][0]["problem"] if result["rows"] else {"h": 0, "noise": 0}
    missing = {r["contestant"]: r["reason"] for r in result["rows"] if r["reason"] and r["threads"] == 1}
    absent = "".join(f" {name}: {NOT_MEASURED} ({reason})." for name, reason in missing.items())
    versions = sorted({r["versions"] for r in result["rows"] if r["versions"] and r["group"] != "targets"})
    place = (
        f"{machine['cpu']} (family {machine['cpu_family']}, model {machine['cpu_model']}, "
        f"{machine['processors']} processors, {', '.join(machine['vector_sets'])})"
    )
    return (
        f"Measured {result['started']['time'][:10]} on {place}, programs taking turns, medians, by "
        f"`{result['command']}`. One generated picture, noise {problem['noise'] * 255:.0f} of 255, the same "
        f"strength h = {problem['h'] * 255:.0f} of 255 and no noise correction (rivals have none), except in "
        "patch aggregation, which is told the noise. Rows of nlmeans but that one: "
        '`center="one", aggregate="pixel"`. scikit-image\'s fast mode compares patches of 6² where 7² are '
        'asked for; vs-nlm-ispc weights the centre as `center="max"` does, and uses a thread for a frame, '
        "so that with more threads it has as many frames at once; OpenCV and FFmpeg compute on 8-bit "
        f"integers, FFmpeg each colour alone.{_shared(result)}{absent} Versions: {', '.join(versions)}."
    )


def _shared(result: Result) -> str:
    """A note where other programs ran too."""
    busy = max(result[when]["load_average"][0] for when in ("started", "ended") if when in result)
    if busy <= result["machine"]["processors"]:
        return ""
    return (
        f" The machine was shared (load average up to {busy:.1f}): processor times are slower than alone, "
        "and wall times, those of several threads above all, say little."
    )


def _local_table(result: Result) -> str:
    rows = result.get("local", [])
    if not rows:
        return ""
    lines = []
    for row in rows:
        if "reason" in row:
            lines.append([row["filter"], row["reason"], NOT_MEASURED, NOT_MEASURED])
            continue
        setting = ", ".join(f"{n}={v:g}" for n, v in row["setting"].items())
        lines.append([row["filter"], setting, f"{row['psnr']:.2f}", seconds(row["cpu"])])
    head = ["cameraman 512², noise 20 of 255; each at its best setting", "setting", "PSNR, dB", "CPU time"]
    return table(head, lines)


# --- everything ------------------------------------------------------------------------------


def full_report(result: Result) -> str:
    """Every measured figure and every call."""
    parts = [
        "# Measurements on the processor",
        "Written by `python -m nlmeans.benchmarks report` from cpu.json.",
    ]
    parts += [_everyone(result), _settings_line(result), _local_table(result)]
    if result.get("local"):
        parts.append("![Crops of the filters' results](local.png)")
    parts += ["![Speed against the rivals, and time against size](cpu.svg)"]
    parts += ["## Targets", _targets(result)]
    parts += ["## Sizes: CPU seconds for a megapixel, one thread", _by_size(result, 1)]
    most = max((r["threads"] for r in result["rows"]), default=1)
    if most > 1:
        parts += [f"## Sizes: {most} threads, fastest wall time for a megapixel", _by_size(result, most)]
    parts += ["## Radii: CPU seconds for a megapixel, one thread", _by_radii(result)]
    parts += ["## Every row", _every_row(result)]
    parts += ["## Every call", _calls(result)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _targets(result: Result) -> str:
    lines = []
    for target in result.get("targets", []):
        measured = target["measured"]
        spread = "" if not target["spread"] else f" ({target['spread'][0]:g} to {target['spread'][1]:g})"
        sign = "at least" if target["higher_is_better"] else "at most"
        lines.append(
            [
                target["what"],
                NOT_MEASURED if measured is None else f"{measured:g}{spread} {target['unit']}",
                f"{sign} {target['must']:g}",
                f"{target['goal']:g}",
                target["verdict"],
                target["how"],
            ]
        )
    head = ["what", "measured (quartiles of the turns)", "must", "goal", "reached", "how"]
    return table(head, lines) if lines else ""


def _per_megapixel(row: Row, kind: str = "cpu") -> str:
    pixels = row["problem"]["shape"][0] * row["problem"]["shape"][1]
    value = statistics.median(row[kind]) if kind == "cpu" else min(row[kind])
    return f"{value / pixels * 1e6:.3f}"


def _by_size(result: Result, threads: int) -> str:
    rows = select(result, "sizes", threads=threads)
    sides = sorted({r["problem"]["shape"][0] for r in rows})
    kind = "cpu" if threads == 1 else "wall"
    lines = [
        [
            name,
            *(
                _cell(
                    [r for r in rows if r["contestant"] == name and r["problem"]["shape"][0] == side],
                    lambda r: _per_megapixel(r, kind),
                )
                for side in sides
            ),
        ]
        for name in _names(rows)
    ]
    return table(["", *(f"{side}²" for side in sides)], lines) if rows else ""


def _by_radii(result: Result) -> str:
    rows = select(result, "radii", threads=1)
    pairs = sorted({(r["problem"]["search_radius"], r["problem"]["patch_radius"]) for r in rows})
    lines = []
    for name in _names(rows):
        mine = [r for r in rows if r["contestant"] == name]
        cells = [
            _cell(
                [r for r in mine if (r["problem"]["search_radius"], r["problem"]["patch_radius"]) == pair],
                _per_megapixel,
            )
            for pair in pairs
        ]
        lines.append([name, *cells])
    return table(["", *(f"R={big} r={small}" for big, small in pairs)], lines) if rows else ""


def _every_row(result: Result) -> str:
    head = [
        "group",
        "problem",
        "who",
        "threads",
        "turns",
        "CPU s",
        "wall s",
        "CPU s per thread",
        "peak MB",
        "PSNR",
    ]
    lines = []
    for row in result["rows"]:
        shown = [row["group"], row["problem"]["name"], row["contestant"], str(row["threads"])]
        if row["reason"] or not row["cpu"]:
            lines.append([*shown, row["reason"] or "memory only", *[""] * 3, _megabytes(row), _decibels(row)])
            continue
        cpu, wall = row["cpu_median"], row["wall_median"]
        figures = [str(len(row["cpu"])), f"{cpu:.4f}", f"{wall:.4f}", f"{cpu / row['threads']:.4f}"]
        lines.append([*shown, *figures, _megabytes(row), _decibels(row)])
    return table(head, lines)


def _megabytes(row: Row) -> str:
    return "" if row["peak"] is None else f"{row['peak'] / 1e6:.1f}"


def _decibels(row: Row) -> str:
    return "" if row["psnr"] is None else f"{row['psnr']:.2f}"


def _calls(result: Result) -> str:
    calls = {
        f"{r['contestant']}, {r['problem']['name']}, {r['threads']} thread(s)": r["call"]
        for r in result["rows"]
    }
    return "\n".join(f"* {who}: `{call}`" for who, call in calls.items() if call)
