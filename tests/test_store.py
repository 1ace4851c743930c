import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.section import has_text_extra
from cmad.combinations import COMBINATIONS, MODALITIES
from cmad.config.schema import Generator, PerModality, Preprocess, Text
from cmad.errors import UserError
from cmad.files import sha256
from cmad.preprocessing.align import ZERO, Placement, as_read
from cmad.preprocessing.clean import Scaling, write_modality
from cmad.preprocessing.prepare import prepare_store
from cmad.preprocessing.write import write_store
from cmad.raw import demo, frames
from cmad.raw.feature_folder import read
from cmad.raw.raw_data import Ragged, RawData
from cmad.splits import SPLITS
from cmad.store.store import Split, open_store
from cmad.task import Kind
from tests.generators.feature_folder import (
    WIDTHS,
    read_arrays,
    read_rows,
    write_arrays,
    write_feature_folder,
    write_samples,
)
from tests.generators.splits import make_split
from tests.project import ROOT
from tests.test_frozen import MINILM

Modality = Literal["language", "audio", "vision"]
ALL: tuple[Modality, ...] = ("language", "audio", "vision")
PARAMS = Preprocess("folder", "regression", PerModality(4, 4, 4), ALL, (), None, None, None, False)
GENERATOR = Generator(seed=0, train=30, dev=10, test=12, missing_audio=0.2, missing_vision=0.2)
DEMO = Preprocess("demo", "regression", PerModality(20, 20, 20), ALL, (), None, GENERATOR, None, False)


def sample(split: Split, modality: str, i: int) -> NDArray[np.floating[Any]]:
    start = split.starts[modality][i]
    return split.features[modality][start : start + split.lengths[modality][i]]


def by_id(folder: Path) -> dict[str, dict[str, NDArray[np.floating[Any]]]]:
    store = open_store(folder)
    return {
        name: {m: np.array(sample(split, m, i)) for m in MODALITIES}
        for split in store.splits.values()
        for i, name in enumerate(split.ids)
    }


def raw_by_id(raw: RawData) -> dict[str, dict[str, NDArray[np.floating[Any]]]]:
    parts = {m: np.split(s.features, np.cumsum(s.lengths)[:-1]) for m, s in raw.streams.items()}
    return {name: {m: parts[m][i] for m in MODALITIES} for i, name in enumerate(raw.ids)}


def kept_train(folder: Path, modality: str) -> NDArray[np.floating[Any]]:
    split = open_store(folder).splits["train"]
    return np.concatenate([sample(split, modality, i) for i in range(len(split))])


def snapshot(folder: Path) -> dict[str, str]:
    return {path.name: sha256(path) for path in sorted(folder.iterdir())}


names = st.text(
    st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), min_size=1, max_size=6
).filter(str.strip)


@st.composite
def raw_data(draw: st.DrawFn) -> RawData:
    """Any data set that passes the checks: ragged streams, zero lengths, odd names, any order."""
    ids = draw(st.lists(names, min_size=4, max_size=9, unique=True))
    n = len(ids)
    splits = draw(
        st.permutations([*SPLITS, *draw(st.lists(st.sampled_from(SPLITS), min_size=n - 3, max_size=n - 3))])
    )
    lengths = {m: np.array(draw(st.lists(st.integers(0, 6), min_size=n, max_size=n))) for m in MODALITIES}
    # A complete train sample of two frames, whose columns vary.
    complete = splits.index("train")
    streams = {}
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from([np.float16, np.float32, np.float64]))
    for m in MODALITIES:
        lengths[m][complete] = max(2, lengths[m][complete])
        features = rng.standard_normal((lengths[m].sum(), WIDTHS[m])).astype(dtype)
        streams[m] = Ragged(features, lengths[m])
    return RawData(
        ids=ids,
        splits=splits,
        groups=draw(st.lists(names, min_size=n, max_size=n)),
        labels=np.array(draw(st.lists(st.floats(-3, 3, width=32), min_size=n, max_size=n))),
        names=(),
        streams=streams,
    )


