"""The comparison of the systems as in the supplement's Table 6: sets C and U, ACC/F1 by combination."""

from dataclasses import dataclass, replace

import pandas as pd

from cmad.combinations import COMBINATIONS
from cmad.config.grid import REFERENCE
from cmad.entries import Entry
from cmad.report.grid import Field, Grid, Part, pairs
from cmad.report.load import Cells
from cmad.report.summary import COLUMNS, counts, score_summary
from cmad.report.systems import BASELINE, compared, described, is_addition, mark, shown
from cmad.report.table import NOTHING, Cell, Row, Table, best_cells, source_id
from cmad.report.tables import PERCENT, REFERENCES, row_cells
from cmad.scores.metrics import PRIMARY

_REFERENCE_SET = "ref."


@dataclass(frozen=True)
class _Line:
    """A row of the comparison; the constant predictor and the ceiling have no parameters.

    Attributes:
        set: "C", "U", or "ref." for what does not compete.
        system: its name for a reader.
        mark: after the name.
        variant: its name in the scores.
        status, addition: what of it is the paper's.
        models, parameters: how many per seed, and the size of one.
    """

    set: str
    system: str
    mark: str
    variant: str
    status: str
    addition: bool = False
    models: int | None = None
    parameters: int | None = None


def comparison_tables(cells: Cells) -> dict[str, Table]:
    """Accuracy and F1 of the compared rows and of the references, which do not compete."""
    summary = score_summary(cells)
    tables = {}
    for metric in PRIMARY:
        n = counts(cells.scores, metric, "combination")
        rows = (
            Row(
                line.system,
                row_cells(summary, (metric, line.variant), COLUMNS),
                PERCENT,
                competes=line.set != _REFERENCE_SET,
                mark=line.mark,
                source=source_id(cells.dataset, line.variant),
            )
            for line in _lines(cells)
        )
        tables[metric] = Table(
            metric,
            ("system", "combination"),
            COLUMNS,
            tuple(rows),
            counts=(*(n.get(c, 0) for c in COMBINATIONS), None),
            best="highest",
        )
    return tables


def comparison_grid(cells: Cells) -> Grid:
    """One table: set, system, ACC / F1 in each column, models and parameters of one of them."""
    accuracy, f1 = (comparison_tables(cells)[metric] for metric in PRIMARY)
    found = pairs(accuracy, f1)
    names, counts = found.heads
    return replace(
        found,
        names=2,
        heads=(("set", *names, "models", "parameters"), ("", *counts, "", "")),
        lines=tuple(
            replace(each, fields=((Part(of.set),), *each.fields, _count(of.models), _size(of.parameters)))
            for each, of in zip(found.lines, _lines(cells), strict=True)
        ),
    )


def comparison_frame(cells: Cells) -> pd.DataFrame:
    """The same as a tidy frame with all digits, a row for each system and column.

    Returns:
        Columns set, system, variant, status, addition, models, parameters, combination, n,
        accuracy, accuracy_std, f1, f1_std.
    """
    summary = score_summary(cells)
    n = counts(cells.scores, PRIMARY[0], "combination")
    records = [
        vars(line)
        | {"combination": column, "n": None if column not in COMBINATIONS else n.get(column, 0)}
        | {
            f"{metric}{suffix}": summary[kind].get((metric, line.variant, column), NOTHING)
            for metric in PRIMARY
            for kind, suffix in (("mean", ""), ("std", "_std"))
        }
        for line in _lines(cells)
        for column in COLUMNS
    ]
    # As objects, so that a count stays a whole number beside rows that have none.
    return pd.DataFrame(records, dtype=object).drop(columns="mark")


def columns_won(cells: Cells) -> dict[str, list[str]]:
    """By metric the columns in which CMAD is the best of the compared, ties included."""
    place = [line.variant for line in _lines(cells)].index(REFERENCE)
    return {
        metric: [column for j, column in enumerate(COLUMNS) if (place, j) in best_cells(table)]
        for metric, table in comparison_tables(cells).items()
    }


def _lines(cells: Cells) -> list[_Line]:
    """The compared rows, then the baseline, the constant predictor and, of generated data, the ceiling."""
    models = {each["variant"]: each for each in cells.models.to_dict("records")}

    def line(row: Entry) -> _Line:
        of = "C" if row.customised else "U"
        baseline = row.name == BASELINE
        return _Line(
            set=_REFERENCE_SET if baseline else of,
            system=shown(row),
            mark=mark(row),
            variant=row.name,
            status="baseline" if baseline else described(row).status,
            addition=is_addition(row),
            models=models[row.name]["models"],
            parameters=models[row.name]["parameters"],
        )

    rows = [*compared(cells.rows), *(row for row in cells.rows if row.name == BASELINE)]
    known = set(cells.references["variant"])
    return [
        *map(line, rows),
        *(_Line(_REFERENCE_SET, REFERENCES[r], "", r, "reference") for r in REFERENCES if r in known),
    ]


def _count(number: int | None) -> Field:
    return () if number is None else (_whole(str(number), number),)


def _size(parameters: int | None) -> Field:
    """A number of parameters: "0.64 M", below a tenth of a million "41.3 k"."""
    if parameters is None:
        return ()
    text = f"{parameters / 1e6:.2f} M" if parameters >= 1e5 else f"{parameters / 1e3:.1f} k"
    return (_whole(text, parameters),)


def _whole(text: str, number: int) -> Part:
    return Part(text, cell=Cell(number))
