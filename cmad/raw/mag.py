"""The MAG (or MIB) pickle of MOSEI and MOSI: words with one frame of audio and vision each.

{train, dev, test}: lists of ((words, visual, acoustic), label, segment). Widths are those of the file:
vision 35 for MOSEI and 47 for MOSI, audio 74.
"""

from pathlib import Path
from typing import Any

from cmad.config.schema import Preprocess
from cmad.raw.published import BadSampleError, as_name, as_score, as_text, video_of
from cmad.raw.raw_data import RawData, Words
from cmad.raw.word_samples import WordLayout, WordSample, frames, read_words


def read(path: Path, params: Preprocess) -> RawData:
    """Read a MAG pickle.

    Returns:
        Scores in [-3, 3]; words without context; the group is the video of ``video[clip]`` or
        ``video_clip``.

    Raises:
        UserError: see ``cmad.raw.word_samples.read_words``.
    """
    return read_words(path, WordLayout("mag", _name, _sample, ()), params.skip_bad)


def _name(item: Any) -> str:
    return as_name(item[2]) if isinstance(item, list | tuple) and len(item) == 3 else ""


def _sample(item: Any, name: str) -> WordSample:
    if not isinstance(item, list | tuple) or len(item) != 3 or not isinstance(item[0], list | tuple):
        raise BadSampleError("sample has another form")
    if len(item[0]) != 3:
        raise BadSampleError("sample has another form")
    (words, vision, audio), label, _ = item
    if not isinstance(words, list | tuple) or not len(words):
        raise BadSampleError("sample has no words")
    own = tuple(as_text(word) for word in words)
    return WordSample(
        name=name,
        group=video_of(name),
        words=Words((), own),
        audio=frames(audio, len(own), "audio"),
        vision=frames(vision, len(own), "vision"),
        label=as_score(label),
    )
