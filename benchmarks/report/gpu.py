"""Tables and plots of a GPU run, written from its JSON and the counted ceilings alone.

A table has the rows and columns in which something was measured on a GPU.  As long as nothing was, there
is a sentence in its place, and the counted ceilings; what ran on the processor to show that everything
runs is nowhere but in the JSON.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from .. import device
from ..chart import HEIGHT, panel, sheet
from ..counted import ceilings
from ..counted.count_instructions import GPUS, Gpu
from ..race.gpu_plan import (
    CONTESTANTS,
    HOST,
    HOST_BYTES,
    KERNEL,
    LARGE,
    WHOLE,
    GpuChoice,
    frame,
    large_frame,
)
from . import first_light
from .tables import NOT_MEASURED, seconds, table

Result = dict[str, Any]
Row = dict[str, Any]

_MAIN = frame(GpuChoice())
_FAVOURITE = frame(GpuChoice(), patch=4, search=2)
_COLOUR = frame(GpuChoice(), channels=3)
_OTHERS = ((_FAVOURITE,), (_COLOUR,), (large_frame(GpuChoice()), LARGE))


def measured(result: Result) -> bool:
    """Whether there is a time of a GPU."""
    return bool(result["device"]) and any(_has_time(row) for row in result["rows"])


def readme_tables(result: Result) -> str:
    """The short form: everyone on one frame, and what the counts allow."""
    report = "[benchmarks/results/gpu.md](benchmarks/results/gpu.md)"
    if not measured(result):
        return f"{_nothing_measured(result)} What the counted instructions allow: {report}."
    parts = [_everyone(result), "![Rate against size, radii and channels](benchmarks/results/gpu.svg)"]
    parts += [f"{_settings_line(result)} All rows: {report}.", _ceiling_table(), _ceiling_line()]
    return "\n\n".join(parts)


def full_report(result: Result) -> str:
    """Every row."""
    parts = ["# Measurements on a GPU", "Written by `python -m nlmeans.benchmarks report` from gpu.json."]
    if not measured(result):
        parts += [_nothing_measured(result), *first_light.sections(result)]
        parts += ["## What the counts allow", _ceiling_table(), _ceiling_line()]
        return "\n\n".join(part for part in parts if part) + "\n"
    parts += [_everyone(result), _settings_line(result), "![Scaling](gpu.svg)"]
    parts += first_light.sections(result)
    parts += ["## What the counts allow", _ceiling_table(), _ceiling_line()]
    parts += ["## Targets", _targets(result)]
    parts += ["## Every row", _every_row(result)]
    parts += ["## Every call", _calls(result)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _nothing_measured(result: Result) -> str:
    day = result["started"]["time"][:10]
    return (
        f"Nothing has been measured on a GPU so far (none was at hand on {day}); "
        "`python -m nlmeans.benchmarks gpu --minutes 8` does it on a machine that has one."
    )


# --- finding ---------------------------------------------------------------------------------


def _find(result: Result, name: str, problem: Any, group: str = "rivals") -> Row | None:
    """A row that was measured on a GPU: a contestant's on a problem."""
    if not result["device"]:
        return None
    for row in result["rows"]:
        if row["group"] == group and row["contestant"] == name and _has_time(row):
            asked = row["problem"]
            wanted = (list(problem.shape), problem.channels, problem.patch_radius, problem.search_radius)
            if wanted == (asked["shape"], asked["channels"], asked["patch_radius"], asked["search_radius"]):
                found: Row = row
                return found
    return None


def _has_time(row: Row) -> bool:
    return bool(row["wall"]) and not row["reason"]


def time_of(row: Row) -> float:
    """By the GPU's own clock where there is one, else on the wall."""
    return float(statistics.median(row["device"] or row["wall"]))


def _pixels(row: Row) -> int:
    rows, columns = row["problem"]["shape"]
    return int(rows * columns)


def _rate(row: Row) -> float:
    """Pixels a second, in 10^9."""
    return _pixels(row) / time_of(row) / 1e9


def _cell(row: Row | None, show: Callable[[Row], str]) -> str:
    return "" if row is None else show(row)


