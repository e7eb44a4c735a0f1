"""What `nlmeans bench` does: this package on this machine, as a record, a table to read and a plot."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nlmeans import backends
from nlmeans.backends.contract import Request

from .. import device
from ..chart import curves
from ..counted import ceilings
from ..machine import circumstances, machine
from ..problems import Problem
from .own import Measured, Setting, Tell, measure, versions

NAMED = {
    "vga": (480, 640),
    "720p": (720, 1280),
    "1080p": (1080, 1920),
    "4k": (2160, 3840),
    "8k": (4320, 7680),
}
USUAL = {"cuda": ("512", "1080p", "4k"), "cpu": ("512", "1080p"), "reference": ("64",)}
AGGREGATES = ("pixel", "patch")
_BAR = 18  # characters of the longest


@dataclass(frozen=True)
class Order:
    """What is asked for; None: what is usual on the backend."""

    device: str = "auto"
    sizes: tuple[str, ...] | None = None
    patch_radius: int = 3
    search_radius: int = 10
    channels: int = 1
    dtype: str = "float32"
    patch: str = "box"
    aggregate: str | None = None
    seconds: float = 2.0  # for each kind of time of each row
    command: str = "nlmeans bench"


def shape_of(size: str) -> tuple[int, int]:
    """Rows and columns of "1080p", "512" or "720x1280"; ValueError where it is none of these."""
    if size.lower() in NAMED:
        return NAMED[size.lower()]
    rows, _, columns = size.lower().partition("x")
    shape = int(rows), int(columns or rows)
    if not all(16 <= n <= 65536 for n in shape):
        raise ValueError(f"sides go from 16 to 65536, got {size}")
    return shape


def chosen(asked: str) -> tuple[str, str | None]:
    """The backend for a choice of device, and why it is not the GPU where that was wished for."""
    if asked == "cpu":
        return _processor(), None
    reason = device.missing()
    if reason is None:
        return "cuda", None
    if asked == "cuda":
        backends.choose("cuda", Request("numpy", "float32", 1, 1))
    return _processor(), reason


def _processor() -> str:
    """The fastest that needs no GPU."""
    return next(name for name, reason in backends.describe() if name != "cuda" and reason is None)


def settings(order: Order, backend: str) -> list[Setting]:
    """Every size with the bare filter and with the default call, unless one of them was asked for."""
    found = []
    for size in order.sizes or USUAL[backend]:
        kinds = {1: "grey", 3: "RGB"}.get(order.channels, f"{order.channels} channels")
        problem = Problem(
            f"{size if size.lower() in NAMED or 'x' in size else size + '²'} {kinds}",
            shape_of(size),
            order.channels,
            order.dtype,
            order.patch_radius,
            order.search_radius,
        )
        wanted = (order.aggregate,) if order.aggregate else AGGREGATES
        found += [Setting(problem, aggregate, order.patch) for aggregate in wanted]
    return found


def record(order: Order, tell: Tell) -> dict[str, Any]:
    """Measure all of it: the JSON."""
    backend, reason = chosen(order.device)
    found: dict[str, Any] = {}
    gpu = None
    if backend == "cuda":
        cupy = backends.load("cuda").namespace()
        found = device.facts(cupy)
        gpu = device.gpu(found)
    result: dict[str, Any] = {
        "what": "this package alone: kernel, call on arrays of the device, call on NumPy arrays",
        "units": {
            "kernel, device, whole, ceiling, exponential, first, overhead": "seconds",
            "spread": "half the distance of the quartiles over the median",
            "psnr": "dB against the clean picture",
            "difference": "largest from the float64 reference on a crop, of the picture's data range",
            "pair": "one (pixel, shift) of one pass",
            "ceiling": "least time for the counted instructions, at the highest clock the device names",
            "exponential": "least time for one exponential a pair and pass",
        },
        "command": order.command,
        "backend": backend,
        "no_gpu": reason,
        "device": found or None,
        "versions": versions(backend),
        "counts": ceilings.described() if gpu else None,
        "machine": machine(),
        "started": circumstances(),
    }
    asked = settings(order, backend)
    rows: list[Measured] = []
    for number, setting in enumerate(asked):

        def part(label: str, fraction: float, number: int = number) -> None:
            tell(label, (number + fraction) / len(asked))

        rows.append(measure(setting, backend, order.seconds, part, gpu))
    if backend == "cuda":
        found["afterwards"] = device.management(0)
    result["ended"] = circumstances()
    result["rows"] = [row.to_dict() for row in rows]
    return result


# --- to read ---------------------------------------------------------------------------------


def table(result: dict[str, Any], *, plain: bool = False) -> str:
    """The record for a terminal; `plain` keeps to ASCII."""
    rows = result["rows"]
    on_gpu = result["backend"] == "cuda"
    fastest = max((r.get("kernel_mpixel_s", 0.0) for r in rows), default=0.0)
    head = ["picture", "aggregate", "kernel, Mpixel/s", "", "Gpair/s"]
    head += ["of ceiling", "of exp limit", "on device"] if on_gpu else []
    head += ["NumPy in, out", "PSNR, dB", "off by"]
    lines = [head]
    for row in rows:
        if row["reason"]:
            lines.append([row["picture"], row["setting"]["aggregate"], f"not measured: {row['reason']}"])
            continue
        line = [
            row["picture"],
            row["setting"]["aggregate"],
            f"{row['kernel_mpixel_s']:.4g} ± {100 * row['kernel_spread']:.1f} %",
            bar(row["kernel_mpixel_s"] / fastest, plain=plain),
            f"{row['kernel_gpair_s']:.3g}",
        ]
        if on_gpu:
            line += [_percent(row["share_of_ceiling"]), _percent(row["share_of_exponential"])]
            line += [_rate(row, "device")]
        line += [_rate(row, "whole"), f"{row['psnr']:.2f}", _off(row)]
        lines.append(line)
    text = "\n".join([_place(result), _legend(result), "", aligned(lines), "", *_notes(result)])
    return text.replace("±", "+-").replace("²", "^2") if plain else text


def bar(fraction: float, *, plain: bool = False, width: int = _BAR) -> str:
    """A bar of eighths of a character; never empty."""
    if plain:
        return "#" * max(1, round(fraction * width))
    eighths = max(1, round(fraction * width * 8))
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Columns; a line that is shorter than the others ends in a sentence."""
    full = [line for line in lines if len(line) == len(lines[0])]
    widths = [max(len(line[n]) for line in full) for n in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if n in (0, 1, 3) else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(line, widths, strict=False))
        ).rstrip()
        if len(line) == len(lines[0])
        else "  ".join([line[0].ljust(widths[0]), line[1].ljust(widths[1]), *line[2:]])
        for line in lines
    )


