"""From the cells of a data set to its tables."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from cmad.combinations import COMBINATIONS, MODALITIES
from cmad.report.load import Cells
from cmad.report.summary import COLUMNS, consistency_summary, counts, drop_summary, score_summary
from cmad.report.table import NOTHING, Cell, Row, Shown, Table
from cmad.scores.bootstrap import COMPARED, REFERENCE
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
_REFERENCES = {"constant": "constant predictor", "ceiling": "Bayes ceiling"}


def combination_tables(cells: Cells) -> dict[str, Table]:
    """The seven combinations and their average, one table for each metric of the task."""
    summary = score_summary(cells)
    references = [name for name in _REFERENCES if name in set(cells.references["variant"])]
    better = METRICS[cells.manifest["task"]["kind"]]
    tables = {}
    for metric in cells.metrics:
        shown = NUMBER if metric in _NO_SHARES else PERCENT
        n = counts(cells.scores, metric, "combination")
        rows = [Row(v, _cells(summary, (metric, v), COLUMNS), shown) for v in cells.variants]
        rows += [
            Row(_REFERENCES[r], _cells(summary, (metric, r), COLUMNS), shown, competes=False)
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
            tuple(Row(v, _cells(summary, (metric, v), COLUMNS), NUMBER) for v in cells.variants),
            counts=(*(n.get(c, 0) for c in COMBINATIONS), None),
            best="lowest",
        )
        for metric in ("mse", "sims")
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
            tuple(Row(v, _cells(summary, (metric, v), ratios), shown) for v in cells.variants),
            counts=tuple(n[ratio] for ratio in ratios),
            best="highest" if better.get(metric, True) else "lowest",
        )
    return tables


def difference_table(cells: Cells) -> Table:
    """``cmad`` minus each other variant, averaged over the combinations, with intervals."""
    found = cells.differences.set_index(["variant", "metric"])
    # The published scorer swaps truth and prediction only for classification.
    metrics = PRIMARY if cells.kind == "regression" else COMPARED
    return Table(
        REFERENCE,
        ("variant", "metric"),
        metrics,
        tuple(
            Row(v, tuple(_difference(found.loc[(v, m)]) for m in metrics), POINTS)
            for v in dict.fromkeys(cells.differences["variant"])
        ),
    )


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


def _cells(summary: pd.DataFrame, of: tuple[str, str], columns: Iterable[str | float]) -> tuple[Cell, ...]:
    """A row of a summary; a column that it lacks has nothing to measure."""
    means, deviations = summary["mean"], summary["std"]
    return tuple(
        Cell(float(means.get((*of, c), NOTHING)), float(deviations.get((*of, c), NOTHING))) for c in columns
    )


def _difference(row: "pd.Series[float]") -> Cell:
    return Cell(float(row["difference"]), low=float(row["low"]), high=float(row["high"]))


def _at(value: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    for name in path:
        value = value[name]
    return value
