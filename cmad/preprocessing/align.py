"""Where the frames of the store come from: one by one as read, or laid out by the tokens of words."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cmad.preprocessing.tokenise import Tokens
from cmad.raw.frames import frame_rows
from cmad.raw.raw_data import Ragged, Words

# The row of a frame of zeros.
ZERO = -1


@dataclass(frozen=True)
class Placement:
    """A modality's streams as the store has them, in terms of those read.

    Attributes:
        rows: int64 [sum of lengths], the row of ``Ragged.features`` behind each frame, ``ZERO`` for a
            frame of zeros.
        lengths: int64 [n].
        offered: rows of ``Ragged.features`` that could have been used.
    """

    rows: NDArray[np.int64]
    lengths: NDArray[np.int64]
    offered: int


def as_read(stream: Ragged) -> Placement:
    """Every frame once, in order."""
    return Placement(np.arange(len(stream.features)), stream.lengths, len(stream.features))


def by_tokens(stream: Ragged, words: Sequence[Words], tokens: Tokens, context: bool) -> Placement:
    """A frame for each token: that of its word, or zeros for a special token.

    A word that yields no token, or none that was kept, loses its frame. A sample without language
    keeps its frames as they are, one for each word; a sample without the modality stays without.

    Args:
        stream: n samples, a frame for each context word, then for each own word.
        words: the transcripts as read.
        tokens: of these transcripts, or of their own words alone where ``context`` is false.
        context: whether the context's words are part of the sample.
    """
    _check_aligned(stream, words)
    assert tokens.words is not None, "tokens of running text belong to no word"
    starts = np.cumsum(stream.lengths) - stream.lengths
    skipped = np.array([0 if context else len(each.context) for each in words], dtype=np.int64)
    has = stream.lengths > 0
    remaining = np.where(has, stream.lengths - skipped, 0)
    spoken = tokens.stream.lengths > 0
    lengths = np.where(has, np.where(spoken, tokens.stream.lengths, remaining), 0)
    # The word numbers of all samples, one after the other.
    numbers = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    numbers[np.repeat(spoken, lengths)] = tokens.words[np.repeat(has, tokens.stream.lengths)]
    rows = np.where(numbers < 0, ZERO, np.repeat(starts + skipped, lengths) + numbers)
    return Placement(rows, lengths, int(remaining.sum()))


def _check_aligned(stream: Ragged, words: Sequence[Words]) -> None:
    """A stream that a reader aligned wrongly would give every token after it another word's frame."""
    said = np.array([len(each.context) + len(each.own) for each in words], dtype=np.int64)
    wrong = np.count_nonzero((stream.lengths != said) & (stream.lengths > 0))
    if wrong:
        raise ValueError(f"{wrong} of {len(words)} streams do not have a frame for each word")


def first_frames(placement: Placement, samples: NDArray[np.int64], longest: int) -> NDArray[np.int64]:
    """The rows behind the first ``longest`` frames of each of ``samples``."""
    frames = frame_rows(Ragged(placement.rows, placement.lengths), samples, longest)
    rows: NDArray[np.int64] = placement.rows[frames]
    return rows
