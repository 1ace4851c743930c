"""Cutting a split of the store into batches that hold only what will be encoded."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmad.combinations import MODALITIES
from cmad.computing.device import on_device
from cmad.store.store import Split


@dataclass(frozen=True)
class Stream:
    """The present samples of one modality in a batch.

    Attributes:
        rows: int64 [P], their places in the batch.
        frames: float32 [P, T, d], or int64 [P, T, 2] (token id, segment) of a store with tokens; zero
            after a sample's last frame; T is the longest of them.
        valid: bool [P, T], True on the frames that may be attended to.
    """

    rows: Tensor
    frames: Tensor
    valid: Tensor


@dataclass(frozen=True)
class Batch:
    """B samples.

    Attributes:
        size: B.
        streams: by modality, the (sample, modality) pairs to encode.
        labels: [B] or [B, J], by task kind.
    """

    size: int
    streams: Mapping[str, Stream]
    labels: Tensor


def collate(
    split: Split,
    rows: NDArray[np.int64],
    wanted: NDArray[np.bool_],
    device: torch.device,
    kept: Mapping[str, NDArray[np.bool_]] | None = None,
) -> Batch:
    """Gather samples from the store.

    Args:
        rows: [B], samples of the split.
        wanted: [B, 3], the modalities to gather of each; none that a sample lacks.
        kept: by modality, [frames of the split] in sample order, False on frames to drop (D17):
            a dropped frame is zero and not attended to, and a stream without frames is absent. A
            dropped token leaves its place empty: the others keep their positions.
    """
    streams = {}
    for m, modality in enumerate(MODALITIES):
        places = np.flatnonzero(wanted[:, m])
        frames, valid = _padded(split, modality, rows[places], None if kept is None else kept[modality])
        # A stream that lost all its frames is absent.
        some = valid.any(1)
        if not some.all():
            places, frames, valid = places[some], frames[some], valid[some]
        streams[modality] = Stream(*(on_device(each, device) for each in (places, frames, valid)))
    return Batch(len(rows), streams, on_device(split.labels[rows], device))


def _padded(
    split: Split, modality: str, rows: NDArray[np.int64], kept: NDArray[np.bool_] | None
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    lengths = split.lengths[modality][rows]
    features = split.features[modality]
    valid = np.arange(lengths.max(initial=1)) < lengths[:, None]
    steps = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    kind = np.int64 if np.issubdtype(features.dtype, np.integer) else np.float32
    padded = np.zeros((*valid.shape, features.shape[1]), dtype=kind)
    values = features[np.repeat(split.starts[modality][rows], lengths) + steps]
    if kept is not None:
        keep = kept[np.repeat(split.firsts[modality][rows], lengths) + steps]
        values = values * keep[:, None]
    padded[valid] = values
    if kept is not None:
        valid[valid] = keep
    return padded, valid


def frame_numbers(split: Split, modality: str, seed: int) -> NDArray[np.float64]:
    """The fixed uniform number of each frame of a split, in sample order (D17).

    It depends on the sample's id, the modality and the seed alone, so that the frames dropped at a
    ratio p, those with a number below p, are among those dropped at any larger ratio.
    """
    m = MODALITIES.index(modality)
    numbers = [
        np.random.default_rng([seed, m, crc32(name.encode())]).random(length)
        for name, length in zip(split.ids, split.lengths[modality], strict=True)
    ]
    return np.concatenate(numbers)
