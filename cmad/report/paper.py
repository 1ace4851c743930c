"""The paper's numbers beside ours: paper, ours, difference."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from cmad.combinations import COMBINATIONS
from cmad.entries import Entry
from cmad.paper import AVERAGE, PRINTED, THIRD_PARTY, Published
from cmad.report.blocks import Block, Paragraph, Printed, Strong
from cmad.report.grid import pairs, side_by_side
from cmad.report.latex import latex, latex_pairs
from cmad.report.load import Cells
from cmad.report.summary import COLUMNS, consistency_summary, counts, score_summary
from cmad.report.systems import described, is_addition, mark
from cmad.report.table import NOTHING, Cell, Row, Shown, Table, source_id
from cmad.report.tables import PERCENT, POINTS, row_cells
from cmad.scores.metrics import PRIMARY

# Which section of the report a table of the supplement belongs to; None is what comes from elsewhere.
_SECTIONS: Mapping[int | None, str] = {
    **dict.fromkeys((None, 6), "systems"),
    **dict.fromkeys((7, 8), "consistency"),
    **dict.fromkeys((9, 10), "consistency_losses"),
    **dict.fromkeys((11, 12), "loss_components"),
}
SECTIONS = tuple(dict.fromkeys(_SECTIONS.values()))

# Presets of a published data set under another name. All others are the paper's if their name is.
OTHER_FEATURES: Mapping[str, str] = {"mustard_folder": "mustard"}

# Here the published scorer swaps truth and prediction (spec section 6).
_SWAPPED = ("mustard", "ur_funny")

# Published systems that this project does not have.
_NEVER_OURS: Mapping[str, str] = {
    "mctn": "MCTN",
    "mmin": "MMIN",
    "gcnet": "GCNet",
    "imder": "IMDer",
    "dicmor": "DiCMoR",
}

_CLOSENESS = ("mse", "sims")
# As many digits as the supplement prints.
_DISTANCE = Shown(digits=2)
_MORE = Shown(digits=2, signed=True)


@dataclass(frozen=True)
class Beside:
    """A row of the grid that the paper has too, in one metric; shares, not percent.

    Attributes:
        section: one of ``SECTIONS``.
        metric: its published name; ``our_metric`` is what it is here.
        row: of the grid.
        source, standing: of the published numbers.
        paper, ours, difference: by ``COLUMNS``. What was not printed is NaN; so is the difference of the
            averages where ours is not over all seven combinations.
    """

    section: str
    metric: str
    our_metric: str
    row: Entry
    source: str
    standing: str
    paper: tuple[Cell, ...]
    ours: tuple[Cell, ...]
    difference: tuple[Cell, ...]


def published_name(dataset: str) -> str:
    """What the paper calls the data of a preset; a name that the paper lacks stays."""
    return OTHER_FEATURES.get(dataset, dataset)


def our_metric(dataset: str, metric: str) -> str:
    """The name of our metric that is computed as the published one."""
    return "f1_paper" if metric == "f1" and published_name(dataset) in _SWAPPED else metric


def beside(cells: Cells, published: Sequence[Published], section: str) -> list[Beside]:
    """The rows of a section that both have, in the paper's order; none where the paper lacks the data set.

    What others measured again is not the paper's and left out.
    """
    if section == "consistency" and cells.consistency.empty:
        return []
    summary = consistency_summary(cells) if section == "consistency" else score_summary(cells)
    found = []
    for group in _groups(cells, published, section):
        first = group[0]
        name = our_metric(cells.dataset, first.metric)
        paper = _paper_cells(group)
        for row in cells.rows:
            if _is(row, first):
                ours = row_cells(summary, (name, row.name), COLUMNS)
                found.append(
                    Beside(
                        section,
                        first.metric,
                        name,
                        row,
                        first.source,
                        first.standing,
                        paper,
                        ours,
                        _differences(ours, paper),
                    )
                )
    return found


def absent(cells: Cells, published: Sequence[Published], section: str) -> list[str]:
    """Names, with the set where one is printed, of the published rows of a section that the grid lacks."""
    groups = _groups(cells, published, section)
    lacking = [g[0] for g in groups if not any(_is(row, g[0]) for row in cells.rows)]
    return list(dict.fromkeys(_published_name(each) for each in lacking))


def paper_table(cells: Cells, rows: Sequence[Beside], metric: str) -> Table:
    """One metric of ``beside``: three rows for each, the paper's, ours, and ours minus the paper's."""
    of = [each for each in rows if each.metric == metric]
    shown, more = (_DISTANCE, _MORE) if metric in _CLOSENESS else (PERCENT, POINTS)
    lines = []
    for each in of:
        name = _name(each)
        printed = f"{name}, {'paper' if each.standing == PRINTED else 'quoted'}"
        source = source_id(cells.dataset, each.row.name)
        lines += [
            Row(printed, each.paper, shown, source=source),
            Row(f"{name}, ours", each.ours, shown, mark=mark(each.row), source=source),
            Row(f"{name}, difference", each.difference, more, source=source),
        ]
    axes = (_axis(each.section), "combination")
    return Table(metric, axes, COLUMNS, tuple(lines), counts=_counts(cells, each), together=3)


def paper_blocks(cells: Cells, published: Sequence[Published], section: str) -> list[Block]:
    """What the report says beside the paper in a section; nothing where it has no such row."""
    rows = beside(cells, published, section)
    if not rows:
        return []
    csv, where = f"tables/{cells.dataset}_paper.csv", f"section {section}"
    blocks: list[Block] = []
    if section == "consistency":
        for table in (paper_table(cells, rows, metric) for metric in _CLOSENESS):
            found = Printed(side_by_side(table), csv, f"{where}, metric {table.name}")
            blocks += [f"{table.name.upper()}:", found]
    else:
        accuracy, f1 = (paper_table(cells, rows, metric) for metric in PRIMARY)
        blocks = [Printed(pairs(accuracy, f1), csv, where)]
    return [Paragraph((Strong("Beside the paper."), _text(cells, published, section, rows))), *blocks]


def paper_frame(cells: Cells, published: Sequence[Published]) -> pd.DataFrame:
    """All sections as a tidy frame with all digits.

    Returns:
        Columns section, metric (ours), variant, combination, n, paper, ours, ours_std, difference, source,
        standing; shares, not percent. No rows where the paper lacks the data set.
    """
    records = [
        {
            "section": section,
            "metric": each.our_metric,
            "variant": each.row.name,
            "combination": column,
            "n": n,
            "paper": paper.value,
            "ours": ours.value,
            "ours_std": ours.std,
            "difference": difference.value,
            "source": each.source,
            "standing": each.standing,
        }
        for section in SECTIONS
        for each in beside(cells, published, section)
        for column, n, paper, ours, difference in zip(
            COLUMNS, _counts(cells, each), each.paper, each.ours, each.difference, strict=True
        )
    ]
    # As objects, so that a count stays a whole number beside averages, which have none.
    return pd.DataFrame(records, dtype=object)


def paper_latex(cells: Cells, published: Sequence[Published]) -> dict[str, str]:
    """The same tables in LaTeX, by name of the file: a section, for MSE and SIMS the metric."""
    found: dict[str, str] = {}
    for section in SECTIONS:
        rows = beside(cells, published, section)
        if rows and section == "consistency":
            found |= {metric: latex(paper_table(cells, rows, metric)) for metric in _CLOSENESS}
        elif rows:
            accuracy, f1 = (paper_table(cells, rows, metric) for metric in PRIMARY)
            found[section] = latex_pairs(accuracy, f1)
    return found


def _counts(cells: Cells, each: Beside) -> tuple[int | None, ...]:
    """The test samples behind our numbers, by column."""
    table = cells.consistency if each.metric in _CLOSENESS else cells.scores
    n = counts(table, each.our_metric, "combination")
    return (*(n.get(c, 0) for c in COMBINATIONS), None)


def _groups(cells: Cells, published: Sequence[Published], section: str) -> list[list[Published]]:
    """The published rows of a section, each the numbers of its columns."""
    groups: dict[tuple[int | None, str, str, str], list[Published]] = {}
    for each in published:
        named = each.dataset == published_name(cells.dataset)
        if named and _SECTIONS[each.table] == section and each.standing != THIRD_PARTY:
            groups.setdefault((each.table, each.set, each.variant, each.metric), []).append(each)
    return list(groups.values())


def _is(row: Entry, published: Published) -> bool:
    """Whether a row of the grid is a published one; without a printed set it is the paper's set."""
    if (row.system or row.name) != published.variant:
        return False
    if published.set:
        return row.customised == (published.set == "C")
    return not is_addition(row)


