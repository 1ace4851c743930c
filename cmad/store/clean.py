"""One modality from raw frames to the store: cut, made finite, standardised."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmad.raw.frames import Moments, blocks, frame_rows
from cmad.raw.raw_data import Ragged


@dataclass(frozen=True)
class Scaling:
    """What a column's values become: (value - shift) / scale, or 0 where it is constant.

    Attributes:
        shift, scale: float64 [d].
        constant: bool [d], columns that do not vary over the kept train frames.
    """

    shift: NDArray[np.float64]
    scale: NDArray[np.float64]
    constant: NDArray[np.bool_]


@dataclass(frozen=True)
class Cleaned:
    """What was done to one modality.

    Attributes:
        lengths: int64 [n], frames kept of each sample, in the store's order.
        non_finite: values replaced by 0 among the frames kept.
        constant: columns that do not vary over the kept train frames; they are 0 in the store.
        cut: frames left out because their stream was longer than the most kept.
    """

    lengths: NDArray[np.int64]
    non_finite: int
    constant: int
    cut: int


def standard(found: Moments) -> Scaling:
    """Scale to mean 0 and deviation 1."""
    return Scaling(found.mean, np.where(found.constant, 1.0, found.deviation), found.constant)


def unscaled(found: Moments) -> Scaling:
    """Leave values as they are."""
    return Scaling(np.zeros_like(found.mean), np.ones_like(found.mean), found.constant)


def write_modality(
    stream: Ragged, order: NDArray[np.int64], longest: int, scaling: Scaling, path: Path
) -> Cleaned:
    """Write ``path`` [sum of kept lengths, d] float32, block by block.

    Args:
        stream: n samples as read.
        order: the n samples in the store's order.
        longest: frames kept of each stream, its first ones.
        scaling: of its columns.
        path: the ``.npy`` file to write.
    """
    rows = frame_rows(stream, order, longest)
    target = np.lib.format.open_memmap(
        path, mode="w+", dtype=np.float32, shape=(len(rows), stream.features.shape[1])
    )
    non_finite = start = 0
    for block, bad in blocks(stream, rows):
        target[start : start + len(block)] = np.where(
            scaling.constant, 0.0, (block - scaling.shift) / scaling.scale
        )
        start += len(block)
        non_finite += bad
    target.flush()
    return Cleaned(
        lengths=np.minimum(stream.lengths[order], longest),
        non_finite=non_finite,
        constant=int(scaling.constant.sum()),
        cut=len(stream.features) - len(rows),
    )
