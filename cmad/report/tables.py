"""From the cells of a data set to its tables."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from cmad.combinations import COMBINATIONS, MODALITIES
from cmad.config.grid import REFERENCE
from cmad.entries import Entry
from cmad.report.load import Cells
from cmad.report.summary import (
    COLUMNS,
    class_summary,
    consistency_summary,
    counts,
    drop_summary,
    score_summary,
)
from cmad.report.systems import mark
from cmad.report.table import NOTHING, Cell, Row, Shown, Table, source_id
from cmad.scores.bootstrap import COMPARED
from cmad.scores.metrics import METRICS, PRIMARY
from cmad.splits import SPLITS

COUNT = Shown()
DECIMAL = Shown(digits=1)
NUMBER = Shown(digits=3)
PERCENT = Shown(scale=100, digits=1)
POINTS = Shown(scale=100, digits=1, signed=True)
# Room for eleven ratios: the standard deviations are in the CSV and in the figure.
NARROW = Shown(scale=100, digits=1, spread=False)

_NO_SHARES = ("mae", "correlation")
P = Shown(digits=4)
REFERENCES = {"constant": "constant predictor", "ceiling": "Bayes ceiling"}


def combination_tables(cells: Cells) -> dict[str, Table]:
    """The seven combinations and their average, one table for each metric of the task."""
    summary = score_summary(cells)
    references = [name for name in REFERENCES if name in set(cells.references["variant"])]
    better = METRICS[cells.manifest["task"]["kind"]]
    tables = {}
    for metric in cells.metrics:
        shown = NUMBER if metric in _NO_SHARES else PERCENT
        n = counts(cells.scores, metric, "combination")
        rows = _rows(cells, summary, metric, COLUMNS, shown)
        rows += [
            Row(
                REFERENCES[r],
                row_cells(summary, (metric, r), COLUMNS),
                shown,
                competes=False,
                source=source_id(cells.dataset, r),
            )
            for r in references
        ]
        tables[metric] = Table(
            metric,
            ("variant", "combination"),
            COLUMNS,
            tuple(rows),
            # A combination without rows is one that no test sample has.
            counts=(*(n.get(c, 0) for c in COMBINATIONS), None),
            best="highest" if better.get(metric, True) else "lowest",
        )
    return tables


def consistency_tables(cells: Cells) -> dict[str, Table]:
    """MSE and SIMS of E^s against E^t (supplement, Tables 7 and 8); lower is closer."""
    summary = consistency_summary(cells)
    n = counts(cells.consistency, "mse", "combination")
    return {
        metric: Table(
            metric,
            ("variant", "combination"),
            COLUMNS,
            tuple(_rows(cells, summary, metric, COLUMNS, NUMBER)),
            counts=(*(n.get(c, 0) for c in COMBINATIONS), None),
            best="lowest",
        )
        for metric in ("mse", "sims")
    }


def class_tables(cells: Cells, variant: str) -> dict[str, Table]:
    """One variant's precision, recall and F1 of each class by combination; empty for other tasks."""
    if cells.classes.empty:
        return {}
    summary = class_summary(cells)
    # Of the whole split: no single combination need be one that all samples have.
    sizes = cells.manifest["splits"]["test"]["labels"]
    return {
        metric: Table(
            metric,
            ("class", "combination"),
            COLUMNS,
            tuple(
                Row(
                    f"{name} ({sizes[name]})",
                    row_cells(summary, (metric, variant, name), COLUMNS),
                    PERCENT,
                    source=source_id(cells.dataset, variant),
                )
                for name in cells.manifest["task"]["names"]
            ),
        )
        for metric in ("precision", "recall", "f1")
    }


def label_tables(cells: Cells, variant: str) -> dict[str, Table]:
    """One variant's accuracy and F1 of each binary label by combination, and their means; else empty."""
    if cells.kind != "binary":
        return {}
    summary = score_summary(cells)
    names = cells.manifest["task"]["names"]
    source = source_id(cells.dataset, variant)
    # Every sample has all labels.
    n = counts(cells.scores, PRIMARY[0], "combination")

    def row(name: str, metric: str) -> Row:
        return Row(name, row_cells(summary, (metric, variant), COLUMNS), PERCENT, source=source)

    return {
        metric: Table(
            metric,
            ("label", "combination"),
            COLUMNS,
            (
                *(row(name, f"{metric}_{name}") for name in names),
                row("mean", metric),
            ),
            counts=(*(n.get(c, 0) for c in COMBINATIONS), None),
        )
        for metric in PRIMARY
    }


def drop_tables(cells: Cells) -> dict[str, Table]:
    """Scores by drop ratio, one table for each metric of the task."""
    summary = drop_summary(cells)
    ratios = list(dict.fromkeys(cells.drops["ratio"]))
    better = METRICS[cells.manifest["task"]["kind"]]
    tables = {}
    for metric in cells.metrics:
        shown = NUMBER if metric in _NO_SHARES else NARROW
        n = counts(cells.drops, metric, "ratio")
        tables[metric] = Table(
            metric,
            ("variant", "ratio"),
            tuple(f"{ratio:g}" for ratio in ratios),
            tuple(_rows(cells, summary, metric, ratios, shown)),
            counts=tuple(n[ratio] for ratio in ratios),
            best="highest" if better.get(metric, True) else "lowest",
        )
    return tables


