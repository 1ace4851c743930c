"""``samples.csv`` of a feature folder: one row per sample, read strictly."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cmad.errors import UserError
from cmad.splits import SPLITS

# They would not survive the store's own samples.csv.
_FORBIDDEN = "\r\n\0"


@dataclass(frozen=True)
class Samples:
    """The parsed table.

    Attributes:
        path: the file, for messages.
        columns: n strings by column name.
        lines: n line numbers, where each row starts.
    """

    path: Path
    columns: Mapping[str, list[str]]
    lines: list[int]

    def where(self, row: int, column: str) -> str:
        """The place of one value, as messages name it."""
        return f"{self.path}: line {self.lines[row]} (id {self.columns['id'][row]}), column {column}"


def read_samples(path: Path) -> Samples:
    """Read ``samples.csv`` and check ids, splits and groups.

    Args:
        path: the file, UTF-8, with or without a byte order mark.

    Raises:
        UserError: unreadable, not UTF-8, a column absent or named twice, a row of another width,
            an empty or repeated id, an unknown split, a split without samples.
    """
    header, rows, lines = _parse(path)
    for name in header:
        if any(c in name for c in _FORBIDDEN):
            raise UserError(f"{path}: column {name!r} has a line break in its name; take it out")
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise UserError(f"{path}: column {repeated[0]} stands there twice; keep one of them")
    for name in ("id", "split", "group"):
        if name not in header:
            raise UserError(f"{path}: column {name} is absent (found {', '.join(header)}); add it")
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(header):
            raise UserError(
                f"{path}: line {line} has {len(row)} fields, the header has {len(header)}; "
                "quote fields that hold commas or line breaks"
            )
    columns = {name: [row[i] for row in rows] for i, name in enumerate(header)}
    samples = Samples(path, columns, lines)
    _check_ids(samples)
    _check_splits(samples)
    return samples


def _parse(path: Path) -> tuple[list[str], list[list[str]], list[int]]:
    """Header, rows and the line at which each row starts."""
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            start = 1
            for row in reader:
                if row:
                    rows.append(row)
                    lines.append(start)
                start = reader.line_num + 1
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; every feature folder has one, see data/README.md") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 ({error.reason}); save it as UTF-8") from None
    except (OSError, csv.Error) as error:
        raise UserError(f"{path}: not a readable CSV file ({error}); write it again") from None
    if len(rows) < 2:
        raise UserError(f"{path}: no samples in it; give a header and one row per sample")
    return rows[0], rows[1:], lines[1:]


def _check_ids(samples: Samples) -> None:
    seen: dict[str, int] = {}
    for row, name in enumerate(samples.columns["id"]):
        if not name.strip():
            raise UserError(f"{samples.path}: line {samples.lines[row]}, column id: empty; name each sample")
        if name in seen:
            raise UserError(f"{samples.where(row, 'id')}: also on line {seen[name]}; ids must be unique")
        seen[name] = samples.lines[row]
        for column in ("id", "group"):
            if any(c in samples.columns[column][row] for c in _FORBIDDEN):
                raise UserError(
                    f"{samples.path}: line {samples.lines[row]}, column {column}: has a line break; "
                    "take it out"
                )


def _check_splits(samples: Samples) -> None:
    splits = samples.columns["split"]
    for row, name in enumerate(splits):
        if name not in SPLITS:
            raise UserError(f"{samples.where(row, 'split')}: {name!r} is unknown; use train, dev or test")
    for name in SPLITS:
        if name not in splits:
            raise UserError(f"{samples.path}: column split: no sample is in {name}; give each split some")
