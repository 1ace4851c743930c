"""The CHERMA folder: three lists of clips, and one .npy of features per clip and modality.

train.json, dev.json and test.json hold records with audio_file "<stem>.wav" and video_label; features
are text/<split>/<stem>.npy [tokens, 1024], audio/<split>/<stem>.npy [frames, 1024] and
visual/<split>/<stem>.mp4.npy [16, 2048].
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cmad.config.schema import Preprocess
from cmad.errors import UserError
from cmad.files import sha256
from cmad.raw.check import check
from cmad.raw.npy_frames import NpyFile, NpyFrames, npy_file
from cmad.raw.published import BadSampleError, Skips, as_text, check_labels, count_repeated, unique_names
from cmad.raw.raw_data import Ragged, RawData
from cmad.splits import SPLITS

# The owners' order and words.
CLASSES = {
    "anger": "愤怒",
    "disgust": "厌恶",
    "fear": "恐惧",
    "happy": "高兴",
    "neutral": "平静",
    "sad": "悲伤",
    "surprise": "惊奇",
}
# Modality: folder and ending.
_PLACES = {"language": ("text", ".npy"), "audio": ("audio", ".npy"), "vision": ("visual", ".mp4.npy")}
_FILES = {"train": ("train.json",), "dev": ("dev.json", "valid.json"), "test": ("test.json",)}
_NAMES = tuple(CLASSES)
_LABELS = {chinese: i for i, chinese in enumerate(CLASSES.values())} | {n: i for i, n in enumerate(CLASSES)}

# What reading the head of a damaged file raises.
_DAMAGE = (OSError, ValueError, EOFError, MemoryError, OverflowError, SyntaxError, TypeError)


def read(folder: Path, params: Preprocess) -> RawData:
    """Read a CHERMA folder.

    The labels of single modalities (txt_label, audio_label, visual_label) are not read. Frames stay in
    their files until they are needed; checksums are of the three lists alone.

    Returns:
        Seven classes under English names, in the owners' order; the id is the file's stem; no groups.

    Raises:
        UserError: a list is missing, is not UTF-8 or not JSON; without ``skip_bad`` the first clip with
            an unknown label or a feature file that is missing, damaged or of another width.
    """
    skips = Skips(folder, params.skip_bad)
    splits: list[str] = []
    stems: list[str] = []
    labels: list[int] = []
    files: dict[str, list[NpyFile]] = {m: [] for m in _PLACES}
    widths: dict[str, int] = {}
    lists = {split: _list_of(folder, split) for split in SPLITS}
    for split, path in lists.items():
        records = _records(path)
        widths = widths or _widths(folder, path, records)
        for index, record in enumerate(records):
            stem = ""
            try:
                stem = _stem(record)
                label = _label(record)
                paths = _paths(folder, path.stem, stem)
                found = {m: _file(paths[m], widths[m], m) for m in _PLACES}
            except BadSampleError as bad:
                skips.leave_out(split, index, stem, bad)
                continue
            splits.append(split)
            stems.append(stem)
            labels.append(label)
            for m in _PLACES:
                files[m].append(found[m])
    skips.check_splits(splits)
    array = np.array(labels, dtype=np.int64)
    check_labels(array, splits, _NAMES, folder)
    raw = RawData(
        ids=unique_names(stems, splits),
        splits=splits,
        groups=[""] * len(splits),
        labels=array,
        names=_NAMES,
        streams={m: _stream(files[m], widths[m]) for m in _PLACES},
        checksums={path.name: sha256(path) for path in lists.values()},
        skipped=dict(sorted(skips.counts.items())),
        repeated_ids=count_repeated(stems),
    )
    check(raw, str(folder))
    return raw


def _stream(files: list[NpyFile], width: int) -> Ragged:
    lengths = np.array([file.shape[0] for file in files], dtype=np.int64)
    return Ragged(cast(NDArray[Any], NpyFrames(files, width)), lengths)


def _list_of(folder: Path, split: str) -> Path:
    for name in _FILES[split]:
        if (folder / name).is_file():
            return folder / name
    raise UserError(
        f"{folder / _FILES[split][0]}: no such file; put the CHERMA folder there, see data/README.md"
    )


def _records(path: Path) -> list[Any]:
    try:
        records = json.loads(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 ({error.reason}); save it as UTF-8") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not readable JSON ({type(error).__name__}); download it again") from None
    if not isinstance(records, list) or not records:
        raise UserError(f"{path}: holds no list of clips; download it again")
    return records


def _stem(record: Any) -> str:
    if not isinstance(record, dict):
        raise BadSampleError("record has another form")
    name = as_text(record.get("audio_file"))
    stem = name.removesuffix(".wav")
    # A name is a name: a path would lead out of the folder.
    if not stem or not stem.isprintable() or any(c in stem for c in "/\\") or stem.startswith("."):
        raise BadSampleError("audio_file is no file name", f"audio_file {name[:60]!a} is no file name")
    return stem


def _label(record: dict[str, Any]) -> int:
    name = as_text(record.get("video_label")).strip()
    if name not in _LABELS:
        raise BadSampleError(
            "label is out of range", f"video_label {name[:40]!r} is none of the seven classes"
        )
    return _LABELS[name]


def _paths(folder: Path, split: str, stem: str) -> dict[str, Path]:
    return {m: folder / place / split / (stem + ending) for m, (place, ending) in _PLACES.items()}


def _file(path: Path, width: int, modality: str) -> NpyFile:
    try:
        file = npy_file(path)
    except FileNotFoundError:
        raise BadSampleError(f"{modality} file is missing", f"{path} is missing") from None
    except _DAMAGE:
        raise BadSampleError(f"{modality} file is damaged", f"{path} is no whole array of numbers") from None
    if len(file.shape) != 2 or file.shape[1] != width:
        raise BadSampleError(
            f"{modality} has another width", f"{path} is {list(file.shape)}, not [frames, {width}]"
        )
    return file


def _widths(folder: Path, path: Path, records: list[Any]) -> dict[str, int]:
    """The width that most of the first clips have, by modality."""
    counts: dict[str, Counter[int]] = {m: Counter() for m in _PLACES}
    for record in records[:50]:
        try:
            paths = _paths(folder, path.stem, _stem(record))
        except BadSampleError:
            continue
        for m, file in paths.items():
            try:
                shape = npy_file(file).shape
            except _DAMAGE:
                continue
            counts[m].update([shape[1]] if len(shape) == 2 else [])
    return {m: each.most_common(1)[0][0] if each else 1 for m, each in counts.items()}
