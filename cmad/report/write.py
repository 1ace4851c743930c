"""Everything the report stage leaves, as files."""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cmad.report.comparison import comparison_frame
from cmad.report.curves import training_figure, weight_figure
from cmad.report.drops import drop_figure, gap_figure, has_gaps
from cmad.report.figures import combination_figure
from cmad.report.load import Cells
from cmad.report.series import drop_series, training_series, weight_series, weighted_variant
from cmad.report.summary import headline
from cmad.report.table import tidy
from cmad.report.tables import (
    combination_tables,
    consistency_tables,
    difference_metrics,
    drop_tables,
    modality_table,
    split_table,
)
from cmad.scores.bootstrap import REFERENCE


def write_tables(cells: Cells, folder: Path) -> None:
    """A data set's tables as CSV, numbers with all their digits.

    ``<ds>_systems.csv`` see ``comparison_frame``; ``_combinations.csv``, ``_drop_ratios.csv`` and
    ``_consistency.csv`` hold metric, variant, combination or ratio, n, mean, std;
    ``_differences.csv`` reference, variant, metric, difference, low, high, p, p_holm; ``_data.csv``
    table, item, column, value. Of a task with classes ``_classes.csv`` holds variant, seed, combination,
    class, metric, value, n.
    """
    scored = {"n": "n", "value": "mean", "std": "std"}
    differences = cells.differences[cells.differences["metric"].isin(difference_metrics(cells))]
    differences = differences.drop(columns="confidence").assign(reference=REFERENCE)
    frames = {
        "systems": comparison_frame(cells),
        "combinations": tidy(list(combination_tables(cells).values()), "metric", scored),
        "drop_ratios": tidy(list(drop_tables(cells).values()), "metric", scored),
        "consistency": tidy(list(consistency_tables(cells).values()), "metric", scored),
        "differences": differences[["reference", *differences.columns.drop("reference")]],
        "data": tidy([split_table(cells), modality_table(cells)], "table", {"value": "value"}),
    }
    if not cells.classes.empty:
        frames["classes"] = cells.classes
    for name, frame in frames.items():
        _write_csv(frame, folder / f"{cells.dataset}_{name}.csv")


def write_figures(cells: Cells, folder: Path) -> None:
    """A data set's figures as PNG, named ``<ds>_<figure>.png`` as the report expects them."""

    def path(name: str) -> Path:
        return folder / f"{cells.dataset}_{name}.png"

    for metric in ("accuracy", "f1"):
        combination_figure(cells, metric, path(metric))
    if len(cells.drops):
        drop_figure(cells, path("drop_ratios"))
    if has_gaps(cells):
        gap_figure(cells, path("drop_gaps"))
    variant = weighted_variant(cells)
    if variant is not None:
        weight_figure(cells, variant, path("mar_weights"))
    training_figure(cells, path("training"))


def write_series(of: Sequence[Cells], folder: Path) -> None:
    """The series of all data sets that ``dvc plots`` shows: training, mar_weights, drop_ratios."""
    series = {"training": training_series, "mar_weights": weight_series, "drop_ratios": drop_series}
    for name, build in series.items():
        _write_csv(build(of), folder / f"{name}.csv")


def metrics_json(of: Sequence[Cells]) -> str:
    """{data set: {variant: {accuracy, f1}}}, see ``headline``."""
    return json.dumps({cells.dataset: headline(cells) for cells in of}, indent=2) + "\n"


def _write_csv(frame: pd.DataFrame, path: Path) -> None:
    frame.to_csv(path, index=False, lineterminator="\n")