@settings(max_examples=60, deadline=None)
@given(raw=raw_data(), longest=st.integers(2, 7))
def test_what_goes_in_comes_out_cut(raw: RawData, longest: int) -> None:
    params = replace(PARAMS, max_frames=PerModality(longest, longest, longest), standardise=())
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        write_store(raw, params, store)
        found, expected = by_id(store), raw_by_id(raw)
        assert set(found) == set(raw.ids)
        for name in raw.ids:
            for m in MODALITIES:
                np.testing.assert_array_equal(found[name][m], expected[name][m][:longest].astype(np.float32))
        opened = open_store(store)
        for split_name, split in opened.splits.items():
            assert split.ids == [i for i, s in zip(raw.ids, raw.splits, strict=True) if s == split_name]
            rows = [raw.ids.index(name) for name in split.ids]
            np.testing.assert_array_equal(split.labels, raw.labels[rows].astype(np.float32))
            has = np.stack([raw.streams[m].lengths[rows] > 0 for m in MODALITIES], axis=1)
            np.testing.assert_array_equal(split.has, has)
            np.testing.assert_array_equal(split.complete, has.all(1))
            for m in MODALITIES:
                own = [sum(split.lengths[m][:i]) for i in range(len(split))]
                np.testing.assert_array_equal(split.firsts[m], own)
        total = sum(len(raw.streams[m].features) for m in MODALITIES)
        kept = sum(len(f) for one in found.values() for f in one.values())
        assert sum(opened.manifest["cut_frames"].values()) == total - kept


def test_what_concerns_a_whole_split_is_computed_once() -> None:
    # Each batch asks for it: computed anew, an epoch would grow with the square of the samples.
    split = make_split(np.array([[2, 0, 1], [3, 4, 5]]), 0)
    assert split.complete is split.complete
    assert split.firsts is split.firsts


@settings(max_examples=40, deadline=None)
@given(raw=raw_data(), longest=st.integers(2, 7), standardised=st.sets(st.sampled_from(ALL)))
def test_train_frames_get_mean_0_and_deviation_1(
    raw: RawData, longest: int, standardised: set[Modality]
) -> None:
    params = replace(PARAMS, max_frames=PerModality(longest, longest, longest))
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        write_store(raw, replace(params, standardise=tuple(sorted(standardised))), store)
        expected = raw_by_id(raw)
        train = [i for i, split in zip(raw.ids, raw.splits, strict=True) if split == "train"]
        for m in MODALITIES:
            frames_of_train = np.concatenate([expected[i][m][:longest] for i in train]).astype(np.float64)
            mean, deviation = frames_of_train.mean(0), frames_of_train.std(0)
            if m not in standardised:
                mean, deviation = np.zeros_like(mean), np.ones_like(deviation)
            for name, streams in by_id(store).items():
                wanted = (expected[name][m][:longest].astype(np.float64) - mean) / deviation
                np.testing.assert_allclose(streams[m], wanted, atol=1e-5, rtol=1e-5)


def test_dev_and_test_leave_no_trace_in_train(tmp_path: Path) -> None:
    folder = write_feature_folder(tmp_path / "raw")
    prepare_store(folder, PARAMS, tmp_path / "before")
    train = np.array([row["split"] == "train" for row in read_rows(folder)])
    for m in MODALITIES:
        arrays = read_arrays(folder, m)
        arrays["features"][~np.repeat(train, arrays["lengths"])] += 1e6
        write_arrays(folder, m, arrays)
    prepare_store(folder, PARAMS, tmp_path / "after")
    for m in MODALITIES:
        np.testing.assert_array_equal(kept_train(tmp_path / "before", m), kept_train(tmp_path / "after", m))


def test_non_finite_values_become_0_and_are_counted(tmp_path: Path) -> None:
    folder = write_feature_folder(tmp_path / "raw")
    arrays = read_arrays(folder, "audio")
    # The first frames of three streams, so that none is cut.
    starts = (np.cumsum(arrays["lengths"]) - arrays["lengths"])[arrays["lengths"] > 0][:3]
    arrays["features"][starts, 1] = [np.nan, np.inf, -np.inf]
    write_arrays(folder, "audio", arrays)
    prepare_store(folder, replace(PARAMS, standardise=()), tmp_path / "store")
    manifest = open_store(tmp_path / "store").manifest
    assert manifest["non_finite"] == {"language": 0, "audio": 3, "vision": 0}
    arrays["features"][starts, 1] = 0
    write_arrays(folder, "audio", arrays)
    prepare_store(folder, replace(PARAMS, standardise=()), tmp_path / "zeros")
    assert sha256(tmp_path / "store" / "audio.npy") == sha256(tmp_path / "zeros" / "audio.npy")


