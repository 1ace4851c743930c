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
        features: float [sum of lengths, d]; int64 for tokens. Or, for data too large for memory,
            anything with a ``shape`` and a length that gives an array for an array of rows.
        lengths: int64 [n], frames of each sample; 0 where it natively lacks the modality.
    """

    features: NDArray[Any]
    lengths: NDArray[np.int64]


@dataclass(frozen=True)
class Words:
    """The transcript of one sample as words, each of which has a frame of audio and of vision.

    Attributes:
        context: the words said before, empty where there are none.
        own: the words of the sample itself.
    """

    context: tuple[str, ...]
    own: tuple[str, ...]


@dataclass(frozen=True)
class RawData:
    """A data set as read, before any cleaning.

    Language comes in exactly one of four ways: as features in ``streams``, as ``texts``, as ``words``
    or as ``tokens``.

    Attributes:
        ids: n names, unique.
        splits: n of "train", "dev", "test".
        groups: n names of speakers or videos; empty where the layout has none.
        labels: float64 [n] for regression, int64 [n] indices into the task's names for classes,
            int64 [n, J] of 0/1 for binary.
        names: of the classes or of the binary labels, empty for regression.
        streams: by modality; language is absent here until raw text is encoded.
        texts: n (context, text) pairs, or None.
        words: n transcripts, or None; audio and vision then have one frame per word, the context's
            first, or none at all where a sample natively lacks them.
        tokens: int64 [sum of lengths, 2] pairs (token id, segment) that the file itself brings, special
            tokens among them, padding not, or None.
        checksums: SHA-256 by raw file name.
        ceiling: [n, 7, K], the Bayes-optimal outputs per combination, for generated data.
        repeated_ids: ids that stand more than once in the files, whose samples were renamed.
        skipped: samples left out under ``preprocess.skip_bad``, by reason.
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
    checksums: Mapping[str, str] = field(default_factory=dict)
    ceiling: NDArray[np.float64] | None = None
    skipped: Mapping[str, int] = field(default_factory=dict)
    repeated_ids: int = 0
