"""HKT pickles as published: MUStARD and UR-FUNNY."""

import pickle
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tests.generators.publish import SIZES, VOCABULARY, published_lengths

VISION, AUDIO, HUMOUR = 91, 81, 4
PUBLISHED = {"mustard": (539, 68, 68), "ur_funny": (7_614, 980, 994)}


def make_hkt(
    name: Literal["mustard", "ur_funny"] = "mustard",
    sizes: tuple[int, int, int] = SIZES,
    scale: Literal["small", "published"] = "small",
    seed: int = 0,
) -> dict[str, list[Any]]:
    """Content of ``mustard.pkl``: {train, dev, test} of [(own, context, id, label)].

    With its traps: own words are one string and context a list of strings, with runs of white space;
    every fourth sample has no context, with arrays [0, width]; -inf in the acoustic rows; a sentence that
    is empty; ids are numbers; labels are Python's, numpy's and arrays of length 1.

    Args:
        name: data set.
        sizes: at small scale, four or more each.
        scale: "published" gives the counts, and lengths like the file's own.
        seed: of everything.
    """
    rng = np.random.default_rng(seed)
    content: dict[str, list[Any]] = {}
    counts = PUBLISHED[name] if scale == "published" else sizes
    number = 0
    for split, count in zip(("train", "dev", "test"), counts, strict=True):
        own = published_lengths(count, 14, 60, rng) if scale == "published" else rng.integers(1, 6, count)
        content[split] = []
        for i, n in enumerate(own.tolist()):
            label = i % 2
            longest = 15 if scale == "published" else 4
            sentences = [] if i % 4 == 0 else [_words(int(k), rng) for k in rng.integers(1, longest, 3)]
            if i % 4 == 1:
                sentences[1] = []
            context = [" ".join(words) for words in sentences]
            said = _words(n, rng)
            parts = [
                (text, *_rows(size, label, i, rng))
                for text, size in (("  ".join(said) + " ", n), (context, sum(map(len, sentences))))
            ]
            written = (label, np.int64(label), np.array([label]))[i % 3]
            content[split].append((parts[0], parts[1], number, written))
            number += 1
    return content


def write_hkt(path: Path, content: dict[str, list[Any]], protocol: int = 3) -> Path:
    """Pickle it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        pickle.dump(content, file, protocol)
    return path


def _words(count: int, rng: np.random.Generator) -> list[str]:
    return [VOCABULARY[k] for k in rng.integers(0, len(VOCABULARY), count)]


def _rows(count: int, label: int, i: int, rng: np.random.Generator) -> tuple[Any, Any, Any]:
    """Visual, acoustic and humour-centric rows."""
    visual, acoustic, humour = (rng.standard_normal((count, d)) + label for d in (VISION, AUDIO, HUMOUR))
    if i % 5 == 0:
        acoustic[:, 3] = -np.inf
    return visual, acoustic, humour
