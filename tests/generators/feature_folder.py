"""Small, faithful feature folders (``data/README.md``), and ways to spoil them."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmad.splits import SPLITS
from cmad.task import Kind

WIDTHS = {"language": 5, "audio": 4, "vision": 3}
WORDS = ("well", "that", "was", "really", "not", "good", "at", "all", "é", "😀")


def write_feature_folder(
    folder: Path,
    kind: Kind = "regression",
    sizes: tuple[int, int, int] = (12, 6, 6),
    text: bool = False,
    longest: int = 6,
    seed: int = 0,
) -> Path:
    """Write a valid feature folder whose features tell a little about its labels.

    Args:
        folder: made if need be.
        kind: "regression" writes scores with one decimal, "classes" three classes, "binary" the
            columns ``label.happy`` and ``label.sad``.
        sizes: samples of train, dev and test, two or more each.
        text: a text and a context column instead of ``language.npz``.
        longest: longest stream. A third of the samples lack audio, another third vision, and one
            of them both.
        seed: of everything.

    Returns:
        ``folder``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    n = sum(sizes)
    splits = [name for name, size in zip(SPLITS, sizes, strict=True) for _ in range(size)]
    scores = np.round(rng.uniform(-3, 3, n), 1)
    # Every class and both values of every label occur in every split of two or more.
    scores[np.concatenate([[0], np.cumsum(sizes)[:-1]])] = 2.0
    scores[np.concatenate([[0], np.cumsum(sizes)[:-1]]) + 1] = -2.0
    scores[2] = 0.0
    rows: list[dict[str, str]] = [
        {"id": f"clip_{i}", "split": splits[i], "group": f"{splits[i]}_{i // 2}"} for i in range(n)
    ]
    for row, score in zip(rows, scores, strict=True):
        row.update(_labels(float(score), kind))
        if text:
            row["text"] = " ".join(rng.choice(WORDS, rng.integers(1, longest + 1)))
            row["context"] = ", ".join(rng.choice(WORDS, rng.integers(0, longest + 1)))
    write_samples(folder, rows)
    for m in ("audio", "vision") if text else ("language", "audio", "vision"):
        lengths = rng.integers(1, longest + 1, n)
        if m != "language":
            lengths[np.arange(n) % 3 == (1 if m == "audio" else 2)] = 0
            lengths[4] = 0
        signal = np.repeat(scores, lengths)[:, None]
        features = signal * rng.standard_normal(WIDTHS[m]) + rng.standard_normal((lengths.sum(), WIDTHS[m]))
        np.savez(folder / f"{m}.npz", features=features.astype(np.float32), lengths=lengths)
    return folder


def read_rows(folder: Path) -> list[dict[str, str]]:
    """The rows of ``samples.csv``."""
    with (folder / "samples.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_samples(folder: Path, rows: list[dict[str, str]]) -> None:
    """Write ``samples.csv`` with the columns of its first row."""
    with (folder / "samples.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def read_arrays(folder: Path, modality: str) -> dict[str, NDArray[Any]]:
    """The arrays of one ``.npz``."""
    with np.load(folder / f"{modality}.npz") as file:
        return dict(file)


def write_arrays(folder: Path, modality: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write one ``.npz``."""
    np.savez(folder / f"{modality}.npz", allow_pickle=True, **arrays)


def _labels(score: float, kind: Kind) -> dict[str, str]:
    if kind == "regression":
        return {"label": str(score)}
    if kind == "classes":
        return {"label": "low" if score < -1 else "high" if score > 1 else "middle"}
    return {"label.happy": str(int(score > 0)), "label.sad": str(int(score < -1))}
