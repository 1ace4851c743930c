"""The one look of all figures: readable in grey and by colour-blind readers, the same bytes each time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Okabe and Ito's colours without the yellow, which is too pale for lines on white.
BLUE, RED, GREEN, BLACK, ORANGE, PURPLE, SKY = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#000000",
    "#E69F00",
    "#CC79A7",
    "#56B4E9",
)
GREY = "#999999"

# What a grid with many variants puts in front of the others.
EMPHASISED = ("cmad", "tea", "dropout")

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e5e5e5",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.handlelength": 3.2,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "figure.dpi": 110,
    "figure.titlesize": 11,
}


@dataclass(frozen=True)
class Look:
    """How one series is drawn: never told apart by its colour alone."""

    colour: str
    marker: str
    line: str | tuple[int, tuple[float, ...]]


_LOOKS = (
    Look(BLUE, "o", "-"),
    Look(RED, "s", "--"),
    Look(GREEN, "^", "-."),
    Look(BLACK, "D", ":"),
    Look(ORANGE, "v", (0, (5, 1))),
    Look(PURPLE, "P", (0, (3, 1, 1, 1))),
    Look(SKY, "X", (0, (1, 1))),
)


def looks(names: Sequence[str]) -> dict[str, Look]:
    """A look for each of the names, at most seven, in their order."""
    return dict(zip(names, _LOOKS, strict=False))


def variant_looks(variants: Sequence[str]) -> dict[str, Look]:
    """Looks of the variants that stand out; the others are drawn alike, thin and grey.

    Up to seven variants all stand out; of more, those of ``EMPHASISED``, or the first three.
    ``EMPHASISED`` look the same in every grid.
    """
    fixed = looks(EMPHASISED)
    rest = [v for v in variants if v not in fixed]
    if len(variants) > len(_LOOKS):
        return {v: look for v, look in fixed.items() if v in variants} or looks(rest[:3])
    free = [look for look in _LOOKS if look not in fixed.values()]
    free += [look for v, look in fixed.items() if v not in variants]
    found = fixed | dict(zip(rest, free, strict=False))
    return {v: look for v, look in found.items() if v in variants}


@contextmanager
def sheet(path: Path, title: str, width: float, height: float) -> Iterator[Figure]:
    """A figure to draw on, saved to ``path`` at the end.

    Args:
        title: above everything.
        width, height: in inches.
    """
    with mpl.rc_context():
        # Whatever the user's own settings are, the figure is the same.
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        figure = Figure(figsize=(width, height), layout="constrained")
        figure.suptitle(title)
        yield figure
        # Not savefig, which draws twice. Without the name and version of the program that wrote it.
        FigureCanvasAgg(figure).print_png(path, metadata={"Software": None})  # type: ignore[no-untyped-call]


def legend_below(figure: Figure, axes: Axes, columns: int) -> None:
    """One legend for all panels, outside of them."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)
