"""Pictures of lengths and labels."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from cmad.combinations import MODALITIES
from cmad.inspection.look import Found
from cmad.report.style import legend_below, looks, sheet
from cmad.splits import SPLITS

_LOOKS = looks(SPLITS)
_BINS = 30


def length_picture(title: str, found: Found, path: Path) -> None:
    """How long the streams are: a panel for each modality, a line for each split."""
    with sheet(path, f"{title}: lengths", 10, 3.4) as figure:
        panels = figure.subplots(1, 3)
        for axes, modality in zip(panels, MODALITIES, strict=True):
            lengths = found.lengths[modality]
            axes.set_title(modality)
            axes.set_xlabel(found.language_unit if modality == "language" else "frames")
            longest = int(lengths.max(initial=1))
            edges = np.unique(np.linspace(0, longest + 1, min(_BINS, longest + 1) + 1).astype(int))
            for name in SPLITS:
                own = lengths[(found.splits == name) & (lengths > 0)]
                _steps(axes, own, edges, name)
        panels[0].set_ylabel("share of the samples that have it (%)")
        legend_below(figure, panels, len(SPLITS))


def label_picture(title: str, found: Found, path: Path) -> None:
    """How the labels are spread, by split."""
    with sheet(path, f"{title}: labels", 7, 3.4) as figure:
        axes = figure.subplots()
        if found.kind == "regression":
            low, high = float(found.labels.min()), float(found.labels.max())
            edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
            for name in SPLITS:
                _steps(axes, found.labels[found.splits == name], edges, name)
            axes.set_xlabel("label")
        else:
            _bars(axes, found)
        axes.set_ylabel("share of the split (%)")
        legend_below(figure, [axes], len(SPLITS))


def _steps(axes: Axes, values: np.ndarray, edges: np.ndarray, name: str) -> None:
    if len(values):
        shares = 100 * np.histogram(values, edges)[0] / len(values)
        look = _LOOKS[name]
        axes.stairs(shares, edges, color=look.colour, ls=look.line, lw=1.6, label=name)


def _bars(axes: Axes, found: Found) -> None:
    places = np.arange(len(found.names))
    sizes = dict(zip(SPLITS, found.counts(), strict=True))
    for i, name in enumerate(s for s in SPLITS if s in found.label_balance):
        shares = [100 * found.label_balance[name][label] / sizes[name] for label in found.names]
        axes.bar(places + 0.27 * (i - 1), shares, width=0.25, color=_LOOKS[name].colour, label=name)
    axes.set_xticks(places, found.names, rotation=30 if len(found.names) > 4 else 0)
