"""Generated data with the shapes of MOSEI, as a store: what is timed does not look at values."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cmad.combinations import MODALITIES
from cmad.splits import SPLITS

WIDTHS = {"language": 768, "audio": 74, "vision": 35}
FRAMES = 50
# MOSEI has 16265 training samples to 1869 of dev.
TRAIN, DEV = 16265, 1869

# Words a sentence: skewed to the right, a few percent reach FRAMES; the mean after the cut is about 25.
MEAN, DEVIATION = 25.5, 12.5


def write_mosei_like(folder: Path, counts: Mapping[str, int], seed: int) -> None:
    """Write a store (see ``cmad.store.store``) of complete samples with normal features.

    The three streams of a sample are equally long, as MOSEI's are. Features are written block by
    block, so that writing needs no more memory than a block.

    Args:
        folder: new or empty.
        counts: samples by split.
    """
    rng = np.random.default_rng(seed)
    splits = [name for name in SPLITS for _ in range(counts[name])]
    shape = (MEAN / DEVIATION) ** 2
    lengths = np.clip(np.rint(rng.gamma(shape, MEAN / shape, len(splits))), 1, FRAMES).astype(np.int64)
    for m in MODALITIES:
        features = np.lib.format.open_memmap(
            folder / f"{m}.npy", mode="w+", dtype=np.float32, shape=(int(lengths.sum()), WIDTHS[m])
        )
        for start in range(0, len(features), 4096):
            block = features[start : start + 4096]
            block[:] = rng.standard_normal(block.shape, dtype=np.float32)
        features.flush()
        np.save(folder / f"{m}.offsets.npy", np.concatenate([[0], np.cumsum(lengths)]))
    np.save(folder / "labels.npy", rng.normal(0, 1.1, len(splits)).astype(np.float32))
    with (folder / "samples.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "split", "group"])
        writer.writerows((str(i), split, "") for i, split in enumerate(splits))
    manifest = {
        "task": {"kind": "regression", "names": []},
        "max_frames": dict.fromkeys(MODALITIES, FRAMES),
        "encoder": None,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
