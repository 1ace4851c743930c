"""The published numbers that the report puts beside ours, read from ``data/paper``."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

from cmad.combinations import COMBINATIONS
from cmad.errors import UserError

AVERAGE = "Avg."

# Where a number stands: printed by the authors, said by others to be printed by them, or measured
# by others.
PRINTED, QUOTED, THIRD_PARTY = "supplement", "quoted by others", "third party"

_KEYS = ("dataset", "set", "variant", "combination", "metric")
# In percent are accuracy and f1; mse and sims have no unit.
_ALLOWED: Mapping[str, tuple[str, ...]] = {
    "set": ("C", "U", ""),
    "combination": (*COMBINATIONS, AVERAGE),
    "metric": ("accuracy", "f1", "mse", "sims"),
    "standing": (PRINTED, QUOTED, THIRD_PARTY),
}


@dataclass(frozen=True)
class Published:
    """One published number.

    Attributes:
        table: of the supplement; None for a number that comes from elsewhere.
        dataset: its name as in ``params.yaml``.
        set: "C" or "U", "" where the source has no sets.
        variant: name of the variant or system as in ``params.yaml``.
        combination: one of ``COMBINATIONS``, or "Avg.".
        metric: "accuracy" or "f1" in percent, "mse" or "sims"; as printed, see ``data/paper/README.md``.
        value: with the digits that were printed.
        source, standing: who says so, and how far that is the authors' own word.
    """

    table: int | None
    dataset: str
    set: str
    variant: str
    combination: str
    metric: str
    value: Decimal
    source: str
    standing: str


def read_published(folder: Path) -> tuple[Published, ...]:
    """All published numbers, in the order of the files.

    Args:
        folder: with ``supplement.csv`` (table, dataset, set, variant, combination, metric, value) and
            ``mosei.csv`` (dataset, set, variant, combination, metric, value, source, standing).

    Raises:
        UserError: a file is missing, a field is none of those allowed, a number stands there twice.
    """
    return (*_supplement(folder / "supplement.csv"), *_elsewhere(folder / "mosei.csv"))


def _supplement(path: Path) -> Iterator[Published]:
    for where, line in _lines(path, ("table", *_KEYS, "value"), ("table", *_KEYS)):
        table = line["table"]
        if table not in map(str, range(6, 13)):
            raise _refusal(where, f"table {table!r} is not one of 6 to 12")
        yield _published(where, int(table), line, f"supplement, Table {table}", PRINTED)


def _elsewhere(path: Path) -> Iterator[Published]:
    # Measured again, a number may differ from the printed one: both may stand there.
    for where, line in _lines(path, (*_KEYS, "value", "source", "standing"), (*_KEYS, "standing")):
        yield _published(where, None, line, line["source"], line["standing"])


def _published(
    where: str, table: int | None, line: Mapping[str, str], source: str, standing: str
) -> Published:
    dataset, group, variant, combination, metric = (line[name] for name in _KEYS)
    value = _number(where, line["value"])
    return Published(table, dataset, group, variant, combination, metric, value, source, standing)


def _lines(
    path: Path, columns: tuple[str, ...], key: tuple[str, ...]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Where each line stands, and its fields, checked."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise _refusal(str(path), f"not readable ({type(error).__name__})") from None
    reader = csv.DictReader(text.splitlines())
    if tuple(reader.fieldnames or ()) != columns:
        raise _refusal(str(path), f"the columns are not {', '.join(columns)}")
    seen = set()
    for line in reader:
        where = f"{path}: line {reader.line_num}"
        if None in line or None in line.values():
            raise _refusal(where, f"not {len(columns)} fields")
        for name in set(columns) & set(_ALLOWED):
            if line[name] not in _ALLOWED[name]:
                raise _refusal(where, f"{name} {line[name]!r} is not one of {', '.join(_ALLOWED[name])}")
        this = tuple(line[name] for name in key)
        if this in seen:
            raise _refusal(where, f"a second number for {', '.join(filter(None, this))}")
        seen.add(this)
        yield where, line


def _number(where: str, text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite():
        raise _refusal(where, f"value {text!r} is not a number")
    return value


def _refusal(where: str, problem: str) -> UserError:
    return UserError(f"{where}: {problem}; restore the file: git checkout -- data/paper")