def _percent(value: float | None) -> str:
    return "not counted" if value is None else f"{100 * value:.0f} %"


def _off(row: dict[str, Any]) -> str:
    return f"{'WRONG: ' * row['wrong']}{row['difference']:.1g}"


def _rate(row: dict[str, Any], part: str) -> str:
    return f"{row[f'{part}_mpixel_s']:.4g}" if row[part] else "not measured"


def _place(result: dict[str, Any]) -> str:
    version = result["versions"]["nlmeans"]
    found, computer = result["device"], result["machine"]
    if found:
        clocks = found["as_found"]
        now = f", {clocks['clocks.sm']} as found" if "clocks.sm" in clocks else ""
        driver = f", driver {clocks['driver_version']}" if "driver_version" in clocks else ""
        return (
            f"nlmeans {version} on {found['name']}: {found['multiprocessors']} multiprocessors, "
            f"{found['gigahertz']:g} GHz at most{now}{driver}, CuPy {found['cupy']}"
        )
    kind = result["versions"].get("instructions", result["backend"])
    threads = f"{computer['processors']} thread{'s' * (computer['processors'] > 1)}"
    return f"nlmeans {version} on {computer['cpu']}: {threads}, {kind}"


def _legend(result: dict[str, Any]) -> str:
    if not result["rows"]:
        return ""
    asked = result["rows"][0]["setting"]
    size, window = 2 * asked["patch_radius"] + 1, 2 * asked["search_radius"] + 1
    noise = f"noise {asked['noise'] * 255:.0f} of 255"
    kinds = f"{asked['patch']} patches {size} x {size}, window {window} x {window}, {asked['dtype']}"
    return f"{kinds}, {noise}; medians, ± half the quartiles' distance"


def _notes(result: dict[str, Any]) -> list[str]:
    """What the columns mean, and what may disturb."""
    notes = [
        "pixel: the bare filter; patch: the default call, two passes, with noise correction",
        "off by: the largest difference from the reference on a crop, of the picture's data range",
    ]
    computer = result["machine"]
    busy = max(result[when]["load_average"][0] for when in ("started", "ended"))
    if result["backend"] != "cuda" and busy > computer["processors"]:
        notes.append(f"other work ran at the same time (load average up to {busy:.1f}): times are too long")
    if result["rows"] and result["rows"][0].get("overhead"):
        notes.append(f"the host spends {1e6 * result['rows'][0]['overhead']:.0f} µs on a kernel call")
    return notes


# --- the plot --------------------------------------------------------------------------------


def plot(result: dict[str, Any]) -> str:
    """Rate against the number of pixels, log-log, with the ceilings, as SVG."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in result["rows"]:
        pixels = math.prod(row["setting"]["shape"]) / 1e6
        for part, shown in (("kernel", "kernel"), ("whole", "NumPy in and out")):
            if row[part]:
                name = f"{row['setting']['aggregate']}, {shown}"
                lines.setdefault(name, []).append((pixels, pixels / statistics.median(row[part])))
        if row["ceiling"]:
            name = f"{row['setting']['aggregate']}, ceiling"
            lines.setdefault(name, []).append((pixels, pixels / row["ceiling"]))
    return curves(_place(result), "million pixels of the picture", "million pixels a second", lines)
