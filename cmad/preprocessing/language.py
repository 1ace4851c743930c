"""A data set's language on its way to the store: features as they are, encoded, or token ids."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from cmad.arrays import new_array
from cmad.config.schema import Preprocess, Text
from cmad.errors import UserError
from cmad.language.find import find, weights_checksum
from cmad.language.model import traits
from cmad.preprocessing.align import Placement, by_tokens
from cmad.preprocessing.frozen import write_hidden_states
from cmad.preprocessing.tokenise import Tokeniser, Tokens, from_ids, from_texts, from_words, load_tokeniser
from cmad.raw.raw_data import Ragged, RawData, Words


@dataclass(frozen=True)
class Encoding:
    """The model behind a data set's language.

    Attributes:
        name: as the params name it.
        width: of its hidden states.
        checksum: SHA-256 of its weights.
        fine_tuned: the store holds token ids, and the model is part of teacher and student.
    """

    name: str
    width: int
    checksum: str
    fine_tuned: bool


@dataclass(frozen=True)
class Language:
    """What was done to language.

    Attributes:
        encoder: None where language came as features.
        cut: tokens left out because their sequence was too long.
        wordless: words that yield no token.
        placed: where audio and vision are laid out by the tokens of words.
    """

    encoder: Encoding | None = None
    cut: int = 0
    wordless: int = 0
    placed: Mapping[str, Placement] = field(default_factory=dict)


def prepare_language(raw: RawData, params: Preprocess, scratch: Path) -> tuple[RawData, Language]:
    """Bring language into the form of the store.

    Args:
        raw: the data as read.
        params: the preset's preprocess section.
        scratch: a folder for hidden states, which may be larger than memory.

    Returns:
        The data with language as features (``streams``) or as token ids (``tokens``), and what was
        done to it.

    Raises:
        UserError: the encoder is not there or does not fit.
    """
    if "language" in raw.streams:
        return raw, Language()
    text = params.text
    if text is None:
        raise UserError(
            "preprocess.text: null, but the data come as raw text; set encoder, fine_tune and context"
        )
    folder = find(text.encoder)
    found = traits(folder)
    tokeniser = load_tokeniser(folder, found)
    tokens = _tokens(raw, text, tokeniser, params.max_frames.language)
    language = Language(
        encoder=Encoding(text.encoder, found.width, weights_checksum(folder), text.fine_tune),
        cut=tokens.cut,
        wordless=tokens.wordless,
        placed={m: by_tokens(stream, raw.words, tokens, text.context) for m, stream in raw.streams.items()}
        if raw.words is not None
        else {},
    )
    plain = replace(raw, texts=None, words=None, tokens=None)
    if text.fine_tune:
        return replace(plain, tokens=tokens.stream), language
    shape = (len(tokens.stream.features), found.width)
    states = new_array(scratch / "states.npy", np.float32, shape)
    # One thread: the bits of the store must not depend on the machine's number of cores.
    write_hidden_states(folder, found, tokens.stream, threads=1, out=states)
    encoded = Ragged(states, tokens.stream.lengths)
    return replace(plain, streams={"language": encoded, **raw.streams}), language


def _tokens(raw: RawData, text: Text, tokeniser: Tokeniser, max_tokens: int) -> Tokens:
    if raw.words is not None:
        words = raw.words if text.context else [Words((), each.own) for each in raw.words]
        return from_words(tokeniser, words, max_tokens)
    if raw.texts is not None:
        texts = raw.texts if text.context else [("", own) for _, own in raw.texts]
        return from_texts(tokeniser, texts, max_tokens)
    assert raw.tokens is not None, "a reader gives language as features, texts, words or tokens"
    return from_ids(tokeniser, raw.tokens, max_tokens)
