"""The MAG pickle: words with one frame of audio and vision each."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cmad.errors import UserError
from cmad.files import sha256
from cmad.raw.raw_data import RawData, Words
from cmad.raw.read import read
from tests.generators.mag import AUDIO, VISION, make_mag, write_mag
from tests.generators.params import MINILM, params
from tests.generators.publish import write_python2

Content = dict[str, list[Any]]
Spoil = Callable[[Content], Any]


def read_mag(folder: Path, **changes: Any) -> RawData:
    return read(folder, params("mag", "regression", text=MINILM, **changes))


def items(content: Content) -> list[Any]:
    return [item for split in ("train", "dev", "test") for item in content[split]]


def replace_item(split: str, i: int, **parts: Any) -> Spoil:
    """Change words, visual, acoustic, label or segment of one sample."""

    def spoil(content: Content) -> None:
        (words, visual, acoustic), label, segment = content[split][i]
        old = {"words": words, "visual": visual, "acoustic": acoustic, "label": label, "segment": segment}
        new = old | parts
        content[split][i] = ((new["words"], new["visual"], new["acoustic"]), new["label"], new["segment"])

    return spoil


def test_reads_what_was_written(tmp_path: Path) -> None:
    content = make_mag()
    path = write_mag(tmp_path / "x.pkl", content)
    raw = read_mag(tmp_path)
    assert raw.words == [Words((), tuple(words)) for (words, _, _), _, _ in items(content)]
    assert raw.ids == [segment for _, _, segment in items(content)]
    assert raw.groups == [segment.split("[")[0] for segment in raw.ids]
    assert raw.splits == ["train"] * 12 + ["dev"] * 6 + ["test"] * 6
    assert raw.labels.tolist() == [float(label[0, 0]) for _, label, _ in items(content)]
    assert (raw.names, raw.texts, raw.tokens, raw.skipped) == ((), None, None, {})
    assert set(raw.streams) == {"audio", "vision"}
    for m, place, width in (("audio", 2, AUDIO), ("vision", 1, VISION)):
        arrays = [parts[place] for parts, _, _ in items(content)]
        assert raw.streams[m].features.shape[1] == width
        np.testing.assert_array_equal(raw.streams[m].features, np.concatenate(arrays))
        assert raw.streams[m].lengths.tolist() == [len(words.own) for words in raw.words]
    assert np.isneginf(raw.streams["audio"].features).any()
    assert raw.checksums == {"x.pkl": sha256(path)}


def test_the_width_is_the_files_own(tmp_path: Path) -> None:
    write_mag(tmp_path / "x.pkl", make_mag(vision=47))
    assert read_mag(tmp_path).streams["vision"].features.shape[1] == 47


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_every_protocol_gives_the_same(tmp_path: Path, protocol: int) -> None:
    content = make_mag()
    write_mag(tmp_path / "x.pkl", content)
    expected = read_mag(tmp_path)
    write_mag(tmp_path / "x.pkl", content, protocol)
    check_equal(read_mag(tmp_path), expected)


def test_python_2_gives_the_same(tmp_path: Path) -> None:
    content = make_mag()
    write_mag(tmp_path / "x.pkl", content)
    expected = read_mag(tmp_path)
    write_python2(tmp_path / "x.pkl", content)
    check_equal(read_mag(tmp_path), expected)


def check_equal(raw: RawData, expected: RawData) -> None:
    assert (raw.ids, raw.words, raw.splits) == (expected.ids, expected.words, expected.splits)
    np.testing.assert_array_equal(raw.labels, expected.labels)
    for m in ("audio", "vision"):
        np.testing.assert_array_equal(raw.streams[m].features, expected.streams[m].features)


@pytest.mark.parametrize(
    "label", [1.5, np.float32(1.5), np.array(1.5), np.array([1.5]), np.array([[1.5]]), [1.5], [[1.5]], -3, 3]
)
def test_labels_of_any_nesting(tmp_path: Path, label: Any) -> None:
    content = make_mag()
    replace_item("train", 0, label=label)(content)
    write_mag(tmp_path / "x.pkl", content)
    assert read_mag(tmp_path).labels[0] == np.asarray(label).item()


@pytest.mark.parametrize(
    ("segment", "name", "group"),
    [
        ("abc[12]", "abc[12]", "abc"),
        (b"a_b_3", "a_b_3", "a_b"),
        (np.str_("-x_0_1"), "-x_0_1", "-x_0"),
        ("whole", "whole", ""),
        (17, "17", ""),
        (np.array(["v", "0.5", "1.5"]), "v_0.5_1.5", ""),
        ("a\nb", "a_b", ""),
        (None, "train_00000", ""),
    ],
)
def test_ids_and_groups(tmp_path: Path, segment: Any, name: str, group: str) -> None:
    content = make_mag()
    replace_item("train", 0, segment=segment)(content)
    write_mag(tmp_path / "x.pkl", content)
    raw = read_mag(tmp_path)
    assert (raw.ids[0], raw.groups[0]) == (name, group)


def test_repeated_ids_are_numbered(tmp_path: Path) -> None:
    content = make_mag()
    for split, i, segment in (("train", 0, "a"), ("train", 1, "a"), ("train", 2, "a#2"), ("dev", 0, "a")):
        replace_item(split, i, segment=segment)(content)
    write_mag(tmp_path / "x.pkl", content)
    raw = read_mag(tmp_path)
    assert len(set(raw.ids)) == len(raw.ids)
    assert [raw.ids[0], raw.ids[1], raw.ids[12]] == ["a", "a#2", "a#3"]


def test_a_sample_without_vision_lacks_it(tmp_path: Path) -> None:
    content = make_mag()
    replace_item("dev", 2, visual=np.zeros((0, VISION)))(content)
    write_mag(tmp_path / "x.pkl", content)
    raw = read_mag(tmp_path)
    assert raw.words is not None
    assert raw.streams["vision"].lengths[14] == 0
    assert raw.streams["audio"].lengths[14] == len(raw.words[14].own) > 0


BAD: dict[str, tuple[Spoil, str, str]] = {
    "one row too few": (
        replace_item("dev", 1, visual=np.zeros((1, VISION)), words=["a", "b"], acoustic=np.zeros((2, AUDIO))),
        "vision has 1 rows for 2 words",
        "vision and words differ in number",
    ),
    "another width": (
        replace_item("dev", 1, visual=np.zeros((1, 47)), words=["a"], acoustic=np.zeros((1, AUDIO))),
        "vision has 47 columns, the others 35",
        "vision has another width",
    ),
    "one axis": (
        replace_item("dev", 1, words=["a"], acoustic=np.zeros(AUDIO)),
        "audio is float64 [74], not numbers [words, columns]",
        "audio is no array of frames",
    ),
    "no array": (
        replace_item("dev", 1, acoustic=None),
        "audio is NoneType, not an array",
        "audio is no array",
    ),
    "label too high": (
        replace_item("dev", 1, label=np.array([[3.5]])),
        "label 3.5 is out of range, -3 to 3",
        "label is out of range",
    ),
    "label not finite": (replace_item("dev", 1, label=np.nan), "label is not finite", "label is not finite"),
    "seven labels": (
        replace_item("dev", 1, label=np.zeros((1, 7))),
        "label has shape [1, 7], not [1]",
        "label is no single number",
    ),
    "label of text": (
        replace_item("dev", 1, label="1.5"),
        "label is str, not a number",
        "label is no single number",
    ),
    "label of text in an array": (
        replace_item("dev", 1, label=np.array(["x"])),
        "label is str_, not a number",
        "label is no single number",
    ),
    "not UTF-8": (replace_item("dev", 1, words=[b"\xff"]), "text is not UTF-8", "text is not UTF-8"),
    "half a surrogate pair": (
        replace_item("dev", 1, words=["\ud83d"]),
        "text is not UTF-8",
        "text is not UTF-8",
    ),
    "a number for a word": (
        replace_item("dev", 1, words=[1]),
        "text is int, not a text",
        "text is missing",
    ),
    "no words": (
        replace_item("dev", 1, words=[], visual=np.zeros((0, 35)), acoustic=np.zeros((0, 74))),
        "sample has no words",
        "sample has no words",
    ),
    "another form": (
        lambda content: content["dev"].__setitem__(1, ("words", 1.0, "dev[1]")),
        "sample has another form",
        "sample has another form",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_sample_is_named_or_left_out(tmp_path: Path, name: str) -> None:
    spoil, problem, reason = BAD[name]
    content = make_mag()
    spoil(content)
    path = write_mag(tmp_path / "x.pkl", content)
    with pytest.raises(UserError) as caught:
        read_mag(tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{path}: dev sample 1 (id dev")
    assert problem in message
    assert message.endswith("preprocess.skip_bad: true")
    assert message.isprintable()
    raw = read_mag(tmp_path, skip_bad=True)
    assert raw.skipped == {reason: 1}
    assert len(raw.ids) == len(items(content)) - 1
    assert raw.words is not None
    for stream in raw.streams.values():
        assert stream.lengths.tolist() == [len(words.own) for words in raw.words]


def test_a_split_of_bad_samples_alone_is_refused(tmp_path: Path) -> None:
    content = make_mag()
    for i in range(6):
        replace_item("test", i, label=9.0)(content)
    write_mag(tmp_path / "x.pkl", content)
    with pytest.raises(UserError, match=r"split test has no sample left \(label is out of range: 6\)"):
        read_mag(tmp_path, skip_bad=True)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (
            lambda content: content.pop("dev"),
            "has no split dev or valid or val (found train, test); name it so",
        ),
        (lambda content: content.__setitem__("test", []), "split test is empty"),
        (lambda content: content.__setitem__("test", {"a": 1}), "split test is dict, not a list"),
    ],
)
def test_the_file_as_a_whole(tmp_path: Path, spoil: Spoil, problem: str) -> None:
    content = make_mag()
    spoil(content)
    path = write_mag(tmp_path / "x.pkl", content)
    with pytest.raises(UserError) as caught:
        read_mag(tmp_path, skip_bad=True)
    assert str(caught.value).startswith(f"{path}: {problem}")


def test_dev_may_be_called_valid(tmp_path: Path) -> None:
    content = make_mag()
    content["valid"] = content.pop("dev")
    write_mag(tmp_path / "x.pkl", content)
    assert read_mag(tmp_path).splits.count("dev") == 6
