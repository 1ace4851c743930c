"""Figure of similarities between student and teacher (supplement, Figure 8)."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from cmad.report.draw import seeds_text
from cmad.report.load import Cells
from cmad.report.style import BLUE, RED, legend_below, sheet

# Variants in the order of the panels.
PANELS = {
    "cmad": "with the contrastive term (cmad)",
    "cafd_no_contrast": "without it (cafd_no_contrast)",
    "no_cafd": "without CAFD (no_cafd)",
    "dropout": "task loss alone (dropout)",
}
# Dashes tell the two apart in grey.
_PAIRS = {"positive": (BLUE, "-", "same sample (positive)"), "negative": (RED, "--", "others (negative)")}


def pair_variants(cells: Cells) -> list[str]:
    """The variants of the figure that are in the grid; none where nothing was measured."""
    return [name for name in PANELS if name in cells.variants] if len(cells.details.pairs) else []


def pair_means(cells: Cells) -> Mapping[tuple[str, str], float]:
    """Mean similarity by variant and pair, over seeds, from the middles of the bins."""
    table = cells.details.pairs
    middle = table["low"] + _width(table) / 2
    weighed = table.assign(mean=middle * table["share"])
    per_seed = weighed.groupby(["variant", "pair", "seed"])["mean"].sum().groupby(["variant", "pair"]).mean()
    found = per_seed.reset_index()
    return dict(zip(zip(found["variant"], found["pair"], strict=True), found["mean"], strict=True))


def pair_figure(cells: Cells, path: Path) -> None:
    """Histograms of cosine(E^s, E^t) over all combinations, a panel for each variant."""
    variants = pair_variants(cells)
    table, means = cells.details.pairs, pair_means(cells)
    n = cells.manifest["splits"]["test"]["complete"]
    title = (
        f"{cells.dataset}, test (n = {n}, all combinations): similarity of E^s and E^t ({seeds_text(cells)})"
    )
    with sheet(path, title, 10, 1.2 + 2.4 * (-(-len(variants) // 2))) as figure:
        panels = figure.subplots(-(-len(variants) // 2), 2, sharex=True, sharey=True, squeeze=False)
        for axes in panels.flat[len(variants) :]:
            axes.set_axis_off()
        for axes, variant in zip(panels.flat, variants, strict=False):
            _panel(axes, table[table["variant"] == variant], {p: means[variant, p] for p in _PAIRS})
            axes.set_title(PANELS[variant])
        filled = table.loc[table["variant"].isin(variants) & (table["share"] > 0), "low"]
        panels[0, 0].set_xlim(filled.min() - _width(table), filled.max() + 2 * _width(table))
        for axes in panels[-1]:
            axes.set_xlabel("cosine of a student's and a teacher's representation")
        for axes in panels[:, 0]:
            axes.set_ylabel("share of pairs (%)")
        legend_below(figure, panels.flat, 4)


def _panel(axes: Axes, table: pd.DataFrame, means: Mapping[str, float]) -> None:
    width = _width(table)
    for i, (pair, (colour, line, label)) in enumerate(_PAIRS.items()):
        by_bin = table[table["pair"] == pair].groupby("low")["share"].agg(["mean", "std"]) * 100
        low = by_bin.index.to_numpy(float)
        axes.bar(low, by_bin["mean"], width, align="edge", color=colour, alpha=0.35, label=label, lw=0)
        edges = np.append(low, low[-1] + width)
        outline = np.append(by_bin["mean"], by_bin["mean"].iloc[-1])
        axes.step(edges, outline, where="post", color=colour, lw=1.2, ls=line)
        mean = means[pair]
        axes.axvline(mean, color=colour, lw=1.4, ls=line)
        text = f"mean {mean:.2f} ({pair})"
        axes.text(0.02, 0.95 - 0.11 * i, text, color=colour, transform=axes.transAxes, va="top", fontsize=8.5)
    gap = means["positive"] - means["negative"]
    axes.text(0.02, 0.73, f"gap {gap:.2f}", transform=axes.transAxes, va="top", fontsize=8.5)


def _width(table: pd.DataFrame) -> float:
    lows = np.unique(table["low"])
    return float(lows[1] - lows[0]) if len(lows) > 1 else 2.0
