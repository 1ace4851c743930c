"""What any data set must have, whatever its format, before work is put into it."""

import numpy as np
from numpy.typing import NDArray

from cmad.combinations import MODALITIES
from cmad.errors import UserError
from cmad.raw.frames import BLOCK, Moments, frame_rows, moments
from cmad.raw.raw_data import Ragged, RawData


def presence(raw: RawData) -> NDArray[np.bool_]:
    """Which modalities each sample natively has, bool [n, 3]; an empty text lacks language."""
    has = {m: stream.lengths > 0 for m, stream in raw.streams.items()}
    if raw.texts is not None:
        has["language"] = np.array([bool(text.strip()) for _, text in raw.texts])
    if raw.words is not None:
        has["language"] = np.array([any(word.strip() for word in words.own) for words in raw.words])
    if raw.tokens is not None:
        has["language"] = raw.tokens.lengths > 0
    return np.stack([has[m] for m in MODALITIES], axis=1)


def check(raw: RawData, where: str) -> None:
    """Refuse data that nothing can be learnt from.

    Args:
        raw: a data set with at least one train sample.
        where: the raw folder, for messages.

    Raises:
        UserError: a sample without any modality, a modality that no train sample has, no complete
            train sample, or a modality whose features are nowhere finite or do not vary over train.
    """
    has = presence(raw)
    empty = np.flatnonzero(~has.any(1))
    if len(empty):
        raise UserError(
            f"{where}: id {raw.ids[empty[0]]} has no modality at all (samples like it: {len(empty)}); "
            "remove it or give it a text or a length above 0"
        )
    train = np.array(raw.splits) == "train"
    for j, modality in enumerate(MODALITIES):
        if not has[train, j].any():
            raise UserError(
                f"{where}: {_field(raw, modality)}: no train sample has {modality}; give it to some of them"
            )
    if not has[train].all(1).any():
        raise UserError(
            f"{where}: no train sample has language, audio and vision together, which the teacher needs; "
            "give at least one of them lengths above 0 in each file"
        )
    for modality, stream in raw.streams.items():
        found = _sample_of(stream, frame_rows(stream, np.flatnonzero(train), int(stream.lengths.max())))
        if found.finite == 0:
            raise UserError(
                f"{where}: {_field(raw, modality)}: features has no finite value in train; extract it again"
            )
        if found.constant.all():
            raise UserError(
                f"{where}: {_field(raw, modality)}: no column of features varies over train; extract it again"
            )


def _sample_of(stream: Ragged, rows: NDArray[np.int64]) -> Moments:
    """Moments over the first frames where these vary, else over all: most data need one block alone."""
    found = moments(stream, rows[:BLOCK])
    if len(rows) > BLOCK and found.constant.all():
        found = moments(stream, rows)
    return found


def _field(raw: RawData, modality: str) -> str:
    if modality == "language" and raw.texts is not None:
        return "samples.csv, column text"
    return f"{modality}.npz" if f"{modality}.npz" in raw.checksums else modality
