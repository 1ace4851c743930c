"""Walking over the frames of some samples in blocks, so that memory does not grow with the data."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cmad.raw.raw_data import Ragged

BLOCK = 16384
# A column whose deviation is below this share of its largest value varies by rounding only.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Moments:
    """Statistics of each column over the frames walked.

    Attributes:
        mean, deviation: float64 [d]; the deviation is of the population.
        constant: bool [d], columns that do not vary.
        finite: number of finite values seen, before replacement.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    constant: NDArray[np.bool_]
    finite: int


def frame_rows(stream: Ragged, samples: NDArray[np.int64], longest: int) -> NDArray[np.int64]:
    """Rows of ``stream.features`` that hold the first ``longest`` frames of each of ``samples``."""
    starts = np.cumsum(stream.lengths) - stream.lengths
    kept = np.minimum(stream.lengths[samples], longest)
    before = np.cumsum(kept) - kept
    rows: NDArray[np.int64] = np.repeat(starts[samples] - before, kept) + np.arange(kept.sum())
    return rows


def blocks(stream: Ragged, rows: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.float32], int]]:
    """Yield the given rows, float32 [up to BLOCK, d], with 0 for what is not finite, and its count."""
    for start in range(0, len(rows), BLOCK):
        with np.errstate(over="ignore"):
            block = stream.features[rows[start : start + BLOCK]].astype(np.float32)
        bad = ~np.isfinite(block)
        block[bad] = 0
        yield block, int(bad.sum())


def moments(stream: Ragged, rows: NDArray[np.int64]) -> Moments:
    """Mean and deviation of each column over ``rows`` (at least one), after replacement.

    Two passes in float64: the first gives the mean, the second the deviation from it.
    """
    width = stream.features.shape[1]
    total, squares, largest = np.zeros(width), np.zeros(width), np.zeros(width)
    low, high = np.full(width, np.inf), np.full(width, -np.inf)
    finite = len(rows) * width
    for block, bad in blocks(stream, rows):
        total += block.sum(0, dtype=np.float64)
        low, high = np.minimum(low, block.min(0)), np.maximum(high, block.max(0))
        finite -= bad
    mean = total / len(rows)
    for block, _ in blocks(stream, rows):
        squares += np.square(block - mean).sum(0)
    deviation = np.sqrt(squares / len(rows))
    largest = np.maximum(np.abs(low), np.abs(high))
    constant = (low == high) | (deviation <= _ROUNDING * largest)
    return Moments(mean, deviation, constant, finite)