def _least(row: Row, gpu: Gpu, *, aggregates: bool) -> float | None:
    """The seconds that the counted instructions of our kernels need for a row's problem."""
    asked = row["problem"]
    sizes = (asked["patch_radius"], asked["search_radius"], asked["channels"])
    shape = tuple(asked["shape"])
    problem = ceilings.problem_of(shape, *sizes, corrected=aggregates)
    made = ceilings.device_of(int(gpu.architecture.removeprefix("sm_")), gpu.multiprocessors)
    return ceilings.seconds_at_least(ceilings.plans_of(problem, made, aggregates=aggregates), gpu, problem)


# --- tables ----------------------------------------------------------------------------------


def _everyone(result: Result) -> str:
    """A line for each of whom there is a time, a column for each question that has an answer."""
    gpu = device.gpu(result["device"])
    lines = []
    for contestant in CONTESTANTS:
        row = _find(result, contestant.name, _MAIN)
        fraction = None
        if row is not None and contestant in (KERNEL, WHOLE):
            least = _least(row, gpu, aggregates=contestant is WHOLE)
            fraction = None if least is None else least / time_of(row)
        cells = [
            _cell(row, lambda r: f"{_rate(r):.3g}"),
            _cell(row, lambda r: seconds(time_of(r))),
            _cell(row, lambda r: f"{1 / r['wall_median']:.0f}"),
            "" if fraction is None else f"{100 * fraction:.0f} %",
            *(
                _cell(_find(result, contestant.name, *where), lambda r: seconds(time_of(r)))
                for where in _OTHERS
            ),
            _cell(row, lambda r: f"{r['psnr']:.2f}"),
        ]
        if any(cells):
            lines.append([contestant.name, *cells])
    if not lines:
        return ""
    head = [
        "1080p grey, patches 7², window 21²",
        "Gpixel/s",
        "time",
        "frames/s",
        "of the counted ceiling",
        "patches 9², window 5²",
        "RGB",
        "4K",
        "PSNR, dB",
    ]
    kept = [n for n in range(len(head)) if any(line[n] for line in lines)]
    share = head.index("of the counted ceiling")  # which is counted for our kernels only
    shown = [[line[n] or ("" if n == share else NOT_MEASURED) for n in kept] for line in lines]
    return table([head[n] for n in kept], shown)


def _settings_line(result: Result) -> str:
    found = result["device"]
    order = "taking turns" if result.get("turns", True) else "one after another"
    clocks = found["as_found"]
    clock, driver = (clocks.get(name, "unknown") for name in ("clocks.sm", "driver_version"))
    missing = {r["contestant"]: r["reason"] for r in result["rows"] if r["reason"] and r["group"] == "rivals"}
    absent = "".join(f" {name}: {NOT_MEASURED} ({reason})." for name, reason in missing.items())
    versions = sorted({r["versions"] for r in result["rows"] if r["versions"]})
    return (
        f"Measured {result['started']['time'][:10]} on {found['name']} ({found['multiprocessors']} "
        f"multiprocessors, {found['gigahertz']:g} GHz at most, {clock} as found, driver {driver}), programs "
        f"{order}, medians, by `{result['command']}`. Times are the GPU's own for the kernel, for "
        "arrays on the GPU and for torch, and wall time, transfers included, for the others; frames/s are "
        "wall time. One generated picture, noise 20 of 255, h = 20 of 255, no noise correction, and the "
        'centre rule "max", as the others have it (the kernel alone: "one").'
        f"{absent} Versions: {', '.join(versions)}."
    )


_SETTINGS: tuple[tuple[str, bool, dict[str, Any]], ...] = (
    ("bare filter, grey", False, {}),
    ("default call, grey (two passes)", True, {}),
    ("bare filter, RGB", False, {"channels": 3}),
    ("default call, RGB (two passes)", True, {"channels": 3}),
    ("bare filter, Gaussian patches", False, {"taps": "gaussian"}),
    ("bare filter, patches 3²", False, {"patch": 1}),
    ("bare filter, patches 5²", False, {"patch": 2}),
    ("bare filter, patches 9²", False, {"patch": 4}),
    ("bare filter, patches 9², window 5²", False, {"patch": 4, "search": 2}),
    ("bare filter, window 35²", False, {"search": 17}),
)


