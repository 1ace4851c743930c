"""How long training took. Times differ from run to run, so they stay out of the report itself."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from cmad.entries import Entry
from cmad.report.blocks import Block, Heading, Printed
from cmad.report.grid import Field, Grid, Line, Part, text
from cmad.report.load import Cells
from cmad.report.systems import mark
from cmad.report.table import Cell

UNKNOWN = "restored from cache"
_NOTHING = "trains nothing"


def read_seconds(folder: Path, dataset: str, rows: Sequence[Entry]) -> dict[str, float]:
    """Training seconds of a data set's teachers (``teacher``) and rows, where their stages recorded any.

    Args:
        folder: with the JSON files that the stages leave, each named by its command line.
        dataset, rows: whose.

    Returns:
        By name of the row; a row whose stage did not run here, or left no readable time, is not in it.
    """
    names = {"teacher": f"teacher-{dataset}"} | {row.name: _file(dataset, row) for row in rows}
    found = {row: _seconds(folder / f"{name}.json") for row, name in names.items()}
    return {row: seconds for row, seconds in found.items() if seconds is not None}


def read_all_seconds(folder: Path) -> dict[str, float]:
    """Seconds of every stage that recorded any, by its command line, in alphabetical order.

    The report's own are left out, which are those of the report before.
    """
    found = {path.stem: _seconds(path) for path in sorted(folder.glob("*.json")) if path.stem != "report"}
    return {name: seconds for name, seconds in found.items() if seconds is not None}


def _seconds(path: Path) -> float | None:
    try:
        return float(json.loads(path.read_text(encoding="utf-8"))["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _file(dataset: str, row: Entry) -> str:
    if row.system is None:
        return f"student-{dataset}-{row.name}"
    return f"system-{dataset}-{row.system}-{'customised' if row.customised else 'unified'}"


def times(of: Sequence[Cells], seconds: Mapping[str, Mapping[str, float]]) -> tuple[Block, ...]:
    """The tables of times.

    Args:
        of: the data sets of the report.
        seconds: by data set, see ``read_seconds``.
    """
    blocks: list[Block] = [
        Heading(1, "Training times"),
        "Seconds of a row's training stage, all its models and seeds together, with their evaluation on dev, "
        "when it last ran on this machine, without what it found kept of an earlier run. Where several "
        "stages run at once, each takes longer. "
        f'"{UNKNOWN}" is what has no time, for it did not run here.',
    ]
    for cells in of:
        blocks += [Heading(2, cells.dataset), Printed(_grid(cells, seconds[cells.dataset]))]
    return tuple(blocks)


def _grid(cells: Cells, seconds: Mapping[str, float]) -> Grid:
    models = dict(zip(cells.models["variant"], cells.models["models"], strict=True))
    seeds = len(cells.seeds)
    lines = [Line((text("teacher, shared"), text(str(seeds)), seconds_field(seconds.get("teacher"))))]
    for row in cells.rows:
        trained = row.customised or row.name in cells.logs
        count = models[row.name] * seeds if trained else 0
        took = seconds_field(seconds.get(row.name)) if trained else text(_NOTHING)
        lines.append(Line((text(row.name), text(str(count)), took), mark(row)))
    return Grid((("row", "models", "seconds"),), tuple(lines))


def seconds_field(seconds: float | None) -> Field:
    """A wall time, or why there is none."""
    return text(UNKNOWN) if seconds is None else (Part(f"{seconds:.1f}", cell=Cell(seconds)),)
