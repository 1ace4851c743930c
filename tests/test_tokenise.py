from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmad.errors import UserError
from cmad.language.model import traits
from cmad.preprocessing.tokenise import (
    Tokeniser,
    Tokens,
    fit,
    from_ids,
    from_texts,
    from_words,
    load_tokeniser,
)
from cmad.raw.raw_data import Ragged, Words
from tests.generators.encoders import KINDS, Kind, write_encoder

CLS, SEP = 2, 3
UN, BELIEV, ABLE, GOOD, THIS, WAS, NOT = 9, 10, 11, 5, 6, 7, 8


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[Kind, Path]:
    root = tmp_path_factory.mktemp("encoders")
    return {kind: write_encoder(root / kind, kind) for kind in KINDS}


@pytest.fixture(scope="module")
def bert(folders: dict[Kind, Path]) -> Tokeniser:
    return load(folders["bert"])


def load(folder: Path) -> Tokeniser:
    return load_tokeniser(folder, traits(folder))


def listed(tokens: Tokens) -> list[list[tuple[int, int]]]:
    """(token id, segment) of each sample."""
    parts = np.split(tokens.stream.features, np.cumsum(tokens.stream.lengths)[:-1])
    return [[(int(token), int(segment)) for token, segment in part] for part in parts]


def numbers(tokens: Tokens) -> list[list[int]]:
    assert tokens.words is not None
    return [part.tolist() for part in np.split(tokens.words, np.cumsum(tokens.stream.lengths)[:-1])]


pieces = st.lists(st.integers(0, 99), max_size=12)


@given(context=pieces, own=pieces, max_tokens=st.integers(3, 30))
def test_fit_cuts_the_front_of_the_context_then_the_end_of_the_text(
    context: list[int], own: list[int], max_tokens: int
) -> None:
    kept, kept_own = fit(context, own, max_tokens)
    special = 3 if kept else 2
    assert len(kept) + len(kept_own) + special <= max_tokens
    assert kept_own == own[: len(kept_own)]
    assert kept == context[len(context) - len(kept) :]
    if kept_own != own:
        assert kept == []
        assert len(kept_own) == max_tokens - 2
    elif kept != context:
        # No room is left: one more piece of the context would not fit.
        assert len(kept) + 1 + len(own) + 3 > max_tokens


def test_fit_keeps_what_fits() -> None:
    assert fit([1, 2], [3, 4], 7) == ([1, 2], [3, 4])
    assert fit([1, 2], [3, 4], 6) == ([2], [3, 4])
    assert fit([1, 2], [3, 4], 5) == ([], [3, 4])
    assert fit([1, 2], [3, 4], 3) == ([], [3])


def test_own_words_alone(bert: Tokeniser) -> None:
    found = from_words(bert, [Words((), ("this", "Unbelievable", "\u200b", "good"))], 10)
    tokens = [CLS, THIS, UN, BELIEV, ABLE, GOOD, SEP]
    assert listed(found) == [[(token, 0) for token in tokens]]
    # The word without a token keeps its number: the one after it has number 3.
    assert numbers(found) == [[-1, 0, 1, 1, 1, 3, -1]]
    assert (found.cut, found.wordless) == (0, 1)


def test_context_has_a_segment_of_its_own(bert: Tokeniser) -> None:
    found = from_words(bert, [Words(("not", "good"), ("this",))], 10)
    assert listed(found) == [[(CLS, 0), (NOT, 0), (GOOD, 0), (SEP, 0), (THIS, 1), (SEP, 1)]]
    assert numbers(found) == [[-1, 0, 1, -1, 2, -1]]


def test_too_long_loses_the_front_of_the_context_then_the_end_of_its_own(bert: Tokeniser) -> None:
    words = [Words(("not", "unbelievable"), ("this", "was", "good"))]
    found = from_words(bert, words, 8)
    assert listed(found) == [
        [(CLS, 0), *[(t, 0) for t in (BELIEV, ABLE, SEP)], *[(t, 1) for t in (THIS, WAS, GOOD, SEP)]]
    ]
    assert numbers(found) == [[-1, 1, 1, -1, 2, 3, 4, -1]]
    assert found.cut == 2
    # No room for the context: one segment, and the end of the own words goes.
    found = from_words(bert, words, 4)
    assert listed(found) == [[(CLS, 0), (THIS, 0), (WAS, 0), (SEP, 0)]]
    assert numbers(found) == [[-1, 2, 3, -1]]
    assert found.cut == 5


@pytest.mark.parametrize("own", [(), ("",), (" ", "\t")])
def test_without_own_words_language_is_missing(own: tuple[str, ...], bert: Tokeniser) -> None:
    found = from_words(bert, [Words(("not", "good"), own), Words((), ("this",))], 8)
    assert found.stream.lengths.tolist() == [0, 3]
    assert (found.cut, found.wordless) == (0, 0)


def test_words_that_read_like_special_tokens_are_words(bert: Tokeniser) -> None:
    found = from_words(bert, [Words((), ("[SEP]", "[CLS]", "##able"))], 40 - 8)
    assert CLS not in found.stream.features[1:, 0]
    assert SEP not in found.stream.features[:-1, 0]
    assert ABLE not in found.stream.features[:, 0]
    texts = from_texts(bert, [("", "[SEP] this [CLS]")], 32)
    assert (texts.stream.features[:, 0] == SEP).sum() == (texts.stream.features[:, 0] == CLS).sum() == 1


