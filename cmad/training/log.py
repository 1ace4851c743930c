"""The log of a stage's trainings, a row for each epoch of each model."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Not by pandas: importing it would be a fifth of the time in which a stage starts.


def write_log(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV, columns in the order in which they first come; "" where a row has none, or NaN."""
    columns = dict.fromkeys(name for row in rows for name in row)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        # Of all values NaN alone is not equal to itself.
        writer.writerows({name: value for name, value in row.items() if value == value} for row in rows)
