"""The MulT pickle of IEMOCAP, MOSEI and MOSI: GloVe vectors, audio and vision, padded with zeros.

{train, valid, test}: {text [N, T, 300], audio [N, T, 74], vision [N, T, 35], labels, maybe id}, with
labels [N, 4, 2] (one yes or no per emotion, one-hot) or [N, 1, 1] (a score).
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmad.config.schema import Preprocess
from cmad.errors import UserError
from cmad.files import sha256
from cmad.raw.check import check
from cmad.raw.layouts import load_as
from cmad.raw.padded import Rows, Tables, between_zeros, check_tables, take, usable
from cmad.raw.published import (
    BadSampleError,
    Skips,
    as_name,
    as_score,
    check_labels,
    count_repeated,
    unique_names,
)
from cmad.raw.raw_data import RawData
from cmad.splits import SPLITS

EMOTIONS = ("Neutral", "Happy", "Sad", "Angry")
KEYS = {"language": "text", "audio": "audio", "vision": "vision"}


def read(path: Path, params: Preprocess) -> RawData:
    """Read a MulT pickle.

    Frames of zeros at either end of a stream are padding: of an aligned file (three streams of one T)
    those in which all three are zero, of others those of each stream.

    Returns:
        Four binary labels or one score. The parts of an id are joined by "_", and the first of several
        is the group.

    Raises:
        UserError: see ``cmad.raw.layouts.load_as`` and ``cmad.raw.check.check``; arrays that do not fit;
            labels of another task; without ``skip_bad`` the first label out of range.
    """
    tables: Tables = load_as(path, "mult")
    sizes = check_tables(tables, list(KEYS.values()), path)
    _check_task(tables["train"]["labels"], params, path)
    emotions = () if params.task == "regression" else EMOTIONS
    skips = Skips(path, params.skip_bad)
    found = usable(
        tables, sizes, "labels", lambda _split, _i, value: (_emotions if emotions else as_score)(value), skips
    )
    labels = np.array(found.labels, dtype=np.int64 if emotions else np.float64)
    if emotions:
        check_labels(labels, found.splits, emotions, path)
    rows = {split: _rows(tables[split]) for split in SPLITS}
    raw = RawData(
        ids=unique_names(found.ids, found.splits),
        splits=found.splits,
        groups=[group for split in SPLITS for group in _groups(tables[split], found.kept[split])],
        labels=labels,
        names=emotions,
        streams={m: take(tables, k, {s: rows[s][m] for s in SPLITS}, found.kept) for m, k in KEYS.items()},
        checksums={path.name: sha256(path)},
        skipped=dict(sorted(skips.counts.items())),
        repeated_ids=count_repeated(found.ids),
    )
    check(raw, str(path))
    return raw


def _check_task(labels: Any, params: Preprocess, path: Path) -> None:
    shape = labels.shape[1:] if isinstance(labels, np.ndarray) else None
    task = {(4, 2): "binary", (1, 1): "regression", (1,): "regression", (): "regression"}.get(shape or ())
    if shape is None or task is None:
        given = "no array" if shape is None else f"[N, {', '.join(map(str, shape))}]"
        raise UserError(f"{path}: labels are {given}, not [N, 4, 2] or [N, 1, 1]; get the file again")
    if params.task != task:
        raise UserError(f"{path}: labels are of a {task} task; set preprocess.task: {task}")


def _emotions(value: Any) -> list[int]:
    """Yes or no for each of the four emotions."""
    if not isinstance(value, np.ndarray) or value.shape != (4, 2) or value.dtype.kind not in "fiub":
        raise BadSampleError("label is not [4, 2]")
    if not (np.isin(value, (0, 1)).all() and (value.sum(-1) == 1).all()):
        raise BadSampleError("label is out of range", "label is not one-hot, 0 and 1")
    chosen: list[int] = value.argmax(-1).tolist()
    return chosen


def _groups(table: dict[str, Any], kept: NDArray[np.bool_]) -> list[str]:
    """The first part of each id that has several: the video."""
    ids = table.get("id")
    if ids is None:
        return [""] * int(kept.sum())
    return [_video(ids[i]) for i in np.flatnonzero(kept)]


def _video(name: Any) -> str:
    if isinstance(name, np.ndarray):
        name = name.reshape(-1)[:2].tolist()
    # As a list of one: what is no part of the id is no video either.
    return as_name(name[:1]) if isinstance(name, list | tuple) and len(name) > 1 else ""


def _rows(table: dict[str, Any]) -> dict[str, Rows]:
    arrays: dict[str, NDArray[Any]] = {m: table[key] for m, key in KEYS.items()}
    if len({array.shape[1] for array in arrays.values()}) == 1:
        return dict.fromkeys(arrays, between_zeros(list(arrays.values())))
    return {m: between_zeros([array]) for m, array in arrays.items()}
