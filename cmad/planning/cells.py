"""The trainings of a grid, data set by data set."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cmad.combinations import COMBINATIONS
from cmad.config.overrides import override
from cmad.config.schema import Config, Student
from cmad.entries import Entry, entries


@dataclass(frozen=True)
class Cell:
    """One row of the tables on one data set.

    Attributes:
        row: of the tables.
        method: the system behind it.
        options: the system's own section.
        student: its settings, the variant's overrides applied.
        models: networks for each seed; 0 where nothing is trained.
    """

    row: Entry
    method: str
    options: Mapping[str, Any]
    student: Student
    models: int


def cells(config: Config, dataset: str) -> list[Cell]:
    """What is trained on one data set beside its teachers, in the order of the tables."""
    preset = config.presets[dataset]
    found = []
    for row in entries(config.variants, config.unified, config.customised):
        if row.system is not None:
            models = len(COMBINATIONS) if row.customised else 1
            found.append(Cell(row, row.system, preset.systems[row.system], preset.student, models))
            continue
        definition = config.definitions[row.name]
        student = override(preset.student, definition.student)
        found.append(Cell(row, definition.method, {}, student, 0 if definition.method == "tea" else 1))
    return found


def time_name(dataset: str, row: Entry) -> str:
    """What the stage that trains a row calls its record of time."""
    if row.system is None:
        return f"student-{dataset}-{row.name}"
    return f"system-{dataset}-{row.system}-{'customised' if row.customised else 'unified'}"
