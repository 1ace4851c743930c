"""CMAD against itself with a part changed, as in the supplement's Tables 9 to 12."""

from collections.abc import Mapping, Sequence

from cmad.combinations import COMBINATIONS
from cmad.config.grid import REFERENCE
from cmad.entries import Entry
from cmad.report.load import Cells
from cmad.report.summary import COLUMNS, counts, score_summary
from cmad.report.systems import mark
from cmad.report.table import Row, Table, source_id
from cmad.report.tables import PERCENT, row_cells
from cmad.scores.metrics import PRIMARY

# By table the variants in the supplement's order.
ABLATIONS: Mapping[str, tuple[str, ...]] = {
    "consistency_losses": (REFERENCE, "cafd_mse", "cafd_similarity", "cafd_direct"),
    "loss_components": (
        *(REFERENCE, "no_cafd", "no_mar", "mar_task", "mar_auxiliary"),
        *("no_task", "no_auxiliary"),
    ),
}


def ablation_tables(cells: Cells, name: str) -> tuple[Table, Table] | None:
    """Accuracy and F1 of the variants of an ablation; None where the grid has fewer than two of them."""
    entries = [row for variant in ABLATIONS[name] for row in cells.rows if row.name == variant]
    if len(entries) < 2:
        return None
    accuracy, f1 = (_table(cells, entries, metric) for metric in PRIMARY)
    return accuracy, f1


def _table(cells: Cells, entries: Sequence[Entry], metric: str) -> Table:
    summary = score_summary(cells)
    n = counts(cells.scores, metric, "combination")
    rows = (
        Row(
            row.name,
            row_cells(summary, (metric, row.name), COLUMNS),
            PERCENT,
            mark=mark(row),
            source=source_id(cells.dataset, row.name),
        )
        for row in entries
    )
    return Table(
        metric,
        ("variant", "combination"),
        COLUMNS,
        tuple(rows),
        counts=(*(n.get(c, 0) for c in COMBINATIONS), None),
        best="highest",
    )
