"""Raw data to a store folder (its files: ``cmad.store.store``)."""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmad.combinations import MODALITIES
from cmad.config.schema import Preprocess
from cmad.errors import UserError
from cmad.files import whole_folder
from cmad.raw.frames import frame_rows, moments
from cmad.raw.raw_data import RawData
from cmad.splits import SPLITS
from cmad.store.clean import Cleaned, standard, unscaled, write_modality
from cmad.store.manifest import describe, to_json
from cmad.task import Task


def write_store(raw: RawData, params: Preprocess, folder: Path, cut_tokens: int = 0) -> None:
    """Write a whole store, or nothing.

    Args:
        raw: checked data, with language as features.
        params: the preset's preprocess section.
        folder: replaced if it exists.
        cut_tokens: word pieces that encoding already left out, counted as cut language frames.

    Raises:
        UserError: ``max_frames`` leaves a modality without a column that varies over train.
    """
    splits = np.array([SPLITS.index(name) for name in raw.splits])
    order = np.argsort(splits, kind="stable")
    train = np.flatnonzero(splits == SPLITS.index("train"))
    task = Task(params.task, raw.names)
    with whole_folder(folder) as aside:
        cleaned: dict[str, Cleaned] = {}
        for m in MODALITIES:
            longest = getattr(params.max_frames, m)
            found = moments(raw.streams[m], frame_rows(raw.streams[m], train, longest))
            if found.constant.all():
                raise UserError(
                    f"preprocess.max_frames.{m}: no column of {m} varies over the first {longest} frames "
                    "of the train samples; set it higher"
                )
            scaling = (standard if m in params.standardise else unscaled)(found)
            cleaned[m] = write_modality(raw.streams[m], order, longest, scaling, aside / f"{m}.npy")
            np.save(aside / f"{m}.offsets.npy", np.concatenate([[0], np.cumsum(cleaned[m].lengths)]))
        np.save(aside / "labels.npy", _labels(raw, task)[order])
        if raw.ceiling is not None:
            np.save(aside / "ceiling.npy", raw.ceiling[order])
        with (aside / "samples.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["id", "split", "group"])
            writer.writerows((raw.ids[i], raw.splits[i], raw.groups[i]) for i in order)
        manifest = describe(raw, task, params, cleaned, order)
        manifest["cut_frames"]["language"] += cut_tokens
        (aside / "manifest.json").write_text(to_json(manifest), encoding="utf-8", newline="\n")


def _labels(raw: RawData, task: Task) -> NDArray[np.float32 | np.int64]:
    dtype = np.float32 if task.kind == "regression" else np.int64
    return raw.labels.astype(dtype)
