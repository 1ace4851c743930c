"""What can be said of raw data before any cleaning."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmad.combinations import MODALITIES
from cmad.preprocessing.manifest import label_summary
from cmad.raw.frames import blocks, frame_rows, moments
from cmad.raw.raw_data import Ragged, RawData
from cmad.splits import SPLITS
from cmad.task import Kind, Task

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True)
class Found:
    """What was found in n samples.

    Attributes:
        kind, names: of the task, and of its classes or labels.
        splits: n names of splits.
        labels: as in ``RawData``.
        label_balance: by split, see ``cmad.preprocessing.manifest.label_summary``.
        language_unit: what the length of language counts.
        widths: by modality that comes as features.
        dtypes: likewise, as stored.
        lengths: by modality, int64 [n]; 0 where a sample lacks it.
        non_finite: by modality and split, values that are infinite or no number.
        constant: by modality, columns that do not vary over the frames of train.
        repeated_ids: ids that more than one sample has.
        shared_groups: by pair of splits, groups (videos, speakers) in both.
        copies: by pair of splits, samples of the first whose content stands in the second too.
        within: by split, samples whose content stands there before.
        skipped: samples that could not be used, by reason.
        checksums: SHA-256 by file name.
    """

    kind: Kind
    names: tuple[str, ...]
    splits: NDArray[np.str_]
    labels: NDArray[Any]
    label_balance: Mapping[str, Mapping[str, float]]
    language_unit: str
    widths: Mapping[str, int]
    dtypes: Mapping[str, str]
    lengths: Mapping[str, NDArray[np.int64]]
    non_finite: Mapping[str, Mapping[str, int]]
    constant: Mapping[str, tuple[int, ...]]
    repeated_ids: int
    shared_groups: Mapping[str, int]
    copies: Mapping[str, int]
    within: Mapping[str, int]
    skipped: Mapping[str, int]
    checksums: Mapping[str, str]

    def counts(self) -> tuple[int, int, int]:
        """Samples of train, dev and test."""
        train, dev, test = (int((self.splits == name).sum()) for name in SPLITS)
        return train, dev, test

    def ones(self) -> dict[str, int]:
        """Test samples by class, or by label that is 1; empty for a regression."""
        return {} if self.kind == "regression" else {k: int(v) for k, v in self.label_balance["test"].items()}


def look(raw: RawData, kind: Kind) -> Found:
    """Walk over a data set once; memory beside the data stays small."""
    splits = np.array(raw.splits)
    members = {name: np.flatnonzero(splits == name) for name in SPLITS}
    task = Task(kind, raw.names)
    contents = _contents(raw)
    by_split = {name: [contents[i] for i in rows] for name, rows in members.items()}
    groups = {name: {raw.groups[i] for i in rows} - {""} for name, rows in members.items()}
    known = {name: set(each) for name, each in by_split.items()}
    pairs = list(combinations(SPLITS, 2))
    return Found(
        kind=kind,
        names=raw.names,
        splits=splits,
        labels=raw.labels,
        label_balance={n: label_summary(raw.labels[rows], task) for n, rows in members.items() if len(rows)},
        language_unit=_language_unit(raw),
        widths={m: stream.features.shape[1] for m, stream in raw.streams.items()},
        dtypes={m: str(stream.features.dtype) for m, stream in raw.streams.items()},
        lengths={m: lengths_of(raw, m) for m in MODALITIES},
        non_finite={
            m: {name: _bad_values(stream, rows) for name, rows in members.items()}
            for m, stream in raw.streams.items()
        },
        constant={m: _constant_columns(stream, members["train"]) for m, stream in raw.streams.items()},
        repeated_ids=raw.repeated_ids,
        shared_groups={f"{a}-{b}": len(groups[a] & groups[b]) for a, b in pairs},
        copies={f"{a}-{b}": sum(c in known[b] for c in by_split[a]) for a, b in pairs},
        within={name: len(each) - len(known[name]) for name, each in by_split.items()},
        skipped=dict(raw.skipped),
        checksums=dict(raw.checksums),
    )


def lengths_of(raw: RawData, modality: str) -> NDArray[np.int64]:
    """Frames, or for language words or tokens, of each sample [n]."""
    if modality in raw.streams:
        return raw.streams[modality].lengths
    if raw.words is not None:
        return np.array([len(words.context) + len(words.own) for words in raw.words], dtype=np.int64)
    if raw.tokens is not None:
        return raw.tokens.lengths
    return np.array([len(text.split()) for _, text in raw.texts or ()], dtype=np.int64)


def _language_unit(raw: RawData) -> str:
    if "language" in raw.streams:
        return "frames"
    if raw.words is not None:
        return "words"
    return "tokens" if raw.tokens is not None else "words of the text"


def _bad_values(stream: Ragged, rows: NDArray[np.int64]) -> int:
    return sum(bad for _, bad in blocks(stream, _frames(stream, rows)))


def _constant_columns(stream: Ragged, rows: NDArray[np.int64]) -> tuple[int, ...]:
    frames = _frames(stream, rows)
    return tuple(np.flatnonzero(moments(stream, frames).constant).tolist()) if len(frames) else ()


def _frames(stream: Ragged, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return frame_rows(stream, rows, int(stream.lengths.max(initial=0)))


def _contents(raw: RawData) -> list[bytes]:
    """A digest of everything that a sample says, its id and label left out."""
    streams = _ragged(raw)
    starts = {m: np.cumsum(stream.lengths) - stream.lengths for m, stream in streams.items()}
    digests = []
    for i in range(len(raw.ids)):
        digest = blake2b(digest_size=16)
        for m, stream in streams.items():
            # By rows, for features that are too large for memory give nothing else.
            part = stream.features[np.arange(starts[m][i], starts[m][i] + stream.lengths[i])]
            digest.update(f"{m}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).tobytes())
        said = (raw.words[i] if raw.words is not None else None, raw.texts[i] if raw.texts else None)
        digest.update(repr(said).encode())
        digests.append(digest.digest())
    return digests


def _ragged(raw: RawData) -> dict[str, Ragged]:
    return dict(raw.streams) | ({} if raw.tokens is None else {"tokens": raw.tokens})
