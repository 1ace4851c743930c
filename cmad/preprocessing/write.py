"""Raw data to a store folder (its files: ``cmad.store.store``)."""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmad.config.schema import Preprocess
from cmad.errors import UserError
from cmad.files import whole_folder
from cmad.preprocessing.align import ZERO, as_read, first_frames
from cmad.preprocessing.clean import Cleaned, standard, unscaled, write_modality, write_tokens
from cmad.preprocessing.language import Language
from cmad.preprocessing.manifest import describe, to_json
from cmad.raw.frames import Moments, moments
from cmad.raw.raw_data import Ragged, RawData
from cmad.splits import SPLITS
from cmad.task import Task

# Language came as features: nothing was done to it.
AS_READ = Language()


def write_store(raw: RawData, params: Preprocess, folder: Path, language: Language = AS_READ) -> None:
    """Write a whole store, or nothing.

    Args:
        raw: checked data, with language as features or as token ids.
        params: the preset's preprocess section.
        folder: replaced if it exists.
        language: what was done to language.

    Raises:
        UserError: ``max_frames`` leaves a modality without a column that varies over train, or a
            value does not fit into ``half``.
    """
    splits = np.array([SPLITS.index(name) for name in raw.splits])
    order = np.argsort(splits, kind="stable")
    train = np.flatnonzero(splits == SPLITS.index("train"))
    task = Task(params.task, raw.names)
    with whole_folder(folder) as aside:
        cleaned: dict[str, Cleaned] = {}
        if raw.tokens is not None:
            cleaned["language"] = write_tokens(raw.tokens, order, aside / "language.npy")
        for m, stream in raw.streams.items():
            longest = getattr(params.max_frames, m)
            placement = language.placed.get(m) or as_read(stream)
            found = _moments(m, stream, first_frames(placement, train, longest), longest)
            scaling = (standard if m in params.standardise else unscaled)(found)
            cleaned[m] = write_modality(
                stream, placement, order, longest, scaling, m in params.half, aside / f"{m}.npy"
            )
        for m, each in cleaned.items():
            np.save(aside / f"{m}.offsets.npy", np.concatenate([[0], np.cumsum(each.lengths)]))
        np.save(aside / "labels.npy", _labels(raw, task)[order])
        if raw.ceiling is not None:
            np.save(aside / "ceiling.npy", raw.ceiling[order])
        with (aside / "samples.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["id", "split", "group"])
            writer.writerows((raw.ids[i], raw.splits[i], raw.groups[i]) for i in order)
        manifest = describe(raw, task, params, language, cleaned, order)
        (aside / "manifest.json").write_text(to_json(manifest), encoding="utf-8", newline="\n")


def _moments(modality: str, stream: Ragged, rows: NDArray[np.int64], longest: int) -> Moments:
    """Of the train frames, without the frames of zeros that stand at special tokens."""
    rows = rows[rows != ZERO]
    found = moments(stream, rows) if len(rows) else None
    if found is None or found.constant.all():
        raise UserError(
            f"preprocess.max_frames.{modality}: no column of {modality} varies over the first {longest} "
            "frames of the train samples; set it higher"
        )
    return found


def _labels(raw: RawData, task: Task) -> NDArray[np.float32 | np.int64]:
    dtype = np.float32 if task.kind == "regression" else np.int64
    return raw.labels.astype(dtype)
