"""Figures of scores by drop ratio (supplement, Figure 7)."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from matplotlib.axes import Axes

from cmad.config.grid import REFERENCE
from cmad.entries import Entry
from cmad.report.draw import draw_bands, draw_line, seeds_text
from cmad.report.figures import NAMES
from cmad.report.load import Cells
from cmad.report.style import EMPHASISED, FEW, GREY, Look, legend_below, sheet, system_looks
from cmad.report.summary import counts, drop_summary, part
from cmad.report.systems import is_compared, shown


def drop_figure(cells: Cells, path: Path) -> None:
    """Accuracy and F1 against the share of frames dropped."""
    found = row_looks(drawn_rows(cells))
    # Bands of many lines would hide each other.
    banded = found if all_banded(cells) else [shown(row) for row in cells.rows if row.name == REFERENCE]
    summary = drop_summary(cells) * 100
    with _panels(cells, "scores by drop ratio", path) as panels:
        for axes, rows, metric in panels:
            draw_bands(axes, {shown(row): part(summary, metric, row.name) for row in rows}, found, banded)
            axes.set_ylabel(f"{NAMES[metric]} (%)")


def gap_figure(cells: Cells, path: Path) -> None:
    """The same means minus those of ``cmad``, which tells lines apart that lie on each other."""
    found = row_looks(drawn_rows(cells))
    means = drop_summary(cells)["mean"] * 100
    with _panels(cells, "scores minus CMAD's by drop ratio", path) as panels:
        for axes, rows, metric in panels:
            axes.axhline(0, color=found[shown(_reference(cells))].colour, lw=1)
            for row in rows:
                if row.name != REFERENCE:
                    name = shown(row)
                    gap = means.loc[(metric, row.name)] - means.loc[(metric, REFERENCE)]
                    draw_line(axes, gap, name, found.get(name, Look(GREY, "", "-")))
            axes.set_ylabel(f"{NAMES[metric]} minus CMAD's (points)")


def has_gaps(cells: Cells) -> bool:
    """Whether there is anything for ``gap_figure``."""
    return REFERENCE in cells.variants and len(cells.rows) > 1 and len(cells.drops) > 0


def all_banded(cells: Cells) -> bool:
    """Whether each line of ``drop_figure`` has a band of one deviation, or that of ``cmad`` alone."""
    return len(row_looks(drawn_rows(cells))) <= FEW


def drawn_rows(cells: Cells) -> list[Entry]:
    """All rows of a small grid; of a large one the compared rows and the baseline, where there are any."""
    if len(cells.rows) <= FEW:
        return list(cells.rows)
    return [row for row in cells.rows if is_compared(row)] or list(cells.rows)


def row_looks(rows: Iterable[Entry]) -> dict[str, Look]:
    """By shown name; a system looks the same in both sets. The first is drawn on top."""
    names = {row.system or row.name: shown(row) for row in rows}
    return {names[system]: look for system, look in system_looks(list(names)).items()}


@contextmanager
def _panels(cells: Cells, what: str, path: Path) -> Iterator[list[tuple[Axes, list[Entry], str]]]:
    """A sheet with a row of panels for each set: axes, the rows to draw there, the metric."""
    n = max(counts(cells.drops, "accuracy", "ratio").values())
    title = f"{cells.dataset}, complete test samples (n = {n}): {what} ({seeds_text(cells)})"
    sets = _sets(cells)
    with sheet(path, title, 9.5, 1.2 + 3.2 * len(sets)) as figure:
        grid = figure.subplots(len(sets), 2, sharex=True, sharey="col", squeeze=False)
        yield [
            (axes, rows, metric)
            for rows, of_set in zip(sets.values(), grid, strict=True)
            for axes, metric in zip(of_set, NAMES, strict=True)
        ]
        if len(sets) > 1:
            for name, of_set in zip(sets, grid, strict=True):
                of_set[0].set_title(name, loc="left")
        for axes in grid[-1]:
            axes.set_xlabel("share of frames dropped from every modality")
        legend_below(figure, grid.flat, 7)


def _sets(cells: Cells) -> dict[str, list[Entry]]:
    """Set U, above it set C where there is one, beside those that stand out in every figure."""
    rows = drawn_rows(cells)
    customised = [row for row in rows if row.customised]
    unified = [row for row in rows if not row.customised]
    if not customised:
        return {"set U": unified}
    anchors = [row for row in unified if row.name in EMPHASISED]
    return {"set C, its models for LAV, beside some of set U": customised + anchors, "set U": unified}


def _reference(cells: Cells) -> Entry:
    return next(row for row in cells.rows if row.name == REFERENCE)
