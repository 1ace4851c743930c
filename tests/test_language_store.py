"""Language in each of its forms, from the reader's object to the opened store."""

import resource
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cmad.combinations import MODALITIES
from cmad.config.schema import PerModality, Preprocess, Text
from cmad.errors import UserError
from cmad.language.find import weights_checksum
from cmad.language.model import traits
from cmad.preprocessing import prepare
from cmad.preprocessing.prepare import prepare_store
from cmad.preprocessing.tokenise import fit, load_tokeniser
from cmad.raw.raw_data import Ragged, RawData, Words
from cmad.store.batches import collate
from cmad.store.store import Encoder, Split, Store, open_store
from tests.generators.encoders import WIDTH, write_encoder
from tests.generators.feature_folder import read_rows, write_feature_folder
from tests.generators.words import make_vocabulary, make_words
from tests.test_frozen import MINILM

PARAMS = Preprocess(
    "folder", "regression", PerModality(16, 16, 16), ("audio", "vision"), (), None, None, None, False
)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoder") / "bert")


def tuned(encoder: Path, context: bool = True) -> Preprocess:
    return replace(PARAMS, text=Text(str(encoder), True, context))


def frozen(encoder: Path, context: bool = True) -> Preprocess:
    return replace(PARAMS, text=Text(str(encoder), False, context))


