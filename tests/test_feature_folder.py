import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmad.errors import UserError
from cmad.files import sha256
from cmad.raw.check import presence
from cmad.raw.feature_folder import read
from tests.generators.feature_folder import (
    read_arrays,
    read_rows,
    write_arrays,
    write_feature_folder,
    write_samples,
)

Spoil = Callable[[Path], None]


def claim_too_much(folder: Path) -> None:
    """A small archive whose head says that its features take 80 TB."""
    head = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({10**9}, {10**4})}}".ljust(117) + "\n"
    with zipfile.ZipFile(folder / "audio.npz", "w") as archive:
        start = b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little")
        archive.writestr("features.npy", start + head.encode())
        archive.writestr("lengths.npy", b"")


def test_reads_what_was_written(tmp_path: Path) -> None:
    folder = write_feature_folder(tmp_path)
    raw = read(folder, "regression", "features")
    rows = read_rows(folder)
    assert raw.ids == [row["id"] for row in rows]
    assert raw.splits == [row["split"] for row in rows]
    assert raw.groups == [row["group"] for row in rows]
    assert raw.labels.tolist() == [float(row["label"]) for row in rows]
    assert raw.names == ()
    assert raw.texts is None
    for m in ("language", "audio", "vision"):
        arrays = read_arrays(folder, m)
        np.testing.assert_array_equal(raw.streams[m].features, arrays["features"])
        np.testing.assert_array_equal(raw.streams[m].lengths, arrays["lengths"])
    assert raw.checksums == {path.name: sha256(path) for path in folder.iterdir()}


def test_classes_are_sorted_by_name(tmp_path: Path) -> None:
    folder = write_feature_folder(tmp_path, kind="classes")
    raw = read(folder, "classes", "features")
    assert raw.names == ("high", "low", "middle")
    assert [raw.names[i] for i in raw.labels] == [row["label"] for row in read_rows(folder)]


def test_classes_that_are_numbers_are_sorted_as_numbers(tmp_path: Path) -> None:
    folder = write_feature_folder(tmp_path, kind="classes")
    number = {"high": "10", "middle": "9", "low": "-1"}
    write_samples(folder, [row | {"label": number[row["label"]]} for row in read_rows(folder)])
    assert read(folder, "classes", "features").names == ("-1", "9", "10")


def test_binary_labels_stand_in_columns(tmp_path: Path) -> None:
    folder = write_feature_folder(tmp_path, kind="binary")
    raw = read(folder, "binary", "features")
    assert raw.names == ("happy", "sad")
    expected = [[int(row["label.happy"]), int(row["label.sad"])] for row in read_rows(folder)]
    assert raw.labels.tolist() == expected


def test_text_stands_with_its_context(tmp_path: Path) -> None:
    folder = write_feature_folder(tmp_path, text=True)
    raw = read(folder, "regression", "text")
    assert raw.texts == [(row["context"], row["text"]) for row in read_rows(folder)]
    assert set(raw.streams) == {"audio", "vision"}


def test_the_preset_says_which_language_counts(tmp_path: Path) -> None:
    folder = write_feature_folder(tmp_path, text=True)
    shutil.copy(write_feature_folder(tmp_path / "other") / "language.npz", folder)
    assert set(read(folder, "regression", "features").streams) == {"language", "audio", "vision"}
    raw = read(folder, "regression", "text")
    assert set(raw.streams) == {"audio", "vision"}
    assert "language.npz" not in raw.checksums


def test_an_empty_text_lacks_language(tmp_path: Path) -> None:
    folder = write_feature_folder(tmp_path, text=True)
    rows = read_rows(folder)
    rows[0]["text"] = "  "
    write_samples(folder, rows)
    has = presence(read(folder, "regression", "text"))
    assert has[:, 0].tolist() == [False] + [True] * (len(rows) - 1)


def test_reads_a_byte_order_mark_blank_lines_and_quoted_line_breaks(tmp_path: Path) -> None:
    folder = write_feature_folder(tmp_path, text=True)
    rows = read_rows(folder)
    rows[0]["text"] = 'one,\n"two"'
    write_samples(folder, rows)
    path = folder / "samples.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes() + b"\r\n\r\n")
    raw = read(folder, "regression", "text")
    assert raw.ids[0] == "clip_0"
    assert raw.texts is not None
    assert raw.texts[0][1] == 'one,\n"two"'


def put(row: int, column: str, value: str) -> Spoil:
    def spoil(folder: Path) -> None:
        rows = read_rows(folder)
        rows[row][column] = value
        write_samples(folder, rows)

    return spoil


def drop_column(column: str) -> Spoil:
    def spoil(folder: Path) -> None:
        write_samples(folder, [{k: v for k, v in row.items() if k != column} for row in read_rows(folder)])

    return spoil


