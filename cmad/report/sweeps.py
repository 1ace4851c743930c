"""Figures and table of sweeps (supplement, Figures 10 and 11)."""

from pathlib import Path
from typing import Any
from unicodedata import lookup

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from cmad.config.grid import REFERENCE
from cmad.paper import AVERAGE
from cmad.report.draw import seeds_text
from cmad.report.figures import NAMES
from cmad.report.load import Cells
from cmad.report.style import BLUE, GREY, RED, Look, legend_below, sheet
from cmad.report.summary import counts, with_average
from cmad.scores.metrics import PRIMARY

# As the paper writes them.
SYMBOLS = {
    name: lookup(f"GREEK SMALL LETTER {name}") for name in ("alpha", "phi", "gamma", "sigma", "rho", "tau")
}
_LOOKS = {"accuracy": Look(BLUE, "o", "-"), "f1": Look(RED, "s", "--")}
# Panels beside each other.
_COLUMNS = 4


def sweep_series(cells: Cells) -> pd.DataFrame:
    """Averages over the seven combinations: parameter, setting, variant, own, seed, metric, value.

    ``cmad`` itself, where it is in the grid, stands among each parameter's values. Settings ascend.
    """
    metrics = list(PRIMARY)
    found = cells.sweeps[cells.sweeps["metric"].isin(metrics)]
    keys = ["parameter", "setting", "sweep", "own", "seed", "metric"]
    table = found.groupby(keys, sort=False)["value"].mean().reset_index().rename(columns={"sweep": "variant"})
    averages = with_average(cells.scores)
    of_cmad = averages[
        (averages["variant"] == REFERENCE)
        & (averages["combination"] == AVERAGE)
        & averages["metric"].isin(metrics)
    ][["variant", "seed", "metric", "value"]]
    owns = table[["parameter", "own"]].drop_duplicates()
    trained = table[table["setting"] == table["own"]]["parameter"].unique()
    own = owns[~owns["parameter"].isin(trained)].assign(setting=lambda rows: rows["own"])
    both = pd.concat([table, own.merge(of_cmad, how="cross")])
    order = {name: i for i, name in enumerate(owns["parameter"])}
    both = both.sort_values(
        ["parameter", "setting", "seed", "metric"], key=lambda c: c.map(order) if c.name == "parameter" else c
    )
    return both[["parameter", "setting", "variant", "own", "seed", "metric", "value"]].reset_index(drop=True)


def sweep_figure(cells: Cells, path: Path) -> None:
    """A panel for each parameter: accuracy and F1, averaged over the combinations, against its values."""
    series = sweep_series(cells)
    parameters = list(series["parameter"].unique())
    columns = min(_COLUMNS, len(parameters))
    lines = -(-len(parameters) // columns)
    n = max(counts(cells.scores, "accuracy", "combination").values())
    title = f"{cells.dataset}, test (n up to {n}): mean of the seven by one knob ({seeds_text(cells)})"
    with sheet(path, title, max(7.5, 0.8 + 2.7 * columns), 1.1 + 2.5 * lines) as figure:
        panels = figure.subplots(lines, columns, sharey=True, squeeze=False)
        for axes in panels.flat[len(parameters) :]:
            axes.set_axis_off()
        for axes, parameter in zip(panels.flat, parameters, strict=False):
            _panel(axes, series[series["parameter"] == parameter], cells.kind)
        for of_line in panels:
            of_line[0].set_ylabel("percent")
        legend_below(figure, panels.flat, 4)


def _panel(axes: Axes, series: pd.DataFrame, kind: str) -> None:
    """Values at even distances: they often grow by factors."""
    settings = list(series["setting"].unique())
    place = {setting: i for i, setting in enumerate(settings)}
    own = series["own"].iloc[0]
    if own in place:
        axes.axvline(place[own], color=GREY, lw=5, alpha=0.35, zorder=0, label="value of cmad")
    for metric, look in _LOOKS.items():
        of_metric = series[series["metric"] == metric]
        x = of_metric["setting"].map(place) + (0.08 if metric == "f1" else -0.08)
        axes.plot(
            x, of_metric["value"] * 100, ls="", marker=look.marker, ms=2.5, color=look.colour, alpha=0.45
        )
        by_setting = of_metric.groupby("setting")["value"]
        mean, spread = by_setting.mean() * 100, by_setting.std() * 100
        at = [place[s] + (0.08 if metric == "f1" else -0.08) for s in mean.index]
        drawn: dict[str, Any] = {"color": look.colour, "ls": look.line, "marker": look.marker, "capsize": 2}
        axes.errorbar(
            at,
            mean,
            None if spread.isna().all() else spread,
            label=f"{NAMES[metric]}",
            **drawn,
        )
    parameter = series["parameter"].iloc[0]
    axes.set_xticks(range(len(settings)), [f"{setting:g}" for setting in settings])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(
        f"{SYMBOLS.get(parameter, parameter)} ({parameter})" if parameter in SYMBOLS else parameter
    )
    note = _note(parameter, kind)
    if note:
        axes.set_title(note, fontsize=8)


def _note(parameter: str, kind: str) -> str:
    """What a reader must know of a knob that cannot matter here."""
    if parameter == "phi":
        return (
            "φ cancels in the loss:\nonly a flat line is right"
            if kind == "regression"
            else "no effect: no regression"
        )
    if parameter == "alpha" and kind == "regression":
        return "no effect: no classes"
    if parameter == "alpha" and kind == "binary":
        return f"two classes: {SYMBOLS['alpha']} only scales {SYMBOLS['gamma']}"
    return ""
