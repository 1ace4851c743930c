"""The one look of all figures: readable in grey and by colour-blind readers, the same bytes each time."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
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
# From Tol's muted scheme, for a comparison of more than seven systems.
INDIGO, WINE, OLIVE, TEAL, ROSE = "#332288", "#882255", "#999933", "#44AA99", "#CC6677"

# Up to so many series, each has a look of its own in every figure.
FEW = 7

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
    # Text stays text: smaller files that can be searched.
    "svg.fonttype": "none",
    # The names of parts of an SVG, which are random otherwise.
    "svg.hashsalt": "cmad",
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
_MORE_LOOKS = (
    Look(INDIGO, "<", (0, (4, 1, 1, 1, 1, 1))),
    Look(WINE, "p", (0, (2, 1))),
    Look(OLIVE, "h", (0, (6, 2, 2, 2))),
    Look(TEAL, ">", (0, (8, 2))),
    Look(ROSE, "*", (0, (3, 2, 1, 2))),
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
    if len(variants) > FEW:
        return {v: look for v, look in fixed.items() if v in variants} or looks(rest[:3])
    free = [look for look in _LOOKS if look not in fixed.values()]
    free += [look for v, look in fixed.items() if v not in variants]
    found = fixed | dict(zip(rest, free, strict=False))
    return {v: look for v, look in found.items() if v in variants}


def system_looks(systems: Sequence[str]) -> dict[str, Look]:
    """A look for each of up to twelve systems, and none for those after; ``EMPHASISED`` look as ever."""
    fixed = looks(EMPHASISED)
    free = [look for look in (*_LOOKS, *_MORE_LOOKS) if look not in fixed.values()]
    rest = [name for name in dict.fromkeys(systems) if name not in fixed]
    found = fixed | dict(zip(rest, free, strict=False))
    return {name: look for name, look in found.items() if name in systems}


@contextmanager
def sheet(path: Path, title: str, width: float, height: float) -> Iterator[Figure]:
    """A figure to draw on, saved to ``path`` (a PNG), and as SVG beside it, at the end.

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
        # What the PNG was laid out like: solving it again would take as long as drawing.
        figure.set_layout_engine("none")
        bare = {"Date": None, "Creator": None}
        FigureCanvasSVG(figure).print_svg(path.with_suffix(".svg"), metadata=bare)  # type: ignore[no-untyped-call]


def legend_below(figure: Figure, panels: Iterable[Axes], columns: int) -> None:
    """One legend for the series of these panels, each name once, outside of them."""
    found = {
        label: handle
        for axes in panels
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=columns)
