"""Figures of training: losses, dev F1, MAR weights by epoch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from cmad.combinations import COMBINATIONS
from cmad.report.draw import draw_bands, draw_line, seeds_text
from cmad.report.load import Cells
from cmad.report.series import DIFFICULTY, WEIGHT, WEIGHT_T, by_epoch, warm_up
from cmad.report.style import Look, legend_below, looks, sheet, variant_looks

_LOSSES = {
    "loss": "student loss, all terms",
    "loss_task": "task loss",
    "loss_cafd": "consistency loss (CAFD)",
    "loss_auxiliary": "auxiliary loss",
}
_TEACHER = {"loss": "train", "dev_loss": "dev"}
_GAP = "gap"
_WEIGHTS = {
    WEIGHT: "weight Ψ, teacher's difficulty subtracted",
    WEIGHT_T: "weight Ψ, not subtracted (CMAD_t)",
    _GAP: "difference: not subtracted minus subtracted",
    DIFFICULTY: "difficulty W, subtracted, not normalised",
}
# Largest over smallest mean, above which a loss is drawn on a logarithmic scale.
_WIDE = 8


def training_figure(cells: Cells, path: Path) -> None:
    """Dev F1 and the terms of the loss by epoch, of one student per seed; the teacher's losses."""
    found = variant_looks(list(cells.logs))
    n = {name: cells.manifest["splits"][name]["n"] for name in ("train", "dev")}
    title = f"{cells.dataset}: training ({n['train']} train, {n['dev']} dev samples, {seeds_text(cells)})"
    with sheet(path, title, 11, 6.4) as figure:
        panels = figure.subplots(2, 3)
        scores, *losses, teacher = panels.flat
        dev = {v: by_epoch(log, "dev_f1") * 100 for v, log in cells.logs.items()}
        draw_bands(scores, dev, found, banded=found)
        scores.set_title("student, F1 on dev (%)")
        for axes, (column, name) in zip(losses, _LOSSES.items(), strict=True):
            series = {v: by_epoch(log, column) for v, log in cells.logs.items() if column in log}
            draw_bands(axes, series, found, banded=found)
            axes.set_title(name)
            _scale(axes, series)
        series = {name: by_epoch(cells.teacher, column) for column, name in _TEACHER.items()}
        draw_bands(teacher, series, looks(list(series)), banded=series)
        teacher.set_title("teacher, task loss on full input")
        teacher.legend()
        for axes in panels.flat:
            _epochs(axes)
        legend_below(figure, [scores], 7)


def weight_figure(cells: Cells, variant: str, path: Path) -> None:
    """MAR weights by epoch as if fixed then, with and without subtracting the teacher's difficulty.

    And their difference, and the difficulty W behind the first.
    Only the warm-up, as nothing changes after it; the spread over seeds at its end.
    """
    found = looks(COMBINATIONS)
    log = warm_up(cells.logs[variant])
    gaps = {f"{_GAP}_{c}": log[f"{WEIGHT_T}_{c}"] - log[f"{WEIGHT}_{c}"] for c in COMBINATIONS}
    log = log.assign(**gaps)
    last = int(log["epoch"].max())
    n = cells.manifest["splits"]["train"]["complete"]
    title = f"{cells.dataset}, {variant}: MAR by epoch ({n} complete train samples, {seeds_text(cells)})"
    with sheet(path, title, 10, 7) as figure:
        panels = list(figure.subplots(2, 2).flat)
        panels[1].sharey(panels[0])
        for axes, (prefix, name) in zip(panels, _WEIGHTS.items(), strict=True):
            series = {c: by_epoch(log, f"{prefix}_{c}") for c in COMBINATIONS}
            for combination, look in found.items():
                draw_line(axes, series[combination]["mean"], combination, look)
            _epochs(axes)
            axes.set_xticks([tick for tick in axes.get_xticks() if 0 <= tick <= last])
            if len(cells.seeds) > 1:
                _spread_at(axes, last, series, found)
            axes.set_title(name)
        legend_below(figure, [panels[0]], 7)


def _spread_at(axes: Axes, last: int, series: Mapping[str, pd.DataFrame], found: Mapping[str, Look]) -> None:
    """Error bars of the last epoch, beside each other right of the lines."""
    step = max(last, 1) / 20
    for i, (name, look) in enumerate(found.items()):
        mean, deviation = series[name].loc[last].to_numpy(float)
        bar: dict[str, Any] = {"color": look.colour, "marker": look.marker}
        axes.errorbar(last + step * (i + 1.5), mean, deviation, capsize=2, lw=1.2, **bar)


def _epochs(axes: Axes) -> None:
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _scale(axes: Axes, series: Mapping[str, pd.DataFrame]) -> None:
    """A logarithmic scale, where otherwise MAR's jump would leave nothing else to see."""
    means = [each["mean"] for each in series.values()]
    low, high = min((m.min() for m in means), default=0), max((m.max() for m in means), default=0)
    if 0 < low * _WIDE < high:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
