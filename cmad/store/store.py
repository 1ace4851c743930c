"""The store: a data set as memory-mapped ragged arrays, ready to be cut into batches.

A folder with ``manifest.json`` (see ``cmad.preprocessing.manifest``), ``samples.csv`` (id, split, group),
``labels.npy``, for each modality ``<modality>.npy`` [sum of lengths, d], float32 or float16, and
``<modality>.offsets.npy`` [n + 1], and ``ceiling.npy`` [n, 7, K] for generated data. Samples stand
in the order train, dev, test. Where the language encoder is trained with the network, ``language.npy``
is int32 [sum of lengths, 2], (token id, segment), and ``manifest["encoder"]`` names the encoder.
"""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmad.combinations import MODALITIES
from cmad.errors import UserError
from cmad.splits import SPLITS
from cmad.task import Task


@dataclass(frozen=True)
class Split:
    """The samples of one split.

    Attributes:
        ids: n names.
        labels: float32 [n], int64 [n] or int64 [n, J], by task kind.
        has: bool [n, 3], the modalities that a sample natively has.
        features: by modality, [frames of the whole store, d], memory-mapped; of language token ids and
            segments [tokens of the whole store, 2] where the store has an encoder.
        starts, lengths: by modality, int64 [n], where a sample's frames stand.
        ceiling: [n, 7, K] Bayes-optimal outputs, for generated data.
    """

    ids: list[str]
    labels: NDArray[Any]
    has: NDArray[np.bool_]
    features: Mapping[str, NDArray[Any]]
    starts: Mapping[str, NDArray[np.int64]]
    lengths: Mapping[str, NDArray[np.int64]]
    ceiling: NDArray[np.float64] | None

    def __len__(self) -> int:
        return len(self.ids)

    # Each batch asks for these: computed anew for each, an epoch would take the square of its samples.

    @cached_property
    def complete(self) -> NDArray[np.bool_]:
        """[n], True where a sample has all three modalities."""
        return np.asarray(self.has.all(axis=1))

    @cached_property
    def firsts(self) -> Mapping[str, NDArray[np.int64]]:
        """By modality, int64 [n], a sample's first frame among those of the split, in sample order."""
        return {m: np.cumsum(lengths) - lengths for m, lengths in self.lengths.items()}


@dataclass(frozen=True)
class Encoder:
    """The language encoder that is trained with the network.

    Attributes:
        name: as the params name it.
        width: of its hidden states.
    """

    name: str
    width: int


@dataclass(frozen=True)
class Store:
    """An opened store.

    Attributes:
        task: what is predicted.
        widths: d of each modality; of language the encoder's, where there is one.
        manifest: the parsed ``manifest.json``.
        splits: by name.
        encoder: set where language is stored as token ids.
    """

    task: Task
    widths: Mapping[str, int]
    manifest: Mapping[str, Any]
    splits: Mapping[str, Split]
    encoder: Encoder | None = None


def open_store(folder: Path) -> Store:
    """Open a store without reading its features.

    Raises:
        UserError: the folder is no complete store.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        ids, of_splits = _read_samples(folder / "samples.csv")
        labels = np.load(folder / "labels.npy")
        features = {m: np.load(folder / f"{m}.npy", mmap_mode="r") for m in MODALITIES}
        offsets = {m: np.load(folder / f"{m}.offsets.npy") for m in MODALITIES}
        ceiling = np.load(folder / "ceiling.npy") if (folder / "ceiling.npy").exists() else None
        task = Task(manifest["task"]["kind"], tuple(manifest["task"]["names"]))
        encoder = _encoder(manifest["encoder"])
        _check_sizes(len(ids), labels, features, offsets, ceiling)
        _check_kinds(features, encoder)
    except (OSError, ValueError, EOFError, KeyError, TypeError, csv.Error) as error:
        raise UserError(f"{folder}: not a readable store ({error}); run the preprocess stage again") from None
    splits = {}
    for name in SPLITS:
        rows = np.flatnonzero(of_splits == name)
        starts = {m: offsets[m][rows] for m in MODALITIES}
        lengths = {m: offsets[m][rows + 1] - offsets[m][rows] for m in MODALITIES}
        splits[name] = Split(
            ids=[ids[row] for row in rows],
            labels=labels[rows],
            has=np.stack([lengths[m] > 0 for m in MODALITIES], axis=1),
            features=features,
            starts=starts,
            lengths=lengths,
            ceiling=None if ceiling is None else ceiling[rows],
        )
    widths = {m: features[m].shape[1] for m in MODALITIES}
    if encoder is not None:
        widths["language"] = encoder.width
    return Store(task, widths, manifest, splits, encoder)


def _read_samples(path: Path) -> tuple[list[str], NDArray[np.str_]]:
    """The id and the split of each of n samples."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
    return [row["id"] for row in rows], np.array([row["split"] for row in rows], dtype=np.str_)


def _encoder(entry: Mapping[str, Any] | None) -> Encoder | None:
    return Encoder(entry["name"], entry["width"]) if entry and entry["fine_tuned"] else None


def _check_sizes(
    n: int,
    labels: NDArray[Any],
    features: Mapping[str, NDArray[Any]],
    offsets: Mapping[str, NDArray[Any]],
    ceiling: NDArray[Any] | None,
) -> None:
    """Raise ValueError where the files of a store do not belong together."""
    fits = (
        len(labels) == n
        and (ceiling is None or len(ceiling) == n)
        and all(len(offsets[m]) == n + 1 and offsets[m][-1] == len(features[m]) for m in MODALITIES)
    )
    if not fits:
        raise ValueError("its files disagree in size")


def _check_kinds(features: Mapping[str, NDArray[Any]], encoder: Encoder | None) -> None:
    """Raise ValueError where token ids stand in place of features or the other way round."""
    tokens = features["language"].dtype == np.int32 and features["language"].shape[1:] == (2,)
    if tokens != (encoder is not None):
        raise ValueError("its manifest and its language.npy disagree about token ids")
