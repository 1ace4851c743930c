"""A table that a stage left: read, its rows checked to be all there, its stage named where they are not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cmad.errors import UserError

_TYPES = {
    "seed": "Int64",
    "epoch": "int64",
    **dict.fromkeys(("n", "models", "parameters", "sample"), "int64"),
    **dict.fromkeys(
        (
            "ratio",
            "setting",
            "value",
            "difference",
            "low",
            "high",
            "confidence",
            "p",
            "p_holm",
            "dev_f1",
            "dev_f1_LAV",
        ),
        "float64",
    ),
    **dict.fromkeys(
        ("share", "x", "y", "x_share", "y_share", "truth", "score", "accuracy"),
        "float64",
    ),
    **dict.fromkeys(
        ("variant", "set", "combination", "class", "metric", "pair", "label", "true", "predicted"), "str"
    ),
}


@dataclass(frozen=True)
class Source:
    """A file, and the stage that writes it."""

    path: Path
    stage: str

    def refuse(self, problem: str) -> UserError:
        """The error that names the file, the problem and the stage to run again."""
        remedy = f"run its stage again: dvc repro --single-item --force {self.stage}"
        return UserError(f"{self.path}: {problem}; {remedy}")


def read(source: Source, columns: tuple[str, ...]) -> pd.DataFrame:
    """These columns of a CSV, each in its type.

    Raises:
        UserError: missing or unreadable, or without one of them.
    """
    try:
        table = pd.read_csv(
            source.path,
            dtype={name: _TYPES[name] for name in columns},
            usecols=list(columns),
            # A class may be called NA; what is empty has no value.
            keep_default_na=False,
            na_values=[""],
        )
    except (OSError, ValueError) as error:
        raise source.refuse(f"not a readable table ({short(error)})") from None
    return table


def take(table: pd.DataFrame, source: Source, keys: Mapping[str, Iterable[Any]]) -> pd.DataFrame:
    """The rows of a product of keys, one each, in its order.

    Raises:
        UserError: naming the first row that is absent or there twice.
    """
    wanted = pd.MultiIndex.from_product([list(values) for values in keys.values()], names=list(keys))
    # Of several levels even where there is one key.
    indexed = table.drop(columns=list(keys)).set_axis(pd.MultiIndex.from_frame(table[list(keys)]))
    found = indexed[indexed.index.isin(wanted)]
    missing = wanted[~wanted.isin(found.index)]
    if len(missing):
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise source.refuse(f"no row for {_name(keys, missing[0])}{more}")
    twice = found.index[found.index.duplicated()]
    if len(twice):
        raise source.refuse(f"more than one row for {_name(keys, twice[0])}")
    return found.reindex(wanted).reset_index()


def known(table: pd.DataFrame, source: Source) -> pd.DataFrame:
    """The table, if every value with samples behind it is a number."""
    unknown = table[table["value"].isna() & (table["n"] > 0)]
    if len(unknown):
        keys = [c for c in table.columns if c not in ("value", "n")]
        raise source.refuse(f"no value for {_name(keys, unknown.iloc[0][keys])}")
    return table


def _name(keys: Iterable[str], values: Iterable[Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in zip(keys, values, strict=True))


def short(error: Exception) -> str:
    """An error of a reader on one line."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    text = f"no {error}" if isinstance(error, KeyError) else str(error)
    return text.splitlines()[0] if text else type(error).__name__
