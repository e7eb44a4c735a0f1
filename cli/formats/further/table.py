"""Tables of numbers as text (CSV): each column is a signal; time, words and the form of the table stay."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, BinaryIO

from ...status import LimitError, UnreadableError
from ..limits import MEBI, Limits
from ..metadata import lost
from ..picture import Array, Layout, Picture, Saving

LARGEST = 256 * MEBI  # bytes of text; as Python's strings its cells take some ten times as much
_SEPARATORS = (";", "\t", ",", " ")  # with the first two, commas may be those of decimals
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?|[+-]?(nan|inf|NaN|NA|Inf|)")
_MORE = 2  # decimals of a result beyond those of its column: an average of ten and more is that much finer
_DIGITS = 9  # of a result in a column with exponents: float32 has no more


@dataclass
class _Table:
    """Cells of a table, and which of its columns are signals."""

    before: list[str]  # lines that are no rows of it: comments, and the names of the columns
    cells: list[list[str]]  # by rows
    separator: str
    comma: bool  # decimals are behind a comma
    end: str  # of a line
    signals: list[int]  # columns
    running: list[int]  # columns of numbers that only rise or only fall, as time does


def open_picture(file: BinaryIO, size: int, limits: Limits) -> Picture:
    """Take the text apart; every column of numbers but time is a page."""
    if size > LARGEST:
        raise LimitError(f"it is a table of {size:,} bytes; the limit is {LARGEST:,}: save it as .npy")
    table = _parsed(file.read(size))
    limits.check_pixels(len(table.cells), len(table.signals))
    limits.check_frames(len(table.signals))
    warnings = []
    for column in table.running:
        warnings.append(f"column {column + 1} only rises or falls, as time does: it is kept as it is")

    def decode(page: int) -> Array:
        import numpy as np

        return np.array(_numbers(table, table.signals[page]))

    layout = Layout((len(table.cells),), "=f8", colours=0)
    return Picture("CSV", [layout] * len(table.signals), decode, [], warnings, {"table": table})


def refusal(name: str, layout: Layout, count: int) -> str | None:
    """Why a table cannot hold pages like this; None when it can."""
    if layout.colours or len(layout.shape) != 1:
        return f"CSV holds signals as columns, not {layout.words}"
    return None


def write(file: BinaryIO, pages: Iterable[Array], like: Picture, saving: Saving) -> list[str]:
    """Store columns, where they were among the others."""
    columns = list(pages)
    table: _Table = like.encoding.get("table") or _bare(columns)
    for column, values in zip(table.signals, columns, strict=True):
        old = [row[column] for row in table.cells]
        form = _form(old) if like.format == "CSV" else ".9g"
        for row, text, value in zip(table.cells, old, values, strict=True):
            new = format(float(value), form) if math.isfinite(value) else text
            row[column] = new.replace(".", ",") if table.comma else new
    lines = [*table.before, *(table.separator.join(row) for row in table.cells)]
    file.write((table.end.join(lines) + table.end).encode())
    return lost((i for i in like.metadata if i.kind != "implied"), "CSV")


def _bare(columns: list[Array]) -> _Table:
    rows = [["nan"] * len(columns) for _ in range(len(columns[0]))]
    return _Table([], rows, ",", False, "\n", list(range(len(columns))), [])


def _form(column: list[str]) -> str:
    """The format of results: some decimals more than the column has."""
    if any("e" in text.lower() for text in column if _NUMBER.fullmatch(text)):
        return f".{_DIGITS}g"
    decimals = max((len(re.split("[.,]", text)[1]) for text in column if re.search("[.,]", text)), default=0)
    return f".{decimals + _MORE}f"


def _parsed(data: bytes) -> _Table:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnreadableError("it is no picture of a known format, and no text either") from None
    end = "\r\n" if "\r\n" in text else "\n"
    lines = [line.rstrip("\r") for line in text.split("\n")]
    while lines and not lines[-1].strip():
        lines.pop()
    first = next((n for n, line in enumerate(lines) if line.strip() and not line.startswith("#")), None)
    if first is None or len(lines) - first < 2:
        raise UnreadableError("it is text, and no table of numbers")
    before, rows = lines[:first], lines[first:]
    separator = _separator(rows)
    comma = separator in (";", "\t") and "." not in "".join(rows[1:64])
    cells = [[cell.strip() for cell in row.split(separator)] if separator else [row.strip()] for row in rows]
    if not any(_NUMBER.fullmatch(_point(cell, comma)) and cell for cell in cells[0]):
        before.append(rows[0])
        cells = cells[1:]
    width = len(cells[0])
    if any('"' in row for row in rows[len(rows) - len(cells) :]):
        raise UnreadableError("its cells are quoted, which is not read; save it without quotes")
    for number, row in enumerate(cells):
        if len(row) != width:
            line = len(before) + number + 1
            raise UnreadableError(f"its line {line} has {len(row)} columns, the first has {width}")
    table = _Table(before, cells, separator, comma, end, [], [])
    numeric = [c for c in range(width) if _is_numeric(table, c)]
    if not numeric:
        raise UnreadableError("it is text, and no table of numbers")
    if separator == "," and numeric == [0, 1] and width == 2 and all(map(_like_decimals, cells)):
        raise UnreadableError("its commas may stand between columns or before decimals; use ; or . for one")
    if len(numeric) > 1:
        running = [c for c in numeric if _runs(_numbers(table, c))]
        table.running = running if len(running) < len(numeric) else running[:1]
    table.signals = [c for c in numeric if c not in table.running]
    return table


def _like_decimals(row: list[str]) -> bool:
    """Whether a row of two cells could be one number, as in 0,125."""
    return bool(re.fullmatch(r"[+-]?\d+", row[0]) and re.fullmatch(r"\d+", row[1]))


def _separator(rows: list[str]) -> str:
    """What stands the same number of times in most of the first rows; "" where nothing does."""
    for mark in _SEPARATORS:
        counts = Counter(row.count(mark) for row in rows[1:64])
        if counts.most_common(1)[0][0] > 0:
            return mark
    return ""


def _point(cell: str, comma: bool) -> str:
    return cell.replace(",", ".") if comma else cell


def _is_numeric(table: _Table, column: int) -> bool:
    every = [_point(row[column], table.comma) for row in table.cells]
    return all(_NUMBER.fullmatch(cell) for cell in every) and any(re.search(r"\d", cell) for cell in every)


def _numbers(table: _Table, column: int) -> list[float]:
    """The column; NaN for what is missing."""
    missing: Any = {"": math.nan, "NA": math.nan}
    every = (_point(row[column], table.comma) for row in table.cells)
    return [missing[cell] if cell in missing else float(cell) for cell in every]


def _runs(values: list[float]) -> bool:
    """Whether numbers only rise, or only fall: noise does neither."""
    steps = [b - a for a, b in itertools.pairwise(values)]
    return any(steps) and (all(step >= 0 for step in steps) or all(step <= 0 for step in steps))
