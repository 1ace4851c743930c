"""One table, independent of how it is printed, and how its numbers read."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

# Where there is nothing to measure.
NOTHING = float("nan")
NO_VALUE = "\N{EN DASH}"


@dataclass(frozen=True)
class Cell:
    """A number with what is known of its spread, never rounded; NaN where unknown.

    Attributes:
        value: the number itself.
        std: its standard deviation over seeds.
        low, high: bounds of its interval.
    """

    value: float
    std: float = NOTHING
    low: float = NOTHING
    high: float = NOTHING


@dataclass(frozen=True)
class Shown:
    """How a number is put before a reader.

    Attributes:
        scale: what it is multiplied by.
        digits: after the point.
        signed: with a plus where it is positive.
        spread: with its standard deviation where that is known.
    """

    scale: float = 1.0
    digits: int = 0
    signed: bool = False
    spread: bool = True


@dataclass(frozen=True)
class Row:
    """A row.

    Attributes:
        name: its first field.
        cells: one per column of the table; None is an empty field.
        shown: of all its cells.
        competes: whether its cells may be the best of their columns.
        mark: put after the name, explained beside the table.
        source: id of the place that says where its numbers come from, see ``source_id``.
    """

    name: str
    cells: tuple[Cell | None, ...]
    shown: Shown
    competes: bool = True
    mark: str = ""
    source: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: what it holds, for the CSV.
        axes: what rows and columns are, e.g. ("variant", "combination").
        columns: names.
        rows: from top to bottom.
        counts: n of each column, shown above the rows, None where there is no such number; empty
            for a table without.
        best: which value of a column is the best one, if any.
        together: how many rows that follow each other make one subject.
    """

    name: str
    axes: tuple[str, str]
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    counts: tuple[int | None, ...] = ()
    best: Literal["highest", "lowest"] | None = None
    together: int = 1


def source_id(dataset: str, name: str) -> str:
    """Id of the place that says what a row of the grid is."""
    return f"{dataset}-row-{name}"


def value_text(cell: Cell | None, shown: Shown) -> str:
    """The number alone, "86.1" or "+1.2"; a dash where there is nothing to measure."""
    if cell is None:
        return ""
    return NO_VALUE if math.isnan(cell.value) else _number(cell.value, shown)


def spread_text(cell: Cell | None, shown: Shown) -> str:
    """What follows the number: its deviation, " ± 0.3", its interval, " [+0.4, +2.0]"; or nothing."""
    if cell is None or math.isnan(cell.value):
        return ""
    text = ""
    if shown.spread and not math.isnan(cell.std):
        text += f" ± {_number(cell.std, Shown(shown.scale, shown.digits))}"
    if not math.isnan(cell.low):
        text += f" [{_number(cell.low, shown)}, {_number(cell.high, shown)}]"
    return text


def _number(value: float, shown: Shown) -> str:
    # Adding zero turns a rounded -0.0 into 0.0.
    scaled = round(value * shown.scale, shown.digits) + 0.0
    sign = "+" if shown.signed and scaled > 0 else ""
    return f"{sign}{scaled:.{shown.digits}f}"


def best_cells(table: Table) -> set[tuple[int, int]]:
    """Indices (row, column) of the best cells: all that look like the best one when rounded."""
    found = set()
    if table.best is not None:
        choose = max if table.best == "highest" else min
        for j in range(len(table.columns)):
            values = {i: _rounded(row, j) for i, row in enumerate(table.rows) if _competes(row, j)}
            if values:
                best = choose(values.values())
                found |= {(i, j) for i, value in values.items() if value == best}
    return found


def _competes(row: Row, column: int) -> bool:
    cell = row.cells[column]
    return row.competes and cell is not None and not math.isnan(cell.value)


def _rounded(row: Row, column: int) -> float:
    cell = row.cells[column]
    assert cell is not None
    return round(cell.value * row.shown.scale, row.shown.digits)


def aligned(lines: Sequence[Sequence[str]], left: int = 1) -> str:
    """Fields as a table in Markdown, padded so that it reads as plain text too.

    Args:
        lines: the heads first, all of the same length.
        left: how many of the first columns are aligned to the left, not to the right.
    """
    widths = [max(3, *(len(line[j]) for line in lines)) for j in range(len(lines[0]))]
    rule = [
        ":" + "-" * (width - 1) if j < left else "-" * (width - 1) + ":" for j, width in enumerate(widths)
    ]
    padded = [
        [
            text.ljust(w) if j < left else text.rjust(w)
            for j, (text, w) in enumerate(zip(line, widths, strict=True))
        ]
        for line in lines
    ]
    padded.insert(1, rule)
    return "".join(f"| {' | '.join(line)} |\n" for line in padded)


def plural(number: int, what: str) -> str:
    """A number of things in words: "1 seed", "3 seeds"."""
    return f"{number} {what}{'s' * (number != 1)}"


def escaped(text: str) -> str:
    """Text whose asterisks Markdown leaves alone."""
    return text.replace("*", r"\*")


def tidy(tables: Sequence[Table], kind: str, fields: Mapping[str, str]) -> pd.DataFrame:
    """Tables that share their axes as one tidy frame, a row for each cell, at full precision.

    Args:
        tables: at least one.
        kind: column for the tables' names.
        fields: what to take of the cells ("n", "value", "std", "low", "high"), and the column it goes to.
    """
    rows, columns = tables[0].axes
    records: list[dict[str, Any]] = [
        {kind: table.name, rows: row.name, columns: column, "n": n, **vars(cell)}
        for table in tables
        for row in table.rows
        for column, n, cell in zip(table.columns, _counts(table), row.cells, strict=True)
        if cell is not None
    ]
    # As objects, so that a count stays a whole number beside a share.
    frame = pd.DataFrame(records, columns=[kind, rows, columns, *fields], dtype=object)
    if "n" in fields:
        frame["n"] = frame["n"].astype("Int64")
    return frame.rename(columns=dict(fields))


def _counts(table: Table) -> tuple[int | None, ...]:
    return table.counts or (None,) * len(table.columns)