def difference_metrics(cells: Cells) -> tuple[str, ...]:
    """What ``cmad`` is compared in; the published scorer swaps truth and prediction for classes only."""
    return PRIMARY if cells.kind == "regression" else COMPARED


def difference_table(cells: Cells) -> Table:
    """``cmad`` minus each other row, averaged over the combinations, with intervals."""
    found = _by_row_and_metric(cells)
    metrics = difference_metrics(cells)
    rows = [
        Row(
            row.name,
            tuple(_difference(found[row.name, m]) for m in metrics),
            POINTS,
            mark=mark(row),
            source=source_id(cells.dataset, row.name),
        )
        for row in _others(cells)
    ]
    return Table(REFERENCE, ("variant", "metric"), metrics, tuple(rows))


def p_table(cells: Cells) -> Table:
    """Sign-flip test over seeds, of the same rows: p, and p after Holm's correction; empty where untested."""
    found = _by_row_and_metric(cells)
    columns = [(metric, column) for metric in difference_metrics(cells) for column in ("p", "p_holm")]
    rows = [
        Row(row.name, tuple(_p(found[row.name, m][column]) for m, column in columns), P)
        for row in _others(cells)
    ]
    return Table("p", ("variant", "metric"), tuple(f"{m} {column}" for m, column in columns), tuple(rows))


def _by_row_and_metric(cells: Cells) -> dict[tuple[str, str], Mapping[Any, Any]]:
    return {(each["variant"], each["metric"]): each for each in cells.differences.to_dict("records")}


def _others(cells: Cells) -> list[Entry]:
    named = set(cells.differences["variant"])
    return [row for row in cells.rows if row.name in named]


def split_table(cells: Cells) -> Table:
    """Samples, combinations and labels of the three splits."""
    splits = cells.manifest["splits"]

    def row(name: str, values: Iterable[float], shown: Shown = COUNT) -> Row:
        return Row(name, tuple(Cell(value) for value in values), shown)

    def each(*path: str) -> list[Any]:
        return [_at(splits[s], path) for s in SPLITS]

    rows = [row("samples", each("n"))]
    rows += [
        row(
            f"without {m}",
            [splits[s]["n"] - splits[s]["combinations"][m[0].upper()] for s in SPLITS],
        )
        for m in MODALITIES
    ]
    rows += [row(f"with {c}", each("combinations", c)) for c in COMBINATIONS]
    if cells.kind == "regression":
        rows += [
            row("label 0", each("labels", "zero")),
            row("positive among the others, %", each("labels", "positive_share"), PERCENT),
            row("mean label", each("labels", "mean"), NUMBER),
            row("standard deviation of labels", each("labels", "deviation"), NUMBER),
        ]
    else:
        for name in cells.manifest["task"]["names"]:
            found = each("labels", name)
            sizes = each("n")
            rows += [
                row(f"label {name}", found),
                row(f"label {name}, %", [f / n for f, n in zip(found, sizes, strict=True)], PERCENT),
            ]
    return Table("splits", ("item", "column"), SPLITS, tuple(rows))


def modality_table(cells: Cells) -> Table:
    """Widths, lengths and what cleaning did, by modality."""
    manifest = cells.manifest

    def row(name: str, values: Iterable[float], shown: Shown = COUNT) -> Row:
        return Row(name, tuple(Cell(value) for value in values), shown)

    lengths = manifest["splits"]["train"]["lengths"]
    return Table(
        "modalities",
        ("item", "column"),
        MODALITIES,
        (
            row("width", (manifest["widths"][m] for m in MODALITIES)),
            row("mean frames in train", (lengths[m]["mean"] for m in MODALITIES), DECIMAL),
            row("most frames in train", (lengths[m]["max"] for m in MODALITIES)),
            row("frames cut", (manifest["cut_frames"][m] for m in MODALITIES)),
            row("non-finite values set to 0 before scaling", (manifest["non_finite"][m] for m in MODALITIES)),
            row("constant columns set to 0", (manifest["constant_columns"][m] for m in MODALITIES)),
        ),
    )


def _rows(
    cells: Cells, summary: pd.DataFrame, metric: str, columns: Sequence[str | float], shown: Shown
) -> list[Row]:
    """The rows of the grid in a summary."""
    return [
        Row(
            row.name,
            row_cells(summary, (metric, row.name), columns),
            shown,
            mark=mark(row),
            source=source_id(cells.dataset, row.name),
        )
        for row in cells.rows
    ]


def row_cells(summary: pd.DataFrame, of: tuple[str, ...], columns: Iterable[str | float]) -> tuple[Cell, ...]:
    """A row of a summary; a column that it lacks has nothing to measure."""
    means, deviations = summary["mean"], summary["std"]
    return tuple(
        Cell(float(means.get((*of, c), NOTHING)), float(deviations.get((*of, c), NOTHING))) for c in columns
    )


def _difference(row: Mapping[Any, Any]) -> Cell:
    return Cell(float(row["difference"]), low=float(row["low"]), high=float(row["high"]))


def _p(value: float) -> Cell | None:
    return None if math.isnan(value) else Cell(value)


def _at(value: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    for name in path:
        value = value[name]
    return value
