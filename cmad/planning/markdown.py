"""A plan as Markdown."""

from collections.abc import Mapping
from dataclasses import dataclass

from cmad.config.schema import Config
from cmad.planning.cells import Grid, grids
from cmad.report.table import aligned, plural

_HOUR, _DAY = 3600, 86400


@dataclass(frozen=True)
class Line:
    """One stage of one data set.

    Attributes:
        stage: as DVC prints it.
        models: that it trains, of all seeds; None where it trains none by nature.
        seconds: that it takes; None where unknown.
        source: where the time comes from, or why there is none.
        disk: bytes that it leaves; None where unknown.
    """

    stage: str
    models: int | None
    seconds: float | None
    source: str
    disk: int | None


def markdown(config: Config, of: Mapping[str, list[Line]]) -> str:
    """The grids in a sentence each, a table for each data set, and the sums.

    Args:
        of: lines by data set.
    """
    main, also = grids(config)
    blocks = [
        "# Plan",
        f"{_contents(main)}, {plural(len(config.seeds), 'seed')} "
        f"({', '.join(map(str, config.seeds))}), {plural(config.threads, 'thread')}. "
        f"{f'The second grid: {_contents(also)}. ' if also.datasets else ''}"
        "Times are those of this machine, one stage after the other; what DVC has in its cache is not run.",
    ]
    for dataset, lines in of.items():
        blocks += [f"## {dataset}", aligned(_table(lines), left=1)]
    every = [line for lines in of.values() for line in lines]
    blocks += ["## Sum", _sum(every)]
    return "\n\n".join(block.strip("\n") for block in blocks) + "\n"


def _contents(grid: Grid) -> str:
    sweeps = f", {plural(len(grid.sweeps), 'value')} of sweeps" if grid.sweeps else ""
    names = ", ".join(grid.datasets)
    return f"{plural(len(grid.datasets), 'data set')} ({names}), {plural(len(grid.rows), 'row')}{sweeps}"


def duration(seconds: float) -> str:
    """Seconds as a reader wants them: "8 s", "3 min", "5.2 h", "12 days"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 1.5 * _HOUR:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / _HOUR:.1f} h" if seconds < 2 * _DAY else f"{seconds / _DAY:.1f} days"


def size(count: int) -> str:
    """Bytes as a reader wants them, in powers of 1000 as disks are sold."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"


def _table(lines: list[Line]) -> list[list[str]]:
    table = [["stage", "models", "time", "disk", "time from"]]
    for line in lines:
        table.append(
            [
                line.stage,
                "" if line.models is None else str(line.models),
                "" if line.seconds is None else duration(line.seconds),
                "" if line.disk is None else size(line.disk),
                line.source,
            ]
        )
    return table


def _sum(lines: list[Line]) -> str:
    known = [line.seconds for line in lines if line.seconds is not None]
    disk = sum(line.disk for line in lines if line.disk is not None)
    models = sum(line.models or 0 for line in lines)
    unknown = [line.stage for line in lines if line.seconds is None and line.source != "is taken in"]
    missing = f", without {plural(len(unknown), 'stage')} of unknown time" if unknown else ""
    return (
        f"{plural(models, 'model')}, {duration(sum(known))}{missing}, {size(disk)} in data/runs. "
        "DVC's cache holds the same once more, unless it links (docs/data.md)."
    )
