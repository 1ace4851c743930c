"""Label columns of ``samples.csv`` to arrays."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cmad.errors import UserError
from cmad.raw.samples import Samples
from cmad.task import Kind

PREFIX = "label."


def read_labels(samples: Samples, kind: Kind) -> tuple[NDArray[np.float64 | np.int64], tuple[str, ...]]:
    """Parse the labels of a task.

    Returns:
        Labels as ``cmad.raw.raw_data.RawData`` holds them, and the names of classes or labels.

    Raises:
        UserError: a column absent, a label that is no finite number (regression), empty (classes)
            or other than 0 and 1 (binary), a class that train lacks, a task with a single class.
    """
    if kind == "binary":
        return _binary(samples)
    if "label" not in samples.columns:
        hint = "; for columns label.<name> set the preset's task to binary" if binary_columns(samples) else ""
        raise UserError(f"{samples.path}: column label is absent; add it{hint}")
    return _scores(samples) if kind == "regression" else _classes(samples)


def binary_columns(samples: Samples) -> list[str]:
    """The columns ``label.<name>``, in file order."""
    return [name for name in samples.columns if name.startswith(PREFIX) and name != PREFIX]


def _numbers(values: list[str]) -> NDArray[np.float64]:
    """Strings to floats; NaN where a string is no finite float32."""
    numbers = pd.to_numeric(pd.Series(values, dtype=object), errors="coerce").to_numpy(np.float64)
    return np.where(np.abs(numbers) <= np.finfo(np.float32).max, numbers, np.nan)


def _scores(samples: Samples) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    labels = _numbers(samples.columns["label"])
    bad = np.flatnonzero(np.isnan(labels))
    if len(bad):
        value = samples.columns["label"][bad[0]]
        raise UserError(
            f"{samples.where(bad[0], 'label')}: {value!r} is no finite number (rows like it: {len(bad)}); "
            "correct or remove them"
        )
    return labels, ()


def _classes(samples: Samples) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    labels = [name.strip() for name in samples.columns["label"]]
    for row, name in enumerate(labels):
        if not name or name.lower().lstrip("+-") in ("nan", "inf", "infinity"):
            raise UserError(f"{samples.where(row, 'label')}: {name!r} is no class; correct or remove the row")
    train = {name for name, split in zip(labels, samples.columns["split"], strict=True) if split == "train"}
    names = _class_order(train)
    if len(names) < 2:
        raise UserError(f"{samples.path}: column label: train has only the class {names[0]!r}; give two")
    index = {name: i for i, name in enumerate(names)}
    for row, name in enumerate(labels):
        if name not in index:
            raise UserError(
                f"{samples.where(row, 'label')}: no train sample has the class {name!r}; "
                "move some to train or remove the class"
            )
    return np.array([index[name] for name in labels], dtype=np.int64), names


def _class_order(names: set[str]) -> tuple[str, ...]:
    """Sorted; as numbers where all of them are numbers ("10" after "9")."""
    ordered = sorted(names)
    numbers = _numbers(ordered)
    if np.isnan(numbers).any():
        return tuple(ordered)
    return tuple(ordered[i] for i in np.argsort(numbers, kind="stable"))


def _binary(samples: Samples) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    columns = binary_columns(samples)
    if not columns:
        raise UserError(f"{samples.path}: column {PREFIX}<name> is absent; a binary task needs one per label")
    train = np.array(samples.columns["split"]) == "train"
    for taken in (PREFIX + "paper", PREFIX + "macro"):
        if taken in columns:
            raise UserError(f"{samples.path}: column {taken}: the name is taken by a metric; rename it")
    labels = np.empty((len(train), len(columns)), dtype=np.int64)
    for j, column in enumerate(columns):
        numbers = _numbers(samples.columns[column])
        bad = np.flatnonzero(~np.isin(numbers, (0, 1)))
        if len(bad):
            value = samples.columns[column][bad[0]]
            raise UserError(f"{samples.where(bad[0], column)}: {value!r} is neither 0 nor 1; correct it")
        labels[:, j] = numbers
        seen = np.unique(labels[train, j])
        if len(seen) < 2:
            raise UserError(
                f"{samples.path}: column {column}: every train sample has {seen[0]}; "
                "give train both values or remove the column"
            )
    return labels, tuple(column.removeprefix(PREFIX) for column in columns)