def test_bad_values_are_counted_once_for_each_frame_that_is_kept(tmp_path: Path) -> None:
    features = np.zeros((4, 2), dtype=np.float32)
    features[[0, 1, 3], 0] = np.nan
    stream = Ragged(features, np.array([3, 1]))
    # Row 0 loses its frame, row 1 stands twice.
    placement = Placement(np.array([ZERO, 1, 1, 2, ZERO, ZERO, 3, ZERO]), np.array([5, 3]), 4)
    whole = Scaling(np.zeros(2), np.ones(2), np.zeros(2, dtype=bool))
    order = np.array([1, 0])
    found = write_modality(stream, placement, order, 5, whole, False, tmp_path / "a.npy")
    assert (found.non_finite, found.cut) == (2, 1)
    assert not np.load(tmp_path / "a.npy").any()
    found = write_modality(stream, as_read(stream), order, 5, whole, False, tmp_path / "b.npy")
    assert found.non_finite == 3


@pytest.mark.parametrize("standardise", [(), MODALITIES])
def test_a_column_that_train_does_not_vary_is_0_and_counted(
    standardise: tuple[Any, ...], tmp_path: Path
) -> None:
    folder = write_feature_folder(tmp_path / "raw")
    train = np.array([row["split"] == "train" for row in read_rows(folder)])
    arrays = read_arrays(folder, "audio")
    of_train = np.repeat(train, arrays["lengths"])
    arrays["features"][of_train, 0] = 0.1
    arrays["features"][of_train, 2] = np.nan
    # Varies by rounding alone.
    arrays["features"][of_train, 3] = np.float32(1000) + np.float32(6e-5) * (np.arange(of_train.sum()) % 2)
    write_arrays(folder, "audio", arrays)
    prepare_store(folder, replace(PARAMS, standardise=standardise), tmp_path / "store")
    store = open_store(tmp_path / "store")
    assert store.manifest["constant_columns"] == {"language": 0, "audio": 3, "vision": 0}
    audio = store.splits["test"].features["audio"]
    assert (np.asarray(audio) != 0).any(0).tolist() == [False, True, False, False]


def test_blocks_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = demo.generate(GENERATOR, "regression")
    write_store(raw, DEMO, tmp_path / "whole")
    monkeypatch.setattr(frames, "BLOCK", 7)
    write_store(raw, DEMO, tmp_path / "blocks")
    whole, parts = by_id(tmp_path / "whole"), by_id(tmp_path / "blocks")
    for name, streams in whole.items():
        for m in MODALITIES:
            np.testing.assert_allclose(streams[m], parts[name][m], atol=1e-6)


@pytest.mark.parametrize("kind", ["regression", "classes", "binary"])
def test_manifest_counts(kind: Kind, tmp_path: Path) -> None:
    folder = write_feature_folder(tmp_path / "raw", kind=kind)
    rows = read_rows(folder)
    # One group of train occurs in test too; unnamed groups are shared by none.
    rows[-1]["group"], rows[-2]["group"], rows[0]["group"] = rows[1]["group"], "", ""
    write_samples(folder, rows)
    prepare_store(folder, replace(PARAMS, task=kind), tmp_path / "store")
    manifest = json.loads((tmp_path / "store" / "manifest.json").read_text(encoding="utf-8"))
    raw = read(folder, kind, "features")
    assert manifest["format"] == "folder"
    assert manifest["task"] == {"kind": kind, "names": list(raw.names)}
    assert manifest["max_frames"] == dict.fromkeys(MODALITIES, 4)
    assert manifest["widths"] == WIDTHS
    assert manifest["checksums"] == snapshot(folder)
    assert manifest["shared_groups"] == {"train-dev": 0, "train-test": 1, "dev-test": 0}
    for split in SPLITS:
        members = np.array(raw.splits) == split
        lengths = {m: np.minimum(raw.streams[m].lengths[members], 4) for m in MODALITIES}
        has = {m[0].upper(): lengths[m] > 0 for m in MODALITIES}
        found = manifest["splits"][split]
        assert found["n"] == members.sum()
        assert found["complete"] == (has["L"] & has["A"] & has["V"]).sum()
        expected = {c: int(np.all([has[letter] for letter in c], axis=0).sum()) for c in COMBINATIONS}
        assert found["combinations"] == expected
        for m in MODALITIES:
            own = lengths[m][lengths[m] > 0]
            assert found["lengths"][m]["max"] == own.max()
            assert found["lengths"][m]["mean"] == pytest.approx(own.mean(), rel=1e-5)
        check_labels(found["labels"], [row for row in rows if row["split"] == split], kind)


