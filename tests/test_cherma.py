"""The CHERMA folder: three lists, one .npy per clip and modality."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cmad.config.schema import PerModality
from cmad.errors import UserError
from cmad.files import sha256
from cmad.preprocessing.prepare import prepare_store
from cmad.raw.frames import frame_rows
from cmad.raw.raw_data import RawData
from cmad.raw.read import read
from cmad.store.store import open_store
from tests.generators.cherma import CHINESE, write_cherma
from tests.generators.params import params

SMALL = {"text": 5, "audio": 4, "visual": 3}
PLACES = {"language": ("text", ".npy"), "audio": ("audio", ".npy"), "vision": ("visual", ".mp4.npy")}
Spoil = Callable[[Path], Any]


def read_cherma(folder: Path, **changes: Any) -> RawData:
    return read(folder, params("cherma", "classes", **changes))


def records(folder: Path, split: str) -> list[Any]:
    return json.loads((folder / f"{split}.json").read_text(encoding="utf-8"))


def test_reads_what_was_written(tmp_path: Path) -> None:
    folder = write_cherma(tmp_path, widths=SMALL)
    raw = read_cherma(folder)
    written = [(split, record) for split in ("train", "dev", "test") for record in records(folder, split)]
    assert raw.ids == [record["audio_file"].removesuffix(".wav") for _, record in written]
    assert raw.splits == [split for split, _ in written]
    assert raw.names == ("anger", "disgust", "fear", "happy", "neutral", "sad", "surprise")
    assert [CHINESE[i] for i in raw.labels] == [record["video_label"] for _, record in written]
    assert raw.checksums == {f"{s}.json": sha256(folder / f"{s}.json") for s in ("train", "dev", "test")}
    for m, (place, ending) in PLACES.items():
        arrays = [
            np.load(folder / place / s / f"{i}{ending}") for s, i in zip(raw.splits, raw.ids, strict=True)
        ]
        assert raw.streams[m].lengths.tolist() == [len(array) for array in arrays]
        features = raw.streams[m].features
        assert features.shape == (len(features), SMALL[place])
        rows = np.arange(len(features))
        for chosen in (rows, rows[::-1], rows[3:40:2], rows[:0]):
            np.testing.assert_array_equal(features[chosen], np.concatenate(arrays).astype(np.float32)[chosen])


def test_widths_of_the_published_files(tmp_path: Path) -> None:
    raw = read_cherma(write_cherma(tmp_path))
    assert [raw.streams[m].features.shape[1] for m in PLACES] == [1024, 1024, 2048]


def test_the_store_holds_the_first_frames(tmp_path: Path) -> None:
    folder = write_cherma(tmp_path / "raw", widths=SMALL)
    settings = params("cherma", "classes", max_frames=PerModality(4, 3, 2))
    prepare_store(folder, settings, tmp_path / "store")
    store = open_store(tmp_path / "store")
    raw = read(folder, settings)
    for m in PLACES:
        stream = raw.streams[m]
        longest = getattr(settings.max_frames, m)
        kept = stream.features[frame_rows(stream, np.arange(len(stream.lengths)), longest)]
        np.testing.assert_array_equal(store.splits["train"].features[m], kept)
        assert store.manifest["cut_frames"][m] == len(stream.features) - len(kept) > 0


def test_dev_may_be_called_valid(tmp_path: Path) -> None:
    folder = write_cherma(tmp_path, widths=SMALL)
    (folder / "dev.json").rename(folder / "valid.json")
    for place in SMALL:
        (folder / place / "dev").rename(folder / place / "valid")
    assert read_cherma(folder).splits.count("dev") == 6


def change(i: int, **fields: Any) -> Spoil:
    """Change fields of one record of dev."""

    def spoil(folder: Path) -> None:
        found = records(folder, "dev")
        found[i] |= fields
        (folder / "dev.json").write_text(json.dumps(found), encoding="utf-8")

    return spoil


def claim(shape: str) -> Spoil:
    """Let the head of one text file say another shape."""

    def spoil(folder: Path) -> None:
        with (folder / "text/dev/dev_00001.npy").open("wb") as file:
            head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
            file.write(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode() + b"\0" * 40)

    return spoil


BAD: dict[str, tuple[Spoil, str, str]] = {
    "no audio file": (
        lambda folder: (folder / "audio/dev/dev_00001.npy").unlink(),
        "dev_00001.npy is missing",
        "audio file is missing",
    ),
    "half an array": (
        lambda folder: (folder / "visual/dev/dev_00001.mp4.npy").write_bytes(
            (folder / "visual/dev/dev_00001.mp4.npy").read_bytes()[:-5]
        ),
        "dev_00001.mp4.npy is no whole array of numbers",
        "vision file is damaged",
    ),
    "empty file": (
        lambda folder: (folder / "text/dev/dev_00001.npy").write_bytes(b""),
        "is no whole array of numbers",
        "language file is damaged",
    ),
    "pickled objects": (
        lambda folder: np.save(folder / "text/dev/dev_00001.npy", np.array([None]), allow_pickle=True),
        "is no whole array of numbers",
        "language file is damaged",
    ),
    "a negative length": (claim("(-1, 5)"), "is no whole array of numbers", "language file is damaged"),
    "a length of yes": (claim("(True, 5)"), "is no whole array of numbers", "language file is damaged"),
    "endless frames without columns": (
        claim(f"({10**30}, 0)"),
        "is no whole array of numbers",
        "language file is damaged",
    ),
    "another width": (
        lambda folder: np.save(folder / "text/dev/dev_00001.npy", np.zeros((2, 6), np.float32)),
        "is [2, 6], not [frames, 5]",
        "language has another width",
    ),
    "another class": (
        change(1, video_label="开心"),
        "video_label '开心' is none of the seven",
        "label is out of range",
    ),
    "no class": (change(1, video_label=None), "text is NoneType, not a text", "text is missing"),
    "half a surrogate pair": (change(1, video_label="\ud83d"), "text is not UTF-8", "text is not UTF-8"),
    "a way out": (
        change(1, audio_file="../../secret.wav"),
        "audio_file '../../secret.wav' is no file name",
        "audio_file is no file name",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_clip_is_named_or_left_out(tmp_path: Path, name: str) -> None:
    spoil, problem, reason = BAD[name]
    folder = write_cherma(tmp_path, widths=SMALL)
    spoil(folder)
    with pytest.raises(UserError) as caught:
        read_cherma(folder)
    message = str(caught.value)
    assert message.startswith(f"{folder}: dev sample 1")
    assert problem in message
    assert message.endswith("preprocess.skip_bad: true")
    raw = read_cherma(folder, skip_bad=True)
    assert raw.skipped == {reason: 1}
    assert len(raw.ids) == 23
    assert "dev_00001" not in raw.ids


def test_an_array_of_columns_first(tmp_path: Path) -> None:
    folder = write_cherma(tmp_path, widths=SMALL)
    array = np.asfortranarray(np.arange(20, dtype=np.float64).reshape(5, 4))
    np.save(folder / "audio/train/train_00000.npy", array)
    features = read_cherma(folder).streams["audio"].features
    np.testing.assert_array_equal(features[np.arange(1, 5)], array[1:])


def test_an_empty_stream_is_a_missing_modality(tmp_path: Path) -> None:
    folder = write_cherma(tmp_path, widths=SMALL)
    np.save(folder / "audio/dev/dev_00001.npy", np.zeros((0, 4), np.float32))
    assert read_cherma(folder).streams["audio"].lengths[13] == 0


WHOLE: dict[str, tuple[Spoil, str]] = {
    "not UTF-8": (lambda folder: (folder / "dev.json").write_bytes('["é"]'.encode("latin1")), "not UTF-8"),
    "half a list": (
        lambda folder: (folder / "dev.json").write_bytes(b'[{"audio_file": "x'),
        "not readable JSON",
    ),
    "deep": (lambda folder: (folder / "dev.json").write_bytes(b"[" * 100_000), "not readable JSON"),
    "no list": (lambda folder: (folder / "dev.json").write_bytes(b"{}"), "holds no list of clips"),
    "no file": (lambda folder: (folder / "dev.json").unlink(), "no such file"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_list_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    spoil, problem = WHOLE[name]
    folder = write_cherma(tmp_path, widths=SMALL)
    spoil(folder)
    with pytest.raises(UserError) as caught:
        read_cherma(folder, skip_bad=True)
    assert str(caught.value).startswith(f"{folder / 'dev.json'}: {problem}")


def test_a_file_that_goes_away(tmp_path: Path) -> None:
    folder = write_cherma(tmp_path, widths=SMALL)
    raw = read_cherma(folder)
    (folder / "audio/dev/dev_00001.npy").unlink()
    with pytest.raises(UserError, match=r"dev_00001.npy: not readable any more"):
        raw.streams["audio"].features[np.arange(len(raw.streams["audio"].features))]