words_of = st.lists(
    st.sampled_from(["this", "was", "unbelievable", "\u200b", "good", "a-b", "é", "##s"]), max_size=6
)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(context=words_of, own=words_of.filter(bool), max_tokens=st.integers(6, 32))
def test_every_token_is_of_the_word_with_its_number(
    kind: Kind, context: list[str], own: list[str], max_tokens: int, folders: dict[Kind, Path]
) -> None:
    tokeniser = LOADED.setdefault(kind, load(folders[kind]))
    found = from_words(tokeniser, [Words(tuple(context), tuple(own))], max_tokens)
    said = [*context, *own]
    pieces = [tokeniser.pieces([tokeniser.gap + word])[0] for word in said]
    assert len(found.stream.features) <= max_tokens
    assert found.words is not None
    ids = found.stream.features[:, 0]
    kept = [(int(token), int(word)) for token, word in zip(ids, found.words, strict=True) if word >= 0]
    every = [(token, number) for number, word in enumerate(pieces) for token in word]
    # A run of all tokens, each with the word it comes from.
    assert any(every[i : i + len(kept)] == kept for i in range(len(every) + 1))
    assert found.cut == len(every) - len(kept)
    assert found.wordless == sum(not word for word in pieces)
    if found.words[-2] >= 0 or not kept:
        assert found.words[0] == found.words[-1] == -1


LOADED: dict[Kind, Tokeniser] = {}


@pytest.mark.parametrize("kind", KINDS)
def test_words_of_plain_text_give_the_tokens_of_the_text(kind: Kind, folders: dict[Kind, Path]) -> None:
    tokeniser = load(folders[kind])
    words = ("well", "this", "was", "not", "unbelievable")
    by_word = from_words(tokeniser, [Words((), words)], 32).stream.features
    # A byte-level tokenizer sees the space before the first word as well.
    by_text = from_texts(tokeniser, [("", tokeniser.gap + " ".join(words))], 32).stream.features
    np.testing.assert_array_equal(by_word, by_text)


def test_only_a_byte_level_tokenizer_needs_a_gap(folders: dict[Kind, Path]) -> None:
    assert {kind: load(folder).gap for kind, folder in folders.items()} == {
        "bert": "", "roberta": " ", "albert": "", "distilbert": ""
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "between", "segments"), [("bert", 1, {0, 1}), ("roberta", 2, {0}), ("distilbert", 1, {0})]
)
def test_special_tokens_are_the_tokenizers_own(
    kind: Kind, between: int, segments: set[int], folders: dict[Kind, Path]
) -> None:
    found = from_words(load(folders[kind]), [Words(("good",), ("good",))], 32)
    (word_numbers,) = numbers(found)
    assert word_numbers[0] == word_numbers[-1] == -1
    assert word_numbers[1:-1].count(-1) == between
    assert set(found.stream.features[:, 1].tolist()) == segments


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tokens", [2, 33])
def test_a_length_that_the_model_cannot_take_is_refused(
    kind: Kind, tokens: int, folders: dict[Kind, Path]
) -> None:
    with pytest.raises(UserError, match=rf"max_frames.language: {tokens} tokens; encoded text takes 3 to 32"):
        from_words(load(folders[kind]), [Words((), ("good",))], tokens)


def test_no_samples_of_language_at_all(bert: Tokeniser) -> None:
    for found in (from_words(bert, [Words((), ())], 8), from_texts(bert, [("x", " ")], 8)):
        assert found.stream.features.shape == (0, 2)
        assert found.stream.lengths.tolist() == [0]


def ragged(*samples: list[tuple[int, int]]) -> Ragged:
    rows = [row for sample in samples for row in sample]
    return Ragged(
        np.array(rows, dtype=np.int64).reshape(-1, 2), np.array([len(s) for s in samples], dtype=np.int64)
    )


def test_ids_of_the_file_are_taken_over(bert: Tokeniser) -> None:
    given = ragged([(CLS, 0), (GOOD, 0), (SEP, 0)], [], [(CLS, 0), (NOT, 0), (SEP, 0), (GOOD, 1), (SEP, 1)])
    found = from_ids(bert, given, 5)
    np.testing.assert_array_equal(found.stream.features, given.features)
    np.testing.assert_array_equal(found.stream.lengths, given.lengths)
    assert found.words is None
    assert found.cut == 0


def test_ids_that_are_too_many_lose_what_stands_before_the_last(bert: Tokeniser) -> None:
    long = [(CLS, 0), (THIS, 0), (WAS, 0), (NOT, 0), (GOOD, 0), (SEP, 0)]
    found = from_ids(bert, ragged(long, [], long[:2] + long[-1:], long), 4)
    assert listed(found) == [[*long[:3], long[-1]], [], long[:2] + long[-1:], [*long[:3], long[-1]]]
    assert found.cut == 4


def test_a_model_without_segments_gets_none_of_the_files(folders: dict[Kind, Path]) -> None:
    found = from_ids(load(folders["distilbert"]), ragged([(CLS, 0), (SEP, 0), (GOOD, 1), (SEP, 1)]), 8)
    assert found.stream.features[:, 1].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("ids", "named"),
    [([101, 5, 102], "101"), ([CLS, -1, SEP], "-1"), ([GOOD, GOOD, SEP], "5 at the start of a sequence")],
)
def test_ids_of_another_model_are_refused(ids: list[int], named: str, bert: Tokeniser) -> None:
    with pytest.raises(
        UserError, match=rf"text.encoder: .*another model \(found {named}\); set the model"
    ) as caught:
        from_ids(bert, ragged([], [(token, 0) for token in ids]), 8)
    assert "\n" not in str(caught.value)


def test_a_damaged_tokenizer_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "bert")
    whole = (folder / "tokenizer.json").read_bytes()
    (folder / "tokenizer.json").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"bert: no readable tokenizer .*get tokenizer.json") as caught:
        load(folder)
    assert "\n" not in str(caught.value)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"bert: no .*tokenizer.*get tokenizer.json") as caught:
        load(folder)
    assert "\n" not in str(caught.value)
