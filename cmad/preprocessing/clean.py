"""One modality from raw frames to the store: cut, made finite, standardised."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmad.arrays import new_array
from cmad.errors import UserError
from cmad.preprocessing.align import ZERO, Placement, as_read, first_frames
from cmad.raw.frames import Moments, blocks
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
        non_finite: values replaced by 0 among the frames kept; a frame that stands at several tokens
            counts once.
        constant: columns that do not vary over the kept train frames; they are 0 in the store.
        cut: frames left out because their stream was longer than the most kept, or because none of
            their word's tokens is there.
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
    stream: Ragged,
    placement: Placement,
    order: NDArray[np.int64],
    longest: int,
    scaling: Scaling,
    half: bool,
    path: Path,
) -> Cleaned:
    """Write ``path`` [sum of kept lengths, d], block by block.

    Args:
        stream: n samples as read.
        placement: what the store has of them; its frames of zeros are zero after scaling too.
        order: the n samples in the store's order.
        longest: frames kept of each stream, its first ones.
        scaling: of its columns.
        half: write float16, not float32.
        path: the ``.npy`` file to write.

    Raises:
        UserError: a value is too large for the file's numbers.
    """
    rows = first_frames(placement, order, longest)
    zero = rows == ZERO
    target = new_array(path, np.float16 if half else np.float32, (len(rows), stream.features.shape[1]))
    non_finite = start = 0
    for block, bad in blocks(stream, np.where(zero, 0, rows)):
        empty = zero[start : start + len(block)]
        scaled = np.where(scaling.constant | empty[:, None], 0.0, (block - scaling.shift) / scaling.scale)
        largest = np.abs(scaled).max(initial=0)
        if largest > np.finfo(target.dtype).max:
            raise UserError(_too_large(path.stem, largest, half))
        target[start : start + len(block)] = scaled
        start += len(block)
        non_finite += bad
    target.flush()
    kept = np.unique(rows[~zero])
    if len(kept) < len(rows):
        # Frames of zeros were read as row 0, and rows stand more than once.
        non_finite = sum(bad for _, bad in blocks(stream, kept))
    return Cleaned(
        lengths=np.minimum(placement.lengths[order], longest),
        non_finite=non_finite,
        constant=int(scaling.constant.sum()),
        cut=placement.offered - len(kept),
    )


def _too_large(modality: str, value: float, half: bool) -> str:
    if half:
        return (
            f"preprocess.half: {modality} has a value of {value:.3g}, too large for float16; "
            f"take {modality} out of half, or put it into standardise"
        )
    return (
        f"preprocess: {modality} has a value of {value:.3g} once it is scaled, too large for float32; "
        f"mend the raw data, or take {modality} out of standardise"
    )


def write_tokens(tokens: Ragged, order: NDArray[np.int64], path: Path) -> Cleaned:
    """Write ``path`` [sum of lengths, 2] int32, (token id, segment); arguments as above."""
    placement = as_read(tokens)
    rows = first_frames(placement, order, int(tokens.lengths.max(initial=0)))
    np.save(path, tokens.features[rows].astype(np.int32))
    return Cleaned(lengths=tokens.lengths[order], non_finite=0, constant=0, cut=0)
