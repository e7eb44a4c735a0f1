"""The attention study in words, tables and bars, from its JSON alone."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from .tables import NOT_MEASURED, table

Result = dict[str, Any]
Row = dict[str, Any]
NONE, PLAIN, CLASSICAL = "no block", "embedded Gaussian", "NL-means similarity"
FACTORS = ("tied", "unit", "sharp")
_LIMITS = (
    "Training is short: the network without a block has not converged, and gains may shrink where it has.",
    "A learned factor moves by at most the rate a step: flat starts had no time to become sharp. Whether "
    "they would is not answered here.",
    "The products have no learned factor of their own; their embeddings can grow instead.",
    "Crops of training are seen whole, pictures of the test through windows of about as many positions.",
    "Means over a few seeds; the smaller differences are within their range.",
)
_COLLAPSED = 0.1  # of the input's distance: a block whose output and rows are both below has collapsed


# --- numbers -------------------------------------------------------------------------------------


def gains(result: Result, name: str) -> list[float]:
    """The mean PSNR beyond that of the network without a block, for each seed."""
    base = {row["seed"]: statistics.fmean(row["psnr"]) for row in result["rows"] if row["name"] == NONE}
    rows = [row for row in result["rows"] if row["name"] == name and row["seed"] in base]
    return [statistics.fmean(row["psnr"]) - base[row["seed"]] for row in rows]


def apart(result: Result) -> dict[int, dict[str, list[float]]]:
    """Gains of the variants of the product with so many of the three things, by name."""
    found: dict[int, dict[str, list[float]]] = {}
    for row in result["rows"]:
        variant = row["variant"]
        if variant["blocks"] and not variant["distance"] and gains(result, row["name"]):
            count = sum(variant[factor] for factor in FACTORS)
            found.setdefault(count, {})[row["name"]] = gains(result, row["name"])
    return found


def measure(result: Result, name: str, measure_name: str, frame: str = "whole") -> float | None:
    """The mean of one measure over blocks and seeds."""
    found = [
        block[frame][measure_name]
        for row in result["rows"]
        if row["name"] == name
        for block in row["blocks"]
        if block[frame][measure_name] is not None
    ]
    return statistics.fmean(found) if found else None


def collapsed(result: Result, name: str) -> bool:
    """Whether neither the rows nor what the blocks add depend much on the query."""
    output, attention, seen = (measure(result, name, m) for m in ("output", "attention", "input"))
    if output is None or attention is None or seen is None:
        return True
    return max(output, attention) < _COLLAPSED * seen


def names_of(result: Result) -> list[str]:
    return list(dict.fromkeys(row["name"] for row in result["rows"]))


# --- the page ------------------------------------------------------------------------------------


def full_report(result: Result) -> str:
    """The whole page as Markdown."""
    return "\n".join(
        [
            "# What non-local blocks attend to",
            "",
            f"Measured by `{result['command']}`.",
            "",
            _setting(result),
            "",
            "## In words",
            "",
            *(f"* {line}" for line in _words(result)),
            "",
            "![Gain over the network without a block, and query-independence](attention.svg)",
            "",
            "![Maps of three queries, without and with the similarity of NL-means](attention.png)",
            "",
            "The second block's maps of three queries of a noisy photograph (hair, sky, an edge), white "
            "most, black not at all; above, of the embedded Gaussian; below, of the similarity of NL-means.",
            "",
            "## Quality",
            "",
            _quality(result),
            "",
            "Gain: mean PSNR beyond that of the network without a block of the same seed, whose other "
            "weights start alike and whose crops and noise are the same. Uniform: the trained network, every "
            "row made equal for all keys of the window. Left out: its blocks removed after training.",
            "",
            "## Query-independence",
            "",
            _table(result, "whole"),
            "",
            "Mean over both blocks, the seeds and the test pictures' central 64 x 64 pixels (32 x 32 "
            "positions). Input, output, attention: GCNet's mean cosine distance of all pairs of queries, of "
            "what a block sees, adds, and of its rows on the whole grid. Random: the same for random weights "
            "on the same features. Self: what a query gives itself.",
            "",
            "In the window of the evaluation, rows by offset from the query:",
            "",
            _table(result, "window"),
            "",
            "A map that prefers the same positions for every query is constant by position and not by "
            "offset; a stencil is constant by offset and not by position.",
            "",
            _null(result),
            "",
            "## Limits",
            "",
            *(f"* {line}" for line in _LIMITS),
            "",
            "## Every run",
            "",
            _runs(result),
            "",
        ]
    )


def _setting(result: Result) -> str:
    plan, at = result["schedule"], result["started"]["time"][:10]
    cpu = sum(row["cpu_seconds"] for row in result["rows"]) / 60
    sides = sorted({"x".join(map(str, shape)) for shape in result["test_pictures"].values()})
    return (
        f"{at}, {result['machine']['cpu']}, one thread, {cpu:.0f} minutes of processor time for training; "
        f"torch {result['versions']['torch']}. A residual network at half the resolution "
        f"({plan['channels']} channels, {plan['units']} units; a block after the second and the fourth, "
        f"{plan['width']} features), {plan['steps']} steps of {plan['batch']} crops of {plan['crop']} x "
        f"{plan['crop']} pixels from {result['training_pictures']} pictures, white noise of "
        f"{255 * plan['sigma']:.0f}/255, Adam, peak rate {plan['peak_rate']:g}. Blocks attend to the whole "
        f"crop in training and to 21 x 21 positions in the test, on {len(result['test_pictures'])} pictures "
        f"({', '.join(sides)}). Sharp: at the start, logits spread as those of a tied cosine times 20 do; "
        "else as those of the plain block. Of unit length: a cosine with a learned factor, else a product "
        "without one."
    )


def _words(result: Result) -> list[str]:
    lines = []
    for name in (PLAIN, CLASSICAL):
        each = gains(result, name)
        if not each or not any(r["blocks"] for r in result["rows"] if r["name"] == name):
            lines.append(f"{name}: {NOT_MEASURED}.")
            continue
        verdict = "collapses" if collapsed(result, name) else "does not collapse"
        output, attention, seen = (measure(result, name, m) for m in ("output", "attention", "input"))
        lines.append(
            f"**{name}** {verdict}: its output has a mean distance of {_figure(output)}, its rows of "
            f"{_figure(attention)}, what it sees of {_figure(seen)}. It is worth {_spread(each)} dB; with "
            f"rows made uniform the network {_change(result, name, 'psnr_uniform')} dB."
        )
    for count, cells in sorted(apart(result).items()):
        told = "; ".join(f"{name} {_spread(each)} dB" for name, each in cells.items())
        lines.append(f"With {('none', 'one', 'two', 'all')[count]} of the three: {told}.")
    lines += _factors(result)
    alive = [n for n in names_of(result) if n != NONE and not collapsed(result, n)]
    told = "; ".join(f"{name} {_spread(gains(result, name))} dB" for name in alive)
    lines.append(
        f"Query-dependent in the end (rows or outputs at {_COLLAPSED:g} of the input's distance, or more), "
        f"and what they are worth: {told or 'none'}."
    )
    worth = [statistics.fmean(gains(result, name)) for name in alive if gains(result, name)]
    if worth and min(worth) < max(worth) / 4:
        lines[-1] += " To depend on the query is not enough."
    return lines


def _factors(result: Result) -> list[str]:
    """Where the learned factors of the cosines went, from their starts."""
    told = []
    for name in names_of(result):
        rows = [row for row in result["rows"] if row["name"] == name]
        found = [b["factor"] for row in rows for b in row["blocks"] if b["factor"] is not None]
        if found and rows[0]["variant"]["unit"]:
            told.append(f"{name} {min(found):.1f} to {max(found):.1f}")
    return [f"Learned factors of the cosine in the end: {'; '.join(told)}."] if told else []


def _change(result: Result, name: str, kind: str) -> str:
    """By how much a changed network is worse."""
    rows = [row for row in result["rows"] if row["name"] == name and kind in row]
    change = statistics.fmean(statistics.fmean(r[kind]) - statistics.fmean(r["psnr"]) for r in rows)
    return f"{'loses' if change < 0 else 'gains'} {abs(change):.2f}"


def _quality(result: Result) -> str:
    lines = []
    for name in names_of(result):
        rows = [row for row in result["rows"] if row["name"] == name]
        each = gains(result, name)
        lines.append(
            [
                name,
                str(len(rows)),
                str(rows[0]["parameters"]),
                f"{statistics.fmean(statistics.fmean(r['psnr']) for r in rows):.2f}",
                "" if name == NONE else _spread(each),
                *(_mean(rows, kind) for kind in ("psnr_uniform", "psnr_without")),
                f"{statistics.fmean(r['cpu_seconds'] for r in rows):.0f}",
            ]
        )
    head = ("block", "seeds", "parameters", "PSNR, dB", "gain, dB", "uniform", "left out", "training, CPU s")
    return table(head, lines)


def _mean(rows: Sequence[Row], kind: str) -> str:
    found = [statistics.fmean(row[kind]) for row in rows if kind in row]
    return f"{statistics.fmean(found):.2f}" if found else ""


def _table(result: Result, frame: str) -> str:
    kinds = ("input", "output", "attention", "jensen_shannon", "perplexity", "self_weight")
    lines = []
    for name in names_of(result):
        if name == NONE:
            continue
        cells = [_figure(measure(result, name, kind, frame)) for kind in kinds]
        if frame == "whole":
            cells += [_figure(measure(result, name, kind, "random")) for kind in ("output", "attention")]
        lines.append([name, *cells])
    head = ["block", "input", "output", "attention", "Jensen-Shannon", "perplexity", "self"]
    return table(head + (["random: output", "attention"] if frame == "whole" else []), lines)


def _null(result: Result) -> str:
    null = result["classical"]
    kinds = ("input", "output", "attention", "jensen_shannon", "perplexity", "self_weight")
    told = ", ".join(f"{kind.replace('_', '-')} {_figure(null[kind])}" for kind in kinds)
    return (
        f"NL-means itself on the same noisy crops, pixels, rows by offset, windows of "
        f"{' or '.join(map(str, null['keys']))}: {told}. What it sees and gives are patches less their mean."
    )


def _runs(result: Result) -> str:
    lines = [
        [
            row["name"],
            str(row["seed"]),
            f"{statistics.fmean(row['psnr']):.3f}",
            " / ".join("" if b["factor"] is None else f"{b['factor']:.1f}" for b in row["blocks"]).strip(
                " /"
            ),
            *(" / ".join(_figure(b["whole"][m]) for b in row["blocks"]) for m in ("output", "attention")),
            " ".join(f"{value:.2f}" for value in row["psnr"]),
        ]
        for row in result["rows"]
    ]
    names = ", ".join(result["test_pictures"])
    head = ("block", "seed", "PSNR, dB", "factor of the cosine", "output", "attention", f"dB of {names}")
    return table(head, lines)


def _figure(value: float | None) -> str:
    """Three digits that say something, at any size."""
    if value is None:
        return NOT_MEASURED
    return (
        f"{value:.0f}"
        if value >= 100
        else f"{value:.3f}"
        if value >= 0.0005 or value == 0
        else f"{value:.0e}"
    )


def _spread(each: Sequence[float]) -> str:
    """Mean and range."""
    mean = f"{statistics.fmean(each):+.2f}"
    return mean if len(each) < 2 else f"{mean} ({min(each):+.2f} to {max(each):+.2f})"
