"""Figure of scores by drop ratio, a panel for each system with its band over seeds (supplement, Figure 7)."""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes

from cmad.config.grid import REFERENCE
from cmad.entries import Entry
from cmad.report.draw import seeds_text
from cmad.report.drops import drawn_rows
from cmad.report.figures import NAMES
from cmad.report.load import Cells
from cmad.report.style import BLUE, GREY, RED, Look, legend_below, sheet
from cmad.report.summary import counts, drop_summary, part
from cmad.report.systems import shown

# Panels beside each other.
_COLUMNS = 4
_LOOKS = {"accuracy": Look(BLUE, "o", "-"), "f1": Look(RED, "s", "--")}


def band_figure(cells: Cells, path: Path) -> None:
    """Means with bands of one deviation over seeds; behind them, in grey, the means of ``cmad``."""
    rows = drawn_rows(cells)
    summary = drop_summary(cells) * 100
    n = max(counts(cells.drops, "accuracy", "ratio").values())
    title = f"{cells.dataset}, complete test samples (n = {n}): systems by drop ratio ({seeds_text(cells)})"
    columns = min(_COLUMNS, len(rows))
    lines = -(-len(rows) // columns)
    with sheet(path, title, 1.2 + 2.4 * columns, 1.2 + 2.1 * lines) as figure:
        panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        for axes, row in zip(panels.flat, rows, strict=False):
            _panel(axes, summary, row)
        for axes in panels.flat[len(rows) :]:
            axes.set_axis_off()
        for axes in panels.flat[max(0, len(rows) - columns) : len(rows)]:
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("share of frames dropped")
        for of_line in panels:
            of_line[0].set_ylabel("percent")
        # The reference's own panel lacks the grey line.
        legend_below(figure, panels.flat, 4)


def _panel(axes: Axes, summary: pd.DataFrame, row: Entry) -> None:
    axes.set_title(f"{shown(row)} (C)" if row.customised else shown(row))
    known = summary.index.get_level_values("variant")
    for metric, look in _LOOKS.items():
        if row.name != REFERENCE and REFERENCE in known:
            of_reference = part(summary, metric, REFERENCE)["mean"]
            label = "CMAD, both" if metric == "f1" else None
            axes.plot(of_reference.index, of_reference, color=GREY, ls=look.line, lw=1, zorder=1, label=label)
        own = part(summary, metric, row.name)
        mean, deviation = own["mean"], own["std"]
        axes.plot(
            mean.index,
            mean,
            color=look.colour,
            ls=look.line,
            marker=look.marker,
            ms=2.5,
            lw=1.2,
            label=NAMES[metric],
        )
        if deviation.notna().any():
            band = (mean - deviation, mean + deviation)
            label = "± one deviation over seeds" if metric == "f1" else None
            axes.fill_between(mean.index, *band, color=look.colour, alpha=0.25, lw=0, zorder=1.5, label=label)
