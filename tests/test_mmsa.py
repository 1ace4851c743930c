"""The MMSA pickle: BERT features or token ids, lengths given or not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cmad.errors import UserError
from cmad.raw.check import presence
from cmad.raw.raw_data import RawData
from cmad.raw.read import read
from tests.generators.mmsa import Content, make_mmsa, write_mmsa
from tests.generators.params import MINILM, params

SPLITS = ("train", "valid", "test")
Spoil = Callable[[Content], Any]


def read_mmsa(folder: Path, task: str = "regression", **changes: Any) -> RawData:
    return read(folder, params("mmsa", task, **changes))


def samples(content: Content, key: str) -> list[Any]:
    return [row for split in SPLITS for row in content[split][key]]


def real_frames(rows: list[Any], lengths: list[int]) -> Any:
    return np.concatenate([row[:n] for row, n in zip(rows, lengths, strict=True)])


@pytest.mark.parametrize("aligned", [True, False])
def test_reads_what_was_written(tmp_path: Path, aligned: bool) -> None:
    content = make_mmsa(aligned)
    write_mmsa(tmp_path / "x.pkl", content)
    raw = read_mmsa(tmp_path)
    assert raw.ids == samples(content, "id")
    assert raw.groups[:4] == ["train_video0"] * 3 + ["train_video1"]
    assert raw.splits == ["train"] * 12 + ["dev"] * 6 + ["test"] * 6
    assert raw.labels.tolist() == [float(label) for label in samples(content, "regression_labels")]
    assert (raw.names, raw.texts, raw.tokens) == ((), None, None)
    masks = [int(row[1].sum()) for row in samples(content, "text_bert")]
    for m, key in (("language", "text"), ("audio", "audio"), ("vision", "vision")):
        lengths = masks if aligned or m == "language" else samples(content, f"{key}_lengths")
        assert raw.streams[m].lengths.tolist() == lengths
        np.testing.assert_array_equal(raw.streams[m].features, real_frames(samples(content, key), lengths))
    assert presence(raw).all() == aligned


def test_a_length_of_0_is_a_missing_modality(tmp_path: Path) -> None:
    write_mmsa(tmp_path / "x.pkl", make_mmsa(aligned=False))
    assert presence(read_mmsa(tmp_path))[:3].tolist() == [[True] * 3, [True, True, False], [True] * 3]


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_token_ids(tmp_path: Path, dtype: Any) -> None:
    content = make_mmsa()
    for split in SPLITS:
        content[split]["text_bert"] = content[split]["text_bert"].astype(dtype)
        content[split]["text_bert"][0, 2, 1] = 1
    write_mmsa(tmp_path / "x.pkl", content)
    raw = read_mmsa(tmp_path, text=MINILM)
    assert raw.tokens is not None
    assert set(raw.streams) == {"audio", "vision"}
    rows = samples(content, "text_bert")
    assert raw.tokens.lengths.tolist() == [int(row[1].sum()) for row in rows]
    expected = np.concatenate([row[[0, 2], : int(row[1].sum())].T for row in rows])
    assert raw.tokens.features.dtype == np.int64
    np.testing.assert_array_equal(raw.tokens.features, expected)
    assert raw.tokens.features[1, 1] == 1
    assert presence(raw).all()


def test_annotations_are_classes(tmp_path: Path) -> None:
    content = make_mmsa()
    content["train"]["annotations"][0] = "NEGATIVE"
    write_mmsa(tmp_path / "x.pkl", content)
    raw = read_mmsa(tmp_path, "classes")
    assert raw.names == ("Negative", "Neutral", "Positive")
    assert raw.labels[:3].tolist() == [0, 1, 2]


def test_features_without_a_mask(tmp_path: Path) -> None:
    content = make_mmsa()
    for split in SPLITS:
        del content[split]["text_bert"]
    content["train"]["text"][0] = 0
    content["train"]["text"][0, :2] = 5
    write_mmsa(tmp_path / "x.pkl", content)
    raw = read_mmsa(tmp_path)
    assert raw.streams["language"].lengths[:2].tolist() == [2, 8]
    with pytest.raises(UserError, match=r"has no text_bert; set preprocess.text to null"):
        read_mmsa(tmp_path, text=MINILM)


def put(split: str, key: str, value: Any) -> Spoil:
    return lambda content: content[split].__setitem__(key, value)


def put_one(split: str, key: str, i: Any, value: Any) -> Spoil:
    return lambda content: content[split][key].__setitem__(i, value)


WHOLE: dict[str, tuple[Spoil, str]] = {
    "no scores": (lambda c: c["test"].pop("regression_labels"), "test has no list regression_labels"),
    "text_bert of two rows": (
        put("test", "text_bert", np.zeros((6, 2, 8))),
        "test, text_bert is [6, 2, 8], not [6, 3, tokens]",
    ),
    "text_bert of a list": (put("test", "text_bert", [[1]]), "test, text_bert is list, not [6, 3, tokens]"),
    "text_bert of features": (
        put("test", "text_bert", np.full((6, 3, 8), 0.5)),
        "test, text_bert holds other things than token ids",
    ),
    "text_bert below 0": (
        put("test", "text_bert", np.full((6, 3, 8), -1)),
        "test, text_bert holds other things",
    ),
    "text_bert not finite": (
        put("test", "text_bert", np.full((6, 3, 8), np.nan)),
        "test, text_bert holds other",
    ),
    "mask of 2": (put("test", "text_bert", np.full((6, 3, 8), 2)), "test, text_bert holds other things"),
    "lengths missing": (
        put("test", "audio_lengths", [1, 2]),
        "test, audio_lengths has 2 entries for 6 samples",
    ),
    "ids missing": (put("test", "id", ["a"]), "test, id has 1 entries for 6 samples"),
    "no text": (lambda c: c["train"].pop("text"), "train has no array text"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_the_file_as_a_whole(tmp_path: Path, name: str) -> None:
    spoil, problem = WHOLE[name]
    content = make_mmsa(aligned=False)
    spoil(content)
    path = write_mmsa(tmp_path / "x.pkl", content)
    with pytest.raises(UserError) as caught:
        read_mmsa(tmp_path, skip_bad=True)
    assert str(caught.value).startswith(f"{path}: {problem}")
    assert str(caught.value).isprintable()


BAD: dict[str, tuple[Spoil, str, str]] = {
    "score": (put_one("valid", "regression_labels", 1, 5), "label 5 is out of range, -3 to 3", "regression"),
    "annotation": (
        put_one("valid", "annotations", 1, "good"),
        "annotation 'Good' is none of Negative",
        "classes",
    ),
    "length too long": (
        put_one("valid", "audio_lengths", 1, 12),
        "audio_lengths is not from 0 to 11",
        "regression",
    ),
    "length below 0": (
        put_one("valid", "vision_lengths", 1, -1),
        "vision_lengths is not from 0 to 9",
        "regression",
    ),
    "length not whole": (
        put_one("valid", "vision_lengths", 1, 1.5),
        "vision_lengths is not from 0 to 9",
        "regression",
    ),
    "length of text": (
        put_one("valid", "vision_lengths", 1, "x"),
        "vision_lengths is not from 0 to 9",
        "regression",
    ),
    "no token": (put_one("valid", "text_bert", 1, 0), "text_bert has no token", "regression"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_sample_is_named_or_left_out(tmp_path: Path, name: str) -> None:
    spoil, problem, task = BAD[name]
    content = make_mmsa(aligned=False)
    spoil(content)
    path = write_mmsa(tmp_path / "x.pkl", content)
    with pytest.raises(UserError) as caught:
        read_mmsa(tmp_path, task)
    assert str(caught.value).startswith(f"{path}: dev sample 1 (id valid_video0$_$1): {problem}")
    for text in (None, MINILM):
        raw = read_mmsa(tmp_path, task, text=text, skip_bad=True)
        assert sum(raw.skipped.values()) == 1
        assert len(raw.ids) == len(raw.groups) == 23
        streams = [*raw.streams.values(), *([raw.tokens] if raw.tokens is not None else [])]
        assert all(len(each.lengths) == 23 for each in streams)


def test_text_and_mask_of_different_length(tmp_path: Path) -> None:
    content = make_mmsa()
    content["valid"]["text_bert"] = content["valid"]["text_bert"][:, :, :7]
    write_mmsa(tmp_path / "x.pkl", content)
    with pytest.raises(UserError, match="text has 8 positions, text_bert 7"):
        read_mmsa(tmp_path)
