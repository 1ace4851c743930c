"""Figures of single predictions: against the truth, by confidence, and which classes are confused."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cmad.combinations import COMBINATIONS
from cmad.config.grid import REFERENCE
from cmad.report.draw import seeds_text
from cmad.report.load import Cells
from cmad.report.style import BLACK, BLUE, GREY, RED, legend_below, sheet

# A bin with fewer records says little.
_FEW_RECORDS = 5


def sample_figures(cells: Cells) -> dict[str, tuple[Callable[[Cells, str, Path], None], str]]:
    """The figures below that the task has: by name, with the variant to show."""
    unified = [row.name for row in cells.rows if not row.customised]
    if not unified:
        return {}
    variant = REFERENCE if REFERENCE in unified else unified[-1]
    figures: dict[str, Callable[[Cells, str, Path], None]] = {"scatter": scatter_figure}
    if cells.kind != "regression":
        figures = {"reliability": reliability_figure}
    if cells.kind == "classes":
        figures["confusion"] = confusion_figure
    return {name: (figure, variant) for name, figure in figures.items()}


def scatter_figure(cells: Cells, variant: str, path: Path) -> None:
    """Predicted score against label, a panel for each combination; of a regression."""
    table = cells.details.scatter
    table = table[table["variant"] == variant]
    reach = float(np.ceil(table[["truth", "score"]].abs().to_numpy().max() * 2) / 2)
    title = f"{cells.dataset}, test: predicted against true score, {variant} (seed {cells.seeds[0]})"
    with _panels(title, path) as (figure, panels):
        for axes, combination in zip(panels, COMBINATIONS, strict=False):
            points = table[table["combination"] == combination]
            axes.set_title(f"{combination} (n = {len(points)})")
            axes.plot([-reach, reach], [-reach, reach], color=BLACK, lw=1, ls=":", label="score = label")
            axes.plot(
                points["truth"],
                points["score"],
                ls="",
                marker="o",
                ms=2.6,
                mew=0,
                color=BLUE,
                alpha=0.45,
                label="one sample",
                rasterized=True,
            )
            if len(points) > 1 and points["truth"].nunique() > 1:
                slope, start = np.polyfit(points["truth"], points["score"], 1)
                ends = np.array([points["truth"].min(), points["truth"].max()])
                axes.plot(ends, start + slope * ends, color=RED, lw=1.6, label="least squares")
                axes.text(0.04, 0.96, f"slope {slope:.2f}", transform=axes.transAxes, va="top", fontsize=8.5)
            axes.set_xlim(-reach, reach)
            axes.set_ylim(-reach, reach)
            axes.set_aspect("equal")
        _labels(panels, "label", "score")
        legend_below(figure, panels[:1], 3)


def reliability_figure(cells: Cells, variant: str, path: Path) -> None:
    """Share of right decisions by their probability, a panel for each combination; not of a regression."""
    table = cells.details.reliability
    table = table[table["variant"] == variant]
    title = f"{cells.dataset}, test: reliability of {variant} ({seeds_text(cells)})"
    with _panels(title, path) as (figure, panels):
        for axes, combination in zip(panels, COMBINATIONS, strict=False):
            here = table[(table["combination"] == combination) & (table["n"] > 0)]
            total = int(here["n"].sum())
            n, labels = total // max(len(cells.seeds), 1), len(cells.manifest["task"]["names"])
            size = f"n = {n // labels}, {labels} labels each" if cells.kind == "binary" else f"n = {n}"
            axes.set_title(f"{combination} ({size})")
            axes.plot([0, 1], [0, 1], color=BLACK, lw=1, ls=":", label="as sure as right")
            # Bins of all seeds together, each record counting alike.
            summed = (
                here.assign(right=here["accuracy"] * here["n"], sure=here["confidence"] * here["n"])
                .groupby("low")[["right", "sure", "n"]]
                .sum()
            )
            axes.bar(
                summed.index,
                summed["n"] / max(total, 1),
                0.1,
                align="edge",
                color=GREY,
                alpha=0.35,
                label="share of records",
            )
            enough = summed[summed["n"] >= _FEW_RECORDS]
            x, y = enough["sure"] / enough["n"], enough["right"] / enough["n"]
            axes.plot(x, y, color=BLUE, marker="o", label="share that is right")
            if total:
                error = float((summed["right"] - summed["sure"]).abs().sum() / total)
                axes.text(
                    0.04,
                    0.96,
                    f"calibration error {100 * error:.1f} %",
                    transform=axes.transAxes,
                    va="top",
                    fontsize=8,
                )
            axes.set_xlim(0, 1)
            axes.set_ylim(0, 1.02)
        _labels(panels, "probability of the decision", "share")
        legend_below(figure, panels[:1], 3)


def confusion_figure(cells: Cells, variant: str, path: Path) -> None:
    """Of each true class the shares predicted, mean over seeds, a panel for each combination; of classes."""
    table = cells.details.confusion
    table = table[table["variant"] == variant]
    names = list(cells.manifest["task"]["names"])
    title = f"{cells.dataset}, test: confusion of {variant}, percent of each true class ({seeds_text(cells)})"
    with _panels(title, path) as (_, panels):
        for axes, combination in zip(panels, COMBINATIONS, strict=False):
            here = table[table["combination"] == combination]
            counts = (
                here.groupby(["true", "predicted"])["n"].sum().unstack().reindex(names)[names].to_numpy(float)
                if len(here)
                else np.zeros((len(names),) * 2)
            )
            totals = counts.sum(axis=1, keepdims=True)
            shares = 100 * np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
            axes.grid(visible=False)
            axes.imshow(shares, cmap="Greys", vmin=0, vmax=100, aspect="equal")
            for (i, j), share in np.ndenumerate(shares):
                axes.text(
                    j,
                    i,
                    f"{share:.0f}",
                    ha="center",
                    va="center",
                    fontsize=8.5,
                    color="white" if share > 55 else "black",
                )
            axes.set_xticks(range(len(names)), names, fontsize=8, rotation=0 if len(names) < 5 else 45)
            axes.set_yticks(range(len(names)), names, fontsize=8)
            axes.set_title(f"{combination} (n = {int(totals.sum()) // max(len(cells.seeds), 1)})")
        _labels(panels, "predicted", "true")


@contextmanager
def _panels(title: str, path: Path) -> Iterator[tuple[Figure, list[Axes]]]:
    """Two lines of panels, one for each combination."""
    with sheet(path, title, 11, 6) as figure:
        panels = list(figure.subplots(2, 4).flat)
        panels[-1].set_axis_off()
        yield figure, panels[:-1]


def _labels(panels: list[Axes], x: str, y: str) -> None:
    """At the outer panels: four above, three below."""
    for axes in (*panels[4:], panels[3]):
        axes.set_xlabel(x)
    for axes in (panels[0], panels[4]):
        axes.set_ylabel(y)