def store_of(raw: RawData, params: Preprocess, folder: Path) -> Store:
    """The whole of preprocessing after the reader."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare, "read", lambda *_: raw)
        prepare_store(folder / "raw", params, folder / "store")
    return open_store(folder / "store")


def sample(split: Split, modality: str, i: int) -> NDArray[Any]:
    start = split.starts[modality][i]
    return np.array(split.features[modality][start : start + split.lengths[modality][i]])


def test_fine_tuned_language_is_stored_as_token_ids(encoder: Path, tmp_path: Path) -> None:
    raw = make_words(context=3)
    store = store_of(raw, tuned(encoder), tmp_path)
    assert store.encoder == Encoder(str(encoder), WIDTH)
    assert store.widths == {"language": WIDTH, "audio": 4, "vision": 3}
    assert store.manifest["encoder"] == {
        "name": str(encoder), "width": WIDTH, "checksum": weights_checksum(encoder), "fine_tuned": True
    }  # fmt: skip
    split = store.splits["train"]
    assert split.features["language"].dtype == np.int32
    assert isinstance(split.features["language"], np.memmap)
    parts = set()
    for i in range(len(split)):
        ids, segments = sample(split, "language", i).T
        assert (ids[0], ids[-1]) == (2, 3)
        # The first part ends with the first [SEP]; after it comes the second, if there is one.
        first = ids.tolist().index(3) + 1
        assert segments.tolist() == [0] * first + [1] * (len(ids) - first)
        parts.add(segments.max())
    assert parts == {0, 1}


@pytest.mark.parametrize("standardise", [(), ("audio", "vision")])
@pytest.mark.parametrize("context", [False, True])
def test_frames_follow_the_tokens_of_their_words(
    context: bool, standardise: tuple[Any, ...], encoder: Path, tmp_path: Path
) -> None:
    """Against a plain loop over samples, words and pieces."""
    raw = make_words(sizes=(20, 6, 6), longest=14, context=5, seed=3)
    store = store_of(raw, replace(tuned(encoder, context), standardise=standardise), tmp_path)
    tokeniser = load_tokeniser(encoder, traits(encoder))
    assert raw.words is not None
    for m in ("audio", "vision"):
        parts = np.split(raw.streams[m].features, np.cumsum(raw.streams[m].lengths)[:-1])
        expected: dict[str, list[NDArray[np.float32] | None]] = {}
        for name, words, frames in zip(raw.ids, raw.words, parts, strict=True):
            n = len(words.context)
            before = pieces(tokeniser, words.context, frames[:n]) if context else []
            own = pieces(tokeniser, words.own, frames[n:])
            room = 16 - 3 - len(own)
            before = before[-room:] if room > 0 else []
            expected[name] = [None, *before, None, *own, None] if before else [None, *own[:14], None]
        train = [f for name in store.splits["train"].ids for f in expected[name] if f is not None]
        mean, deviation = np.mean(train, 0, dtype=np.float64), np.std(train, 0, dtype=np.float64)
        if m not in standardise:
            mean, deviation = np.zeros_like(mean), np.ones_like(deviation)
        for split in store.splits.values():
            for i, name in enumerate(split.ids):
                found = sample(split, m, i)
                assert len(found) == len(expected[name]) == split.lengths["language"][i]
                for frame, wanted in zip(found, expected[name], strict=True):
                    value = np.zeros_like(mean) if wanted is None else (wanted - mean) / deviation
                    np.testing.assert_allclose(frame, value, atol=1e-5)


def pieces(
    tokeniser: Any, words: tuple[str, ...], frames: NDArray[np.float32]
) -> list[NDArray[np.float32] | None]:
    return [frame for word, frame in zip(words, frames, strict=True) for _ in tokeniser.pieces([word])[0]]


def test_frozen_states_are_those_of_the_tokens(encoder: Path, tmp_path: Path) -> None:
    raw = make_words(context=3)
    for name in ("tuned", "frozen"):
        (tmp_path / name).mkdir()
    ids = store_of(raw, tuned(encoder), tmp_path / "tuned")
    states = store_of(raw, frozen(encoder), tmp_path / "frozen")
    assert states.encoder is None
    assert states.widths["language"] == WIDTH
    assert states.manifest["encoder"] == ids.manifest["encoder"] | {"fine_tuned": False}
    from transformers import AutoModel

    model = AutoModel.from_pretrained(encoder, add_pooling_layer=False).eval()
    for name in ids.splits:
        for i in range(len(ids.splits[name])):
            tokens = torch.from_numpy(sample(ids.splits[name], "language", i).astype(np.int64))[None]
            with torch.no_grad():
                expected = model(input_ids=tokens[..., 0], token_type_ids=tokens[..., 1]).last_hidden_state[0]
            np.testing.assert_allclose(sample(states.splits[name], "language", i), expected, atol=1e-5)
            for m in ("audio", "vision"):
                np.testing.assert_array_equal(
                    sample(ids.splits[name], m, i), sample(states.splits[name], m, i)
                )


def test_counts_of_what_was_cut_and_of_words_without_token(encoder: Path, tmp_path: Path) -> None:
    raw = make_words(sizes=(3, 1, 1), longest=1)
    words = [
        Words(("was", "not"), ("this", "good", "was")),
        Words((), ("\u200b", "unbelievable")),
        *[Words((), ("good",))] * 3,
    ]
    lengths = np.array([5, 2, 1, 1, 1])
    rng = np.random.default_rng(0)
    streams = {m: Ragged(rng.standard_normal((10, 2)), lengths) for m in ("audio", "vision")}
    raw = replace(raw, words=words, streams=streams, skipped={"no audio file": 2})
    params = replace(tuned(encoder), max_frames=PerModality(4, 4, 3))
    manifest = store_of(raw, params, tmp_path).manifest
    # [CLS] this good [SEP]: three pieces cut; [CLS] un ##believ [SEP]: one.
    assert manifest["cut_frames"]["language"] == 4
    # The frames of was, not, was, and of the word without a token; vision also loses a last word's.
    assert manifest["cut_frames"]["audio"] == 4
    assert manifest["cut_frames"]["vision"] == 4
    assert manifest["wordless"] == 1
    assert manifest["skipped"] == {"no audio file": 2}


def test_natively_missing_modalities_stay_missing(encoder: Path, tmp_path: Path) -> None:
    raw = make_words(sizes=(6, 2, 2), seed=1)
    assert raw.words is not None
    words = [Words((), ("\t",) * len(raw.words[0].own)), *raw.words[1:]]
    audio, vision = raw.streams["audio"], raw.streams["vision"]
    kept = np.repeat(np.arange(10) != 1, vision.lengths)
    vision = Ragged(vision.features[kept], np.where(np.arange(10) == 1, 0, vision.lengths))
    store = store_of(
        replace(raw, words=words, streams={"audio": audio, "vision": vision}), tuned(encoder), tmp_path
    )
    has = store.splits["train"].has
    assert has[:2].tolist() == [[False, True, True], [True, True, False]]
    assert has[2:].all()
    assert store.splits["train"].lengths["audio"][0] == audio.lengths[0]


def test_texts_are_tokenised_and_leave_the_other_streams_alone(encoder: Path, tmp_path: Path) -> None:
    folder = write_feature_folder(tmp_path / "raw", text=True)
    prepare_store(folder, tuned(encoder), tmp_path / "store")
    store = open_store(tmp_path / "store")
    assert store.encoder is not None
    tokeniser = load_tokeniser(encoder, traits(encoder))
    rows = {row["id"]: row for row in read_rows(folder)}
    split = store.splits["test"]
    for i, name in enumerate(split.ids):
        context, text = tokeniser.pieces([rows[name]["context"], rows[name]["text"]])
        before, own = fit(context, text, 16)
        expected = [2, *before, 3, *own, 3] if before else [2, *own, 3]
        assert sample(split, "language", i)[:, 0].tolist() == expected
    prepare_store(folder, frozen(encoder), tmp_path / "frozen")
    for m in ("audio", "vision"):
        assert (tmp_path / "store" / f"{m}.npy").read_bytes() == (
            tmp_path / "frozen" / f"{m}.npy"
        ).read_bytes()


@pytest.mark.parametrize("fine_tune", [False, True])
def test_ids_that_the_file_brings(fine_tune: bool, encoder: Path, tmp_path: Path) -> None:
    raw = make_words(sizes=(4, 2, 2))
    rows = np.array([(2, 0), (5, 0), (6, 0), (3, 0)] * 8, dtype=np.int64)
    raw = replace(raw, words=None, tokens=Ragged(rows, np.full(8, 4)))
    store = store_of(raw, replace(PARAMS, text=Text(str(encoder), fine_tune, False)), tmp_path)
    split = store.splits["dev"]
    assert split.lengths["language"].tolist() == [4, 4]
    assert split.lengths["audio"].tolist() == np.minimum(raw.streams["audio"].lengths[4:6], 16).tolist()
    found = sample(split, "language", 0)
    assert found.tolist() == rows[:4].tolist() if fine_tune else found.shape == (4, WIDTH)


def test_half_is_float16_on_disk_and_float32_in_batches(encoder: Path, tmp_path: Path) -> None:
    raw = make_words()
    for name in ("single", "half"):
        (tmp_path / name).mkdir()
    params = frozen(encoder)
    single = store_of(raw, params, tmp_path / "single").splits["train"]
    half = store_of(raw, replace(params, half=("language", "vision")), tmp_path / "half").splits["train"]
    dtypes = {m: half.features[m].dtype for m in MODALITIES}
    assert dtypes == {"language": np.float16, "audio": np.float32, "vision": np.float16}
    assert isinstance(half.features["language"], np.memmap)
    rows, wanted = np.arange(len(half)), half.has
    kept = {m: np.arange(half.lengths[m].sum()) % 3 > 0 for m in MODALITIES}
    for drop in (None, kept):
        streams = [
            collate(split, rows, wanted, torch.device("cpu"), drop).streams for split in (single, half)
        ]
        for m in MODALITIES:
            assert streams[1][m].frames.dtype == torch.float32
            torch.testing.assert_close(streams[0][m].frames, streams[1][m].frames, rtol=1e-3, atol=1e-6)
            assert torch.equal(streams[0][m].valid, streams[1][m].valid)


def test_what_float16_cannot_hold_is_refused(encoder: Path, tmp_path: Path) -> None:
    raw = make_words()
    raw.streams["audio"].features[0, 0] = 1e5
    params = replace(frozen(encoder), standardise=(), half=("audio",))
    with pytest.raises(
        UserError, match=r"half: audio has a value of 1e\+05, too large for float16; take"
    ) as caught:
        store_of(raw, params, tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_what_scaling_makes_too_large_for_float32_is_refused(encoder: Path, tmp_path: Path) -> None:
    raw = make_words()
    # Of the train frames alone a column is scaled, and this one hardly varies there.
    audio = raw.streams["audio"]
    train = int(audio.lengths[: raw.splits.count("train")].sum())
    audio.features[:train, 0] = np.where(np.arange(train) % 2, 1e-3, -1e-3)
    audio.features[-1, 0] = 3e38
    with pytest.raises(
        UserError, match=r"audio has a value of 3.03e\+41 once it is scaled, too large for float32; mend"
    ) as caught:
        store_of(raw, frozen(encoder), tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_without_text_settings_words_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"preprocess.text: null, but the data come as raw text; set encoder"):
        store_of(make_words(), PARAMS, tmp_path)


def test_an_encoder_that_fails_leaves_nothing(encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere: no such folder"):
        store_of(make_words(), tuned(encoder / "nowhere"), tmp_path)
    with pytest.raises(UserError, match=r"max_frames.language: 33 tokens; encoded text takes 3 to 32"):
        store_of(make_words(), replace(tuned(encoder), max_frames=PerModality(33, 4, 4)), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_same_data_give_the_same_bytes(encoder: Path, tmp_path: Path) -> None:
    for params in (tuned(encoder), frozen(encoder)):
        bytes_of = []
        for _ in range(2):
            store_of(make_words(context=2), params, tmp_path)
            bytes_of.append({path.name: path.read_bytes() for path in (tmp_path / "store").iterdir()})
        assert bytes_of[0] == bytes_of[1]


def test_a_store_whose_manifest_and_tokens_disagree_is_refused(encoder: Path, tmp_path: Path) -> None:
    store_of(make_words(), tuned(encoder), tmp_path)
    path = tmp_path / "store" / "manifest.json"
    path.write_text(path.read_text().replace('"fine_tuned": true', '"fine_tuned": false'))
    with pytest.raises(
        UserError, match=r"store: not a readable store .*disagree about token ids.*run the prepro"
    ):
        open_store(tmp_path / "store")


@MINILM
def test_minilm_takes_words(tmp_path: Path) -> None:
    words = [Words(("so",), ("this", "was", "unbelievably", "good"))] * 6
    rng = np.random.default_rng(0)
    raw = replace(make_words(sizes=(3, 2, 1)), words=words)
    streams = {m: Ragged(rng.standard_normal((30, 2)), np.full(6, 5)) for m in ("audio", "vision")}
    store = store_of(
        replace(raw, streams=streams), replace(PARAMS, text=Text("minilm", True, True)), tmp_path
    )
    assert store.encoder == Encoder("minilm", 384)
    # [CLS] so [SEP] this was unbelievable ##bly good [SEP], by the vocabulary of bert-base-uncased.
    ids = sample(store.splits["train"], "language", 0)[:, 0].tolist()
    assert ids[:5] == [101, 2061, 102, 2023, 2001]
    assert ids[-2:] == [2204, 102]
    zero = (sample(store.splits["train"], "audio", 0) == 0).all(1)
    assert np.flatnonzero(zero).tolist() == [0, 2, len(ids) - 1]


@pytest.mark.soak
@MINILM
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is measured as on Linux")
def test_mosei_scale_takes_a_minute_and_three_gigabytes_at_most(tmp_path: Path) -> None:
    raw = make_words(
        (16265, 1869, 4643), make_vocabulary(25000), longest=120, widths={"audio": 74, "vision": 35}
    )
    params = replace(PARAMS, max_frames=PerModality(50, 50, 50), text=Text("minilm", True, False))
    start = time.perf_counter()
    store = store_of(raw, params, tmp_path)
    assert time.perf_counter() - start < 60
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 3 * 2**20
    assert {name: len(split) for name, split in store.splits.items()} == {
        "train": 16265,
        "dev": 1869,
        "test": 4643,
    }
