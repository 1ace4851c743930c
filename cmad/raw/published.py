"""What the readers of the published layouts share: texts, scores, names, and samples left out."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmad.errors import UserError
from cmad.raw.raw_data import Ragged
from cmad.splits import SPLITS

# Sentiment goes from -3 to 3; scores are means that were rounded.
_HIGHEST = 3 + 1e-6
# Lists in lists that a label may hide in; a pickle can hold a list that holds itself.
_DEEPEST = 4
_MOST_PARTS = 8
# Digits of a number that is an id; Python refuses to write out very many.
_MOST_DIGITS = 200
# MAG writes video[clip] or video_clip, MMSA video$_$clip.
_SEGMENT = re.compile(r"(?s)(.+?)(?:\$_\$[^$]*|\[\d+\]|_\d+)")


class BadSampleError(Exception):
    """A sample that cannot be used.

    Attributes:
        reason: in a few words, the same for all like it.
        detail: what exactly is wrong with this one.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail or reason


class Skips:
    """Samples left out, counted by reason; where that is not allowed, the first one ends the reading."""

    def __init__(self, path: Path, allowed: bool) -> None:
        self.path, self._allowed = path, allowed
        self.counts: Counter[str] = Counter()

    def leave_out(self, split: str, index: int, name: str, bad: BadSampleError) -> None:
        """Count a sample.

        Raises:
            UserError: samples must not be left out.
        """
        if not self._allowed:
            where = f"{self.path}: {split} sample {index}" + (f" (id {name})" if name else "")
            raise UserError(
                f"{where}: {bad.detail}; mend it, or leave out what is like it with preprocess.skip_bad: true"
            )
        self.counts[bad.reason] += 1

    def check_splits(self, splits: Sequence[str]) -> None:
        """Refuse data of which too little is left.

        Raises:
            UserError: a split without samples.
        """
        for split in SPLITS:
            if split not in splits:
                reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(self.counts.items()))
                raise UserError(
                    f"{self.path}: split {split} has no sample left ({reasons or 'it is empty'}); "
                    "get the data again"
                )


def as_text(value: Any) -> str:
    """A text of a file; bytes are UTF-8.

    Raises:
        BadSampleError: it is neither, or not UTF-8.
    """
    try:
        if isinstance(value, bytes):
            return value.decode("utf-8")
        if isinstance(value, str):
            # Half a surrogate pair is no text, though Python can hold it.
            return str(value) if value.isascii() else value.encode("utf-8").decode("utf-8")
    except UnicodeError:
        raise BadSampleError("text is not UTF-8") from None
    raise BadSampleError("text is missing", f"text is {type(value).__name__}, not a text")


def as_number(value: Any) -> float:
    """A number, however deep in arrays and lists of length 1.

    Raises:
        BadSampleError: it is none, or not finite.
    """
    for _ in range(_DEEPEST):
        if isinstance(value, list | tuple) and len(value) == 1:
            value = value[0]
    if isinstance(value, np.ndarray):
        if value.size != 1:
            raise BadSampleError("label is no single number", f"label has shape {list(value.shape)}, not [1]")
        value = value.reshape(())[()]
    if not isinstance(value, int | float | np.number | np.bool_) or isinstance(value, complex):
        raise BadSampleError("label is no single number", f"label is {type(value).__name__}, not a number")
    try:
        number = float(value)
    except (OverflowError, TypeError):
        number = np.inf
    if not np.isfinite(number):
        raise BadSampleError("label is not finite")
    return number


def as_score(value: Any) -> float:
    """A sentiment score.

    Raises:
        BadSampleError: it is no number from -3 to 3.
    """
    score = as_number(value)
    if abs(score) > _HIGHEST:
        raise BadSampleError("label is out of range", f"label {score:g} is out of range, -3 to 3")
    return score


def as_name(value: Any) -> str:
    """An id as one line of text: parts are joined by "_", bytes are decoded, control characters go.

    Returns:
        "" for what is no name.

    Raises:
        BadSampleError: a number of more than 200 digits.
    """
    if isinstance(value, np.ndarray):
        value = value.reshape(-1)[:_MOST_PARTS].tolist()
    if isinstance(value, list | tuple):
        parts = [as_name(p) for p in value[:_MOST_PARTS] if not isinstance(p, list | tuple | np.ndarray)]
        return "_".join(part for part in parts if part)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, float | np.floating) and np.isfinite(value) and float(value).is_integer():
        value = int(value)
    if not isinstance(value, str | int | float | np.number) or isinstance(value, bool):
        return ""
    if isinstance(value, int) and abs(value) >= 10**_MOST_DIGITS:
        raise BadSampleError("id is too long", f"id is a number of more than {_MOST_DIGITS} digits")
    text = str(value)[:200].encode("utf-8", "replace").decode("utf-8")
    return "".join(c if c.isprintable() else "_" for c in text).strip()


def unique_names(names: Sequence[str], splits: Sequence[str]) -> list[str]:
    """Ids without repetition: the second ``x`` becomes ``x#2``; no name becomes ``<split>_<position>``."""
    seen: set[str] = set()
    counts: Counter[str] = Counter()
    positions: Counter[str] = Counter()
    result = []
    for name, split in zip(names, splits, strict=True):
        wanted = name or f"{split}_{positions[split]:05d}"
        positions[split] += 1
        counts[wanted] += 1
        unique = wanted if counts[wanted] == 1 else f"{wanted}#{counts[wanted]}"
        while unique in seen:
            counts[wanted] += 1
            unique = f"{wanted}#{counts[wanted]}"
        seen.add(unique)
        result.append(unique)
    return result


def count_repeated(names: Sequence[str]) -> int:
    """How many ids stand more than once, before ``unique_names`` tells them apart; no name is no id."""
    return sum(count > 1 for name, count in Counter(names).items() if name)


def video_of(name: str) -> str:
    """The video of a segment's name, or "" where the name does not say."""
    found = _SEGMENT.fullmatch(name)
    return found[1] if found else ""


def join(arrays: list[NDArray[Any]], width: int) -> Ragged:
    """Streams of n samples, one after the other; one without frames may have any shape.

    The list is emptied on the way, so that a sample's own array can go as soon as it is copied.
    """
    lengths = np.array([len(array) for array in arrays], dtype=np.int64)
    dtype = np.result_type(np.float16, *{array.dtype for array in arrays if len(array)})
    features = np.empty((int(lengths.sum()), width), dtype=dtype)
    stop = len(features)
    while arrays:
        array = arrays.pop()
        if len(array):
            features[stop - len(array) : stop] = array
            stop -= len(array)
    return Ragged(features, lengths)


def check_labels(labels: NDArray[Any], splits: Sequence[str], names: Sequence[str], path: Path) -> None:
    """Refuse labels that do not vary over train; those of scores are left to the task.

    Args:
        labels: int64 [n] classes or [n, J] of 0 and 1.
        splits: n names.
        names: of the classes or labels.
        path: of the file, for messages.
    """
    train = labels[np.array(splits) == "train"]
    for j, column in enumerate(train.T if train.ndim == 2 else [train]):
        if len(np.unique(column)) < 2:
            what = f"label {names[j]}" if train.ndim == 2 else "label"
            raise UserError(f"{path}: every train sample has the same {what}; give train two values")
