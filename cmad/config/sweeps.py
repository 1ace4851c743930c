"""Values of a sweep: CMAD with one number of the student section changed, named by that number."""

import re
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

from cmad.config.holes import INVALID
from cmad.config.kinds import allowed, fits, without_null
from cmad.config.names import nearest, shown
from cmad.config.schema import Student
from cmad.errors import UserError

# Digits alone, so that the name fits a folder, a stage of DVC and its -S.
_NAME = re.compile(r"([a-z_]+)_([0-9]+(?:\.[0-9]+)?(?:e-?[0-9]+)?)")


@dataclass(frozen=True)
class Sweep:
    """One value of one knob.

    Attributes:
        name: as in ``params.yaml``, e.g. "sigma_0.05"; of its folder and its stage too.
        parameter: a number of ``cmad.config.schema.Student``.
        value: what it is set to.
    """

    name: str
    parameter: str
    value: float

    @property
    def changes(self) -> dict[str, float]:
        """For ``cmad.config.overrides.override``."""
        return {self.parameter: self.value}


def sweep(name: str) -> Sweep:
    """The value that a name stands for.

    Raises:
        UserError: no such knob, or a value that it cannot have.
    """
    problem = _problem(name)
    if problem:
        raise UserError(f"sweep {shown(name)}: {problem}")
    return _parsed(name)


def check_sweeps(key: str, names: Any) -> list[str]:
    """The problems of a list of sweeps.

    Args:
        key: its full dotted key.
        names: a tuple, or ``INVALID``; its items too.
    """
    if not isinstance(names, tuple):
        return []
    problems, seen = [], dict[tuple[str, float], str]()
    for i, name in enumerate(names):
        problem = None if name is INVALID else _problem(name)
        if problem:
            problems.append(f"{key}[{i}] = {shown(name)}: {problem}")
        elif name is not INVALID:
            found = _parsed(name)
            first = seen.setdefault((found.parameter, found.value), name)
            if first != name or names.index(name) != i:
                problems.append(f"{key}[{i}] = {shown(name)}: the same value as {shown(first)}; take one out")
    return problems


def _numbers() -> dict[str, tuple[Any, Any]]:
    """By knob its type and the metadata of its field."""
    hints = get_type_hints(Student)
    kinds = {field.name: (without_null(hints[field.name])[0], field.metadata) for field in fields(Student)}
    return {name: found for name, found in kinds.items() if found[0] in (int, float)}


def _problem(name: str) -> str | None:
    parts = _NAME.fullmatch(name)
    if not parts:
        return "must be a knob, _ and a number, such as sigma_0.05"
    numbers = _numbers()
    if parts[1] not in numbers:
        return f"the student section has no number {parts[1]}; {nearest(parts[1], numbers)}"
    kind, limits = numbers[parts[1]]
    value = _parsed(name).value
    return None if fits(kind, limits, value) else f"{parts[1]} must be {allowed(kind, limits)}"


def _parsed(name: str) -> Sweep:
    parameter, _, number = name.rpartition("_")
    return Sweep(name, parameter, int(number) if number.isdigit() else float(number))
