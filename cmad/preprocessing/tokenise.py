"""Texts, words, or ids that came with the file, to sequences of tokens.

A sequence is [CLS] context [SEP] own [SEP], or [CLS] own [SEP] where the context is empty, with whatever
special tokens and segments the model's own tokenizer puts there. What is too long loses the front of its
context first, then the end of its own part.

A token's word is known by its number, because words are tokenised one by one; no mark inside the
tokens ("##", "▁") is looked at. Text that reads like a special token ("[SEP]") is text.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from cmad.errors import UserError
from cmad.language.find import KEY
from cmad.language.model import Traits
from cmad.language.quiet import quiet
from cmad.raw.frames import frame_rows
from cmad.raw.raw_data import Ragged, Words

# A token and the number of its word.
Piece = tuple[int, int]
_SPECIAL = -1
_T = TypeVar("_T")


@dataclass(frozen=True)
class Frame:
    """What a tokenizer puts around one or two parts.

    Attributes:
        specials: before the first part, after each part; (token id, segment) each.
        segments: of the parts themselves.
    """

    specials: tuple[tuple[Piece, ...], ...]
    segments: tuple[int, ...]

    def __len__(self) -> int:
        return sum(map(len, self.specials))


@dataclass(frozen=True)
class Tokeniser:
    """A model's tokenizer.

    Attributes:
        pieces: texts to the token ids of each, without special ones.
        gap: what stands before a word in running text as this tokenizer sees it: " " or nothing.
        alone, paired: around one part, around two.
        longest: longest sequence that the model takes; None where there is no limit.
        vocabulary: number of token ids.
        typed: whether the model knows segments.
    """

    pieces: Callable[[Sequence[str]], list[list[int]]]
    gap: str
    alone: Frame
    paired: Frame
    longest: int | None
    vocabulary: int
    typed: bool


@dataclass(frozen=True)
class Tokens:
    """Token sequences of n samples.

    Attributes:
        stream: int64 [sum of lengths, 2], (token id, segment); length 0 where language is missing.
        words: int64 [sum of lengths], the number of each token's word among the sample's context
            and own words, -1 for special tokens; None where the source is not words.
        cut: tokens left out because their sequence was too long.
        wordless: words that yield no token.
    """

    stream: Ragged
    words: NDArray[np.int64] | None
    cut: int
    wordless: int


def load_tokeniser(folder: Path, traits: Traits) -> Tokeniser:
    """Load the tokenizer of a model's folder.

    Raises:
        UserError: there is none, or none that transformers can run fast.
    """
    with quiet():
        from transformers import AutoTokenizer

        try:
            tokenizer: Any = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        # The tokenizers library raises bare exceptions for damaged files.
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(
                f"{folder}: no readable tokenizer ({reason}); get tokenizer.json and tokenizer_config.json "
                "of the model again"
            ) from None
        if not tokenizer.is_fast or not tokenizer.vocab_size:
            raise UserError(f"{folder}: no fast tokenizer; get tokenizer.json of the model")

    def pieces(texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        with quiet():
            encoded = tokenizer(
                list(texts), add_special_tokens=False, truncation=False, split_special_tokens=True
            )
        ids: list[list[int]] = encoded["input_ids"]
        return ids

    limits = [limit for limit in (traits.positions, tokenizer.model_max_length) if limit is not None]
    longest = min(limits, default=None)
    return Tokeniser(
        pieces=pieces,
        gap=_gap(pieces),
        alone=_frame(tokenizer, folder, traits.segments, "a"),
        paired=_frame(tokenizer, folder, traits.segments, "a", "a"),
        # Where a tokenizer knows no limit, transformers gives it one of 10^30.
        longest=None if longest is None or longest > 1e9 else longest,
        vocabulary=traits.vocabulary,
        typed=traits.segments,
    )


def check_length(tokeniser: Tokeniser, max_tokens: int) -> None:
    """Refuse a sequence length that the model cannot take, or that holds no word piece.

    Raises:
        UserError: so.
    """
    shortest, longest = len(tokeniser.alone) + 1, tokeniser.longest
    if max_tokens < shortest or (longest is not None and max_tokens > longest):
        allowed = f"{shortest} or more" if longest is None else f"{shortest} to {longest}"
        raise UserError(f"preprocess.max_frames.language: {max_tokens} tokens; encoded text takes {allowed}")


def from_texts(tokeniser: Tokeniser, texts: Sequence[tuple[str, str]], max_tokens: int) -> Tokens:
    """Tokenise running text.

    Args:
        texts: n pairs (context, text); a text of white space alone gives length 0.
        max_tokens: most tokens of a sequence, the special ones included.

    Raises:
        UserError: ``max_tokens`` is out of range.
    """
    check_length(tokeniser, max_tokens)
    contexts, own = (
        [[(token, 0) for token in each] for each in tokeniser.pieces(part)] for part in _columns(texts)
    )
    lacking = [not text.strip() for _, text in texts]
    stream, _, cut = _sequences(tokeniser, contexts, own, lacking, max_tokens)
    return Tokens(stream, None, cut, 0)


def from_words(tokeniser: Tokeniser, words: Sequence[Words], max_tokens: int) -> Tokens:
    """Tokenise transcripts word by word.

    Args:
        words: n transcripts; own words of white space alone give length 0.
        max_tokens: as in ``from_texts``.

    Raises:
        UserError: ``max_tokens`` is out of range.
    """
    check_length(tokeniser, max_tokens)
    lacking = [lacks_language(each) for each in words]
    unique = list(dict.fromkeys(word for each in words for word in (*each.context, *each.own)))
    pieces = dict(zip(unique, tokeniser.pieces([tokeniser.gap + word for word in unique]), strict=True))
    contexts = [_numbered(pieces, each.context, 0) for each in words]
    own = [_numbered(pieces, each.own, len(each.context)) for each in words]
    stream, numbers, cut = _sequences(tokeniser, contexts, own, lacking, max_tokens)
    wordless = sum(
        not pieces[word]
        for each, lacks in zip(words, lacking, strict=True)
        for word in (*each.context, *each.own)
        if not lacks
    )
    return Tokens(stream, numbers, cut, wordless)


def from_ids(tokeniser: Tokeniser, given: Ragged, max_tokens: int) -> Tokens:
    """Take over token ids that the file brings.

    A sequence that is too long loses what stands before its last token, usually [SEP].

    Args:
        given: int [sum of lengths, 2], (token id, segment), special tokens included.
        max_tokens: as in ``from_texts``.

    Raises:
        UserError: the ids are not of this model, or ``max_tokens`` is out of range.
    """
    check_length(tokeniser, max_tokens)
    ids = given.features.astype(np.int64)
    starts = np.cumsum(given.lengths) - given.lengths
    first = [token for token, _ in tokeniser.alone.specials[0]]
    opening = ids[starts[given.lengths > 0], 0]
    outside = ids[(ids[:, 0] < 0) | (ids[:, 0] >= tokeniser.vocabulary), 0]
    if len(outside) or (first and (opening != first[0]).any()):
        wrong = outside[0] if len(outside) else opening[opening != first[0]][0]
        place = "" if len(outside) else " at the start of a sequence"
        raise UserError(
            f"{KEY}: the file's own token ids are of another model (found {wrong}{place}); "
            "set the model that they were made with, usually bert-base-uncased"
        )
    kept = np.minimum(given.lengths, max_tokens)
    places = frame_rows(given, np.arange(len(kept)), max_tokens)
    shortened = np.flatnonzero(kept < given.lengths)
    places[np.cumsum(kept)[shortened] - 1] = (starts + given.lengths - 1)[shortened]
    stream = ids[places]
    stream[:, 1] = stream[:, 1].clip(0, 1) if tokeniser.typed else 0
    return Tokens(Ragged(stream, kept), None, int((given.lengths - kept).sum()), 0)


def lacks_language(words: Words) -> bool:
    """Whether a transcript has no words of its own but white space."""
    return not any(word.strip() for word in words.own)


def fit(
    context: list[_T], own: list[_T], max_tokens: int, alone: int = 2, paired: int = 3
) -> tuple[list[_T], list[_T]]:
    """Cut word pieces so that they fit with the special tokens around one part or two."""
    room = max_tokens - paired - len(own)
    if context and room > 0:
        return context[-room:], own
    return [], own[: max_tokens - alone]


def _sequences(
    tokeniser: Tokeniser,
    contexts: Iterable[list[Piece]],
    own: Iterable[list[Piece]],
    lacking: Iterable[bool],
    max_tokens: int,
) -> tuple[Ragged, NDArray[np.int64], int]:
    """Tokens (id, segment) of all samples, the number of each one's word, and the count of those cut."""
    rows: list[tuple[int, int, int]] = []
    lengths: list[int] = []
    cut = 0
    for context, pieces, lacks in zip(contexts, own, lacking, strict=True):
        before = len(rows)
        if not lacks:
            kept = fit(context, pieces, max_tokens, len(tokeniser.alone), len(tokeniser.paired))
            cut += len(context) + len(pieces) - len(kept[0]) - len(kept[1])
            frame, parts = (tokeniser.paired, kept) if kept[0] else (tokeniser.alone, kept[1:])
            rows += _framed(frame, parts)
        lengths.append(len(rows) - before)
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return Ragged(table[:, :2].copy(), np.array(lengths, dtype=np.int64)), table[:, 2].copy(), cut


