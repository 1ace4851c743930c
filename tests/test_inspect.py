"""`python -m cmad inspect`: what is wrong with raw files is found, counted and written down."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cmad.errors import UserError
from cmad.inspection.compare import differences, nearest
from cmad.inspection.inspect import LABELS, LENGTHS, TEXT, inspect
from cmad.inspection.look import Found, look
from cmad.inspection.markdown import gist, markdown
from cmad.inspection.opening import open_raw
from cmad.published.facts import DATASETS
from cmad.raw.raw_data import Ragged, RawData, Words
from cmad.task import Kind
from tests.generators.feature_folder import (
    read_arrays,
    read_rows,
    write_arrays,
    write_feature_folder,
    write_samples,
)
from tests.generators.mag import make_mag, write_mag
from tests.project import ROOT

KINDS: tuple[Kind, ...] = ("regression", "classes", "binary")


def ragged(lengths: list[int], width: int, seed: int) -> Ragged:
    features = np.random.default_rng(seed).standard_normal((sum(lengths), width)).astype(np.float32)
    return Ragged(features, np.array(lengths, dtype=np.int64))


def small(**changes: Any) -> RawData:
    """Four samples whose audio and vision stand by their words."""
    said = [Words((), ("a", "b")), Words(("x",), ("c",)), Words((), ("d",)), Words((), ("e", "f", "g"))]
    lengths = [len(words.context) + len(words.own) for words in said]
    raw = RawData(
        ids=["1", "2", "3", "4"],
        splits=["train", "train", "dev", "test"],
        groups=["v1", "v1", "v2", "v1"],
        labels=np.array([1.5, -0.5, 0.0, 3.0]),
        names=(),
        streams={"audio": ragged(lengths, 74, 1), "vision": ragged(lengths, 35, 2)},
        words=said,
    )
    return replace(raw, **changes)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", [False, True])
def test_a_feature_folder_is_opened_without_being_told_what_it_is(
    tmp_path: Path, kind: Kind, text: bool
) -> None:
    folder = write_feature_folder(tmp_path / "data", kind=kind, text=text)
    opened = open_raw(folder)
    assert (opened.layout, opened.kind) == ("folder", kind)
    found = look(opened.raw, opened.kind)
    assert found.counts() == (12, 6, 6)
    assert found.widths.get("language") == (None if text else 5)
    assert found.lengths["language"].min() > 0
    assert (found.lengths["audio"] == 0).sum() == 8


def test_whole_numbers_of_many_values_are_scores(tmp_path: Path) -> None:
    folder = write_feature_folder(tmp_path / "data", sizes=(12, 6, 6))
    rows = read_rows(folder)
    for i, row in enumerate(rows):
        row["label"] = str(i)
    write_samples(folder, rows)
    assert open_raw(folder).kind == "regression"
    for i, row in enumerate(rows):
        row["label"] = str(i % 2)
    write_samples(folder, rows)
    assert open_raw(folder).kind == "classes"
    assert open_raw(folder, kind="regression").kind == "regression"


def test_traps_are_counted(tmp_path: Path) -> None:
    folder = write_feature_folder(tmp_path / "data")
    arrays = read_arrays(folder, "audio")
    arrays["features"][0, 0] = -np.inf
    arrays["features"][-1, 1:3] = np.nan
    arrays["features"][:, 3] = 7
    write_arrays(folder, "audio", arrays)
    rows = read_rows(folder)
    rows[0]["group"] = rows[-1]["group"] = "the same speaker"
    write_samples(folder, rows)
    opened = open_raw(folder)
    found = look(opened.raw, opened.kind)
    assert found.non_finite["audio"] == {"train": 1, "dev": 0, "test": 2}
    assert found.constant == {"language": (), "audio": (3,), "vision": ()}
    assert found.shared_groups == {"train-dev": 0, "train-test": 1, "dev-test": 0}
    lines = gist(found, "folder", None)
    assert "audio has 3 values that are not finite; preprocess makes them 0" in lines
    assert "audio has 1 columns that do not vary over train" in lines
    assert "train and test share 1 groups" in lines
    assert found.checksums["audio.npz"] in markdown("t", found, "folder", None, ())


def test_words_and_their_frames() -> None:
    found = look(small(), "regression")
    assert found.language_unit == "words"
    assert found.lengths["language"].tolist() == [2, 2, 1, 3]
    assert found.widths == {"audio": 74, "vision": 35}
    assert found.repeated_ids == 0
    assert found.shared_groups["train-test"] == 1
    assert not any(found.copies.values())


def test_the_same_sample_in_two_splits_is_found_under_another_id() -> None:
    raw = small()
    streams = {}
    for m, stream in raw.streams.items():
        # The test sample becomes the first train sample.
        features = np.concatenate([stream.features[:5], stream.features[:2]])
        streams[m] = Ragged(features, np.array([2, 2, 1, 2]))
    words = raw.words or []
    twice = replace(raw, streams=streams, words=[*words[:3], words[0]], ids=["1", "2", "3", "1#2"])
    found = look(twice, "regression")
    assert found.copies == {"train-dev": 0, "train-test": 1, "dev-test": 0}
    assert "1 samples of train stand in test with the same content" in gist(found, "mag", None)
    other = replace(twice, words=[*words[:3], Words((), ("a", "other"))])
    assert not any(look(other, "regression").copies.values())


def test_skipped_samples_are_told() -> None:
    found = look(small(skipped={"words and frames differ in number": 3}), "regression")
    assert "left out as unusable: 3 samples, words and frames differ in number" in gist(found, "mag", None)


def of_size(counts: tuple[int, int, int], **changes: Any) -> Found:
    found = look(small(), "regression")
    splits = np.repeat(["train", "dev", "test"], counts)
    return replace(found, splits=splits, **changes)


def test_published_numbers_are_compared() -> None:
    mosei = of_size((16265, 1869, 4643))
    pair = nearest(mosei, "mag", "mosei.pkl")
    assert pair is not None
    assert pair[0].title == "CMU-MOSEI"
    assert differences(mosei, *pair) == []
    assert gist(mosei, "mag", pair)[-1] == "agrees with what is published of CMU-MOSEI (mosei.pkl)"
    short = of_size((16265, 1869, 4000), widths={"audio": 70, "vision": 35})
    pair = nearest(short, "mag", "any.pkl")
    assert pair is not None
    lines = differences(short, *pair)
    assert lines[0].startswith("test has 4000 samples, published are 4643")
    assert lines[1:] == ["audio is 70 wide, published is 74"]


def test_of_one_layout_the_widths_decide_then_the_size() -> None:
    mosi = nearest(of_size((9, 9, 9), widths={"audio": 74, "vision": 47}), "mag", "x.pkl")
    assert mosi is not None
    assert mosi[0].title == "CMU-MOSI"
    humour = replace(of_size((539, 68, 60)), kind="classes", label_balance={"test": {"0": 34, "1": 26}})
    mustard = nearest(humour, "hkt", "x.pkl")
    assert mustard is not None
    assert mustard[0].title == "MUStARD"
    assert any(
        line.startswith("test has 26 of 1, published are 34") for line in differences(humour, *mustard)
    )
    assert nearest(humour, "folder", "x") is None


def test_a_changed_file_is_told_by_its_checksum() -> None:
    form = next(form for form in DATASETS["mosei"].files if form.name == "aligned_50.pkl")
    found = of_size((16326, 1871, 4659), checksums={"aligned_50.pkl": "0" * 64})
    assert differences(found, DATASETS["mosei"], form) == [
        "the SHA-256 of aligned_50.pkl is not the published one: it was changed or is incomplete"
    ]
    assert (
        differences(replace(found, checksums={form.name: form.sha256 or ""}), DATASETS["mosei"], form) == []
    )


@pytest.mark.parametrize("kind", KINDS)
def test_text_and_pictures_are_written(tmp_path: Path, kind: Kind) -> None:
    folder = write_feature_folder(tmp_path / "data", kind=kind)
    out = tmp_path / "out"
    out.mkdir()
    (out / "own.txt").write_text("stays")
    said = inspect(folder, None, None, out)
    assert said.startswith("layout folder, 24 samples: train 12, dev 6, test 6\n")
    assert said.endswith(f"more: {out / TEXT}")
    assert sorted(p.name for p in out.iterdir()) == sorted([TEXT, LENGTHS, LABELS, "own.txt"])
    for name in (LENGTHS, LABELS):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    inspect(folder, None, None, out)
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before


def test_quantiles_and_labels_in_the_text(tmp_path: Path) -> None:
    folder = write_feature_folder(tmp_path / "data", kind="classes")
    inspect(folder, None, None, tmp_path / "out")
    lines = (tmp_path / "out" / TEXT).read_text(encoding="utf-8").splitlines()
    cells = {
        line.split("|")[1].strip(): [c.strip() for c in line.split("|")[2:-1]]
        for line in lines
        if "|" in line
    }
    opened = open_raw(folder)
    own = opened.raw.streams["audio"].lengths[:12]
    own = own[own > 0]
    assert cells["audio, train"][:3] == [str(len(own)), str(12 - len(own)), f"{own.mean():.1f}"]
    assert (cells["audio, train"][3], cells["audio, train"][-1]) == (str(own.min()), str(own.max()))
    high = int((opened.raw.labels[:12] == opened.raw.names.index("high")).sum())
    assert (cells["high"][0], cells["high"][3]) == (str(high), f"{100 * high / 12:.1f}")


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "cmad", *arguments], capture_output=True, text=True, cwd=ROOT
    )


def test_what_is_wrong_is_one_line_and_status_1(tmp_path: Path) -> None:
    done = run("inspect", str(tmp_path / "nothing"), "--out", str(tmp_path / "out"))
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    folder = write_feature_folder(tmp_path / "data")
    (folder / "vision.npz").write_bytes((folder / "vision.npz").read_bytes()[:100])
    done = run("inspect", str(folder), "--out", str(tmp_path / "out"))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "vision.npz" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("task", ["classes", "binary"])
def test_a_task_that_the_layout_never_has_is_one_line(tmp_path: Path, task: str) -> None:
    path = write_mag(tmp_path / "x.pkl", make_mag())
    done = run("inspect", str(path), "--task", task, "--out", str(tmp_path / "out"))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith(f"error: {path}: the labels of a MAG file are never of a {task} task; ")
    assert not (tmp_path / "out").exists()


def test_several_pickles_in_a_folder_must_be_named(tmp_path: Path) -> None:
    for name in ("a.pkl", "b.PICKLE", "c.p"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UserError, match=r"3 pickles \(a.pkl, b.PICKLE, c.p\); name the one"):
        open_raw(tmp_path)