def check_labels(found: Mapping[str, float], rows: list[dict[str, str]], kind: Kind) -> None:
    if kind == "classes":
        assert found == {
            name: sum(row["label"] == name for row in rows) for name in ("low", "middle", "high")
        }
    elif kind == "binary":
        columns = ("happy", "sad")
        assert found == {name: sum(row[f"label.{name}"] == "1" for row in rows) for name in columns}
    else:
        y = np.array([float(row["label"]) for row in rows])
        assert found["zero"] == (y == 0).sum()
        assert found["positive_share"] == pytest.approx((y > 0).sum() / (y != 0).sum(), rel=1e-5)
        assert found["mean"] == pytest.approx(y.mean(), rel=1e-5)
        assert found["deviation"] == pytest.approx(y.std(), rel=1e-5)


@pytest.mark.parametrize("kind", ["regression", "classes", "binary"])
def test_the_same_data_give_the_same_bytes(kind: Kind, tmp_path: Path) -> None:
    for name in ("a", "b"):
        prepare_store(tmp_path / "none", replace(DEMO, task=kind), tmp_path / name)
    assert snapshot(tmp_path / "a") == snapshot(tmp_path / "b")


@pytest.mark.parametrize("kind", ["regression", "classes", "binary"])
def test_the_demo_store_carries_its_ceiling(kind: Kind, tmp_path: Path) -> None:
    prepare_store(tmp_path / "none", replace(DEMO, task=kind), tmp_path / "store")
    store = open_store(tmp_path / "store")
    raw = demo.generate(GENERATOR, kind)
    assert raw.ceiling is not None
    for split in store.splits.values():
        rows = [raw.ids.index(name) for name in split.ids]
        assert split.ceiling is not None
        np.testing.assert_array_equal(split.ceiling, raw.ceiling[rows])
        assert split.ceiling.shape[-1] == store.task.outputs
    assert {name: len(split) for name, split in store.splits.items()} == {"train": 30, "dev": 10, "test": 12}


def test_features_are_mapped_not_read(tmp_path: Path) -> None:
    prepare_store(tmp_path / "none", DEMO, tmp_path / "store")
    store = open_store(tmp_path / "store")
    assert all(isinstance(f, np.memmap) for f in store.splits["train"].features.values())
    assert store.widths == demo.WIDTHS


def test_a_failure_leaves_the_store_before_and_nothing_else(tmp_path: Path) -> None:
    folder = write_feature_folder(tmp_path / "raw")
    prepare_store(folder, PARAMS, tmp_path / "store")
    before = snapshot(tmp_path / "store")
    # Constant in the first frame only: found out when audio is to be written.
    arrays = read_arrays(folder, "audio")
    starts = (np.cumsum(arrays["lengths"]) - arrays["lengths"])[arrays["lengths"] > 0]
    arrays["features"][starts] = 5.0
    write_arrays(folder, "audio", arrays)
    one = replace(PARAMS, max_frames=PerModality(4, 1, 4))
    with pytest.raises(
        UserError, match=r"max_frames.audio: no column of audio varies over the first 1 frames"
    ):
        prepare_store(folder, one, tmp_path / "store")
    with pytest.raises(UserError, match=r"max_frames.audio"):
        prepare_store(folder, one, tmp_path / "new")
    assert snapshot(tmp_path / "store") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw", "store"]


def test_demo_streams_must_not_be_cut(tmp_path: Path) -> None:
    params = replace(DEMO, max_frames=PerModality(20, 19, 20))
    with pytest.raises(UserError, match=r"max_frames.audio: 19 would cut the demo streams.*set 20 or more"):
        prepare_store(tmp_path, params, tmp_path / "store")


def test_a_demo_without_complete_train_sample_is_refused(tmp_path: Path) -> None:
    params = replace(DEMO, generator=replace(GENERATOR, train=2, missing_audio=0.9, missing_vision=0.9))
    with pytest.raises(UserError, match=r"^preprocess.generator: .*no train sample has"):
        prepare_store(tmp_path, params, tmp_path / "store")


def test_context_asked_for_but_absent(tmp_path: Path) -> None:
    folder = write_feature_folder(tmp_path / "raw", text=True)
    write_samples(folder, [row | {"context": ""} for row in read_rows(folder)])
    params = replace(PARAMS, text=Text("minilm", False, True))
    with pytest.raises(UserError, match=r"samples.csv: column context is absent or empty; .*false"):
        prepare_store(folder, params, tmp_path / "store")


