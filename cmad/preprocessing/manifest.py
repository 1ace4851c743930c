"""The manifest: a store's shapes, counts and checksums, the same bytes for the same data."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmad.combinations import COMBINATIONS, MODALITIES, contained
from cmad.config.schema import Preprocess
from cmad.preprocessing.clean import Cleaned
from cmad.preprocessing.language import Language
from cmad.raw.raw_data import RawData
from cmad.splits import SPLITS
from cmad.task import Kind, Task


def describe(
    raw: RawData,
    task: Task,
    params: Preprocess,
    language: Language,
    cleaned: Mapping[str, Cleaned],
    order: NDArray[np.int64],
) -> dict[str, Any]:
    """Build the manifest.

    Args:
        raw: the data with language as features or as token ids.
        task: what its labels mean.
        params: the preset's preprocess section.
        language: what was done to language.
        cleaned: by modality, in the store's order.
        order: of the n samples in the store.

    Returns:
        ``format``; ``task`` {kind, names}; by modality ``max_frames`` (T), ``widths``, ``non_finite``
        (values), ``constant_columns`` and ``cut_frames`` (of language also tokens); ``encoder``, None or
        its name, width (of the hidden states), checksum (SHA-256 of its weights) and fine_tuned (the
        store has token ids); ``wordless``, the words that yield no token; ``skipped``, samples left out
        by reason; ``splits`` by name: n, complete,
        ``combinations`` (samples that have each of the seven), ``labels`` (see ``label_summary``),
        ``lengths`` by modality (mean and max over the samples that have it); ``shared_groups``
        between each two splits; ``checksums`` (SHA-256 by raw file).
    """
    splits = np.array(raw.splits)[order]
    groups = np.array(raw.groups, dtype=object)[order]
    labels = raw.labels[order]
    members = {name: np.flatnonzero(splits == name) for name in SPLITS}
    return {
        "format": params.format,
        "task": {"kind": task.kind, "names": list(task.names)},
        "max_frames": asdict(params.max_frames),
        "widths": {m: _width(raw, m, language) for m in MODALITIES},
        "non_finite": {m: cleaned[m].non_finite for m in MODALITIES},
        "constant_columns": {m: cleaned[m].constant for m in MODALITIES},
        "cut_frames": {m: cleaned[m].cut + (language.cut if m == "language" else 0) for m in MODALITIES},
        "encoder": asdict(language.encoder) if language.encoder else None,
        "wordless": language.wordless,
        "skipped": dict(raw.skipped),
        "splits": {
            name: _split({m: cleaned[m].lengths[rows] for m in MODALITIES})
            | {"labels": label_summary(labels[rows], task)}
            for name, rows in members.items()
        },
        "shared_groups": {
            f"{a}-{b}": len((set(groups[members[a]]) & set(groups[members[b]])) - {""})
            for a, b in combinations(SPLITS, 2)
        },
        "checksums": dict(raw.checksums),
    }


def _width(raw: RawData, modality: str, language: Language) -> int:
    if modality == "language" and language.encoder:
        return language.encoder.width
    width: int = raw.streams[modality].features.shape[1]
    return width


def to_json(manifest: Mapping[str, Any]) -> str:
    """Readable, sorted, with a last line end."""
    return json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def label_summary(labels: NDArray[Any], task: Task) -> dict[str, Any]:
    """The balance of some samples' labels, at least one.

    Returns:
        Regression: ``mean``, ``deviation``, ``zero`` (labels exactly 0, which accuracy and F1 leave
        out) and ``positive_share`` among the others (0 where there is none). Classes: the number of
        samples by class. Binary: the number of ones by label.
    """
    summaries: dict[Kind, Any] = {"regression": _scores, "classes": _classes, "binary": _binary}
    summary: dict[str, Any] = summaries[task.kind](labels, task.names)
    return summary


def _scores(labels: NDArray[np.float64], _: tuple[str, ...]) -> dict[str, float]:
    nonzero = labels[labels != 0]
    return {
        "mean": _rounded(labels.mean()),
        "deviation": _rounded(labels.std()),
        "zero": len(labels) - len(nonzero),
        "positive_share": _rounded((nonzero > 0).mean()) if len(nonzero) else 0.0,
    }


def _classes(labels: NDArray[np.int64], names: tuple[str, ...]) -> dict[str, int]:
    return dict(zip(names, np.bincount(labels, minlength=len(names)).tolist(), strict=True))


def _binary(labels: NDArray[np.int64], names: tuple[str, ...]) -> dict[str, int]:
    return dict(zip(names, labels.sum(0).tolist(), strict=True))


def _split(lengths: Mapping[str, NDArray[np.int64]]) -> dict[str, Any]:
    has = np.stack([lengths[m] > 0 for m in MODALITIES], axis=1)
    return {
        "n": len(has),
        "complete": int(has.all(1).sum()),
        "combinations": dict(zip(COMBINATIONS, contained(has).sum(0).tolist(), strict=True)),
        "lengths": {
            m: {"mean": _rounded(own.mean()) if len(own) else 0.0, "max": int(own.max(initial=0))}
            for m, own in ((m, lengths[m][lengths[m] > 0]) for m in MODALITIES)
        },
    }


def _rounded(value: np.floating[Any] | float) -> float:
    # Six digits: far more than a table shows, far fewer than differ between machines.
    return float(f"{value:.6g}")