def drop_rows(split: str) -> Spoil:
    def spoil(folder: Path) -> None:
        write_samples(folder, [row for row in read_rows(folder) if row["split"] != split])

    return spoil


def change(modality: str, **arrays: Callable[[np.ndarray], object]) -> Spoil:
    def spoil(folder: Path) -> None:
        old = read_arrays(folder, modality)
        write_arrays(folder, modality, old | {k: np.asarray(f(old[k])) for k, f in arrays.items()})

    return spoil


def keep_array(modality: str, name: str) -> Spoil:
    return lambda folder: write_arrays(folder, modality, {name: read_arrays(folder, modality)[name]})


def replace_bytes(name: str, edit: Callable[[bytes], bytes]) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).write_bytes(edit((folder / name).read_bytes()))

    return spoil


def set_lengths(modality: str, choose: Callable[[list[dict[str, str]]], np.ndarray]) -> Spoil:
    """Set some samples' lengths to 0 and take their frames away."""

    def spoil(folder: Path) -> None:
        arrays = read_arrays(folder, modality)
        gone = choose(read_rows(folder))
        kept = ~np.repeat(gone, arrays["lengths"])
        lengths = np.where(gone, 0, arrays["lengths"])
        write_arrays(folder, modality, {"features": arrays["features"][kept], "lengths": lengths})

    return spoil


def together(*spoils: Spoil) -> Spoil:
    def spoil(folder: Path) -> None:
        for one in spoils:
            one(folder)

    return spoil


def of_train(rows: list[dict[str, str]]) -> np.ndarray:
    return np.array([row["split"] == "train" for row in rows])


def evens(rows: list[dict[str, str]]) -> np.ndarray:
    return np.array([i % 2 == 0 for i in range(len(rows))])


def only(row: int) -> Callable[[list[dict[str, str]]], np.ndarray]:
    return lambda rows: np.arange(len(rows)) == row


