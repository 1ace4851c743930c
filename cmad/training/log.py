"""The log of a stage's trainings, a row for each epoch of each model."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Not by pandas: importing it would be a fifth of the time in which a stage starts.


@dataclass(frozen=True)
class Logged:
    """One training.

    Attributes:
        rows: one mapping of columns per epoch (``cmad.training.fit.Fitted.log``).
        model: columns that tell its model from others, behind those of the rows.
    """

    rows: Sequence[Mapping[str, Any]]
    model: Mapping[str, Any]


def write_log(path: Path, trainings: Sequence[Logged]) -> None:
    """Write them as CSV, columns in the order in which they first come; "" where a row has none, or NaN."""
    columns = dict.fromkeys(name for each in trainings for row in (*each.rows, each.model) for name in row)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for each in trainings:
            for row in each.rows:
                # Of all values NaN alone is not equal to itself.
                writer.writerow({n: value for n, value in {**row, **each.model}.items() if value == value})