@MINILM
def test_text_is_encoded_with_its_context_if_asked(tmp_path: Path) -> None:
    folder = write_feature_folder(tmp_path / "raw", text=True, longest=8)
    rows = read_rows(folder)
    rows[0]["text"] = ""
    write_samples(folder, rows)
    params = replace(PARAMS, max_frames=PerModality(8, 4, 4))
    for name, context in (("alone", False), ("context", True)):
        prepare_store(folder, replace(params, text=Text("minilm", False, context)), tmp_path / name)
    alone, longer = (open_store(tmp_path / name) for name in ("alone", "context"))
    assert alone.widths["language"] == 384
    assert not alone.splits["train"].has[0, 0]
    assert alone.splits["train"].has[1:, 0].all()
    lengths = [store.splits["train"].lengths["language"] for store in (alone, longer)]
    assert (lengths[0] <= lengths[1]).all()
    assert lengths[0].sum() < lengths[1].sum()
    assert lengths[1].max() == 8
    assert alone.manifest["cut_frames"]["language"] < longer.manifest["cut_frames"]["language"]
    frames_of_train = kept_train(tmp_path / "alone", "language")
    np.testing.assert_allclose(frames_of_train.mean(0), 0, atol=1e-5)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda f: (f / "manifest.json").unlink(),
        lambda f: (f / "manifest.json").write_text("{"),
        lambda f: (f / "manifest.json").write_text("[]"),
        lambda f: (f / "manifest.json").write_text("{}"),
        lambda f: (f / "audio.npy").unlink(),
        lambda f: (f / "audio.npy").write_bytes(b""),
        lambda f: (f / "audio.npy").write_bytes((f / "audio.npy").read_bytes()[:-8]),
        lambda f: (f / "labels.npy").write_bytes(b"\x93NUMPY"),
        lambda f: np.save(f / "labels.npy", np.zeros(3)),
        lambda f: np.save(f / "vision.offsets.npy", np.arange(53)),
        lambda f: np.save(f / "ceiling.npy", np.zeros((3, 7, 1))),
        lambda f: (f / "samples.csv").write_text(""),
    ],
)
def test_a_damaged_store_is_refused_in_one_line(spoil: Any, tmp_path: Path) -> None:
    prepare_store(tmp_path, DEMO, tmp_path / "store")
    spoil(tmp_path / "store")
    with pytest.raises(
        UserError, match=r"store: not a readable store .*run the preprocess stage again"
    ) as caught:
        open_store(tmp_path / "store")
    assert "\n" not in str(caught.value)


def test_what_a_kill_leaves_of_preprocessing_goes_with_the_next(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from cmad.preprocessing import prepare; from tests.test_store import DEMO\n"
        "prepare.write_store = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "prepare.prepare_store(Path('none'), DEMO, Path(sys.argv[1]) / 'store')"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT)
    (left,) = tmp_path.iterdir()
    # As .dvcignore has it.
    assert left.match(".*.partial")
    prepare_store(tmp_path, DEMO, tmp_path / "store")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


REAL = pytest.mark.skipif(
    "CMAD_REAL_DATA" not in os.environ or not has_text_extra(),
    reason="CMAD_REAL_DATA or the text extra is not there",
)


@REAL
def test_some_of_mustard_goes_through_preprocessing(tmp_path: Path) -> None:
    """A hundred rows of the real thing, natively incomplete, through the whole of preprocessing."""
    real = Path(os.environ["CMAD_REAL_DATA"]) / "mustard"
    folder = tmp_path / "mustard"
    folder.mkdir()
    lengths = {m: read_arrays(real, m)["lengths"] for m in ("audio", "vision")}
    rows = read_rows(real)
    chosen = np.concatenate(
        [
            np.flatnonzero([row["split"] == split and (length > 0) == has for row, length in pairs])[:18]
            for pairs in [list(zip(rows, lengths["audio"], strict=True))]
            for split in SPLITS
            for has in (True, False)
        ]
    )
    write_samples(folder, [rows[i] for i in chosen])
    for m in ("audio", "vision"):
        arrays = read_arrays(real, m)
        parts = np.split(arrays["features"], np.cumsum(arrays["lengths"])[:-1])
        write_arrays(
            folder,
            m,
            {"features": np.concatenate([parts[i] for i in chosen]), "lengths": arrays["lengths"][chosen]},
        )
    params = Preprocess(
        "folder", "classes", PerModality(50, 64, 32), ALL, (), Text("minilm", False, True), None, None, False
    )
    prepare_store(folder, params, tmp_path / "store")
    store = open_store(tmp_path / "store")
    assert store.task.names == ("sarcastic", "sincere")
    assert store.widths == {"language": 384, "audio": 25, "vision": 20}
    for split in store.splits.values():
        assert split.has.sum(0).tolist() == [36, 18, 18]
        assert max(split.lengths["language"]) <= 50
