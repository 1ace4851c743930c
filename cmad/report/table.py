"""One table, independent of how it is printed, and its ways out: Markdown and CSV."""

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
        mark: put after the name in Markdown, explained beside the table.
    """

    name: str
    cells: tuple[Cell | None, ...]
    shown: Shown
    competes: bool = True
    mark: str = ""


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
    """

    name: str
    axes: tuple[str, str]
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    counts: tuple[int | None, ...] = ()
    best: Literal["highest", "lowest"] | None = None


def cell_text(cell: Cell | None, shown: Shown) -> str:
    """A cell as a reader sees it: "86.1 ± 0.3", "+1.2 [+0.4, +2.0]", a dash where there is nothing."""
    if cell is None:
        return ""
    if math.isnan(cell.value):
        return NO_VALUE
    text = _number(cell.value, shown)
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


def markdown(table: Table, *beside: Table) -> str:
    """A table in Markdown, the best cells bold; right of it the columns of others with the same rows."""
    lines = [[name] for name in row_names(table)]
    for each in (table, *beside):
        for line, texts in zip(lines, cell_texts(each), strict=True):
            line += texts
    return aligned(lines)


def row_names(table: Table) -> list[str]:
    """The first field of every line in Markdown: the axis, n where the table has counts, the rows."""
    heads = [table.axes[0], *(["n"] if table.counts else [])]
    return heads + [row.name + escaped(row.mark) for row in table.rows]


def cell_texts(table: Table) -> list[list[str]]:
    """The other fields of every line: column names, counts where the table has them, cells, the best bold."""
    best = best_cells(table)
    lines = [list(table.columns)]
    if table.counts:
        lines.append(["" if count is None else str(count) for count in table.counts])
    for i, row in enumerate(table.rows):
        texts = [cell_text(cell, row.shown) for cell in row.cells]
        lines.append([f"**{text}**" if (i, j) in best else text for j, text in enumerate(texts)])
    return lines


def markdown_pairs(first: Table, second: Table) -> str:
    """Two tables with the same rows and columns as one in Markdown, "86.1 / 86.0" in each field."""
    texts = paired(cell_texts(first), cell_texts(second), heads(first))
    return aligned([[name, *line] for name, line in zip(row_names(first), texts, strict=True)])


def paired(first: Sequence[Sequence[str]], second: Sequence[Sequence[str]], heads: int) -> list[list[str]]:
    """The fields of two tables with the same heads as one: "86.1 / 86.0", a dash where neither has a number.

    Args:
        first, second: as ``cell_texts`` gives them.
        heads: how many of the first lines are the same in both.
    """
    joined = [list(map(_pair, *both)) for both in zip(first[heads:], second[heads:], strict=True)]
    return [*map(list, first[:heads]), *joined]


def _pair(first: str, second: str) -> str:
    return first if first == second and first in ("", NO_VALUE) else f"{first} / {second}"


def heads(table: Table) -> int:
    """How many of a table's lines stand above its rows: the column names, and n where it has counts."""
    return 2 if table.counts else 1


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
