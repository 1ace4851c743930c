"""What the grids train, data set by data set, by the names that DVC gives the stages."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cmad.combinations import COMBINATIONS
from cmad.config.grid import REFERENCE
from cmad.config.overrides import override
from cmad.config.schema import Config, Keep, Student
from cmad.config.sweeps import Sweep, sweeps
from cmad.entries import Entry, entries


@dataclass(frozen=True)
class Grid:
    """The main grid or the second one, as far as it says what runs.

    Attributes:
        datasets: on which all else runs.
        rows: of the tables.
        sweeps: values of single knobs.
        suffix: of the names of its stages in ``dvc.yaml``.
    """

    datasets: tuple[str, ...]
    rows: tuple[Entry, ...]
    sweeps: tuple[Sweep, ...]
    suffix: str

    def stage(self, name: str, *values: str) -> str:
        """A stage as DVC prints it, e.g. "student_also@demo-cmad"."""
        return f"{name}{self.suffix}@{'-'.join(values)}"


@dataclass(frozen=True)
class Cell:
    """One row of the tables, or one knob's sweep, on one data set.

    Attributes:
        stage: that trains it, as DVC prints it.
        time: what the stage calls its record of time.
        folder: that it leaves, from the data set's.
        method: the system behind it.
        options: the system's own section.
        students: its settings, the overrides of the variant applied; of a sweep one for each value.
        keep: what it leaves of each model; None where that is scores alone.
        combinations: one model for each, each of the students and each seed; None stands for all seven
            at once.
    """

    stage: str
    time: str
    folder: str
    method: str
    options: Mapping[str, Any]
    students: tuple[Student, ...]
    keep: Keep | None
    combinations: tuple[int | None, ...]

    @property
    def models(self) -> int:
        """Networks for each seed; 0 where nothing is trained."""
        return len(self.students) * len(self.combinations)


def grids(config: Config) -> tuple[Grid, Grid]:
    """The main grid and the second one."""
    also = config.also
    rows = entries(config.variants, config.unified, config.customised)
    values = config.sweep_values
    return (
        Grid(config.datasets, rows, sweeps(config.sweeps, values), ""),
        Grid(also.datasets, entries(also.variants, (), ()), sweeps(also.sweeps, values), "_also"),
    )


def cells(config: Config, grid: Grid, dataset: str) -> list[Cell]:
    """What a grid trains on a data set beside its teachers: rows in the order of the tables, then sweeps."""
    rows = [
        _variant(config, grid, dataset, row.name)
        if row.system is None
        else _system(config, grid, dataset, row)
        for row in grid.rows
    ]
    knobs = dict.fromkeys(value.parameter for value in grid.sweeps)
    return [*rows, *(_sweep(config, grid, dataset, knob) for knob in knobs)]


def _system(config: Config, grid: Grid, dataset: str, row: Entry) -> Cell:
    assert row.system is not None
    preset, scope = config.presets[dataset], "customised" if row.customised else "unified"
    return Cell(
        stage=grid.stage(scope, dataset, row.system),
        time=f"system-{dataset}-{row.system}-{scope}",
        folder=f"students/{row.name}",
        method=row.system,
        options=preset.systems[row.system],
        students=(preset.student,),
        keep=preset.keep,
        combinations=tuple(range(len(COMBINATIONS))) if row.customised else (None,),
    )


def _variant(config: Config, grid: Grid, dataset: str, name: str) -> Cell:
    preset, definition = config.presets[dataset], config.definitions[name]
    return Cell(
        stage=grid.stage("student", dataset, name),
        time=f"student-{dataset}-{name}",
        folder=f"students/{name}",
        method=definition.method,
        options={},
        students=(override(preset.student, definition.student),),
        keep=preset.keep,
        combinations=() if definition.method == "tea" else (None,),
    )


def _sweep(config: Config, grid: Grid, dataset: str, knob: str) -> Cell:
    own = override(config.presets[dataset].student, config.definitions[REFERENCE].student)
    return Cell(
        stage=grid.stage("sweep", dataset, knob),
        time=f"sweep-{dataset}-{knob}",
        folder=f"sweeps/{knob}",
        method="cmad",
        options={},
        students=tuple(override(own, each.changes) for each in grid.sweeps if each.parameter == knob),
        keep=None,
        combinations=(None,),
    )
