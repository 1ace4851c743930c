"""Generated data of a shape, as a store: what is timed does not look at values."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.shapes import SEED, Lengths, Shape
from cmad.combinations import MODALITIES
from cmad.language.find import find, weights_checksum
from cmad.splits import SPLITS
from cmad.store.store import Store, open_store
from cmad.task import Task

# Of all-MiniLM-L6-v2: width of its states, and word pieces that are no special ones.
_MINILM_WIDTH = 384
_PIECES = (1000, 30000)
# Frames drawn at a time.
_BLOCK = 4096


def write_store(folder: Path, shape: Shape) -> Store:
    """Write a store (see ``cmad.store.store``) of complete samples with normal features, and open it.

    Features are written block by block, so that writing needs no more memory than a block.

    Args:
        folder: new or empty.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    counts = {"train": shape.train, "dev": shape.dev}
    splits = [name for name in SPLITS for _ in range(counts.get(name, 0))]
    lengths = _draw(shape.lengths, len(splits), rng)
    for m in MODALITIES:
        np.save(folder / f"{m}.offsets.npy", np.concatenate([[0], np.cumsum(lengths)]))
        if shape.tokens and m == "language":
            _write_tokens(folder / f"{m}.npy", int(lengths.sum()), rng)
        else:
            _write_features(folder / f"{m}.npy", int(lengths.sum()), shape.widths[m], rng)
    np.save(folder / "labels.npy", _labels(shape.task, len(splits), rng))
    with (folder / "samples.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "split", "group"])
        writer.writerows((str(i), split, "") for i, split in enumerate(splits))
    manifest = {
        "task": {"kind": shape.task.kind, "names": shape.task.names},
        "max_frames": dict.fromkeys(MODALITIES, shape.lengths.longest),
        "encoder": _encoder() if shape.tokens else None,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return open_store(folder)


def _draw(lengths: Lengths, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Frames of each sample."""
    if lengths.deviation == 0:
        return np.full(count, round(lengths.mean))
    form = (lengths.mean / lengths.deviation) ** 2
    drawn = np.rint(rng.gamma(form, lengths.mean / form, count))
    return np.clip(drawn, 1, lengths.longest).astype(np.int64)


def _write_features(path: Path, frames: int, width: int, rng: np.random.Generator) -> None:
    features = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(frames, width))
    for start in range(0, frames, _BLOCK):
        block = features[start : start + _BLOCK]
        block[:] = rng.standard_normal(block.shape, dtype=np.float32)
    features.flush()


def _write_tokens(path: Path, tokens: int, rng: np.random.Generator) -> None:
    ids = rng.integers(*_PIECES, tokens, dtype=np.int32)
    np.save(path, np.stack([ids, np.zeros_like(ids)], axis=1))


def _labels(task: Task, count: int, rng: np.random.Generator) -> NDArray[Any]:
    if task.kind == "regression":
        return rng.normal(0, 1.1, count).astype(np.float32)
    if task.kind == "classes":
        return rng.integers(0, task.classes, count)
    return rng.integers(0, 2, (count, task.records))


def _encoder() -> dict[str, Any]:
    checksum = weights_checksum(find("minilm"))
    return {"name": "minilm", "width": _MINILM_WIDTH, "checksum": checksum, "fine_tuned": True}
