"""The MMSA pickle of MOSEI and MOSI, aligned and unaligned: BERT features or token ids, audio, vision.

{train, valid, test}: {raw_text, text [N, T, 768], text_bert [N, 3, T] (ids, mask, segments), audio,
vision, id "video$_$clip", annotations, classification_labels, regression_labels}, and for unaligned
files audio_lengths and vision_lengths.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmad.config.schema import Preprocess
from cmad.errors import UserError
from cmad.files import sha256
from cmad.raw.check import check
from cmad.raw.layouts import load_as
from cmad.raw.padded import Rows, Tables, between_zeros, check_tables, column, first, take, usable
from cmad.raw.published import (
    BadSampleError,
    Skips,
    as_number,
    as_score,
    as_text,
    check_labels,
    count_repeated,
    unique_names,
    video_of,
)
from cmad.raw.raw_data import Ragged, RawData
from cmad.splits import SPLITS

ANNOTATIONS = ("Negative", "Neutral", "Positive")


def read(path: Path, params: Preprocess) -> RawData:
    """Read an MMSA pickle.

    With ``params.text`` language is the token ids of ``text_bert``, else the features ``text``; the mask
    says which positions are real, for features without ``text_bert`` their zeros do. ``audio_lengths``
    and ``vision_lengths`` count real frames from the first on. Where they are absent, frames of zeros
    at either end are padding: of an aligned file (audio and vision of one T) those in which both are
    zero, of others those of each stream.

    Returns:
        Scores, or for task classes the annotations; the group is the video.

    Raises:
        UserError: see ``cmad.raw.layouts.load_as`` and ``cmad.raw.check.check``; arrays that do not fit;
            without ``skip_bad`` the first sample with a label or length out of range.
    """
    tables: Tables = load_as(path, "mmsa")
    keys = {"audio": "audio", "vision": "vision"} | ({"language": "text"} if params.text is None else {})
    sizes = check_tables(tables, list(keys.values()), path)
    bert = {split: _bert(tables, split, sizes[split], path) for split in SPLITS}
    if params.text is not None and any(each is None for each in bert.values()):
        raise UserError(f"{path}: has no text_bert; set preprocess.text to null to take the features text")
    lengths = {split: _lengths(tables, split, sizes[split], path) for split in SPLITS}
    classes = ANNOTATIONS if params.task == "classes" else ()

    def label(split: str, i: int, value: Any) -> float:
        _check_lengths(lengths[split], tables[split], i)
        _check_mask(bert[split], tables[split].get("text") if params.text is None else None, i)
        return _annotation(value) if classes else as_score(value)

    skips = Skips(path, params.skip_bad)
    found = usable(tables, sizes, "annotations" if classes else "regression_labels", label, skips)
    labels = np.array(found.labels, dtype=np.int64 if classes else np.float64)
    if classes:
        check_labels(labels, found.splits, classes, path)
    rows = {split: _rows(tables[split], lengths[split], bert[split], keys) for split in SPLITS}
    raw = RawData(
        ids=unique_names(found.ids, found.splits),
        splits=found.splits,
        groups=[video_of(name) for name in found.ids],
        labels=labels,
        names=classes,
        streams={m: take(tables, k, {s: rows[s][m] for s in SPLITS}, found.kept) for m, k in keys.items()},
        tokens=None if params.text is None else _tokens(bert, found.kept),
        checksums={path.name: sha256(path)},
        skipped=dict(sorted(skips.counts.items())),
        repeated_ids=count_repeated(found.ids),
    )
    check(raw, str(path))
    return raw


def _bert(tables: Tables, split: str, size: int, path: Path) -> NDArray[np.int64] | None:
    """``text_bert`` as whole numbers [N, 3, T], taken out of the tables; None where there is none."""
    value = tables[split].pop("text_bert", None)
    if value is None:
        return None
    if not isinstance(value, np.ndarray) or value.ndim != 3 or value.shape[:2] != (size, 3):
        given = list(value.shape) if isinstance(value, np.ndarray) else type(value).__name__
        raise UserError(f"{path}: {split}, text_bert is {given}, not [{size}, 3, tokens]; get the file again")
    # Some copies keep them as floats.
    whole = value.dtype.kind in "fiu" and bool((np.isfinite(value) & (value == np.floor(value))).all())
    if not whole or (value < 0).any() or (value > np.iinfo(np.int32).max).any() or (value[:, 1:] > 1).any():
        raise UserError(f"{path}: {split}, text_bert holds other things than token ids; get the file again")
    return value.astype(np.int64)


def _lengths(tables: Tables, split: str, size: int, path: Path) -> dict[str, NDArray[np.int64]]:
    """Real frames by modality, int64 [N], -1 for what is no length; without those that the file lacks."""
    found = {}
    for modality in ("audio", "vision"):
        key = f"{modality}_lengths"
        if tables[split].get(key) is not None:
            values = column(tables, split, key, size, path)
            found[modality] = np.array([_length(value) for value in values], dtype=np.int64)
    return found


def _length(value: Any) -> int:
    try:
        number = as_number(value)
    except BadSampleError:
        return -1
    return int(number) if number.is_integer() and 0 <= number < 1 << 31 else -1


def _check_lengths(lengths: dict[str, NDArray[np.int64]], table: dict[str, Any], i: int) -> None:
    for modality, each in lengths.items():
        longest = table[modality].shape[1]
        if not 0 <= each[i] <= longest:
            raise BadSampleError(
                f"{modality} length is out of range", f"{modality}_lengths is not from 0 to {longest}"
            )


def _check_mask(bert: NDArray[np.int64] | None, features: NDArray[Any] | None, i: int) -> None:
    if bert is None:
        return
    if features is not None and features.shape[1] != bert.shape[2]:
        raise BadSampleError(
            "text and text_bert differ in length",
            f"text has {features.shape[1]} positions, text_bert {bert.shape[2]}",
        )
    if not bert[i, 1].any():
        raise BadSampleError("text_bert has no token")


def _annotation(value: Any) -> int:
    name = as_text(value).strip().capitalize()
    if name not in ANNOTATIONS:
        raise BadSampleError(
            "label is out of range", f"annotation {name[:40]!a} is none of {', '.join(ANNOTATIONS)}"
        )
    return ANNOTATIONS.index(name)


def _rows(
    table: dict[str, Any],
    lengths: dict[str, NDArray[np.int64]],
    bert: NDArray[np.int64] | None,
    keys: dict[str, str],
) -> dict[str, Rows]:
    """The real frames of each stream that comes as features."""
    audio, vision = table["audio"], table["vision"]
    aligned = not lengths and audio.shape[1] == vision.shape[1]
    rows = dict.fromkeys(("audio", "vision"), between_zeros([audio, vision])) if aligned else {}
    for modality in ("audio", "vision"):
        if modality in lengths:
            rows[modality] = first(lengths[modality], table[modality].shape[1])
        elif not aligned:
            rows[modality] = between_zeros([table[modality]])
    if "language" in keys:
        rows["language"] = between_zeros([table["text"]]) if bert is None else Rows(bert[:, 1] == 1)
    return rows


def _tokens(bert: dict[str, NDArray[np.int64] | None], kept: dict[str, NDArray[np.bool_]]) -> Ragged:
    """Token ids and segments of the positions that the mask names."""
    pairs, lengths = [], []
    for split in SPLITS:
        table = bert[split]
        assert table is not None
        mine = table[kept[split]]
        real = mine[:, 1] == 1
        pairs.append(np.stack([mine[:, 0][real], mine[:, 2][real]], axis=1))
        lengths.append(real.sum(1, dtype=np.int64))
    return Ragged(np.concatenate(pairs), np.concatenate(lengths))
