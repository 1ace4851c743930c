"""Figure of the gap to the best possible predictor, known for generated data."""

from pathlib import Path
from typing import Any

import numpy as np

from cmad.report.draw import seeds_text
from cmad.report.drops import drawn_rows, row_looks
from cmad.report.figures import NAMES
from cmad.report.load import Cells
from cmad.report.style import GREY, Look, legend_below, sheet
from cmad.report.summary import COLUMNS, counts, score_summary
from cmad.report.systems import shown


def ceiling_figure(cells: Cells, path: Path) -> None:
    """Ceiling minus score by combination, a point for each unified row, its deviation over seeds."""
    rows = [row for row in drawn_rows(cells) if not row.customised]
    found = row_looks(rows)
    summary = score_summary(cells) * 100
    means, stds = summary["mean"], summary["std"]
    n = max(counts(cells.scores, "accuracy", "combination").values())
    title = f"{cells.dataset}, test (n up to {n}): points below the Bayes ceiling ({seeds_text(cells)})"
    with sheet(path, title, 11, 6.4) as figure:
        panels = figure.subplots(2, 1, sharex=True)
        for axes, metric in zip(panels, NAMES, strict=True):
            axes.axhline(0, color="black", lw=1, ls="--")
            for i, row in enumerate(rows):
                look = found.get(shown(row), Look(GREY, "o", "-"))
                # Side by side within each combination.
                shift = 0.8 * ((i + 0.5) / len(rows) - 0.5)
                points: dict[str, Any] = {
                    "color": look.colour,
                    "marker": look.marker,
                    "ls": "",
                    "capsize": 2,
                    "lw": 1,
                }
                kept = [(j, c) for j, c in enumerate(COLUMNS) if (metric, row.name, c) in means.index]
                best = [float(means[metric, "ceiling", c]) for _, c in kept]
                gaps = np.array(best) - [float(means[metric, row.name, c]) for _, c in kept]
                spread = [float(stds[metric, row.name, c]) for _, c in kept]
                several = len(cells.seeds) > 1
                axes.errorbar(
                    [j + shift for j, _ in kept],
                    gaps,
                    spread if several else None,
                    label=shown(row),
                    **points,
                )
            axes.set_ylabel(f"{NAMES[metric]}: points below")
            axes.set_xticks(range(len(COLUMNS)), [c.rstrip(".") for c in COLUMNS])
            axes.grid(visible=False, axis="x")
            for edge in range(1, len(COLUMNS)):
                axes.axvline(edge - 0.5, color="#e5e5e5", lw=0.7)
            axes.set_xlim(-0.5, len(COLUMNS) - 0.5)
        legend_below(figure, panels[:1], 6)
