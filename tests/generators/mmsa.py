"""MMSA pickles as published: MOSEI, aligned and unaligned."""

import pickle
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tests.generators.publish import SIZES, published_lengths

WIDTHS = {"text": 768, "audio": 74, "vision": 35}
PUBLISHED = (16_326, 1_871, 4_659)

Content = dict[str, dict[str, Any]]


def make_mmsa(
    aligned: bool = True,
    sizes: tuple[int, int, int] = SIZES,
    scale: Literal["small", "published"] = "small",
    seed: int = 0,
) -> Content:
    """Content of ``aligned_50.pkl`` or ``unaligned_50.pkl``.

    With its traps: the split is called valid, ``text_bert`` [N, 3, T] is float32, its mask row decides the
    length, ids are ``video$_$clip`` of which videos hold "_", lengths are lists and only in the unaligned
    file, one sample there has no vision (length 0), -inf in the audio, padding of text is not zero.

    Args:
        aligned: 50/50/50 frames without lengths, or 50/500/375 with them.
        sizes: at small scale, five or more each.
        scale: "published" gives the counts and lengths of the files.
        seed: of everything.
    """
    rng = np.random.default_rng(seed)
    frames = (50, 50, 50) if aligned else (50, 500, 375)
    if scale == "small":
        frames = (8, 8, 8) if aligned else (8, 11, 9)
    content: Content = {}
    counts = PUBLISHED if scale == "published" else sizes
    for split, count in zip(("train", "valid", "test"), counts, strict=True):
        score = np.round(rng.uniform(-3, 3, count), 1).astype(np.float32)
        score[:3] = -2, 0, 2
        real = {"text": np.clip(published_lengths(count, frames[0] * 0.5, frames[0], rng), 3, None)}
        for key, longest in zip(("audio", "vision"), frames[1:], strict=True):
            real[key] = real["text"] if aligned else published_lengths(count, longest * 0.4, longest, rng)
        if not aligned:
            real["vision"][1] = 0
        table: dict[str, Any] = {}
        for key, longest in zip(WIDTHS, frames, strict=True):
            array = rng.standard_normal((count, longest, WIDTHS[key]), dtype=np.float32)
            array += score[:, None, None]
            if key != "text":
                array[np.arange(longest) >= real[key][:, None]] = 0
            table[key] = array
        table["audio"][::5, 0, 3] = -np.inf
        mask = np.arange(frames[0]) < real["text"][:, None]
        ids = np.where(mask, rng.integers(1000, 29_000, mask.shape), 0)
        ids[:, 0] = 101
        ids[np.arange(count), real["text"] - 1] = 102
        table["text_bert"] = np.stack([ids, mask, np.zeros_like(mask)], axis=1).astype(np.float32)
        table["raw_text"] = np.array([f"text {i}" for i in range(count)], dtype=object)
        table["id"] = [f"{split}_video{i // 3}$_${i % 3}" for i in range(count)]
        table["annotations"] = np.array(["Negative", "Neutral", "Positive"])[np.sign(score).astype(int) + 1]
        table["classification_labels"] = np.sign(score) + 1
        table["regression_labels"] = score
        if not aligned:
            table["audio_lengths"] = real["audio"].tolist()
            table["vision_lengths"] = real["vision"].tolist()
        content[split] = table
    return content


def write_mmsa(path: Path, content: Content, protocol: int = 4) -> Path:
    """Pickle it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        pickle.dump(content, file, protocol)
    return path
