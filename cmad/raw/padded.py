"""Layouts that are arrays [N, T, d] padded to one length: finding the real frames, and taking them out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmad.errors import UserError
from cmad.raw.published import BadSampleError, Skips, as_name
from cmad.raw.raw_data import Ragged
from cmad.splits import SPLITS

_BLOCK = 256

Tables = Mapping[str, dict[str, Any]]


@dataclass(frozen=True)
class Rows:
    """Which frames of one split's array are real.

    Attributes:
        real: bool [N, T].
    """

    real: NDArray[np.bool_]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Real frames of each sample, int64 [N]."""
        return self.real.sum(1, dtype=np.int64)


def check_tables(tables: Tables, keys: Sequence[str], path: Path) -> dict[str, int]:
    """Check the arrays of frames of all splits.

    Args:
        tables: by split, what the file has for it.
        keys: names of the arrays [N, T, d].
        path: of the file, for messages.

    Returns:
        N by split.

    Raises:
        UserError: an array is absent, is none of finite width [N, T, d], or its N or d differ.
    """
    sizes: dict[str, int] = {}
    for split in SPLITS:
        table = tables[split]
        for key in keys:
            array = table.get(key) if isinstance(table, dict) else None
            if not isinstance(array, np.ndarray):
                raise UserError(f"{path}: {split} has no array {key}; get the file again")
            if array.ndim != 3 or array.dtype.kind != "f" or not all(array.shape[1:]):
                raise UserError(
                    f"{path}: {split}, {key} is {array.dtype} {list(array.shape)}, not numbers "
                    "[samples, frames, columns]; get the file again"
                )
            width = tables["train"][key].shape[2]
            if array.shape[2] != width:
                raise UserError(
                    f"{path}: {split}, {key} has {array.shape[2]} columns, in train {width}; "
                    "get the file again"
                )
            if len(array) != sizes.setdefault(split, len(array)):
                raise UserError(
                    f"{path}: {split}, {key} has {len(array)} samples, {keys[0]} {sizes[split]}; "
                    "get the file again"
                )
        if not sizes[split]:
            raise UserError(f"{path}: split {split} is empty; give it samples")
    return sizes


def between_zeros(arrays: Sequence[NDArray[Any]]) -> Rows:
    """Frames from the first to the last that is not all zeros in each of the arrays [N, T, d_i].

    A sample of zeros alone keeps its first frame: the layouts have no way to say that it is missing.
    """
    n, longest = arrays[0].shape[:2]
    filled: NDArray[np.bool_] = np.zeros((n, longest), dtype=np.bool_)
    for array in arrays:
        # In blocks, or the comparison would take a quarter of the array again.
        for start in range(0, n, _BLOCK):
            block = slice(start, start + _BLOCK)
            filled[block] |= (array[block] != 0).any(-1)
    filled[~filled.any(1), 0] = True
    before = np.logical_or.accumulate(filled, axis=1)
    after = np.logical_or.accumulate(filled[:, ::-1], axis=1)[:, ::-1]
    return Rows(before & after)


def first(lengths: NDArray[np.int64], longest: int) -> Rows:
    """The first ``lengths`` [N] of ``longest`` frames."""
    return Rows(np.arange(longest) < lengths[:, None])


def take(tables: Tables, key: str, rows: Mapping[str, Rows], kept: Mapping[str, NDArray[np.bool_]]) -> Ragged:
    """Take the real frames of the samples kept out of the tables, which let go of their arrays.

    Args:
        tables: by split; ``key`` is removed from each, or an array and its copy would stay.
        key: of the arrays [N, T, d].
        rows: by split, the real frames.
        kept: by split, bool [N].

    Returns:
        The samples in the order train, dev, test.
    """
    lengths = {split: rows[split].lengths[kept[split]] for split in SPLITS}
    total = sum(int(each.sum()) for each in lengths.values())
    width = tables["train"][key].shape[2]
    dtype = np.result_type(*(tables[split][key].dtype for split in SPLITS))
    features = np.empty((total, width), dtype=dtype)
    start = 0
    for split in SPLITS:
        array, real = tables[split].pop(key), rows[split].real & kept[split][:, None]
        for block in range(0, len(array), _BLOCK):
            part = array[block : block + _BLOCK][real[block : block + _BLOCK]]
            features[start : start + len(part)] = part
            start += len(part)
    return Ragged(features, np.concatenate([lengths[split] for split in SPLITS]))


def column(tables: Tables, split: str, key: str, size: int, path: Path) -> list[Any]:
    """One value per sample.

    Raises:
        UserError: there are none, or not as many as samples.
    """
    values = tables[split].get(key)
    if isinstance(values, np.ndarray) and values.ndim:
        values = list(values)
    if not isinstance(values, list | tuple):
        raise UserError(f"{path}: {split} has no list {key}; get the file again")
    if len(values) != size:
        raise UserError(
            f"{path}: {split}, {key} has {len(values)} entries for {size} samples; get the file again"
        )
    return list(values)


@dataclass(frozen=True)
class Usable:
    """The samples that can be used, in the order train, dev, test.

    Attributes:
        kept: by split, bool [N].
        ids: names of the file, "" where it has none.
        splits: of each.
        labels: of each.
    """

    kept: dict[str, NDArray[np.bool_]]
    ids: list[str]
    splits: list[str]
    labels: list[Any]


def usable(
    tables: Tables, sizes: Mapping[str, int], key: str, label: Callable[[str, int, Any], Any], skips: Skips
) -> Usable:
    """Go through the samples one by one.

    Args:
        tables: by split.
        sizes: N by split.
        key: of the labels.
        label: split, position and the value found to a label; raises BadSampleError.
        skips: takes the samples that cannot be used.
    """
    found = Usable({}, [], [], [])
    for split in SPLITS:
        found.kept[split] = np.ones(sizes[split], dtype=np.bool_)
        ids = _ids(tables, split, sizes[split], skips.path)
        for i, value in enumerate(column(tables, split, key, sizes[split], skips.path)):
            name = ""
            try:
                name = as_name(ids[i])
                found.labels.append(label(split, i, value))
            except BadSampleError as bad:
                skips.leave_out(split, i, name, bad)
                found.kept[split][i] = False
            else:
                found.ids.append(name)
                found.splits.append(split)
    skips.check_splits(found.splits)
    return found


def _ids(tables: Tables, split: str, size: int, path: Path) -> list[Any]:
    """The ids of a split as they stand in the file, None where it has none."""
    if tables[split].get("id") is None:
        return [None] * size
    return column(tables, split, "id", size, path)
