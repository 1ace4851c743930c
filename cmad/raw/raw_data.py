"""What every reader of raw files returns: the one door between file layouts and the store."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Ragged:
    """One modality's streams, one after the other.

    Attributes:
        features: float [sum of lengths, d]; int64 for token ids.
        lengths: int64 [n], frames of each sample; 0 where it natively lacks the modality.
    """

    features: NDArray[Any]
    lengths: NDArray[np.int64]


@dataclass(frozen=True)
class Words:
    """A transcript as words, to which audio and vision are aligned: one frame for each word.

    Attributes:
        context: words that were said before; their frames come first.
        own: words of the sample itself.
    """

    context: tuple[str, ...]
    own: tuple[str, ...]


@dataclass(frozen=True)
class RawData:
    """A data set as read, before any cleaning.

    Attributes:
        ids: n names, unique.
        splits: n of "train", "dev", "test".
        groups: n names of speakers or videos.
        labels: float64 [n] for regression, int64 [n] indices into the task's names for classes,
            int64 [n, J] of 0/1 for binary.
        names: of the classes or of the binary labels, empty for regression.
        streams: by modality; language is absent here until raw text is encoded.
        texts: n (context, text) pairs, or None where language comes otherwise.
        words: n transcripts as words, or None where language comes otherwise.
        tokens: token ids that the file brings itself, int64 [sum of lengths, 2] (token id, segment).
        skipped: number of samples left out under ``skip_bad``, by reason.
        checksums: SHA-256 by raw file name.
        ceiling: [n, 7, K], the Bayes-optimal outputs per combination, for generated data.
    """

    ids: list[str]
    splits: list[str]
    groups: list[str]
    labels: NDArray[Any]
    names: tuple[str, ...]
    streams: Mapping[str, Ragged]
    texts: list[tuple[str, str]] | None = None
    words: list[Words] | None = None
    tokens: Ragged | None = None
    skipped: Mapping[str, int] = field(default_factory=dict)
    checksums: Mapping[str, str] = field(default_factory=dict)
    ceiling: NDArray[np.float64] | None = None