def _paper_cells(group: Sequence[Published]) -> tuple[Cell, ...]:
    by_column = {each.combination: each for each in group}
    return tuple(Cell(_value(by_column[c]) if c in by_column else NOTHING) for c in COLUMNS)


def _value(published: Published) -> float:
    """The number in our units."""
    return float(published.value if published.metric in _CLOSENESS else published.value / 100)


def _differences(ours: Sequence[Cell], paper: Sequence[Cell]) -> tuple[Cell, ...]:
    whole = not any(math.isnan(cell.value) for cell in ours)
    return tuple(
        Cell(mine.value - theirs.value if whole or column != AVERAGE else NOTHING)
        for column, mine, theirs in zip(COLUMNS, ours, paper, strict=True)
    )


def _name(each: Beside) -> str:
    """As the rows are called in the tables of their section."""
    return described(each.row).shown if each.section == "systems" else each.row.name


def _published_name(published: Published) -> str:
    name = _NEVER_OURS.get(published.variant) or described(Entry(published.variant)).shown
    return f"{name} ({published.set})" if published.set else name


def _axis(section: str) -> str:
    return "system" if section == "systems" else "variant"


def _text(cells: Cells, published: Sequence[Published], section: str, rows: Sequence[Beside]) -> str:
    scale = "" if section == "consistency" else "Accuracy / F1 in percent. "
    sources: dict[tuple[str, str], list[str]] = {}
    for each in rows:
        sources.setdefault((each.source, each.standing), []).append(_name(each))
    whose = [
        (f"{', '.join(dict.fromkeys(names))}: " if len(sources) > 1 else "")
        + (source if standing == PRINTED else f"{standing}, not checked against the paper, in {source}")
        for (source, standing), names in sources.items()
    ]
    text = f" {scale}Difference is ours minus the paper's. From {'; '.join(whose)}."
    if any(each.our_metric == "f1_paper" for each in rows):
        text += (
            " F1 is the paper-comparable one, with truth and prediction swapped as in the published scorer."
        )
    if any(math.isnan(each.paper[-1].value) for each in rows):
        text += " The paper prints no average here."
    lacking = absent(cells, published, section)
    if lacking:
        text += f" Published, but not in this grid: {', '.join(lacking)}."
    if cells.dataset in OTHER_FEATURES:
        text += (
            f" `{cells.dataset}` has other features than the paper's {OTHER_FEATURES[cells.dataset]}, and a "
            "split of its own: the difference is not that of a rerun."
        )
    return text