def _ceiling_table() -> str:
    lines = []
    for name, corrected, kinds in _SETTINGS:
        problem = ceilings.problem_of((2160, 3840), corrected=corrected, **kinds)
        cells = [_counted(problem, gpu) for gpu in GPUS]
        passes = 2 if corrected else 1
        limit = ceilings.gigapixels(problem, ceilings.exponential_seconds(GPUS[0], problem, passes))
        lines.append([name, *cells, f"{limit:.2f}"])
    head = [
        "counted ceiling for 4K, patches 7² and window 21² unless said, Gpixel/s",
        *(gpu.name for gpu in GPUS),
        f"exp limit, {GPUS[0].name}",
    ]
    return table(head, lines)


def _counted(problem: Any, gpu: Gpu) -> str:
    made = ceilings.device_of(int(gpu.architecture.removeprefix("sm_")), gpu.multiprocessors)
    plans = ceilings.plans_of(problem, made, aggregates=problem.peak)
    rate = ceilings.gigapixels(problem, ceilings.seconds_at_least(plans, gpu, problem))
    return "not counted" if rate is None else f"{rate:.2f}"


def _ceiling_line() -> str:
    kept = ceilings.described()
    gpus = "; ".join(f"{g.name}: {g.multiprocessors} at {g.gigahertz:g} GHz" for g in GPUS)
    return (
        f"Counted in machine code on {kept.get('date', 'no day')}, not measured: what issue slots, FP32 "
        "lanes, exponential units and shared memory with shuffles allow for the instructions of the kernels' "
        f"inner loops, whichever is least ({gpus}). The last column is one exponential for every pair and "
        "pass. Half of a ceiling is a realistic goal. Not counted: the tiles do not fit the shared memory "
        "there, and a slower kernel runs."
    )


# --- targets ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Target:
    what: str
    must: float
    goal: float
    unit: str
    measured: float | None
    higher: bool = True


def _targets(result: Result) -> str:
    lines = []
    for t in _all_targets(result):
        sign = 1 if t.higher else -1
        verdict = NOT_MEASURED
        if t.measured is not None:
            reached = [
                n for n, limit in (("goal", t.goal), ("must", t.must)) if sign * (t.measured - limit) >= 0
            ]
            verdict = (reached or ["missed"])[0]
        word = "at least" if t.higher else "at most"
        shown = NOT_MEASURED if t.measured is None else f"{t.measured:.3g} {t.unit}"
        lines.append([t.what, shown, f"{word} {t.must:g} {t.unit}", f"{t.goal:g} {t.unit}", verdict])
    return table(["what", "measured", "must", "goal", "reached"], lines)


def _all_targets(result: Result) -> Iterable[_Target]:
    def ratio(over: Row | None, under: Row | None, kind: Callable[[Row], float]) -> float | None:
        return None if over is None or under is None else kind(over) / kind(under)

    def wall(row: Row) -> float:
        return float(row["wall_median"])

    for rival, must, goal in (("vs-nlm-cuda", 4.0, 8.0), ("vszipcu", 2.0, 3.0)):
        against = ratio(_find(result, rival, _MAIN), _find(result, HOST.name, _MAIN), wall)
        yield _Target(f"speed against {rival}, float32, transfers included in both", must, goal, "x", against)
    for rival, must, goal in (("vs-nlm-cuda", 1.5, 3), ("vszipcu", 1.2, 2)):
        theirs, ours = (_find(result, n, _FAVOURITE) for n in (f"{rival}, 8 bits", HOST_BYTES.name))
        yield _Target(
            f"the same at r=4, R=2, uint8, against {rival}", must, goal, "x", ratio(theirs, ours, wall)
        )
    kernel = _largest(result)
    fraction = None
    if kernel is not None:
        least = _least(kernel, device.gpu(result["device"]), aggregates=False)
        fraction = None if least is None else 100 * least / time_of(kernel)
    yield _Target("share of the counted ceiling, 4096²", 45, 65, "%", fraction)
    host, alone = _find(result, HOST_BYTES.name, _MAIN), _find(result, KERNEL.name, _MAIN)
    over = None if host is None or alone is None else wall(host) / time_of(alone)
    yield _Target(
        "1080p uint8, NumPy in and out, against the kernel only", 2.5, 1.5, "x the time", over, False
    )
    frames = None if host is None else 1 / wall(host)
    yield _Target("film of 1080p grey frames, transfers included", 400, 800, "frames/s", frames)


