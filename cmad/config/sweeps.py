"""Sweeps: CMAD with one number of the student section changed, to each of a list of values."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

from cmad.config.holes import INVALID
from cmad.config.kinds import allowed, fits, without_null
from cmad.config.names import dotted, nearest, shown
from cmad.config.schema import Student


@dataclass(frozen=True)
class Sweep:
    """One value of one knob.

    Attributes:
        parameter: a number of ``cmad.config.schema.Student``.
        value: what it is set to.
    """

    parameter: str
    value: float

    @property
    def name(self) -> str:
        """As in tables, and of its folder, e.g. "sigma_0.05"."""
        return f"{self.parameter}_{self.value:g}"

    @property
    def changes(self) -> dict[str, float]:
        """For ``cmad.config.overrides.override``."""
        kind, _ = _numbers()[self.parameter]
        return {self.parameter: int(self.value) if kind is int else self.value}


def sweep(parameter: str, values: Iterable[float]) -> tuple[Sweep, ...]:
    """The values of one knob, in their order."""
    return tuple(Sweep(parameter, value) for value in values)


def sweeps(parameters: Iterable[str], values: Mapping[str, Iterable[float]]) -> tuple[Sweep, ...]:
    """The values of several knobs, knob by knob.

    Args:
        values: by knob, ``cmad.config.schema.Config.sweep_values``.
    """
    return tuple(each for parameter in parameters for each in sweep(parameter, values[parameter]))


def check_sweeps(key: str, parameters: Any, values: Any) -> list[str]:
    """The problems of a list of knobs to sweep.

    Args:
        key: its full dotted key.
        parameters: a tuple, or ``INVALID``; its items too.
        values: of the knobs; a mapping, or ``INVALID``.
    """
    if not isinstance(parameters, tuple) or not isinstance(values, Mapping):
        return []
    return [
        f"{key}[{i}] = {shown(name)}: sweep_values has no values of it; {nearest(name, values)}"
        for i, name in enumerate(parameters)
        if name is not INVALID and name not in values
    ]


def check_values(key: str, values: Any) -> list[str]:
    """The problems of the values to sweep.

    Args:
        key: the full dotted key of the mapping.
        values: by knob a tuple, or ``INVALID`` for any of them.
    """
    if not isinstance(values, Mapping):
        return []
    problems, numbers = [], _numbers()
    for parameter, of_one in values.items():
        full = dotted(key, parameter)
        if parameter not in numbers:
            problems.append(f"{full}: the student section has no such number; {nearest(parameter, numbers)}")
        elif isinstance(of_one, tuple):
            problems += _check_list(full, of_one, *numbers[parameter])
    return problems


def _check_list(key: str, values: tuple[Any, ...], kind: Any, limits: Mapping[str, Any]) -> list[str]:
    if not values:
        return [f"{key} = []: must hold at least one value; take the knob out of the sweeps instead"]
    problems = []
    for i, value in enumerate(values):
        if value is INVALID:
            continue
        whole = kind is int and float(value).is_integer()
        if not fits(kind, limits, int(value) if whole else value):
            problems.append(f"{key}[{i}] = {shown(value)}: must be {allowed(kind, limits)}")
        elif f"{value:g}" in {f"{before:g}" for before in values[:i] if before is not INVALID}:
            problems.append(f"{key}[{i}] = {shown(value)}: the same value as before; take one out")
    return problems


def _numbers() -> dict[str, tuple[Any, Mapping[str, Any]]]:
    """By knob its type and the metadata of its field."""
    hints = get_type_hints(Student)
    kinds = {field.name: (without_null(hints[field.name])[0], field.metadata) for field in fields(Student)}
    return {name: found for name, found in kinds.items() if found[0] in (int, float)}
