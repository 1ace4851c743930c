"""Layouts that are lists of samples, each with words and one frame of audio and vision per word."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmad.errors import UserError
from cmad.files import sha256
from cmad.raw.check import check
from cmad.raw.layouts import Layout, load_as
from cmad.raw.published import BadSampleError, Skips, check_labels, count_repeated, join, unique_names
from cmad.raw.raw_data import RawData, Words

MODALITIES = ("audio", "vision")


@dataclass(frozen=True)
class WordSample:
    """One sample.

    Attributes:
        name, group: its id and its video, "" where the file has none.
        words: as said.
        audio, vision: numbers [words, d]; [0, ...] where the modality is missing.
        label: score or class.
    """

    name: str
    group: str
    words: Words
    audio: NDArray[Any]
    vision: NDArray[Any]
    label: float


@dataclass(frozen=True)
class WordLayout:
    """How a layout writes a sample.

    Attributes:
        layout: its name.
        name: item to id; raises BadSampleError.
        sample: item and id to sample; raises BadSampleError.
        classes: names of the classes, empty for scores.
    """

    layout: Layout
    name: Callable[[Any], str]
    sample: Callable[[Any, str], WordSample]
    classes: tuple[str, ...]


def read_words(path: Path, layout: WordLayout, skip_bad: bool) -> RawData:
    """Read a pickle of such a layout.

    Raises:
        UserError: as ``cmad.raw.layouts.load_as`` and ``cmad.raw.check.check``; without ``skip_bad``
            also for the first sample that cannot be used.
    """
    skips = Skips(path, skip_bad)
    splits, samples = _samples(path, layout, skips)
    skips.check_splits(splits)
    labels = np.array([each.label for each in samples], dtype=np.int64 if layout.classes else np.float64)
    if layout.classes:
        check_labels(labels, splits, layout.classes, path)
    names = [each.name for each in samples]
    groups = [each.group for each in samples]
    words = [each.words for each in samples]
    frames_of = {m: [getattr(each, m) for each in samples] for m in MODALITIES}
    widths = {m: _width(frames_of[m]) for m in MODALITIES}
    # Joining lets go of each sample's own arrays; nothing else may hold them.
    del samples
    raw = RawData(
        ids=unique_names(names, splits),
        splits=splits,
        groups=groups,
        labels=labels,
        names=layout.classes,
        streams={m: join(frames_of[m], widths[m]) for m in MODALITIES},
        words=words,
        checksums={path.name: sha256(path)},
        skipped=dict(sorted(skips.counts.items())),
        repeated_ids=count_repeated(names),
    )
    check(raw, str(path))
    return raw


def _samples(path: Path, layout: WordLayout, skips: Skips) -> tuple[list[str], list[WordSample]]:
    """The split of each usable sample, and the sample."""
    found: list[tuple[str, int, WordSample]] = []
    for split, items in load_as(path, layout.layout).items():
        if not isinstance(items, list):
            raise UserError(
                f"{path}: split {split} is {type(items).__name__}, not a list; get the file again"
            )
        for index, item in enumerate(items):
            # The list lets go of what is no longer needed of the item.
            items[index] = None
            name = ""
            try:
                name = layout.name(item)
                found.append((split, index, layout.sample(item, name)))
            except BadSampleError as bad:
                skips.leave_out(split, index, name, bad)
    widths = {m: _width([getattr(sample, m) for _, _, sample in found]) for m in MODALITIES}
    kept = []
    for split, index, sample in found:
        try:
            _check_widths(sample, widths)
            kept.append((split, sample))
        except BadSampleError as bad:
            skips.leave_out(split, index, sample.name, bad)
    return [split for split, _ in kept], [sample for _, sample in kept]


def frames(value: Any, words: int, modality: str) -> NDArray[Any]:
    """A sample's frames, or none.

    Args:
        value: of the file.
        words: how many there must be, or none at all.
        modality: for messages.

    Raises:
        BadSampleError: it is no array of numbers [words, d].
    """
    if not isinstance(value, np.ndarray) and not (isinstance(value, list) and not value):
        raise BadSampleError(f"{modality} is no array", f"{modality} is {type(value).__name__}, not an array")
    array = np.asarray(value)
    if array.size == 0:
        return np.empty((0, 0), dtype=np.float32)
    check_frames(array, modality)
    if len(array) != words:
        raise BadSampleError(
            f"{modality} and words differ in number", f"{modality} has {len(array)} rows for {words} words"
        )
    return array


def check_frames(array: NDArray[Any], modality: str) -> None:
    """Refuse an array that is none of numbers [words, d].

    Args:
        array: of the file.
        modality: for messages.

    Raises:
        BadSampleError: it has another type or other axes.
    """
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise BadSampleError(
            f"{modality} is no array of frames",
            f"{modality} is {array.dtype} {list(array.shape)}, not numbers [words, columns]",
        )


def _width(arrays: list[NDArray[Any]]) -> int:
    """The width that most samples have, 1 where none has frames."""
    widths = Counter(array.shape[1] for array in arrays if len(array))
    return widths.most_common(1)[0][0] if widths else 1


def _check_widths(sample: WordSample, widths: dict[str, int]) -> None:
    for modality, width in widths.items():
        array = getattr(sample, modality)
        if len(array) and array.shape[1] != width:
            raise BadSampleError(
                f"{modality} has another width",
                f"{modality} has {array.shape[1]} columns, the others {width}",
            )