# What is done to a valid folder, and what the one line must name.
BAD: dict[str, tuple[Spoil, str]] = {
    "no table": (lambda f: (f / "samples.csv").unlink(), "samples.csv: no such file"),
    "not UTF-8": (
        replace_bytes("samples.csv", lambda b: b.replace(b"clip_1", b"clip_\xe9")),
        "samples.csv: not UTF-8 .*save it as UTF-8",
    ),
    "open quote": (
        replace_bytes("samples.csv", lambda b: b + b'"x'),
        "samples.csv: not a readable CSV file .*write it again",
    ),
    "header alone": (replace_bytes("samples.csv", lambda b: b.splitlines()[0]), "samples.csv: no samples"),
    "empty table": (replace_bytes("samples.csv", lambda _: b"\n"), "samples.csv: no samples"),
    "row too long": (
        replace_bytes("samples.csv", lambda b: b.replace(b"clip_3,", b"clip_3,more,")),
        "samples.csv: line 5 has 5 fields, the header has 4; quote",
    ),
    "no id": (drop_column("id"), "samples.csv: column id is absent .*add it"),
    "no split": (drop_column("split"), "samples.csv: column split is absent"),
    "no group": (drop_column("group"), "samples.csv: column group is absent"),
    "no label": (drop_column("label"), "samples.csv: column label is absent; add it"),
    "column twice": (
        replace_bytes("samples.csv", lambda b: b.replace(b"group", b"split")),
        "samples.csv: column split stands there twice; keep one",
    ),
    "line break in a column name": (
        replace_bytes("samples.csv", lambda b: b.replace(b"group", b'"gr\noup"')),
        "samples.csv: column .* has a line break in its name; take it out",
    ),
    "empty id": (put(1, "id", " "), "samples.csv: line 3, column id: empty; name"),
    "id twice": (
        put(3, "id", "clip_1"),
        r"line 5 \(id clip_1\), column id: also on line 3; ids must be unique",
    ),
    "line break in id": (
        put(0, "id", "a\nb"),
        "samples.csv: line 2, column id: has a line break; take it out",
    ),
    "unknown split": (
        put(0, "split", "valid"),
        r"line 2 \(id clip_0\), column split: 'valid' is unknown; use train, dev or test",
    ),
    "empty dev": (drop_rows("dev"), "samples.csv: column split: no sample is in dev; give"),
    "empty train": (drop_rows("train"), "samples.csv: column split: no sample is in train; give"),
    "word as score": (
        put(0, "label", "good"),
        r"line 2 .*column label: 'good' is no finite number .*correct",
    ),
    "NaN score": (put(0, "label", "nan"), "column label: 'nan' is no finite number"),
    "infinite score": (put(0, "label", "-inf"), "column label: '-inf' is no finite number"),
    "score beyond float32": (put(0, "label", "1e39"), "column label: '1e39' is no finite number"),
    "empty score": (put(0, "label", ""), "column label: '' is no finite number"),
    "no language": (lambda f: (f / "language.npz").unlink(), "language.npz: no such file; add it"),
    "no audio": (lambda f: (f / "audio.npz").unlink(), "audio.npz: no such file; see data/README.md"),
    "truncated npz": (
        replace_bytes("audio.npz", lambda b: b[:200]),
        "audio.npz: not a readable .npz file .*save it anew",
    ),
    "other bytes": (replace_bytes("audio.npz", lambda _: b"hello"), "audio.npz: not a readable .npz file"),
    "empty npz": (replace_bytes("audio.npz", lambda _: b""), "audio.npz: not a readable .npz file"),
    "more than any memory": (claim_too_much, "audio.npz: not a readable .npz file .*save it anew"),
    "pickled objects": (
        change("audio", features=lambda x: x.astype(object)),
        "audio.npz: not a readable .npz file",
    ),
    "no features": (keep_array("vision", "lengths"), "vision.npz: array features is absent .*add it"),
    "no lengths": (keep_array("vision", "features"), "vision.npz: array lengths is absent"),
    "flat features": (change("audio", features=np.ravel), r"audio.npz: features is float32 \[\d+\]; give"),
    "no columns": (
        change("audio", features=lambda x: x[:, :0]),
        r"audio.npz: features is float32 \[\d+, 0\]",
    ),
    "whole features": (
        change("audio", features=lambda x: x.astype(int)),
        "audio.npz: features is int64 .*give floating point",
    ),
    "float lengths": (
        change("audio", lengths=lambda x: x.astype(float)),
        r"audio.npz: lengths is float64 \[24\]; give int64 \[24\]",
    ),
    "table of lengths": (change("audio", lengths=lambda x: x[:, None]), r"lengths is int64 \[24, 1\]; give"),
    "a row of lengths less": (
        change("audio", lengths=lambda x: x[:-1]),
        "audio.npz: lengths has 23 rows, samples.csv 24; make them agree",
    ),
    "negative length": (
        change("audio", lengths=lambda x: np.concatenate([[-1], x[1:]])),
        r"audio.npz: lengths\[0\] is negative; 0 says that it is missing",
    ),
    "lengths that do not add up": (
        change("audio", features=lambda x: x[:-1]),
        r"audio.npz: lengths add up to \d+, features has \d+ rows; mend one",
    ),
    "nothing of one sample": (
        set_lengths("language", only(4)),
        r"id clip_4 has no modality at all \(samples like it: 1\); remove it",
    ),
    "audio of no train sample": (
        set_lengths("audio", of_train),
        "audio.npz: no train sample has audio; give it",
    ),
    "language of no sample": (
        together(
            change("language", lengths=np.zeros_like, features=lambda x: x[:0]),
            change("audio", lengths=np.ones_like, features=lambda _: np.eye(24)),
        ),
        "language.npz: no train sample has language",
    ),
    "no complete train sample": (
        together(
            change("language", lengths=np.ones_like, features=lambda _: np.eye(24)),
            change("audio", lengths=np.ones_like, features=lambda _: np.eye(24)),
            change("vision", lengths=np.ones_like, features=lambda _: np.eye(24)),
            set_lengths("audio", evens),
            set_lengths("vision", lambda rows: ~evens(rows)),
        ),
        "no train sample has language, audio and vision together.*give",
    ),
    "all NaN": (
        change("vision", features=lambda x: np.full_like(x, np.nan)),
        "vision.npz: features has no finite value in train; extract it again",
    ),
    "zero variance": (
        change("vision", features=lambda x: np.full_like(x, 0.1)),
        "vision.npz: no column of features varies over train; extract it again",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_line_with_file_field_and_remedy(case: str, tmp_path: Path) -> None:
    folder = write_feature_folder(tmp_path)
    spoil, expected = BAD[case]
    spoil(folder)
    with pytest.raises(UserError, match=expected) as caught:
        read(folder, "regression", "features")
    assert str(caught.value).startswith(str(folder))
    assert "\n" not in str(caught.value)


BAD_CLASSES: dict[str, tuple[Spoil, str]] = {
    "class only in test": (
        put(-1, "label", "odd"),
        "column label: no train sample has the class 'odd'; move",
    ),
    "empty class": (put(0, "label", ""), r"line 2 .*column label: '' is no class; correct"),
    "NaN class": (put(0, "label", "NaN"), "column label: 'NaN' is no class"),
    "one class": (
        lambda f: write_samples(f, [row | {"label": "low"} for row in read_rows(f)]),
        "column label: train has only the class 'low'; give two",
    ),
}


@pytest.mark.parametrize("case", BAD_CLASSES)
def test_bad_classes(case: str, tmp_path: Path) -> None:
    folder = write_feature_folder(tmp_path, kind="classes")
    spoil, expected = BAD_CLASSES[case]
    spoil(folder)
    with pytest.raises(UserError, match=expected):
        read(folder, "classes", "features")


BAD_BINARY: dict[str, tuple[Spoil, str]] = {
    "no columns": (
        together(drop_column("label.happy"), drop_column("label.sad")),
        "samples.csv: column label.<name> is absent; a binary task needs one per label",
    ),
    "third value": (put(0, "label.sad", "2"), r"line 2 .*column label.sad: '2' is neither 0 nor 1; correct"),
    "word": (put(0, "label.sad", "True"), "column label.sad: 'True' is neither 0 nor 1"),
    "NaN": (put(0, "label.sad", "nan"), "column label.sad: 'nan' is neither 0 nor 1"),
    "one value in train": (
        lambda f: write_samples(
            f,
            [row | ({"label.sad": "0"} if row["split"] == "train" else {}) for row in read_rows(f)],
        ),
        "column label.sad: every train sample has 0; give train both values",
    ),
}


@pytest.mark.parametrize("case", BAD_BINARY)
def test_bad_binary_labels(case: str, tmp_path: Path) -> None:
    folder = write_feature_folder(tmp_path, kind="binary")
    spoil, expected = BAD_BINARY[case]
    spoil(folder)
    with pytest.raises(UserError, match=expected):
        read(folder, "binary", "features")


def test_wrong_task_for_the_columns_is_told(tmp_path: Path) -> None:
    folder = write_feature_folder(tmp_path, kind="binary")
    with pytest.raises(
        UserError, match=r"column label is absent; add it; for columns label.<name> set .*binary"
    ):
        read(folder, "regression", "features")


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none: no such folder; put the feature folder there"):
        read(tmp_path / "none", "regression", "features")


def test_either_source_of_language_points_to_the_other(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"column text is absent; add it, or for language.npz set .*null"):
        read(write_feature_folder(tmp_path / "a"), "regression", "text")
    with pytest.raises(UserError, match=r"language.npz: no such file; add it; to encode the column text"):
        read(write_feature_folder(tmp_path / "b", text=True), "regression", "features")


def test_text_of_no_train_sample(tmp_path: Path) -> None:
    folder = write_feature_folder(tmp_path, text=True)
    write_arrays(folder, "audio", {"features": np.eye(24), "lengths": np.ones(24, dtype=int)})
    write_samples(folder, [row | {"text": ""} for row in read_rows(folder)])
    with pytest.raises(UserError, match=r"samples.csv, column text: no train sample has language; give"):
        read(folder, "regression", "text")


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(["audio.npz", "samples.csv"]), data=st.data())
def test_any_damage_is_read_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    folder = write_feature_folder(tmp_path_factory.mktemp("damaged"))
    content = bytearray((folder / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / name).write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]))
    message = ""
    try:
        read(folder, "regression", "features")
    except UserError as error:
        message = str(error)
    assert "\n" not in message


