"""Everything the report stage leaves, as files."""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cmad.config.grid import REFERENCE
from cmad.paper import Published
from cmad.report.ablations import ABLATIONS, ablation_tables
from cmad.report.ceiling import ceiling_figure
from cmad.report.comparison import comparison_frame, comparison_grid
from cmad.report.curves import training_figure, weight_figure
from cmad.report.drop_bands import band_figure
from cmad.report.drops import all_banded, drop_figure, gap_figure, has_gaps
from cmad.report.figures import combination_figure
from cmad.report.latex import latex, latex_pairs, tabular
from cmad.report.load import Cells
from cmad.report.pairs import pair_figure, pair_variants
from cmad.report.paper import paper_frame, paper_latex
from cmad.report.predicted import sample_figures
from cmad.report.projection import projected_variants, projection_figure
from cmad.report.series import drop_series, training_series, weight_series, weighted_variant
from cmad.report.summary import headline
from cmad.report.sweeps import sweep_figure, sweep_series
from cmad.report.table import tidy
from cmad.report.tables import (
    combination_tables,
    consistency_tables,
    difference_metrics,
    difference_table,
    drop_tables,
    modality_table,
    split_table,
)
from cmad.scores.metrics import PRIMARY


def write_tables(cells: Cells, folder: Path, published: Sequence[Published] = ()) -> None:
    """A data set's tables as CSV, numbers with all their digits, and in LaTeX as the report shows them.

    ``<ds>_systems.csv`` see ``comparison_frame``; ``_combinations.csv``, ``_drop_ratios.csv`` and
    ``_consistency.csv`` hold metric, variant, combination or ratio, n, mean, std;
    ``_differences.csv`` reference, variant, metric, difference, low, high, p, p_holm; ``_data.csv``
    table, item, column, value; ``_paper.csv``, only where the paper has the data set, see ``paper_frame``;
    ``_sweeps.csv``, only where there are sweeps, see ``sweep_series``;
    of a task with classes ``_classes.csv`` variant, seed, combination, class, metric, value, n.
    LaTeX is in ``<ds>_<table>.tex``, to be included.
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
    paper = paper_frame(cells, published)
    if len(paper):
        frames["paper"] = paper
    if len(cells.sweeps):
        frames["sweeps"] = sweep_series(cells)
    if not cells.classes.empty:
        frames["classes"] = cells.classes
    for name, frame in frames.items():
        _write_csv(frame, folder / f"{cells.dataset}_{name}.csv")
    for name, text in _latex(cells, published).items():
        (folder / f"{cells.dataset}_{name}.tex").write_text(text, encoding="utf-8")


def _latex(cells: Cells, published: Sequence[Published]) -> dict[str, str]:
    """The tables of results in LaTeX, by name."""
    # Labels name metrics too, and not every label can name a file.
    of_labels = {f"{metric}_{label}" for metric in PRIMARY for label in cells.manifest["task"]["names"]}
    single = {name: table for name, table in combination_tables(cells).items() if name not in of_labels}
    if len(cells.consistency):
        single |= consistency_tables(cells)
    if len(cells.drops):
        drops = drop_tables(cells)
        single |= {f"drop_ratios_{metric}": drops[metric] for metric in PRIMARY}
    if len(cells.differences):
        single["differences"] = difference_table(cells)
    found = {"systems": tabular(comparison_grid(cells))} | {
        name: latex(table) for name, table in single.items()
    }
    for name in ABLATIONS:
        pair = ablation_tables(cells, name)
        if pair:
            found[name] = latex_pairs(*pair)
    return found | {f"paper_{name}": text for name, text in paper_latex(cells, published).items()}


def write_figures(cells: Cells, folder: Path) -> None:
    """A data set's figures as PNG and SVG, named ``<ds>_<figure>.png`` as the report expects them."""

    def path(name: str) -> Path:
        return folder / f"{cells.dataset}_{name}.png"

    for metric in ("accuracy", "f1"):
        combination_figure(cells, metric, path(metric))
    if len(cells.drops):
        drop_figure(cells, path("drop_ratios"))
        if not all_banded(cells):
            band_figure(cells, path("drop_bands"))
    if has_gaps(cells):
        gap_figure(cells, path("drop_gaps"))
    if cells.has_ceiling:
        ceiling_figure(cells, path("ceiling"))
    if len(cells.sweeps):
        sweep_figure(cells, path("sweeps"))
    if pair_variants(cells):
        pair_figure(cells, path("pairs"))
    if projected_variants(cells):
        projection_figure(cells, path("projection"))
    for name, (figure, of) in sample_figures(cells).items():
        figure(cells, of, path(name))
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
