"""The MulT pickle: padded arrays, four yes-or-no emotions or a score."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from cmad.errors import UserError
from cmad.raw.raw_data import RawData
from cmad.raw.read import read
from tests.generators.mult import Content, make_mult, write_mult
from tests.generators.params import params
from tests.generators.publish import write_python2

KEYS = {"language": "text", "audio": "audio", "vision": "vision"}
SPLITS = ("train", "valid", "test")
Spoil = Callable[[Content], Any]


def read_mult(folder: Path, task: str = "binary", **changes: Any) -> RawData:
    return read(folder, params("mult", task, **changes))


def samples(content: Content, key: str) -> list[Any]:
    return [row for split in SPLITS for row in content[split][key]]


def stream(raw: RawData, modality: str, i: int) -> Any:
    lengths = raw.streams[modality].lengths
    start = int(lengths[:i].sum())
    return raw.streams[modality].features[start : start + lengths[i]]


def test_emotions_in_the_owners_order(tmp_path: Path) -> None:
    content = make_mult()
    write_mult(tmp_path / "x.pkl", content)
    raw = read_mult(tmp_path)
    assert raw.names == ("Neutral", "Happy", "Sad", "Angry")
    assert raw.labels.tolist() == [row.argmax(-1).tolist() for row in samples(content, "labels")]
    assert raw.labels[:4].tolist() == np.eye(4, dtype=int).tolist()
    assert raw.splits == ["train"] * 12 + ["dev"] * 6 + ["test"] * 6


def test_ids_are_rows_of_bytes(tmp_path: Path) -> None:
    write_mult(tmp_path / "x.pkl", make_mult())
    raw = read_mult(tmp_path)
    assert raw.ids[:2] == ["train0_0.0_1.5", "train0_1.0_2.5"]
    assert raw.groups[:4] == ["train0", "train0", "train0", "train1"]


@pytest.mark.parametrize("ids", [None, np.arange(12), [b"same"] * 12])
def test_ids_are_unique_whatever_the_file_has(tmp_path: Path, ids: Any) -> None:
    content = make_mult()
    for split in SPLITS:
        content[split].pop("id")
    if ids is not None:
        content["train"]["id"] = ids
    write_mult(tmp_path / "x.pkl", content)
    raw = read_mult(tmp_path)
    assert len(set(raw.ids)) == len(raw.ids) == 24
    assert raw.groups == [""] * 24
    assert raw.ids[1] == {type(None): "train_00001", np.ndarray: "1", list: "same#2"}[type(ids)]


def test_scores(tmp_path: Path) -> None:
    content = make_mult("mosei")
    write_mult(tmp_path / "x.pkl", content)
    raw = read_mult(tmp_path, "regression")
    assert raw.labels.tolist() == [float(row[0, 0]) for row in samples(content, "labels")]
    assert raw.names == ()


@pytest.mark.parametrize("name", ["iemocap", "mosei"])
def test_aligned_streams_stay_aligned(tmp_path: Path, name: Literal["iemocap", "mosei"]) -> None:
    content = make_mult(name)
    write_mult(tmp_path / "x.pkl", content)
    raw = read_mult(tmp_path, "binary" if name == "iemocap" else "regression")
    lengths = raw.streams["language"].lengths
    assert lengths.min() >= 1
    assert len(set(lengths.tolist())) > 1
    for m, key in KEYS.items():
        np.testing.assert_array_equal(raw.streams[m].lengths, lengths)
        for i, row in enumerate(samples(content, key)):
            # The generator pads before the first frame.
            np.testing.assert_array_equal(stream(raw, m, i), row[len(row) - lengths[i] :])
    # A frame of zeros within, and a modality of zeros, are frames like others.
    assert (stream(raw, "vision", 1) == 0).all()
    assert np.isneginf(raw.streams["audio"].features).any()


def test_unaligned_streams_have_lengths_of_their_own(tmp_path: Path) -> None:
    content = make_mult(aligned=False)
    write_mult(tmp_path / "x.pkl", content)
    raw = read_mult(tmp_path)
    for m, key in KEYS.items():
        for i, row in enumerate(samples(content, key)):
            real = np.flatnonzero((row != 0).any(-1))
            expected = row[real[0] : real[-1] + 1] if len(real) else row[:1]
            np.testing.assert_array_equal(stream(raw, m, i), expected)
    assert (raw.streams["audio"].lengths != raw.streams["vision"].lengths).any()


def test_padding_after_the_last_frame_goes_too(tmp_path: Path) -> None:
    content = make_mult(aligned=False)
    content["train"]["text"][0] = 0
    content["train"]["text"][0, 1:3] = 7
    write_mult(tmp_path / "x.pkl", content)
    np.testing.assert_array_equal(stream(read_mult(tmp_path), "language", 0), np.full((2, 300), 7))


def test_python_2_gives_the_same(tmp_path: Path) -> None:
    content = make_mult()
    write_mult(tmp_path / "x.pkl", content)
    expected = read_mult(tmp_path)
    write_python2(tmp_path / "x.pkl", content)
    raw = read_mult(tmp_path)
    assert raw.ids == expected.ids
    for m in KEYS:
        np.testing.assert_array_equal(raw.streams[m].features, expected.streams[m].features)


def put(split: str, key: str, value: Any) -> Spoil:
    return lambda content: content[split].__setitem__(key, value)


WHOLE: dict[str, tuple[Spoil, str]] = {
    "no vision": (lambda c: c["valid"].pop("vision"), "dev has no array vision"),
    "list for an array": (put("valid", "text", [1]), "dev has no array text"),
    "two axes": (
        put("test", "audio", np.zeros((6, 74), np.float32)),
        "test, audio is float32 [6, 74], not numbers",
    ),
    "objects": (
        put("test", "audio", np.zeros((6, 5, 1), object)),
        "test, audio is object [6, 5, 1], not numbers",
    ),
    "no frames": (
        put("test", "audio", np.zeros((6, 0, 74))),
        "test, audio is float64 [6, 0, 74], not numbers",
    ),
    "another width": (
        put("test", "audio", np.zeros((6, 5, 73), np.float32)),
        "test, audio has 73 columns, in train 74",
    ),
    "sample missing": (
        put("test", "vision", np.zeros((5, 6, 35), np.float32)),
        "test, vision has 5 samples, text 6",
    ),
    "label missing": (
        put("test", "labels", np.zeros((5, 4, 2), np.float32)),
        "test, labels has 5 entries for 6 samples",
    ),
    "six emotions": (
        put("train", "labels", np.zeros((12, 6, 2))),
        "labels are [N, 6, 2], not [N, 4, 2] or [N, 1, 1]",
    ),
    "labels of a list": (put("train", "labels", [0] * 12), "labels are no array, not [N, 4, 2]"),
    "scores": (
        put("train", "labels", np.zeros((12, 1, 1))),
        "labels are of a regression task; set preprocess.task",
    ),
    "split test absent": (lambda c: c.pop("test"), "has no split test (found train, valid)"),
    "one answer": (
        put("train", "labels", np.eye(2)[np.zeros((12, 4), int)]),
        "every train sample has the same label Neutral",
    ),
}


@pytest.mark.parametrize("name", WHOLE)
def test_the_file_as_a_whole(tmp_path: Path, name: str) -> None:
    spoil, problem = WHOLE[name]
    content = make_mult()
    spoil(content)
    path = write_mult(tmp_path / "x.pkl", content)
    with pytest.raises(UserError) as caught:
        read_mult(tmp_path, skip_bad=True)
    assert str(caught.value).startswith(f"{path}: {problem}")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "value", [np.full((4, 2), 0.5), np.ones((4, 2)), np.zeros((4, 2)), np.full((4, 2), np.nan)]
)
def test_a_label_that_is_not_one_hot(tmp_path: Path, value: Any) -> None:
    content = make_mult()
    content["valid"]["labels"][1] = value
    path = write_mult(tmp_path / "x.pkl", content)
    with pytest.raises(UserError) as caught:
        read_mult(tmp_path)
    assert str(caught.value).startswith(
        f"{path}: dev sample 1 (id valid0_1.0_2.5): label is not one-hot, 0 and 1; "
    )
    raw = read_mult(tmp_path, skip_bad=True)
    assert raw.skipped == {"label is out of range": 1}
    assert len(raw.ids) == len(raw.groups) == len(raw.labels) == 23
    kept: list[int] = [i for i in range(24) if i != 13]
    rows = samples(content, "audio")
    for new, old in enumerate(kept):
        frames = stream(raw, "audio", new)
        np.testing.assert_array_equal(frames, rows[old][len(rows[old]) - len(frames) :])


def test_an_id_of_too_many_digits_is_a_bad_sample(tmp_path: Path) -> None:
    content = make_mult()
    ids: Any = [f"x{i}" for i in range(6)]
    # What stands deeper than the parts of an id is not looked at.
    ids[1], ids[2] = [10**5000, "0.0"], [[10**5000], "y"]
    put("valid", "id", ids)(content)
    path = write_mult(tmp_path / "x.pkl", content)
    with pytest.raises(UserError) as caught:
        read_mult(tmp_path)
    assert str(caught.value).startswith(f"{path}: dev sample 1: id is a number of more than 200 digits; ")
    raw = read_mult(tmp_path, skip_bad=True)
    assert raw.skipped == {"id is too long": 1}
    assert (raw.ids[12:14], raw.groups[13]) == (["x0", "y"], "")


def test_a_score_out_of_range(tmp_path: Path) -> None:
    content = make_mult("mosei")
    content["test"]["labels"][2] = -3.2
    write_mult(tmp_path / "x.pkl", content)
    with pytest.raises(UserError, match=r"test sample 2 .* label -3.2 is out of range, -3 to 3"):
        read_mult(tmp_path, "regression")
