"""Figures of scores by combination."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from cmad.paper import AVERAGE
from cmad.report.draw import seeds_text
from cmad.report.load import Cells
from cmad.report.style import BLACK, GREY, Look, sheet, variant_looks
from cmad.report.summary import COLUMNS, counts, score_summary, with_average

NAMES = {"accuracy": "accuracy", "f1": "F1"}

OTHER = Look("#555555", "o", "-")
_SEED: dict[str, Any] = {"ls": "", "marker": "|", "ms": 7}
_MEAN: dict[str, Any] = {"lw": 1.2, "capsize": 2.5}
_CONSTANT: dict[str, Any] = {"ls": ":", "lw": 1}
_CEILING: dict[str, Any] = {"ls": "--", "lw": 1}


def combination_figure(cells: Cells, metric: str, path: Path) -> None:
    """A panel for each combination, a line for each variant: seeds, their mean and deviation."""
    found = variant_looks(cells.variants)
    means = score_summary(cells)["mean"] * 100
    seeds = with_average(cells.scores)
    seeds = seeds[seeds["metric"] == metric]
    values = {
        key: group.to_numpy() * 100 for key, group in seeds.groupby(["combination", "variant"])["value"]
    }
    n = counts(cells.scores, metric, "combination")
    title = f"{cells.dataset}, test: {NAMES[metric]} by combination ({seeds_text(cells)})"
    with sheet(path, title, 11, 3.0 + 0.3 * len(cells.variants)) as figure:
        panels = figure.subplots(2, 4, sharey=True)
        panels[0, 0].set_yticks(range(len(cells.variants)), cells.variants)
        # Room under the last row for the note on the constant predictor.
        panels[0, 0].set_ylim(len(cells.variants) + 0.1, -0.6)
        for axes, combination in zip(panels.flat, COLUMNS, strict=True):
            size = "mean of the seven" if combination == AVERAGE else f"n = {n.get(combination, 0)}"
            axes.set_title(f"{combination.rstrip('.')} ({size})")
            if (combination, cells.variants[0]) in values:
                of_variant = {v: values[combination, v] for v in cells.variants}
                _points(axes, of_variant, found)
                _references(axes, means.xs((metric, combination), level=("metric", "combination")))
            else:
                axes.set_xticks([])
        for axes in panels[1]:
            axes.set_xlabel(f"{NAMES[metric]} (%)")
        figure.legend(handles=_point_legend(cells), loc="outside lower center", ncols=4)


def _points(axes: Axes, of_variant: Mapping[str, NDArray[np.float64]], found: Mapping[str, Look]) -> None:
    """One row of points for each variant, from its scores [seeds] in percent."""
    for row, (variant, values) in enumerate(of_variant.items()):
        look = found.get(variant, OTHER)
        spread = None
        if len(values) > 1:
            axes.plot(values, np.full(len(values), row), color=GREY, **_SEED)
            spread = values.std(ddof=1)
        axes.errorbar(values.mean(), row, xerr=spread, color=look.colour, marker=look.marker, **_MEAN)
    axes.xaxis.set_major_locator(MaxNLocator(5))


def _references(axes: Axes, means: "pd.Series[float]") -> None:
    """Lines of the ceiling and of the constant predictor; a constant far off is only written down."""
    if "ceiling" in means:
        axes.axvline(means["ceiling"], color=BLACK, **_CEILING)
    low, high = axes.get_xlim()
    constant = means["constant"]
    if constant > low - (high - low) / 2:
        axes.axvline(constant, color=BLACK, **_CONSTANT)
    else:
        text = f"\N{BLACK LEFT-POINTING SMALL TRIANGLE} constant {constant:.1f}"
        axes.text(0.01, 0.01, text, transform=axes.transAxes, fontsize=7.5, va="bottom")


def _point_legend(cells: Cells) -> list[Line2D]:
    several = len(cells.seeds) > 1
    label, line = ("mean ± standard deviation", "-") if several else ("score of the one seed", "")
    handles = [Line2D([], [], color=GREY, label="one seed", **_SEED)] if several else []
    handles.append(Line2D([], [], color=OTHER.colour, marker="o", lw=1.2, ls=line, label=label))
    handles.append(Line2D([], [], color=BLACK, label="constant predictor", **_CONSTANT))
    if cells.has_ceiling:
        handles.append(Line2D([], [], color=BLACK, label="Bayes ceiling", **_CEILING))
    return handles
