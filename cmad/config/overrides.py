"""What a variant changes in a preset's student section."""

from collections.abc import Mapping
from dataclasses import asdict
from itertools import product
from types import MappingProxyType
from typing import Any

from cmad.config.grid import REFERENCE
from cmad.config.holes import INVALID
from cmad.config.names import dotted
from cmad.config.schema import Config, Student
from cmad.config.sweeps import check_values, sweep
from cmad.config.values import check_value
from cmad.errors import UserError


def override(student: Student, changes: Mapping[str, Any]) -> Student:
    """Change some knobs of a student section.

    Args:
        student: the section of a preset.
        changes: a variant's nested mapping, e.g. ``{"optimiser": {"clip": None}}``.

    Raises:
        UserError: an unknown key or a value that is not allowed, one line per problem.
    """
    problems: list[str] = []
    changed = _changed(student, changes, "student", problems)
    if problems:
        raise UserError("\n".join(problems))
    assert isinstance(changed, Student)
    return changed


def check_overrides(config: Config) -> list[str]:
    """Each definition must fit each preset; a problem of several pairs is one problem.

    What is wrong with a preset without any definition is told of the preset alone.

    Args:
        config: its fields may hold ``INVALID``.
    """
    if not isinstance(config.definitions, Mapping):
        return []
    students = [getattr(preset, "student", INVALID) for preset in config.presets.values()]
    problems: list[str] = []
    for name, definition in config.definitions.items():
        changes = getattr(definition, "student", INVALID)
        for student in students:
            if isinstance(student, Student) and isinstance(changes, Mapping):
                problems += _added(student, changes, f"{dotted('definitions', name)}.student")
    return list(dict.fromkeys(problems + _check_swept(config)))


def _check_swept(config: Config) -> list[str]:
    """Each value of a knob must fit the presets that it is swept on, on top of what ``cmad`` changes."""
    reference = getattr(config.definitions.get(REFERENCE), "student", INVALID)
    if not isinstance(reference, Mapping) or not isinstance(config.sweep_values, Mapping):
        return []
    problems: list[str] = []
    for grid in (config, config.also):
        datasets, parameters = getattr(grid, "datasets", INVALID), getattr(grid, "sweeps", INVALID)
        if not isinstance(datasets, tuple) or not isinstance(parameters, tuple):
            continue
        for dataset, parameter in product(datasets, parameters):
            student = getattr(config.presets.get(dataset), "student", INVALID)
            values = config.sweep_values.get(parameter, INVALID)
            # What a value is by itself is told elsewhere.
            if not (isinstance(student, Student) and isinstance(values, tuple)):
                continue
            if check_values("", {parameter: values}):
                continue
            for each in sweep(parameter, values):
                changes = _merged(reference, each.changes)
                problems += _added(student, changes, "sweep_values", reference)
    return problems


def _added(
    student: Student, changes: Mapping[str, Any], key: str, before: Mapping[str, Any] = MappingProxyType({})
) -> list[str]:
    """The problems that the changes bring, not those that the section has with those ``before`` alone."""
    changed: list[str] = []
    _changed(student, changes, key, changed)
    own: list[str] = []
    if changed:
        _changed(student, before, key, own)
    return [problem for problem in changed if problem not in own]


def _changed(student: Student, changes: Mapping[str, Any], key: str, problems: list[str]) -> Any:
    return check_value(Student, {}, _merged(asdict(student), changes), key, problems)


def _merged(base: Any, changes: Any) -> Any:
    if not isinstance(changes, Mapping):
        return changes
    if isinstance(base, Mapping):
        return {**base, **{name: _merged(base.get(name), change) for name, change in changes.items()}}
    # A refused section stays refused: part of one cannot stand for the whole.
    return base if base is INVALID else changes
