"""MAG (MIB) pickles as published, MOSEI by default."""

import pickle
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tests.generators.publish import SIZES, VOCABULARY, published_lengths

# MOSI has vision 47.
AUDIO, VISION = 74, 35


def make_mag(
    sizes: tuple[int, int, int] = SIZES,
    scale: Literal["small", "published"] = "small",
    vision: int = VISION,
    seed: int = 0,
) -> dict[str, list[Any]]:
    """Content of ``mosei.pkl``: {train, dev, test} of [((words, visual, acoustic), label, segment)].

    With its traps: -inf in the acoustic rows of every fifth sample, the first column constant, an empty
    word, words that no tokeniser knows, labels as arrays [1, 1], one label 0, segments ``video[clip]``.
    The labels show a little in every modality.

    Args:
        sizes: of train, dev and test at small scale, four or more each.
        scale: "published" gives MOSEI's counts, and lengths like its own.
        vision: width of the visual rows.
        seed: of everything.
    """
    rng = np.random.default_rng(seed)
    counts = (16_265, 1_869, 4_643) if scale == "published" else sizes
    content: dict[str, list[Any]] = {}
    for split, count in zip(("train", "dev", "test"), counts, strict=True):
        lengths = (
            published_lengths(count, 19, 120, rng) if scale == "published" else rng.integers(1, 7, count)
        )
        content[split] = [_item(split, i, int(n), vision, rng) for i, n in enumerate(lengths)]
    return content


def write_mag(path: Path, content: dict[str, list[Any]], protocol: int = 3) -> Path:
    """Pickle it; the published files are of protocol 2 to 4."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        pickle.dump(content, file, protocol)
    return path


def _item(split: str, i: int, n: int, width: int, rng: np.random.Generator) -> Any:
    label = np.round(rng.uniform(-3, 3), 1) if i != 3 else 0.0
    words = [VOCABULARY[k] for k in rng.integers(0, len(VOCABULARY), n)]
    if i == 1:
        # No tokeniser gives a token for it.
        words[0] = ""
    acoustic = rng.standard_normal((n, AUDIO)) + label
    visual = rng.standard_normal((n, width)) + label
    acoustic[:, 0] = 1.0
    if i % 5 == 0:
        acoustic[:, 3] = -np.inf
    return (
        (words, visual, acoustic),
        np.array([[label]], dtype=np.float32),
        f"{split}Video_{i // 4}[{i % 4}]",
    )
