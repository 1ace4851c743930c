"""The figure of growth: a panel for each size, time above, memory below."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, NullLocator

from benchmarks.axes import Axis
from cmad.files import whole_file
from cmad.report.style import BLUE, GREY, RED, sheet

# Not in reports/figures, which is an output of the pipeline and emptied by it.
FIGURE = Path("reports/benchmark_growth.svg")

# An axis, the cost at each of its values, and the exponent fitted to them.
Fitted = tuple[Axis, Sequence[float], float]


def draw(times: Sequence[Fitted], memory: Sequence[Fitted], path: Path = FIGURE) -> None:
    """Draw and save.

    Args:
        times: seconds.
        memory: MiB.
    """
    title = "Growth: measured, and the formula's upper bound (grey) through the largest"
    with tempfile.TemporaryDirectory() as name:
        # An SVG stands beside the PNG, which nobody asks for here.
        drawn = Path(name) / "growth.png"
        with sheet(drawn, title, 2.6 * len(times), 5.4) as figure:
            _panels(figure, times, memory)
        with whole_file(path) as aside:
            shutil.copy(drawn.with_suffix(".svg"), aside)


def _panels(figure: Figure, times: Sequence[Fitted], memory: Sequence[Fitted]) -> None:
    panels = figure.subplots(2, len(times), squeeze=False)
    for column, (axis, costs, found) in enumerate(times):
        _panel(panels[0, column], axis, costs, found, axis.time, BLUE)
        panels[0, column].set_title(axis.name)
    for column, (axis, costs, found) in enumerate(memory):
        _panel(panels[1, column], axis, costs, found, axis.memory, RED)
        panels[1, column].set_xlabel(axis.name)
    panels[0, 0].set_ylabel("processor time, s")
    panels[1, 0].set_ylabel("peak memory, MiB")


def _panel(axes: Axes, axis: Axis, costs: Sequence[float], found: float, bound: float, colour: str) -> None:
    largest, highest = axis.values[-1], costs[-1]
    formula = [highest * (value / largest) ** bound for value in axis.values]
    axes.loglog(axis.values, formula, color=GREY, linestyle="--", linewidth=1.2)
    axes.loglog(axis.values, costs, color=colour, marker="o")
    axes.set_ylim(min(costs) / 2, max(costs) * 2)
    axes.text(0.05, 0.95, f"exponent {found:.2f}\nbound {bound:.0f}", transform=axes.transAxes, va="top")
    shown = axis.values if len(axis.values) <= 6 else axis.values[::2]
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: _short(value, axis.values[-1]))
    # Within two decades their beginnings would be too few marks.
    if max(costs) < 100 * min(costs):
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def _short(value: float, largest: float) -> str:
    """A size as its mark: thousands where there are many."""
    return f"{value / 1024:.0f}k" if largest > 2000 else f"{value:.0f}"
