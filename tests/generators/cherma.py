"""CHERMA folders as published."""

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tests.generators.publish import SIZES, published_lengths

CHINESE = ("愤怒", "厌恶", "恐惧", "高兴", "平静", "悲伤", "惊奇")
WIDTHS = {"text": 1024, "audio": 1024, "visual": 2048}
PUBLISHED = (17_230, 5_743, 5_744)


def write_cherma(
    folder: Path,
    sizes: tuple[int, int, int] = SIZES,
    scale: Literal["small", "published"] = "small",
    widths: dict[str, int] | None = None,
    seed: int = 0,
) -> Path:
    """Write a CHERMA folder: three lists in UTF-8 and one .npy per clip and modality.

    With its traps: Chinese classes, labels of single modalities that differ from the whole's, visual files
    called ``<stem>.mp4.npy``, float16 audio in every third clip, streams of different length.

    Args:
        folder: made if need be.
        sizes: at small scale.
        scale: "published" gives the counts, and lengths like the files'.
        widths: instead of the published ones; a published-scale set of true width takes 28 GB.
        seed: of everything.
    """
    rng = np.random.default_rng(seed)
    widths = widths or WIDTHS
    counts = PUBLISHED if scale == "published" else sizes
    for split, count in zip(("train", "dev", "test"), counts, strict=True):
        small = scale == "small"
        lengths = {
            "text": rng.integers(3, 8, count) if small else published_lengths(count, 18, 78, rng),
            "audio": rng.integers(2, 12, count) if small else published_lengths(count, 150, 543, rng),
            "visual": np.full(count, 4 if small else 16),
        }
        records: list[dict[str, Any]] = []
        for key in widths:
            (folder / key / split).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            stem, label = f"{split}_{i:05d}", int(rng.integers(0, 7)) if i > 6 else i
            records.append(
                {
                    "audio_file": f"{stem}.wav",
                    "video_file": f"{stem}.mp4",
                    "txt_label": CHINESE[(label + 1) % 7],
                    "audio_label": CHINESE[(label + 2) % 7],
                    "visual_label": CHINESE[(label + 3) % 7],
                    "video_label": CHINESE[label],
                }
            )
            for key, width in widths.items():
                array = rng.standard_normal((int(lengths[key][i]), width), dtype=np.float32) + label
                kind = np.float16 if key == "audio" and i % 3 == 0 else np.float32
                name = f"{stem}.mp4.npy" if key == "visual" else f"{stem}.npy"
                np.save(folder / key / split / name, array.astype(kind))
        (folder / f"{split}.json").write_text(json.dumps(records, ensure_ascii=False), encoding="utf-8")
    return folder
