"""Tables as lines of fields: what Markdown, LaTeX and HTML print, each in its own signs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from cmad.report.table import NO_VALUE, Cell, Row, Table, best_cells, spread_text, value_text


@dataclass(frozen=True)
class Part:
    """A text, or a number as a reader sees it.

    Attributes:
        text: without what is known of its spread.
        spread: what follows, e.g. " ± 0.3".
        best: whether it is the best of its column.
        cell: the number itself; None for a text.
        measure: what was measured.
    """

    text: str
    spread: str = ""
    best: bool = False
    cell: Cell | None = None
    measure: str = ""

    @property
    def whole(self) -> str:
        """All of it."""
        return self.text + self.spread


Field = tuple[Part, ...]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Line:
    """A line under the heads.

    Attributes:
        fields: names first. The parts of one stand beside each other: "86.1 / 86.0".
        mark: after the last name.
        source: id of the place that says where the line's numbers come from; "" where there is none.
        anchor: id of the line itself, where it is such a place.
    """

    fields: tuple[Field, ...]
    mark: str = ""
    source: str = ""
    anchor: str = ""


@dataclass(frozen=True)
class Grid:
    """A table to be printed.

    Attributes:
        heads: column names, and n of each column where the table has it.
        lines: from top to bottom.
        names: how many of the first fields are names; they are aligned to the left.
        together: how many lines in a row belong together, whatever the order.
        rows, columns: what the lines and the columns are.
    """

    heads: tuple[tuple[str, ...], ...]
    lines: tuple[Line, ...]
    names: int = 1
    together: int = 1
    rows: str = ""
    columns: str = ""


def text(words: str) -> Field:
    """A field that is no number."""
    return (Part(words),)


def side_by_side(table: Table, *beside: Table) -> Grid:
    """A table; right of it the columns of others with the same rows."""
    all_of = (table, *beside)
    fields = _joined([_fields(each) for each in all_of])
    heads = _joined([_heads(each) for each in all_of])
    return _grid(table, heads, fields)


def pairs(first: Table, second: Table) -> Grid:
    """Two tables with the same rows and columns as one, a dash where neither has a number."""
    fields = [
        [_pair(*both) for both in zip(*of_row, strict=True)]
        for of_row in zip(_fields(first), _fields(second), strict=True)
    ]
    return _grid(first, _heads(first), fields)


def _grid(table: Table, heads: Sequence[Sequence[str]], fields: Sequence[Sequence[Field]]) -> Grid:
    firsts = (table.axes[0], "n") if table.counts else (table.axes[0],)
    return Grid(
        heads=tuple((first, *head) for first, head in zip(firsts, heads, strict=True)),
        lines=tuple(
            Line(((Part(row.name),), *of_row), row.mark, row.source)
            for row, of_row in zip(table.rows, fields, strict=True)
        ),
        together=table.together,
        rows=table.axes[0],
        columns=table.axes[1],
    )


def _joined(tables: Sequence[Sequence[Sequence[_T]]]) -> list[list[_T]]:
    """The lines of all, each beside those of the others."""
    return [[field for part in parts for field in part] for parts in zip(*tables, strict=True)]


def _heads(table: Table) -> list[list[str]]:
    """Column names; counts where the table has them."""
    counts = [["" if count is None else str(count) for count in table.counts]] if table.counts else []
    return [list(table.columns), *counts]


def _fields(table: Table) -> list[list[Field]]:
    best = best_cells(table)
    return [
        [(_part(table, row, j, (i, j) in best),) for j in range(len(table.columns))]
        for i, row in enumerate(table.rows)
    ]


def _part(table: Table, row: Row, column: int, best: bool) -> Part:
    cell = row.cells[column]
    return Part(value_text(cell, row.shown), spread_text(cell, row.shown), best, cell, table.name)


def _pair(first: Field, second: Field) -> Field:
    nothing = first[0].whole == second[0].whole and first[0].whole in ("", NO_VALUE)
    return first if nothing else (*first, *second)