def test_the_documented_snippet_writes_a_feature_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = (Path(__file__).parents[1] / "data" / "README.md").read_text(encoding="utf-8")
    snippet = document.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    exec(snippet, {})
    has = presence(read(tmp_path, "regression", "features"))
    assert has.sum(0).tolist() == [40, 40, 26]


REAL = pytest.mark.skipif("CMAD_REAL_DATA" not in os.environ, reason="CMAD_REAL_DATA is not set")


@REAL
def test_mosi_reads_as_described() -> None:
    raw = read(Path(os.environ["CMAD_REAL_DATA"]) / "mosi", "regression", "text")
    assert [raw.splits.count(name) for name in ("train", "dev", "test")] == [1284, 229, 686]
    assert presence(raw).sum(0).tolist() == [2199, 2199, 752]
    test = raw.labels[np.array(raw.splits) == "test"]
    assert (test[test != 0] > 0).mean() == pytest.approx(0.422, abs=5e-4)


@REAL
def test_mustard_reads_as_described() -> None:
    raw = read(Path(os.environ["CMAD_REAL_DATA"]) / "mustard", "classes", "text")
    assert raw.names == ("sarcastic", "sincere")
    assert [raw.splits.count(name) for name in ("train", "dev", "test")] == [268, 66, 356]
    assert presence(raw).sum(0).tolist() == [690, 209, 209]
    test = raw.labels[np.array(raw.splits) == "test"]
    assert (test == 1).mean() == pytest.approx(0.573, abs=5e-4)
