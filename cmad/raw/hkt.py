"""The HKT pickle of MUStARD and UR-FUNNY: an utterance after its context, one frame per word.

{train, dev, test}: lists of (own, context, id, label) with own = (text, visual, acoustic, hcf) and
context = (list of sentences, visual, acoustic, hcf). The humour-centric features hcf are left alone.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmad.config.schema import Preprocess
from cmad.raw.published import BadSampleError, as_name, as_number, as_text
from cmad.raw.raw_data import RawData, Words
from cmad.raw.word_samples import WordLayout, WordSample, check_frames, frames, read_words

# The columns that HKT takes, of how many: action units and shape of the face; COVAREP's first 60.
COLUMNS = {"vision": slice(55, 91), "audio": slice(0, 60)}
WIDTHS = {"vision": 91, "audio": 81}
CLASSES = ("0", "1")


def read(path: Path, params: Preprocess) -> RawData:
    """Read an HKT pickle.

    Returns:
        Classes "0" and "1"; words split at white space, with the full stops that HKT puts between
        sentences and at the end; vision 36 and audio 60 wide.

    Raises:
        UserError: see ``cmad.raw.word_samples.read_words``.
    """
    return read_words(path, WordLayout("hkt", _name, _sample, CLASSES), params.skip_bad)


def _name(item: Any) -> str:
    return as_name(item[2]) if isinstance(item, list | tuple) and len(item) == 4 else ""


def _sample(item: Any, name: str) -> WordSample:
    if not isinstance(item, list | tuple) or len(item) != 4:
        raise BadSampleError("sample has another form")
    own_part, context_part, _, label = item
    if not all(isinstance(part, list | tuple) and len(part) == 4 for part in (own_part, context_part)):
        raise BadSampleError("sample has another form")
    own = _words([as_text(own_part[0])], last=True)
    if not own:
        raise BadSampleError("sample has no words")
    if not isinstance(context_part[0], list | tuple):
        raise BadSampleError("context is no list of sentences")
    context = _words([as_text(sentence) for sentence in context_part[0]], last=False)
    audio, vision = (
        _both(context_part[place], own_part[place], len(context), len(own), modality)
        for modality, place in (("audio", 2), ("vision", 1))
    )
    number = as_number(label)
    if number not in (0, 1):
        raise BadSampleError("label is out of range", f"label {number:g} is neither 0 nor 1")
    return WordSample(name, "", Words(context, own), audio, vision, number)


def _words(sentences: list[str], last: bool) -> tuple[str, ...]:
    """Words of sentences; each sentence ends with a full stop, the last one only if ``last``.

    HKT joins the context's sentences with ". " and ends the utterance with "."; the stop belongs to
    the word before it, whose frame it gets.
    """
    split = [sentence.split() for sentence in sentences]
    for i, words in enumerate(split):
        if words and (last or i < len(split) - 1):
            words[-1] += "."
    return tuple(word for words in split for word in words)


def _both(context: Any, own: Any, context_words: int, own_words: int, modality: str) -> NDArray[Any]:
    """The used columns of the context's frames and of the utterance's, one after the other."""
    if isinstance(context, list | tuple) and context and all(isinstance(c, np.ndarray) for c in context):
        # Some copies keep one array per sentence.
        rows = [c for c in context if c.size]
        for each in rows:
            check_frames(each, f"{modality} of the context")
        if len({c.shape[1:] for c in rows}) > 1:
            raise BadSampleError(
                f"{modality} is no array of frames", f"{modality} of the context varies in width"
            )
        context = np.concatenate(rows) if rows else []
    parts = [
        frames(part, words, f"{modality} of the {whose}")
        for part, words, whose in ((context, context_words, "context"), (own, own_words, "utterance"))
    ]
    for part in parts:
        if len(part) and part.shape[1] != WIDTHS[modality]:
            raise BadSampleError(
                f"{modality} has another width",
                f"{modality} has {part.shape[1]} columns, HKT's files {WIDTHS[modality]} "
                "(371 and 81 are the raw SDK release, another format)",
            )
    if not len(parts[1]):
        return parts[1]
    if context_words and not len(parts[0]):
        raise BadSampleError(
            f"{modality} and words differ in number",
            f"{modality} of the context has 0 rows for {context_words} words",
        )
    return np.concatenate([part[:, COLUMNS[modality]] for part in parts if len(part)])