def _largest(result: Result) -> Row | None:
    """The kernel alone on 4096^2."""
    rows = [r for r in result["rows"] if r["group"] == "sizes" and r["contestant"] == KERNEL.name]
    fitting = [r for r in rows if r["problem"]["shape"] == [4096, 4096] and not r["reason"]]
    return fitting[0] if fitting and result["device"] else None


# --- everything ------------------------------------------------------------------------------


def _every_row(result: Result) -> str:
    head = ["group", "problem", "who", "turns", "GPU s", "wall s", "Mpixel/s", "PSNR"]
    lines = []
    for row in result["rows"]:
        shown = [row["group"], row["problem"]["name"], row["contestant"]]
        if row["reason"] or not row["wall"]:
            lines.append([*shown, row["reason"] or NOT_MEASURED, *[""] * 4])
            continue
        own_clock = f"{row['device_median']:.6f}" if row["device"] else ""
        figures = [str(len(row["wall"])), own_clock, f"{row['wall_median']:.6f}", f"{1e3 * _rate(row):.4g}"]
        lines.append([*shown, *figures, f"{row['psnr']:.2f}"])
    return table(head, lines)


def _calls(result: Result) -> str:
    calls = {f"{r['contestant']}, {r['problem']['name']}": r["call"] for r in result["rows"]}
    return "\n".join(f"* {who}: `{call}`" for who, call in calls.items() if call)


# --- plots -----------------------------------------------------------------------------------


def plots(result: Result) -> str:
    """Rates against size, search radius, patch radius and channels, with the ceilings drawn in."""
    panels: tuple[tuple[str, str, Callable[[Row], bool], Callable[[Row], float]], ...] = (
        ("Size", "pixels a side", lambda r: r["group"] == "sizes", lambda r: r["problem"]["shape"][0]),
        (
            "Search radius",
            "shifts of the window",
            lambda r: r["group"] == "radii" and r["problem"]["patch_radius"] == 3,
            lambda r: (2 * r["problem"]["search_radius"] + 1) ** 2,
        ),
        (
            "Patch radius",
            "patch radius",
            lambda r: r["group"] == "radii" and r["problem"]["search_radius"] == 10,
            lambda r: r["problem"]["patch_radius"],
        ),
        (
            "Channels, compared jointly",
            "channels",
            lambda r: r["group"] == "channels",
            lambda r: r["problem"]["channels"],
        ),
    )
    gpu = device.gpu(result["device"]) if result["device"] else GPUS[0]
    parts: list[str] = []
    for number, (title, across, wanted, at) in enumerate(panels):
        rows = [r for r in result["rows"] if wanted(r) and not r["reason"] and result["device"]]
        lines = _lines(rows, at) | _ceilings(rows or _planned(wanted), at, gpu)
        told = f"{title}: Gpixel/s{'' if result['device'] else ' (measured: nothing yet)'}, {gpu.name}"
        parts += panel(told, across, "", lines, 24 + HEIGHT * number, HEIGHT * (number + 1) - 50)
    return sheet(parts, HEIGHT * len(panels))


def _lines(rows: list[Row], at: Callable[[Row], float]) -> dict[str, list[tuple[float, float]]]:
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row["wall"]:
            lines.setdefault(row["contestant"], []).append((at(row), _rate(row)))
    return lines


def _ceilings(rows: list[Row], at: Callable[[Row], float], gpu: Gpu) -> dict[str, list[tuple[float, float]]]:
    """What the counts allow for the kernel alone and for the default call."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for name, aggregates in ((KERNEL.name, False), (WHOLE.name, True)):
        for row in rows:
            if row["contestant"] == name and (least := _least(row, gpu, aggregates=aggregates)):
                kind = "default call" if aggregates else "kernel"
                lines.setdefault(f"{kind}, counted ceiling", []).append((at(row), _pixels(row) / least / 1e9))
    return lines


def _planned(wanted: Callable[[Row], bool]) -> list[Row]:
    """The rows there would be on a GPU, for the ceilings."""
    from ..race.gpu_plan import GROUPS

    planned = [
        {"group": group, "contestant": c.name, "problem": p.to_dict()}
        for group, comparisons in GROUPS
        for entries in comparisons(GpuChoice())
        for p, c in entries
    ]
    return [row for row in planned if wanted(row)]