def _framed(frame: Frame, parts: Sequence[list[Piece]]) -> list[tuple[int, int, int]]:
    """One sequence as (token id, segment, number of the word)."""
    rows = [(*special, _SPECIAL) for special in frame.specials[0]]
    for part, segment, after in zip(parts, frame.segments, frame.specials[1:], strict=True):
        rows += [(token, segment, word) for token, word in part]
        rows += [(*special, _SPECIAL) for special in after]
    return rows


def _numbered(pieces: dict[str, list[int]], words: Sequence[str], first: int) -> list[Piece]:
    return [(token, number) for number, word in enumerate(words, first) for token in pieces[word]]


def _columns(texts: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    return [context for context, _ in texts], [text for _, text in texts]


def _gap(pieces: Callable[[Sequence[str]], list[list[int]]]) -> str:
    """Byte-level tokenizers have a space belong to the word after it: a word alone needs it too."""
    whole, first, bare, spaced = pieces(["this it", "this", "it", " it"])
    return " " if whole != first + bare and whole == first + spaced else ""


def _frame(tokenizer: Any, folder: Path, typed: bool, *parts: str) -> Frame:
    """Find out what the tokenizer puts around its parts, by letting it do so."""
    with quiet():
        encoded = tokenizer(*parts, return_token_type_ids=True)
    owners = encoded.sequence_ids(0)
    if any(part not in owners for part in range(len(parts))):
        raise UserError(f"{folder}: the tokenizer has no token for the letter a; set {KEY} to another model")
    segments = encoded["token_type_ids"] if typed else [0] * len(owners)
    tokens: list[Piece] = list(zip(encoded["input_ids"], segments, strict=True))
    firsts = [owners.index(part) for part in range(len(parts))]
    ends = [len(owners) - owners[::-1].index(part) for part in range(len(parts))]
    edges = zip([0, *ends], [*firsts, len(owners)], strict=True)
    return Frame(
        specials=tuple(tuple(tokens[start:end]) for start, end in edges),
        segments=tuple(segments[first] for first in firsts),
    )
