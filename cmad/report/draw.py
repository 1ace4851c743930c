"""What all figures draw alike."""

from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from cmad.report.load import Cells
from cmad.report.style import GREY, Look


def seeds_text(cells: Cells) -> str:
    """The seeds, for a figure's title."""
    return f"seed{'s' * (len(cells.seeds) > 1)} {', '.join(map(str, cells.seeds))}"


def draw_bands(
    axes: Axes, series: Mapping[str, pd.DataFrame], found: Mapping[str, Look], banded: Collection[str]
) -> None:
    """Means as lines with bands of one standard deviation; names without a look thin and grey.

    Args:
        series: by name, indexed by x: mean, std.
        found: looks of the names that stand out; the first is drawn on top.
        banded: which of those have a band.
    """
    others = [series[name]["mean"] for name in series if name not in found]
    for i, mean in enumerate(others):
        label = "others" if i == 0 else None
        axes.plot(mean.index, mean, color=GREY, lw=0.8, zorder=1, label=label)
    for i, (name, look) in enumerate(found.items()):
        if name in series:
            mean, deviation = series[name]["mean"], series[name]["std"]
            draw_line(axes, mean, name, look, top=3 - i / len(found))
            if name in banded and deviation.notna().any():
                band = (mean - deviation, mean + deviation)
                axes.fill_between(mean.index, *band, color=look.colour, alpha=0.15, lw=0, zorder=1.5)


def draw_line(axes: Axes, values: "pd.Series[float]", name: str, look: Look, top: float = 2) -> None:
    """Values against their index as a line with about ten markers."""
    line: dict[str, Any] = {"color": look.colour, "ls": look.line, "marker": look.marker}
    axes.plot(values.index, values, markevery=max(1, len(values) // 11), zorder=top, label=name, **line)
