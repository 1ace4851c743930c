"""MulT pickles as published: IEMOCAP and MOSEI, aligned and not."""

import pickle
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tests.generators.publish import SIZES

WIDTHS = {"text": 300, "audio": 74, "vision": 35}
PUBLISHED = {"iemocap": (2_717, 798, 938), "mosei": (16_265, 1_869, 4_643)}
# Frames of text, audio, vision.
_ALIGNED = {"iemocap": (20, 20, 20), "mosei": (50, 50, 50)}
_UNALIGNED = {"iemocap": (20, 400, 500), "mosei": (50, 500, 500)}

Content = dict[str, dict[str, NDArray[Any]]]


def make_mult(
    name: Literal["iemocap", "mosei"] = "iemocap",
    aligned: bool = True,
    sizes: tuple[int, int, int] = SIZES,
    scale: Literal["small", "published"] = "small",
    seed: int = 0,
) -> Content:
    """Content of ``iemocap_data.pkl``: {train, valid, test} of {text, audio, vision, labels, id}.

    With its traps: the split is called valid, labels are float one-hot [N, 4, 2] (IEMOCAP, one emotion
    each) or [N, 1, 1], zeros before the first frame as padding, -inf in the audio, ids are rows of
    bytes (video, start, end), one sample without any vision, a frame of zeros between others.

    Args:
        name: data set.
        aligned: one length for all three streams.
        sizes: at small scale, five or more each.
        scale: "published" gives the counts and lengths of the files.
        seed: of everything.
    """
    rng = np.random.default_rng(seed)
    longest = (_ALIGNED if aligned else _UNALIGNED)[name]
    if scale == "small":
        longest = (6, 6, 6) if aligned else (6, 9, 11)
    content: Content = {}
    counts = PUBLISHED[name] if scale == "published" else sizes
    for split, count in zip(("train", "valid", "test"), counts, strict=True):
        table: dict[str, NDArray[Any]] = {}
        emotion = np.arange(count) % 4
        score = np.round(rng.uniform(-3, 3, count), 1)
        signal = (emotion if name == "iemocap" else score)[:, None, None]
        # Of an aligned file the three streams have one length.
        shares = rng.uniform(0.2, 1, (count, 1 if aligned else 3))
        for j, (key, frames) in enumerate(zip(WIDTHS, longest, strict=True)):
            array = rng.standard_normal((count, frames, WIDTHS[key]), dtype=np.float32)
            array += signal.astype(np.float32)
            real = np.ceil(shares[:, j % shares.shape[1]] * frames).astype(int)
            array[np.arange(frames) < frames - real[:, None]] = 0
            table[key] = array
        table["audio"][::5, -1, 3] = -np.inf
        table["vision"][1] = 0
        table["vision"][2, -2] = 0
        if name == "iemocap":
            table["labels"] = np.eye(2, dtype=np.float32)[(emotion[:, None] == np.arange(4)).astype(int)]
        else:
            table["labels"] = score.astype(np.float32)[:, None, None]
        table["id"] = np.array(
            [[f"{split}{i // 3}".encode(), f"{i}.0".encode(), f"{i + 1}.5".encode()] for i in range(count)]
        )
        content[split] = table
    return content


def write_mult(path: Path, content: Content, protocol: int = 2) -> Path:
    """Pickle it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        pickle.dump(content, file, protocol)
    return path
